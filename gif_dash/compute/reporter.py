"""From a running experiment to whoever watches: a `Progress` that speaks at most a few times per second."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd

from gif_dash.progress import Cancelled, Postponed
from gif_dash.results import frame_to_dict

#: Seconds between two messages about the stage, and between two that carry tables.
INTERVAL, TABLES_INTERVAL = 0.1, 0.25
#: A rate measured for less than this many seconds, or on less than this share, is not extrapolated.
_SETTLED, _SHOWN = 0.5, 0.02


@dataclass
class Wishes:
    """What the computing side is asked to do about a run, set from another thread.

    Attributes:
        stop: at the next `Progress.check`.
        give_way: at the next `Progress.give_way`.
    """

    stop: bool = False
    give_way: bool = False


@dataclass(frozen=True)
class Update:
    """One message of a running experiment.

    Attributes:
        stage: what it is doing, in words.
        fraction: share of the stage that is done, 0 to 1; None where its length is unknown.
        seconds_left: until the stage is done, as extrapolated from its pace; None where unknown.
        tables: tables that changed since the last message, as JSON of `frame_to_dict`.
        card: JSON of the scenario's card, once, when it has been loaded.
    """

    stage: str
    fraction: float | None = None
    seconds_left: float | None = None
    tables: dict[str, str] = field(default_factory=dict)
    card: str | None = None


class Reporter:
    """Implements `gif_dash.progress.Progress` for runs that are watched from another thread or process.

    Args:
        send: receives the messages, in the computing thread.
        wishes: looked at whenever the run can follow them.
        patient: whether the run may train for minutes (see `Progress.patient`).
    """

    def __init__(self, send: Callable[[Update], None], wishes: Wishes, *, patient: bool = True) -> None:
        self.patient = patient
        self._send, self._wishes = send, wishes
        self._title, self._total, self._done = "", 0, 0
        self._began = self._sent = self._tables_sent = 0.0
        self._tables: dict[str, Callable[[], pd.DataFrame]] = {}  # not sent yet
        self._pending = False

    def stage(self, title: str, total: int = 0) -> None:
        self._title, self._total, self._done = title, total, 0
        self._began = time.monotonic()
        self._pending = True
        self._speak()

    def advance(self, units: int = 1) -> None:
        self._done += units
        self._pending = True
        self._speak()

    def partial(self, table: str, make: Callable[[], pd.DataFrame]) -> None:
        self._tables[table] = make
        self._speak()

    def loaded(self, card: str) -> None:
        """The scenario has been loaded; `card` is the JSON of its card."""
        self._send(Update(self._title, card=card))

    def check(self) -> None:
        if self._wishes.stop:
            raise Cancelled("The run was cancelled")
        self._speak()

    def give_way(self) -> None:
        self.check()
        if self._wishes.give_way:
            raise Postponed("Another question goes first")

    def _speak(self) -> None:
        now = time.monotonic()
        with_tables = bool(self._tables) and now - self._tables_sent >= TABLES_INTERVAL
        if with_tables or (self._pending and now - self._sent >= INTERVAL):
            self._flush(now, with_tables)

    def _flush(self, now: float, with_tables: bool) -> None:
        tables = {}
        if with_tables:
            tables = {name: json.dumps(frame_to_dict(make())) for name, make in self._tables.items()}
            self._tables, self._tables_sent = {}, now
        fraction = min(self._done / self._total, 1.0) if self._total > 0 else None
        spent, left = now - self._began, None
        if fraction is not None and fraction >= _SHOWN and spent >= _SETTLED:
            left = spent * (1 - fraction) / fraction
        self._pending, self._sent = False, now
        self._send(Update(self._title, fraction, left, tables))
