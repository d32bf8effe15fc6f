"""The job table: how those who ask and the one dispatcher talk, through one SQLite file that nobody else can read.

Askers write `tickets` (what they want, that they are still there, that they have gone) and read `jobs`; the dispatcher
reads `tickets` and writes `jobs`. The file lives as long as the server (or the notebook); results of record are in the
store.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TABLES = """
CREATE TABLE IF NOT EXISTS tickets (
    ticket TEXT PRIMARY KEY, asker TEXT NOT NULL, spec TEXT NOT NULL, asked REAL NOT NULL, seen REAL NOT NULL,
    gone INTEGER NOT NULL DEFAULT 0, job TEXT
);
CREATE TABLE IF NOT EXISTS jobs (
    job TEXT PRIMARY KEY, spec TEXT NOT NULL, state TEXT NOT NULL, position INTEGER NOT NULL DEFAULT 0,
    stage TEXT NOT NULL DEFAULT '', fraction REAL, seconds_left REAL, updated REAL NOT NULL,
    created REAL NOT NULL, started REAL, finished REAL, error TEXT NOT NULL DEFAULT '',
    version INTEGER NOT NULL DEFAULT 0, partial TEXT NOT NULL DEFAULT '{}', result BLOB, size INTEGER
);
CREATE TABLE IF NOT EXISTS notices (sentence TEXT PRIMARY KEY);
"""
FILE = "jobs.sqlite"
_PREPARE = "prepare "


def preparation(scenario: str) -> str:
    """What a ticket has instead of a spec when a scenario is only to be loaded."""
    return _PREPARE + scenario


def prepared_scenario(text: str) -> str | None:
    """Inverse of `preparation`; None for a spec."""
    return text.removeprefix(_PREPARE) if text.startswith(_PREPARE) else None


@dataclass(frozen=True)
class Ticket:
    """One asker's wish for one answer.

    Attributes:
        ticket: its name.
        asker: who asks (one per page or notebook).
        spec: the question's canonical JSON, `preparation` of a scenario, or `gif_dash.compute.edits.Edit.text`.
        asked: seconds since the epoch.
        seen: when the asker last looked.
        gone: 1 when the asker has cancelled or fetched the end.
        job: the run it is attached to; None until the dispatcher has seen the ticket.
    """

    ticket: str
    asker: str
    spec: str
    asked: float
    seen: float
    gone: int
    job: str | None


@dataclass(frozen=True)
class JobState:
    """What an asker reads of a run (without its tables), and whether they have left.

    Times are in seconds since the epoch; `size` is that of the run's file in bytes, None while there is none.
    """

    gone: int
    state: str
    position: int
    stage: str
    fraction: float | None
    seconds_left: float | None
    updated: float
    started: float | None
    finished: float | None
    error: str
    version: int
    size: int | None
    job: str | None


class JobTable:
    """Typed access to the file. Safe with threads and processes; every method is one short transaction.

    Args:
        folder: private to this server or notebook; `jobs.sqlite` is made in it when missing. Files that were asked for
            lie beside it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(folder / FILE, timeout=30.0, isolation_level=None, check_same_thread=False)
        with suppress(sqlite3.OperationalError):  # refused in this folder: the rollback journal will do
            self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = OFF")  # worth nothing after a crash of the machine
        self._connection.executescript(_TABLES)

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    # -- askers -------------------------------------------------------------------------------------------------------

    def ask(self, ticket: str, asker: str, spec: str) -> None:
        """A new wish."""
        now = time.time()
        sql = "INSERT INTO tickets (ticket, asker, spec, asked, seen) VALUES (?, ?, ?, ?, ?)"
        self._execute(sql, (ticket, asker, spec, now, now))

    def leave(self, ticket: str) -> None:
        """The asker wants no more of it."""
        self._execute("UPDATE tickets SET gone = 1 WHERE ticket = ?", (ticket,))

    def touch(self, ticket: str) -> None:
        """The asker is still there."""
        self._execute("UPDATE tickets SET seen = ? WHERE ticket = ?", (time.time(), ticket))

    def look(self, ticket: str) -> JobState | None:
        """How the ticket's run is; None when the ticket is not (or no longer) in the table."""
        sql = """SELECT tickets.gone, coalesce(state, 'queued'), coalesce(position, 0), coalesce(stage, ''), fraction,
                 seconds_left, coalesce(updated, asked), started, finished, coalesce(error, ''), coalesce(version, 0),
                 size, tickets.job FROM tickets LEFT JOIN jobs ON tickets.job = jobs.job WHERE ticket = ?"""
        rows = self._execute(sql, (ticket,))
        return JobState(*rows[0]) if rows else None

    def partial(self, job: str) -> tuple[int, str]:
        """Version and JSON of a run's partial tables."""
        rows = self._execute("SELECT version, partial FROM jobs WHERE job = ?", (job,))
        return (int(rows[0][0]), str(rows[0][1])) if rows else (0, "{}")

    def result(self, job: str) -> bytes | None:
        """The packed result of a run that is done."""
        rows = self._execute("SELECT result FROM jobs WHERE job = ?", (job,))
        return rows[0][0] if rows else None

    def read_file(self, job: str, offset: int, count: int) -> bytes:
        """At most `count` bytes of a run's file.

        Raises:
            OSError: it is not there.
        """
        with self._file(job).open("rb") as file:
            file.seek(offset)
            return file.read(count)

    def notices(self) -> list[str]:
        """What the compute side has to say to everybody, oldest first."""
        return [row[0] for row in self._execute("SELECT sentence FROM notices ORDER BY rowid")]

    # -- the dispatcher -----------------------------------------------------------------------------------------------

    def tickets(self) -> list[Ticket]:
        """All tickets, oldest first."""
        rows = self._execute(
            "SELECT ticket, asker, spec, asked, seen, gone, job FROM tickets ORDER BY asked, rowid", ()
        )
        return [Ticket(*row) for row in rows]

    def open_job(self, job: str, spec: str) -> None:
        """A new run, queued."""
        now = time.time()
        sql = "INSERT INTO jobs (job, spec, state, updated, created) VALUES (?, ?, 'queued', ?, ?)"
        self._execute(sql, (job, spec, now, now))

    def attach(self, ticket: str, job: str) -> None:
        """The ticket is answered by this run."""
        self._execute("UPDATE tickets SET job = ? WHERE ticket = ?", (job, ticket))

    def update_job(self, job: str, **values: object) -> None:
        """Set columns of a run; `updated` follows by itself."""
        names = ", ".join(f"{name} = ?" for name in values)
        self._execute(f"UPDATE jobs SET {names}, updated = ? WHERE job = ?", (*values.values(), time.time(), job))

    def notice(self, sentence: str) -> None:
        """Something that everybody should hear of; said twice, it stands there once."""
        self._execute("INSERT OR IGNORE INTO notices VALUES (?)", (sentence,))

    def drop_tickets(self, tickets: Iterable[str]) -> None:
        """Forget tickets."""
        self._many("DELETE FROM tickets WHERE ticket = ?", tickets)

    def put_file(self, job: str, data: bytes) -> None:
        """Keep a file for those who wait for the run; nobody reads it before the run is said to be done.

        Raises:
            OSError: it cannot be written; nothing is left of it.
        """
        try:
            self._file(job).write_bytes(data)
        except OSError:
            self._file(job).unlink(missing_ok=True)
            raise

    def drop_jobs(self, jobs: Iterable[str]) -> None:
        """Forget runs, and delete their files."""
        jobs = list(jobs)
        for job in jobs:
            with suppress(OSError):  # being read on a system that does not allow that: it goes with the folder
                self._file(job).unlink(missing_ok=True)
        self._many("DELETE FROM jobs WHERE job = ?", jobs)

    def _file(self, job: str) -> Path:
        return self._folder / f"{job}.safetensors"

    def _execute(self, sql: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            rows: list[tuple[Any, ...]] = self._connection.execute(sql, values).fetchall()
            return rows

    def _many(self, sql: str, names: Iterable[str]) -> None:
        with self._lock:
            self._connection.executemany(sql, ((name,) for name in names))
