"""Loading: once per process, from checkpoints that are never trusted unseen, with references beside them."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from scenarios_fakes import RECIPE, Recorder, blobs, network, small, trained
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from gif_dash.progress import Cancelled, Progress, Silent
from gif_dash.results import ScenarioCard
from gif_dash.scenarios import NoColdReference, Prepared, Scenario, ScenarioError, finishing, get, load, register
from gif_dash.scenarios.checkpoints import state_hash

SHARED = network()
FORGET = torch.arange(2, 120, 3)  # class c of the blobs


def accuracy(model: nn.Module, dataset: TensorDataset, label: int) -> float:
    inputs, labels = dataset.tensors
    return float((model(inputs).argmax(1) == labels)[labels == label].float().mean())


def state(prepared: Prepared) -> str:
    return state_hash(prepared.model.state_dict())


def test_a_factory_is_trained_once_and_then_read(cache: Path, new_process: Callable[[], None]) -> None:
    scenario, recorder = small(), Recorder()
    first = load(scenario, recorder)
    assert recorder.trainings == ["Training blobs"]
    assert load(scenario, recorder) is first
    new_process()
    second = load(small(), recorder)
    assert second is not first
    assert len(recorder.trainings) == 1
    assert state(first) == state(second)
    assert first.card == second.card
    assert [file.name for file in (cache / "checkpoints").iterdir()] == [Path(list(first.card.evidence)[-1]).name]
    assert not second.model.training


def test_another_recipe_seed_or_data_is_another_checkpoint(cache: Path) -> None:
    recorder = Recorder()
    load(small(), recorder)
    load(small(recipe=replace(RECIPE, epochs=9)), recorder)
    load(small(recipe=replace(RECIPE, seed=1)), recorder)
    load(small(train=blobs(120, 3)), recorder)
    load(small(model=lambda: nn.Linear(4, 3)), recorder)
    load(small(loss=smoothed), recorder)
    assert len(recorder.trainings) == 6
    assert len(list((cache / "checkpoints").iterdir())) == 6


def smoothed(outputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    return F.cross_entropy(outputs, targets, reduction=reduction, label_smoothing=0.1)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def replace_by_another(path: Path) -> None:
    known = set(path.parent.iterdir())
    load(small(recipe=replace(RECIPE, seed=9)), Silent())
    (other,) = set(path.parent.iterdir()) - known
    other.rename(path)


def scribble(path: Path) -> None:
    path.write_text("this is no checkpoint")


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, empty, replace_by_another, scribble])
def test_a_damaged_checkpoint_is_set_aside_and_made_again(
    damage: Callable[[Path], None], new_process: Callable[[], None]
) -> None:
    first = load(small(), Silent())
    path = Path(list(first.card.evidence)[-1])
    damage(path)
    new_process()
    recorder = Recorder()
    second = load(small(), recorder)
    assert len(recorder.trainings) == 1
    assert state(first) == state(second)
    assert path.is_file()
    assert path.with_name(path.name + ".damaged").is_file()


def test_a_changed_checkpoint_is_noticed_within_the_process() -> None:
    scenario, recorder = small(), Recorder()
    first = load(scenario, recorder)
    flip_a_bit(Path(list(first.card.evidence)[-1]))
    second = load(scenario, recorder)
    assert second is not first
    assert state(second) == state(first)
    assert len(recorder.trainings) == 2


def test_a_cache_that_cannot_be_written_is_done_without(cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    recorder = Recorder()
    scenario = small()
    prepared = load(scenario, recorder)
    assert load(scenario, recorder) is prepared
    reference = prepared.reference(FORGET, "cold", 0, recorder)
    assert prepared.has_reference(FORGET, "cold", 0)
    assert prepared.reference(FORGET, "cold", 0, recorder) is reference
    assert len(recorder.trainings) == 2
    assert prepared.card.evidence == {}


def test_cancel_leaves_nothing_behind(cache: Path) -> None:
    scenario = small()
    with pytest.raises(Cancelled):
        load(scenario, Recorder(cancel_after=10))
    assert not cache.exists()


def test_a_reference_that_is_almost_trained_is_kept_for_the_next_one(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = load(small(), Silent())
    with pytest.raises(Cancelled):
        prepared.reference(FORGET, "warm", 0, Recorder(cancel_after=0))  # nothing done: nobody knows how long it takes
    assert not prepared.has_reference(FORGET, "warm", 0)
    monkeypatch.setattr(finishing, "SECONDS", 0.0)
    with pytest.raises(Cancelled):
        prepared.reference(FORGET, "cold", 0, Recorder(cancel_after=10))
    assert len(list((cache / "checkpoints").iterdir())) == 1
    monkeypatch.setattr(finishing, "SECONDS", 600.0)
    leaving = Recorder(cancel_after=10)
    with pytest.raises(Cancelled):
        prepared.reference(FORGET, "cold", 0, leaving)
    assert leaving.units == 10  # who has left hears no more
    again = Recorder()
    kept = prepared.reference(FORGET, "cold", 0, again)
    assert again.trainings == []
    whole = load(small(name="other"), Silent()).reference(FORGET, "cold", 0, Silent())
    assert all(torch.equal(value, whole.state[name]) for name, value in kept.state.items())


def test_threads_share_one_training() -> None:
    scenario, recorder = small(), Recorder()
    found: list[Prepared] = []
    threads = [threading.Thread(target=lambda: found.append(load(scenario, recorder))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(recorder.trainings) == 1
    assert len(found) == 3
    assert len(set(map(id, found))) == 1


def test_who_waits_for_another_training_can_be_cancelled() -> None:
    started, go_on = threading.Event(), threading.Event()

    class Slow(Silent):
        def advance(self, units: int = 1) -> None:
            started.set()
            go_on.wait(20)

    thread = threading.Thread(target=load, args=(small(), Slow()))
    thread.start()
    try:
        assert started.wait(20)
        with pytest.raises(Cancelled):
            load(small(name="another"), Recorder(cancel_after=0))
    finally:
        go_on.set()
        thread.join()


def test_references_without_a_class(new_process: Callable[[], None], cache: Path) -> None:
    scenario, recorder = small(), Recorder()
    prepared = load(scenario, recorder)
    before = state(prepared)
    assert torch.equal(prepared.forget(classes=[2]), FORGET)
    assert not prepared.has_reference(FORGET, "cold", 0)
    cold = prepared.reference(FORGET, "cold", 0, recorder)
    assert prepared.has_reference(FORGET.flip(0), "cold", 0)
    assert not prepared.has_reference(FORGET, "warm", 0)
    other = prepared.reference(FORGET, "cold", 1, recorder)
    warm = prepared.reference(FORGET, "warm", 0, recorder)
    assert state(prepared) == before
    assert len({state_hash(reference.state) for reference in (cold, other, warm)}) == 3
    test = blobs(60, 2)
    assert accuracy(prepared.model, test, 2) > 0.9
    retrained = prepared.network(cold.state)
    assert accuracy(retrained, test, 2) == 0
    assert accuracy(retrained, test, 0) > 0.9
    assert cold.note == (
        "cold start: 40 steps, SGD, momentum 0.9, rate up to 0.1, batches of 16, weight decay 0.001, seed 0"
    )
    assert warm.note == (
        "warm start: 10 steps, SGD, momentum 0.9, rate up to 0.01, batches of 16, weight decay 0.001, seed 0"
    )
    assert cold.seconds > 0

    trainings = len(recorder.trainings)
    new_process()
    again = load(small(), recorder)
    read = again.reference(FORGET.flip(0), "cold", 0, recorder)  # order does not matter
    assert len(recorder.trainings) == trainings
    assert (read.note, read.seconds, read.seed, read.kind) == (cold.note, cold.seconds, 0, "cold")
    assert state_hash(read.state) == state_hash(cold.state)
    again.reference(FORGET[1:], "cold", 0, recorder)
    assert len(recorder.trainings) == trainings + 1
    assert len(list((cache / "checkpoints").iterdir())) == 5


def test_a_trained_module_is_used_as_it_is_and_never_touched() -> None:
    scenario = trained(recipe=None, weight_decay=0.001)
    assert isinstance(scenario.model, nn.Module)
    scenario.model.train()
    before = state_hash(scenario.model.state_dict())
    prepared = load(scenario, Silent())
    assert state(prepared) == before
    assert prepared.model is not scenario.model
    assert not prepared.card.has_cold_reference
    assert prepared.weight_decay == prepared.card.weight_decay == 0.001
    with pytest.raises(NoColdReference, match="no cold reference: pass retrain="):
        prepared.reference(FORGET, "cold", 0, Silent())
    warm = prepared.reference(FORGET, "warm", 0, Silent())
    assert warm.note == (
        "warm start: 5 steps, SGD, momentum 0.9, rate up to 0.01, batches of 128, weight decay 0.001, seed 0"
    )
    assert state_hash(scenario.model.state_dict()) == before
    assert scenario.model.training


def test_a_trained_module_with_a_recipe_is_reset_for_the_cold_reference() -> None:
    scenario = trained()
    prepared = load(scenario, Silent())
    assert prepared.card.has_cold_reference
    cold = prepared.network(prepared.reference(FORGET, "cold", 0, Silent()).state)
    test = blobs(60, 2)
    assert accuracy(prepared.model, test, 2) > 0.9
    assert accuracy(cold, test, 2) == 0
    assert accuracy(cold, test, 1) > 0.9


def test_a_module_that_cannot_be_reset_has_no_cold_reference() -> None:
    class Offset(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.offset = nn.Parameter(torch.zeros(3))

        def forward(self, inputs: Tensor) -> Tensor:
            return inputs[:, :3] + self.offset

    prepared = load(small(model=Offset()), Silent())
    assert not prepared.card.has_cold_reference
    with pytest.raises(NoColdReference, match=r"no cold reference: pass retrain= \(offset has no"):
        prepared.reference(FORGET, "cold", 0, Silent())


def test_the_scenarios_own_retraining() -> None:
    asked: list[tuple[int, int]] = []

    def retrain(factory: Callable[[], nn.Module], dataset: Dataset[Any], seed: int, progress: Progress) -> Any:
        asked.append((len(dataset), seed))  # type: ignore[arg-type]
        model = factory()
        loader = torch.utils.data.DataLoader(dataset, batch_size=16, shuffle=True)
        optimizer = torch.optim.Adam(model.parameters(), 0.05)
        for _ in range(6):
            for inputs, labels in loader:
                progress.check()
                optimizer.zero_grad()
                F.cross_entropy(model(inputs), labels).backward()
                optimizer.step()
        return model.state_dict()

    torch.manual_seed(3)
    before = torch.get_rng_state()
    prepared = load(small(recipe=None, retrain=retrain), Silent())
    cold = prepared.reference(FORGET, "cold", 4, Silent())
    assert asked == [(120, 0), (80, 4)]
    assert cold.note == "cold start by the scenario's own retrain function, seed 4"
    model = prepared.network(cold.state)
    assert accuracy(model, blobs(60, 2), 2) == 0
    assert accuracy(model, blobs(60, 2), 0) > 0.9
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda *_: None, "must return a state dict"),
        (lambda *_: {"weight": torch.zeros(3)}, "does not fit: tensors "),
        (lambda *_: nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.ReLU(), nn.Linear(9, 3)).state_dict(), "does not fit"),
        (lambda *_: 1 / 0, "retrain function failed: ZeroDivisionError"),
    ],
)
def test_a_wrong_retraining_is_a_sentence(answer: Any, sentence: str) -> None:
    prepared = load(small(retrain=answer), Silent())
    with pytest.raises(ScenarioError, match=sentence):
        prepared.reference(FORGET, "cold", 0, Silent())


def test_the_fingerprint_changes_with_whatever_matters() -> None:
    scenario = trained()
    assert isinstance(scenario.model, nn.Sequential)
    seen = {load(scenario, Silent()).card.fingerprint}

    def changed(other: Scenario) -> bool:
        found = load(other, Silent()).card.fingerprint
        new = found not in seen
        seen.add(found)
        return new

    assert not changed(trained())
    with torch.no_grad():
        scenario.model[0].weight[0, 0] += 1e-6
    assert changed(scenario)  # the same object, changed in place
    scenario.train.tensors[1][5] = 0  # type: ignore[attr-defined]
    assert changed(scenario)
    scenario.test.tensors[0][7, 1] += 0.5  # type: ignore[attr-defined]
    assert changed(scenario)
    assert changed(replace(scenario, recipe=replace(RECIPE, epochs=9)))
    assert changed(replace(scenario, recipe=None, weight_decay=0.01))
    assert changed(replace(scenario, loss=smoothed))
    assert changed(replace(scenario, classes=("a", "b", "z")))


def test_the_card_can_be_read_without_torch(new_process: Callable[[], None]) -> None:
    pictures = torch.rand(40, 3, 9, 7, generator=torch.Generator().manual_seed(0))
    pictures = (pictures - 0.5) / torch.tensor([0.1, 0.2, 0.3])[:, None, None]
    labels = torch.arange(40) % 2
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(140, 2))
    scenario = Scenario(
        "pictures",
        model,
        TensorDataset(pictures, labels),
        TensorDataset(pictures[:9], labels[:9]),
        ("left", "right"),
        title="Pictures",
        summary="Noise.",
        data_note="made up",
        weight_decay=0.25,
    )
    card = load(scenario, Silent()).card
    assert ScenarioCard.model_validate_json(card.model_dump_json()) == card
    assert (card.name, card.title, card.summary, card.data_note) == ("pictures", "Pictures", "Noise.", "made up")
    assert (card.train_size, card.test_size, card.train_counts, card.test_counts) == (40, 9, (20, 20), (5, 4))
    assert [(layer.name, layer.kind, layer.parameters, layer.selectable) for layer in card.layers] == [
        ("0", "Conv2d", 112, True),
        ("1", "BatchNorm2d", 8, False),
        ("4", "Linear", 282, True),
    ]
    assert card.parameters == 112 + 8 + 282
    right = (model.eval()(pictures[:9]).argmax(1) == labels[:9]).sum()
    assert card.test_accuracy == pytest.approx(100 * int(right) / 9)
    assert [len(row) for row in card.thumbnails] == [6, 6]
    shown = [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for row in card.thumbnails for text in row]
    assert all(picture.shape == (9, 7, 3) for picture in shown)
    values = np.stack(shown).astype(float)
    assert values.min((0, 1, 2)).tolist() == [0, 0, 0]
    assert values.max((0, 1, 2)).tolist() == [255, 255, 255]
    # undoing the normalisation by channel: an affine map of what was given
    for channel in range(3):
        given = pictures[0:12:2, channel].numpy().ravel()
        assert np.corrcoef(given, values[:6, :, :, channel].ravel())[0, 1] > 0.9999


@pytest.mark.parametrize(("shape", "size"), [((1, 8, 8), (8, 8)), ((28, 20), (28, 20)), ((1, 120, 60), (48, 24))])
def test_thumbnails_of_one_channel(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    inputs = torch.rand(20, *shape, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(inputs, torch.arange(20) % 2)
    model = nn.Sequential(nn.Flatten(), nn.Linear(inputs[0].numel(), 2))
    card = load(Scenario("grey", model, data, data, ("0", "1")), Silent()).card
    picture = Image.open(io.BytesIO(base64.b64decode(card.thumbnails[1][0])))
    assert picture.mode == "L"
    assert np.asarray(picture).shape == size


def test_other_data_have_no_thumbnails() -> None:
    assert load(small(), Silent()).card.thumbnails == ()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"train": blobs(0, 0)}, "blobs's training data are empty"),
        ({"test": blobs(0, 0)}, "blobs's test data are empty"),
        ({"train": TensorDataset(torch.rand(5, 4), torch.ones(5, dtype=torch.int64))}, "all of one class"),
        ({"train": blobs(30, 0, features=5)}, r"does not accept inputs of shape \(5,\): "),
        ({"model": lambda: nn.Linear(4, 5)}, r"one output per class, shape \(4, 3\) for 4 inputs; it gives \(4, 5\)"),
        ({"model": lambda: nn.GRU(4, 3)}, "one output per class, .* it gives tuple"),
        ({"loss": lambda o, t, reduction: F.cross_entropy(o, t)}, r"shape \(4,\) for 4 inputs; it gives \(\)"),
        ({"loss": lambda o, t: F.cross_entropy(o, t)}, r"must work as loss\(outputs, targets, reduction='none'\)"),
        ({"loss": F.mse_loss}, r"must work as loss|one value per example"),
        ({"model": lambda: "network"}, "must return a torch module"),
        ({"model": lambda: SHARED}, "must build a new network every time"),
        ({"model": network().requires_grad_(False)}, "no trainable parameters"),
    ],
)
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_what_does_not_fit_is_said_in_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ScenarioError, match=sentence):
        load(small(**changes), Silent())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": ""}, "needs a name"),
        ({"classes": ("only",)}, "at least two classes; it has 1"),
        ({"model": 3}, "model must be a torch module or a function"),
        ({"recipe": None}, "needs recipe= or retrain="),
        ({"weight_decay": 0.5}, "differs from the recipe's"),
        ({"recipe": None, "model": network(), "weight_decay": -1.0}, "must not be negative"),
    ],
)
def test_a_scenario_is_checked_when_it_is_made(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ScenarioError, match=sentence):
        small(**changes)


def test_forget_groups() -> None:
    prepared = load(small(), Silent())
    assert prepared.forget((0, 1)).tolist() == [index for index in range(120) if index % 3 < 2]
    assert prepared.forget((0,), (7, 3, 7)).tolist() == [3, 7]  # indices instead of classes
    assert prepared.forget((0,)).dtype == torch.int64
    both = torch.cat([prepared.forget((0,)), prepared.retain(prepared.forget((0,)))])
    assert torch.equal(both.sort().values, torch.arange(120))
    for wrong in ({"classes": (3,)}, {"classes": (-1,)}, {"indices": (120,)}, {"indices": (-1,)}):
        with pytest.raises(ScenarioError, match=r"from 0 to 119|classes 0 to 2"):
            prepared.forget(**wrong)
    for nothing_left in ({"classes": (0, 1, 2)}, {"classes": ()}, {"indices": range(120)}):
        with pytest.raises(ScenarioError, match="at least one training example to forget and one to stay"):
            prepared.forget(**nothing_left)  # type: ignore[arg-type]


def test_names() -> None:
    with pytest.raises(ScenarioError, match="no scenario named 'blobs'; choose from digits-cnn, mnist-cnn"):
        get("blobs")
    first, second = small(), small()
    register(first)
    assert get("blobs") is first
    assert load("blobs", Silent()).scenario is first
    register(second)
    assert load("blobs", Silent()).scenario is second
    with pytest.raises(ScenarioError, match="'digits-cnn' is a built-in scenario"):
        register(small(name="digits-cnn"))
    with pytest.raises(ScenarioError, match="no scenario named 'os:getcwd'"):
        get("os:getcwd")  # import paths never come through here


def test_double_precision_networks_stay_so() -> None:
    prepared = load(small(model=lambda: network().double()), Silent(), device="cpu")
    assert prepared.train.batch(torch.tensor([0]))[0].dtype == torch.float64
    cold = prepared.reference(FORGET, "cold", 0, Silent())
    assert all(value.dtype == torch.float64 for value in cold.state.values())
