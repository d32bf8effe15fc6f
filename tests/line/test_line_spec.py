"""The question of the line: every picture that can be dragged survives every spelling; nonsense becomes a sentence."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from gif_dash import cli, line, spelling
from gif_dash.experiments.line import drawn, kept, placed, run, target
from gif_dash.figures import line as figures
from gif_dash.progress import Silent
from gif_dash.results import Result
from gif_dash.specs import LineSpec, SpecError

places = st.tuples(st.integers(0, 19), st.floats(-10, 10), st.floats(-200, 200))
specs = st.builds(
    LineSpec,
    test_x=st.floats(-10, 10),
    test_offset=st.floats(-300, 300),
    noise=st.floats(0, 20),
    outliers=st.lists(st.integers(-20, 19), max_size=4).map(tuple),
    height=st.floats(-200, 200),
    decay=st.floats(0.1, 20),
    seed=st.integers(0, 2**31 - 1),
    moved=st.lists(places, max_size=6, unique_by=lambda item: item[0]).map(tuple),
    removed=st.lists(st.integers(0, 19), max_size=17).map(tuple),
)


@settings(deadline=None, max_examples=25)
@given(specs)
def test_every_spelling_restores_the_spec(spec: LineSpec) -> None:
    assert spelling.from_query(LineSpec, spelling.to_query(spec)) == (spec, [])
    words = shlex.split(spelling.to_cli(spec))
    assert words[:3] == ["gif-dash", "run", "line"]
    texts = {word.removeprefix("--"): value for word, value in zip(words[3::2], words[4::2], strict=True)}
    assert spelling.from_query(LineSpec, texts) == (spec, [])
    code = spelling.to_python(spec).splitlines()[2].removeprefix("result = run(").removesuffix(")")
    assert eval(code, {"LineSpec": LineSpec}) == spec
    assert LineSpec.parse(json.loads(spec.model_dump_json())) == spec
    x, y = placed(spec)
    assert all((x[index], y[index]) == place for index, place in spec.places.items())


@settings(deadline=None, max_examples=30)
@given(st.dictionaries(st.sampled_from([*LineSpec.model_fields, "test-x", "x"]), st.text(max_size=30)))
def test_any_link_gives_a_valid_spec(query: dict[str, str]) -> None:
    spec, _ = spelling.from_query(LineSpec, query)
    assert LineSpec.parse(spec.model_dump()) == spec


@settings(deadline=None, max_examples=30)
@given(st.from_regex(r"[-+0-9.eE:a-z ]{0,14}", fullmatch=True))
def test_any_text_is_a_place_or_a_sentence(text: str) -> None:
    spec, sentences = spelling.from_query(LineSpec, {"moved": text})
    assert all("\n" not in sentence and "Moved points" in sentence for sentence in sentences)
    assert len(spec.places) == (0 if sentences or not text.strip() else 1)
    assert np.isfinite(placed(spec)).all()


def test_equal_questions_have_one_spelling() -> None:
    one = LineSpec(moved=("7:1.00:2", "3:-0.00001:5e1"), removed=(9, 4, 9), test_x=3.200001)
    other = LineSpec(moved=((3, 0, 50), (7, 1, 2.0)), removed=(4, 9))  # type: ignore[arg-type]
    assert one == other
    assert one.moved == ("3:0:50", "7:1:2")
    assert one.canonical() == other.canonical()


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"moved": ["20:0:0"]}, "moved", "no point 20; points go from 0 to 19"),
        ({"moved": ["3:1"]}, "moved", "index:x:y"),
        ({"moved": ["3:nan:1"]}, "moved", "index:x:y"),
        ({"moved": ["3:1:inf"]}, "moved", "index:x:y"),
        ({"moved": ["3:1e999:1"]}, "moved", "index:x:y"),
        ({"moved": ["3:11:1"]}, "moved", "x goes from −10 to 10"),
        ({"moved": ["3:1:1", "3:2:2"]}, "moved", "point 3 is moved twice"),
        ({"removed": list(range(18))}, "removed", "at least 3 points must stay"),
        ({"removed": [-1]}, "removed", "no point -1"),
        ({"outliers": [20]}, "outliers", "no point 20"),
        ({"points": 10, "removed": [12]}, "removed", "no point 12; points go from 0 to 9"),
        ({"points": 5, "moved": [f"{index}:1:1" for index in range(5)]}, "moved", "no unique line"),
        ({"points": 4}, "points", "from 5 to 40"),
        ({"decay": -1}, "decay", "from 0 to 20"),
    ],
)
def test_bad_values_are_one_sentence(values: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        LineSpec.parse(values)
    assert caught.value.field == field
    assert "\n" not in str(caught.value)


def test_same_x_is_allowed_with_decay() -> None:
    spec = LineSpec(points=5, moved=tuple(f"{index}:1:{index}" for index in range(5)), decay=0.1)
    assert np.isfinite(run(spec, Silent()).table["left_out"]).all()


@pytest.mark.parametrize("points", [5, 20, 33])
def test_points_stand_where_the_spec_thinks(points: int) -> None:
    np.testing.assert_allclose(LineSpec(points=points)._stay(), line.positions(points))


SPECS = {
    "tutorial": LineSpec(),
    "dragged": LineSpec(moved=("3:1.5:-20", "15:2.5:-8"), removed=(0, 7), test_x=-2, test_offset=30, noise=4),
    "decay": LineSpec(decay=2, seed=5),
    "undetermined": LineSpec(points=5, outliers=(), noise=3, moved=tuple(f"{i}:1:{i}" for i in range(4))),
    "on the line": LineSpec(noise=0, outliers=()),
}


@pytest.fixture(scope="module", params=SPECS)
def result(request: pytest.FixtureRequest) -> Result:
    return run(SPECS[request.param], Silent())


def test_tables(result: Result) -> None:
    spec = LineSpec.parse({name: value for name, value in result.spec.items() if name != "experiment"})
    table = result.table
    assert list(table["index"]) == kept(spec)
    x, y = placed(spec)
    np.testing.assert_array_equal(table[["x", "y"]].to_numpy(), np.column_stack([x, y])[kept(spec)])
    found = line.analyse(table["x"].to_numpy(), table["y"].to_numpy(), target(spec), spec.decay)
    np.testing.assert_array_equal(table["left_out"], found.left_out)
    fit = figures.values(result)
    assert (fit["slope"], fit["intercept"]) == tuple(found.theta)
    assert fit["test_loss"] == found.test_loss
    again = Result.from_json(result.to_json())
    assert list(again.tables) == list(result.tables) == ["points", "fit", "without"]
    np.testing.assert_array_equal(again.table["left_out"], table["left_out"])


def test_pictures_and_words(result: Result) -> None:
    spec = LineSpec.parse({name: value for name, value in result.spec.items() if name != "experiment"})
    picture = figures.picture(spec)
    json.dumps(picture, allow_nan=False)
    assert (picture["x"], picture["y"]) == tuple(each.tolist() for each in drawn(spec))
    who, agreement = figures.words(result)
    assert "nan" not in who + agreement
    html = figures.table_html(result)
    assert html.count("<tr>") == len(result.table) + 1
    figure = figures.to_plotly(result)
    marks = [trace for trace in figure.data if trace.name in figures.LOOKS and trace.showlegend is None]
    assert sum(len(trace.x) for trace in marks) == len(result.table)
    assert figures.to_plotly(result, dark=True).to_json()


def test_words_of_the_tutorial() -> None:
    result = run(LineSpec(), Silent())
    table = result.table.set_index("index")
    who, agreement = figures.words(result)
    assert "Most harmful is point 15 (x = 2.5)" in who
    assert "Most helpful is point 1 (x = −4.5)" in who
    worst = table.loc[15]
    assert f"predicted {worst['predicted']:.0f}, left out {worst['left_out']:.1f}".replace("-", "−") in agreement
    step = worst["predicted"] / (1 - worst["leverage"]) - worst["predicted"]
    assert f"{step:.1f} comes from its leverage".replace("-", "−") in agreement
    assert "cannot fall below 0" in agreement
    assert "cannot fall below 0" not in figures.words(run(LineSpec(outliers=(), noise=3), Silent()))[1]


def test_no_outliers_has_a_spelling() -> None:
    spec = LineSpec(outliers=())
    assert spelling.to_query_string(spec) == "?tab=line&outliers=none"
    assert spelling.to_cli(spec) == "gif-dash run line --outliers none"


def test_words_where_something_is_missing() -> None:
    undetermined = figures.words(run(SPECS["undetermined"], Silent()))
    assert "1 point cannot be left out" in undetermined[1]
    flat = LineSpec(test_x=0.0)
    fit = figures.values(run(flat, Silent()))
    on_it = LineSpec(test_x=0.0, test_offset=fit["intercept"] - 5.0)  # to four decimals
    assert abs(figures.values(run(on_it, Silent()))["test_loss"]) < 1e-8


def test_command_line_prints_the_table() -> None:
    outcome = CliRunner().invoke(cli.main, ["run", "line", "--outliers", "-5,1", "--moved", "3:1:20,4:-2.5:3"])
    assert outcome.exit_code == 0, outcome.output
    lines = outcome.output.strip().splitlines()
    assert lines[0].split() == list(figures.summary(run(LineSpec(), Silent())).columns)
    rows = {int(each.split()[0]): each.split() for each in lines[1:] if each.split()[0].isdecimal()}
    assert rows[3][1:3] == ["1", "20"]
    assert rows[15][-1] == "harmful"
    refused = CliRunner().invoke(cli.main, ["run", "line", "--moved", "99:1:1"])
    assert refused.exit_code == 2
    assert "--moved: there is no point 99" in refused.output


def test_it_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from gif_dash.experiments.line import run; from gif_dash.progress import Silent\n"
        "from gif_dash.specs import LineSpec; import gif_dash.panels.line\n"
        "assert len(run(LineSpec(), Silent()).table) == 20\n"
        "assert not {'scipy', 'plotly', 'sklearn'} & set(sys.modules), 'slow to import'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
