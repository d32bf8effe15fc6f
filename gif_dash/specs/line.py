"""The question of the line with two outliers."""

from __future__ import annotations

import math
import re
from typing import Any, ClassVar, Self

from pydantic import field_validator, model_validator

from gif_dash.specs.base import MAX_SEED, Spec, fault, field

#: How far points and test point may be from zero.
FARTHEST_X, FARTHEST_Y = 10.0, 200.0
#: Decimals of what is dragged.
DECIMALS = 4
#: Without one of them, at least two must be left to fit a line to.
FEWEST = 3

_MOVE = re.compile(r"\s*(\d{1,4})\s*:\s*([-+.\deE]{1,24})\s*:\s*([-+.\deE]{1,24})\s*")


class LineSpec(Spec):
    """A line fitted to points of which two are outliers: what every point does to the loss of one test point.

    What is dragged on the page is part of the question: `moved` and `removed`, the test point's x and how far it lies
    above the true line. Positions are kept to four decimals.
    """

    experiment: ClassVar[str] = "line"

    test_x: float = field(
        3.2, "Test point, x", "the point whose loss is asked about; drag it", ge=-FARTHEST_X, le=FARTHEST_X
    )
    test_offset: float = field(
        0.0,
        "Test point above the true line",
        "its y minus −5x + 5; 0: on the true line, as it is without noise",
        ge=-300.0,
        le=300.0,
    )
    noise: float = field(0.1, "Noise", "standard deviation of the noise on y", ge=0.0, le=20.0)
    outliers: tuple[int, ...] = field(
        (1, -5),
        "Outliers",
        "positions of the points set to the height below; −1 is the last one",
        widget="indices",
        max_length=40,
    )
    height: float = field(100.0, "Outlier height", "y of the outliers", ge=-FARTHEST_Y, le=FARTHEST_Y)
    points: int = field(20, "Points", "spread evenly from x = −5 on, outliers included", ge=5, le=40, advanced=True)
    decay: float = field(
        0.0,
        "Weight decay μ",
        "adds μ/2·(slope² + intercept²) to the mean squared error",
        ge=0.0,
        le=20.0,
        advanced=True,
    )
    seed: int = field(0, "Seed", "of the noise", ge=0, le=MAX_SEED, advanced=True)
    moved: tuple[str, ...] = field(
        (), "Moved points", "index:x:y of every point that is elsewhere than where it was drawn", max_length=40
    )
    removed: tuple[int, ...] = field((), "Removed points", "indices of points that the fit leaves out", max_length=40)

    @field_validator("moved", mode="before")
    @classmethod
    def _as_texts(cls, value: Any) -> Any:
        """Also takes (index, x, y) in place of the text."""
        if not isinstance(value, (list, tuple)):
            return value
        return tuple(":".join(map(str, item)) if isinstance(item, (list, tuple)) else item for item in value)

    @field_validator("moved")
    @classmethod
    def _positions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        places: dict[int, tuple[float, float]] = {}
        for text in value:
            index, x, y = _move(text)
            if index in places:
                raise ValueError(f"point {index} is moved twice")
            if not (abs(x) <= FARTHEST_X and abs(y) <= FARTHEST_Y):
                raise ValueError(
                    f"x goes from −{FARTHEST_X:g} to {FARTHEST_X:g}, y from −{FARTHEST_Y:g} to {FARTHEST_Y:g}"
                )
            places[index] = (x, y)
        return tuple(spell(index, *place) for index, place in sorted(places.items()))

    @field_validator("removed")
    @classmethod
    def _in_order(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(value)))

    @field_validator("test_x", "test_offset")
    @classmethod
    def _rounded(cls, value: float) -> float:
        return round(value, DECIMALS) + 0.0

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        last = self.points - 1
        for name, indices in (("moved", self.places), ("removed", self.removed)):
            for index in indices:
                if not 0 <= index <= last:
                    raise fault(name, f"there is no point {index}; points go from 0 to {last}")
        for index in self.outliers:
            if not -self.points <= index <= last:
                raise fault(
                    "outliers", f"there is no point {index}; points go from 0 to {last}, or −1 to −{self.points}"
                )
        if self.points - len(self.removed) < FEWEST:
            raise fault("removed", f"at least {FEWEST} points must stay")
        if self.decay == 0 and len(set(self._stay())) < 2:
            raise fault("moved", "there is no unique line through points that all have the same x")
        return self

    @property
    def places(self) -> dict[int, tuple[float, float]]:
        """`moved` as numbers: (x, y) by index."""
        return {index: (x, y) for index, x, y in map(_move, self.moved)}

    def _stay(self) -> list[float]:
        """x of the points that are fitted."""
        places = self.places
        return [
            places[index][0] if index in places else -5.0 + 10.0 * index / self.points
            for index in range(self.points)
            if index not in self.removed
        ]


def spell(index: int, x: float, y: float) -> str:
    """A moved point as text: index:x:y, to four decimals."""
    return f"{index}:{_short(x)}:{_short(y)}"


def _short(value: float) -> str:
    return f"{round(value, DECIMALS) + 0.0:.{DECIMALS}f}".rstrip("0").rstrip(".")


def _move(text: str) -> tuple[int, float, float]:
    """index, x and y of a moved point.

    Raises:
        ValueError: one sentence.
    """
    match = _MOVE.fullmatch(text)
    try:
        numbers = [float(part) for part in match.groups()[1:]] if match else []
    except ValueError:
        numbers = []
    if match is None or not numbers or not all(map(math.isfinite, numbers)):
        raise ValueError("write a moved point as index:x:y, for example 15:2.5:-8")
    return int(match[1]), numbers[0], numbers[1]
