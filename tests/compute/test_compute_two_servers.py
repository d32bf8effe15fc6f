"""Two servers on one cache folder at the same time: nothing is lost, and each finds what the other has computed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from compute_fakes import FakeSpec
from compute_trains import TrainSpec
from test_compute_server import Served, stopped

from gif_dash.compute.store import Store
from gif_dash.specs import Spec

pytestmark = pytest.mark.timeout(180)

VISITOR = """
import sys, time
import compute_fakes, compute_trains
from gif_dash import catalog
for entry in (*compute_fakes.ENTRIES, compute_trains.ENTRY):
    catalog.EXPERIMENTS[entry.name] = entry
catalog.SCENARIOS["tiny"] = compute_fakes.SCENARIO
from gif_dash.compute.client import connect
from gif_dash.compute.work import spec_from
client = connect()
for text in sys.argv[1:]:
    ticket = client.submit(spec_from(text))
    while not (view := client.view(ticket)).ended:
        time.sleep(0.02)
    assert view.state == "done", view
    assert client.warning == "", client.warning
    print(view.result.table.iloc[0, 0])
"""


class Visitor:
    """Asks one question after the other, of one server."""

    def __init__(self, server: Served, *specs: Spec) -> None:
        words = [sys.executable, "-c", VISITOR, *(spec.canonical() for spec in specs)]
        environment = {**server.environment, **server.said}
        self.process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)

    def answers(self) -> list[str]:
        out, _ = self.process.communicate(timeout=90)
        assert self.process.returncode == 0
        return out.split()


@pytest.fixture
def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Served, Served]]:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tiny.txt").write_text("1")
    monkeypatch.setenv("GIF_DASH_DATA", str(tmp_path / "data"))
    with ExitStack() as stack:
        one, two = (stack.enter_context(stopped(Served(tmp_path))) for _ in range(2))
        yield one, two


def lines(spec: FakeSpec) -> list[str]:
    return Path(spec.log).read_text().splitlines()


def test_the_same_missing_reference_is_trained_by_both_and_nothing_is_lost(
    servers: tuple[Served, Served], tmp_path: Path
) -> None:
    one, two = servers
    spec = TrainSpec(steps=2, log=str(tmp_path / "same"))
    asked = [Visitor(server, spec) for server in servers]
    states = {state for visitor in asked for state in visitor.answers()}
    assert len(states) == 1, "the same network, bit by bit"
    assert [line.split()[1] for line in lines(spec)] == ["missing", "missing"], "both have trained it"
    assert len({line.split()[0] for line in lines(spec)}) == 2

    store = Store(tmp_path / "cache")
    assert [row.spec for row in store.history("train")] == [spec.canonical()]
    files = sorted(path.name for path in (tmp_path / "cache" / "checkpoints").iterdir())
    assert len(files) == 2, "network and reference, each once; nothing half written or set aside"
    assert all(name.endswith(".safetensors") for name in files)
    again = TrainSpec(steps=0, log=str(tmp_path / "again"))  # another question that needs the same reference
    assert Visitor(one, again).answers() == [*states]
    assert lines(again)[0].endswith("found")
    assert Visitor(two, again).answers() == [*states], "the other's answer"
    assert len(lines(again)) == 1


def test_many_questions_of_both_at_once_and_one_server_killed(servers: tuple[Served, Served], tmp_path: Path) -> None:
    one, two = servers
    log = str(tmp_path / "log")
    mine = [FakeSpec(steps=2, tag=tag, log=log) for tag in range(8)]
    yours = [FakeSpec(steps=2, tag=tag, log=log) for tag in range(4, 12)]
    asked = [Visitor(one, *mine), Visitor(two, *reversed(yours))]
    for visitor in asked:
        assert len(visitor.answers()) == 8
    store = Store(tmp_path / "cache")
    expected = {spec.canonical() for spec in (*mine, *yours)}
    assert {row.spec for row in store.history("fake")} == expected
    assert len(store.history("fake")) == 12

    endless = FakeSpec(steps=100_000, tag=99, log=str(tmp_path / "endless"))
    lost = Visitor(one, endless)
    limit = time.monotonic() + 30
    while not (tmp_path / "endless").exists():
        assert time.monotonic() < limit
        time.sleep(0.02)
    one.process.kill()
    one.process.wait()
    asked_before = len(lines(mine[0]))
    assert len(Visitor(two, *mine, FakeSpec(steps=2, tag=50, log=log)).answers()) == 9
    assert len(lines(mine[0])) == asked_before + 1, "what the killed one had computed is there"
    lost.process.kill()
    lost.process.wait()
    assert store.warning == ""
    assert not list((tmp_path / "cache").glob("*set-aside*"))
