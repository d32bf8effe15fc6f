"""What one network predicts of its own retraining without single examples, in several ways.

With N training examples, g_i = ∇ℓ(z_i) at θ̂, L their mean loss, H = ∇²L + μI and λ = damping·σ_max(H):

- ``exact``, the classic estimate: Δ_i = (H + λI)⁻¹g_i/N, and the test loss changes by ∇ℓ(z_t)ᵀΔ_i. Koh & Liang 2017.
- ``rest``: H and the gradient are those of the N − 1 examples that remain, Δ_i = −(H_R + λI)⁻¹(∇L_R + μθ̂), which does
  not assume that training has converged, and the test loss is measured at θ̂ + Δ_i. Exact for a quadratic loss.
- ``sample``: as ``exact``, with H of a random sample of the training examples.
- ``lissa``: as ``exact``, with H⁻¹∇ℓ(z_t) by LiSSA, every step on a fresh sample.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor
from torch.func import functional_call, grad, jacrev, vmap

from gif_dash.experiments.eigenvalues import dense_at_once
from gif_dash.experiments.metrics import sample
from gif_dash.influence import Hessian, InfluenceError, ParameterIndex, Resampled, Risk, estimate, top_eigenvalues
from gif_dash.influence.attribution import influences, per_example_gradients
from gif_dash.influence.errors import Tick, no_tick
from gif_dash.specs.fragility import Inverse

#: Eigenvalues below this share of the largest magnitude count as zero: nothing is known of those directions.
CUTOFF = 1e-12
#: MINRES steps of a network that is too large for matrices.
MINRES_STEPS = 50


@dataclass(frozen=True)
class Predicted:
    """Of some training examples.

    Attributes:
        changes: of the test loss when each is removed, float64, (k,).
        norms: ‖Δ_i‖, (k,); NaN where the steps themselves are not known.
        seconds: wall time.
        residual: of the solve, relative; 0 for matrices.
        message: one sentence where something is to be said.
    """

    changes: Tensor
    norms: Tensor
    seconds: float
    residual: float = 0.0
    message: str = ""


class Estimates(Protocol):
    """The estimates of one network for one test example."""

    def ranking(self, damping: float) -> Tensor:
        """Predicted changes of the test loss of all training examples, (n,)."""

    def predict(self, kind: Inverse, damping: float, places: Tensor) -> Predicted:
        """The same for some of them (int64, (k,)) in one of the ways above."""

    def extent(self) -> tuple[float, float]:
        """Smallest and largest eigenvalue of H; the smallest is NaN where only the largest magnitude is known."""

    def stationarity(self) -> float:
        """‖∇L + μθ̂‖."""


@dataclass(frozen=True)
class Sampling:
    """How the stochastic ones draw: examples behind a Hessian or a LiSSA step, LiSSA's steps, the seed."""

    size: int
    lissa_steps: int
    seed: int


class Dense:
    """Estimates with matrices, for small networks; float64.

    Args:
        risk: all training examples, with the weight decay.
        target: the test example's risk, without.
        sampling: of the stochastic ones.
        tick: called now and then; may raise to cancel.
    """

    def __init__(self, risk: Risk, target: Risk, sampling: Sampling, tick: Tick = no_tick) -> None:
        self.risk, self.target, self.sampling, self.tick = risk, target, sampling, tick
        self.theta = ParameterIndex.of(risk.model).vector(risk.model)
        self.slope = target.gradient(tick)

    @cached_property
    def gradients(self) -> Tensor:
        """∇ℓ(z_i), (n, p)."""
        return per_example_gradients(replace(self.risk, weight_decay=0.0), lambda rows: rows, tick=self.tick)

    @cached_property
    def matrix(self) -> Tensor:
        """H, (p, p)."""
        return self._matrix(self.risk)

    @cached_property
    def eigen(self) -> tuple[Tensor, Tensor]:
        return _eigen(self.matrix)

    def extent(self) -> tuple[float, float]:
        values, _ = self.eigen
        return float(values[0]), float(values[-1])

    def stationarity(self) -> float:
        return float((self.gradients.mean(0) + self.risk.weight_decay * self.theta).norm())

    def ranking(self, damping: float) -> Tensor:
        along = _solve(self.eigen, damping, self.slope.unsqueeze(1)).squeeze(1)
        return self.gradients @ along / self.risk.size

    def predict(self, kind: Inverse, damping: float, places: Tensor) -> Predicted:
        started = time.perf_counter()
        if kind == "lissa":
            return _lissa(self.risk, self.slope, damping, self.gradients[places], self.sampling, self.tick)
        if kind == "rest":
            steps = self._steps_of_rest(damping, places)
            before = float(self.target.losses(tick=self.tick).mean())
            after = [float(self.target.losses(self.theta + step).mean()) for step in steps]
            changes = torch.tensor(after, dtype=torch.float64) - before
        else:
            eigen = self.eigen if kind == "exact" else _eigen(self._matrix(self._sampled()))
            steps = _solve(eigen, damping, self.gradients[places].T).T / self.risk.size
            changes = steps @ self.slope
        return Predicted(changes, steps.norm(dim=1), time.perf_counter() - started)

    def _steps_of_rest(self, damping: float, places: Tensor) -> Tensor:
        n, decay = self.risk.size, self.risk.weight_decay
        whole = self.matrix - decay * torch.eye(len(self.theta), dtype=torch.float64)
        sums, found = self.gradients.sum(0), []
        for place, own in zip(places.tolist(), self._hessians(places), strict=True):
            self.tick()
            rest = (n * whole - own) / (n - 1)
            rest.diagonal().add_(decay)
            slope = (sums - self.gradients[place]) / (n - 1) + decay * self.theta
            found.append(-_solve(_eigen(rest), damping, slope.unsqueeze(1)).squeeze(1))
        return torch.stack(found)

    def _hessians(self, places: Tensor) -> Tensor:
        """∇²ℓ(z_i) of some examples, (k, p, p)."""
        model, index = self.risk.model, ParameterIndex.of(self.risk.model)
        inputs, labels = self.risk.examples.batch(self.risk.indices[places])

        def loss(theta: Tensor, example: Tensor, label: Tensor) -> Tensor:
            named = {tensor.name: part for tensor, part in zip(index.tensors, index.split(theta), strict=True)}
            return self.risk.losses_of(functional_call(model, named, (example[None],)), label[None]).sum()

        found: Tensor = vmap(jacrev(grad(loss)), in_dims=(None, 0, 0), chunk_size=8)(self.theta, inputs, labels)
        return found.detach()

    def _matrix(self, risk: Risk) -> Tensor:
        matrix = dense_at_once(risk, self.tick)
        if not bool(matrix.isfinite().all()):
            raise InfluenceError("the Hessian has entries that are not finite: check the network and its data")
        matrix.diagonal().add_(risk.weight_decay)
        return matrix

    def _sampled(self) -> Risk:
        return replace(self.risk, indices=sample(self.risk.indices, self.sampling.size, self.sampling.seed))


