"""The line's closed forms against fitting again, against formulas of their own, and against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gif_dash import line


def case(seed: int, count: int, decay: float = 0.0) -> line.Analysis:
    """Random points, somewhere about as large as the tutorial's."""
    random = np.random.default_rng(seed)
    x, y = random.uniform(-6, 6, count), random.normal(0, 40, count)
    return line.analyse(x, y, (float(random.uniform(-6, 6)), float(random.normal(0, 40))), decay)


def tutorial(decay: float = 0.0, noise: float = 0.1, seed: int = 0) -> line.Analysis:
    x, y = line.draw(20, (1, -5), 100.0, noise, seed)
    return line.analyse(x, y, (3.2, float(line.truth(3.2))), decay)


CASES = {
    "tutorial": tutorial(),
    "tutorial with decay": tutorial(0.7),
    "three points": case(1, 3),
    "random": case(2, 17),
    "random with decay": case(3, 40, 2.5),
}


@pytest.fixture(params=CASES)
def found(request: pytest.FixtureRequest) -> line.Analysis:
    return CASES[request.param]


def refitted(found: line.Analysis, keep: np.ndarray) -> np.ndarray:
    """The minimiser of the mean squared error over the points `keep` plus the decay, by least squares with two more
    rows for the decay."""
    count = len(keep)
    rows = np.column_stack([found.x[keep], np.ones(count)]) / np.sqrt(count)
    decay = np.sqrt(0.5 * found.decay) * np.eye(2)
    targets = np.concatenate([found.y[keep] / np.sqrt(count), np.zeros(2)])
    theta, *_ = np.linalg.lstsq(np.vstack([rows, decay]), targets, rcond=None)
    return theta


def test_the_data_are_the_tutorials() -> None:
    x, y = line.draw(20, (1, -5), 100.0, 0.0, 0)
    np.testing.assert_array_equal(x, np.arange(-5, 5, 0.5))
    assert (x[1], x[-5]) == (-4.5, 2.5)
    ordinary = np.delete(np.arange(20), [1, 15])
    np.testing.assert_allclose(y[ordinary], -5 * x[ordinary] + 5)
    np.testing.assert_array_equal(y[[1, 15]], 100.0)
    _, noisy = line.draw(20, (1, -5), 100.0, 0.1, 0)
    assert 0.03 < np.std((noisy - y)[ordinary]) < 0.2


@pytest.mark.parametrize("seed", range(5))
def test_oracle_of_the_tutorial(seed: int) -> None:
    """Index −5 is most harmful and index 1 most helpful, whatever the noise, by prediction and by leaving out."""
    found = tutorial(seed=seed)
    for change in (found.predicted, found.left_out):
        assert (int(np.argmin(change)), int(np.argmax(change))) == (15, 1)
    table = found.table().set_index("index")
    assert table.loc[15, "effect"] == "harmful"
    assert table.loc[1, "effect"] == "helpful"
    assert table.loc[15, "influence"] > 0 > table.loc[1, "influence"]


def test_fit_and_leaving_out_are_least_squares(found: line.Analysis) -> None:
    every = np.arange(len(found.x))
    np.testing.assert_allclose(found.theta, refitted(found, every), rtol=1e-9, atol=1e-9)
    at = np.array([found.test[0], 1.0])
    for index in every:
        again = refitted(found, np.delete(every, index))
        np.testing.assert_allclose(found.without[index], again, rtol=1e-8, atol=1e-8)
        change = (at @ again - found.test[1]) ** 2 - (at @ found.theta - found.test[1]) ** 2
        assert found.left_out[index] == pytest.approx(change, rel=1e-7, abs=1e-7)


def test_the_exact_form_of_influence_is_leaving_out(found: line.Analysis) -> None:
    """m/(N−m)·H_R⁻¹(g_U + μθ̂) is retraining on a quadratic; −I/N is not."""
    np.testing.assert_allclose(found.moved, found.without, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.exact_removal, found.left_out, rtol=1e-8, atol=1e-8)
    assert np.abs(found.predicted - found.left_out).max() > 0.01 * np.abs(found.left_out).max()


