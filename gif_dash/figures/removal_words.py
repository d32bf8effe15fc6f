"""What class removal says in words: pure functions of the result's tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

import pandas as pd

from gif_dash.figures.removal import LOSSES, REFERENCES, methods_of, rows_of
from gif_dash.figures.tables import duration, number, significant
from gif_dash.figures.theme import label
from gif_dash.results import Result

#: ρ further than this from 1 (beyond its sampling error) means that the quadratic picture no longer holds.
RHO_HOLDS = 0.25
#: |ρ| below this: the loss changes by next to nothing of what the quadratic picture says, or the other way round.
RHO_GONE = 0.25
#: Scores closer than this are called alike.
ALIKE = 0.02


def good_edit(result: Result) -> str:
    """ "Is this a good edit?" in a sentence or two of HTML, from the measured accuracies and the score."""
    sweep = result.tables["sweep"]
    methods = [method for method in methods_of(sweep) if method not in REFERENCES]
    best = {method: _marked(sweep, method, "best") for method in methods}
    truth = rows_of(sweep, "retrain")
    kind = "retraining"
    if not len(truth):
        truth, kind = rows_of(sweep, "retrain_warm"), "the warm-started retraining (there is no cold one)"
    known = {method: row for method, row in best.items() if row is not None and math.isfinite(row["score"])}
    if not known:
        return "<b>Cannot be said:</b> no method has a best s with a finite score."
    aim = float(truth["score"].mean()) if len(truth) else math.nan
    winner = max(known, key=lambda method: known[method]["score"])
    verdict = _verdict(float(known[winner]["score"]), aim)
    told = "; ".join(_measured(method, row) for method, row in known.items())
    truth_words = (
        f" {kind[0].upper()}{kind[1:]} keeps {_percent(truth['test_accuracy'].mean())} and recognises "
        f"{_percent(truth['self_accuracy'].mean())}: score {number(aim)}."
        if len(truth)
        else ""
    )
    one = {method: row for method in methods if (row := _marked(sweep, method, "one")) is not None}
    own = _at_one(one, sweep)
    return f"<b>{verdict}</b> At its best s {told}.{truth_words}{own}"


def _verdict(score: float, aim: float) -> str:
    if math.isnan(aim):
        return f"Score {number(score)}, with no retraining to compare with."
    if score >= aim - ALIKE:
        return "Yes, as good as retraining by this score." if aim > 0.5 else "As good as retraining, which is not good."
    return "Close, but short of retraining." if score >= aim - 0.1 else "No: well short of retraining."


def _measured(method: str, row: pd.Series[Any]) -> str:
    scalar, kept, known = (
        significant(float(row["scalar"])),
        _percent(row["test_accuracy"]),
        _percent(row["self_accuracy"]),
    )
    return (
        f"{escape(label(method))} (s = {scalar}) keeps {kept} on the other classes and recognises {known} of what was "
        f"removed, score {number(row['score'])}"
    )


def _at_one(rows: Mapping[str, pd.Series[Any]], sweep: pd.DataFrame) -> str:
    origin = rows_of(sweep, "original")
    if not rows or not len(origin):
        return ""
    still = ", ".join(f"{escape(label(method))} {_percent(row['self_accuracy'])}" for method, row in rows.items())
    return (
        f" At s = 1, the methods' own prediction, what was removed is recognised by {still} "
        f"(original {_percent(origin['self_accuracy'].iloc[0])})."
    )


def retraining_lands(result: Result) -> str:
    """ "Is this where retraining would land?" in a few sentences of HTML, from residuals, ρ(s) and distances."""
    trust = result.tables["trust"]
    at_one, at_best = trust[trust["mark"] == "one"], trust[trust["mark"] == "best"]
    parts = [f"<b>{_landing_verdict(at_one, at_best)}</b>"]
    if len(at_one):
        parts.append(f"At s = 1, ρ is {_rhos(at_one)}: {_picture(at_one)}.")
    if len(at_best):
        parts.append(f"At the best s, ρ is {_rhos(at_best)}: {_extrapolation(at_best)}.")
    parts.append(_distances(at_one, at_best))
    parts.append(_solver_words(result.tables["solves"]))
    return " ".join(part for part in parts if part)


def _holds(row: pd.Series[Any]) -> bool | None:
    """Whether the quadratic picture holds there; None where that cannot be told."""
    rho, error = float(row["rho"]), float(row["rho_error"])
    if not math.isfinite(rho) or (math.isfinite(error) and error > RHO_HOLDS):
        return None
    return abs(rho - 1) <= RHO_HOLDS


def _all(rows: pd.DataFrame) -> list[bool | None]:
    return [_holds(row) for _, row in rows.iterrows()]


def _landing_verdict(at_one: pd.DataFrame, at_best: pd.DataFrame) -> str:
    one, best = _all(at_one), _all(at_best)
    if best and all(best):
        return "The step stays where the quadratic picture holds, so it can be."
    if one and all(one):
        return "For the small step s = 1 it may be, for the step that forgets it is not."
    if any(value is None for value in one + best) and not any(value is False for value in one + best):
        return "It cannot be told: ρ is undetermined."
    return "No: the quadratic picture behind the methods does not hold for these steps."


def _rhos(rows: pd.DataFrame) -> str:
    return ", ".join(f"{_rho(row)} ({escape(label(str(row['method'])))})" for _, row in rows.iterrows())


def _rho(row: pd.Series[Any]) -> str:
    rho, error = float(row["rho"]), float(row["rho_error"])
    if not math.isfinite(rho) or str(row["verdict"]) in ("undetermined", "undefined"):
        return f"{row['verdict'] or 'undetermined'}"
    return number(rho, 2) + (f" ± {number(error, 2)}" if math.isfinite(error) and error >= 0.005 else "")


def _picture(rows: pd.DataFrame) -> str:
    held = _all(rows)
    if all(held):
        return "there the loss changes as the quadratic picture says"
    if any(value is False for value in held):
        return "already there the loss does not change as the quadratic picture says"
    return "within its sampling error nothing can be said"


def _extrapolation(rows: pd.DataFrame) -> str:
    gone = [abs(float(row["rho"])) <= RHO_GONE for _, row in rows.iterrows() if math.isfinite(float(row["rho"]))]
    if gone and all(gone):
        return "forgetting by one step is extrapolation far beyond that picture, which is normal here"
    if all(_all(rows)):
        return "the picture still holds"
    return "the step that forgets is extrapolation"


def _distances(at_one: pd.DataFrame, at_best: pd.DataFrame) -> str:
    known = [
        (where, row)
        for where, rows in (("s = 1", at_one), ("its best s", at_best))
        for _, row in rows.iterrows()
        if math.isfinite(float(row["distance"])) and math.isfinite(float(row["distance_original"]))
    ]
    if not known:
        return "There are no retrained weights to measure a distance to."
    words = []
    for where in dict.fromkeys(where for where, _ in known):
        rows = [row for place, row in known if place == where]
        ratios = ", ".join(
            f"{number(100 * float(row['distance']) / float(row['distance_original']), 0)} % "
            f"({escape(label(str(row['method'])))})"
            for row in rows
        )
        words.append(f"{ratios} at {where}")
    return (
        "The distance to the retrained weights, in percent of the original model's: " + "; ".join(words) + ". "
        "Training again from another start ends far away in any case, so this says less than the behaviour does."
    )


def _solver_words(solves: pd.DataFrame) -> str:
    odd = solves[~solves["status"].isin(["converged", "stopped"])]
    stopped = solves[solves["status"] == "stopped"]
    words = []
    if len(stopped):
        steps = sorted({int(value) for value in stopped["iterations"]})
        words.append(
            f"The solver was stopped after {' / '.join(map(str, steps))} steps on purpose (that regularises), "
            f"with relative residual {', '.join(number(float(r), 2) for r in stopped['relative_residual'])}."
        )
    for _, row in odd.iterrows():
        words.append(f"{escape(label(row['method']))}: {escape(str(row['message'] or row['status']))}.")
    return " ".join(words)


def oddities(result: Result) -> list[str]:
    """Sentences about what the plot cannot show: values that are not finite, missing references, notes on the data."""
    sweep = result.tables["sweep"]
    said = []
    for method in methods_of(sweep):
        rows = rows_of(sweep, method)
        bad = rows[~rows[[*LOSSES]].map(math.isfinite).all(axis=1)]
        if len(bad) and method not in REFERENCES:
            said.append(
                f"{escape(label(method))}: the loss is not finite at {len(bad)} of {len(rows)} points, "
                f"from s = {significant(float(bad['scalar'].min()))} on; nothing is drawn there."
            )
    if not len(rows_of(sweep, "retrain")) and len(rows_of(sweep, "original")):
        said.append("No cold reference: the scenario cannot be trained from scratch (pass retrain=).")
    if note := result.provenance.get("data_note"):
        said.append(escape(str(note)))
    return said


def facts(result: Result) -> str:
    """One line: how much was selected, how long it took, on what."""
    known = result.provenance
    parts = []
    if "k" in known and "p" in known:
        share = 100 * known["k"] / known["p"]
        parts.append(f"{known['k']:,} of {known['p']:,} parameters may change ({share:.1f} %)".replace(",", "\u202f"))
    if "hvps" in known:
        parts.append(f"{known['hvps']} Hessian-vector products")
    if "seconds" in known:
        parts.append(f"computed in {duration(float(known['seconds']))}")
    if "device" in known:
        parts.append(f"on {escape(str(known['device']))}")
    if "created" in known:
        parts.append(escape(str(known["created"])[:16].replace("T", " ")) + " UTC")
    return " · ".join(parts)


def _marked(sweep: pd.DataFrame, method: str, mark: str) -> pd.Series[Any] | None:
    rows = rows_of(sweep, method)
    marked = rows[rows["mark"] == mark]
    return marked.iloc[0] if len(marked) else None


def _percent(value: float) -> str:
    return f"{number(float(value), 1)} %"
