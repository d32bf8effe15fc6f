"""The kernels of the visitors: one per open page, started ahead of time, freed when the page is closed."""

from __future__ import annotations

import asyncio
import math
import os
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.session import utcnow
from jupyter_core.utils import ensure_async
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from traitlets import Integer, default

from gif_dash.access import VISITORS
from gif_dash.serving import first_visit

#: A kernel draws and looks up; what computes is the worker. One thread each, so that visitors do not crowd it out.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")

#: Seconds between a visit and the start of the kernel for the next one.
REFILL_DELAY = 5.0


@dataclass(eq=False)
class Place:
    """A visitor's place, from the request of the page until its kernel is gone; which kernel that is shows later."""

    kernel_id: str = ""


class OwnKernelSpec(KernelSpecManager):
    """Knows the kernel of this very Python only: one of the same name in the user's folders may belong to another."""

    @default("kernel_dirs")
    def _no_folders(self) -> list[str]:
        return []


class VisitorKernels(AsyncMappingKernelManager):
    """Starts kernels with an environment of their own and keeps their chatter off the terminal.

    The server (`parent`) says what: `kernel_environment`, and `kernel_output`, a binary file or None for the terminal.

    There are never more kernels than places and the pool's together, however fast pages are asked for: a place is taken
    before anything is started, and becomes free when the kernel is gone.
    """

    places = Integer(VISITORS, config=True, help="visitors at a time")
    rest_after = Integer(0, config=True, help="seconds until an untouched page is put to rest; 0: never")
    rest_warning = Integer(300, config=True, help="seconds before that, the page says so")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self._first = True  # no kernel has been started ahead of time yet
        self._stopping = asyncio.Event()
        self._starting = 0
        self._ending: set[str] = set()
        self._taken: list[Place] = []
        self._rested: deque[str] = deque(maxlen=1000)

    async def start_kernel(self, **kwargs: Any) -> str:  # type: ignore[override]
        """Start a kernel; returns its id."""
        server: Any = self.parent
        environment = kwargs.get("env") or os.environ
        if environment.get("VOILA_PREHEAT") == "True":
            await self._give_way()
        else:  # somebody waits for it; the loading state, which has just been sent, is to be painted first
            await self._pause(first_visit.PAINT)
        kwargs["env"] = {**environment, **dict.fromkeys(_THREADS, "1"), **server.kernel_environment}
        if server.kernel_output is not None:
            kwargs.update(stdout=server.kernel_output, stderr=server.kernel_output)
        self._starting += 1
        try:
            kernel_id: str = await super().start_kernel(**kwargs)
        finally:
            self._starting -= 1
        return kernel_id

    # --- places -----------------------------------------------------------------------------------------------------

    def take_place(self) -> Place | None:
        """A place for one more visitor, or None if all are taken."""
        self._taken = [place for place in self._taken if not place.kernel_id or place.kernel_id in self]
        if len(self._taken) >= self.places:
            return None
        place = Place()
        self._taken.append(place)
        return place

    def leave(self, place: Place) -> None:
        """The visitor has got no kernel."""
        if place in self._taken:
            self._taken.remove(place)

    # --- rest -------------------------------------------------------------------------------------------------------

    def rest_left(self, kernel_id: str) -> float:
        """Seconds until a kernel is ended because nobody touches its page; infinity where that does not happen."""
        if self.rest_after <= 0 or kernel_id not in self:
            return math.inf
        kernel: Any = self.get_kernel(kernel_id)
        if kernel.execution_state in ("busy", "starting") or not kernel.trait_has_value("last_activity"):
            return math.inf  # it waits for its visitor, or still makes the page
        idle: float = (utcnow() - kernel.last_activity).total_seconds()
        return self.rest_after - idle

    def touch(self, kernel_id: str) -> None:
        """Somebody is there."""
        if kernel_id in self:
            kernel: Any = self.get_kernel(kernel_id)
            kernel.last_activity = utcnow()

    def rested(self, kernel_id: str) -> bool:
        """Whether it was ended because nobody touched its page."""
        return kernel_id in self._rested

    async def cull_kernel_if_idle(self, kernel_id: str) -> None:
        """End a kernel whose page nobody touches; the class above ends those that no page is connected to."""
        if self.rest_left(kernel_id) <= 0:
            self._rested.append(kernel_id)
            await self.free(kernel_id)
        elif kernel_id in self:
            await super().cull_kernel_if_idle(kernel_id)  # type: ignore[no-untyped-call]

    # --- life and death ---------------------------------------------------------------------------------------------

    async def alive(self, kernel_id: str) -> bool:
        """Whether there is such a kernel and its process lives."""
        if kernel_id not in self:
            return False
        kernel: Any = self.get_kernel(kernel_id)
        alive: bool = await ensure_async(kernel.is_alive())
        return alive

    async def free(self, kernel_id: str) -> None:
        """End a kernel, whatever it is doing; nothing happens if it has ended already, or if `stop` ends them all.

        Who waits for it may be cancelled (a page that closes): the kernel ends all the same. Jupyter's way to end a
        kernel cannot be begun twice at a time; cancelling the second one cancels the first, too.
        """
        if kernel_id in self and kernel_id not in self._ending and not self._stopping.is_set():
            self._ending.add(kernel_id)
            shutting: Any = self.shutdown_kernel(kernel_id, now=True)  # type: ignore[no-untyped-call]
            ending = asyncio.ensure_future(ensure_async(shutting))
            ending.add_done_callback(lambda _: self._ending.discard(kernel_id))
            await asyncio.shield(ending)

    async def discard_dead(self, notebook: str) -> None:
        """Kernels that died while they waited for a visitor are not given to one; others are started in their place."""
        waiting = [each.result()["kernel_id"] for each in self._pool(notebook) if each.done() and not each.exception()]
        dead = [kernel_id for kernel_id in waiting if not await self.alive(kernel_id)]
        for kernel_id in dead:
            await self.free(kernel_id)
        if dead:
            fill: Any = self.fill_if_needed  # type: ignore[attr-defined]  # of Voila's subclass of this one
            fill(notebook_name=notebook)

    def has_waiting(self, notebook: str) -> bool:
        """Whether a kernel that was started ahead of time is there, and not only on its way."""
        pool = self._pool(notebook)
        return bool(pool) and pool[0].done()

    def _pool(self, notebook: str) -> list[asyncio.Task[dict[str, Any]]]:
        """Voila's, for a notebook."""
        pools: dict[str, list[asyncio.Task[dict[str, Any]]]] = getattr(self, "_pools", {})
        return pools.get(notebook, [])

    @property
    def stopping(self) -> bool:
        """Whether the server is being stopped."""
        return self._stopping.is_set()

    async def stop(self) -> None:
        """End all kernels, and those that are being started as soon as they are."""
        self._stopping.set()
        while self._starting or self._ending:
            await asyncio.sleep(0.02)
        await self.shutdown_all(now=True)

    async def _give_way(self) -> None:
        """The kernel for the next visitor waits: the page just asked for needs the processor more.

        Who comes meanwhile gets a kernel of their own at once (`PageHandler.should_use_rendered_notebook`).
        """
        delay = REFILL_DELAY
        if self._first:
            self._first = False
            server: Any = self.parent
            await self._pause_for(server.first_visit.kernel())
            delay = REFILL_DELAY if server.first_visit.asked else 0.0
        await self._pause(delay)

    async def _pause(self, seconds: float) -> None:
        await self._pause_for(asyncio.sleep(seconds))

    async def _pause_for(self, something: Coroutine[Any, Any, None]) -> None:
        """Until it has happened.

        Raises:
            RuntimeError: the server stops before.
        """
        waits = [asyncio.ensure_future(something), asyncio.ensure_future(self._stopping.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if self._stopping.is_set():
            raise RuntimeError("the server is stopping")
