"""Regularisers α/2·‖θ‖² and α/2·‖θ‖ (not squared): value, gradient and Hessian."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gif_dash.influence import Curvature, Loss, Tick, no_tick
from gif_dash.specs.spectrum import Norm


@dataclass(frozen=True)
class Penalty:
    """R(θ) = α/2·‖θ‖² (squared) or α/2·‖θ‖ (plain), over all trainable parameters.

    With n = ‖θ‖, the plain one has ∇R = α/2·θ/n and ∇²R = α/2·(I/n − θθᵀ/n³): positive semi-definite, zero along θ, and
    of strength α/(2n) across it, so that it weakens as the parameters grow. It has no Hessian at θ = 0.
    """

    norm: Norm
    alpha: float

    def value(self, parameters: Iterable[Tensor]) -> Tensor:
        """R of a model's parameters, differentiable."""
        length = torch.linalg.vector_norm(torch.cat([parameter.reshape(-1) for parameter in parameters]))
        value: Tensor = 0.5 * self.alpha * (length.square() if self.norm == "squared" else length)
        return value

    def gradient(self, theta: Tensor) -> Tensor:
        """∇R at θ (p,): (p,)."""
        return self.alpha * theta * (1.0 if self.norm == "squared" else 0.5 / float(theta.norm()))

    def matvec(self, theta: Tensor, v: Tensor) -> Tensor:
        """∇²R·v at θ: (p,)."""
        if self.norm == "squared":
            return self.alpha * v
        length = float(theta.norm())
        along = theta / length
        return (v - along * torch.dot(along, v)) * (0.5 * self.alpha / length)

    def dense(self, theta: Tensor) -> Tensor:
        """∇²R at θ: (p, p)."""
        identity = torch.eye(len(theta), dtype=theta.dtype, device=theta.device)
        if self.norm == "squared":
            return self.alpha * identity
        length = torch.linalg.vector_norm(theta)
        matrix: Tensor = 0.5 * self.alpha * (identity / length - torch.outer(theta, theta) / length**3)
        return matrix

    def added_to(self, loss: Loss, model: nn.Module) -> Callable[..., Tensor]:
        """The loss with R of this model's parameters added to every example's value."""

        def penalised(outputs: Tensor, targets: Tensor, reduction: str = "none") -> Tensor:
            losses: Tensor = loss(outputs, targets, reduction=reduction)
            return losses + self.value(p for p in model.parameters() if p.requires_grad)

        return penalised


class Regularised:
    """H + ∇²R at θ as an operator; a product counts as one of H. Implements `Curvature`."""

    def __init__(self, curvature: Curvature, penalty: Penalty, theta: Tensor) -> None:
        self._curvature = curvature
        self._penalty = penalty
        self._theta = theta

    @property
    def size(self) -> int:
        """p."""
        return self._curvature.size

    @property
    def products(self) -> int:
        """Products of H so far."""
        return self._curvature.products

    def matvec(self, v: Tensor, tick: Tick = no_tick) -> Tensor:
        """(H + ∇²R)v: (p,)."""
        product = self._curvature.matvec(v, tick)
        return product + self._penalty.matvec(self._theta, v.to(product))
