"""The networks of the paper's size: their recipes, CIFAR-10 in both of its forms, interrupted trainings."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from gif_dash import catalog
from gif_dash.influence.examples import TensorExamples
from gif_dash.progress import Silent
from gif_dash.scenarios import Recipe, ScenarioError, cards, checkpoints, get, load, resuming, training
from gif_dash.scenarios.augmenting import moved
from gif_dash.scenarios.builtin import CIFAR10, RESNET18, VGG11
from gif_dash.scenarios.pictures import Pictures


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GIF_DASH_DATA", str(tmp_path))
    monkeypatch.delenv(catalog.RECIPE, raising=False)
    return tmp_path


def pixels(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)


def write_batches(root: Path, train: int = 20, test: int = 10) -> None:
    """The layout of https://www.cs.toronto.edu/~kriz/cifar.html: pickled rows of red, green and blue."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    everything = pixels(5 * train + test).reshape(-1, 3072)
    for place in range(6):
        count = train if place < 5 else test
        rows = everything[place * train : place * train + count]
        name = f"data_batch_{place + 1}" if place < 5 else "test_batch"
        (folder / name).write_bytes(pickle.dumps({"data": rows, "labels": [row % 10 for row in range(count)]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list(CIFAR10)}))


def write_copies(root: Path, each: int = 2) -> None:
    shades = pixels(10 * each)
    for part in ("train", "test"):
        for place, name in enumerate(CIFAR10):
            folder = root / "cifar10-jpeg" / part / name
            folder.mkdir(parents=True)
            for number in range(each):
                picture = Image.fromarray(shades[place * each + number].transpose(1, 2, 0))
                picture.save(folder / f"{number:04}.jpg")


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hand-made batches do not have the checksums of the real ones."""
    monkeypatch.setattr("torchvision.datasets.CIFAR10._check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, md5: True)


def test_cifar10_in_torchvisions_layout(root: Path, unchecked: None) -> None:
    write_batches(root)
    write_copies(root)  # torchvision's layout goes first
    scenario = get("cifar10-vgg11")
    assert isinstance(scenario.train, Pictures)
    assert (len(scenario.train), len(scenario.test)) == (100, 10)  # type: ignore[arg-type]
    assert "JPEG" not in scenario.data_note
    value, label = scenario.train[7]
    mean, std = (pixels(110)[:100].astype(float) / 255).mean((0, 2, 3)), pixels(110)[:100].std((0, 2, 3)) / 255
    expected = (pixels(110)[7] / 255 - mean[:, None, None]) / std[:, None, None]
    assert label == 7
    assert np.allclose(value.numpy(), expected, atol=1e-4)
    batch, labels = scenario.train.read("data", torch.device("cpu"), torch.float32, Silent()).batch(
        torch.tensor([7, 3])
    )
    assert torch.equal(batch[0], value)
    assert labels.tolist() == [7, 3]


def test_cifar10_from_jpeg_copies_says_so(root: Path) -> None:
    write_copies(root)
    scenario = get("cifar10-vgg11")
    assert scenario.data_note.startswith("JPEG copies of CIFAR-10; short training")
    assert scenario.train.targets == [place for place in range(10) for _ in range(2)]  # type: ignore[attr-defined]
    assert scenario.classes[8] == "ship"
    card = load(replace(scenario, recipe=replace(VGG11["short"], epochs=1, batch=4)), Silent()).card
    assert (card.train_size, card.parameters) == (20, 9_231_114)
    assert "JPEG copies" in card.data_note


def test_jpeg_copies_of_other_classes_are_a_sentence(root: Path) -> None:
    write_copies(root)
    (root / "cifar10-jpeg" / "test" / "ship").rename(root / "cifar10-jpeg" / "test" / "vessel")
    with pytest.raises(ScenarioError, match="one folder per class: airplane"):
        get("cifar10-vgg11")


def test_without_cifar10_a_sentence_says_what_to_do(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", fail)
    with pytest.raises(ScenarioError) as caught:
        get("cifar10-vgg11")
    for part in (str(root), "Network is unreachable", "cifar10-jpeg", "--data-dir"):
        assert part in str(caught.value)


def test_the_recipe_is_chosen_openly(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_copies(root)
    short = get("cifar10-vgg11")
    monkeypatch.setenv(catalog.RECIPE, "full")
    full = get("cifar10-vgg11")
    assert short.recipe == VGG11["short"]
    assert full.recipe == VGG11["full"]
    assert "full training (60 epochs)" in full.data_note
    assert cards.recipe_text(short.recipe) != cards.recipe_text(full.recipe)  # and with it the fingerprint
    assert catalog.flags("cifar10-vgg11") == " --recipe full"
    monkeypatch.setenv(catalog.RECIPE, "short")
    assert catalog.flags("cifar10-vgg11") == ""
    monkeypatch.setenv(catalog.RECIPE, "long")
    with pytest.raises(ScenarioError, match="short, full"):
        get("cifar10-vgg11")


def test_parameter_counts_of_the_large_networks() -> None:
    assert RESNET18["short"].epochs <= 2
    assert VGG11["short"].epochs <= 12
    from gif_dash.scenarios.builtin import vgg11_channels_last
    from gif_dash.scenarios.networks import resnet18

    assert sum(value.numel() for value in vgg11_channels_last().parameters()) == 9_231_114
    assert sum(value.numel() for value in resnet18(1, 28).parameters()) == 11_172_810


def test_recipes_of_before_keep_their_text() -> None:
    """Checkpoints that people have stay valid: the text is part of their keys."""
    assert cards.recipe_text(Recipe("sgd", lr=0.1, epochs=100, batch=64, weight_decay=1e-3)) == (
        "[('batch', 64), ('epochs', 100), ('lr', 0.1), ('momentum', 0.9), ('optimizer', 'sgd'), ('seed', 0), "
        "('warmup', 0.05), ('weight_decay', 0.001)]"
    )
    assert get("digits-cnn").recipe == Recipe("sgd", lr=0.1, epochs=100, batch=64, weight_decay=1e-3)
    assert "nesterov" in cards.recipe_text(RESNET18["short"])
    assert "augment" in cards.recipe_text(VGG11["short"])


def test_training_in_bfloat16_rounds_the_layers_and_nothing_else() -> None:
    """One step from the same start: parameters stay float32, and the gradient is off by bfloat16's rounding."""
    generator = torch.Generator().manual_seed(0)
    examples = TensorExamples(torch.randn(32, 1, 8, 8, generator=generator), torch.arange(32) % 3, torch.device("cpu"))
    recipe = Recipe("sgd", lr=0.1, epochs=1, batch=32, momentum=0.0, warmup=0.0)
    start = flat(training.build(network, 5))
    moves = {}
    for precision in ("float32", "bfloat16"):
        model = training.build(network, 5)
        asked = replace(recipe, precision=precision)
        training.train(model, F.cross_entropy, examples, torch.arange(32), asked, 5, Silent(), "")
        assert all(value.dtype == torch.float32 for value in model.state_dict().values() if value.is_floating_point())
        moves[precision] = flat(model) - start
    error = float((moves["bfloat16"] - moves["float32"]).norm() / moves["float32"].norm())
    assert 1e-5 < error < 2**-5, "bfloat16 has eight bits"
    assert "bfloat16" in VGG11["short-bfloat16"].describe()
    assert VGG11["short-bfloat16"] == replace(VGG11["short"], precision="bfloat16")
    assert cards.recipe_text(VGG11["short-bfloat16"]) != cards.recipe_text(VGG11["short"])


