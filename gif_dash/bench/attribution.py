"""Do the scores of single examples agree with each other, with captum's, and with training again?

On real data, all in float64 on the CPU. captum runs in the environment of `peers`, in a process of its own, on the same
network, data and damping: ``python -m gif_dash.bench.attribution`` prints its scores as JSON.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.metadata import version

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from gif_dash.bench.peers import PATIENCE, environment
from gif_dash.bench.plan import Plan, Unavailable
from gif_dash.bench.rows import Row
from gif_dash.influence import Hessian, ParameterIndex, Resampled, Risk, TensorExamples
from gif_dash.influence.attribution import Influence, influences
from gif_dash.influence.attribution_rankings import (
    gradient_cosine,
    gradient_norms,
    input_similarity,
    representer_points,
    training_loss,
)
from gif_dash.progress import Silent
from gif_dash.scenarios import load
from gif_dash.scenarios.training import few_threads, train

GROUP = "attribution"
#: Training and test images of the small network, its hidden units, weight decay and steps of training.
TRAIN, TESTS, HIDDEN, DECAY, STEPS = 400, 20, 8, 1e-3, 400
#: λ/σ_max, by a shift: captum's own form.
DAMPING = 0.01
#: Test images of the logistic regression, each against every training image left out once.
LEFT_OUT_TESTS = 20

#: Groups of training images, how many and how large, drawn among so many of the highest loss; and test images.
GROUPS, GROUP_SIZE, HARDEST, GROUP_TESTS = 40, 15, 300, 10
#: Name, whether on the last layer alone, and how to solve.
GROUP_SETTINGS: tuple[tuple[str, bool, dict[str, object]], ...] = (
    ("CGLS 5", False, {"iterations": 5}),
    ("CGLS 10", False, {"iterations": 10}),
    ("CGLS 20", False, {"iterations": 20}),
    ("CGLS 40, damped 0.03", False, {"iterations": 40, "damping": 0.03}),
    ("MINRES 5", False, {"solver": "minres", "iterations": 5}),
    ("MINRES 10", False, {"solver": "minres", "iterations": 10}),
    ("MINRES 20", False, {"solver": "minres", "iterations": 20}),
    ("MINRES 40, damped 0.03", False, {"solver": "minres", "iterations": 40, "damping": 0.03}),
    ("last layer, CGLS 5", True, {"iterations": 5}),
    ("last layer, MINRES 5", True, {"solver": "minres", "iterations": 5}),
)

Scores = list[NDArray[np.float64]]


def measure(plan: Plan) -> list[Row]:
    """Rows of Spearman's correlation, the median over the test images with the smallest in the note."""
    return [*_network(plan), *_logistic(plan), *_groups(plan)]


# --- a small network --------------------------------------------------------------------------------------------------


@cache
def small_network() -> tuple[nn.Module, TensorExamples, TensorExamples]:
    """A dense network 64-8-10 with tanh, trained on 400 digits by full-batch steps; training and test examples."""
    import sklearn.datasets

    digits = sklearn.datasets.load_digits()
    inputs = torch.tensor(digits.data / 16, dtype=torch.float64)
    labels = torch.tensor(digits.target, dtype=torch.int64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(64, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 10)).double()
    train = TensorExamples(inputs[:TRAIN], labels[:TRAIN])
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9, weight_decay=DECAY)
    for _ in range(STEPS):
        optimiser.zero_grad()
        torch.autograd.backward(F.cross_entropy(model(train.inputs), train.targets))
        optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return model, train, TensorExamples(inputs[-TESTS:], labels[-TESTS:])


def damping() -> float:
    """λ = `DAMPING`·σ_max of the Hessian without weight decay, absolute."""
    model, train, _ = small_network()
    matrix = _dense(Risk(model, F.cross_entropy, train, torch.arange(TRAIN)))
    return DAMPING * float(np.abs(np.linalg.eigvalsh(matrix)).max())


def _dense(risk: Risk) -> NDArray[np.float64]:
    index = ParameterIndex.of(risk.model)
    with Hessian(risk) as hessian:
        rows = [hessian.matvec(row).numpy() for row in torch.eye(index.p, dtype=torch.float64)]
    return np.array(rows)


