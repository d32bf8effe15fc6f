"""Faults while others compute, with a thread of this process and with two worker processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import compute_fakes
import compute_hungry
import psutil
import pytest
from compute_fakes import FakeSpec, runs
from compute_hungry import HungrySpec

from gif_dash import catalog
from gif_dash.compute import dispatcher
from gif_dash.compute.client import TableClient, View
from gif_dash.compute.dask_executor import LOST, DaskExecutor
from gif_dash.compute.executors import Executor, ThreadExecutor
from gif_dash.compute.jobs import JobTable
from gif_dash.compute.store import Store
from gif_dash.compute.work import MEMORY

pytestmark = pytest.mark.timeout(180)


@dataclass
class Rig:
    kind: str
    folder: Path
    store: Store
    executor: Executor

    def client(self) -> TableClient:
        return TableClient(self.folder, self.store)


@pytest.fixture(scope="module", params=["thread", "dask"])
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONHASHSEED"):
            patch.setenv(name, os.environ.get(name, "0"))  # Dask sets them for its workers, and here as well
        patch.setenv("GIF_DASH_CACHE", str(folder / "cache"))
        patch.setenv("GIF_DASH_DATA", str(folder))
        (folder / "tiny.txt").write_text("1")
        for entry in (*compute_fakes.ENTRIES, compute_hungry.ENTRY):
            patch.setitem(catalog.EXPERIMENTS, entry.name, entry)
        patch.setitem(catalog.SCENARIOS, "tiny", compute_fakes.SCENARIO)
        patch.setattr(dispatcher, "GRACE", 0.5)
        executor = ThreadExecutor() if request.param == "thread" else DaskExecutor(workers=2, threads=1, torch=False)
        store = Store(folder / "cache")
        running = dispatcher.Dispatcher(JobTable(folder), executor, store)
        running.open()
        try:
            wait(lambda: executor.slots == (1 if request.param == "thread" else 2) or executor.problem, 90)
            assert executor.problem == ""
            yield Rig(request.param, folder, store, executor)
        finally:
            running.close()


def wait(condition: Callable[[], object], seconds: float = 30.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "did not happen in time"
        time.sleep(0.01)


def follow(client: TableClient, ticket: str, seconds: float = 60.0) -> View:
    """The last view."""
    wait(lambda: client.view(ticket).ended, seconds)
    return client.view(ticket)


def steps(client: TableClient, ticket: str) -> int:
    """How far a run has come."""
    table = client.view(ticket).partial.get("counts")
    return 0 if table is None else len(table)


def pid(spec: FakeSpec) -> int:
    """Of the process of the last run."""
    return int(Path(spec.log).read_text().splitlines()[-1].split()[0])


@pytest.mark.parametrize("rig", ["dask"], indirect=True)
def test_a_worker_killed_in_mid_run_harms_nobody_else(rig: Rig, tmp_path: Path) -> None:
    mine, theirs, others = (FakeSpec(steps=count, log=str(tmp_path / str(count))) for count in (60, 150, 5))
    finished = FakeSpec(tag=1, log=str(tmp_path / "finished"))
    one, two, three = rig.client(), rig.client(), rig.client()
    had = three.submit(finished)
    follow(three, had)
    killed, running = one.submit(mine), two.submit(theirs)
    wait(lambda: steps(one, killed) > 3 and steps(two, running) > 3)
    queued = three.submit(others)
    wait(lambda: three.view(queued).position == 1)
    process, survivor = psutil.Process(pid(mine)), pid(theirs)
    assert process.pid not in (os.getpid(), survivor)
    process.kill()

    view = follow(one, killed, 10)
    assert (view.state, view.error, view.result) == ("failed", LOST, None)
    assert steps(one, killed) > 3, "what was drawn of it can stay"
    assert two.view(running).state == "running", "the other worker goes on"
    assert follow(three, queued).state == "done"
    again = one.submit(mine)  # one click
    view = follow(two, running)
    assert view.state == "done"
    assert view.result is not None
    assert view.result.provenance["pid"] == survivor
    assert runs(theirs) == 1, "it was not begun anew"
    assert follow(one, again).state == "done"
    assert runs(mine) == 2
    wait(lambda: rig.executor.slots == 2)  # the worker is back
    assert three.view(had).state == "done"
    assert all(three.stored(spec) is not None for spec in (finished, mine, theirs, others))


@pytest.mark.parametrize(
    ("moment", "breath"),
    [
        ("at once", 0.0),
        ("queued", 0.0),
        ("started", 0.0),
        ("computing", 0.0),
        ("computing", 0.2),
        ("deaf", 0.2),
        ("done", 0.0),
    ],
)
def test_cancelled_at_any_moment_and_asked_again(rig: Rig, tmp_path: Path, moment: str, breath: float) -> None:
    client, other = rig.client(), rig.client()
    slots = rig.executor.slots
    mode, count = ("stubborn", 50) if moment == "deaf" else ("count", 5 if moment == "done" else 20)
    spec = FakeSpec(mode=mode, steps=count, log=str(tmp_path / "log"))
    before = [FakeSpec(steps=25, tag=tag, log=str(tmp_path / f"before{tag}")) for tag in range(slots)]
    ahead = [other.submit(each) for each in before] if moment == "queued" else []
    wait(lambda: all(other.view(each).state == "running" for each in ahead))
    ticket = client.submit(spec)
    if moment == "queued":
        wait(lambda: client.view(ticket).position == 1)
    elif moment == "started":
        wait(lambda: client.view(ticket).state == "running")
    elif moment == "computing":
        wait(lambda: steps(client, ticket) > 3)
    elif moment == "deaf":
        wait(lambda: runs(spec) == 1)
    elif moment == "done":
        follow(client, ticket)
    began = time.monotonic()
    client.cancel(ticket)
    assert client.view(ticket).state == ("done" if moment == "done" else "cancelled")
    assert time.monotonic() - began < 1
    time.sleep(breath)
    again = client.submit(spec)
    view = follow(client, again, 90)
    assert view.state == "done", view.error
    assert view.result is not None
    assert len(view.result.table) == count
    assert client.view(ticket).state == ("done" if moment == "done" else "cancelled"), "nothing comes in late"
    assert [follow(other, each).state for each in ahead] == ["done"] * len(ahead)
    assert 1 <= runs(spec) <= 2, "it goes on with what was not stopped yet, or begins anew"
    if breath and moment in ("computing", "deaf"):
        assert runs(spec) == 2
    assert follow(other, other.submit(FakeSpec(tag=7, log=str(tmp_path / "after")))).state == "done"
    wait(lambda: rig.executor.slots == slots)


def test_cancelling_again_and_again_leaves_a_sound_queue(rig: Rig, tmp_path: Path) -> None:
    client, spec = rig.client(), FakeSpec(steps=30, log=str(tmp_path / "log"))
    for turn in range(12):
        ticket = client.submit(spec)
        limit = time.monotonic() + 0.04 * turn
        while time.monotonic() < limit:
            client.view(ticket)
            time.sleep(0.01)
        client.cancel(ticket)
    began = time.monotonic()
    assert follow(client, client.submit(spec)).state == "done"
    assert time.monotonic() - began < 10
    assert len([row for row in rig.store.history("fake") if row.spec == spec.canonical()]) == 1


def test_out_of_memory_halves_the_micro_batches_and_goes_on(rig: Rig, tmp_path: Path) -> None:
    client, log = rig.client(), str(tmp_path / "log")
    roomy, tight = (follow(client, client.submit(HungrySpec(steps=count, log=log))).result for count in (1000, 6))
    assert roomy is not None
    assert tight is not None
    assert roomy.provenance["sizes"] == [40]
    assert set(tight.provenance["sizes"]) == {5}
    assert tight.table["gradient"].tolist() == pytest.approx(roomy.table["gradient"].tolist(), rel=1e-5)


@pytest.mark.parametrize("mode", ["count", "training"])
def test_what_does_not_fit_at_all_is_one_sentence_and_the_worker_stays(rig: Rig, tmp_path: Path, mode: str) -> None:
    client, hungry = rig.client(), HungrySpec(mode=mode, steps=0, log=str(tmp_path / "log"))
    view = follow(client, client.submit(hungry))
    assert view.state == "failed"
    expected = "memory does not hold the computation for one example" if mode == "count" else MEMORY
    assert expected in view.error
    assert "--device cpu" in view.error
    assert psutil.pid_exists(pid(hungry))
    after = follow(client, client.submit(HungrySpec(steps=40, tag=1, mode=mode[:5], log=str(tmp_path / "after"))))
    assert after.state == "done", after.error
    assert rig.executor.slots == (1 if rig.kind == "thread" else 2), "no worker has died"
