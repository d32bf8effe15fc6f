"""The dispatcher by itself, with an executor that does what the test says."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import compute_fakes
import pandas as pd
import pytest
from compute_fakes import FakePartsSpec, FakeSpec

from gif_dash import catalog
from gif_dash.compute import dispatcher as module
from gif_dash.compute.client import TableClient, View
from gif_dash.compute.dispatcher import GIVEN_UP, Dispatcher
from gif_dash.compute.executors import Failure, Listener
from gif_dash.compute.jobs import JobTable
from gif_dash.compute.limits import Limits
from gif_dash.compute.reporter import Update
from gif_dash.compute.store import Store
from gif_dash.compute.work import Answer, Task, pack
from gif_dash.results import Result, ScenarioCard, frame_to_dict
from gif_dash.specs import RemovalSpec, SpecError


class Puppet:
    """An executor that only writes down what it is told."""

    def __init__(self) -> None:
        self.slots, self.problem = 1, ""
        self.started: list[Task] = []
        self.stopped: list[str] = []
        self.postponed: list[str] = []
        self.killed: list[str] = []
        self.listener: Listener | None = None

    def open(self, listener: Listener) -> None:
        self.listener = listener

    def start(self, task: Task) -> None:
        self.started.append(task)

    def stop(self, task: str) -> None:
        self.stopped.append(task)

    def postpone(self, task: str) -> None:
        self.postponed.append(task)

    def kill(self, task: str) -> None:
        self.killed.append(task)

    def close(self) -> None:
        pass

    def end(self, task: Task, end: Answer | Failure | None = None) -> None:
        """The task answers with a table that holds its own tag."""
        assert self.listener is not None
        assert task.spec is not None
        assert task.experiment is not None
        made = Result(
            {"experiment": task.experiment.name, **task.spec},
            {"counts": pd.DataFrame({"tag": [task.spec["tag"]]})},
            {"seconds": 1.0},
        )
        self.listener.ended(task.name, Answer(pack(made), None) if end is None else end)


class Rig:
    """A dispatcher on a puppet, and as many clients as are asked for."""

    def __init__(self, folder: Path, **options: object) -> None:
        self.folder, self.executor = folder, Puppet()
        self.store = Store(folder / "cache")
        self.table = JobTable(folder)
        self.dispatcher = Dispatcher(self.table, self.executor, self.store, **options)  # type: ignore[arg-type]
        self.dispatcher.open()

    def client(self) -> TableClient:
        return TableClient(self.folder, self.store)

    @property
    def started(self) -> list[int]:
        """Tags of the tasks in the order in which they started."""
        return [task.spec["tag"] for task in self.executor.started if task.spec is not None]


def eventually(condition: Callable[[], object], seconds: float = 5.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Rig]]:
    for entry in compute_fakes.ENTRIES:
        monkeypatch.setitem(catalog.EXPERIMENTS, entry.name, entry)
    rigs: list[Rig] = []

    def build(**options: object) -> Rig:
        folder = tmp_path / str(len(rigs))
        folder.mkdir()
        rigs.append(Rig(folder, **options))
        return rigs[-1]

    yield build
    for rig in rigs:
        rig.dispatcher.close()


def test_one_at_a_time_in_turn_between_askers(make: Callable[..., Rig]) -> None:
    rig = make()
    busy, casual = rig.client(), rig.client()
    tickets = [busy.submit(FakeSpec(tag=tag)) for tag in (1, 2, 3, 4)]
    eventually(lambda: rig.started == [1])
    late = casual.submit(FakeSpec(tag=50))
    eventually(lambda: casual.view(late).position == 1)  # before the second of whoever has one running
    eventually(lambda: [busy.view(ticket).position for ticket in tickets] == [0, 2, 3, 4])
    for count in range(1, 6):
        eventually(lambda: len(rig.started) == count)  # noqa: B023
        rig.executor.end(rig.executor.started[-1])
    assert rig.started == [1, 50, 2, 3, 4]
    eventually(lambda: all(busy.view(ticket).state == "done" for ticket in tickets))
    [tag] = busy.view(tickets[3]).result.table["tag"]  # type: ignore[union-attr]
    assert tag == 4


def test_new_questions_go_before_grids_that_have_had_a_turn_but_not_for_ever(
    make: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TURN", 0.1)
    monkeypatch.setattr(module, "LONG_TURN", 1.0)
    rig = make()
    grid, others = rig.client(), [rig.client() for _ in range(4)]
    long = grid.submit(FakePartsSpec(tag=1))
    eventually(lambda: rig.started == [1])
    tickets = [others[0].submit(FakeSpec(tag=50)), others[1].submit(FakeSpec(tag=51))]
    eventually(lambda: rig.executor.postponed == [rig.executor.started[0].name])  # after its turn, and once
    tickets.append(others[2].submit(FakeSpec(tag=52)))
    time.sleep(3 * module.TICK)
    rig.executor.end(rig.executor.started[0], Failure("postponed"))
    eventually(lambda: rig.started == [1, 50])
    assert grid.view(long).state == "queued"
    eventually(lambda: grid.view(long).stage == "Paused for others: 2 before this one; running now: Fake")
    rig.executor.end(rig.executor.started[1])
    eventually(lambda: rig.started == [1, 50, 51])
    assert rig.executor.postponed == [rig.executor.started[0].name]
    time.sleep(1.0)  # it has waited for long: now it goes before the third
    rig.executor.end(rig.executor.started[2])
    eventually(lambda: rig.started == [1, 50, 51, 1])
    eventually(lambda: rig.executor.postponed[1:] == [rig.executor.started[3].name])
    rig.executor.end(rig.executor.started[3])  # finished before it could give way
    eventually(lambda: grid.view(long).state == "done")
    eventually(lambda: rig.started == [1, 50, 51, 1, 52])
    rig.executor.end(rig.executor.started[4])
    eventually(lambda: all(each.view(ticket).ended for each, ticket in zip(others, tickets, strict=False)))


def test_nobody_gives_way_to_a_free_worker_or_to_warming(
    make: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TURN", 0.0)
    monkeypatch.setattr(module, "LONG_TURN", 0.0)
    rig = make(warm=("digits-cnn",))
    client = rig.client()
    rig.executor.slots = 0
    client.submit(FakePartsSpec(tag=1))
    eventually(lambda: rig.table.tickets() and all(ticket.job for ticket in rig.table.tickets()))
    rig.executor.slots = 1
    eventually(lambda: 1 in rig.started)
    time.sleep(4 * module.TICK)
    rig.executor.slots = 2
    other = client.submit(FakeSpec(tag=2))
    eventually(lambda: 2 in rig.started)
    assert client.view(other).state == "running"
    assert rig.executor.postponed == []


def test_identical_questions_run_once_and_both_see_it(make: Callable[..., Rig]) -> None:
    rig = make()
    first, second = rig.client(), rig.client()
    one = first.submit(FakeSpec(tag=1))
    eventually(lambda: first.view(one).state == "running")
    two = second.submit(FakeSpec(tag=1))
    eventually(lambda: second.view(two).state == "running")
    [task] = rig.executor.started
    table = json.dumps(frame_to_dict(pd.DataFrame({"a": [1.5]})))
    rig.dispatcher.updated(task.name, Update("Stage", 0.5, 100.0, {"part": table}))
    for client, ticket in ((first, one), (second, two)):
        eventually(lambda: client.view(ticket).version == 1)  # noqa: B023
        view = client.view(ticket)
        assert (view.stage, view.fraction) == ("Stage", 0.5)
        assert view.seconds_left == pytest.approx(100, abs=5)
        assert view.partial["part"]["a"].tolist() == [1.5]
    first.cancel(one)  # the other still waits
    assert first.view(one).state == "cancelled"
    time.sleep(3 * module.TICK)
    assert rig.executor.stopped == []
    rig.executor.end(task)
    eventually(lambda: second.view(two).state == "done")
    assert first.view(one).state == "cancelled"
    assert len(rig.executor.started) == 1
    again = second.submit(FakeSpec(tag=1))
    assert second.view(again).state == "done"  # at once: no dispatcher was asked
    assert len(rig.executor.started) == 1


def test_cancel_at_every_stage_and_resubmit_at_once(make: Callable[..., Rig]) -> None:
    rig = make()
    client = rig.client()
    unseen = client.submit(FakeSpec(tag=0))
    client.cancel(unseen)  # perhaps before the dispatcher has seen it
    running = client.submit(FakeSpec(tag=1))
    eventually(lambda: client.view(running).state == "running")
    queued = client.submit(FakeSpec(tag=2))
    eventually(lambda: client.view(queued).position == 1)
    client.cancel(queued)
    client.cancel(running)
    assert {client.view(ticket).state for ticket in (unseen, queued, running)} == {"cancelled"}
    task = rig.executor.started[-1]
    eventually(lambda: rig.executor.stopped == [task.name])
    again = client.submit(FakeSpec(tag=1))  # not attached to the run that is stopping
    eventually(lambda: client.view(again).position == 1)
    rig.executor.end(task, Failure("cancelled"))
    eventually(lambda: client.view(again).state == "running")
    rig.executor.end(rig.executor.started[-1])
    eventually(lambda: client.view(again).state == "done")
    assert rig.started[-2:] == [1, 1]
    assert 2 not in rig.started


def test_an_answer_that_comes_after_cancelling_is_kept(make: Callable[..., Rig]) -> None:
    rig = make()
    client = rig.client()
    ticket = client.submit(FakeSpec(tag=1))
    eventually(lambda: len(rig.executor.started) == 1)
    client.cancel(ticket)
    eventually(lambda: rig.executor.stopped)
    rig.executor.end(rig.executor.started[0])
    eventually(lambda: client.stored(FakeSpec(tag=1)) is not None)


def test_who_was_silent_for_too_long_asks_again(make: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gif_dash.compute.client._HEARTBEAT", 0.05)
    rig = make(patience=0.4)
    starved, cancelling, there = rig.client(), rig.client(), rig.client()
    ticket = starved.submit(FakeSpec(tag=1))
    one, other = there.submit(FakeSpec(tag=1)), cancelling.submit(FakeSpec(tag=2))
    eventually(lambda: there.view(one) and len(rig.table.tickets()) == 1)  # as a kernel that gets no processor
    rig.executor.end(rig.executor.started[0])
    eventually(lambda: there.view(one).state == "done")
    eventually(lambda: starved.view(ticket).state == "done")
    assert rig.started == [1]
    cancelling.cancel(other)
    assert cancelling.view(other).state == "cancelled"
    time.sleep(3 * module.TICK)
    assert rig.table.tickets() == [], "who cancelled does not ask again"


def test_who_does_not_look_has_left(make: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gif_dash.compute.client._HEARTBEAT", 0.05)
    rig = make(patience=0.4)
    gone, there = rig.client(), rig.client()
    gone.submit(FakeSpec(tag=1))
    kept = there.submit(FakeSpec(tag=2))
    eventually(lambda: there.view(kept).position == 1)
    eventually(lambda: there.view(kept).state and len(rig.executor.stopped) == 1)
    rig.executor.end(rig.executor.started[0], Failure("cancelled"))
    eventually(lambda: there.view(kept).state == "running")
    assert [each.ticket for each in rig.table.tickets()] == [kept]


def test_what_does_not_stop_is_killed_after_a_grace(make: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE", 0.3)
    rig = make()
    client = rig.client()
    ticket = client.submit(FakeSpec(tag=1))
    eventually(lambda: client.view(ticket).state == "running")
    client.cancel(ticket)
    eventually(lambda: rig.executor.stopped)
    assert rig.executor.killed == []
    waiting = client.submit(FakeSpec(tag=2))
    eventually(lambda: rig.executor.killed == [rig.executor.started[0].name])
    time.sleep(0.5)
    assert len(rig.executor.killed) == 1
    assert rig.started == [1]  # the slot is taken until the executor says it is free
    rig.executor.end(rig.executor.started[0], Failure("cancelled"))
    eventually(lambda: client.view(waiting).state == "running")


def test_a_known_answer_that_vanished_is_computed_after_all(make: Callable[..., Rig]) -> None:
    rig = make()
    client = rig.client()
    ticket = client.submit(FakeSpec(tag=1))
    eventually(lambda: len(rig.executor.started) == 1)
    rig.executor.end(rig.executor.started[0], Answer(None, None))
    eventually(lambda: len(rig.executor.started) == 2)
    rig.executor.end(rig.executor.started[1])
    eventually(lambda: client.view(ticket).state == "done")


def test_forgets_what_nobody_waits_for(make: Callable[..., Rig]) -> None:
    rig = make()
    client = rig.client()
    for tag in range(3):
        ticket = client.submit(FakeSpec(tag=tag))
        eventually(lambda: len(rig.executor.started) == tag + 1)  # noqa: B023
        rig.executor.end(rig.executor.started[-1], Failure("failed", "No luck") if tag == 1 else None)
        eventually(lambda: client.view(ticket).ended)  # noqa: B023
        assert client.view(ticket).error == ("No luck" if tag == 1 else "")
    rows = lambda: rig.table._execute("SELECT count(*) FROM jobs")[0][0]  # noqa: E731
    eventually(lambda: rows() == 0 and rig.table.tickets() == [])


def test_says_when_no_worker_can_be_had(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.executor.slots = 0
    client = rig.client()
    ticket = client.submit(FakeSpec(tag=1))
    eventually(lambda: client.view(ticket).stage == "The worker is starting")
    rig.executor.problem = "No worker today"
    eventually(lambda: client.view(ticket).state == "failed")
    assert client.view(ticket).error == "No worker today"


def test_a_fault_in_the_dispatcher_fails_the_run_and_not_the_dispatcher(
    make: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make()
    client = rig.client()

    def broken(*arguments: object) -> str:
        raise RuntimeError("inside")

    with monkeypatch.context() as context:
        context.setattr(rig.store, "put", broken)
        ticket = client.submit(FakeSpec(tag=1))
        eventually(lambda: len(rig.executor.started) == 1)
        rig.executor.end(rig.executor.started[0])
        eventually(lambda: client.view(ticket).state == "failed")
    assert "RuntimeError" in client.view(ticket).error
    assert "inside" not in client.view(ticket).error
    after = client.submit(FakeSpec(tag=2))
    eventually(lambda: client.view(after).state == "running")


def test_warms_when_there_is_nothing_else_to_do(make: Callable[..., Rig]) -> None:
    rig = make(warm=["digits-cnn"])
    rig.executor.slots = 1
    eventually(lambda: len(rig.executor.started) == 1)
    [task] = rig.executor.started
    assert (task.spec, task.scenario, task.patient) == (None, "digits-cnn", False)
    card = ScenarioCard(name="digits-cnn", title="Digits", fingerprint="f", classes=("0", "1"))
    rig.dispatcher.updated(task.name, Update("", card=card.model_dump_json()))
    eventually(lambda: rig.store.card("digits-cnn") == card)  # while it still runs
    client = rig.client()
    asked = client.submit(FakeSpec(tag=1))
    joined = client.prepare("digits-cnn")
    eventually(lambda: client.view(joined).state == "running")
    rig.dispatcher.ended(task.name, Answer(None, card.model_dump_json()))
    eventually(lambda: client.view(asked).state == "running")
    assert client.view(joined) == View("done", stage="", seconds=client.view(joined).seconds)


def test_questions_come_before_warming(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.executor.slots = 0
    rig.table.ask("own", module.OWN, "prepare digits-cnn")
    client = rig.client()
    first, second = client.submit(FakeSpec(tag=1)), client.submit(FakeSpec(tag=2))
    eventually(lambda: [client.view(first).position, client.view(second).position] == [1, 2])
    eventually(lambda: len(rig.dispatcher._queued) == 3)
    rig.executor.slots = 3
    eventually(lambda: len(rig.executor.started) == 3)
    assert [task.scenario for task in rig.executor.started] == ["", "", "digits-cnn"]


def test_refuses_what_would_take_long_to_prepare(make: Callable[..., Rig]) -> None:
    from gif_dash.specs import RemovalSpec

    rig = make()
    client = rig.client()
    with pytest.raises(SpecError, match="gif-dash prepare mnist-cnn"):
        client.submit(RemovalSpec(scenario="mnist-cnn"))
    with pytest.raises(SpecError, match="gif-dash prepare mnist-cnn"):
        client.prepare("mnist-cnn")
    with pytest.raises(SpecError, match="no scenario named 'none'; choose from digits-cnn"):
        client.submit(RemovalSpec(scenario="none"))
    rig.table.ask("forged", "asker", RemovalSpec(scenario="mnist-cnn").canonical())  # past the client
    rig.table.ask("broken", "asker", '{"experiment":"removal","mr":-1}')
    rig.table.ask("foreign", "asker", '{"experiment":"os.system"}')
    for ticket, word in (("forged", "not prepared"), ("broken", "MR"), ("foreign", "no such experiment")):
        eventually(lambda: (state := rig.table.look(ticket)) is not None and state.state == "failed")  # noqa: B023
        assert word in rig.table.look(ticket).error  # type: ignore[union-attr]
    assert rig.executor.started == []


def test_a_question_that_kills_its_workers_is_given_up_after_the_second_time(make: Callable[..., Rig]) -> None:
    rig = make()
    client, other = rig.client(), rig.client()
    for place, error in enumerate(("gone", GIVEN_UP)):
        ticket = client.submit(FakeSpec(tag=13))
        eventually(lambda place=place: len(rig.executor.started) == place + 1)  # type: ignore[misc]
        rig.executor.end(rig.executor.started[-1], Failure("failed", "gone", lost=True))
        eventually(lambda ticket=ticket: client.view(ticket).ended)  # type: ignore[misc]
        assert client.view(ticket).error == error
    again = other.submit(FakeSpec(tag=13))  # whoever asks
    eventually(lambda: other.view(again).ended)
    assert other.view(again).error == GIVEN_UP
    assert rig.started == [13, 13]
    fine = client.submit(FakeSpec(tag=14))
    eventually(lambda: len(rig.executor.started) == 3)
    rig.executor.end(rig.executor.started[-1])
    eventually(lambda: client.view(fine).state == "done")


def test_a_cancelled_run_whose_worker_was_killed_is_no_suspect(make: Callable[..., Rig]) -> None:
    rig = make()
    client = rig.client()
    for place in range(3):
        ticket = client.submit(FakeSpec(tag=13))
        eventually(lambda place=place: len(rig.executor.started) == place + 1)  # type: ignore[misc]
        client.cancel(ticket)
        eventually(lambda place=place: len(rig.executor.stopped) == place + 1)  # type: ignore[misc]
        rig.executor.end(rig.executor.started[-1], Failure("failed", "gone", lost=True))
    ticket = client.submit(FakeSpec(tag=13))
    eventually(lambda: len(rig.executor.started) == 4)
    rig.executor.end(rig.executor.started[-1])
    eventually(lambda: client.view(ticket).state == "done")


def test_who_has_too_many_questions_waiting_is_told(make: Callable[..., Rig]) -> None:
    rig = make(limits=Limits(queued=2))
    client, other = rig.client(), rig.client()
    first, second = (client.submit(FakeSpec(tag=tag)) for tag in (1, 2))
    third = client.submit(FakeSpec(tag=3))
    eventually(lambda: client.view(third).ended)
    assert client.view(third).state == "failed"
    assert "2 questions" in client.view(third).error
    eventually(lambda: client.view(first).state == "running")
    assert client.view(second).state == "queued"
    fine = other.submit(FakeSpec(tag=4))  # another visitor has room
    eventually(lambda: other.view(fine).position > 0)
    client.cancel(second)
    again = client.submit(FakeSpec(tag=3))
    eventually(lambda: client.view(again).position > 0)


def test_what_takes_too_long_is_stopped_with_a_sentence(make: Callable[..., Rig]) -> None:
    rig = make(limits=Limits(minutes=0.2 / 60))
    client = rig.client()
    ticket = client.submit(FakeSpec(tag=1))
    eventually(lambda: rig.executor.stopped)
    eventually(lambda: client.view(ticket).ended)
    assert "limit of this server" in client.view(ticket).error
    rig.executor.end(rig.executor.started[0], Failure("cancelled"))
    assert "limit of this server" in client.view(ticket).error


def test_samples_have_a_limit() -> None:
    limits = Limits(samples=1024)
    limits.check(RemovalSpec(), 1000)
    with pytest.raises(SpecError, match=r"at most 1,024 on this server") as raised:
        limits.check(RemovalSpec(forget_samples=1025), 0)
    assert raised.value.field == "forget_samples"
