"""Panels with a marker on a chart that a link remembers, above all along the influence scalar s."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from gif_dash.figures.chart import Chart
from gif_dash.panels.base import Context, JobPanel
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


class MarkedPanel(JobPanel[S]):
    """A panel with one chart, whose marker belongs to the link once the person has put it somewhere."""

    #: Where the marker stands at first.
    start: ClassVar[float] = 1.0

    def __init__(self, context: Context) -> None:
        self.chart = ChartWidget(position=self.start)
        self.drawn: Chart | None = None  #: of the complete answer on the screen
        self.moved = False  #: the person (or a link) has put the marker somewhere
        self._placed = self.start  # where the panel itself has put it
        super().__init__(context)
        self.chart.observe(self.guard(self._marker_moved), "position")

    def marker(self) -> tuple[str, float, str]:
        """Of the marker in links: the parameter's name, its largest value, and what sentences call it."""
        raise NotImplementedError

    def restore_extra(self, query: Mapping[str, str]) -> list[str]:
        found, sentences = position(query, *self.marker())
        if found is not None:
            self.moved, self.chart.position = True, found
        return sentences

    def extra_state(self) -> dict[str, str]:
        return {self.marker()[0]: f"{self.chart.position:.4g}"} if self.moved else {}

    def follow_marker(self) -> None:
        """The person has moved the marker; called once for many moves."""
        self.state_changed()

    def place_marker(self, scalar: float | None) -> None:
        """Put the marker somewhere, unless there is nowhere, or the person has put it somewhere."""
        if scalar is not None and not self.moved:
            self._placed = self.chart.position = scalar

    def place_among(self, values: Sequence[float]) -> None:
        """Put the marker on the first of ascending values, unless the person has put it somewhere between them."""
        if not values[0] <= self.chart.position <= values[-1]:
            self.moved = False
        self.place_marker(values[0])

    def _marker_moved(self, change: Any) -> None:
        if self.moved or change["new"] != self._placed:
            self.moved = True
            self.context.ticker.soon(self.follow_marker)


class SweptPanel(MarkedPanel[S], ScenarioPanel[S]):
    """A panel about edits along the influence scalar: a chart over s, its marker, and edited networks to take home.

    Its spec has a field ``s_max``.
    """

    def __init__(self, context: Context) -> None:
        self.home = TakeHome(context, lambda: self.chart.position)
        super().__init__(context)

    def marker(self) -> tuple[str, float, str]:
        return "s", self.spec.s_max, "s"  # type: ignore[attr-defined]

    def restore_extra(self, query: Mapping[str, str]) -> list[str]:
        if "s" not in query:
            self.moved, self.chart.position = False, self._placed
        return super().restore_extra(query)

    def follow_marker(self) -> None:
        self.home.describe()
        self.state_changed()
