"""The edited network of a class removal as a file: choose method and s, press Save, load it in plain torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

import anywidget
import numpy as np
import traitlets

from gif_dash.catalog import EXPERIMENTS, resolve
from gif_dash.panels.base import Context, time_left, waiting
from gif_dash.panels.page import STATIC
from gif_dash.panels.transfer import Transfer
from gif_dash.results import Result
from gif_dash.specs import LABELS, Spec, SpecError

#: Seconds without a request of the browser after which it is believed not to take the file.
STALLED = 30.0

_NOTE = (
    "network is an instance of the same architecture. The question, the method, s, and how it was computed are in the "
    "file's metadata."
)


class TakeHomeWidget(anywidget.AnyWidget):
    """What stands in the fold.

    Attributes:
        methods: what there is, as {value, label}.
        method: the chosen one.
        places: of s, as {value, label}.
        at: the chosen one: ``best``, ``one`` or ``marker``.
        words: what the file will be.
        code: lines that load it.
        note: what the lines take for granted.
        running: whether a file is being made or sent (Save becomes Cancel).
        fraction: share of that which is done, None where unknown.
        status: one line.
        error: one sentence, or nothing.
    """

    _esm = STATIC / "takehome.js"
    _css = STATIC / "takehome.css"
    heard: ClassVar[tuple[str, ...]] = ("method", "at")

    methods = traitlets.List(traitlets.Dict()).tag(sync=True)
    method = traitlets.Unicode("").tag(sync=True)
    places = traitlets.List(traitlets.Dict()).tag(sync=True)
    at = traitlets.Enum(("best", "one", "marker"), "best").tag(sync=True)
    words = traitlets.Unicode("").tag(sync=True)
    code = traitlets.Unicode("").tag(sync=True)
    note = traitlets.Unicode(_NOTE).tag(sync=True)
    running = traitlets.Bool(False).tag(sync=True)
    fraction = traitlets.Float(None, allow_none=True).tag(sync=True)
    status = traitlets.Unicode("").tag(sync=True)
    error = traitlets.Unicode("").tag(sync=True)

    def __init__(self, on_save: Callable[[], object], on_cancel: Callable[[], object]) -> None:
        super().__init__()
        self._calls = {"save": on_save, "cancel": on_cancel}
        self.on_msg(self._message)

    @traitlets.validate("method")
    def _there(self, proposal: Any) -> str:
        method: str = proposal["value"]
        known = [choice["value"] for choice in self.methods] or [""]  # nothing to choose from yet
        if method not in known:
            raise traitlets.TraitError("there is no such method")
        return method

    def _message(self, _widget: Any, content: Any, _buffers: Any) -> None:
        call = self._calls.get(content.get("do", "")) if isinstance(content, dict) else None
        if call is not None:
            call()


class TakeHome:
    """The fold's business: asks for the file, follows its making, hands it to the browser.

    Args:
        context: of the dashboard.
        marker: where the marker of s stands.
    """

    def __init__(self, context: Context, marker: Callable[[], float]) -> None:
        self.context, self.marker = context, marker
        guard = context.reporter.guard
        self.widget = TakeHomeWidget(guard(self.save), guard(self.cancel))
        self.result: Result | None = None
        self.ticket = ""  #: of the file that is being made or sent
        self.name = ""  #: of that file
        self.transfer: Transfer | None = None
        self.widget.observe(guard(lambda _change: self.describe()), ["method", "at"])

    def follow(self, result: Result) -> None:
        """Another answer is on the screen. A file that is being made stays what it was asked for."""
        self.result = result
        methods = [str(name) for name in result.spec["methods"]]
        widget = self.widget
        widget.methods = [{"value": name, "label": LABELS[name]} for name in methods]
        if widget.method not in methods:
            widget.method = methods[0]
        if not self.ticket:
            widget.status = widget.error = ""
        self.describe()

    def scalar(self) -> float:
        """The chosen s."""
        assert self.result is not None
        if self.widget.at == "marker":
            return float(self.marker())
        return 1.0 if self.widget.at == "one" else self.result.scalar(self.widget.method)

    def describe(self) -> None:
        """Say what the file will be."""
        if self.result is None:
            return
        widget = self.widget
        best = self.result.scalar(widget.method)
        widget.places = [
            {"value": "best", "label": f"best ({short(best)})"},
            {"value": "one", "label": "1"},
            {"value": "marker", "label": f"at the marker ({short(self.marker())})"},
        ]
        name, scalar = self._name(), self.scalar()
        count = self.result.provenance.get("p")
        size = f" of about {megabytes(4 * count)}" if isinstance(count, int) else ""
        widget.words = (
            f"A safetensors file{size} with the state dict of θ̂ + {short(scalar)}·Δ, {LABELS[widget.method]}:"
        )
        widget.code = f'from safetensors.torch import load_file\nnetwork.load_state_dict(load_file("{name}"))'

    def _name(self) -> str:
        assert self.result is not None
        scenario = "".join(letter if letter.isalnum() else "-" for letter in str(self.result.spec["scenario"]))
        return f"edited-{scenario}-{self.widget.method}-s{short(self.scalar())}.safetensors"

    # --- from Save to the download folder ----------------------------------------------------------------------------

    def save(self) -> None:
        """Ask for the file."""
        if self.result is None or self.ticket:
            return
        widget = self.widget
        widget.error = ""
        values = {name: value for name, value in self.result.spec.items() if name != "experiment"}
        try:
            spec: Spec = resolve(EXPERIMENTS[self.result.experiment].spec).parse(values)
            self.ticket = self.context.connect().take_home(spec, widget.method, self.scalar())
        except SpecError as error:
            widget.error = str(error)
            return
        self.name = self._name()
        widget.running, widget.fraction, widget.status = True, None, "Waiting to start"
        self.context.ticker.every(self.poll)

    def cancel(self) -> None:
        """Idle at once."""
        if self.ticket:
            self._end("Cancelled")

    def poll(self) -> None:
        """One look at how it goes; the ticker calls it."""
        if not self.ticket:
            self.context.ticker.stop(self.poll)
            return
        try:
            view = self.context.connect().view(self.ticket)
        except Exception:  # the server has ended: say it once, not at every beat
            self.ticket = ""
            self._end("Stopped")
            raise
        if view.state == "queued":
            self.widget.status = waiting(view)
        elif view.state == "running":
            self.widget.status, self.widget.fraction = f"{view.stage or 'Computing'}{time_left(view)}", view.fraction
        elif view.state == "done" and view.size is not None:
            self._send(view.size)
        else:
            self._end("Stopped", view.error or "The file is no longer there; press Save again")

    def _send(self, size: int) -> None:
        if self.transfer is None:
            client, ticket = self.context.connect(), self.ticket
            self.transfer = self.context.page.offer(
                self.name, size, lambda offset, count: client.read(ticket, offset, count)
            )
        transfer = self.transfer
        self.widget.fraction = transfer.taken / size
        self.widget.status = f"Sending {megabytes(transfer.taken)} of {megabytes(size)}"
        if transfer.complete:
            self._end(f"{self.name} is yours: {megabytes(size)}, in the browser's download folder")
        elif transfer.error:
            self._end("Stopped", transfer.error)
        elif time.monotonic() - transfer.heard > STALLED:
            self._end("Stopped", "The browser does not take the file; press Save again")

    def _end(self, words: str, error: str = "") -> None:
        ticket, self.ticket = self.ticket, ""
        transfer, self.transfer = self.transfer, None
        self.context.ticker.stop(self.poll)
        if transfer is not None:
            self.context.page.withdraw(transfer)
        widget = self.widget
        widget.running, widget.fraction, widget.status, widget.error = False, None, words, error
        if ticket:
            self.context.connect().cancel(ticket)


def short(scalar: float) -> str:
    """A number with four digits that count, never with an exponent: it becomes part of a file's name."""
    return str(np.format_float_positional(scalar, precision=4, fractional=False, trim="-"))


def megabytes(count: float) -> str:
    """Bytes for people."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"