def captum_scores() -> Scores:
    """captum's ∇ℓ(z_t)ᵀ(H + λI)⁻¹∇ℓ(z_i) by test image; only where captum is."""
    from captum.influence import NaiveInfluenceFunction
    from torch.utils.data import TensorDataset

    model, train, test = small_network()
    peer = NaiveInfluenceFunction(
        model,
        TensorDataset(train.inputs, train.targets),
        checkpoint="",
        checkpoints_load_func=lambda *_: 1.0,
        loss_fn=nn.CrossEntropyLoss(reduction="none"),
        batch_size=TRAIN,
        projection_dim=ParameterIndex.of(model).p,
        hessian_reg=damping() * CAPTUM_EXAMPLES,
        hessian_inverse_tol=1e-12,
    )
    found: Tensor = peer.influence((test.inputs, test.targets))
    return [row.detach().double().numpy() for row in found]


#: captum sums the losses behind its Hessian.
CAPTUM_EXAMPLES = TRAIN


def _network(plan: Plan) -> list[Row]:
    model, train, test = small_network()
    every = torch.arange(TRAIN)
    risk = Risk(model, F.cross_entropy, train, every)
    targets = [Risk(model, F.cross_entropy, test, torch.tensor([place])) for place in range(TESTS)]
    case = f"dense 64-{HIDDEN}-10, {ParameterIndex.of(model).p} parameters, {TRAIN} digits, {TESTS} test images"
    seconds: dict[str, float] = {}

    def scores(name: str, work: Callable[[], list[Influence]]) -> Scores:
        started = time.perf_counter()
        found = [-one.scores.numpy() for one in work()]
        seconds[name] = time.perf_counter() - started
        return found

    last = torch.arange(64 * HIDDEN + HIDDEN, ParameterIndex.of(model).p)
    with Hessian(risk) as hessian:
        hessian.prepare()
        shift = {"damping": DAMPING, "damping_form": "shifted"}
        sampled = Resampled(hessian, 100, 0)
        known: dict[str, Scores] = {}
        ours = scores(
            "direct",
            lambda: influences(risk, hessian, targets, solver="direct", **shift),  # type: ignore[arg-type]
        )
        for name, settings in (
            ("CG, 60 steps", {"solver": "cg", "iterations": 60, "damping": DAMPING}),
            ("MINRES, 60 steps", {"solver": "minres", "iterations": 60, "damping": DAMPING}),
            ("CGLS, 5 steps, not damped", {"iterations": 5}),
            ("CGLS, 20 steps, not damped", {"iterations": 20}),
        ):
            known[name] = scores(name, lambda: influences(risk, hessian, targets, **settings))  # noqa: B023
        known["LiSSA, 500 steps of 100 examples"] = scores(
            "LiSSA, 500 steps of 100 examples",
            lambda: influences(risk, sampled, targets, solver="lissa", iterations=500, damping=DAMPING, sigma_max=2.0),
        )
        known["last layer, direct"] = scores(
            "last layer, direct",
            lambda: influences(risk, hessian, targets, last, solver="direct", **shift),  # type: ignore[arg-type]
        )
    known["gradient cosine"] = [gradient_cosine(risk, target).numpy() for target in targets]
    known["representer points"] = [representer_points(risk, target, DECAY).scores.numpy() for target in targets]
    known["input similarity"] = [input_similarity(risk, target).numpy() for target in targets]
    known["own loss"] = [training_loss(risk).numpy()] * TESTS
    rows = [Row(GROUP, case, "direct: seconds for all", seconds["direct"], "s")]
    rows += _captum(case, ours)
    for name, found in known.items():
        rows.append(_agreement(case, f"direct ~ {name}", ours, found))
        if name in seconds:
            rows.append(Row(GROUP, case, f"{name}: seconds for all", seconds[name], "s"))
    return rows


