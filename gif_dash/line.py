"""A line fitted to a few points, and what every single point does to one prediction: the closed forms.

A line ``wx + b`` is fitted by least squares. The parameters are θ = (w, b), x̃ = (x, 1), and the residual of a point is
its prediction minus its target, r = x̃ᵀθ̂ − y. The conventions are those of `gif_dash.influence`:

* loss of a point: ``ℓ(z, θ) = (x̃ᵀθ − y)²``, without a half; what is minimised is the mean over the N points plus the
  weight decay ``μ/2·|θ|²``, on slope and intercept alike;
* Hessian of that: ``H = 2/N·Σ x̃x̃ᵀ + μI``, exact, 2 × 2;
* influence of upweighting z on the loss of the test point: ``I(z, z_t) = −∇ℓ(z_t)ᵀ H⁻¹ ∇ℓ(z)`` (Koh & Liang 2017,
  eq. 2). Removing z changes that loss by about ``−I/N``; z is *helpful* if removing it raises the loss, I < 0.

The truth beside it is exact, too. With Δ = θ̂₋ᵢ − θ̂ the step to the fit without point i and δ = x̃_tᵀΔ the step of the
test point's prediction, the loss of the test point changes by

    2·r_t·δ + δ²  (`Analysis.first_order` + `Analysis.square`).

Without weight decay, 2·r_t·δ is ``(−I/N) / (1 − hᵢ)``, where hᵢ = x̃ᵢᵀ(Σ x̃x̃ᵀ)⁻¹x̃ᵢ is the leverage of the point. So −I/N
is off for two reasons: it takes the Hessian with the point in it (the factor 1/(1 − h)), and it takes the test loss for
a straight line (the square). Everything is float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: The line that the data are made from.
TRUE_SLOPE, TRUE_INTERCEPT = -5.0, 5.0
#: Where the points stand: from START on, over a range of WIDTH, whose end is left out.
START, WIDTH = -5.0, 10.0

#: The others leave no unique line once a point's leverage is nearer to 1 than this.
LEAST_FREEDOM = 1e-12


class LineError(ValueError):
    """There is no unique line; the message is one sentence."""


def positions(points: int) -> Array:
    """x of the points, (points,): −5, −4.5 … 4.5 for 20 of them."""
    return START + WIDTH * np.arange(points) / points


def truth(x: Array | float) -> Array | float:
    """y of the line that the data are made from."""
    return TRUE_SLOPE * x + TRUE_INTERCEPT


def draw(points: int, outliers: Sequence[int], height: float, noise: float, seed: int) -> tuple[Array, Array]:
    """The data as the tutorial makes them.

    Args:
        points: N.
        outliers: positions of the outliers; negative ones count from the end.
        height: y of the outliers.
        noise: standard deviation of the noise of the others.
        seed: of the noise.

    Returns:
        x and y, each (N,).
    """
    x = positions(points)
    y = np.asarray(truth(x)) + noise * np.random.default_rng(seed).standard_normal(points)
    y[list(outliers)] = height
    return x, y


@dataclass(frozen=True)
class Analysis:
    """A fitted line, and every point's influence on the loss of the test point. See the module for the formulas.

    Attributes:
        x, y: the points, (N,).
        test: (x, y) of the test point.
        decay: μ.
        theta: θ̂ = (slope, intercept), (2,).
        hessian, inverse: H and H⁻¹, (2, 2).
        residuals: prediction minus target, (N,).
        leverage: hᵢ = x̃ᵢᵀ(Σ x̃x̃ᵀ + Nμ/2·I)⁻¹x̃ᵢ, (N,).
        gradients: ∇ℓ(zᵢ) at θ̂, (N, 2).
        test_residual: r_t.
        test_gradient: ∇ℓ(z_t) at θ̂, (2,).
        influence: I(zᵢ, z_t), (N,).
        without: θ̂₋ᵢ, fitted to the other points with the same μ, (N, 2); NaN where these leave no unique line.
        moved: θ̂ + m/(N−m)·H_R⁻¹(∇ℓ(zᵢ) + μθ̂) with m = 1 and H_R the Hessian of the others: the influence function
            in the form that is exact on a quadratic, (N, 2); equal to `without`, by another way.
    """

    x: Array
    y: Array
    test: tuple[float, float]
    decay: float
    theta: Array
    hessian: Array
    inverse: Array
    residuals: Array
    leverage: Array
    gradients: Array
    test_residual: float
    test_gradient: Array
    influence: Array
    without: Array
    moved: Array

    @property
    def test_loss(self) -> float:
        """ℓ(z_t) at θ̂."""
        return self.test_residual**2

    @property
    def predicted(self) -> Array:
        """−I/N, the predicted change of the test loss when a point is removed, (N,)."""
        return -self.influence / len(self.x)

    @property
    def shift(self) -> Array:
        """δ, the change of the test point's prediction when a point is left out, (N,)."""
        return np.asarray((self.without - self.theta) @ _design(self.test[0]))

    @property
    def first_order(self) -> Array:
        """2·r_t·δ: the exact step of the parameters, the test loss to first order, (N,)."""
        return 2 * self.test_residual * self.shift

    @property
    def square(self) -> Array:
        """δ²: what the first order of the test loss leaves out, (N,)."""
        return np.asarray(self.shift**2)

    @property
    def left_out(self) -> Array:
        """The truth: the change of the test loss when the line is fitted again without a point, (N,)."""
        return self._change(self.without)

    @property
    def exact_removal(self) -> Array:
        """The change of the test loss at `moved`, (N,)."""
        return self._change(self.moved)

    def _change(self, theta: Array) -> Array:
        residuals = theta @ _design(self.test[0]) - self.test[1]
        return np.asarray(residuals**2 - self.test_loss)

    def table(self) -> pd.DataFrame:
        """One row per point, in order: index (of the arrays), x, y, residual, leverage, influence, predicted,
        first_order, square, exact_removal, left_out, effect ("helpful", "harmful" or "neither", by the influence)."""
        return pd.DataFrame(
            {
                "index": np.arange(len(self.x)),
                "x": self.x,
                "y": self.y,
                "residual": self.residuals,
                "leverage": self.leverage,
                "influence": self.influence,
                "predicted": self.predicted,
                "first_order": self.first_order,
                "square": self.square,
                "exact_removal": self.exact_removal,
                "left_out": self.left_out,
                "effect": [effect(value) for value in self.influence],
            }
        )


