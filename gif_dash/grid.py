"""Grids: one experiment for every combination of some of its settings, one table in the end.

Every cell is an ordinary result under its own key, so an interrupted grid goes on where it stopped. Torch-free.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pandas as pd

from gif_dash.compute import cards
from gif_dash.compute.client import execute
from gif_dash.compute.keys import files_fingerprint, scenario_of
from gif_dash.compute.store import open_store
from gif_dash.compute.work import sentence
from gif_dash.figures.tables import duration
from gif_dash.progress import Cancelled, Progress
from gif_dash.results import Result, frame_to_dict
from gif_dash.specs import LABELS, Spec, SpecError
from gif_dash.spelling import flag, is_list, parse_text

#: Joins several values of a setting that holds a list, where commas stand between the grid's values.
JOIN = "+"


@dataclass(frozen=True)
class Cell:
    """One combination.

    Attributes:
        spec: the question.
        values: of the grid's settings, by field name, as in the spec.
    """

    spec: Spec
    values: dict[str, Any]

    def __str__(self) -> str:
        return ", ".join(f"{flag(name)} {spelled(value)}" for name, value in self.values.items())


@dataclass(frozen=True)
class Outcome:
    """What came of a cell.

    Attributes:
        result: the answer, None if it failed.
        error: one sentence if it failed, else empty.
        stored: whether the answer was there before.
        seconds: wall time.
    """

    cell: Cell
    result: Result | None = None
    error: str = ""
    stored: bool = False
    seconds: float = 0.0

    def __str__(self) -> str:
        if self.error:
            return f"failed: {self.error}"
        return "stored before" if self.stored else f"computed in {duration(self.seconds)}"


@dataclass(frozen=True)
class GridResult:
    """The answers to all cells, in the grid's order.

    Attributes:
        outcomes: one per cell.
    """

    outcomes: tuple[Outcome, ...] = field(default=())

    @property
    def failed(self) -> list[Outcome]:
        """The cells without an answer."""
        return [outcome for outcome in self.outcomes if outcome.result is None]

    @property
    def table(self) -> pd.DataFrame:
        """The main tables of all cells below one another, with the grid's settings as leading columns.

        A setting that the table has a column of already is called ``grid_`` and its name.
        """
        return self._joined(lambda result: result.table)

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """All tables by name, each joined as `table`."""
        names = dict.fromkeys(name for outcome in self.outcomes if outcome.result for name in outcome.result.tables)
        return {name: self._joined(partial(_named, name)) for name in names}

    def summary(self) -> pd.DataFrame:
        """The rows that a terminal shows, joined as `table`."""
        return self._joined(Result.summary)

    def to_json(self) -> str:
        """Every cell with its question, tables, provenance, or the sentence that says why it failed."""
        cells = []
        for outcome in self.outcomes:
            told: dict[str, Any] = {"values": outcome.cell.values, "error": outcome.error}
            if outcome.result is not None:
                tables = {name: frame_to_dict(table) for name, table in outcome.result.tables.items()}
                told |= {"spec": outcome.result.spec, "tables": tables, "provenance": outcome.result.provenance}
            cells.append(told)
        return json.dumps({"cells": cells})

    def _joined(self, choose: Callable[[Result], pd.DataFrame | None]) -> pd.DataFrame:
        parts = []
        for outcome in self.outcomes:
            frame = choose(outcome.result) if outcome.result is not None else None
            if frame is not None:
                parts.append((outcome.cell.values, frame))
        if not parts:
            return pd.DataFrame()
        taken = {str(name) for _, frame in parts for name in frame.columns}
        plain = {name: _plain([values[name] for values, _ in parts]) for name in parts[0][0]}
        headed = []
        for place, (_, frame) in enumerate(parts):
            head = {f"grid_{name}" if name in taken else name: column[place] for name, column in plain.items()}
            headed.append(pd.concat([pd.DataFrame(head, index=frame.index), frame], axis=1))
        return pd.concat(headed, ignore_index=True)


def cells(kind: type[Spec], values: Mapping[str, Any], axes: Mapping[str, Sequence[Any]]) -> list[Cell]:
    """The product of all axes, the last one varying fastest; every cell is validated, equal ones are asked once.

    Args:
        kind: the spec's class.
        values: of the settings that are the same in all cells, by field name; text as typed is allowed.
        axes: values by field name; text as typed is allowed.

    Raises:
        SpecError: one sentence about the first thing that is wrong.
    """
    for name, items in axes.items():
        if name not in kind.model_fields:
            known = ", ".join(flag(field) for field in kind.model_fields)
            raise SpecError(f"there is no setting named {flag(name)!r}; choose from {known}")
        if not items:
            raise SpecError("needs at least one value", name, kind.model_fields[name].title or name)
    found: dict[str, Cell] = {}
    choices = [[(name, _listed(kind, name, item)) for item in items] for name, items in axes.items()]
    for combination in itertools.product(*choices):
        spec = kind.parse({**values, **dict(combination)})
        found.setdefault(spec.canonical(), Cell(spec, {name: getattr(spec, name) for name in axes}))
    return list(found.values())


def parse(kind: type[Spec], texts: Sequence[str]) -> dict[str, list[Any]]:
    """Axes from what a person typed: ``mr=5,10`` or ``forget-class=3,8+9`` (a list's own values are joined by +).

    Raises:
        SpecError: one sentence about the first thing that is wrong.
    """
    names = {flag(name): name for name in kind.model_fields} | {name: name for name in kind.model_fields}
    axes: dict[str, list[Any]] = {}
    for text in texts:
        key, equals, listed = text.partition("=")
        key = key.strip().removeprefix("--")
        items = [part.strip() for part in listed.split(",") if part.strip()]
        if not equals:
            raise SpecError(f"a setting, '=' and its values with commas, as in mr=5,10,30; got {text!r}")
        if key not in names:
            raise SpecError(f"there is no setting named {key!r}; choose from {', '.join(map(flag, kind.model_fields))}")
        name = names[key]
        if name in axes:
            raise SpecError("is given twice; put all values into one", name, kind.model_fields[name].title or name)
        axes[name] = [
            parse_text(kind, name, item.replace(JOIN, ",") if is_list(kind, name) else item) for item in items
        ]
    return axes


def run_cells(
    listed: Sequence[Cell],
    begin: Callable[[str], Progress],
    *,
    fresh: bool = False,
    told: Callable[[int, Outcome], None] = lambda place, outcome: None,
) -> GridResult:
    """Answer one cell after the other: those that are stored are looked up, a failing one does not stop the others.

    Args:
        listed: see `cells`.
        begin: given where the grid is, in words, it says who is told about the next cell.
        fresh: compute cells that are stored, too.
        told: called with the place of a cell, from 1, and what came of it.

    Raises:
        SpecError: a scenario does not allow a cell (as far as that is known), or does not exist; nothing was computed.
        Cancelled, KeyboardInterrupt: somebody has stopped it; what was computed is stored.
    """
    store = open_store()
    for cell in listed:
        cards.admit(cell.spec, store, patient=True)
    waiting = [fresh or cards.look_up(cell.spec, store) is None for cell in listed]
    outcomes: list[Outcome] = []
    computed: list[float] = []
    for place, cell in enumerate(listed):
        left = ""
        if computed and any(waiting[place:]):
            left = f", about {duration(sum(waiting[place:]) * sum(computed) / len(computed))} left"
        known = store.known(cell.spec)
        began = time.monotonic()
        try:
            result = execute(cell.spec, begin(f"Cell {place + 1} of {len(listed)}{left}"), fresh=fresh)
        except Cancelled:
            raise
        except Exception as error:
            outcome = Outcome(cell, None, _said(error), False, time.monotonic() - began)
        else:
            spent = time.monotonic() - began
            outcome = Outcome(cell, result, "", not fresh and _fingerprint(cell.spec) in known, spent)
            if not outcome.stored:
                computed.append(spent)
        outcomes.append(outcome)
        told(place + 1, outcome)
    return GridResult(tuple(outcomes))


class Headed:
    """A `Progress` whose stages say where the grid is."""

    def __init__(self, progress: Progress, head: str) -> None:
        self.patient, self.advance = progress.patient, progress.advance
        self.partial, self.check, self.give_way = progress.partial, progress.check, progress.give_way
        self._progress, self._head = progress, head
        progress.stage(head)

    def stage(self, title: str, total: int = 0) -> None:
        self._progress.stage(f"{self._head}: {title}", total)


def spelled(value: Any) -> str:
    """A value as people read it."""
    if isinstance(value, (list, tuple)):
        return JOIN.join(map(spelled, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else LABELS.get(str(value), str(value))


def _named(name: str, result: Result) -> pd.DataFrame | None:
    return result.tables.get(name)


def _listed(kind: type[Spec], name: str, item: Any) -> Any:
    """A value of an axis; a single one stands for a list of one where the setting holds a list."""
    if is_list(kind, name) and (isinstance(item, str) or not isinstance(item, Sequence)):
        return parse_text(kind, name, item) if isinstance(item, str) else [item]
    return item


def _plain(values: Sequence[Any]) -> list[Any]:
    """A column: single values as they are, lists as text unless all have one value only."""
    if all(isinstance(value, tuple) and len(value) == 1 for value in values):
        return [value[0] for value in values]
    return [",".join(map(str, value)) if isinstance(value, tuple) else value for value in values]


def _fingerprint(spec: Spec) -> str:
    """Of the spec's scenario as this process knows it, or of the files of a question without one; else empty."""
    name = scenario_of(spec)
    card = cards.describing_card(open_store(), name) if name else None
    return card.fingerprint if card is not None else files_fingerprint(spec)


def _said(error: Exception) -> str:
    """One sentence: of the scenarios and the engine, of the operating system, else that it is in the log."""
    return str(error) if isinstance(error, (ValueError, OSError)) and str(error) else sentence(error)
