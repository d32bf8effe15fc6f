"""The spectrum: how many eigenvalues are negative, whether a regulariser mends it, and where LiSSA converges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import anywidget
import ipywidgets
import pandas as pd
import traitlets

from gif_dash.figures import spectrum as pictures
from gif_dash.figures import spectrum_words as words
from gif_dash.panels.bars import column, html
from gif_dash.panels.page import STATIC
from gif_dash.panels.scenario import ScenarioPanel
from gif_dash.panels.spectrum_about import ABOUT
from gif_dash.panels.swept import MarkedPanel
from gif_dash.results import Result
from gif_dash.specs import Spec, SpectrumSpec

if TYPE_CHECKING:
    import plotly.graph_objects as go

EMPTY = pd.DataFrame({"loss": [], "alpha": []})


class SpectraWidget(anywidget.AnyWidget):
    """All eigenvalues at one α; `html` is `gif_dash.figures.spectrum.histogram_html`."""

    _esm = STATIC / "spectrum.js"
    _css = STATIC / "spectrum.css"

    html = traitlets.Unicode("").tag(sync=True)


class SpectrumPanel(MarkedPanel[SpectrumSpec], ScenarioPanel[SpectrumSpec]):
    """Fig. 3 of the GIF paper, for any scenario."""

    spec_class: ClassVar[type[Spec]] = SpectrumSpec
    title = "Spectrum"
    start = 0.0
    intro = (
        "<p>Influence functions solve a system with the Hessian, and many solvers count on its eigenvalues being "
        "positive. How many are not, and does a regulariser of weight <b>α</b> mend it? Move α below the plots to see "
        "all eigenvalues there.</p>"
    )
    overrides: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "scenario": {"help": ""},
        "count": {"kind": "number"},
        "scale": {"kind": "number"},
        "samples": {"kind": "number"},
        "tolerance": {"kind": "number"},
        "train_steps": {"kind": "number"},
        "lissa_steps": {"kind": "number"},
    }

    # --- state ------------------------------------------------------------------------------------------------------

    def marker(self) -> tuple[str, float, str]:
        return "alpha", 100.0, "α"

    def follow_marker(self) -> None:
        self.state_changed()
        if self._built and self.result is not None:
            self._show_spectra(self.result)

    # --- what is shown ----------------------------------------------------------------------------------------------

    def build(self) -> Sequence[ipywidgets.Widget]:
        self.spectra = SpectraWidget()
        self.words = html("", "gd-verdicts")
        self.lissa = html("")
        self.folds = (
            self._fold("Numbers", lambda: html(words.shares_html(self._shown())), "for every loss and α"),
            self._fold(
                "As published", lambda: html(words.published_html(self._shown())), "the authors' shares beside ours"
            ),
        )
        for fold in self.folds:
            fold.add_class("gd-hidden")
        about = self._fold("About this panel", lambda: html(ABOUT, "gd-about"), "equations, choices")
        self.chart.draw(pictures.curves(EMPTY, EMPTY, self.spec.model_dump()))
        return (column(self.chart, self.words, classes=("gd-results",)), self.spectra, self.lissa, *self.folds, about)

    def show_partial(self, partial: Mapping[str, pd.DataFrame]) -> None:
        if "shares" in partial and self.running is not None:
            chart = pictures.curves(partial["shares"], EMPTY, self.running.model_dump())
            self.chart.draw(pictures.add_ghosts(chart, self.drawn))

    def show_result(self, result: Result) -> None:
        previous = self.drawn if self.result is not None and self.result.spec != result.spec else None
        self.result = result
        self.drawn = pictures.curves(result.tables["shares"], result.tables["lissa"], result.spec)
        self.chart.draw(pictures.add_ghosts(self.drawn, previous))
        self._show_spectra(result)
        odd = "".join(f'<p class="gd-help">{sentence}</p>' for sentence in words.oddities(result))
        self.words.value = f'{words.answer(result)}{odd}<p class="gd-help">{words.facts(result)}</p>'
        self.lissa.value = words.lissa_html(result)
        for fold in self.folds:
            fold.remove_class("gd-hidden")
            fold.refresh()
        self.refresh_offers()

    def started(self) -> None:
        if self.running is not None:
            chart = pictures.curves(EMPTY, EMPTY, self.running.model_dump())
            self.chart.draw(pictures.add_ghosts(chart, self.drawn))

    def stopped(self) -> None:
        self.chart.draw(self.drawn or pictures.curves(EMPTY, EMPTY, self.spec.model_dump()))

    def _show_spectra(self, result: Result) -> None:
        alpha = pictures.nearest_alpha(result.tables["shares"], self.chart.position)
        self.spectra.html = pictures.histogram_html(result, alpha)

    # --- ways out ---------------------------------------------------------------------------------------------------

    def export_figures(self) -> Sequence[go.Figure]:
        return pictures.figures(self._shown())

    def export_words(self) -> Sequence[str]:
        result = self._shown()
        return [words.facts(result), words.answer(result), *words.oddities(result)]
