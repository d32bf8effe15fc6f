"""The compute side of a server as a process of its own: visitors in other processes, its end, its violent end."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import compute_fakes
import psutil
import pytest

from gif_dash import catalog

HERE = Path(__file__).parent

VISITOR = """
import os, sys, time
import compute_fakes
from gif_dash import catalog
for entry in compute_fakes.ENTRIES:
    catalog.EXPERIMENTS[entry.name] = entry
from gif_dash.compute.client import TableClient, connect
client = connect()
assert type(client) is TableClient
ticket = client.submit(compute_fakes.FakeSpec(mode=sys.argv[1], steps=int(sys.argv[2]), log=sys.argv[3]))
while not (view := client.view(ticket)).ended:
    time.sleep(0.02)
assert view.state == "done", view
assert view.result.provenance["pid"] != os.getpid()
assert not {"torch", "distributed", "dask"} & set(sys.modules)
print(view.result.provenance["pid"])
"""


class Served:
    def __init__(self, folder: Path) -> None:
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(HERE),
            "GIF_DASH_CACHE": str(folder / "cache"),
            "TMPDIR": str(folder),
        }
        self.process = subprocess.Popen(
            [sys.executable, HERE / "compute_served.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        assert self.process.stdout is not None
        self.said = json.loads(self.process.stdout.readline())

    @property
    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def visitor(self, mode: str, steps: int, log: Path) -> subprocess.Popen[str]:
        arguments = [sys.executable, "-c", VISITOR, mode, str(steps), str(log)]
        return subprocess.Popen(arguments, env={**self.environment, **self.said}, stdout=subprocess.PIPE, text=True)


@contextmanager
def stopped(server: Served) -> Iterator[Served]:
    """The server with all its processes, until the end."""
    family = server.family
    try:
        yield server
    finally:
        for process in [*family, *(server.family if server.process.poll() is None else [])]:
            if process.is_running():
                process.kill()
        server.process.kill()
        server.process.wait()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with stopped(Served(tmp_path)) as server:
        yield server


def test_visitors_are_answered_by_the_worker_and_nothing_stays(served: Served, tmp_path: Path) -> None:
    folder = Path(served.said["GIF_DASH_JOBS"])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    visitors = [served.visitor("count", 20, tmp_path / "log") for _ in range(2)]
    answers = {visitor.communicate(timeout=60)[0].strip() for visitor in visitors}
    family = served.family
    assert len(answers) == 1
    assert int(answers.pop()) in {process.pid for process in family}
    assert len((tmp_path / "log").read_text().splitlines()) == 1  # identical questions
    listening = [
        connection.laddr.ip
        for process in [psutil.Process(served.process.pid), *family]
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert set(listening) == {"127.0.0.1"}
    assert len(listening) == 3  # scheduler, nanny and worker; no pages of Dask's

    out, _ = served.process.communicate("\n", timeout=60)
    assert "closed" in out
    assert served.process.returncode == 0
    psutil.wait_procs(family, timeout=5)
    assert [process for process in family if process.is_running()] == []
    assert not folder.exists()
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("log", "cache")] == []


def test_tasks_wait_for_the_imports_and_can_be_cancelled_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gif_dash.compute import worker
    from gif_dash.compute.executors import Failure
    from gif_dash.compute.work import Answer, task_for

    class FakeWorker:
        address = "tls://127.0.0.1:1"
        said: ClassVar[list[str]] = []

        def log_event(self, topic: str, message: dict[str, Any]) -> None:
            self.said.append(message["stage"])

    imported = threading.Event()
    imports = threading.Thread(target=imported.wait)
    imports.start()
    monkeypatch.setattr(worker, "get_worker", FakeWorker)
    monkeypatch.setattr(worker, "_torch", imports)
    entries = {entry.name: entry for entry in compute_fakes.ENTRIES}
    monkeypatch.setitem(catalog.EXPERIMENTS, "fake", entries["fake"])
    spec = compute_fakes.FakeSpec(log=str(tmp_path / "log"))
    threading.Timer(0.3, worker.stop, ("one",)).start()
    assert worker.run(task_for(spec, "one")) == Failure("cancelled")
    assert FakeWorker.said == ["Loading PyTorch"]
    assert compute_fakes.runs(spec) == 0
    threading.Timer(0.3, imported.set).start()
    assert isinstance(worker.run(task_for(spec, "two")), Answer)
    assert FakeWorker.said[1] == "Loading PyTorch"
    assert FakeWorker.said[-1] == "Counting"
    assert compute_fakes.runs(spec) == 1


def test_killed_outright_it_leaves_no_process_and_the_next_one_sweeps(served: Served, tmp_path: Path) -> None:
    visitor = served.visitor("stubborn", 100_000, tmp_path / "log")
    try:
        limit = time.monotonic() + 60
        while not (tmp_path / "log").exists():
            assert time.monotonic() < limit
            assert visitor.poll() is None
            time.sleep(0.05)
        family = served.family
        assert any("multiprocessing" in " ".join(process.cmdline()) for process in family)
        served.process.kill()
        served.process.wait()
        _, alive = psutil.wait_procs(family, timeout=10)
        assert alive == []
    finally:
        visitor.kill()
        visitor.wait()
    before = {path.name for path in tmp_path.glob("gif-dash-*")}
    assert {name.rpartition("-")[0] for name in before} == {"gif-dash-jobs", "gif-dash-worker"}
    with stopped(Served(tmp_path)) as following:
        now = {path.name for path in tmp_path.glob("gif-dash-*")}
        assert not before & now, "what was left is gone"
        assert len(now) == 2
        following.process.communicate("\n", timeout=60)
    assert list(tmp_path.glob("gif-dash-*")) == []


def test_a_visitor_who_is_killed_and_comes_back_finds_the_run(served: Served, tmp_path: Path) -> None:
    killed = served.visitor("count", 200, tmp_path / "log")
    limit = time.monotonic() + 60
    while not (tmp_path / "log").exists():
        assert time.monotonic() < limit
        time.sleep(0.02)
    killed.kill()
    killed.wait()
    back = served.visitor("count", 200, tmp_path / "log")
    assert back.communicate(timeout=60)[0].strip()
    assert len((tmp_path / "log").read_text().splitlines()) == 1


def test_a_visitor_without_a_server_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gif_dash.compute.client import connect

    monkeypatch.setenv("GIF_DASH_JOBS", str(tmp_path / "gone"))
    with pytest.raises(RuntimeError, match="start gif-dash again"):
        connect()
