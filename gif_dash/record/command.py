"""The ``gif-dash record`` command."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import pandas as pd

from gif_dash import catalog
from gif_dash.compute.paths import cache_dir
from gif_dash.progress import Progress
from gif_dash.record.plan import SEEDS, plan, studies
from gif_dash.record.run import record, record_studies
from gif_dash.recorded import STUDIES
from gif_dash.terminal import TerminalProgress

#: Seconds between two lines about a stage where there is no terminal.
LINE = 60.0


class Lines:
    """A `Progress` for logs: a line now and then."""

    patient = True

    def __init__(self) -> None:
        self._title, self._total, self._done, self._said = "", 0, 0, time.monotonic()

    def stage(self, title: str, total: int = 0) -> None:
        self._title, self._total, self._done = title, total, 0

    def advance(self, units: int = 1) -> None:
        self._done += units

    def partial(self, table: str, make: Callable[[], pd.DataFrame]) -> None:
        """Partial tables are for those who draw them."""

    def check(self) -> None:
        if time.monotonic() - self._said > LINE:
            self._said = time.monotonic()
            share = f": {self._done:,} of {self._total:,}" if self._total else ""
            click.echo(f"{time.strftime('%H:%M:%S')} {self._title}{share}", err=True)

    def give_way(self) -> None:
        """Nobody else waits."""


def run(name: str, out: Path | None, forget: int, seeds: int, quick: bool, add: Sequence[Path] = ()) -> None:
    """Record a scenario, or the studies; see `gif_dash.record.run.record` and `record_studies`.

    Raises:
        ValueError, OSError: one sentence.
    """
    command = f"gif-dash record {name}{catalog.flags(name)}"
    command += (f" --forget-class {forget}" if forget != 8 else "") + (" --quick" if quick else "")
    command += f" --seeds {seeds}" if seeds != SEEDS and not quick and name != STUDIES else ""
    folder = out or cache_dir() / "records" / name
    asked = None if name == STUDIES else plan(name, forget=forget, seeds=seeds, quick=quick)
    questions = studies(quick=quick) if asked is None else asked.questions

    def say(line: str) -> None:
        click.echo(f"{time.strftime('%H:%M:%S')} {name}: {line}", err=True)

    def go(progress: Progress) -> Path:
        if asked is None:
            return record_studies(questions, folder, progress, say, command)
        return record(name, asked, folder, progress, say, command, add)

    try:
        if sys.stderr.isatty():
            with TerminalProgress() as bar:
                archive = go(bar)
        else:
            archive = go(Lines())
    except KeyboardInterrupt:
        say("stopped; what is computed is kept, and the same command goes on there")
        raise
    size = archive.stat().st_size / 1000
    click.echo(f"{len(questions)} questions recorded; {archive} ({size:.0f} kB) can be explored with")
    click.echo(f"GIF_DASH_RECORDED={folder} gif-dash")
