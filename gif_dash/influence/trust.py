"""Trust figures: how far the quadratic picture behind an update holds, and how near it lands to retraining."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gif_dash.influence.curvature import Hessian
from gif_dash.influence.errors import InfluenceError, Tick, no_tick
from gif_dash.influence.risk import Risk

#: good: |ρ − 1| ≤ ¼; poor: |ρ − 1| ≥ ¾ (the bounds of trust-region methods, Nocedal & Wright 2006, alg. 4.1); fair:
#: between; undetermined: one standard error leads from good to poor; undefined: the predicted change vanishes by
#: cancellation, or the loss overflows.
Verdict = Literal["good", "fair", "poor", "undetermined", "undefined"]

GOOD, POOR = 0.25, 0.75
#: The predicted change counts as vanishing below this fraction of its first- and second-order terms.
CANCELLATION = 0.05


@dataclass(frozen=True)
class QuadraticModel:
    """F(θ̂ + sΔ) − F(θ̂) ≈ s·slope + ½s²·curvature along one displacement, F the regularised risk of the Hessian.

    Attributes:
        risk: F; one example set for its value, its gradient and its curvature.
        theta: θ̂, (p,).
        delta: Δ, (p,).
        slope: ∇F(θ̂)ᵀΔ.
        curvature: ΔᵀHΔ.
        losses: per example at θ̂, (n,), float64, CPU.
    """

    risk: Risk
    theta: Tensor
    delta: Tensor
    slope: float
    curvature: float
    losses: Tensor

    def change(self, scalar: float) -> float:
        """s·slope + ½s²·curvature, the predicted change of F."""
        return scalar * self.slope + 0.5 * scalar * scalar * self.curvature


@dataclass(frozen=True)
class Trust:
    """The trust-region ratio ρ(s) = [F(θ̂ + sΔ) − F(θ̂)] / [s·∇FᵀΔ + ½s²·ΔᵀHΔ]; 1 for every s on a quadratic.

    Attributes:
        scalar: s.
        rho: ρ(s); NaN where undefined.
        rho_error: its standard error: the examples are a sample, and the losses are rounded; NaN where undefined.
        numerator: the measured change of F.
        denominator: the predicted change of F.
        verdict: see `Verdict`.
    """

    scalar: float
    rho: float
    rho_error: float
    numerator: float
    denominator: float
    verdict: Verdict


@dataclass(frozen=True)
class Landing:
    """Where an edited model lies with respect to a retrained one.

    Attributes:
        distance: ‖θ̂ + sΔ − θ_retrained‖.
        distance_original: ‖θ̂ − θ_retrained‖.
        cosine: between sΔ and θ_retrained − θ̂; NaN if one of them is zero.
    """

    distance: float
    distance_original: float
    cosine: float


def quadratic_model(
    hessian: Hessian,
    delta: Tensor,
    *,
    gradient: Tensor | None = None,
    losses: Tensor | None = None,
    tick: Tick = no_tick,
) -> QuadraticModel:
    """The quadratic model of F along Δ: one Hessian-vector product.

    Args:
        hessian: of F at θ̂, the model's present parameters.
        delta: Δ, (p,).
        gradient: ∇F(θ̂), (p,), if it is known: ``hessian.risk.gradient()``, not the right-hand side g.
        losses: ``hessian.risk.losses()``, if they are known.
        tick: called between micro-batches.
    """
    risk = hessian.risk
    curvature = dot(delta, hessian.matvec(delta, tick))
    slope = dot(risk.gradient(tick) if gradient is None else gradient, delta)
    losses = risk.losses(tick=tick) if losses is None else losses
    return QuadraticModel(risk, hessian.theta, delta, slope, curvature, losses)


def trust_ratio(model: QuadraticModel, scalar: float, *, population: int | None = None, tick: Tick = no_tick) -> Trust:
    """ρ(s), for the cost of forward passes over the examples; the network is not changed.

    The standard error of the numerator is that of the mean of the per-example differences ℓ_i(θ̂ + sΔ) − ℓ_i(θ̂), and
    at least the rounding of the losses.

    Args:
        model: see `quadratic_model`.
        scalar: s.
        population: size of the set the examples were drawn from without repetition; without it, a set much larger than
            the sample. If all of it is there, only rounding remains.
        tick: called between micro-batches.

    Raises:
        InfluenceError: if the population is smaller than the sample.
    """
    risk, n = model.risk, model.risk.size
    if population is not None and population < n:
        raise InfluenceError(f"a sample of {n} examples cannot come from a population of {population}")
    moved = risk.losses(model.theta + scalar * model.delta, tick)
    difference = moved - model.losses
    decay = scalar * dot(model.theta, model.delta) + 0.5 * scalar * scalar * dot(model.delta, model.delta)
    numerator = float(difference.mean()) + risk.weight_decay * decay
    denominator = model.change(scalar)
    drawn = 1.0 if population is None else 1.0 - n / population
    sampling = math.sqrt(drawn / n) * float(difference.std()) if drawn and n > 1 else math.inf if drawn else 0.0
    rounding = torch.finfo(model.theta.dtype).eps * float(torch.maximum(moved.abs(), model.losses.abs()).max())
    terms = abs(scalar * model.slope) + abs(0.5 * scalar * scalar * model.curvature)
    if abs(denominator) <= CANCELLATION * terms or not math.isfinite(numerator) or not math.isfinite(denominator):
        return Trust(scalar, math.nan, math.nan, numerator, denominator, "undefined")
    rho, error = numerator / denominator, math.hypot(sampling, rounding) / abs(denominator)
    return Trust(scalar, rho, error, numerator, denominator, _verdict(rho, error))


def landing(theta: Tensor, delta: Tensor, scalar: float, retrained: Tensor) -> Landing:
    """Distance and direction of θ̂ + sΔ with respect to retrained parameters; all vectors (p,)."""
    way, step = retrained.to(theta) - theta, scalar * delta
    lengths = norm(way) * norm(step)
    cosine = dot(way, step) / lengths if lengths > 0 else math.nan
    return Landing(norm(step - way), norm(way), cosine)


def stationarity(training_gradient: Tensor, gradient: Tensor) -> float:
    """‖∇L_D(θ̂) + μθ̂‖/‖g‖: how far training was from converged, in units of what is asked; Inf if only g is zero.

    Args:
        training_gradient: of the risk that training minimised, weight decay included, (p,).
        gradient: the right-hand side g, (p,).
    """
    size = norm(gradient)
    if size > 0:
        return norm(training_gradient) / size
    return math.inf if norm(training_gradient) > 0 else 0.0


def norm(vector: Tensor) -> float:
    """Euclidean norm, accumulated in float64."""
    return math.sqrt(dot(vector, vector))


def dot(a: Tensor, b: Tensor) -> float:
    """Inner product, accumulated in float64."""
    return float(torch.dot(a.cpu().double(), b.cpu().double()))


def _verdict(rho: float, error: float) -> Verdict:
    off = abs(rho - 1)
    if off - error <= GOOD and off + error >= POOR:
        return "undetermined"
    return "good" if off <= GOOD else "poor" if off >= POOR else "fair"
