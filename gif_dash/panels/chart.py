"""The page's own line charts: drawn in the browser from the whole data, so that moving the marker asks nobody."""

from __future__ import annotations

from typing import ClassVar

import anywidget
import traitlets

from gif_dash.figures.chart import Chart
from gif_dash.panels.page import STATIC


class ChartWidget(anywidget.AnyWidget):
    """A `Chart` with a marker that a slider (or the pointer) moves over all facets, and a read-out of every line there.

    Attributes:
        chart: the description, as `Chart.to_dict`; use `draw`.
        position: where the marker is; Python follows, the browser does not wait for it.
    """

    _esm = STATIC / "chart.js"
    heard: ClassVar[tuple[str, ...]] = ("position",)

    chart = traitlets.Dict().tag(sync=True)
    position = traitlets.Float(1.0).tag(sync=True)

    def draw(self, chart: Chart) -> None:
        """Show a chart; the marker stays where it is."""
        self.chart = chart.to_dict()
