"""A kernel is ended once, also if whoever wanted it leaves, and if all are ended at the same time."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from jupyter_server.services.kernels.kernelmanager import ServerKernelManager

from gif_dash.serving.handlers import LifeHandler
from gif_dash.serving.kernels import VisitorKernels


class Slow(VisitorKernels):
    """Two kernels that take a moment to end."""

    def __init__(self) -> None:
        super().__init__()
        self.there, self.begun, self.ended = {"a", "b"}, list[str](), list[str]()

    def __contains__(self, kernel_id: object) -> bool:
        return kernel_id in self.there

    async def shutdown_kernel(self, kernel_id: str, now: bool = False, restart: bool = False) -> None:  # type: ignore[override]
        self.begun.append(kernel_id)
        await asyncio.sleep(0.1)
        self.there.remove(kernel_id)
        self.ended.append(kernel_id)

    async def shutdown_all(self, now: bool = False) -> None:  # type: ignore[override]
        await asyncio.gather(*(self.shutdown_kernel(each, now=now) for each in sorted(self.there)))


def test_who_leaves_while_a_kernel_ends_does_not_keep_it_alive() -> None:
    async def play() -> Slow:
        kernels = Slow()
        waiting = asyncio.create_task(kernels.free("a"))
        await asyncio.sleep(0.02)
        waiting.cancel()
        await kernels.free("a")  # it is ending: not a second time
        await kernels.stop()
        return kernels

    kernels = asyncio.run(play())
    assert kernels.begun == kernels.ended == ["a", "b"]


def test_nothing_is_freed_while_all_are_ended() -> None:
    async def play() -> Slow:
        kernels = Slow()
        stopping = asyncio.create_task(kernels.stop())
        await asyncio.sleep(0.02)
        watcher: Any = asyncio.create_task(kernels.free("a"))  # a page that has seen its kernel die, and closes
        await asyncio.sleep(0.02)
        watcher.cancel()
        await stopping
        return kernels

    kernels = asyncio.run(play())
    assert kernels.begun == kernels.ended == ["a", "b"]


def test_a_page_hears_of_an_ended_kernel_but_not_of_one_that_ends_with_the_server() -> None:
    async def heard(stopping: bool) -> list[str]:
        kernels = Slow()
        kernels.there = set()  # it has ended
        if stopping:
            await kernels.stop()
        page, said = LifeHandler.__new__(LifeHandler), list[str]()

        async def write(word: str) -> None:
            said.append(word)

        page.kernels, page.write_message, page.close = kernels, write, lambda: None  # type: ignore[assignment, method-assign]
        await page._watch("a")
        return said

    assert asyncio.run(heard(stopping=False)) == ["ended"]
    assert asyncio.run(heard(stopping=True)) == [], "the page keeps trying, and says that the server does not answer"


def test_a_kernel_that_nothing_has_happened_to_yet_rests_never() -> None:
    kernels = Slow()
    kernels.rest_after = 1
    fresh = ServerKernelManager()
    fresh.execution_state = "idle"
    kernels._kernels = {"a": fresh}
    assert kernels.rest_left("a") == math.inf
    kernels.touch("a")
    assert 0 < kernels.rest_left("a") <= 1
