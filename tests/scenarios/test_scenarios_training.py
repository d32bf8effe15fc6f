"""Training: where it ends, that it repeats itself, and that it leaves no traces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scenarios_fakes import RECIPE, Recorder, blobs, network
from sklearn.linear_model import LogisticRegression
from torch import nn

from gif_dash.influence.examples import TensorExamples
from gif_dash.progress import Cancelled, Silent
from gif_dash.scenarios import NoColdReference, Recipe, ScenarioError, training


def train(recipe: Recipe, seed: int = 0, progress: Silent | None = None) -> nn.Module:
    data = blobs(120, 1)
    model = training.build(network, seed)
    examples = TensorExamples(*data.tensors)
    training.train(model, F.cross_entropy, examples, torch.arange(120), recipe, seed, progress or Silent(), "Training")
    return model


def vector(model: nn.Module) -> torch.Tensor:
    return torch.cat([value.detach().flatten() for value in model.parameters()])


def test_a_seed_decides_everything() -> None:
    first, again, other = train(RECIPE, 0), train(RECIPE, 0), train(RECIPE, 1)
    assert torch.equal(vector(first), vector(again))
    assert not torch.equal(vector(first), vector(other))


def test_the_global_random_state_is_neither_changed_nor_used() -> None:
    class Neighbour(Silent):  # a notebook's own code that draws numbers while a training runs
        def advance(self, units: int = 1) -> None:
            torch.randn(3)

    torch.manual_seed(5)
    before = torch.get_rng_state()
    alone = train(RECIPE)
    assert torch.equal(torch.get_rng_state(), before)
    disturbed = train(RECIPE, progress=Neighbour())
    assert torch.equal(vector(alone), vector(disturbed))


@pytest.mark.parametrize("recipe", [Recipe("sgd", lr=0.2, epochs=150, batch=40), Recipe("adam", lr=0.1, epochs=300)])
def test_training_ends_at_the_optimum_of_loss_plus_half_mu_theta_squared(recipe: Recipe) -> None:
    """scikit-learn minimises C·Σ loss + ½‖w‖²: the same optimum for C = 1/(N·μ). Decoupled decay would miss it."""
    mu, count = 0.1, 120
    inputs, labels = blobs(count, 1).tensors
    model = training.build(lambda: nn.Linear(4, 3, bias=False), 0)
    whole = replace(recipe, weight_decay=mu)
    examples = TensorExamples(inputs, labels)
    training.train(model, F.cross_entropy, examples, torch.arange(count), whole, 0, Silent(), "Training")
    oracle = LogisticRegression(C=1 / (count * mu), fit_intercept=False, tol=1e-10, max_iter=10_000)
    oracle.fit(inputs.numpy(), labels.numpy())
    assert isinstance(model, nn.Linear)
    found = model.weight.detach().numpy()
    assert np.linalg.norm(found - oracle.coef_) < 2e-3 * np.linalg.norm(oracle.coef_)


def test_progress_counts_every_step_and_the_last_rate_is_low() -> None:
    recorder = Recorder()
    train(RECIPE, progress=recorder)
    assert recorder.stages == [("Training", 64)]  # 8 epochs of ⌈120/16⌉ steps
    assert recorder.units == 64
    rates = [training.rate(RECIPE, step, 64) for step in range(64)]
    assert max(rates) <= RECIPE.lr
    assert max(rates) > 0.98 * RECIPE.lr
    assert rates[-1] < 0.01 * RECIPE.lr
    assert rates[0] < rates[1] < rates[2]


def test_every_example_is_seen_once_per_epoch() -> None:
    seen: list[torch.Tensor] = []

    class Watched(TensorExamples):
        def batch(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            seen.append(indices)
            return super().batch(indices)

    positions = torch.arange(10, 47)
    data = Watched(*blobs(60, 1).tensors)
    training.train(network(), F.cross_entropy, data, positions, Recipe(epochs=1, batch=9), 0, Silent(), "")
    assert torch.equal(torch.cat(seen).sort().values, positions)
    assert {len(chunk) for chunk in seen} == {7, 8}  # equal parts: no batch of one, which batch norm refuses
    assert not torch.equal(torch.cat(seen), positions)


def test_training_stops_when_cancelled() -> None:
    recorder = Recorder(cancel_after=5)
    with pytest.raises(Cancelled):
        train(RECIPE, progress=recorder)
    assert recorder.units == 5


def test_small_networks_are_trained_on_one_thread() -> None:
    seen: set[int] = set()

    class Watch(Silent):
        def advance(self, units: int = 1) -> None:
            seen.add(torch.get_num_threads())

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        train(Recipe(epochs=1), progress=Watch())
        with pytest.raises(Cancelled):
            train(Recipe(epochs=1), progress=Recorder(cancel_after=0))
        assert seen == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_divergence_is_a_sentence() -> None:
    with pytest.raises(ScenarioError, match="diverged after 8 steps; lower the recipe's lr"):
        train(Recipe(lr=1e30, epochs=2, batch=16, warmup=0.0))


@pytest.mark.parametrize(
    "wrong",
    [{"optimizer": "adamw"}, {"lr": 0.0}, {"epochs": 0}, {"batch": 0}, {"weight_decay": -1.0}, {"momentum": 1.0}],
)
def test_a_recipe_is_checked(wrong: dict[str, object]) -> None:
    with pytest.raises(ScenarioError, match="recipe"):
        Recipe(**wrong)  # type: ignore[arg-type]


class Scaled(nn.Module):
    """A parameter that nothing resets."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.scale * self.linear(inputs)


