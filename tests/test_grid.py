"""Grids: the product of settings, refused before anything is computed, resumed where it stopped, one table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest
from click.testing import CliRunner

from gif_dash import catalog, cli, grid, run_grid
from gif_dash.catalog import ExperimentEntry
from gif_dash.compute.store import open_store
from gif_dash.progress import Progress, Silent
from gif_dash.results import Result
from gif_dash.specs import CriteriaSpec, RemovalSpec, Spec, SpecError, ToySpec
from gif_dash.specs.base import field


class LinesSpec(Spec):
    """Lines through the origin."""

    experiment: ClassVar[str] = "lines"

    slope: float = field(1.0, "Slope", "of the line", ge=-10, le=10)
    points: tuple[int, ...] = field((1, 2), "Points", "where it is looked at")
    seed: int = field(0, "Seed", "does nothing", ge=0, le=9)


asked: list[tuple[float, tuple[int, ...], int]] = []
#: Slopes at which the experiment fails, or the person presses Ctrl+C.
trouble: dict[float, type[BaseException]] = {}


def run(spec: LinesSpec, progress: Progress) -> Result:
    asked.append((spec.slope, spec.points, spec.seed))
    progress.stage("Drawing", 1)
    if spec.slope in trouble:
        raise trouble[spec.slope]("the line breaks")
    table = pd.DataFrame({"x": spec.points, "y": [spec.slope * x for x in spec.points], "seed": 7})
    spec_values = {"experiment": "lines", **spec.model_dump(mode="json")}
    return Result(spec_values, {"line": table, "ends": table.tail(1)}, {"seconds": 0.0})


@pytest.fixture(autouse=True)
def lines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    entry = ExperimentEntry("lines", "Lines", f"{__name__}:LinesSpec", f"{__name__}:run", needs_scenario=False)
    monkeypatch.setitem(catalog.EXPERIMENTS, "lines", entry)
    monkeypatch.setenv("GIF_DASH_CACHE", str(tmp_path / "cache"))
    if "lines" not in cli.run.commands:
        cli._add_run(entry)
    asked.clear()
    trouble.clear()
    yield
    cli.run.commands.pop("lines", None)
    open_store().close()


def command(*arguments: str) -> tuple[int, str]:
    outcome = CliRunner().invoke(cli.main, ["run", "lines", *arguments])
    return outcome.exit_code, outcome.output


# --- the product ----------------------------------------------------------------------------------------------------


def test_product_the_last_setting_varies_fastest() -> None:
    listed = grid.cells(RemovalSpec, {"mr": 10.0}, {"criterion": ["random", "threshold"], "mr": ["5", 30]})
    assert [(cell.spec.criterion, cell.spec.mr) for cell in listed] == [
        ("random", 5.0),
        ("random", 30.0),
        ("threshold", 5.0),
        ("threshold", 30.0),
    ]
    assert listed[0].values == {"criterion": "random", "mr": 5.0}


def test_equal_cells_are_asked_once() -> None:
    listed = grid.cells(RemovalSpec, {}, {"mr": ["5", "5.0", 5], "forget_classes": [(8, 3), (3, 8)]})
    assert [cell.values for cell in listed] == [{"mr": 5.0, "forget_classes": (3, 8)}]


def test_lists_are_typed_with_plus_and_single_values_stand_for_lists_of_one() -> None:
    axes = grid.parse(RemovalSpec, ["forget-class=3,8+9", "methods=gif+fif,pif", "mr=5,10"])
    assert axes == {"forget_classes": [["3"], ["8", "9"]], "methods": [["gif", "fif"], ["pif"]], "mr": ["5", "10"]}
    listed = grid.cells(RemovalSpec, {}, axes)
    assert len(listed) == 8
    assert listed[-1].values == {"forget_classes": (8, 9), "methods": ("pif",), "mr": 10.0}
    assert [cell.values["forget_classes"] for cell in grid.cells(RemovalSpec, {}, {"forget_classes": [3, "4"]})] == [
        (3,),
        (4,),
    ]


def test_one_setting_may_make_another_one_possible() -> None:
    """MINRES cannot do GIF: neither may be refused before both are known."""
    listed = grid.cells(RemovalSpec, {"solver": "minres"}, {"methods": [["fif"], ["pif"]]})
    assert [cell.spec.methods for cell in listed] == [("fif",), ("pif",)]


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["xy=3"], "no setting named 'xy'; choose from scenario"),
        (["mr"], "as in mr=5,10,30"),
        (["mr=5", "mr=10"], "given twice"),
    ],
)
def test_what_cannot_be_read_is_said(texts: list[str], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        grid.parse(RemovalSpec, texts)


@pytest.mark.parametrize("kind", [RemovalSpec, CriteriaSpec, ToySpec])
def test_every_setting_can_be_in_a_grid(kind: type[Spec]) -> None:
    for name, value in kind().model_dump().items():
        if value != ():  # nothing to forget by index
            assert len(grid.cells(kind, {}, {name: [value, value]})) == 1, name


# --- computing ------------------------------------------------------------------------------------------------------


def test_one_table_with_the_settings_in_front() -> None:
    found = run_grid(LinesSpec(), {"slope": (2, 3), "points": ((1, 2), (4,)), "seed": (1,)}, progress=Silent())
    assert list(found.table.columns) == ["slope", "points", "grid_seed", "x", "y", "seed"]
    expected = [(2.0, "1,2", 1, 1, 2.0, 7), (2.0, "1,2", 1, 2, 4.0, 7), (2.0, "4", 1, 4, 8.0, 7)]
    expected += [(3.0, "1,2", 1, 1, 3.0, 7), (3.0, "1,2", 1, 2, 6.0, 7), (3.0, "4", 1, 4, 12.0, 7)]
    assert list(found.table.itertuples(index=False, name=None)) == expected
    assert found.tables["ends"]["y"].tolist() == [4.0, 8.0, 6.0, 12.0]
    assert found.failed == []


def test_second_run_computes_nothing_and_says_so() -> None:
    code, said = command("--grid", "slope=1,2", "--grid", "points=3,4+5")
    assert (code, len(asked)) == (0, 4), said
    assert "cell 4 of 4: slope 2, points 4+5: computed in" in said
    code, said = command("--grid", "slope=1,2", "--grid", "points=3,4+5")
    assert (code, len(asked)) == (0, 4), said
    assert said.count("stored before") == 4
    code, said = command("--grid", "slope=1,2", "--grid", "points=3,4+5", "--fresh")
    assert (code, len(asked)) == (0, 8), said
    assert "stored before" not in said


def test_cells_are_ordinary_results() -> None:
    assert command("--slope", "2")[0] == 0
    code, said = command("--grid", "slope=1,2,3")
    assert (code, [slope for slope, *_ in asked]) == (0, [2.0, 1.0, 3.0]), said
    assert "cell 2 of 3: slope 2: stored before" in said


def test_interrupted_in_the_middle_and_resumed(tmp_path: Path) -> None:
    out = tmp_path / "table.csv"
    trouble[3.0] = KeyboardInterrupt
    code, said = command("--grid", "slope=1,2,3,4", "--out", str(out))
    assert code == 1
    assert "Stopped after 2 of 4 cells; what is computed is stored, and the same command goes on there" in said
    assert not out.exists()
    trouble.clear()
    asked.clear()
    code, said = command("--grid", "slope=1,2,3,4", "--out", str(out))
    assert (code, [slope for slope, *_ in asked]) == (0, [3.0, 4.0]), said
    assert said.count("stored before") == 2
    assert pd.read_csv(out)["slope"].tolist() == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]


@pytest.mark.parametrize(
    ("error", "words"), [(ValueError, "the line breaks"), (RuntimeError, "the log has the details")]
)
def test_failing_cell_is_one_sentence_and_the_grid_goes_on(error: type[Exception], words: str, tmp_path: Path) -> None:
    out = tmp_path / "table.json"
    trouble[2.0] = error
    code, said = command("--grid", "slope=1,2,3", "--out", str(out))
    assert code == 1
    assert [slope for slope, *_ in asked] == [1.0, 2.0, 3.0]
    assert (
        f"cell 2 of 3: slope 2: failed: {'the line breaks' if error is ValueError else 'Something went wrong'}" in said
    )
    assert said.strip().splitlines()[-1].startswith("Error: 1 of 3 cells failed: ")
    assert words in said
    cells = json.loads(out.read_text())["cells"]
    assert [bool(cell["error"]) for cell in cells] == [False, True, False]
    assert cells[2]["values"] == {"slope": 3.0}
    assert list(cells[0]["tables"]) == ["line", "ends"]
    assert cells[0]["provenance"] == {"seconds": 0.0}
    asked.clear()
    assert command("--grid", "slope=1,2,3")[0] == 1
    assert [slope for slope, *_ in asked] == [2.0], "what has failed is tried again, the rest is stored"


def test_nothing_is_computed_where_a_later_cell_is_wrong() -> None:
    code, said = command("--grid", "slope=1,2,30")
    assert code == 2
    assert said.strip() == "Error: --grid slope: a number from -10 to 10; got '30'"
    assert asked == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--slope", "2", "--grid", "slope=1,2"], "--slope: is in --grid, too"),
        (["--slope", "99", "--grid", "seed=1,2"], "--slope: a number from -10 to 10"),
        (["--grid", "slope=1", "--out", "table.xls"], "--out: the file's name"),
        (["--grid", "slope="], "--grid slope: needs at least one value"),
        (["--grid", "colour=red"], "--grid: there is no setting named 'colour'"),
    ],
)
def test_refused_with_the_flag_and_exit_status_two(arguments: list[str], words: str) -> None:
    code, said = command(*arguments)
    assert code == 2
    assert said.strip().startswith(f"Error: {words}"), said
    assert asked == []


def test_stages_say_where_the_grid_is() -> None:
    class Listening(Silent):
        def __init__(self) -> None:
            self.stages: list[str] = []

        def stage(self, title: str, total: int = 0) -> None:
            self.stages.append(title)

    heard = Listening()
    run_grid(LinesSpec(), {"slope": (1, 2, 3)}, progress=heard)
    assert heard.stages[:2] == ["Cell 1 of 3", "Cell 1 of 3: Drawing"]
    assert heard.stages[-1].startswith("Cell 3 of 3, about ")
    assert heard.stages[-1].endswith(" left: Drawing")
