"""Solvers on explicit matrices, against dense formulas."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from influence_cases import krylov_minimiser, symmetric, tikhonov

from gif_dash.influence import InfluenceError
from gif_dash.influence.solvers import System, cgls, direct, largest_singular_value, neumann


class Counted:
    def __init__(self, a: np.ndarray, b: np.ndarray, dtype: torch.dtype = torch.float64) -> None:
        self.a = torch.tensor(a, dtype=dtype)
        self.products = 0
        square = a.shape[0] == a.shape[1]
        self.system = System(self.apply, self.adjoint, torch.tensor(b, dtype=dtype), a.shape[1], square)

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        self.products += 1
        return self.a @ x

    def adjoint(self, r: torch.Tensor) -> torch.Tensor:
        self.products += 1
        return self.a.T @ r


def tall(seed: int = 0, rows: int = 30, columns: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Columns of a symmetric indefinite matrix, as GIF has them, and a right-hand side outside their span."""
    return symmetric(rows, seed)[:, :columns], np.random.default_rng(seed + 1).normal(size=rows)


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_cgls_minimises_over_the_krylov_space_with_1_plus_2k_products(steps: int) -> None:
    a, b = tall()
    counted = Counted(a, b)
    solution = cgls(counted.system, steps)
    assert counted.products == 1 + 2 * steps
    assert (solution.status, solution.iterations) == ("stopped", steps)
    expected = krylov_minimiser(a, b, steps)
    np.testing.assert_allclose(solution.x.numpy(), expected, rtol=0, atol=1e-12 * np.linalg.norm(expected))
    r = b - a @ expected
    assert solution.relative_residual == pytest.approx(np.linalg.norm(r) / np.linalg.norm(b), rel=1e-10)
    measure = np.linalg.norm(a.T @ r) / (solution.sigma_max * np.linalg.norm(r))
    assert solution.optimality == pytest.approx(measure, rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 8), st.floats(-6, 6))
def test_cgls_reaches_least_squares_whatever_the_scale(seed: int, columns: int, decades: float) -> None:
    a, b = tall(seed, rows=12, columns=columns)
    a, b = a * 10**decades, b * 10**-decades
    solution = cgls(Counted(a, b).system, 40)
    expected = np.linalg.lstsq(a, b, rcond=None)[0]
    np.testing.assert_allclose(solution.x.numpy(), expected, rtol=0, atol=1e-9 * np.linalg.norm(expected))
    assert solution.status == "converged"
    assert solution.optimality < 1e-12


def test_cgls_residual_falls_monotonically_although_the_matrix_is_indefinite() -> None:
    a = symmetric(20, 3)
    assert (np.linalg.eigvalsh(a) < 0).any()
    assert (np.linalg.eigvalsh(a) > 0).any()
    b = np.random.default_rng(0).normal(size=20)
    residuals = [cgls(Counted(a, b).system, k).relative_residual for k in range(1, 20)]
    assert all(later <= earlier * (1 + 1e-12) for earlier, later in itertools.pairwise(residuals))
    assert residuals[-1] < 0.5 * residuals[0]


@pytest.mark.parametrize("relative", [0.01, 0.1, 1.0])
def test_tikhonov_damping_of_all_solvers(relative: float) -> None:
    a, b = tall()
    sigma = np.linalg.norm(a, 2)
    lam = relative * sigma
    expected = tikhonov(a, b, lam)
    constant = 1.1 * math.hypot(sigma, lam) / math.sqrt(2)
    for solution in (
        cgls(Counted(a, b).system, 50, lam),
        neumann(Counted(a, b).system, 20_000, constant, sigma, lam),
        direct(Counted(a, b).system, relative),
    ):
        np.testing.assert_allclose(solution.x.numpy(), expected, rtol=0, atol=1e-10 * np.linalg.norm(expected))
        residual = np.linalg.norm(a @ expected - b) / np.linalg.norm(b)
        assert solution.relative_residual == pytest.approx(residual, rel=1e-9)
        assert solution.optimality < 1e-12
        assert solution.status == "converged"
        assert solution.sigma_max == pytest.approx(sigma, rel=1e-6)


def test_neumann_converges_above_the_published_bound_and_diverges_below() -> None:
    a, b = tall()
    sigma = np.linalg.norm(a, 2)
    expected = np.linalg.lstsq(a, b, rcond=None)[0]
    above = neumann(Counted(a, b).system, 50_000, 1.01 * sigma / math.sqrt(2), sigma)
    assert above.status == "converged"
    np.testing.assert_allclose(above.x.numpy(), expected, rtol=0, atol=1e-9 * np.linalg.norm(expected))
    below = neumann(Counted(a, b).system, 50_000, 0.99 * sigma / math.sqrt(2), sigma)
    assert below.status == "diverged"
    assert "diverges" in below.message
    assert below.iterations < 500
    assert torch.isfinite(below.x).all()


