"""Trainable parameters as one flat vector, and the way back: flat index ↔ (layer, tensor, row)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from gif_dash.influence.errors import InfluenceError

if TYPE_CHECKING:
    from gif_dash.influence.selection import Selection

#: Layers whose weights and biases may be selected for an edit (Lyu et al. 2023, §4). Transposed convolutions are not
#: among them: their weights are not laid out in one row per output channel.
SELECTABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class Layer:
    """A module that owns trainable parameters.

    Attributes:
        path: the module's name in ``model.named_modules()``; empty for the model itself.
        kind: class name of the module, for example ``Conv2d``.
        selectable: whether it is a convolutional or linear layer, whose weight and bias may be selected.
        parameters: number of trainable scalars it owns.
    """

    path: str
    kind: str
    selectable: bool
    parameters: int

    @property
    def name(self) -> str:
        """What people read."""
        return self.path or self.kind


@dataclass(frozen=True)
class ParameterTensor:
    """One trainable tensor and its place ``[start, stop)`` in the flat vector.

    A row is an entry of the first dimension: a linear output's weights, a convolution channel's kernel.
    """

    name: str  #: in ``model.named_parameters()``
    layer: int  #: position in `ParameterIndex.layers`
    role: str  #: ``weight``, ``bias``, … within its layer
    shape: tuple[int, ...]
    start: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def stop(self) -> int:
        return self.start + self.size

    @property
    def rows(self) -> int:
        return self.shape[0] if self.shape else 1

    @property
    def row_size(self) -> int:
        return math.prod(self.shape[1:])


class Location(NamedTuple):
    """Where flat indices lie; three int64 tensors of equal shape."""

    tensor: Tensor  #: position in `ParameterIndex.tensors`
    row: Tensor  #: entry of the tensor's first dimension
    column: Tensor  #: position within the flattened row


@dataclass(frozen=True)
class ParameterIndex:
    """The order of a model's trainable parameters in a vector θ of shape ``(p,)``: that of ``named_parameters()``.

    A tensor shared by several modules appears once. It belongs to the first convolutional or linear layer that uses it
    as its own, else to the first module that does.
    """

    layers: tuple[Layer, ...]
    tensors: tuple[ParameterTensor, ...]

    @classmethod
    def of(cls, model: nn.Module) -> ParameterIndex:
        """The index of a model.

        Raises:
            InfluenceError: if the model has no trainable parameter, or they are not floating point of one dtype on one
                device.
        """
        modules = list(model.named_modules())
        modules.sort(key=lambda item: not isinstance(item[1], SELECTABLE))  # stable: selectable layers claim first
        owners: dict[int, tuple[str, nn.Module, str]] = {}
        for path, module in modules:
            for role, parameter in module.named_parameters(recurse=False):
                owners.setdefault(id(parameter), (path, module, role))
        positions: dict[str, int] = {}
        owned: dict[str, tuple[nn.Module, int]] = {}
        tensors: list[ParameterTensor] = []
        kinds: set[tuple[torch.dtype, torch.device]] = set()
        start = 0
        for name, parameter in _trainable(model):
            if not parameter.is_floating_point():
                raise InfluenceError(f"the parameter {name} is {parameter.dtype}: only real floating point can be used")
            kinds.add((parameter.dtype, parameter.device))
            path, module, role = owners[id(parameter)]
            layer = positions.setdefault(path, len(positions))
            owned[path] = (module, owned.get(path, (module, 0))[1] + parameter.numel())
            tensors.append(ParameterTensor(name, layer, role, tuple(parameter.shape), start))
            start += parameter.numel()
        if start == 0:
            raise InfluenceError("the model has no trainable parameters: set requires_grad on those that may change")
        if len(kinds) > 1:
            raise InfluenceError("all trainable parameters must have one dtype and lie on one device")
        layers = tuple(
            Layer(path, type(module).__name__, isinstance(module, SELECTABLE), count)
            for path, (module, count) in owned.items()
        )
        return cls(layers, tuple(tensors))

    @property
    def p(self) -> int:
        """Number of trainable scalars."""
        return self.tensors[-1].stop

    @cached_property
    def _table(self) -> Tensor:
        """(3, tensors) int64: start, row size and layer of every tensor."""
        rows = [(tensor.start, max(tensor.row_size, 1), tensor.layer) for tensor in self.tensors]
        return torch.tensor(rows, dtype=torch.int64).T.contiguous()

    def locate(self, indices: Tensor) -> Location:
        """Tensor, row and column of flat indices (int64, any shape).

        Raises:
            InfluenceError: if an index is outside ``[0, p)``.
        """
        indices = indices.cpu()
        if indices.numel() and (int(indices.min()) < 0 or int(indices.max()) >= self.p):
            raise InfluenceError(f"parameter indices go from 0 to {self.p - 1}")
        start, row_size = self._table[0], self._table[1]
        tensor = torch.searchsorted(start, indices, right=True) - 1
        offset = indices - start[tensor]
        return Location(tensor, offset // row_size[tensor], offset % row_size[tensor])

    def flat(self, location: Location) -> Tensor:
        """Flat indices of locations: the inverse of `locate`."""
        start, row_size = self._table[0], self._table[1]
        return start[location.tensor] + location.row * row_size[location.tensor] + location.column

    def layer_of(self, indices: Tensor) -> Tensor:
        """Position in `layers` of flat indices (int64, any shape)."""
        return self._table[2][self.locate(indices).tensor]

    def vector(self, model: nn.Module) -> Tensor:
        """A copy of the model's trainable parameters: (p,), the model's dtype and device."""
        return torch.cat([parameter.detach().reshape(-1) for parameter in self._parameters(model)])

    def assign(self, model: nn.Module, vector: Tensor) -> None:
        """θ ← vector of shape (p,), in place."""
        with torch.no_grad():
            for parameter, part in zip(self._parameters(model), self.split(vector), strict=True):
                parameter.copy_(part)

    def add(self, model: nn.Module, delta: Tensor, scalar: float = 1.0) -> None:
        """θ ← θ + scalar·delta with delta of shape (p,), in place."""
        with torch.no_grad():
            for parameter, part in zip(self._parameters(model), self.split(delta), strict=True):
                parameter.add_(part.to(parameter), alpha=scalar)

    def split(self, vector: Tensor) -> list[Tensor]:
        """Views of a vector (p,) in the shapes of the tensors.

        Raises:
            InfluenceError: if the vector has another length.
        """
        if vector.shape != (self.p,):
            raise InfluenceError(f"expected a vector of {self.p} parameters, got one of shape {tuple(vector.shape)}")
        parts = torch.split(vector, [tensor.size for tensor in self.tensors])
        return [part.view(tensor.shape) for part, tensor in zip(parts, self.tensors, strict=True)]

    def summary(self, delta: Tensor, selection: Selection, theta: Tensor) -> list[dict[str, Any]]:
        """One row per layer, ready for a table.

        Args:
            delta: displacement, (p,).
            selection: the parameters that may change.
            theta: the original parameters θ̂, (p,).

        Returns:
            dictionaries with layer, kind, parameters, selected (count), share (percent of the layer's parameters), norm
            (Euclidean, of the layer's part of delta) and theta_norm.
        """
        selected = torch.bincount(self.layer_of(selection.indices), minlength=len(self.layers)).tolist()
        norm, theta_norm = self._layer_norms(delta), self._layer_norms(theta)
        return [
            {
                "layer": layer.name,
                "kind": layer.kind,
                "parameters": layer.parameters,
                "selected": selected[number],
                "share": 100.0 * selected[number] / layer.parameters,
                "norm": norm[number],
                "theta_norm": theta_norm[number],
            }
            for number, layer in enumerate(self.layers)
        ]

    def _layer_norms(self, vector: Tensor) -> list[float]:
        norms = torch.stack([torch.linalg.vector_norm(part) for part in self.split(vector)]).double().cpu()
        squares = torch.zeros(len(self.layers), dtype=torch.float64).index_add_(0, self._table[2], norms**2)
        result: list[float] = squares.sqrt().tolist()
        return result

    def _parameters(self, model: nn.Module) -> list[nn.Parameter]:
        parameters = [parameter for _, parameter in _trainable(model)]
        if [tuple(parameter.shape) for parameter in parameters] != [tensor.shape for tensor in self.tensors]:
            raise InfluenceError("the model's trainable parameters are not those this index was built from")
        return parameters


def _trainable(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
