"""A folder of pictures as a scenario: what is read, what is refused, and what is believed without reading."""

from __future__ import annotations

import base64
import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from scenarios_fakes import Recorder
from torch import nn
from torchvision import transforms
from torchvision.datasets import ImageFolder

from gif_dash import RemovalSpec, catalog, cli, folder_scenario, upkeep
from gif_dash.compute import evidence
from gif_dash.compute.cards import admit_scenario, believed, offers, preparing_command
from gif_dash.compute.paths import cache_dir
from gif_dash.compute.store import Store, open_store
from gif_dash.progress import Cancelled, Silent
from gif_dash.results import Result, ScenarioCard
from gif_dash.scenarios import Recipe, Scenario, ScenarioError, folder, get, load, pictures
from gif_dash.scenarios.cards import THUMBNAIL_BYTES
from gif_dash.scenarios.networks import small_cnn
from gif_dash.scenarios.pictures import decode
from gif_dash.specs import SpecError
from gif_dash.spelling import to_cli, to_python

QUICK = Recipe("sgd", lr=0.05, epochs=2, batch=32, weight_decay=1e-3)


def noise(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def draw(path: Path, shade: int, seed: int, mode: str = "RGB", size: tuple[int, int] = (24, 20)) -> None:
    """A noisy picture whose brightness tells its class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    array = (noise((height, width, 3), seed) // 4 + shade).astype(np.uint8)
    image = Image.fromarray(array).convert(mode)
    image.save(path)


def make(root: Path, classes: int = 3, each: int = 10, mode: str = "RGB", ending: str = ".png", seed: int = 0) -> Path:
    for label in range(classes):
        for place in range(each):
            name = f"{place:03}{ending}"
            draw(root / f"class-{label:02}" / name, 190 * label // (classes - 1), seed + 1000 * label + place, mode)
    return root


def quick(path: Path, **options: object) -> Scenario:
    return folder_scenario(path, **{"network": "small-cnn", "recipe": QUICK, **options})  # type: ignore[arg-type]


# --- what is read ----------------------------------------------------------------------------------------------------


def test_a_flat_folder_is_split_by_class_and_seed(tmp_path: Path) -> None:
    make(tmp_path / "shades", each=11)
    scenario = quick(tmp_path / "shades")
    assert (scenario.name, scenario.title) == ("shades", "Pictures in shades")
    assert scenario.classes == ("class-00", "class-01", "class-02")
    assert "a fifth of every class" in scenario.data_note
    paths = [set(part.paths) for part in (scenario.train, scenario.test)]  # type: ignore[attr-defined]
    assert not paths[0] & paths[1]
    assert paths[0] | paths[1] == set((tmp_path / "shades").rglob("*.png"))
    again, other = quick(tmp_path / "shades"), quick(tmp_path / "shades", seed=1)
    assert again.test.paths == scenario.test.paths != other.test.paths  # type: ignore[attr-defined]
    card = load(scenario, Silent()).card
    assert (card.train_counts, card.test_counts) == ((9, 9, 9), (2, 2, 2))
    assert card.parameters == sum(value.numel() for value in small_cnn(3, 20, 3).parameters())


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("train", "val"), ("Train", "Valid")])
def test_folders_for_training_and_testing_are_read_as_imagefolder_does(tmp_path: Path, train: str, test: str) -> None:
    make(tmp_path / train, each=4)
    make(tmp_path / test, each=2, seed=77)
    draw(tmp_path / train / "class-01" / "deep" / "er" / "x.png", 100, 5)
    draw(tmp_path / train / "class-01" / "another.PNG", 100, 6)
    (tmp_path / train / "class-01" / "notes.txt").write_text("no picture")
    (tmp_path / train / "class-01" / ".hidden.png").write_bytes(b"no picture either")
    (tmp_path / "readme.md").write_text("words")
    scenario = quick(tmp_path)
    (tmp_path / train / "class-01" / ".hidden.png").unlink()  # ImageFolder would take it for a picture
    for part, name in ((scenario.train, train), (scenario.test, test)):
        expected = [(Path(path), label) for path, label in ImageFolder(tmp_path / name).samples]
        assert list(zip(part.paths, part.targets, strict=True)) == expected  # type: ignore[attr-defined]
    assert f"trained on {train}, tested on {test}" in scenario.data_note


def test_inputs_are_those_of_torchvisions_transforms(tmp_path: Path) -> None:
    """The whole way to the network's input, against torchvision and its loader."""
    make(tmp_path / "train", each=5)
    make(tmp_path / "test", each=3, seed=9)
    draw(tmp_path / "test" / "class-00" / "wide.png", 10, 3, size=(90, 31))
    prepared = load(quick(tmp_path, size=16), Silent())
    plain = transforms.Compose([transforms.Resize(16), transforms.CenterCrop(16), transforms.ToTensor()])
    values = torch.stack([picture for picture, _ in ImageFolder(tmp_path / "train", plain)])
    mean = values.double().mean((0, 2, 3))
    std = values.double().std((0, 2, 3), correction=0)
    names = {name: getattr(transforms, name) for name in ("Resize", "CenterCrop", "ToTensor", "Normalize")}
    steps = transforms.Compose(eval(f"[{prepared.card.preprocessing}]", names))  # what the card says is true
    assert steps.transforms[-1].mean == pytest.approx(mean.tolist(), rel=1e-5)
    assert steps.transforms[-1].std == pytest.approx(std.tolist(), rel=1e-5)
    for examples, part in ((prepared.train, "train"), (prepared.test, "test")):
        inputs, labels = examples.batch(torch.arange(len(examples)))
        expected = ImageFolder(tmp_path / part, steps)
        assert torch.allclose(inputs, torch.stack([picture for picture, _ in expected]), atol=1e-6)
        assert labels.tolist() == expected.targets
        dataset = prepared.scenario.train if part == "train" else prepared.scenario.test
        assert torch.allclose(dataset[4][0], inputs[4], atol=1e-6)
        assert dataset[4][1] == labels[4]


def test_grey_folders_have_one_channel(tmp_path: Path) -> None:
    make(tmp_path / "grey", mode="L")
    make(tmp_path / "bits", mode="1")
    make(tmp_path / "mixed", mode="L")
    draw(tmp_path / "mixed" / "class-00" / "colour.png", 10, 1)
    for name, channels in (("grey", 1), ("bits", 1), ("mixed", 3)):
        prepared = load(quick(tmp_path / name), Silent())
        inputs, _ = prepared.train.batch(torch.tensor([0]))
        assert inputs.shape == (1, channels, 20, 20)
        assert ("Grayscale()" in prepared.card.preprocessing) == (channels == 1)
    inputs, _ = load(quick(tmp_path / "grey"), Silent()).train.batch(torch.arange(20))
    assert inputs.unique().numel() > 50


@pytest.mark.parametrize(
    ("shorter", "network", "expected"),
    [
        (200, "stride-cnn", 64),
        (50, "stride-cnn", 32),
        (30, "stride-cnn", 28),
        (12, "stride-cnn", 12),
        (12, "vgg11", 32),
        (30, "vgg11", 32),
        (5, "resnet18", 8),
    ],
)
def test_default_size(tmp_path: Path, shorter: int, network: str, expected: int) -> None:
    for label in "ab":
        for place in range(3):
            draw(tmp_path / label / f"{place}.png", 10, place, size=(shorter, shorter + 40 * place))
    draw(tmp_path / "a" / "large.png", 10, 9, size=(500, 500))  # one does not change the median
    assert folder_scenario(tmp_path, network=network).train.size == expected  # type: ignore[attr-defined]


# --- kinds of pictures -----------------------------------------------------------------------------------------------


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    array = np.zeros((8, 8, 4), dtype=np.uint8)
    array[:, :4] = (200, 0, 0, 255)
    array[:, 4:] = (0, 0, 0, 0)
    Image.fromarray(array).save(tmp_path / "a.png")
    pixels = decode(tmp_path / "a.png", 3, 8)
    assert pixels[:, 0, 0].tolist() == [200, 0, 0]
    assert pixels[:, 0, 7].tolist() == [255, 255, 255]
    Image.fromarray(array).convert("LA").save(tmp_path / "grey.png")
    assert decode(tmp_path / "grey.png", 1, 8)[0, 0, 7] == 255


def test_palettes_are_looked_up(tmp_path: Path) -> None:
    image = Image.new("P", (6, 6), 1)
    image.putpalette([0, 0, 0, 10, 200, 30, 255, 255, 255])
    image.save(tmp_path / "plain.png")
    assert decode(tmp_path / "plain.png", 3, 6)[:, 2, 2].tolist() == [10, 200, 30]
    image.save(tmp_path / "transparent.gif", transparency=1)
    assert decode(tmp_path / "transparent.gif", 3, 6)[:, 2, 2].tolist() == [255, 255, 255]


def test_sixteen_bits_keep_their_upper_half(tmp_path: Path) -> None:
    Image.fromarray(np.full((5, 5), 0x7F34, dtype=np.uint16)).save(tmp_path / "deep.png")
    assert decode(tmp_path / "deep.png", 1, 5).unique().tolist() == [0x7F]


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    """A camera held sideways: the stored picture is 8 high and 16 wide; shown, its left edge is on top."""
    array = np.zeros((8, 16, 3), dtype=np.uint8)
    array[:, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(array).save(tmp_path / "a.png", exif=exif)
    pixels = decode(tmp_path / "a.png", 3, 8)
    assert pixels[:, :4].min() == 255
    assert pixels[:, 4:].max() == 0


@pytest.mark.parametrize("size", [(100, 10), (10, 100), (10, 10), (4000, 3)])
def test_the_middle_is_taken_and_the_aspect_kept(tmp_path: Path, size: tuple[int, int]) -> None:
    """Columns (or rows) of single colours: what is left of them tells where the square was cut."""
    width, height = size
    array = np.zeros((height, width, 3), dtype=np.uint8)
    middle = [slice(None)] * 2
    middle[int(height > width)] = slice(None)
    longer = max(size)
    inside = slice(longer // 2 - 5, longer // 2 + 5) if longer > 10 else slice(None)
    array[(slice(None), inside) if width >= height else (inside, slice(None))] = 255
    Image.fromarray(array).save(tmp_path / "a.png")
    pixels = decode(tmp_path / "a.png", 3, min(size))
    assert pixels.shape == (3, min(size), min(size))
    assert pixels.min() == 255


def test_large_jpegs_are_decoded_smaller_but_look_the_same(tmp_path: Path) -> None:
    x, y = np.meshgrid(np.linspace(0, 1, 640), np.linspace(0, 1, 480))
    array = (np.stack([x, y, x * y], 2) * 255).astype(np.uint8)
    Image.fromarray(array).save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(array).save(tmp_path / "a.png")
    one, two = (decode(tmp_path / name, 3, 32).int() for name in ("a.jpg", "a.png"))
    assert (one - two).abs().max() <= 6


# --- networks --------------------------------------------------------------------------------------------------------

OWN = """
from torch import nn

def named(classes, size, channels):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, classes))

def placed(c, s, k):
    return named(k, s, c)

def fixed():
    return named(3, 20, 3)

def partly(channels, depth):
    return None

def wrong(channels, size, classes):
    return "a network"

def failing(channels, size, classes):
    raise RuntimeError("no weights")

module = fixed()
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "own_networks.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(folder))
    return make(tmp_path / "shades")


@pytest.mark.parametrize("name", ["named", "placed", "fixed"])
def test_own_network_by_its_import_path(own: Path, name: str) -> None:
    scenario = quick(own, network=f"own_networks:{name}")
    card = load(scenario, Silent()).card
    assert card.parameters == 3 * 20 * 20 * 3 + 3
    assert f"own_networks:{name}" in card.summary
    assert any(place.endswith("own_networks.py") for place in card.evidence)


def test_own_network_as_a_function(own: Path) -> None:
    def network(channels: int, size: int, classes: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, classes))

    assert load(quick(own, network=network), Silent()).card.parameters == 3603


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        ("own_networks:partly", "must take channels, size and classes, or nothing"),
        ("own_networks:wrong", "must give a torch module; it gives a str"),
        ("own_networks:failing", "cannot be built: RuntimeError: no weights"),
        ("own_networks:module", "must be a function that builds a network"),
        ("own_networks:absent", "own_networks has no 'absent'"),
        ("nowhere_to_be_found:x", "there is no module 'nowhere_to_be_found'"),
        ("own_networks:", "must be spelled package.module:function"),
        ("lenet", "choose from small-cnn, stride-cnn, vgg11, resnet18"),
    ],
)
def test_networks_that_cannot_be_used(own: Path, network: str, sentence: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load(quick(own, network=network), Silent())
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pictures_that_a_network_cannot_take(own: Path) -> None:
    with pytest.raises(ScenarioError, match="vgg11 needs pictures of at least 32×32 pixels; got 16×16"):
        quick(own, network="vgg11", size=16)


# --- what is refused -------------------------------------------------------------------------------------------------


def nothing(root: Path) -> None:
    root.rmdir()


def a_file(root: Path) -> None:
    root.rmdir()
    root.write_text("words")


def empty(root: Path) -> None:
    pass


def loose(root: Path) -> None:
    draw(root / "a.png", 1, 1)


def only_words(root: Path) -> None:
    for name in "ab":
        (root / name).mkdir()
        (root / name / "x.txt").write_text("words")


def empty_classes(root: Path) -> None:
    for name in "ab":
        (root / name).mkdir()


def empty_class(root: Path) -> None:
    make(root)
    for name in ("empty", "hollow"):
        (root / name).mkdir()


def single(root: Path) -> None:
    draw(root / "cats" / "a.png", 1, 1)
    draw(root / "cats" / "b.png", 1, 2)


def one_too_deep(root: Path) -> None:
    make(root / "archive")


def one_picture(root: Path) -> None:
    make(root)
    draw(root / "rare" / "a.png", 1, 1)


def other_classes(root: Path) -> None:
    make(root / "train", classes=3)
    make(root / "test", classes=2)


def unknown_classes(root: Path) -> None:
    make(root / "train", classes=2)
    make(root / "test", classes=4)


def unlabelled_test(root: Path) -> None:
    make(root / "train")
    draw(root / "test" / "a.png", 1, 1)


@pytest.mark.parametrize(
    ("arrange", "sentence"),
    [
        (nothing, "there is no folder ROOT"),
        (a_file, "ROOT is a file; a folder with one folder of pictures per class is needed"),
        (empty, "ROOT has no folders of pictures; make one folder per class"),
        (loose, "ROOT has pictures but no folders; make one folder per class"),
        (only_words, "none of the 2 files below ROOT is a picture; pictures end in .bmp, .gif"),
        (empty_classes, "there are no files in ROOT"),
        (empty_class, "the class folder ROOT/empty and 1 more has no pictures"),
        (single, "ROOT has a single class folder, 'cats'; there must be at least two"),
        (one_too_deep, "ROOT has a single class folder, 'archive'; did you mean ROOT/archive?"),
        (one_picture, "the class folder ROOT/rare has one picture; at least two are needed"),
        (other_classes, "ROOT/train has the class 'class-02', but ROOT/test has not"),
        (unknown_classes, "ROOT/test has the class 'class-02' (and 1 more), but ROOT/train has not"),
        (unlabelled_test, "ROOT/test has pictures but no folders"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path: Path, arrange: Callable[[Path], None], sentence: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    arrange(root)
    with pytest.raises(ScenarioError) as caught:
        quick(root)
    assert sentence.replace("ROOT", str(root)) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path)

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(ScenarioError, match="may not be read by this user"):
        quick(tmp_path)


def test_unreadable_pictures_are_counted_and_the_first_named(tmp_path: Path) -> None:
    make(tmp_path / "train")
    make(tmp_path / "test", each=2)
    broken = tmp_path / "train" / "class-01" / "004.png"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(ScenarioError) as caught:
        load(quick(tmp_path), Silent())
    assert f"1 of the 30 files of {tmp_path.name}'s training data cannot be read: {broken} (" in str(caught.value)
    assert "remove or replace it" in str(caught.value)
    (tmp_path / "train" / "class-02" / "000.png").write_bytes(b"")
    (tmp_path / "train" / "class-00" / "002.png").write_text("words")
    with pytest.raises(
        ScenarioError, match=r"3 of the 30 files .* the first is .*class-00/002.png \(it is no picture\)"
    ):
        load(quick(tmp_path), Silent())


def test_files_of_which_none_is_a_picture(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / label).mkdir()
        for place in range(3):
            (tmp_path / label / f"{place}.jpg").write_text("words")
    with pytest.raises(ScenarioError, match=r"none of the 4 files of .* is a picture; the first is"):
        load(quick(tmp_path), Silent())


@pytest.mark.filterwarnings("ignore:Image size")
def test_decompression_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    for place in range(10):
        draw(tmp_path / "class-00" / f"{place:03}.png", 1, 1, size=(50 if place % 2 else 40, 40))  # 2 and 1.6 limits
    with pytest.raises(ScenarioError, match=r"cannot be read: .*class-00.*\(it has more than 0 million pixels\)"):
        load(quick(tmp_path), Silent())


def test_more_than_fits_is_said_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path)
    monkeypatch.setattr(folder, "MEMORY_BUDGET", 30 * 3 * 10**2)
    quick(tmp_path, size=10)
    with pytest.raises(ScenarioError) as caught:
        quick(tmp_path, size=11)
    assert "30 pictures of 11×11 pixels need" in str(caught.value)
    assert "choose a smaller --image-size (10 fits)" in str(caught.value)


def test_links_in_a_circle_come_to_an_end(tmp_path: Path) -> None:
    make(tmp_path / "root")
    elsewhere = make(tmp_path / "elsewhere", classes=2, each=3)
    try:
        (tmp_path / "root" / "class-00" / "loop").symlink_to(tmp_path / "root", target_is_directory=True)
        (tmp_path / "root" / "class-03").symlink_to(elsewhere / "class-00", target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    scenario = quick(tmp_path / "root")
    files = [Path(os.path.realpath(path)) for path in scenario.train.paths + scenario.test.paths]  # type: ignore[attr-defined]
    assert scenario.classes[-1] == "class-03"
    assert elsewhere / "class-00" / "000.png" in files
    inside = [path for path, label in pairs(scenario) if label == 0]
    assert len(inside) == len(set(map(os.path.realpath, inside)))


def pairs(scenario: Scenario) -> list[tuple[Path, int]]:
    parts = (scenario.train, scenario.test)
    return [pair for part in parts for pair in zip(part.paths, part.targets, strict=True)]  # type: ignore[attr-defined]


# --- progress, cards and belief --------------------------------------------------------------------------------------


def test_reading_tells_its_progress_and_can_be_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "root", each=20)
    monkeypatch.setattr(pictures, "_CHUNK", 4)
    load(quick(tmp_path / "root"), recorder := Recorder())
    assert recorder.stages[:2] == [("Reading 48 pictures", 48), ("Reading 12 pictures", 12)]
    with pytest.raises(Cancelled):
        load(quick(tmp_path / "root"), stopped := Recorder(cancel_after=8))
    assert stopped.units == 8


def test_a_hundred_classes_make_no_huge_card(tmp_path: Path) -> None:
    for label in range(100):
        for place in range(2):
            path = tmp_path / f"a class with the long name {label}" / f"{place}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(noise((64, 64, 3), 2 * label + place)).save(path)
    card = load(quick(tmp_path), Silent()).card
    assert len(card.classes) == len(card.thumbnails) == 100
    assert all(card.thumbnails)
    assert sum(len(text) for row in card.thumbnails for text in row) <= THUMBNAIL_BYTES
    assert len(card.model_dump_json()) < THUMBNAIL_BYTES + 20_000


def test_thumbnails_show_the_pictures_in_their_colours(tmp_path: Path) -> None:
    for name, colour in (("blue", (20, 30, 90)), ("grey", (60, 60, 60))):
        (tmp_path / name).mkdir()
        for place in range(5):
            Image.new("RGB", (20 + place, 20), colour).save(tmp_path / name / f"{place}.png")
    card = load(quick(tmp_path), Silent()).card
    assert len(card.thumbnails[0]) == 4
    shown = [Image.open(io.BytesIO(base64.b64decode(row[0]))).convert("RGB") for row in card.thumbnails]
    assert [image.getpixel((3, 3)) for image in shown] == [(20, 30, 90), (60, 60, 60)]


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two folders, the first of them in the environment as the command line leaves it there."""
    monkeypatch.setattr(folder, "default_recipe", lambda count: QUICK)
    for name in ("one", "two"):
        make(tmp_path / name)
    monkeypatch.setenv(catalog.FOLDER, str(tmp_path / "one"))
    monkeypatch.setenv(catalog.NETWORK, "small-cnn")
    monkeypatch.delenv(catalog.IMAGE_SIZE, raising=False)
    return tmp_path


def test_the_catalog_offers_a_folder_only_if_there_is_one(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert catalog.scenarios()["folder"].title == "Pictures in one"
    assert get("folder").name == "folder"
    assert preparing_command("folder") == f"gif-dash prepare folder --folder {environment / 'one'} --network small-cnn"
    monkeypatch.delenv(catalog.FOLDER)
    assert "folder" not in catalog.scenarios()
    with pytest.raises(ScenarioError, match="no scenario named 'folder'"):
        get("folder")


def test_a_card_is_believed_for_its_own_folder_network_and_size_only(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = ScenarioCard.model_validate_json(load("folder", Silent()).card.model_dump_json())  # as the store keeps it
    assert believed(card)
    for variable, value in (
        (catalog.FOLDER, str(environment / "two")),
        (catalog.NETWORK, "stride-cnn"),
        (catalog.IMAGE_SIZE, "16"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(variable, value)
            assert not believed(card)
            store = Store(environment / f"{variable}.sqlite")
            assert {offer.name: offer.state for offer in offers(store)}["folder"] == "command"
    assert believed(card)


def test_another_folder_is_another_scenario_in_the_same_process(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(environment / "two" / "class-00" / "more.png", 10, 5)
    first = load("folder", Silent())
    monkeypatch.setenv(catalog.FOLDER, str(environment / "two"))
    second = load("folder", Silent())
    assert second.card.train_size + second.card.test_size == 31
    assert first.card.fingerprint != second.card.fingerprint


def rewrite(root: Path) -> None:
    file = root / "class-01" / "003.png"
    draw(file, 200, 999)


def add(root: Path) -> None:
    draw(root / "class-01" / "zzz.png", 100, 1)


def remove(root: Path) -> None:
    (root / "class-02" / "003.png").unlink()


def rename(root: Path) -> None:
    (root / "class-02").rename(root / "class-77")


@pytest.mark.parametrize("change", [rewrite, add, remove, rename])
def test_changes_in_the_folder_are_noticed(environment: Path, change: Callable[[Path], None]) -> None:
    before = load("folder", Silent())
    assert load("folder", Silent()) is before
    change(environment / "one")
    assert not believed(before.card)
    assert load("folder", Silent()).card.fingerprint != before.card.fingerprint


@pytest.mark.parametrize(("change", "noticed"), [(add, True), (remove, True), (rename, True), (rewrite, False)])
def test_in_large_folders_names_are_watched(
    environment: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None], noticed: bool
) -> None:
    monkeypatch.setattr(folder, "WATCHED_FILES", 10)
    card = load("folder", Silent()).card
    assert believed(card)
    change(environment / "one")
    assert believed(card) != noticed


def test_what_finder_leaves_behind_changes_nothing(environment: Path) -> None:
    card = load("folder", Silent()).card
    (environment / "one" / "class-00" / ".DS_Store").write_bytes(b"x")
    assert believed(card)
    assert evidence.look(environment / "absent") is None
    assert evidence.look(environment / "absent" / "**") is None


# --- scenarios by import path ----------------------------------------------------------------------------------------

ADDED = """
import torch
from torch import nn
from torch.utils.data import TensorDataset
from gif_dash import Recipe, Scenario

def two_clouds():
    inputs = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(60) % 2
    data = TensorDataset(inputs + 4 * labels[:, None], labels)
    return Scenario("clouds", lambda: nn.Linear(2, 2), data, data, ("near", "far"), recipe=Recipe(epochs=3),
                    title="Two clouds")

def digits_cnn():
    return two_clouds()

def broken():
    return 5
"""


def test_a_scenario_of_ones_own_by_its_import_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_scenarios.py").write_text(ADDED)
    monkeypatch.syspath_prepend(str(tmp_path))
    paths = [f"my_scenarios:{name}" for name in ("two_clouds", "digits_cnn", "broken")]
    monkeypatch.setenv(catalog.ADD, ",".join(paths))
    names = [name for name in catalog.scenarios() if name not in catalog.SCENARIOS]
    assert names == ["two-clouds", "my-scenarios.digits-cnn", "broken"]
    card = load("two-clouds", Silent()).card
    assert (card.name, card.title, card.classes) == ("two-clouds", "Two clouds", ("near", "far"))
    assert believed(card)
    (tmp_path / "my_scenarios.py").write_text(ADDED + "\n")
    assert not believed(card)
    with pytest.raises(ScenarioError, match="my_scenarios:broken must make a Scenario; it makes a int"):
        get("broken")


# --- the command line ------------------------------------------------------------------------------------------------


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """The command, in this process; what it leaves in the environment is put back."""
    for variable in (*catalog.FLAGS.values(), "PYTHONPATH"):
        monkeypatch.setenv(variable, "")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folder, "default_recipe", lambda count: replace(QUICK, epochs=10))

    def run(*arguments: object) -> tuple[int, str]:
        outcome = CliRunner().invoke(cli.main, [str(argument) for argument in arguments])
        return outcome.exit_code, outcome.output

    return run


def test_the_edited_network_works_in_plain_torch(tmp_path: Path, say: Callable[..., tuple[int, str]]) -> None:
    """The saved file, with plain torch and torchvision only, has the accuracy that the table says."""
    make(tmp_path / "shades" / "train", each=20)
    make(tmp_path / "shades" / "test", each=12, seed=50)
    asked = "run removal --scenario folder --folder shades --network small-cnn --forget-class 0 --report whole"
    files = "--methods gif,fif --out x.csv --save-model m.safetensors --method fif"
    code, words = say(*asked.split(), *files.split())
    assert code == 0, words
    with safe_open("m.safetensors", "pt") as file:
        metadata = file.metadata()
    facts = json.loads(metadata["provenance"])
    network = small_cnn(channels=3, size=20, classes=len(facts["classes"])).eval()
    network.load_state_dict(load_file("m.safetensors"))
    names = {name: getattr(transforms, name) for name in ("Resize", "CenterCrop", "ToTensor", "Normalize")}
    steps = transforms.Compose(eval(f"[{facts['preprocessing']}]", names))
    data = ImageFolder(tmp_path / "shades" / "test", steps)
    inputs, labels = torch.stack([picture for picture, _ in data]), torch.tensor(data.targets)
    with torch.no_grad():
        right = network(inputs).argmax(1) == labels
    frame = pd.read_csv("x.csv")
    row = frame[(frame["method"] == "fif") & (frame["mark"] == "best")].iloc[0]
    assert row["scalar"] == pytest.approx(float(metadata["scalar"]))
    assert 100 * right[labels != 0].double().mean().item() == pytest.approx(row["test_accuracy"])
    assert 100 * right[labels == 0].double().mean().item() == pytest.approx(row["self_accuracy"])


def test_flags_bring_their_scenario(tmp_path: Path, say: Callable[..., tuple[int, str]]) -> None:
    make(tmp_path / "shades")
    (tmp_path / "clouds.py").write_text(ADDED + OWN)
    code, words = say("scenarios", "--folder", "shades", "--image-size", "12", "--add", "clouds:two_clouds")
    assert code == 0, words
    assert "--image-size 12" in words
    assert "two-clouds" in words
    assert os.environ["PYTHONPATH"] == str(tmp_path)  # for the worker processes
    code, words = say("prepare", "--folder", "shades", "--network", "clouds:named")
    assert code == 0, words
    assert "classes 0 class-00, 1 class-01, 2 class-02" in words
    assert "folder is ready" in words
    code, words = say("doctor", "--folder", "shades")
    assert code == 0, words
    assert "3 classes, 24 to train, 6 to test" in " ".join(words.split())
    code, words = say("doctor", "--folder", "nowhere")
    assert code == 1
    assert "To mend: there is no folder" in words


def test_what_is_copied_from_the_page_means_the_same_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Callable[..., tuple[int, str]]
) -> None:
    place = make(tmp_path / "two words")
    monkeypatch.setenv(catalog.FOLDER, str(place))
    monkeypatch.setenv(catalog.NETWORK, "small-cnn")
    spec = RemovalSpec(scenario="folder", forget_classes=(1,), methods=("gif",))
    command, lines = to_cli(spec), to_python(spec)
    assert to_cli(RemovalSpec()) == "gif-dash run removal"
    for variable in (catalog.FOLDER, catalog.NETWORK):
        monkeypatch.setenv(variable, "")
    code, words = say(*shlex.split(command)[1:], "--out", "copied.json")
    assert code == 0, words
    result = Result.from_json((tmp_path / "copied.json").read_text())
    assert result.spec == {"experiment": "removal", **spec.model_dump(mode="json")}
    names: dict[str, Any] = {}
    exec(lines, names)
    assert names["result"].provenance["fingerprint"] == result.provenance["fingerprint"]


def test_a_server_prepares_what_is_not_ready_and_then_admits_it(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    def prepare(command: list[str]) -> int:
        started.append(command)
        card = load("folder", Silent()).card
        Store(cache_dir()).put_card(card)  # as another process does
        return 0

    monkeypatch.setattr(subprocess, "call", prepare)
    with pytest.raises(SpecError, match="run once: gif-dash prepare folder --folder"):
        admit_scenario("folder", open_store(), patient=False)
    for _ in range(2):
        upkeep.prepare_first(["folder"])
        admit_scenario("folder", open_store(), patient=False)
    assert [command[-2:] for command in started] == [["prepare", "folder"]]
    monkeypatch.setenv(catalog.FOLDER, str(environment / "two"))
    monkeypatch.setattr(subprocess, "call", lambda command: 3)
    with pytest.raises(SystemExit) as left:
        upkeep.prepare_first(["folder"])
    assert left.value.code == 3


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--network", "vgg11"), "--network: goes with --folder"),
        (("--image-size", "32"), "--image-size: goes with --folder"),
        (("--folder", ".", "--network", "lenet"), "--network: choose from small-cnn"),
        (("--folder", ".", "--image-size", "0"), "'--image-size': 0 is not in the range"),
        (("--add", "mine"), "--add: must be package.module:function; got 'mine'"),
        (("imagenet",), "there is no scenario named 'imagenet'"),
    ],
)
def test_flags_that_cannot_be_used(
    say: Callable[..., tuple[int, str]], arguments: tuple[str, ...], sentence: str
) -> None:
    code, words = say("prepare", *arguments)
    assert code == 2
    assert sentence in words


def test_a_folder_that_cannot_be_used_stops_the_command(tmp_path: Path, say: Callable[..., tuple[int, str]]) -> None:
    (tmp_path / "empty").mkdir()
    code, words = say("prepare", "--folder", "empty")
    assert code == 1
    sentence = "has no folders of pictures; make one folder per class in it and put that class's pictures there"
    assert words == f"Error: {tmp_path / 'empty'} {sentence}\n"
