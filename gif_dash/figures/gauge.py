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

#: Where a figure can be had that most answers lack.
WHERE = {"seeds": "Methods measures it with two seeds or more"}


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
    known = [row for row in useful if _finite(values, row)]
    counted = f"{numbers['edits']:,}".replace(",", "\u202f")
    over = f"{counted} edits of {numbers['networks']} small networks ({numbers['scenarios']} scenarios)"
    if known:
        words = _meaning(known[0], _finite(values, known[0]), measure, over)
    elif useful:
        words = f"Not by what was measured here. {_meaning(useful[0], (), measure, over)}"
    else:
        words = _nothing(figures, measure, over, float(numbers["useful"]))
    return f'<span class="gd-gauge"><b>Could it be told without retraining?</b> {words}</span>'


def _finite(values: Mapping[str, Values], row: Mapping[str, Any]) -> Values:
    return [(method, value) for method, value in values.get(row["figure"], ()) if math.isfinite(value)]


def _nothing(figures: Sequence[Mapping[str, Any]], measure: Measure, over: str, useful: float) -> str:
    """That no figure is useful, with the best of them and ρ."""
    best = max(figures, key=lambda row: row["auc"])
    rho = next(row for row in figures if row["figure"] == "rho")
    also = f"; of {TITLES['rho']} {_auc(rho)}" if rho is not best else ""
    return (
        f"Not by a trust figure: over {over} none separates well those that disagree "
        f"with retraining ({_bound(measure, best)}) from the others. Held-out AUC at best {_auc(best)}, of "
        f"{TITLES[best['figure']]}{also}; ½ is chance, {_short(useful)} was asked for."
    )


def _meaning(row: Mapping[str, Any], here: Values, measure: Measure, over: str) -> str:
    """What the values of this answer have meant."""
    worse, better = ("above", "below") if row["larger"] else ("below", "above")
    sides: dict[str, list[str]] = {worse: [], better: []}
    for method, value in here:
        sides["above" if value > row["threshold"] else "below"].append(f"{label(method)} {significant(value, 2)}")
    told_here = "; ".join(
        f"{', '.join(names)}: {_whole(row[side])} % of such edits disagreed" for side, names in sides.items() if names
    )
    return (
        f"In part, by {TITLES[row['figure']]}: over {over} those {worse} "
        f"{significant(row['threshold'], 2)} disagreed with retraining ({_bound(measure, row)}) in "
        f"{_whole(row[worse])} % of cases, the others in {_whole(row[better])} % (held-out AUC {_auc(row)}). "
        f"{f'Here {told_here}' if here else WHERE.get(row['figure'], 'It is missing here')}. Other networks may differ."
    )


def _bound(measure: Measure, row: Mapping[str, Any]) -> str:
    if measure == "gap":
        return f"a score more than {significant(row['bound'], 2)} off"
    return f"other answers to more than {_whole(100 * row['bound'])} % of the test images"


def _auc(row: Mapping[str, Any]) -> str:
    return f"{_short(row['auc'])} ({_short(row['low'])} … {_short(row['high'])}) on {row['scenarios']} of them"


def _short(value: float) -> str:
    """ ".67"."""
    return number(value, 2).removeprefix("0")


def _whole(value: float) -> str:
    return number(float(value), 0)
