"""A grid of cells that can be pressed: a heat map for the keyboard and for both themes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import anywidget
import traitlets

from gif_dash.figures.cells import Grid
from gif_dash.panels.page import STATIC


class CellGrid(anywidget.AnyWidget):
    """A `Grid` of buttons; arrow keys move between them, Enter or a click presses one.

    Attributes:
        grid: the description, as `Grid.to_dict`; use `draw`.
        view: the value of every switch by its key; the browser changes it by itself.
        selected: keys of row and column of the marked cell, or nothing.
    """

    _esm = STATIC / "cells.js"
    _css = STATIC / "cells.css"
    heard: ClassVar[tuple[str, ...]] = ("view",)

    grid = traitlets.Dict().tag(sync=True)
    view = traitlets.Dict().tag(sync=True)
    selected = traitlets.List(traitlets.Unicode()).tag(sync=True)

    def __init__(self, on_press: Callable[[str, str], object], **traits: Any) -> None:
        super().__init__(**traits)
        self._on_press = on_press
        self.on_msg(self._message)

    def draw(self, grid: Grid) -> None:
        """Show a grid; switches stay where they are."""
        self.grid = grid.to_dict()

    def _message(self, _widget: Any, content: Any, _buffers: Any) -> None:
        if not isinstance(content, dict) or content.get("do") != "press" or not self.grid:
            return
        row, column = str(content.get("row")), str(content.get("column"))
        known = [[head["key"] for head in self.grid[name]] for name in ("rows", "columns")]
        if row in known[0] and column in known[1]:
            self._on_press(row, column)
