"""The compute side of a server: job table, dispatcher and worker processes, for as long as the server runs."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gif_dash import catalog
from gif_dash.compute import folders
from gif_dash.compute.client import JOBS
from gif_dash.compute.dask_executor import Cluster, DaskExecutor
from gif_dash.compute.dispatcher import Dispatcher
from gif_dash.compute.jobs import JobTable
from gif_dash.compute.limits import NO_LIMITS, Limits
from gif_dash.compute.paths import cache_dir, data_dir
from gif_dash.compute.store import Store, open_store


@dataclass(frozen=True)
class ComputeServer:
    """What runs.

    Attributes:
        folder: of the job table.
        environment: variables for the kernels of visitors; with them `gif_dash.compute.client.connect` finds the way.
        store: of results.
        executor: the workers.
    """

    folder: Path
    environment: dict[str, str]
    store: Store
    executor: DaskExecutor

    @property
    def ready(self) -> bool:
        """Whether the workers have started (questions may be asked before)."""
        return self.executor.slots > 0


@contextmanager
def start_server(
    *,
    workers: int = 1,
    threads: int | None = None,
    warm: Sequence[str] | None = None,
    log: Path | None = None,
    torch: bool = True,
    begin: threading.Event | None = None,
    cluster: Cluster | None = None,
    limits: Limits = NO_LIMITS,
    patient: bool = False,
) -> Iterator[ComputeServer]:
    """Start the compute side in the background; returns at once, and stops everything when left.

    Args:
        workers: worker processes, each with its own copy of every model that is asked for.
        threads: of each worker's arithmetic; the machine's cores shared out, by default.
        warm: scenarios to load when there is nothing else to do; those that prepare in under a minute, by default.
        log: file to which the workers log; standard error, by default.
        torch: import torch when a worker starts.
        begin: the workers are started once it is set; at once, by default.
        cluster: whose workers compute, instead of some of our own.
        limits: on what a visitor may want.
        patient: whoever asks may start downloads and long trainings.

    Yields:
        What runs.
    """
    if warm is None:
        warm = [entry.name for entry in catalog.SCENARIOS.values() if entry.quick]
    os.environ["GIF_DASH_CACHE"], os.environ["GIF_DASH_DATA"] = str(cache_dir()), str(data_dir())  # for the workers
    folder = folders.make("jobs")
    store = open_store()
    executor = DaskExecutor(workers=workers, threads=threads, torch=torch, log=log, begin=begin, cluster=cluster)
    table = JobTable(folder)
    dispatcher = Dispatcher(table, executor, store, warm=warm, limits=limits, patient=patient)
    environment = {JOBS: str(folder), **{name: os.environ[name] for name in ("GIF_DASH_CACHE", "GIF_DASH_DATA")}}
    try:
        dispatcher.open()
        yield ComputeServer(folder, environment, store, executor)
    finally:
        dispatcher.close()
        table.close()
        folders.remove(folder)
