"""Leads through a lesson on the dashboard: opens its views, hides what they do not need, waits for predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import anywidget
import traitlets

from gif_dash.lessons import Script, scripts
from gif_dash.panels.base import JobPanel
from gif_dash.panels.page import STATIC

if TYPE_CHECKING:
    from gif_dash.app import Dashboard

#: Parts of the page that no lesson needs.
HIDDEN = ("header", "tabs", "intro", "share")


class LessonCard(anywidget.AnyWidget):
    """The words of a lesson with its questions and its way on and back; without a lesson, a row of links to all.

    What a person predicts stays in the page.

    Attributes:
        offers: {name, title, minutes, summary} of every lesson.
        lesson: `Script.to_dict` of the one that is going on; empty where there is none.
        step: position of the step shown.
        revealed: whether the answer to its question is shown.
        listed: whether the lessons are offered at length.
        left: name of the lesson that was left for all controls; offered to go back to.
        asked: what a press on a link or button wants: ``do`` (start, back, leave or list), ``name`` of a lesson, and a
            ``count`` that makes the same wish another value.
    """

    _esm = STATIC / "lesson.js"
    _css = STATIC / "lesson.css"
    heard: ClassVar[tuple[str, ...]] = ("step", "revealed", "asked")

    offers = traitlets.List(traitlets.Dict()).tag(sync=True)
    lesson = traitlets.Dict().tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)
    revealed = traitlets.Bool(False).tag(sync=True)
    listed = traitlets.Bool(False).tag(sync=True)
    left = traitlets.Unicode("").tag(sync=True)
    asked = traitlets.Dict().tag(sync=True)

    def __init__(self, on_wish: Callable[[str, str], object]) -> None:
        super().__init__(
            offers=[
                {"name": one.name, "title": one.title, "minutes": one.minutes, "summary": one.summary}
                for one in scripts().values()
            ]
        )
        self.observe(lambda _change: on_wish(str(self.asked.get("do")), str(self.asked.get("name", ""))), "asked")


class Guide:
    """The lesson of one dashboard.

    Attributes:
        card: the widget.
        script: the lesson that is going on, None where there is none.
    """

    def __init__(self, dashboard: Dashboard) -> None:
        guard = dashboard.reporter.guard
        self.dashboard = dashboard
        self.script: Script | None = None
        self.card = LessonCard(guard(self._hear))
        self._shown: dict[str, str] = {}  # the view that was opened last
        self.card.observe(guard(lambda _change: dashboard.ticker.soon(self._moved)), ["step", "revealed"])

    def start(self, name: str, step: int = 0) -> None:
        """Begin a lesson at a step, by its position."""
        self.script = scripts()[name]
        self._shown = {}
        with self.card.hold_sync():
            self.card.lesson, self.card.listed, self.card.left = self.script.to_dict(), False, ""
            self.card.step, self.card.revealed = min(max(step, 0), len(self.script.steps) - 1), False
        self.dashboard.add_class("gd-in-lesson")
        self.show()

    def offer(self) -> None:
        """Show what lessons there are."""
        self.leave()
        self.card.listed = True

    def leave(self) -> None:
        """Back to the dashboard with all its controls; the view stays as it is."""
        if self.script is None:
            return
        self.show()  # of the step that the person has just turned to, which may still be waiting for its beat
        left, self.script = self.script.name, None
        with self.card.hold_sync():
            self.card.lesson, self.card.left = {}, left
        self.dashboard.viewing.lesson = None
        self.dashboard.remove_class("gd-in-lesson")
        self.dashboard.cover(False)
        self.dashboard.dress()

    def show(self) -> None:
        """The view of the step."""
        script = self.script
        if script is None:
            return
        place = min(max(self.card.step, 0), len(script.steps) - 1)
        step = script.steps[place]
        self.dashboard.viewing.lesson = {"lesson": script.name, "step": str(place + 1)}
        self.dashboard.cover(step.covered and not self.card.revealed)
        state = script.state(place, self.card.revealed)
        if state != self._shown:
            self._shown = state
            self.dashboard.open_view(state)
        self.dashboard.dress((*HIDDEN, *step.hide), step.controls)
        panel = self.dashboard.panel
        if isinstance(panel, JobPanel) and panel.may_run_alone():
            answered = panel.result is not None and panel.shown_spec() == panel.spec
            if not answered and (not panel.ticket or panel.running != panel.spec):
                panel.run()

    def _moved(self) -> None:
        self.show()

    def _hear(self, what: str, name: str) -> None:
        if what == "start" and name in scripts():
            self.start(name)
        elif what == "back" and name in scripts():
            self.start(name, self.card.step)
        elif what == "leave":
            self.leave()
        elif what == "list":
            self.offer()
