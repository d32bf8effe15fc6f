"""Tasks in worker processes of this machine, by way of Dask: a dead worker takes one run with it and comes back."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gif_dash.compute import folders
from gif_dash.compute.executors import Failure, Listener
from gif_dash.compute.reporter import Update
from gif_dash.compute.work import Answer, Task

if TYPE_CHECKING:
    from distributed import Client, Future, Scheduler

log = logging.getLogger("gif_dash")


@dataclass(frozen=True)
class Cluster:
    """A Dask cluster that runs already.

    Its workers need gif_dash and torch of the same versions. What they compute with is theirs to say: threads, device,
    cache and data folders (``GIF_DASH_DEVICE``, ``GIF_DASH_CACHE``, ``GIF_DASH_DATA``).

    Attributes:
        address: of its scheduler, ``tcp://HOST:PORT`` or ``tls://HOST:PORT``.
        ca, cert, key: PEM files: whom to believe, who we are, and our key; None for a cluster without encryption.
    """

    address: str
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


LOST = "The worker stopped while computing; press Run to try again"
NOT_STARTED = "The compute worker could not be started; the log has the details"
#: Seconds that a worker gets to come back after it was killed.
_RESTART = 60.0
#: Seconds that a foreign scheduler gets to answer, and between two looks at its workers.
_CONNECT, _LOOK = 15.0, 0.5


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
        cluster: use its workers, instead of starting some.
    """

    def __init__(
        self,
        *,
        workers: int = 1,
        threads: int | None = None,
        torch: bool = True,
        log: Path | None = None,
        begin: threading.Event | None = None,
        cluster: Cluster | None = None,
    ) -> None:
        self.problem = ""
        self._cluster = cluster
        self._workers_seen: set[str] = set()  # addresses, of a foreign cluster
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
        self._scheduler: Scheduler | None = None  # if it is our own
        self._client: Client | None = None
        self._begin, self._closed = begin, threading.Event()
        self._closing: asyncio.Event | None = None
        self._futures: dict[str, Future[Answer | Failure]] = {}
        self._places: dict[str, str] = {}  # address of the worker that runs a task
        self._live: set[str] = set()  # tasks of which nobody has been told that they are over
        self._pinned: dict[str, str] = {}  # address of the worker that a task was given to, of a foreign cluster
        self._killed: set[str] = set()
        self._jobs: set[asyncio.Task[None]] = set()

    @property
    def slots(self) -> int:
        if self._client is None:
            return 0
        return len(self._workers_seen if self._scheduler is None else self._scheduler.workers)

    def open(self, listener: Listener) -> None:
        self._listener = listener
        self._thread.start()

    def start(self, task: Task) -> None:
        self._live.add(task.name)
        self._soon(self._follow(task))

    def stop(self, task: str) -> None:
        self._soon(self._stop(task))

    def postpone(self, task: str) -> None:
        self._soon(self._postpone(task))

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
        folder = folders.make("worker")
        try:
            asyncio.run(self._main(str(folder)))
        except Unreachable as error:
            self.problem = str(error)
        except Exception:
            log.exception("Dask failed")
            self.problem = NOT_STARTED
        finally:
            self._client = None
            for task in list(self._live):
                self._told(task, Failure("failed", LOST))
            folders.remove(folder)

    async def _main(self, folder: str) -> None:
        self._loop, self._closing = asyncio.get_running_loop(), asyncio.Event()
        import dask

        dask.config.set({"temporary-directory": folder, **_configuration(self._environment)})
        import distributed  # noqa: F401  (takes a while)

        if self._closed.is_set():
            return
        if self._cluster is None:
            async with self._start_cluster(folder) as client:
                await self._attend(client)
        else:
            await self._follow_cluster(self._cluster)

    async def _attend(self, client: Client, *ends: Coroutine[Any, Any, None]) -> None:
        """Work with a client until the end, or one of `ends`."""
        from gif_dash.compute.worker import TOPIC

        assert self._closing is not None
        client.subscribe_topic(TOPIC, self._hear)  # type: ignore[no-untyped-call]
        self._client = client
        waiting = [asyncio.ensure_future(end) for end in (self._closing.wait(), *ends)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        self._client = None
        for future in waiting:
            future.cancel()
        if self._closing.is_set() and self._futures:
            await asyncio.gather(*(self._stop_in(client, name) for name in self._futures))

    @asynccontextmanager
    async def _start_cluster(self, folder: str) -> AsyncIterator[Client]:
        """Scheduler, workers and their nannies, all ours."""
        from distributed import Client, LocalCluster
        from distributed.security import Security

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
        with _environment_kept(self._environment):
            await cluster
        async with cluster, client:
            self._scheduler = scheduler = cluster.scheduler
            assert scheduler is not None
            scheduler.http_server.stop()  # Dask's pages about the cluster, which nobody is to see
            yield client
        _put_back()  # workers that were started again have left theirs

    async def _follow_cluster(self, cluster: Cluster) -> None:
        """Be a client of somebody else's cluster; a scheduler that goes away is waited for.

        Raises:
            Unreachable: it was not there in the first place.
        """
        assert self._closing is not None
        client = await self._join(cluster)
        while not self._closing.is_set():
            async with client:
                await self._attend(client, self._watch(client))
            for task in list(self._live):
                self._told(task, Failure("failed", LOST))
            while not self._closing.is_set():
                with suppress(Unreachable):
                    client = await self._join(cluster)
                    break
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), _LOOK)

    async def _join(self, cluster: Cluster) -> Client:
        from distributed import Client
        from distributed.security import Security

        secure = cluster.ca is not None
        files = {"tls_ca_file": cluster.ca, "tls_client_cert": cluster.cert, "tls_client_key": cluster.key}
        given = {name: str(file) for name, file in files.items() if file is not None}
        security = Security(require_encryption=secure, **given) if secure else None  # type: ignore[no-untyped-call]
        client = Client(  # type: ignore[no-untyped-call]
            cluster.address, asynchronous=True, security=security, timeout=_CONNECT, set_as_default=False
        )
        try:
            await client
            return client
        except (OSError, ValueError, TypeError) as error:
            log.warning("The Dask scheduler at %s: %s", cluster.address, error)
            raise Unreachable(f"The Dask scheduler at {cluster.address} cannot be reached") from None

    async def _watch(self, client: Client) -> None:
        """Know the workers; a task whose worker has gone is lost, as it may run there and nowhere else.

        Ends when the client has given up its scheduler.
        """
        try:
            while client.status == "running":
                assert client.scheduler is not None
                with suppress(OSError):
                    found = await client.scheduler.identity(n_workers=-1)
                    self._workers_seen = set(found["workers"])
                for task, place in list(self._pinned.items()):
                    if place not in self._workers_seen:
                        log.warning("A worker of the cluster has gone while computing")
                        self._told(task, Failure("failed", LOST, lost=True))
                await asyncio.sleep(_LOOK)
        finally:
            self._workers_seen = set()

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

        end: Answer | Failure = Failure("failed", LOST)
        try:
            assert self._client is not None
            where = {"workers": [self._give(task.name)]} if self._scheduler is None else {}
            future = self._client.submit(worker.run, task, key=task.name, pure=False, retries=0, **where)
            self._futures[task.name] = future
            end = await future
        except asyncio.CancelledError:
            if task.name in self._live and self._client is not None:
                log.warning("The Dask scheduler has gone, and took a task along")
        except KilledWorker:
            log.warning("A worker process died while computing")
            end = Failure("failed", LOST, lost=True)
        except Exception:
            if task.name not in self._killed and self._client is not None:
                log.exception("Dask lost a task")
        if task.name not in self._killed:
            self._told(task.name, end)

    def _give(self, task: str) -> str:
        """A worker of a foreign cluster that has nothing to do for us."""
        free = self._workers_seen.difference(self._pinned.values())
        self._pinned[task] = min(free)
        return self._pinned[task]

    def _told(self, task: str, end: Answer | Failure) -> None:
        """A task is over; what comes later about it is not heard."""
        assert self._listener is not None, "open() comes before start()"
        self._futures.pop(task, None)
        self._places.pop(task, None)
        self._pinned.pop(task, None)
        self._killed.discard(task)
        if task in self._live:
            self._live.remove(task)
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

    async def _postpone(self, task: str) -> None:
        from gif_dash.compute import worker

        if self._client is not None:
            await self._client.run(worker.postpone, task, on_error="ignore")

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


class Unreachable(Exception):
    """One sentence: a foreign cluster is not there."""


@contextmanager
def _environment_kept(names: Iterable[str]) -> Iterator[None]:
    """Dask writes its workers' variables into this process, too, and lets what it finds there go before what is asked.

    So each name has the value that it had before any cluster of this process, on the way in and out.
    """
    for name in (*names, "PYTHONHASHSEED"):
        _found.setdefault(name, os.environ.get(name))
    _put_back()
    try:
        yield
    finally:
        _put_back()


def _put_back() -> None:
    for name, value in _found.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


#: Values of the workers' variables in this process before its first cluster; None: not set.
_found: dict[str, str | None] = {}

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
