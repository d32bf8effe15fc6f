"""Who asks for the page at once sees it before a kernel or a worker takes the processor."""

from __future__ import annotations

import asyncio
import http.client
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from driving import start_server
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from test_server import SCRIPT, write_notebook
from traitlets.config import Configurable

from gif_dash.compute.dask_executor import DaskExecutor
from gif_dash.serving import first_visit, kernels
from gif_dash.serving.first_visit import FirstVisit

LONG = 60.0


async def started(visit: FirstVisit) -> bool:
    """Whether the first kernel may start."""
    try:
        await asyncio.wait_for(visit.kernel(), 0.01)
    except TimeoutError:
        return False
    return True


def test_where_nobody_asks_the_kernel_starts_and_then_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    async def watch() -> None:
        visit = FirstVisit()
        passing = asyncio.create_task(visit.pass_by())
        assert not await started(visit)
        await visit.kernel()
        assert not visit.worker.is_set()
        await passing
        assert visit.worker.is_set()
        assert not visit.asked

    monkeypatch.setattr(first_visit, "HEAD_START", 0.1)
    monkeypatch.setattr(first_visit, "KERNEL", 0.1)
    asyncio.run(asyncio.wait_for(watch(), 20))


@pytest.mark.parametrize("early", [True, False])
def test_a_page_that_is_asked_for_is_painted_first(monkeypatch: pytest.MonkeyPatch, early: bool) -> None:
    async def watch() -> None:
        visit = FirstVisit()
        passing = asyncio.create_task(visit.pass_by())
        if not early:
            await visit.kernel()
        begin = time.monotonic()
        visit.ask()
        assert await started(visit) is not early
        await visit.kernel()
        assert early is (time.monotonic() - begin >= first_visit.PAINT * 0.99)
        assert not visit.worker.is_set()
        await passing
        assert time.monotonic() - begin >= (first_visit.PAINT + first_visit.KERNEL) * 0.99
        assert visit.worker.is_set()

    monkeypatch.setattr(first_visit, "HEAD_START", LONG if early else 0.05)
    monkeypatch.setattr(first_visit, "KERNEL", 0.5)
    monkeypatch.setattr(first_visit, "PAINT", 0.2)
    asyncio.run(asyncio.wait_for(watch(), 20))


class FakeServer(Configurable):
    def __init__(self) -> None:
        super().__init__()
        self.first_visit = FirstVisit()
        self.kernel_environment: dict[str, str] = {}
        self.kernel_output = None


def test_the_kernel_for_the_next_visitor_comes_after_that_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    async def start(self: Any, **kwargs: Any) -> str:
        order.append("next" if kwargs["env"].get("VOILA_PREHEAT") else "first")
        return ""

    async def visit() -> None:
        server = FakeServer()
        manager = kernels.VisitorKernels(parent=server)
        ahead = asyncio.create_task(manager.start_kernel(env={"VOILA_PREHEAT": "True"}))
        server.first_visit.ask()
        passing = asyncio.create_task(server.first_visit.pass_by())
        begin = time.monotonic()
        await manager.start_kernel(env={})
        assert time.monotonic() - begin >= first_visit.PAINT * 0.99
        assert order == ["first"]
        await passing
        await ahead
        assert time.monotonic() - begin >= kernels.REFILL_DELAY

    monkeypatch.setattr(AsyncMappingKernelManager, "start_kernel", start)
    monkeypatch.setattr(first_visit, "PAINT", 0.1)
    monkeypatch.setattr(first_visit, "KERNEL", 0.1)
    monkeypatch.setattr(kernels, "REFILL_DELAY", 0.5)
    asyncio.run(asyncio.wait_for(visit(), 20))
    assert order == ["first", "next"]


def test_the_server_asks_before_it_starts_anything(tmp_path: Path) -> None:
    notebook = write_notebook(tmp_path / "plain.ipynb", "print('here I am')")
    served = start_server([sys.executable, str(SCRIPT), str(notebook), "pool=1", "paint=2"], tmp_path / "cache")
    try:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
        begin = time.monotonic()
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert 'id="loading"' in answer.read1(65536).decode()
        if time.monotonic() - begin < 0.9:  # not on a machine that is busy with other things
            time.sleep(1)
            assert not served.kernels()
        assert "here I am" in answer.read().decode()
        assert time.monotonic() - begin >= 1.9
    finally:
        assert served.stop() == 0


def test_workers_start_when_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")  # Dask sets them for its workers, and here as well
    before = set(psutil.Process().children(recursive=True))
    begin = threading.Event()
    executor = DaskExecutor(threads=1, torch=False, begin=begin)
    executor.open(SimpleNamespace())  # type: ignore[arg-type]
    try:
        time.sleep(0.5)
        assert set(psutil.Process().children(recursive=True)) <= before
        begin.set()
        end = time.monotonic() + 60
        while not executor.slots and time.monotonic() < end:
            time.sleep(0.05)
        assert executor.slots == 1
    finally:
        executor.close()


def test_workers_that_may_not_start_yet_are_closed_at_once() -> None:
    executor = DaskExecutor(threads=1, torch=False, begin=threading.Event())
    executor.open(SimpleNamespace())  # type: ignore[arg-type]
    executor.close()
    assert not executor._thread.is_alive()
    assert executor.slots == 0
