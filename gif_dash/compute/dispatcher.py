"""The dispatcher: the one thread that decides which run starts when, and the only one that owns an executor."""

from __future__ import annotations

import json
import logging
import math
import queue
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count

from gif_dash import catalog
from gif_dash.compute.cards import admit, admit_scenario, look_up, remember
from gif_dash.compute.edits import Edit, edit_from
from gif_dash.compute.executors import Executor, Failure
from gif_dash.compute.jobs import JobTable, Ticket, preparation, prepared_scenario
from gif_dash.compute.limits import NO_LIMITS, Limits
from gif_dash.compute.reporter import Update
from gif_dash.compute.store import Store
from gif_dash.compute.work import Answer, Task, sentence, spec_from, task_for
from gif_dash.results import ScenarioCard
from gif_dash.specs import Spec

log = logging.getLogger("gif_dash")

#: Seconds between two looks at the job table.
TICK = 0.05
#: Seconds that a run has to stop after it was asked to, before its worker is killed.
GRACE = 10.0
#: Seconds that a run of many parts computes at least before it gives way: to new questions, and to others like itself.
#: So long, too, new questions go before it when it has given way.
TURN, LONG_TURN = 2.0, 30.0
#: A question whose runs have killed so many workers is not tried again, and said so.
DEATHS = 2
GIVEN_UP = "It stopped the worker twice and is not tried again before gif-dash is restarted; the log has the details"
#: The dispatcher as an asker: it prepares scenarios when there is nothing else to do.
OWN = "dispatcher"


@dataclass(eq=False)
class _Run:
    """A run that is queued or running.

    `spec` is None for the preparation of `scenario`; `edit` is the edited network that is wanted as a file, None where
    a result is; `tickets` maps the tickets that wait for it to their askers. `spent` is what it has computed before it
    gave way, in seconds; it did so `turns` times, at last at `rested`.
    """

    job: str
    text: str
    spec: Spec | None
    scenario: str
    order: int
    edit: Edit | None = None
    rank: float = math.inf
    tickets: dict[str, str] = field(default_factory=dict)
    task: Task | None = None
    started: float = 0.0
    spent: float = 0.0
    turns: int = 0
    rested: float = -math.inf
    giving_way: bool = False
    stopping: float | None = None
    overdue: str = ""  # why it was stopped although somebody waits
    killed: bool = False
    tables: dict[str, str] = field(default_factory=dict)
    version: int = 0
    shown: tuple[int, str] = (0, "")

    @property
    def in_parts(self) -> bool:
        """Whether it keeps finished parts, so that it can be interrupted."""
        return self.spec is not None and self.edit is None and catalog.EXPERIMENTS[self.spec.experiment].in_parts

    @property
    def seconds(self) -> float:
        """What it has computed, if it is running."""
        return self.spent + time.monotonic() - self.started

    @property
    def title(self) -> str:
        """What others may know of it."""
        if self.spec is None:
            return f"loading {self.scenario}"
        about = getattr(self.spec, "scenario", "")
        title = "an edited network" if self.edit is not None else catalog.EXPERIMENTS[self.spec.experiment].title
        return f"{title} ({about})" if about else title


