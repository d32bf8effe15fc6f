"""Eigenvalues of a curvature: the largest in magnitude, and the density of all (Lanczos 1950; Saad 2011, ch. 6)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

from gif_dash.influence.curvature import Curvature
from gif_dash.influence.errors import InfluenceError, Tick, no_tick
from gif_dash.influence.systems import finite, norm, tolerance


@dataclass(frozen=True)
class Eigenvalues:
    """The eigenvalues of largest magnitude.

    Attributes:
        values: in falling order of magnitude, float64, (k,).
        bounds: of each value, ‖Ay − θy‖: an eigenvalue lies within this distance, (k,).
        converged: whether the bound is small enough, bool, (k,).
        steps: Lanczos steps, each of one product.
        products: products of the curvature.
        message: one sentence where something is to be said.
    """

    values: NDArray[np.float64]
    bounds: NDArray[np.float64]
    converged: NDArray[np.bool_]
    steps: int
    products: int
    message: str = ""

    @property
    def sigma_max(self) -> float:
        """Largest magnitude, an estimate from below."""
        return float(abs(self.values[0]))

    def negative_share(self, below: float = 0.0) -> float:
        """Share of values < −`below`, a fraction."""
        return float(np.mean(self.values < -below))


@dataclass(frozen=True)
class Density:
    """The spectral density as a sum of weighted points, one group of points for every probe vector.

    Attributes:
        nodes: for every probe, float64, (steps,) or fewer.
        weights: theirs, summing to 1 for every probe.
        products: products of the curvature.
    """

    nodes: tuple[NDArray[np.float64], ...]
    weights: tuple[NDArray[np.float64], ...]
    products: int

    @property
    def extent(self) -> tuple[float, float]:
        """Smallest and largest node."""
        return min(float(part.min()) for part in self.nodes), max(float(part.max()) for part in self.nodes)

    def mean(self, power: int = 1) -> tuple[float, float]:
        """Mean of eigenvalue^power over the whole spectrum, and its standard error over the probes (NaN for one)."""
        found = [float(w @ x**power) for x, w in zip(self.nodes, self.weights, strict=True)]
        error = float(np.std(found, ddof=1)) / math.sqrt(len(found)) if len(found) > 1 else math.nan
        return float(np.mean(found)), error

    def histogram(self, edges: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of the eigenvalues in every bin, (bins,); sums to 1 if the edges enclose `extent`."""
        parts = [np.histogram(x, edges, weights=w)[0] for x, w in zip(self.nodes, self.weights, strict=True)]
        return np.asarray(np.mean(parts, axis=0), dtype=np.float64)

    def smooth(self, grid: NDArray[np.float64], width: float) -> NDArray[np.float64]:
        """Density on a grid, every point a Gaussian of this standard deviation; its integral over ℝ is 1."""
        nodes, weights = np.concatenate(self.nodes), np.concatenate(self.weights) / len(self.nodes)
        bells = np.exp(-0.5 * ((grid[:, None] - nodes) / width) ** 2) / (width * math.sqrt(2 * math.pi))
        return np.asarray(bells @ weights, dtype=np.float64)


