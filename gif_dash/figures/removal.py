"""Pictures of class removal: pure functions of the result's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from gif_dash.figures.chart import Axis, Chart, Level, Line, Mark, Quantity, decades, hold, to_plotly
from gif_dash.figures.tables import significant
from gif_dash.figures.theme import DASH_DOT_DOT, label, plain, style, template
from gif_dash.results import Result

if TYPE_CHECKING:
    import plotly.graph_objects as go

REFERENCES = ("original", "retrain", "retrain_warm")
LOSSES = ("test_loss", "self_loss")
KEYS = (*LOSSES, "test_accuracy", "self_accuracy", "score")  #: what is drawn or read out
S_MIN = 0.1  #: smallest scalar right of zero on the axis
#: What the bands of one run show: columns ``…_se``, of the accuracies.
ERRORS = "bands: ± one standard error of the test images"


def curves(
    sweep: pd.DataFrame,
    spec: Mapping[str, Any],
    *,
    before: Chart | None = None,
    spread: str = "_se",
    bands: str = ERRORS,
) -> Chart:
    """Losses and accuracies against the influence scalar (Fig. 4 of the GIF paper).

    Args:
        sweep: the table of that name, complete or partial; may be empty.
        spec: the question, for the largest scalar and for what "self" means.
        before: what was on the screen during the same run; axes never get shorter than there.
        spread: ending of the columns with half the height of a band (columns ``…_low`` and ``…_high`` go before them);
            without them there are no bands.
        bands: what the bands show.

    Returns:
        A chart with one line per method (s = 0 is the original model), references as levels, and marks at s = 1 and at
        every method's best s.
    """
    origin = rows_of(sweep, "original")
    methods = [name for name in methods_of(sweep) if name not in REFERENCES]
    lines = tuple(_line(rows_of(sweep, method), method, origin, spread) for method in methods)
    levels = tuple(_level(rows_of(sweep, name), name, spread) for name in REFERENCES if len(rows_of(sweep, name)))
    quantities = tuple(
        _with_range(quantity, lines, levels, None if before is None else _same(before, quantity.key))
        for quantity in _quantities(spec)
    )
    return Chart(
        title="Losses and accuracies against the influence scalar",
        x=Axis("influence scalar s", "zero-log", S_MIN, float(spec["s_max"])),
        quantities=quantities,
        lines=lines,
        levels=levels,
        marks=_marks(sweep, methods),
        symbol="s",
        bands=bands if any(line.low for line in lines) else "",
    )


def add_ghosts(chart: Chart, previous: Chart | None) -> Chart:
    """The chart with the run before in faint lines, and axes that hold both."""
    if previous is None or previous.x.scale != chart.x.scale:
        return chart
    quantities = []
    for quantity in chart.quantities:
        held = _same(previous, quantity.key)
        axis = None if quantity.axis is None else hold(quantity.axis, held.axis if held else None)
        quantities.append(replace(quantity, axis=axis))
    return replace(chart, quantities=tuple(quantities), ghosts=previous.lines)


def best_scalar(sweep: pd.DataFrame, method: str) -> float | None:
    """A method's best s, None while it is not known."""
    rows = rows_of(sweep, method)
    marked = rows[rows["mark"] == "best"] if len(rows) else rows
    return float(marked["scalar"].iloc[0]) if len(marked) else None


def _quantities(spec: Mapping[str, Any]) -> tuple[Quantity, ...]:
    gone = "removed training images" if spec.get("forget_indices") else _removed(spec)
    percent = Axis("%", "linear", -3.0, 103.0)  # room for lines at 0 and 100
    loss = Axis("loss", "log", 1e-2, 1e1)
    return (
        Quantity("test_loss", "Test loss", "", 3, loss, "other classes"),
        Quantity("test_accuracy", "Test accuracy", "%", 1, percent, "other classes"),
        Quantity("self_loss", "Self loss", "", 3, loss, gone),
        Quantity("self_accuracy", "Self accuracy", "%", 1, percent, gone),
        Quantity("score", "Score", "", 3),
    )


def _removed(spec: Mapping[str, Any]) -> str:
    return "removed class" if len(spec["forget_classes"]) == 1 else "removed classes"


def methods_of(sweep: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(sweep["method"])) if len(sweep) else []


def rows_of(sweep: pd.DataFrame, method: str) -> pd.DataFrame:
    return sweep[sweep["method"] == method] if len(sweep) else sweep


def _line(rows: pd.DataFrame, method: str, origin: pd.DataFrame, spread: str) -> Line:
    """One method's curve; where s was measured on samples and on all images, all images count."""
    exact = rows.assign(_marked=rows["mark"] != "").sort_values(["scalar", "_marked"], kind="stable")
    points = exact.drop_duplicates("scalar", keep="last")
    start = origin.head(1).assign(scalar=0.0)
    points = pd.concat([start, points]) if len(start) else points
    values = {key: _numbers(points[key]) for key in KEYS if key in points}
    low, high = ({key: _numbers(ends) for key, ends in part.items()} for part in _bands(points, spread))
    return Line(method, label(method), style(method), _numbers(points["scalar"]), values, low, high)


