"""Pictures of fragility: pure functions of the result's tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

from gif_dash.figures.chart import Axis, Chart, Line, Quantity, decades, nearest, to_plotly
from gif_dash.figures.tables import Html, number, significant
from gif_dash.figures.theme import MARKERS, Style, stroke, template
from gif_dash.results import Result
from gif_dash.specs.fragility import USUAL

if TYPE_CHECKING:
    import plotly.graph_objects as go

#: The style of every kind of Hessian; no method's.
HESSIAN_STYLE = {
    "exact": Style("#4477AA", "#7fb0e0", "solid", "circle"),
    "rest": Style("#AA3377", "#e07fb0", "dash", "square"),
    "sample": Style("#228833", "#66c277", "dot", "diamond"),
    "lissa": Style("#B35806", "#f1a340", "dashdot", "triangle-up"),
}
HESSIAN_LABEL = {
    "exact": "exact Hessian (classic)",
    "rest": "Hessian of the rest, loss after the step",
    "sample": "Hessian of a sample",
    "lissa": "LiSSA",
}
#: What people read of what varies.
VARIED = {"width": "width", "depth": "hidden layers", "weight-decay": "weight decay μ", "damping": "damping λ/σ_max"}

_MEASURES = ("pearson", "spearman", "norm", "lambda_max", "test_accuracy")
_RETRAINED = Style("#000000", "#f2f2f2", "solid", "x", 1.5)
_NETWORK = Style("#767676", "#9a9a9a", "dot", "cross", 1.5)


def grid(spec: Mapping[str, Any]) -> list[float]:
    """The values of what varies."""
    return [float(value) for value in spec["values"] or USUAL[str(spec["vary"])]]


def named(hessian: str) -> Html:
    """Swatch and label of a kind of Hessian."""
    return Html(f'{stroke(HESSIAN_STYLE[hessian])}<span class="gd-method">{escape(HESSIAN_LABEL[hessian])}</span>')


def curves(summary: pd.DataFrame, spec: Mapping[str, Any]) -> Chart:
    """Correlations, norms of the parameters' change and the top eigenvalue against what varies.

    Args:
        summary: the table of that name, complete or partial; may be empty.
        spec: the question.

    Returns:
        A chart with a line per kind of Hessian, one for the retrained networks and one for the networks themselves;
        means over the seeds, error bars are one standard deviation.
    """
    lines = [_line(summary, str(kind)) for kind in spec["hessians"]] if len(summary) else []
    if len(summary):
        once = summary.drop_duplicates(["value", "seed"])
        lines.append(_only(once, "retrained", "retrained networks", _RETRAINED, "norm", "norm_retrained"))
        lines.append(_only(once, "network", "the networks", _NETWORK, "lambda_max", "lambda_max"))
    seeds = int(spec["seeds"])
    correlations = [v for line in lines for key in ("pearson", "spearman") for v in _all(line, key)]
    least = min([0.0, *correlations])
    low = -1.05 if least < -0.55 else -0.55 if least < 0 else -0.05
    norms = decades([value for line in lines for value in _all(line, "norm") if value > 0], floor=1e-8, ceiling=1e8)
    tops = decades([value for line in lines for value in _all(line, "lambda_max") if value > 0], floor=1e-8)
    bars = f"bars: ± one standard deviation over {seeds} networks" if seeds > 1 else "one network"
    quantities = (
        Quantity("pearson", "Pearson", "", 3, Axis("correlation", "linear", low, 1.05), "predicted, retrained"),
        Quantity("spearman", "Spearman", "", 3, Axis("rank correlation", "linear", low, 1.05), "predicted, retrained"),
        Quantity("norm", "Change of the parameters", "", 3, Axis("‖Δ‖, median", "log", *norms), "median"),
        Quantity("lambda_max", "Largest eigenvalue", "", 3, Axis("of the Hessian", "log", *tops), "at the optimum"),
        Quantity("test_accuracy", "Test accuracy", "%", 1),
    )
    return Chart(
        title=f"Agreement of predicted with retrained changes against {VARIED[str(spec['vary'])]}",
        x=_across(spec),
        quantities=quantities,
        lines=tuple(lines),
        symbol=VARIED[str(spec["vary"])],
        bands=bars if lines else "",
        points=True,
    )


def same_axis(chart: Chart, previous: Chart | None) -> Chart | None:
    """The run before, if it stands on the same kind of axis."""
    return previous if previous is not None and previous.x.title == chart.x.title else None


def _across(spec: Mapping[str, Any]) -> Axis:
    values, title = grid(spec), VARIED[str(spec["vary"])]
    low, high = min(values), max(values)
    if spec["vary"] == "depth":
        return Axis(title, "linear", low - 0.4, high + 0.4)
    positive = [value for value in values if value > 0] or [0.1]
    room = 1.35
    scale: Any = "zero-log" if low == 0 else "log"
    return Axis(title, scale, min(positive) / room, max(positive) * room)


def _all(line: Line, key: str) -> list[float]:
    ends = [*line.values[key], *line.low.get(key, ()), *line.high.get(key, ())]
    return [value for value in ends if math.isfinite(value)]


def _line(summary: pd.DataFrame, kind: str) -> Line:
    rows = summary[summary["hessian"] == kind].rename(columns={"norm_predicted": "norm"})
    rows = rows.assign(lambda_max=math.nan)
    return _over_seeds(rows, kind, HESSIAN_LABEL[kind], HESSIAN_STYLE[kind])


def _only(rows: pd.DataFrame, key: str, named: str, look: Style, measure: str, column: str) -> Line:
    """A line in one facet."""
    blank = dict.fromkeys(_MEASURES, math.nan) | {measure: rows[column]}
    return _over_seeds(rows[["value", "seed"]].assign(**blank), key, named, look)


def _over_seeds(rows: pd.DataFrame, key: str, named: str, look: Style) -> Line:
    groups = rows.groupby("value")[list(_MEASURES)]
    mean, spread = groups.mean(), groups.std()
    values = {measure: tuple(map(float, mean[measure])) for measure in _MEASURES}
    bars = [measure for measure in _MEASURES if spread[measure].notna().any()]
    low, high = (
        {measure: tuple(map(float, mean[measure] + sign * spread[measure])) for measure in bars} for sign in (-1, 1)
    )
    # on a logarithmic axis a bar that reaches 0 ends at a tenth of the mean
    for measure in set(bars) & {"norm", "lambda_max"}:
        low[measure] = tuple(max(end, 0.1 * middle) for end, middle in zip(low[measure], values[measure], strict=True))
    return Line(key, named, look, tuple(float(value) for value in mean.index), values, low, high)


# --- predicted against retrained at one setting -----------------------------------------------------------------------

_SIZE, _LEFT, _BOTTOM, _TOP, _RIGHT = 300, 58, 42, 10, 12


def nearest_value(spec: Mapping[str, Any], position: float) -> float:
    """The value nearest to a position of the marker, by the rule of the chart."""
    values = grid(spec)
    if spec["vary"] == "depth":
        return min(values, key=lambda value: abs(value - position))
    return values[nearest(values, position)]


def scatter_html(result: Result, value: float) -> str:
    """Predicted against retrained change of the test loss at one setting, one picture per kind of Hessian."""
    points = result.tables["points"]
    at, said = points[points["value"] == value], result.tables["summary"]
    said = said[said["value"] == value]
    parts = [
        _scatter(at[at["hessian"] == kind], kind, said[said["hessian"] == kind]) for kind in result.spec["hessians"]
    ]
    seeds = at["seed"].nunique()
    many = f"{seeds} networks, " if seeds > 1 else ""
    return (
        f"<h3>Predicted against retrained at {VARIED[result.spec['vary']]} = {value:g}</h3>"
        f'<p class="gd-help">Every point is one training example: {many}{len(at) // max(1, len(parts))} removals in '
        "all. On the dashed line the prediction is right; the two axes have scales of their own. Move the marker under "
        f'the plots.</p><div class="gd-spectra">{"".join(parts)}</div>'
    )


def _scatter(rows: pd.DataFrame, kind: str, said: pd.DataFrame) -> str:
    look = HESSIAN_STYLE[kind]
    rows = rows[rows["predicted"].map(math.isfinite) & rows["retrained"].map(math.isfinite)]
    words = f"{HESSIAN_LABEL[kind]}: Pearson {number(said['pearson'].mean(), 2)}"
    words += f", Spearman {number(said['spearman'].mean(), 2)}"
    if not len(rows):
        return f'<figure class="gd-spectrum"><figcaption>{escape(words)}: nothing finite</figcaption></figure>'
    (left, right), (low, high) = (_ends(rows[name]) for name in ("predicted", "retrained"))
    wide, tall = _SIZE - _LEFT - _RIGHT, _SIZE - _TOP - _BOTTOM - 40

    def across(value: float) -> float:
        return _LEFT + wide * (value - left) / (right - left)

    def up(value: float) -> float:
        return _TOP + tall * (1 - (value - low) / (high - low))

    frame = "fill:none;stroke:var(--gd-line)"
    parts = [f'<rect x="{_LEFT}" y="{_TOP}" width="{wide}" height="{tall}" style="{frame}"/>']
    start, end = max(left, low), min(right, high)
    if start < end:
        line = f"M{across(start):.1f},{up(start):.1f}L{across(end):.1f},{up(end):.1f}"
        parts.append(f'<path d="{line}" style="fill:none;stroke:var(--gd-muted)" stroke-dasharray="5 4"/>')
    if left < 0 < right:
        parts.append(f'<path d="M{across(0):.1f},{_TOP}v{tall}" style="fill:none;stroke:var(--gd-grid)"/>')
    if low < 0 < high:
        parts.append(f'<path d="M{_LEFT},{up(0):.1f}h{wide}" style="fill:none;stroke:var(--gd-grid)"/>')
    for value, anchor in ((left, "start"), (right, "end")):
        place = f'x="{across(value):.1f}" y="{_TOP + tall + 15}" text-anchor="{anchor}"'
        parts.append(f"<text {place}>{significant(value, 2)}</text>")
    for value, drop in ((low, 0), (high, 9)):
        place = f'x="{_LEFT - 5}" y="{up(value) + drop:.1f}" text-anchor="end"'
        parts.append(f"<text {place}>{significant(value, 2)}</text>")
    middle = _LEFT + wide / 2
    parts.append(f'<text x="{middle}" y="{_TOP + tall + 31}" text-anchor="middle">predicted change</text>')
    parts.append(
        f'<text transform="translate(13,{_TOP + tall / 2}) rotate(-90)" text-anchor="middle">retrained change</text>'
    )
    for row in rows.to_dict("records"):
        told = (
            f"training example {row['train_index']}: predicted {significant(row['predicted'])}, retrained "
            f"{significant(row['retrained'])}"
        )
        at = f"translate({across(row['predicted']):.1f},{up(row['retrained']):.1f})"
        drawn = f'd="{MARKERS[look.marker]}" style="fill:{look.css()};fill-opacity:.62"'
        parts.append(f'<path transform="{at}" {drawn}><title>{escape(told)}</title></path>')
    height = _TOP + tall + 38
    return (
        f'<figure class="gd-spectrum" role="img" aria-label="{escape(words)}; {len(rows)} points">'
        f"<figcaption>{escape(words)}</figcaption>"
        f'<svg viewBox="0 0 {_SIZE} {height}" width="100%" style="max-width:{_SIZE + 60}px;font:11px var(--gd-font)" '
        f'fill="var(--gd-muted)" aria-hidden="true">{"".join(parts)}</svg></figure>'
    )


def _ends(values: pd.Series[float]) -> tuple[float, float]:
    """A range that holds all values and zero, with some room."""
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    room = 0.06 * (high - low or 1.0)
    return low - room, high + room


def scatter(result: Result, value: float, *, dark: bool = False) -> go.Figure:
    """`scatter_html` as a plotly figure, for exports."""
    import plotly.graph_objects as go

    points = result.tables["points"]
    at, figure = points[points["value"] == value], go.Figure()
    for kind in result.spec["hessians"]:
        look, rows = HESSIAN_STYLE[kind], at[at["hessian"] == kind]
        figure.add_trace(
            go.Scatter(
                x=rows["predicted"],
                y=rows["retrained"],
                customdata=rows["train_index"],
                name=HESSIAN_LABEL[kind],
                mode="markers",
                marker={"symbol": look.marker, "color": look.dark if dark else look.colour, "opacity": 0.7},
                hovertemplate="example %{customdata}: predicted %{x:.4g}, retrained %{y:.4g}",
            )
        )
    low, high = _ends(at["retrained"])
    figure.add_trace(
        go.Scatter(x=[low, high], y=[low, high], name="right", mode="lines", line={"dash": "dash", "color": "#8b949e"})
    )
    title = f"Predicted against retrained at {VARIED[result.spec['vary']]} = {value:g}"
    figure.update_layout(template=template(dark), height=420, meta=title, margin={"t": 60})
    figure.update_xaxes(title={"text": "predicted change of the test loss"})
    figure.update_yaxes(title={"text": "retrained change of the test loss"})
    return figure


def figures(result: Result, value: float | None = None, *, dark: bool = False) -> Sequence[go.Figure]:
    """The curves, and the points at one setting (the first, by default), for exports and notebooks."""
    at = grid(result.spec)[0] if value is None else value
    chart = curves(result.tables["summary"], result.spec)
    return [to_plotly(chart, dark=dark), scatter(result, at, dark=dark)]
