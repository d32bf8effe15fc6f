"""An experiment that trains a reference, and waits until as many as wanted are about to do the same."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import ClassVar

import pandas as pd
from compute_fakes import FakeScenarioSpec

from gif_dash.catalog import ExperimentEntry
from gif_dash.progress import Progress
from gif_dash.results import Result


class TrainSpec(FakeScenarioSpec):
    """`steps` is how many runs there will be at the same time, each a line of the log; `tag` the reference's seed."""

    experiment: ClassVar[str] = "train"


ENTRY = ExperimentEntry("train", "Train", "compute_trains:TrainSpec", "compute_trains:run")


def run(spec: TrainSpec, progress: Progress) -> Result:
    """Hash of the reference, and who trained it."""
    import torch

    from gif_dash.scenarios import load
    from gif_dash.scenarios.checkpoints import state_hash

    prepared = load(spec.scenario, progress)
    there = prepared.has_reference(torch.arange(4), "cold", spec.tag)
    with Path(spec.log).open("a") as log:
        log.write(f"{os.getpid()} {'found' if there else 'missing'}\n")
    limit = time.monotonic() + 60
    while len(Path(spec.log).read_text().splitlines()) < spec.steps and time.monotonic() < limit:
        progress.check()
        time.sleep(0.01)
    reference = prepared.reference(torch.arange(4), "cold", spec.tag, progress)
    table = pd.DataFrame({"state": [state_hash(reference.state)], "pid": [os.getpid()]})
    return Result({"experiment": spec.experiment, **spec.model_dump(mode="json")}, {"main": table}, {})
