"""Backdoor: a network that learned a hidden trigger, its repair by every method, and retraining beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import anywidget
import ipywidgets
import pandas as pd
import traitlets

from gif_dash.figures import backdoor as pictures
from gif_dash.figures import removal_tables as tables
from gif_dash.figures.removal import add_ghosts, best_scalar
from gif_dash.figures.removal_words import facts
from gif_dash.panels.backdoor_about import ABOUT
from gif_dash.panels.bars import html
from gif_dash.panels.base import Context
from gif_dash.panels.page import STATIC
from gif_dash.panels.swept import SweptPanel
from gif_dash.results import Result, ScenarioCard
from gif_dash.specs import BackdoorSpec, Spec

if TYPE_CHECKING:
    import plotly.graph_objects as go

EMPTY = pd.DataFrame({"method": [], "scalar": [], "mark": []})
NOTE = (
    "Score: harmonic mean of the accuracies with the trigger and without it. HVPs and seconds: of the solve. The "
    "published table is of mnist-cnn's architecture with other training, other samples and an unknown choice of s: the "
    "numbers need not agree."
)


class Answers(anywidget.AnyWidget):
    """Test pictures with the networks' answers, which follow the marker in the browser.

    Attributes:
        content: see `gif_dash.figures.backdoor.answers`.
        position: the marker's s; linked with the chart's in the browser.
    """

    _esm = STATIC / "answers.js"
    _css = STATIC / "answers.css"
    heard: ClassVar[tuple[str, ...]] = ("position",)

    content = traitlets.Dict().tag(sync=True)
    position = traitlets.Float(1.0).tag(sync=True)


class BackdoorPanel(SweptPanel[BackdoorSpec]):
    """Fig. 5 of the GIF paper and its table, for any scenario with pictures."""

    spec_class: ClassVar[type[Spec]] = BackdoorSpec
    title = "Backdoor"
    intro = (
        "<p>Some training pictures carry a faint <b>trigger</b> and a wrong label. The network trained on them is as "
        "right as ever, but gives that label to whatever carries the trigger. Can one step Δ repair it, knowing which "
        "pictures were corrupted? The repaired network θ̂ + s·Δ stands next to the network trained on good data.</p>"
    )
    overrides: ClassVar[Mapping[str, Mapping[str, Any]]] = {"scenario": {"help": ""}, "damping": {"kind": "number"}}

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.answers = Answers()
        self.link = ipywidgets.jslink((self.chart, "position"), (self.answers, "position"))

    # --- state ------------------------------------------------------------------------------------------------------

    def changes(self, card: ScenarioCard) -> dict[str, Any]:
        last = len(card.classes) - 1
        return {"target": last} if self.spec.target > last else {}

    # --- what is shown ----------------------------------------------------------------------------------------------

    def build(self) -> Sequence[ipywidgets.Widget]:
        self.attack = html("", "gd-attack")
        self.scores = html("", "gd-scores")
        self.verdicts = html("", "gd-verdicts")
        self.folds = (
            self._fold(
                "Which layers move",
                lambda: html(tables.layers_html(self._shown())),
                "norm of Δ and share selected per layer",
            ),
            self._fold("Trust figures", lambda: html(tables.trust_html(self._shown())), "the numbers behind the words"),
            self._fold("Solver reports", lambda: html(tables.solves_html(self._shown())), "steps, HVPs, residuals"),
            self._fold(
                "All computed points", lambda: html(pictures.points_html(self._shown().tables["sweep"])), "a table"
            ),
        )
        self.home_fold = self._fold(
            "Take the repaired network home", lambda: self.home.widget, "a file for plain torch, with its provenance"
        )
        for fold in (*self.folds, self.home_fold):
            fold.add_class("gd-hidden")
        about = self._fold("About this panel", lambda: html(ABOUT, "gd-about"), "equations, choices")
        self.chart.draw(pictures.curves(EMPTY, self.spec.model_dump()))
        return (self.chart, self.verdicts, self.answers, self.scores, *self.folds, self.home_fold, about)

    def show_partial(self, partial: Mapping[str, pd.DataFrame]) -> None:
        if "sweep" in partial and self.running is not None:
            growing = pictures.curves(partial["sweep"], self.running.model_dump())
            self.chart.draw(add_ghosts(growing, self.ghost(self.drawn)))

    def show_result(self, result: Result) -> None:
        previous = self.ghost(self.drawn, result)
        self.result = result
        self.drawn = pictures.curves(result.tables["sweep"], result.spec, result.provenance.get("floor", math.nan))
        self.chart.draw(add_ghosts(self.drawn, previous))
        self.place_marker(best_scalar(result.tables["sweep"], str(result.spec["methods"][0])))
        self.answers.position = self.chart.position
        self.answers.content = pictures.answers(result)
        odd = "".join(f'<p class="gd-help">{sentence}</p>' for sentence in pictures.oddities(result))
        self.verdicts.value = (
            f"<p>{pictures.attack(result)}</p>"
            '<div class="gd-questions">'
            f"<section><h3>Is this a good edit?</h3><p>{pictures.good_edit(result)}</p></section>"
            "<section><h3>Is this where retraining would land?</h3>"
            f"<p>{pictures.retraining_lands(result)}</p></section>"
            f"</div>{odd}"
        )
        self.scores.value = pictures.scores_html(result) + f'<p class="gd-help">{NOTE}<br>{facts(result)}</p>'
        for fold in self.folds:
            fold.remove_class("gd-hidden")
            fold.refresh()
        self.home_fold.remove_class("gd-hidden")
        self.home.follow(result)
        self.refresh_offers()

    def started(self) -> None:
        if self.running is not None and self.drawn is None:
            self.chart.draw(pictures.curves(EMPTY, self.running.model_dump()))

    def stopped(self) -> None:
        self.chart.draw(self.drawn or pictures.curves(EMPTY, self.spec.model_dump()))

    # --- ways out ---------------------------------------------------------------------------------------------------

    def export_tables(self) -> Mapping[str, pd.DataFrame]:
        known = super().export_tables()
        return {name: table for name, table in known.items() if name != "pictures"}

    def export_figures(self) -> Sequence[go.Figure]:
        return pictures.figures(self._shown())

    def export_words(self) -> Sequence[str]:
        result = self._shown()
        return [
            facts(result),
            pictures.attack(result),
            f"Is this a good edit? {pictures.good_edit(result)}",
            f"Is this where retraining would land? {pictures.retraining_lands(result)}",
            *pictures.oddities(result),
            pictures.answers_html(result),
            pictures.scores_html(result),
        ]
