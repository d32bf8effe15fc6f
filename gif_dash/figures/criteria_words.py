"""What the selection criteria say in words: pure functions of the result's tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

import pandas as pd

from gif_dash.figures import gauge
from gif_dash.figures.criteria import MARKS, records
from gif_dash.figures.criteria_tables import BEYOND, differences
from gif_dash.figures.removal_words import effort
from gif_dash.figures.tables import html_table, number, significant
from gif_dash.figures.theme import label
from gif_dash.results import Result

_QUANTITIES = {"score": "a higher score", "self_loss": "a larger self loss", "test_loss": "a smaller test loss"}


def ordering(result: Result, mark: str = "best") -> str:
    """Whether the paper's ordering of the criteria holds in what was measured: a sentence or two of HTML."""
    found = differences(result.table, mark)
    paper = found[(found["family"] == "paper") & (found["quantity"] == "score")]
    control = found[(found["family"] == "control") & (found["quantity"] == "score")]
    if not len(paper) and not len(control):
        return "<b>It cannot be told:</b> none of the pairs that the paper compares was measured."
    parts = []
    if len(paper):
        holds, opposite = (int((paper["verdict"] == verdict).sum()) for verdict in ("holds", "opposite"))
        if not holds and not opposite:
            head = f"Not shown here: none of {len(paper)} comparisons goes beyond its error."
        elif holds == len(paper):
            head = f"As in the paper, in all of {len(paper)} comparisons."
        else:
            head = f"As in the paper in {holds} of {len(paper)} comparisons, the opposite in {opposite}."
        parts.append(
            f"<b>{head}</b> The paper finds that top-k forgets more and costs less than threshold and random, at every "
            "MR; compared here by the score, beyond two standard errors."
        )
    if len(control):
        holds, opposite = (int((control["verdict"] == verdict).sum()) for verdict in ("holds", "opposite"))
        parts.append(
            f"Against the lowest-k units, its negative control, top-k scores higher in {holds} of {len(control)} "
            f"comparisons and lower in {opposite}."
        )
    return " ".join(parts)


def ordering_html(result: Result, mark: str) -> str:
    """The comparisons behind `ordering`, counted: one row per claim, for every quantity."""
    found = differences(result.table, mark)
    rows = []
    for family, than in (("paper", "than threshold and random"), ("control", "than lowest-k (control)")):
        for quantity, words in _QUANTITIES.items():
            counts = found[(found["family"] == family) & (found["quantity"] == quantity)]["verdict"].value_counts()
            if len(counts):
                told = {verdict: int(counts.get(verdict, 0)) for verdict in ("holds", "opposite", "undecided")}
                rows.append({"claim": f"Top-k has {words} {than}", **told})
    if not rows:
        return ""
    return html_table(
        pd.DataFrame(rows),
        caption=f"Comparisons at {dict(MARKS)[mark]}: shown beyond two standard errors, or undecided",
        titles={"claim": "", "holds": "holds", "opposite": "the opposite holds", "undecided": "undecided"},
        row_header="claim",
    )


def good_edit(result: Result) -> str:
    """ "Are these good edits?" in two or three sentences of HTML, from the measured scores."""
    cells = result.table
    best = cells[(cells["mark"] == "best") & cells["score"].map(math.isfinite)]
    if not len(best):
        return "<b>Cannot be said:</b> no cell has a best s with a finite score."
    ordered = records(best.sort_values("score", kind="stable"))
    low, top = ordered[0], ordered[-1]
    truth, kind = cells[cells["method"] == "retrain"], "retraining"
    if not len(truth):
        truth, kind = cells[cells["method"] == "retrain_warm"], "the warm-started retraining (there is no cold one)"
    verdict = (
        f"Scores go from {number(float(low['score']))} ({_cell(low)}) to {number(float(top['score']))} ({_cell(top)})."
    )
    if not len(truth):
        return f"<b>{verdict}</b> There is no retraining to compare with."
    aim, error = float(truth["score"].iloc[0]), float(truth["score_se"].iloc[0])
    reached = int((best["score"] >= aim - BEYOND * (best["score_se"] ** 2 + error**2) ** 0.5).sum())
    head = "All are" if reached == len(best) else "Some are" if reached else "None is"
    return (
        f"<b>{head}: {reached} of {len(best)} cells are within two standard errors of {kind}.</b> That is by the score "
        f"at each cell's best s; {kind} has {number(aim)} ± {number(error)}. {verdict} {_at_one(cells)} "
        f"{gauge.sentence('gap', gauged_values(cells))}"
    )


