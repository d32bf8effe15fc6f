"""Exact Hessian-vector products of a risk (Pearlmutter 1994), streamed, with the first-order graphs kept and reused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Protocol, Self, TypeVar

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from gif_dash.influence.errors import InfluenceError, Tick, no_tick
from gif_dash.influence.parameters import ParameterIndex
from gif_dash.influence.risk import Risk, differentiate, evaluating, stream, trainable
from gif_dash.influence.twice import Rows, Scope, Twice

T = TypeVar("T")

#: The entries of a gradient as nodes of its graph, one per parameter tensor; None for those without curvature.
Edges = tuple[GradientEdge | None, ...]

#: Micro-batches of products on a CPU are so small that no tensor in them exceeds this many bytes: with larger ones the
#: graph leaves the caches and the allocator asks the system for memory at every operation. But they have at least so
#: many examples, to make it worth touching the weights, unless the graph alone would exceed the last figure
#: (measured: docs/benchmarks.md).
CPU_TENSOR_BYTES, CPU_EXAMPLES, CPU_GRAPH_BYTES = 2**22, 32, 2**30
#: Kept graphs occupy at most so many bytes by default; on a GPU this share of its free memory, if that is more.
MEMORY_BUDGET, GPU_SHARE = 2**30, 0.25
#: Where more than this share of a tensor's rows is selected, all are computed: picking them out costs more.
WHOLE = 0.75


class Curvature(Protocol):
    """A symmetric operator on R^p that counts its products."""

    @property
    def size(self) -> int: ...

    @property
    def products(self) -> int: ...

    def matvec(self, v: Tensor, tick: Tick = no_tick) -> Tensor: ...


class Columns:
    """The columns H_{:J} of a curvature, its rows H_{J:} and its block H_JJ, as operators.

    Each product counts as one of the curvature. Those of a `Hessian` leave out what J does not need: where J is a tenth
    of the units, about a quarter of the work for columns and rows and half of it for a block (docs/benchmarks.md).

    Args:
        curvature: H, symmetric.
        indices: J, int64, distinct, (k,).
    """

    def __init__(self, curvature: Curvature, indices: Tensor) -> None:
        self._curvature = curvature
        self._indices = indices
        self._units = curvature.units(indices) if isinstance(curvature, Hessian) else None

    def columns(self, x: Tensor, tick: Tick = no_tick) -> Tensor:
        """H_{:J}x, (p,), for x of shape (k,)."""
        return self._product(self._spread(x), tick, self._units, None)

    def rows(self, r: Tensor, tick: Tick = no_tick) -> Tensor:
        """H_{J:}r, (k,), for r of shape (p,)."""
        return self._product(r, tick, None, self._units)[self._indices]

    def block(self, x: Tensor, tick: Tick = no_tick) -> Tensor:
        """H_JJ x, (k,), for x of shape (k,)."""
        return self._product(self._spread(x), tick, self._units, self._units)[self._indices]

    def _spread(self, x: Tensor) -> Tensor:
        return x.new_zeros(self._curvature.size).index_copy_(0, self._indices.to(x.device), x)

    def _product(self, v: Tensor, tick: Tick, support: Units | None, wanted: Units | None) -> Tensor:
        if isinstance(self._curvature, Hessian):
            return self._curvature.matvec(v, tick, support=support, wanted=wanted)
        return self._curvature.matvec(v, tick)


@dataclass(frozen=True)
class Units:
    """The rows of a model's parameter tensors that a selection touches.

    Attributes:
        rows: one entry per tensor, in the order of θ: int64 row numbers, or None for all of them.
    """

    rows: tuple[Rows, ...]

    def touched(self, tensor: int) -> bool:
        rows = self.rows[tensor]
        return rows is None or len(rows) > 0


class Cost(NamedTuple):
    """Bytes that a graph occupies: `fixed`, and for each example `each`; its largest tensor has `largest` for each."""

    fixed: float
    each: float
    largest: float


def default_budget(device: torch.device) -> int:
    """Bytes that kept graphs may occupy on a device: 1 GiB, or a quarter of what is free on a CUDA device if more."""
    if device.type != "cuda":
        return MEMORY_BUDGET
    free, _total = torch.cuda.mem_get_info(device)
    return max(MEMORY_BUDGET, int(GPU_SHARE * free))


class Hessian:
    """H = ∇²F at θ̂, the model's parameters at construction, weight decay included, as an operator v ↦ Hv.

    The graph of the gradient of every micro-batch is built once and differentiated again for each product, as long as
    the graphs fit `memory_budget`; what does not fit is rebuilt for every product, one micro-batch at a time, so memory
    does not grow with the number of examples. Both ways give the same products. Use it as a context manager, or `close`
    it, to free the graphs. The model may change between products, but must be back at θ̂ for the next one.

    Attributes:
        risk: the risk F.
        theta: θ̂, (p,).
        memory_budget: bytes that kept graphs may occupy, by default `default_budget`. The cost of a graph is measured
            on the first examples: bytes of all distinct storages that autograd saves for it, parameters and buffers
            apart.
        products: number of Hessian-vector products computed so far.
    """

    def __init__(self, risk: Risk, memory_budget: int | None = None, micro_batch: int | None = None) -> None:
        """
        Args:
            risk: F.
            memory_budget: see above; 0 keeps nothing, None leaves it to the device.
            micro_batch: examples per graph; by default as many as the risk's on a GPU, and on a CPU at most so many
                that their tensors stay in its caches.
        """
        self.risk = risk
        self.products = 0
        self._index = ParameterIndex.of(risk.model)
        self.theta = self._index.vector(risk.model)
        self.memory_budget = default_budget(self.theta.device) if memory_budget is None else memory_budget
        self._parameters = trainable(risk.model)
        self._versions = self._present_versions()  # of the parameters, when they were last seen to be θ̂
        self._given_micro_batch = micro_batch
        self._micro_batch = 0  # not chosen yet
        self._scope = Scope()
        self._gradients: list[Edges] = []  # of the kept micro-batches, with their graphs
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

    @property
    def micro_batch(self) -> int:
        """Examples per graph; 0 before the first product, if it was left to choose."""
        return self._micro_batch or self._given_micro_batch or 0

    def units(self, indices: Tensor) -> Units:
        """What `matvec` may leave out for a selection of parameters (int64, any shape, flat indices)."""
        place = self._index.locate(indices.reshape(-1))
        rows: list[Rows] = []
        for number, tensor in enumerate(self._index.tensors):
            found = torch.unique(place.row[place.tensor == number])
            rows.append(None if len(found) > WHOLE * tensor.rows else found.to(self.theta.device))
        return Units(tuple(rows))

    def prepare(self, tick: Tick = no_tick) -> None:
        """Build the graphs now instead of at the first product."""
        self._check_place()
        with evaluating(self.risk.model), torch.enable_grad():
            self._guarded(lambda: None, tick)

    def matvec(
        self, v: Tensor, tick: Tick = no_tick, *, support: Units | None = None, wanted: Units | None = None
    ) -> Tensor:
        """Hv for v of shape (p,): (p,), the model's dtype and device.

        Args:
            v: the vector; cast to the model's dtype and device.
            tick: called before every micro-batch; if it raises, all graphs are freed.
            support: rows outside of which v is zero; a promise that saves work, see `units`.
            wanted: rows of the product that are needed; the entries of the others are not to be used.

        Raises:
            InfluenceError: if the model is not at θ̂, or v has another shape.
        """
        v = v.to(self._parameters[0])
        parts = self._index.split(v)
        self._check_place()
        names = [id(parameter) for parameter in self._parameters]
        self._scope.support = dict(zip(names, support.rows, strict=True)) if support else {}
        self._scope.wanted = dict(zip(names, wanted.rows, strict=True)) if wanted else {}
        every = range(len(names))
        along = [number for number in every if support is None or support.touched(number)]
        of = [number for number in every if wanted is None or wanted.touched(number)]
        with evaluating(self.risk.model), torch.enable_grad():
            product = self._guarded(lambda: self._product(v, parts, along, of, tick), tick)
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

    def _guarded(self, work: Callable[[], T], tick: Tick) -> T:
        """Build what is not built, then work. If memory is short, without kept graphs; if anything fails, free all."""
        try:
            try:
                if not self._built:
                    self._build(tick)
                return work()
            except torch.OutOfMemoryError:
                pass  # and out of the handler, which holds on to the frames that failed and to their tensors
            self.close()
            self.memory_budget = 0
            return work()
        except BaseException:
            self.close()
            raise

    def _product(self, v: Tensor, parts: list[Tensor], along: list[int], of: list[int], tick: Tick) -> Tensor:
        total = self.risk.weight_decay * v
        sums = self._index.split(total)

        def add(gradient: Edges, *, keep: bool) -> None:
            found = self._differentiate(gradient, parts, along, of, keep=keep)
            for number, part in zip(of, found, strict=True):
                if part is not None:
                    sums[number].add_(part)

        for gradient in self._gradients:
            tick()
            add(gradient, keep=True)
        rest = self.risk.indices[self._kept :]
        self._micro_batch = stream(rest, self._micro_batch, lambda chunk: add(self._gradient(chunk), keep=False), tick)
        return total

    def _build(self, tick: Tick) -> None:
        """Choose the micro-batch size, and keep the graphs of as many micro-batches as the budget allows."""
        self._built = True
        chosen = self._given_micro_batch is not None or self.theta.device.type != "cpu"
        if not self._micro_batch:
            self._micro_batch = self._given_micro_batch or self.risk.micro_batch
        if chosen and self.memory_budget <= 0:
            return
        cost = self._measure(tick)
        if not chosen:
            fits = min(max(CPU_EXAMPLES, CPU_TENSOR_BYTES / cost.largest), max(1, CPU_GRAPH_BYTES / cost.each))
            self._micro_batch = min(self._micro_batch, 1 << (int(fits).bit_length() - 1))  # a power of two
        chunks = torch.split(self.risk.indices, self._micro_batch)
        affordable = int(self.memory_budget / (cost.fixed + cost.each * min(self._micro_batch, self.risk.size)))
        for chunk in chunks[:affordable]:
            tick()
            self._gradients.append(self._gradient(chunk))
            self._kept += len(chunk)

    def _gradient(self, chunk: Tensor) -> Edges:
        """This micro-batch's share of ∇F: the graph that can be differentiated again, without the values."""
        with Twice(self._scope):
            loss = self.risk.batch_losses(chunk).sum() / self.risk.size
        gradient = differentiate(loss, self._parameters, create_graph=True)
        # entries that do not depend on θ (unused parameters, losses linear in them) have no curvature
        return tuple(get_gradient_edge(part) if part.requires_grad else None for part in gradient)

    def _differentiate(
        self, gradient: Edges, parts: list[Tensor], along: list[int], of: list[int], *, keep: bool
    ) -> Sequence[Tensor | None]:
        """∂(gradientᵀv)/∂θ for the parameters `of`, from the entries `along` of the gradient; None is zero."""
        curved = [(edge, parts[number]) for number in along if (edge := gradient[number]) is not None]
        if not curved or not of:
            return [None] * len(of)
        outputs, directions = zip(*curved, strict=True)
        inputs = [self._parameters[number] for number in of]
        return torch.autograd.grad(outputs, inputs, directions, retain_graph=keep, allow_unused=True)

    def _measure(self, tick: Tick) -> Cost:
        """What graphs occupy, from those of two small micro-batches."""
        indices = self.risk.indices
        tick()
        one = self._saved(indices[:1])
        tick()
        some = self._saved(indices[:5])
        more = max(1, len(indices[:5]) - 1)
        each = max(1.0, (sum(some) - sum(one)) / more) if len(indices) > 1 else float(max(1, sum(one)))
        largest = max((after - before for before, after in zip(one, some, strict=False)), default=0) / more
        return Cost(fixed=max(0.0, sum(one) - each), each=each, largest=max(1.0, largest))

    def _saved(self, chunk: Tensor) -> list[int]:
        """Bytes of the distinct storages that the graph of this micro-batch holds; the graph is freed on return."""
        model = self.risk.model
        known = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
        saved: dict[int, int] = {}  # by address: no address is used twice while the graph holds them all

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in known:
                saved[storage.data_ptr()] = storage.nbytes()
            return tensor.detach()  # not the tensor itself: an output saved by its own node would never be freed

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            self._gradient(chunk)
        return list(saved.values())

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
