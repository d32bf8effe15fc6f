"""Eigenvalues of a regularised Hessian: all from the dense matrix, or the largest and a density by Lanczos."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gif_dash.experiments.penalty import Penalty, Regularised
from gif_dash.influence import Curvature, Density, InfluenceError, Risk, Tick, spectral_density, top_eigenvalues
from gif_dash.influence.risk import differentiate, evaluating, trainable

#: Parameters up to which the whole matrix is the default, and beyond which it is refused.
DENSE, MOST_DENSE = 2000, 10_000
#: Of the density where the whole spectrum is not computed.
PROBES, DENSITY_STEPS = 4, 60
#: Relative to the largest magnitude: nearer to 0 the density does not tell signs.
RESOLUTION = 1e-4

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Spectrum:
    """What is known of the eigenvalues of one Hessian.

    Attributes:
        top: those of largest magnitude, in falling order of it, (k,).
        bounds: of each, the distance within which an eigenvalue lies, (k,); 0 for the dense matrix.
        every: all p, rising; None with Lanczos.
        density: of all, with Lanczos.
        size: p.
        converged: how many of the k have.
        products: Hessian-vector products that it took.
        message: one sentence where something is to be said.
    """

    top: Array
    bounds: Array
    every: Array | None
    density: Density | None
    size: int
    converged: int
    products: int
    message: str = ""

    @property
    def kind(self) -> Literal["dense", "lanczos"]:
        return "dense" if self.every is not None else "lanczos"

    @property
    def extent(self) -> tuple[float, float]:
        """Smallest and largest eigenvalue; with Lanczos an estimate from inside."""
        if self.every is not None:
            return float(self.every[0]), float(self.every[-1])
        assert self.density is not None
        low, high = self.density.extent
        return min(low, float(self.top.min())), max(high, float(self.top.max()))

    def resolved(self, tolerance: float) -> float:
        """Magnitude from which on `counts` tells signs: the tolerance, or what the density can."""
        if self.every is not None:
            return tolerance
        return max(tolerance, RESOLUTION * float(abs(self.top[0])))

    def negative_share(self, tolerance: float) -> float:
        """Share of the k values below −tolerance, a fraction."""
        return float(np.mean(self.top < -tolerance))

    def counts(self, edges: Array) -> Array:
        """How many of all p eigenvalues are in every bin [edge, next); with Lanczos an estimate, not whole numbers."""
        if self.every is not None:
            return np.histogram(self.every, edges)[0].astype(np.float64)
        assert self.density is not None
        return self.size * self.density.histogram(edges)


def dense_matrix(curvature: Curvature, like: Tensor, tick: Tick) -> Tensor:
    """A curvature as a matrix (p, p), column by column, symmetric to the last bit.

    Raises:
        InfluenceError: it would have more than `MOST_DENSE` rows.
    """
    size = curvature.size
    if size > MOST_DENSE:
        raise InfluenceError(f"a dense matrix of {size:,} rows is too large: compute its eigenvalues by Lanczos")
    matrix = torch.empty(size, size, dtype=like.dtype, device=like.device)
    unit = torch.zeros(size, dtype=like.dtype, device=like.device)
    for column in range(size):
        unit.zero_()[column] = 1
        matrix[column] = curvature.matvec(unit, tick)
    return 0.5 * (matrix + matrix.T)


def dense_at_once(risk: Risk, tick: Tick, rows: int = 64) -> Tensor:
    """The Hessian of the loss of a small network as a matrix (p, p), many rows in one backward pass.

    The same as `dense_matrix`, ten times as fast where a product is mostly overhead; the graph of all examples and
    `rows` backward passes through it are in memory at once.

    Args:
        risk: of which weight decay is not counted.
        tick: called between the passes.
        rows: computed together.
    """
    parameters = trainable(risk.model)
    with evaluating(risk.model), torch.enable_grad():
        loss = risk.batch_losses(risk.indices).mean()
        gradient = torch.cat([part.reshape(-1) for part in differentiate(loss, parameters, create_graph=True)])
        identity = torch.eye(len(gradient), dtype=gradient.dtype, device=gradient.device)
        parts = []
        for some in torch.split(identity, rows):
            tick()
            found = torch.autograd.grad(
                gradient,
                parameters,
                some,
                retain_graph=True,
                is_grads_batched=True,
                allow_unused=True,
                materialize_grads=True,
            )
            parts.append(torch.cat([part.reshape(len(some), -1) for part in found], dim=1))
    matrix = torch.cat(parts)
    return 0.5 * (matrix + matrix.T)


def of_matrix(matrix: Tensor, count: int, products: int) -> Spectrum:
    """All eigenvalues of a symmetric matrix (p, p), float64."""
    every = np.linalg.eigvalsh(matrix.cpu().numpy())
    if not np.isfinite(every).all():
        raise InfluenceError("the Hessian is not finite: check the network, its data and the loss")
    top = every[np.argsort(-np.abs(every), kind="stable")[:count]]
    return Spectrum(top, np.zeros_like(top), every, None, len(every), len(top), products)


def by_lanczos(
    hessian: Curvature, penalty: Penalty, theta: Tensor, count: int, tolerance: float, seed: int, tick: Tick
) -> Spectrum:
    """The largest eigenvalues of H + ∇²R at θ, and the density of all.

    Lanczos finds an eigenvalue that occurs several times once, as long as its Krylov space is not exhausted, and so may
    take smaller ones for the k-th. The density counts them all: where it knows of many more that are as large, the
    message says so.
    """
    operator = Regularised(hessian, penalty, theta)
    before = hessian.products
    largest = top_eigenvalues(operator, count, seed=seed, tick=tick)
    density = spectral_density(operator, steps=DENSITY_STEPS, probes=PROBES, seed=seed, tick=tick)
    said = [largest.message] if largest.message else []
    least = float(abs(largest.values[-1]))
    if least > max(tolerance, 10 * RESOLUTION * largest.sigma_max):
        within = density.histogram(np.array([-least * (1 + 1e-6), least * (1 - 1e-6)]))[0]
        as_large = hessian.size * (1 - within)
        if as_large > 1.5 * count + 3 * math.sqrt(count):
            said.append(
                f"about {as_large:.0f} eigenvalues are as large as the last of the {count}: one that occurs several "
                "times was found once, so the share of negative ones is an upper bound"
            )
    products = hessian.products - before
    converged = int(largest.converged.sum())
    return Spectrum(largest.values, largest.bounds, None, density, hessian.size, converged, products, "; ".join(said))