def top_eigenvalues(
    curvature: Curvature,
    k: int,
    *,
    steps: int | None = None,
    accuracy: float = 1e-6,
    seed: int = 0,
    like: Tensor | None = None,
    memory_limit: int = 2**31,
    tick: Tick = no_tick,
) -> Eigenvalues:
    """The k eigenvalues of largest magnitude, by Lanczos with full reorthogonalisation from one random vector.

    An eigenvalue of multiplicity r is found once until the Krylov space is exhausted; then the iteration goes on from a
    fresh vector orthogonal to it, which finds the others. A cluster tighter than `accuracy` may count as one.

    Args:
        curvature: the operator, symmetric.
        k: how many.
        steps: at most so many products; by default 3k + 50, and never more than p.
        accuracy: a value counts as converged if its bound is below accuracy·σ_max.
        seed: of the random vector.
        like: a tensor with the dtype and device in which the basis is kept; float64 on the CPU by default.
        memory_limit: bytes that the basis may take, steps × p numbers.
        tick: called between micro-batches; may raise to cancel.

    Returns:
        as soon as all k have converged, else after `steps`, which the message then says.

    Raises:
        InfluenceError: if k is not in 1 … p, the steps are fewer than k, the basis exceeds the memory limit, or a
            product is not finite.
    """
    p = curvature.size
    if not 1 <= k <= p:
        raise InfluenceError(f"the number of eigenvalues goes from 1 to {p}, got {k}")
    steps = min(p, 3 * k + 50 if steps is None else steps)
    if steps < k:
        raise InfluenceError(f"{k} eigenvalues need at least as many Lanczos steps, got {steps}")
    before = curvature.products
    run = Lanczos(curvature, steps, seed=seed, like=like, memory_limit=memory_limit, tick=tick)
    run.extend(k)
    while True:
        values, bounds = run.ritz()
        top = np.argsort(-np.abs(values), kind="stable")[:k]
        values, bounds = values[top], bounds[top]
        converged = bounds <= accuracy * abs(values[0])
        if run.steps == steps or (converged.all() and run.hidden() <= abs(values[-1]) * (1 + accuracy)):
            break
        run.extend(min(steps, run.steps + max(5, run.steps // 8)))
    missing = int((~converged).sum())
    message = f"{missing} of {k} eigenvalues have not converged in {run.steps} steps: allow more" * (missing > 0)
    return Eigenvalues(values, bounds, converged, run.steps, curvature.products - before, message)


def spectral_density(
    curvature: Curvature,
    *,
    steps: int = 80,
    probes: int = 4,
    seed: int = 0,
    like: Tensor | None = None,
    memory_limit: int = 2**31,
    tick: Tick = no_tick,
) -> Density:
    """Density of all eigenvalues by stochastic Lanczos quadrature (Ubaru, Chen & Saad 2017; Ghorbani et al. 2019).

    From every random probe v of ±1 entries, m steps give a Gauss rule for ‖v‖⁻²·vᵀf(A)v, whose mean is tr f(A)/p. It is
    exact for polynomials f up to degree 2m − 1.

    Args:
        curvature: the operator, symmetric.
        steps: m, products per probe; at most p.
        probes: number of random vectors; the first ones are the same for every number.
        seed: of the probes.
        like, memory_limit, tick: as in `top_eigenvalues`.

    Raises:
        InfluenceError: if there is not one step and one probe, the basis exceeds the memory limit, or a product is not
            finite.
    """
    if steps < 1 or probes < 1:
        raise InfluenceError(f"a density needs at least one step and one probe, got {steps} and {probes}")
    before = curvature.products
    steps = min(steps, curvature.size)
    generator = torch.Generator().manual_seed(seed)
    nodes: list[NDArray[np.float64]] = []
    weights: list[NDArray[np.float64]] = []
    for _ in range(probes):
        signs = torch.randint(0, 2, (curvature.size,), generator=generator).double() * 2 - 1
        run = Lanczos(curvature, steps, start=signs, like=like, memory_limit=memory_limit, tick=tick)
        run.extend(steps)
        values, vectors = run.decomposition()
        nodes.append(values)
        weights.append(vectors[0] ** 2 / (vectors[0] @ vectors[0]))
    return Density(tuple(nodes), tuple(weights), curvature.products - before)


class Lanczos:
    """A·V = V·T + β·v_next·eᵀ with V orthonormal, T symmetric and tridiagonal, as far as `extend` has brought it.

    Every new vector is orthogonalised twice against all before. From a `start` vector the iteration ends where its
    Krylov space does; from a random one it then goes on with a fresh random vector, with a zero in T.
    """

    def __init__(
        self,
        curvature: Curvature,
        capacity: int,
        *,
        start: Tensor | None = None,
        seed: int = 0,
        like: Tensor | None = None,
        memory_limit: int = 2**31,
        tick: Tick = no_tick,
    ) -> None:
        """
        Args:
            curvature: the operator, symmetric.
            capacity: the most steps there will be.
            start: v₁ before it is normalised, (p,); random if None.
            seed: of the random vectors.
            like, memory_limit, tick: as in `top_eigenvalues`.

        Raises:
            InfluenceError: if the basis exceeds the memory limit.
        """
        like = torch.empty(0, dtype=torch.float64) if like is None else like
        needed = capacity * curvature.size * like.element_size()
        if needed > memory_limit:
            raise InfluenceError(
                f"{capacity} Lanczos vectors of {curvature.size:,} parameters take {needed / 2**30:.3g} GiB "
                f"(limit {memory_limit / 2**30:.3g} GiB): take fewer steps"
            )
        self._curvature = curvature
        self._tick = tick
        self._like = like
        self._basis = torch.empty(capacity, curvature.size, dtype=like.dtype, device=like.device)
        self._generator = torch.Generator().manual_seed(seed)
        self._restarts = start is None
        self._diagonal: list[float] = []
        self._beside: list[float] = []  # β after every step: one more than T holds
        self._largest = 0.0
        self._next = self._random() if start is None else start.to(like) / norm(start)

    @property
    def steps(self) -> int:
        """Number of steps done."""
        return len(self._diagonal)

    def extend(self, steps: int) -> None:
        """Go on until `steps` are done, or nothing is left."""
        while self.steps < steps and self._next is not None:
            k = self.steps
            v = self._next
            self._basis[k] = v
            product = self._curvature.matvec(v, self._tick)
            limit = max(tolerance(product.dtype), tolerance(v.dtype))
            w = product.to(v)
            alpha = finite(float(torch.dot(v, w)))
            self._orthogonalise(w, k + 1)
            beta = norm(w)
            self._diagonal.append(alpha)
            self._largest = max(self._largest, abs(alpha) + beta)
            if beta > limit * self._largest:
                self._beside.append(beta)
                self._next = w / beta
            else:
                self._beside.append(0.0)
                self._next = self._random() if self._restarts else None

    def decomposition(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Eigenvalues of T, rising, and its eigenvectors in columns."""
        values, vectors = eigh_tridiagonal(np.array(self._diagonal), np.array(self._beside[:-1]))
        return np.asarray(values, dtype=np.float64), np.asarray(vectors, dtype=np.float64)

    def ritz(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Ritz values, rising, and for each ‖Ay − θy‖."""
        values, vectors = self.decomposition()
        return values, self._beside[-1] * np.abs(vectors[-1])

    def pairs(self, count: int) -> tuple[Tensor, Tensor]:
        """The Ritz pairs of largest magnitude: values (count,), in falling order, and vectors in columns (p, count).

        Both float64 on the CPU.
        """
        values, vectors = self.decomposition()
        top = np.argsort(-np.abs(values), kind="stable")[:count]
        mixing = torch.from_numpy(vectors[:, top].copy()).to(self._like)
        found = self._basis[: self.steps].T @ mixing
        return torch.from_numpy(values[top].copy()), found.double().cpu()

    def hidden(self) -> float:
        """Magnitude that eigenvalues not found yet may reach, as far as an exhausted Krylov space tells; else 0.

        The random vector of every block has a part along all eigenvectors that are left. So what is left after a
        complete block has its eigenvalues, and what a block under way has not settled may still rise to θ + bound.
        """
        if self.steps == self._curvature.size or 0.0 not in self._beside:
            return 0.0
        ends = [0, *(k + 1 for k, beta in enumerate(self._beside) if beta == 0)]
        first = ends[-2] if ends[-1] == self.steps else ends[-1]
        values, vectors = eigh_tridiagonal(np.array(self._diagonal[first:]), np.array(self._beside[first:-1]))
        return float((np.abs(values) + self._beside[-1] * np.abs(vectors[-1])).max())

    def _orthogonalise(self, w: Tensor, count: int) -> None:
        """In place, against the first `count` vectors; twice is enough."""
        known = self._basis[:count]
        for _ in range(2):
            w -= known.T @ (known @ w)

    def _random(self) -> Tensor | None:
        """A random unit vector orthogonal to all before; None if they span everything."""
        if self.steps >= self._curvature.size:
            return None
        vector = torch.randn(self._curvature.size, generator=self._generator, dtype=torch.float64).to(self._like)
        vector /= norm(vector)
        self._orthogonalise(vector, self.steps)
        return vector / norm(vector)