class Iterative:
    """Estimates with products of the Hessian, for networks that are too large for matrices; no ``rest``, no norms.

    Args as `Dense`.
    """

    def __init__(self, risk: Risk, target: Risk, sampling: Sampling, tick: Tick = no_tick) -> None:
        self.risk, self.target, self.sampling, self.tick = risk, target, sampling, tick
        self.found: dict[tuple[Inverse, float], Predicted] = {}

    @cached_property
    def sigma(self) -> float:
        with Hessian(self.risk) as curvature:
            found = top_eigenvalues(curvature, 1, accuracy=1e-3, tick=self.tick)
        return float(found.values[0])

    def extent(self) -> tuple[float, float]:
        return math.nan, self.sigma

    def stationarity(self) -> float:
        return float(self.risk.gradient(self.tick).norm())

    def ranking(self, damping: float) -> Tensor:
        return self._all("exact", damping).changes

    def predict(self, kind: Inverse, damping: float, places: Tensor) -> Predicted:
        found = self._all(kind, damping)
        return replace(found, changes=found.changes[places], norms=found.norms[places])

    def _all(self, kind: Inverse, damping: float) -> Predicted:
        if (kind, damping) not in self.found:
            self.found[kind, damping] = self._compute(kind, damping)
        return self.found[kind, damping]

    def _compute(self, kind: Inverse, damping: float) -> Predicted:
        started, sampling = time.perf_counter(), self.sampling
        drawn = sample(self.risk.indices, sampling.size, sampling.seed)
        curved = replace(self.risk, indices=drawn) if kind == "sample" else self.risk
        with Hessian(curved) as curvature:
            operator = Resampled(curvature, sampling.size, sampling.seed) if kind == "lissa" else curvature
            (influence,) = influences(
                self.risk,
                operator,
                [self.target],
                solver="lissa" if kind == "lissa" else "minres",
                iterations=sampling.lissa_steps if kind == "lissa" else MINRES_STEPS,
                damping=damping,
                sigma_max=abs(self.sigma),
                tick=self.tick,
            )
        changes, report = influence.effects(self.risk.size), influence.report
        unknown, seconds = torch.full_like(changes, math.nan), time.perf_counter() - started
        return Predicted(changes, unknown, seconds, report.relative_residual, report.message)


def _lissa(risk: Risk, slope: Tensor, damping: float, gradients: Tensor, sampling: Sampling, tick: Tick) -> Predicted:
    started = time.perf_counter()
    with Hessian(risk) as curvature:
        update = estimate(
            "if",
            Resampled(curvature, sampling.size, sampling.seed),
            slope,
            torch.arange(len(slope)),
            solver="lissa",
            iterations=sampling.lissa_steps,
            damping=damping,
            tick=tick,
        )
    changes, report = gradients @ update.delta / risk.size, update.report
    unknown, seconds = torch.full_like(changes, math.nan), time.perf_counter() - started
    return Predicted(changes, unknown, seconds, report.relative_residual, report.message)


def _eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues, rising, and eigenvectors in columns."""
    values, vectors = torch.linalg.eigh(matrix)
    return values, vectors


def _solve(eigen: tuple[Tensor, Tensor], damping: float, right: Tensor) -> Tensor:
    """(H + λI)⁻¹ of the columns of `right` (p, k), λ = damping·σ_max; zero along directions without curvature."""
    values, vectors = eigen
    largest = float(values.abs().max())
    shifted = values + damping * largest
    known = shifted.abs() > CUTOFF * largest
    inverse = torch.where(known, 1 / torch.where(known, shifted, 1.0), 0.0)
    return vectors @ (inverse.unsqueeze(1) * (vectors.T @ right))
