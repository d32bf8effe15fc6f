"""What the comparison of methods says in words: pure functions of the result's tables."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from html import escape
from typing import Any

import pandas as pd

from gif_dash import published
from gif_dash.figures import gauge, removal_words
from gif_dash.figures.methods_tables import signed
from gif_dash.figures.tables import duration, number, significant
from gif_dash.figures.theme import label
from gif_dash.results import Result

#: Mean scores closer than this share the first place.
TIE = 0.0005


def good_edit(result: Result) -> str:
    """ "Is this a good edit?" of the method with the highest mean score, beside retraining."""
    best = _winners(result)
    if not len(best):
        return "<b>Cannot be said:</b> no method has a best s with a finite score."
    truth, kind = _truth(result)
    aim = float(truth["score"]) if truth is not None else math.nan
    first = best.iloc[0]
    n = int(first["n"])
    verdict = removal_words.score_verdict(float(first["score"]), aim)
    words = [
        f"<b>{verdict}</b> The highest {'mean ' if n > 1 else ''}score is that of {_names(best)}: "
        f"{_spread(first, 'score', 3)}, keeping {_spread(first, 'test_accuracy', 1)} % on the other classes and "
        f"recognising {_spread(first, 'self_accuracy', 1)} % of what was removed."
    ]
    if truth is not None:
        words.append(
            f"{kind} keeps {_spread(truth, 'test_accuracy', 1)} % and recognises "
            f"{_spread(truth, 'self_accuracy', 1)} %: score {_spread(truth, 'score', 3)}."
        )
    gap = _difference(result, str(first["method"]), "retrain", float(first["mr"]), "retraining")
    if gap is not None:
        shown = f": {gap['verdict']}" if gap["verdict"] == "no difference shown" else ""
        words.append(f"Edit minus retraining, network by network: {_told(gap)}{shown}.")
    if n > 1:
        words.append("The first place is the best of many: whether it is one, the differences say.")
    words.append(gauge.sentence("gap", gauged_values(result, first)))
    return " ".join(words)


def gauged_values(result: Result, row: pd.Series[Any]) -> dict[str, gauge.Values]:
    """The trust figures of one method at one MR by the names that `gauge` has for them: means over the networks."""
    rows = result.tables["points"]
    rows = rows[(rows["group"] == "chosen") & (rows["method"] == row["method"]) & (rows["mr"] == row["mr"])]
    one, best = rows[rows["mark"] == "one"], rows[rows["mark"] == "best"]
    scores = [float(score) for score in best["score"]]
    gaps = [abs(a - b) for a, b in itertools.combinations(scores, 2)]
    figures = {
        "rho_one": float((one["rho"] - 1).abs().mean()),
        "rho": float((best["rho"] - 1).abs().mean()),
        "seeds": sum(gaps) / len(gaps) if gaps else math.nan,
    }
    return {name: [(str(row["method"]), value)] for name, value in figures.items()}


def retraining_lands(result: Result) -> str:
    """ "Is this where retraining would land?" of the method with the highest mean score."""
    best = _winners(result)
    if not len(best):
        return "<b>Cannot be said.</b>"
    first = best.iloc[0]
    rows = result.tables["points"]
    rows = rows[(rows["group"] == "chosen") & (rows["method"] == first["method"]) & (rows["mr"] == first["mr"])]
    at_one, at_best = rows[rows["mark"] == "one"], rows[rows["mark"] == "best"]
    name = f"{escape(label(str(first['method'])))}{_at(first)}"
    words = [f"<b>{removal_words.landing_verdict(at_one, at_best)}</b>"]
    words.append(
        f"{name}: at s = 1, ρ = {_rho(at_one)}; at the best s (about {significant(float(first['scalar']))}), "
        f"ρ = {_rho(at_best)}. 1 would be what the quadratic picture says, 0 nothing like it; forgetting a class by "
        "one step is extrapolation, as is normal here."
    )
    told = []
    for kind, suffix in (("warm", "_warm"), ("cold", "")):
        shares = [
            f"{number(share, 0)} % {where}"
            for where, part in (("at s = 1", at_one), ("at the best s", at_best))
            if math.isfinite(
                share := float((100 * part[f"distance{suffix}"] / part[f"distance_original{suffix}"]).mean())
            )
        ]
        if shares:
            told.append(f"{kind} start {', '.join(shares)}")
    if told:
        words.append(f"Distance to the retrained weights, in percent of the original model's: {'; '.join(told)}.")
    words.append(gauge.sentence("apart", gauged_values(result, first)))
    return " ".join(words)


def significance(result: Result) -> str:
    """GIF against FIF and PIF in numbers, and how far the numbers reach, as HTML paragraphs."""
    frame = result.tables["differences"]
    own = frame[(frame["group"] == "chosen") & (frame["family"] == "methods")]
    n = int(own["n"].max()) if len(own) else 1
    parts = []
    for a, b in (("gif", "fif"), ("gif", "pif"), ("fif", "pif")):
        rows = own[(own["a"] == a) & (own["b"] == b)]
        if len(rows):
            parts.append(_compared(rows, n))
    if "gradient" in result.spec["methods"] and len(result.spec["methods"]) > 1:
        rows = own[own["b"] == "gradient"]
        parts.append(_against_gradient(rows, n))
    if n < 2:
        summary = result.tables["summary"]
        error = float(summary[(summary["group"] == "chosen") & (summary["mark"] == "best")]["score_se"].median())
        parts.append(
            "<b>One seed: no deviations, no test.</b> The number of test images alone leaves each score uncertain by "
            f"about ± {number(error, 3)}. More seeds train and edit more networks."
        )
    else:
        parts.append(
            f"The {n} networks differ in training, samples and retraining, not in the test images: what the choice of "
            "these images does to all of them alike is in no error bar."
        )
    others = frame[(frame["group"] == "others") & (frame["family"] == "methods")]
    if len(others):
        gaps = others[others["a"].isin(["gif", "fif"]) & others["b"].isin(["fif", "pif"])]
        shown = gaps[~gaps["verdict"].isin(["", "no difference shown"])]
        count = int(gaps["n"].max()) if len(gaps) else 0
        if count > 1:
            told = "; ".join(_row(row) for _, row in shown.iterrows()) or "no difference shown"
            parts.append(f"Over the other {count} classes, each removed once: {told}.")
    return "".join(f"<p>{part}</p>" for part in parts)


def against_published() -> str:
    """The published gaps, and those of the authors' own runs."""
    table = published.methods().set_index(["method", "mr"])["score"]
    gaps = {
        other: ", ".join(signed(float(table["gif", mr] - table[other, mr]), 2) for mr in published.METHODS_MRS)
        for other in ("fif", "pif")
    }
    runs = "; ".join(
        f"class {position}: " + " / ".join(f"{label(name)} {number(score, 3)}" for name, score in scores.items())
        for position, scores in published.AUTHORS_RUNS.items()
    )
    ratios = " / ".join(f"{mr:g}" for mr in published.METHODS_MRS)
    setting = published.AUTHORS_SETTING
    return (
        f"As published, GIF scores above FIF by {gaps['fif']} and above PIF by {gaps['pif']} at MR {ratios} %; no "
        f"deviations are given. {setting[0].upper()}{setting[1:]}: mean scores {runs}: gaps far below the "
        "table's."
    )


