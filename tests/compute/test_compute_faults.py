"""What a full disk, a damaged checkpoint or a cache that cannot be written does to those who ask: one sentence each."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from compute_fakes import FakeScenarioSpec, FakeSpec

from gif_dash import notices
from gif_dash.compute import client as module
from gif_dash.compute import store
from gif_dash.compute.client import View, connect
from gif_dash.compute.dask_executor import DaskExecutor
from gif_dash.compute.dispatcher import Dispatcher
from gif_dash.compute.jobs import JobTable
from gif_dash.scenarios import checkpoints, prepared
from gif_dash.specs import SpecError


@pytest.fixture(autouse=True)
def _nothing_said_yet(own_folders: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_stores", {})
    monkeypatch.setattr(notices, "_said", {})
    prepared._kept.clear()


def ask(spec: FakeScenarioSpec) -> tuple[View, str]:
    """The answer, and what the page would say above it."""
    client = connect()
    ticket = client.submit(spec)
    limit = time.monotonic() + 60
    while not (view := client.view(ticket)).ended:
        assert time.monotonic() < limit
        time.sleep(0.01)
    return view, client.warning


def full(*_: object, **__: object) -> Any:
    raise OSError(28, "No space left on device")


def test_a_disk_that_fills_up_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert connect().warning == "", "all was well at the beginning"

    real = store.Store._write

    def write(self: store.Store, change: Any) -> None:
        def on_full_disk(connection: sqlite3.Connection) -> None:
            if connection is self._disk:
                raise sqlite3.OperationalError("database or disk is full")
            change(connection)

        real(self, on_full_disk)

    monkeypatch.setattr(store.Store, "_write", write)
    monkeypatch.setattr(checkpoints.tempfile, "mkstemp", full)
    view, said = ask(FakeScenarioSpec(log=str(tmp_path / "log")))
    assert view.state == "done", view.error
    assert view.result is not None
    assert "Trained networks are not kept" in said
    assert "No space left on device" in said
    assert "Results are kept in memory only" in said
    assert "disk is full" in said


def test_a_temporary_folder_that_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HEARTBEAT", 0.1)
    client, log = connect(), str(tmp_path / "log")
    short, endless = FakeSpec(steps=20, log=log), FakeSpec(steps=10_000, log=log)
    asked = client.submit(short)
    real = JobTable._execute

    def execute(self: JobTable, sql: str, values: tuple[object, ...] = ()) -> Any:
        if not sql.startswith("SELECT"):
            raise sqlite3.OperationalError("database or disk is full")
        return real(self, sql, values)

    def ended() -> bool:
        time.sleep(0.05)
        return client.view(asked).ended

    while not client.view(asked).partial:
        time.sleep(0.01)
    monkeypatch.setattr(JobTable, "_execute", execute)
    until(ended, 10)
    assert client.view(asked).error.endswith("cannot be written (database or disk is full)")
    with pytest.raises(SpecError, match=r"temporary folder .* cannot be written \(database or disk is full\)"):
        client.submit(endless)
    until(lambda: client.stored(short) is not None, 10)  # the answer came while nobody could be told
    monkeypatch.setattr(JobTable, "_execute", real)
    asked = client.submit(FakeSpec(steps=1, log=log))
    until(ended, 30)
    assert client.view(asked).state == "done"
    assert client.stored(endless) is None


def until(condition: Callable[[], object], seconds: float) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "did not happen in time"
        time.sleep(0.02)


FULL = """
import tempfile
real = tempfile.mkstemp
def mkstemp(*args, dir=None, **names):
    if str(dir).endswith("checkpoints"):
        raise OSError(28, "No space left on device")
    return real(*args, dir=dir, **names)
tempfile.mkstemp = mkstemp
"""


def test_a_disk_that_is_full_in_a_worker_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONHASHSEED"):
        monkeypatch.setenv(name, "1")  # Dask sets them, and here as well
    (tmp_path / "sitecustomize.py").write_text(FULL)  # read by every Python that starts from now on
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    kept = store.open_store()
    executor = DaskExecutor(threads=1, torch=False)
    running = Dispatcher(JobTable(tmp_path), executor, kept)
    running.open()
    try:
        client = module.TableClient(tmp_path, kept)
        ticket = client.submit(FakeScenarioSpec(log=str(tmp_path / "log")))
        limit = time.monotonic() + 120
        while not (view := client.view(ticket)).ended:
            assert time.monotonic() < limit
            time.sleep(0.02)
        assert view.state == "done", view.error
        assert "Trained networks are not kept" in client.warning
        assert "No space left on device" in client.warning
    finally:
        running.close()


@pytest.mark.parametrize("damage", ["truncated", "another architecture", "foreign"])
def test_a_damaged_checkpoint_is_said_on_the_page(tmp_path: Path, damage: str) -> None:
    spec = FakeScenarioSpec(log=str(tmp_path / "log"))
    assert ask(spec)[1] == ""
    (path,) = (tmp_path / "cache" / "checkpoints").glob("*.safetensors")
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-7])
    elif damage == "foreign":
        path.write_text("a letter to somebody")
    else:
        import torch

        checkpoints.save(path, torch.nn.Linear(5, 7).state_dict(), {"key": "other"})
    prepared._kept.clear()
    view, said = ask(spec.model_copy(update={"steps": 6}))
    assert view.state == "done", view.error
    assert f"{path} is not what it should be" in said
    assert "set aside and made again" in said
    assert path.with_name(path.name + ".damaged").is_file()
    assert said.count("set aside") == 1, "once"


RUN = """
import sys
import compute_fakes
from gif_dash import catalog
from gif_dash.compute.client import connect, execute
from gif_dash.progress import Silent
for entry in compute_fakes.ENTRIES:
    catalog.EXPERIMENTS[entry.name] = entry
catalog.SCENARIOS["tiny"] = compute_fakes.SCENARIO
result = execute(compute_fakes.FakeScenarioSpec(log=sys.argv[1]), Silent())
print(len(result.table), connect().warning)
"""


@pytest.mark.parametrize("fault", ["a file", "no home", "in a file"])
def test_a_cache_that_cannot_be(tmp_path: Path, fault: str) -> None:
    blocker = tmp_path / "blocker"
    blocker.write_text("in the way")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    if fault == "no home":
        for name in ("GIF_DASH_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
            environment.pop(name, None)
        environment |= {"HOME": str(blocker / "home"), "USERPROFILE": str(blocker / "home")}
    else:
        environment["GIF_DASH_CACHE"] = str(blocker if fault == "a file" else blocker / "cache")
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path / "log")],
        env=environment,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows, _, warning = done.stdout.strip().partition(" ")
    assert rows == "5"
    assert "Results are kept in memory only" in warning
    assert "Results are kept in memory only" in done.stderr, "the terminal has it"
    assert "Trained networks are not kept" in done.stderr
    assert "Traceback" not in done.stderr
    assert blocker.read_text() == "in the way"
