"""Class removal: what a network would be had it never seen a class, by every method and by retraining."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets
import pandas as pd

from gif_dash.figures import removal as pictures
from gif_dash.figures import removal_tables as tables
from gif_dash.figures import removal_words as words
from gif_dash.figures.chart import Chart
from gif_dash.panels.bars import html
from gif_dash.panels.base import Context
from gif_dash.panels.removal_about import ABOUT
from gif_dash.panels.swept import SweptPanel
from gif_dash.results import Result
from gif_dash.specs import RemovalSpec, Spec

if TYPE_CHECKING:
    import plotly.graph_objects as go

SCORES_NOTE = (
    "Test: the other classes' test images. Self: the test images of what was removed. Forget: the removed training "
    "images themselves. HVPs and seconds: of the solve."
)

EMPTY = pd.DataFrame({"method": [], "scalar": [], "mark": []})


class RemovalPanel(SweptPanel[RemovalSpec]):
    """Table 2 and Fig. 4 of the GIF paper, for any scenario and any classes of it."""

    spec_class: ClassVar[type[Spec]] = RemovalSpec
    title = "Class removal"
    intro = (
        "<p>Choose what to forget. Every method computes one step Δ of the same selected parameters; the edited "
        "network θ̂ + s·Δ is measured along the <b>influence scalar</b> s and compared with networks trained again "
        "without these examples. Move s below the plots.</p>"
    )
    overrides: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "scenario": {"help": ""},
        "forget_classes": {"help": "press one to add it or to take it back"},
        "damping": {"kind": "number"},
    }

    def __init__(self, context: Context) -> None:
        self.growing: Chart | None = None  #: of the run that is followed
        super().__init__(context)

    # --- what is shown ----------------------------------------------------------------------------------------------

    def build(self) -> Sequence[ipywidgets.Widget]:
        self.scores = html("", "gd-scores")
        self.verdicts = html("", "gd-verdicts")
        self.folds = (
            self._fold(
                "Which layers move",
                lambda: html(tables.layers_html(self._shown())),
                "norm of Δ and share selected per layer",
            ),
            self._fold("Confusion before and after", self._confusion, "who is taken for whom"),
            self._fold("Trust figures", lambda: html(tables.trust_html(self._shown())), "the numbers behind the words"),
            self._fold("Solver reports", lambda: html(tables.solves_html(self._shown())), "steps, HVPs, residuals"),
            self._fold(
                "All computed points", lambda: html(tables.sweep_html(self._shown().tables["sweep"])), "a table"
            ),
        )
        self.home_fold = self._fold(
            "Take the edited network home", lambda: self.home.widget, "a file for plain torch, with its provenance"
        )
        for fold in (*self.folds, self.home_fold):
            fold.add_class("gd-hidden")
        about = self._fold("About this panel", lambda: html(ABOUT, "gd-about"), "equations, choices")
        self._redraw(pictures.curves(EMPTY, self.spec.model_dump()))
        return (self.chart, self.verdicts, self.scores, *self.folds, self.home_fold, about)

    def _redraw(self, chart: Chart) -> None:
        self.chart.draw(chart)

    def show_partial(self, partial: Mapping[str, pd.DataFrame]) -> None:
        if "sweep" not in partial or self.running is None:
            return
        self.growing = pictures.curves(partial["sweep"], self.running.model_dump(), before=self.growing)
        self._redraw(pictures.add_ghosts(self.growing, self.ghost(self.drawn)))

    def show_result(self, result: Result) -> None:
        previous, self.growing = self.ghost(self.drawn, result), None
        self.result = result
        self.drawn = pictures.curves(result.tables["sweep"], result.spec)
        self._redraw(pictures.add_ghosts(self.drawn, previous))
        self.place_marker(pictures.best_scalar(result.tables["sweep"], str(result.spec["methods"][0])))
        self._say(result)
        for fold in self.folds:
            fold.remove_class("gd-hidden")
            fold.refresh()
        self.home_fold.remove_class("gd-hidden")
        self.home.follow(result)
        self.refresh_offers()

    def started(self) -> None:
        self.growing = None
        if self.running is not None and self.drawn is None:
            self._redraw(pictures.curves(EMPTY, self.running.model_dump()))

    def stopped(self) -> None:
        self.growing = None
        self._redraw(self.drawn or pictures.curves(EMPTY, self.spec.model_dump()))

    def _say(self, result: Result) -> None:
        odd = "".join(f'<p class="gd-help">{sentence}</p>' for sentence in words.oddities(result))
        self.verdicts.value = (
            '<div class="gd-questions">'
            f"<section><h3>Is this a good edit?</h3><p>{words.good_edit(result)}</p></section>"
            f"<section><h3>Is this where retraining would land?</h3><p>{words.retraining_lands(result)}</p></section>"
            f"</div>{odd}"
        )
        self.scores.value = (
            tables.scores_html(result) + f'<p class="gd-help">{SCORES_NOTE}<br>{words.facts(result)}</p>'
        )

    def _confusion(self) -> ipywidgets.Widget:
        classes = self.card.classes if self.card is not None else ()
        return html(tables.confusion_html(self._shown(), classes))

    # --- ways out ---------------------------------------------------------------------------------------------------

    def export_figures(self) -> Sequence[go.Figure]:
        return pictures.figures(self._shown())

    def export_words(self) -> Sequence[str]:
        result = self._shown()
        return [
            words.facts(result),
            f"Is this a good edit? {words.good_edit(result)}",
            f"Is this where retraining would land? {words.retraining_lands(result)}",
            *words.oddities(result),
        ]
