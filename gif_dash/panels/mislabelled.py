"""Mislabelled data: wrong labels put in, found again by self-influence, corrected, and the network trained again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets
import pandas as pd

from gif_dash.figures import mislabelled as pictures
from gif_dash.figures.chart import Chart
from gif_dash.panels.bars import html
from gif_dash.panels.base import Context
from gif_dash.panels.chart import ChartWidget
from gif_dash.panels.mislabelled_about import ABOUT
from gif_dash.panels.scenario import ScenarioPanel
from gif_dash.panels.swept import position
from gif_dash.results import Result
from gif_dash.specs import MislabelledSpec, Spec

if TYPE_CHECKING:
    import plotly.graph_objects as go

EMPTY = pd.DataFrame({"ranking": [], "inspected": [], "found": []})
START = 10.0


class MislabelledPanel(ScenarioPanel[MislabelledSpec]):
    """§5.4 of Koh & Liang 2017, for any scenario that can be trained from scratch."""

    spec_class: ClassVar[type[Spec]] = MislabelledSpec
    title = "Mislabelled"
    prompt = "Press Run to find the wrong labels"
    intro = (
        "<p>Some training images get a wrong label, and the network learns them, too. Inspect the images in the order "
        "of their <b>self-influence</b>: how many of the wrong labels are found? Those are corrected, and the network "
        "is trained again.</p>"
    )
    overrides: ClassVar[Mapping[str, Mapping[str, Any]]] = {"scenario": {"help": ""}, "damping": {"kind": "number"}}

    def __init__(self, context: Context) -> None:
        self.chart = ChartWidget(position=START)
        self.drawn: Chart | None = None
        super().__init__(context)
        self.chart.observe(self.guard(lambda _change: context.ticker.soon(self.state_changed)), "position")

    # --- state ------------------------------------------------------------------------------------------------------

    def restore_extra(self, query: Mapping[str, str]) -> list[str]:
        found, said = position(query, "at", 100.0, "at")
        if found is not None:
            self.chart.position = found
        return said

    def extra_state(self) -> dict[str, str]:
        return {"at": f"{self.chart.position:.4g}"} if self.chart.position != START else {}

    # --- what is shown ----------------------------------------------------------------------------------------------

    def build(self) -> Sequence[ipywidgets.Widget]:
        self.verdicts = html("", "gd-verdicts")
        self.images = html("", "gd-scores")
        self.folds = (
            self._fold(
                "The same by loss",
                lambda: html(pictures.pictures_html(self._shown(), "training-loss")),
                "the first images of the other ranking",
            ),
            self._fold("The curves as a table", lambda: html(pictures.detection_html(self._shown())), "every 5 %"),
        )
        for fold in self.folds:
            fold.add_class("gd-hidden")
        about = self._fold("About this panel", lambda: html(ABOUT, "gd-about"), "equations, choices")
        self.chart.draw(pictures.curves(EMPTY, self.spec.model_dump(mode="json")))
        return (self.chart, self.verdicts, self.images, *self.folds, about)

    def show_partial(self, partial: Mapping[str, pd.DataFrame]) -> None:
        if "detection" in partial and self.running is not None:
            growing = pictures.curves(partial["detection"], self.running.model_dump(mode="json"))
            self.chart.draw(growing.with_ghosts_of(self.ghost(self.drawn)))

    def show_result(self, result: Result) -> None:
        previous = self.ghost(self.drawn, result)
        self.result = result
        self.drawn = pictures.curves(result.tables["detection"], result.spec)
        self.chart.draw(self.drawn.with_ghosts_of(previous))
        self.verdicts.value = (
            '<div class="gd-questions">'
            f"<section><h3>Does self-influence find them?</h3><p>{pictures.finds(result)}</p></section>"
            f"<section><h3>Does correcting them help?</h3><p>{pictures.repairs(result)}</p></section></div>"
        )
        self.images.value = (
            f"{pictures.repairs_html(result)}{pictures.pictures_html(result, 'self-influence')}"
            f'<p class="gd-help">{pictures.facts(result)}</p>'
        )
        for fold in self.folds:
            fold.remove_class("gd-hidden")
            fold.refresh()
        self.refresh_offers()

    def started(self) -> None:
        if self.running is not None and self.drawn is None:
            self.chart.draw(pictures.curves(EMPTY, self.running.model_dump(mode="json")))

    def stopped(self) -> None:
        self.chart.draw(self.drawn or pictures.curves(EMPTY, self.spec.model_dump(mode="json")))

    # --- ways out ---------------------------------------------------------------------------------------------------

    def export_tables(self) -> Mapping[str, pd.DataFrame]:
        return {name: table for name, table in super().export_tables().items() if name != "pictures"}

    def export_figures(self) -> Sequence[go.Figure]:
        return pictures.figures(self._shown())

    def export_words(self) -> Sequence[str]:
        result = self._shown()
        return [
            pictures.facts(result),
            f"Does self-influence find them? {pictures.finds(result)}",
            f"Does correcting them help? {pictures.repairs(result)}",
            pictures.repairs_html(result),
            pictures.pictures_html(result, "self-influence"),
        ]
