"""The scenarios of the catalog that are written here."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from gif_dash import catalog
from gif_dash.compute.paths import data_dir
from gif_dash.scenarios.networks import resnet18, small_cnn, stride_cnn, vgg11
from gif_dash.scenarios.pictures import DecodedPictures, Pictures
from gif_dash.scenarios.scenario import Recipe, Scenario, ScenarioError

DIGITS = tuple("0123456789")

#: Mean and standard deviation of MNIST's training pixels, scaled to 0 … 1.
MNIST_MEAN, MNIST_STD = 0.1307, 0.3081

#: Of CIFAR-10, in the order of its labels.
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

#: Folder in `data_dir()` of CIFAR-10 as picture files: ``train/CLASS/….jpg``, ``test/CLASS/….jpg``.
JPEG_FOLDER = "cifar10-jpeg"

#: How the large networks are trained, by the value of ``GIF_DASH_RECIPE``: ``short`` for those without a GPU, on some
#: processors two to three times as fast as ``short-bfloat16``; ``full`` for those with one.
RESNET18 = {
    "short": Recipe("sgd", lr=0.05, epochs=2, batch=128, weight_decay=5e-4, warmup=0.2, nesterov=True),
    "full": Recipe("sgd", lr=0.05, epochs=15, batch=128, weight_decay=5e-4, nesterov=True, augment="crop"),
}
VGG11 = {
    "short": Recipe(
        "sgd", lr=0.05, epochs=8, batch=128, weight_decay=5e-4, warmup=0.15, nesterov=True, augment="flip-crop"
    ),
    "full": Recipe("sgd", lr=0.05, epochs=60, batch=128, weight_decay=5e-4, nesterov=True, augment="flip-crop"),
}

for _recipes in (RESNET18, VGG11):
    _recipes["short-bfloat16"] = replace(_recipes["short"], precision="bfloat16")

_MNIST_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def digits_cnn() -> Scenario:
    """scikit-learn's 1,797 digits of 8×8 pixels, scaled to 0 … 1: 1,347 for training, 450 for testing, stratified."""
    import sklearn.datasets

    train, test = digits()
    return Scenario(
        name="digits-cnn",
        model=small_cnn,
        train=train,
        test=test,
        classes=DIGITS,
        recipe=Recipe("sgd", lr=0.1, epochs=100, batch=64, weight_decay=1e-3),
        files=(Path(sklearn.datasets.__file__).parent / "data" / "digits.csv.gz",),
    )


def digits() -> tuple[TensorDataset, TensorDataset]:
    """Training and test part of scikit-learn's digits, see `digits_cnn`; pictures float32 (N, 1, 8, 8)."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch: Any = load_digits()
    inputs = torch.tensor(bunch.images / 16, dtype=torch.float32).unsqueeze(1)
    labels = torch.tensor(bunch.target, dtype=torch.int64)
    train, test = train_test_split(np.arange(len(labels)), test_size=450, stratify=bunch.target, random_state=0)
    return TensorDataset(inputs[train], labels[train]), TensorDataset(inputs[test], labels[test])


def mnist_cnn() -> Scenario:
    """MNIST in torchvision's layout under `data_dir()`, downloaded if it is not there.

    Pixels are scaled to 0 … 1 and normalised by `MNIST_MEAN` and `MNIST_STD`.

    Raises:
        ScenarioError: if MNIST is neither there nor to be had, or cannot be read.
    """
    train, test = (_mnist(train=part) for part in (True, False))
    return Scenario(
        name="mnist-cnn",
        model=stride_cnn,
        train=train,
        test=test,
        classes=DIGITS,
        recipe=Recipe("sgd", lr=0.05, epochs=6, batch=128, weight_decay=5e-4),
        files=tuple(data_dir() / "MNIST" / "raw" / name for name in _MNIST_FILES),
    )


def _mnist(train: bool) -> TensorDataset:
    pixels, labels = mnist_pixels(train)
    inputs = pixels.to(torch.float32).div_(255).sub_(MNIST_MEAN).div_(MNIST_STD).unsqueeze(1)
    return TensorDataset(inputs, labels)


def mnist_pixels(train: bool) -> tuple[Tensor, Tensor]:
    """MNIST's images as uint8 (N, 28, 28) and its labels as int64 (N,); files and errors as `mnist_cnn`."""
    from torchvision.datasets import MNIST

    root = data_dir()
    folder = root / "MNIST" / "raw"
    what_to_do = (
        f"put {', '.join(_MNIST_FILES)} into {folder}, or name the folder that holds MNIST/raw "
        "with --data-dir or GIF_DASH_DATA"
    )
    present = all((folder / name).is_file() for name in _MNIST_FILES)
    try:
        data = MNIST(root, train=train, download=not present)
        return data.data, data.targets.to(torch.int64)
    except Exception as error:  # torchvision's reader and downloader raise many kinds
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        problem = (
            f"MNIST in {root} cannot be read" if present else f"MNIST is not in {root} and could not be downloaded"
        )
        raise ScenarioError(f"{problem} ({reason}); {what_to_do}") from error


