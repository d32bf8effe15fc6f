"""What class removal says in words: pure functions of the result's tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

import pandas as pd

from gif_dash.figures import gauge
from gif_dash.figures.removal import LOSSES, REFERENCES, methods_of, rows_of
from gif_dash.figures.tables import duration, number, significant
from gif_dash.figures.theme import label
from gif_dash.results import Result

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
    verdict = score_verdict(float(known[winner]["score"]), aim)
    told = "; ".join(_measured(method, row) for method, row in known.items())
    truth_words = (
        f" {kind[0].upper()}{kind[1:]} keeps {_percent(truth['test_accuracy'].mean())} and recognises "
        f"{_percent(truth['self_accuracy'].mean())}: score {number(aim)}."
        if len(truth)
        else ""
    )
    one = {method: row for method in methods if (row := _marked(sweep, method, "one")) is not None}
    own = _at_one(one, sweep)
    chosen = "the same test images, as published" if result.spec["report"] == "whole" else "other test images"
    gauged = gauge.sentence("gap", gauged_values(result))
    return f"<b>{verdict}</b> At its best s, chosen on {chosen}, {told}.{truth_words}{own} {gauged}"


def gauged_values(result: Result) -> dict[str, gauge.Values]:
    """The trust figures of a class removal by the names that `gauge` has for them."""
    solves, trust = result.tables["solves"].set_index("method"), result.tables["trust"]
    one, best = (trust[trust["mark"] == mark].set_index("method") for mark in ("one", "best"))
    figures = {"rho_one": (one["rho"] - 1).abs(), "rho": (best["rho"] - 1).abs()}
    for name, column in (("residual", "relative_residual"), ("step", "norm_ratio"), ("stationarity", "stationarity")):
        if column in solves:  # of old answers, or of those that ask for less
            figures[name] = solves[column]
    if "step" in figures:
        figures["step_best"] = (best["scalar"] * figures["step"]).dropna()
    return {name: [(str(method), float(value)) for method, value in values.items()] for name, values in figures.items()}


def score_verdict(score: float, aim: float) -> str:
    """A score beside that of retraining, in words."""
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
    parts = [f"<b>{landing_verdict(at_one, at_best)}</b>"]
    if len(at_one):
        parts.append(f"At s = 1, ρ = {_rhos(at_one)}: {_picture(at_one)}.")
    if len(at_best):
        parts.append(f"At the best s, ρ = {_rhos(at_best)}: {_extrapolation(at_best)}.")
    parts.append(_distances(at_one, at_best))
    parts.append(_solver_words(result.tables["solves"]))
    parts.append(gauge.sentence("apart", gauged_values(result)))
    return " ".join(part for part in parts if part)


def _verdicts(rows: pd.DataFrame) -> set[str]:
    return set(rows["verdict"].astype(str))


def landing_verdict(at_one: pd.DataFrame, at_best: pd.DataFrame) -> str:
    """Whether the quadratic picture holds at s = 1 and at the best s, in words; rows of the trust figures."""
    one, best = _verdicts(at_one), _verdicts(at_best)
    if best and best <= {"good"}:
        return "It can be: the step stays where the quadratic picture behind the methods holds."
    if one and one <= {"good", "fair"}:
        return "Not at the best s; only the small step s = 1 stays within the quadratic picture behind the methods."
    if "poor" not in one | best:
        return "It cannot be told: ρ is undetermined."
    return "No: the quadratic picture behind the methods does not hold for these steps."


def _rhos(rows: pd.DataFrame) -> str:
    return ", ".join(f"{_rho(row)} ({escape(label(str(row['method'])))})" for _, row in rows.iterrows())


def _rho(row: pd.Series[Any]) -> str:
    rho, error = float(row["rho"]), float(row["rho_error"])
    if not math.isfinite(rho) or str(row["verdict"]) in ("undetermined", "undefined"):
        return str(row["verdict"] or "undetermined")
    return number(rho, 2) + (f" ± {number(error, 2)}" if math.isfinite(error) and error >= 0.005 else "")


def _picture(rows: pd.DataFrame) -> str:
    """What ρ says of the quadratic picture at s = 1."""
    verdicts = _verdicts(rows)
    if verdicts <= {"good"}:
        return "the loss on what stays changes as the quadratic picture says"
    if verdicts <= {"good", "fair"}:
        return "the loss on what stays changes roughly as the quadratic picture says"
    if "poor" in verdicts:
        return "already there the loss on what stays does not change as the quadratic picture says"
    return "within its sampling error nothing can be said"


def _extrapolation(rows: pd.DataFrame) -> str:
    verdicts = _verdicts(rows)
    if verdicts <= {"good"}:
        return "the picture still holds"
    if verdicts <= {"poor"}:
        return "forgetting by one step is extrapolation far beyond that picture, as is normal here"
    return "the step that forgets is extrapolation"


def _distances(at_one: pd.DataFrame, at_best: pd.DataFrame) -> str:
    """How far the edited weights are from retrained ones, in percent of the original model's distance."""
    words = []
    for kind, suffix in (("warm start", "_warm"), ("cold start", "")):
        told = [
            f"{shares} {where}"
            for where, rows in (("at s = 1", at_one), ("at the best s", at_best))
            if (shares := _shares(rows, suffix))
        ]
        if told:
            words.append(f"{kind} {', '.join(told)}")
    if not words:
        return "There are no retrained weights to measure a distance to."
    names = " / ".join(escape(label(str(method))) for method in at_one["method"])
    return (
        f"Distance to the retrained weights, in percent of the original model's ({names}): {'; '.join(words)}. "
        "Two trainings from different starts end far apart in any case, so the behaviour says more than the distance."
    )


