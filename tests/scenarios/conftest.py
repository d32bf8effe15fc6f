from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gif_dash.scenarios import prepared, scenario


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and a process that has loaded nothing."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("GIF_DASH_CACHE", str(folder))
    monkeypatch.setattr(prepared, "_kept", type(prepared._kept)())
    monkeypatch.setattr(scenario, "_registered", {})
    return folder


@pytest.fixture
def new_process() -> Callable[[], None]:
    """Forget what is kept in memory, as a new process would have."""
    return prepared._kept.clear
