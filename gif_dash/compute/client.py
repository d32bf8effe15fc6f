"""What panels, the command line and notebooks use: ask a question, look at how it is, get the answer. Torch-free."""

from __future__ import annotations

import atexit
import json
import os
import sqlite3
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import pandas as pd

from gif_dash import recorded
from gif_dash.compute import cards, folders
from gif_dash.compute.cards import Offer
from gif_dash.compute.edits import Edit
from gif_dash.compute.jobs import FILE, JobState, JobTable, preparation
from gif_dash.compute.paths import cache_dir
from gif_dash.compute.store import Deleted, Row, Store, open_store
from gif_dash.compute.work import perform, task_for, unpack
from gif_dash.progress import Progress
from gif_dash.results import Result, frame_from_dict
from gif_dash.specs import Spec, SpecError

#: Environment variable with the folder of the server's job table.
JOBS = "GIF_DASH_JOBS"
#: Seconds between two signs of life of an asker.
_HEARTBEAT = 5.0
#: Said when the job table cannot be written, mostly because the disk is full.
_STUCK = "Nothing can be asked as long as the temporary folder of gif-dash cannot be written"
#: Finished answers that a client keeps at hand for those who look again.
_KEPT = 32

State = Literal["queued", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True)
class View:
    """How a run is.

    Attributes:
        state: ``queued``, ``running``, and then one of ``done``, ``failed``, ``cancelled``.
        position: in the queue, from 1 (next to run); 0 when it is not queued, or not yet known.
        stage: what it is doing, in words; of a queued one, how many are before it and what runs now.
        fraction: share of the stage that is done, 0 to 1; None where unknown.
        seconds: since it started to run.
        seconds_left: until the stage is done; None where unknown.
        error: one sentence when it failed.
        version: grows with every change of `partial`.
        partial: tables as far as they are known; treat them as read-only.
        result: the answer, when done.
        size: of the file that was asked for, in bytes, when done; read it with `Client.read`, then `Client.cancel`.
    """

    state: State
    position: int = 0
    stage: str = ""
    fraction: float | None = None
    seconds: float = 0.0
    seconds_left: float | None = None
    error: str = ""
    version: int = 0
    partial: dict[str, pd.DataFrame] = field(default_factory=dict)
    result: Result | None = None
    size: int | None = None

    @property
    def ended(self) -> bool:
        """Nothing will change any more."""
        return self.state in ("done", "failed", "cancelled")


class Runs(Protocol):
    """What was computed before, with what people say of it; see `gif_dash.compute.store.Store`.

    Whatever changes a run raises `StoreError` with one sentence where that cannot be kept.
    """

    def history(self, experiment: str = "") -> list[Row]:
        """Newest first."""

    def version(self) -> tuple[Any, ...]:
        """Differs after every change, by whomever; costs next to nothing."""

    def get(self, key: str) -> Result | None: ...

    def columns(self, key: str, table: str) -> dict[str, list[Any]]:
        """One table of a result as plain lists, much quicker than `get`."""

    def rename(self, key: str, name: str) -> None: ...

    def pin(self, key: str, pinned: bool) -> None: ...

    def delete(self, key: str) -> Deleted: ...

    def restore(self, deleted: Deleted) -> None: ...


class Client(Protocol):
    """Ask, look, cancel. Methods may be called from any thread and return within milliseconds."""

    @property
    def warning(self) -> str:
        """What a person should know of cache and checkpoints (not kept, set aside), as sentences; else empty."""

    @property
    def runs(self) -> Runs:
        """What was computed before."""

    def submit(self, spec: Spec) -> str:
        """Ask a question.

        Returns:
            A ticket for `view` and `cancel`.

        Raises:
            SpecError: one sentence: the scenario does not allow it, does not exist or has to be prepared first.
        """

    def prepare(self, scenario: str) -> str:
        """Load a scenario, so that `offers` has its card.

        Returns:
            A ticket; its view ends without a result.

        Raises:
            SpecError: one sentence: it does not exist, or has to be prepared first.
        """

    def take_home(self, spec: Spec, method: str, scalar: float) -> str:
        """Ask for an edited network θ̂ + s·Δ as a safetensors file.

        Args:
            spec: the question whose answer has it.
            method: one of its methods.
            scalar: s, from 0 to the spec's largest.

        Returns:
            A ticket; its view ends with the file's size.

        Raises:
            SpecError: one sentence: as `submit`, or the answer has no such network.
        """

    def read(self, ticket: str, offset: int, count: int) -> bytes:
        """At most `count` bytes of the file of a ticket that is done.

        Raises:
            OSError: it is not there (any more).
        """

    def view(self, ticket: str) -> View:
        """How it is; to be called a few times per second while one waits.

        Who does not look for long has left; if they look after all, the question is asked again.
        """

    def cancel(self, ticket: str) -> None:
        """Leave. The run stops when nobody else waits for it; the ticket's view says so at once."""

    def stored(self, spec: Spec) -> Result | None:
        """The answer if it is in the store, or was recorded; computes nothing."""

    def offers(self) -> list[Offer]:
        """All scenarios, and what each needs before it can be asked about."""


