"""The scenarios of the catalog, and a user's own in a few lines."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from scenarios_fakes import Recorder
from torch.utils.data import Subset, TensorDataset

from gif_dash import catalog
from gif_dash.compute.paths import data_dir
from gif_dash.progress import Silent
from gif_dash.scenarios import ScenarioError, get, load
from gif_dash.scenarios.builtin import MNIST_MEAN, MNIST_STD, small_cnn, stride_cnn

OWN = """
import torch
from sklearn.datasets import load_wine
from torch import nn
from torch.utils.data import TensorDataset
from gif_dash import Dashboard, Recipe, Scenario

wine = load_wine()
x, y = torch.tensor(wine.data, dtype=torch.float32), torch.tensor(wine.target)
x, held_out = (x - x.mean(0)) / x.std(0), torch.arange(len(y)) % 4 == 0
scenario = Scenario(
    "wine", lambda: nn.Sequential(nn.Linear(13, 16), nn.ReLU(), nn.Linear(16, 3)),
    train=TensorDataset(x[~held_out], y[~held_out]), test=TensorDataset(x[held_out], y[held_out]),
    classes=wine.target_names, recipe=Recipe(lr=0.1, epochs=40, batch=32, weight_decay=1e-3),
)
Dashboard(scenario)
"""


def test_parameter_counts() -> None:
    assert sum(value.numel() for value in small_cnn().parameters()) == 1_898
    assert sum(value.numel() for value in stride_cnn().parameters()) == 398_090


def test_digits_cnn() -> None:
    recorder = Recorder()
    prepared = load("digits-cnn", recorder)
    card = prepared.card
    assert recorder.trainings == ["Training Digits, small CNN"]
    assert card.name == "digits-cnn"
    assert card.title == catalog.SCENARIOS["digits-cnn"].title
    assert (card.train_size, card.test_size, card.parameters, card.weight_decay) == (1347, 450, 1898, 1e-3)
    assert max(card.train_counts) - min(card.train_counts) <= 8  # classes have 174 to 183 digits
    assert max(card.test_counts) - min(card.test_counts) <= 3
    assert card.test_accuracy is not None
    assert card.test_accuracy >= 97
    assert card.classes == tuple("0123456789")
    assert card.has_cold_reference
    assert 0 < card.seconds["train"] < 300
    assert load("digits-cnn", recorder) is prepared
    assert sum(layer.parameters for layer in card.layers if layer.selectable) == 1898


def test_the_digits_split_is_always_the_same_and_disjoint() -> None:
    first, second = get("digits-cnn"), get("digits-cnn")
    for part in ("train", "test"):
        one, two = getattr(first, part), getattr(second, part)
        assert all(torch.equal(a, b) for a, b in zip(one.tensors, two.tensors, strict=True))
    assert isinstance(first.train, TensorDataset)
    assert isinstance(first.test, TensorDataset)
    rows = {tuple(row) for row in first.train.tensors[0].flatten(1).tolist()}
    assert not any(tuple(row) in rows for row in first.test.tensors[0].flatten(1).tolist())


def write_idx(folder: Path, prefix: str, images: np.ndarray, labels: np.ndarray) -> None:
    """The format of http://yann.lecun.com/exdb/mnist: magic number, sizes, bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{prefix}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 2051, *images.shape) + images.tobytes())
    (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, len(labels)) + labels.tobytes())


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    monkeypatch.setenv("GIF_DASH_DATA", str(folder))
    return folder


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No network: torchvision's download fails; the addresses it asked for."""
    asked: list[str] = []

    def fail(url: str, *arguments: object, **options: object) -> None:
        asked.append(url)
        raise URLError("Network is unreachable")

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", fail)
    return asked


def test_mnist_is_read_in_torchvisions_layout(root: Path, offline: list[str]) -> None:
    generator = np.random.default_rng(0)
    for prefix, count in (("train", 60), ("t10k", 20)):
        images = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        images[0, 0, :2] = (0, 255)
        write_idx(root / "MNIST" / "raw", prefix, images, (np.arange(count) % 10).astype(np.uint8))
    scenario = get("mnist-cnn")
    assert offline == []
    inputs, labels = scenario.train.tensors  # type: ignore[attr-defined]
    assert inputs.shape == (60, 1, 28, 28)
    assert inputs.dtype == torch.float32
    assert labels.tolist() == [index % 10 for index in range(60)]
    assert inputs[0, 0, 0, :2].tolist() == pytest.approx([-MNIST_MEAN / MNIST_STD, (1 - MNIST_MEAN) / MNIST_STD])
    assert len(scenario.files) == 4

    quick = replace(scenario, recipe=replace(scenario.recipe, epochs=1))
    card = load(quick, Silent()).card
    assert (card.train_size, card.test_size, card.parameters) == (60, 20, 398_090)
    assert {Path(file).name for file in card.evidence} >= {"train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"}
    assert len(card.thumbnails) == 10


def test_without_mnist_a_sentence_says_what_to_do(root: Path, offline: list[str]) -> None:
    with pytest.raises(ScenarioError) as caught:
        get("mnist-cnn")
    sentence = str(caught.value)
    assert offline
    for part in (str(root), "Network is unreachable", "train-images-idx3-ubyte", "--data-dir", "GIF_DASH_DATA"):
        assert part in sentence
    assert "\n" not in sentence


def test_damaged_mnist_files_are_a_sentence(root: Path, offline: list[str]) -> None:
    for prefix in ("train", "t10k"):
        write_idx(root / "MNIST" / "raw", prefix, np.zeros((5, 28, 28), np.uint8), np.zeros(5, np.uint8))
    file = root / "MNIST" / "raw" / "train-images-idx3-ubyte"
    for content in (b"", b"\0\0\10\3\0", file.read_bytes()[:-9], file.read_bytes().replace(b"\5", b"\4", 1)):
        file.write_bytes(content)
        with pytest.raises(ScenarioError, match="cannot be read"):
            get("mnist-cnn")
    assert offline == []


@pytest.mark.data
def test_real_mnist() -> None:
    if not (data_dir() / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file():
        pytest.skip("no MNIST under GIF_DASH_DATA")
    scenario = get("mnist-cnn")
    labels = scenario.train.tensors[1]  # type: ignore[attr-defined]
    assert torch.bincount(labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    pixels = scenario.train.tensors[0]  # type: ignore[attr-defined]
    assert pixels.mean().item() == pytest.approx(0, abs=1e-3)
    assert pixels.std().item() == pytest.approx(1, abs=1e-3)
    part = replace(
        scenario,
        train=Subset(scenario.train, range(6000)),
        test=Subset(scenario.test, range(1000)),
        recipe=replace(scenario.recipe, epochs=2, batch=64),
    )
    card = load(part, Silent()).card
    assert card.test_accuracy is not None
    assert card.test_accuracy > 85


def test_a_scenario_of_ones_own_in_fifteen_lines() -> None:
    lines = [line for line in OWN.strip().splitlines() if line]
    assert len(lines) <= 15
    names: dict[str, object] = {}
    exec("\n".join(lines[:-1]).replace("Dashboard, ", ""), names)
    prepared = load(names["scenario"], Silent())  # type: ignore[arg-type]
    assert prepared.card.classes == ("class_0", "class_1", "class_2")
    assert prepared.card.test_accuracy is not None
    assert prepared.card.test_accuracy > 90
    cold = prepared.reference(prepared.forget((1,)), "cold", 0, Silent())
    inputs, labels = prepared.test.batch(torch.arange(len(prepared.test)))
    predicted = prepared.network(cold.state)(inputs).argmax(1)
    assert not (predicted[labels == 1] == 1).any()
