"""1 against 7: influence where everything is known exactly, by several solvers, beside leaving images out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets
import pandas as pd

from gif_dash.figures import two_classes as pictures
from gif_dash.figures.chart import Chart
from gif_dash.panels.bars import column, html
from gif_dash.panels.base import Context, JobPanel
from gif_dash.panels.chart import ChartWidget
from gif_dash.panels.images import ImagesWidget
from gif_dash.panels.swept import position
from gif_dash.panels.two_classes_about import ABOUT
from gif_dash.results import Result
from gif_dash.specs import Spec, TwoClassesSpec
from gif_dash.specs.two_classes import mnist_is_here

if TYPE_CHECKING:
    import plotly.graph_objects as go

EMPTY = pd.DataFrame({"solver": [], "passes": [], "error": [], "spearman": []})
START = 10.0
#: The marker's highest position in a link, in passes.
MOST = 1e7
#: Tables that a picture of a run under way needs.
NEEDED = ("query", "shown", "gallery", "pictures", "scores")
DIGITS = [str(digit) for digit in range(10)]


class TwoClassesPanel(JobPanel[TwoClassesSpec]):
    """Logistic regression and the smoothed hinge on two digits."""

    spec_class: ClassVar[type[Spec]] = TwoClassesSpec
    title = "1 against 7"
    intro = (
        "<p>A linear model tells two digits apart. Its Hessian is small and its training ends at one place, so "
        "everything can be checked: <b>the solvers against the exact inverse, and influence against training again "
        "without an image.</b></p>"
    )
    overrides: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "test_index": {"kind": "number"},
        "depth": {"kind": "number"},
        "batch": {"kind": "number"},
        "scale": {"kind": "number"},
        "damping": {"kind": "number"},
        "retrained": {"kind": "number"},
    }

    def __init__(self, context: Context) -> None:
        self.images = ImagesWidget(context.reporter.guard(self._query), _nothing, _nothing, choosing=False)
        self.chart = ChartWidget(position=START)
        self.drawn: Chart | None = None  #: of the complete answer on the screen
        super().__init__(context)
        self.form.offer("classes", [{"value": place, "label": name} for place, name in enumerate(DIGITS)])
        self.images.observe(self.guard(lambda _change: context.ticker.soon(self._view_changed)), "ranking")
        self.chart.observe(self.guard(lambda _change: context.ticker.soon(self.state_changed)), "position")
        self._set_aside()

    # --- state ------------------------------------------------------------------------------------------------------

    def restore_extra(self, query: Mapping[str, str]) -> list[str]:
        found, said = position(query, "at", MOST, "at")
        if found is not None:
            self.chart.position = found
        if "ranking" in query:
            if query["ranking"] in self.spec.solvers:
                self.images.ranking = query["ranking"]
            else:
                known = ", ".join(self.spec.solvers)
                said.append(f"The link was not followed in one point: ranking: choose from {known}.")
        self._set_aside()
        return said

    def extra_state(self) -> dict[str, str]:
        state = {}
        if self.chart.position != START:
            state["at"] = f"{self.chart.position:.4g}"
        if self.images.ranking and self.images.ranking in self.spec.solvers[1:]:
            state["ranking"] = self.images.ranking
        return state

    def update(self, before: TwoClassesSpec) -> None:
        self._set_aside()
        super().update(before)

    def _set_aside(self) -> None:
        """Settings that say nothing at present are out of reach."""
        off = [] if self.spec.loss == "smoothed-hinge" else ["temperature"]
        if "lissa" not in self.spec.solvers:
            off += ["depth", "batch", "scale", "repeats"]
        self.form.disabled = off

    # --- what is shown ----------------------------------------------------------------------------------------------

    def build(self) -> Sequence[ipywidgets.Widget]:
        self.missing = html("" if mnist_is_here() else _MISSING, "gd-scores")
        self.verdicts = html("", "gd-verdicts")
        self.table = html("", "gd-scores")
        self.scatter = html("", "gd-scores")
        self.folds = (
            self._fold(
                "The images left out as a table",
                lambda: html(pictures.truth_html(self._shown())),
                "predicted and actual changes",
            ),
            self._fold(
                "The images shown as a table",
                lambda: html(pictures.scores_html(self._shown(), self.ranking)),
                "by the solver chosen above them; the CSV export has the solvers, the HTML all",
            ),
        )
        for fold in self.folds:
            fold.add_class("gd-hidden")
        about = self._fold("About this panel", lambda: html(ABOUT, "gd-about"), "equations, choices")
        self.chart.draw(pictures.curves(EMPTY, EMPTY))
        return (
            column(self.missing, self.verdicts, self.images, classes=("gd-results",)),
            self.table,
            self.chart,
            self.scatter,
            *self.folds,
            about,
        )

    @property
    def ranking(self) -> str:
        """The solver whose images are shown."""
        known = [str(key) for key in dict.fromkeys(self._shown().tables["shown"]["ranking"])]
        return self.images.ranking if self.images.ranking in known or not known else known[0]

    def show_partial(self, tables: Mapping[str, pd.DataFrame]) -> None:
        if self.running is None:
            return
        if all(name in tables for name in NEEDED):
            self.images.content = pictures.content(tables, DIGITS)
        if "curve" in tables:
            growing = pictures.curves(tables["curve"], EMPTY)
            self.chart.draw(growing.with_ghosts_of(self._ghost()))
        if "truth" in tables:
            self.scatter.value = pictures.scatter_html(tables["truth"], self.running.retrained)

    def show_result(self, result: Result) -> None:
        previous = self._ghost() if self.result is not None and self.result.spec != result.spec else None
        self.result = result
        self.drawn = pictures.curves(result.tables["curve"], result.tables["solvers"])
        self.chart.draw(self.drawn.with_ghosts_of(previous))
        self.images.content = pictures.content(result.tables, DIGITS)
        self._say(result)
        for fold in self.folds:
            fold.remove_class("gd-hidden")
            fold.refresh()

    def _say(self, result: Result) -> None:
        bent = pictures.kink(result)
        self.verdicts.value = (
            '<div class="gd-questions">'
            f"<section><h3>Is this where retraining would land?</h3><p>{pictures.lands(result)}</p></section>"
            f"<section><h3>Which solver would do?</h3><p>{pictures.compared(result)}</p></section></div>"
            + (f'<p class="gd-help">{bent}</p>' if bent else "")
        )
        self.table.value = f'{pictures.solvers_html(result)}<p class="gd-help">{pictures.facts(result)}</p>'
        truth = result.tables["truth"]
        self.scatter.value = pictures.scatter_html(truth, len(truth))

    def stopped(self) -> None:
        self.chart.draw(self.drawn or pictures.curves(EMPTY, EMPTY))
        if self.result is not None:
            self.images.content = pictures.content(self.result.tables, DIGITS)
            self._say(self.result)
        else:
            self.images.content, self.scatter.value = {}, ""

    def _ghost(self) -> Chart | None:
        """The curves of the run before, if they are of the same images."""
        if self.result is None:
            return None
        now = self.running if self.running is not None else self.spec
        before = self.shown_spec()
        return self.drawn if (before.data, before.classes) == (now.data, now.classes) else None

    def _view_changed(self) -> None:
        if self._built and self.result is not None:
            self.folds[1].refresh()
        self.state_changed()

    def _query(self, index: int) -> None:
        """Another test image."""
        self.ask(test_index=index)

    # --- ways out ---------------------------------------------------------------------------------------------------

    def export_tables(self) -> Mapping[str, pd.DataFrame]:
        return {name: table for name, table in super().export_tables().items() if name != "pictures"}

    def export_figures(self) -> Sequence[go.Figure]:
        return pictures.figures(self._shown())

    def export_words(self) -> Sequence[str]:
        result = self._shown()
        words = [
            pictures.asked_words(result.tables["query"].iloc[0], DIGITS),
            f"Is this where retraining would land? {pictures.lands(result)}",
            f"Which solver would do? {pictures.compared(result)}",
            pictures.kink(result),
            pictures.solvers_html(result),
            pictures.pictures_html(result, self.ranking),
            pictures.facts(result),
        ]
        return [word for word in words if word]


def _nothing() -> None:
    """Images are only looked at here."""


_MISSING = (
    '<p class="gd-help">MNIST is not on this machine, so only the small digits can be asked about: '
    "<code>gif-dash prepare mnist-cnn</code> gets it.</p>"
)
