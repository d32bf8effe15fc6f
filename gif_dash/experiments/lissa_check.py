"""Whether LiSSA converges: what the eigenvalues say, and what its residuals really do."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from gif_dash.influence.lissa import lissa
from gif_dash.influence.systems import System


@dataclass(frozen=True)
class Bound:
    """What the extreme eigenvalues of H say of x ← g + x − Hx/scale.

    The residual is multiplied by 1 − λ/scale along every eigenvector, so it vanishes if and only if 0 < λ < 2·scale for
    all of them; where λ = 0 it stays.

    Attributes:
        verdict: ``converges``, ``stalls`` or ``diverges``.
        reason: ``negative`` eigenvalues, ``scale`` too small, ``zero`` eigenvalues, or nothing.
        factor: of the residual in the long run, per step: the largest |1 − λ/scale|.
        scale_needed: λ_max/2; the scale must be larger.
        shift_needed: −λ_min if that is positive, else 0: what must at least be added to every eigenvalue.
    """

    verdict: str
    reason: str
    factor: float
    scale_needed: float
    shift_needed: float


def bound(low: float, high: float, scale: float, tolerance: float) -> Bound:
    """From the smallest and the largest eigenvalue; magnitudes up to `tolerance` count as zero."""
    verdict, reason = "converges", ""
    if low < -tolerance:
        verdict, reason = "diverges", "negative"
    elif high >= 2 * scale:
        verdict, reason = "diverges", "scale"
    elif low <= tolerance:
        verdict, reason = "stalls", "zero"
    return Bound(verdict, reason, max(abs(1 - low / scale), abs(1 - high / scale)), high / 2, max(0.0, -low))


@dataclass(frozen=True)
class Measured:
    """What the residuals ‖g − Hx/scale‖/‖g‖ did, from the first iterate on.

    Squared, they are sums of powers, so their logarithm is convex: once they grow, they grow for ever, and the check
    ends. While they fall they may still grow later, where the growing part of g is small.

    Attributes:
        verdict: ``falls`` or ``grows``, by the last two.
        first, last: of the residuals.
        ratio: the last by the one before.
        steps: taken.
    """

    verdict: str
    first: float
    last: float
    ratio: float
    steps: int


#: Residuals below this are rounding errors: LiSSA has converged.
ROUNDING = 1e-10


class _Enough(Exception):
    """The residuals have said what they can."""


def measure(apply: Callable[[Tensor], Tensor], like: Tensor, scale: float, steps: int, seed: int) -> Measured:
    """Run LiSSA with all examples in every product, from a random g, in which no direction is left out.

    Args:
        apply: x ↦ Hx.
        like: of the shape (p,), dtype and device of g.
        scale: see `Bound`.
        steps: at most so many.
        seed: of g.
    """
    g = torch.randn(len(like), generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(like)
    g /= g.norm()
    before, residuals = g / scale, []

    def follow(_step: int, x: Tensor) -> None:
        nonlocal before
        residuals.append(float((x - before).norm()) * scale)  # what is added to an iterate is its residual
        before = x
        if residuals[-1] < ROUNDING or (len(residuals) > 1 and residuals[-1] > residuals[-2] * (1 + 1e-9)):
            raise _Enough

    with suppress(_Enough):
        found = lissa(System(apply, apply, g, len(g), symmetric=True), steps, scale, scale, on_iterate=follow)
        if found.status == "diverged":  # one update that grew tenfold, which `follow` has not been told
            residuals.append(float((g - apply(before)).norm()))
    last, previous = residuals[-1], residuals[-2] if len(residuals) > 1 else 1.0
    ratio = last / previous if previous > 0 else math.nan
    return Measured("grows" if ratio > 1 + 1e-9 else "falls", residuals[0], last, ratio, len(residuals))
