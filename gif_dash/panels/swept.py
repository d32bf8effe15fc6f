"""Panels with a marker on a chart that a link remembers, above all the influence scalar s."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

from gif_dash.figures.chart import Chart
from gif_dash.panels.base import Context
from gif_dash.panels.chart import ChartWidget
from gif_dash.panels.scenario import ScenarioPanel
from gif_dash.panels.takehome import TakeHome
from gif_dash.specs import Spec

S = TypeVar("S", bound=Spec)


def position(query: Mapping[str, str], name: str, high: float, symbol: str) -> tuple[float | None, list[str]]:
    """The marker's position in a link, from 0 to `high`: None where there is none; a sentence where it is off."""
    if name not in query:
        return None, []
    try:
        found = float(query[name])
    except ValueError:
        found = math.nan
    if not 0 <= found <= high:
        return None, [f"The link was not followed in one point: {symbol} goes from 0 to {high:g}; got {query[name]!r}."]
    return found, []


class SweptPanel(ScenarioPanel[S]):
    """A panel about edits along the influence scalar: a chart over s, its marker, and edited networks to take home.

    Its spec has a field ``s_max``.
    """

    def __init__(self, context: Context) -> None:
        self.chart = ChartWidget()
        self.drawn: Chart | None = None  #: of the complete answer on the screen
        self.moved = False  #: the person (or a link) has put the marker somewhere
        self._placed = self.chart.position  # where the panel itself has put the marker
        self.home = TakeHome(context, lambda: self.chart.position)
        super().__init__(context)
        self.chart.observe(self.guard(self._marker_moved), "position")

    def restore_extra(self, query: Mapping[str, str]) -> list[str]:
        s_max: float = self.spec.s_max  # type: ignore[attr-defined]
        found, sentences = position(query, "s", s_max, "s")
        if found is not None:
            self.moved, self.chart.position = True, found
        elif "s" not in query:
            self.moved, self.chart.position = False, self._placed
        return sentences

    def extra_state(self) -> dict[str, str]:
        return {"s": f"{self.chart.position:.4g}"} if self.moved else {}

    def place_marker(self, scalar: float | None) -> None:
        """Put the marker somewhere, unless there is nowhere, or the person has put it somewhere."""
        if scalar is not None and not self.moved:
            self._placed = scalar
            self.chart.position = scalar

    def _marker_moved(self, change: Any) -> None:
        if change["new"] == self._placed:
            return
        self.moved = True
        self.home.moved()
        self.context.ticker.soon(self.state_changed)
