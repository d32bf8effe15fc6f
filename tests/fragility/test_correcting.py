"""Correcting: steps on the right images repair, and the numbers are what one measures by hand."""

from __future__ import annotations

import math

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from gif_dash.experiments.correcting import run, summarised
from gif_dash.figures.correcting import summary
from gif_dash.progress import Silent
from gif_dash.results import Result
from gif_dash.scenarios import Recipe, Scenario, ScenarioError, load, register
from gif_dash.specs import CorrectingSpec, SpecError

SPEC = CorrectingSpec(scenario="overlapping", examples=(3, 8), mispredictions=4, steps=30, rate=0.3, repeats=2)


@pytest.fixture(scope="module", autouse=True)
def clouds() -> None:
    """Three clouds that overlap, so that some test examples are mispredicted."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(150) % 3
    inputs = 2 * torch.eye(3, 6)[labels] + torch.randn(150, 6, generator=generator)
    register(
        Scenario(
            name="overlapping",
            model=lambda: nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)),
            train=TensorDataset(inputs[:100], labels[:100]),
            test=TensorDataset(inputs[100:], labels[100:]),
            classes=("a", "b", "c"),
            recipe=Recipe("sgd", lr=0.1, epochs=5, batch=25, weight_decay=1e-3),
        )
    )


@pytest.fixture(scope="module")
def result(clouds: None) -> Result:
    return run(SPEC, Silent())


def test_every_misprediction_in_every_way(result: Result) -> None:
    repairs = result.tables["repairs"]
    assert len(repairs) == 4 * 2 * (1 + 1 + 2)
    prepared = load("overlapping", Silent())
    inputs, labels = prepared.test.batch(torch.arange(50))
    said = prepared.network()(inputs).argmax(1)
    wrong = (said != labels).nonzero().flatten().tolist()
    assert sorted(set(repairs["test_index"])) == wrong[:4]
    assert result.provenance["wrong"] == len(wrong)
    assert set(repairs["choice"]) == {"influence", "nearest", "random"}
    assert list(summary(result)["how many"]) == [3, 8] * 3


def test_a_repair_by_hand(result: Result) -> None:
    """Plain gradient descent by torch's own optimizer, on the nearest training examples."""
    prepared = load("overlapping", Silent())
    row = result.tables["repairs"].query("choice == 'nearest' and m == 8").iloc[0]
    train, labels = prepared.train.batch(torch.arange(100))
    tests, truth = prepared.test.batch(torch.arange(50))
    index = int(row["test_index"])
    places = torch.argsort((train - tests[index]).norm(dim=1))[:8]
    network = prepared.network()
    before = network(tests).argmax(1) == truth
    optimizer = torch.optim.SGD(network.parameters(), 0.3)
    steps = math.nan
    for step in range(31):
        if step:
            optimizer.zero_grad()
            torch.autograd.backward(F.cross_entropy(network(train[places]), labels[places]))
            optimizer.step()
        if int(network(tests[[index]]).argmax()) == int(truth[index]):
            steps = float(step)
            break
    assert row["steps"] == pytest.approx(steps, nan_ok=True)
    others = torch.arange(50) != index
    after = network(tests).argmax(1) == truth
    assert row["cost"] == pytest.approx(100 * float(before[others].double().mean() - after[others].double().mean()))


def test_influential_images_lower_the_loss_first(result: Result) -> None:
    """After one step the loss of the test example has fallen more than by random images, on average."""
    steps = result.tables["steps"]
    losses = steps[steps["m"] == 8].pivot_table(index=["test_index", "choice"], columns="step", values="loss")
    fell = (losses[0] - losses[1]).groupby("choice").mean()
    assert fell["influence"] > fell["random"]
    assert fell["influence"] > 0


def test_summary_counts_what_was_not_repaired() -> None:
    known = {"choice": "random", "m": 1, "same_class": 0.5, "moved": 1.0}
    rows = pd.DataFrame(
        [
            {**known, "repaired": True, "steps": 4.0, "cost": 1.0},
            {**known, "repaired": False, "steps": math.nan, "cost": 3.0},
        ]
    )
    row = summarised(rows).iloc[0]
    assert (row["repaired"], row["steps"], row["cost"], row["n"]) == (50.0, 4.0, 2.0, 2)


def test_what_cannot_be_asked() -> None:
    with pytest.raises(SpecError, match="100 training images"):
        run(SPEC.model_copy(update={"examples": (101,)}), Silent())
    easy = torch.eye(3).repeat(10, 1)
    labels = torch.arange(30) % 3
    register(
        Scenario(
            name="easy",
            model=lambda: nn.Linear(3, 3),
            train=TensorDataset(easy, labels),
            test=TensorDataset(easy, labels),
            classes=("a", "b", "c"),
            recipe=Recipe("sgd", lr=0.5, epochs=20, batch=30),
        )
    )
    with pytest.raises(ScenarioError, match="nothing to correct"):
        run(CorrectingSpec(scenario="easy", examples=(1,)), Silent())