def test_neumann_is_the_partial_sum_with_1_plus_2k_products() -> None:
    a, b = tall()
    c, counted = 1.3 * np.linalg.norm(a, 2), Counted(a, b)
    solution = neumann(counted.system, 7, c, 1.0)
    assert counted.products == 15
    step = np.eye(8) - a.T @ a / c**2
    expected = sum(np.linalg.matrix_power(step, j) @ (a.T @ b / c**2) for j in range(7))
    np.testing.assert_allclose(solution.x.numpy(), expected, atol=1e-13)


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_rank_deficient_systems_get_the_solution_of_least_norm(rank: int) -> None:
    rng = np.random.default_rng(rank)
    vectors, _ = np.linalg.qr(rng.normal(size=(20, rank)))
    a = (vectors * rng.uniform(0.3, 1, rank) * rng.choice([-1, 1], rank)) @ vectors.T  # symmetric, rank < 20
    for matrix in (a, a[:, :12]):
        b = rng.normal(size=20)
        expected = np.linalg.pinv(matrix, rcond=1e-10) @ b
        sigma = np.linalg.norm(matrix, 2)
        for solution in (
            cgls(Counted(matrix, b).system, 30),
            neumann(Counted(matrix, b).system, 20_000, 1.1 * sigma / math.sqrt(2), sigma),
            direct(Counted(matrix, b).system),
        ):
            np.testing.assert_allclose(solution.x.numpy(), expected, rtol=0, atol=1e-8 * np.linalg.norm(expected))
        assert f"rank {rank} of {matrix.shape[1]}" in solution.message


def test_direct_costs_one_product_per_column_and_minds_the_memory() -> None:
    a, b = tall()
    counted = Counted(a, b)
    direct(counted.system)
    assert counted.products == 8
    with pytest.raises(InfluenceError, match=r"dense 30 × 8 matrix of .* GiB .*use CGLS"):
        direct(counted.system, memory_limit=8 * 30 * 8 - 1)
    direct(counted.system, memory_limit=8 * 30 * 8)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60))
def test_largest_singular_value_from_below(seed: int, columns: int) -> None:
    a = np.random.default_rng(seed).normal(size=(60, columns)) * np.logspace(0, -3, columns)
    counted = Counted(a, np.ones(60))
    estimated, true = largest_singular_value(counted.system), np.linalg.norm(a, 2)
    assert 0.99 * true <= estimated <= true * (1 + 1e-12)
    assert counted.products <= 60


def test_the_ritz_value_that_cgls_reports_approaches_sigma_max_from_below() -> None:
    a, b = tall()
    sigma = np.linalg.norm(a, 2)
    values = [cgls(Counted(a, b).system, k).sigma_max for k in range(1, 9)]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(sigma, rel=1e-6)
    assert all(value <= sigma * (1 + 1e-12) for value in values)
    assert cgls(Counted(a, b).system, 8, damping=0.3).sigma_max == pytest.approx(sigma, rel=1e-6)


def test_a_right_hand_side_that_cannot_be_reduced() -> None:
    a = np.zeros((4, 2))
    a[:2] = np.eye(2)
    b = np.array([0, 0, 3.0, 4.0])
    for solution in (cgls(Counted(a, b).system, 5), neumann(Counted(a, b).system, 5, 1.0, 1.0)):
        assert solution.status == "trivial"
        assert solution.relative_residual == 1
        assert not solution.x.any()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_products_that_are_not_finite_are_named(bad: float) -> None:
    a, b = tall()
    a[3, 2] = bad
    for solve in (lambda s: cgls(s, 5), lambda s: neumann(s, 5, 1.0, 1.0), direct, largest_singular_value):
        with pytest.raises(InfluenceError, match="not finite"):
            solve(Counted(a, b).system)


def test_single_precision_stops_at_its_own_rounding() -> None:
    a, b = tall()
    solution = cgls(Counted(a, b, torch.float32).system, 200)
    assert solution.status == "converged"
    assert solution.iterations < 30
    expected = np.linalg.lstsq(a, b, rcond=None)[0]
    np.testing.assert_allclose(solution.x.numpy(), expected, rtol=0, atol=1e-3 * np.linalg.norm(expected))


@pytest.mark.parametrize("size", [1e-300, 1e-20, 1e20, 1e300])
def test_right_hand_sides_of_any_size(size: float) -> None:
    a, b = tall()
    expected = np.linalg.lstsq(a, b, rcond=None)[0]
    for solution in (cgls(Counted(a, size * b).system, 30), direct(Counted(a, size * b).system)):
        np.testing.assert_allclose(solution.x.numpy() / size, expected, rtol=1e-9)
