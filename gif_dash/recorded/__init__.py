"""Recorded runs: results that ship with the package, to be explored without data, training or a GPU. Torch-free.

``SCENARIO.zip`` beside this file holds ``record.json`` (the scenario's card, facts about the training, and what was
asked) and one file of tables for every question; ``studies.zip`` has no card, it is of experiments that train networks
of their own. ``gif-dash record`` makes them. They are read, never written, here.
"""

from __future__ import annotations

import json
import logging
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from gif_dash import catalog
from gif_dash.compute.store import Deleted, Row, Store, StoreError
from gif_dash.results import Result, ScenarioCard
from gif_dash.specs import Spec, SpecError

log = logging.getLogger("gif_dash")

#: Environment variable with a folder of recorded runs that is read instead of the package's own.
VARIABLE = "GIF_DASH_RECORDED"
#: Of the files; others are passed over.
FORMAT = 1
#: Name of the file with everything but the tables.
INDEX = "record.json"
#: Name of the record of experiments that have no scenario.
STUDIES = "studies"


@dataclass(frozen=True)
class Record:
    """What was recorded of one scenario, or of experiments that have none.

    Attributes:
        card: of the scenario, without the places of its files; None if there is none.
        facts: about data, training and machine.
        rows: one per question, in the order of the recording.
        path: of the file.
        files: names of the tables' files, by key of the row.
    """

    card: ScenarioCard | None
    facts: dict[str, Any]
    rows: tuple[Row, ...]
    path: Path
    files: dict[str, str] = field(repr=False)

    @property
    def name(self) -> str:
        """Of the scenario, or `STUDIES`."""
        return STUDIES if self.card is None else self.card.name

    def questions(self, experiment: str) -> list[Spec]:
        """What was asked in one experiment, as far as it can still be asked."""
        kind: type[Spec] = catalog.resolve(catalog.EXPERIMENTS[experiment].spec)
        found = []
        for row in self.rows:
            values = json.loads(row.spec)
            if values.pop("experiment") == experiment:
                try:
                    found.append(kind.parse(values))
                except SpecError:  # of an older version
                    continue
        return found

    def result(self, key: str) -> Result:
        """The tables of a row; its provenance says that they are recorded."""
        with zipfile.ZipFile(self.path) as file:
            return Result.from_json(file.read(self.files[key]).decode())


def folder() -> Path:
    """Where recorded runs lie."""
    chosen = os.environ.get(VARIABLE)
    return Path(chosen).expanduser().resolve() if chosen else Path(__file__).parent


def records() -> dict[str, Record]:
    """All records by name; a file that cannot be read is passed over, and the log says so."""
    try:
        files = tuple((path, path.stat().st_mtime_ns) for path in sorted(folder().glob("*.zip")))
    except OSError:
        return {}
    return {record.name: record for path, time in files if (record := _read(path, time)) is not None}


def answer(spec: Spec) -> Result | None:
    """The recorded answer to this very question."""
    record = records().get(str(getattr(spec, "scenario", STUDIES)))
    if record is None:
        return None
    asked = spec.canonical()
    return next((record.result(row.key) for row in record.rows if row.spec == asked), None)


def command(name: str, facts: dict[str, Any]) -> str:
    """What computes a record again."""
    return str(facts.get("command", f"gif-dash record {name}"))


@lru_cache(maxsize=32)
def _read(path: Path, time: int) -> Record | None:
    try:
        with zipfile.ZipFile(path) as file:
            told = json.loads(file.read(INDEX))
        if told["format"] != FORMAT:
            raise ValueError(f"format {told['format']}, not {FORMAT}")
        card = None if told["card"] is None else ScenarioCard.model_validate(told["card"])
        rows = tuple(Row(**row, recorded=True) for row in told["rows"])
        return Record(card, told["facts"], rows, path, told["files"])
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        log.warning("Recorded runs in %s cannot be read: %s", path, error)
        return None


class Runs:
    """The runs of a store, and after them the recorded ones, which nobody can change. See `compute.client.Runs`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def history(self, experiment: str = "") -> list[Row]:
        own = self._store.history(experiment)
        known = {row.key for row in own}
        shipped = [row for row in _rows() if row.key not in known and experiment in ("", row.experiment)]
        return own + sorted(shipped, key=lambda row: row.created, reverse=True)

    def version(self) -> tuple[Any, ...]:
        return self._store.version()

    def get(self, key: str) -> Result | None:
        found = self._store.get(key)
        if found is None and (record := _holding(key)) is not None:
            found = record.result(key)
        return found

    def columns(self, key: str, table: str) -> dict[str, list[Any]]:
        found = self._store.columns(key, table)
        if not found and (record := _holding(key)) is not None:
            with zipfile.ZipFile(record.path) as file:
                tables = json.loads(file.read(record.files[key]))["tables"]
            found = tables.get(table, {}).get("columns", {})
        return found

    def rename(self, key: str, name: str) -> None:
        self._refuse(key, "named")
        self._store.rename(key, name)

    def pin(self, key: str, pinned: bool) -> None:
        self._refuse(key, "pinned")
        self._store.pin(key, pinned)

    def delete(self, key: str) -> Deleted:
        self._refuse(key, "deleted")
        return self._store.delete(key)

    def restore(self, deleted: Deleted) -> None:
        self._store.restore(deleted)

    def _refuse(self, key: str, what: str) -> None:
        if _holding(key) is not None and all(row.key != key for row in self._store.history()):
            raise StoreError(f"A recorded run comes with gif_dash and cannot be {what}.")


def _rows() -> Iterator[Row]:
    for record in records().values():
        yield from record.rows


def _holding(key: str) -> Record | None:
    return next((record for record in records().values() if key in record.files), None)