def test_a_reset_copy_forgets_parameters_and_running_statistics() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.MultiheadAttention(6, 2).out_proj, nn.Linear(6, 3))
    model(torch.randn(20, 4))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fresh = training.build(lambda: training.reset_copy(model), 0)
    again = training.build(lambda: training.reset_copy(model), 0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in fresh.state_dict().items())
    assert not torch.equal(fresh[0].weight, model[0].weight)  # type: ignore[index]
    assert fresh[1].running_mean.count_nonzero() == 0  # type: ignore[index]
    assert model[1].running_mean.count_nonzero() == 6  # type: ignore[union-attr]


def test_attention_is_reset_and_frozen_parameters_stay() -> None:
    model = nn.ModuleDict(
        {"attention": nn.MultiheadAttention(6, 2), "frozen": nn.Linear(6, 6), "part": nn.Linear(6, 3)}
    )
    model["frozen"].requires_grad_(False)
    model["part"].bias.requires_grad_(False)  # type: ignore[operator]
    fresh = training.reset_copy(model)
    kept = {name for name, value in fresh.named_parameters() if torch.equal(value, model.get_parameter(name))}
    # attention's biases start at 0, so they are equal before and after
    assert kept == {"frozen.weight", "frozen.bias", "part.bias", "attention.in_proj_bias", "attention.out_proj.bias"}


def test_what_cannot_be_reset_is_named() -> None:
    with pytest.raises(NoColdReference, match=r"no cold reference: pass retrain= \(scale has no reset_parameters"):
        training.reset_copy(Scaled())


def test_the_device_is_a_gpu_where_there_is_one() -> None:
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert training.device().type == expected


def test_the_device_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIF_DASH_DEVICE", "meta")  # torch has it everywhere, and takes it nowhere by itself
    assert training.device() == torch.device("meta")
    monkeypatch.setenv("GIF_DASH_DEVICE", "abacus")
    with pytest.raises(ScenarioError, match="the device 'abacus' cannot be used here"):
        training.device()


def test_seeded_is_what_torch_makes_of_the_seed_and_leaves_no_trace() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(8)
    before = torch.get_rng_state()
    with training.seeded(3):
        assert torch.equal(torch.rand(4), expected)
    assert torch.equal(torch.get_rng_state(), before)
