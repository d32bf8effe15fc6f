"""The experiment, its spec, and the neutral pictures made from its tables."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from gif_dash import spelling, toy
from gif_dash.experiments.toy import run
from gif_dash.figures import chart as line_charts
from gif_dash.figures import toy as figures
from gif_dash.progress import Silent
from gif_dash.results import Result
from gif_dash.specs import SpecError, ToySpec

SPECS = {
    "defaults": ToySpec(),
    "group": ToySpec(removal="group"),
    "authors' data": ToySpec(data="published", first=2, second=4),
    "as published": ToySpec(variant="published"),
    "tiny": ToySpec(points=20, outliers=10, removals=1, correlation=0.95),
    "tiny group": ToySpec(points=20, outliers=1, removals=1, removal="group", strength=0.0, noise=0.0),
    "harmless outliers": ToySpec(noise=0.0, strength=0.0, outliers=1, removals=1),
}


@pytest.fixture(scope="module", params=SPECS)
def result(request: pytest.FixtureRequest) -> Result:
    return run(SPECS[request.param], Silent())


def test_tables(result: Result) -> None:
    steps = result.table
    assert list(result.tables) == ["steps", "landmarks", "contours"]
    assert set(steps["method"]) == {"gif", "fif", "pif", "original", "retrain"}
    assert (steps[steps["mark"] == "one"].groupby("method").size() == 1).all()
    numbers = steps.drop(columns=["method", "mark", "scalar"]).to_numpy(dtype=float)
    assert np.isfinite(numbers).all()
    assert steps.loc[steps["method"] == "retrain", "scalar"].isna().all()
    again = Result.from_json(result.to_json())
    for name, table in result.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table)
    assert result.spec["experiment"] == "toy"
    assert result.provenance["quirks"] == (list(toy.QUIRKS) if result.spec["variant"] == "published" else [])


def test_it_is_deterministic(result: Result) -> None:
    spec = ToySpec.parse({name: value for name, value in result.spec.items() if name != "experiment"})
    again = run(spec, Silent())
    for name, table in result.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table, check_exact=True)


def test_published_fixes_its_fields() -> None:
    """Equal questions have one spelling, and a spec never claims settings that were not used."""
    spec = ToySpec(variant="published", points=50, outliers=3, first=4, removal="group", seed=9)
    assert spec == ToySpec(variant="published")
    assert (spec.points, spec.outliers, spec.noise, spec.seed) == (4000, 500, 0.0, 0)
    assert (spec.removal, spec.removals, spec.first, spec.second, spec.data) == ("steps", 50, 1, 2, "published")
    data = ToySpec(data="published", points=50, outliers=3, removal="group", second=5)
    assert (data.points, data.removal, data.second) == (4000, "group", 5)
    assert len(toy.published_data().targets) == data.points
    assert toy.published_data().outliers == data.outliers
    for each in (spec, data, ToySpec()):
        assert spelling.from_query(ToySpec, spelling.to_query(each)) == (each, [])


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"first": 2}, "must differ; both are 2"),
        ({"points": 100, "outliers": 51}, "at most half"),
        ({"outliers": 5}, "at most as many as the outliers"),
        ({"correlation": 1.0}, "a number from 0 to 0.95"),
        ({"variant": "best"}, "choose from exact, published"),
    ],
)
def test_bad_values_are_one_sentence(values: dict[str, object], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        ToySpec.parse(values)


def test_plane(result: Result) -> None:
    """The picture's numbers are the tables'; the methods' paths lie in the window."""
    plane = figures.plane(result)
    steps = result.table
    plain = plane.to_dict()
    json.dumps(plain, allow_nan=False)
    count = len(plane.positions)
    assert len(plane.captions) == count
    assert list(plane.positions) == sorted(plane.positions)
    x0, x1, y0, y1 = plane.window
    for path in plane.paths:
        rows = steps[steps["method"] == path.key]
        assert path.points == tuple(zip(rows["weight_first"], rows["weight_second"], strict=True))
        assert len(path.points) == len(path.line) == count
        if path.key in toy.METHODS:
            assert all(x0 <= x <= x1 and y0 <= y <= y1 for x, y in path.points)
            assert (path.line != path.points) == (result.spec["variant"] == "published")
    one = steps[(steps["mark"] == "one") & (steps["method"] == "pif")]
    assert plane.end == int(one["step"].iloc[0])
    assert len(plane.contours) in (0, 1, count)
    assert all(len(mark.points) in (1, count) for mark in plane.landmarks)
    keys = {mark.key for mark in plane.landmarks}
    assert {"start", "plane_optimum", "full_optimum"} <= keys
    assert ("drawn_optimum" in keys) == (result.spec["variant"] == "published")
    assert {path.key for path in plane.paths} >= set(toy.METHODS)


