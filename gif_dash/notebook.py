"""Progress in a notebook's cell."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from html import escape
from types import TracebackType
from typing import Any, Self

import pandas as pd

from gif_dash.figures.tables import duration

#: Seconds between two drawings.
INTERVAL = 0.1


def in_notebook() -> bool:
    """Whether this code runs in a kernel, whose outputs are shown in cells."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class NotebookProgress:
    """A progress bar below the cell, with stage and time left; gone when the work is done.

    Plain HTML in one output that is replaced, so it needs no widget and leaves nothing in the notebook's file.
    """

    patient = True

    def __init__(self) -> None:
        self._title, self._total, self._done = "", 0, 0
        self._began = self._stage_began = time.monotonic()
        self._drawn = -INTERVAL
        self._place: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._show("")

    def stage(self, title: str, total: int = 0) -> None:
        self._title, self._total, self._done = title, total, 0
        self._stage_began = time.monotonic()
        self._draw(at_once=True)  # what follows may be silent for long, an import for example

    def advance(self, units: int = 1) -> None:
        self._done += units
        self._draw()

    def partial(self, table: str, make: Callable[[], pd.DataFrame]) -> None:
        """Partial tables are for those who draw them."""

    def check(self) -> None:
        """Interrupting the kernel stops it."""
        self._draw()

    def give_way(self) -> None:
        """Nobody else waits for this thread."""

    def _draw(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if not at_once and now - self._drawn < INTERVAL:
            return
        self._drawn = now
        share = min(1.0, self._done / self._total) if self._total else 0.0
        value = f' value="{share:.3f}"' if share else ""
        spent = now - self._stage_began
        left = f", about {duration(spent / share - spent)} left" if share > 0.05 else ""
        self._show(
            f'<progress max="1"{value} aria-label="Progress" style="width:16em;vertical-align:middle"></progress> '
            f"{escape(self._title)} · {duration(now - self._began)}{left}"
        )

    def _show(self, text: str) -> None:
        from IPython import display

        made: Any = display.HTML(text)  # type: ignore[no-untyped-call]
        if self._place is not None:
            self._place.update(made)
        elif text:
            self._place = display.display(made, display_id=True)  # type: ignore[no-untyped-call]
