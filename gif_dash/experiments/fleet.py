"""Many networks of one shape, trained at the same time on weighted examples: their parameters are stacked.

A fleet is a list of tensors, one for each parameter of the network in `named_parameters` order, with the number of the
network as their first dimension. Retraining without one example is a training whose weights are zero there, so that all
retrainings are one run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, vmap

from gif_dash.influence import Loss
from gif_dash.scenarios import ScenarioError

#: Stacked parameters.
Fleet = list[Tensor]
#: Momentum of the descent.
MOMENTUM = 0.9
#: Steps between two looks at the progress.
BEAT = 50


@dataclass(frozen=True)
class Batch:
    """Examples of one step.

    Attributes:
        inputs: (b, …).
        wanted: targets as 0 and 1, in the dtype of the inputs, (b, c).
        places: their positions among all examples, int64, (b,); None for all, in order.
    """

    inputs: Tensor
    wanted: Tensor
    places: Tensor | None = None


#: Gradients of every network's weighted sum of losses: fleet, batch, weights (m, b) → stacked gradients.
Gradients = Callable[[Fleet, Batch, Tensor], Sequence[Tensor]]


def stacked(networks: Sequence[nn.Module]) -> Fleet:
    """The parameters of networks of one shape, side by side."""
    return [torch.stack([part.detach() for part in parts]) for parts in zip(*map(_parts, networks), strict=True)]


def _parts(network: nn.Module) -> list[nn.Parameter]:
    return list(network.parameters())


def member(fleet: Fleet, number: int) -> Tensor:
    """θ of one network: (p,)."""
    return torch.cat([part[number].reshape(-1) for part in fleet])


def vectors(fleet: Fleet) -> Tensor:
    """θ of all networks: (m, p)."""
    return torch.cat([part.flatten(1) for part in fleet], dim=1)


def chosen(fleet: Fleet, numbers: Sequence[int]) -> Fleet:
    """A fleet of copies of some of the networks, in this order, with repetitions."""
    return [part[list(numbers)].clone() for part in fleet]


def leave_one_out(n: int, removed: Sequence[int | None]) -> Tensor:
    """Weights of the mean loss without one example for each network: float64, (m, n).

    1/(N − 1) for those that remain, which is N/(N − 1) times the weight they had, and 0 for the removed one; 1/N where
    nothing is removed (None).
    """
    weights = torch.full((len(removed), n), 1 / n, dtype=torch.float64)
    for row, place in enumerate(removed):
        if place is not None:
            weights[row] = 1 / (n - 1)
            weights[row, place] = 0.0
    return weights


def slopes(outputs: Tensor, wanted: Tensor, loss: str) -> Tensor:
    """∂loss/∂outputs of every example, without autograd.

    Args:
        outputs: (…, c); overwritten.
        wanted: 0 and 1, broadcastable to the outputs.
        loss: ``cross-entropy`` or ``squared-error`` (the mean over the classes), see `gif_dash.scenarios.dense`.
    """
    if loss == "squared-error":
        return outputs.sub_(wanted).mul_(2 / wanted.shape[-1])
    outputs = outputs.sub_(outputs.amax(-1, keepdim=True)).exp_()
    return outputs.div_(outputs.sum(-1, keepdim=True)).sub_(wanted)


def squared_error(outputs: Tensor, targets: Tensor, reduction: str = "none") -> Tensor:
    """`gif_dash.scenarios.dense.squared_error` for `torch.func.vmap`, which cannot look into targets: (b,)."""
    wanted = targets.unsqueeze(-1) == torch.arange(outputs.shape[-1])
    return (outputs - wanted.to(outputs)).square().mean(-1)


#: Losses of single examples, by name.
LOSSES: dict[str, Loss] = {"cross-entropy": F.cross_entropy, "squared-error": squared_error}


def by_vmap(network: nn.Module, loss: str) -> Gradients:
    """Gradients of any network whose modules are functions of single batches (`torch.func.vmap`)."""
    names = [name for name, _ in network.named_parameters()]

    def gradients(fleet: Fleet, batch: Batch, weights: Tensor) -> Sequence[Tensor]:
        points = [part.requires_grad_() for part in fleet]
        answer = vmap(lambda named: functional_call(network, named, (batch.inputs,)))
        outputs = answer(dict(zip(names, points, strict=True)))
        with torch.no_grad():
            along = slopes(outputs.detach().clone(), batch.wanted, loss).mul_(weights.unsqueeze(-1))
        found = torch.autograd.grad(outputs, points, along)
        for part in fleet:
            part.requires_grad_(False)
        return found

    return gradients


def of_dense(activation: str, loss: str) -> Gradients:
    """Gradients of networks of linear layers with an activation between them, by their formula.

    The same as `by_vmap` to rounding, two to three times as fast: examples lie along the last dimension, where small
    matrices are multiplied quickest.

    Args:
        activation: ``relu`` or ``tanh``.
        loss: see `slopes`.
    """

    def gradients(fleet: Fleet, batch: Batch, weights: Tensor) -> Sequence[Tensor]:
        layers = list(zip(fleet[::2], fleet[1::2], strict=True))
        inputs = batch.inputs.T.contiguous()
        seen = [inputs.expand(len(weights), *inputs.shape)]  # what each layer is given, (m, units, b)
        for number, (matrix, bias) in enumerate(layers):
            outputs = torch.baddbmm(bias.unsqueeze(-1), matrix, seen[-1])
            if number + 1 < len(layers):
                outputs = outputs.clamp_min_(0) if activation == "relu" else outputs.tanh_()
            seen.append(outputs)
        along = slopes(seen.pop().transpose(1, 2), batch.wanted, loss).transpose(1, 2).mul_(weights.unsqueeze(1))
        found: list[Tensor] = []
        for number in reversed(range(len(layers))):
            given = seen.pop()
            found = [torch.bmm(along, given.transpose(1, 2)), along.sum(-1), *found]
            if number:
                along = torch.bmm(layers[number][0].transpose(1, 2), along)
                along = along.mul_(given > 0) if activation == "relu" else along.mul_(1 - given.square())
        return found

    return gradients


def descend(
    fleet: Fleet,
    gradients: Gradients,
    batches: Iterator[Batch],
    weights: Tensor | Callable[[int], Tensor],
    decay: Tensor,
    *,
    steps: int,
    rate: float | Callable[[int], float],
    advance: Callable[[int], None] = lambda units: None,
    watch: Callable[[int, Fleet], None] | None = None,
) -> Fleet:
    """Gradient descent with momentum on Σ_i w_i ℓ_i + μ/2·‖θ‖² for every network at once, in place.

    Args:
        fleet: m networks.
        gradients: of the loss, see `by_vmap` and `of_dense`.
        batches: one for every step; all networks see the same.
        weights: w, (m, n), or a function of the step's number where they change; with batches of b of n examples the
            loss is estimated by n/b times what they give.
        decay: μ of every network, (m,).
        steps: how many.
        rate: of learning; a function of the step's number where it changes.
        advance: told the number of steps that were done since it was last called; may raise to cancel.
        watch: told the number of steps done and the fleet, before the first step and after each.

    Returns:
        the fleet.

    Raises:
        gif_dash.scenarios.ScenarioError: a network is no longer finite.
    """
    speed = [torch.zeros_like(part) for part in fleet]
    shrink = decay.to(fleet[0])
    weigh = weights if callable(weights) else _constant(weights.to(fleet[0]))
    rates = [shrink.reshape(-1, *[1] * (part.dim() - 1)) for part in fleet]
    told = 0
    if watch is not None:
        watch(0, fleet)
    for step in range(steps):
        batch, shares = next(batches), weigh(step)
        if batch.places is not None:
            shares = shares[:, batch.places] * (shares.shape[1] / len(batch.places))
        found = gradients(fleet, batch, shares)
        with torch.no_grad():
            torch._foreach_mul_(speed, MOMENTUM)
            torch._foreach_add_(speed, list(found))
            torch._foreach_addcmul_(speed, fleet, rates)
            torch._foreach_add_(fleet, speed, alpha=-(rate(step) if callable(rate) else rate))
        if watch is not None:
            watch(step + 1, fleet)
        if (step + 1) % BEAT == 0 or step + 1 == steps:
            if not all(bool(part.isfinite().all()) for part in fleet):
                raise ScenarioError(f"training diverged after {step + 1} steps; lower the learning rate")
            advance(step + 1 - told)
            told = step + 1
    return fleet


def _constant(weights: Tensor) -> Callable[[int], Tensor]:
    return lambda step: weights


def always(inputs: Tensor, wanted: Tensor) -> Iterator[Batch]:
    """All examples in every step."""
    whole = Batch(inputs, wanted)
    while True:
        yield whole


def shuffled(inputs: Tensor, wanted: Tensor, size: int, seed: int) -> Iterator[Batch]:
    """Batches of the examples in random order, anew in every pass; the rest that fills no batch is left out."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(inputs), generator=generator)
        for places in torch.split(order[: len(order) // size * size], size):
            yield Batch(inputs[places], wanted[places], places)


def dense(inputs: int, classes: int, width: int, depth: int, activation: str) -> nn.Sequential:
    """An untrained network of `depth` hidden layers of `width` units; a linear one for depth 0."""
    sizes = (inputs, *[width] * depth, classes)
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU() if activation == "relu" else nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def three_convolutions() -> nn.Sequential:
    """Three 3×3 convolutions of 8 channels and stride 2, and a linear layer: 2,538 parameters for 1×28×28 pictures."""
    layers: list[nn.Module] = []
    for channels in (1, 8, 8):
        layers += [nn.Conv2d(channels, 8, 3, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 4 * 4, 10))
