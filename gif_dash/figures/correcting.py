"""Pictures, tables and words of correcting: pure functions of the result's tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

from gif_dash import published
from gif_dash.figures.chart import Axis, Chart, Line, Quantity, to_plotly
from gif_dash.figures.removal_words import effort
from gif_dash.figures.tables import Html, clipped, html_table, number, significant
from gif_dash.figures.theme import Style, stroke
from gif_dash.results import Result

if TYPE_CHECKING:
    import plotly.graph_objects as go

#: Column of the table ``summary`` → heading.
SUMMARY = {
    "choice": "images",
    "m": "how many",
    "repaired": "repaired %",
    "steps": "steps, median",
    "cost": "rest loses, points",
    "same_class": "of the right class %",
    "moved": "‖Δθ‖, median",
    "n": "n",
}
#: Ways to choose training images: what people read, and their style, which is no method's.
NAMES = {"influence": "most helpful by influence", "nearest": "nearest inputs", "random": "random"}
STYLES = {
    "influence": Style("#4477AA", "#7fb0e0", "solid", "circle"),
    "nearest": Style("#AA3377", "#e07fb0", "dash", "square"),
    "random": Style("#767676", "#9a9a9a", "dot", "diamond", 1.5),
}
_MEASURES = ("repaired", "steps", "cost", "same_class")


def curves(repairs: pd.DataFrame, spec: Mapping[str, Any]) -> Chart:
    """Share repaired, steps needed, cost on the rest and share of the right class against the number of images.

    Args:
        repairs: the table of that name, complete or partial; may be empty.
        spec: the question.

    Returns:
        A chart with a line per choice of images: means over the mispredictions with bars of one standard error; of the
        steps, the median and the quartiles of what was repaired.
    """
    lines = [_line(repairs, str(choice)) for choice in spec["choices"]] if len(repairs) else []
    counts = [float(value) for value in spec["examples"]]
    costs = [0.0, *(value for line in lines for value in _ends(line, "cost"))]
    low, high = min(costs), max(costs)
    room = 0.08 * (high - low) or 0.1
    percent = Axis("%", "linear", -4.0, 104.0)
    cost = Axis("points of accuracy", "linear", low - room, high + room)
    return Chart(
        title="Mispredictions repaired by a few steps on training images, and what the rest loses",
        x=Axis("training images in every step", "log", min(counts) / 1.35, max(counts) * 1.35),
        quantities=(
            Quantity("repaired", "Repaired", "%", 0, percent, f"within {spec['steps']} steps"),
            Quantity("steps", "Steps needed", "", 1, _steps_axis(lines), "median of the repaired"),
            Quantity("cost", "What the rest loses", "", 2, cost, "points of accuracy"),
            Quantity("same_class", "Of the right class", "%", 0, percent, "among the images"),
        ),
        lines=tuple(lines),
        symbol="images",
        bands="bars: ± one standard error over the mispredictions; steps: quartiles" if lines else "",
        points=True,
    )


def _steps_axis(lines: Sequence[Line]) -> Axis:
    most = max([1.0, *(value for line in lines for value in _ends(line, "steps"))])
    return Axis("steps", "linear", -0.04 * most, 1.06 * most)


def _ends(line: Line, key: str) -> list[float]:
    ends = [*line.values[key], *line.low.get(key, ()), *line.high.get(key, ())]
    return [value for value in ends if math.isfinite(value)]


def _line(repairs: pd.DataFrame, choice: str) -> Line:
    rows = repairs[repairs["choice"] == choice]
    images = rows.groupby(["m", "test_index"])[["repaired", "cost", "same_class"]].mean()
    images = images.assign(repaired=100 * images["repaired"], same_class=100 * images["same_class"])
    mean, error = images.groupby("m").mean(), images.groupby("m").sem()
    steps = rows.groupby("m")["steps"]
    quartiles = {share: _floats(steps.quantile(share)) for share in (0.25, 0.5, 0.75)}
    names = [name for name in _MEASURES if name != "steps"]
    values = {name: _floats(mean[name]) for name in names} | {"steps": quartiles[0.5]}
    low, high = (
        {name: _floats(mean[name] + sign * error[name]) for name in names if error[name].notna().any()}
        | {"steps": quartiles[share]}
        for sign, share in ((-1, 0.25), (1, 0.75))
    )
    return Line(choice, NAMES[choice], STYLES[choice], _floats(mean.index.to_series()), values, low, high)


def _floats(values: pd.Series[Any]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


# --- words ------------------------------------------------------------------------------------------------------------


def repairs(result: Result) -> str:
    """ "Do a few steps repair it?" as HTML: for every choice, how many and in how many steps."""
    table = result.tables["summary"]
    said = []
    for choice in result.spec["choices"]:
        rows = table[table["choice"] == choice]
        told = [
            f"{number(row['repaired'], 0)} % with {row['m']:g}"
            + (f" (median {number(row['steps'], 1)} steps)" if math.isfinite(row["steps"]) else "")
            for row in rows.to_dict("records")
        ]
        name = NAMES[str(choice)]
        said.append(f"<strong>{name[:1].upper()}{name[1:]}</strong>: {', '.join(told)}.")
    return f"<b>{_verdict(result)}</b> Repaired within {result.spec['steps']} steps:<br>{'<br>'.join(said)}"


def _verdict(result: Result) -> str:
    """Whether influence repairs more than the best of the other choices, image by image, beyond two standard errors."""
    choices = list(result.spec["choices"])
    if "influence" not in choices or len(choices) < 2:
        return "There is nothing to compare with."
    per_image = result.tables["repairs"].groupby(["choice", "test_index"])["repaired"].mean().unstack("choice")
    means = {name: per_image["influence"] - per_image[name] for name in choices if name != "influence"}
    other, gap = min(means.items(), key=lambda item: float(item[1].mean()))
    if len(gap) < 2:
        return "One misprediction: an anecdote."
    size, error = float(gap.mean()), float(gap.sem())
    if abs(size) <= 2 * error:
        return f"No difference from {NAMES[other]} is shown over these {len(gap)} mispredictions."
    return (
        "Yes, and influence finds images that repair more."
        if size > 0
        else f"Steps on images chosen otherwise ({NAMES[other]}) repair more."
    )


def costs(result: Result) -> str:
    """ "What does it cost on the rest?" as HTML."""
    table = result.tables["summary"]
    others = int(result.provenance["test_images"]) - 1
    said = []
    for choice in result.spec["choices"]:
        told = [
            f"{number(row['cost'], 2)} with {row['m']:g}" for row in table[table["choice"] == choice].to_dict("records")
        ]
        said.append(f"{NAMES[str(choice)]} {', '.join(told)}")
    worst = result.tables["repairs"].sort_values("cost").iloc[-1]
    return (
        f"Accuracy on the other {others} test images falls by so many points on average, whether the repair came or "
        f"not: {'; '.join(said)}. The dearest repair cost {number(float(worst['cost']), 1)} points "
        f"(test image {int(worst['test_index'])}, {NAMES[str(worst['choice'])]}). A repair ends at the first right "
        "answer: who needs more steps moves further."
    )


def oddities(result: Result) -> list[str]:
    """Sentences about how far these numbers reach."""
    known = result.provenance
    taken = result.tables["repairs"]["test_index"].nunique()
    of = f"{taken} of {known['wrong']}" if taken < known["wrong"] else f"All {taken}"
    said = [
        f"{of} mispredicted test images, one network. The right answer of each chooses its training images: a "
        "repair says nothing about other images of its kind."
    ]
    if note := known.get("data_note"):
        said.append(escape(str(note)))
    return said


def facts(result: Result) -> str:
    """One line: what was done, on what, and what it took; HTML."""
    spec, known = result.spec, result.provenance
    head = f"{known['wrong']} of {known['test_images']} test images mispredicted"
    rate = f"gradient descent, rate {spec['rate']:g}, at most {spec['steps']} steps"
    return " · ".join([head, rate, *effort(known)])


# --- tables -----------------------------------------------------------------------------------------------------------


def swatch(choice: str) -> str:
    """The stroke and marker of a choice of images as inline SVG."""
    return stroke(STYLES[choice])


def named(choice: str) -> Html:
    """Swatch and name of a choice of images."""
    return Html(f'{swatch(choice)}<span class="gd-method">{escape(NAMES[choice])}</span>')


def means_html(result: Result) -> str:
    """The summary as a table."""
    table = result.tables["summary"][[name for name in SUMMARY if name != "n"]]
    titles = SUMMARY | {"choice": "training images", "same_class": "of the right class %"}
    return html_table(
        table.assign(choice=[named(str(choice)) for choice in table["choice"]]),
        caption=f"Repaired within {result.spec['steps']} steps, and what it costs",
        titles=titles,
        formats={
            "choice": Html,
            "m": lambda value: f"{value:g}",
            "steps": lambda value: number(float(value), 1),
            **dict.fromkeys(("repaired", "same_class"), lambda value: number(float(value), 0)),
            "cost": lambda value: number(float(value), 2),
            "moved": lambda value: significant(float(value)),
        },
        row_header="choice",
    )


def singles_html(result: Result) -> str:
    """Every misprediction with every choice of images."""
    table, names = result.tables["repairs"], result.provenance["classes"]
    shown = pd.DataFrame(
        {
            "test image": table["test_index"],
            "right class": [clipped(str(names[label])) for label in table["label"]],
            "training images": [named(str(choice)) for choice in table["choice"]],
            "how many": table["m"],
            "draw": [str(repeat + 1) if choice == "random" else "" for choice, repeat in _draws(table)],
            "steps": [number(value, 0) if math.isfinite(value) else "not repaired" for value in table["steps"]],
            "rest loses": [number(float(value), 2) for value in table["cost"]],
        }
    )
    return html_table(
        shown, caption="Single mispredictions", formats={"training images": Html, "right class": Html}, limit=200
    )


def _draws(table: pd.DataFrame) -> list[tuple[str, int]]:
    return [(str(choice), int(repeat)) for choice, repeat in zip(table["choice"], table["repeat"], strict=True)]


def published_html(result: Result) -> str:
    """What is published in words, with what was found here beside it."""
    summary = result.tables["summary"]
    ours = summary[summary["choice"] == "influence"]
    told = "influence was not asked for"
    if len(ours):
        best = ours.sort_values(["repaired", "m"], ascending=[False, True]).iloc[0]
        steps = f", median {number(best['steps'], 1)} steps" if math.isfinite(best["steps"]) else ""
        told = f"{number(best['repaired'], 0)} % within {result.spec['steps']} steps on {best['m']:g} images{steps}"
    others = "; ".join(
        f"{NAMES[str(choice)]} {number(float(rows['repaired'].max()), 0)} %"
        for choice, rows in summary.groupby("choice", sort=False)
        if choice != "influence"
    )
    frame = pd.DataFrame(
        {
            "who": ["as published", "here"],
            "network": [published.CORRECTING_SETTING, str(result.provenance["scenario"])],
            "found": [published.CORRECTING, f"{told}. {f'At most: {others}.' if others else ''}"],
        }
    )
    return html_table(
        frame,
        caption="Repairing a misprediction by steps on influential training examples",
        titles={"who": "", "network": "on", "found": "found"},
        row_header="who",
        classes="gd-wrapped",
    )


def summary(result: Result) -> pd.DataFrame:
    """How many mispredictions were repaired, in how many steps, at what cost on the other test images."""
    return result.tables["summary"][list(SUMMARY)].rename(columns=SUMMARY)


def figures(result: Result, *, dark: bool = False) -> Sequence[go.Figure]:
    """The curves, for exports and notebooks."""
    return [to_plotly(curves(result.tables["repairs"], result.spec), dark=dark)]
