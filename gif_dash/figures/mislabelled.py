"""Mislabelled data: detection curves, pictures, tables and words; pure functions of the result's tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

from gif_dash.figures.attribution import name
from gif_dash.figures.chart import Axis, Chart, Line, Mark, Quantity, to_plotly
from gif_dash.figures.removal_words import effort
from gif_dash.figures.tables import Html, html_table, number
from gif_dash.figures.theme import Style, label, stroke
from gif_dash.results import Result

if TYPE_CHECKING:
    import plotly.graph_objects as go

#: The style of every ranking.
STYLES: dict[str, Style] = {
    "self-influence": Style("#0072B2", "#56B4E9", "solid"),
    "training-loss": Style("#D55E00", "#ff9d5c", "dash"),
    "random-order": Style("#767676", "#9a9a9a", "dot", "", 1.5),
}
NAMES = {"training-loss": "loss", "random-order": "random order"}
#: Differences of less than so many standard errors are called none.
SURE = 2.0


def called(ranking: str) -> str:
    """A ranking in words."""
    return NAMES.get(ranking) or label(ranking)


def curves(detection: pd.DataFrame, spec: Mapping[str, Any]) -> Chart:
    """Share of the wrong labels found, and of wrong ones among the inspected, against the share inspected.

    Args:
        detection: the table of that name; may be empty.
        spec: the question, for the marks.
    """
    lines = []
    for ranking in dict.fromkeys(detection["ranking"]) if len(detection) else ():
        rows = detection[detection["ranking"] == ranking]
        x = tuple(float(value) for value in rows["inspected"])
        found = tuple(float(value) for value in rows["found"])
        share = float(spec["share"])
        among = tuple(
            min(100.0, value * share / place) if place > 0 else math.nan for value, place in zip(found, x, strict=True)
        )
        lines.append(
            Line(str(ranking), called(str(ranking)), STYLES[str(ranking)], x, {"found": found, "among": among})
        )
    percent = Axis("%", "linear", -3.0, 103.0)
    return Chart(
        title="Wrong labels found by inspecting the first of a ranking",
        x=Axis("images inspected (%)", "linear", 0.0, 100.0),
        quantities=(
            Quantity("found", "Wrong labels found", "%", 1, percent),
            Quantity("among", "Wrong ones among the inspected", "%", 1, percent),
        ),
        lines=tuple(lines),
        marks=tuple(Mark(float(share), f"{share:g} %") for share in spec["inspected"]),
        symbol="share",
    )


def named(ranking: str) -> str:
    """Swatch and name of a ranking as HTML."""
    return f'{stroke(STYLES[ranking])}<span class="gd-method">{escape(called(ranking))}</span>'


# --- words ----------------------------------------------------------------------------------------------------------


def finds(result: Result) -> str:
    """ "Does self-influence find them?" in a few sentences of HTML."""
    areas: dict[str, tuple[float, float]] = {
        str(row["ranking"]): (float(row["auc"]), float(row["auc_se"]))
        for row in result.tables["areas"].to_dict("records")
    }
    (ours, error), (loss, loss_error) = areas["self-influence"], areas["training-loss"]
    if ours - 0.5 <= SURE * error:
        verdict = "Not better than chance."
    else:
        verdict = "Yes, far better than chance." if ours > 0.8 else "Better than chance."
    gap = ours - loss
    compared = (
        "the loss alone does as well"
        if abs(gap) <= SURE * math.hypot(error, loss_error)
        else f"{'better' if gap > 0 else 'worse'} than the loss alone"
    )
    told = "; ".join(f"{called(key)} {number(area)} ± {number(spread)}" for key, (area, spread) in areas.items())
    first = at(result, 2 * float(result.spec["share"]))
    return (
        f"<b>{verdict}</b> Chance that a wrongly labelled image stands before a rightly labelled one (AUC): {told}: "
        f"{compared}. Looking at {min(100.0, 2 * float(result.spec['share'])):g} % of the images finds {first} of the "
        "wrong labels."
    )


def at(result: Result, share: float) -> str:
    """What each ranking finds when a share of the images is inspected."""
    detection = result.tables["detection"]
    parts = []
    for ranking in dict.fromkeys(detection["ranking"]):
        rows = detection[detection["ranking"] == ranking]
        places = rows["inspected"].tolist()
        nearest = min(range(len(places)), key=lambda place: abs(places[place] - share))
        parts.append(f"{rows['found'].iloc[nearest]:.0f} % ({called(str(ranking))})")
    return ", ".join(parts)


def repairs(result: Result) -> str:
    """ "Does correcting them help?" in a few sentences of HTML."""
    table = result.tables["repairs"]
    before, after = (table[table["labels"] == kind].iloc[0] for kind in ("wrong", "right"))
    base = f"Test accuracy with the wrong labels {_accuracy(before)}, with all labels right {_accuracy(after)}."
    done = table[table["labels"] == "repaired"]
    if not len(done):
        why = str(result.provenance.get("incomplete", ""))
        return f"<b>Not measured.</b> {base} {escape(why[:1].upper() + why[1:])}{'.' if why else ''}"
    ours = done[done["ranking"] == "self-influence"]
    best = ours.sort_values("inspected").iloc[-1]
    gain = float(best["test_accuracy"]) - float(before["test_accuracy"])
    error = math.hypot(float(best["test_accuracy_se"]), float(before["test_accuracy_se"]))
    verdict = "Yes." if gain > SURE * error else "It cannot be told from these test images." if gain >= 0 else "No."
    told = "; ".join(
        f"{called(str(row['ranking']))} {_accuracy(row)}"
        for row in done[done["inspected"] == best["inspected"]].to_dict("records")
    )
    return (
        f"<b>{verdict}</b> {base} Trained again after the first {best['inspected']:g} % of each ranking were inspected "
        f"and corrected: {told}."
    )


def _accuracy(row: Mapping[Any, Any] | pd.Series[Any]) -> str:
    return f"{float(row['test_accuracy']):.2f} ± {float(row['test_accuracy_se']):.2f} %"


def facts(result: Result) -> str:
    """One line: what was done, on what, and what it took; HTML."""
    known = result.provenance
    where = "the whole network" if result.spec["part"] != "last" else f"the last layer ({escape(str(known['layer']))})"
    if known["exact"]:
        how = f"exact on {where}, {spaced(known['k'])} parameters"
    else:
        how = f"in a Lanczos subspace of rank {known['rank']} of {spaced(known['p'])} parameters"
    negative = int(known.get("negative_eigenvalues", 0))
    signs = f", {negative} eigenvalues negative" if negative else ""
    parts = [f"{spaced(known['m'])} of {spaced(known['n'])} labels wrong", f"self-influence {how}{signs}"]
    return " · ".join([*parts, *effort(known)])


def spaced(count: int) -> str:
    """A whole number with thin spaces between the thousands."""
    return f"{count:,}".replace(",", "\u202f")


# --- pictures and tables --------------------------------------------------------------------------------------------


def pictures_html(result: Result, ranking: str) -> str:
    """The first images of a ranking, each with the label it was given and, where that is wrong, the right one."""
    classes = [str(entry) for entry in result.provenance["classes"]]
    rows = result.tables["shown"][result.tables["shown"]["ranking"] == ranking]
    urls = dict(zip(result.tables["pictures"]["index"], result.tables["pictures"]["url"], strict=True))
    tiles = "".join(_tile(row, urls, classes) for row in rows.to_dict("records"))
    wrong = int(rows["wrong"].sum())
    title = f"The first {len(rows)} by {called(ranking)}: {wrong} have a wrong label (✗)"
    return f'<h3>{escape(title)}</h3><div class="gd-inspect">{tiles}</div>'


def _tile(row: Mapping[Any, Any], urls: Mapping[Any, str], classes: Sequence[str]) -> str:
    given, right = name(classes, int(row["label"])), name(classes, int(row["right_label"]))
    words = f"training image {row['train_index']}, labelled {given}, " + (
        f"shows {right}" if row["wrong"] else "which is right"
    )
    url = urls.get(row["train_index"], "")
    image = f'<img src="{escape(url)}" width="44" height="44" alt="{escape(words)}">' if url else ""
    caption = (
        f"✗ {escape(given)} <small>is {escape(right)}</small>"
        if row["wrong"]
        else f"{escape(given)} <small>right</small>"
    )
    state = "wrong" if row["wrong"] else "right"
    return f'<figure data-state="{state}" title="{escape(words)}">{image}<figcaption>{caption}</figcaption></figure>'


def repairs_html(result: Result) -> str:
    """Test accuracy before, after each inspection, and with all labels right."""
    table = result.tables["repairs"]
    labels = {
        "wrong": "with the wrong labels",
        "right": "with all labels right",
        "repaired": "corrected and trained again",
    }
    frame = pd.DataFrame(
        {
            "labels": [labels[value] for value in table["labels"]],
            "ranking": [named(value) if value else "–" for value in table["ranking"]],
            "inspected": table["inspected"].tolist(),
            "wrong_left": table["wrong_left"].tolist(),
            "accuracy": [_accuracy(row) for row in table.to_dict("records")],
            "test_loss": table["test_loss"].tolist(),
        }
    )
    return html_table(
        frame,
        caption="Networks trained on these labels, on the test images (± one standard error of the test images)",
        titles={
            "labels": "trained",
            "ranking": "in the order of",
            "inspected": "inspected (%)",
            "wrong_left": "wrong labels left",
            "accuracy": "test accuracy",
            "test_loss": "test loss",
        },
        formats={
            "ranking": Html,
            "inspected": lambda value: f"{value:g}" if math.isfinite(value) else "–",
            "test_loss": lambda value: number(float(value)),
        },
        row_header="labels",
    )


def detection_html(result: Result) -> str:
    """The curves as a table."""
    table = result.tables["detection"]
    wide = table.pivot(index="inspected", columns="ranking", values="found").reset_index()
    names = [str(ranking) for ranking in dict.fromkeys(table["ranking"])]
    wide = wide[["inspected", *names]][wide["inspected"] % 5 == 0]
    percent = {key: lambda value: f"{value:.1f}" for key in names}
    return html_table(
        wide,
        caption="Share of the wrong labels found (%)",
        titles={"inspected": "inspected (%)", **{key: called(key) for key in names}},
        formats={"inspected": lambda value: f"{value:g}", **percent},
        row_header="inspected",
    )


def summary(result: Result) -> pd.DataFrame:
    """The rows that a terminal shows: areas and accuracies."""
    areas = result.tables["areas"].set_index("ranking")
    names = {
        "labels": "labels",
        "ranking": "order",
        "inspected": "inspected %",
        "wrong_left": "wrong left",
        "test_accuracy": "test accuracy %",
    }
    table = result.tables["repairs"][list(names)].rename(columns=names)
    return table.assign(AUC=[float(areas["auc"].get(ranking, math.nan)) for ranking in table["order"]])


def figures(result: Result) -> list[go.Figure]:
    """The curves as plotly figures, for exports."""
    return [to_plotly(curves(result.tables["detection"], result.spec), height=420)]