def effect(influence: float) -> str:
    """What the sign of an influence means."""
    return "helpful" if influence < 0 else "harmful" if influence > 0 else "neither"


def analyse(x: Array, y: Array, test: tuple[float, float], decay: float = 0.0) -> Analysis:
    """Fit the line, and compute the influence of every point and the truth beside it.

    Args:
        x, y: the points, (N,), N ≥ 2.
        test: x and y of the test point.
        decay: μ ≥ 0.

    Raises:
        LineError: if all points have the same x and there is no weight decay.
    """
    count = len(x)
    if count < 2 or (decay == 0 and np.ptp(x) == 0):
        raise LineError("there is no unique line: all points have the same x")
    design = _design(x)
    moments = design.T @ design
    target = design.T @ y
    theta: Array = np.asarray(np.linalg.solve(moments + 0.5 * count * decay * np.eye(2), target), dtype=np.float64)
    hessian = 2 / count * moments + decay * np.eye(2)
    inverse: Array = np.asarray(np.linalg.inv(hessian), dtype=np.float64)
    residuals = design @ theta - y
    gradients = 2 * residuals[:, None] * design
    at = _design(test[0])
    test_residual = float(at @ theta - test[1])
    test_gradient = 2 * test_residual * at
    leverage = 2 / count * np.einsum("ni,ij,nj->n", design, inverse, design)
    return Analysis(
        x=x,
        y=y,
        test=test,
        decay=decay,
        theta=theta,
        hessian=hessian,
        inverse=inverse,
        residuals=residuals,
        leverage=leverage,
        gradients=gradients,
        test_residual=test_residual,
        test_gradient=test_gradient,
        influence=-(gradients @ inverse @ test_gradient),
        without=_without_each(x, y, decay),
        moved=_moved(x, theta, gradients, decay),
    )


def _design(x: Array | float) -> Array:
    """x̃ = (x, 1): (..., 2)."""
    return np.stack([np.asarray(x, dtype=float), np.ones_like(x, dtype=float)], axis=-1)


def _without_each(x: Array, y: Array, decay: float) -> Array:
    """The fits without each of the points, (N, 2), by one downdate of rank one each.

    The others are N − 1, so their normal equations have the weight (N − 1)μ/2 on the diagonal, whoever is left out:
    B = Σ x̃x̃ᵀ + (N − 1)μ/2·I loses x̃ᵢx̃ᵢᵀ only.
    """
    design = _design(x)
    matrix = design.T @ design + 0.5 * (len(x) - 1) * decay * np.eye(2)
    every = np.linalg.solve(matrix, design.T @ y)
    steps = np.linalg.solve(matrix, design.T).T
    freedom = 1 - np.einsum("ni,ni->n", design, steps)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = every + steps * ((design @ every - y) / freedom)[:, None]
    return np.where((freedom > LEAST_FREEDOM)[:, None], found, np.nan)


def _moved(x: Array, theta: Array, gradients: Array, decay: float) -> Array:
    """θ̂ + m/(N−m)·H_R⁻¹(g_U + μθ̂) for each point as the group U of m = 1, (N, 2)."""
    count = len(x)
    design = _design(x)
    others = design.T @ design - design[:, :, None] * design[:, None, :]
    curvature = 2 / (count - 1) * others + decay * np.eye(2)
    right = (gradients + decay * theta) / (count - 1)
    spread = np.linalg.eigvalsh(curvature)
    solvable = spread[:, 0] > LEAST_FREEDOM * spread[:, 1]
    curvature[~solvable] = np.eye(2)
    steps = np.linalg.solve(curvature, right[:, :, None])[:, :, 0]
    return np.where(solvable[:, None], theta + steps, np.nan)
