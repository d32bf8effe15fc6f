"""The assembled dashboard: a header, a row of tabs, and one panel behind each."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import ipywidgets

from gif_dash.catalog import resolve
from gif_dash.panels.bars import Tabs, html
from gif_dash.panels.base import Context, JobPanel
from gif_dash.panels.hearing import Hearing, listen
from gif_dash.panels.page import Page
from gif_dash.panels.ticker import Reporter, Ticker
from gif_dash.spelling import to_query

if TYPE_CHECKING:
    from gif_dash.compute.client import Client
    from gif_dash.scenarios import Scenario
    from gif_dash.specs import Spec


@dataclass(frozen=True)
class Tab:
    """A tab of the dashboard.

    Attributes:
        key: the experiment's name (or the panel's, where it is about none), as in links.
        title: what people read.
        panel: ``module:class`` of the panel; imported when the tab is opened.
    """

    key: str
    title: str
    panel: str


#: In the order in which they stand on the page; the first is shown at load.
TABS = (
    Tab("toy", "Toy", "gif_dash.panels.toy:ToyPanel"),
    Tab("removal", "Class removal", "gif_dash.panels.removal:RemovalPanel"),
    Tab("methods", "Methods", "gif_dash.panels.methods:MethodsPanel"),
    Tab("criteria", "Criteria", "gif_dash.panels.criteria:CriteriaPanel"),
    Tab("layers", "Layers", "gif_dash.panels.layers:LayersPanel"),
    Tab("attribution", "Images", "gif_dash.panels.attribution:AttributionPanel"),
    Tab("mislabelled", "Mislabelled", "gif_dash.panels.mislabelled:MislabelledPanel"),
    Tab("backdoor", "Backdoor", "gif_dash.panels.backdoor:BackdoorPanel"),
    Tab("spectrum", "Spectrum", "gif_dash.panels.spectrum:SpectrumPanel"),
    Tab("history", "History", "gif_dash.panels.history:HistoryPanel"),
)

HEADER = """
<h1>What would the model be, had it never seen these examples?</h1>
<p>Influence functions answer without training again. <b>Generalized</b> ones (GIF) change a chosen share of the
parameters only, and take the rest of the network into account. Here they stand next to their relatives, and next to the
truth: retraining. <a href="https://arxiv.org/abs/2312.05586" target="_blank" rel="noopener">The paper</a></p>
"""


class Dashboard(ipywidgets.VBox):  # type: ignore[misc]
    """The dashboard as one widget, for JupyterLab and for Voila.

    Args:
        scenario: a `gif_dash.Scenario` of your own (registered under its name and selected), or the name of one.
            The class removal tab is shown first then.
        query: state to restore, as in a link; by default the query string of the page that Voila serves.

    Raises:
        gif_dash.scenarios.ScenarioError: if the scenario's name belongs to a built-in one.
    """

    def __init__(self, scenario: Scenario | str | None = None, *, query: str | None = None) -> None:
        self.reporter = Reporter(self._failed)
        self.hearing: Hearing | None = (
            listen(self.reporter, sys.__stderr__) if "VOILA_KERNEL_ID" in os.environ else None
        )
        self.page = Page()
        self.notice = html("", "gd-notice")
        self.ticker = Ticker(self.reporter)
        self.panels: dict[str, Any] = {}
        self._client: Client | None = None
        self._said: list[str] = []
        self._warned = ""
        titles = {tab.key: tab.title for tab in TABS}
        self._context = Context(self.page, self.ticker, self.reporter, self._connect, self._ask, titles)
        self.tabs = Tabs(titles=[tab.title for tab in TABS])
        self.places = [ipywidgets.VBox(_dom_classes=("gd-place", "gd-hidden")) for _ in TABS]
        super().__init__(
            [self.page, html(HEADER, "gd-header"), self.notice, self.tabs, *self.places], _dom_classes=("gd-app",)
        )
        named = _register(scenario)
        if named:
            self._open(_position("removal"), {"scenario": named})
        else:
            self._open(0, {})
            self._follow(query if query is not None else _query_string())
        self.tabs.observe(self.reporter.guard(lambda change: self._open(change["new"], {})), "selected")

    @property
    def panel(self) -> Any:
        """The panel shown: it has a widget, can be shown and hidden, and restores the state of a link."""
        return self.panels[TABS[self.tabs.selected].key]

    def _open(self, position: int, query: Mapping[str, str], *, wait: bool = False) -> None:
        """Show a tab, with the state of a link if there is one; its panel is made at the first time.

        Args:
            wait: whether a panel that computes its first question by itself waits for Run instead.
        """
        tab = TABS[position]
        for other in self.panels.values():
            other.hide()
        new = tab.key not in self.panels
        if new:
            self.panels[tab.key] = resolve(tab.panel)(self._context)
        panel = self.panels[tab.key]
        if wait and isinstance(panel, JobPanel):
            panel.waits = True
        if query:
            self._say(panel.restore(query))
        if new:
            panel.widget.add_class(f"gd-panel-{position}")
            self.places[position].children = (panel.widget,)
        for place, box in enumerate(self.places):
            (box.remove_class if place == position else box.add_class)("gd-hidden")
        self.tabs.selected = position
        panel.show()
        self.page.resized()

    def _ask(self, spec: Spec) -> None:
        """Show a question in its own tab; what is not stored waits for Run."""
        self._open(_position(spec.experiment), {"tab": spec.experiment, **to_query(spec)}, wait=True)

    def _follow(self, query: str) -> None:
        """Restore the state of a link."""
        wanted = dict(parse_qsl(query.lstrip("?")))
        if not wanted:
            return
        key = wanted.pop("tab", TABS[0].key)
        if key not in {tab.key for tab in TABS}:
            self._say([f"There is no tab named {key!r}; this is {TABS[0].title}."])
            return
        self._open(_position(key), wanted)

    def _say(self, sentences: list[str]) -> None:
        self._said = sentences
        warning = [self._client.warning] if self._client is not None and self._client.warning else []
        self.notice.value = "".join(f"<p>{escape(sentence)}</p>" for sentence in [*sentences, *warning])

    def _failed(self, sentence: str) -> None:
        self._say([sentence])
        self.page.failed(sentence)

    def _connect(self) -> Client:
        if self._client is None:
            from gif_dash.compute.client import connect

            self._client = connect()
        if self._client.warning != self._warned:  # results will not be kept
            self._warned = self._client.warning
            self._say(self._said)
        return self._client


def _position(key: str) -> int:
    return next(place for place, tab in enumerate(TABS) if tab.key == key)


def _register(scenario: Scenario | str | None) -> str:
    """The scenario's name; an object is made known under it first."""
    if scenario is None or isinstance(scenario, str):
        return scenario or ""
    from gif_dash.scenarios import register

    register(scenario)
    return scenario.name


def _query_string() -> str:
    """The query string of the page this kernel serves; a kernel that was started ahead waits here for its visitor."""
    if "VOILA_KERNEL_ID" not in os.environ and "QUERY_STRING" not in os.environ:
        return ""
    from gif_dash.serving.visit import query_string

    return query_string()
