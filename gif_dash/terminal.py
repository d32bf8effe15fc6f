"""Progress on a terminal."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column, Table


def show(table: Table) -> None:
    """Print a table as wide as the terminal; wide enough for every column where there is none."""
    console = Console()
    Console(width=None if console.is_terminal else 140).print(table)


class TerminalProgress:
    """A progress bar per stage on standard error; quiet where that is no terminal."""

    patient = True

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bars = Progress(
            SpinnerColumn(),
            # on a narrow terminal it is the title that gives way, not the bar and the times
            TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            expand=True,
            disable=not console.is_terminal,
        )
        self._current: TaskID | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def stage(self, title: str, total: int = 0) -> None:
        if self._current is not None:
            self._bars.remove_task(self._current)
        self._current = self._bars.add_task(title, total=total or None)

    def advance(self, units: int = 1) -> None:
        if self._current is not None:
            self._bars.advance(self._current, units)

    def partial(self, table: str, make: Callable[[], pd.DataFrame]) -> None:
        """Partial tables are for those who draw them."""

    def check(self) -> None:
        """Ctrl+C interrupts by itself."""

    def give_way(self) -> None:
        """Nobody else waits at a terminal."""
