"""A small scenario that has to be prepared, as the large ones have, and a record of it."""

from __future__ import annotations

from pathlib import Path

from gif_dash import catalog
from gif_dash.progress import Silent

ENTRY = catalog.ScenarioEntry(
    "digits-large", "Digits, as if large", "digits", "gif_dash.scenarios.builtin:digits_cnn", large=True
)


def make(folder: Path) -> Path:
    """Records it with the smallest plan; `ENTRY` must be in the catalog."""
    from gif_dash.record.plan import plan
    from gif_dash.record.run import record

    name = ENTRY.name
    lines: list[str] = []
    asked = plan(name, quick=True)
    archive = record(name, asked, folder, Silent(), lines.append, f"gif-dash record {name} --quick")
    assert len(lines) == len(asked.questions) + 3  # network, two references
    return archive
