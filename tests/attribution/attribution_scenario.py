"""A tiny scenario with pictures for the tests of this folder: trains in a moment."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.data import TensorDataset

from gif_dash.progress import Silent
from gif_dash.scenarios import Recipe, Scenario, prepared

NAME = "attribution-bars"


def bars(count: int, seed: int, wrong: int = 0) -> TensorDataset:
    """Noisy 6×6 pictures with a bright bar at the left, in the middle or at the right; the first few mislabelled."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    pictures = 0.35 * torch.rand(count, 1, 6, 6, generator=generator)
    for place, label in enumerate(labels.tolist()):
        pictures[place, 0, :, 2 * label : 2 * label + 2] += 0.45
    labels = labels.clone()
    labels[:wrong] = (labels[:wrong] + 1) % 3
    return TensorDataset(pictures, labels)


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3))


def scenario() -> Scenario:
    return Scenario(
        name=NAME,
        model=network,
        train=bars(90, 1, wrong=3),
        test=bars(45, 2, wrong=2),
        classes=("left", "middle", "<right>"),
        recipe=Recipe("sgd", lr=0.1, epochs=15, batch=15, weight_decay=1e-3),
    )


def loaded() -> prepared.Prepared:
    return prepared.load(scenario(), Silent())
