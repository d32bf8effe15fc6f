"""Changes by hand, the expansions, and what the lessons claim: by definitions, in numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gif_dash import spelling, toy
from gif_dash.experiments.toy import base, data, run
from gif_dash.progress import Silent
from gif_dash.specs import SpecError, ToySpec, toy_edits
from gif_dash.specs.toy_presets import PRESETS, preset_of

PRESET = {preset.name: preset for preset in PRESETS}

values = st.floats(-1000, 1000, allow_nan=False)
changes = st.builds(
    toy_edits.Change,
    st.integers(0, 59),
    st.dictionaries(st.integers(0, 5), values).map(lambda moved: tuple(sorted(moved.items()))),
    st.sampled_from([None, True, False]),
)


# --- the spelling ----------------------------------------------------------------------------------------------------


@given(st.lists(changes, max_size=12, unique_by=lambda change: change.index))
@settings(max_examples=150, deadline=None)
def test_every_spelling_restores_the_changes(found: list[toy_edits.Change]) -> None:
    spec = ToySpec(points=60, outliers=20, edits=tuple(map(str, found)))
    assert spelling.from_query(ToySpec, spelling.to_query(spec)) == (spec, [])
    assert ToySpec.parse(spec.model_dump(mode="json")) == spec
    kept = {change.index: change for change in spec.changes()}
    assert list(kept) == sorted(kept)
    for change in found:
        again = kept.get(change.index, toy_edits.Change(change.index, (), None))
        assert again.moved == change.moved
        said = change.index < 20 if change.removed is None else change.removed
        assert (change.index < 20 if again.removed is None else again.removed) == said
        assert again.removed is None or again.removed != (change.index < 20), "what changes nothing is not written"
    shuffled = ToySpec(points=60, outliers=20, edits=tuple(map(str, found[::-1])))
    assert shuffled.canonical() == spec.canonical()


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        (["one:out"], "INDEX:x2"),
        (["1:y"], "INDEX:x2"),
        (["1:z:3"], "INDEX:x2"),
        (["1:y:3:y:4"], "INDEX:x2"),
        (["1:y:three"], "INDEX:x2"),
        (["1:y:nan"], "between -1000 and 1000"),
        (["1:y:2000"], "between -1000 and 1000"),
        (["1:y:3", "1:in"], "changed twice"),
        (["1000:out"], "points 0 to 999"),
        ([f"{i}:in" for i in range(200)], "at least 1 point must leave"),
        ([f"{i}:out" for i in range(200, 501)], "at most half of all, 500 here; got 501"),
        ([f"{i}:y:1" for i in range(401)], "400"),
    ],
)
def test_bad_changes_are_one_sentence(edits: list[str], words: str) -> None:
    with pytest.raises(SpecError, match=words) as error:
        ToySpec.parse({"edits": edits})
    assert error.value.field == "edits"
    assert "\n" not in str(error.value)


def test_the_published_figure_cannot_be_changed() -> None:
    assert ToySpec(variant="published", edits=("1:out", "2000:out")) == ToySpec(variant="published")
    assert ToySpec(data="published", edits=("600:out",)).edits == ("600:out",)
    assert ToySpec(expansions="yes", removal="steps").expansions == "no", "expansions are of one estimate for all"
    assert ToySpec(expansions="yes", removal="group").expansions == "yes"


# --- the points ------------------------------------------------------------------------------------------------------


def test_changed_points_are_the_points_that_are_fitted() -> None:
    spec = ToySpec(points=50, outliers=10, removals=5, edits=("3:x2:0.25:y:-7", "4:in", "20:out", "30:y:2"))
    before, after = base(spec), data(spec)
    assert after.outliers == spec.leaving == 10
    leaving, staying = [0, 1, 2, 3, 5, 6, 7, 8, 9, 20], [4, *range(10, 20), *range(21, 50)]
    features, targets = before.features.copy(), before.targets.copy()
    features[3, 1], targets[3], targets[30] = 0.25, -7, 2
    np.testing.assert_array_equal(after.features, features[leaving + staying])
    np.testing.assert_array_equal(after.targets, targets[leaving + staying])
    ends = run(spec, Silent()).table.query("mark == 'one'").set_index("method")
    design = np.column_stack([features, np.ones(50)])
    truth = np.linalg.lstsq(design[staying], targets[staying], rcond=None)[0]
    np.testing.assert_allclose(
        ends.loc["retrain", [f"weight_{n}" for n in range(1, 6)] + ["bias"]].astype(float), truth, atol=1e-9
    )
    start = np.linalg.lstsq(design, targets, rcond=None)[0]
    assert ends.loc["original", "weight_first"] == pytest.approx(start[0], abs=1e-9)


def test_no_changes_leave_every_number_as_it_was() -> None:
    plain = toy.draw(50, 10, 5.0, 0.5, 1.0, 0)
    assert toy.edited(plain, []) is plain
    for edits in ([toy.Edit(i, removed=False) for i in range(10)], [toy.Edit(i, removed=True) for i in range(50)]):
        with pytest.raises(ValueError, match="at least one point"):
            toy.edited(plain, edits)


# --- first and second order ------------------------------------------------------------------------------------------


def ends(spec: ToySpec) -> Any:
    return run(spec, Silent()).table.query("mark == 'one'").set_index("method")


def test_expansions_by_their_definition() -> None:
    drawn = toy.draw(400, 120, 3.0, 0.6, 0.5, 2)
    paths = toy.remove_group(drawn, (1, 3), 10, expansions=True)
    design, targets, q = drawn.design, drawn.targets, 0.3
    start = np.linalg.lstsq(design, targets, rcond=None)[0]
    whole = 2 * design.T @ design / 400
    group = 2 * design[:120].T @ design[:120] / 120
    gradient = 2 * design[:120].T @ (design[:120] @ start - targets[:120]) / 120
    solved = np.linalg.solve(whole, gradient)
    first = q / (1 - q) * solved
    second = first - q / (1 - q) * (np.eye(6) - np.linalg.solve(whole, group)) @ first
    end = paths.prediction
    np.testing.assert_allclose(paths.paths["koh"][end] - start, q * solved, atol=1e-10)
    np.testing.assert_allclose(paths.paths["if2"][end] - start, second, atol=1e-10)
    half = paths.scalar.tolist().index(0.5)
    np.testing.assert_allclose(paths.paths["if2"][half] - start, second / 2, atol=1e-10)


def test_the_errors_of_the_expansions_fall_as_their_orders() -> None:
    """In the removed share q, relative to the way: halving q halves the first order's and quarters the second's."""
    errors: dict[int, list[float]] = {}
    for outliers in (400, 200, 100):
        drawn = toy.draw(4000, outliers, 5.0, 0.5, 1.0, 0)
        drawn.features[:400] *= np.array([2.0, 0.5, 1, 1, 1])  # a group unlike the rest: H_U is not H_D
        trace = toy.remove_group(drawn, (0, 1), 1, expansions=True)
        truth = np.linalg.lstsq(drawn.design[outliers:], drawn.targets[outliers:], rcond=None)[0]
        way = np.linalg.norm(truth - trace.start)
        errors[outliers] = [
            float(np.linalg.norm(trace.paths[name][trace.prediction] - truth) / way) for name in toy.EXPANSIONS
        ]
    for large, small in ((400, 200), (200, 100)):
        first, second = (errors[large][order] / errors[small][order] for order in (0, 1))
        assert 1.5 < first < 2.7
        assert 3.0 < second < 6.5


# --- the lessons -----------------------------------------------------------------------------------------------------


def test_every_lesson_is_a_question_of_its_own() -> None:
    assert list(PRESET) == ["uncorrelated", "correlated", "ill-conditioned", "large-removal", "paper"]
    for preset in PRESETS:
        assert preset_of(preset.spec) is preset
        assert not preset.spec.edits
        assert preset.teaches.endswith(".")
        assert preset.look.endswith(".")
    assert preset_of(ToySpec(noise=0.5)) is None


def seeds(name: str) -> list[ToySpec]:
    """The lesson's settings with its own seed and with others: what it claims does not hang on one draw."""
    spec = PRESET[name].spec
    return [spec.model_copy(update={"seed": seed}) for seed in range(spec.seed, spec.seed + 6)]


