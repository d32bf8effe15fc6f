"""Relabelling on a quadratic, in float64: the step must land where training on relabelled data does."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from gif_dash.experiments.backdoor import Repair, second_order_relabelling
from gif_dash.influence import Hessian, Risk, TensorExamples, relabelling_gradient
from gif_dash.progress import Progress, Silent
from gif_dash.scenarios import Scenario, register
from gif_dash.specs import BackdoorSpec

MU = 0.02
CLASSES = 3
#: Every class has another weight in the loss, so that a label changes the Hessian, too.
WEIGHTS = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
METHODS = ("gif", "fif", "pif", "if")


def weighted_squares(outputs: Tensor, targets: Tensor, reduction: str = "none") -> Tensor:
    """w_y/2·‖f − e_y‖²: quadratic in the parameters of a linear network."""
    wanted = nn.functional.one_hot(targets, CLASSES).to(outputs)
    return WEIGHTS.to(outputs)[targets] / 2 * ((outputs - wanted) ** 2).sum(1)


def optimum(inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """argmin of the mean weighted squares + μ/2·‖θ‖², by the normal equations."""
    x = torch.cat([inputs.flatten(1), torch.ones(len(inputs), 1, dtype=inputs.dtype)], 1)
    w = WEIGHTS[labels][:, None]
    left = x.T @ (w * x) / len(x) + MU * torch.eye(x.shape[1], dtype=x.dtype)
    right = x.T @ (w * nn.functional.one_hot(labels, CLASSES).to(x)) / len(x)
    solution = torch.linalg.solve(left, right).T
    return {"1.weight": solution[:, :-1].contiguous(), "1.bias": solution[:, -1].contiguous()}


def retrain(factory: Callable[[], nn.Module], dataset: Any, seed: int, progress: Progress) -> dict[str, Tensor]:
    items = [dataset[place] for place in range(len(dataset))]
    return optimum(torch.stack([item[0] for item in items]), torch.tensor([item[1] for item in items]))


@pytest.fixture(scope="module", autouse=True)
def quadratic() -> None:
    torch.manual_seed(0)
    inputs = torch.rand(120, 1, 4, 4, dtype=torch.float64)
    data = TensorDataset(inputs, torch.randint(0, CLASSES, (120,)))
    register(
        Scenario(
            "quadratic",
            lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, CLASSES)).double(),
            data,
            data,
            "abc",
            loss=weighted_squares,
            retrain=retrain,
            weight_decay=MU,
        )
    )


def distances(**changes: Any) -> dict[str, float]:
    """‖θ̂ + Δ − θ_retrained‖/‖θ̂ − θ_retrained‖ by method."""
    wanted = {
        "scenario": "quadratic",
        "target": 2,
        "share": 20,
        "strength": 80,
        "mr": 100,
        "criterion": "random",
        "methods": METHODS,
        "solver": "direct",
        **changes,
    }
    spec = BackdoorSpec.parse(wanted)
    with Repair.asked(spec, Silent()) as repair:
        assert repair.theta.dtype == torch.float64
        selection, gradient = repair.system()
        assert selection.k == len(repair.theta) == 51
        updates = repair.solve(spec.methods, gradient, selection.indices)
        reference = repair.backdoor.reference(spec.repair, "cold", Silent())
        truth = repair.index.vector(repair.prepared.network(reference.state))
        whole = float((truth - repair.theta).norm())
        return {
            method: float((repair.theta + update.delta - truth).norm()) / whole for method, update in updates.items()
        }


def test_every_method_lands_on_the_relabelled_optimum() -> None:
    assert max(distances().values()) < 1e-9


def test_published_weight_and_curvature_do_not() -> None:
    assert min(distances(weighting="published").values()) > 0.1


def test_gradient_of_the_repaired_risk_is_the_same_where_training_converged() -> None:
    assert max(distances(gradient="retain").values()) < 1e-9


def test_removal_lands_on_the_optimum_without_the_corrupted_pictures() -> None:
    assert max(distances(repair="removal").values()) < 1e-9


def test_second_order_comes_near_although_it_starts_from_the_corrupted_curvature() -> None:
    """To first order the error is 0.2 at the smaller share, and with the wrong sign it is larger still."""
    small, large = (distances(methods=["if2"], share=share)["if2"] for share in (5, 20))
    assert small < 0.1
    assert small < large / 3


def test_second_order_error_falls_with_the_square_of_the_share() -> None:
    """θ(q) from the normal equations for a group of fixed composition; the opposite sign must not pass."""
    torch.manual_seed(1)
    inputs = torch.rand(40, 1, 4, 4, dtype=torch.float64)
    right = torch.randint(0, 2, (40,))
    errors, wrong_sign = [], []
    for copies in (19, 39, 79):  # of the data besides the group: q = 1/(1 + copies)
        everything = torch.cat([inputs] * (copies + 1))
        good = torch.cat([right] * (copies + 1))
        bad = good.clone()
        bad[:40] = 2
        group, ratio = torch.arange(40), 1 / (1 + copies)
        network = nn.Sequential(nn.Flatten(), nn.Linear(16, CLASSES)).double()
        network.load_state_dict(optimum(everything, bad))
        before = torch.cat([value.flatten() for value in network.state_dict().values()])
        after = torch.cat([value.flatten() for value in optimum(everything, good).values()])

        wrong_data, right_data = TensorExamples(everything, bad), TensorExamples(everything, good)
        whole = Hessian(Risk(network, weighted_squares, wrong_data, torch.arange(len(bad)), MU))
        wrong = Hessian(Risk(network, weighted_squares, wrong_data, group))
        corrected = Hessian(Risk(network, weighted_squares, right_data, group))
        g = relabelling_gradient(wrong.risk.gradient(), corrected.risk.gradient(), 40, len(bad))
        update = second_order_relabelling(whole, wrong, corrected, g, ratio, solver="direct")
        flipped = second_order_relabelling(whole, corrected, wrong, g, ratio, solver="direct")
        way = (after - before).norm()
        errors.append(float((before + update.delta - after).norm() / way))
        wrong_sign.append(float((before + flipped.delta - after).norm() / way))
        assert "two solves" in update.report.message
    orders = [math.log2(one / other) for one, other in itertools.pairwise(errors)]  # q is halved
    assert orders == pytest.approx([2, 2], abs=0.25)
    assert errors[-1] < 0.2 * wrong_sign[-1]


def test_an_expansion_that_does_not_hold_is_named() -> None:
    inputs, labels = torch.rand(30, 1, 4, 4, dtype=torch.float64), torch.zeros(30, dtype=torch.int64)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, CLASSES)).double()
    light = Hessian(Risk(network, weighted_squares, TensorExamples(inputs, labels), torch.arange(30), MU))
    heavy = Hessian(Risk(network, weighted_squares, TensorExamples(inputs, labels + 2), torch.arange(30)))
    empty = Hessian(Risk(network, weighted_squares, TensorExamples(inputs * 0, labels), torch.arange(30)))
    update = second_order_relabelling(light, empty, heavy, light.risk.gradient(), 0.9, solver="direct")
    assert "does not hold" in update.report.message
