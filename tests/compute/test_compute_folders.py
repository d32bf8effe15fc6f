"""Temporary folders: swept when their owner has been killed, and never anybody else's."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gif_dash.compute import folders

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX locks and permissions")

OWNER = """
import sys
from gif_dash.compute import folders
print(folders.make("test"), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(folders, "_swept", set())
    return tmp_path


@pytest.fixture
def owner(where: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process, and the folder that it has made."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER],
        env={**os.environ, "TMPDIR": str(where)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    (folder / "below").mkdir()
    (folder / "below" / "jobs.sqlite").write_text("of value")
    yield process, folder
    process.kill()
    process.wait()


def test_the_folder_of_a_killed_process_goes_and_that_of_a_living_one_stays(
    where: Path, owner: tuple[subprocess.Popen[str], Path]
) -> None:
    process, folder = owner
    assert folder.parent == where
    assert folder.stat().st_mode & 0o077 == 0
    own = folders.make("test")  # this sweeps
    assert folder.is_dir(), "its owner lives"
    assert folders.sweep(where) == [], "nor does one sweep away one's own"
    process.kill()
    process.wait()
    assert folders.sweep(where) == [folder]
    assert list(where.iterdir()) == [own]
    folders.remove(own)
    folders.remove(own)
    assert list(where.iterdir()) == []


def test_a_sweep_that_was_killed_is_finished_by_the_next(
    where: Path, owner: tuple[subprocess.Popen[str], Path]
) -> None:
    process, folder = owner
    process.kill()
    process.wait()
    (folder / "below" / "jobs.sqlite").unlink()  # so far it had come
    folders.remove(folders.make("test"))
    assert list(where.iterdir()) == []


def test_others_are_left_alone(
    where: Path, owner: tuple[subprocess.Popen[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    process, dead = owner
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in ("gif-dash-fresh", "gif-dash-open", "gif-dash-chained", "other-program"):
        (where / name).mkdir(mode=0o700)
        (where / name / "precious").write_text("of value")
    (where / "gif-dash-open" / folders.MARK).touch()
    (where / "gif-dash-open").chmod(0o777)  # whoever likes could have put something there
    (where / "other-program" / folders.MARK).touch()
    (elsewhere / folders.MARK).touch()
    (elsewhere / "precious").write_text("of value")
    (where / "gif-dash-link").symlink_to(elsewhere)
    (where / "gif-dash-chained" / folders.MARK).symlink_to(elsewhere / folders.MARK)
    (where / "gif-dash-file").write_text("of value")
    (dead / "way-out").symlink_to(elsewhere)  # links in what is deleted are not followed
    (dead / "below" / "way-out").symlink_to(elsewhere)
    process.kill()
    process.wait()
    assert folders.sweep(where) == [dead]
    for name in ("gif-dash-fresh", "gif-dash-open", "gif-dash-chained", "other-program", "gif-dash-link"):
        assert (where / name / "precious").read_text() == "of value", name
    assert (where / "gif-dash-file").read_text() == "of value"
    assert (elsewhere / "precious").read_text() == "of value"


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give a folder away")
def test_folders_of_another_user_are_left_alone(where: Path, owner: tuple[subprocess.Popen[str], Path]) -> None:
    process, folder = owner
    process.kill()
    process.wait()
    os.chown(folder, 65534, 65534)
    assert folders.sweep(where) == []
    assert (folder / "below" / "jobs.sqlite").is_file()


def test_many_start_and_sweep_at_the_same_time(where: Path, owner: tuple[subprocess.Popen[str], Path]) -> None:
    process, dead = owner
    process.kill()
    process.wait()
    made: list[Path] = []
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OWNER],
            env={**os.environ, "TMPDIR": str(where)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    stop = threading.Event()

    def sweep() -> None:
        while not stop.is_set():
            folders.sweep(where)

    sweepers = [threading.Thread(target=sweep) for _ in range(3)]
    for sweeper in sweepers:
        sweeper.start()
    try:
        for each in processes:
            assert each.stdout is not None
            made.append(Path(each.stdout.readline().strip()))
        made += [folders.make("test") for _ in range(50)]
        stop.set()
        for sweeper in sweepers:
            sweeper.join()
        folders.sweep(where)
        assert not dead.exists()
        assert {path for path in where.iterdir() if any(path.iterdir())} == set(made), "nobody lost a living folder"
    finally:
        stop.set()
        for each in processes:
            each.kill()
            each.wait()
        for folder in made[4:]:
            folders.remove(folder)
    folders.sweep(where)
    assert [path for path in where.iterdir() if any(path.iterdir())] == []


def test_without_locks_a_folder_is_made_and_never_swept(where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(folders.fcntl, "flock", refuse)
    folder = folders.make("test")
    assert folder.is_dir()
    assert folders.sweep(where) == []
    folders.remove(folder)
    assert not folder.exists()
