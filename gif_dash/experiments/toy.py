"""The toy experiment: `gif_dash.toy` from a spec to a result. Torch-free, so it also runs where the widgets are."""

from __future__ import annotations

import platform
import time
from datetime import UTC, datetime
from importlib.metadata import version

from gif_dash import __version__, toy
from gif_dash.progress import Progress
from gif_dash.results import Result
from gif_dash.specs import ToySpec


def data(spec: ToySpec) -> toy.Data:
    """The points that a spec asks about, changes by hand included."""
    return toy.edited(base(spec), [toy.Edit(each.index, each.moved, each.removed) for each in spec.changes()])


def base(spec: ToySpec) -> toy.Data:
    """The points as they were drawn."""
    return toy.load(spec.data, spec.points, spec.outliers, spec.strength, spec.correlation, spec.noise, spec.seed)


def trace(spec: ToySpec) -> toy.Trace:
    """The trajectories that a spec asks for."""
    if spec.variant == "published":
        return toy.remove_as_published()
    indices = (spec.first - 1, spec.second - 1)
    if spec.removal == "group":
        return toy.remove_group(data(spec), indices, spec.removals, expansions=spec.expansions == "yes")
    return toy.remove_in_steps(data(spec), indices, spec.removals)


def run(spec: ToySpec, progress: Progress) -> Result:
    """Compute the toy: milliseconds.

    Returns:
        Tables ``steps`` (every method at every step, `gif_dash.toy.Trace.steps`), ``landmarks`` (the points the methods
        aim at) and ``contours`` (the loss over the plane shown, as ellipses).
    """
    return computed(spec, progress)[0]


def computed(spec: ToySpec, progress: Progress) -> tuple[Result, toy.Trace]:
    """The result, and the trajectories it was made from."""
    progress.stage("closed forms")
    start = time.perf_counter()
    found = trace(spec)
    tables = {"steps": found.steps(), "landmarks": found.landmarks(), "contours": found.contours()}
    first, second = found.plane
    provenance = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": time.perf_counter() - start,
        "device": f"cpu ({platform.machine()}, numpy float64)",
        "versions": {"gif_dash": __version__, "python": platform.python_version(), "numpy": version("numpy")},
        "seed": spec.seed,
        "k": 2,
        "p": toy.FEATURES + 1,
        "m": int(found.removed[found.prediction]),
        "N": spec.points,
        "plane": f"weights {first + 1} and {second + 1}",
        "quirks": list(toy.QUIRKS) if found.published else [],
    }
    return Result({"experiment": spec.experiment, **spec.model_dump(mode="json")}, tables, provenance), found
