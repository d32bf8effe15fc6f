"""A foreign Dask cluster: two runs at a time on two workers, a scheduler that goes, one that is not there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from compute_cluster import cluster
from compute_fakes import FakeSpec

from gif_dash.compute.client import TableClient
from gif_dash.compute.dask_executor import LOST, Cluster, DaskExecutor
from gif_dash.compute.dispatcher import Dispatcher
from gif_dash.compute.jobs import JobTable
from gif_dash.compute.store import Store

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("own_folders")]


def wait(condition: Callable[[], object], seconds: float = 30.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "did not happen in time"
        time.sleep(0.02)


@contextmanager
def dispatched(folder: Path, where: Cluster) -> Iterator[tuple[TableClient, DaskExecutor]]:
    executor, store = DaskExecutor(cluster=where), Store(folder / "cache")
    running = Dispatcher(JobTable(folder), executor, store)
    running.open()
    try:
        yield TableClient(folder, store), executor
    finally:
        running.close()


def test_every_worker_has_one_run_at_a_time_and_results_outlive_the_scheduler(tmp_path: Path) -> None:
    with (
        cluster(tmp_path, workers=2) as foreign,
        dispatched(tmp_path, foreign.cluster) as (client, executor),
    ):
        wait(lambda: executor.slots == 2, 60)
        specs = [FakeSpec(steps=50, tag=tag, log=str(tmp_path / "log")) for tag in range(3)]
        tickets = [client.submit(spec) for spec in specs]
        wait(lambda: [client.view(ticket).state for ticket in tickets].count("running") == 2)
        assert client.view(tickets[2]).state == "queued"  # although every worker has four threads
        wait(lambda: all(client.view(ticket).ended for ticket in tickets))
        results = [client.view(ticket).result for ticket in tickets]
        pids = [result.provenance["pid"] for result in results if result is not None]
        assert len(pids) == 3
        assert len(set(pids)) == 2

        endless = client.submit(FakeSpec(steps=10_000, tag=9, log=str(tmp_path / "log")))
        wait(lambda: "counts" in client.view(endless).partial)
        foreign.scheduler.kill()
        wait(lambda: client.view(endless).ended)
        assert client.view(endless).error == LOST
        assert client.stored(specs[0]) is not None
        wait(lambda: executor.slots == 0)
        waiting = client.submit(FakeSpec(tag=10, log=str(tmp_path / "log")))
        wait(lambda: client.view(waiting).position == 1)
        assert client.view(waiting).stage == "The worker is starting"
        foreign.again()
        wait(lambda: client.view(waiting).ended, 60)
        assert client.view(waiting).state == "done"


def test_a_scheduler_that_is_not_there_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gif_dash.compute.dask_executor._CONNECT", 1.0)
    nowhere = Cluster("tcp://127.0.0.1:9")
    with dispatched(tmp_path, nowhere) as (client, executor):
        ticket = client.submit(FakeSpec(log=str(tmp_path / "log")))
        wait(lambda: client.view(ticket).ended)
        assert client.view(ticket).error == f"The Dask scheduler at {nowhere.address} cannot be reached"
        assert executor.slots == 0


def test_who_has_no_certificate_is_not_let_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gif_dash.compute.dask_executor._CONNECT", 2.0)
    with cluster(tmp_path, workers=0) as foreign:
        stranger = replace(foreign.cluster, ca=None, cert=None, key=None)
        with dispatched(tmp_path, stranger) as (_client, executor):
            wait(lambda: executor.problem)
            assert executor.problem == f"The Dask scheduler at {stranger.address} cannot be reached"