def facts(result: Result) -> str:
    """One line: what it cost and where."""
    known = result.provenance
    pieces = known.get("pieces", [])
    parts = []
    if "shares" in known and "p" in known:
        shares = ", ".join(f"{number(float(share), 1)} %" for share in known["shares"].values())
        parts.append(
            f"{known['p']:,} parameters, of which {shares} may change".replace(",", "\u202f", known["p"] > 999)
        )
    if pieces:
        parts.append(f"{len(pieces)} network{'s' if len(pieces) > 1 else ''} × classes edited")
    parts.append(f"{known.get('hvps', 0)} Hessian-vector products")
    parts.append(f"computed in {duration(float(known.get('seconds', 0.0)))}")
    if "device" in known:
        parts.append(f"on {escape(str(known['device']))}")
    return " · ".join(parts)


def oddities(result: Result) -> list[str]:
    """Sentences about what the pictures cannot show."""
    said = []
    if missing := result.provenance.get("incomplete"):
        said.append(f"Missing: {escape(str(missing))}.")
    marked = result.tables["points"]
    marked = marked[marked["mark"] == "best"]
    bad = marked[~marked["self_loss"].map(math.isfinite)]
    if len(bad):
        said.append(
            f"The loss is not finite at the best s of {len(bad)} of {len(marked)} edits; nothing is drawn there."
        )
    said += [f"{escape(str(note)[:1].upper() + str(note)[1:])}." for note in result.provenance.get("deviations", ())]
    if note := result.provenance.get("data_note"):
        said.append(escape(str(note)))
    return said


def _winners(result: Result) -> pd.DataFrame:
    """Rows of the summary with the highest mean score, ties included, the first method's lowest MR first."""
    rows = result.tables["summary"]
    rows = rows[(rows["group"] == "chosen") & (rows["mark"] == "best") & rows["score"].notna()]
    return rows[rows["score"] >= rows["score"].max() - TIE] if len(rows) else rows


def _names(rows: pd.DataFrame) -> str:
    """Methods with their MRs: "GIF (MR 10, 30 %), FIF (MR 10 %) and IF"."""
    told = []
    for method, part in rows.groupby("method", sort=False):
        ratios = ", ".join(f"{mr:g}" for mr in part["mr"] if mr < 100)
        told.append(escape(label(str(method))) + (f" (MR {ratios} %)" if ratios else ""))
    return f"{', '.join(told[:-1])} and {told[-1]} (alike)" if len(told) > 1 else told[0]


def _at(row: pd.Series[Any]) -> str:
    return f" at MR {row['mr']:g} %" if row["mr"] < 100 else ""


