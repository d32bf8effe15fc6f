"""Eigenvalues and LiSSA's bound against dense float64 matrices that were made in another way."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, hessian

from gif_dash.experiments.eigenvalues import by_lanczos, dense_at_once, dense_matrix, of_matrix
from gif_dash.experiments.lissa_check import bound, measure
from gif_dash.experiments.penalty import Penalty
from gif_dash.influence import Hessian, InfluenceError, ParameterIndex, Risk, TensorExamples, no_tick
from gif_dash.scenarios.dense import LOSSES, dense_net, squared_error


def network(loss: str) -> tuple[nn.Module, TensorExamples, Risk]:
    """A small dense network in float64, far from a minimum, and 30 examples."""
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(2)
    net = dense_net(5, 3, (4,)).double()
    inputs = torch.randn(30, 5, generator=generator, dtype=torch.float64)
    targets = torch.randint(0, 3, (30,), generator=generator)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    for _ in range(8):
        optimizer.zero_grad()
        LOSSES[loss](net(inputs), targets, reduction="mean").backward()
        optimizer.step()
    examples = TensorExamples(inputs, targets)
    return net, examples, Risk(net, LOSSES[loss], examples, torch.arange(30))


def true_hessian(net: nn.Module, examples: TensorExamples, loss: str, penalty: Penalty) -> np.ndarray:
    """Of the mean loss with the regulariser inside, by forward over reverse mode of a function of the flat vector."""
    index = ParameterIndex.of(net)
    theta = index.vector(net)

    def risk(flat: torch.Tensor) -> torch.Tensor:
        parts = {t.name: part for t, part in zip(index.tensors, index.split(flat), strict=True)}
        outputs = functional_call(net, parts, (examples.inputs,))
        if loss == "cross-entropy":
            values = -torch.log_softmax(outputs, 1)[torch.arange(30), examples.targets]
        else:
            values = (outputs - torch.eye(3, dtype=outputs.dtype)[examples.targets]).pow(2).sum(1) / 3
        length = flat.pow(2).sum()
        return values.mean() + 0.5 * penalty.alpha * (length if penalty.norm == "squared" else length.sqrt())

    return hessian(risk)(theta).numpy()


@pytest.mark.parametrize("loss", ["cross-entropy", "squared-error"])
@pytest.mark.parametrize("penalty", [Penalty("squared", 0.01), Penalty("plain", 0.2), Penalty("squared", 0.0)])
def test_negative_shares_and_extremes(loss: str, penalty: Penalty) -> None:
    net, examples, risk = network(loss)
    theta = ParameterIndex.of(net).vector(net)
    true = np.linalg.eigvalsh(true_hessian(net, examples, loss, penalty))
    largest = true[np.argsort(-np.abs(true), kind="stable")[:15]]
    with Hessian(risk) as curvature:
        dense = of_matrix(dense_matrix(curvature, theta, no_tick) + penalty.dense(theta), 15, curvature.products)
        lanczos = by_lanczos(curvature, penalty, theta, 15, 1e-8, 0, no_tick)
    assert dense.products == len(theta) == 39
    at_once = dense_at_once(risk, no_tick, rows=7) + penalty.dense(theta)
    np.testing.assert_allclose(at_once.numpy(), true_hessian(net, examples, loss, penalty), rtol=0, atol=1e-13)
    assert dense.extent == pytest.approx((true[0], true[-1]), abs=1e-12)
    for found in (dense, lanczos):
        np.testing.assert_allclose(found.top, largest, rtol=0, atol=1e-6 * abs(largest[0]))
        assert found.negative_share(1e-8) == np.mean(largest < -1e-8)
        assert found.converged == 15
        assert found.size == 39
    assert lanczos.extent == pytest.approx((true[0], true[-1]), abs=1e-3 * abs(largest[0]))
    edges = np.array([-100.0, -1e-8, 1e-8, 0.1, 100.0])
    np.testing.assert_array_equal(dense.counts(edges), np.histogram(true, edges)[0])
    assert lanczos.counts(edges).sum() == pytest.approx(39)


def test_the_network_here_has_negative_eigenvalues() -> None:
    """Else the shares above would prove nothing."""
    net, examples, _ = network("cross-entropy")
    true = np.linalg.eigvalsh(true_hessian(net, examples, "cross-entropy", Penalty("squared", 0.0)))
    assert (true < -1e-3).sum() >= 3


def test_squared_error_is_the_mean_over_one_hot_targets() -> None:
    outputs = torch.tensor([[1.0, 0.0, 2.0], [0.0, 0.0, 0.0]])
    losses = squared_error(outputs, torch.tensor([0, 2]), reduction="none")
    torch.testing.assert_close(losses, torch.tensor([4 / 3, 1 / 3]))
    assert squared_error(outputs, torch.tensor([0, 2])) == pytest.approx(5 / 6)


def test_the_published_network_has_the_published_size() -> None:
    sizes = [sum(p.numel() for p in dense_net(inputs, 10).parameters()) for inputs in (784, 64)]
    assert sizes == [6442, 682]


class Diagonal:
    """A curvature with known eigenvalues."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.products = torch.tensor(values), 0

    @property
    def size(self) -> int:
        return len(self.values)

    def matvec(self, v: torch.Tensor, tick: object = None) -> torch.Tensor:
        self.products += 1
        return self.values * v


