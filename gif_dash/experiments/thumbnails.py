"""Small pictures of examples as PNG data URLs, for results that are looked at."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import torch
from torch import Tensor

from gif_dash.influence import Examples
from gif_dash.scenarios.pictures import PictureExamples

#: Pixels of the longer side of a picture, at most.
SIZE = 64
#: Examples behind the range of the pixels.
MEASURED = 500


@dataclass(frozen=True)
class Thumbnails:
    """Makes pictures of a data set's examples, all on one scale; of data that are no pictures it makes empty texts.

    Attributes:
        examples: the data.
        low, high: by channel, what becomes black and white; None for data that are no pictures, or are bytes already.
    """

    examples: Examples
    low: Tensor | None
    high: Tensor | None

    @classmethod
    def of(cls, examples: Examples) -> Thumbnails:
        """The scale is the range of the first `MEASURED` examples, which undoes a normalisation by channel."""
        if isinstance(examples, PictureExamples):
            return cls(examples, None, None)
        some = _pictures(examples, torch.arange(min(MEASURED, len(examples))))
        if some is None:
            return cls(examples, None, None)
        return cls(examples, some.amin((0, 2, 3)), some.amax((0, 2, 3)))

    def urls(self, indices: list[int]) -> list[str]:
        """A data URL for each index; empty texts where there are no pictures."""
        if not indices:
            return []
        positions = torch.tensor(indices)
        if isinstance(self.examples, PictureExamples):
            return [_png(picture) for picture in self.examples.pixels[positions.to(self.examples.pixels.device)].cpu()]
        if self.low is None or self.high is None:
            return [""] * len(indices)
        found = _pictures(self.examples, positions)
        assert found is not None
        low, span = self.low[:, None, None], (self.high - self.low).clamp_min(1e-12)[:, None, None]
        levels = ((found - low) / span * 255).round().clamp(0, 255).to(torch.uint8)
        return [_png(picture) for picture in levels]


def _pictures(examples: Examples, positions: Tensor) -> Tensor | None:
    """float32 (n, 1 or 3, height, width) on the CPU; None if they are no pictures."""
    inputs = examples.batch(positions)[0].detach().cpu().float()
    if inputs.dim() == 3:
        inputs = inputs.unsqueeze(1)
    if inputs.dim() != 4 or inputs.shape[1] not in (1, 3) or min(inputs.shape[2:]) < 2:
        return None
    return inputs


def _png(picture: Tensor) -> str:
    from PIL import Image

    array = picture[0].numpy() if picture.shape[0] == 1 else picture.permute(1, 2, 0).contiguous().numpy()
    image = Image.fromarray(array)
    image.thumbnail((SIZE, SIZE))
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
