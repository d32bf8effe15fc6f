"""The page around the panels: an invisible widget for what only the browser can do."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import traitlets

from gif_dash.panels.transfer import Transfer

STATIC = Path(__file__).parent / "static"


class Page(anywidget.AnyWidget):
    """One per dashboard, placed inside it and invisible. It carries the style sheet of the page.

    In the browser it gives names and roles to controls that lack them, keeps the address line equal to the state (in
    Voila only: JupyterLab's address is JupyterLab's), tells plots that a hidden tab became visible, offers files made
    from data that Python sends (no server route), and writes failures to the console.
    """

    _esm = STATIC / "page.js"
    _css = STATIC / "page.css"
    heard: ClassVar[tuple[str, ...]] = ("theme",)

    #: query string of the state shown, "?…"; the browser follows it without reloading
    query = traitlets.Unicode("").tag(sync=True)
    #: "light" or "dark", as the system or JupyterLab's theme has it; written by the browser
    theme = traitlets.Unicode("light").tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self._transfers: dict[str, Transfer] = {}
        self.on_msg(self._message)

    @property
    def dark(self) -> bool:
        return bool(self.theme == "dark")

    def download(self, name: str, text: str, mime: str = "text/plain") -> None:
        """Offer a text file to the person."""
        self.send({"do": "download", "name": name, "mime": mime}, buffers=[text.encode()])

    def offer(self, name: str, size: int, read: Callable[[int, int], bytes]) -> Transfer:
        """Offer a large file to the person; it is read and sent in pieces, as the browser asks for them.

        Args:
            name: of the file.
            size: bytes.
            read: gives at most so many bytes from an offset on; may raise OSError.

        Returns:
            How it goes; to be looked at from time to time, and handed to `withdraw` at the end.
        """
        transfer = Transfer(uuid.uuid4().hex, size, read)
        self._transfers[transfer.file] = transfer
        self.send({"do": "offer", "file": transfer.file, "name": name, "size": size})
        return transfer

    def withdraw(self, transfer: Transfer) -> None:
        """Stop sending a file; no error if it was sent or withdrawn before."""
        if self._transfers.pop(transfer.file, None) is not None and not transfer.complete:
            self.send({"do": "gone", "file": transfer.file})

    def _message(self, _widget: Any, content: Any, _buffers: Any) -> None:
        if not isinstance(content, dict) or content.get("do") != "want":
            return
        transfer = self._transfers.get(str(content.get("file")))
        data = transfer.piece(content.get("from")) if transfer is not None else None
        if data is not None:
            self.send({"do": "piece", "file": content["file"], "from": content["from"]}, buffers=[data])

    def failed(self, sentence: str) -> None:
        """Write a failure to the browser's console, where browser tests look for it."""
        self.send({"do": "failed", "message": sentence})

    def resized(self) -> None:
        """Plots measure the place they have again."""
        self.send({"do": "resize"})