def flat(model: nn.Module) -> Tensor:
    return torch.cat([value.detach().flatten() for value in model.parameters()])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"nesterov": True, "momentum": 0.0}, "nesterov goes with"),
        ({"nesterov": True, "optimizer": "adam"}, "nesterov goes with"),
        ({"augment": "rotate"}, "augment is"),
        ({"precision": "float16"}, "precision is"),
    ],
)
def test_recipes_that_cannot_be(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(ScenarioError, match=sentence):
        Recipe(**change)  # type: ignore[arg-type]


# --- augmentation ---------------------------------------------------------------------------------------------------


def test_moved_pictures_are_shifted_and_mirrored_copies() -> None:
    inputs = torch.arange(24 * 16 * 16, dtype=torch.float32).reshape(24, 1, 16, 16) + 1
    with training.seeded(3):
        out = moved(inputs, "flip-crop")
    shifts, mirrors = set(), set()
    for before, after in zip(inputs, out, strict=True):
        hits = [
            (dy, dx, mirror)
            for dy in range(-2, 3)
            for dx in range(-2, 3)
            for mirror in (False, True)
            if torch.equal(shifted(before.flip(-1) if mirror else before, dy, dx), after)
        ]
        assert len(hits) == 1
        shifts.add(hits[0][:2])
        mirrors.add(hits[0][2])
    assert len(shifts) > 10
    assert mirrors == {False, True}
    assert {abs(dy) for dy, _ in shifts} == {0, 1, 2}


def shifted(picture: Tensor, dy: int, dx: int) -> Tensor:
    """By hand: pixel (y, x) of the result is (y + dy, x + dx) of the picture, 0 outside."""
    out = torch.zeros_like(picture)
    size = picture.shape[-1]
    for y in range(size):
        for x in range(size):
            if 0 <= y + dy < size and 0 <= x + dx < size:
                out[:, y, x] = picture[:, y + dy, x + dx]
    return out


def test_cropping_alone_mirrors_nothing_and_none_does_nothing() -> None:
    inputs = torch.rand(32, 1, 8, 8) + 1
    with training.seeded(0):
        out = moved(inputs, "crop")
    for before, after in zip(inputs, out, strict=True):
        assert any(torch.equal(shifted(before, dy, dx), after) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
    assert moved(inputs, "none") is inputs
    with pytest.raises(ScenarioError, match="is for pictures"):
        moved(torch.rand(4, 7), "crop")


# --- interrupted trainings ------------------------------------------------------------------------------------------


class Stopped(Exception):
    pass


class Stopping(Silent):
    """Interrupts after so many steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def advance(self, units: int = 1) -> None:
        self.left -= units

    def check(self) -> None:
        if self.left <= 0:
            raise Stopped


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(144, 3)
    )


RECIPES = [
    Recipe("sgd", lr=0.05, epochs=4, batch=8, nesterov=True, augment="crop", weight_decay=1e-3),
    Recipe("sgd", lr=0.05, epochs=4, batch=8, momentum=0.0),
    Recipe("adam", lr=0.01, epochs=4, batch=8),
    Recipe("sgd", lr=0.05, epochs=4, batch=8, precision="bfloat16"),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=["nesterov", "plain", "adam", "bfloat16"])
def test_an_interrupted_training_ends_where_an_uninterrupted_one_does(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resuming, "SECONDS", 0.0)
    generator = torch.Generator().manual_seed(0)
    examples = TensorExamples(torch.randn(30, 1, 8, 8, generator=generator), torch.arange(30) % 3, torch.device("cpu"))
    path = tmp_path / "network.safetensors"

    def train(progress: Silent, kept: resuming.Interrupted | None) -> nn.Module:
        model = training.build(network, 5)
        indices = torch.arange(30)
        training.train(model, F.cross_entropy, examples, indices, recipe, 5, progress, "", kept)
        return model

    expected = checkpoints.state_hash(train(Silent(), None).state_dict())
    with pytest.raises(Stopped):  # in the third epoch of four steps each
        train(Stopping(10), resuming.Interrupted(path, "key"))
    (unfinished,) = tmp_path.iterdir()
    assert "unfinished" in unfinished.name
    again = resuming.Interrupted(path, "key")
    seen = Stopping(1000)
    assert checkpoints.state_hash(train(seen, again).state_dict()) == expected
    assert again.found == 2
    assert again.before > 0
    other = resuming.Interrupted(path, "another key")  # made for something else: begins anew
    assert checkpoints.state_hash(train(Silent(), other).state_dict()) == expected
    assert other.found == 0
    again.done()
    assert not unfinished.exists()


def test_a_killed_preparation_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Original and cold reference, through the scenario; the files go when the networks are there."""
    monkeypatch.setenv("GIF_DASH_CACHE", str(tmp_path))
    monkeypatch.setattr(resuming, "SECONDS", 0.0)
    scenario = replace(get("digits-cnn"), name="digits-small", recipe=Recipe(lr=0.1, epochs=3, batch=64, warmup=0.1))
    # the name is free: a scenario of one's own
    with pytest.raises(Stopped):
        load(scenario, Stopping(50))  # 22 steps an epoch
    folder = tmp_path / "checkpoints"
    assert [file.name for file in folder.iterdir() if "unfinished" in file.name]
    starts: list[int] = []
    train = training.train

    def counted(*arguments: object, **named: object) -> None:
        train(*arguments, **named)  # type: ignore[arg-type]
        starts.append(arguments[-1].found)  # type: ignore[attr-defined]

    monkeypatch.setattr(training, "train", counted)
    prepared = load(scenario, Silent())
    forget = prepared.forget((8,))
    with pytest.raises(Stopped):
        prepared.reference(forget, "cold", 0, Stopping(30))
    reference = prepared.reference(forget, "cold", 0, Silent())
    assert starts == [2, 1]
    assert reference.seconds > 0
    assert sorted(file.name.split("-")[1] for file in folder.iterdir()) == ["small", "small"]
    assert not [file for file in folder.iterdir() if "unfinished" in file.name]
