"""Selection criteria: Table 1 of the GIF paper as a heat map, with retraining and the published numbers beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets
import pandas as pd

from gif_dash.figures import criteria as pictures
from gif_dash.figures import criteria_tables as tables
from gif_dash.figures import criteria_words as words
from gif_dash.figures.chart import Chart
from gif_dash.panels.bars import column, html
from gif_dash.panels.base import Context
from gif_dash.panels.cells import CellGrid
from gif_dash.panels.chart import ChartWidget
from gif_dash.panels.criteria_about import ABOUT
from gif_dash.panels.scenario import ScenarioPanel
from gif_dash.results import Result
from gif_dash.specs import CriteriaSpec, Spec

if TYPE_CHECKING:
    import plotly.graph_objects as go

EMPTY = pd.DataFrame({"method": [], "criterion": [], "mr": [], "mark": []})


class CriteriaPanel(ScenarioPanel[CriteriaSpec]):
    """Table 1 of the GIF paper, for any scenario and any classes of it."""

    spec_class: ClassVar[type[Spec]] = CriteriaSpec
    title = "Criteria"
    prompt = "Press Run to compute the cells"
    intro = (
        "<p>Only a share of the parameters may change, the <b>modification ratio</b> MR. Does it matter which? Every "
        "cell is a class removal of its own, with the parameters chosen by one criterion; lowest‑k are negative "
        "controls.</p>"
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
        self.curves = ChartWidget()
        self.before: Result | None = None  #: the answer whose lines are ghosts
        self.growing: pd.DataFrame | None = None  #: cells of the run that is followed
        super().__init__(context)
        self.cells.observe(self.guard(lambda _change: self._view_changed()), "view")
        self.chart.observe(self.guard(lambda _change: context.ticker.soon(self._draw_curves)), "position")

    # --- state ------------------------------------------------------------------------------------------------------

    @property
    def at(self) -> str:
        """The mark of the rows that are shown: "best" or "one"."""
        return str(self.cells.view.get("at", "best"))

    def restore_extra(self, query: Mapping[str, str]) -> list[str]:
        view, said = {}, []
        for switch in pictures.SWITCHES:
            text, known = query.get(switch.key, ""), dict(switch.choices)
            if text in known:
                view[switch.key] = text
            elif text:
                said.append(f"The link was not followed in one point: {switch.key}: choose from {', '.join(known)}.")
        self.cells.view = view
        return said

    def extra_state(self) -> dict[str, str]:
        first = {switch.key: switch.choices[0][0] for switch in pictures.SWITCHES}
        return {key: value for key, value in self.cells.view.items() if value != first.get(key)}

    def _view_changed(self) -> None:
        if self._built:
            self._draw_chart()
            self._say()
        self.context.ticker.soon(self.state_changed)

    # --- what is shown ----------------------------------------------------------------------------------------------

    def build(self) -> Sequence[ipywidgets.Widget]:
        self.verdicts = html("", "gd-verdicts")
        self.losses = html("", "gd-scores")
        self.folds = (
            self._fold(
                "Differences between criteria",
                lambda: html(
                    words.ordering_html(self._shown(), self.at) + tables.differences_html(self._shown().table, self.at)
                ),
                "the numbers behind the words",
            ),
            self._fold("Along the influence scalar", self._along, "at the MR of the marker above"),
            self._fold("All cells", lambda: html(tables.cells_html(self._shown())), "a table"),
        )
        for fold in self.folds:
            fold.add_class("gd-hidden")
        about = self._fold("About this panel", lambda: html(ABOUT, "gd-about"), "definitions, choices, deviations")
        self._draw()
        return (self.cells, self.verdicts, self.losses, self.chart, *self.folds, about)

    def _drawn(self) -> tuple[pd.DataFrame, dict[str, Any]]:
        """Cells and question of the run that is followed, else of the last answer."""
        if self.running is not None and self.growing is not None:
            return self.growing, self.running.model_dump(mode="json")
        if self.result is not None:
            return self.result.table, self.result.spec
        return EMPTY, self.spec.model_dump(mode="json")

    def _draw(self) -> None:
        self.cells.draw(pictures.grid(*self._drawn()))
        self._draw_chart()

    def _draw_chart(self) -> None:
        cells, spec = self._drawn()
        self.chart.draw(pictures.add_ghosts(pictures.over_mr(cells, spec, self.at), self._ghost(spec)))

    def _ghost(self, spec: Mapping[str, Any]) -> Chart | None:
        """The curves of the run before, if they belong to the same scenario."""
        before = self.result if self.growing is not None else self.before
        if before is None or before.spec["scenario"] != spec["scenario"] or before.spec == spec:
            return None
        return pictures.over_mr(before.table, before.spec, self.at)

    def _along(self) -> ipywidgets.Widget:
        self._draw_curves()
        return column(self.curves)

    def _draw_curves(self) -> None:
        if self.result is None or not self.result.spec["mrs"]:
            return
        mr = min(self.result.spec["mrs"], key=lambda mr: abs(mr - self.chart.position))
        self.curves.draw(pictures.along_s(self.result.tables["curves"], self.result.table, self.result.spec, mr))

    def show_partial(self, partial: Mapping[str, pd.DataFrame]) -> None:
        if "cells" in partial:
            self.growing = partial["cells"]
            self._draw()

    def show_result(self, result: Result) -> None:
        if self.result is not None and self.result.spec != result.spec:
            self.before = self.result
        self.growing, self.result = None, result
        self._draw()
        self._say()
        for fold in self.folds:
            fold.remove_class("gd-hidden")
            fold.refresh()
        self.refresh_offers()

    def started(self) -> None:
        self.growing = EMPTY
        self._draw()

    def stopped(self) -> None:
        self.growing = None
        self._draw()

    def _say(self) -> None:
        if self.result is None:
            return
        result = self.result
        odd = "".join(f'<p class="gd-help">{sentence}</p>' for sentence in words.oddities(result))
        self.verdicts.value = (
            '<div class="gd-questions">'
            f"<section><h3>Does it matter which?</h3><p>{words.ordering(result, self.at)}</p></section>"
            f"<section><h3>Are these good edits?</h3><p>{words.good_edit(result)}</p></section>"
            f"<section><h3>Is this where retraining would land?</h3><p>{words.retraining_lands(result)}</p></section>"
            f"</div>{odd}"
        )
        title = self.card.title if self.card is not None else str(result.spec["scenario"])
        self.losses.value = (
            '<div class="gd-side-by-side">'
            f"<section>{tables.ours_html(result.table, result.spec, self.at, title)}</section>"
            f"<section>{tables.published_html()}</section></div>"
            f'<p class="gd-help">The networks differ, and so does the scaling of s: compare the order of the rows, not '
            f"the numbers. {tables.images(result).capitalize()}.<br>{words.facts(result)}</p>"
        )
        self.folds[0].refresh()

    def _pressed(self, row: str, column: str) -> None:
        """Open the class removal behind a cell."""
        spec = self.running or self.shown_spec()
        for criterion, mr in spec.cells:
            if (criterion, f"{mr:g}") == (row, column):
                self.cells.selected = [row, column]
                self.context.show(spec.cell(criterion, mr))

    # --- ways out ---------------------------------------------------------------------------------------------------

    def export_figures(self) -> Sequence[go.Figure]:
        return pictures.figures(self._shown())

    def export_words(self) -> Sequence[str]:
        result = self._shown()
        return [
            words.facts(result),
            words.ordering(result),
            words.ordering(result, "one"),
            f"Are these good edits? {words.good_edit(result)}",
            f"Is this where retraining would land? {words.retraining_lands(result)}",
            *words.oddities(result),
            tables.published_html(),
        ]
