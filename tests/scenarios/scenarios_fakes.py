"""Small scenarios and a progress that remembers, for the tests of this folder."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.data import TensorDataset

from gif_dash.progress import Cancelled, Silent
from gif_dash.scenarios import Recipe, Scenario, prepared


class Recorder(Silent):
    """Remembers the stages; cancels after a number of units, if one is given."""

    def __init__(self, cancel_after: int | None = None) -> None:
        self.stages: list[tuple[str, int]] = []
        self.units = 0
        self.cancel_after = cancel_after

    def stage(self, title: str, total: int = 0) -> None:
        self.stages.append((title, total))

    def advance(self, units: int = 1) -> None:
        self.units += units

    def check(self) -> None:
        if self.cancel_after is not None and self.units >= self.cancel_after:
            raise Cancelled

    @property
    def trainings(self) -> list[str]:
        return [title for title, _ in self.stages if title.startswith(("Training", "Retraining"))]


def blobs(count: int, seed: int, classes: int = 3, features: int = 4) -> TensorDataset:
    """Well separated normal clouds, one per class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    centres = 4 * torch.eye(classes, features)
    return TensorDataset(centres[labels] + torch.randn(count, features, generator=generator), labels)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 3))


RECIPE = Recipe("sgd", lr=0.1, epochs=8, batch=16, weight_decay=1e-3)


def small(**changes: object) -> Scenario:
    """A scenario that trains in a fraction of a second."""
    parts: dict[str, object] = {
        "name": "blobs",
        "model": network,
        "train": blobs(120, 1),
        "test": blobs(60, 2),
        "classes": ("a", "b", "c"),
        "recipe": RECIPE,
    }
    return Scenario(**{**parts, **changes})  # type: ignore[arg-type]


def trained(**changes: object) -> Scenario:
    """The same with a trained module instead of a factory."""
    ready = prepared.load(small(), Silent())
    return small(**{"model": ready.network(), "name": "trained", **changes})
