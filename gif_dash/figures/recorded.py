"""Words about recorded runs: where they were computed, and what else was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from gif_dash.figures.history import chips
from gif_dash.results import Result
from gif_dash.specs import Spec


def sentence(result: Result) -> str:
    """Where the numbers come from, as text."""
    known = result.provenance
    said = known["recorded"]
    note = f" {known['data_note']}." if known.get("data_note") else ""
    return (
        f"Recorded run: computed elsewhere on {str(known['created'])[:10]} ({known['device']}, torch "
        f"{known['versions']['torch']}, commit {said['commit']}); today's code may give other numbers.{note}"
    )


def note(questions: Sequence[Spec], result: Result | None, asked: Spec, command: str) -> str:
    """What is shown beside the controls of a scenario that is recorded, as HTML with buttons ``data-ask="NUMBER"``.

    Args:
        questions: that were recorded of this experiment and scenario.
        result: what is on the screen, if it is recorded.
        asked: what the form holds.
        command: that prepares the scenario here; empty where it is prepared.
    """
    told = [f"<p><b>{escape(sentence(result))}</b></p>"] if result is not None else []
    if result is not None:
        told.append(f"<p>Computed again: <code>{escape(result.provenance['recorded']['command'])}</code></p>")
    if command:
        told.append(f"<p>Other questions need the network on this machine; once: <code>{escape(command)}</code></p>")
    buttons = " ".join(
        f'<button type="button" class="gd-button gd-quiet" data-ask="{place}" '
        f'aria-pressed="{str(spec == asked).lower()}">{escape(words)}</button>'
        for place, (spec, words) in enumerate(zip(questions, names(questions), strict=True))
    )
    if len(questions) > 1:
        told.append(f'<p role="group" aria-label="Recorded questions">Recorded: {buttons}</p>')
    elif questions and result is None:
        told.append(f"<p>Recorded: {buttons}</p>")
    return "".join(told)


def names(questions: Sequence[Spec]) -> list[str]:
    """What tells the questions apart, in few words."""
    told = [
        [chip.text for chip in chips({"experiment": spec.experiment, **spec.model_dump(mode="json")})]
        for spec in questions
    ]
    if len(told) == 1:
        return ["the recorded question"]
    common = set.intersection(*map(set, told)) if told else set()
    return [", ".join(text for text in each if text not in common) or "the defaults" for each in told]
