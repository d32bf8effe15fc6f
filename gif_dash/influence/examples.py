"""Examples: what the engine asks of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from gif_dash.influence.errors import InfluenceError


class Examples(Protocol):
    """A deterministic, indexable set of examples: the same index always gives the same tensors."""

    def __len__(self) -> int: ...

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs (b, …) and targets (b, …) of int64 CPU indices (b,), on the model's device."""
        ...


@dataclass(frozen=True)
class TensorExamples:
    """Examples held in memory.

    Attributes:
        inputs: (N, …), in the model's dtype.
        targets: (N, …).
        device: where batches are sent; None leaves them where they are.
    """

    inputs: Tensor
    targets: Tensor
    device: torch.device | str | None = None

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.targets):
            raise InfluenceError(f"{len(self.inputs)} inputs, but {len(self.targets)} targets")

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        inputs = self.inputs.index_select(0, indices.to(self.inputs.device))
        targets = self.targets.index_select(0, indices.to(self.targets.device))
        return inputs.to(self.device or inputs.device), targets.to(self.device or targets.device)
