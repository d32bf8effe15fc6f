"""The result store: what is kept, who may share it, and what happens to a file that cannot be used."""

from __future__ import annotations

import functools
import math
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gif_dash.compute import keys
from gif_dash.compute import store as module
from gif_dash.compute.jobs import JobTable
from gif_dash.compute.store import SCHEMA, Store, open_store
from gif_dash.compute.work import Answer, pack, unpack
from gif_dash.results import Result, ScenarioCard
from gif_dash.specs import RemovalSpec, ToySpec

CARD = ScenarioCard(name="digits-cnn", title="Digits", fingerprint="abc", evidence={"/a": (1, 2)})


def result(value: float = 1.0) -> Result:
    table = pd.DataFrame(
        {
            "method": ["gif", "fif", "pif", None],
            "scalar": [0.1, math.nan, math.inf, -math.inf],
            "count": np.array([1, 2, 3, 2**62], dtype=np.int64),
            "flag": [True, False, True, False],
            "value": [value, 1 / 3, 5e-324, 1.7976931348623157e308],
        }
    )
    empty = pd.DataFrame({"a": pd.Series(dtype="float64"), "b": pd.Series(dtype="int64")})
    provenance = {"seconds": math.nan, "note": "Größe – ✓", "nested": {"list": [1, None, math.inf]}}
    return Result(
        {"experiment": "toy", **ToySpec().model_dump(mode="json")}, {"main": table, "empty": empty}, provenance
    )


def answer(value: float = 1.0, card: ScenarioCard | None = None) -> Answer:
    return Answer(pack(result(value)), None if card is None else card.model_dump_json(), 0.25)


def same(left: Result, right: Result) -> None:
    assert left.spec == right.spec
    assert list(left.tables) == list(right.tables)
    for name, table in left.tables.items():
        pd.testing.assert_frame_equal(table, right.tables[name], check_exact=True)
    assert repr(left.provenance) == repr(right.provenance)  # NaN differs from itself


def test_results_come_back_bit_by_bit_also_from_a_new_store(tmp_path: Path) -> None:
    store = Store(tmp_path)
    key = store.put(ToySpec(), answer())
    assert key == keys.result_key(ToySpec(), "")
    for again in (store, Store(tmp_path)):
        found = again.get(key)
        assert found is not None
        same(found, result())
        assert again.warning == ""
    assert store.get("0" * 64) is None
    same(unpack(pack(result())), result())


def test_known_fingerprints_are_of_this_question_and_of_todays_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    spec = RemovalSpec()
    assert store.known(spec) == frozenset()
    store.put(spec, answer(card=CARD))
    store.put(spec, answer(card=CARD.model_copy(update={"fingerprint": "def"})))
    assert store.known(spec) == {"abc", "def"}
    assert store.known(RemovalSpec(mr=1)) == frozenset()
    monkeypatch.setattr(keys, "_code_hash", lambda module: "changed")
    assert store.known(spec) == frozenset()
    store.put(spec, answer(card=CARD))
    history = store.history("removal")
    assert [row.code == "changed" for row in history] == [True, False, False]  # rows of older code stay
    assert {row.scenario for row in history} == {"digits-cnn"}
    assert store.history("toy") == []
    assert history[0].spec == spec.canonical()
    assert history[0].seconds == 0.25


