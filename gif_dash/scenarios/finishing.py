"""A training that is almost done is finished although who asked for it has left: the next one will want it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pandas as pd

from gif_dash.progress import Cancelled, Progress

#: A training goes on after its asker has left if it will be done within so many seconds: before its worker is killed
#: for not stopping (`gif_dash.compute.dispatcher.GRACE`).
SECONDS = 8.0


class Finishing:
    """A `Progress` for one training that swallows a cancellation when the end is near.

    Args:
        progress: who is told, and who may cancel.

    Attributes:
        left: the cancellation that was swallowed; to be raised when the training has been kept.
    """

    def __init__(self, progress: Progress) -> None:
        self.patient = progress.patient
        self.left: Cancelled | None = None
        self._progress = progress
        self._total = self._done = 0
        self._began = time.monotonic()

    def stage(self, title: str, total: int = 0) -> None:
        self._total, self._done, self._began = total, 0, time.monotonic()
        if self.left is None:
            self._progress.stage(title, total)

    def advance(self, units: int = 1) -> None:
        self._done += units
        if self.left is None:
            self._progress.advance(units)

    def partial(self, table: str, make: Callable[[], pd.DataFrame]) -> None:
        if self.left is None:
            self._progress.partial(table, make)

    def check(self) -> None:
        if self.left is not None:
            return
        try:
            self._progress.check()
        except Cancelled as left:
            spent = time.monotonic() - self._began
            if not self._done or spent * (self._total - self._done) / self._done > SECONDS:
                raise
            self.left = left

    def give_way(self) -> None:
        """A training is one part."""
