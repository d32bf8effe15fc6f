"""Where a number comes from: machine, versions, data, seeds and times."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import torch

from gif_dash import __version__
from gif_dash.progress import Progress


class Stopwatch:
    """Seconds by stage, for the provenance and for the next estimate of how long it takes."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._start = time.perf_counter()
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, title: str, total: int = 0) -> Iterator[None]:
        """Announce a stage and add its wall time."""
        self._progress.stage(title, total)
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[title] = self.seconds.get(title, 0.0) + time.perf_counter() - start

    @property
    def total(self) -> float:
        return time.perf_counter() - self._start


def provenance(device: torch.device, watch: Stopwatch, **facts: Any) -> dict[str, Any]:
    """The facts that every result carries, and the experiment's own."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": watch.total,
        "stages": watch.seconds,
        "device": f"{device.type} ({name}, {torch.get_num_threads()} threads)",
        "versions": {
            "gif_dash": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": version("numpy"),
            "pandas": version("pandas"),
        },
        **facts,
    }
