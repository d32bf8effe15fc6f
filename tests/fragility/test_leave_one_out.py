"""The estimates against dense autograd, closed forms and the engine's own attribution."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from fragility_cases import data, networks
from torch import Tensor
from torch.func import functional_call
from torch.func import hessian as dense_hessian

from gif_dash.experiments.fleet import LOSSES
from gif_dash.experiments.leave_one_out import Dense, Iterative, Sampling
from gif_dash.influence import Hessian, ParameterIndex, Risk, TensorExamples
from gif_dash.influence.attribution import influences

SAMPLING = Sampling(24, 300, 0)
PLACES = torch.tensor([0, 5, 17])


def risks(loss: str = "cross-entropy", decay: float = 1e-2, depth: int = 1) -> tuple[Risk, Risk]:
    inputs, labels = data()
    model = networks(1, "tanh", depth)[0]
    examples = TensorExamples(inputs, labels)
    every = torch.arange(len(labels))
    return Risk(model, LOSSES[loss], examples, every, decay), Risk(model, LOSSES[loss], examples, torch.tensor([2]))


def by_autograd(risk: Risk) -> Tensor:
    """∇²F by torch's dense function of one vector."""
    index, model = ParameterIndex.of(risk.model), risk.model
    theta = index.vector(model)
    inputs, labels = risk.examples.batch(risk.indices)

    def value(vector: Tensor) -> Tensor:
        parts = zip(index.tensors, index.split(vector), strict=True)
        outputs = functional_call(model, {tensor.name: part for tensor, part in parts}, (inputs,))
        return risk.losses_of(outputs, labels).mean() + 0.5 * risk.weight_decay * vector @ vector

    matrix: Tensor = torch.autograd.functional.hessian(value, theta)
    torch.testing.assert_close(matrix, dense_hessian(value)(theta), rtol=1e-8, atol=1e-12)
    return matrix


def test_exact_hessian_and_its_eigenvalues() -> None:
    train, target = risks()
    estimates, matrix = Dense(train, target, SAMPLING), by_autograd(train)
    torch.testing.assert_close(estimates.matrix, matrix, rtol=1e-9, atol=1e-12)
    values = np.linalg.eigvalsh(matrix.numpy())
    assert estimates.extent() == pytest.approx((values[0], values[-1]), abs=1e-10)
    slow = Iterative(train, target, SAMPLING)
    assert slow.extent()[1] == pytest.approx(values[-1], rel=1e-3)
    assert slow.stationarity() == pytest.approx(estimates.stationarity(), rel=1e-9)


@pytest.mark.parametrize("damping", [0.0, 1e-2])
def test_classic_estimate_is_the_engines_influence(damping: float) -> None:
    train, target = risks(decay=0.3)
    estimates = Dense(train, target, SAMPLING)
    with Hessian(train) as curvature:
        # the engine's direct solver damps by (H² + λ²I)⁻¹H unless it is told to shift
        (found,) = influences(train, curvature, [target], solver="direct", damping=damping, damping_form="shifted")
    torch.testing.assert_close(estimates.ranking(damping), found.effects(train.size), rtol=1e-7, atol=1e-12)
    chosen = estimates.predict("exact", damping, PLACES)
    torch.testing.assert_close(chosen.changes, found.effects(train.size)[PLACES], rtol=1e-7, atol=1e-12)
    sampled = estimates.predict("sample", damping, PLACES)  # of all 24
    torch.testing.assert_close(sampled.changes, chosen.changes)


def test_rest_is_the_newton_step_without_the_example() -> None:
    train, target = risks()
    found = Dense(train, target, SAMPLING).predict("rest", 0.0, PLACES)
    index = ParameterIndex.of(train.model)
    theta, before = index.vector(train.model), target.value()
    for row, place in enumerate(PLACES.tolist()):
        rest = replace(train, indices=train.indices[train.indices != place])
        step = torch.linalg.solve(by_autograd(rest), -rest.gradient())
        assert float(found.norms[row]) == pytest.approx(float(step.norm()), rel=1e-7)
        assert float(found.changes[row]) == pytest.approx(target.value(theta + step) - before, rel=1e-7)


def test_without_curvature_nothing_moves() -> None:
    """A dead unit has no curvature: without decay and damping the estimate leaves it alone instead of dividing by 0."""
    train, target = risks(decay=0.0)
    with torch.no_grad():
        last = list(train.model.parameters())
        last[0][0], last[1][0] = 0.0, -50.0  # tanh is flat there to the last bit of float64
        last[2][:, 0] = 0.0
    found = Dense(train, target, SAMPLING).predict("exact", 0.0, PLACES)
    assert bool(found.changes.isfinite().all())
    assert float(found.norms.max()) < 1e6


def test_lissa_with_all_examples_comes_to_the_exact_one() -> None:
    train, target = risks(decay=1.0)
    estimates = Dense(train, target, SAMPLING)  # batches of all 24: nothing is stochastic
    exact, found = (estimates.predict(kind, 1e-2, PLACES) for kind in ("exact", "lissa"))
    # λ is relative to σ_max, which LiSSA estimates
    torch.testing.assert_close(found.changes, exact.changes, rtol=1e-4, atol=1e-9)
    assert bool(found.norms.isnan().all())


@pytest.mark.parametrize("kind", ["exact", "lissa"])
def test_products_give_what_matrices_give(kind: str) -> None:
    train, target = risks(decay=1.0)
    matrix, products = Dense(train, target, SAMPLING), Iterative(train, target, SAMPLING)
    one, other = (estimates.predict(kind, 1e-2, PLACES) for estimates in (matrix, products))  # type: ignore[arg-type]
    torch.testing.assert_close(other.changes, one.changes, rtol=1e-3, atol=1e-8)
    assert other.residual < 1e-3
