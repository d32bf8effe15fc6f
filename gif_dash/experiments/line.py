"""The line experiment: `gif_dash.line` from a spec to a result. Torch-free, so it also runs where the widgets are."""

from __future__ import annotations

import platform
import time
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np
import pandas as pd

from gif_dash import __version__, line
from gif_dash.line import Analysis, Array
from gif_dash.progress import Progress
from gif_dash.results import Result
from gif_dash.specs import LineSpec


def drawn(spec: LineSpec) -> tuple[Array, Array]:
    """x and y of all points as they are drawn, before any is moved or removed, each (points,)."""
    return line.draw(spec.points, spec.outliers, spec.height, spec.noise, spec.seed)


def placed(spec: LineSpec) -> tuple[Array, Array]:
    """x and y of all points where they are now, removed ones included, each (points,)."""
    x, y = drawn(spec)
    for index, (there_x, there_y) in spec.places.items():
        x[index], y[index] = there_x, there_y
    return x, y


def target(spec: LineSpec) -> tuple[float, float]:
    """x and y of the test point."""
    return spec.test_x, float(line.truth(spec.test_x)) + spec.test_offset


def kept(spec: LineSpec) -> list[int]:
    """Indices of the points that are fitted."""
    return [index for index in range(spec.points) if index not in spec.removed]


def analysis(spec: LineSpec) -> Analysis:
    """What a spec asks for; rows are those of `kept`."""
    x, y = placed(spec)
    stay = kept(spec)
    return line.analyse(x[stay], y[stay], target(spec), spec.decay)


def run(spec: LineSpec, progress: Progress) -> Result:
    """Compute the line: milliseconds.

    Returns:
        Tables ``points`` (`gif_dash.line.Analysis.table` of the points that are fitted, index as in the data), ``fit``
        (columns quantity and value: the line, the test point, H, H⁻¹ and ∇ℓ(z_t)) and ``without`` (index, slope,
        intercept of the line without each point).
    """
    progress.stage("closed forms")
    start = time.perf_counter()
    found = analysis(spec)
    index = np.array(kept(spec))
    fit = {
        "slope": found.theta[0],
        "intercept": found.theta[1],
        "test_x": found.test[0],
        "test_y": found.test[1],
        "test_prediction": found.test[1] + found.test_residual,
        "test_loss": found.test_loss,
        **{f"H_{row + 1}{column + 1}": found.hessian[row, column] for row in (0, 1) for column in (0, 1)},
        **{f"inverse_{row + 1}{column + 1}": found.inverse[row, column] for row in (0, 1) for column in (0, 1)},
        "test_gradient_1": found.test_gradient[0],
        "test_gradient_2": found.test_gradient[1],
    }
    tables = {
        "points": found.table().assign(index=index),
        "fit": pd.DataFrame({"quantity": list(fit), "value": [float(value) for value in fit.values()]}),
        "without": pd.DataFrame({"index": index, "slope": found.without[:, 0], "intercept": found.without[:, 1]}),
    }
    provenance = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": time.perf_counter() - start,
        "device": f"cpu ({platform.machine()}, numpy float64)",
        "versions": {"gif_dash": __version__, "python": platform.python_version(), "numpy": version("numpy")},
        "seed": spec.seed,
        "N": len(index),
        "p": 2,
        "loss": "(prediction − y)², without a half; mean over the points plus μ/2·(slope² + intercept²)",
        "sign": "influence of upweighting: I = −∇ℓ(z_t)ᵀH⁻¹∇ℓ(z); removing z changes the test loss by about −I/N",
    }
    return Result({"experiment": spec.experiment, **spec.model_dump(mode="json")}, tables, provenance)
