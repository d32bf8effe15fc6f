"""Lessons of at most a quarter of an hour: our own words, the dashboard's live views, and questions to predict first.

A lesson is data (`gif_dash.lessons.steps`); `gif_dash.Lesson` shows one in a notebook, ``?lesson=NAME`` on the page.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from gif_dash.lessons.steps import Question, Script, Step

__all__ = ["Question", "Script", "Step", "scripts"]

#: Modules of this package with a ``SCRIPT`` each, in the order in which they are offered.
_MODULES = ("line", "part", "forgetting", "backdoor", "doubt")


@cache
def scripts() -> dict[str, Script]:
    """All lessons by name."""
    found: list[Script] = [import_module(f"{__name__}.{module}").SCRIPT for module in _MODULES]
    return {script.name: script for script in found}
