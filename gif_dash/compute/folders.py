"""Temporary folders that are swept when their owner has been killed.

Every folder is locked by the process that made it, and a lock ends with its process, however it ends. So a folder that
can be locked by another process has no owner any more. Process numbers, which come again, have no part in this.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

log = logging.getLogger("gif_dash")

#: What the names of our folders begin with; other folders are not looked at.
PREFIX = "gif-dash-"
#: The file that is locked.
LOCK = "owner"

_locks: dict[Path, int] = {}
_guard = threading.Lock()
_swept: set[Path] = set()


def make(kind: str) -> Path:
    """A new folder of this process, readable by this user only; the first call sweeps what others left behind.

    Args:
        kind: a word for those who look into the temporary folder.
    """
    where = Path(tempfile.gettempdir())
    with _guard:
        if where not in _swept:
            _swept.add(where)
            sweep(where)
        for _ in range(5):
            folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}-"))
            if (lock := _lock(folder, os.O_CREAT)) is not None:
                _locks[folder] = lock
                return folder
            shutil.rmtree(folder, ignore_errors=True)  # another process took the lock in that very moment
        return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}-"))  # there are no locks here; it is never swept


def remove(folder: Path) -> None:
    """Delete a folder that `make` made; no error if it is gone already."""
    with _guard:
        lock = _locks.pop(folder, None)
        _delete(folder, lock)


def sweep(where: Path) -> list[Path]:
    """Delete the folders in `where` whose owner is dead.

    A folder is left alone when it is a link, belongs to another user, can be written by others, has no lock file (it is
    being made, or is none of ours), or is locked.

    Returns:
        What was deleted.
    """
    deleted = []
    try:
        with os.scandir(where) as entries:
            found = [Path(entry.path) for entry in entries if entry.name.startswith(PREFIX)]
    except OSError:
        return []
    for folder in found:
        if folder not in _locks and _ours(folder) and (lock := _lock(folder)) is not None:
            _delete(folder, lock)
            deleted.append(folder)
    if deleted:
        log.info("deleted %d folders that a killed process had left in %s", len(deleted), where)
    return deleted


def _ours(folder: Path) -> bool:
    """Whether this user made it and nobody else can change what is in it."""
    try:
        status = folder.lstat()
    except OSError:
        return False
    if not stat.S_ISDIR(status.st_mode):
        return False
    return sys.platform == "win32" or (status.st_uid == os.getuid() and not status.st_mode & 0o022)


def _lock(folder: Path, flags: int = 0) -> int | None:
    """A descriptor that holds the folder's lock; None if another process has it or the folder is going."""
    path = folder / LOCK
    if sys.platform == "win32" and not flags:
        with suppress(OSError):  # a file that somebody has open cannot be deleted there
            path.unlink()
            return os.open(path, os.O_RDWR | os.O_CREAT)
        return None
    try:
        lock = os.open(path, os.O_RDWR | flags | getattr(os, "O_NOFOLLOW", 0), 0o600)
    except OSError:
        return None
    if sys.platform == "win32":
        return lock
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), path.lstat()):  # not deleted, nor made anew, since it was opened
            return lock
    except OSError:
        pass
    os.close(lock)
    return None


def _delete(folder: Path, lock: int | None) -> None:
    """The lock file goes last: who finds the folder half deleted can go on."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.name == LOCK:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with suppress(OSError):
                    path.unlink()
    if lock is not None and sys.platform == "win32":
        os.close(lock)
    shutil.rmtree(folder, ignore_errors=True)
    if lock is not None and sys.platform != "win32":
        os.close(lock)