def _shares(rows: pd.DataFrame, suffix: str) -> str:
    if f"distance{suffix}" not in rows:
        return ""
    shares = 100 * rows[f"distance{suffix}"] / rows[f"distance_original{suffix}"]
    return " / ".join(number(float(share), 0) for share in shares) if shares.map(math.isfinite).any() else ""


def _solver_words(solves: pd.DataFrame) -> str:
    odd = solves[~solves["status"].isin(["converged", "stopped", "explicit"])]
    stopped = solves[solves["status"] == "stopped"]
    words = []
    if len(stopped):
        steps = " / ".join(str(value) for value in sorted({int(value) for value in stopped["iterations"]}))
        residuals = " / ".join(number(float(value), 2) for value in stopped["relative_residual"])
        paper = " (the paper: a Neumann series)" if set(stopped["solver"]) == {"cgls"} else ""
        solver = " / ".join(dict.fromkeys(escape(label(str(name))) for name in stopped["solver"]))
        words.append(
            f"{solver}{paper} was stopped after {steps} steps, which regularises; relative residual {residuals}."
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
    if missing := result.provenance.get("incomplete"):
        said.append(f"Missing: {escape(str(missing))}.")
    said += [f"{escape(str(note)[:1].upper() + str(note)[1:])}." for note in result.provenance.get("deviations", ())]
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
    return " · ".join([*parts, *effort(known)])


def effort(known: Mapping[str, Any]) -> list[str]:
    """What a result took, from its provenance: products, time, device, and when; HTML, as far as it is known."""
    parts = []
    if "hvps" in known:
        parts.append(f"{known['hvps']} Hessian-vector products")
    if "seconds" in known:
        parts.append(f"computed in {duration(float(known['seconds']))}")
    if "device" in known:
        parts.append(f"on {escape(str(known['device']))}")
    if "created" in known:
        parts.append(escape(str(known["created"])[:16].replace("T", " ")) + " UTC")
    return parts


def _marked(sweep: pd.DataFrame, method: str, mark: str) -> pd.Series[Any] | None:
    rows = rows_of(sweep, method)
    marked = rows[rows["mark"] == mark]
    return marked.iloc[0] if len(marked) else None


def _percent(value: float) -> str:
    return f"{number(float(value), 1)} %"
