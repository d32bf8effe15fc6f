"""Many trainings at once: the same numbers as one at a time, and weights that leave one example out."""

from __future__ import annotations

from itertools import repeat

import pytest
import torch
import torch.nn.functional as F
from fragility_cases import data, networks
from torch import Tensor, nn

from gif_dash.experiments import fleet
from gif_dash.scenarios import ScenarioError
from gif_dash.scenarios.dense import LOSSES


def test_leave_one_out_weights() -> None:
    weights = fleet.leave_one_out(5, [None, 2])
    torch.testing.assert_close(weights[0], torch.full((5,), 1 / 5, dtype=torch.float64))
    assert weights[1, 2] == 0
    torch.testing.assert_close(weights[1].sum(), torch.tensor(1.0, dtype=torch.float64))
    assert float(weights[1, 0] / weights[0, 0]) == pytest.approx(5 / 4, rel=1e-15)  # N/(N − 1)


@pytest.mark.parametrize("loss", ["cross-entropy", "squared-error"])
@pytest.mark.parametrize(("activation", "depth"), [("relu", 0), ("relu", 2), ("tanh", 1), ("tanh", 3)])
def test_formula_vmap_and_autograd_give_one_gradient(loss: str, activation: str, depth: int) -> None:
    inputs, labels = data()
    batch = fleet.Batch(inputs, F.one_hot(labels, 3).double())
    several = networks(3, activation, depth)
    weights = fleet.leave_one_out(len(labels), [None, 4, 7])
    stacked = fleet.stacked(several)
    formula = fleet.of_dense(activation, loss)(stacked, batch, weights)
    mapped = fleet.by_vmap(several[0], loss)(stacked, batch, weights)
    for number, network in enumerate(several):
        losses = LOSSES[loss](network(inputs), labels, reduction="none")
        own = torch.autograd.grad(weights[number] @ losses, list(network.parameters()))
        for part, one, other in zip(own, formula, mapped, strict=True):
            torch.testing.assert_close(one[number], part, rtol=1e-11, atol=1e-14)
            torch.testing.assert_close(other[number], part, rtol=1e-11, atol=1e-14)


def one_by_one(network: nn.Module, left_out: int | None, decay: float, steps: int) -> Tensor:
    """torch's own optimizer on the examples that remain."""
    inputs, labels = data()
    kept = torch.arange(len(labels)) != (-1 if left_out is None else left_out)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, weight_decay=decay)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(network(inputs[kept]), labels[kept]))
        optimizer.step()
    return torch.cat([part.detach().reshape(-1) for part in network.parameters()])


@pytest.mark.parametrize("way", ["formula", "vmap"])
def test_batched_training_is_one_by_one_training(way: str) -> None:
    inputs, labels = data()
    removed, decays = [None, 3, 11], [1e-3, 1e-3, 1e-1]
    several = networks(3)
    loss = "cross-entropy"
    gradients = fleet.of_dense("relu", loss) if way == "formula" else fleet.by_vmap(several[0], loss)
    found = fleet.descend(
        fleet.stacked(several),
        gradients,
        fleet.always(inputs, F.one_hot(labels, 3).double()),
        fleet.leave_one_out(len(labels), removed),
        torch.tensor(decays, dtype=torch.float64),
        steps=300,
        rate=0.1,
    )
    for number, network in enumerate(several):
        alone = one_by_one(network, removed[number], decays[number], 300)
        torch.testing.assert_close(fleet.member(found, number), alone, rtol=0, atol=1e-9)


def test_batches_are_weighted_like_the_whole() -> None:
    """The mean over the batches of a pass is the gradient with all examples, without the one left out."""
    inputs, labels = data()
    wanted = F.one_hot(labels, 3).double()
    several = networks(2)
    weights = fleet.leave_one_out(24, [None, 5])
    stacked, gradients = fleet.stacked(several), fleet.by_vmap(several[0], "cross-entropy")
    whole = gradients(stacked, fleet.Batch(inputs, wanted), weights)
    batches = fleet.shuffled(inputs, wanted, 6, seed=0)
    sums = [torch.zeros_like(part) for part in whole]
    for batch, _ in zip(batches, range(4), strict=False):
        assert batch.places is not None
        for total, part in zip(sums, gradients(stacked, batch, weights[:, batch.places] * 4), strict=True):
            total += part / 4
    for total, part in zip(sums, whole, strict=True):
        torch.testing.assert_close(total, part, rtol=1e-11, atol=1e-14)


def test_divergence_is_a_sentence() -> None:
    inputs, labels = data()
    batches = repeat(fleet.Batch(1e200 * inputs, F.one_hot(labels, 3).double()))
    with pytest.raises(ScenarioError, match="diverged after 50 steps"):
        fleet.descend(
            fleet.stacked(networks(1)),
            fleet.of_dense("relu", "squared-error"),
            batches,
            fleet.leave_one_out(24, [None]),
            torch.zeros(1),
            steps=50,
            rate=1.0,
        )


def test_the_cnn_has_the_size_it_says() -> None:
    network = fleet.three_convolutions()
    assert sum(part.numel() for part in network.parameters()) == 2538
    assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
