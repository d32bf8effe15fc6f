"""What the server's command line says of workers, devices and limits, and where it ends up."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gif_dash import serving
from gif_dash.cli import main
from gif_dash.compute.dask_executor import Cluster
from gif_dash.compute.limits import NO_LIMITS, Limits


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """With what the server would have been started."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(serving, "serve", lambda **options: found.update(options) or 0)
    monkeypatch.setenv("GIF_DASH_DEVICE", "")
    return found


def test_defaults(started: dict[str, Any]) -> None:
    assert CliRunner().invoke(main, ["serve", "--no-browser"]).exit_code == 0
    assert (started["workers"], started["threads"], started["cluster"]) == (1, None, None)
    assert started["limits"] == NO_LIMITS


def test_all_of_them(started: dict[str, Any], tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("ca", "cert", "key")}
    for file in files.values():
        file.touch()
    words = shlex.split("--workers 3 --threads 2 --device cpu --max-queued 4 --max-samples 512 --max-minutes 1.5")
    words += ["--scheduler", "tls://gpu:8786", *(word for n, f in files.items() for word in (f"--tls-{n}", str(f)))]
    result = CliRunner().invoke(main, ["serve", *words])
    assert result.exit_code == 0, result.output
    assert (started["workers"], started["threads"]) == (3, 2)
    assert started["limits"] == Limits(queued=4, samples=512, minutes=1.5)
    assert started["cluster"] == Cluster("tls://gpu:8786", *files.values())
    assert os.environ["GIF_DASH_DEVICE"] == "cpu"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--scheduler", "gpu:8786"], "tcp://HOST:PORT or tls://HOST:PORT"),
        (["--scheduler", "tls://gpu:8786"], "goes with --tls-ca"),
        (["--tls-ca", __file__], "go with --scheduler"),
        (["--max-queued", "0"], "--max-queued"),
        (["--max-minutes", "0"], "--max-minutes"),
    ],
)
def test_refusals(started: dict[str, Any], words: list[str], said: str) -> None:
    result = CliRunner().invoke(main, ["serve", *words])
    assert result.exit_code == 2
    assert said in result.output
    assert not started