def gauged_values(cells: pd.DataFrame) -> dict[str, gauge.Values]:
    """The trust figures by the names that `gauge` has for them: medians over the cells."""
    one, best = cells[cells["mark"] == "one"], cells[cells["mark"] == "best"]
    figures = {
        "residual": one["relative_residual"].median(),
        "rho_one": (one["rho"] - 1).abs().median(),
        "rho": (best["rho"] - 1).abs().median(),
    }
    return {name: [("median over the cells", float(value))] for name, value in figures.items()}


def _cell(row: Mapping[str, Any]) -> str:
    return f"{escape(label(str(row['criterion'])))}, MR {row['mr']:g} %"


def _at_one(cells: pd.DataFrame) -> str:
    one, origin = cells[cells["mark"] == "one"], cells[cells["method"] == "original"]
    if not len(one) or not len(origin):
        return ""
    low, high = (number(float(value), 1) for value in (one["self_accuracy"].min(), one["self_accuracy"].max()))
    span = f"{low} %" if low == high else f"{low} to {high} %"
    return (
        f"At s = 1, the method's own prediction, what was removed is still recognised by {span} "
        f"(original {number(float(origin['self_accuracy'].iloc[0]), 1)} %)."
    )


def retraining_lands(result: Result) -> str:
    """ "Is this where retraining would land?" in a few sentences of HTML, from ρ(s), distances and residuals."""
    cells = result.table
    one, best = cells[cells["mark"] == "one"], cells[cells["mark"] == "best"]
    if not len(one):
        return "<b>It cannot be told:</b> no cell could be computed."
    good = [int((rows["verdict"] == "good").sum()) for rows in (one, best)]
    if good[1] == len(best):
        head = "It can be: at the best s the quadratic picture behind the method holds, too."
    elif good[1]:
        head = f"In {good[1]} of {len(best)} cells it can be."
    elif good[0]:
        head = "Not at the best s."
    else:
        head = "No: the quadratic picture behind the method does not hold."
    parts = [
        f"<b>{head}</b>",
        "The loss on what stays changes as the quadratic picture says (ρ within a quarter of 1) in "
        f"{good[0]} of {len(one)} cells at s = 1 and in {good[1]} of {len(best)} at the best s, where forgetting by "
        "one step is extrapolation.",
    ]
    for kind, suffix in (("cold", ""), ("warm", "_warm")):
        spans = [
            f"{span} {where}"
            for where, rows in (("at s = 1", one), ("at the best s", best))
            if (span := _span(rows[f"distance{suffix}"] / rows[f"distance_original{suffix}"], 2))
        ]
        if spans:
            parts.append(
                f"Distance to the weights of the {kind}-started retraining, in units of the original model's: "
                f"{', '.join(spans)}."
            )
    parts.append(f"Relative residuals of the solves: {_span(one['relative_residual'], 2) or 'unknown'}.")
    parts.append(gauge.sentence("apart", gauged_values(cells)))
    return " ".join(parts)


def _span(values: pd.Series[Any], digits: int) -> str:
    known = values[values.map(math.isfinite)]
    if not len(known):
        return ""
    low, high = (significant(float(value), digits) for value in (known.min(), known.max()))
    return low if low == high else f"{low} to {high}"


def oddities(result: Result) -> list[str]:
    """Sentences about what the pictures cannot show."""
    cells, said = result.table, []
    said += [
        f"{escape(label(row['criterion']))}, MR {row['mr']:g} %: {escape(row['message'])}."
        for row in records(cells[cells["mark"] == "failed"])
    ]
    odd = cells[(cells["mark"] == "one") & ~cells["status"].isin(["converged", "stopped", "explicit"])]
    said += [
        f"{escape(label(row['criterion']))}, MR {row['mr']:g} %: {escape(str(row['message'] or row['status']))}."
        for row in records(odd)
    ]
    if missing := result.provenance.get("incomplete"):
        said.append(f"Missing: {escape(str(missing))}.")
    notes = list(result.provenance.get("deviations", ()))
    if "threshold-published" in result.spec["criteria"]:
        notes.append("the threshold of one row drifts from layer to layer, as published")
    said += [f"{escape(note[:1].upper() + note[1:])}." for note in dict.fromkeys(map(str, notes))]
    if note := result.provenance.get("data_note"):
        said.append(escape(str(note)))
    return said


def facts(result: Result) -> str:
    """One line: how many cells, how many products, how long it took, on what."""
    cells = len(result.spec["criteria"]) * len(result.spec["mrs"])
    return " · ".join([f"{cells} cells", *effort(result.provenance)])
