"""Tables of the selection criteria as accessible HTML: pure functions of the result's tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd

from gif_dash import published
from gif_dash.figures.criteria import MARKS, MEASURES, records
from gif_dash.figures.tables import Html, html_table, number, significant
from gif_dash.figures.theme import label, named
from gif_dash.results import Result

#: Differences of more standard errors than this are called shown.
BEYOND = 2.0

#: The paper's finding (Table 1): the first of each pair forgets more and costs less than the second, at every MR.
PAPER = (
    ("top-outputs", "threshold"),
    ("top-outputs", "random"),
    ("top-gradients", "threshold"),
    ("top-gradients", "random"),
)
#: What the negative controls are for: the first of each pair should do better than the second.
CONTROLS = (("top-outputs", "lowest-outputs"), ("top-gradients", "lowest-gradients"))
#: What is compared, and whether more of it is better for whom the paper's finding holds.
COMPARED = (("score", True), ("self_loss", True), ("test_loss", False))


def differences(cells: pd.DataFrame, mark: str) -> pd.DataFrame:
    """The first minus the second criterion of every pair that was measured.

    Args:
        cells: the table of that name.
        mark: "best" or "one".

    Returns:
        Columns family ("paper" or "control"), a, b, mr, quantity, difference, error, verdict ("holds", "opposite",
        "undecided"). The error is that of the difference of two independent means; as both were measured on the same
        images, it is rather too large than too small. "holds" and "opposite" are beyond `BEYOND` errors.
    """
    rows = {(row["criterion"], row["mr"]): row for row in records(cells[cells["mark"] == mark])}
    found = []
    for family, pairs in (("paper", PAPER), ("control", CONTROLS)):
        for a, b in pairs:
            for mr in sorted({mr for _, mr in rows}):
                if (a, mr) not in rows or (b, mr) not in rows:
                    continue
                one, other = rows[a, mr], rows[b, mr]
                for quantity, more in COMPARED:
                    difference = float(one[quantity]) - float(other[quantity])
                    error = math.hypot(float(one[f"{quantity}_se"]), float(other[f"{quantity}_se"]))
                    verdict = _verdict(difference if more else -difference, error)
                    found.append((family, a, b, mr, quantity, difference, error, verdict))
    names = ["family", "a", "b", "mr", "quantity", "difference", "error", "verdict"]
    return pd.DataFrame(found, columns=names)


def _verdict(gain: float, error: float) -> str:
    if not abs(gain) > BEYOND * error:  # also where one of them is not a number
        return "undecided"
    return "holds" if gain > 0 else "opposite"


def differences_html(cells: pd.DataFrame, mark: str) -> str:
    """`differences` as an HTML table, one row per pair and MR."""
    found = differences(cells, mark)
    if not len(found):
        return "<p>None of the pairs that the paper compares was measured.</p>"
    shown = []
    for _, rows in found.groupby(["family", "a", "b", "mr"], sort=False):
        first = records(rows)[0]
        row: dict[str, Any] = {
            "pair": f"{named(first['a'])} minus {escape(label(first['b']))}",
            "mr": first["mr"],
        }
        for each in records(rows):
            places = next(measure.decimals for measure in MEASURES if measure.key == each["quantity"])
            known = math.isfinite(each["difference"])
            signed = f"{each['difference']:+.{places}f}".replace("-", "−") if known else "–"
            error, verdict = number(each["error"], places), each["verdict"]
            row[each["quantity"]] = f"{signed} ± {error} <span class='gd-muted'>{verdict}</span>"
        shown.append(row)
    return html_table(
        pd.DataFrame(shown),
        caption=f"Differences between criteria {_where(mark)}, with their standard errors",
        titles={
            "pair": "",
            "mr": "MR, %",
            "score": "Score",
            "self_loss": "Self loss",
            "test_loss": "Test loss",
        },
        formats={
            "mr": lambda mr: f"{mr:g}",
            **dict.fromkeys(("pair", *(quantity for quantity, _ in COMPARED)), Html),  # made above
        },
        row_header="pair",
    )


def _where(mark: str) -> str:
    return f"at {dict(MARKS)[mark]}"


def ours_html(cells: pd.DataFrame, spec: Mapping[str, Any], mark: str, title: str) -> str:
    """Self loss / test loss, in the layout of the paper's Table 1.

    Args:
        title: of the scenario.
    """
    rows = {(row["criterion"], row["mr"]): row for row in records(cells[cells["mark"] == mark])}
    frame = [
        {
            "criterion": criterion,
            **{f"{mr:g}": _losses(rows.get((criterion, mr))) for mr in spec["mrs"]},
        }
        for criterion in spec["criteria"]
    ]
    caption = f"Here: {title}, {label(spec['method'])}, {_where(mark)}; self loss / test loss"
    return _layout(pd.DataFrame(frame), caption, spec["mrs"])


def published_html() -> str:
    """The paper's Table 1, named as published."""
    table = published.criteria()
    frame = [
        {
            "criterion": criterion,
            **{f"{row['mr']:g}": _losses(row, 2) for row in records(rows)},
        }
        for criterion, rows in table.groupby("criterion", sort=False)
    ]
    return _layout(
        pd.DataFrame(frame), f"Published: {published.CRITERIA_SETTING}; self loss / test loss", published.CRITERIA_MRS
    )


