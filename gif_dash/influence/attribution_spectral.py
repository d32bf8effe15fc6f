"""H_JJ by its eigenvectors, all of them or those of a Lanczos subspace: many right-hand sides, and self-influence."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Unpack

import numpy as np
import torch
from torch import Tensor

from gif_dash.influence.curvature import Columns, Curvature
from gif_dash.influence.errors import InfluenceError, Tick, no_tick
from gif_dash.influence.estimators import Settings, SolveReport, Update
from gif_dash.influence.lanczos import Lanczos
from gif_dash.influence.systems import DampingForm, Status, norm, optimality_measure, tolerance


@dataclass
class Decomposition:
    """Eigenvalues and eigenvectors of H_JJ (H, where J is everything).

    Attributes:
        values: θ, float64, CPU, (r,); r = k where they are all.
        vectors: in columns, float64, CPU, (k, r).
        indices: J, int64, (k,); None for all parameters.
        size: p.
        products: products of the curvature that it took.
        seconds: wall time that it took.
        exact: whether these are all eigenvectors; else the r that a Lanczos subspace knows, the rest of the space is
            taken to have no influence.
        unit: rounding unit of the products.
    """

    values: Tensor
    vectors: Tensor
    indices: Tensor | None
    size: int
    products: int
    seconds: float
    exact: bool
    unit: float

    @classmethod
    def of_all(
        cls,
        curvature: Curvature,
        indices: Tensor | None = None,
        like: Tensor | None = None,
        memory_limit: int = 2**30,
        tick: Tick = no_tick,
    ) -> Decomposition:
        """The dense matrix by one product for every parameter in J, and all its eigenvectors.

        Args:
            curvature: H, symmetric.
            indices: J, int64, distinct, (k,); None for all parameters.
            like: a tensor of the products' dtype and device; float64 on the CPU by default.
            memory_limit: bytes that the matrix may take; the decomposition needs about three times as much.
            tick: called between micro-batches; may raise to cancel.

        Raises:
            InfluenceError: the matrix is larger than that, or has entries that are not finite.
        """
        started, before = time.perf_counter(), curvature.products
        like = torch.zeros(1, dtype=torch.float64) if like is None else like
        part = torch.arange(curvature.size) if indices is None else indices.cpu()
        k = len(part)
        if 8 * k * k > memory_limit:
            raise InfluenceError(
                f"the exact inverse would need a dense {k:,} × {k:,} matrix of {8 * k * k / 2**30:.3g} GiB (limit "
                f"{memory_limit / 2**30:.3g} GiB): take a Lanczos subspace, or select fewer parameters"
            )
        columns = Columns(curvature, part.to(like.device))
        matrix = torch.empty(k, k, dtype=torch.float64)
        unit = torch.zeros(k, dtype=like.dtype, device=like.device)
        for column in range(k):
            unit[column] = 1.0
            matrix[:, column] = columns.block(unit, tick).cpu().double()
            unit[column] = 0.0
        if not bool(torch.isfinite(matrix).all()):
            raise InfluenceError("the Hessian has entries that are not finite: check the model and its data")
        values, vectors = np.linalg.eigh((matrix + matrix.T).numpy() / 2)
        return cls(
            torch.from_numpy(values),
            torch.from_numpy(vectors),
            None if indices is None else part,
            curvature.size,
            curvature.products - before,
            time.perf_counter() - started,
            True,
            float(torch.finfo(like.dtype).eps),
        )

    @classmethod
    def of_largest(
        cls,
        curvature: Curvature,
        rank: int,
        *,
        steps: int | None = None,
        like: Tensor | None = None,
        seed: int = 0,
        memory_limit: int = 2**31,
        tick: Tick = no_tick,
    ) -> Decomposition:
        """The eigenpairs of largest magnitude that Lanczos finds (as Schioppa et al. 2022, "Scaling up influence
        functions", with Arnoldi's iteration): all parameters, one product a step.

        Args:
            curvature: H, symmetric.
            rank: r, pairs that are kept.
            steps: of the iteration; by default 2r + 10, at most p.
            like: a tensor with the dtype and device of the basis; float64 on the CPU by default.
            seed: of the first vector.
            memory_limit: bytes of the basis.
            tick: called between micro-batches; may raise to cancel.

        Raises:
            InfluenceError: the rank is not in 1 … p, or the basis exceeds the memory limit.
        """
        started, before = time.perf_counter(), curvature.products
        if not 1 <= rank <= curvature.size:
            raise InfluenceError(f"the rank of the subspace goes from 1 to {curvature.size}, got {rank}")
        steps = min(curvature.size, max(rank, 2 * rank + 10 if steps is None else steps))
        run = Lanczos(curvature, steps, seed=seed, like=like, memory_limit=memory_limit, tick=tick)
        run.extend(steps)
        values, vectors = run.pairs(rank)
        unit = torch.finfo(torch.float64 if like is None else like.dtype).eps
        seconds = time.perf_counter() - started
        products = curvature.products - before
        whole = rank == curvature.size
        return cls(values, vectors, None, curvature.size, products, seconds, whole, float(unit))

    @property
    def sigma_max(self) -> float:
        """Largest magnitude of an eigenvalue."""
        return float(self.values.abs().max())

    def weights(self, damping: float = 0.0, form: DampingForm = "squared") -> Tensor:
        """What takes the place of 1/θ, (r,): θ/(θ² + λ²) (squared) or 1/(θ + λ) (shifted), λ = damping·σ_max.

        Values of a magnitude below r·ε·σ_max count as zero (`solvers.direct` has the same rule).
        """
        lam = damping * self.sigma_max
        values = self.values + (lam if form == "shifted" else 0.0)
        kept = values.abs() > len(values) * self.unit * float(values.abs().max())
        safe = torch.where(kept, values, torch.ones_like(values))
        inverse = 1 / safe if form == "shifted" else safe / (safe**2 + lam**2)
        return torch.where(kept, inverse, torch.zeros_like(values))

    def solve(self, gradient: Tensor, kept: Tensor | None = None, **settings: Unpack[Settings]) -> Update:
        """H_JJ⁻¹g_J (zero outside J), (p,), with the report of a direct solve.

        Args:
            gradient: g, (p,).
            kept: entries of g that are kept, the others set to zero before (as PIF's scores need it); None for all.
            settings: damping and damping_form count.
        """
        started = time.perf_counter()
        damping, form = settings.get("damping", 0.0), settings.get("damping_form") or "squared"
        g = gradient.cpu().double()
        if kept is not None:
            g = torch.zeros_like(g).index_copy_(0, kept.cpu(), g[kept.cpu()])
        g = g if self.indices is None else g[self.indices]
        inside = self.vectors.T @ g
        x = self.vectors @ (self.weights(damping, form) * inside)
        lam = damping * self.sigma_max
        shift, squared = (lam, 0.0) if form == "shifted" else (0.0, lam)
        length = norm(g)
        residual = g - self.vectors @ ((self.values + shift) * (self.vectors.T @ x))
        slope = self.vectors @ ((self.values + shift) * (self.vectors.T @ residual)) - squared**2 * x
        status: Status = "converged" if length else "trivial"
        relative, optimality = (0.0, 0.0) if not length else (norm(residual) / length, math.nan)
        if length:
            sigma = math.hypot(float((self.values + shift).abs().max()), squared)
            limit = max(len(self.values) * self.unit, tolerance(torch.float64))
            optimality = optimality_measure(norm(slope) / length, sigma, relative, squared * norm(x) / length, limit)
        delta = torch.zeros(self.size, dtype=torch.float64)
        delta[slice(None) if self.indices is None else self.indices] = x
        report = SolveReport(
            method="if" if self.indices is None else "fif",
            solver="direct",
            status=status,
            iterations=1,
            products=self.products,
            seconds=self.seconds + time.perf_counter() - started,
            sigma_max=self.sigma_max,
            relative_residual=relative,
            optimality=optimality,
            damping=damping,
            message="" if self.exact else f"in a Lanczos subspace of rank {len(self.values)}",
            damping_form=form,
        )
        self.products, self.seconds = 0, 0.0  # the first solve is charged with it
        return Update(delta.to(gradient), report)
