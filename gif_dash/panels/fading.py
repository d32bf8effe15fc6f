"""Fading: for how many steps of training does the influence predict what an intervention does?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets
import pandas as pd

from gif_dash.figures import fading as pictures
from gif_dash.figures.chart import Chart
from gif_dash.panels.bars import column, html
from gif_dash.panels.swept import MarkedPanel
from gif_dash.results import Result
from gif_dash.specs import FadingSpec, Spec

if TYPE_CHECKING:
    import plotly.graph_objects as go

EMPTY = pd.DataFrame()

ABOUT = """
<p>A dense network is trained on Iris. Then, in one copy for each of the examples of largest |influence|, the example is
removed (or counts twice), and all copies are trained on, beside one copy without an intervention. After k steps the
test loss differs by so much between a copy and that one; the influence, computed once at the intervention with the
exact Hessian, predicts the difference in the long run. The correlation is over the interventions, the test example is
that of the highest loss.</p>
<p><b>No noise</b>: all examples in every step. <b>Shared batches</b>: random batches, the same for all copies.
<b>Own batches</b>: every copy has its own, and the difference holds both the intervention and the luck of the batches.
<b>Gradient product</b>: ∇ℓ(z<sub>t</sub>)<sup>T</sup>∇ℓ(z<sub>i</sub>), the prediction for the very first step.</p>
<p>The influence is about the new optimum. Where the loss is convex and training settles, agreement rises and stays.
Where it is not, two trainings that began a hair apart may move apart (the divergence), and what was predicted at the
beginning is lost; batches hasten it. The published finding is that agreement fades with the steps, even without
noise.</p>
<p>Here: gradient descent with momentum .9, rate .05, float64, one split of Iris (120 and 30). The paper's networks were
not trained here, and no number of it is compared with these.</p>
<p>A. Schioppa, K. Filippova, I. Titov &amp; P. Zablotskaia, “Theoretical and practical perspectives on what influence
functions do”, NeurIPS 2023.</p>
"""


class FadingPanel(MarkedPanel[FadingSpec]):
    """Agreement with continued training against the steps since the intervention (Schioppa et al. 2023)."""

    spec_class: ClassVar[type[Spec]] = FadingSpec
    title = "Fading"
    start = 100.0
    intro = (
        "<p>An influence is computed once; training goes on. <b>For how many steps</b> does it predict what removing "
        "an example does, with and without the noise of batches? The slider below the plots reads the curves.</p>"
    )
    overrides: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        name: {"kind": "number"} for name in ("steps", "train_steps", "weight_decay", "damping", "batch", "rate")
    }

    def marker(self) -> tuple[str, float, str]:
        return "at", 1e5, "the marker"

    def build(self) -> Sequence[ipywidgets.Widget]:
        self.words = html("", "gd-verdicts")
        self.numbers = self._fold("Numbers", lambda: html(pictures.means_html(self._shown())), "some of the steps")
        self.numbers.add_class("gd-hidden")
        about = self._fold("About this panel", lambda: html(ABOUT, "gd-about"), "what is compared, choices")
        self.chart.draw(pictures.curves(EMPTY, self.spec.model_dump()))
        return (column(self.chart, self.words, classes=("gd-results",)), self.numbers, about)

    def show_partial(self, partial: Mapping[str, pd.DataFrame]) -> None:
        if "curve" in partial and self.running is not None:
            self._draw(pictures.curves(partial["curve"], self.running.model_dump()), self.drawn)

    def show_result(self, result: Result) -> None:
        previous = self.drawn if self.result is not None and self.result.spec != result.spec else None
        self.result = result
        self.drawn = pictures.curves(result.tables["curve"], result.spec)
        self._draw(self.drawn, previous)
        self.words.value = (
            '<div class="gd-questions">'
            f"<section><h3>For how long does the prediction hold?</h3><p>{pictures.holds(result)}</p></section>"
            f"<section><h3>How far do the trainings come apart?</h3><p>{pictures.apart(result)}</p></section>"
            f'</div><p class="gd-help">{pictures.facts(result)}</p>'
        )
        self.numbers.remove_class("gd-hidden")
        self.numbers.refresh()

    def started(self) -> None:
        if self.running is not None:
            self._draw(pictures.curves(EMPTY, self.running.model_dump()), self.drawn)

    def stopped(self) -> None:
        self.chart.draw(self.drawn or pictures.curves(EMPTY, self.spec.model_dump()))

    def _draw(self, chart: Chart, previous: Chart | None) -> None:
        self.chart.draw(chart.with_ghosts_of(previous))

    def export_figures(self) -> Sequence[go.Figure]:
        return pictures.figures(self._shown())

    def export_words(self) -> Sequence[str]:
        result = self._shown()
        return [pictures.facts(result), pictures.holds(result), pictures.apart(result)]