def spread(spec: ToySpec) -> tuple[float, float]:
    """The largest distance of two of the three end points, and the way of PIF."""
    found = ends(spec)
    points = found.loc[list(toy.METHODS), ["weight_first", "weight_second"]].to_numpy(float)
    return max(float(np.linalg.norm(a - b)) for a in points for b in points), float(
        found.loc["original", "distance_plane"]
    )


def test_uncorrelated_all_three_end_within_sampling_error() -> None:
    """The chance correlation of two features has standard deviation 1/√N; four other parameters pull with it."""
    for spec in seeds("uncorrelated"):
        distance, way = spread(spec)
        rest = ends(spec)
        pull = float(np.sqrt(rest.loc["original", "distance_full"] ** 2 - way**2))  # how far the others want to go
        staying = spec.points - spec.leaving
        assert distance < 6 * pull / np.sqrt(staying)
        assert distance < 0.15 * way
    assert spread(PRESET["uncorrelated"].spec)[0] < 0.1 * spread(PRESET["uncorrelated"].spec)[1]


def test_correlated_they_part_and_each_is_best_in_its_own_measure() -> None:
    for spec in seeds("correlated"):
        distance, way = spread(spec)
        assert distance > way, "they end farther apart than retraining is away"
        found = ends(spec).loc[list(toy.METHODS)]
        assert found["loss"].idxmin() == "fif"
        assert found["gradient_norm"].idxmin() == "gif"
        assert found["distance_full"].idxmin() == "pif"


