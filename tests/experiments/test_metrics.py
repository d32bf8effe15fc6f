"""Metrics of a removal against the paper's table and against hand-counted examples."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from gif_dash.experiments.metrics import answers, removal_score, sample, stratified_half
from gif_dash.influence import TensorExamples

# test accuracy, self accuracy, score: all ten of Table 2 (Lyu et al. 2023), accuracies in percent
TABLE_2 = [
    (86.40, 0.43, 0.93),
    (83.59, 3.10, 0.90),
    (76.62, 5.03, 0.85),
    (85.16, 1.73, 0.91),
    (77.42, 5.95, 0.85),
    (70.99, 7.23, 0.80),
    (63.53, 14.76, 0.73),
    (66.21, 18.21, 0.73),
    (62.76, 12.56, 0.73),
    (91.34, 0.0, 0.95),
]


@pytest.mark.parametrize(("test_accuracy", "self_accuracy", "published"), TABLE_2)
def test_score_reproduces_table_2(test_accuracy: float, self_accuracy: float, published: float) -> None:
    assert removal_score(test_accuracy, self_accuracy) == pytest.approx(published, abs=0.0051)


def test_score_at_its_ends() -> None:
    assert removal_score(100, 0) == 1
    assert removal_score(0, 100) == 0
    assert removal_score(100, 100) == 0
    assert math.isnan(removal_score(math.nan, 0))


class Table(nn.Module):
    """Answers with the rows of a table: the input is the row's number."""

    def __init__(self, rows: torch.Tensor) -> None:
        super().__init__()
        self.rows = rows

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.rows[inputs.long().flatten()]


def test_answers_count_what_is_not_finite_as_wrong() -> None:
    rows = torch.tensor([[2.0, 0.0], [0.0, 2.0], [math.nan, 1.0], [5.0, math.inf]])
    examples = TensorExamples(torch.arange(4.0).unsqueeze(1), torch.tensor([0, 0, 1, 1]))
    said = answers(Table(rows), nn.functional.cross_entropy, examples, torch.arange(4), lambda: None, micro_batch=3)
    everything = torch.ones(4, dtype=torch.bool)
    assert said.predicted.tolist() == [0, 1, -1, -1]
    assert said.accuracy(everything) == 25.0
    assert said.mean_loss(torch.tensor([True, False, False, False])) == pytest.approx(math.log1p(math.exp(-2)))
    assert said.confusion(2).tolist() == [[1, 1, 0], [0, 0, 2]]
    assert math.isnan(said.accuracy(~everything))


def test_half_of_every_class_always_the_same() -> None:
    labels = torch.tensor([0] * 10 + [1] * 7 + [2] * 1)
    half = stratified_half(labels)
    assert [int(half[labels == label].sum()) for label in range(3)] == [5, 4, 1]
    assert torch.equal(half, stratified_half(labels))


def test_sample_is_seeded_sorted_and_without_repeats() -> None:
    indices = torch.arange(100, 200)
    drawn = sample(indices, 30, seed=1)
    assert len(drawn.unique()) == 30
    assert torch.equal(drawn, drawn.sort().values)
    assert torch.equal(drawn, sample(indices, 30, seed=1))
    assert not torch.equal(drawn, sample(indices, 30, seed=2))
    assert torch.equal(sample(indices, 1000, seed=1), indices)
