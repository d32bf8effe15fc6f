"""When can influence be believed: what a collection of class removals says of the trust figures; see docs/gauge.md.

``gauge.json`` beside this file holds the numbers; ``python bench/gauge.py write`` makes it from the kept lines, and a
test holds the two together.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

from gif_dash.figures.tables import number, significant
from gif_dash.figures.theme import label

Measure = Literal["gap", "apart"]
#: Values of one trust figure: (method, value), as far as an answer has them.
Values = Sequence[tuple[str, float]]

#: What people read of the trust figures.
TITLES = {
    "residual": "the relative residual of the solve",
    "curvature": "the curvature along the step",
    "negative": "negative curvature along the step",
    "step": "the relative step norm ‖Δ‖/‖θ̂‖",
    "step_best": "the relative step norm at the best s, s·‖Δ‖/‖θ̂‖",
    "rho_one": "|ρ − 1| at s = 1",
    "rho": "|ρ − 1| at the best s",
    "stationarity": "the gradient left by training, relative to g",
    "seeds": "the difference of the score from network to network",
    "together": "all of them in a logistic regression",
}


@cache
def told() -> dict[str, Any]:
    """The numbers that ship with the package."""
    found: dict[str, Any] = json.loads((Path(__file__).parent / "gauge.json").read_text(encoding="utf-8"))
    return found


def sentence(measure: Measure, values: Mapping[str, Values], numbers: Mapping[str, Any] | None = None) -> str:
    """What the trust figures of an answer have meant in the collection, as a sentence or two of HTML.

    Args:
        measure: ``gap``: how far the score is from retraining's; ``apart``: how many answers differ.
        values: trust figures by name, see `TITLES`; those of this answer.
        numbers: as `told`, which is the default.
    """
    numbers = told() if numbers is None else numbers
    figures = [row for row in numbers[measure] if row["figure"] != "together"]
    useful = sorted((row for row in figures if row["useful"]), key=lambda row: -row["auc"])
    over = f"{numbers['edits']:,} edits of {numbers['networks']} small networks".replace(",", "\u202f")
    for row in useful:
        here = [(method, value) for method, value in values.get(row["figure"], ()) if math.isfinite(value)]
        if here:
            return _meaning(row, here, measure, over)
    if useful:
        names = ", ".join(_with(row) for row in useful)
        return (
            f"<b>What foretells it</b> was not measured here: {names}, in {over} on {useful[0]['scenarios']} scenarios."
        )
    best = max(figures, key=lambda row: row["auc"])
    rho = next(row for row in figures if row["figure"] == "rho")
    also = f"; {_with(rho)}" if rho is not best else ""
    return (
        f"<b>No trust figure foretells this:</b> in {over} on {best['scenarios']} scenarios none told those that "
        f"disagree with retraining ({_bound(measure, best)}) from the others well enough to go by. Held-out AUC (½ is "
        f"chance, {_short(numbers['useful'])} the bound set beforehand): at best {_with(best)}{also}."
    )


def _meaning(row: Mapping[str, Any], here: Values, measure: Measure, over: str) -> str:
    """What the values of this answer have meant."""
    worse = "above" if row["larger"] else "below"
    sides: dict[str, list[str]] = {"above": [], "below": []}
    for method, value in here:
        sides["above" if value > row["threshold"] else "below"].append(f"{label(method)} {significant(value, 2)}")
    here_told = "; ".join(
        f"{', '.join(names)}: {_whole(row[side])} % of such edits disagreed" for side, names in sides.items() if names
    )
    other = "below" if worse == "above" else "above"
    return (
        f"<b>What {TITLES[row['figure']]} has meant:</b> in {over} on {row['scenarios']} scenarios, edits {worse} "
        f"{significant(row['threshold'], 2)} disagreed with retraining ({_bound(measure, row)}) in "
        f"{_whole(row[worse])} % of cases, those {other} it in {_whole(row[other])} % (held-out AUC {_auc(row)}). Here "
        f"{here_told}. Other networks than those may differ."
    )


def _bound(measure: Measure, row: Mapping[str, Any]) -> str:
    if measure == "gap":
        return f"a score more than {significant(row['bound'], 2)} off"
    return f"other answers to more than {_whole(100 * row['bound'])} % of the test images"


def _with(row: Mapping[str, Any]) -> str:
    return f"{TITLES[row['figure']]} {_auc(row)}"


def _auc(row: Mapping[str, Any]) -> str:
    return f"{_short(row['auc'])} ({_short(row['low'])} … {_short(row['high'])})"


def _short(value: float) -> str:
    """ ".67"."""
    return number(value, 2).removeprefix("0")


def _whole(value: float) -> str:
    return number(float(value), 0)
