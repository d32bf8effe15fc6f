"""The first moments: who asks for the page at once sees it before the processor is given to anything else."""

from __future__ import annotations

import asyncio
import contextlib
import threading

#: Seconds after the server has said its address in which nothing heavy starts, unless a page was asked for and painted.
HEAD_START = 0.5
#: Seconds that a browser gets to paint the first bytes of a page.
PAINT = 0.25


class FirstVisit:
    """Holds back what is heavy, the first kernel and the worker, until the first page has been painted.

    Measured on two cores: begun together with the request, they keep the painting waiting for up to 0.6 s.

    Attributes:
        over: set when they may start; for threads (`wait` is for coroutines).
    """

    def __init__(self) -> None:
        self.over = threading.Event()
        self._asked, self._over = asyncio.Event(), asyncio.Event()

    @property
    def asked(self) -> bool:
        """Whether somebody has asked for a page."""
        return self._asked.is_set()

    def ask(self) -> None:
        """Somebody asks for a page."""
        self._asked.set()

    async def pass_by(self) -> None:
        """To be started when the address has been said; ends when what is heavy may start."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._asked.wait(), HEAD_START)
        if self.asked:
            await asyncio.sleep(PAINT)
        self.over.set()
        self._over.set()

    async def wait(self) -> None:
        """Until what is heavy may start."""
        await self._over.wait()
