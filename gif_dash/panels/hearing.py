"""What a widget hears from the browser: values of the traits that its script writes, and its own messages.

ipywidgets takes every synced trait of every widget from whoever holds the other end, and shows exceptions where nobody
looks. A page that is served to visitors hears more carefully: each class says in ``heard`` which traits its script
writes; everything else is refused in one sentence, counted, and told to the sender. No exception is lost.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, TextIO

import ipywidgets
import traitlets

from gif_dash.panels.ticker import Reporter
from gif_dash.refusals import Refusals

_log = logging.getLogger("gif_dash.page")


class Hearing:
    """Takes the messages of all widgets of a page.

    Args:
        reporter: is told of exceptions that a callback let through.
    """

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.refusals = Refusals(_log)

    def hear(self, widget: ipywidgets.Widget, message: Mapping[str, Any]) -> str:
        """Do what a message says; what it may not say is refused.

        Args:
            widget: that it is for.
            message: of Jupyter's protocol, with ``content`` and ``buffers``.

        Returns:
            Why it was refused, in one sentence; empty if it was not.
        """
        reason = self._hear(widget, message)
        if reason:
            self.refusals.add(reason)
            widget.send({"do": "refused", "reason": reason})
        return reason

    def _hear(self, widget: ipywidgets.Widget, message: Mapping[str, Any]) -> str:
        content = message.get("content")
        data = content.get("data") if isinstance(content, dict) else None
        if not isinstance(data, dict):
            return "a message without data"
        match data.get("method"):
            case "request_state":
                widget.send_state()
                return ""
            case "update":
                return self._update(widget, data)
            case "custom":
                told = data.get("content")
                if not isinstance(told, dict):
                    return "a widget's message that is none"
                for callback in list(widget._msg_callbacks.callbacks):
                    self.reporter.guard(callback)(widget, told, message.get("buffers") or [])
                return ""
        return "a method that widgets do not know"

    def _update(self, widget: ipywidgets.Widget, data: Mapping[str, Any]) -> str:
        state = data.get("state")
        if not isinstance(state, dict) or data.get("buffer_paths"):
            return "an update without a state"
        if not state.keys() <= set(getattr(widget, "heard", ())):
            self._correct(widget, state)
            return "an update of what is not the browser's to change"
        if not _plain(state):
            self._correct(widget, state)
            return "an update with numbers or letters that are none"
        if any(not _fits(widget.traits()[name], value, widget) for name, value in state.items()):
            self._correct(widget, state)
            return "an update with a value of the wrong kind"
        self.reporter.guard(widget.set_state)(state)
        return ""

    def _correct(self, widget: ipywidgets.Widget, state: Mapping[str, Any]) -> None:
        """The browser gets back what holds."""
        if names := [name for name in state if name in widget.keys]:
            widget.send_state(names)


def _fits(trait: traitlets.TraitType[Any, Any], value: Any, widget: ipywidgets.Widget) -> bool:
    try:
        trait._validate(widget, value)
    except traitlets.TraitError:
        return False
    return True


def _plain(value: Any) -> bool:
    """Whether it can be written as JSON for anybody else: no NaN, no infinity, no half of a surrogate pair."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def listen(reporter: Reporter, log: TextIO | None = None) -> Hearing:
    """All widgets that are made in this process from now on are heard like that; for a process that serves one page.

    Args:
        reporter: is told of exceptions that a callback let through.
        log: where the log of this process goes; in a kernel, standard error is sent to the page.
    """
    hearing = Hearing(reporter)
    ipywidgets.Widget._handle_msg = lambda widget, message: hearing.hear(widget, message)
    if log is not None:
        handler = logging.StreamHandler(log)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logging.getLogger().addHandler(handler)
    return hearing
