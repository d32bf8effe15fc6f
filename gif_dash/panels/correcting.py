"""Correcting: mispredictions repaired by a few steps on training images, and what the rest loses by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets
import pandas as pd

from gif_dash.figures import correcting as pictures
from gif_dash.figures.chart import Chart
from gif_dash.panels.bars import column, html
from gif_dash.panels.scenario import ScenarioPanel
from gif_dash.panels.swept import MarkedPanel
from gif_dash.results import Result
from gif_dash.specs import CorrectingSpec, Spec

if TYPE_CHECKING:
    import plotly.graph_objects as go

EMPTY = pd.DataFrame()

ABOUT = """
<p>A trained network answers some test images wrongly. For each of them, training images are chosen, and the network
takes steps of plain gradient descent on their mean loss, from the trained parameters θ̂ each time, until the answer is
right or the steps are used up. Nothing is removed, and no label is new: the network only looks at a few of its own
training images again.</p>
<ul>
<li><b>Most helpful by influence</b>: the images whose upweighting lowers the loss of the right answer most,
−∇ℓ(z<sub>t</sub>)<sup>T</sup>(H + λI)<sup>−1</sup>∇ℓ(z<sub>i</sub>) at its most negative, over all parameters; one
solve by MINRES per test image, with few steps, which regularises.</li>
<li><b>Nearest inputs</b>: Euclidean distance of the inputs, whatever the class. <b>Random</b>: any, drawn several
times.</li>
<li><b>The rest</b>: accuracy on all other test images, before minus after, in points; measured where the steps ended,
repaired or not.</li>
<li><b>Of the right class</b>: steps on any images of a class make that class likelier; compare before believing that
influence found more than the class.</li>
</ul>
<p>This is no way to mend a network for use: the right answers of the test images choose the training images.</p>
<p>A. Schioppa, K. Filippova, I. Titov &amp; P. Zablotskaia, “Theoretical and practical perspectives on what influence
functions do”, NeurIPS 2023: their networks were not trained here, and no number of theirs is compared with these.</p>
"""


class CorrectingPanel(MarkedPanel[CorrectingSpec], ScenarioPanel[CorrectingSpec]):
    """Repairing mispredictions by a few steps on their influential training images (Schioppa et al. 2023)."""

    spec_class: ClassVar[type[Spec]] = CorrectingSpec
    title = "Correcting"
    start = 5.0
    prompt = "Press Run to correct mispredictions"
    intro = (
        "<p>The network answers a test image wrongly. <b>Which of its own training images</b> should it look at again "
        "for a few steps, so that the answer becomes right? The most helpful ones by influence, the nearest, or any; "
        "and what does that cost on all other test images?</p>"
    )
    overrides: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "scenario": {"help": ""},
        "choices": {
            "choices": [
                {"value": choice, "label": name, "swatch": pictures.swatch(choice)}
                for choice, name in pictures.NAMES.items()
            ]
        },
        **{name: {"kind": "number"} for name in ("mispredictions", "steps", "rate", "damping", "curvature_samples")},
    }

    # --- state ------------------------------------------------------------------------------------------------------

    def marker(self) -> tuple[str, float, str]:
        return "at", 1000.0, "the marker"

    # --- what is shown ----------------------------------------------------------------------------------------------

    def build(self) -> Sequence[ipywidgets.Widget]:
        self.words = html("", "gd-verdicts")
        self.numbers = html("", "gd-scores")
        self.folds = (
            self._fold("As published", lambda: html(pictures.published_html(self._shown())), "their statement, ours"),
            self._fold("Single mispredictions", lambda: html(pictures.singles_html(self._shown())), "every repair"),
        )
        for fold in self.folds:
            fold.add_class("gd-hidden")
        about = self._fold("About this panel", lambda: html(ABOUT, "gd-about"), "what is compared, choices")
        self.chart.draw(pictures.curves(EMPTY, self.spec.model_dump()))
        return (column(self.chart, self.words, classes=("gd-results",)), self.numbers, *self.folds, about)

    def show_partial(self, partial: Mapping[str, pd.DataFrame]) -> None:
        if "repairs" in partial and self.running is not None:
            self._draw(pictures.curves(partial["repairs"], self.running.model_dump()), self.ghost(self.drawn))

    def show_result(self, result: Result) -> None:
        previous = self.ghost(self.drawn, result)
        self.result = result
        self.drawn = pictures.curves(result.tables["repairs"], result.spec)
        self.place_among([float(count) for count in result.spec["examples"]])
        self._draw(self.drawn, previous)
        odd = "".join(f'<p class="gd-help">{sentence}</p>' for sentence in pictures.oddities(result))
        self.words.value = (
            '<div class="gd-questions">'
            f"<section><h3>Do a few steps repair it?</h3><p>{pictures.repairs(result)}</p></section>"
            f"<section><h3>What does it cost on the rest?</h3><p>{pictures.costs(result)}</p></section></div>{odd}"
        )
        self.numbers.value = f'{pictures.means_html(result)}<p class="gd-help">{pictures.facts(result)}</p>'
        for fold in self.folds:
            fold.remove_class("gd-hidden")
            fold.refresh()
        self.refresh_offers()

    def started(self) -> None:
        if self.running is not None:
            self._draw(pictures.curves(EMPTY, self.running.model_dump()), self.ghost(self.drawn))

    def stopped(self) -> None:
        self.chart.draw(self.drawn or pictures.curves(EMPTY, self.spec.model_dump()))

    def _draw(self, chart: Chart, previous: Chart | None) -> None:
        self.chart.draw(chart.with_ghosts_of(previous))

    # --- ways out ---------------------------------------------------------------------------------------------------

    def export_figures(self) -> Sequence[go.Figure]:
        return pictures.figures(self._shown())

    def export_words(self) -> Sequence[str]:
        result = self._shown()
        return [
            pictures.facts(result),
            f"Do a few steps repair it? {pictures.repairs(result)}",
            f"What does it cost on the rest? {pictures.costs(result)}",
            *pictures.oddities(result),
            pictures.published_html(result),
        ]
