"""The small dense network of Fig. 3 of Lyu et al., arXiv 2312.05586, and the two losses compared there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from gif_dash.scenarios.scenario import Loss

#: Units of the hidden layers: 784-8-8-10 has 6,442 parameters on MNIST, 64-8-8-10 has 682 on the 8×8 digits.
HIDDEN = (8, 8)


def dense_net(inputs: int, classes: int, hidden: Sequence[int] = HIDDEN) -> nn.Module:
    """An untrained network of linear layers with ReLU between them, on flattened inputs.

    The sizes are the authors'; that they use ReLU is our assumption.

    Args:
        inputs: numbers per example.
        classes: number of outputs.
        hidden: units of the hidden layers.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise((inputs, *hidden, classes)):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def squared_error(outputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """Squared distance of the outputs (b, c) to 1 for the target (b,) and 0 for the others, mean over the c classes.

    Args:
        reduction: ``none`` gives (b,), ``mean`` their mean, as `torch.nn.MSELoss` on one-hot targets.
    """
    wanted = F.one_hot(targets, outputs.shape[1]).to(outputs)
    losses = (outputs - wanted).square().mean(1)
    return losses if reduction == "none" else losses.mean()


LOSSES: dict[str, Loss] = {"cross-entropy": F.cross_entropy, "squared-error": squared_error}
