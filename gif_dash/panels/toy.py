"""The toy panel: linear regression, removed points, and three estimators on their way. Computed in the kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

import anywidget
import ipywidgets
import pandas as pd
import traitlets

from gif_dash import toy
from gif_dash.catalog import EXPERIMENTS, resolve
from gif_dash.figures import chart as line_charts
from gif_dash.figures import toy as figures
from gif_dash.figures.chart import Chart
from gif_dash.figures.tables import html_table
from gif_dash.panels.bars import Fold, html
from gif_dash.panels.base import Context, Panel
from gif_dash.panels.page import STATIC
from gif_dash.progress import Silent
from gif_dash.results import Result
from gif_dash.specs import ToySpec

if TYPE_CHECKING:
    import plotly.graph_objects as go

#: A picture that stood for so many seconds is the ghost of the next ones; what a moving slider passes by is not.
SETTLED = 1.0


#: Where one of these differs, the picture is of another plane: no ghost, and axes of its own.
OTHER_PLANE = ("variant", "data", "first", "second")

WEIGHTS = [{"value": number, "label": str(number)} for number in range(1, toy.FEATURES + 1)]


class PlaneWidget(anywidget.AnyWidget):
    """The plane, the measures beside it, the player, and the numbers at the step: one drawing, all in the browser.

    Attributes:
        picture: {"plane": `figures.toy.Plane.to_dict`, "chart": `figures.chart.Chart.to_dict`}; use `draw`.
        step: the step shown; -1 stands for the picture's own end. Python follows, the browser does not wait for it.
        playing: whether it plays; axes are held meanwhile.
    """

    _esm = STATIC / "plane.js"
    _css = STATIC / "plane.css"
    heard: ClassVar[tuple[str, ...]] = ("step", "playing")

    picture = traitlets.Dict().tag(sync=True)
    step = traitlets.Int(-1).tag(sync=True)
    playing = traitlets.Bool(False).tag(sync=True)

    def draw(self, plane: figures.Plane, chart: Chart) -> None:
        """Show a picture; the step stays where it is, and at the end if it was there."""
        self.picture = {"plane": plane.to_dict(), "chart": chart.to_dict()}


class ToyPanel(Panel[ToySpec]):
    """Figure 2 of the GIF paper, alive: every change of a control is answered with a new picture."""

    spec_class = ToySpec
    title = "Toy"
    intro = (
        "A linear model is fitted to points of which some are outliers. These are removed, but only two of its six "
        "parameters may change: where should they go? Press Play."
    )
    overrides: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        name: {"kind": "toggle", "choices": WEIGHTS} for name in ("first", "second")
    }

    def __init__(self, context: Context) -> None:
        self.result: Result | None = None
        self.plane: figures.Plane | None = None
        self.chart: Chart | None = None
        self._settled: tuple[figures.Plane, Chart] | None = None  # what becomes the ghost
        self._shown_at = 0.0
        self._own: dict[str, Any] = {}  # values that the version as published replaced for the time being
        self._fixed: dict[str, Any] = {}
        self._restored_step = -1
        super().__init__(context)

    def build(self) -> Sequence[ipywidgets.Widget]:
        self.view = PlaneWidget(step=self._restored_step)
        self.view.observe(self.guard(lambda _change: self.state_changed()), "step")
        self.words = html("", "gd-words")
        self.table = Fold("Every step as a table", self._table, guard=self.guard)
        self._arrange(ToySpec())
        self._compute()
        return (self.view, self.words, self.table)

    def update(self, before: ToySpec) -> None:
        self._arrange(before)
        self._compute()

    def restore(self, query: Mapping[str, str]) -> list[str]:
        before = self.spec
        sentences = super().restore(query)
        if self._built:  # shown before its link was known
            self.result = self.plane = self.chart = self._settled = None
            self.view.step = self._restored_step
            self.update(before)
        return sentences

    def _compute(self) -> None:
        begin = perf_counter()
        result: Result = resolve(EXPERIMENTS["toy"].target)(self.spec, Silent())
        if self.plane is not None and self.chart is not None and begin - self._shown_at > SETTLED:
            self._settled = (self.plane, self.chart)
        if self.result is not None and any(self.result.spec[name] != result.spec[name] for name in OTHER_PLANE):
            self._settled = self.plane = self.chart = None
        plane, chart = figures.plane(result, self.plane), figures.chart(result, self.chart)
        self.result, self.plane, self.chart = result, plane, chart
        if self._settled is not None:
            plane = plane.with_ghosts_of(self._settled[0])
            if self._settled[1].x == chart.x:
                chart = chart.with_ghosts_of(self._settled[1])
        self.view.draw(plane, chart)
        self.words.value = self._paragraphs(result)
        self.table.refresh()
        self._shown_at = perf_counter()
        self.bar.status = f"Computed in {1000 * (self._shown_at - begin):.0f} ms"

    def _paragraphs(self, result: Result) -> str:
        said = "".join(f"<p>{sentence}</p>" for sentence in figures.words(result))
        quirks = result.provenance["quirks"]
        if not quirks:
            return said
        listed = "".join(f"<li>{escape(quirk)}</li>" for quirk in quirks)
        return f"{said}<h3>What the notebook does otherwise than the paper's formulas</h3><ul>{listed}</ul>"

    def _table(self) -> ipywidgets.Widget:
        assert self.result is not None
        frame, titles = figures.table(self.result)
        caption = "Every method at every step; the CSV has all weights"
        return html(html_table(frame, caption=caption, titles=titles, row_header="method", limit=600))

    # --- fields that the version as published fixes -----------------------------------------------------------------

    def _arrange(self, before: ToySpec) -> None:
        """Show fixed fields with their values and out of reach; give the person's values back once they are free."""
        fixed = ToySpec.fixed(self.spec.variant, self.spec.data)
        self._own.update({name: getattr(before, name) for name in fixed.keys() - self._fixed.keys()})
        freed = {name: self._own.pop(name) for name in self._fixed.keys() - fixed.keys()}
        self._fixed = fixed
        if freed and self.spec != ToySpec():  # unless all was reset
            self.form.set(**freed)
            self.spec = self.form.read()
            self._arrange(self.spec)  # the data that comes back may free more
            return
        self.form.set(**fixed)
        self.form.disabled = sorted(fixed)
        self.state_changed()

    def extra_state(self) -> dict[str, str]:
        if not self._built or self.plane is None or self.view.step in (-1, self.plane.end):
            return {}
        return {"step": str(self.view.step)}

    def restore_extra(self, query: Mapping[str, str]) -> list[str]:
        text = query.get("step", "")
        if text and not text.isdecimal():
            return ["The link was not followed in one point: step is a whole number."]
        self._restored_step = min(int(text), 10_000) if text else -1
        return []

    # --- ways out ---------------------------------------------------------------------------------------------------

    def export_tables(self) -> Mapping[str, pd.DataFrame]:
        return self.result.tables if self.result is not None else {}

    def export_figures(self) -> Sequence[go.Figure]:
        if self.plane is None or self.chart is None:
            return ()
        return (figures.to_plotly(self.plane), line_charts.to_plotly(self.chart, height=800))

    def export_words(self) -> Sequence[str]:
        if self.result is None:
            return ()
        return [*figures.words(self.result), *(escape(quirk) for quirk in self.result.provenance["quirks"])]

    def export_provenance(self) -> Mapping[str, Any]:
        return self.result.provenance if self.result is not None else {}
