"""Experiments that do what a test needs, importable by worker processes; no torch in them."""

from __future__ import annotations

import math
import os
import signal
import time
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from gif_dash.catalog import ExperimentEntry, ScenarioEntry
from gif_dash.compute.paths import data_dir
from gif_dash.progress import Progress
from gif_dash.results import Result, ScenarioCard
from gif_dash.specs import Spec, SpecError

STEP = 0.02  # seconds


class FakeSpec(Spec):
    """What the fake experiment is to do, and the file in which it counts its runs."""

    experiment: ClassVar[str] = "fake"

    mode: str = "count"
    steps: int = 5
    tag: int = 0
    log: str = ""


class FakeScenarioSpec(FakeSpec):
    """The same about a scenario."""

    experiment: ClassVar[str] = "fake-scenario"

    scenario: str = "tiny"

    def check(self, card: ScenarioCard | None) -> None:
        if card is not None and self.tag >= len(card.classes):
            raise SpecError(f"{card.name} has classes 0 to {len(card.classes) - 1}", "tag")


class FakePartsSpec(FakeSpec):
    """The same in parts of one step each, which are kept beside the log."""

    experiment: ClassVar[str] = "fake-parts"


ENTRIES = (
    ExperimentEntry(
        "fake-parts",
        "Fake grid",
        "compute_fakes:FakePartsSpec",
        "compute_fakes:run_parts",
        needs_scenario=False,
        in_parts=True,
    ),
    ExperimentEntry("fake", "Fake", "compute_fakes:FakeSpec", "compute_fakes:run", needs_scenario=False),
    ExperimentEntry("fake-scenario", "Fake", "compute_fakes:FakeScenarioSpec", "compute_fakes:run"),
)


SCENARIO = ScenarioEntry("tiny", "Tiny", "Two classes on a line", "compute_fakes:tiny", quick=True)


def tiny() -> Any:
    """A linear model of two classes; the data are made from the seed in ``tiny.txt`` in the data folder."""
    import torch
    from torch.utils.data import TensorDataset

    from gif_dash.scenarios import Recipe, Scenario

    file = data_dir() / "tiny.txt"
    noise = torch.randn(40, 1, generator=torch.Generator().manual_seed(int(file.read_text())))
    labels = torch.arange(40) % 2
    data = TensorDataset(noise + 4.0 * labels[:, None], labels)
    recipe = Recipe(lr=0.1, epochs=2, batch=20)
    return Scenario("tiny", lambda: torch.nn.Linear(1, 2), data, data, ["low", "high"], recipe=recipe, files=(file,))


class FakeError(Exception):
    """Of no class that is meant for people."""


def run(spec: FakeSpec, progress: Progress) -> Result:
    """Counts to `steps`, or misbehaves as `mode` says."""
    with Path(spec.log).open("a") as log:
        log.write(f"{os.getpid()} {spec.tag}\n")
    if spec.mode == "sentence":
        raise SpecError("this cannot be computed, choose another tag", "tag")
    if spec.mode == "bug":
        raise FakeError("secret detail\nsecond line")
    if spec.mode == "exit":
        raise SystemExit(3)
    if spec.mode == "stubborn":
        time.sleep(spec.steps * STEP)
    rows: list[dict[str, float]] = []
    progress.stage("Counting", spec.steps)
    for step in range(spec.steps):
        progress.check()
        time.sleep(STEP)
        if spec.mode == "die" and step == 1 and not os.environ.get("GIF_DASH_TEST_SURVIVES"):
            os.kill(os.getpid(), signal.SIGKILL)
        rows.append({"step": step, "value": math.nan if step == 0 else math.inf if step == 1 else step / 3})
        progress.advance()
        progress.partial("counts", lambda: pd.DataFrame(rows))
    table = pd.DataFrame(rows).assign(text=[f"Zeile {row['step']} – ✓" for row in rows])
    provenance = {"seconds": 0.5, "nan": math.nan, "inf": -math.inf, "pid": os.getpid()}
    provenance["threads"] = os.environ.get("GIF_DASH_THREADS")
    return Result({"experiment": spec.experiment, **spec.model_dump(mode="json")}, {"counts": table}, provenance)


def run_parts(spec: FakePartsSpec, progress: Progress) -> Result:
    """Makes the parts that are not kept, some hundredths of a second each."""
    with Path(spec.log).open("a") as log:
        log.write(f"{os.getpid()} {spec.tag}\n")
    kept = Path(f"{spec.log}-parts")
    kept.touch()
    progress.stage("Parts", spec.steps)
    for step in range(spec.steps):
        if step >= len(kept.read_text()):
            for _ in range(5):
                progress.check()
                time.sleep(STEP)
            with kept.open("a") as file:
                file.write(".")
            progress.give_way()
        progress.advance()
        progress.partial("counts", lambda: pd.DataFrame({"step": range(step + 1)}))  # noqa: B023
    table = pd.DataFrame({"step": range(spec.steps)})
    return Result({"experiment": spec.experiment, **spec.model_dump(mode="json")}, {"counts": table}, {"seconds": 0.5})


def runs(spec: FakeSpec) -> int:
    """How often specs with this log were computed."""
    file = Path(spec.log)
    return len(file.read_text().splitlines()) if file.exists() else 0


class FakeEditSpec(FakeSpec):
    """An experiment with edited networks; `steps` is the length of their files in kilobytes."""

    experiment: ClassVar[str] = "fake-edit"

    methods: tuple[str, ...] = ("gif", "fif")
    s_max: float = 100.0


EDIT_ENTRY = ExperimentEntry(
    "fake-edit",
    "Fake",
    "compute_fakes:FakeEditSpec",
    "compute_fakes:run",
    needs_scenario=False,
    edited="compute_fakes:edited",
)


def edited(spec: FakeEditSpec, method: str, scalar: float, progress: Progress) -> bytes:
    """Bytes that tell what was asked for; counts its runs like `run`."""
    with Path(spec.log).open("a") as log:
        log.write(f"{os.getpid()} {method} {scalar}\n")
    progress.stage("Making the file", 10)
    for _ in range(10 if spec.mode == "slow" else 1):
        progress.check()
        progress.advance()
        time.sleep(STEP)
    return pattern(f"{method} {scalar}", spec.steps * 1000)


def pattern(seed: str, size: int) -> bytes:
    """Bytes without a short period, the same for the same seed."""
    import random

    return random.Random(seed).randbytes(size)