def test_an_eigenvalue_that_occurs_often_is_said_where_lanczos_finds_it_once() -> None:
    """300 parameters without curvature, which the regulariser lifts above 200 others: all of the 30 largest are 1."""
    rest = np.linspace(-0.9, -0.1, 200)
    theta = torch.ones(500, dtype=torch.float64)
    often = by_lanczos(Diagonal(np.append(np.zeros(300), rest)), Penalty("squared", 1.0), theta, 30, 1e-8, 0, no_tick)
    assert (often.top < 0.999).any(), "else there is nothing to say"
    assert "found once" in often.message
    assert 250 < float(often.message.split("about ")[1].split()[0]) < 450
    once = by_lanczos(Diagonal(np.append(rest, 2.0)), Penalty("squared", 1.0), theta[:201], 30, 1e-8, 0, no_tick)
    assert "found once" not in once.message


def test_a_matrix_too_large_is_refused() -> None:
    class Large:
        size = 20_000

    with pytest.raises(InfluenceError, match="by Lanczos"):
        dense_matrix(Large(), torch.zeros(1), no_tick)  # type: ignore[arg-type]


# --- LiSSA ------------------------------------------------------------------------------------------------------------


def with_eigenvalues(values: list[float]) -> torch.Tensor:
    vectors = np.linalg.qr(np.random.default_rng(0).normal(size=(len(values), len(values))))[0]
    return torch.tensor((vectors * values) @ vectors.T)


@pytest.mark.parametrize(
    ("values", "scale", "verdict", "reason"),
    [
        ([0.1, 0.5, 1.99], 1.0, "converges", ""),
        ([0.1, 0.5, 2.02], 1.0, "diverges", "scale"),
        ([0.1, 0.5, 2.02], 1.02, "converges", ""),
        ([-0.05, 0.5, 1.0], 1.0, "diverges", "negative"),
        ([0.0, 0.5, 1.0], 1.0, "stalls", "zero"),
    ],
)
def test_bound_and_run_against_the_recursion_written_out(
    values: list[float], scale: float, verdict: str, reason: str
) -> None:
    matrix = with_eigenvalues(values)
    said = bound(min(values), max(values), scale, 1e-9)
    assert (said.verdict, said.reason) == (verdict, reason)
    assert said.factor == pytest.approx(max(abs(1 - value / scale) for value in values))
    assert said.scale_needed == max(values) / 2
    assert said.shift_needed == max(0.0, -min(values))
    found = measure(matrix.__matmul__, torch.zeros(3, dtype=torch.float64), scale, 3000, seed=5)
    g = torch.randn(3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    g /= g.norm()
    x, residuals = g.clone(), []
    for _ in range(found.steps):
        change = g - matrix @ x / scale
        residuals.append(float(change.norm()))
        x = x + change
    assert found.first == pytest.approx(residuals[0])
    assert found.last == pytest.approx(residuals[-1], rel=1e-3)
    far = float((x / scale - torch.linalg.pinv(matrix) @ g).norm())
    if verdict == "converges":
        assert found.verdict == "falls"
        assert found.ratio == pytest.approx(said.factor, rel=1e-2)
        assert far < 1e-7
    if verdict == "diverges":
        assert found.verdict == "grows"
        assert residuals[-1] > residuals[-2]
        assert 1 < found.ratio <= said.factor * (1 + 1e-9)
    if verdict == "stalls":
        assert found.last == pytest.approx(min(residuals), rel=1e-6)
        assert found.last > 0.01


def test_adding_to_every_eigenvalue_what_the_bound_asks_for_is_enough_and_less_is_not() -> None:
    values = [-0.3, 0.2, 1.5]
    need = bound(min(values), max(values), 1.0, 0.0).shift_needed
    for factor, verdict in ((0.98, "grows"), (1.02, "falls")):
        matrix = with_eigenvalues([value + factor * need for value in values])
        found = measure(matrix.__matmul__, torch.zeros(3, dtype=torch.float64), 1.0, 2000, seed=0)
        assert found.verdict == verdict


def test_a_scale_far_too_small_is_seen_at_once() -> None:
    matrix = with_eigenvalues([1.0, 50.0, 100.0])
    found = measure(matrix.__matmul__, torch.zeros(3, dtype=torch.float64), 1.0, 100, seed=0)
    assert found.verdict == "grows"
    assert found.steps <= 2
    assert math.isfinite(found.last)
