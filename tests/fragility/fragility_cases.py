"""Three small clouds and small dense networks, for the tests of fragility."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gif_dash.experiments import fleet
from gif_dash.scenarios import training


def data(n: int = 24) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(n) % 3
    inputs = torch.eye(3, 4, dtype=torch.float64)[labels]
    return inputs + 0.7 * torch.randn(n, 4, generator=generator, dtype=torch.float64), labels


def networks(count: int, activation: str = "relu", depth: int = 1) -> list[nn.Module]:
    return [training.build(lambda: fleet.dense(4, 3, 3, depth, activation).double(), seed) for seed in range(count)]
