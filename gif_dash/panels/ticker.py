"""The page's heartbeat and its conscience.

Whatever computes elsewhere never touches a widget: one ticker in the kernel's event loop makes all those writes, at
most a few times a second. Exceptions in callbacks of widgets vanish silently by nature, so every callback goes through
one reporter, which logs it, says one sentence on the page, and lets tests fail.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
from collections.abc import Callable
from typing import ParamSpec

log = logging.getLogger("gif_dash")

P = ParamSpec("P")


def strict() -> bool:
    """Whether a failing callback raises instead of reporting: set ``GIF_DASH_STRICT=1`` (the tests do)."""
    return os.environ.get("GIF_DASH_STRICT", "") not in ("", "0")


class Reporter:
    """Turns exceptions of callbacks into a log entry and one sentence.

    Args:
        show: says a sentence to the person.
    """

    def __init__(self, show: Callable[[str], None] | None = None) -> None:
        self.show = show

    def report(self, error: Exception) -> None:
        """Log with traceback and say one sentence. Call it inside an ``except`` block."""
        log.error("a callback of the page failed", exc_info=error)
        if self.show is not None:
            reason = " ".join(str(error).split()) or "no reason given"
            self.show(f"Something went wrong on the page ({type(error).__name__}: {reason[:200]}); the log has more.")
        if strict():
            raise error

    def guard(self, function: Callable[P, object]) -> Callable[P, None]:
        """The function with every exception reported instead of lost."""

        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                function(*args, **kwargs)
            except Exception as error:
                self.report(error)

        return guarded


class Ticker:
    """Runs callbacks in the kernel's event loop, at most `hertz` beats a second; rests when there is nothing to do.

    The first beat after a rest comes at once, so a single change of a control is answered without delay while a burst
    of changes is answered `hertz` times a second. Where no event loop runs (tests, scripts), call `tick` by hand.
    """

    def __init__(self, reporter: Reporter, hertz: float = 15.0) -> None:
        self._reporter = reporter
        self._period = 1.0 / hertz
        self._once: dict[Callable[[], object], None] = {}
        self._repeated: dict[Callable[[], object], None] = {}
        self._task: asyncio.Task[None] | None = None

    def soon(self, function: Callable[[], object]) -> None:
        """Call the function once at the next beat; asked twice before that, it still runs once."""
        self._once[function] = None
        self._wake()

    def every(self, function: Callable[[], object]) -> None:
        """Call the function at every beat until `stop`."""
        self._repeated[function] = None
        self._wake()

    def stop(self, function: Callable[[], object]) -> None:
        """Forget the function; no error if it was not known."""
        self._once.pop(function, None)
        self._repeated.pop(function, None)

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be called."""
        return not self._once and not self._repeated

    def tick(self) -> None:
        """One beat."""
        due = list(self._once)
        self._once.clear()
        for function in due + list(self._repeated):
            if function in self._repeated or function in due:
                self._reporter.guard(function)()

    def _wake(self) -> None:
        if self._task is not None and not self._task.done():
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._task = loop.create_task(self._beat())

    async def _beat(self) -> None:
        await asyncio.sleep(0)  # let the caller finish: a burst of assignments is one change
        while not self.idle:
            self.tick()
            await asyncio.sleep(self._period)
