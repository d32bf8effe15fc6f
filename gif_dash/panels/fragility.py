"""Fragility: when do influence estimates agree with retraining, and when not?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets
import pandas as pd

from gif_dash import recorded
from gif_dash.figures import fragility as pictures
from gif_dash.figures import fragility_words as words
from gif_dash.figures.chart import Chart
from gif_dash.panels.bars import column, html
from gif_dash.panels.base import Context
from gif_dash.panels.fragility_about import ABOUT
from gif_dash.panels.spectrum import SpectraWidget
from gif_dash.panels.swept import MarkedPanel
from gif_dash.results import Result
from gif_dash.specs import FragilitySpec, Spec, SpecError

if TYPE_CHECKING:
    import plotly.graph_objects as go

EMPTY = pd.DataFrame()


class FragilityPanel(MarkedPanel[FragilitySpec]):
    """Predicted against retrained changes, one training example removed at a time (Basu et al. 2021)."""

    spec_class: ClassVar[type[Spec]] = FragilitySpec
    title = "Fragility"
    start = 2.0
    intro = (
        "<p>When can an influence estimate be believed? Remove one training example, predict what that does to the "
        "loss of a test example, and <b>train again without it</b>: here for the most influential examples of many "
        "small networks. Move the marker below the plots to see the single removals.</p>"
    )
    overrides: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "weight_decay": {"kind": "number"},
        "damping": {"kind": "number"},
        "train_steps": {"kind": "number"},
        "steps": {"kind": "number"},
        "rate": {"kind": "number"},
        "curvature_samples": {"kind": "number"},
        "lissa_steps": {"kind": "number"},
    }

    def __init__(self, context: Context) -> None:
        self._own: dict[str, Any] = {}  # what the form held (JSON) before MNIST was chosen,
        self._taken: dict[str, Any] = {}  # and what took its place
        super().__init__(context)
        self.form.observe(self.guard(self._varied), "values")

    # --- state ------------------------------------------------------------------------------------------------------

    def marker(self) -> tuple[str, float, str]:
        return "at", 64.0, "the marker"

    def follow_marker(self) -> None:
        self.state_changed()
        if self._built and self.result is not None:
            self._show_scatter(self.result)

    def _varied(self, change: Any) -> None:
        """Values of what varied before are none of what varies now; other data has other settings."""
        old, new = change["old"], change["new"]
        if old["data"] != new["data"]:
            self._other_data(old, new)
        elif old["vary"] != new["vary"] and new["values"] and old["values"] == new["values"]:
            self.form.set(values=[])

    def _other_data(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        """MNIST does not have all settings: those that were recorded take their place.

        With MNIST they go again, unless the person has changed them.
        """
        if new["data"] == "iris":
            if all(new[name] == value for name, value in self._taken.items() if name != "data"):
                self.form.set(**self._own)
            return
        try:
            self.form.read()
        except SpecError:
            self._own = dict(old)
            questions = self._recorded_on_mnist()
            least = {"vary": "weight-decay", "hessians": ["exact", "sample"], "values": []}
            self._taken = questions[0].model_dump(mode="json") if questions else least
            self.form.set(**self._taken)

    # --- what is shown ----------------------------------------------------------------------------------------------

    def build(self) -> Sequence[ipywidgets.Widget]:
        self.scatter = SpectraWidget()
        self.words = html("", "gd-verdicts")
        self.folds = (
            self._fold("Numbers", lambda: html(words.means_html(self._shown())), "every setting"),
            self._fold("As published", lambda: html(words.published_html(self._shown())), "their correlations, ours"),
        )
        for fold in self.folds:
            fold.add_class("gd-hidden")
        about = self._fold("About this panel", lambda: html(ABOUT, "gd-about"), "equations, choices")
        self.chart.draw(pictures.curves(EMPTY, self.spec.model_dump()))
        return (column(self.chart, self.words, classes=("gd-results",)), self.scatter, *self.folds, about)

    def may_run_alone(self) -> bool:
        return self.spec.data == "iris"

    def recorded_questions(self) -> list[FragilitySpec]:
        return [] if self.spec.data == "iris" else self._recorded_on_mnist()

    def _recorded_on_mnist(self) -> list[FragilitySpec]:
        record = recorded.records().get(recorded.STUDIES)
        return [] if record is None else record.questions("fragility")  # type: ignore[return-value]

    def show_partial(self, partial: Mapping[str, pd.DataFrame]) -> None:
        if "summary" in partial and self.running is not None:
            self._draw(pictures.curves(partial["summary"], self.running.model_dump()), self.drawn)

    def show_result(self, result: Result) -> None:
        previous = self.drawn if self.result is not None and self.result.spec != result.spec else None
        self.result = result
        self.drawn = pictures.curves(result.tables["summary"], result.spec)
        self.place_among(pictures.grid(result.spec))
        self._draw(self.drawn, previous)
        self._show_scatter(result)
        odd = "".join(f'<p class="gd-help">{sentence}</p>' for sentence in words.oddities(result))
        self.words.value = (
            '<div class="gd-questions">'
            f"<section><h3>Do the estimates agree with retraining?</h3><p>{words.agreement(result)}</p></section>"
            f"<section><h3>Is the truth settled?</h3><p>{words.settled(result)}</p></section>"
            f'</div>{odd}<p class="gd-help">{words.facts(result)}</p>'
        )
        for fold in self.folds:
            fold.remove_class("gd-hidden")
            fold.refresh()

    def started(self) -> None:
        if self.running is not None:
            self._draw(pictures.curves(EMPTY, self.running.model_dump()), self.drawn)

    def stopped(self) -> None:
        self.chart.draw(self.drawn or pictures.curves(EMPTY, self.spec.model_dump()))

    def _draw(self, chart: Chart, previous: Chart | None) -> None:
        self.chart.draw(chart.with_ghosts_of(pictures.same_axis(chart, previous)))

    def _show_scatter(self, result: Result) -> None:
        self.scatter.html = pictures.scatter_html(result, pictures.nearest_value(result.spec, self.chart.position))

    # --- ways out ---------------------------------------------------------------------------------------------------

    def export_figures(self) -> Sequence[go.Figure]:
        result = self._shown()
        return pictures.figures(result, pictures.nearest_value(result.spec, self.chart.position))

    def export_words(self) -> Sequence[str]:
        result = self._shown()
        return [
            words.question(result),
            words.facts(result),
            f"Do the estimates agree with retraining? {words.agreement(result)}",
            f"Is the truth settled? {words.settled(result)}",
            *words.oddities(result),
            words.published_html(result),
        ]
