"""What a worker does: one task in, one answer out. Torch enters with scenario and experiment only."""

from __future__ import annotations

import json
import logging
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gif_dash import catalog, notices
from gif_dash.catalog import ExperimentEntry, ScenarioEntry
from gif_dash.progress import Progress
from gif_dash.results import Result, ScenarioCard
from gif_dash.specs import Spec, SpecError

log = logging.getLogger("gif_dash")


#: Said where halving the micro-batches does not help.
MEMORY = "The memory does not hold this computation: free some, ask for less, or compute on the CPU (--device cpu)"


@dataclass(frozen=True)
class Task:
    """Everything a worker needs to know; plain values that travel between processes.

    Attributes:
        name: of this attempt, unique.
        spec: the question as JSON values without the experiment's name, or None: only load the scenario.
        experiment: where the experiment's code lives; None with `spec`.
        scenario: name of the scenario; empty where there is none.
        edit: method and s of the edited network whose file is wanted instead of the spec's result, or None.
        entry: the scenario's entry in the catalog, which may have come from the server's command line; None for
            scenarios that were registered in the process.
        known: fingerprints of the scenario for which the store has the answer already.
        patient: whether trainings of minutes are accepted.
    """

    name: str
    spec: dict[str, Any] | None = None
    experiment: ExperimentEntry | None = None
    scenario: str = ""
    edit: tuple[str, float] | None = None
    entry: ScenarioEntry | None = None
    known: frozenset[str] = frozenset()
    patient: bool = True


@dataclass(frozen=True)
class Answer:
    """What comes back.

    Attributes:
        result: `pack`ed; None if only the scenario was to be loaded, or the answer is `Task.known`.
        card: JSON of the scenario's card; None where there is no scenario.
        seconds: wall time of the experiment without the loading of the scenario.
        complete: whether it is worth keeping; not, if something was left out that a patient asker would get.
        file: of the edited network; None if none was asked for.
        notices: what `gif_dash.notices` of the worker has to say.
    """

    result: bytes | None
    card: str | None
    seconds: float = 0.0
    complete: bool = True
    file: bytes | None = None
    notices: tuple[str, ...] = ()

    @property
    def parsed_card(self) -> ScenarioCard | None:
        return None if self.card is None else ScenarioCard.model_validate_json(self.card)


def pack(result: Result) -> bytes:
    """A result as zlib-compressed JSON: what is stored and what travels."""
    return zlib.compress(result.to_json().encode())


def unpack(data: bytes) -> Result:
    """Inverse of `pack`."""
    return Result.from_json(zlib.decompress(data).decode())


def spec_from(canonical: str) -> Spec:
    """The spec whose `Spec.canonical` this is.

    Raises:
        SpecError: it is none.
    """
    values = json.loads(canonical)
    entry = catalog.EXPERIMENTS.get(str(values.pop("experiment", "")))
    if entry is None:
        raise SpecError("there is no such experiment")
    spec: Spec = catalog.resolve(entry.spec).parse(values)
    return spec


def task_for(
    spec: Spec,
    name: str,
    *,
    known: frozenset[str] = frozenset(),
    patient: bool = True,
    edit: tuple[str, float] | None = None,
) -> Task:
    """The task that answers a spec, or makes the file of an edited network of it."""
    experiment = catalog.EXPERIMENTS[spec.experiment]
    scenario = str(getattr(spec, "scenario", "")) if experiment.needs_scenario else ""
    entry = catalog.scenarios().get(scenario)
    return Task(name, spec.model_dump(mode="json"), experiment, scenario, edit, entry, known, patient)


def perform(task: Task, progress: Progress, loaded: Callable[[str], None] = lambda card: None) -> Answer:
    """Load the scenario, check the spec against what it really has, run the experiment (or make the file).

    Args:
        task: what to do.
        progress: told about loading and running; may cancel.
        loaded: receives the JSON of the scenario's card as soon as it is known.

    Raises:
        SpecError: the scenario does not allow the question.
        Cancelled: `progress` said so.
        Exception: whatever the scenario and the experiment raise.
    """
    card = None
    if task.scenario:
        progress.stage("Loading the scenario")  # the first time, torch is imported here
        from gif_dash.scenarios import load

        if task.entry is not None and task.scenario not in catalog.scenarios():
            catalog.SCENARIOS.setdefault(task.scenario, task.entry)
        card = load(task.scenario, progress).card
    card_json = None if card is None else card.model_dump_json()
    if card_json is not None:
        loaded(card_json)
    if task.spec is None or task.experiment is None or (card is not None and card.fingerprint in task.known):
        return Answer(None, card_json, notices=notices.said())
    spec: Spec = catalog.resolve(task.experiment.spec).parse(task.spec)
    spec.check(card)
    if task.edit is not None:
        make = catalog.resolve(task.experiment.edited)
        file: bytes = make(spec, *task.edit, progress)
        return Answer(None, card_json, file=file, notices=notices.said())
    run = catalog.resolve(task.experiment.target)
    began = time.monotonic()
    result: Result = run(spec, progress)
    complete = not result.provenance.get("impatient", False)
    return Answer(pack(result), card_json, time.monotonic() - began, complete, notices=notices.said())


def sentence(error: BaseException) -> str:
    """One sentence for the person who asked; anything unexpected goes to the log with its traceback.

    Exceptions of our own classes are written for people and pass as they are.
    """
    text = " ".join(str(error).split())
    if type(error).__module__.partition(".")[0] == "gif_dash" and text:
        return text
    log.error("A run failed", exc_info=error)
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError) or "allocate memory" in text:
        return MEMORY
    return f"Something went wrong while computing ({type(error).__name__}); the log has the details"