def mnist_resnet18() -> Scenario:
    """MNIST as `mnist_cnn` has it, and ResNet-18 for small pictures (11,172,810 parameters).

    Raises:
        ScenarioError: as `mnist_cnn`, or ``GIF_DASH_RECIPE`` names none.
    """
    recipe, note = _recipe(RESNET18)
    network = partial(resnet18, 1, 28, 10)
    return replace(mnist_cnn(), name="mnist-resnet18", model=network, recipe=recipe, data_note=note)


def cifar10_vgg11() -> Scenario:
    """CIFAR-10 and VGG-11 with batch norm (9,231,114 parameters).

    Read in torchvision's layout under `data_dir()`; else from JPEG copies where there is a folder `JPEG_FOLDER`; else
    downloaded in torchvision's layout. Pixels are normalised by mean and standard deviation of the training pictures.

    Raises:
        ScenarioError: if CIFAR-10 is neither there nor to be had, or cannot be read, or ``GIF_DASH_RECIPE`` names no
            recipe.
    """
    recipe, note = _recipe(VGG11)
    train, test, files, copies = _cifar10()
    return Scenario(
        name="cifar10-vgg11",
        model=vgg11_channels_last,
        train=train,
        test=test,
        classes=CIFAR10,
        recipe=recipe,
        data_note="; ".join(filter(None, [copies, note])),
        files=files,
    )


def _recipe(recipes: dict[str, Recipe]) -> tuple[Recipe, str]:
    """The recipe that ``GIF_DASH_RECIPE`` names, and how it is called beside numbers."""
    name = os.environ.get(catalog.RECIPE) or catalog.RECIPES[0]
    if name not in recipes:
        raise ScenarioError(f"{catalog.RECIPE} (--recipe) must be one of {', '.join(recipes)}; got {name!r}")
    return recipes[name], f"{name} training ({recipes[name].epochs} epochs)"


def vgg11_channels_last() -> nn.Module:
    """VGG-11 in the memory format in which a CPU answers a quarter quicker (ResNet-18 gains nothing from it)."""
    network: nn.Module = vgg11(3, 32, 10).to(memory_format=torch.channels_last)
    return network


def _cifar10() -> tuple[Pictures, Pictures, tuple[Path, ...], str]:
    """Training and test pictures, the files behind them, and what must be said of them."""
    from torchvision.datasets import CIFAR10 as Cifar
    from torchvision.datasets import ImageFolder

    root = data_dir()
    batches, copies = root / Cifar.base_folder, root / JPEG_FOLDER
    present = batches.is_dir()
    try:
        if not present and copies.is_dir():
            train, test = (ImageFolder(str(copies / part)) for part in ("train", "test"))
            if not tuple(train.classes) == tuple(test.classes) == CIFAR10:
                raise ScenarioError(f"{copies}/train and test must have one folder per class: {', '.join(CIFAR10)}")
            pictures = [([Path(path) for path, _ in part.samples], part.targets) for part in (train, test)]
            learned = Pictures(*pictures[0], 3, 32)
            folders = [copies / part / name for part in ("train", "test") for name in CIFAR10]
            return learned, Pictures(*pictures[1], 3, 32, source=learned), tuple(folders), "JPEG copies of CIFAR-10"
        train, test = (Cifar(root, train=part, download=not present) for part in (True, False))
        pixels = [torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous() for part in (train, test)]
    except ScenarioError:
        raise
    except Exception as error:  # torchvision's reader and downloader raise many kinds
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        where = f"{batches if present else copies} cannot be read"
        problem = where if present or copies.is_dir() else f"CIFAR-10 is not in {root} and could not be downloaded"
        raise ScenarioError(
            f"{problem} ({reason}); put torchvision's {Cifar.base_folder} or a folder {JPEG_FOLDER} with "
            f"train/CLASS/….jpg and test/CLASS/….jpg into {root}, or name another folder "
            "with --data-dir or GIF_DASH_DATA"
        ) from error
    learned = DecodedPictures(pixels[0], train.targets)
    files = tuple(batches / name for name, _ in (*Cifar.train_list, *Cifar.test_list))
    return learned, DecodedPictures(pixels[1], test.targets, source=learned), files, ""
