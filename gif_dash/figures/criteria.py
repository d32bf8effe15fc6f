"""Pictures of the selection criteria: pure functions of the result's tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from gif_dash.figures.cells import Cell, Grid, Head, Switch, View, share
from gif_dash.figures.chart import Axis, Chart, Level, Line, Mark, Quantity, decades, hold, to_plotly
from gif_dash.figures.tables import number, significant
from gif_dash.figures.theme import label, style, swatch
from gif_dash.results import Result

if TYPE_CHECKING:
    import plotly.graph_objects as go

REFERENCES = ("original", "retrain", "retrain_warm")
MARKS = (("best", "each cell's best s"), ("one", "s = 1"))


@dataclass(frozen=True)
class Measure:
    """A quantity of every cell.

    Attributes:
        key: column of its values.
        title, unit, decimals: how people read it.
        top, step: upper end of the scale, and the size of the steps in which its lower end follows what is there (one
            step is the closest look: below it is noise); None for losses: whole decades on a logarithmic scale.
        note: what it is, and which end is the better one.
        drawn: whether it has a plot over MR, or stands in the read-out only.
    """

    key: str
    title: str
    unit: str
    decimals: int
    note: str
    top: float | None = None
    step: float = 0.0
    drawn: bool = True

    def scale(self, values: Sequence[float]) -> tuple[float, float]:
        """The ends of a scale that holds the values."""
        known = [value for value in values if math.isfinite(value)]
        if self.top is None:
            return decades(known, floor=1e-3)
        steps = math.ceil(min(known, default=self.top) / self.step - 1e-9) - 1
        return max(0.0, min(self.step * steps, self.top - self.step)), self.top

    def spell(self, value: float) -> str:
        """A value with its unit."""
        return f"{number(value, self.decimals)}{self.unit and ' ' + self.unit}"


MEASURES = (
    Measure("score", "Score", "", 3, "the larger the better", 1.0, 0.05),
    Measure("self_loss", "Self loss", "", 2, "large: what was removed is forgotten"),
    Measure("test_loss", "Test loss", "", 3, "on the other classes; the smaller the better"),
    Measure(
        "self_accuracy", "Self accuracy", "%", 1, "of what was removed; small: it is forgotten", 100.0, 100.0, False
    ),
    Measure("test_accuracy", "Test accuracy", "%", 1, "on the other classes; the larger the better", 100.0, 5.0),
)
#: Names of the quantities.
KEYS = tuple(measure.key for measure in MEASURES)

SWITCHES = (
    Switch("measure", "Quantity", tuple((measure.key, measure.title) for measure in MEASURES)),
    Switch("at", "Measured at", MARKS),
)


def grid(cells: pd.DataFrame, spec: Mapping[str, Any]) -> Grid:
    """Rows criteria, columns MR: every quantity at every cell's best s and at s = 1, beside the references.

    Args:
        cells: the table of that name, complete or partial; may be empty.
        spec: the question.
    """
    found = {(row["criterion"], row["mr"], row["mark"]): row for row in records(cells)}
    views = {
        f"{measure.key} {mark}": _view(measure, mark, found, cells, spec) for measure in MEASURES for mark, _ in MARKS
    }
    return Grid(
        title=f"Selection criteria: {label(spec['method'])} at every modification ratio",
        corner="",
        rows=tuple(Head(name, label(name), swatch(name)) for name in spec["criteria"]),
        columns=tuple(Head(f"{mr:g}", f"MR {mr:g} %") for mr in spec["mrs"]),
        views=views,
        switches=SWITCHES,
        action="Point at a cell, or move between the cells with the arrow keys, for its numbers; press it to open it "
        "in Class removal.",
    )


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dictionaries by column."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _view(
    measure: Measure,
    mark: str,
    found: Mapping[tuple[str, float, str], Any],
    cells: pd.DataFrame,
    spec: Mapping[str, Any],
) -> View:
    here = cells if measure.top is None or not len(cells) else cells[cells["mark"] == mark]
    low, high = measure.scale([float(value) for value in here[measure.key]] if len(here) else [])
    ends = [f"{significant(end)}{measure.unit and ' ' + measure.unit}" for end in (low, high)]
    if measure.top is not None and low > 0:
        ends[0] = f"≤ {ends[0]}"

    def cell(row: Mapping[str, Any] | None, note: str) -> Cell:
        if row is None:
            return Cell(note=note)
        value, error = float(row[measure.key]), float(row.get(f"{measure.key}_se", math.nan))
        below = f"± {number(error, measure.decimals)}" if math.isfinite(error) else ""
        return Cell(number(value, measure.decimals), below, share(value, low, high, log=measure.top is None), note)

    lines = []
    for criterion in spec["criteria"]:
        line = []
        for mr in spec["mrs"]:
            failed = found.get((criterion, mr, "failed"))
            if failed is not None:
                line.append(Cell("–", "", None, f"{label(criterion)}, MR {mr:g} %: {failed['message']}", False))
                continue
            row = found.get((criterion, mr, mark))
            line.append(cell(row, _note(row, criterion, mr)))
        lines.append(tuple(line))
    known = [(name, cells[cells["method"] == name].head(1)) for name in REFERENCES if len(cells)]
    footer = [
        (Head(name, label(name), swatch(name)), cell(row, label(name))) for name, rows in known for row in records(rows)
    ]
    return View(tuple(lines), tuple(footer), ends[0], ends[1], f"{measure.title}: {measure.note}")


def _note(row: Mapping[str, Any] | None, criterion: str, mr: float) -> str:
    where = f"{label(criterion)}, MR {mr:g} %"
    if row is None:
        return f"{where}: not computed yet"
    scores = "; ".join(f"{measure.title.lower()} {measure.spell(float(row[measure.key]))}" for measure in MEASURES)
    return (
        f"{where}: {int(row['k'])} parameters ({number(float(row['share']), 1)} %), s = {significant(row['scalar'])}; "
        f"{scores}; {int(row['hvps'])} HVPs, {number(float(row['seconds']), 2)} s"
    )


def over_mr(cells: pd.DataFrame, spec: Mapping[str, Any], mark: str) -> Chart:
    """Every quantity against MR, one line per criterion, with the references as levels.

    Args:
        cells: the table of that name, complete or partial; may be empty.
        spec: the question.
        mark: "best" or "one".
    """
    mrs = [float(mr) for mr in spec["mrs"]]
    lines = []
    for criterion in spec["criteria"]:
        rows = cells[(cells["criterion"] == criterion) & (cells["mark"] == mark)] if len(cells) else cells
        if len(rows):
            rows = rows.sort_values("mr")
            values, low, high = (_values(rows, errors) for errors in (0, -1, 1))
            places = tuple(float(mr) for mr in rows["mr"])
            lines.append(Line(criterion, label(criterion), style(criterion), places, values, low, high))
    levels = _levels(cells)
    return Chart(
        title="Criteria against the modification ratio",
        x=_mr_axis(mrs),
        quantities=tuple(_quantity(measure, lines, levels, points=True) for measure in MEASURES),
        lines=tuple(lines),
        levels=levels,
        symbol="MR",
        bands="bars: ± one standard error of the test images; references below a plot are in the table",
        points=True,
    )


def _values(rows: pd.DataFrame, errors: int) -> dict[str, tuple[float, ...]]:
    """Every quantity along the rows, shifted by so many standard errors."""
    shifted = {measure.key: rows[measure.key] + errors * rows[f"{measure.key}_se"] for measure in MEASURES}
    return {key: tuple(float(value) for value in (column if errors else rows[key])) for key, column in shifted.items()}


def along_s(curves: pd.DataFrame, cells: pd.DataFrame, spec: Mapping[str, Any], mr: float) -> Chart:
    """Every quantity against s at one MR, one line per criterion, from the original model at s = 0 on.

    Args:
        curves, cells: the tables of these names.
        spec: the question.
        mr: one of its ratios.
    """
    origin = cells[cells["method"] == "original"].head(1).assign(scalar=0.0)
    lines, marks = [], [Mark(1.0, "s = 1: the method's own prediction")]
    for criterion in spec["criteria"]:
        rows = curves[(curves["criterion"] == criterion) & (curves["mr"] == mr)]
        if not len(rows):
            continue
        rows = pd.concat([origin[["scalar", *KEYS]], rows[["scalar", *KEYS]]])
        values = {key: tuple(float(value) for value in rows[key]) for key in KEYS}
        scalars = tuple(float(scalar) for scalar in rows["scalar"])
        lines.append(Line(criterion, label(criterion), style(criterion), scalars, values))
        best = cells[(cells["criterion"] == criterion) & (cells["mr"] == mr) & (cells["mark"] == "best")]["scalar"]
        marks += [
            Mark(float(s), f"best s of {label(criterion)}: {significant(float(s))}", style(criterion)) for s in best
        ]
    levels = _levels(cells)
    return Chart(
        title=f"Along the influence scalar at MR {mr:g} %",
        x=Axis("influence scalar s", "zero-log", 0.1, float(spec["s_max"])),
        quantities=tuple(_quantity(measure, lines, levels) for measure in MEASURES),
        lines=tuple(lines),
        levels=levels,
        marks=tuple(marks),
        symbol="s",
    )


def _levels(cells: pd.DataFrame) -> tuple[Level, ...]:
    found = []
    for name in REFERENCES:
        rows = cells[cells["method"] == name] if len(cells) else cells
        if len(rows):
            known = {key: float(rows[key].iloc[0]) for key in KEYS}
            found.append(Level(name, label(name), style(name), known))
    return tuple(found)


def _mr_axis(mrs: Sequence[float]) -> Axis:
    low, high = min(mrs), max(mrs)
    if high / low >= 5:
        return Axis("modification ratio MR, %", "log", low / 1.15, min(high * 1.15, 115.0))
    room = max(0.05 * (high - low), 1.0)
    return Axis("modification ratio MR, %", "linear", max(low - room, 0.0), high + room)


def _quantity(
    measure: Measure,
    lines: Sequence[Line],
    levels: Sequence[Level],
    *,
    points: bool = False,
) -> Quantity:
    notes = {"test": "other classes", "self": "removed", "scor": ""}
    values = [value for line in lines for part in (line.values, line.low) for value in part.get(measure.key, ())]
    if measure.top is not None:
        # the original model and the warm start may lie below: what is compared is up here
        truth = [level.values[measure.key] for level in levels if level.key == "retrain"]
        low, high = measure.scale([*values, *truth]) if points else (0.0, measure.top)
        room = 0.03 * (high - low)
        axis = Axis(measure.unit or "score", "linear", low - room, high + room)
    else:
        low, high = decades([*values, *(level.values[measure.key] for level in levels)])
        axis = Axis("loss", "log", low, high)
    shown = axis if measure.drawn else None
    return Quantity(measure.key, measure.title, measure.unit, measure.decimals, shown, notes[measure.key[:4]])


def add_ghosts(chart: Chart, previous: Chart | None) -> Chart:
    """The chart with the run before in faint lines, if it has the same axis; losses hold both."""
    if previous is None or previous.x != chart.x:
        return chart
    axes = {quantity.key: quantity.axis for quantity in previous.quantities}
    quantities = tuple(
        replace(quantity, axis=hold(quantity.axis, axes.get(quantity.key))) if quantity.axis else quantity
        for quantity in chart.quantities
    )
    return replace(chart, quantities=quantities, ghosts=previous.lines)


def figures(result: Result, *, dark: bool = False) -> list[go.Figure]:
    """The curves over MR at the best s and at s = 1 as plotly figures, for exports and notebooks."""
    cells = result.tables["cells"]
    return [to_plotly(over_mr(cells, result.spec, mark), dark=dark, height=900) for mark, _ in MARKS]


#: What a terminal shows: column of the table → heading.
SUMMARY = {
    "criterion": "criterion",
    "mr": "MR %",
    "share": "k/p %",
    "mark": "row",
    "scalar": "s",
    "self_loss": "self loss",
    "test_loss": "test loss",
    "self_accuracy": "self acc %",
    "test_accuracy": "test acc %",
    "score": "score",
    "score_se": "± SE",
    "hvps": "HVPs",
    "seconds": "solve s",
}


def summary(result: Result) -> pd.DataFrame:
    """References first, then every cell at its best s and at s = 1; what could not be says why."""
    frame = result.table
    frame = frame.assign(
        criterion=frame["criterion"].where(frame["criterion"] != "", frame["method"]),
        mark=frame["mark"].map({"one": "s = 1", "best": "best", "failed": "failed"}).fillna(""),
    )
    shown = frame[list(SUMMARY)].rename(columns=SUMMARY)
    return shown.assign(note=frame["message"]) if (frame["message"] != "").any() else shown
