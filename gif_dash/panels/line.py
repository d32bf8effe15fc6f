"""The line with two outliers: points to drag, and what each does to one prediction. Computed in the kernel, and live in
the browser by the same closed forms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

import anywidget
import ipywidgets
import pandas as pd
import traitlets

from gif_dash.catalog import EXPERIMENTS, resolve
from gif_dash.figures import line as figures
from gif_dash.panels.bars import Fold, html
from gif_dash.panels.base import Context, Panel
from gif_dash.panels.line_about import ABOUT
from gif_dash.panels.page import STATIC
from gif_dash.progress import Silent
from gif_dash.results import Result
from gif_dash.specs import LineSpec

if TYPE_CHECKING:
    import plotly.graph_objects as go

#: What is dragged, and so is a part of the drawing's state and of the spec.
DRAGGED = ("moved", "removed", "test_x", "test_offset")


class LineWidget(anywidget.AnyWidget):
    """Points, lines, bars and equation: one drawing that computes its numbers in the browser while something moves.

    Attributes:
        picture: `figures.line.picture`: the data as drawn, and the limits of what can be dragged.
        state: the fields `DRAGGED` as in the spec. The browser writes what a person drags, Python what else sets them.
        words: what is seen, as HTML, below the drawing.
    """

    _esm = STATIC / "line.js"
    _css = STATIC / "line.css"

    heard: ClassVar[tuple[str, ...]] = ("state",)

    picture = traitlets.Dict().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)
    words = traitlets.Unicode("").tag(sync=True)

    def __init__(self, on_reset: Any, **traits: Any) -> None:
        super().__init__(**traits)
        self._on_reset = on_reset
        self.on_msg(self._message)

    def _message(self, _widget: Any, content: Any, _buffers: Any) -> None:
        if isinstance(content, dict) and content.get("do") == "reset":
            self._on_reset()


class LinePanel(Panel[LineSpec]):
    """The line of the "influence functions from scratch" tutorial, alive."""

    spec_class = LineSpec
    title = "Line"
    intro = (
        "A line is fitted to 20 points, two of which are far off. Which of them help the prediction at the test point, "
        "and which harm it? Drag any of them: influence functions answer at once, and so does leaving one out."
    )
    overrides: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "moved": {"hidden": True},
        "removed": {"hidden": True},
    }

    def __init__(self, context: Context) -> None:
        self.result: Result | None = None
        super().__init__(context)

    def build(self) -> Sequence[ipywidgets.Widget]:
        self.view = LineWidget(self.guard(self._reset), state=self._dragged())
        self.view.observe(self.guard(self._follow), "state")
        self.table = Fold("Every point as a table", self._table, guard=self.guard)
        title = "The equations, the conventions, and why the two differ"
        about = Fold(title, lambda: html(ABOUT, "gd-about"), guard=self.guard)
        self._compute()
        return (self.view, self.table, about)

    def update(self, before: LineSpec) -> None:
        self._compute()

    def restore(self, query: Mapping[str, str]) -> list[str]:
        before = self.spec
        sentences = super().restore(query)
        if self._built and self.spec != before:  # shown before its link was known
            self.update(before)
        return sentences

    def _dragged(self) -> dict[str, Any]:
        values = self.spec.model_dump(mode="json")
        return {name: values[name] for name in DRAGGED}

    def _follow(self, _change: Any) -> None:
        """A person has dragged something; the form holds it, and the next beat computes it."""
        state = {name: value for name, value in dict(self.view.state).items() if name in DRAGGED}
        if any(self.form.values[name] != value for name, value in state.items()):
            self.form.set(**state)

    def _reset(self) -> None:
        self.form.write(LineSpec())

    def _compute(self) -> None:
        begin = perf_counter()
        self.result = resolve(EXPERIMENTS["line"].target)(self.spec, Silent())
        self.view.picture = figures.picture(self.spec)
        if all(self.form.values[name] == value for name, value in self._dragged().items()):
            self.view.state = self._dragged()  # unless the person has gone on
        first, second = figures.words(self.result)
        self.view.words = (
            f'<div class="gd-questions"><section><h3>Who helps, who harms?</h3><p>{first}</p></section>'
            f"<section><h3>Is the prediction what leaving out gives?</h3><p>{second}</p></section></div>"
        )
        self.table.refresh()
        self.bar.status = f"Computed in {1000 * (perf_counter() - begin):.0f} ms"

    def _table(self) -> ipywidgets.Widget:
        assert self.result is not None
        return html(figures.table_html(self.result))

    # --- ways out ---------------------------------------------------------------------------------------------------

    def export_tables(self) -> Mapping[str, pd.DataFrame]:
        return self.result.tables if self.result is not None else {}

    def export_figures(self) -> Sequence[go.Figure]:
        return (figures.to_plotly(self.result),) if self.result is not None else ()

    def export_words(self) -> Sequence[str]:
        return figures.words(self.result) if self.result is not None else ()

    def export_provenance(self) -> Mapping[str, Any]:
        return self.result.provenance if self.result is not None else {}
