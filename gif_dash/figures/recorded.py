"""Words about recorded runs: where they were computed, and what else was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from gif_dash.results import Result
from gif_dash.specs import LABELS, Spec
from gif_dash.spelling import written


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
    elif questions and (result is None or asked not in questions):
        told.append(f"<p>Recorded: {buttons}</p>")
    return "".join(told)


def names(questions: Sequence[Spec]) -> list[str]:
    """What tells the questions apart, in few words."""
    values = [spec.model_dump(mode="json") for spec in questions]
    varied = [name for name in values[0] if any(each[name] != values[0][name] for each in values)] if values else []
    return [", ".join(_setting(spec, name) for name in varied) or "the recorded question" for spec in questions]


def _setting(spec: Spec, name: str) -> str:
    info = spec.__class__.model_fields[name]
    unit = info.json_schema_extra.get("unit", "") if isinstance(info.json_schema_extra, dict) else ""
    value = getattr(spec, name)
    told = (
        f"{value:g}"
        if isinstance(value, float)
        else LABELS.get(str(value), written(spec.model_dump(mode="json")[name]))
    )
    return f"{info.title} {told} {unit}".strip()
