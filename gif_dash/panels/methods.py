"""Methods: Table 2 and Fig. 4 of the GIF paper over several networks, with retraining and the published numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets
import pandas as pd

from gif_dash.figures import methods as pictures
from gif_dash.figures import methods_tables as tables
from gif_dash.figures import methods_words as words
from gif_dash.figures.chart import Chart
from gif_dash.figures.removal import add_ghosts
from gif_dash.figures.tables import duration
from gif_dash.panels.asking import Asking
from gif_dash.panels.bars import html
from gif_dash.panels.base import Context
from gif_dash.panels.chart import ChartWidget
from gif_dash.panels.methods_about import ABOUT
from gif_dash.panels.scenario import ScenarioPanel
from gif_dash.panels.swept import position
from gif_dash.results import Result
from gif_dash.specs import MethodsSpec, Spec

if TYPE_CHECKING:
    import plotly.graph_objects as go

EMPTY = pd.DataFrame({"group": [], "method": [], "mr": [], "mark": [], "scalar": [], "seed": [], "n": []})


@dataclass(frozen=True)
class _Before:
    """The charts of an answer, and what they are about."""

    scenario: str
    mr: float
    scores: Chart
    curves: Chart


class MethodsPanel(ScenarioPanel[MethodsSpec]):
    """Table 2 and Fig. 4 of the GIF paper, for any scenario, any classes and any number of seeds."""

    spec_class: ClassVar[type[Spec]] = MethodsSpec
    title = "Methods"
    intro = (
        "<p>Which method edits best? Each removes the same classes at several modification ratios MR, and retraining "
        "says what was to be reached. One network says little: <b>Seeds</b> trains and edits more of them, for means, "
        "deviations and a test of the differences.</p>"
    )
    overrides: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "scenario": {"help": ""},
        "forget_classes": {"help": "press one to add it or to take it back; several are removed together"},
        "damping": {"kind": "number"},
    }

    def __init__(self, context: Context) -> None:
        self.chart = ChartWidget(position=MethodsSpec().mrs[0])
        self.curves = ChartWidget()
        self._placed = self.curves.position  # where the panel itself has put that marker
        self.ours = Asking(context.reporter.guard(self._asked))
        self.drawn: tuple[Chart, Chart] | None = None  #: of the complete answer on the screen
        self.growing: tuple[Chart, Chart] | None = None  #: of the run that is followed
        self._tables: dict[str, pd.DataFrame] = {}  #: of that run, as far as they are known
        self._before: _Before | None = None  #: the answer before the one on the screen
        self._question = MethodsSpec()  #: whose charts are on the screen
        self._growing_mr = 0.0  #: at which a run is computing; 0: none
        self._shown_mr = 0.0
        super().__init__(context)
        self.chart.observe(self.guard(lambda _change: context.ticker.soon(self._mr_changed)), "position")

    # --- state ------------------------------------------------------------------------------------------------------

    @property
    def mr(self) -> float:
        """The modification ratio whose curves are shown: the nearest to the marker, or that which is being computed."""
        return self._growing_mr or min(self._question.mrs, key=lambda mr: abs(mr - self.chart.position))

    def restore_extra(self, query: Mapping[str, str]) -> list[str]:
        found, sentences = position(query, "at-mr", 100.0, "at-mr")
        if found is not None:
            self.chart.position = found
        return sentences

    def extra_state(self) -> dict[str, str]:
        position = min(self._question.mrs, key=lambda mr: abs(mr - self.chart.position))
        return {"at-mr": f"{position:g}"} if position != self._question.mrs[0] else {}

    def _mr_changed(self) -> None:
        if not self._built:
            return
        if self.mr != self._shown_mr:
            curves = self._draw_curves()
            self.drawn = (self.drawn[0], curves) if self.drawn is not None and self.running is None else self.drawn
        self.state_changed()

    # --- what is shown ----------------------------------------------------------------------------------------------

    def build(self) -> Sequence[ipywidgets.Widget]:
        self.verdicts = html("", "gd-verdicts")
        self.curves_title = html("", "gd-curves-title")
        self.published = html(tables.theirs() + f'<p class="gd-help">{words.against_published()}</p>', "gd-published")
        self.differences = html("", "gd-differences", "gd-hidden")
        self.folds = (
            self._fold("The same at s = 1", self._at_one, "the methods' own prediction"),
            self._fold("Costs and best s", lambda: html(tables.costs_html(self._shown())), "HVPs, time, s"),
            self._fold("The other classes", self._others, "each removed once"),
            self._fold("Every network", lambda: html(tables.marked_html(self._shown())), "a table"),
        )
        for fold in self.folds:
            fold.add_class("gd-hidden")
        about = self._fold("About this panel", lambda: html(ABOUT, "gd-about"), "protocol, choices")
        self._draw(EMPTY, EMPTY, self.spec)
        return (
            self.chart,
            self.verdicts,
            self.ours,
            self.published,
            self.differences,
            self.curves_title,
            self.curves,
            *self.folds,
            about,
        )

    def _at_one(self) -> ipywidgets.Widget:
        return html(tables.ours(self._shown(), mark="one", opens=False))

    def _others(self) -> ipywidgets.Widget:
        result = self._shown()
        if result.spec["others"] != "yes":
            return html(
                "<p>Only the chosen classes were removed. “Other classes” among the settings adds the rest.</p>"
            )
        return html(tables.ours(result, group="others") + tables.differences_html(result, group="others"))

    def _draw(self, sweep: pd.DataFrame, summary: pd.DataFrame, spec: MethodsSpec) -> tuple[Chart, Chart]:
        """Both charts; returns them without ghosts."""
        before = self.growing or (None, None)
        self._sweep, self._question = sweep, spec
        scores = pictures.over_mr(summary, spec.model_dump(mode="json"), before=before[0])
        ghost = self._ghost()
        self.chart.draw(scores.with_ghosts_of(ghost.scores if ghost else None))
        return scores, self._draw_curves(before[1])

    def _draw_curves(self, before: Chart | None = None) -> Chart:
        self._shown_mr = self.mr
        chart = pictures.along_s(self._sweep, self._question.model_dump(mode="json"), self.mr, before=before)
        ghost = self._ghost()
        self.curves.draw(add_ghosts(chart, ghost.curves if ghost is not None and ghost.mr == self.mr else None))
        seeds = pictures.at_mr(self._sweep, self.mr)["seed"].nunique()
        over = f", mean over {seeds} seeds" if seeds > 1 else ", being computed" if self._growing_mr else ""
        self.curves_title.value = (
            f"<h3>Losses and accuracies against s at MR {self.mr:g} %{over} (Fig. 4)</h3>"
            '<p class="gd-help">MR is that of the marker in the first plot; its buttons change it.</p>'
        )
        return chart

    def _ghost(self) -> _Before | None:
        """The answer before, if it is about the same scenario."""
        fits = self._before is not None and self._before.scenario == self._question.scenario
        return self._before if fits else None

    def _remember(self) -> None:
        """What is on the screen becomes the run before."""
        if self.result is not None and self.drawn is not None:
            self._before = _Before(str(self.result.spec["scenario"]), self._shown_mr, *self.drawn)

    def show_partial(self, partial: Mapping[str, pd.DataFrame]) -> None:
        if self.running is None:
            return
        self._tables |= partial
        sweep, summary = (self._tables.get(name, EMPTY) for name in ("points", "summary"))
        self._growing_mr, sweep = pictures.growing(sweep, self.running.mrs[0])
        self.growing = self._draw(sweep, summary, self.running)
        if len(summary):
            caption = "Ours, as far as computed; the numbers grow with every MR and seed"
            mrs = list(self.running.mrs)
            self.ours.html = tables.table2(tables.entries(summary), mrs, caption=caption)

    def show_result(self, result: Result) -> None:
        if self.result is not None and self.result.spec != result.spec:
            self._remember()
        self._grown()
        self.result = result
        self.drawn = self._draw(result.tables["points"], result.tables["summary"], self.shown_spec())
        self._marker_to_best(result)
        self._say(result)
        for fold in self.folds:
            fold.remove_class("gd-hidden")
            fold.refresh()
        self.refresh_offers()

    def started(self) -> None:
        self._remember()
        self._grown()
        if self.running is not None:
            self._draw(EMPTY, EMPTY, self.running)

    def _grown(self) -> None:
        """Nothing grows any more, or yet."""
        self.growing, self._tables, self._growing_mr = None, {}, 0.0

    def _marker_to_best(self, result: Result) -> None:
        """The second plot's marker goes to the first method's best s, unless the person has put it somewhere."""
        rows = result.tables["summary"]
        rows = rows[(rows["method"] == result.spec["methods"][0]) & (rows["mark"] == "best")]
        if len(rows) and self.curves.position == self._placed:
            self._placed = self.curves.position = float(rows["scalar"].iloc[0])

    def stopped(self) -> None:
        self._grown()
        if self.result is not None:
            self._draw(self.result.tables["points"], self.result.tables["summary"], self.shown_spec())
            self._say(self.result)
        else:
            self._draw(EMPTY, EMPTY, self.spec)
            self.ours.html = ""

    def _say(self, result: Result) -> None:
        odd = "".join(f'<p class="gd-help">{sentence}</p>' for sentence in words.oddities(result))
        self.verdicts.value = (
            '<div class="gd-questions">'
            f"<section><h3>Is this a good edit?</h3><p>{words.good_edit(result)}</p></section>"
            f"<section><h3>Is this where retraining would land?</h3><p>{words.retraining_lands(result)}</p></section>"
            f"</div><h3>Do the methods differ?</h3>"
            f'<div class="gd-methods-said">{words.significance(result)}</div>{odd}'
        )
        self.ours.html = tables.ours(result) + f'<p class="gd-help">{_PRESS} {words.facts(result)}</p>'
        self.differences.value = tables.differences_html(result)
        (self.differences.remove_class if self.differences.value else self.differences.add_class)("gd-hidden")

    def estimate(self) -> str:
        """From the last run: so many seconds for each network and group of classes."""
        if self.result is None or not self.result.provenance.get("pieces"):
            return super().estimate()
        each = float(self.result.provenance["seconds"]) / len(self.result.provenance["pieces"])
        classes = len(self.card.classes) if self.card is not None else 0
        count = self.spec.seeds + (classes - len(self.spec.forget_classes) if self.spec.others == "yes" else 0)
        return f" (about {duration(each * count)} in all, and trainings; what is there is not computed again)"

    def _asked(self, what: str) -> None:
        """Open the class removal behind a score: of the first network."""
        spec = self.running or self.shown_spec()
        method, _, ratio = what.partition(" ")
        mr = next((mr for mr in spec.mrs if f"{mr:g}" == ratio), None)
        if mr is not None and method in spec.methods:
            self.context.show(spec.removal(mr=mr))

    # --- ways out ---------------------------------------------------------------------------------------------------

    def export_figures(self) -> Sequence[go.Figure]:
        return pictures.figures(self._shown())

    def export_words(self) -> Sequence[str]:
        result = self._shown()
        return [
            words.facts(result),
            f"Is this a good edit? {words.good_edit(result)}",
            f"Is this where retraining would land? {words.retraining_lands(result)}",
            words.significance(result),
            *words.oddities(result),
            tables.ours(result, opens=False),
            tables.theirs(),
            words.against_published(),
        ]


_PRESS = "Press a score to open it in Class removal: the first network, all these methods, at that MR.<br>"
