"""What can be said of a scenario to those who cannot load it, and the fingerprint of what it computes with."""

from __future__ import annotations

import base64
import hashlib
import inspect
import io
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gif_dash.compute.evidence import look
from gif_dash.influence.examples import Examples
from gif_dash.results import LayerCard
from gif_dash.scenarios.checkpoints import state_hash, tensor_bytes
from gif_dash.scenarios.data import HASHED_ITEMS, Split, sample
from gif_dash.scenarios.pictures import PictureExamples
from gif_dash.scenarios.scenario import Recipe, Scenario

THUMBNAILS = 6
THUMBNAIL_SIZE = 48  # pixels
THUMBNAIL_BYTES = 400_000  # of all of them as base64


def digest(*parts: object) -> str:
    """Hash of the text of the parts."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()


def data_hash(split: Split) -> str:
    """Hash of the length, all labels, and a seeded sample of the inputs (all of them where `Split.content` has it)."""
    positions, inputs, _ = sample(split.examples, HASHED_ITEMS)
    parts = (split.labels, positions, inputs)
    lengths = [f"{tuple(part.shape)} {part.dtype}" for part in parts]
    hashes = [hashlib.sha256(tensor_bytes(part)).hexdigest() for part in parts]
    return digest(lengths, *hashes, *filter(None, [split.content]))


def code(function: Callable[..., Any] | None) -> str:
    """What a function is: its name, and its source unless it is torch's own."""
    if function is None:
        return ""
    if hasattr(function, "func"):  # functools.partial
        return f"{code(function.func)} {getattr(function, 'args', ())} {getattr(function, 'keywords', {})}"
    module = getattr(function, "__module__", "") or ""
    name = f"{module}.{getattr(function, '__qualname__', type(function).__qualname__)}"
    if module.partition(".")[0] in ("torch", "torchvision"):
        return name
    try:
        return name + inspect.getsource(function)
    except (OSError, TypeError):
        return name


def architecture(model: nn.Module) -> str:
    """Hash of what a network is apart from its values: structure, shapes, and forward passes that are not torch's."""
    shapes = [(name, tuple(value.shape), str(value.dtype)) for name, value in model.state_dict().items()]
    trainable = [name for name, value in model.named_parameters() if value.requires_grad]
    forwards = sorted({code(type(module).forward) for module in model.modules()})
    return digest(model, shapes, trainable, forwards)


#: Fields that came later: at their default they are left out of hashes, so that checkpoints made before still hold.
_LATER = {"nesterov": False, "augment": "none", "precision": "float32"}


def recipe_text(recipe: Recipe | None) -> str:
    """All fields of a recipe, for hashes."""
    if recipe is None:
        return ""
    return repr(sorted(item for item in asdict(recipe).items() if item not in _LATER.items()))


def fingerprint(scenario: Scenario, model: nn.Module, train: Split, test: Split) -> str:
    """Hash of everything that decides what an experiment on the scenario computes."""
    return digest(
        tuple(map(str, scenario.classes)),
        architecture(model),
        state_hash(model.state_dict()),
        data_hash(train),
        data_hash(test),
        recipe_text(scenario.recipe),
        scenario.mu,
        code(scenario.loss),
        code(scenario.retrain),
    )


def layer_cards(model: nn.Module) -> tuple[LayerCard, ...]:
    """One card per module that has trainable parameters of its own, in the order of ``named_modules``."""
    cards = []
    seen: set[int] = set()
    for name, module in model.named_modules():
        own = [value for value in module.parameters(recurse=False) if value.requires_grad and id(value) not in seen]
        seen.update(map(id, own))
        if own:
            selectable = isinstance(module, (nn.modules.conv._ConvNd, nn.Linear))
            count = sum(value.numel() for value in own)
            cards.append(
                LayerCard(name=name or "model", kind=type(module).__name__, parameters=count, selectable=selectable)
            )
    return tuple(cards)


def counts(labels: Tensor, classes: int) -> tuple[int, ...]:
    """Examples per class."""
    return tuple(torch.bincount(labels, minlength=classes).tolist())


def evidence(files: tuple[Path, ...]) -> dict[str, tuple[int, int]]:
    """What can be seen of the files that exist; see `gif_dash.compute.evidence.look`."""
    return {str(file): seen for file in files if (seen := look(file)) is not None}


def thumbnails(examples: Examples, labels: Tensor, classes: int) -> tuple[tuple[str, ...], ...]:
    """The first few pictures of every class as PNG in base64; nothing for data that are not pictures.

    The more classes, the fewer and smaller; all of them together take at most `THUMBNAIL_BYTES`, so that classes late
    in the list may have none. Values of floating-point tensors are brought to 0 … 255 per channel by the smallest and
    largest value of all the pictures shown, which undoes a normalisation by channel.
    """
    each = min(THUMBNAILS, max(1, 60 // classes))
    chosen = [torch.nonzero(labels == label).flatten()[:each] for label in range(classes)]
    positions = torch.cat(chosen)
    pictures = _shown(examples, positions)
    if pictures is None:
        return ()
    largest = THUMBNAIL_SIZE if classes <= 50 else THUMBNAIL_SIZE * 2 // 3
    if max(pictures.shape[2:]) > largest:
        size = [max(1, round(side * largest / max(pictures.shape[2:]))) for side in pictures.shape[2:]]
        smaller = F.interpolate(pictures.float(), size=size, mode="bilinear", antialias=True)
        pictures = smaller.round().clamp(0, 255).to(torch.uint8)
    rows: list[list[str]] = [[] for _ in range(classes)]
    left = THUMBNAIL_BYTES
    places = sorted((place, label, row) for row, (label, place) in enumerate(_places(chosen)))
    for _, label, row in places:  # the first of every class, then the second of every class, …
        encoded = _png(pictures[row])
        left -= len(encoded)
        if left < 0:
            break
        rows[label].append(encoded)
    return tuple(map(tuple, rows))


def _places(chosen: list[Tensor]) -> Iterator[tuple[int, int]]:
    """(class, place in its row) for every picture."""
    return ((label, place) for label, row in enumerate(chosen) for place in range(len(row)))


def _shown(examples: Examples, positions: Tensor) -> Tensor | None:
    """uint8 (n, 1 or 3, height, width) on the CPU; None if they are not pictures."""
    if isinstance(examples, PictureExamples):
        return examples.pixels[positions.to(examples.pixels.device)].cpu()
    inputs, _ = examples.batch(positions)
    pictures = inputs.detach().to("cpu", torch.float32)
    if pictures.ndim == 3:
        pictures = pictures.unsqueeze(1)
    if pictures.ndim != 4 or pictures.shape[1] not in (1, 3) or min(pictures.shape[2:]) < 2:
        return None
    low, high = pictures.amin((0, 2, 3), keepdim=True), pictures.amax((0, 2, 3), keepdim=True)
    return ((pictures - low) / (high - low).clamp_min(1e-12) * 255).round().to(torch.uint8)


def _png(picture: Tensor) -> str:
    from PIL import Image

    array = picture[0].numpy() if picture.shape[0] == 1 else picture.permute(1, 2, 0).contiguous().numpy()
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode("ascii")
