"""LiSSA (Agarwal, Bullins & Hazan 2017; Koh & Liang 2017, §3): (H + λI)⁻¹g by a recursion on random mini-batches."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from gif_dash.influence.curvature import Hessian
from gif_dash.influence.errors import InfluenceError, Tick, no_tick
from gif_dash.influence.gauss_newton import GaussNewton
from gif_dash.influence.systems import (
    OnIterate,
    Solution,
    Status,
    System,
    norm,
    normalised,
    optimality_measure,
    tolerance,
)

#: An update this many times as large as the right-hand side means divergence: where the series converges, full-batch
#: updates never grow, and those of mini-batches fluctuate about a bounded level.
GROWTH = 10.0


class Resampled:
    """A curvature whose every product is with a fresh random batch of the examples of another one.

    Its products are unbiased for those of the other. Batches are drawn without repetition, independently of each other.

    Attributes:
        products: number of products so far, each on `batch` examples.
    """

    def __init__(self, curvature: Hessian | GaussNewton, batch: int, seed: int = 0) -> None:
        """
        Args:
            curvature: whose risk is sampled.
            batch: examples per product; at most all there are.
            seed: of the draws.

        Raises:
            InfluenceError: if the batch is empty.
        """
        if batch < 1:
            raise InfluenceError(f"a batch needs at least one example, got {batch}")
        self._curvature = curvature
        self._batch = min(batch, curvature.risk.size)
        self._generator = torch.Generator().manual_seed(seed)
        self.products = 0

    @property
    def size(self) -> int:
        """p."""
        return self._curvature.size

    def matvec(self, v: Tensor, tick: Tick = no_tick) -> Tensor:
        """H̃v on a batch of its own: (p,)."""
        risk = self._curvature.risk
        drawn = risk.indices[torch.randperm(risk.size, generator=self._generator)[: self._batch]]
        sampled = replace(risk, indices=drawn)
        if isinstance(self._curvature, Hessian):
            # micro-batches as the other one has chosen them: to choose anew would take longer than the product
            operator: Hessian | GaussNewton = Hessian(sampled, 0, self._curvature.micro_batch or None)
        else:
            operator = GaussNewton(sampled)
        product = operator.matvec(v, tick)
        self.products += 1
        return product


def lissa(
    system: System,
    iterations: int,
    scale: float,
    sigma_max: float,
    repeats: int = 1,
    on_iterate: OnIterate | None = None,
) -> Solution:
    """x ← g + x − H̃x/scale from x = g; the result is x/scale, averaged over the repeats.

    H̃ is what `System.apply` gives: with a `Resampled` curvature each step sees another batch, and the result is
    H⁻¹g in the mean; with one that always sees all examples it converges to H⁻¹g itself, whatever the scale. Damping
    is `System.shifted`, λ outside the scale. Converges if and only if 0 < eigenvalues of H < 2·scale.

    repeats·k products for k steps, and two for the report.

    Args:
        system: the problem, symmetric.
        iterations: steps k of each repeat.
        scale: see above.
        sigma_max: an estimate of the largest eigenvalue, for the report.
        repeats: independent runs, averaged.
        on_iterate: told the iterates of the first repeat.

    Returns:
        with status "diverged" as soon as an update is `GROWTH` times as large as g; x is then the iterate before.

    Raises:
        InfluenceError: if the scale is not positive, or there is not one repeat.
    """
    if not 0 < scale < math.inf:
        raise InfluenceError(f"LiSSA's scale must be positive and finite, got {scale}")
    if repeats < 1:
        raise InfluenceError(f"LiSSA needs at least one repeat, got {repeats}")
    g, length = normalised(system.rhs)
    total = torch.zeros_like(g)
    limit = tolerance(g.dtype)
    status: Status = "stopped"
    message, done, runs = "", 0, 0
    for repeat in range(repeats):
        x = g.clone()
        for step in range(1, iterations + 1):
            change = g - system.apply(x) / scale
            size = norm(change)
            if size > GROWTH:
                status = "diverged"
                message = (
                    f"LiSSA diverges at scale {scale:.3g}: the curvature has negative or too large eigenvalues, "
                    "so damp more, raise the scale or use MINRES"
                )
                break
            x = x + change
            done = max(done, step)
            if on_iterate and repeat == 0:
                on_iterate(step, x * (length / scale))
            if size <= limit:
                status = "converged"
                break
        total += x
        runs += 1
        if status == "diverged":
            break
    mean = total / (runs * scale)
    r = g - system.apply(mean)
    residual, gradient = norm(r), norm(system.adjoint(r))
    optimality = optimality_measure(gradient, sigma_max, residual, 0.0, limit)
    if status == "converged" and residual > limit * 10:
        status = "stopped"
    return Solution(mean * length, status, done, residual, optimality, sigma_max, message)
