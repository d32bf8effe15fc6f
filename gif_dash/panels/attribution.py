"""Helpful and harmful images: which training images a prediction owes to, and what it is without some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import ipywidgets
import pandas as pd

from gif_dash.figures import attribution as pictures
from gif_dash.figures import image_removal as removed
from gif_dash.figures.tables import duration
from gif_dash.panels.attribution_about import ABOUT
from gif_dash.panels.bars import html
from gif_dash.panels.base import Context, time_left, waiting
from gif_dash.panels.images import ImagesWidget
from gif_dash.panels.scenario import ScenarioPanel
from gif_dash.results import Result, ScenarioCard
from gif_dash.specs import AttributionSpec, ImageRemovalSpec, Spec, SpecError

if TYPE_CHECKING:
    import plotly.graph_objects as go

#: Tables that a picture of a run under way needs.
NEEDED = ("query", "shown", "gallery", "pictures", "scores")


class AttributionPanel(ScenarioPanel[AttributionSpec]):
    """Koh & Liang's question, for any scenario and any of its test images."""

    spec_class: ClassVar[type[Spec]] = AttributionSpec
    title = "Images"
    prompt = "Press Run to score the training images"
    intro = (
        "<p>Choose a test image. <b>Which training images speak for its class, and which against it?</b> Influence "
        "answers for all of them with one solve and one pass. Choose some of them, remove them, and see what the "
        "network says then.</p>"
    )
    overrides: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "scenario": {"help": ""},
        "test_index": {"kind": "number"},
        "damping": {"kind": "number"},
    }

    def __init__(self, context: Context) -> None:
        guard = context.reporter.guard
        self.images = ImagesWidget(guard(self._query), guard(self._remove), guard(self._stop_removal))
        self.before: Result | None = None  #: the answer whose scores are the ghost
        self.removal: Result | None = None  #: of the images that were removed last
        self.removal_ticket = ""
        super().__init__(context)
        self.images.observe(self.guard(lambda _change: context.ticker.soon(self._view_changed)), "ranking")
        self.images.observe(self.guard(lambda _change: context.ticker.soon(self.state_changed)), "selected")

    # --- state ------------------------------------------------------------------------------------------------------

    def restore_extra(self, query: Mapping[str, str]) -> list[str]:
        said = []
        if "ranking" in query:
            if query["ranking"] in self.spec.rankings:
                self.images.ranking = query["ranking"]
            else:
                said.append(
                    f"The link was not followed in one point: ranking: choose from {', '.join(self.spec.rankings)}."
                )
        if "selected" in query:
            parts = query["selected"].split(",")
            if all(part.strip().isdecimal() for part in parts):
                self.images.selected = sorted({int(part) for part in parts})
            else:
                said.append("The link was not followed in one point: selected: positions with commas.")
        return said

    def extra_state(self) -> dict[str, str]:
        state = {}
        if self.images.ranking and self.images.ranking != self.spec.rankings[0]:
            state["ranking"] = self.images.ranking
        if self.images.selected:
            state["selected"] = ",".join(map(str, self.images.selected))
        return state

    def changes(self, card: ScenarioCard) -> dict[str, Any]:
        known = {layer.name for layer in card.layers}
        changed: dict[str, Any] = {}
        if self.spec.test_index >= card.test_size:
            changed["test_index"] = -1
        if any(name not in known for name in self.spec.layers):
            changed["layers"] = []
        return changed

    # --- what is shown ----------------------------------------------------------------------------------------------

    def build(self) -> Sequence[ipywidgets.Widget]:
        self.about_scores = html("", "gd-scores")
        self.outcome = html("", "gd-verdicts")
        self.folds = (
            self._fold(
                "How the rankings agree", lambda: html(pictures.agreement_html(self._shown())), "each with each other"
            ),
            self._fold(
                "The images as a table",
                lambda: html(pictures.scores_html(self._shown(), self.ranking)),
                "of the ranking above; the CSV has all training images in all rankings",
            ),
            self._fold("Solver reports", lambda: html(pictures.solves_html(self._shown())), "steps, HVPs, residuals"),
        )
        for fold in self.folds:
            fold.add_class("gd-hidden")
        about = self._fold("About this panel", lambda: html(ABOUT, "gd-about"), "equations, sources, choices")
        return (self.images, self.outcome, self.about_scores, *self.folds, about)

    @property
    def ranking(self) -> str:
        """The one that is shown."""
        known = [str(key) for key in dict.fromkeys(self._shown().tables["shown"]["ranking"])]
        return self.images.ranking if self.images.ranking in known or not known else known[0]

    def show_partial(self, tables: Mapping[str, pd.DataFrame]) -> None:
        if self.card is not None and all(name in tables for name in NEEDED):
            self.images.content = pictures.content(tables, self.card.classes, self._scores_of(self.result, tables))

    def show_result(self, result: Result) -> None:
        before, self.result = self.result, result
        if before is not None and before.spec["scenario"] != result.spec["scenario"]:
            self.images.selected = []
        count = int(result.provenance["n"])
        if any(index >= count for index in self.images.selected):
            self.images.selected = [index for index in self.images.selected if index < count]
        if before is not None and before.spec != result.spec:
            self.before = before
        self._draw(result)
        self._say(result)
        if before is None or before.tables["query"].iloc[0]["index"] != result.tables["query"].iloc[0]["index"]:
            self._forget_removal()
        for fold in self.folds:
            fold.remove_class("gd-hidden")
            fold.refresh()
        self.refresh_offers()
        self._look_up_removal()

    def _say(self, result: Result) -> None:
        words = [pictures.stepped(result), *pictures.oddities(result)]
        odd = "".join(f'<p class="gd-help">{sentence}</p>' for sentence in words if sentence)
        self.about_scores.value = f'{odd}<p class="gd-help">{pictures.how(result)}</p>'

    def stopped(self) -> None:
        if self.result is not None:
            self._draw(self.result)

    def _draw(self, result: Result) -> None:
        """The answer, with the scores of the one before as a ghost."""
        classes = [str(entry) for entry in result.provenance["classes"]]
        self.images.content = pictures.content(result.tables, classes, self._scores_of(self.before, result.tables))

    @staticmethod
    def _scores_of(before: Result | None, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame | None:
        """The scores of an earlier answer if they are about the training images of these tables."""
        if before is None:
            return None
        scores = before.tables["scores"]
        same = len(scores) == len(tables["scores"]) and bool((scores["loss"] == tables["scores"]["loss"]).all())
        return scores if same else None

    def _view_changed(self) -> None:
        if self._built and self.result is not None:
            self.folds[1].refresh()
        self.state_changed()

    def _query(self, index: int) -> None:
        """Another test image."""
        self.ask(test_index=index)

    # --- removing images --------------------------------------------------------------------------------------------

    def removal_spec(self) -> ImageRemovalSpec:
        """The removal of the chosen images.

        Raises:
            SpecError: there is no such question.
        """
        spec = self.shown_spec()
        index = int(self._shown().tables["query"].iloc[0]["index"])
        return ImageRemovalSpec.of(
            spec,
            tuple(self.images.selected),
            test_index=index,
            retrain="yes" if self.images.retrain else "no",
        )

    def _remove(self) -> None:
        if self.result is None or self.removal_ticket:
            return
        self.images.error = ""
        if not self.images.selected:
            self.images.error = "Choose at least one training image first."
            return
        try:
            self.removal_ticket = self.context.connect().submit(self.removal_spec())
        except SpecError as error:
            self.images.error = str(error)
            return
        self.images.running, self.images.fraction, self.images.status = True, None, "Waiting to start"
        self.context.ticker.every(self._follow_removal)

    def _look_up_removal(self) -> None:
        """A link with chosen images shows what is known of their removal."""
        if not self.images.selected or self.removal is not None or self.removal_ticket:
            return
        try:
            found = self.context.connect().stored(self.removal_spec())
        except SpecError:
            return
        if found is not None:
            self._show_removal(found)

    def _follow_removal(self) -> None:
        if not self.removal_ticket:
            self.context.ticker.stop(self._follow_removal)
            return
        try:
            view = self.context.connect().view(self.removal_ticket)
        except Exception:  # the server has ended: say it once, not at every beat
            self._end_removal("Stopped")
            raise
        if view.state == "queued":
            self.images.status = waiting(view)
        elif view.state == "running":
            self.images.status, self.images.fraction = f"{view.stage or 'Computing'}{time_left(view)}", view.fraction
        elif view.state == "done" and view.result is not None:
            self._end_removal(f"Done in {duration(view.seconds)}" if view.seconds else "Stored result")
            self._show_removal(view.result)
        else:
            self._end_removal("Cancelled" if view.state == "cancelled" else "Stopped")
            self.images.error = view.error

    def _stop_removal(self) -> None:
        ticket = self.removal_ticket
        if ticket:
            self._end_removal("Cancelled")
            self.context.connect().cancel(ticket)

    def _end_removal(self, words: str) -> None:
        self.removal_ticket = ""
        self.context.ticker.stop(self._follow_removal)
        self.images.running, self.images.fraction, self.images.status = False, None, words

    def _show_removal(self, result: Result) -> None:
        self.removal = result
        self.outcome.value = (
            f"<h2>Without {removed.these(result)}</h2>"
            f"{self._summed(result)}"
            f"{removed.outcomes_html(result)}"
            '<div class="gd-questions">'
            f"<section><h3>Is this a good edit?</h3><p>{removed.good_edit(result)}</p></section>"
            "<section><h3>Is this where retraining would land?</h3>"
            f"<p>{removed.retraining_lands(result)}</p></section></div>"
            f'<p class="gd-help">{removed.facts(result)}</p>'
        )

    def _summed(self, result: Result) -> str:
        """What the scores of the removed images sum to, where they are effects."""
        words = pictures.summed(self._shown(), self.ranking, [int(index) for index in result.spec["forget_indices"]])
        return f'<p class="gd-help">{words}</p>' if words else ""

    def _forget_removal(self) -> None:
        if self.removal_ticket:
            self._stop_removal()
        self.removal, self.outcome.value = None, ""
        self.images.status = self.images.error = ""

    # --- ways out ---------------------------------------------------------------------------------------------------

    def export_tables(self) -> Mapping[str, pd.DataFrame]:
        known = {name: table for name, table in super().export_tables().items() if name != "pictures"}
        if self.removal is not None:
            known |= {"removal": self.removal.table}
        return known

    def export_figures(self) -> Sequence[go.Figure]:
        return pictures.figures(self._shown(), self.ranking)

    def export_words(self) -> Sequence[str]:
        result = self._shown()
        classes = [str(entry) for entry in result.provenance["classes"]]
        words = [
            pictures.asked_words(result.tables["query"].iloc[0], classes),
            pictures.pictures_html(result, self.ranking),
            *filter(None, [pictures.stepped(result), *pictures.oddities(result)]),
            pictures.how(result),
        ]
        if self.removal is not None:
            words += [
                removed.outcomes_html(self.removal),
                f"Is this a good edit? {removed.good_edit(self.removal)}",
                f"Is this where retraining would land? {removed.retraining_lands(self.removal)}",
            ]
        return words
