"""How a running experiment speaks, and how it is told to stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import pandas as pd


class Cancelled(Exception):
    """The person who asked has left or pressed cancel."""


class Postponed(Exception):
    """Somebody else's question goes first; this one is asked again after it."""


class Progress(Protocol):
    """What an experiment calls while it runs. Every method may be called from the computing thread only."""

    @property
    def patient(self) -> bool:
        """Whether the asker accepts trainings of minutes: a person at a terminal does, a visitor's click does not."""

    def stage(self, title: str, total: int = 0) -> None:
        """A new stage begins; `total` units of work are expected in it (0: unknown)."""

    def advance(self, units: int = 1) -> None:
        """Units of the current stage are done."""

    def partial(self, table: str, make: Callable[[], pd.DataFrame]) -> None:
        """The named table has grown; `make` builds it as far as it is known, and is called when it is to be sent."""

    def check(self) -> None:
        """Between micro-batches.

        Raises:
            Cancelled: if the run is to stop.
        """

    def give_way(self) -> None:
        """Between two parts of a long run, when all that is finished is kept (see `gif_dash.experiments.pieces`).

        Raises:
            Postponed: if somebody else waits. The run will begin anew and find what is kept.
        """


class Silent:
    """A `Progress` for tests and scripts: says nothing, never cancels."""

    patient = True

    def stage(self, title: str, total: int = 0) -> None:
        pass

    def advance(self, units: int = 1) -> None:
        pass

    def partial(self, table: str, make: Callable[[], pd.DataFrame]) -> None:
        pass

    def check(self) -> None:
        pass

    def give_way(self) -> None:
        pass
