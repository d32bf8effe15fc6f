"""The assembled dashboard: a header, a row of tabs, and one panel behind each."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import ipywidgets

from gif_dash.catalog import resolve
from gif_dash.lessons import scripts
from gif_dash.lessons.guide import Guide
from gif_dash.panels.bars import Tabs, html
from gif_dash.panels.base import Context, JobPanel
from gif_dash.panels.hearing import Hearing, listen
from gif_dash.panels.page import Page
from gif_dash.panels.ticker import Reporter, Ticker
from gif_dash.panels.viewing import PARTS, Viewing, parse_hide
from gif_dash.spelling import flag, to_query

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
    Tab("line", "Line", "gif_dash.panels.line:LinePanel"),
    Tab("removal", "Class removal", "gif_dash.panels.removal:RemovalPanel"),
    Tab("methods", "Methods", "gif_dash.panels.methods:MethodsPanel"),
    Tab("criteria", "Criteria", "gif_dash.panels.criteria:CriteriaPanel"),
    Tab("layers", "Layers", "gif_dash.panels.layers:LayersPanel"),
    Tab("attribution", "Images", "gif_dash.panels.attribution:AttributionPanel"),
    Tab("mislabelled", "Mislabelled", "gif_dash.panels.mislabelled:MislabelledPanel"),
    Tab("two-classes", "1 against 7", "gif_dash.panels.two_classes:TwoClassesPanel"),
    Tab("backdoor", "Backdoor", "gif_dash.panels.backdoor:BackdoorPanel"),
    Tab("spectrum", "Spectrum", "gif_dash.panels.spectrum:SpectrumPanel"),
    Tab("fragility", "Fragility", "gif_dash.panels.fragility:FragilityPanel"),
    Tab("fading", "Fading", "gif_dash.panels.fading:FadingPanel"),
    Tab("correcting", "Correcting", "gif_dash.panels.correcting:CorrectingPanel"),
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
        self.viewing = Viewing()
        self._context = Context(self.page, self.ticker, self.reporter, self._connect, self._ask, titles, self.viewing)
        self.guide = Guide(self)
        self.tabs = Tabs(titles=[tab.title for tab in TABS])
        self.places = [ipywidgets.VBox(_dom_classes=("gd-place", "gd-hidden")) for _ in TABS]
        super().__init__(
            [self.page, html(HEADER, "gd-header"), self.guide.card, self.notice, self.tabs, *self.places],
            _dom_classes=("gd-app",),
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
        if self.guide.script is None:
            self.dress()
        self.page.resized()

    def open_view(self, query: Mapping[str, str]) -> None:
        """Show the view of a link (``tab`` and the panel's own parameters)."""
        self._open(_position(query.get("tab", TABS[0].key)), query)

    def dress(self, parts: Iterable[str] = (), controls: Iterable[str] | None = None) -> None:
        """Hide what the link hides, and more.

        Args:
            parts: further names from `gif_dash.panels.viewing.PARTS`.
            controls: the settings (field names) that stay, where others go.
        """
        hidden = {*self.viewing.hide, *parts}
        for name in PARTS:
            (self.add_class if name in hidden else self.remove_class)(f"gd-hide-{name}")
        form = getattr(self.panel, "form", None)
        if form is not None:
            kept = set(form.spec_class.model_fields if controls is None else controls)
            form.hidden = [
                name for name in form.spec_class.model_fields if name not in kept or flag(name) in self.viewing.hide
            ]
        self.panel.state_changed()

    def cover(self, covered: bool) -> None:
        """Whether the panels are out of sight, until a prediction has been made."""
        (self.add_class if covered else self.remove_class)("gd-covered")

    def _ask(self, spec: Spec) -> None:
        """Show a question in its own tab; what is not stored waits for Run."""
        self.guide.leave()
        self._open(_position(spec.experiment), {"tab": spec.experiment, **to_query(spec)}, wait=True)

    def _follow(self, query: str) -> None:
        """Restore the state of a link."""
        wanted = dict(parse_qsl(query.lstrip("?"), keep_blank_values=True))
        if not wanted:
            return
        hide = wanted.pop("hide", "")
        if "lesson" in wanted:
            self.viewing.hide, sentences = parse_hide(hide, ())
            self._begin(wanted["lesson"], wanted.get("step", "1"), sentences)
            return
        key = wanted.pop("tab", TABS[0].key)
        sentences = []
        if key not in {tab.key for tab in TABS}:
            sentences.append(f"There is no tab named {key!r}; this is {TABS[0].title}.")
            key, wanted = TABS[0].key, {}
        spec = getattr(resolve(TABS[_position(key)].panel), "spec_class", None)
        self.viewing.hide, unknown = parse_hide(hide, map(flag, spec.model_fields) if spec is not None else ())
        self._open(_position(key), {"tab": key, **wanted})
        self._say([*sentences, *self._said, *unknown])

    def _begin(self, name: str, step: str, sentences: list[str]) -> None:
        """A lesson of a link; where there is none of that name, all are offered."""
        if name not in scripts():
            self.guide.offer()
            self.dress()
            said = [f"There is no lesson named {name!r}; these are the lessons."] if name else []
            self._say([*said, *sentences])
            return
        last = len(scripts()[name].steps)
        wanted = int(step) if step.isdecimal() and len(step) < 6 else 0
        if not 1 <= wanted <= last:
            sentences.append(f"The link was not followed in one point: the steps go from 1 to {last}.")
        self.guide.start(name, max(1, min(wanted, last)) - 1)
        self._say([*self._said, *sentences])

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
