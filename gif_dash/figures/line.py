"""Pictures of the line with two outliers: what the page draws by itself, the table, the words, and a plotly figure.

The page repeats the closed forms of `gif_dash.line` for what is being dragged; all that leaves it is made here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gif_dash import line
from gif_dash.experiments.line import drawn, kept, placed, target
from gif_dash.figures.tables import html_table, significant
from gif_dash.figures.theme import template
from gif_dash.results import Result
from gif_dash.specs import LineSpec
from gif_dash.specs.line import DECIMALS, FARTHEST_X, FARTHEST_Y, FEWEST

if TYPE_CHECKING:
    import plotly.graph_objects as go

#: Colour and plotly symbol of what an influence says; the shape tells the sign where there is no colour.
LOOKS = {"helpful": ("#0072B2", "circle"), "harmful": ("#D55E00", "square"), "neither": ("#767676", "circle")}

#: What stands in a heading; the columns of the table on the page, in this order.
TITLES = {
    "index": "point",
    "x": "x",
    "y": "y",
    "residual": "residual ŷ − y",
    "leverage": "leverage h",
    "influence": "influence I",
    "predicted": "predicted −I/N",
    "first_order": "2·r_t·δ",
    "square": "δ²",
    "exact_removal": "m/(N−m)·H_R⁻¹",
    "left_out": "left out",
    "effect": "by influence",
}

#: A prediction within this share of the truth counts as near.
NEAR = 0.1


def picture(spec: LineSpec) -> dict[str, Any]:
    """What the page draws, as JSON values: data as drawn, true line, test point of a reset, limits of dragging."""
    x, y = drawn(spec)
    return {
        "x": x.tolist(),
        "y": y.tolist(),
        "slope": line.TRUE_SLOPE,
        "intercept": line.TRUE_INTERCEPT,
        "test": [LineSpec().test_x, LineSpec().test_offset],
        "decay": spec.decay,
        "farthest": [FARTHEST_X, FARTHEST_Y],
        "decimals": DECIMALS,
        "fewest": FEWEST,
        "freedom": line.LEAST_FREEDOM,
    }


def summary(result: Result) -> pd.DataFrame:
    """The columns that a terminal shows."""
    return result.table.drop(columns=["first_order", "square", "exact_removal"])


def table_html(result: Result) -> str:
    """Every point as a row of an HTML table, and how to read it."""
    frame = result.table[list(TITLES)]
    formats = {name: (lambda value: significant(value, 4)) for name in TITLES if name not in ("index", "effect")}
    note = "What removing each point does to the loss of the test point"
    return html_table(frame, caption=note, titles=TITLES, formats=formats, row_header="index") + (
        '<p class="gd-help">predicted: first order in the parameters and in the loss. 2·r_t·δ: the exact step of the '
        "parameters, the loss of the test point to first order; δ² is what that leaves out. m/(N−m)·H_R⁻¹: the "
        "influence function in its exact form, with the Hessian of the other points, and the loss measured. left out: "
        "the line fitted again without the point.</p>"
    )


def words(result: Result) -> list[str]:
    """Two paragraphs of HTML: who helps and who harms; where prediction and truth agree, and why not elsewhere."""
    table, fit = result.table, values(result)
    return [_who(table, fit), _agreement(table, fit, result.spec["decay"])]


def values(result: Result) -> dict[str, float]:
    """The table ``fit`` as a dictionary."""
    fit = result.tables["fit"]
    return dict(zip(fit["quantity"].tolist(), fit["value"].tolist(), strict=True))


def _who(table: pd.DataFrame, fit: dict[str, float]) -> str:
    place = f"x = {_short(fit['test_x'])}, y = {_short(fit['test_y'])}"
    at = f"The test point at {place} has the loss {_n(fit['test_loss'])}."
    if not (table["influence"] != 0).any():
        return f"{at} It lies on the fitted line: to first order no point has any influence on its loss."
    said = [at]
    for which, kind, what in (
        (table["predicted"].argmin(), "harmful", "lower"),
        (table["predicted"].argmax(), "helpful", "raise"),
    ):
        row = table.iloc[int(which)]
        if row["effect"] != kind:
            said.append(f"No point is {kind}.")
            continue
        said.append(
            f"<strong>Most {kind} is {_point(row)}</strong>: removing it is predicted to {what} that by "
            f"{_n(abs(row['predicted']))}, leaving it out {_really(row['left_out'])}."
        )
    return " ".join(said)


def _really(change: float) -> str:
    if np.isnan(change):
        return "leaves no unique line"
    return f"really {'raises' if change > 0 else 'lowers'} it by {_n(abs(change))}"


def _agreement(table: pd.DataFrame, fit: dict[str, float], decay: float) -> str:
    known = table.dropna(subset="left_out")
    undefined = len(table) - len(known)
    if not len(known):
        return "No point can be left out: the others leave no unique line."
    gap = known["left_out"] - known["predicted"]
    near = int((gap.abs() <= NEAR * known["left_out"].abs()).sum())
    same = int((np.sign(known["predicted"]) == np.sign(known["left_out"])).sum())
    row = known.iloc[int(gap.abs().argmax())]
    said = (
        f"Prediction and leave-one-out agree within {NEAR:.0%} for {near} of {len(known)} points, in sign for {same}. "
        f"They differ most for {_point(row)}: predicted {_n(row['predicted'])}, left out {_n(row['left_out'])}. "
    )
    step = row["first_order"] - row["predicted"]
    if decay == 0:
        factor = f"its leverage h = {_n(row['leverage'])}, by the factor 1/(1 − h) = {_n(1 / (1 - row['leverage']))}"
    else:
        factor = "the Hessian of the other points and the weight decay, which stays when the point leaves"
    said += (
        f"Of the gap, {_n(step)} comes from {factor}, and {_n(row['square'])} from δ², as the prediction moves by δ = "
        f"{_n(_shift(row, fit))} and the test loss is a parabola, not a straight line"
    )
    said += ": it cannot fall below 0." if row["predicted"] < -fit["test_loss"] else "."
    if undefined:
        said += f" {undefined} point{'s' if undefined > 1 else ''} cannot be left out: the others leave no unique line."
    return said


def _shift(row: pd.Series[Any], fit: dict[str, float]) -> float:
    """δ, from 2·r_t·δ and δ²: where r_t is 0, its sign is not known."""
    residual = fit["test_prediction"] - fit["test_y"]
    size = float(np.sqrt(row["square"]))
    return float(np.copysign(size, row["first_order"] * residual)) if residual else size


def _point(row: pd.Series[Any]) -> str:
    return f"point {int(row['index'])} (x = {_short(row['x'])})"


def _short(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")


def _n(value: float) -> str:
    return significant(float(value), 3)


def to_plotly(result: Result, *, dark: bool = False, height: int = 520) -> go.Figure:
    """Points and lines on the left, prediction against leave-one-out on the right, as one plotly figure."""
    from plotly.subplots import make_subplots

    spec = LineSpec.parse({name: value for name, value in result.spec.items() if name != "experiment"})
    table, fit = result.table, values(result)
    ink, faint = ("#e6e8eb", "#9aa2ab") if dark else ("#1f2328", "#767676")
    figure = make_subplots(
        cols=2, subplot_titles=("Points, by their influence on the test point", "Predicted against left out")
    )
    ends = np.array([min(-6.0, *table["x"], fit["test_x"]), max(6.0, *table["x"], fit["test_x"])])
    lines = {
        "fitted line": (fit["slope"] * ends + fit["intercept"], {"color": ink}),
        "true line": (line.truth(ends), {"color": faint, "dash": "dot", "width": 1.5}),
    }
    for name, (y, look) in lines.items():
        figure.add_scatter(x=ends, y=y, mode="lines", name=name, line=look, hoverinfo="skip", row=1, col=1)
    largest = float(table["influence"].abs().max()) or 1.0
    for kind, (colour, symbol) in LOOKS.items():
        rows = table[table["effect"] == kind]
        if not len(rows):
            continue
        sizes = 7 + 14 * np.sqrt(rows["influence"].abs() / largest)
        texts = [
            f"point {index}: {kind}, I = {significant(value)}"
            for index, value in zip(rows["index"], rows["influence"], strict=True)
        ]
        marker = {"color": colour, "symbol": symbol, "size": sizes, "line": {"color": ink, "width": 0.6}}
        hover = "%{text}<br>(%{x:.4g}, %{y:.4g})<extra></extra>"
        figure.add_scatter(
            x=rows["x"],
            y=rows["y"],
            mode="markers",
            name=kind,
            marker=marker,
            text=texts,
            hovertemplate=hover,
            row=1,
            col=1,
        )
        figure.add_scatter(
            x=rows["predicted"],
            y=rows["left_out"],
            mode="markers",
            showlegend=False,
            marker={"color": colour, "symbol": symbol, "size": 8},
            text=texts,
            hovertemplate=hover,
            row=1,
            col=2,
        )
    gone = sorted(set(range(spec.points)) - set(kept(spec)))
    if gone:
        x, y = placed(spec)
        figure.add_scatter(
            x=x[gone],
            y=y[gone],
            mode="markers",
            name="removed",
            marker={"symbol": "circle-open", "color": faint},
            row=1,
            col=1,
        )
    test_x, test_y = target(spec)
    figure.add_scatter(
        x=[test_x],
        y=[test_y],
        mode="markers",
        name="test point",
        marker={"symbol": "star-diamond-open", "size": 15, "color": ink, "line": {"width": 2, "color": ink}},
        row=1,
        col=1,
    )
    both = table[["predicted", "left_out"]].to_numpy(dtype=float)
    span = np.array([min(0.0, float(np.nanmin(both))), max(0.0, float(np.nanmax(both)))])
    figure.add_scatter(
        x=span, y=span, mode="lines", name="predicted = left out", line={"color": faint, "dash": "dash"}, row=1, col=2
    )
    figure.update_xaxes(title="x", row=1, col=1)
    figure.update_yaxes(title="y", row=1, col=1)
    figure.update_xaxes(title="predicted change of the test loss, −I/N", row=1, col=2)
    figure.update_yaxes(title="change when left out", row=1, col=2)
    figure.update_layout(template=template(dark), height=height, margin={"t": 110}, legend={"y": 1.1})
    figure.update_layout(meta="The line with two outliers: influence of every point, and the truth beside it")
    return figure