def _captum(case: str, ours: Scores) -> list[Row]:
    """captum's scores beside ours; a row that says why if they cannot be had."""
    try:
        command = [str(environment()), "-m", "gif_dash.bench.attribution"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (Unavailable, subprocess.TimeoutExpired) as error:
        return [Row(GROUP, case, "direct ~ captum", float("nan"), "", 0, note=str(error)[:200])]
    if done.returncode != 0:
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
        return [Row(GROUP, case, "direct ~ captum", float("nan"), "", 0, note="".join(last)[:200])]
    said = json.loads(done.stdout.splitlines()[-1])
    theirs = [np.array(row) * CAPTUM_EXAMPLES for row in said["scores"]]
    name = f"captum {said['version']} NaiveInfluenceFunction"
    off = max(float(np.linalg.norm(a - b) / np.linalg.norm(a)) for a, b in zip(ours, theirs, strict=True))
    return [
        _agreement(case, f"direct ~ {name}", ours, theirs),
        Row(GROUP, case, f"{name}: largest relative difference of the scores", off, "ratio"),
        Row(GROUP, case, f"{name}: seconds for all", said["seconds"], "s", note="float64, all eigenvectors"),
    ]


# --- logistic regression, 1 against 7 ---------------------------------------------------------------------------------


def _logistic(plan: Plan) -> list[Row]:
    """Every training image left out once, the regression trained again to rounding by Newton's method."""
    import sklearn.datasets

    digits = sklearn.datasets.load_digits()
    chosen = np.isin(digits.target, (1, 7))
    inputs, signs = digits.data[chosen] / 16, np.where(digits.target[chosen] == 1, 1.0, -1.0)
    inputs /= np.linalg.norm(inputs, axis=1, keepdims=True)
    design = np.hstack([inputs, np.ones((len(inputs), 1))])
    train, test = design[:-60], design[-60:]
    y, y_test = signs[:-60], signs[-60:]
    n, mu = len(y), 0.01

    def slopes(theta: NDArray[np.float64], x: NDArray[np.float64], sign: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(-(sign / (1 + np.exp(sign * (x @ theta))))[:, None] * x)

    def hessian(theta: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        p = 1 / (1 + np.exp(-train @ theta))
        return np.asarray((train * (weights * p * (1 - p))[:, None]).T @ train + mu * np.eye(train.shape[1]))

    def minimiser(weights: NDArray[np.float64], theta: NDArray[np.float64]) -> NDArray[np.float64]:
        for _ in range(30):
            slope = weights @ slopes(theta, train, y) + mu * theta
            if np.linalg.norm(slope) < 1e-13:
                break
            theta = theta - np.linalg.solve(hessian(theta, weights), slope)
        return theta

    whole = np.full(n, 1 / n)
    theta = minimiser(whole, np.zeros(train.shape[1]))
    losses = np.log1p(np.exp(-y_test * (test @ theta)))
    asked = np.argsort(-losses)[:LEFT_OUT_TESTS]
    again = []
    for who in range(n):
        weights = whole.copy()
        weights[who] = 0.0
        left = minimiser(weights, theta)
        again.append(np.log1p(np.exp(-y_test[asked] * (test[asked] @ left))) - losses[asked])
    truth = np.array(again).T
    model = nn.Linear(design.shape[1], 1, bias=False).double()
    ParameterIndex.of(model).assign(model, torch.tensor(theta))
    risk = Risk(model, _logistic_loss, _examples(train, y), torch.arange(n), mu)
    tests = _examples(test, y_test)
    targets = [Risk(model, _logistic_loss, tests, torch.tensor([int(place)])) for place in asked]
    with Hessian(risk) as curvature:
        found = [one.effects(n).numpy() for one in influences(risk, curvature, targets, solver="direct")]
    case = f"logistic regression, digits 1 against 7, {n} training images, {LEFT_OUT_TESTS} test images of highest loss"
    pearson = [float(np.corrcoef(a, b)[0, 1]) for a, b in zip(found, truth, strict=True)]
    slope = [float(a @ b / (a @ a)) for a, b in zip(found, truth, strict=True)]
    return [
        _agreement(case, "−I/N ~ leave-one-out training", found, list(truth)),
        Row(GROUP, case, "−I/N ~ leave-one-out training, Pearson", statistics.median(pearson), "ratio", len(pearson)),
        Row(GROUP, case, "measured ÷ predicted (least squares)", statistics.median(slope), "ratio", len(slope)),
    ]


# --- digits-cnn, groups removed and trained on ------------------------------------------------------------------------


def _groups(plan: Plan) -> list[Row]:
    """Sums of single scores beside what happens to the losses when the network is trained on without the group.

    The groups are drawn from the training images with the highest loss (the others have next to no influence). The
    truth is the warm start of class removal, without minus with the group, the mean over two seeds of the order.
    """
    ready = load("digits-cnn", Silent())
    loss, model, n = ready.scenario.loss, ready.network(), len(ready.train_labels)
    recipe = ready.recipe
    assert recipe is not None
    every, mu = torch.arange(n), ready.weight_decay
    inputs, labels = ready.test.batch(torch.arange(len(ready.test_labels)))

    def losses(network: nn.Module) -> Tensor:
        with torch.no_grad():
            found: Tensor = loss(network(inputs), labels, reduction="none")
        return found

    tests = losses(model).argsort(descending=True)[: 4 if plan.quick else GROUP_TESTS]
    risk = Risk(model, loss, ready.train, every, mu)
    hardest = risk.losses().argsort(descending=True)[:HARDEST].numpy()
    rng = np.random.default_rng(0)
    groups = [rng.choice(hardest, GROUP_SIZE, replace=False) for _ in range(8 if plan.quick else GROUPS)]

    def trained_on(kept: Tensor, seed: int) -> Tensor:
        network = ready.network()
        train(network, loss, ready.train, kept, recipe.warm(), seed, Silent(), "")
        return losses(network)[tests]

    whole = [trained_on(every, seed) for seed in (0, 1)]
    changes = []
    for group in groups:
        stays = torch.ones(n, dtype=torch.bool)
        stays[torch.from_numpy(group)] = False
        changes.append(torch.stack([trained_on(every[stays], seed) - whole[seed] for seed in (0, 1)]).mean(0))
    truth = list(torch.stack(changes, dim=1).double().numpy())
    targets = [Risk(model, loss, ready.test, tests[place : place + 1]) for place in range(len(tests))]
    index = ParameterIndex.of(model)
    place = index.layer_of(torch.arange(index.p))
    last = (place == len(index.layers) - 1).nonzero().flatten()
    case = f"digits-cnn, {len(groups)} groups of {GROUP_SIZE} hard training images, {len(tests)} hard test images"
    rows: list[Row] = []

    def row(name: str, effects: list[Tensor]) -> None:
        summed = [np.array([float(one[torch.from_numpy(group)].sum()) for group in groups]) for one in effects]
        ratio = [float(a @ b / (a @ a)) for a, b in zip(summed, truth, strict=True)]
        agreed = _agreement(case, f"{name} ~ trained on without the group", summed, truth)
        rows.append(replace(agreed, note=f"{agreed.note}; measured ÷ predicted {statistics.median(ratio):.2g}"))

    with few_threads(model), Hessian(risk) as hessian:
        for name, part, settings in GROUP_SETTINGS:
            found = influences(risk, hessian, targets, last if part else None, **settings)  # type: ignore[arg-type]
            row(name, [one.effects(n) for one in found])
        norms = gradient_norms(risk)
        row("gradient cosine", [gradient_cosine(risk, target, norms) for target in targets])
        row("representer points", [representer_points(risk, target, mu).scores for target in targets])
        row("input similarity", [input_similarity(risk, target) for target in targets])
    return rows


def _examples(design: NDArray[np.float64], signs: NDArray[np.float64]) -> TensorExamples:
    return TensorExamples(torch.tensor(design), torch.tensor(signs))


def _logistic_loss(outputs: Tensor, signs: Tensor, reduction: str = "none") -> Tensor:
    losses = F.softplus(-signs * outputs[:, 0])
    return losses if reduction == "none" else losses.mean()


def _agreement(case: str, what: str, ours: Scores, theirs: Scores) -> Row:
    """Spearman's correlation: the median over the test images."""
    from scipy.stats import spearmanr

    found = [float(spearmanr(a, b).statistic) for a, b in zip(ours, theirs, strict=True)]
    low, _, high = statistics.quantiles(found, n=4, method="inclusive")
    return Row(
        GROUP,
        case,
        f"{what}: Spearman",
        statistics.median(found),
        "ratio",
        len(found),
        (high - low) / 2,
        f"smallest {min(found):.4f}",
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    started = time.perf_counter()
    scores = captum_scores()
    taken = time.perf_counter() - started
    told = {"version": version("captum"), "seconds": taken, "scores": [row.tolist() for row in scores]}
    sys.stdout.write(json.dumps(told) + "\n")