def _truth(result: Result) -> tuple[pd.Series[Any] | None, str]:
    rows = result.tables["summary"]
    for name, words in (
        ("retrain", "Retraining"),
        ("retrain_warm", "The warm-started retraining (there is no cold one)"),
    ):
        found = rows[(rows["group"] == "chosen") & (rows["method"] == name)]
        if len(found):
            return found.iloc[0], words
    return None, ""


def _spread(row: pd.Series[Any], key: str, decimals: int) -> str:
    mean, spread = float(row[key]), float(row[f"{key}_sd"])
    return number(mean, decimals) + (f" ± {number(spread, decimals)}" if math.isfinite(spread) else "")


def _difference(result: Result, a: str, b: str, mr: float, family: str) -> pd.Series[Any] | None:
    frame = result.tables["differences"]
    frame = frame[(frame["group"] == "chosen") & (frame["family"] == family)]
    rows = frame[(frame["a"] == a) & (frame["b"] == b) & (frame["mr"] == mr)]
    return rows.iloc[0] if len(rows) else None


def _told(row: pd.Series[Any]) -> str:
    """ "+0.0012 ± 0.0004 (no difference shown, p = 0.31)"."""
    mean = signed(float(row["mean"]))
    if not math.isfinite(float(row["se"])):
        return f"{mean} (one seed)"
    p = float(row["p_holm"])
    told = f"p = {p:.3f}" if p >= 0.0005 else "p < 0.001"
    return f"{mean} ± {float(row['se']):.4f} ({told}{_verdict(row)})"


def _verdict(row: pd.Series[Any]) -> str:
    known = {"a higher": row["a"], "b higher": row["b"]}
    name = known.get(str(row["verdict"]))
    return f": {escape(label(str(name)))} higher" if name is not None else ""


def _row(row: pd.Series[Any]) -> str:
    at = f" at MR {row['mr']:g} %" if row["mr"] < 100 else ""
    return f"{escape(label(str(row['a'])))} − {escape(label(str(row['b'])))}{at}: {_told(row)}"


def _compared(rows: pd.DataFrame, n: int) -> str:
    """One pair at all MRs."""
    a, b = (escape(label(str(rows[side].iloc[0]))) for side in ("a", "b"))
    if n < 2:
        told = ", ".join(f"{signed(float(row['mean']), 3)} (MR {row['mr']:g} %)" for _, row in rows.iterrows())
        return f"{a} − {b} in score: {told}."
    told = "; ".join(f"MR {row['mr']:g} %: {_told(row)}" for _, row in rows.iterrows())
    overall = _overall(rows["verdict"].tolist(), a, b)
    return f"<b>{a} against {b}: {overall}.</b> {a} − {b} in score, mean ± standard error (p after Holm): {told}."


def _overall(verdicts: Sequence[str], a: str, b: str) -> str:
    """What all MRs together say, no more than each of them."""
    higher = {"a higher": a, "b higher": b}
    shown = [higher[verdict] for verdict in verdicts if verdict in higher]
    if not shown:
        return "no difference shown"
    if len(set(shown)) == 1:
        return f"{shown[0]} scores higher at {len(shown)} of {len(verdicts)} MRs" + (
            "" if len(shown) == len(verdicts) else ", elsewhere no difference is shown"
        )
    return "which one scores higher depends on MR"


def _against_gradient(rows: pd.DataFrame, n: int) -> str:
    if n < 2 or not len(rows):
        best = rows[rows["a"].isin(["gif", "fif", "pif"])]
        return "<br>".join(_compared(part, n) for _, part in best.groupby("a", sort=False))
    better = rows[rows["verdict"] == "a higher"]
    worse = rows[rows["verdict"] == "b higher"]
    words = [f"Against the gradient step, which costs one gradient, in {len(rows)} comparisons:"]
    words.append(f"{len(better)} show the method higher" + _listed(better))
    words.append(f", {len(worse)} show the gradient step higher" + _listed(worse))
    words.append(f", {len(rows) - len(better) - len(worse)} show no difference.")
    return words[0] + " " + "".join(words[1:])


def _listed(rows: pd.DataFrame) -> str:
    names = [f"{escape(label(str(row['a'])))}{_at(row)}" for _, row in rows.iterrows()]
    return f" ({', '.join(names)})" if names else ""


def _rho(rows: pd.DataFrame) -> str:
    """Mean and standard deviation of ρ over seeds, where it is determined."""
    known = rows[~rows["verdict"].isin(["undetermined", "undefined"])]["rho"].dropna()
    if not len(known):
        return "undetermined"
    mean = signed(float(known.mean()), 2).removeprefix("+")
    if len(rows) > 1:
        spread = f" ± {float(known.std(ddof=1)):.2f}" if len(known) > 1 else ""
        left = "" if len(known) == len(rows) else f" ({len(rows) - len(known)} undetermined)"
        return mean + spread + left
    error = float(rows["rho_error"].iloc[0])
    return mean + (f" ± {number(error, 2)}" if math.isfinite(error) and error >= 0.005 else "")
