"""Tables of the methods: pure functions of the result's tables, and the published table in the same layout."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import pandas as pd

from gif_dash import published
from gif_dash.figures.tables import Html, html_table, number, significant
from gif_dash.figures.theme import label, named
from gif_dash.results import Result
from gif_dash.specs.methods import EVERYWHERE

REFERENCES = ("retrain", "retrain_warm", "original")


@dataclass(frozen=True)
class Column:
    """A block of columns of Table 2: a metric at every MR."""

    key: str
    title: str
    decimals: int


#: In the order of the published table.
COLUMNS = (
    Column("test_accuracy", "Test accuracy, %", 2),
    Column("test_loss", "Test loss", 3),
    Column("self_accuracy", "Self-accuracy, %", 2),
    Column("self_loss", "Self-loss", 2),
    Column("score", "Score", 3),
)


@dataclass(frozen=True)
class Entry:
    """A row of Table 2.

    Attributes:
        method: which.
        time: in ms, in words.
        cells: per MR a mapping of metric to (mean, spread); one entry under None for a row that has no MR.
    """

    method: str
    time: str
    cells: Mapping[float | None, Mapping[str, tuple[float, float]]] = field(default_factory=dict)


def entries(summary: pd.DataFrame, mark: str = "best", group: str = "chosen") -> list[Entry]:
    """Rows of Table 2 from our summary: methods, then references.

    Args:
        summary: the table of that name, complete or partial.
        mark: "best" or "one".
        group: "chosen" or "others".
    """
    own = summary[summary["group"] == group] if len(summary) else summary
    found = []
    methods = [name for name in dict.fromkeys(own["method"]) if name not in REFERENCES] if len(own) else []
    for method in (*methods, *REFERENCES):
        rows = own[own["method"] == method] if len(own) else own
        if method not in REFERENCES:
            rows = rows[rows["mark"] == mark]
        if not len(rows):
            continue
        alone = method in EVERYWHERE or method in REFERENCES
        cells = {
            None if alone else float(row["mr"]): {
                column.key: (float(row[column.key]), float(row[f"{column.key}_sd"])) for column in COLUMNS
            }
            for _, row in rows.iterrows()
        }
        found.append(Entry(method, _times(rows["time_ms"]), cells))
    return found


def _times(values: pd.Series[Any]) -> str:
    """Mean over the MRs; the solves of one method differ by little."""
    return _time(float(values.mean()))


def _time(milliseconds: float) -> str:
    if not math.isfinite(milliseconds):
        return "–"
    return f"{milliseconds:,.0f}".replace(",", "\u202f") if milliseconds >= 9.5 else significant(milliseconds, 1)


def published_entries() -> list[Entry]:
    """The rows of the published Table 2."""
    found = []
    for method, rows in published.methods().groupby("method", sort=False):
        cells = {
            None if math.isnan(row["mr"]) else float(row["mr"]): {
                column.key: (float(row[column.key]), math.nan) for column in COLUMNS
            }
            for _, row in rows.iterrows()
        }
        found.append(Entry(str(method), _times(rows["time_ms"]), cells))
    return found


def table2(
    rows: Sequence[Entry],
    mrs: Sequence[float],
    *,
    caption: str,
    exact: bool = False,
    opens: bool = False,
) -> str:
    """Table 2 of the GIF paper as HTML: a block of columns per metric, in it one column per MR.

    Args:
        rows: what is in it.
        mrs: the columns of every block.
        caption: what it shows, and where it comes from.
        exact: whether numbers are printed as they are given, with two digits at least.
        opens: whether the scores are buttons, ``data-ask="METHOD MR"``, that open a class removal.
    """
    span = len(mrs)
    blocks = "".join(
        f'<th scope="colgroup" colspan="{span}" class="gd-block">{escape(column.title)}</th>' for column in COLUMNS
    )
    ratios = "".join(
        f'<th scope="col" class="gd-num{" gd-block" if place == 0 else ""}">{mr:g} %</th>'
        for _ in COLUMNS
        for place, mr in enumerate(mrs)
    )
    body = "".join(_table2_row(row, mrs, exact, opens) for row in rows)
    return (
        f'<div class="gd-scroll gd-table2" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f'<table class="gd-table"><caption><span class="gd-table-caption">{escape(caption)}</span></caption>'
        '<thead><tr><th scope="col" rowspan="2">MR</th><th scope="col" rowspan="2" class="gd-num">Time, ms</th>'
        f"{blocks}</tr>"
        f"<tr>{ratios}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _table2_row(row: Entry, mrs: Sequence[float], exact: bool, opens: bool) -> str:
    cells = []
    for column in COLUMNS:
        if None in row.cells:
            text = _cell(row.cells[None][column.key], column, exact)
            cells.append(f'<td colspan="{len(mrs)}" class="gd-num gd-block gd-all">{text}</td>')
            continue
        for place, mr in enumerate(mrs):
            known = row.cells.get(mr)
            text = _cell(known[column.key], column, exact) if known is not None else "–"
            ask = f"{row.method} {mr:g}"
            if opens and known is not None and column.key == "score":
                name = escape(f"{text_of(text)}, {label(row.method)} at MR {mr:g} %: open in Class removal")
                text = f'<button type="button" data-ask="{ask}" aria-label="{name}">{text}</button>'
            asked = f' data-ask="{ask}"' if opens and known is not None else ""
            cells.append(f'<td class="gd-num{" gd-block" if place == 0 else ""}"{asked}>{text}</td>')
    return f'<tr><th scope="row">{named(row.method)}</th><td class="gd-num">{row.time}</td>{"".join(cells)}</tr>'


def _cell(known: tuple[float, float], column: Column, exact: bool) -> str:
    mean, spread = known
    if exact:
        return f"<span>{number(mean, max(2, len(repr(mean).partition('.')[2])))}</span>"
    below = f"<small>± {number(spread, column.decimals)}</small>" if math.isfinite(spread) else ""
    return f"<span>{number(mean, column.decimals)}</span>{below}"


def text_of(cell: str) -> str:
    """The words of a cell without its tags."""
    return cell.replace("<small>", " ").replace("</small>", "").replace("<span>", "").replace("</span>", "")


def ours(result: Result, *, mark: str = "best", group: str = "chosen", opens: bool = True) -> str:
    """Our Table 2."""
    return table2(
        entries(result.tables["summary"], mark, group),
        [float(mr) for mr in result.spec["mrs"]],
        caption=caption(result.spec, result.tables["summary"], result.provenance, mark, group),
        opens=opens and group == "chosen",
    )


def caption(
    spec: Mapping[str, Any],
    summary: pd.DataFrame,
    provenance: Mapping[str, Any],
    mark: str = "best",
    group: str = "chosen",
) -> str:
    """What our table shows, and the setting behind it."""
    rows = summary[(summary["group"] == group) & (summary["method"] == "original")] if len(summary) else summary
    n = int(rows["n"].max()) if len(rows) else 0
    names = provenance.get("classes", [])
    gone = ", ".join(names[place] if place < len(names) else str(place) for place in spec["forget_classes"])
    scenario = provenance.get("scenario", spec["scenario"])
    what = f"without {gone}" if group == "chosen" else f"without each of the other {n} classes, one at a time"
    over = {True: "mean ± sd over", False: ""}[n > 1]
    repeats = (
        f"{over} {n} {'seeds' if group == 'chosen' else 'classes'}".strip()
        if n > 1
        else "one seed, so without deviations"
    )
    at = "each method's best s" if mark == "best" else "s = 1, the methods' own prediction"
    images = "the whole test set" if spec["report"] == "whole" else "the half of the test set that did not choose s"
    return f"Ours: {scenario} {what}, {label(spec['criterion'])}, {at}, {repeats}; measured on {images}"


def theirs() -> str:
    """The published Table 2 in the same layout."""
    return table2(
        published_entries(),
        list(published.METHODS_MRS),
        caption=f"As published: {published.PAPER}, {published.METHODS_SETTING}",
        exact=True,
    )


def differences_html(result: Result, *, group: str = "chosen") -> str:
    """The paired differences of the score; empty where there are none to be shown."""
    frame = result.tables["differences"]
    frame = frame[frame["group"] == group]
    if not len(frame) or int(frame["n"].max()) < 2:
        return ""
    over = "seeds" if group == "chosen" else "classes"
    shown = pd.DataFrame(
        {
            "pair": [_pair(a, b) for a, b in zip(frame["a"], frame["b"], strict=True)],
            "mr": frame["mr"].to_numpy(),
            "mean": frame["mean"].to_numpy(),
            "se": frame["se"].to_numpy(),
            "p": frame["p"].to_numpy(),
            "p_holm": frame["p_holm"].to_numpy(),
            "verdict": [_verdict(row) for row in frame.to_dict("records")],
            "n": frame["n"].to_numpy(),
        }
    )
    return html_table(
        shown,
        caption=f"Paired differences of the score at best s, over {over}: mean ± standard error, two-sided paired "
        "t-test, Holm's correction over all rows of the same kind",
        row_header="pair",
        titles={
            "pair": "Difference",
            "mr": "MR, %",
            "mean": "Mean",
            "se": "± se",
            "p": "p",
            "p_holm": "p, Holm",
            "verdict": "",
            "n": "n",
        },
        formats={
            "pair": lambda text: Html(text),
            "mr": lambda value: "all" if value == 100 else f"{value:g}",
            "mean": lambda value: signed(value),
            "se": lambda value: number(value, 4),
            "p": lambda value: number(value, 3),
            "p_holm": lambda value: number(value, 3),
        },
    )


def _pair(a: str, b: str) -> str:
    return f"{escape(label(a))} − {escape(label(b))}"


def _verdict(row: Mapping[Any, Any]) -> str:
    known = {"a higher": f"{label(row['a'])} higher", "b higher": f"{label(row['b'])} higher"}
    return known.get(str(row["verdict"]), str(row["verdict"]))


def signed(value: float, decimals: int = 4) -> str:
    """A difference with its sign, in fixed decimals."""
    text = f"{value:+.{decimals}f}"
    return text.replace("-", "−") if float(text) else text[1:]


def costs_html(result: Result) -> str:
    """What each method costs and where its best s lies."""
    frame = result.tables["summary"]
    frame = frame[(frame["group"] == "chosen") & (frame["mark"] != "one")]
    return html_table(
        frame[["method", "mr", "scalar", "hvps", "time_ms", "time_ms_sd", "score_se", "n"]],
        caption="Best s (geometric mean), Hessian-vector products and wall time of a solve by itself, and the standard "
        "error of one score that comes from the number of test images",
        row_header="method",
        titles={
            "method": "",
            "mr": "MR, %",
            "scalar": "best s",
            "hvps": "HVPs",
            "time_ms": "Time, ms",
            "time_ms_sd": "± sd",
            "score_se": "Score ± se of the images",
            "n": "n",
        },
        formats={
            "method": lambda name: Html(named(name)),
            "mr": lambda value: "all" if value == 100 else "–" if math.isnan(value) else f"{value:g}",
            "scalar": significant,
            "hvps": lambda value: number(value, 0),
            "time_ms": _time,
            "time_ms_sd": _time,
            "score_se": number,
        },
    )


def marked_html(result: Result) -> str:
    """Every network at its best s and at s = 1: one row per class, seed, MR and method."""
    table = result.tables["points"]
    rows = table[(table["mark"] != "") | table["scalar"].isna()]
    names = [
        "class",
        "seed",
        "mr",
        "method",
        "mark",
        "scalar",
        "test_accuracy",
        "test_loss",
        "self_accuracy",
        "self_loss",
        "score",
    ]
    names += [name for name in ("rho", "verdict", "hvps", "seconds") if name in rows]
    known = result.provenance.get("classes", [])
    return html_table(
        rows[names],
        caption="Every network at each method's best s and at s = 1",
        row_header="method",
        limit=400,
        titles={
            "class": "Class",
            "seed": "Seed",
            "mr": "MR, %",
            "method": "",
            "mark": "",
            "scalar": "s",
            "test_accuracy": "Test accuracy, %",
            "test_loss": "Test loss",
            "self_accuracy": "Self accuracy, %",
            "self_loss": "Self loss",
            "score": "Score",
            "rho": "ρ(s)",
            "verdict": "picture",
            "hvps": "HVPs",
            "seconds": "Time, s",
        },
        formats={
            "class": lambda text: "+".join(
                known[int(part)] if int(part) < len(known) else part for part in str(text).split("+")
            ),
            "mr": lambda value: "all" if value == 100 else "–" if math.isnan(value) else f"{value:g}",
            "method": lambda name: Html(named(name)),
            "mark": lambda mark: {"best": "best s", "one": "s = 1"}.get(mark, ""),
            "scalar": significant,
            "score": number,
            "verdict": lambda text: text if isinstance(text, str) else "",
        },
    )


#: What a terminal shows: column of the summary → heading.
SUMMARY = {
    "group": "classes",
    "method": "method",
    "mr": "MR %",
    "scalar": "s",
    "test_accuracy": "test acc %",
    "test_loss": "test loss",
    "self_accuracy": "self acc %",
    "self_loss": "self loss",
    "score": "score",
    "score_sd": "± sd",
    "time_ms": "ms",
    "hvps": "HVPs",
    "n": "n",
}


def summary(result: Result) -> pd.DataFrame:
    """The rows one looks at first: every method at its best s, and the references."""
    frame = result.tables["summary"]
    return frame[frame["mark"] != "one"][list(SUMMARY)].rename(columns=SUMMARY)
