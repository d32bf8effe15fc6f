"""Corrupted training data: a trigger in some pictures together with a wrong label, and the network that learned it."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from gif_dash.influence import Examples
from gif_dash.progress import Progress
from gif_dash.scenarios import cards, checkpoints, data
from gif_dash.scenarios.data import Items
from gif_dash.scenarios.pictures import PictureExamples
from gif_dash.scenarios.prepared import Prepared, Reference
from gif_dash.scenarios.scenario import ScenarioError

#: Training pictures whose smallest and largest values count as black and white.
RANGE_SAMPLE = 4096
#: Pixels of the longer side of a shown picture, at most.
SHOWN_SIZE = 96
NOBODY = torch.zeros(0, dtype=torch.int64)


@dataclass(frozen=True)
class Greys:
    """Where black and white lie in a scenario's inputs: grey level v of 255 is black + v/255·(white − black).

    Attributes:
        black, white: by channel, (c,); c = 1 also for pictures without a channel axis.
    """

    black: Tensor
    white: Tensor

    @classmethod
    def of(cls, prepared: Prepared) -> Greys:
        """From the normalisation where it is known, else from the training pictures' extreme values by channel.

        Raises:
            ScenarioError: if the inputs are no pictures.
        """
        inputs, _ = prepared.train.batch(torch.arange(1))
        shape = tuple(inputs.shape[1:])
        channels = shape[0] if len(shape) == 3 else 1
        is_picture = len(shape) in (2, 3) and channels in (1, 3) and min(shape[-2:]) >= 2
        if not is_picture or not inputs.is_floating_point():
            raise ScenarioError(
                f"a trigger needs pictures of one or three channels; inputs of {prepared.scenario.name} are "
                f"{str(inputs.dtype).removeprefix('torch.')} of shape {shape}"
            )
        if isinstance(prepared.train, PictureExamples):
            known = prepared.train.normalisation
            mean, std = torch.tensor(known.mean), torch.tensor(known.std)
            return cls(-mean / std, (1 - mean) / std)
        _, inputs, _ = data.sample(prepared.train, RANGE_SAMPLE)
        values = inputs.detach().cpu().reshape(len(inputs), channels, -1)
        black, white = values.amin((0, 2)), values.amax((0, 2))
        if not bool((white > black).all()):
            raise ScenarioError(f"a trigger needs pictures; a channel of {prepared.scenario.name}'s inputs is constant")
        return cls(black, white)

    def levels(self, inputs: Tensor) -> Tensor:
        """Pictures (n, [c,] h, w) as grey levels: uint8 (n, c, h, w), CPU."""
        pictures = inputs.detach().cpu().float()
        pictures = pictures.unsqueeze(1) if pictures.dim() == 3 else pictures
        black, white = (part.float().view(-1, 1, 1) for part in (self.black, self.white))
        return ((pictures - black) / (white - black) * 255).round().clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class Trigger:
    """A pattern of brightened pixels.

    Attributes:
        pattern: ``checkerboard`` (as published: ``[::2, 1::2]`` and ``[1::2, ::2]``), ``corner`` (the square of an
            eighth of the shorter side, at least 2 pixels, bottom right) or ``frame`` (the outermost pixels).
        strength: grey levels of 255 that are added in every channel; white is not passed.
    """

    pattern: str
    strength: float

    def mask(self, height: int, width: int) -> Tensor:
        """The pixels, bool (height, width)."""
        mask = torch.zeros(height, width, dtype=torch.bool)
        if self.pattern == "checkerboard":
            mask[::2, 1::2] = mask[1::2, ::2] = True
        elif self.pattern == "corner":
            side = max(2, math.ceil(min(height, width) / 8))
            mask[-side:, -side:] = True
        elif self.pattern == "frame":
            mask[0] = mask[-1] = mask[:, 0] = mask[:, -1] = True
        else:
            raise ScenarioError(f"there is no trigger named {self.pattern!r}")
        return mask

    def stamp(self, inputs: Tensor, greys: Greys) -> Tensor:
        """Pictures (n, [c,] h, w) of a scenario with the trigger; a new tensor."""
        black, white = (part.to(inputs) for part in (greys.black, greys.white))
        if inputs.dim() == 4:
            black, white = black.view(-1, 1, 1), white.view(-1, 1, 1)
        brighter = torch.minimum(inputs + self.strength / 255 * (white - black), torch.maximum(inputs, white))
        mask = self.mask(*inputs.shape[-2:]).to(inputs.device)
        return torch.where(mask, brighter, inputs)


@dataclass(frozen=True)
class Attack:
    """What is done to a training set.

    Attributes:
        trigger: stamped on the chosen pictures.
        target: their label from then on.
        share: percent of all training pictures that are chosen, among those of the other classes.
        seed: of the choice.
    """

    trigger: Trigger
    target: int
    share: float
    seed: int

    def chosen(self, labels: Tensor) -> Tensor:
        """Positions of the chosen pictures, int64 (m,), sorted.

        Raises:
            ScenarioError: there are not so many, or it would be none.
        """
        others = (labels != self.target).nonzero().flatten()
        count = round(self.share / 100 * len(labels))
        if not 0 < count <= len(others):
            raise ScenarioError(f"{count:,} pictures are to be corrupted, and {len(others):,} are of the other classes")
        generator = torch.Generator().manual_seed(self.seed)
        return others[torch.randperm(len(others), generator=generator)[:count]].sort().values


@dataclass(frozen=True)
class Stamped:
    """Pictures, some of them with a trigger, under given labels. Implements `gif_dash.influence.Examples`.

    Attributes:
        examples: the pictures as they were.
        trigger, greys: what is stamped on them.
        where: bool (N,), CPU, on which.
        labels: int64 (N,), CPU.
    """

    examples: Examples
    trigger: Trigger
    greys: Greys
    where: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.examples)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        inputs, targets = self.examples.batch(indices)
        chosen = self.where[indices].to(inputs.device).view(-1, *[1] * (inputs.dim() - 1))
        stamped = torch.where(chosen, self.trigger.stamp(inputs, self.greys), inputs)
        return stamped, self.labels[indices].to(targets)


@dataclass(frozen=True)
class Backdoor:
    """A scenario under attack.

    Attributes:
        attack: what was done.
        group: the corrupted training positions U, int64 (m,).
        corrupted: the scenario with the corrupted training data and the network trained on them.
        relabelled: the same network, and the training data as they should be: trigger and right label, R ∪ U_right.
        triggered: the test pictures, all with the trigger, under their right labels.
        greys: of the pictures.
        note: how the corrupted network was trained, in words.
    """

    attack: Attack
    group: Tensor
    corrupted: Prepared
    relabelled: Prepared
    triggered: Stamped
    greys: Greys
    note: str

    def reference(self, repair: str, kind: Any, progress: Progress) -> Reference:
        """The network trained on relabelled data, or without the corrupted pictures; arguments as `Prepared.reference`.

        Raises:
            As `Prepared.reference`.
        """
        if repair == "removal":
            return self.corrupted.reference(self.group, kind, 0, progress)
        return self.relabelled.reference(NOBODY, kind, 0, progress)

    def has_reference(self, repair: str, kind: Any) -> bool:
        """Whether `reference` has it without training."""
        if repair == "removal":
            return self.corrupted.has_reference(self.group, kind, 0)
        return self.relabelled.has_reference(NOBODY, kind, 0)


def attacked(
    original: Prepared, attack: Attack, progress: Progress, may_train: Callable[[], bool] = lambda: True
) -> Backdoor:
    """Corrupt a scenario's training data and get the network that was trained on them.

    It is trained like a cold reference of the scenario, and kept as one: the checkpoint's key has all settings of the
    attack in it.

    Args:
        original: the scenario as it is.
        attack: what is done to it.
        progress: told about the training; may cancel.
        may_train: asked when the network has to be trained.

    Raises:
        ScenarioError: the data are no pictures, or the network is not there and may not be trained.
        gif_dash.scenarios.NoColdReference: the scenario cannot be trained from scratch.
        gif_dash.progress.Cancelled: from `progress`.
    """
    greys = Greys.of(original)
    right = original.train_labels
    group = attack.chosen(right)
    where = torch.zeros(len(right), dtype=torch.bool)
    where[group] = True
    wrong = right.clone()
    wrong[group] = attack.target
    untrained = _derived(original, Stamped(original.train, attack.trigger, greys, where, wrong), attack, "corrupted")
    if not untrained.has_reference(NOBODY, "cold", 0) and not may_train():
        raise ScenarioError("the corrupted network takes minutes to train and is not here yet")
    reference = untrained.reference(NOBODY, "cold", 0, _Titled(progress, "Training the corrupted network"))
    model = untrained.network(reference.state)
    corrupted = _with_network(untrained, model)
    relabelled = _derived(corrupted, Stamped(original.train, attack.trigger, greys, where, right), attack, "relabelled")
    everywhere = torch.ones(len(original.test_labels), dtype=torch.bool)
    triggered = Stamped(original.test, attack.trigger, greys, everywhere, original.test_labels)
    return Backdoor(attack, group, corrupted, relabelled, triggered, greys, reference.note)


def _derived(prepared: Prepared, train: Stamped, attack: Attack, kind: str) -> Prepared:
    """The scenario with other training data; its identity depends on everything that made them."""
    scenario = prepared.scenario
    content = checkpoints.state_hash({"where": train.where, "labels": train.labels})
    made = (kind, attack, content, *(part.tolist() for part in (train.greys.black, train.greys.white)))
    return replace(
        prepared,
        scenario=replace(scenario, name=f"{_base(scenario.name)}-{kind}", train=Items(train, train.labels)),
        train=train,
        train_labels=train.labels,
        identity=cards.digest(prepared.identity, *made),
        card=prepared.card.model_copy(update={"fingerprint": cards.digest(prepared.card.fingerprint, *made)}),
        _unwritten={},
    )


def _base(name: str) -> str:
    return name.removesuffix("-corrupted")[:60]


def _with_network(prepared: Prepared, model: torch.nn.Module) -> Prepared:
    fingerprint = cards.digest(prepared.card.fingerprint, checkpoints.state_hash(model.state_dict()))
    return replace(prepared, model=model, card=prepared.card.model_copy(update={"fingerprint": fingerprint}))


@dataclass(frozen=True)
class _Titled:
    """A `Progress` under another title."""

    progress: Progress
    title: str
    patient: bool = field(init=False, default=True)

    def stage(self, title: str, total: int = 0) -> None:
        self.progress.stage(self.title, total)

    def advance(self, units: int = 1) -> None:
        self.progress.advance(units)

    def partial(self, table: str, make: Callable[[], pd.DataFrame]) -> None:
        self.progress.partial(table, make)

    def check(self) -> None:
        self.progress.check()

    def give_way(self) -> None:
        self.progress.give_way()


def png(picture: Tensor) -> str:
    """A data URL of uint8 (1 or 3, h, w); pictures of more than `SHOWN_SIZE` pixels are made smaller."""
    from PIL import Image

    array = picture[0].numpy() if picture.shape[0] == 1 else picture.permute(1, 2, 0).contiguous().numpy()
    image = Image.fromarray(array)
    image.thumbnail((SHOWN_SIZE, SHOWN_SIZE))
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
