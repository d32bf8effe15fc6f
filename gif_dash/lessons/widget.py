"""A lesson in a notebook's cell."""

from __future__ import annotations

from urllib.parse import urlencode

from gif_dash.app import Dashboard


class Lesson(Dashboard):
    """One lesson as a widget, with the dashboard's live views in it.

    Args:
        name: of the lesson; for one that does not exist, the lessons are offered.
        step: where to begin, from 1.
    """

    def __init__(self, name: str = "", step: int = 1) -> None:
        super().__init__(query=urlencode({"lesson": name, "step": step}))
