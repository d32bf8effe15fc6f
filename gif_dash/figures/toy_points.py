"""What the toy's page needs beside the plane: the points themselves, and the numbers of every solve.

The page follows a dragged point by itself, from the points and the settings (``static/least.js``); what it shows once
the point is let go is what Python computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gif_dash import toy
from gif_dash.specs import ToySpec

#: As many points to remove, and as many others, are drawn; where there are more, an even sample of them.
DRAWN = 200
#: Space around the points as a share of their range; a point can be dragged into it.
MARGIN = 0.08
#: The page's own solves are held to Python's by a test; what is sent for reading needs fewer digits.
DIGITS = 8

Window = tuple[float, float]


@dataclass(frozen=True)
class Points:
    """The points as drawn, and how they may be changed.

    Attributes:
        shown: positions of the points that are drawn.
        thinned: a sentence where these are not all; else empty.
        windows: from and to of each feature and of the target.
        settings: what the page needs to compute the trajectories by itself.
        edits: changes by hand, in the spelling of the spec.
        editable: whether points can be changed.
    """

    shown: tuple[int, ...]
    thinned: str
    windows: tuple[Window, ...]
    settings: Mapping[str, Any]
    edits: tuple[str, ...]
    editable: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values for the page."""
        return dict(vars(self))


def points(spec: ToySpec, data: toy.Data) -> Points:
    """The points of a question.

    Args:
        spec: the question.
        data: its points before they were changed by hand.
    """
    changes = spec.changes()
    shown = {*_sample(0, spec.outliers), *_sample(spec.outliers, spec.points), *(change.index for change in changes)}
    table = np.column_stack([data.features, data.targets])
    low, high = table.min(axis=0), table.max(axis=0)
    pad = MARGIN * np.maximum(high - low, 1e-6)
    low, high = low - pad, high + pad
    for change in changes:
        for column, value in change.moved:
            low[column], high[column] = min(low[column], value), max(high[column], value)
    settings = {
        "count": spec.points,
        "outliers": spec.outliers,
        "removals": spec.removals,
        "group": spec.removal == "group",
        "expansions": spec.expansions == "yes",
        "indices": [spec.first - 1, spec.second - 1],
        "largest": toy.LARGEST_SCALAR,
    }
    windows = tuple(zip(low.tolist(), high.tolist(), strict=True))
    thinned = _thinned(shown, spec.outliers, spec.points)
    return Points(tuple(sorted(shown)), thinned, windows, settings, spec.edits, spec.variant == "exact")


def _thinned(shown: set[int], outliers: int, count: int) -> str:
    """What is not drawn, in words."""
    if len(shown) == count:
        return ""
    leaving = sum(index < outliers for index in shown)
    parts = []
    for drawn, there, name in ((leaving, outliers, "outliers"), (len(shown) - leaving, count - outliers, "others")):
        if there:
            parts.append(f"{drawn:,} of {there:,} {name}" if drawn < there else f"all {there:,} {name}")
    return (
        f"Drawn are {' and '.join(parts)}, evenly picked, and every point that was changed by hand; a lasso takes only "
        f"these. All {count:,} are computed with."
    )


def columns(data: toy.Data) -> bytes:
    """Features and targets as float64, one column after the other: 6·N numbers, little-endian."""
    return np.column_stack([data.features, data.targets]).T.astype("<f8").tobytes()


def _sample(begin: int, end: int) -> list[int]:
    count = min(DRAWN, end - begin)
    return [int(place) for place in np.linspace(begin, end - 1, count).round()] if count else []


def solves(trace: toy.Trace) -> dict[str, Any]:
    """The right-hand side, Hessian and change of every step, in plain JSON values; see `gif_dash.toy.Solves`."""
    found = trace.solves
    return {
        "hessian": _rounded(found.hessian),
        "gradients": {way: _rounded(each) for way, each in found.gradients.items()},
        "changes": {way: _rounded(each) for way, each in found.changes.items()},
        "moved": {way: list(each) for way, each in found.moved.items()},
        "factors": {way: _rounded(each) for way, each in found.factors.items()},
        "expansion": {name: _rounded(each) for name, each in found.expansion.items()},
        "share": found.share,
        "start": _rounded(trace.start),
        "scalar": trace.scalar.tolist(),
        "indices": list(trace.indices),
        "group": trace.group,
        "published": trace.published,
        "paths": {way: _rounded(path[:, list(trace.indices)]) for way, path in trace.paths.items()},
    }


def _rounded(array: NDArray[np.float64]) -> Any:
    """Nested lists of numbers with few digits."""
    flat = [float(f"{value:.{DIGITS}g}") for value in array.ravel().tolist()]
    return np.array(flat).reshape(array.shape).tolist()
