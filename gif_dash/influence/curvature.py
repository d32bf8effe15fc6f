"""Exact Hessian-vector products of a risk (Pearlmutter 1994), streamed, with the first-order graphs kept and reused."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

import torch
from torch import Tensor

from gif_dash.influence.errors import InfluenceError, Tick, no_tick
from gif_dash.influence.parameters import ParameterIndex
from gif_dash.influence.risk import Risk, differentiate, evaluating, flatten, stream, trainable


class Curvature(Protocol):
    """A symmetric operator on R^p that counts its products."""

    @property
    def size(self) -> int: ...

    @property
    def products(self) -> int: ...

    def matvec(self, v: Tensor, tick: Tick = no_tick) -> Tensor: ...


class Hessian:
    """H = ∇²F at θ̂, the model's parameters at construction, weight decay included, as an operator v ↦ Hv.

    The graph of the gradient of every micro-batch is built once and differentiated again for each product, as long as
    the graphs fit `memory_budget`; what does not fit is rebuilt for every product. Both ways give the same products.
    Use it as a context manager, or `close` it, to free them. The model may change between products, but must be back at
    θ̂ for the next one.

    Attributes:
        risk: the risk F.
        theta: θ̂, (p,).
        memory_budget: bytes that kept graphs may occupy. The cost of a graph is measured on the first micro-batch:
            bytes of all distinct storages that autograd saves for it, parameters and buffers apart.
        products: number of Hessian-vector products computed so far.
    """

    def __init__(self, risk: Risk, memory_budget: int = 2**30) -> None:
        self.risk = risk
        self.memory_budget = memory_budget
        self.products = 0
        self._index = ParameterIndex.of(risk.model)
        self.theta = self._index.vector(risk.model)
        self._parameters = trainable(risk.model)
        self._versions = self._present_versions()  # of the parameters, when they were last seen to be θ̂
        self._micro_batch = risk.micro_batch
        self._gradients: list[tuple[Tensor, ...]] = []  # of the kept micro-batches, with their graphs
        self._kept = 0  # examples behind them
        self._built = False

    @property
    def size(self) -> int:
        """p, the number of trainable parameters."""
        return self._index.p

    @property
    def graphs(self) -> int:
        """Number of micro-batches whose graph is kept at present."""
        return len(self._gradients)

    def matvec(self, v: Tensor, tick: Tick = no_tick) -> Tensor:
        """Hv for v of shape (p,): (p,), the model's dtype and device.

        Args:
            v: the vector; cast to the model's dtype and device.
            tick: called before every micro-batch; if it raises, all graphs are freed.

        Raises:
            InfluenceError: if the model is not at θ̂, or v has another shape.
        """
        v = v.to(self._parameters[0])
        parts = self._index.split(v)
        self._check_place()
        try:
            with evaluating(self.risk.model), torch.enable_grad():
                try:
                    if not self._built:
                        self._build(tick)
                    product = self._product(v, parts, tick)
                except torch.OutOfMemoryError:  # kept graphs leave too little room: go on without them
                    self.close()
                    self.memory_budget = 0
                    product = self._product(v, parts, tick)
        except BaseException:
            self.close()
            raise
        self.products += 1
        return product

    def close(self) -> None:
        """Free all graphs. The next product builds them again."""
        self._gradients.clear()
        self._kept = 0
        self._built = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _product(self, v: Tensor, parts: list[Tensor], tick: Tick) -> Tensor:
        total = self.risk.weight_decay * v
        for gradient in self._gradients:
            tick()
            total += self._differentiate_along(gradient, parts, keep=True)

        def work(chunk: Tensor) -> None:
            total.add_(self._differentiate_along(self._gradient(chunk), parts, keep=False))

        rest = self.risk.indices[self._kept :]
        self._micro_batch = stream(rest, self._micro_batch, work, tick)
        return total

    def _build(self, tick: Tick) -> None:
        """Keep the graphs of as many micro-batches as the budget allows."""
        self._built = True
        indices = self.risk.indices
        if self.memory_budget <= 0:
            return
        tick()
        first = indices[: self._micro_batch]
        room = int(self.memory_budget / self._graph_bytes(first) * len(first))  # in examples
        if room < len(indices):
            room -= room % self._micro_batch  # whole micro-batches only
        for chunk in torch.split(indices[:room], self._micro_batch) if room else ():
            tick()
            self._gradients.append(self._gradient(chunk))
            self._kept += len(chunk)

    def _gradient(self, chunk: Tensor) -> tuple[Tensor, ...]:
        """This micro-batch's share of ∇F, with the graph that can be differentiated again."""
        loss = self.risk.batch_losses(chunk).sum() / self.risk.size
        return differentiate(loss, self._parameters, create_graph=True)

    def _differentiate_along(self, gradient: tuple[Tensor, ...], parts: list[Tensor], *, keep: bool) -> Tensor:
        """∂(gradientᵀv)/∂θ, (p,)."""
        # entries that do not depend on θ (unused parameters, losses linear in them) have no curvature
        curved = [(g, part) for g, part in zip(gradient, parts, strict=True) if g.requires_grad]
        if not curved:
            return torch.zeros(self.size, dtype=parts[0].dtype, device=parts[0].device)
        outputs, directions = zip(*curved, strict=True)
        return flatten(
            torch.autograd.grad(
                outputs, self._parameters, directions, retain_graph=keep, allow_unused=True, materialize_grads=True
            )
        )

    def _graph_bytes(self, chunk: Tensor) -> int:
        """Bytes a kept graph of this micro-batch occupies; the graph itself is freed on return."""
        model = self.risk.model
        known = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
        saved: dict[int, int] = {}  # by address: no address is used twice while the graph holds them all

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in known:
                saved[storage.data_ptr()] = storage.nbytes()
            return tensor.detach()  # not the tensor itself: an output saved by its own node would never be freed

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            gradient = self._gradient(chunk)
        for tensor in gradient:
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return max(1, sum(saved.values()))

    def _check_place(self) -> None:
        """Graphs do not survive a change of the parameters, not even one that was undone."""
        versions = self._present_versions()
        if versions == self._versions:
            return
        self.close()
        if not torch.equal(self._index.vector(self.risk.model), self.theta):
            raise InfluenceError("the model's parameters are not those its Hessian was made for: set them back first")
        self._versions = versions

    def _present_versions(self) -> list[int]:
        return [parameter._version for parameter in self._parameters]
