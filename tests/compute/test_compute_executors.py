"""The same questions asked of a thread of this process and of worker processes."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import compute_fakes
import psutil
import pytest
from compute_cluster import cluster
from compute_fakes import FakePartsSpec, FakeScenarioSpec, FakeSpec, runs

from gif_dash import catalog
from gif_dash.compute import dispatcher, keys
from gif_dash.compute.client import TableClient, View
from gif_dash.compute.dask_executor import LOST, DaskExecutor
from gif_dash.compute.dispatcher import GIVEN_UP
from gif_dash.compute.executors import Executor, ThreadExecutor
from gif_dash.compute.jobs import JobTable
from gif_dash.compute.store import Store
from gif_dash.specs import SpecError

pytestmark = pytest.mark.timeout(180)


@dataclass
class Rig:
    kind: str
    folder: Path
    store: Store
    executor: Executor
    data: Path

    def client(self) -> TableClient:
        return TableClient(self.folder, self.store)


@pytest.fixture(scope="module", params=["thread", "dask", "cluster"])
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONHASHSEED"):
            patch.setenv(name, os.environ.get(name, "0"))  # Dask sets them for its workers, and here as well
        patch.setenv("GIF_DASH_CACHE", str(folder / "cache"))
        patch.setenv("GIF_DASH_DATA", str(folder / "data"))
        (folder / "data").mkdir()
        (folder / "data" / "tiny.txt").write_text("1")
        for entry in compute_fakes.ENTRIES:
            patch.setitem(catalog.EXPERIMENTS, entry.name, entry)
        patch.setitem(catalog.SCENARIOS, "tiny", compute_fakes.SCENARIO)
        patch.setattr(dispatcher, "GRACE", 1.0)
        before = set(psutil.Process().children(recursive=True))  # those of other tests, such as a browser
        foreign = stack.enter_context(cluster(folder)).cluster if request.param == "cluster" else None
        executor = (
            ThreadExecutor() if request.param == "thread" else DaskExecutor(threads=1, torch=False, cluster=foreign)
        )
        store = Store(folder / "cache")
        running = dispatcher.Dispatcher(JobTable(folder), executor, store)
        running.open()
        try:
            wait(lambda: executor.slots or executor.problem, 90)
            assert executor.problem == ""
            yield Rig(request.param, folder, store, executor, folder / "data")
        finally:
            running.close()
        stack.close()
        now = set(psutil.Process().children(recursive=True)) - before
        left = [" ".join(process.cmdline()) for process in now]
        assert [line for line in left if "resource_tracker" not in line] == []  # Python's own helper ends with us


def wait(condition: Callable[[], object], seconds: float = 30.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "did not happen in time"
        time.sleep(0.01)


def follow(client: TableClient, ticket: str, seconds: float = 60.0) -> View:
    """The last view."""
    wait(lambda: client.view(ticket).ended, seconds)
    return client.view(ticket)


def running(client: TableClient, ticket: str, steps: int = 1) -> bool:
    """Whether the experiment itself has come so far."""
    table = client.view(ticket).partial.get("counts")
    return table is not None and len(table) >= steps


def test_progress_then_partial_then_done_then_stored(rig: Rig, tmp_path: Path) -> None:
    client, spec = rig.client(), FakeSpec(steps=60, log=str(tmp_path / "log"))
    assert client.stored(spec) is None
    asked = time.monotonic()
    ticket = client.submit(spec)
    views: list[View] = []
    while not views or not views[-1].ended:
        views.append(client.view(ticket))
        time.sleep(0.02)
    seen = [view for view in views if view.state == "running" and view.stage]
    assert {view.stage for view in seen} == {"Counting"}
    fractions = [view.fraction for view in seen if view.fraction is not None]
    assert fractions == sorted(fractions)
    assert len(set(fractions)) >= 4
    versions = [view.version for view in views]
    assert versions == sorted(versions)
    assert versions[-1] >= 2
    rows = [len(view.partial["counts"]) for view in seen if view.partial]
    assert rows == sorted(rows)
    assert 0 < rows[0] < rows[-1] <= 60
    assert any(view.seconds_left is not None for view in seen)
    assert 0.5 * 60 * compute_fakes.STEP < seen[-1].seconds < time.monotonic() - asked

    result = views[-1].result
    assert result is not None
    assert views[-1].state == "done"
    assert result.spec == {"experiment": "fake", **spec.model_dump(mode="json")}
    values = result.table["value"].tolist()
    assert math.isnan(values[0])
    assert values[1] == math.inf
    assert values[2:] == [step / 3 for step in range(2, 60)]  # to the last bit
    assert result.table["text"][3] == "Zeile 3 – ✓"
    assert math.isnan(result.provenance["nan"])
    assert result.provenance["inf"] == -math.inf
    assert (result.provenance["pid"] == os.getpid()) == (rig.kind == "thread")

    began = time.perf_counter()
    again = client.submit(spec)
    view = client.view(again)
    assert time.perf_counter() - began < 0.5
    assert view.state == "done"
    for store in (rig.store, Store(rig.folder / "cache")):  # also after a restart
        found = TableClient(rig.folder, store).stored(spec)
        assert found is not None
        assert found.to_json() == result.to_json()
    assert runs(spec) == 1


def test_identical_questions_are_computed_once(rig: Rig, tmp_path: Path) -> None:
    spec = FakeSpec(steps=30, log=str(tmp_path / "log"))
    first, second = rig.client(), rig.client()
    one = first.submit(spec)
    wait(lambda: running(first, one))
    two = second.submit(spec)
    wait(lambda: running(second, two))
    assert follow(first, one).result is not None
    assert follow(second, two).result is not None
    assert runs(spec) == 1


def test_changed_code_is_computed_again(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client, spec = rig.client(), FakeSpec(log=str(tmp_path / "log"))
    follow(client, client.submit(spec))
    assert client.stored(spec) is not None
    monkeypatch.setattr(keys, "_code_hash", lambda module: "another line")
    assert client.stored(spec) is None
    assert follow(client, client.submit(spec)).state == "done"
    assert runs(spec) == 2
    assert len([row for row in rig.store.history("fake") if row.spec == spec.canonical()]) == 2


def test_cancel_while_queued_and_running(rig: Rig, tmp_path: Path) -> None:
    client, other = rig.client(), rig.client()
    long = FakeSpec(steps=3000, log=str(tmp_path / "long"))
    waiting = FakeSpec(tag=1, log=str(tmp_path / "waiting"))
    short = FakeSpec(tag=2, log=str(tmp_path / "short"))
    ticket = client.submit(long)
    wait(lambda: running(client, ticket))
    queued = client.submit(waiting)
    wait(lambda: client.view(queued).position == 1)
    client.cancel(queued)
    assert client.view(queued).state == "cancelled"
    behind = other.submit(short)
    began = time.monotonic()
    client.cancel(ticket)
    assert client.view(ticket).state == "cancelled"
    assert time.monotonic() - began < 1
    assert follow(other, behind).state == "done"  # the worker is free again
    assert time.monotonic() - began < 5
    assert runs(waiting) == 0
    again = client.submit(waiting)
    assert follow(client, again).state == "done"
    assert client.stored(long) is None


def test_cancelling_leaves_the_run_to_others(rig: Rig, tmp_path: Path) -> None:
    spec = FakeSpec(steps=30, log=str(tmp_path / "log"))
    first, second = rig.client(), rig.client()
    one, two = first.submit(spec), second.submit(spec)
    wait(lambda: running(first, one))
    first.cancel(one)
    assert follow(second, two).state == "done"
    assert first.view(one).state == "cancelled"
    assert runs(spec) == 1


def test_two_grids_give_way_to_a_click_and_to_each_other(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "TURN", 0.3)
    monkeypatch.setattr(dispatcher, "LONG_TURN", 1.5)
    grids = [FakePartsSpec(steps=40, tag=tag, log=str(tmp_path / f"grid{tag}")) for tag in (0, 1)]  # 4 s each
    askers = [rig.client() for _ in grids]
    tickets = [asker.submit(grid) for asker, grid in zip(askers, grids, strict=True)]
    wait(lambda: running(askers[0], tickets[0], 3))
    visitor = rig.client()
    click = visitor.submit(FakeSpec(steps=2, log=str(tmp_path / "click")))
    asked, said = time.monotonic(), set()
    while not visitor.view(click).ended:
        said.add(visitor.view(click).stage)
        time.sleep(0.01)
    assert visitor.view(click).state == "done"
    assert time.monotonic() - asked < 4  # whereas the grids take 8 s
    assert not any(asker.view(ticket).ended for asker, ticket in zip(askers, tickets, strict=True))
    assert any("running now: Fake grid" in stage for stage in said)
    paused = set()
    while not all(asker.view(ticket).ended for asker, ticket in zip(askers, tickets, strict=True)):
        for asker, ticket in zip(askers, tickets, strict=True):
            view = asker.view(ticket)
            if view.state == "queued" and "Paused for others" in view.stage:
                paused.add(ticket)
                assert len(view.partial["counts"]) > 0  # what it has is still shown
        time.sleep(0.01)
    assert paused == set(tickets)
    for asker, ticket, grid in zip(askers, tickets, grids, strict=True):
        assert asker.view(ticket).state == "done"
        assert runs(grid) >= 2
        assert len(Path(f"{grid.log}-parts").read_text()) == 40  # no part was made twice
        [row] = [row for row in rig.store.history("fake-parts") if row.spec == grid.canonical()]
        assert row.seconds > 40 * 5 * compute_fakes.STEP  # all turns counted


def test_a_paused_run_can_be_cancelled(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "TURN", 0.0)
    client, other = rig.client(), rig.client()
    grid = FakePartsSpec(steps=200, log=str(tmp_path / "grid"))
    ticket = client.submit(grid)
    wait(lambda: running(client, ticket, 2))
    click = other.submit(FakeSpec(steps=100, log=str(tmp_path / "click")))
    wait(lambda: "Paused" in client.view(ticket).stage)
    client.cancel(ticket)
    assert follow(other, click).state == "done"
    time.sleep(0.3)
    assert runs(grid) == 1
    again = client.submit(grid)
    wait(lambda: running(client, again, 3))  # and asked again at once it goes on
    client.cancel(again)


def test_faults_are_one_sentence(rig: Rig, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    client = rig.client()
    log = str(tmp_path / "log")
    sentence = follow(client, client.submit(FakeSpec(mode="sentence", log=log)))
    assert (sentence.state, sentence.error) == ("failed", "this cannot be computed, choose another tag")
    bug = follow(client, client.submit(FakeSpec(mode="bug", log=log)))
    expected = "Something went wrong while computing (FakeError); the log has the details"
    assert (bug.state, bug.error) == ("failed", expected)
    if rig.kind == "thread":  # a worker process has a log of its own
        [record] = [record for record in caplog.records if record.exc_info and "A run failed" in record.message]
        assert "secret detail" in str(record.exc_info[1])
    leave = follow(client, client.submit(FakeSpec(mode="exit", log=log)))
    assert "SystemExit" in leave.error
    assert follow(client, client.submit(FakeSpec(log=log))).state == "done"
    assert client.stored(FakeSpec(mode="bug", log=log)) is None


def test_what_does_not_stop(rig: Rig, tmp_path: Path) -> None:
    """A worker process is killed after the grace; a thread cannot be, so the next run waits for it."""
    client = rig.client()
    seconds = 3 if rig.kind == "thread" else 600
    stubborn = FakeSpec(mode="stubborn", steps=round(seconds / compute_fakes.STEP), log=str(tmp_path / "log"))
    ticket = client.submit(stubborn)
    wait(lambda: runs(stubborn) == 1)
    client.cancel(ticket)
    assert client.view(ticket).state == "cancelled"
    after = client.submit(FakeSpec(log=str(tmp_path / "after")))
    assert follow(client, after, 90).state == "done"
    assert runs(stubborn) == 1


def test_a_scenario_is_verified_checked_and_followed(rig: Rig, tmp_path: Path) -> None:
    client, log = rig.client(), str(tmp_path / "log")
    spec = FakeScenarioSpec(log=log)
    before = {offer.name: offer for offer in client.offers()}["tiny"]
    assert (before.state, before.card) == ("quick", None)
    unchecked = follow(client, client.submit(FakeScenarioSpec(tag=7, log=log)))  # nobody knows the classes yet
    assert (unchecked.state, unchecked.error) == ("failed", "tiny has classes 0 to 1")

    offer = {offer.name: offer for offer in client.offers()}["tiny"]
    assert offer.state == "ready"
    assert offer.card is not None
    assert offer.card.classes == ("low", "high")
    with pytest.raises(SpecError, match="tiny has classes 0 to 1"):
        client.submit(FakeScenarioSpec(tag=7, log=log))
    assert follow(client, client.submit(spec)).state == "done"
    assert runs(spec) == 1
    assert client.stored(spec) is not None

    file = rig.data / "tiny.txt"
    status = file.stat()
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))  # touched, but the same
    assert client.stored(spec) is None  # not before the worker has looked
    assert {offer.name: offer for offer in client.offers()}["tiny"].state == "quick"
    assert follow(client, client.submit(spec)).state == "done"
    assert client.stored(spec) is not None
    assert runs(spec) == 1  # the worker looked, and the answer was known

    file.write_text("2")  # other data
    assert client.stored(spec) is None
    assert follow(client, client.prepare("tiny")).state == "done"
    changed = {offer.name: offer for offer in client.offers()}["tiny"].card
    assert changed is not None
    assert changed.fingerprint != offer.card.fingerprint
    assert client.stored(spec) is None
    assert follow(client, client.submit(spec)).state == "done"
    assert runs(spec) == 2
    fingerprints = {row.fingerprint for row in rig.store.history("fake-scenario") if row.spec == spec.canonical()}
    assert fingerprints == {offer.card.fingerprint, changed.fingerprint}


@pytest.mark.parametrize("rig", ["dask", "cluster"], indirect=True)
def test_a_worker_that_dies_takes_one_run_with_it(rig: Rig, tmp_path: Path) -> None:
    client, other = rig.client(), rig.client()
    done = FakeSpec(tag=1, log=str(tmp_path / "done"))
    follow(client, client.submit(done))
    ticket = client.submit(FakeSpec(mode="die", log=str(tmp_path / "die")))
    waiting = other.submit(FakeSpec(tag=2, log=str(tmp_path / "waiting")))
    view = follow(client, ticket)
    assert (view.state, view.error) == ("failed", LOST)
    assert follow(other, waiting, 90).state == "done"  # by the worker that took its place
    assert client.stored(done) is not None
    assert len((tmp_path / "die").read_text().splitlines()) == 1  # Dask did not try again by itself
    view = follow(client, client.submit(FakeSpec(mode="die", log=str(tmp_path / "die"))), 90)  # the person may, once
    assert view.error == GIVEN_UP
    view = follow(other, other.submit(FakeSpec(mode="die", log=str(tmp_path / "die"))), 90)
    assert view.error == GIVEN_UP
    assert len((tmp_path / "die").read_text().splitlines()) == 2  # it has not met a third worker


@pytest.mark.parametrize("rig", ["dask", "cluster"], indirect=True)
def test_a_worker_killed_while_idle_comes_back(rig: Rig, tmp_path: Path) -> None:
    client = rig.client()
    first = follow(client, client.submit(FakeSpec(tag=1, log=str(tmp_path / "log")))).result
    assert first is not None
    psutil.Process(first.provenance["pid"]).kill()
    second = follow(client, client.submit(FakeSpec(tag=2, log=str(tmp_path / "log"))), 90)
    assert second.state == "done" or second.error == LOST  # it may have been handed over in that very moment
    third = follow(client, client.submit(FakeSpec(tag=3, log=str(tmp_path / "log"))), 90).result
    assert third is not None
    assert third.provenance["pid"] != first.provenance["pid"]


def test_unprepared_scenarios_are_offered_with_their_command(rig: Rig) -> None:
    offers = {offer.name: offer for offer in rig.client().offers()}
    assert offers["mnist-cnn"].state == "command"
    assert offers["mnist-cnn"].command == "gif-dash prepare mnist-cnn"
    assert offers["mnist-cnn"].card is None
