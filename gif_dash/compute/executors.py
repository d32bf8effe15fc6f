"""Where tasks run. The dispatcher hands over at most `slots` of them; nothing waits inside an executor."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

from gif_dash.compute.reporter import Reporter, Update, Wishes
from gif_dash.compute.work import Answer, Task, perform, sentence
from gif_dash.progress import Cancelled, Postponed


@dataclass(frozen=True)
class Failure:
    """How a task ended without an answer.

    Attributes:
        state: ``failed``, ``cancelled``, or ``postponed``: it gave way and is to be started again.
        reason: one sentence when it failed; else empty.
        lost: its worker died; perhaps it was the task that killed it.
    """

    state: Literal["failed", "cancelled", "postponed"]
    reason: str = ""
    lost: bool = False


class Listener(Protocol):
    """Who hears of a task, by its name. Called from any thread; must return at once."""

    def updated(self, task: str, update: Update) -> None:
        """The task is alive and says where it is."""

    def ended(self, task: str, end: Answer | Failure) -> None:
        """The task is over and its slot is free. Called exactly once."""


class Executor(Protocol):
    """Runs tasks somewhere else than in the caller's thread."""

    @property
    def slots(self) -> int:
        """How many tasks it can run now; 0 while it is starting."""

    @property
    def problem(self) -> str:
        """One sentence when it will never be able to run anything; else empty."""

    def open(self, listener: Listener) -> None:
        """Begin to start. Returns at once."""

    def start(self, task: Task) -> None:
        """Run a task. Returns at once."""

    def stop(self, task: str) -> None:
        """Ask a task to end at its next `Progress.check`. Returns at once."""

    def postpone(self, task: str) -> None:
        """Ask a task to end at its next `Progress.give_way`. Returns at once."""

    def kill(self, task: str) -> None:
        """End a task that did not stop when asked, if that is possible here. Returns at once."""

    def close(self) -> None:
        """Stop everything and release what was taken."""


def attempt(task: Task, send: Callable[[Update], None], wishes: Wishes) -> Answer | Failure:
    """Perform a task; whatever it raises becomes a `Failure`, with the traceback in the log."""
    try:
        reporter = Reporter(send, wishes, patient=task.patient)
        return perform(task, reporter, reporter.loaded)
    except Cancelled:
        return Failure("cancelled")
    except Postponed:
        return Failure("postponed")
    except BaseException as error:  # user code may even raise SystemExit; the worker stays
        return Failure("failed", sentence(error))


class ThreadExecutor:
    """One thread of this process, for notebooks: scenario objects of the notebook are at hand, nothing is copied."""

    slots = 1
    problem = ""

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._wishes: dict[str, Wishes] = {}
        self._thread = threading.Thread(target=self._work, name="gif-dash-worker", daemon=True)
        self._listener: Listener | None = None

    def open(self, listener: Listener) -> None:
        self._listener = listener
        self._thread.start()

    def start(self, task: Task) -> None:
        self._wishes[task.name] = Wishes()
        self._tasks.put(task)

    def stop(self, task: str) -> None:
        if wishes := self._wishes.get(task):
            wishes.stop = True

    def postpone(self, task: str) -> None:
        if wishes := self._wishes.get(task):
            wishes.give_way = True

    def kill(self, task: str) -> None:
        """A thread cannot be killed; its slot stays taken until it stops."""

    def close(self) -> None:
        for wishes in list(self._wishes.values()):
            wishes.stop = True
        self._tasks.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            assert self._listener is not None, "open() comes before start()"
            end = attempt(task, partial(self._listener.updated, task.name), self._wishes[task.name])
            del self._wishes[task.name]
            self._listener.ended(task.name, end)
