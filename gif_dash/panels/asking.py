"""Tables of our own making whose cells can be pressed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anywidget
import traitlets

from gif_dash.panels.page import STATIC


class Asking(anywidget.AnyWidget):
    """HTML; a press on an element with ``data-ask`` calls back with its text. Buttons in it bring the keyboard.

    Attributes:
        html: escaped by the caller.
    """

    _esm = STATIC / "asking.js"
    _css = STATIC / "asking.css"

    html = traitlets.Unicode("").tag(sync=True)

    def __init__(self, on_ask: Callable[[str], object], **traits: Any) -> None:
        super().__init__(**traits)
        self._on_ask = on_ask
        self.on_msg(self._message)

    def _message(self, _widget: Any, content: Any, _buffers: Any) -> None:
        if (
            isinstance(content, dict)
            and content.get("do") == "ask"
            and f'data-ask="{content.get("what")}"' in self.html
        ):
            self._on_ask(str(content["what"]))
