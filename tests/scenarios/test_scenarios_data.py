"""Data sets of all kinds: what is accepted, how labels are found, and the sentences for what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scenarios_fakes import Recorder, blobs
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset

from gif_dash.influence.examples import TensorExamples
from gif_dash.scenarios import ScenarioError, data


class Items(Dataset[Any]):
    """Items made by a function of the position; counts how often it is read."""

    def __init__(self, count: int, make: Callable[[int], Any]) -> None:
        self.count, self.make, self.reads = count, make, 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        self.reads += 1
        return self.make(index)


def plain(index: int) -> tuple[torch.Tensor, int]:
    return torch.full((2, 3), float(index)), index % 3


def prepare(dataset: Dataset[Any], **options: Any) -> data.Split:
    arguments = {"device": torch.device("cpu"), "dtype": torch.float32, "progress": Recorder(), **options}
    return data.prepare(dataset, "these data", 3, **arguments)


def test_tensors_are_taken_as_they_are() -> None:
    whole = blobs(30, 0)
    split = prepare(whole)
    assert isinstance(split.examples, TensorExamples)
    assert split.examples.inputs.data_ptr() == whole.tensors[0].data_ptr()
    part = prepare(Subset(Subset(whole, range(10, 30)), [3, 1]))
    inputs, targets = part.examples.batch(torch.tensor([0, 1]))
    assert torch.equal(inputs, whole.tensors[0][[13, 11]])
    assert torch.equal(targets, whole.tensors[1][[13, 11]])
    assert torch.equal(part.labels, targets)


def test_items_are_read_into_memory_where_they_fit() -> None:
    recorder = Recorder()
    split = prepare(Items(50, plain), progress=recorder)
    assert isinstance(split.examples, TensorExamples)
    assert recorder.stages == [("Reading these data", 50)]
    assert recorder.units == 50
    inputs, targets = split.examples.batch(torch.tensor([7, 4]))
    assert inputs[:, 0, 0].tolist() == [7, 4]
    assert targets.tolist() == [1, 1]
    assert split.labels.tolist() == [index % 3 for index in range(50)]


def test_items_are_read_on_demand_where_they_do_not_fit() -> None:
    source = Items(50, plain)
    split = prepare(source, budget=50 * 24 - 1)  # 2×3 float32 values each
    assert isinstance(split.examples, data.DatasetExamples)
    assert len(split.examples) == 50
    assert split.labels.tolist() == [index % 3 for index in range(50)]
    source.reads = 0
    inputs, targets = split.examples.batch(torch.tensor([7, 4, 40]))
    assert source.reads == 3
    assert inputs[:, 1, 2].tolist() == [7, 4, 40]
    assert targets.tolist() == [1, 1, 1]


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_labels_on_demand_come_from_targets_without_a_pass(kind: Callable[[list[int]], Any]) -> None:
    source = Items(5000, plain)
    source.targets = kind([index % 3 for index in range(5000)])  # type: ignore[attr-defined]
    split = prepare(source, budget=0)
    assert source.reads < 200
    assert torch.equal(split.labels, torch.arange(5000) % 3)
    part = prepare(Subset(source, [5, 3]), budget=0)
    assert part.labels.tolist() == [2, 0]


def test_targets_that_are_not_the_items_labels_are_not_believed() -> None:
    source = Items(90, lambda index: (torch.zeros(2), 2 - index % 3))
    source.targets = [index % 3 for index in range(90)]  # type: ignore[attr-defined]
    assert torch.equal(prepare(source, budget=0).labels, 2 - torch.arange(90) % 3)
    source.make = plain
    source.target_transform = abs  # type: ignore[attr-defined]
    source.reads = 0
    assert torch.equal(prepare(source, budget=0).labels, torch.arange(90) % 3)
    assert source.reads >= 90


def test_numpy_values_and_dtypes() -> None:
    split = prepare(Items(6, lambda index: (np.full(2, index, dtype=np.float64), np.int64(index % 3))))
    assert split.examples.batch(torch.tensor([5]))[0].dtype == torch.float32
    split = prepare(Items(6, lambda index: (torch.tensor([index]), torch.tensor(index % 3))))
    assert split.examples.batch(torch.tensor([5]))[0].dtype == torch.int64  # token numbers stay whole
    split = prepare(blobs(6, 0), dtype=torch.float64)
    assert split.examples.batch(torch.tensor([5]))[0].dtype == torch.float64


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(())


def noisy(index: int) -> tuple[torch.Tensor, int]:
    return torch.full((2,), float(index)) + torch.rand(2), index % 3


def mirrored(index: int) -> tuple[torch.Tensor, int]:
    values = torch.arange(3.0) + index
    return (values.flip(0) if torch.rand(()) < 0.5 else values), index % 3


@pytest.mark.parametrize("make", [noisy, mirrored])
def test_augmentation_is_refused(make: Callable[[int], Any]) -> None:
    with pytest.raises(ScenarioError, match="these data change from one reading to the next; leave out random augment"):
        prepare(Items(60, make))


@pytest.mark.parametrize(
    ("dataset", "sentence"),
    [
        (TensorDataset(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64)), "these data are empty"),
        (Items(0, plain), "these data are empty"),
        (TensorDataset(torch.zeros(3, 2), torch.tensor([0, 1, 3])), r"label 3, but there are 3 classes \(0 to 2\)"),
        (TensorDataset(torch.zeros(3, 2), torch.tensor([0, -1, 2])), "label -1, but there are 3 classes"),
        (TensorDataset(torch.zeros(3, 2), torch.rand(3)), "the labels are float32 of shape"),
        (TensorDataset(torch.zeros(3, 2), torch.zeros(3, 1, dtype=torch.int64)), r"int64 of shape \(3, 1\)"),
        (TensorDataset(torch.zeros(3, 2)), "this one has 1 tensors"),
        (Items(4, lambda index: {"image": index}), "item 0 is a dict"),
        (Items(4, lambda index: ("picture", 1)), r"item 0 has a str \(pictures need transforms.ToTensor\(\)\)"),
        (Items(4, lambda index: (torch.zeros(2), 0.5)), "item 0 has 0.5"),
        (Items(4, lambda index: (torch.zeros(2), True)), "item 0 has True"),
        (Items(4, lambda index: (torch.zeros(2 + index % 2), 0)), "inputs of different shapes"),
        (Items(60, lambda index: (torch.zeros(2 + (index == 31)), 0)), "inputs of different shapes"),
        (Endless(), "map-style"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(dataset: Dataset[Any], sentence: str) -> None:
    with pytest.raises(ScenarioError, match=sentence):
        prepare(dataset)


def test_the_hash_sees_every_label_and_the_sampled_inputs() -> None:
    inputs, labels = blobs(200, 0).tensors
    original = data.Split(TensorExamples(inputs, labels), labels)
    from gif_dash.scenarios.cards import data_hash

    changed_labels = labels.clone()
    changed_labels[123] = (changed_labels[123] + 1) % 3
    changed_inputs = inputs.clone()
    changed_inputs[77, 2] += 1e-6
    assert data_hash(original) == data_hash(data.Split(TensorExamples(inputs.clone(), labels.clone()), labels.clone()))
    assert data_hash(original) != data_hash(data.Split(TensorExamples(inputs, changed_labels), changed_labels))
    assert data_hash(original) != data_hash(data.Split(TensorExamples(changed_inputs, labels), labels))
