"""A map-style data set, checked, with its labels, ready to be read in batches."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset, TensorDataset

from gif_dash.influence.examples import Examples, TensorExamples
from gif_dash.progress import Progress
from gif_dash.scenarios.checkpoints import tensor_bytes
from gif_dash.scenarios.pictures import Pictures
from gif_dash.scenarios.scenario import ScenarioError

#: Data sets up to this many bytes are kept in memory on the model's device, larger ones are read when needed.
MEMORY_BUDGET = 1 << 30

#: Items that are read twice to see that a data set is deterministic.
CHECKED_ITEMS = 24

#: Items in the hash of a data set's inputs.
HASHED_ITEMS = 256


@dataclass(frozen=True)
class Split:
    """One half of a scenario's data.

    Attributes:
        examples: on the model's device.
        labels: all of them, int64 (N,), CPU.
        content: hash of every value; empty where a sample has to do.
    """

    examples: Examples
    labels: Tensor
    content: str = ""


@dataclass(frozen=True)
class DatasetExamples:
    """A data set read item by item, whenever a batch is asked for. Implements `Examples`."""

    dataset: Dataset[Any]
    device: torch.device
    dtype: torch.dtype

    def __len__(self) -> int:
        return _length(self.dataset)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        items = [item(self.dataset, int(index)) for index in indices]
        inputs = torch.stack([value for value, _ in items])
        targets = torch.tensor([label for _, label in items])
        return _cast(inputs, self.dtype).to(self.device), targets.to(self.device)


class Items(Dataset[tuple[Tensor, int]]):
    """Examples one by one, for a scenario's own retrain function.

    Args:
        examples: the inputs.
        labels: int64 (N,), CPU.
    """

    def __init__(self, examples: Examples, labels: Tensor) -> None:
        self.examples = examples
        self.targets = labels.tolist()

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        inputs, _ = self.examples.batch(torch.tensor([index]))
        return inputs[0].cpu(), self.targets[index]


def prepare(
    dataset: Dataset[Any],
    what: str,
    classes: int,
    device: torch.device,
    dtype: torch.dtype,
    progress: Progress,
    budget: int = MEMORY_BUDGET,
) -> Split:
    """Check a data set and bring it into memory if it fits.

    Args:
        dataset: map-style, items (input tensor, class position).
        what: how sentences call it, for example ``digits-cnn's training data``.
        classes: labels must be 0 … classes − 1.
        device: of the batches.
        dtype: of floating-point inputs.
        progress: one unit per item where items are read one by one.
        budget: bytes that may be kept in memory.

    Raises:
        ScenarioError: one sentence about what is wrong with the data.
    """
    count = _length(dataset)
    if count == 0:
        raise ScenarioError(f"{what} are empty")
    if isinstance(dataset, Pictures):
        pictures = dataset.read(what, device, dtype, progress)
        return Split(pictures, torch.tensor(dataset.targets, dtype=torch.int64), pictures.content())
    tensors = _tensors(dataset)
    if tensors is None:
        shape, bytes_per_item = _check_deterministic(dataset, what)
        if count * bytes_per_item <= budget:
            tensors = _read_all(dataset, what, shape, dtype, progress)
    if tensors is not None:
        inputs, labels = tensors
        labels = _integer_labels(labels, what)
        inputs = _cast(inputs, dtype)
        fits = inputs.numel() * inputs.element_size() <= budget
        examples: Examples = TensorExamples(inputs.to(device) if fits else inputs, labels, device)
    else:
        labels = _labels(dataset, what, progress)
        examples = DatasetExamples(dataset, device, dtype)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        wrong = low if low < 0 else high
        raise ScenarioError(f"{what} have the label {wrong}, but there are {classes} classes (0 to {classes - 1})")
    return Split(examples, labels)


def item(dataset: Dataset[Any], index: int) -> tuple[Tensor, int]:
    """One example as (input, class position).

    Raises:
        ScenarioError: if it is not such a pair.
    """
    pair = dataset[index]
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ScenarioError(f"data sets must give (input, label) pairs; item {index} is a {type(pair).__name__}")
    value, label = pair
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value)
    if not isinstance(value, Tensor):
        kind = type(value).__name__
        raise ScenarioError(f"inputs must be tensors; item {index} has a {kind} (pictures need transforms.ToTensor())")
    if isinstance(label, (Tensor, np.ndarray)) and label.ndim == 0:
        label = label.item()
    if isinstance(label, np.generic):
        label = label.item()
    if isinstance(label, bool) or not isinstance(label, int):
        raise ScenarioError(f"labels must be whole numbers (class positions); item {index} has {label!r}"[:300])
    return value, label


def sample(examples: Examples, count: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """A seeded sample without repetition: positions (sorted), inputs, targets."""
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(seed))
    positions = order[:count].sort().values
    inputs, targets = examples.batch(positions)
    return positions, inputs, targets


def signature(dataset: Dataset[Any]) -> str:
    """Hash of what can be seen of a data set without reading items one by one."""
    digest = hashlib.sha256(str(_length(dataset)).encode())
    if (tensors := _tensors(dataset)) is not None:
        inputs, labels = tensors
        digest.update(tensor_bytes(inputs[spread(len(inputs), HASHED_ITEMS)]))
        digest.update(tensor_bytes(labels))
    elif (listed := _listed_labels(dataset)) is not None:
        digest.update(tensor_bytes(listed))
    return digest.hexdigest()


def spread(count: int, at_most: int) -> list[int]:
    """Up to `at_most` different positions, evenly spread over 0 … count − 1."""
    positions: list[int] = np.unique(np.linspace(0, count - 1, min(count, at_most)).astype(int)).tolist()
    return positions


def _length(dataset: Dataset[Any]) -> int:
    try:
        return len(dataset)  # type: ignore[arg-type]
    except TypeError:
        raise ScenarioError("data sets must be map-style: with a length, and items by position") from None


def _tensors(dataset: Dataset[Any]) -> tuple[Tensor, Tensor] | None:
    """Inputs and labels without reading items, for tensors and subsets of tensors."""
    if type(dataset) is TensorDataset:
        if len(dataset.tensors) != 2:
            raise ScenarioError(
                f"data sets must give (input, label) pairs; this one has {len(dataset.tensors)} tensors"
            )
        return dataset.tensors[0], dataset.tensors[1]
    if type(dataset) is Subset and (whole := _tensors(dataset.dataset)) is not None:
        positions = torch.as_tensor(np.asarray(dataset.indices, dtype=np.int64))
        return whole[0][positions], whole[1][positions]
    return None


def _check_deterministic(dataset: Dataset[Any], what: str) -> tuple[torch.Size, int]:
    """Read some items twice; the shape and the size in bytes of an input."""
    count = _length(dataset)
    positions = spread(count, CHECKED_ITEMS)
    first = [item(dataset, position) for position in positions]
    # in another order, so that a generator that is set back somewhere does not hide the change
    second = [item(dataset, position) for position in reversed(positions)][::-1]
    for (one, label), (two, other) in zip(first, second, strict=True):
        if one.shape != two.shape or label != other or not torch.equal(one, two):
            raise ScenarioError(
                f"{what} change from one reading to the next; leave out random augmentation: "
                "influence is a property of fixed examples"
            )
    if len({value.shape for value, _ in first}) > 1:
        raise ScenarioError(f"{what} have inputs of different shapes; all must have one shape")
    value = first[0][0]
    return value.shape, value.numel() * (4 if value.is_floating_point() else value.element_size())


def _read_all(
    dataset: Dataset[Any], what: str, shape: torch.Size, dtype: torch.dtype, progress: Progress
) -> tuple[Tensor, Tensor]:
    count = _length(dataset)
    progress.stage(f"Reading {what}", count)
    labels = torch.empty(count, dtype=torch.int64)
    inputs: Tensor | None = None
    for index in range(count):
        if index % 64 == 0:
            progress.check()
        value, label = item(dataset, index)
        if value.shape != shape:
            raise ScenarioError(f"{what} have inputs of different shapes; all must have one shape")
        if inputs is None:
            inputs = torch.empty((count, *shape), dtype=dtype if value.is_floating_point() else value.dtype)
        inputs[index] = value
        labels[index] = label
        progress.advance()
    assert inputs is not None  # count > 0
    return inputs, labels


def _labels(dataset: Dataset[Any], what: str, progress: Progress) -> Tensor:
    """All labels: from ``.targets`` where the items agree with it, else by one pass."""
    count = _length(dataset)
    listed = _listed_labels(dataset)
    if listed is not None and len(listed) == count:
        positions = spread(count, CHECKED_ITEMS)
        # a target_transform, for example, changes the items and leaves .targets as they were
        if all(item(dataset, position)[1] == int(listed[position]) for position in positions):
            return listed
    progress.stage(f"Reading the labels of {what}", count)
    labels = torch.empty(count, dtype=torch.int64)
    for index in range(count):
        if index % 64 == 0:
            progress.check()
        labels[index] = item(dataset, index)[1]
        progress.advance()
    return labels


def _listed_labels(dataset: Dataset[Any]) -> Tensor | None:
    if isinstance(dataset, Subset):
        whole = _listed_labels(dataset.dataset)
        return None if whole is None else whole[torch.as_tensor(np.asarray(dataset.indices, dtype=np.int64))]
    listed = getattr(dataset, "targets", None)
    if listed is None or getattr(dataset, "target_transform", None) is not None:
        return None
    try:
        labels = torch.as_tensor(listed)
    except (TypeError, ValueError, RuntimeError):
        return None
    fits = labels.ndim == 1 and not labels.is_floating_point() and labels.dtype != torch.bool
    return labels.to("cpu", torch.int64) if fits else None


def _integer_labels(labels: Tensor, what: str) -> Tensor:
    if labels.ndim != 1 or labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        kind = f"{str(labels.dtype).removeprefix('torch.')} of shape {tuple(labels.shape)}"
        raise ScenarioError(f"{what} need one whole number (class position) per example; the labels are {kind}")
    return labels.detach().to("cpu", torch.int64)


def _cast(inputs: Tensor, dtype: torch.dtype) -> Tensor:
    return inputs.detach().to(dtype) if inputs.is_floating_point() else inputs.detach()