def test_chart(result: Result) -> None:
    chart = figures.chart(result)
    steps = result.table
    json.dumps(chart.to_dict(), allow_nan=False)
    assert chart.lines[0].x == figures.plane(result).positions
    for line in chart.lines:
        for key, values in line.values.items():
            assert values == tuple(steps.loc[steps["method"] == line.key, key])
    for quantity in chart.facets():
        assert quantity.axis is not None
        drawn = steps.loc[steps["method"].isin(toy.METHODS), quantity.key]
        assert quantity.axis.low <= drawn.min()
        assert drawn.max() <= quantity.axis.high
    group = result.spec["removal"] == "group"
    assert [level.key for level in chart.levels] == (["retrain"] if group else [])


def test_axes_are_kept_while_that_is_possible() -> None:
    """A slider that moves a little does not make the axes jump; a picture ten times as large gets axes of its own."""
    first = run(ToySpec(), Silent())
    plane, chart = figures.plane(first), figures.chart(first)
    near = run(ToySpec(noise=0.9), Silent())
    assert figures.plane(near, plane).window == plane.window
    assert figures.chart(near, chart).facets()[2].axis == chart.facets()[2].axis
    far = run(ToySpec(strength=20.0, correlation=0.9), Silent())
    assert figures.plane(far, plane).window != plane.window
    back = figures.plane(first, figures.plane(far, plane))
    assert back.window == plane.window
    assert figures.plane(near).with_ghosts_of(plane).ghosts == plane.paths


def test_a_closer_window_where_fif_and_gif_are_hard_to_tell_apart() -> None:
    plane = figures.plane(run(ToySpec(data="published"), Silent()))
    assert plane.near is not None
    x0, x1, y0, y1 = plane.near
    for path in plane.paths:
        inside = all(x0 <= x <= x1 and y0 <= y <= y1 for x, y in path.points)
        assert inside == (path.key in ("gif", "fif"))
    assert figures.plane(run(ToySpec(), Silent())).near is None


def test_words_say_what_the_table_says(result: Result) -> None:
    said = " ".join(figures.words(result))
    ends = result.table[result.table["mark"] == "one"].set_index("method")
    if result.spec["variant"] == "published":
        assert "(1.12, 0.749)" in said
        assert "(-12.0, 9.00)" in said.replace("−", "-")
        return
    assert "frozen" in said
    methods = ends.loc[["gif", "fif", "pif"]]
    points = methods[["weight_first", "weight_second"]].to_numpy()
    shortest = np.linalg.norm(points - ends.loc["original", ["weight_first", "weight_second"]].to_numpy(float), axis=1)
    spread = max(math.dist(a, b) for a in points for b in points)
    assert ("nearly one point" in said) == (spread <= 0.1 * shortest.min())
    if "nearly one point" in said:
        return
    for column, phrase in (("loss", "the least loss"), ("gradient_norm", "the least gradient")):
        best = methods[column].idxmin().upper()
        assert f"<b>{best}</b> has {phrase}" in said
    worse = methods.index[methods["loss"] > ends.loc["original", "loss"]]
    assert ("a higher loss than the untouched model" in said) == bool(len(worse))


def test_plotly_figures(result: Result) -> None:
    plane, chart = figures.plane(result), figures.chart(result)
    figure = figures.to_plotly(plane)
    by_name = {trace.name: trace for trace in figure.data if trace.mode == "markers"}
    for path in plane.paths:
        np.testing.assert_array_equal(np.column_stack([by_name[path.label].x, by_name[path.label].y]), path.points)
    for mark in plane.landmarks:
        assert mark.label in by_name
    assert figure.layout.yaxis.scaleanchor == "x"
    assert len(line_charts.to_plotly(chart).data) >= 4 * len(toy.METHODS)
    assert figures.to_plotly(plane, dark=True).to_json()


def test_it_needs_no_torch() -> None:
    """The toy runs in visitors' kernels."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from gif_dash.experiments.toy import run; from gif_dash.progress import Silent\n"
        "from gif_dash.specs import ToySpec; import gif_dash.panels.toy\n"
        "assert len(run(ToySpec(), Silent()).table) > 100\n"
        "assert not {'scipy', 'plotly', 'sklearn'} & set(sys.modules), 'slow to import'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
