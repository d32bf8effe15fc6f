"""Pictures of the spectrum: pure functions of the result's tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

from gif_dash.figures.chart import Axis, Chart, Line, Mark, Quantity, nearest, to_plotly
from gif_dash.figures.tables import significant
from gif_dash.figures.theme import Style, label, template
from gif_dash.results import Result

if TYPE_CHECKING:
    import plotly.graph_objects as go

#: The style of every loss; no method's.
LOSS_STYLE = {
    "cross-entropy": Style("#4477AA", "#7fb0e0", "solid", "circle"),
    "squared-error": Style("#AA3377", "#e07fb0", "dash", "square"),
}

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_PERCENT = Axis("%", "linear", -2.0, 30.0)


def curves(shares: pd.DataFrame, lissa: pd.DataFrame, spec: Mapping[str, Any]) -> Chart:
    """Negative eigenvalues, the smallest eigenvalue and the network's accuracy against α (Fig. 3 of the GIF paper).

    Args:
        shares: the table of that name, complete or partial; may be empty.
        lissa: likewise; may be empty.
        spec: the question, for the range of α and for what was counted.

    Returns:
        A chart with one line per loss, and a mark where LiSSA begins to converge.
    """
    alphas = [float(alpha) for alpha in spec["alphas"]]
    lines = tuple(_line(shares, str(loss)) for loss in spec["losses"] if len(_rows(shares, str(loss))))
    counted = f"Negative, of the {spec['count']} largest"
    quantities = (
        Quantity("negative_share", counted, "%", 1, _range(_PERCENT, lines, "negative_share"), "eigenvalues"),
        Quantity(
            "negative_share_all",
            "Negative, of all",
            "%",
            1,
            _range(_PERCENT, lines, "negative_share_all"),
            "eigenvalues",
        ),
        Quantity("lambda_min", "Smallest eigenvalue", "", 4, _around(lines, "lambda_min"), "LiSSA needs it above 0"),
        Quantity("test_accuracy", "Test accuracy", "%", 1, Axis("%", "linear", -3.0, 103.0), "of that network"),
        Quantity("lambda_max", "Largest eigenvalue", "", 3),
        Quantity("theta_norm", "‖θ‖", "", 2),
    )
    return Chart(
        title="Negative eigenvalues against the weight of the regulariser",
        x=_alpha_axis(alphas),
        quantities=quantities,
        lines=lines,
        marks=_marks(lissa, [str(loss) for loss in spec["losses"]]),
        symbol="α",
    )


def add_ghosts(chart: Chart, previous: Chart | None) -> Chart:
    """The chart with the run before in faint lines, where they have the same kind of axis."""
    if previous is None or previous.x.scale != chart.x.scale:
        return chart
    return replace(chart, ghosts=previous.lines)


def _alpha_axis(alphas: Sequence[float]) -> Axis:
    positive = [alpha for alpha in alphas if alpha > 0] or [0.01, 1.0]
    low, high = min(positive), max(positive)
    if low == high:
        low, high = low / 3, high * 3
    return Axis("weight of the regulariser α", "zero-log" if 0 in alphas else "log", low, high)


def _rows(table: pd.DataFrame, loss: str) -> pd.DataFrame:
    return table[table["loss"] == loss] if len(table) else table


def _line(shares: pd.DataFrame, loss: str) -> Line:
    rows = _rows(shares, loss).sort_values("alpha")
    keys = ("negative_share", "negative_share_all", "lambda_min", "lambda_max", "test_accuracy", "theta_norm")
    values = {key: tuple(float(value) for value in rows[key]) for key in keys}
    return Line(loss, label(loss), LOSS_STYLE[loss], tuple(float(alpha) for alpha in rows["alpha"]), values)


def _values(lines: Sequence[Line], key: str) -> list[float]:
    return [value for line in lines for value in line.values[key] if math.isfinite(value)]


def _range(axis: Axis, lines: Sequence[Line], key: str) -> Axis:
    most = max(_values(lines, key), default=0.0)
    high = next((step for step in (10.0, 20.0, 30.0, 50.0) if most <= step), 100.0)
    return replace(axis, low=-high / 25, high=high * 1.04)


def _around(lines: Sequence[Line], key: str) -> Axis:
    """A range that holds all values and zero."""
    values = _values(lines, key) or [-0.1, 0.1]
    low, high = min(0.0, *values), max(0.0, *values)
    room = 0.08 * (high - low or 1.0)
    return Axis("", "linear", low - room, high + room)


def converges_from(lissa: pd.DataFrame, loss: str) -> float | None:
    """The smallest α from which on LiSSA converges at every α computed, by the eigenvalues; None if there is none."""
    rows, found = _rows(lissa, loss), None
    if not len(rows):
        return None
    for _, row in rows.sort_values("alpha", ascending=False).iterrows():
        if row["verdict"] != "converges":
            break
        found = float(row["alpha"])
    return found


def _marks(lissa: pd.DataFrame, losses: Sequence[str]) -> tuple[Mark, ...]:
    marks = []
    for loss in losses:
        start = converges_from(lissa, loss)
        if start is not None:
            words = f"LiSSA converges from α = {start:g} on: {label(loss)}"
            marks.append(Mark(start, words, LOSS_STYLE[loss]))
    return tuple(marks)


# --- all eigenvalues at one α -----------------------------------------------------------------------------------------


def nearest_alpha(shares: pd.DataFrame, position: float) -> float:
    """The computed α nearest to a position of the marker, by the rule of the chart."""
    alphas = sorted(float(alpha) for alpha in set(shares["alpha"]))
    return alphas[nearest(alphas, position)]


def histogram_html(result: Result, alpha: float) -> str:
    """All eigenvalues at one α as bars: positive ones up, negative ones down, by magnitude; one picture per loss."""
    table = result.tables["histogram"]
    at = table[table["alpha"] == alpha]
    losses = list(dict.fromkeys(at["loss"]))
    shares = result.tables["shares"]
    zero = float(shares.loc[shares["alpha"] == alpha, "zero_up_to"].max())
    known = "" if set(shares["eigensolver"]) == {"dense"} else "; numbers estimated from random vectors"
    largest = float(at["count"].max())
    parts = [_bars(at[at["loss"] == loss], loss, largest) for loss in losses]
    return (
        f"<h3>All eigenvalues at α = {alpha:g}</h3>"
        '<p class="gd-help">Up: positive, down: negative; bars by magnitude, two to a factor of ten, their height '
        "logarithmic in the number written on them. 0: magnitudes up to "
        f"{significant(zero)}{known}. Move α under the plots.</p>"
        f'<div class="gd-spectra">{"".join(parts)}</div>'
    )


def _bars(rows: pd.DataFrame, loss: str, largest: float) -> str:
    look = LOSS_STYLE[loss]
    by_sign = {sign: part.set_index("low")["count"] for sign, part in rows.groupby("sign")}
    zero = float(by_sign["zero"].sum())
    lows = sorted(by_sign["positive"].index)
    columns = [_column(zero, 0.0, largest, "0", "zero")]
    for low in lows:
        up, down = float(by_sign["positive"][low]), float(by_sign["negative"][low])
        exponent = math.log10(low)
        whole = abs(exponent - round(exponent)) < 0.01 and low > lows[0]
        named = f"10{str(round(exponent)).translate(_SUPERSCRIPT)}" if whole else ""
        columns.append(_column(up, down, largest, named, ""))
    total = float(rows["count"].sum())
    negative = float(by_sign["negative"].sum())
    told = (
        f"{label(loss)}: {_whole(total - negative - zero)} positive, {_whole(negative)} negative and {_whole(zero)} "
        f"zero of {_whole(total)} eigenvalues"
    )
    return (
        f'<figure class="gd-spectrum" role="img" aria-label="{escape(told)}" style="--bar:{look.css()}">'
        f"<figcaption>{escape(told)}</figcaption>"
        f'<div class="gd-spectrum-bars" aria-hidden="true">{"".join(columns)}</div></figure>'
    )


def _whole(count: float) -> str:
    return f"{count:,.0f}".replace(",", "\u202f")


def _column(up: float, down: float, largest: float, named: str, kind: str) -> str:
    def bar(count: float, place: str) -> str:
        if count < 0.5:
            return f'<i class="{place}"></i>'
        share = 100 * math.log1p(count) / math.log1p(largest)
        return f'<i class="{place}" style="--part:{share:.1f}%"><b>{_whole(count)}</b></i>'

    return f'<span class="{kind}">{bar(up, "up")}<em>{named}</em>{bar(down, "down")}</span>'


def histogram(result: Result, alpha: float, *, dark: bool = False) -> go.Figure:
    """`histogram_html` as a plotly figure, for exports."""
    import plotly.graph_objects as go

    table = result.tables["histogram"]
    at = table[(table["alpha"] == alpha) & (table["count"] > 0)]
    figure = go.Figure()
    for loss, rows in at.groupby("loss", sort=False):
        look = LOSS_STYLE[str(loss)]
        named = [
            "0" if row["sign"] == "zero" else f"{'−' if row['sign'] == 'negative' else ''}{row['low']:.2g}"
            for _, row in rows.iterrows()
        ]
        signed = rows["count"].where(rows["sign"] != "negative", -rows["count"])
        places = rows["low"].where(rows["sign"] != "zero", rows["high"] / 10)
        figure.add_trace(
            go.Scatter(
                x=places,
                y=signed,
                customdata=named,
                name=label(str(loss)),
                mode="markers+lines",
                line={"width": 0.5, "color": look.dark if dark else look.colour},
                marker={"symbol": look.marker, "color": look.dark if dark else look.colour},
                hovertemplate="from %{customdata}: %{y:.0f}",
            )
        )
    figure.update_layout(
        template=template(dark), height=360, meta=f"All eigenvalues at α = {alpha:g}", margin={"t": 60}
    )
    figure.update_xaxes(type="log", title={"text": "magnitude of the eigenvalue"})
    figure.update_yaxes(title={"text": "number (negative eigenvalues below 0)"})
    return figure


def figures(result: Result, *, dark: bool = False) -> list[go.Figure]:
    """The curves and the spectra at the first and the last α, for exports and notebooks."""
    chart = curves(result.tables["shares"], result.tables["lissa"], result.spec)
    alphas = result.spec["alphas"]
    ends = dict.fromkeys((alphas[0], alphas[-1]))
    return [to_plotly(chart, dark=dark), *(histogram(result, alpha, dark=dark) for alpha in ends)]
