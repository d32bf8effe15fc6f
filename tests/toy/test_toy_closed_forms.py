"""The toy against retraining by numpy's least squares, and against what each estimator minimises."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from gif_dash import toy

CASES = [
    pytest.param({}, (0, 1), 20, id="defaults"),
    pytest.param({"correlation": 0.0}, (0, 1), 20, id="uncorrelated"),
    pytest.param({"correlation": 0.95, "strength": 20.0}, (3, 1), 7, id="strongly correlated"),
    pytest.param({"noise": 0.0}, (0, 4), 3, id="no noise"),
    pytest.param({"strength": 0.0, "seed": 11}, (1, 2), 5, id="outliers with target 0"),
    pytest.param({"points": 20, "outliers": 10}, (0, 1), 10, id="tiny"),
]


def drawn(**changes: Any) -> toy.Data:
    settings = {"points": 1000, "outliers": 200, "strength": 5.0, "correlation": 0.5, "noise": 1.0, "seed": 0}
    return toy.draw(**{**settings, **changes})


def loss(data: toy.Data, cut: int, theta: toy.Array) -> float:
    """Mean squared error over the points from `cut` on, by its definition."""
    return float(np.mean((data.features[cut:] @ theta[:5] + theta[5] - data.targets[cut:]) ** 2))


def gradient(data: toy.Data, cut: int, theta: toy.Array) -> toy.Array:
    residual = data.features[cut:] @ theta[:5] + theta[5] - data.targets[cut:]
    return np.append(2 * data.features[cut:].T @ residual, 2 * residual.sum()) / len(residual)


def retrained(data: toy.Data, cut: int) -> toy.Array:
    return np.linalg.lstsq(data.design[cut:], data.targets[cut:], rcond=None)[0]


@pytest.mark.parametrize(("settings", "indices", "removals"), CASES)
def test_steps_against_least_squares(settings: dict[str, Any], indices: tuple[int, int], removals: int) -> None:
    data = drawn(**settings)
    trace = toy.remove_in_steps(data, indices, removals)
    table = trace.steps()
    chosen = list(indices)
    rest = [i for i in range(6) if i not in indices]
    start = retrained(data, 0)
    np.testing.assert_allclose(trace.start, start, atol=1e-9)
    for step, cut in enumerate(trace.removed):
        truth = retrained(data, cut)
        rows = table[table["step"] == step].set_index("method")
        parameters = rows[[f"weight_{n}" for n in range(1, 6)] + ["bias"]]
        np.testing.assert_allclose(parameters.loc["retrain"], truth, atol=1e-9)
        # FIF: least squares in the target weights, the others subtracted from the targets
        frozen = data.targets[cut:] - data.design[cut:][:, rest] @ start[rest]
        fif = np.linalg.lstsq(data.design[cut:][:, chosen], frozen, rcond=None)[0]
        # GIF: least squares of the total gradient, built column by column from its definition
        origin = start.copy()
        origin[chosen] = 0
        at_zero = gradient(data, cut, origin)
        columns = np.column_stack([gradient(data, cut, origin + np.eye(6)[i]) - at_zero for i in chosen])
        gif = np.linalg.lstsq(columns, -at_zero, rcond=None)[0]
        expected = {"fif": fif, "gif": gif, "pif": truth[chosen], "original": start[chosen]}
        if step == 0:  # nothing is removed yet, and the methods start where training ended
            expected = dict.fromkeys(expected, start[chosen])
        for method, weights in expected.items():
            row = rows.loc[method]
            theta = start.copy()
            theta[chosen] = weights
            np.testing.assert_allclose(parameters.loc[method], theta, atol=1e-8, err_msg=f"{method} at {step}")
            assert row["loss"] == pytest.approx(loss(data, cut, theta), rel=1e-8, abs=1e-9)
            size = np.linalg.norm(gradient(data, cut, theta))
            assert row["gradient_norm"] == pytest.approx(size, rel=1e-7, abs=1e-8)
            assert row["distance_full"] == pytest.approx(np.linalg.norm(theta - truth), rel=1e-8, abs=1e-8)
            assert row["distance_plane"] == pytest.approx(np.linalg.norm(weights - truth[chosen]), rel=1e-8, abs=1e-8)


@pytest.mark.parametrize(("settings", "indices", "removals"), CASES)
def test_group_at_one_is_the_end_of_the_steps(
    settings: dict[str, Any], indices: tuple[int, int], removals: int
) -> None:
    """On a quadratic one estimate for all is exact, so both removals end at the same points; s is linear between."""
    data = drawn(**settings)
    group = toy.remove_group(data, indices, removals)
    steps = toy.remove_in_steps(data, indices, removals)
    assert group.scalar[0] == 0
    assert group.scalar[group.prediction] == 1
    assert group.scalar[-1] >= toy.LARGEST_SCALAR
    for method in toy.METHODS:
        np.testing.assert_allclose(group.paths[method][group.prediction], steps.paths[method][-1], atol=1e-8)
        np.testing.assert_allclose(group.paths[method][0], retrained(data, 0), atol=1e-9)
        moved = group.paths[method] - group.paths[method][0]
        np.testing.assert_allclose(moved, group.scalar[:, None] * moved[group.prediction], atol=1e-9)
    table = group.steps()
    assert list(table[table["method"] == "retrain"]["step"]) == [group.prediction]
    assert set(table[table["mark"] == "one"]["method"]) == {"gif", "fif", "pif", "original", "retrain"}


@pytest.mark.parametrize(("settings", "indices", "removals"), CASES)
def test_every_method_wins_what_it_minimises(settings: dict[str, Any], indices: tuple[int, int], removals: int) -> None:
    """Of all points of the plane FIF has the least loss, GIF the least total gradient; PIF is nearest to retraining."""
    data = drawn(**settings)
    trace = toy.remove_in_steps(data, indices, removals)
    table = trace.steps()
    last = table[table["step"] == removals].set_index("method")
    assert last["loss"].drop(index="retrain").idxmin() == "fif"
    assert last["gradient_norm"].drop(index="retrain").idxmin() == "gif"
    assert last["distance_full"].drop(index="retrain").idxmin() == "pif"
    assert last.loc["pif", "distance_plane"] == pytest.approx(0, abs=1e-9)
    rng = np.random.default_rng(5)
    for method, measure in (("fif", loss), ("gif", lambda *at: np.linalg.norm(gradient(*at)))):
        theta = trace.paths[method][-1]  # type: ignore[index]
        best = measure(data, data.outliers, theta)
        for size in (1e-3, 0.1, 3.0):
            other = theta.copy()
            other[list(indices)] += size * rng.standard_normal(2)
            assert measure(data, data.outliers, other) > best


def test_the_methods_agree_where_the_targets_are_uncoupled() -> None:
    """Exactly, if the Hessian has no entries between the target weights and all others, the bias included."""
    rng = np.random.default_rng(0)

    def uncoupled(count: int) -> toy.Array:
        """Features that are orthogonal to each other and to the ones of the bias, within this block."""
        basis = np.linalg.qr(np.column_stack([np.ones(count), rng.standard_normal((count, 5))]))[0]
        return basis[:, 1:] * np.sqrt(count)

    features = np.vstack([uncoupled(30), uncoupled(170)])
    targets = features @ np.array([2.0, -1, 3, 1, 0.5]) + 1 + rng.standard_normal(200)
    targets[:30] *= -5
    paths = toy.remove_in_steps(toy.Data(features, targets, 30), (0, 3), 1).paths
    np.testing.assert_allclose(paths["fif"][-1], paths["pif"][-1], atol=1e-10)
    np.testing.assert_allclose(paths["gif"][-1], paths["pif"][-1], atol=1e-10)


def test_without_correlation_the_methods_agree_up_to_sampling_error() -> None:
    """What the help text says: the disagreement comes from chance correlations, which fade as 1/√N."""

    def spread(points: int, correlation: float) -> float:
        found = []
        for seed in range(6):
            data = drawn(points=points, outliers=points // 5, correlation=correlation, seed=seed)
            ends = [path[-1, :2] for path in toy.remove_in_steps(data, (0, 1), 1).paths.values()]
            found.append(max(np.linalg.norm(a - b) for a in ends for b in ends))
        return float(np.mean(found))

    small, large = spread(250, 0.0), spread(4000, 0.0)
    assert 2.5 < small / large < 6.5  # four times as near with sixteen times as many points
    assert large < 0.1 * spread(4000, 0.5)


def test_contours_and_slices() -> None:
    """Points of every ellipse have the loss of its level; the centre is the least loss in the plane."""
    data = drawn()
    trace = toy.remove_in_steps(data, (1, 3), 4)
    table = trace.contours()
    assert set(table["step"]) == set(range(5))
    assert 4 <= len(table[table["step"] == 0]) <= 9
    turn = np.linspace(0, 2 * np.pi, 17)
    for row in table.itertuples():
        cut = trace.removed[row.step]
        along = np.array([np.cos(row.angle), np.sin(row.angle)])
        across = np.array([-along[1], along[0]])
        assert row.major >= row.minor
        for t in turn:
            theta = trace.start.copy()
            theta[[1, 3]] = (row.weight_first, row.weight_second)
            theta[[1, 3]] += row.major * np.cos(t) * along + row.minor * np.sin(t) * across
            assert loss(data, cut, theta) == pytest.approx(row.level, rel=1e-9)
        np.testing.assert_allclose(row.level - row.excess, trace.slices.minimum[row.step])
    marks = trace.landmarks().set_index(["landmark", "step"])
    for step in range(1, 5):
        at = marks.loc[("plane_optimum", step)]
        np.testing.assert_allclose(at[["weight_first", "weight_second"]], trace.slices.optimum[step], atol=1e-10)
        np.testing.assert_allclose(at[["weight_first", "weight_second"]], trace.paths["fif"][step][[1, 3]], atol=1e-9)
        np.testing.assert_allclose(
            marks.loc[("least_gradient", step), ["weight_first", "weight_second"]],
            trace.paths["gif"][step][[1, 3]],
            atol=1e-8,
        )
        assert at["loss"] == pytest.approx(trace.slices.minimum[step])


def test_what_is_drawn() -> None:
    """Correlation ρ^d, flipped and amplified outliers, and the same dice whatever the settings."""
    plain, noisy = drawn(points=5000, noise=0.0, strength=1.0), drawn(points=5000, noise=2.0, strength=7.0)
    assert np.array_equal(plain.features, noisy.features)
    np.testing.assert_allclose(
        np.corrcoef(plain.features.T), 0.5 ** np.abs(np.subtract.outer(range(5), range(5))), atol=0.05
    )
    truth = plain.features @ np.array(toy.TRUE_WEIGHTS) + toy.TRUE_BIAS
    np.testing.assert_allclose(plain.targets[200:], truth[200:])
    np.testing.assert_allclose(plain.targets[:200], -truth[:200])
    assert np.std(noisy.targets[200:] - truth[200:]) == pytest.approx(2, rel=0.05)
    assert np.std(noisy.targets[:200] / -7 - truth[:200]) == pytest.approx(2, rel=0.2)  # the noise is amplified too
    assert not np.array_equal(plain.features, drawn(points=5000, seed=1).features)
    assert np.array_equal(drawn(points=100, outliers=10).features, drawn(points=500).features[:100])


@pytest.mark.parametrize(
    "kind", ["equal columns", "constant column", "zeros", "fewer points than parameters", "all out"]
)
def test_degenerate_data_stays_finite(kind: str) -> None:
    """No plot is ever fed with NaN: where the optimum is not unique, the nearest one is meant."""
    data = drawn(points=40, outliers=8)
    features, targets, outliers = data.features.copy(), data.targets, data.outliers
    if kind == "equal columns":
        features[:, 1] = features[:, 0]
    elif kind == "constant column":
        features[:, 0] = 1.0
    elif kind == "zeros":
        features[:] = 0.0
    elif kind == "fewer points than parameters":
        features, targets = features[:12], targets[:12]
    else:
        outliers = len(targets) - 1
    data = toy.Data(features, targets, outliers)
    for trace in (toy.remove_in_steps(data, (0, 1), 4), toy.remove_group(data, (0, 1), 4)):
        table = trace.steps()
        assert np.isfinite(table.drop(columns=["method", "mark", "scalar"]).to_numpy()).all()
        assert np.isfinite(trace.landmarks().drop(columns="landmark").to_numpy()).all()
        assert not trace.contours().drop(columns=["major"]).isna().any().any()
        by_method = table[table["step"] == trace.prediction].set_index("method")
        assert by_method.loc["fif", "loss"] <= by_method.loc["original", "loss"] + 1e-9
        assert by_method.loc["retrain", "loss"] <= by_method.loc["fif", "loss"] + 1e-9


def test_round_levels() -> None:
    assert toy.round_levels(0.1, 10) == [0.1, 0.2, 0.5, 1, 2, 5, 10]
    assert toy.round_levels(0.01, 90) == [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30]
    assert toy.round_levels(0.001, 500) == [0.001, 0.01, 0.1, 1, 10, 100]
    assert len(toy.round_levels(1e-9, 1e9)) <= 9
    assert toy.round_levels(0, 0) == []
    assert toy.round_levels(1, float("inf")) == []


def test_it_is_instant() -> None:
    """A change of a control must be answered between two frames of the eye: 50 ms for the defaults."""
    times = []
    for seed in range(7):
        begin = time.perf_counter()
        trace = toy.remove_in_steps(drawn(seed=seed), (0, 1), 20)
        trace.steps(), trace.landmarks(), trace.contours()
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.05
