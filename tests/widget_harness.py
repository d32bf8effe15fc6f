"""Widgets of the page in a browser without a server."""

from __future__ import annotations

#: A model as anywidget gives it: traits, messages, and who listens.
HARNESS = """
async ([code, traits]) => {
  const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  const listeners = {};
  window.sent = [];
  window.traits = traits;
  window.model = {
    get: (name) => window.traits[name],
    set: (name, value) => { window.traits[name] = value; },
    save_changes: () => {},
    send: (message) => window.sent.push(message),
    on: (name, call) => { (listeners[name] ??= []).push(call); },
  };
  window.change = (name, value) => {
    window.traits[name] = value;
    for (const call of listeners[`change:${name}`]) call();
  };
  const { default: widget } = await import(url);
  widget.render({ model: window.model, el: document.querySelector("main") });
}
"""