class TableClient:
    """A client that talks to a dispatcher through its job table: of another process, or of this one.

    Args:
        folder: of the job table.
        store: for look-ups.
        patient: may ask for scenarios that have to be downloaded or trained for long.
        wake: called after every change of the table.
    """

    def __init__(
        self,
        folder: Path,
        store: Store,
        *,
        patient: bool = False,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._table, self._store, self._runs = JobTable(folder), store, recorded.Runs(store)
        self._patient, self._wake = patient, wake
        self._asker = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._ended: OrderedDict[str, View] = OrderedDict()
        self._asked: dict[str, str] = {}
        self._touched: dict[str, float] = {}
        self._partials: dict[str, tuple[int, dict[str, pd.DataFrame]]] = {}

    @property
    def warning(self) -> str:
        sentences = [self._store.warning]
        with suppress(sqlite3.Error):  # the server has ended; `view` says so
            sentences += self._table.notices()
        return ". ".join(dict.fromkeys(filter(None, sentences)))

    @property
    def runs(self) -> Runs:
        return self._runs

    def submit(self, spec: Spec) -> str:
        cards.admit(spec, self._store, patient=self._patient)
        ticket = uuid.uuid4().hex
        found = cards.look_up(spec, self._store)
        if found is not None:
            self._keep(ticket, View("done", result=unpack(found)))
        else:
            self._ask(ticket, spec.canonical())
        return ticket

    def prepare(self, scenario: str) -> str:
        cards.admit_scenario(scenario, self._store, patient=self._patient)
        ticket = uuid.uuid4().hex
        if cards.believed_card(self._store, scenario) is not None:
            self._keep(ticket, View("done"))
        else:
            self._ask(ticket, preparation(scenario))
        return ticket

    def take_home(self, spec: Spec, method: str, scalar: float) -> str:
        edit = Edit(spec, method, float(scalar))
        edit.check()
        cards.admit(spec, self._store, patient=self._patient)
        ticket = uuid.uuid4().hex
        self._ask(ticket, edit.text)
        return ticket

    def read(self, ticket: str, offset: int, count: int) -> bytes:
        state = self._table.look(ticket)
        if state is None or state.gone or state.job is None or state.size is None:
            raise FileNotFoundError("the file is no longer there")
        return self._table.read_file(state.job, offset, count)

    def view(self, ticket: str) -> View:
        with self._lock:
            if ticket in self._ended:
                return self._ended[ticket]
        state = self._table.look(ticket)
        if state is None and (text := self._asked.get(ticket)) is not None:
            # silent for so long that the dispatcher took us for gone: a process that was starved or stopped, not a wish
            try:
                self._ask(ticket, text)
            except SpecError as error:
                return self._keep(ticket, View("failed", error=str(error)))
            return View("queued")
        if state is None or state.gone:
            return self._keep(ticket, View("cancelled"))
        now = time.monotonic()
        if now - self._touched.get(ticket, 0.0) > _HEARTBEAT:
            self._touched[ticket] = now
            try:
                self._table.touch(ticket)
            except sqlite3.OperationalError as error:
                return self._keep(ticket, View("failed", error=f"{_STUCK} ({error})"))
        view = self._from_state(ticket, state)
        if not view.ended or view.size is not None:  # a file stays until the asker says that they have it
            return view
        if view.state == "done":
            data = self._table.result(str(state.job))
            view = replace(view, result=None if data is None else unpack(data))
        self._leave(ticket)
        return self._keep(ticket, view)

    def cancel(self, ticket: str) -> None:
        with self._lock:
            if ticket in self._ended:
                return
            self._asked.pop(ticket, None)  # a look in another thread must not ask again
        self._leave(ticket)
        self._keep(ticket, View("cancelled"))

    def stored(self, spec: Spec) -> Result | None:
        found = cards.look_up(spec, self._store)
        return cards.recorded_answer(spec, self._store) if found is None else unpack(found)

    def offers(self) -> list[Offer]:
        return cards.offers(self._store)

    def _ask(self, ticket: str, text: str) -> None:
        self._asked[ticket], self._touched[ticket] = text, time.monotonic()
        try:
            self._table.ask(ticket, self._asker, text)
        except sqlite3.OperationalError as error:
            raise SpecError(f"{_STUCK} ({error})") from None
        self._wake()

    def _from_state(self, ticket: str, state: JobState) -> View:
        now = time.time()
        seconds = (state.finished or now) - state.started if state.started is not None else 0.0
        left = state.seconds_left
        if left is not None:
            left = max(left - (now - state.updated), 0.0) if state.state == "running" else None
        version, tables = self._partials.get(ticket, (0, {}))
        if state.version != version and state.job is not None:
            version, text = self._table.partial(state.job)
            tables = {name: frame_from_dict(data) for name, data in json.loads(text).items()}
            self._partials[ticket] = (version, tables)
        return View(
            state.state,  # type: ignore[arg-type]  # the dispatcher writes only these
            state.position,
            state.stage,
            state.fraction,
            max(seconds, 0.0),
            left,
            state.error,
            version,
            tables,
            size=state.size,
        )

    def _leave(self, ticket: str) -> None:
        with suppress(sqlite3.OperationalError):  # who does not look any more has left, too
            self._table.leave(ticket)
        self._wake()

    def _keep(self, ticket: str, view: View) -> View:
        with self._lock:
            self._asked.pop(ticket, None)
            self._touched.pop(ticket, None)
            self._partials.pop(ticket, None)
            kept = self._ended.setdefault(ticket, view)
            while len(self._ended) > _KEPT:
                self._ended.popitem(last=False)
            return kept


class LocalClient(TableClient):
    """A client with a dispatcher and one computing thread of its own: the notebook's."""

    def __init__(self, store: Store) -> None:
        from gif_dash.compute.dispatcher import Dispatcher
        from gif_dash.compute.executors import ThreadExecutor

        self._folder = folders.make("jobs")
        self._own = JobTable(self._folder)
        self._dispatcher = Dispatcher(self._own, ThreadExecutor(), store, patience=None, patient=True)
        super().__init__(self._folder, store, patient=True, wake=self._dispatcher.wake)
        self._dispatcher.open()

    def close(self) -> None:
        """Stop what runs and forget the job table."""
        self._dispatcher.close()
        self._table.close()
        self._own.close()
        folders.remove(self._folder)


_clients: dict[Path, TableClient] = {}
_clients_lock = threading.Lock()


def connect() -> Client:
    """The client of this process: of the server that started it (``GIF_DASH_JOBS``), else one that computes here."""
    jobs = os.environ.get(JOBS)
    folder = cache_dir()
    with _clients_lock:
        where = Path(jobs) if jobs else folder
        if where not in _clients:
            if jobs:
                if not (where / FILE).is_file():
                    raise RuntimeError(f"the server that {JOBS}={jobs} speaks of has ended; start gif-dash again")
                _clients[where] = TableClient(where, open_store(folder))
            else:
                client = LocalClient(open_store(folder))
                atexit.register(client.close)
                _clients[where] = client
        return _clients[where]


def execute(spec: Spec, progress: Progress, *, fresh: bool = False) -> Result:
    """Look the answer up, or compute it in this thread and store it.

    Args:
        fresh: compute it even if it is stored.

    Raises:
        SpecError: the scenario does not allow the question, or does not exist.
        Cancelled: `progress` said so.
        Exception: whatever the scenario and the experiment raise (`ScenarioError`, `InfluenceError`, ...).
    """
    store = open_store()
    cards.admit(spec, store, patient=progress.patient)
    if not fresh and (found := cards.look_up(spec, store)) is not None:
        return unpack(found)
    known = frozenset[str]() if fresh else store.known(spec)
    answer = perform(task_for(spec, "here", known=known, patient=progress.patient), progress)
    if (card := answer.parsed_card) is not None:
        cards.remember(card)
    packed = answer.result
    if answer.complete:
        key = store.put(spec, answer)
        packed = packed if packed is not None else store.get_packed(key)
    return execute(spec, progress, fresh=True) if packed is None else unpack(packed)
