"""Picture files as examples: decoded once, kept as bytes, normalised when a batch is asked for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset

from gif_dash.progress import Progress, Silent
from gif_dash.scenarios.checkpoints import tensor_bytes
from gif_dash.scenarios.scenario import ScenarioError

#: Pillow's names of the modes without colour.
GREY = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F"})

#: Of longer pictures (times the shorter side), the ends are cut off first.
_LONGEST = 16

#: Files decoded between two looks at whether the reading is to stop.
_CHUNK = 32


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of the training pictures by channel, for values of 0 … 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, pixels: Tensor, dtype: torch.dtype) -> Tensor:
        """uint8 (…, channels, height, width) → the same shape in `dtype`; as ``ToTensor`` and ``Normalize`` do."""
        mean, std = (torch.tensor(values, dtype=dtype, device=pixels.device) for values in (self.mean, self.std))
        return pixels.to(dtype).div_(255).sub_(mean[:, None, None]).div_(std[:, None, None])


@dataclass(frozen=True)
class PictureExamples:
    """Pictures in memory, one byte per value. Implements `gif_dash.influence.examples.Examples`.

    Attributes:
        pixels: uint8 (N, channels, size, size).
        targets: int64 (N,), on the device of the pixels.
        normalisation: applied to every batch.
        dtype: of the batches' inputs.
        device: of the batches.
    """

    pixels: Tensor
    targets: Tensor
    normalisation: Normalisation
    dtype: torch.dtype
    device: torch.device

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        chosen = indices.to(self.pixels.device)
        pixels, targets = self.pixels.index_select(0, chosen), self.targets.index_select(0, chosen)
        return self.normalisation(pixels.to(self.device), self.dtype), targets.to(self.device)

    def content(self) -> str:
        """Hash of every value."""
        return hashlib.sha256(tensor_bytes(self.pixels) + repr(self.normalisation).encode()).hexdigest()


class Pictures(Dataset[tuple[Tensor, int]]):
    """Picture files with their classes; an item is the normalised float32 tensor (channels, size, size) and the class.

    Attributes:
        paths: of the files.
        targets: class positions.
        channels: 1 (grey) or 3 (RGB).
        size: pixels of both sides.
        source: the training pictures, whose mean and standard deviation are used; itself for those.
    """

    def __init__(
        self, paths: Sequence[Path], targets: Sequence[int], channels: int, size: int, source: Pictures | None = None
    ) -> None:
        self.paths, self.targets = list(paths), list(targets)
        self.channels, self.size = channels, size
        self.source = source or self
        self._normalisation: Normalisation | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        pixels = decode(self.paths[index], self.channels, self.size)
        return self.normalisation(pixels, torch.float32), self.targets[index]

    @property
    def normalisation(self) -> Normalisation:
        """As of the last reading; reads the training pictures if there was none."""
        source = self.source
        if source._normalisation is None:
            source.read("training pictures", torch.device("cpu"), torch.float32, Silent())
        assert source._normalisation is not None
        return source._normalisation

    @property
    def preprocessing(self) -> str:
        """What is done to a picture, as the transforms of torchvision that do the same."""
        known = self.normalisation
        mean, std = ("[" + ", ".join(f"{value:g}" for value in values) + "]" for values in (known.mean, known.std))
        colour = "Grayscale(), " if self.channels == 1 else ""
        return f"{colour}Resize({self.size}), CenterCrop({self.size}), ToTensor(), Normalize({mean}, {std})"

    def read(self, what: str, device: torch.device, dtype: torch.dtype, progress: Progress) -> PictureExamples:
        """Decode all files, anew at every call.

        Args:
            what: how sentences call the pictures.
            device: where they are kept.
            dtype: of the batches' inputs.
            progress: one unit per file; may cancel.

        Raises:
            ScenarioError: if a file cannot be read.
            gif_dash.progress.Cancelled: from `progress`.
        """
        pixels = torch.empty((len(self), self.channels, self.size, self.size), dtype=torch.uint8)
        progress.stage(f"Reading {len(self):,} pictures", len(self))
        unreadable: list[str] = []

        def fill(position: int) -> str:
            path = self.paths[position]
            try:
                pixels[position] = decode(path, self.channels, self.size)
            except Exception as error:  # what Pillow raises on damaged files is of many kinds
                return f"{path} ({_reason(error)})"
            return ""

        with ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix="gif-dash-pictures") as threads:
            for start in range(0, len(self), _CHUNK):
                progress.check()
                positions = range(start, min(start + _CHUNK, len(self)))
                unreadable += filter(None, threads.map(fill, positions))
                progress.advance(len(positions))
        if len(unreadable) == len(self):
            raise ScenarioError(f"none of the {len(self):,} files of {what} is a picture; the first is {unreadable[0]}")
        if unreadable:
            one = len(unreadable) == 1
            raise ScenarioError(
                f"{len(unreadable):,} of the {len(self):,} files of {what} cannot be read: "
                f"{'' if one else 'the first is '}{unreadable[0]}; remove or replace {'it' if one else 'them'}"
            )
        if self.source is self:
            self._normalisation = _measure(pixels)
        return self._examples(pixels, device, dtype)

    def _examples(self, pixels: Tensor, device: torch.device, dtype: torch.dtype) -> PictureExamples:
        targets = torch.tensor(self.targets, dtype=torch.int64, device=device)
        return PictureExamples(pixels.to(device), targets, self.normalisation, dtype, device)


class DecodedPictures(Pictures):
    """Pictures that are in memory already, as `Pictures` are after they were read.

    Args:
        pixels: uint8 (N, channels, size, size).
        targets: class positions.
        source: as of `Pictures`.
    """

    def __init__(self, pixels: Tensor, targets: Sequence[int], source: Pictures | None = None) -> None:
        super().__init__((), targets, pixels.shape[1], pixels.shape[2], source)
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.normalisation(self.pixels[index], torch.float32), self.targets[index]

    def read(self, what: str, device: torch.device, dtype: torch.dtype, progress: Progress) -> PictureExamples:
        progress.check()
        if self.source is self and self._normalisation is None:
            self._normalisation = _measure(self.pixels)
        return self._examples(self.pixels, device, dtype)


def decode(path: Path, channels: int, size: int) -> Tensor:
    """A picture file as uint8 (channels, size, size): its shorter side scaled to `size`, the middle of the longer.

    EXIF orientation is applied, transparency is laid over white, an animation is its first frame, and of 16 bits the
    upper 8 are taken. Large JPEGs are decoded at a fraction of their scale, at least twice what is needed.

    Raises:
        Exception: of many kinds, if it is none that Pillow can read, or has too many pixels to be one.
    """
    from torchvision.transforms import functional

    with Image.open(path) as image:
        if image.width * image.height > (Image.MAX_IMAGE_PIXELS or float("inf")):
            raise Image.DecompressionBombError
        image.draft(None, (2 * size, 2 * size))
        picture = _flat(ImageOps.exif_transpose(image), "L" if channels == 1 else "RGB")
    shorter = min(picture.size)
    if max(picture.size) > _LONGEST * shorter:  # a line would become a carpet
        picture = functional.center_crop(picture, [min(side, _LONGEST * shorter) for side in picture.size[::-1]])
    picture = functional.center_crop(functional.resize(picture, [size]), [size])
    pixels: Tensor = functional.pil_to_tensor(picture)
    return pixels


def _flat(image: Image.Image, mode: str) -> Image.Image:
    """Without transparency, palette and more than 8 bits."""
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if "A" in image.mode.upper().replace("LAB", "") or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image if image.mode == mode else image.convert(mode)


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {(Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} million pixels"
    if isinstance(error, UnidentifiedImageError):
        return "it is no picture"
    text = " ".join(str(error.strerror if isinstance(error, OSError) and error.strerror else error).split())
    return text[:200] or type(error).__name__


def _measure(pixels: Tensor) -> Normalisation:
    """Exact, from the histograms; rounded, so that what is printed is what is used."""
    values = np.arange(256) / 255
    means, stds = [], []
    for channel in range(pixels.shape[1]):
        counts = np.zeros(256)
        for start in range(0, len(pixels), 1024):
            counts += np.bincount(pixels[start : start + 1024, channel].numpy().ravel(), minlength=256)
        mean = float(counts @ values / counts.sum())
        std = float(np.sqrt(counts @ (values - mean) ** 2 / counts.sum()))
        means.append(float(f"{mean:g}"))
        stds.append(float(f"{std:g}") or 1.0)
    return Normalisation(tuple(means), tuple(stds))