def _bands(points: pd.DataFrame, spread: str) -> tuple[dict[str, pd.Series[Any]], dict[str, pd.Series[Any]]]:
    """Low and high ends of the bands of some quantities: given as they are, or by half their height."""
    low, high = {}, {}
    for key in KEYS:
        if f"{key}_low" in points:
            ends = points[f"{key}_low"], points[f"{key}_high"]
        elif key in points and f"{key}{spread}" in points:
            ends = points[key] - points[f"{key}{spread}"], points[key] + points[f"{key}{spread}"]
        else:
            continue
        if ends[0].notna().any():
            low[key], high[key] = ends
    return low, high


def _numbers(column: pd.Series[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in column)


def _level(rows: pd.DataFrame, name: str, spread: str) -> Level:
    keys = [key for key in KEYS if key in rows]
    mean = {key: float(rows[key].mean()) for key in keys}
    if len(rows) == 1:
        low, high = ({key: float(ends.iloc[0]) for key, ends in part.items()} for part in _bands(rows, spread))
        return Level(name, label(name), style(name), mean, low, high)
    low, high = ({key: float(rows[key].agg(how)) for key in keys} for how in ("min", "max"))
    return Level(name, f"{label(name)}, {len(rows)} seeds", style(name), mean, low, high)


def _with_range(
    quantity: Quantity, lines: Sequence[Line], levels: Sequence[Level], before: Quantity | None
) -> Quantity:
    if quantity.axis is None or quantity.key not in LOSSES:
        return quantity
    values = [value for line in lines for value in line.values[quantity.key]]
    values += [level.values[quantity.key] for level in levels]
    low, high = decades(values)
    axis = hold(replace(quantity.axis, low=low, high=high), before.axis if before else None)
    return replace(quantity, axis=axis)


def _same(chart: Chart, key: str) -> Quantity | None:
    return next((quantity for quantity in chart.quantities if quantity.key == key), None)


def _marks(sweep: pd.DataFrame, methods: Sequence[str]) -> tuple[Mark, ...]:
    marks = [Mark(1.0, "s = 1: the method's own prediction")]
    for method in methods:
        best = best_scalar(sweep, method)
        if best is not None:
            marks.append(Mark(best, f"best s of {label(method)}: {significant(best)}", style(method)))
    return tuple(marks)


#: From so many layers on, or names so long, the bars lie: then every layer has a line of its own for its name.
MANY_LAYERS, LONG_NAME = 7, 22


def layers(result: Result, *, dark: bool = False) -> go.Figure:
    """Norm of Δ and share of the parameters selected, per layer (§5 of the GIF paper)."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    table = result.tables["layers"]
    methods = list(table.groupby("method", sort=False))
    # The selection is the same for all methods, so it is shown once.
    first = methods[0][1] if methods else table
    names = _layer_names(first)
    lying = len(names) >= MANY_LAYERS or max(map(len, first["layer"]), default=0) > LONG_NAME

    def bars(rows: pd.DataFrame, column: str, **look: Any) -> go.Bar:
        along, values = _layer_names(rows), rows[column].tolist()
        return go.Bar(x=values, y=along, orientation="h", **look) if lying else go.Bar(x=along, y=values, **look)

    figure = make_subplots(
        1,
        2,
        subplot_titles=["Norm of Δ (s = 1)", "Share selected, %"],
        horizontal_spacing=0.04 if lying else 0.1,
        shared_yaxes=lying,
    )
    for method, rows in methods:
        look = style(str(method))
        marker = {"color": look.dark if dark else look.colour, "pattern": {"shape": _PATTERN.get(look.dash, "")}}
        shared = {"name": label(str(method)), "legendgroup": str(method)}
        figure.add_trace(bars(rows, "norm", marker=marker, **shared), 1, 1)
    figure.add_trace(bars(first, "share", marker={"color": "#8b949e"}, showlegend=False, name="selected"), 1, 2)
    inner = len(names) * (10 + 8 * len(methods)) if lying else 230
    figure.update_layout(template=template(dark), height=inner + 110, barmode="group")
    figure.update_layout(meta="Norm of Δ and share selected per layer", margin={"t": 64, "b": 46})
    figure.update_layout(legend={"y": 1 + 28 / inner})
    if lying:
        figure.update_yaxes(type="category", autorange="reversed")
        figure.update_xaxes(rangemode="tozero")
    else:
        figure.update_xaxes(type="category")
        figure.update_yaxes(rangemode="tozero")
    return figure


def _layer_names(rows: pd.DataFrame) -> list[str]:
    return [plain(f"{layer} ({kind})") for layer, kind in zip(rows["layer"], rows["kind"], strict=True)]


#: Bars have no dash: the pattern tells the methods apart without colour.
_PATTERN = {
    "solid": "",
    "dash": "/",
    "dot": ".",
    "dashdot": "x",
    "longdash": "-",
    "longdashdot": "+",
    DASH_DOT_DOT: "|",
}


def figures(result: Result, *, dark: bool = False) -> list[go.Figure]:
    """The curves and the layers as plotly figures, for exports and notebooks."""
    return [to_plotly(curves(result.tables["sweep"], result.spec), dark=dark), layers(result, dark=dark)]