def _losses(row: Mapping[str, Any] | None, places: int = 3) -> str:
    if row is None:
        return "–"
    return f"{number(float(row['self_loss']), 2)} / {number(float(row['test_loss']), places)}"


def _layout(frame: pd.DataFrame, caption: str, mrs: Sequence[float]) -> str:
    return html_table(
        frame,
        caption=caption,
        titles={"criterion": "", **{f"{mr:g}": f"MR {mr:g} %" for mr in mrs}},
        formats={"criterion": lambda name: Html(named(name))},
        row_header="criterion",
    )


#: Columns of the table of all cells, in this order.
TITLES = {
    "criterion": "",
    "mr": "MR, %",
    "where": "",
    "scalar": "s",
    "test_accuracy": "Test accuracy, %",
    "self_accuracy": "Self accuracy, %",
    "score": "Score",
    "test_loss": "Test loss",
    "self_loss": "Self loss",
    "forget_accuracy": "Forget accuracy, %",
    "k": "k",
    "share": "k/p, %",
    "hvps": "HVPs",
    "seconds": "Solve, s",
    "relative_residual": "‖Hx−g‖/‖g‖",
    "norm_ratio": "‖Δ‖/‖θ̂‖",
    "rho": "ρ(s)",
    "status": "Solver",
}


def cells_html(result: Result) -> str:
    """Every row of the main table as an HTML table."""
    frame = result.table
    said = frame["message"].where(frame["mark"] == "failed", frame["status"])
    shown = frame.assign(
        criterion=frame["criterion"].where(frame["criterion"] != "", frame["method"]),
        where=frame["mark"].map({"best": "best s", "one": "s = 1", "failed": "failed"}).fillna(""),
        status=said,
        **{key: _with_error(frame, key) for key in ("score", "test_loss", "self_loss")},
    )
    places = {measure.key: measure.decimals for measure in MEASURES}
    percent = ("test_accuracy", "self_accuracy", "forget_accuracy", "share")
    return html_table(
        shown[list(TITLES)],
        caption="All cells, with standard errors; " + images(result),
        titles=TITLES,
        row_header="criterion",
        formats={
            "criterion": lambda name: Html(named(name)),
            "mr": lambda mr: "" if math.isnan(mr) else f"{mr:g}",
            "scalar": significant,
            **{name: (lambda value: number(value, 1)) for name in percent},
            **dict.fromkeys(("score", "test_loss", "self_loss"), str),
            "k": lambda value: number(value, 0),
            "hvps": lambda value: number(value, 0),
            "seconds": lambda value: number(value, 2),
            "relative_residual": significant,
            "norm_ratio": significant,
            "rho": lambda value: number(value, places["score"]),
            "status": str,
        },
    )


def _with_error(frame: pd.DataFrame, key: str) -> list[str]:
    places = next(measure.decimals for measure in MEASURES if measure.key == key)
    return [
        number(value, places) + (f" ± {number(error, places)}" if math.isfinite(error) else "")
        for value, error in zip(frame[key], frame[f"{key}_se"], strict=True)
    ]


def images(result: Result) -> str:
    """What was measured on, in words."""
    count = int(result.table["images"].dropna().max())
    if result.spec["report"] == "whole":
        return f"measured on all {count} test images, on which every best s was chosen too (as published)"
    return f"measured on the {count} test images that had no part in choosing the best s"