def test_ill_conditioned_is_a_valley() -> None:
    def conditions(spec: ToySpec) -> tuple[float, float]:
        drawn = data(spec)
        design = drawn.design[drawn.outliers :]
        gram = design.T @ design
        return float(np.linalg.cond(gram)), float(np.sqrt(np.linalg.cond(gram[:2, :2])))

    for spec in seeds("ill-conditioned"):
        condition, stretch = conditions(spec)
        plain, _ = conditions(spec.model_copy(update={"correlation": 0.5}))
        assert condition > 100
        assert condition > 10 * plain
        assert stretch > 5, "the contours are five times as long as wide"
        found = ends(spec)
        assert found.loc["pif", "loss"] > 2 * found.loc["original", "loss"], "costs more than removing nothing"
        weights = found[["weight_first", "weight_second"]].astype(float)
        ways = (weights - weights.loc["original"]).apply(np.linalg.norm, axis=1)
        assert ways["gif"] > 2 * ways["pif"], "far along the valley"
        assert found.loc["gif", "gradient_norm"] < 0.3 * found.loc["original", "gradient_norm"]


def test_at_large_removal_the_first_order_breaks_and_the_second_helps() -> None:
    for spec in seeds("large-removal"):
        assert spec.leaving == spec.points // 2
        found = ends(spec)
        way = found.loc["original", "distance_plane"]
        first, second = (found.loc[name, "distance_plane"] / way for name in toy.EXPANSIONS)
        assert 0.4 < first < 0.6, "half-way"
        assert second < 0.05
        assert found.loc["pif", "distance_plane"] < 1e-9
        few = ends(spec.model_copy(update={"outliers": 20, "removals": 20}))
        share = few.loc["koh", "distance_plane"] / few.loc["original", "distance_plane"]
        assert share < 0.06, "where few leave, the first order does"


def test_as_in_the_paper() -> None:
    assert PRESET["paper"].spec == ToySpec(variant="published")
    marks = run(PRESET["paper"].spec, Silent()).tables["landmarks"].set_index("landmark")
    found = ends(PRESET["paper"].spec)
    star = marks.loc[["drawn_optimum"], ["weight_first", "weight_second"]].to_numpy(float)[0]
    for method in ("gif", "fif"):
        at = found.loc[method, ["weight_first", "weight_second"]].to_numpy(float)
        start = found.loc["original", ["weight_first", "weight_second"]].to_numpy(float)
        assert np.linalg.norm(at - star) < 0.25 * np.linalg.norm(start - star), "seem to approach the star"
