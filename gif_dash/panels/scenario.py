"""Panels about a scenario: which ones there are, and what the classes of the chosen one look like."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from gif_dash import recorded
from gif_dash.catalog import SCENARIOS
from gif_dash.figures.chart import Chart
from gif_dash.panels.base import Context, JobPanel
from gif_dash.results import Result, ScenarioCard
from gif_dash.specs import Spec

if TYPE_CHECKING:
    from gif_dash.compute.cards import Offer

S = TypeVar("S", bound=Spec)


class ScenarioPanel(JobPanel[S]):
    """A panel whose spec has a field ``scenario``, and often ``forget_classes``.

    The form offers all scenarios, with the command that prepares those that are not ready, and the classes of the
    chosen one with their pictures. Classes that another scenario does not have are replaced. Of a scenario that is not
    prepared here, what was recorded can be looked at.
    """

    #: Said where the first question of a large scenario takes minutes and is left to whoever presses Run; empty where
    #: it is asked at once.
    prompt: ClassVar[str] = ""

    def __init__(self, context: Context) -> None:
        self.offers: dict[str, Offer] = {}
        self.card: ScenarioCard | None = None  #: of the chosen scenario, once it is known
        self._stage = ""
        self._own: dict[str, Any] = {}  # what the form held (JSON) before a recorded question took its place
        super().__init__(context)

    # --- what a panel may write -------------------------------------------------------------------------------------

    def changes(self, card: ScenarioCard) -> dict[str, Any]:
        """New values (JSON) of the fields that do not fit the scenario; none if all do."""
        spec: Any = self.spec
        chosen: tuple[int, ...] = spec.forget_classes if "forget_classes" in self.spec_class.model_fields else ()
        if not chosen or ("forget_indices" in self.spec_class.model_fields and spec.forget_indices):
            return {}
        count = len(card.classes)
        kept = [item for item in chosen if item < count][: count - 1] or [min(8, count - 1)]
        return {} if kept == list(chosen) else {"forget_classes": kept}

    # --- the run before ---------------------------------------------------------------------------------------------

    def ghost(self, drawn: Chart | None, result: Result | None = None) -> Chart | None:
        """The curves of the run before, if they belong to the same scenario and to another question.

        Args:
            drawn: the curves of the answer that is shown.
            result: the answer that takes its place; None: the run that goes on.
        """
        if self.result is None:
            return None
        running: Any = self.running
        now = result.spec["scenario"] if result is not None else running.scenario if running else ""
        same_question = result is not None and result.spec == self.result.spec
        return drawn if self.result.spec["scenario"] == now and not same_question else None

    # --- what was recorded ------------------------------------------------------------------------------------------

    def recorded_questions(self) -> list[S]:
        """What was recorded of this experiment and the chosen scenario; nothing where it is computed at once."""
        offer = self.offers.get(self._scenario())
        return [] if offer is None or not offer.recorded else self._recorded_of(offer.name)

    def _recorded_of(self, name: str) -> list[S]:
        return recorded.records()[name].questions(self.spec_class.experiment)  # type: ignore[return-value]

    def _nearest(self) -> dict[str, Any]:
        """Fields (JSON) that lead to the recorded question nearest to the form's; none if it is one."""
        asked = self.spec.model_dump(mode="json")
        known = [spec.model_dump(mode="json") for spec in self.recorded_questions()]
        gaps = [{name: value for name, value in values.items() if value != asked[name]} for values in known]
        return min(gaps, key=len, default={})

    def preparing(self) -> str:
        offer = self.offers.get(self._scenario())
        return offer.command if offer is not None else ""

    # --- running ----------------------------------------------------------------------------------------------------

    def opened(self) -> None:
        self.refresh_offers()
        asked, changes = self.spec, self._changes()
        if changes:
            self.form.set(**changes)
            self.spec = self.form.read()
        super().opened()
        first: Any = self.spec_class()
        if self.recorded_questions():
            if any(name != "scenario" and getattr(asked, name) != getattr(first, name) for name in changes):
                self.bar.error = "The link was not followed in one point: this question was not recorded."
        elif self.card is not None and any(getattr(asked, name) != getattr(first, name) for name in changes):
            last = len(self.card.classes) - 1
            self.bar.error = f"The link was not followed in one point: classes go from 0 to {last}."
        busy = self.bar.running or self.bar.error or self.waits
        if not self._say_unprepared() and self.prompt and self.result is None and not busy:
            self.bar.primary, self.bar.status = True, self.prompt

    def update(self, before: S) -> None:
        if self._scenario() != before.scenario:  # type: ignore[attr-defined]
            self.refresh_offers()
            changes = self._changes()
            if self.recorded_questions():
                self._own = self._own or before.model_dump(mode="json")
            elif self._own:  # back to where questions can be asked freely
                asked = self.spec.model_dump(mode="json")
                own = {name: value for name, value in self._own.items() if value != asked[name] and name != "scenario"}
                self._own, changes = {}, {**own, **changes}
            if changes:
                self.form.set(**changes)
                return  # the form has changed again and comes back here
        super().update(before)
        self._say_unprepared()

    def run(self) -> None:
        super().run()
        self._stage = ""

    def poll(self) -> None:
        super().poll()
        offer = self.offers.get(self._scenario())
        if (offer is None or offer.state != "ready") and self.bar.status != self._stage:
            # The scenario becomes known while a run loads it: then its classes can be offered.
            unknown, self._stage = self.card is None, self.bar.status
            self.refresh_offers()
            changes, first = self._changes() if unknown else {}, self.spec_class()
            if changes and all(getattr(self.spec, name) == getattr(first, name) for name in changes):
                self.form.set(**changes)  # nobody asked for the default; there are fewer classes
                self.run()

    def may_run_alone(self) -> bool:
        offer, entry = self.offers.get(self._scenario()), SCENARIOS.get(self._scenario())
        large = bool(self.prompt) and entry is not None and not entry.quick
        return not large and (offer is None or offer.state != "command")

    def refresh_offers(self) -> None:
        """What is known of the scenarios goes into the form."""
        self.offers = {offer.name: self._here(offer) for offer in self.context.connect().offers()}
        self.form.offer("scenario", [_scenario_choice(offer) for offer in self.offers.values()])
        offer = self.offers.get(self._scenario())
        self.card = offer.card if offer is not None else None
        for name, info in self.spec_class.model_fields.items():
            extra = info.json_schema_extra
            if isinstance(extra, dict) and extra.get("widget") in ("classes", "class"):
                self.form.offer(name, class_choices(self.card))

    def _here(self, offer: Offer) -> Offer:
        """The offer as it is in this panel: of another experiment something may be recorded, of this one nothing."""
        return replace(offer, recorded=False) if offer.recorded and not self._recorded_of(offer.name) else offer

    def _say_unprepared(self) -> bool:
        """Say so where there is nothing to be seen of the chosen scenario before it is prepared."""
        offer = self.offers.get(self._scenario())
        if self.bar.running or offer is None or offer.state != "command" or offer.recorded:
            return False
        self.bar.primary = False
        self.bar.status = f"{offer.title} is not prepared on this machine; once: {offer.command}"
        return True

    def _changes(self) -> dict[str, Any]:
        if self.recorded_questions():
            return self._nearest()
        return {} if self.card is None else self.changes(self.card)

    def _scenario(self) -> str:
        return str(self.spec.scenario)  # type: ignore[attr-defined]


def _scenario_choice(offer: Offer) -> dict[str, Any]:
    known = ""
    if offer.card is not None and offer.card.test_accuracy is not None:
        known = f"{offer.card.parameters:,} parameters, test accuracy {offer.card.test_accuracy:.1f} %"
    elif offer.state == "quick":
        known = "is trained at first use"
    here = "recorded, not prepared here" if offer.recorded else ""
    note = "; ".join(part for part in (offer.summary, known, here) if part) + ("." if offer.command else "")
    return {
        "value": offer.name,
        "label": offer.title,
        "note": note,
        "command": offer.command,
        "recorded": offer.recorded,
    }


def class_choices(card: ScenarioCard | None) -> list[dict[str, Any]]:
    """The classes with a picture each, for a field of the form; none while the scenario is not known."""
    if card is None:
        return []
    return [
        {
            "value": place,
            "label": name,
            "images": list(card.thumbnails[place][:1]) if place < len(card.thumbnails) else [],
            "note": f"{card.train_counts[place]} training examples" if place < len(card.train_counts) else "",
        }
        for place, name in enumerate(card.classes)
    ]
