"""Temporary folders that are swept when their owner has been killed.

Every folder is locked by the process that made it, and a lock ends with its process, however it ends. So a folder that
can be locked by another process has no owner any more. Process numbers, which come again, have no part in this.
(systemd's clearing of temporary files, too, leaves a locked folder alone, however old the files in it are.)
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
#: A file that is there from the time when the folder has been locked; without it, a folder is not deleted.
MARK = "locked"

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
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}-"))
        lock = _lock(folder, new=True)
        if lock is not None:  # else there are no locks here, and it is never swept
            _locks[folder] = lock
            (folder / MARK).touch()
        return folder


def remove(folder: Path) -> None:
    """Delete a folder that `make` made; no error if it is gone already."""
    with _guard:
        _delete(folder, _locks.pop(folder, None))


def sweep(where: Path) -> list[Path]:
    """Delete the folders in `where` whose owner is dead.

    A folder is left alone when it is a link, belongs to another user, can be written by others, has no mark (it is
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
    """Whether this user made it, it was locked once, and nobody else can change what is in it."""
    try:
        status, mark = folder.lstat(), (folder / MARK).lstat()
    except OSError:
        return False
    if not stat.S_ISDIR(status.st_mode) or not stat.S_ISREG(mark.st_mode):
        return False
    return sys.platform == "win32" or (status.st_uid == os.getuid() and not status.st_mode & 0o022)


def _lock(folder: Path, *, new: bool = False) -> int | None:
    """A descriptor that holds the folder's lock; None if another process has it, or the folder is going."""
    if sys.platform == "win32":  # a file that somebody has open cannot be deleted there
        with suppress(OSError):
            if not new:
                (folder / MARK).unlink()
            return os.open(folder / MARK, os.O_RDWR | os.O_CREAT)
    else:
        with suppress(OSError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(lock), folder.lstat()):  # not deleted, nor made anew, since it was opened
                    return lock
            except OSError:
                pass
            os.close(lock)
    return None


def _delete(folder: Path, lock: int | None) -> None:
    """The mark goes last: if this process is killed meanwhile, the next sweep goes on."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.name == MARK:
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
