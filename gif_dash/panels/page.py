"""The page around the panels: an invisible widget for what only the browser can do."""

from __future__ import annotations

from pathlib import Path

import anywidget
import traitlets

STATIC = Path(__file__).parent / "static"


class Page(anywidget.AnyWidget):
    """One per dashboard, placed inside it and invisible. It carries the style sheet of the page.

    In the browser it gives names and roles to controls that lack them, keeps the address line equal to the state (in
    Voila only: JupyterLab's address is JupyterLab's), tells plots that a hidden tab became visible, offers files made
    from data that Python sends (no server route), and writes failures to the console.
    """

    _esm = STATIC / "page.js"
    _css = STATIC / "page.css"

    #: query string of the state shown, "?…"; the browser follows it without reloading
    query = traitlets.Unicode("").tag(sync=True)
    #: "light" or "dark", as the system or JupyterLab's theme has it; written by the browser
    theme = traitlets.Unicode("light").tag(sync=True)

    @property
    def dark(self) -> bool:
        return bool(self.theme == "dark")

    def download(self, name: str, text: str, mime: str = "text/plain") -> None:
        """Offer a text file to the person."""
        self.send({"do": "download", "name": name, "mime": mime}, buffers=[text.encode()])

    def failed(self, sentence: str) -> None:
        """Write a failure to the browser's console, where browser tests look for it."""
        self.send({"do": "failed", "message": sentence})

    def resized(self) -> None:
        """Plots measure the place they have again."""
        self.send({"do": "resize"})
