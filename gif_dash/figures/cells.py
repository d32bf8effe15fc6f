"""A grid of labelled cells in neutral words: what is shown, not how.

Every cell has its number as text; the colour only repeats it. Several views of the same cells (other quantities) travel
together, so that the page changes between them without asking. Drawn by `gif_dash.panels.cells`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Head:
    """Head of a row or column.

    Attributes:
        key: its name.
        label: what people read.
        swatch: inline SVG before the label, or nothing.
    """

    key: str
    label: str
    swatch: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: the number.
        below: a second, smaller line, for example its standard error.
        share: place on the colour scale, 0 … 1; None for no colour.
        note: what it means in a sentence; shown below the grid and read out.
        enabled: whether it can be pressed.
    """

    text: str = ""
    below: str = ""
    share: float | None = None
    note: str = ""
    enabled: bool = True


@dataclass(frozen=True)
class View:
    """One quantity in all cells.

    Attributes:
        cells: by row, then column.
        footer: rows below the grid that do not depend on the column: head and cell.
        low, high: what the ends of the colour scale stand for.
        note: what the quantity is, and which end is the better one.
    """

    cells: tuple[tuple[Cell, ...], ...]
    footer: tuple[tuple[Head, Cell], ...] = ()
    low: str = ""
    high: str = ""
    note: str = ""


@dataclass(frozen=True)
class Switch:
    """A choice between views.

    Attributes:
        key: its name.
        title: what people read.
        choices: value and label of each.
    """

    key: str
    title: str
    choices: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Grid:
    """The whole picture. A view's name is the values of all switches, with blanks between them."""

    title: str
    corner: str
    rows: tuple[Head, ...]
    columns: tuple[Head, ...]
    views: Mapping[str, View]
    switches: tuple[Switch, ...] = ()
    action: str = field(default="")  #: what pressing a cell does, in words

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values for the page."""
        return asdict(self)


def share(value: float, low: float, high: float, *, log: bool = False) -> float | None:
    """Place of a value between the ends of a scale, clamped to 0 … 1; None for what is not finite."""
    if not math.isfinite(value):
        return None
    if log:
        value, low, high = (math.log(max(item, 1e-300)) for item in (value, low, high))
    return min(1.0, max(0.0, (value - low) / (high - low))) if high > low else 0.0