def test_cards(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.card("digits-cnn") is None
    store.put(RemovalSpec(), answer(card=CARD))
    assert store.card("digits-cnn") == CARD
    newer = CARD.model_copy(update={"fingerprint": "new", "test_accuracy": 98.5})
    store.put_card(newer)
    assert Store(tmp_path).card("digits-cnn") == newer


def test_a_card_of_another_version_is_no_card(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with sqlite3.connect(store.path) as other:
        other.execute("INSERT INTO cards VALUES ('digits-cnn', '{\"unknown\": 1}')")
    other.close()
    assert store.card("digits-cnn") is None


@pytest.mark.parametrize("damage", ["garbage", "foreign", "version", "tables", "torn"])
def test_an_unusable_file_is_set_aside_and_kept(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "store.sqlite"
    if damage == "garbage":
        path.write_bytes(b"this is no database\n" * 200)
    elif damage == "foreign":
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE recipes (name TEXT)")
        other.close()
    else:
        old = Store(tmp_path)
        for mr in range(1, 40):
            old.put(RemovalSpec(mr=mr), answer(card=CARD))
        old.close()
        if damage == "torn":
            data = bytearray(path.read_bytes())
            data[4096:] = os.urandom(len(data) - 4096)  # the first page is whole, so the file opens
            path.write_bytes(data)
        else:
            with sqlite3.connect(path) as other:
                other.execute(f"PRAGMA user_version = {SCHEMA + 1}" if damage == "version" else "DROP TABLE cards")
            other.close()
    before = path.read_bytes()

    store = Store(tmp_path)
    key = store.put(ToySpec(), answer())
    found = store.get(key)
    assert found is not None
    same(found, result())
    assert "set aside" in store.warning
    [aside] = tmp_path.glob("store.set-aside-*.sqlite")
    assert aside.read_bytes() == before
    assert aside.name in store.warning
    fresh = Store(tmp_path)
    assert fresh.get(key) is not None
    assert fresh.warning == ""


def test_damage_while_open_is_noticed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for mr in range(1, 40):
        store.put(RemovalSpec(mr=mr), answer(card=CARD))
    store.close()
    store = Store(tmp_path)
    size = store.path.stat().st_size
    with store.path.open("r+b") as stream:
        stream.seek(4096)
        stream.write(os.urandom(size - 4096))
    assert store.get(keys.result_key(RemovalSpec(mr=1), "abc")) is None
    assert "set aside" in store.warning
    key = store.put(ToySpec(), answer())
    assert Store(tmp_path).get(key) is not None


def test_a_deleted_file_is_made_anew(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    store.put(ToySpec(), answer())
    for file in (tmp_path / "cache").iterdir():
        file.unlink()
    key = store.put(ToySpec(seed=1), answer())
    assert Store(tmp_path / "cache").get(key) is not None
    assert len(Store(tmp_path / "cache").history()) == 1


def test_a_folder_that_cannot_be_made_means_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = Store(tmp_path / "file" / "cache")
    key = store.put(RemovalSpec(), answer(card=CARD))
    assert "memory" in store.warning
    found = store.get(key)
    assert found is not None
    same(found, result())
    assert store.card("digits-cnn") == CARD
    assert store.known(RemovalSpec()) == {"abc"}
    assert len(store.history()) == 1


def test_a_full_disk_means_memory_and_keeps_what_there_was(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = store.put(ToySpec(), answer())
    assert store._disk is not None
    store._disk.execute("PRAGMA max_page_count = 1")  # SQLite raises it to the present size: not one page more
    big = Result({"experiment": "toy"}, {"noise": pd.DataFrame({"x": np.random.default_rng(0).random(20_000)})})
    second = store.put(ToySpec(seed=1), Answer(pack(big), None))
    assert "full" in store.warning
    assert store.get(first) is not None
    found = store.get(second)
    assert found is not None
    same(found, big)
    assert Store(tmp_path).get(second) is None


READ_ONLY = """
import os, sys
from pathlib import Path
from gif_dash.compute.store import Store
from gif_dash.compute.work import Answer
from gif_dash.specs import ToySpec, RemovalSpec
from gif_dash.compute.keys import code_hash
folder = Path(sys.argv[1])
code_hash("toy")  # the sources may be out of reach afterwards
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
store = Store(folder)
assert store.get(sys.argv[2]) is not None, "what is stored can be read"
key = store.put(ToySpec(seed=5), Answer(store.get_packed(sys.argv[2]), None))
assert store.get(key) is not None, "what is new is kept in memory"
assert "memory" in store.warning, store.warning
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_read_only_folder_is_read_and_not_written(tmp_path_factory: pytest.TempPathFactory) -> None:
    import tempfile

    folder = Path(tempfile.mkdtemp())  # pytest's own folders cannot be entered by other users
    try:
        store = Store(folder)
        key = store.put(ToySpec(), answer())
        store.close()
        before = sorted((file.name, file.read_bytes()) for file in folder.iterdir())
        (folder / "store.sqlite").chmod(0o444)
        folder.chmod(0o555)
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, str(folder), key], capture_output=True, text=True, cwd="/"
        )
        assert done.returncode == 0, done.stderr
        assert sorted((file.name, file.read_bytes()) for file in folder.iterdir()) == before
    finally:
        folder.chmod(0o700)
        shutil.rmtree(folder)


#: From now on SQLite itself refuses WAL, as on a file system that cannot share memory.
REFUSING = """
from gif_dash.compute import store
real = store._sqlite
def refusing(uri):
    return real(uri) if "memory" in uri else real(uri + ("&" if "?" in uri else "?") + "vfs=unix-dotfile")
store._sqlite = refusing
"""

WRITER = """
import sys, time
from pathlib import Path
from gif_dash.compute.store import Store
from gif_dash.compute.work import Answer
from gif_dash.specs import ToySpec
while not Path(sys.argv[1], "go").exists():
    time.sleep(0.01)
store = Store(Path(sys.argv[1], "cache"))
for seed in range(30):
    store.put(ToySpec(seed=1000 * int(sys.argv[2]) + seed), Answer(b"x" * 5000, None))
assert store.warning == "", store.warning
"""


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that refuses WAL; what this process does is undone."""
    monkeypatch.setattr(module, "_sqlite", module._sqlite)
    exec(REFUSING, {})


def journal(store: Store) -> str:
    assert store._disk is not None
    mode: str = store._disk.execute("PRAGMA journal_mode").fetchone()[0]
    return mode


@pytest.mark.skipif(sys.platform == "win32", reason="a VFS of POSIX systems")
@pytest.mark.usefixtures("refused")
def test_where_wal_is_refused_several_processes_share_the_file_all_the_same(tmp_path: Path) -> None:
    program = REFUSING + WRITER
    writers = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(number)]) for number in range(2)]
    (tmp_path / "go").touch()
    store = Store(tmp_path / "cache")
    assert journal(store) == "delete"
    for seed in range(30):
        store.put(ToySpec(seed=1000 * 7 + seed), Answer(b"y" * 5000, None))
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    assert store.warning == ""
    assert len(store.history()) == 90
    key, before = store.put(ToySpec(), answer()), store.version()
    found = Store(tmp_path / "cache").get(key)
    assert found is not None
    same(found, result())
    Store(tmp_path / "cache").rename(key, "mine")
    assert store.version() != before, "changes of others are seen"
    assert not list((tmp_path / "cache").glob("*-wal"))


@pytest.mark.skipif(sys.platform == "win32", reason="a VFS of POSIX systems")
def test_a_file_with_a_log_that_comes_to_a_folder_that_refuses_wal(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store = Store(tmp_path / "here")
    assert journal(store) == "wal"
    keys_ = [store.put(ToySpec(seed=seed), answer()) for seed in range(5)]
    assert (tmp_path / "here" / "store.sqlite-wal").stat().st_size > 0
    shutil.copytree(tmp_path / "here", tmp_path / "there")  # as after a crash: what was done last is in the log only
    request.getfixturevalue("refused")
    moved = Store(tmp_path / "there")
    assert moved.warning == ""
    assert journal(moved) == "delete"
    assert all(moved.get(key) is not None for key in keys_)
    key = moved.put(ToySpec(seed=7), answer())
    again = Store(tmp_path / "there")
    assert again.get(key) is not None
    assert len(again.history()) == 6


def test_where_asking_for_wal_is_an_error_the_rollback_journal_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing(sqlite3.Connection):
        def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
            if "WAL" in sql:
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR
                raise error
            return super().execute(sql, *values)

    monkeypatch.setattr(sqlite3, "connect", functools.partial(sqlite3.connect, factory=Refusing))
    store, table = Store(tmp_path), JobTable(tmp_path)
    assert journal(store) == "delete"
    key = store.put(ToySpec(), answer())
    assert Store(tmp_path).get(key) is not None
    assert store.warning == ""
    table.ask("ticket", "asker", "spec")
    assert [ticket.ticket for ticket in JobTable(tmp_path).tickets()] == ["ticket"]


KILLED = """
import os, signal, sys
from pathlib import Path
from gif_dash.compute.store import Store
from gif_dash.compute.work import Answer
from gif_dash.specs import ToySpec
store = Store(Path(sys.argv[1]))
store.put(ToySpec(seed=1), Answer(b"x" * 5000, None))
store._disk.execute("BEGIN IMMEDIATE")
store._disk.execute("UPDATE results SET result = zeroblob(2000000)")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_process_that_is_killed_while_it_writes_loses_only_that(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode < 0
    store = Store(tmp_path)
    key = keys.result_key(ToySpec(seed=1), "")
    assert store.get_packed(key) == b"x" * 5000
    assert store.put(ToySpec(seed=2), answer())
    assert store.warning == ""


def test_several_processes_and_threads_share_one_file(tmp_path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(number)]) for number in range(3)]
    (tmp_path / "go").touch()
    store = Store(tmp_path / "cache")

    def write(number: int) -> None:
        for seed in range(30):
            store.put(ToySpec(seed=1000 * number + seed), Answer(b"y" * 5000, None))

    threads = [threading.Thread(target=write, args=(number,)) for number in (3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    assert store.warning == ""
    assert len(store.history()) == 150


def test_a_damaged_file_is_set_aside_once_by_many(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_bytes(b"garbage " * 1000)
    stores: list[Store] = []
    threads = [threading.Thread(target=lambda: stores.append(Store(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [store.put(ToySpec(seed=seed), answer()) for seed, store in enumerate(stores)]
    assert all(stores[0].get(key) is not None for key in found)
    assert len(list(tmp_path.glob("store.set-aside-*.sqlite"))) == 1


def test_one_store_object_per_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIF_DASH_CACHE", str(tmp_path / "a"))
    store = open_store()
    assert open_store() is store
    assert store.path == tmp_path / "a" / "store.sqlite"
    monkeypatch.setenv("GIF_DASH_CACHE", str(tmp_path / "b"))
    assert open_store() is not store
