"""Recording: every step is kept as soon as it is done, and found again by the same command."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gif_dash.compute import keys
from gif_dash.compute.client import execute
from gif_dash.compute.work import spec_from
from gif_dash.experiments.provenance import Stopwatch, provenance
from gif_dash.figures.tables import duration
from gif_dash.progress import Progress
from gif_dash.record import assemble, files
from gif_dash.record.plan import Plan
from gif_dash.recorded import STUDIES
from gif_dash.results import Result
from gif_dash.scenarios import NoColdReference, Prepared, ScenarioError, load
from gif_dash.scenarios.training import steps
from gif_dash.specs import Spec
from gif_dash.spelling import to_cli

Say = Callable[[str], None]


def record(
    name: str, plan: Plan, folder: Path, progress: Progress, say: Say, command: str, add: Sequence[Path] = ()
) -> Path:
    """Train a scenario, make its references, answer the plan's questions, write the tables as they come.

    What is there (checkpoints in the cache folder, tables in `folder`) is not made again, so that an interrupted
    record goes on where it stopped. Tables that older code has computed stay; every one says which code it was.

    Args:
        name: of the scenario.
        plan: what is asked.
        folder: of the tables; made if it is not there.
        progress: told about everything; may cancel.
        say: is told a line for every finished step.
        command: that does all this, for the archive.
        add: results of the same network that were computed elsewhere (``gif-dash run … --out FILE.json``), to be
            recorded, too.

    Returns:
        The archive, which is written anew after every step.

    Raises:
        gif_dash.scenarios.ScenarioError: the scenario cannot be had, or `folder` or what is added belongs to another
            network.
        gif_dash.specs.SpecError: it does not allow a question.
        OSError: something cannot be written.
        gif_dash.progress.Cancelled: from `progress`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{name}.zip"
    prepared = load(name, progress)
    for spec in plan.questions:
        spec.check(prepared.card)
    trained = prepared.card.seconds.get("train", 0.0)
    say(f"network: test accuracy {prepared.card.test_accuracy:.2f} %, trained in {duration(trained)}")
    facts = _facts(prepared, progress, command)
    seconds = {}
    for row, known in _references(prepared, plan, progress).items():
        facts["references"][row], seconds[row] = known, known["seconds"]
        say(f"reference: {known['note']}, trained in {duration(known['seconds'])}")

    added = [_added(path, prepared) for path in add]

    def write(done: dict[str, files.Kept]) -> None:
        answers = [
            *_assembled(plan, done, seconds),
            *((spec, done[spec.canonical()]) for spec in plan.questions if spec.canonical() in done),
        ]
        files.pack(archive, prepared.card, facts, [*answers, *added])

    _answer(plan.questions, folder, prepared.card.fingerprint, progress, say, write)
    return archive


def record_studies(questions: Sequence[Spec], folder: Path, progress: Progress, say: Say, command: str) -> Path:
    """Answer questions of experiments that train networks of their own, and write the tables as they come.

    See `record`, which does so for a scenario.
    """
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{STUDIES}.zip"

    def write(done: dict[str, files.Kept]) -> None:
        answers = [(spec, done[spec.canonical()]) for spec in questions if spec.canonical() in done]
        files.pack(archive, None, {"command": command, "commit": files.commit()}, answers)

    _answer(questions, folder, "", progress, say, write)
    return archive


def _answer(
    questions: Sequence[Spec],
    folder: Path,
    fingerprint: str,
    progress: Progress,
    say: Say,
    write: Callable[[dict[str, files.Kept]], None],
) -> None:
    """Compute what the folder does not have, and keep it there.

    Args:
        questions: in the order in which they are computed.
        folder: of the tables.
        fingerprint: of the network and the data that they are about.
        progress: told about everything.
        say: is told a line for every question.
        write: makes the archive of all that is there (by canonical question), at the start and after every answer.

    Raises:
        ScenarioError: what is in the folder is about another network.
    """
    done = {spec.canonical(): kept for spec in questions if (kept := files.read(files.place(folder, spec))) is not None}
    if any(kept.fingerprint != fingerprint for kept in done.values()):
        raise ScenarioError(f"{folder} holds the record of another network or other data; choose another --out")
    write(done)
    for number, spec in enumerate(questions, 1):
        found = "kept before"
        if spec.canonical() not in done:
            began = time.perf_counter()
            progress.stage(f"Question {number} of {len(questions)}")
            result = execute(spec, progress)
            kept = files.Kept(spec.canonical(), fingerprint, keys.code_hash(spec.experiment), files.commit(), result)
            files.write(files.place(folder, spec), kept)
            done[spec.canonical()] = kept
            write(done)
            found = duration(time.perf_counter() - began)
        say(f"question {number} of {len(questions)}, {to_cli(spec).removeprefix('gif-dash run ')}: {found}")


def _added(path: Path, prepared: Prepared) -> tuple[Spec, files.Kept]:
    """A result file as it is kept in a record.

    Raises:
        ScenarioError: it is none, or is not about this network.
    """
    try:
        result = Result.from_json(path.read_text(encoding="utf-8"))
        spec = spec_from(json.dumps(result.spec))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ScenarioError(f"{path} is no result of gif-dash run … --out FILE.json ({error})") from error
    if result.provenance.get("fingerprint") != prepared.card.fingerprint:
        raise ScenarioError(f"{path} is about another network or other data than {prepared.card.name} has here")
    version = f"gif_dash {result.provenance['versions']['gif_dash']}, commit not kept"
    return spec, files.Kept(spec.canonical(), prepared.card.fingerprint, "", version, result)


def _assembled(plan: Plan, done: dict[str, files.Kept], seconds: dict[str, float]) -> list[tuple[Spec, files.Kept]]:
    """The questions about methods, with as many of their MRs as there are removals."""
    found: list[tuple[Spec, files.Kept]] = []
    for spec, asked in plan.methods():
        parts = [part for part in asked if part.canonical() in done]
        kept = [done[part.canonical()] for part in parts]
        if kept:
            spec = spec.model_copy(update={"mrs": tuple(part.mr for part in parts)})
            result: Result = assemble.methods(spec, [one.result for one in kept], seconds)
            commits = " and ".join(dict.fromkeys(one.commit for one in kept))
            found.append((spec, replace(kept[-1], spec=spec.canonical(), commit=commits, result=result)))
    return found


def _references(prepared: Prepared, plan: Plan, progress: Progress) -> dict[str, dict[str, Any]]:
    """Train the networks without the forget group that the removals compare with."""
    found = {}
    forget = prepared.forget(plan.forget)
    for row, kind in (("retrain", "cold"), ("retrain_warm", "warm")):
        try:
            reference = prepared.reference(forget, kind, 0, progress)  # type: ignore[arg-type]
        except NoColdReference:
            continue
        found[row] = {"seconds": reference.seconds, "note": reference.note}
    return found


def _facts(prepared: Prepared, progress: Progress, command: str) -> dict[str, Any]:
    """What must be known of a record beside its tables."""
    known = provenance(prepared.device, Stopwatch(progress))
    recipe = prepared.recipe
    training: dict[str, Any] = {
        "seconds": prepared.card.seconds.get("train"),
        "test_accuracy": prepared.card.test_accuracy,
    }
    if recipe is not None:
        training |= {"recipe": recipe.describe(), "epochs": recipe.epochs}
        training |= {"steps": steps(recipe, len(prepared.train_labels)), "seed": recipe.seed}
    return {
        "command": command,
        "commit": files.commit(),
        "data_note": prepared.card.data_note,
        "device": known["device"],
        "versions": known["versions"],
        "training": training,
        "references": {},
    }
