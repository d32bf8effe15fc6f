"""Which scenarios there are, what is known of them without loading them, and who may start what."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Literal

from gif_dash import catalog, recorded
from gif_dash.compute.evidence import look
from gif_dash.compute.keys import files_fingerprint, result_key, scenario_of
from gif_dash.compute.store import Store
from gif_dash.results import Result, ScenarioCard
from gif_dash.specs import Spec, SpecError


@dataclass(frozen=True)
class Offer:
    """A scenario as the page offers it.

    Attributes:
        name: what a spec calls it.
        title: what people read.
        summary: one sentence.
        card: what is known of it; None while it was never loaded (or its files have changed since).
        state: ``ready``: loads at once; ``quick``: trains in under a minute at first use; ``command``: has to be
            prepared by `command` first.
        command: what prepares it; empty unless the state is ``command``.
        recorded: whether `card` is that of a recorded run, and its answers can be looked at.
    """

    name: str
    title: str
    summary: str
    card: ScenarioCard | None
    state: Literal["ready", "quick", "command"]
    command: str = ""
    recorded: bool = False


def believed(card: ScenarioCard | None) -> bool:
    """Whether a stored card still describes what is on disk.

    True while the environment variables that decide what the scenario is have the values they had, and every place
    behind the fingerprint looks as it did. A card without evidence (of a scenario that lives in one process only) is
    never believed: the worker has to load the scenario.
    """
    if card is None or not card.fingerprint or not card.evidence or card.settings != catalog.settings(card.name):
        return False
    return all(look(place) == seen for place, seen in card.evidence.items())


def believed_card(store: Store, name: str) -> ScenarioCard | None:
    """The stored card of a scenario if its fingerprint can be believed.

    None for a name that was registered in this process: its network and data may change under one's hands.
    """
    if name in _registered():
        return None
    card = store.card(name)
    return card if believed(card) else None


def look_up(spec: Spec, store: Store) -> bytes | None:
    """The packed answer if the store has it and the scenario's fingerprint can be told without loading it."""
    fingerprint = files_fingerprint(spec)
    if name := scenario_of(spec):
        if (card := believed_card(store, name)) is None:
            return None
        fingerprint = card.fingerprint
    return store.get_packed(result_key(spec, fingerprint))


def recorded_answer(spec: Spec, store: Store) -> Result | None:
    """What was recorded of a question, where its scenario is not prepared, or is the one that was recorded.

    Scenarios that are quick are computed instead.
    """
    if not (name := scenario_of(spec)):
        return recorded.answer(spec)
    entry = catalog.scenarios().get(name)
    if entry is None or entry.quick or entry.added or (record := recorded.records().get(name)) is None:
        return None
    card = believed_card(store, name)
    known = record.card is not None and card is not None and card.fingerprint == record.card.fingerprint
    return recorded.answer(spec) if card is None or known else None


def remember(card: ScenarioCard) -> None:
    """Keep the card of a scenario that is registered in this process, to describe it until it is registered anew."""
    if (scenario := _registered().get(card.name)) is not None:
        _seen[card.name] = (scenario, card)


def describing_card(store: Store, name: str) -> ScenarioCard | None:
    """A card that says what the scenario has, though perhaps not its fingerprint."""
    if (scenario := _registered().get(name)) is not None:
        seen, card = _seen.get(name, (None, None))
        return card if seen is scenario else None
    return believed_card(store, name)


def offers(store: Store) -> list[Offer]:
    """All scenarios: those of the catalog, then those registered in this process."""
    listed = []
    for entry in catalog.scenarios().values():
        card = believed_card(store, entry.name)
        state: Literal["ready", "quick", "command"] = "ready" if card else "quick" if entry.quick else "command"
        command = preparing_command(entry.name) if state == "command" else ""
        title = card.title if card and entry.added else entry.title
        record = recorded.records().get(entry.name) if state == "command" else None
        card = record.card if record is not None else card
        listed.append(Offer(entry.name, title, entry.summary, card, state, command, record is not None))
    for name, scenario in _registered().items():
        card = describing_card(store, name)
        state = "ready" if card else "quick"
        listed.append(Offer(name, scenario.title or name, scenario.summary, card, state))
    return listed


def preparing_command(name: str) -> str:
    """The shell command that gets a scenario's data and trains it."""
    return f"gif-dash prepare {name}{catalog.flags(name)}"


def admit(spec: Spec, store: Store, *, patient: bool) -> None:
    """Whether a question may be asked here; validates it against the scenario's card as far as it is known.

    Args:
        patient: whoever asks may start downloads and long trainings (a notebook, the command line).

    Raises:
        SpecError: one sentence: no such scenario, it has to be prepared first, or it does not allow the question.
    """
    if name := scenario_of(spec):
        admit_scenario(name, store, patient=patient)
        if (card := describing_card(store, name)) is not None:
            spec.check(card)


def admit_scenario(name: str, store: Store, *, patient: bool) -> None:
    """Whether a scenario may be loaded here; see `admit`."""
    registered = _registered()
    entries = catalog.scenarios()
    entry = entries.get(name)
    if entry is None and name not in registered:
        known = ", ".join([*entries, *registered])
        raise SpecError(f"there is no scenario named {name!r}; choose from {known}", "scenario")
    if patient or name in registered or entry is None or entry.quick or believed_card(store, name) is not None:
        return
    only = ", where only recorded answers can be looked at" if name in recorded.records() else ""
    raise SpecError(
        f"{entry.title} is not prepared on this machine{only}; run once: {preparing_command(name)}", "scenario"
    )


#: Cards of scenario objects of this process, with the object each describes.
_seen: dict[str, tuple[Any, ScenarioCard]] = {}


def _registered() -> dict[str, Any]:
    """Scenario objects of this process. Where the scenarios' package was never imported (it brings torch), none are."""
    scenarios = sys.modules.get("gif_dash.scenarios.scenario")
    return {} if scenarios is None else scenarios.registrations()
