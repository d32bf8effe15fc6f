"""Two digits told apart by a linear model f(x) = wᵀx: data, losses, and training to convergence.

What is minimised is (1/N) Σ ℓ(y_i·wᵀx_i) + λ/2·‖w‖², y = ±1, x the pixels of an image divided by their Euclidean norm.
There is no bias: it would be damped like a weight, or not at all, and the origin is no special place for images of norm
1 anyway. Everything is float64 on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gif_dash.influence import TensorExamples, Tick, no_tick
from gif_dash.scenarios.builtin import digits, mnist_pixels
from gif_dash.scenarios.scenario import ScenarioError

#: Steps of Newton's method, and halvings of one step, at most.
STEPS, HALVINGS = 200, 60
#: A step may use the matrix of an earlier one as long as it divides the gradient's norm by so much.
KEPT = 8.0
#: Second derivatives below this share of the largest are left out of a matrix: they are rounding errors in it.
NOTHING = 1e-17


@dataclass(frozen=True)
class TwoClasses:
    """The images of two classes.

    Attributes:
        x: of norm 1, float64 (n, p).
        y: 1 for the first class, −1 for the second, float64 (n,).
        labels: the classes, int64 (n,).
        positions: of the images in the training or test set they come from, int64 (n,).
        pictures: the images as they are, float32 (n, 1, height, width).
    """

    x: Tensor
    y: Tensor
    labels: Tensor
    positions: Tensor
    pictures: Tensor

    @classmethod
    def of(cls, pictures: Tensor, labels: Tensor, classes: tuple[int, int]) -> TwoClasses:
        """Those of all images (N, 1, height, width) that are of one of the two classes, in their order.

        Raises:
            ScenarioError: one of the classes has none.
        """
        for label in classes:
            if not bool((labels == label).any()):
                raise ScenarioError(f"there are no images of the class {label}")
        positions = torch.isin(labels, torch.tensor(classes)).nonzero().flatten()
        kept, own = pictures[positions], labels[positions]
        flat = kept.flatten(1).double()
        x = flat / torch.linalg.vector_norm(flat, dim=1, keepdim=True).clamp_min(1e-12)  # an empty one stays empty
        return cls(x, torch.where(own == classes[0], 1.0, -1.0).double(), own, positions, kept)

    def __len__(self) -> int:
        return len(self.y)

    def examples(self) -> TensorExamples:
        """For the engine: images x and targets y."""
        return TensorExamples(self.x, self.y)


def two_classes(data: Literal["digits", "mnist"], classes: tuple[int, int]) -> tuple[TwoClasses, TwoClasses]:
    """Training and test images of two digits.

    Raises:
        ScenarioError: MNIST is neither there nor to be had.
    """
    if data == "digits":
        parts = [(part.tensors[0], part.tensors[1]) for part in digits()]
    else:
        parts = [(pixels.unsqueeze(1) / 255, labels) for pixels, labels in map(mnist_pixels, (True, False))]
    train, test = (TwoClasses.of(pictures, labels, classes) for pictures, labels in parts)
    return train, test


@dataclass(frozen=True)
class MarginLoss:
    """A loss ℓ(m) of the margin m = y·f.

    Attributes:
        value, slope, bend: ℓ, ℓ′ and ℓ″, float64 (n,) → (n,), in closed form and without overflow.
    """

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    bend: Callable[[Tensor], Tensor]

    def __call__(self, outputs: Tensor, targets: Tensor, reduction: str = "none") -> Tensor:
        """The loss as the engine wants it: of outputs (b, 1) and targets y (b,)."""
        losses = self.value(targets * outputs.squeeze(1))
        return losses if reduction == "none" else losses.mean()


def logistic() -> MarginLoss:
    """log(1 + exp(−m))."""
    # Not logaddexp, whose second derivative by autograd is not a number far from 0, nor softplus, which is exact up to
    # its threshold only.
    return MarginLoss(
        value=lambda m: -F.logsigmoid(m),
        slope=lambda m: -torch.sigmoid(-m),
        bend=lambda m: torch.sigmoid(m) * torch.sigmoid(-m),
    )


def smoothed_hinge(temperature: float) -> MarginLoss:
    """t·log(1 + exp((1 − m)/t)): above the hinge max(0, 1 − m) by t·log 2 at its kink, and by less elsewhere.

    Its second derivative σ(1 − σ)/t, σ = σ((1 − m)/t), is 1/(4t) at m = 1 and next to nothing a few t away from it: at
    small t, H sees the few images at the kink only, each of them with great weight.
    """
    t = temperature

    def z(m: Tensor) -> Tensor:
        return (1 - m) / t

    return MarginLoss(
        value=lambda m: -t * F.logsigmoid(-z(m)),
        slope=lambda m: -torch.sigmoid(z(m)),
        bend=lambda m: torch.sigmoid(z(m)) * torch.sigmoid(-z(m)) / t,
    )


def margin_loss(name: str, temperature: float) -> MarginLoss:
    """``logistic`` or ``smoothed-hinge``."""
    return logistic() if name == "logistic" else smoothed_hinge(temperature)


@dataclass(frozen=True)
class Fit:
    """A minimiser.

    Attributes:
        w: float64 (p,).
        gradient_norm: ‖∇F(w)‖, and `first_gradient_norm` that at w = 0, to compare it with.
        steps: of Newton's method.
        converged: whether the gradient's norm is below the tolerance.
    """

    w: Tensor
    gradient_norm: float
    first_gradient_norm: float
    steps: int
    converged: bool

    def model(self) -> nn.Module:
        """The linear model with these weights, for the engine: (b, p) → (b, 1)."""
        model = nn.Linear(len(self.w), 1, bias=False, dtype=torch.float64)
        with torch.no_grad():
            model.weight.copy_(self.w.unsqueeze(0))
        return model.eval()


class Objective:
    """F(w) = (1/n) Σ ℓ(y_i·wᵀx_i) + λ/2·‖w‖² over some of the training images, and its minimiser.

    Args:
        data: the training images.
        loss: ℓ.
        damping: λ > 0: F is strongly convex.
        without: position of an image that is left out; None: all count.
    """

    def __init__(self, data: TwoClasses, loss: MarginLoss, damping: float, without: int | None = None) -> None:
        self.loss, self.damping, self.without = loss, damping, without
        self._z = data.y.unsqueeze(1) * data.x  # m = zᵀw
        self._n = len(data) - (without is not None)

    def margins(self, w: Tensor) -> Tensor:
        """m of all images, the one left out included, (N,)."""
        return self._z @ w

    def _kept(self, values: Tensor) -> Tensor:
        if self.without is not None:
            values[self.without] = 0.0
        return values

    def value(self, w: Tensor, margins: Tensor | None = None) -> float:
        """F(w)."""
        losses = self._kept(self.loss.value(self.margins(w) if margins is None else margins))
        return float(losses.sum()) / self._n + 0.5 * self.damping * float(w @ w)

    def gradient(self, w: Tensor, margins: Tensor | None = None) -> Tensor:
        """∇F(w), (p,)."""
        slopes = self._kept(self.loss.slope(self.margins(w) if margins is None else margins))
        return slopes @ self._z / self._n + self.damping * w

    def hessian(self, w: Tensor, margins: Tensor | None = None) -> Tensor:
        """∇²F(w) = XᵀDX/n + λI with D = diag(ℓ″), in closed form, (p, p)."""
        bends = self._kept(self.loss.bend(self.margins(w) if margins is None else margins))
        seen = bends > NOTHING * bends.max()
        z = self._z[seen]
        return (z.T * bends[seen]) @ z / self._n + self.damping * torch.eye(z.shape[1], dtype=z.dtype)

    def minimise(
        self,
        start: Tensor | None = None,
        factor: Tensor | None = None,
        tolerance: float = 1e-11,
        tick: Tick = no_tick,
    ) -> Fit:
        """Newton's method with halved steps; a matrix is kept for as long as it serves.

        Args:
            start: w to begin with; 0 by default.
            factor: Cholesky factor of a Hessian near that at the start; made when it is needed by default.
            tolerance: of ‖∇F(w)‖ relative to that at w = 0.
            tick: called before every step; may raise to cancel.
        """
        first = float(torch.linalg.vector_norm(self.gradient(torch.zeros_like(self._z[0]))))
        w = torch.zeros_like(self._z[0]) if start is None else start.clone()
        goal, before = tolerance * first, float("inf")
        steps = 0
        margins = self.margins(w)
        while True:
            tick()
            gradient = self.gradient(w, margins)
            size = float(torch.linalg.vector_norm(gradient))
            if size <= goal or steps >= STEPS:
                break
            fresh = factor is None or size > before / KEPT
            if fresh:
                factor = torch.linalg.cholesky(self.hessian(w, margins))
            assert factor is not None
            step = torch.cholesky_solve(gradient.unsqueeze(1), factor).squeeze(1)
            moved = self._search(w, margins, step, gradient)
            if moved is None:
                if fresh:  # rounding: F cannot be told to fall any more
                    break
                before = 0.0  # an old matrix: try again with a new one
                continue
            w, margins = moved
            before, steps = size, steps + 1
        return Fit(w, size, first, steps, size <= goal)

    def _search(self, w: Tensor, margins: Tensor, step: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor] | None:
        """The first of w − step, w − step/2, … where F, or near the end of the way ‖∇F‖, is less than at w."""
        along = self.margins(step)
        value, size, slope = self.value(w, margins), float(gradient.norm()), float(gradient @ step)
        share = 1.0
        for _ in range(HALVINGS):
            there, with_margins = w - share * step, margins - share * along
            fallen = self.value(there, with_margins) <= value - 1e-4 * share * slope
            if fallen or float(self.gradient(there, with_margins).norm()) < 0.5 * size:
                return there, self.margins(there)
            share /= 2
        return None


def train(data: TwoClasses, name: str, temperature: float, damping: float, tick: Tick = no_tick) -> Fit:
    """The model of all training images, to convergence.

    The smoothed hinge is approached by way of larger temperatures, as its curvature far from its kink tells Newton's
    method nothing; where it ends is the same, for F has one minimiser.

    Args:
        name, temperature: see `margin_loss`.
    """
    start: Tensor | None = None
    steps = 0
    warmer = 1.0
    while name == "smoothed-hinge" and warmer > 3 * temperature:
        found = Objective(data, smoothed_hinge(warmer), damping).minimise(start, tolerance=1e-6, tick=tick)
        start, steps, warmer = found.w, steps + found.steps, warmer / 3
    fit = Objective(data, margin_loss(name, temperature), damping).minimise(start, tick=tick)
    return replace(fit, steps=fit.steps + steps)


def accuracy(data: TwoClasses, w: Tensor) -> float:
    """Share of the images on the right side, in percent."""
    return 100 * float((data.y * (data.x @ w) > 0).double().mean())
