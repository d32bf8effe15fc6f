"""The result store: one SQLite file in the user's cache folder, shared by every process that computes or looks up."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from gif_dash import catalog
from gif_dash.compute import keys
from gif_dash.compute.paths import cache_dir
from gif_dash.compute.work import Answer, unpack
from gif_dash.results import Result, ScenarioCard
from gif_dash.specs import Spec

log = logging.getLogger("gif_dash")
T = TypeVar("T")

#: Number of the schema below. Files of the number before are brought up to it; any other is set aside.
SCHEMA = 2
#: Marks the file as ours ("gifd").
APPLICATION = 0x67696664
_SECONDS_TO_WAIT = 10.0

#: Characters of a run's name, at most.
NAME = 80

#: What people say of a run. It stays when the run is computed again, and goes when the run is deleted.
_LABELS = "TABLE labels (key TEXT PRIMARY KEY, name TEXT NOT NULL, pinned INTEGER NOT NULL) WITHOUT ROWID"

_TABLES = f"""
CREATE TABLE results (
    key TEXT PRIMARY KEY, experiment TEXT NOT NULL, scenario TEXT NOT NULL, spec TEXT NOT NULL, result BLOB NOT NULL,
    code TEXT NOT NULL, fingerprint TEXT NOT NULL, created REAL NOT NULL, seconds REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX questions ON results (spec, code);
CREATE TABLE cards (name TEXT PRIMARY KEY, card TEXT NOT NULL) WITHOUT ROWID;
CREATE {_LABELS};
"""


class _Unusable(Exception):
    """The file is there but is no store of ours."""


class StoreError(Exception):
    """A name, pin or deletion that cannot be kept; the message is one sentence for the person who asked for it."""


@dataclass(frozen=True)
class Row:
    """One stored result without its tables.

    Attributes:
        key: see `gif_dash.compute.keys.result_key`.
        spec: the question's canonical JSON.
        code: hash of the code that computed it.
        created: seconds since the epoch.
        seconds: wall time it took.
        name: what a person calls it; empty as long as nobody does.
        pinned: whether it stays on top, and when the rest is cleared.
        recorded: whether it comes with the package, see `gif_dash.recorded`.
    """

    key: str
    experiment: str
    scenario: str
    spec: str
    code: str
    fingerprint: str
    created: float
    seconds: float
    name: str = ""
    pinned: bool = False
    recorded: bool = False

    @property
    def old_code(self) -> bool:
        """Whether today's code would compute it anew. A recorded run names its code itself."""
        if self.recorded:
            return False
        return self.experiment not in catalog.EXPERIMENTS or self.code != keys.code_hash(self.experiment)


@dataclass(frozen=True)
class Deleted:
    """Deleted runs with all that belonged to them, for those who change their minds; see `Store.restore`."""

    results: tuple[tuple[Any, ...], ...]
    labels: tuple[tuple[Any, ...], ...]


class Store:
    """Results by key and scenario cards by name.

    Every method may be called from any thread. A damaged or foreign file is renamed and a new one made; where nothing
    can be written, results are kept in memory. Either way nothing is raised, and `warning` says so.

    Args:
        folder: where `store.sqlite` lies or is made.

    Attributes:
        path: of the file.
        warning: one sentence when results will not outlive the process or a file was set aside; else empty.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "store.sqlite"
        self.warning = ""
        self._lock = threading.RLock()
        self._memory: sqlite3.Connection | None = None
        self._disk: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._writable = True
        with self._lock:
            self._open()

    # -- results ------------------------------------------------------------------------------------------------------

    def get(self, key: str) -> Result | None:
        """The result with this key."""
        data = self.get_packed(key)
        return None if data is None else unpack(data)

    def get_packed(self, key: str) -> bytes | None:
        """The result with this key as `gif_dash.compute.work.pack` made it."""
        rows = self._read("SELECT result FROM results WHERE key = ?", (key,))
        return rows[0][0] if rows else None

    def put(self, spec: Spec, answer: Answer) -> str:
        """Keep an answer (result and card) in one transaction; an older row with the same key is replaced.

        Returns:
            The key.
        """
        card = answer.parsed_card
        fingerprint = card.fingerprint if card is not None else keys.files_fingerprint(spec)
        key, code = keys.result_key(spec, fingerprint), keys.code_hash(spec.experiment)
        row = (key, spec.experiment, keys.scenario_of(spec), spec.canonical(), answer.result, code, fingerprint)

        def write(connection: sqlite3.Connection) -> None:
            if answer.result is not None:
                sql = "INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
                connection.execute(sql, (*row, time.time(), answer.seconds))
            if card is not None:
                connection.execute("INSERT OR REPLACE INTO cards VALUES (?, ?)", (card.name, answer.card))

        self._write(write)
        return key

    def known(self, spec: Spec) -> frozenset[str]:
        """Fingerprints of the scenario for which this very question is answered, by today's code."""
        sql = "SELECT fingerprint FROM results WHERE spec = ? AND code = ?"
        return frozenset(row[0] for row in self._read(sql, (spec.canonical(), keys.code_hash(spec.experiment))))

    def history(self, experiment: str = "") -> list[Row]:
        """What was computed, newest first; of one experiment, or of all. Rows of older code are among them."""
        columns = "r.key, experiment, scenario, spec, code, fingerprint, created, seconds"
        sql = f"""SELECT {columns}, coalesce(name, ''), coalesce(pinned, 0) FROM results r
            LEFT JOIN labels l ON l.key = r.key WHERE ? IN ('', experiment)"""
        rows = [Row(*(*row[:-1], bool(row[-1]))) for row in self._read(sql, (experiment,))]
        return sorted(rows, key=lambda row: row.created, reverse=True)

    def columns(self, key: str, table: str) -> dict[str, list[Any]]:
        """The columns of one table of a result as plain lists; empty where there is none.

        Much quicker than `get`, for those who look at many results.
        """
        data = self.get_packed(key)
        tables = {} if data is None else json.loads(zlib.decompress(data))["tables"]
        columns: dict[str, list[Any]] = tables.get(table, {}).get("columns", {})
        return columns

    def version(self) -> tuple[Any, ...]:
        """Something that differs after every change of the store, by whomever; costs next to nothing."""
        with self._lock:
            seen = self._read("PRAGMA data_version", ())
            return self._identity, *seen, *(each.total_changes for each in (self._disk, self._memory) if each)

    # -- what people say of results -----------------------------------------------------------------------------------

    def rename(self, key: str, name: str) -> None:
        """Call a run something; an empty name takes its name away.

        Raises:
            StoreError: the name is too long, the run is gone, or nothing can be written.
        """
        name = " ".join(name.split())
        if len(name) > NAME:
            raise StoreError(f"A name has at most {NAME} characters; this one has {len(name)}.")
        self._label(key, "name", name)

    def pin(self, key: str, pinned: bool) -> None:
        """Pin a run, or let it go.

        Raises:
            StoreError: the run is gone, or nothing can be written.
        """
        self._label(key, "pinned", int(pinned))

    def _label(self, key: str, column: str, value: Any) -> None:
        def write(connection: sqlite3.Connection) -> bool:
            if not connection.execute("SELECT 1 FROM results WHERE key = ?", (key,)).fetchone():
                return False
            connection.execute("INSERT OR IGNORE INTO labels VALUES (?, '', 0)", (key,))
            connection.execute(f"UPDATE labels SET {column} = ? WHERE key = ?", (value, key))
            connection.execute("DELETE FROM labels WHERE key = ? AND name = '' AND pinned = 0", (key,))
            return True

        if not self._change(write):
            raise StoreError("This run is no longer in the store.")

    def delete(self, key: str) -> Deleted:
        """Delete a run with its name and pin, in one transaction.

        Raises:
            StoreError: the run is gone, or nothing can be written.
        """
        found: list[Deleted] = []

        def write(connection: sqlite3.Connection) -> bool:
            results, labels = (
                tuple(connection.execute(f"SELECT * FROM {table} WHERE key = ?", (key,)))
                for table in ("results", "labels")
            )
            for table in ("results", "labels"):
                connection.execute(f"DELETE FROM {table} WHERE key = ?", (key,))
            found.append(Deleted(results, labels))
            return bool(results)

        if not self._change(write):
            raise StoreError("This run is no longer in the store.")
        return max(found, key=lambda each: len(each.results))

    def restore(self, deleted: Deleted) -> None:
        """Undo a deletion. What was computed anew meanwhile stays; so does the name it got meanwhile."""

        def write(connection: sqlite3.Connection) -> None:
            for table, rows in (("results", deleted.results), ("labels", deleted.labels)):
                for row in rows:
                    marks = ", ".join("?" * len(row))
                    connection.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)

        self._write(write)

    def clear(self) -> int:
        """Delete all results but the pinned ones, and all cards.

        Returns:
            How many results stay.

        Raises:
            StoreError: nothing can be written.
        """

        def write(connection: sqlite3.Connection) -> bool:
            kept = "key NOT IN (SELECT key FROM labels WHERE pinned)"
            for table, where in (("results", kept), ("labels", "NOT pinned"), ("cards", "1")):
                connection.execute(f"DELETE FROM {table} WHERE {where}")
            return False  # it is about both places

        self._change(write)
        with self._lock, suppress(sqlite3.Error):
            if self._disk is not None:
                self._disk.execute("VACUUM")
        return len(self.history())

    def _change(self, write: Callable[[sqlite3.Connection], bool]) -> bool:
        """A transaction on what is there already, in memory and on the file; whether it found what it was about.

        Raises:
            StoreError: it is (perhaps) about the file, which cannot be written.
        """
        with self._lock:
            self._follow()
            done = False
            if self._memory is not None:
                with _transaction(self._memory):
                    done = write(self._memory)
            if self._disk is None or (done and not self._writable):
                return done
            if not self._writable:
                raise StoreError("The result store is read-only: its runs cannot be named, pinned or deleted.")
            try:
                with _transaction(self._disk):
                    return write(self._disk) or done
            except sqlite3.DatabaseError as error:
                self._recover(error)
                raise StoreError(f"The result store could not be changed ({error}).") from error

    # -- scenario cards -----------------------------------------------------------------------------------------------

    def card(self, name: str) -> ScenarioCard | None:
        """The scenario's card as it was when last loaded; whether it still holds is asked of `cards.believed`."""
        rows = self._read("SELECT card FROM cards WHERE name = ?", (name,))
        if not rows:
            return None
        try:
            return ScenarioCard.model_validate_json(rows[-1][0])
        except ValueError:  # written by another version of gif_dash
            return None

    def put_card(self, card: ScenarioCard) -> None:
        """Keep or replace a scenario's card."""
        row = (card.name, card.model_dump_json())
        self._write(lambda connection: connection.execute("INSERT OR REPLACE INTO cards VALUES (?, ?)", row))

    def close(self) -> None:
        """Release the file. What was kept in memory only is gone."""
        with self._lock:
            for connection in (self._disk, self._memory):
                if connection is not None:
                    connection.close()
            self._disk = self._memory = None

    # -- the file -----------------------------------------------------------------------------------------------------

    def _read(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        """Rows of the file, then those of the memory."""
        with self._lock:
            rows: list[Any] = []
            self._follow()
            if self._disk is not None:
                try:
                    rows = self._disk.execute(sql, values).fetchall()
                except sqlite3.DatabaseError as error:
                    self._recover(error)
                    if self._disk is not None:
                        with suppress(sqlite3.DatabaseError):
                            rows = self._disk.execute(sql, values).fetchall()
            if self._memory is not None:
                rows += self._memory.execute(sql, values).fetchall()
            return rows

    def _write(self, write: Callable[[sqlite3.Connection], object]) -> None:
        """One transaction on the file, or in memory where the file takes none."""
        with self._lock:
            self._follow()
            for _ in range(2):
                if self._disk is None or not self._writable:
                    break
                try:
                    with _transaction(self._disk):
                        write(self._disk)
                    return
                except sqlite3.DatabaseError as error:
                    if not self._recover(error):
                        self._warn(f"Results are kept in memory only: {self.path} cannot be written ({error})")
                        break
            if self._memory is None:
                self._memory = _sqlite("file::memory:")
                self._memory.executescript(_TABLES)
            with _transaction(self._memory):
                write(self._memory)

    def _follow(self) -> None:
        """The file may have been deleted, or set aside by another process: then open the one that is there now."""
        if self._disk is not None and _identity(self.path) != self._identity:
            self._disk.close()
            self._disk = None
            self._open()

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._warn(f"Results are kept in memory only: {self.path.parent} cannot be made ({error.strerror})")
            return
        for _ in range(3):  # a second process may set the same damaged file aside at the same time
            identity = _identity(self.path)
            try:
                self._disk, self._writable = _connect(self.path)
                self._identity = _identity(self.path)
                if not self._writable:
                    self._warn(f"Results are kept in memory only: {self.path} is read-only")
                return
            except _Unusable as error:
                self._set_aside(identity, str(error))
            except (sqlite3.OperationalError, OSError) as error:
                self._warn(f"Results are kept in memory only: {self.path} cannot be opened ({error})")
                return
            except sqlite3.DatabaseError as error:
                self._set_aside(identity, str(error))
        self._warn(f"Results are kept in memory only: {self.path} is unusable and cannot be set aside")

    def _recover(self, error: sqlite3.DatabaseError) -> bool:
        """After an error: whether a new file is open. Full disks, locks and read-only folders are no damage."""
        if isinstance(error, sqlite3.OperationalError | sqlite3.IntegrityError):
            return False
        if self._disk is not None:
            self._disk.close()
            self._disk = None
        self._set_aside(self._identity, str(error))
        self._open()
        return self._disk is not None

    def _set_aside(self, identity: tuple[int, int] | None, reason: str) -> None:
        """Rename the file, unless another process has done so already."""
        if identity is None or _identity(self.path) != identity:
            return
        target = self.path.with_name(f"store.set-aside-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.sqlite")
        try:
            self.path.replace(target)
            for suffix in ("-wal", "-shm", "-journal"):
                with suppress(FileNotFoundError):
                    Path(f"{self.path}{suffix}").replace(f"{target}{suffix}")
        except OSError as error:
            log.warning("%s cannot be set aside: %s", self.path, error)
        self._warn(f"The result store was unusable ({reason}) and was set aside as {target.name}; a new one was made")

    def _warn(self, sentence: str) -> None:
        if sentence != self.warning:
            log.warning("%s", sentence)
        self.warning = sentence


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise


def _connect(path: Path) -> tuple[sqlite3.Connection, bool]:
    """A connection to a valid store, and whether it can be written.

    Raises:
        _Unusable: the file is damaged, foreign or of another version.
        sqlite3.Error: as SQLite says.
    """
    try:
        return _prepare(_sqlite(path.resolve().as_uri())), True
    except sqlite3.OperationalError:
        if not path.is_file() or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
            raise
    # A file in WAL mode cannot be opened in a folder without write access, except as one that nobody changes.
    connection = _sqlite(f"{path.resolve().as_uri()}?mode=ro&immutable=1")
    _validate(connection)
    if _version(connection) == SCHEMA - 1:
        connection.execute(f"CREATE TEMP {_LABELS}")  # what cannot be brought up to date can still be read
    return connection, False


def _sqlite(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri, timeout=_SECONDS_TO_WAIT, isolation_level=None, check_same_thread=False, uri=True)


def _prepare(connection: sqlite3.Connection) -> sqlite3.Connection:
    try:
        if _count(connection):
            _validate(connection)  # before anything is written to what may not be ours
        _choose_journal(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        with _transaction(connection):
            if not _count(connection):
                for statement in filter(str.strip, _TABLES.split(";")):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
                connection.execute(f"PRAGMA user_version = {SCHEMA}")
            elif _version(connection) == SCHEMA - 1:  # looked at again: another process may have done it
                connection.execute(f"CREATE {_LABELS}")
                connection.execute(f"PRAGMA user_version = {SCHEMA}")
        _validate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _count(connection: sqlite3.Connection) -> int:
    """How many tables and indices there are."""
    sql = "SELECT count(*) FROM sqlite_master"
    try:
        return int(connection.execute(sql).fetchone()[0])
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            raise
        # A file in WAL mode may have come to a folder that refuses WAL. Who is alone with it needs none of what is
        # refused, and can take what is in the log into the file.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        try:
            connection.execute("PRAGMA journal_mode = DELETE")
        finally:
            connection.execute("PRAGMA locking_mode = NORMAL")
        return int(connection.execute(sql).fetchone()[0])


def _choose_journal(connection: sqlite3.Connection) -> None:
    """WAL, so that readers and writers do not wait for each other; where it is refused (some network file systems),
    the rollback journal that every file begins with."""
    limit = time.monotonic() + _SECONDS_TO_WAIT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                connection.execute("PRAGMA journal_mode = DELETE")
                return
            if time.monotonic() > limit:  # another process is in the middle of the same
                raise
            time.sleep(0.02)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _validate(connection: sqlite3.Connection) -> None:
    """A store of ours, of this schema or of the one before."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = _version(connection)
    if application != APPLICATION:
        raise _Unusable("it is a file of another program")
    if version not in (SCHEMA, SCHEMA - 1):
        raise _Unusable(f"its version is {version}, this program's is {SCHEMA}")
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not {"results", "cards", *(["labels"] if version == SCHEMA else [])} <= tables:
        raise _Unusable("tables are missing")


_stores: dict[Path, Store] = {}
_stores_lock = threading.Lock()


def open_store(folder: Path | None = None) -> Store:
    """The store of a folder (`cache_dir()` by default), one object per process and folder."""
    folder = cache_dir() if folder is None else folder
    with _stores_lock:
        if folder not in _stores:
            _stores[folder] = Store(folder)
        return _stores[folder]
