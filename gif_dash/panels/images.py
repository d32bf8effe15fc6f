"""Training images as pictures that can be chosen, with the test image they are about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import anywidget
import traitlets

from gif_dash.panels.page import STATIC


class ImagesWidget(anywidget.AnyWidget):
    """A strip of test images, one test image, and the training images of both sides of one ranking.

    Attributes:
        content: see `gif_dash.figures.attribution.content`; empty while there is nothing.
        ranking: key of the ranking that is shown; the browser changes it by itself.
        selected: training positions that are chosen; likewise.
        retrain: whether the networks are to be trained again, too; likewise.
        fresh: whether the content belongs to the settings beside it.
        running: whether a removal is being computed.
        status: one line about that.
        fraction: share of it that is done, None where unknown.
        error: one sentence, or nothing.
        choosing: whether training images can be chosen and removed, or are only looked at; fixed from the start.
    """

    _esm = STATIC / "images.js"
    _css = STATIC / "images.css"
    heard: ClassVar[tuple[str, ...]] = (
        "ranking",
        "selected",
        "retrain",
    )

    content = traitlets.Dict().tag(sync=True)
    ranking = traitlets.Unicode("").tag(sync=True)
    selected = traitlets.List(traitlets.Int()).tag(sync=True)
    retrain = traitlets.Bool(False).tag(sync=True)
    running = traitlets.Bool(False).tag(sync=True)
    status = traitlets.Unicode("").tag(sync=True)
    fraction = traitlets.Float(None, allow_none=True).tag(sync=True)
    error = traitlets.Unicode("").tag(sync=True)
    choosing = traitlets.Bool(True).tag(sync=True)

    def __init__(
        self,
        on_query: Callable[[int], object],
        on_remove: Callable[[], object],
        on_cancel: Callable[[], object],
        **traits: Any,
    ) -> None:
        super().__init__(**traits)
        self._on_query, self._on_remove, self._on_cancel = on_query, on_remove, on_cancel
        self.on_msg(self._message)

    def _message(self, _widget: Any, content: Any, _buffers: Any) -> None:
        if not isinstance(content, dict):
            return
        if content.get("do") == "query":
            known = [entry["index"] for entry in self.content.get("gallery", [])]
            if content.get("index") in known:
                self._on_query(int(content["index"]))
        elif content.get("do") == "remove":
            self._on_remove()
        elif content.get("do") == "cancel":
            self._on_cancel()
