"""The kernels of the visitors: one per open page, started ahead of time, freed when the page is closed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_core.utils import ensure_async
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from traitlets import default

from gif_dash.serving import first_visit

#: A kernel draws and looks up; what computes is the worker. One thread each, so that visitors do not crowd it out.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")

#: Seconds between a visit and the start of the kernel for the next one.
REFILL_DELAY = 5.0


class OwnKernelSpec(KernelSpecManager):
    """Knows the kernel of this very Python only: one of the same name in the user's folders may belong to another."""

    @default("kernel_dirs")
    def _no_folders(self) -> list[str]:
        return []


class VisitorKernels(AsyncMappingKernelManager):
    """Starts kernels with an environment of their own and keeps their chatter off the terminal.

    The server (`parent`) says what: `kernel_environment`, and `kernel_output`, a binary file or None for the terminal.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self._first = True  # no kernel has been started ahead of time yet
        self._stopping = asyncio.Event()
        self._starting = 0
        self._ending: set[str] = set()

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

    async def alive(self, kernel_id: str) -> bool:
        """Whether there is such a kernel and its process lives."""
        if kernel_id not in self:
            return False
        kernel: Any = self.get_kernel(kernel_id)
        alive: bool = await ensure_async(kernel.is_alive())
        return alive

    async def free(self, kernel_id: str) -> None:
        """End a kernel, whatever it is doing; nothing happens if it has ended already."""
        if kernel_id in self and kernel_id not in self._ending:
            self._ending.add(kernel_id)
            try:
                await ensure_async(self.shutdown_kernel(kernel_id, now=True))  # type: ignore[no-untyped-call]
            finally:
                self._ending.discard(kernel_id)

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

    async def stop(self) -> None:
        """End all kernels, and those that are being started as soon as they are."""
        self._stopping.set()
        while self._starting:
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
