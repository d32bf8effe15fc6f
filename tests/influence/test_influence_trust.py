"""Trust figures: exact on a quadratic, honest about sampling."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from influence_cases import Ridge, half_squared_error, trained_net
from torch import nn

from gif_dash.influence import (
    Hessian,
    InfluenceError,
    ParameterIndex,
    QuadraticModel,
    Risk,
    TensorExamples,
    landing,
    quadratic_model,
    stationarity,
    trust_ratio,
)


def along(case: Ridge, delta: np.ndarray) -> QuadraticModel:
    with Hessian(case.risk(case.retain)) as hessian:
        model = quadratic_model(hessian, torch.tensor(delta))
        assert hessian.products == 1
        return model


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.floats(-50, 50).filter(lambda s: abs(s) > 1e-3))
def test_the_ratio_is_one_on_a_quadratic_for_every_s_and_every_delta(seed: int, scalar: float) -> None:
    case = Ridge()
    delta = np.random.default_rng(seed).normal(size=case.p)  # not the solution of anything
    point = trust_ratio(along(case, delta), scalar, population=len(case.retain))
    h, gradient = case.hessian(case.retain), case.gradient(case.retain, case.theta)
    expected = scalar * gradient @ delta + scalar**2 / 2 * delta @ h @ delta
    assert point.denominator == pytest.approx(expected, rel=1e-9, abs=1e-12)
    if point.verdict == "undefined":
        assert abs(expected) <= 0.06 * (abs(scalar * gradient @ delta) + scalar**2 / 2 * delta @ h @ delta)
    else:
        assert point.rho == pytest.approx(1, abs=1e-8)
        assert point.verdict == "good"
        assert point.numerator == pytest.approx(expected, rel=1e-8)


def test_the_true_gradient_is_used_not_the_right_hand_side() -> None:
    """Relabelling and unconverged training have g ≠ −∇F; the ratio is one all the same."""
    case = Ridge()
    case.index.add(case.model, torch.ones(case.p).double(), 0.3)  # away from the minimiser
    g = torch.randn(case.p, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    delta = np.linalg.solve(case.hessian(case.retain), g.numpy())
    for scalar in (0.1, 1.0, 7.0):
        assert trust_ratio(along(case, delta), scalar).rho == pytest.approx(1, abs=1e-9)


def test_given_gradient_and_losses_change_nothing() -> None:
    case = Ridge()
    delta = torch.ones(case.p).double()
    risk = case.risk(case.retain)
    with Hessian(risk) as hessian:
        first = quadratic_model(hessian, delta)
        second = quadratic_model(hessian, delta, gradient=risk.gradient(), losses=risk.losses())
    assert (first.slope, first.curvature) == (second.slope, second.curvature)
    assert trust_ratio(first, 3.0) == trust_ratio(second, 3.0)


def test_near_the_zero_of_the_denominator_the_ratio_is_undefined() -> None:
    """A Newton step changes F by −½s(2 − s)·gᵀH⁻¹g: nothing at s = 2."""
    case = Ridge()
    newton = np.linalg.solve(case.hessian(case.retain), -case.gradient(case.retain, case.theta))
    model = along(case, newton)
    at_two = trust_ratio(model, 2.0)
    assert at_two.verdict == "undefined"
    assert math.isnan(at_two.rho)
    assert math.isnan(at_two.rho_error)
    assert at_two.numerator == pytest.approx(0, abs=1e-12)
    assert trust_ratio(model, 1.5, population=len(case.retain)).verdict == "good"
    assert trust_ratio(model, 2.5, population=len(case.retain)).verdict == "good"
    zero = along(case, np.zeros(case.p))
    assert trust_ratio(zero, 1.0).verdict == "undefined"
    assert trust_ratio(model, 0.0).verdict == "undefined"


def test_an_overflowing_loss_is_undefined_not_unnamed() -> None:
    net, examples = trained_net()
    index = ParameterIndex.of(net)
    with Hessian(Risk(net, F.cross_entropy, examples, torch.arange(40))) as hessian:
        model = quadratic_model(hessian, torch.ones(index.p).double())
    point = trust_ratio(model, 1e308)
    assert point.verdict == "undefined"
    assert math.isnan(point.rho)


def test_the_ratio_of_a_network_against_direct_evaluation() -> None:
    net, examples = trained_net()
    index, indices = ParameterIndex.of(net), torch.arange(30)
    delta = 0.05 * torch.randn(index.p, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    risk = Risk(net, F.cross_entropy, examples, indices, 0.01, 8)
    theta = index.vector(net)
    with Hessian(risk) as hessian:
        model = quadratic_model(hessian, delta)
    point = trust_ratio(model, 2.0, population=60)
    assert torch.equal(index.vector(net), theta)

    def per_example() -> torch.Tensor:
        net.eval()
        with torch.no_grad():
            return F.cross_entropy(net(examples.inputs[:30]), examples.targets[:30], reduction="none")

    before = per_example()
    index.add(net, delta, 2.0)
    difference = per_example() - before
    moved = theta + 2 * delta
    decay = 0.005 * float(moved @ moved - theta @ theta)
    assert point.numerator == pytest.approx(float(difference.mean()) + decay, rel=1e-10)
    error = float(difference.std()) / math.sqrt(30) * math.sqrt(0.5)  # half of the population was seen
    assert point.rho_error == pytest.approx(error / abs(point.denominator), rel=1e-6)
    assert point.rho == pytest.approx(point.numerator / point.denominator)


def test_the_ratio_tends_to_one_for_small_steps_and_leaves_it_for_large_ones() -> None:
    net, examples = trained_net(smooth=True)
    index = ParameterIndex.of(net)
    delta = torch.randn(index.p, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    with Hessian(Risk(net, F.cross_entropy, examples, torch.arange(40), 0.01)) as hessian:
        model = quadratic_model(hessian, delta)
    points = [trust_ratio(model, scalar, population=40) for scalar in (1e-4, 1e-3, 1e-2, 10.0)]
    off = [abs(point.rho - 1) for point in points]
    assert off[0] < 1e-4
    assert 50 < off[1] / off[0] < 200  # the remainder is of third order, the leading term of first
    assert 50 < off[2] / off[1] < 200
    assert points[0].verdict == "good"
    assert points[-1].verdict == "poor"


def test_the_stated_error_is_that_of_sampling() -> None:
    """Over many samples, the measured change scatters about that of the population as widely as stated."""
    rng = np.random.default_rng(0)
    population, n = 400, 50
    examples = TensorExamples(
        torch.tensor(rng.normal(size=(population, 3))), torch.tensor(rng.normal(size=(population, 1)))
    )
    net = nn.Linear(3, 1).double()
    delta = torch.tensor([0.5, -0.2, 0.1, 0.3]).double()
    theta = ParameterIndex.of(net).vector(net)
    whole = Risk(net, half_squared_error, examples, torch.arange(population))
    true = float((whole.losses(theta + delta) - whole.losses()).mean())
    scores = []
    for _ in range(300):
        sample = torch.tensor(rng.choice(population, n, replace=False))
        risk = Risk(net, half_squared_error, examples, sample)
        model = QuadraticModel(risk, theta, delta, 0.0, 2.0, risk.losses())  # denominator 1: ρ is the numerator
        point = trust_ratio(model, 1.0, population=population)
        scores.append((point.numerator - true) / point.rho_error)
    assert np.std(scores) == pytest.approx(1, abs=0.15)
    assert np.mean(scores) == pytest.approx(0, abs=0.2)


def test_verdicts() -> None:
    """ρ and its error are set by hand: losses that all change by ρ, or scatter about it."""

    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Parameter(torch.zeros(1).double())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.a

    def verdict(changes: list[float], population: int | None = None) -> str:
        examples = TensorExamples(torch.tensor(changes).double(), torch.zeros(len(changes)))
        risk = Risk(Constant(), lambda outputs, targets, reduction: outputs, examples, torch.arange(len(changes)))
        zero = torch.zeros(1).double()
        return trust_ratio(
            QuadraticModel(risk, zero, zero + 1, 1.0, 0.0, risk.losses()), 1.0, population=population
        ).verdict

    assert verdict([1.2] * 9) == "good"
    assert verdict([0.6] * 9) == "fair"
    assert verdict([0.01] * 9) == "poor"
    assert verdict([-5.0] * 9) == "poor"
    assert verdict([9.0, -7.0] * 5) == "undetermined"  # 1 ± 2.7
    assert verdict([9.0, -7.0] * 5, population=10) == "good"  # all of them were seen
    assert verdict([0.04, 0.0] * 5) == "poor"  # within its error of 0, and still clearly not 1
    assert verdict([1.0]) == "undetermined"  # one example says nothing about the others
    with pytest.raises(InfluenceError, match="population"):
        verdict([1.0, 1.0], population=1)


def test_landing() -> None:
    theta, delta = torch.tensor([1.0, 1.0]), torch.tensor([0.0, 2.0])
    result = landing(theta, delta, 0.5, torch.tensor([4.0, 5.0], dtype=torch.float64))
    assert result.distance == pytest.approx(math.hypot(3, 3))
    assert result.distance_original == pytest.approx(5)
    assert result.cosine == pytest.approx(4 / 5)
    assert landing(theta, delta, -1.0, torch.tensor([4.0, 5.0])).cosine == pytest.approx(-4 / 5)
    assert math.isnan(landing(theta, 0 * delta, 1.0, theta + 1).cosine)


def test_stationarity() -> None:
    case = Ridge()
    g = torch.ones(case.p).double()
    assert stationarity(case.risk(case.every).gradient(), g) < 1e-14
    case.index.add(case.model, g, 0.5)
    gradient = case.gradient(case.every, case.theta + 0.5)
    expected = np.linalg.norm(gradient) / math.sqrt(case.p)
    assert stationarity(case.risk(case.every).gradient(), g) == pytest.approx(expected, rel=1e-12)
    assert stationarity(g, 0 * g) == math.inf
    assert stationarity(0 * g, 0 * g) == 0
