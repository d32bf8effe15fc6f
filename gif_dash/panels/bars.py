"""Small widgets that panels are put together from: run bar, ways out, tabs, folds and pieces of text."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any, ClassVar

import anywidget
import ipywidgets
import traitlets

from gif_dash.panels.page import STATIC


class RunBar(anywidget.AnyWidget):
    """Run and Cancel, the status line, progress with time left, and the one-sentence error.

    Attributes:
        running: whether a computation is going on (Run becomes Cancel).
        primary: whether Run is what the person wants next (the settings differ from what is shown).
        can_run: whether there is anything to run; False hides the buttons.
        status: one line, announced politely when it changes.
        fraction: share of the work done, None where unknown.
        clock: time spent and left, in words; not announced.
        error: one sentence, or nothing.
    """

    _esm = STATIC / "runbar.js"

    running = traitlets.Bool(False).tag(sync=True)
    primary = traitlets.Bool(False).tag(sync=True)
    can_run = traitlets.Bool(True).tag(sync=True)
    status = traitlets.Unicode("").tag(sync=True)
    fraction = traitlets.Float(None, allow_none=True).tag(sync=True)
    clock = traitlets.Unicode("").tag(sync=True)
    error = traitlets.Unicode("").tag(sync=True)

    def __init__(self, on_run: Callable[[], object], on_cancel: Callable[[], object], **traits: Any) -> None:
        super().__init__(**traits)
        self._calls = {"run": on_run, "cancel": on_cancel}
        self.on_msg(self._message)

    def _message(self, _widget: Any, content: Any, _buffers: Any) -> None:
        call = self._calls.get(content.get("do", "")) if isinstance(content, dict) else None
        if call is not None:
            call()


class ShareBar(anywidget.AnyWidget):
    """The ways out of a view: a link, the Python lines, the command, and files.

    Attributes:
        query: query string of the link; the browser adds its own address. Never carries a token.
        python, command, yaml: the texts to copy; there is no button for an empty one.
        files: names of the files on offer, for example ["CSV", "HTML"]; "PNG" and "SVG" are made by the browser.
    """

    _esm = "".join((STATIC / name).read_text(encoding="utf-8") for name in ("picture.js", "sharebar.js"))

    query = traitlets.Unicode("").tag(sync=True)
    python = traitlets.Unicode("").tag(sync=True)
    command = traitlets.Unicode("").tag(sync=True)
    yaml = traitlets.Unicode("").tag(sync=True)
    files = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(self, on_file: Callable[[str], object], **traits: Any) -> None:
        super().__init__(**traits)
        self._on_file = on_file
        self.on_msg(self._message)

    def _message(self, _widget: Any, content: Any, _buffers: Any) -> None:
        if isinstance(content, dict) and content.get("do") == "file" and content.get("name") in self.files:
            self._on_file(content["name"])


class Tabs(anywidget.AnyWidget):
    """A row of tabs (the WAI-ARIA pattern, arrow keys included). Which panel is visible is the app's business.

    Attributes:
        titles: what people read.
        selected: position of the tab shown.
        label: accessible name of the row.
    """

    _esm = STATIC / "tabs.js"
    heard: ClassVar[tuple[str, ...]] = ("selected",)

    titles = traitlets.List(traitlets.Unicode()).tag(sync=True)
    selected = traitlets.Int(0).tag(sync=True)
    label = traitlets.Unicode("Experiments").tag(sync=True)

    @traitlets.validate("selected")
    def _there(self, proposal: Any) -> int:
        place: int = proposal["value"]
        if not 0 <= place < max(1, len(self.titles)):
            raise traitlets.TraitError(f"there is no tab at {place}")
        return place


class _FoldHead(anywidget.AnyWidget):
    _esm = STATIC / "fold.js"
    heard: ClassVar[tuple[str, ...]] = ("expanded",)

    title = traitlets.Unicode("").tag(sync=True)
    note = traitlets.Unicode("").tag(sync=True)
    expanded = traitlets.Bool(False).tag(sync=True)


class Fold(ipywidgets.VBox):  # type: ignore[misc]
    """A heading that opens; its content is made when it is opened for the first time.

    Args:
        title: the heading.
        build: returns the content; called at the first opening, and again after `refresh` while open.
        guard: the reporter's wrapper for callbacks.
        note: a few words beside the heading.
    """

    def __init__(
        self,
        title: str,
        build: Callable[[], ipywidgets.Widget],
        *,
        guard: Callable[[Callable[..., object]], Callable[..., None]],
        note: str = "",
        open: bool = False,
    ) -> None:
        self._build = build
        self._stale = True
        self.head = _FoldHead(title=title, note=note, expanded=open)
        self.body = ipywidgets.VBox(_dom_classes=("gd-fold-body",))
        self.body.layout.display = None if open else "none"
        self.head.observe(guard(self._opened), "expanded")
        super().__init__([self.head, self.body], _dom_classes=("gd-fold",))
        if open:
            self._fill()

    def _opened(self, _change: Any) -> None:
        self.body.layout.display = None if self.head.expanded else "none"
        if self.head.expanded and self._stale:
            if not self.body.children:  # goes to the browser at once, while the content is being made
                self.body.children = (html('<p class="gd-muted">One moment …</p>'),)
            self._fill()

    def _fill(self) -> None:
        old, self.body.children = self.body.children, (self._build(),)
        for widget in old:
            _close(widget)
        self._stale = False

    def refresh(self) -> None:
        """The content is out of date: rebuilt now if it is visible, else when it is opened."""
        self._stale = True
        if self.head.expanded:
            self._fill()


def _close(widget: ipywidgets.Widget) -> None:
    for child in getattr(widget, "children", ()):
        _close(child)
    widget.close()


def html(text: str, *classes: str) -> ipywidgets.HTML:
    """A piece of HTML; whatever comes from people or data must be escaped by the caller."""
    return ipywidgets.HTML(text, _dom_classes=("gd-html", *classes))


def intro(title: str, text: str) -> ipywidgets.HTML:
    """The first words of a panel, under a heading for who hears the page; `text` is HTML."""
    return html(f'<h2 class="gd-unseen">{escape(title)}</h2>{text}', "gd-intro")


def column(*children: ipywidgets.Widget, classes: tuple[str, ...] = ()) -> ipywidgets.VBox:
    """Widgets below one another."""
    return ipywidgets.VBox(children, _dom_classes=classes)
