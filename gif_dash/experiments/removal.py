"""Class removal: Table 2 and Fig. 4 of the GIF paper, with retraining in the same table.

The engine's update Δ is scaled by the influence scalar s; the edited models θ̂ + sΔ are measured along a logarithmic
sweep of s. The best s is chosen on one half of the test set and reported on the other.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from gif_dash.experiments.metrics import Answers, answers, removal_score, sample, stratified_half
from gif_dash.experiments.provenance import provenance
from gif_dash.progress import Progress
from gif_dash.results import Result
from gif_dash.scenarios import Prepared, load
from gif_dash.specs import RemovalSpec

COARSE_PER_DECADE = 4
FINE_POINTS = 8


def coarse_scalars(s_max: float) -> list[float]:
    """0.1 … s_max on a logarithmic grid that contains 1."""
    count = round(COARSE_PER_DECADE * math.log10(s_max / 0.1))
    return [float(f"{0.1 * 10 ** (step / COARSE_PER_DECADE):.6g}") for step in range(count + 1)]


def fine_scalars(coarse: Sequence[float], best: float) -> list[float]:
    """Points between the coarse neighbours of the best scalar, evenly spaced in log s."""
    position = min(range(len(coarse)), key=lambda index: abs(coarse[index] - best))
    low, high = coarse[max(position - 1, 0)], coarse[min(position + 1, len(coarse) - 1)]
    ratio = math.log(high / low)
    steps = range(1, FINE_POINTS + 1)
    points = [float(f"{low * math.exp(ratio * step / (FINE_POINTS + 1)):.6g}") for step in steps]
    return [point for point in points if point not in coarse]