class Dispatcher:
    """Reads wishes from the job table, runs them on the executor, writes results to the store.

    Args:
        table: shared with the askers.
        executor: this dispatcher's own; opened and closed with it.
        store: where results go, at once.
        patience: seconds after which an asker who did not look has left; None: askers leave by saying so only.
        patient: askers may start downloads and long trainings.
        warm: scenarios to load when there is nothing else to do, so that the first visitor finds them ready.
        limits: on what an asker may want.
    """

    def __init__(
        self,
        table: JobTable,
        executor: Executor,
        store: Store,
        *,
        patience: float | None = 30.0,
        patient: bool = False,
        warm: Sequence[str] = (),
        limits: Limits = NO_LIMITS,
    ) -> None:
        self._limits = limits
        self._deaths: Counter[str] = Counter()  # of workers, by the text of the question
        self._table, self._executor, self._store = table, executor, store
        self._patience, self._patient = patience, patient
        for name in warm:
            table.ask(_name(), OWN, preparation(name))
        self._queued: list[_Run] = []
        self._running: dict[str, _Run] = {}  # by name of the task
        self._noticed: set[str] = set()
        self._finished: set[str] = set()  # jobs that are over but still in the table
        self._inbox: queue.SimpleQueue[tuple[str, Update | Answer | Failure]] = queue.SimpleQueue()
        self._wake, self._closing = threading.Event(), threading.Event()
        self._order = count()
        self._round = 0.0
        self._thread = threading.Thread(target=self._loop, name="gif-dash-dispatcher", daemon=True)

    def open(self) -> None:
        """Start; returns at once."""
        self._executor.open(self)
        self._thread.start()

    def close(self) -> None:
        """Stop every run and release the executor."""
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        self._executor.close()

    def wake(self) -> None:
        """There is something new in the table (spares an asker of this process the wait for the next look)."""
        self._wake.set()

    def updated(self, task: str, update: Update) -> None:
        self._inbox.put((task, update))
        self._wake.set()

    def ended(self, task: str, end: Answer | Failure) -> None:
        self._inbox.put((task, end))
        self._wake.set()

    # -- the loop -----------------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(TICK)
            self._wake.clear()
            for step in (
                self._hear,
                self._read_tickets,
                self._insist,
                self._start,
                self._share,
                self._show_positions,
            ):
                try:
                    step()
                except Exception:
                    log.exception("The dispatcher failed in one step and goes on")
                    self._closing.wait(1)

    def _hear(self) -> None:
        """Messages of the executor."""
        while not self._inbox.empty():
            name, message = self._inbox.get()
            run = self._running.get(name)
            if isinstance(message, Update):
                if message.card is not None:
                    self._loaded(ScenarioCard.model_validate_json(message.card))
                if run is not None and run.stopping is None:
                    self._show(run, message)
                continue
            if run is not None:
                del self._running[name]
                self._guarded(run, partial(self._end, run, message))

    def _read_tickets(self) -> None:
        """Attach new askers, notice who has left, forget what nobody waits for."""
        now = time.time()
        gone: list[str] = []
        present: list[Ticket] = []
        for ticket in self._table.tickets():
            if ticket.asker == OWN:
                absent = ticket.job in self._finished
            else:
                absent = self._patience is not None and now - ticket.seen > self._patience
            if ticket.gone or absent:
                gone.append(ticket.ticket)
            else:
                present.append(ticket)
        if gone:
            self._table.drop_tickets(gone)
        for run in [*self._queued, *self._running.values()]:
            for name in gone:
                run.tickets.pop(name, None)
        # before those whom nobody waits for are cancelled: somebody may have come who does
        awaited = {self._attach(ticket) if ticket.job is None else ticket.job for ticket in present}
        for run in [*self._queued, *self._running.values()]:
            if not run.tickets and run.stopping is None:
                self._cancel(run)
        if forgotten := self._finished - awaited:
            self._table.drop_jobs(forgotten)
            self._finished -= forgotten

    def _insist(self) -> None:
        """Stop what takes longer than anybody may have; kill what was asked to stop and did not."""
        for name, run in self._running.items():
            if run.stopping is None and run.tickets and (why := self._limits.overdue(run.seconds)):
                run.stopping, run.overdue = time.monotonic(), why
                self._table.update_job(run.job, state="failed", error=why, finished=time.time())
                self._executor.stop(name)
            if run.stopping is not None and not run.killed and time.monotonic() - run.stopping > GRACE:
                log.warning("A cancelled run did not stop within %g s; its worker is killed", GRACE)
                run.killed = True
                self._executor.kill(name)

    def _start(self) -> None:
        """Fill free slots."""
        if problem := self._executor.problem:
            for run in list(self._queued):
                self._queued.remove(run)
                self._finish(run, "failed", error=problem)
            return
        while self._queued and self._executor.slots > len(self._running):
            run = self._ordered()[0]
            self._queued.remove(run)
            self._guarded(run, partial(self._launch, run))

    def _share(self) -> None:
        """Ask runs of many parts to give way to those who wait: nobody's grid keeps others from a click."""
        if not self._queued or self._executor.slots > len(self._running):
            return
        waiting = [run for run in self._queued if run.rank < math.inf]
        turn = LONG_TURN if all(run.turns for run in waiting) else TURN
        asked = sum(run.giving_way for run in self._running.values())
        able = [(name, run) for name, run in self._running.items() if run.in_parts and not run.giving_way]
        able.sort(key=lambda each: each[1].started)
        for name, run in able[: max(len(waiting) - asked, 0)]:
            if run.stopping is None and time.monotonic() - run.started >= turn:
                run.giving_way = True
                self._executor.postpone(name)

    # -- one run ------------------------------------------------------------------------------------------------------

    def _attach(self, ticket: Ticket) -> str:
        """Join the ticket to an identical run that is queued or running, or to a new one."""
        for run in [*self._queued, *self._running.values()]:
            if run.text == ticket.spec and run.stopping is None:
                break
        else:
            run = _Run(_name(), ticket.spec, None, "", next(self._order))
            self._table.open_job(run.job, run.text)
            self._guarded(run, partial(self._admit, run, ticket.asker))
        run.rank = min(run.rank, self._rank(ticket.asker))
        run.tickets[ticket.ticket] = ticket.asker
        self._table.attach(ticket.ticket, run.job)
        return run.job

    def _admit(self, run: _Run, asker: str) -> None:
        """Queue a new run, unless it cannot be or need not be computed."""
        if self._deaths[run.text] >= DEATHS:
            self._finish(run, "failed", error=GIVEN_UP)
            return
        if (name := prepared_scenario(run.text)) is not None:
            run.scenario = name
            admit_scenario(name, self._store, patient=self._patient)
        elif (edit := edit_from(run.text)) is not None:
            run.edit, run.spec = edit, edit.spec
            admit(run.spec, self._store, patient=self._patient)
        else:
            run.spec = spec_from(run.text)
            admit(run.spec, self._store, patient=self._patient)
            if (found := look_up(run.spec, self._store)) is not None:
                self._finish(run, "done", result=found)
                return
        if run.spec is not None:
            live = [*self._queued, *self._running.values()]
            self._limits.check(run.spec, sum(asker in other.tickets.values() for other in live))
        self._queued.append(run)

    def _launch(self, run: _Run) -> None:
        self._round = max(self._round, run.rank) if run.rank < math.inf else self._round
        if run.spec is None:
            entry = catalog.scenarios().get(run.scenario)
            run.task = Task(_name(), scenario=run.scenario, entry=entry, patient=self._patient)
        elif run.edit is not None:
            edit = (run.edit.method, run.edit.scalar)
            run.task = task_for(run.spec, _name(), patient=self._patient, edit=edit)
        else:
            run.task = task_for(run.spec, _name(), known=self._store.known(run.spec), patient=self._patient)
        run.started = time.monotonic()
        self._running[run.task.name] = run
        begun = {} if run.turns else {"started": time.time()}
        self._table.update_job(run.job, state="running", position=0, stage="", **begun)
        self._executor.start(run.task)

    def _show(self, run: _Run, update: Update) -> None:
        values = {"stage": update.stage, "fraction": update.fraction, "seconds_left": update.seconds_left}
        if update.tables:
            run.tables |= update.tables
            run.version += 1
            texts = (f"{json.dumps(name)}: {text}" for name, text in run.tables.items())
            values |= {"version": run.version, "partial": "{" + ", ".join(texts) + "}"}
        self._table.update_job(run.job, **values)

    def _cancel(self, run: _Run) -> None:
        """Nobody waits for it any more."""
        if run in self._queued:
            self._queued.remove(run)
            self._finish(run, "cancelled")
        elif run.task is not None:
            run.stopping = time.monotonic()
            self._table.update_job(run.job, state="cancelled", finished=time.time())
            self._executor.stop(run.task.name)

    def _end(self, run: _Run, end: Answer | Failure) -> None:
        if isinstance(end, Failure) and end.state == "postponed" and run.stopping is None:
            self._postpone(run)
            return
        if isinstance(end, Failure):
            self._deaths[run.text] += end.lost and run.stopping is None
            if run.overdue:
                self._finish(run, "failed", error=run.overdue)
            elif end.lost and self._deaths[run.text] >= DEATHS:
                self._finish(run, "failed", error=GIVEN_UP)
            else:
                self._finish(run, "cancelled" if end.state == "postponed" else end.state, error=end.reason)
            return
        self._deaths.pop(run.text, None)
        self._notice(*end.notices)
        if (card := end.parsed_card) is not None:
            self._loaded(card)
        if run.spec is None:
            self._finish(run, "done")
            return
        if run.edit is not None:
            self._hand_over(run, end.file or b"")
            return
        data = end.result
        if end.complete:
            key = self._store.put(run.spec, replace(end, seconds=end.seconds + run.spent))
            self._notice(self._store.warning)
            data = data if data is not None else self._store.get_packed(key)
        if data is not None:
            self._finish(run, "done", result=data)
        elif run.tickets:  # it was in the store when the run started, and is no longer: compute it after all
            self._queued.insert(0, run)
        else:
            self._finish(run, "cancelled")

    def _postpone(self, run: _Run) -> None:
        """It has given way, at least to the first that waits."""
        run.spent, run.turns, run.rested = run.seconds, run.turns + 1, time.monotonic()
        run.giving_way, run.shown = False, (0, "")
        run.rank = max([self._round, *(other.rank for other in self._ordered()[:1])])
        self._table.update_job(run.job, state="queued", fraction=None, seconds_left=None)
        self._queued.append(run)

    def _notice(self, *sentences: str) -> None:
        """Let the page say what was survived."""
        for text in filter(None, sentences):
            if text not in self._noticed:
                self._noticed.add(text)
                self._table.notice(text)

    def _hand_over(self, run: _Run, file: bytes) -> None:
        """Keep an edited network's file until all who wait for it have fetched it or left."""
        if not run.tickets:
            self._finish(run, "cancelled")
            return
        try:
            self._table.put_file(run.job, file)
        except OSError as error:
            self._finish(run, "failed", error=f"The file cannot be kept for fetching ({error.strerror or error})")
            return
        self._finish(run, "done", size=len(file))

    def _loaded(self, card: ScenarioCard) -> None:
        """A worker has loaded a scenario: from now on everybody can see what it has."""
        remember(card)
        self._store.put_card(card)

    def _finish(
        self, run: _Run, state: str, *, error: str = "", result: bytes | None = None, size: int | None = None
    ) -> None:
        values = {"error": error, "result": result, "size": size, "finished": time.time(), "position": 0}
        self._table.update_job(run.job, state=state, **values)
        self._finished.add(run.job)

    def _guarded(self, run: _Run, step: Callable[[], None]) -> None:
        """A fault in one run ends that run, with a sentence."""
        try:
            step()
        except Exception as error:
            self._finish(run, "failed", error=sentence(error))

    # -- the queue ----------------------------------------------------------------------------------------------------

    def _rank(self, asker: str) -> float:
        """When a new wish of this asker will have its turn: one round after the asker's last wish that is not over
        yet, at the earliest in the round that is being served. So nobody's tenth wish is served before anybody's first;
        the dispatcher's own preparations come last."""
        if asker == OWN:
            return math.inf
        live = [run.rank for run in [*self._queued, *self._running.values()] if asker in run.tickets.values()]
        return max([self._round, *(rank + 1 for rank in live if rank < math.inf)])

    def _ordered(self) -> list[_Run]:
        """Queued runs in the order in which they will start."""
        late = time.monotonic() - LONG_TURN
        return sorted(self._queued, key=lambda run: (run.rank, run.rested > late, run.order))

    def _show_positions(self) -> None:
        if not self._queued:
            return
        running = sorted(self._running.values(), key=lambda run: run.started)
        now = f"; running now: {', '.join(run.title for run in running)}" if running else ""
        for position, run in enumerate(self._ordered(), start=1):
            ahead = f"{position - 1} before this one" if position > 1 else "next in line"
            stage = f"{'Paused for others' if run.turns else 'Waiting'}: {ahead}{now}"
            stage = stage if self._executor.slots else "The worker is starting"
            if run.shown != (position, stage):
                run.shown = (position, stage)
                self._table.update_job(run.job, position=position, stage=stage)


def _name() -> str:
    return uuid.uuid4().hex
