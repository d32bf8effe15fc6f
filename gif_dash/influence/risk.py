"""The regularised empirical risk F(θ) = (1/n) Σ ℓ(f_θ(x_i), y_i) + (μ/2)·‖θ‖², streamed in micro-batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gif_dash.influence.errors import InfluenceError, Tick, no_tick
from gif_dash.influence.examples import Examples
from gif_dash.influence.parameters import ParameterIndex

#: ``loss(outputs, targets, reduction="none") -> (b,)``, for example ``torch.nn.functional.cross_entropy``.
Loss = Callable[..., Tensor]


@dataclass(frozen=True)
class Risk:
    """Mean loss over ``examples[indices]`` plus ``weight_decay/2·‖θ‖²`` over all trainable parameters.

    The model is evaluated in eval mode (batch norm with its running statistics, no dropout) and left as it was found.

    Attributes:
        model: the network; θ are its trainable parameters in ``named_parameters()`` order.
        loss: called with ``reduction="none"``; losses of more than one dimension are averaged over the others.
        examples: where the examples come from.
        indices: which of them, int64 CPU, (n,).
        weight_decay: μ.
        micro_batch: examples per forward pass; halved when the device runs out of memory.
    """

    model: nn.Module
    loss: Loss
    examples: Examples
    indices: Tensor
    weight_decay: float = 0.0
    micro_batch: int = 512

    def __post_init__(self) -> None:
        if self.indices.dim() != 1 or self.indices.dtype != torch.int64:
            raise InfluenceError("example indices must be a one-dimensional int64 tensor")
        if len(self.indices) == 0:
            raise InfluenceError("a risk needs at least one example")
        low, high = int(self.indices.min()), int(self.indices.max())
        if low < 0 or high >= len(self.examples):
            raise InfluenceError(f"example indices go from 0 to {len(self.examples) - 1}, got {low} to {high}")
        if self.micro_batch < 1:
            raise InfluenceError(f"a micro-batch needs at least one example, got {self.micro_batch}")

    @property
    def size(self) -> int:
        """n, the number of examples."""
        return len(self.indices)

    def losses(self, theta: Tensor | None = None, tick: Tick = no_tick) -> Tensor:
        """Loss of every example, without weight decay: (n,), float64, on the CPU.

        Args:
            theta: parameters (p,) to evaluate at instead of the model's; the model is not changed.
            tick: called before every micro-batch.
        """
        parameters: dict[str, Tensor] | None = None
        if theta is not None:
            index = ParameterIndex.of(self.model)
            parameters = {t.name: part for t, part in zip(index.tensors, index.split(theta), strict=True)}
        parts: list[Tensor] = []

        def work(chunk: Tensor) -> None:
            parts.append(self.batch_losses(chunk, parameters).cpu().double())

        with evaluating(self.model), torch.no_grad():
            stream(self.indices, self.micro_batch, work, tick)
        return torch.cat(parts)

    def value(self, theta: Tensor | None = None, tick: Tick = no_tick) -> float:
        """F(θ), weight decay included; `theta` as in `losses`."""
        point = ParameterIndex.of(self.model).vector(self.model) if theta is None else theta
        decay = 0.5 * self.weight_decay * float(torch.linalg.vector_norm(point)) ** 2
        return float(self.losses(theta, tick).mean()) + decay

    def gradient(self, tick: Tick = no_tick) -> Tensor:
        """∇F at the model's parameters, weight decay included: (p,), the model's dtype and device."""
        index = ParameterIndex.of(self.model)
        parameters = trainable(self.model)
        total = self.weight_decay * index.vector(self.model)

        def work(chunk: Tensor) -> None:
            loss = self.batch_losses(chunk).sum() / self.size
            total.add_(flatten(differentiate(loss, parameters)))

        with evaluating(self.model), torch.enable_grad():
            stream(self.indices, self.micro_batch, work, tick)
        return total

    def batch_losses(self, chunk: Tensor, parameters: dict[str, Tensor] | None = None) -> Tensor:
        """Losses (b,) of the examples `chunk` (int64, (b,)); to be called in eval mode, see `evaluating`.

        Raises:
            InfluenceError: if the loss does not return one value per example.
        """
        return self.losses_of(*self.batch_outputs(chunk, parameters))

    def batch_outputs(self, chunk: Tensor, parameters: dict[str, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """The network's outputs (b, …) for the examples `chunk`, and their targets (b, …); in eval mode."""
        inputs, targets = self.examples.batch(chunk)
        model = self.model
        return model(inputs) if parameters is None else functional_call(model, parameters, (inputs,)), targets

    def losses_of(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Losses (b,) of given outputs; errors as `batch_losses`."""
        losses = self.loss(outputs, targets, reduction="none")
        if losses.dim() == 0 or losses.shape[0] != len(targets):
            raise InfluenceError(
                f'the loss must return one value per example when called with reduction="none": '
                f"got shape {tuple(losses.shape)} for {len(targets)} examples"
            )
        return losses if losses.dim() == 1 else losses.flatten(1).mean(1)


def stream(indices: Tensor, size: int, work: Callable[[Tensor], None], tick: Tick = no_tick) -> int:
    """Call `work` with consecutive micro-batches of `indices`, halving them when the device runs out of memory.

    `work` must change its state only when it succeeds. `tick` is called before every micro-batch.

    Returns:
        the micro-batch size at the end.

    Raises:
        InfluenceError: if a single example does not fit.
    """
    done = 0
    while done < len(indices):
        tick()
        chunk = indices[done : done + size]
        try:
            work(chunk)
        except torch.OutOfMemoryError as error:
            if len(chunk) == 1:
                raise InfluenceError(
                    "the device's memory does not hold the computation for one example: free some, take a smaller "
                    "network, or compute on the CPU (--device cpu)"
                ) from error
            size = len(chunk) // 2
        else:
            done += len(chunk)
    return size


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Eval mode for the duration; every module gets its own mode back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """The parameters θ consists of."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def differentiate(loss: Tensor, parameters: list[nn.Parameter], *, create_graph: bool = False) -> tuple[Tensor, ...]:
    """∂loss/∂parameters, zeros for those the loss does not depend on."""
    if not loss.requires_grad:
        return tuple(torch.zeros_like(parameter) for parameter in parameters)
    return torch.autograd.grad(loss, parameters, create_graph=create_graph, allow_unused=True, materialize_grads=True)


def flatten(tensors: tuple[Tensor, ...]) -> Tensor:
    """One detached vector."""
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
