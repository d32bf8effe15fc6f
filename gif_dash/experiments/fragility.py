"""Fragility (Basu, Pope & Feizi 2021): does what influence functions predict come true when one retrains?

Networks of one shape are a part: they are trained at once, and all their retrainings without single examples are one
run (see `fleet`). Finished parts are kept (see `pieces`).
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr
from torch import Tensor, nn

from gif_dash.experiments import fleet, pieces
from gif_dash.experiments.fleet import Batch, Fleet
from gif_dash.experiments.leave_one_out import Dense, Estimates, Iterative, Predicted, Sampling
from gif_dash.experiments.provenance import Stopwatch, provenance
from gif_dash.experiments.small_data import SmallData, iris, mnist_tenth
from gif_dash.influence import ParameterIndex, Risk, TensorExamples
from gif_dash.progress import Progress
from gif_dash.results import Result
from gif_dash.scenarios import ScenarioError, training
from gif_dash.specs import FragilitySpec
from gif_dash.spelling import to_cli

#: Examples of a training step on MNIST.
BATCH = 100


def run(spec: FragilitySpec, progress: Progress) -> Result:
    """Train, estimate, retrain without each of the most influential examples, correlate.

    Returns:
        tables ``points`` (the main one: a row for every setting, seed, Hessian and removed example) and ``summary`` (a
        row for every setting, seed and Hessian).

    Raises:
        gif_dash.scenarios.ScenarioError: the data cannot be had, a training diverges, or it takes longer than this
            asker may wait.
        gif_dash.influence.InfluenceError: a Hessian is not finite.
        gif_dash.progress.Cancelled: from `progress`.
    """
    if spec.data == "mnist" and not progress.patient:
        raise ScenarioError("the CNN on MNIST takes many minutes: run " + to_cli(spec))
    watch = Stopwatch(progress)
    with watch.stage("Reading the data"):
        data = iris() if spec.data == "iris" else mnist_tenth()
    tables: dict[str, list[pd.DataFrame]] = {"points": [], "summary": []}
    seconds, kept = 0.0, False
    with training.few_threads(_Part(spec, data, spec.grid()[:1], progress, watch).factory()):
        for values in parts(spec):
            file = pieces.place(spec.model_copy(update={"values": values}), "")
            if (found := pieces.read(file)) is None:
                if kept:
                    progress.give_way()
                found = _Part(spec, data, values, progress, watch).run()
                kept = pieces.write(file, found)
            seconds += float(found.provenance["seconds"])
            for name, rows in tables.items():
                rows.append(found.tables[name])
            progress.partial("summary", lambda: pd.concat(tables["summary"], ignore_index=True))
            progress.partial("points", lambda: pd.concat(tables["points"], ignore_index=True))
    joined = {name: pd.concat(rows, ignore_index=True) for name, rows in tables.items()}
    known = provenance(
        torch.device("cpu"),
        watch,
        seed=spec.seed,
        data=data.title,
        N=data.n,
        test_examples=len(data.test[1]),
        classes=list(data.classes),
        p=sorted(set(joined["summary"]["p"].tolist())),
        dtype="float64" if spec.data == "iris" else "float32; test losses float64",
        training=_recipe(spec),
    )
    return Result(
        {"experiment": spec.experiment, **spec.model_dump(mode="json")},
        joined,
        {**known, "seconds": seconds, "seconds_here": known["seconds"]},
    )


def parts(spec: FragilitySpec) -> list[tuple[float, ...]]:
    """Values whose networks have one shape."""
    return [(value,) for value in spec.grid()] if spec.vary in ("width", "depth") else [spec.grid()]


def _recipe(spec: FragilitySpec) -> str:
    batch = "full batch" if spec.data == "iris" else f"batches of {BATCH}, rate falling to 0"
    return f"gradient descent, {batch}, rate {spec.rate:g}, momentum {fleet.MOMENTUM:g}"


@dataclass(frozen=True)
class _Case:
    """One setting of one network: what is estimated with it, and which examples are removed."""

    value: float
    number: int  #: of the network among those of the part
    seed: int
    damping: float
    test_index: int
    places: Tensor  #: of the removed examples, int64, (k,)
    predicted: dict[str, Predicted]
    facts: dict[str, Any]


class _Part:
    """The networks of one shape."""

    def __init__(
        self, spec: FragilitySpec, data: SmallData, values: tuple[float, ...], progress: Progress, watch: Stopwatch
    ) -> None:
        self.spec, self.data, self.values, self.progress, self.watch = spec, data, values, progress, watch
        self.shape = spec.at(values[0])
        self.gradients = (
            fleet.of_dense(spec.activation, spec.loss)
            if spec.data == "iris"
            else fleet.by_vmap(self.factory(), spec.loss)
        )
        self.title = f"{spec.vary} {values[0]:g}: " if len(values) == 1 else ""

    def factory(self) -> nn.Module:
        """An untrained network, in the dtype of the data."""
        if self.spec.data == "mnist":
            return fleet.three_convolutions()
        width, depth = self.shape["width"], self.shape["depth"]
        inputs = self.data.train[0].shape[1]
        return fleet.dense(inputs, len(self.data.classes), width, depth, self.spec.activation).double()

    def run(self) -> Result:
        started = time.perf_counter()
        spec = self.spec
        settings = [spec.at(value) for value in self.values]
        decays = list(dict.fromkeys(float(setting["weight_decay"]) for setting in settings))
        nets = [(decay, spec.seed + number) for decay in decays for number in range(spec.seeds)]
        networks = [training.build(self.factory, seed) for _, seed in nets]
        begin = fleet.stacked(networks)
        decay = torch.tensor([decay for decay, _ in nets], dtype=torch.float64)
        everyone = fleet.leave_one_out(self.data.n, [None] * len(nets))
        trained = self._descend(begin, everyone, decay, spec.train_steps, "training", 0)
        cases = self._estimate(nets, trained, networks[0])
        jobs = self._jobs(cases)
        numbers, removed = [number for number, _ in jobs], [place for _, place in jobs]
        weights = fleet.leave_one_out(self.data.n, removed)
        clock = time.perf_counter()
        warm = self._descend(fleet.chosen(trained, numbers), weights, decay[numbers], spec.steps, "retraining", 1)
        cold = (
            self._descend(
                fleet.chosen(begin, numbers), weights, decay[numbers], spec.train_steps, "retraining from scratch", 0
            )
            if spec.cold == "yes"
            else None
        )
        each = (time.perf_counter() - clock) / len(nets)
        with self.watch.stage("Measuring"):
            points, summary = self._tables(cases, jobs, trained, warm, cold, networks[0], each)
        known = {"seconds": time.perf_counter() - started}
        return Result(spec.model_dump(mode="json"), {"points": points, "summary": summary}, known)

    # --- training ---------------------------------------------------------------------------------------------------

    def _descend(self, start: Fleet, weights: Tensor, decay: Tensor, steps: int, what: str, order: int) -> Fleet:
        """A training of copies of `start`; `order` is that of the batches where there are several."""
        copies = [part.clone() for part in start]
        with self.watch.stage(f"{self.title}{what} {_networks(len(weights))}", steps):
            return fleet.descend(
                copies,
                self.gradients,
                self._batches(order),
                weights,
                decay,
                steps=steps,
                rate=self._rate(steps),
                advance=self._advance,
            )

    def _advance(self, units: int) -> None:
        self.progress.advance(units)
        self.progress.check()

    def _batches(self, order: int) -> Iterator[Batch]:
        inputs, wanted = self.data.train[0], self.data.wanted()
        if self.spec.data == "iris":
            return fleet.always(inputs, wanted)
        return fleet.shuffled(inputs, wanted, BATCH, self.spec.seed + order)

    def _rate(self, steps: int) -> float | Callable[[int], float]:
        rate = self.spec.rate
        if self.spec.data == "iris":
            return rate
        return lambda step: rate * 0.5 * (1 + math.cos(math.pi * step / steps))

    # --- estimates --------------------------------------------------------------------------------------------------

    def _estimate(self, nets: list[tuple[float, int]], trained: Fleet, model: nn.Module) -> list[_Case]:
        spec, cases, title = self.spec, [], f"{self.title}estimates"
        place = {net: number for number, net in enumerate(nets)}
        known: dict[int, tuple[Estimates, int, dict[str, Any]]] = {}
        with self.watch.stage(title, len(self.values) * spec.seeds * len(spec.hessians)):
            for value in self.values:
                setting = spec.at(value)
                damping = float(setting["damping"])
                for seed in range(spec.seed, spec.seed + spec.seeds):
                    number = place[float(setting["weight_decay"]), seed]
                    if number not in known:
                        known[number] = self._estimates(trained, number, float(setting["weight_decay"]), model)
                    estimates, test_index, facts = known[number]
                    ranking = estimates.ranking(damping)
                    places = torch.argsort(ranking.abs(), descending=True, stable=True)[: spec.points]
                    predicted: dict[str, Predicted] = {}
                    for kind in spec.hessians:
                        self.progress.check()
                        predicted[kind] = estimates.predict(kind, damping, places)
                        self.progress.advance()
                    facts = {**setting, **facts}
                    cases.append(_Case(value, number, seed, damping, test_index, places, predicted, facts))
        return cases

    def _estimates(
        self, trained: Fleet, number: int, decay: float, model: nn.Module
    ) -> tuple[Estimates, int, dict[str, Any]]:
        """Of one network: its estimates, the test example, and what kind of network it is."""
        spec, data, loss = self.spec, self.data, fleet.LOSSES[self.spec.loss]
        model = filled(model, fleet.member(trained, number))
        train, test = (
            Risk(model, loss, data.examples(part), torch.arange(len(labels)), mu)
            for part, labels, mu in (("train", data.train[1], decay), ("test", data.test[1], 0.0))
        )
        losses = test.losses(tick=self.progress.check)
        order = torch.argsort(losses, descending=True, stable=True)
        index = int(order[0] if spec.test_point == "highest-loss" else order[len(order) // 2])
        target = Risk(model, loss, test.examples, torch.tensor([index]))
        sampling = Sampling(spec.curvature_samples, spec.lissa_steps, spec.seed)
        kind = Dense if spec.data == "iris" else Iterative
        estimates: Estimates = kind(train, target, sampling, self.progress.check)
        low, high = estimates.extent()
        facts = {
            "p": ParameterIndex.of(model).p,
            "train_accuracy": _accuracy(model, data.examples("train")),
            "test_accuracy": _accuracy(model, data.examples("test")),
            "test_index": index,
            "test_loss": float(losses[index]),
            "gradient_norm": estimates.stationarity(),
            "lambda_max": high,
            "lambda_min": low,
        }
        return estimates, index, facts

    # --- tables -----------------------------------------------------------------------------------------------------

    def _jobs(self, cases: list[_Case]) -> list[tuple[int, int | None]]:
        """Networks to be retrained, and without which example: each once, and each network with all examples."""
        jobs: dict[tuple[int, int | None], None] = {}
        for case in cases:
            jobs.update(dict.fromkeys([(case.number, None), *((case.number, i) for i in case.places.tolist())]))
        return list(jobs)

    def _tables(
        self,
        cases: list[_Case],
        jobs: list[tuple[int, int | None]],
        trained: Fleet,
        warm: Fleet,
        cold: Fleet | None,
        model: nn.Module,
        seconds: float,
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        row_of = dict(zip(jobs, count()))
        origins, ends = fleet.vectors(trained).double(), fleet.vectors(warm).double()
        scratch = None if cold is None else fleet.vectors(cold).double()
        points, summary = [], []
        for case in cases:
            loss = self._test_loss(model, case.test_index)
            origin, before = origins[case.number], loss(origins[case.number])
            rows = [row_of[case.number, place] for place in case.places.tolist()]
            base = row_of[case.number, None]
            retrained = torch.stack([loss(ends[row]) for row in rows]) - before
            fresh = None
            if scratch is not None:
                fresh = torch.stack([loss(scratch[row]) for row in rows]) - loss(scratch[base])
            facts = {
                "continued": float(loss(ends[base]) - before),
                "norm_continued": float((ends[base] - origin).norm()),
            }
            for kind, predicted in case.predicted.items():
                key: dict[str, Any] = {"value": case.value, "seed": case.seed, "hessian": kind}
                columns: dict[str, Any] = {
                    "train_index": case.places.numpy(),
                    "label": self.data.train[1][case.places].numpy(),
                    "predicted": predicted.changes.numpy(),
                    "retrained": retrained.numpy(),
                    "norm_predicted": predicted.norms.numpy(),
                    "norm_retrained": (ends[rows] - origin).norm(dim=1).numpy(),
                    "norm_from_continued": (ends[rows] - ends[base]).norm(dim=1).numpy(),
                }
                if fresh is not None:
                    columns["retrained_cold"] = fresh.numpy()
                frame = pd.DataFrame({**columns}).assign(**key)
                points.append(frame[[*key, *columns]])
                summary.append(
                    {
                        **key,
                        **_agreement(frame, "retrained", ""),
                        **(_agreement(frame, "retrained_cold", "_cold") if fresh is not None else {}),
                        "norm_predicted": float(frame["norm_predicted"].median()),
                        "norm_retrained": float(frame["norm_retrained"].median()),
                        "norm_from_continued": float(frame["norm_from_continued"].median()),
                        "points": len(frame),
                        **facts,
                        **case.facts,
                        "seconds": predicted.seconds,
                        "retraining_seconds": seconds,
                        "residual": predicted.residual,
                        "message": predicted.message,
                    }
                )
        return pd.concat(points, ignore_index=True), pd.DataFrame(summary)

    def _test_loss(self, model: nn.Module, index: int) -> Callable[[Tensor], Tensor]:
        """The loss of one test example at any θ, in float64."""
        inputs, labels = (part[[index]] for part in self.data.test)
        alone = TensorExamples(inputs.double(), labels)
        target = Risk(copy.deepcopy(model).double(), fleet.LOSSES[self.spec.loss], alone, torch.tensor([0]))
        return lambda theta: target.losses(theta).mean()


def _agreement(frame: pd.DataFrame, truth: str, ending: str) -> dict[str, float]:
    """Columns of the summary."""
    found = correlations(*(frame[name].to_numpy(np.float64) for name in ("predicted", truth)))
    return dict(zip((f"pearson{ending}", f"spearman{ending}"), found, strict=True))


def correlations(predicted: NDArray[np.float64], measured: NDArray[np.float64]) -> tuple[float, float]:
    """Pearson's and Spearman's; NaN where one of the two is constant or not finite."""
    known = bool(np.isfinite(predicted).all() and np.isfinite(measured).all())
    if not known or np.ptp(predicted) == 0 or np.ptp(measured) == 0:
        return math.nan, math.nan
    return float(pearsonr(predicted, measured).statistic), float(spearmanr(predicted, measured).statistic)


def filled(model: nn.Module, theta: Tensor) -> nn.Module:
    """A copy of a network with these parameters."""
    filled = copy.deepcopy(model)
    ParameterIndex.of(filled).assign(filled, theta)
    return filled.eval()


def _accuracy(model: nn.Module, examples: TensorExamples) -> float:
    """In percent."""
    with torch.no_grad():
        said = [model(part).argmax(1) for part in torch.split(examples.inputs, 1000)]
    return 100 * float((torch.cat(said) == examples.targets).double().mean())


def _networks(number: int) -> str:
    return f"{number} network" + "s" * (number > 1)
