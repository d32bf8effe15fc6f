"""Tasks in worker processes of this machine, by way of Dask: a dead worker takes one run with it and comes back."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gif_dash.compute.executors import Failure, Listener
from gif_dash.compute.reporter import Update
from gif_dash.compute.work import Answer, Task

if TYPE_CHECKING:
    from distributed import Client, Future, Scheduler

log = logging.getLogger("gif_dash")

LOST = "The worker stopped while computing; press Run to try again"
NOT_STARTED = "The compute worker could not be started; the log has the details"
#: Seconds that a worker gets to come back after it was killed.
_RESTART = 60.0


class DaskExecutor:
    """One Dask worker process per slot, one task per worker at a time; nothing ever waits inside Dask.

    A private asyncio loop in a thread of its own owns scheduler, nannies and client. They talk over loopback with
    temporary TLS certificates; there is no dashboard.

    Args:
        workers: number of processes.
        threads: of each worker's arithmetic; the machine's cores shared out, by default.
        torch: import torch when a worker starts, so that the first task does not wait for it.
        log: file to which workers log; their standard error, by default.
        begin: nothing is started, nor Dask imported, before this is set; at once, by default.
    """

    def __init__(
        self,
        *,
        workers: int = 1,
        threads: int | None = None,
        torch: bool = True,
        log: Path | None = None,
        begin: threading.Event | None = None,
    ) -> None:
        self.problem = ""
        self._workers = workers
        self._threads = threads or max(1, _cores() // workers)
        self._environment = {
            **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(self._threads)),
            "GIF_DASH_THREADS": str(self._threads),
            "GIF_DASH_TORCH": "1" if torch else "0",
            "GIF_DASH_LOG": str(log or ""),
            **_QUIET_ENVIRONMENT,
        }
        self._listener: Listener | None = None
        self._thread = threading.Thread(target=self._serve, name="gif-dash-dask", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._scheduler: Scheduler | None = None
        self._client: Client | None = None
        self._begin, self._closed = begin, threading.Event()
        self._closing: asyncio.Event | None = None
        self._futures: dict[str, Future[Answer | Failure]] = {}
        self._places: dict[str, str] = {}  # address of the worker that runs a task
        self._killed: set[str] = set()
        self._jobs: set[asyncio.Task[None]] = set()

    @property
    def slots(self) -> int:
        return len(self._scheduler.workers) if self._client is not None and self._scheduler is not None else 0

    def open(self, listener: Listener) -> None:
        self._listener = listener
        self._thread.start()

    def start(self, task: Task) -> None:
        self._soon(self._follow(task))

    def stop(self, task: str) -> None:
        self._soon(self._stop(task))

    def kill(self, task: str) -> None:
        self._soon(self._kill(task))

    def close(self) -> None:
        self._closed.set()
        if self._loop is not None and self._closing is not None:
            with suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._closing.set)
        if self._thread.is_alive():
            self._thread.join(timeout=20)

    # -- in the loop's thread -----------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while self._begin is not None and not self._begin.wait(0.1):
            if self._closed.is_set():
                return
        folder = tempfile.mkdtemp(prefix="gif-dash-worker-")
        try:
            asyncio.run(self._main(folder))
        except Exception:
            log.exception("Dask failed")
            self.problem = NOT_STARTED
        finally:
            self._client = None
            for task in list(self._futures):
                self._told(task, Failure("failed", LOST))
            shutil.rmtree(folder, ignore_errors=True)

    async def _main(self, folder: str) -> None:
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        import dask

        dask.config.set({"temporary-directory": folder, **_configuration(self._environment)})
        from distributed import Client, LocalCluster
        from distributed.security import Security

        if self._closed.is_set():
            return
        security = Security.temporary()  # type: ignore[no-untyped-call]
        cluster = LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=self._workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},  # never tries the usual port
            security=security,
            memory_limit=0,  # neither spilling nor pausing nor restarting
            local_directory=folder,
            preload=["gif_dash.compute.worker"],
            silence_logs=logging.WARNING,
            asynchronous=True,
        )
        client = Client(cluster, asynchronous=True, security=security)  # type: ignore[no-untyped-call]
        async with cluster, client:
            self._scheduler = scheduler = cluster.scheduler
            assert scheduler is not None
            scheduler.http_server.stop()  # Dask's pages about the cluster, which nobody is to see
            from gif_dash.compute.worker import TOPIC

            client.subscribe_topic(TOPIC, self._hear)  # type: ignore[no-untyped-call]
            self._client = client
            await self._closing.wait()
            self._client = None
            if self._futures:
                await asyncio.gather(*(self._stop_in(client, name) for name in self._futures))

    def _soon(self, job: Coroutine[Any, Any, None]) -> None:
        def begin() -> None:
            running = asyncio.ensure_future(job)
            self._jobs.add(running)  # the loop itself keeps no reference
            running.add_done_callback(self._jobs.discard)

        if self._loop is None or self._loop.is_closed():
            job.close()
        else:
            self._loop.call_soon_threadsafe(begin)

    async def _follow(self, task: Task) -> None:
        from distributed import KilledWorker

        from gif_dash.compute import worker

        end: Answer | Failure = Failure("failed", LOST, lost=True)
        try:
            assert self._client is not None
            future = self._client.submit(worker.run, task, key=task.name, pure=False, retries=0)
            self._futures[task.name] = future
            end = await future
        except KilledWorker:
            log.warning("A worker process died while computing")
        except Exception:
            if task.name not in self._killed and self._client is not None:
                log.exception("Dask lost a task")
        if task.name not in self._killed:
            self._told(task.name, end)

    def _told(self, task: str, end: Answer | Failure) -> None:
        assert self._listener is not None, "open() comes before start()"
        self._futures.pop(task, None)
        self._places.pop(task, None)
        self._killed.discard(task)
        self._listener.ended(task, end)

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        _, message = event
        task, place = message.pop("task"), message.pop("worker")
        if task in self._futures:
            self._places[task] = place
            assert self._listener is not None
            self._listener.updated(task, Update(**message))

    async def _stop(self, task: str) -> None:
        if self._client is not None:
            await self._stop_in(self._client, task)

    async def _stop_in(self, client: Client, task: str) -> None:
        from gif_dash.compute import worker

        await client.run(worker.stop, task, on_error="ignore")

    async def _kill(self, task: str) -> None:
        """Restart the worker. Its task is taken from Dask before, or another worker would start it anew."""
        future, place = self._futures.get(task), self._places.get(task)
        if self._client is None or future is None or place is None:
            return
        self._killed.add(task)
        try:
            await future.cancel()  # type: ignore[no-untyped-call]
            await self._client.restart_workers([place], timeout=_RESTART, raise_for_error=False)
        except Exception:
            if self._client is not None:
                log.exception("A worker could not be restarted")
        self._told(task, Failure("cancelled"))


_QUIET_ENVIRONMENT = {"DASK_LOGGING__VERSION": "1", "DASK_LOGGING__INCREMENTAL": "True"}


def _configuration(environment: dict[str, str]) -> dict[str, Any]:
    """Dask's settings, which hold for the whole process and reach its workers."""
    return {
        "logging": {"version": 1, "incremental": True},  # log as this program does, without handlers of its own
        "distributed.scheduler.allowed-failures": 0,  # a task that kills its worker is not tried on the next one
        # Nannies restart their workers however long that takes; by default the cluster dismisses a nanny whose worker
        # is gone 15 s after a death, be it the same death or the next one.
        "distributed.deploy.lost-worker-timeout": "365 days",
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        "distributed.worker.profile.enabled": False,
        "distributed.admin.low-level-log-length": 20,  # events carry tables, and Dask remembers that many of them
        "distributed.admin.system-monitor.interval": "10s",
        "distributed.admin.system-monitor.gil.enabled": False,
        "distributed.diagnostics.nvml": False,
        "distributed.nanny.pre-spawn-environ": environment,
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
