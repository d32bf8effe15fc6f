"""The first moments: who asks for the page at once sees it before the processor is given to anything else."""

from __future__ import annotations

import asyncio
import contextlib
import threading

#: Seconds after the server has said its address in which nothing heavy starts, unless a page was asked for and painted.
HEAD_START = 0.5
#: Seconds that the first kernel, the visitor's or one ahead of time, gets to start before the worker does.
KERNEL = 1.5
#: Seconds that a browser gets to paint the first bytes of a page.
PAINT = 0.25


class FirstVisit:
    """Holds back what is heavy, the first kernel and the worker, until the first page has been painted.

    Begun together with the request, they kept the painting waiting for up to 0.8 s on two cores. They start one after
    the other: a page becomes live sooner, and who comes a little later finds a core free.

    Attributes:
        worker: set when the worker may start; for threads.
    """

    def __init__(self) -> None:
        self.worker = threading.Event()
        self._asked, self._kernel = asyncio.Event(), asyncio.Event()

    @property
    def asked(self) -> bool:
        """Whether somebody has asked for a page."""
        return self._asked.is_set()

    def ask(self) -> None:
        """Somebody asks for a page."""
        self._asked.set()

    async def pass_by(self) -> None:
        """To be started when the address has been said; ends when all may start."""
        await self._ask_within(HEAD_START)
        if not self.asked:
            self._kernel.set()
            await self._ask_within(KERNEL)
        if self.asked:
            await asyncio.sleep(PAINT)
            self._kernel.set()
            await asyncio.sleep(KERNEL)
        self.worker.set()

    async def kernel(self) -> None:
        """Until the first kernel may start."""
        await self._kernel.wait()

    async def _ask_within(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._asked.wait(), seconds)
