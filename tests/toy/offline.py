"""The toy's picture in a browser, and its panel in this process: no server, and Python answers when it is told to."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from gif_dash.panels import toy as panels
from gif_dash.panels.base import Context
from gif_dash.panels.page import STATIC, Page
from gif_dash.panels.ticker import Reporter, Ticker
from gif_dash.specs import ToySpec

#: A model as anywidget gives it. `window.change` is what arrives from Python.
HARNESS = """
async ([code, traits]) => {
  const bytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
  const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  const listeners = {};
  window.traits = { ...traits, columns: bytes(traits.columns) };
  window.saved = 0;
  const model = {
    get: (name) => window.traits[name],
    set: (name, value) => { window.traits[name] = value; },
    save_changes: () => { window.saved += 1; },
    on: (name, call) => { (listeners[name] ??= []).push(call); },
  };
  window.change = (changes) => {
    if (changes.columns) changes.columns = bytes(changes.columns);
    Object.assign(window.traits, changes);
    for (const name of Object.keys(changes)) for (const call of listeners[`change:${name}`] ?? []) call();
  };
  const { default: widget } = await import(url);
  widget.render({ model, el: document.querySelector("#toy") });
}
"""


def unreachable() -> Any:
    raise AssertionError("the toy asks nobody to compute")


@dataclass
class Toy:
    """A page with the toy's picture, and the panel that it belongs to."""

    page: Any
    panel: panels.ToyPanel

    def answer(self) -> None:
        """Python hears what the page has told, computes, and the page gets its picture."""
        view = self.panel.view
        serial = view.picture["serial"]
        told = self.page.evaluate("() => ({ hand: window.traits.hand, feature: window.traits.feature })")
        columns = view.columns
        view.set_trait("feature", told["feature"])
        view.set_trait("hand", told["hand"])
        self.panel.context.ticker.tick()
        assert view.picture["serial"] >= serial
        changes: dict[str, Any] = {"picture": view.picture}
        if view.columns != columns:
            changes["columns"] = base64.b64encode(view.columns).decode()
        self.page.evaluate("changes => window.change(changes)", changes)

    def settled(self) -> None:
        """Two frames later: what was to be followed has been."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def opened(page: Any, spec: ToySpec | None = None, width: int = 1040, dark: bool = False) -> Toy:
    """Show the picture of a question on a blank page."""
    reporter = Reporter()
    panel = panels.ToyPanel(Context(Page(), Ticker(reporter), reporter, unreachable))
    if spec is not None:
        panel.spec = spec
        panel.form.write(spec)
        panel.context.ticker.tick()
    panel.show()
    css = "".join((STATIC / name).read_text(encoding="utf-8") for name in ("page.css", "plane.css"))
    scheme = "dark" if dark else "light"
    page.set_content(
        f"<!doctype html><style>{css}</style><body style='margin:0;color-scheme:{scheme}'>"
        f"<div class='gd-app' style='color-scheme:{scheme};padding:8px'>"
        f"<div id='toy' style='width:{width}px'></div></div>"
    )
    view = panel.view
    traits = {
        "picture": view.picture,
        "columns": base64.b64encode(view.columns).decode(),
        "hand": {},
        "feature": view.feature,
        "step": view.step,
        "playing": False,
    }
    page.evaluate(HARNESS, [view._esm, traits])
    return Toy(page, panel)
