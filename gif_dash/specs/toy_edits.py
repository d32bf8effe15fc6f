"""Changes by hand to the toy's points, in a spelling that fits in a link.

One change is ``INDEX:x2:0.5:y:-3.1:out``: the point of that position (from 0) gets feature 2 = 0.5 and target -3.1, and
goes out, into the group to remove. All parts but the first are optional; ``in`` keeps a point that was to be removed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

#: As many points may be changed by hand; a link has to hold them all.
MOST = 400
#: Features and targets may be moved so far.
FARTHEST = 1000.0

#: What can be moved, in the order of the columns of `gif_dash.toy.Edit`.
COLUMNS = ("x1", "x2", "x3", "x4", "x5", "y")

GRAMMAR = "write a change as INDEX:x2:0.5:y:-3.1:out, where x1 to x5, y, and out or in are optional"


@dataclass(frozen=True)
class Change:
    """One point's change; see `gif_dash.toy.Edit`, whose fields it has."""

    index: int
    moved: tuple[tuple[int, float], ...] = ()
    removed: bool | None = None

    def __str__(self) -> str:
        parts = [str(self.index)]
        for column, value in self.moved:
            parts += [COLUMNS[column], repr(value).removesuffix(".0")]
        if self.removed is not None:
            parts.append("out" if self.removed else "in")
        return ":".join(parts)


def read(text: str) -> Change:
    """The change that a text spells.

    Raises:
        ValueError: one sentence.
    """
    first, *parts = (part.strip() for part in text.split(":"))
    removed: bool | None = None
    if parts and parts[-1] in ("out", "in"):
        removed = parts.pop() == "out"
    names, values = parts[::2], parts[1::2]
    plain = first.isascii() and first.isdecimal() and len(first) <= 6
    if not plain or len(names) != len(values) or len(set(names)) < len(names) or set(names) - set(COLUMNS):
        raise ValueError(GRAMMAR)
    try:
        moved = {COLUMNS.index(name): float(value) + 0.0 for name, value in zip(names, values, strict=True)}
    except ValueError:
        raise ValueError(GRAMMAR) from None
    if not all(math.isfinite(value) and abs(value) <= FARTHEST for value in moved.values()):
        raise ValueError(f"points may be moved between -{FARTHEST:g} and {FARTHEST:g}")
    return Change(int(first), tuple(sorted(moved.items())), removed)


def canonical(texts: Iterable[str], outliers: int) -> tuple[str, ...]:
    """The changes in order, without what changes nothing: equal questions have one spelling.

    Args:
        texts: as given.
        outliers: the first so many points are to be removed unless a change says otherwise.

    Raises:
        ValueError: one sentence.
    """
    found: dict[int, Change] = {}
    for text in texts:
        change = read(text)
        if change.index in found:
            raise ValueError(f"point {change.index} is changed twice")
        if change.removed == (change.index < outliers):
            change = replace(change, removed=None)
        found[change.index] = change
    kept = [found[index] for index in sorted(found) if found[index].moved or found[index].removed is not None]
    return tuple(map(str, kept))
