"""Selection criteria: Table 1 of the GIF paper as a heat map, with retraining and the published numbers beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from gif_dash.figures import criteria as pictures
from gif_dash.figures.chart import Chart
from gif_dash.panels.base import Context
from gif_dash.panels.cells import CellGrid
from gif_dash.panels.chart import ChartWidget
from gif_dash.panels.scenario import ScenarioPanel
from gif_dash.results import Result
from gif_dash.specs import CriteriaSpec, Spec

if TYPE_CHECKING:
    import ipywidgets
    import plotly.graph_objects as go

EMPTY = pd.DataFrame({"method": [], "criterion": [], "mr": [], "mark": []})


class CriteriaPanel(ScenarioPanel[CriteriaSpec]):
    """Table 1 of the GIF paper, for any scenario and any classes of it."""

    spec_class: ClassVar[type[Spec]] = CriteriaSpec
    title = "Criteria"
    intro = (
        "<p>Only a share of the parameters may change, the <b>modification ratio</b> MR: does it matter which? Every "
        "cell is a class removal of its own, with the parameters chosen by one criterion.</p>"
    )
    overrides: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "scenario": {"help": ""},
        "forget_classes": {"help": "press one to add it or to take it back"},
        "method": {"kind": "toggle"},
        "damping": {"kind": "number"},
    }

    def __init__(self, context: Context) -> None:
        self.cells = CellGrid(context.reporter.guard(self._pressed))
        self.chart = ChartWidget(position=10.0)
        self.drawn: dict[str, Chart] = {}  #: of the complete answer on the screen, by mark
        self.growing: Chart | None = None  #: of the run that is followed
        self._partial: pd.DataFrame | None = None
        super().__init__(context)
        self.cells.observe(self.guard(lambda _change: self._view_changed()), "view")

    # --- state ------------------------------------------------------------------------------------------------------

    @property
    def at(self) -> str:
        """The mark of the rows that are shown: "best" or "one"."""
        return str(self.cells.view.get("at", "best"))

    def restore_extra(self, query: Mapping[str, str]) -> list[str]:
        view, said = {}, []
        for switch in pictures.SWITCHES:
            text = query.get(switch.key, "")
            if text in dict(switch.choices):
                view[switch.key] = text
            elif text:
                known = ", ".join(dict(switch.choices))
                said.append(f"The link was not followed in one point: {switch.key}: choose from {known}.")
        self.cells.view = view
        return said

    def extra_state(self) -> dict[str, str]:
        first = {switch.key: switch.choices[0][0] for switch in pictures.SWITCHES}
        return {key: value for key, value in self.cells.view.items() if value != first.get(key)}

    def _view_changed(self) -> None:
        if self._built:
            self._draw()
        self.context.ticker.soon(self.state_changed)

    # --- what is shown ----------------------------------------------------------------------------------------------

    def build(self) -> Sequence[ipywidgets.Widget]:
        self._draw()
        return (self.cells, self.chart)

    def _shown(self) -> Result:
        assert self.result is not None, "folds are hidden until there is a result"
        return self.result

    def _draw(self) -> None:
        """Heat map and curves of the run that is followed, else of the last answer."""
        if self.running is not None and self._partial is not None:
            spec, cells = self.running.model_dump(mode="json"), self._partial
        elif self.result is not None:
            spec, cells = self.result.spec, self.result.table
        else:
            spec, cells = self.spec.model_dump(mode="json"), EMPTY
        self.cells.draw(pictures.grid(cells, spec))
        chart = pictures.over_mr(cells, spec, self.at)
        self.chart.draw(chart)

    def show_partial(self, partial: Mapping[str, pd.DataFrame]) -> None:
        if "cells" in partial:
            self._partial = partial["cells"]
            self._draw()

    def show_result(self, result: Result) -> None:
        self._partial, self.result = None, result
        self._draw()
        self.refresh_offers()

    def started(self) -> None:
        self._partial = EMPTY
        self._draw()

    def stopped(self) -> None:
        self._partial = None
        self._draw()

    def _pressed(self, row: str, column: str) -> None:
        """Open the class removal behind a cell."""
        spec = self.running or self.shown_spec()
        mr = next((mr for mr in spec.mrs if f"{mr:g}" == column), None)
        criterion = next((name for name in spec.criteria if name == row), None)
        if mr is None or criterion is None:
            return
        self.cells.selected = [row, column]
        self.context.show(spec.cell(criterion, mr))

    # --- ways out ---------------------------------------------------------------------------------------------------

    def export_figures(self) -> Sequence[go.Figure]:
        return pictures.figures(self._shown())
