"""Pictures moved and mirrored at random while a network is trained on them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gif_dash.scenarios.scenario import ScenarioError


def moved(inputs: Tensor, how: str) -> Tensor:
    """A batch as `gif_dash.scenarios.Recipe.augment` says, by torch's global random state (of the CPU).

    Args:
        inputs: (b, channels, height, width), normalised.
        how: ``none``; ``crop``: every picture is moved by −⌊height/8⌋ … ⌊height/8⌋ pixels in both directions and filled
            up with 0, which is the mean colour; ``flip-crop``: half of them are mirrored from left to right, too.

    Raises:
        ScenarioError: if the inputs are not pictures.
    """
    if how == "none":
        return inputs
    if inputs.ndim != 4:
        raise ScenarioError(f"augment={how!r} is for pictures; the inputs have the shape {tuple(inputs.shape[1:])}")
    count, _, height, width = inputs.shape
    margin = height // 8
    rows, columns = (torch.randint(2 * margin + 1, (count, 1)).to(inputs.device) for _ in range(2))
    if how == "flip-crop":
        mirrored = (torch.rand(count) < 0.5).to(inputs.device)
        inputs = torch.where(mirrored[:, None, None, None], inputs.flip(-1), inputs)
    padded = F.pad(inputs, (margin,) * 4).permute(0, 2, 3, 1)
    rows = rows + torch.arange(height, device=inputs.device)
    columns = columns + torch.arange(width, device=inputs.device)
    places = torch.arange(count, device=inputs.device)[:, None, None]
    return padded[places, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