def test_left_out_is_first_order_and_square(found: line.Analysis) -> None:
    np.testing.assert_allclose(found.left_out, found.first_order + found.square, rtol=1e-9, atol=1e-8)
    assert (found.square >= 0).all()
    if found.decay == 0:
        factor = 1 / (1 - found.leverage)
        np.testing.assert_allclose(found.first_order, found.predicted * factor, rtol=1e-9, atol=1e-9)
        assert found.leverage.sum() == pytest.approx(2)
    else:
        assert found.leverage.sum() < 2


@pytest.mark.parametrize("name", CASES)
def test_influence_is_the_derivative_in_the_weight(name: str) -> None:
    """dℓ(z_t)/dε at ε = 0 of the fit in which one point has the weight 1/N + ε, by central differences."""
    found = CASES[name]
    design = np.column_stack([found.x, np.ones(len(found.x))])
    at = np.array([found.test[0], 1.0])

    def loss(index: int, epsilon: float) -> float:
        weights = np.full(len(found.x), 1 / len(found.x))
        weights[index] += epsilon
        matrix = design.T @ (weights[:, None] * design) + 0.5 * found.decay * np.eye(2)
        theta = np.linalg.solve(matrix, design.T @ (weights * found.y))
        return float((at @ theta - found.test[1]) ** 2)

    step = 1e-5
    slopes = [(loss(index, step) - loss(index, -step)) / (2 * step) for index in range(len(found.x))]
    np.testing.assert_allclose(found.influence, slopes, rtol=1e-5, atol=1e-5 * np.abs(slopes).max())


def test_hessian_and_gradients(found: line.Analysis) -> None:
    design = np.column_stack([found.x, np.ones(len(found.x))])
    np.testing.assert_allclose(found.hessian, 2 * design.T @ design / len(design) + found.decay * np.eye(2))
    np.testing.assert_allclose(found.hessian @ found.inverse, np.eye(2), atol=1e-12)
    total = found.gradients.mean(axis=0) + found.decay * found.theta
    np.testing.assert_allclose(total, 0, atol=1e-9 * np.abs(found.gradients).max())


def test_a_test_point_on_the_line_feels_nothing_to_first_order() -> None:
    base = CASES["random"]
    on_it = float(base.theta @ [2.0, 1.0])
    found = line.analyse(base.x, base.y, (2.0, on_it))
    np.testing.assert_allclose(found.predicted, 0, atol=1e-9)
    np.testing.assert_allclose(found.left_out, found.square, atol=1e-9)
    assert found.left_out.min() > 0


def test_points_that_cannot_be_left_out_are_named() -> None:
    x, y = np.array([1.0, 1.0, 1.0, 2.0]), np.array([0.0, 1.0, 2.0, 5.0])
    found = line.analyse(x, y, (0.0, 0.0))
    assert np.isnan(found.without[3]).all()
    assert np.isnan(found.moved[3]).all()
    assert np.isnan(found.left_out[3])
    assert np.isfinite(found.left_out[:3]).all()
    assert np.isfinite(found.influence).all()
    assert found.leverage[3] == pytest.approx(1)
    with pytest.raises(line.LineError, match="no unique line"):
        line.analyse(np.ones(3), y[:3], (0.0, 0.0))
    decayed = line.analyse(np.ones(3), y[:3], (0.0, 0.0), 0.1)
    assert np.isfinite(decayed.left_out).all()


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.integers(4, 40), st.sampled_from([0.0, 0.01, 1.0, 20.0]))
def test_always_the_same_by_two_ways(seed: int, count: int, decay: float) -> None:
    found = case(seed, count, decay)
    scale = np.abs(found.left_out).max()
    np.testing.assert_allclose(found.exact_removal, found.left_out, rtol=1e-6, atol=1e-6 * scale)
