"""Closed forms of a linear model's margin losses in numpy, float64; nothing of the package has a part in them."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from gif_dash.experiments import two_classes as experiment
from gif_dash.progress import Silent
from gif_dash.results import Result
from gif_dash.scenarios.two_classes import TwoClasses, two_classes
from gif_dash.specs import TwoClassesSpec

Array = NDArray[np.float64]
DAMPING = 0.01


def softplus(z: Array) -> Array:
    """log(1 + exp(z)) by the larger of 0 and z: nothing overflows."""
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def sigmoid(z: Array) -> Array:
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, small) / (1 + small)


def bump(z: Array) -> Array:
    """σ(1 − σ), without a difference."""
    small = np.exp(-np.abs(z))
    return small / (1 + small) ** 2


def hinge_parts(margins: Array, t: float) -> tuple[Array, Array, Array]:
    """Value, first and second derivative of t·log(1 + exp((1 − m)/t))."""
    z = (1 - margins) / t
    return t * softplus(z), -sigmoid(z), bump(z) / t


def logistic_parts(margins: Array) -> tuple[Array, Array, Array]:
    return softplus(-margins), -sigmoid(-margins), bump(margins)


def parts(name: str, margins: Array, t: float) -> tuple[Array, Array, Array]:
    return logistic_parts(margins) if name == "logistic" else hinge_parts(margins, t)


@cache
def ones_and_sevens() -> tuple[TwoClasses, TwoClasses]:
    return two_classes("digits", (1, 7))


@cache
def answer(spec: TwoClassesSpec) -> Result:
    return experiment.run(spec, Silent())


#: What the tests of tables and pages look at.
SMALL = TwoClassesSpec(
    solvers=("direct", "cg", "minres", "cgls", "lissa"), depth=60, retrained=9, timings=1, shown=5, repeats=2
)
