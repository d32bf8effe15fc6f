"""Some training images removed: predicted, edited and trained again, as a table and in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

import pandas as pd

from gif_dash.figures.attribution import name
from gif_dash.figures.removal_words import effort
from gif_dash.figures.tables import Html, html_table, number, significant
from gif_dash.figures.theme import label, named
from gif_dash.results import Result

#: A measured change within this share of the predicted one is called as predicted.
ALIKE = 0.25
RETRAINED = ("retrain", "retrain_warm")


def signed(value: float, digits: int = 3) -> str:
    """A number with its sign."""
    if not math.isfinite(value):
        return "–"
    return f"{'+' if value > 0 else ''}{significant(value, digits)}"


def changes(outcomes: pd.DataFrame, method: str) -> tuple[float, float, int]:
    """Mean change of the test image's loss over the seeds, its standard error (NaN for one) and their number."""
    found = outcomes[outcomes["method"] == method]["change"].dropna()
    count = len(found)
    error = float(found.std(ddof=1)) / math.sqrt(count) if count > 1 else math.nan
    return (float(found.mean()) if count else math.nan), error, count


def outcomes_html(result: Result) -> str:
    """Every network: the loss on the test image, its change, predicted and measured, and what else changed."""
    table = result.tables["outcomes"]
    classes = [str(entry) for entry in result.provenance["classes"]]
    rows = []
    for method, own in table.groupby("method", sort=False):
        mean, error, count = changes(table, str(method))
        spread = f" ± {significant(error, 2)}" if math.isfinite(error) else ""
        says = list(dict.fromkeys(name(classes, int(place)) for place in own["says"]))
        seeds = f" <span class='gd-muted'>{len(own)} seeds</span>" if len(own) > 1 else ""
        rows.append(
            {
                "network": f"{named(str(method))}{seeds}",
                "predicted": signed(float(own["predicted_change"].iloc[0])),
                "change": f"{signed(mean)}{spread}" if count else "–",
                "loss": number(float(own["query_loss"].mean())),
                "probability": f"{significant(100 * float(own['probability'].mean()), 2)} %",
                "says": " or ".join(says),
                "test": f"{own['test_accuracy'].mean():.2f} %",
                "removed": f"{own['removed_accuracy'].mean():.1f} %",
            }
        )
    target = name(classes, int(result.provenance["target"]))
    return html_table(
        pd.DataFrame(rows),
        caption=f"What the networks say to test image {result.provenance['test_index']} (loss of class {target})",
        titles={
            "network": "network",
            "predicted": "change of its loss, predicted",
            "change": "measured",
            "loss": "loss",
            "probability": f"probability of {target}",
            "says": "says",
            "test": "test accuracy",
            "removed": "accuracy on the removed",
        },
        formats={"network": Html},
        row_header="network",
        classes="gd-outcomes",
    )


def good_edit(result: Result) -> str:
    """ "Is this a good edit?" in a few sentences of HTML."""
    table = result.tables["outcomes"]
    origin = table[table["method"] == "original"].iloc[0]
    told, wrong = [], []
    for method in _edits(table):
        row = table[table["method"] == method].iloc[0]
        predicted, measured = float(row["predicted_change"]), float(row["change"])
        alike = abs(measured - predicted) <= ALIKE * abs(predicted)
        if not alike:
            wrong.append(method)
        told.append(
            f"{escape(label(method))} predicts {signed(predicted)} and its edited network has {signed(measured)}"
        )
    worst = min(float(table[table["method"] == method]["test_accuracy"].iloc[0]) for method in _edits(table))
    kept = (
        f"Accuracy on all test images: {origin['test_accuracy']:.2f} % before, {worst:.2f} % or more after."
        if len(told) > 1
        else f"Accuracy on all test images: {origin['test_accuracy']:.2f} % before, {worst:.2f} % after."
    )
    verdict = (
        "The edited networks do what first order says."
        if not wrong
        else f"Not as first order says for {', '.join(escape(label(method)) for method in wrong)}."
    )
    return f"<b>{verdict}</b> {'; '.join(told)}. {kept}"


def retraining_lands(result: Result) -> str:
    """ "Is this where retraining would land?" in a few sentences of HTML."""
    table = result.tables["outcomes"]
    if not len(table[table["method"].isin(RETRAINED)]):
        missing = str(result.provenance.get("incomplete", ""))
        why = f"{escape(missing[0].upper() + missing[1:])}." if missing else "Ask for training again to see."
        return f"<b>Not measured.</b> {why}"
    edits = [float(table[table["method"] == method]["change"].iloc[0]) for method in _edits(table)]
    parts, verdicts = [], []
    for method in RETRAINED:
        mean, error, count = changes(table, method)
        if not count:
            continue
        how = "Trained again from scratch" if method == "retrain" else "Trained on from the original"
        pairs = "one pair of networks" if count == 1 else f"{count} pairs of networks, same seed in each"
        spread = f" ± {significant(error, 2)}" if math.isfinite(error) else ""
        parts.append(f"{how}, without minus with the images: {signed(mean)}{spread} ({pairs}).")
        if method == "retrain":
            verdicts.append(_compared(edits, mean, error, count))
    verdict = verdicts[0] if verdicts else "There is no training from scratch to compare with."
    noise = _noise(table)
    return f"<b>{verdict}</b> {' '.join(parts)}{noise}"


def _compared(edits: Sequence[float], mean: float, error: float, count: int) -> str:
    if count < 2 or not math.isfinite(error):
        return "One pair of networks cannot tell."
    if abs(mean) <= 2 * error:
        return "It cannot be told: training again changes less than its seeds differ."
    signs = {edit > 0 for edit in edits}
    if signs != {mean > 0}:
        return "No: training again moves the loss the other way." if len(signs) == 1 else "The methods disagree."
    largest = max(edits, key=abs)
    if abs(largest - mean) <= 2 * error:
        return "Yes, within the spread of the seeds."
    return (
        "The direction is right, the size is not: training again changes far more."
        if abs(mean) > 2 * abs(largest)
        else "The direction is right, the size is not."
    )


def _noise(table: pd.DataFrame) -> str:
    """How far networks trained on the very same images differ by their seed."""
    same = table[table["method"] == "retrain_all"]["query_loss"]
    if len(same) < 2:
        return ""
    return (
        f" Trained on all images, seeds alone bring this loss from {number(float(same.min()))} to "
        f"{number(float(same.max()))}."
    )


def _edits(table: pd.DataFrame) -> list[str]:
    return [str(method) for method in table[table["predicted_change"].notna()]["method"]]


def facts(result: Result) -> str:
    """One line: how many images, what it took."""
    known = result.provenance
    images = "one training image" if known["m"] == 1 else f"{known['m']} training images"
    return " · ".join([f"{images} removed of {known['n']:,}".replace(",", "\u202f"), *effort(known)])


def summary(result: Result) -> pd.DataFrame:
    """The rows that a terminal shows."""
    names: dict[str, Any] = {
        "method": "network",
        "seed": "seed",
        "predicted_change": "predicted change",
        "change": "change",
        "query_loss": "loss",
        "probability": "probability",
        "says": "says",
        "test_accuracy": "test accuracy %",
    }
    return result.table[list(names)].rename(columns=names)


def these(result: Result) -> str:
    """The removed images in a few words of HTML."""
    indices = [int(index) for index in result.spec["forget_indices"]]
    if len(indices) == 1:
        return f"training image {indices[0]}"
    listed = ", ".join(map(str, indices[:12])) + (", …" if len(indices) > 12 else "")
    return f"{len(indices)} training images <span class='gd-muted'>({listed})</span>"
