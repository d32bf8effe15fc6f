"""An experiment on a device whose memory holds `steps` examples at a time, whatever the engine tries."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import pandas as pd
from compute_fakes import FakeScenarioSpec

from gif_dash.catalog import ExperimentEntry
from gif_dash.progress import Progress
from gif_dash.results import Result


class HungrySpec(FakeScenarioSpec):
    """`mode` "training": not even what comes before micro-batches fits."""

    experiment: ClassVar[str] = "hungry"


ENTRY = ExperimentEntry("hungry", "Hungry", "compute_hungry:HungrySpec", "compute_hungry:run")


def run(spec: HungrySpec, progress: Progress) -> Result:
    """The gradient of the mean training loss, and the sizes of the micro-batches that fitted."""
    import torch
    import torch.nn.functional as F

    from gif_dash.influence import Risk
    from gif_dash.scenarios import load

    with Path(spec.log).open("a") as log:
        log.write(f"{os.getpid()}\n")
    prepared = load(spec.scenario, progress)
    sizes: list[int] = []

    def loss(outputs: torch.Tensor, targets: torch.Tensor, reduction: str) -> torch.Tensor:
        if len(outputs) > spec.steps:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        sizes.append(len(outputs))
        return F.cross_entropy(outputs, targets, reduction=reduction)

    if spec.mode == "training":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
    gradient = Risk(prepared.model, loss, prepared.train, torch.arange(40)).gradient(progress.check)
    table = pd.DataFrame({"gradient": gradient.double().tolist()})
    facts = {"sizes": sizes, "pid": os.getpid()}
    return Result({"experiment": spec.experiment, **spec.model_dump(mode="json")}, {"main": table}, facts)
