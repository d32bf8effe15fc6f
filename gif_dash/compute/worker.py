"""The worker process of a server: prepared before it takes tasks, told to stop while one runs."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from contextlib import suppress

from distributed import Worker, get_worker

from gif_dash import catalog
from gif_dash.compute.executors import Failure, attempt
from gif_dash.compute.reporter import Update, Wishes
from gif_dash.compute.work import Answer, Task

#: Topic of the events by which tasks report.
TOPIC = "gif-dash"
#: Environment variables of worker processes: arithmetic threads, file of the log, whether to import torch at once.
THREADS, LOG, TORCH = "GIF_DASH_THREADS", "GIF_DASH_LOG", "GIF_DASH_TORCH"

_wishes: dict[str, Wishes] = {}
_torch: threading.Thread | None = None


def dask_setup(worker: Worker) -> None:
    """Called by Dask when the process starts, and again in every process that replaces a dead one."""
    global _torch
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in the server's terminal is for the server
    _log_to(os.environ.get(LOG, ""))
    worker.http_server.stop()  # Dask's pages about the worker, which nobody is to see
    if os.environ.get(TORCH) == "1":
        _torch = threading.Thread(target=_import_torch, name="gif-dash-imports", daemon=True)
        _torch.start()


def run(task: Task) -> Answer | Failure:
    """Perform a task in this process; its progress goes out as events."""
    worker = get_worker()
    wishes = _wishes.setdefault(task.name, Wishes())

    def send(update: Update) -> None:
        worker.log_event(TOPIC, {"task": task.name, "worker": worker.address, **vars(update)})

    try:
        if _torch is not None and _torch.is_alive():  # two threads that import the same package see it half made
            send(Update("Loading PyTorch"))
            while _torch.is_alive():
                _torch.join(0.1)
                if wishes.stop:
                    return Failure("cancelled")
        send(Update(""))
        return attempt(task, send, wishes)
    finally:
        del _wishes[task.name]


def stop(task: str) -> None:
    """Ask a task to stop at its next check; it may be about to start."""
    _wishes.setdefault(task, Wishes()).stop = True


def postpone(task: str) -> None:
    """Ask a task to end between two of its parts, if it still runs."""
    if wishes := _wishes.get(task):
        wishes.give_way = True


def _import_torch() -> None:
    try:
        import torch

        torch.set_num_threads(int(os.environ[THREADS]))
        for entry in catalog.EXPERIMENTS.values():
            catalog.resolve(entry.target)
    except Exception:  # the task that needs it says so to the person who asked
        logging.getLogger("gif_dash").exception("An experiment cannot be imported")


def _log_to(path: str) -> None:
    """Warnings of everything in this process to the server's log file, or to its terminal."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if path:
        with suppress(OSError):
            handlers = [logging.FileHandler(path, encoding="utf-8")]
    logging.basicConfig(
        level=logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s (worker): %(message)s",
        handlers=handlers,
        force=True,
    )
    logging.captureWarnings(True)
