"""A line chart in neutral words: what is drawn, not how.

One description serves the page's own instant drawing (`gif_dash.panels.chart`) and plotly (exports, notebooks). Several
quantities are drawn in facets over one shared horizontal axis; a quantity without an axis appears in read-outs only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from gif_dash.figures.theme import DASHES, MARKERS, Style, template

if TYPE_CHECKING:
    import plotly.graph_objects as go

Scale = Literal["linear", "log", "zero-log"]

#: Width of the place for zero on a "zero-log" axis, as a share of the axis.
ZERO_SHARE = 0.05


@dataclass(frozen=True)
class Axis:
    """A numeric axis with a fixed range, so that nothing jumps while something moves.

    Attributes:
        title: in the field's words, unit included.
        scale: "zero-log" has a place for exactly 0 at its left end, then a logarithmic scale from `low`.
        low, high: the range; positive unless the scale is linear.
    """

    title: str
    scale: Scale = "linear"
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.scale != "linear" and self.low <= 0):
            raise ValueError(f"axis {self.title!r} cannot go from {self.low} to {self.high} on a {self.scale} scale")


@dataclass(frozen=True)
class Quantity:
    """Something measured along the horizontal axis.

    Attributes:
        key: column name of the values.
        title: in the field's words.
        unit: "%", or nothing.
        decimals: digits after the point in read-outs.
        axis: the facet's vertical axis; None for a quantity of the read-out only.
        note: what it was measured on, in two or three words.
    """

    key: str
    title: str
    unit: str = ""
    decimals: int = 3
    axis: Axis | None = None
    note: str = ""


@dataclass(frozen=True)
class Line:
    """One method's curve in every facet.

    Attributes:
        key, label: name and what people read.
        x: positions in increasing order, length n.
        values: per quantity n numbers; NaN where there is none.
        low, high: ends of a band (or of error bars) around the values, likewise; for some quantities, or for none.
    """

    key: str
    label: str
    style: Style
    x: tuple[float, ...]
    values: Mapping[str, tuple[float, ...]]
    low: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    high: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Level:
    """A reference that does not depend on the horizontal position: a horizontal line, with its spread where known."""

    key: str
    label: str
    style: Style
    values: Mapping[str, float]
    low: Mapping[str, float] = field(default_factory=dict)
    high: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Mark:
    """A vertical mark at x; with a style it belongs to one line, without it to all."""

    x: float
    label: str
    style: Style | None = None


@dataclass(frozen=True)
class Chart:
    """The whole picture. `ghosts` are lines of the run before, drawn faintly and left out of read-outs.

    Attributes:
        symbol: how the horizontal quantity is called in read-outs.
        bands: what the lines' bands show, for the legend; empty where there are none.
        points: whether the horizontal positions are few: every point is drawn with its marker and its error bar, those
            of several lines side by side.
    """

    title: str
    x: Axis
    quantities: tuple[Quantity, ...]
    lines: tuple[Line, ...] = ()
    levels: tuple[Level, ...] = ()
    marks: tuple[Mark, ...] = ()
    ghosts: tuple[Line, ...] = ()
    symbol: str = "x"
    bands: str = ""
    points: bool = False

    def facets(self) -> tuple[Quantity, ...]:
        """The quantities that have a plot of their own."""
        return tuple(quantity for quantity in self.quantities if quantity.axis is not None)

    def with_ghosts_of(self, previous: Chart | None) -> Chart:
        """The same chart with the lines of another one as ghosts."""
        return replace(self, ghosts=previous.lines if previous is not None else ())

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values for the page; not-a-number and infinities become None."""
        plain: dict[str, Any] = _plain(asdict(self))
        plain["dashes"], plain["markers"], plain["zero_share"] = DASHES, MARKERS, ZERO_SHARE
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def nearest(x: Sequence[float], position: float) -> int:
    """Index of the computed point nearest to a position: in logarithmic distance, and 0 only for 0 itself.

    The page's own drawing uses the same rule.
    """
    if position <= 0:
        return min(range(len(x)), key=lambda i: abs(x[i]))
    positive = [i for i in range(len(x)) if x[i] > 0]
    if not positive:
        return 0
    return min(positive, key=lambda i: abs(math.log(x[i] / position)))


