"""What was refused of that which pages sent: counted, and said in one line of the log from time to time."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

#: Seconds in which refusals are counted and not logged, after one was logged.
QUIET = 10.0


class Refusals:
    """Counts refusals; whoever sends ten thousand of them gets few lines.

    Args:
        log: where the lines go.
        clock: seconds.

    Attributes:
        count: of all, by reason. Reasons are sentences of ours, never words of whoever is refused.
    """

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = time.monotonic) -> None:
        self.count: Counter[str] = Counter()
        self._log, self._clock = log, clock
        self._said, self._unsaid = float("-inf"), 0

    def add(self, reason: str) -> None:
        """One more."""
        self.count[reason] += 1
        self._unsaid += 1
        now = self._clock()
        if now - self._said >= QUIET:
            also = f", and {self._unsaid - 1} more since the last such line" if self._unsaid > 1 else ""
            self._log.warning("refused what a page sent: %s%s (%d in all)", reason, also, self.count.total())
            self._said, self._unsaid = now, 0
