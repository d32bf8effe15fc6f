"""Docstrings as they are written here: bars are norms and absolute values; a spec's fields say themselves what they are."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

from gif_dash import spelling
from gif_dash.specs import Spec, allowed

#: ``literals`` stay as they are, every other bar would begin a substitution.
LITERAL_OR_BAR = re.compile(r"(``.+?``)|\|")


def _bars(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    lines[:] = [LITERAL_OR_BAR.sub(lambda found: found[1] or r"\|", line) for line in lines]


def _settings(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """The fields of a spec: name, default, flag, meaning, what is allowed."""
    if not (isinstance(thing, type) and issubclass(thing, Spec)):
        return
    defaults = thing().model_dump(mode="json")
    lines.append("")
    for field, info in thing.model_fields.items():
        rule = allowed(thing, field)
        unit = (info.json_schema_extra or {}).get("unit", "")  # type: ignore[union-attr]
        lines += [
            f"``{field}`` = ``{defaults[field]!r}``{f' {unit}' if unit else ''}",
            f"    {info.title} (``--{spelling.flag(field)}``): {info.description}{f'; {rule}' if rule else ''}",
            "",
        ]


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", _settings)
    app.connect("autodoc-process-docstring", _bars)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