def decades(values: Sequence[float], *, floor: float = 1e-4, ceiling: float = 1e5) -> tuple[float, float]:
    """Whole decades that hold all finite values, inside [floor, ceiling]; for a logarithmic axis."""
    inside = [min(max(value, floor), ceiling) for value in values if math.isfinite(value)]
    if not inside:
        return 1e-2, 1e1
    low = 10.0 ** math.floor(math.log10(min(inside)) + 1e-9)
    high = 10.0 ** math.ceil(math.log10(max(inside)) - 1e-9)
    return low, high if high > low else low * 10


def hold(axis: Axis, before: Axis | None) -> Axis:
    """The axis widened to hold the range it had before, so that a running plot only ever grows."""
    if before is None or before.scale != axis.scale:
        return axis
    return replace(axis, low=min(axis.low, before.low), high=max(axis.high, before.high))


def to_plotly(chart: Chart, *, dark: bool = False, columns: int = 2, height: int = 640) -> go.Figure:
    """The chart as a plotly figure, one subplot per facet with shared legend entries."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    facets = chart.facets()
    rows = math.ceil(len(facets) / columns)
    titles = [quantity.title + (f" ({quantity.note})" if quantity.note else "") for quantity in facets]
    figure = make_subplots(rows, columns, subplot_titles=titles, horizontal_spacing=0.09, vertical_spacing=0.19)
    for place, quantity in enumerate(facets):
        row, column = place // columns + 1, place % columns + 1
        for line in () if chart.points else chart.lines:
            for trace in _band_traces(go, chart, line, quantity, dark):
                figure.add_trace(trace, row, column)
        for line, faint in [(line, True) for line in chart.ghosts] + [(line, False) for line in chart.lines]:
            figure.add_trace(_trace(go, chart, line, quantity, dark, faint, place == 0), row, column)
        for level in chart.levels:
            for trace in _level_traces(go, chart, level, quantity, dark, place == 0):
                figure.add_trace(trace, row, column)
        for mark in chart.marks:
            colour = _colour(mark.style, dark) if mark.style else "#8b949e"
            figure.add_vline(
                _place(chart.x, mark.x), line={"color": colour, "width": 1, "dash": "dot"}, row=row, col=column
            )
        assert quantity.axis is not None
        figure.update_xaxes(_axis(chart.x), row=row, col=column)
        figure.update_yaxes(_axis(quantity.axis), row=row, col=column)
    figure.update_layout(template=template(dark), height=height, meta=chart.title, margin={"t": 90})
    figure.update_layout(legend={"y": 1.07})
    return figure


def _colour(style: Style, dark: bool) -> str:
    return style.dark if dark else style.colour


def _trace(go: Any, chart: Chart, line: Line, quantity: Quantity, dark: bool, faint: bool, legend: bool) -> go.Scatter:
    colour = _colour(line.style, dark)
    return go.Scatter(
        x=[_place(chart.x, x) for x in line.x],
        y=list(line.values[quantity.key]),
        customdata=list(line.x),
        name=line.label + (" (run before)" if faint else ""),
        legendgroup=line.key + ("-before" if faint else ""),
        showlegend=legend,
        opacity=0.3 if faint else 1.0,
        mode="lines" if faint or not line.style.marker else "lines+markers",
        line={"color": colour, "dash": line.style.dash, "width": line.style.width},
        marker={"symbol": line.style.marker or "circle", "size": 5, "color": colour},
        hovertemplate=f"{chart.symbol} = %{{customdata:.4g}}<br>{quantity.title}: %{{y:.4g}} {quantity.unit}",
        error_y=_error_bars(line, quantity) if chart.points and not faint else None,
    )


def _error_bars(line: Line, quantity: Quantity) -> dict[str, Any] | None:
    if quantity.key not in line.low or quantity.key not in line.high:
        return None
    values, low, high = line.values[quantity.key], line.low[quantity.key], line.high[quantity.key]
    up = [top - value for value, top in zip(values, high, strict=True)]
    down = [value - end for value, end in zip(values, low, strict=True)]
    return {"type": "data", "array": up, "arrayminus": down, "thickness": 1.5, "width": 4}


def runs(line: Line, key: str) -> list[list[int]]:
    """Places of a line that have a band, cut where there is none; every run has at least two places."""
    if key not in line.low or key not in line.high:
        return []
    found: list[list[int]] = [[]]
    for place, ends in enumerate(zip(line.low[key], line.high[key], strict=True)):
        if all(map(math.isfinite, ends)):
            found[-1].append(place)
        elif found[-1]:
            found.append([])
    return [run for run in found if len(run) > 1]


def _band_traces(go: Any, chart: Chart, line: Line, quantity: Quantity, dark: bool) -> list[go.Scatter]:
    """The band of a line, one closed outline per run of its points."""
    traces = []
    for run in runs(line, quantity.key):
        along = [_place(chart.x, line.x[place]) for place in run]
        low, high = ([ends[quantity.key][place] for place in run] for ends in (line.low, line.high))
        outline = {"x": [*along, *along[::-1]], "y": [*low, *high[::-1]], "fill": "toself", "mode": "none"}
        look = {"fillcolor": _colour(line.style, dark), "opacity": 0.15, "hoverinfo": "skip", "showlegend": False}
        traces.append(go.Scatter(**outline, **look, legendgroup=line.key))
    return traces


def _level_traces(
    go: Any, chart: Chart, level: Level, quantity: Quantity, dark: bool, legend: bool
) -> list[go.Scatter]:
    if not math.isfinite(level.values.get(quantity.key, math.nan)):
        return []
    ends = [_place(chart.x, 0.0 if chart.x.scale == "zero-log" else chart.x.low), _place(chart.x, chart.x.high)]
    colour = _colour(level.style, dark)
    traces = []
    if quantity.key in level.low:
        low, high = level.low[quantity.key], level.high[quantity.key]
        band = {"x": [*ends, *ends[::-1]], "y": [low, low, high, high], "fill": "toself", "mode": "none"}
        traces.append(
            go.Scatter(
                **band, fillcolor=colour, opacity=0.15, hoverinfo="skip", showlegend=False, legendgroup=level.key
            )
        )
    traces.append(
        go.Scatter(
            x=ends,
            y=[level.values[quantity.key]] * 2,
            name=level.label,
            legendgroup=level.key,
            showlegend=legend,
            mode="lines",
            line={"color": colour, "dash": level.style.dash, "width": level.style.width},
            hovertemplate=f"{level.label}: %{{y:.4g}} {quantity.unit}<extra></extra>",
        )
    )
    return traces


def _place(axis: Axis, x: float) -> float:
    """Where x goes on plotly's axis: zero of a "zero-log" axis stands in the place left of its first decade."""
    return _zero(axis) if axis.scale == "zero-log" and x <= 0 else x


def _zero(axis: Axis) -> float:
    span = math.log10(axis.high / axis.low)
    return float(axis.low * 10 ** (-span * ZERO_SHARE / (1 - ZERO_SHARE)))


def _axis(axis: Axis) -> dict[str, Any]:
    if axis.scale == "linear":
        return {"title": {"text": axis.title}, "range": [axis.low, axis.high]}
    first = axis.low if axis.scale == "log" else _zero(axis)
    described: dict[str, Any] = {
        "title": {"text": axis.title},
        "type": "log",
        "range": [math.log10(first) - 0.02, math.log10(axis.high)],
    }
    if axis.scale == "zero-log":
        powers = [10.0**n for n in range(math.ceil(math.log10(axis.low)), math.floor(math.log10(axis.high)) + 1)]
        described |= {"tickvals": [first, *powers], "ticktext": ["0", *(f"{power:g}" for power in powers)]}
    return described
