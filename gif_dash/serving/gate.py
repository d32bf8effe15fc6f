"""What pages and kernels may say to each other: widgets' messages pass, code and everything like it is refused.

The kernel of a page runs our notebook for somebody we do not know. Jupyter's protocol would let that person's browser
send code (``execute_request``), look at the kernel's variables, open comms of any class of widgets, or end the kernel.
None of it is needed: a page asks which comms there are, opens the control comm of ipywidgets to get their states, and
then exchanges the messages of widgets. Exactly these pass, and they are written anew from the parts that were checked:
the kernel never reads a byte that was not looked at here.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from typing import Any, cast

from jupyter_client.jsonutil import json_default
from jupyter_client.session import utcnow
from jupyter_server.services.kernels.connection.base import (
    deserialize_binary_message,
    deserialize_msg_from_ws_v1,
    serialize_msg_to_ws_v1,
)
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection

from gif_dash.refusals import Refusals

#: The newer of the two spellings of messages on the websocket.
V1 = "v1.kernel.websocket.jupyter.org"
#: Bytes of a message from a page. What widgets of this page send is below a hundredth of it.
LONGEST = 1_000_000
#: The comm by which a page asks for the states of all widgets; the only one that a page opens.
CONTROL = "jupyter.widget.control"
#: Comms that a page may ask about.
_ASKED = (None, "jupyter.widget", CONTROL)
#: What ipywidgets understands, and how its control comm is asked.
_METHODS = frozenset({"update", "custom", "request_state"})
_CONTROL_METHODS = frozenset({"request_states"})
#: Control comms of one connection: a page that comes back after a cut opens another one.
_CONTROLS = 8
#: Identifiers are made by the browser: hexadecimal digits and hyphens, with some room for other makers.
_IDENTIFIER = re.compile(r"[\w.:-]{1,128}\Z", re.ASCII)


#: What a kernel may say to a page; what it prints, tracebacks included, is for the log.
SPOKEN = frozenset(
    {"comm_open", "comm_msg", "comm_close", "status", "comm_info_reply", "kernel_info_reply", "shutdown_reply"}
)

_log = logging.getLogger("gif_dash.serving")


class Refusal(Exception):
    """A message that does not pass: one sentence, made of our own words only."""

    def __init__(self, reason: str, header: dict[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.reason, self.header = reason, header


@dataclass(frozen=True)
class Passed:
    """A message that may go on to the kernel, put together from what was checked."""

    kind: str
    header: dict[str, Any]
    content: dict[str, Any]
    metadata: dict[str, Any]
    buffers: list[bytes | memoryview[bytes]]


class Gate:
    """Decides for one connection; remembers which comms its page has opened."""

    def __init__(self) -> None:
        self.opened: set[str] = set()

    def check(self, raw: str | bytes, protocol: str | None) -> Passed:
        """The message, if it may pass.

        Args:
            raw: as it came from the websocket.
            protocol: the spelling that browser and server agreed on; None for the older one.

        Raises:
            Refusal: for everything else, whatever is wrong with it.
        """
        if len(raw) > LONGEST:
            raise Refusal("a message is too long")
        try:
            channel, parts, buffers = _read(raw, protocol)
        except Refusal:
            raise
        except Exception:  # of any kind: this is whatever a stranger sends
            raise Refusal("a message cannot be read") from None
        header = _header(parts[0])
        try:
            if channel != "shell":
                raise Refusal("a page speaks to the shell channel only")
            content, metadata = _content(header["msg_type"], parts[2], parts[1], len(buffers), self)
            _writable(content)
        except Refusal as refusal:
            refusal.header = header
            raise
        return Passed(header["msg_type"], header, content, metadata, buffers)


def _read(raw: str | bytes, protocol: str | None) -> tuple[str, tuple[Any, Any, Any], list[bytes | memoryview[bytes]]]:
    """Channel; header, metadata and content; buffers."""
    if protocol == V1:
        if not isinstance(raw, bytes):
            raise Refusal("a message cannot be read")
        _offsets(raw)
        channel, listed = deserialize_msg_from_ws_v1(raw)  # type: ignore[no-untyped-call]
        header, _, metadata, content = (_json(part) for part in listed[:4])
        return channel, (header, metadata, content), listed[4:]
    if isinstance(raw, bytes):
        count = int.from_bytes(raw[:4], "big")
        if not 1 <= count <= 100:
            raise Refusal("a message cannot be read")
        message = deserialize_binary_message(raw)  # type: ignore[no-untyped-call]
    else:
        message = _json(raw)
    buffers = message.get("buffers") or []
    if not isinstance(buffers, list) or not all(isinstance(buffer, bytes) for buffer in buffers):
        raise Refusal("a message cannot be read")
    parts = message["header"], message.get("metadata") or {}, message.get("content") or {}
    return message.get("channel", "shell"), parts, buffers


def _offsets(raw: bytes) -> None:
    """Of the newer spelling: where its parts begin, in order, and all within the message."""
    count = int.from_bytes(raw[:8], "little")
    if not 6 <= count <= 100 or len(raw) < 8 * (count + 1):
        raise Refusal("a message cannot be read")
    offsets = [int.from_bytes(raw[8 * place : 8 * (place + 1)], "little") for place in range(1, count + 1)]
    if offsets[0] < 8 * (count + 1) or offsets != sorted(offsets) or offsets[-1] > len(raw):
        raise Refusal("a message cannot be read")


def _json(text: str | bytes) -> Any:
    def constant(_name: str) -> Any:
        raise Refusal("a message has numbers or letters that are none")

    return json.loads(text, parse_constant=constant)


def _writable(content: dict[str, Any]) -> None:
    """What JSON can be read from, but not written to: 1e999, half a surrogate pair, a pit of brackets."""
    try:
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise Refusal("a message has numbers or letters that are none") from None


def _header(header: Any) -> dict[str, Any]:
    """The parts of a header that are needed, each of its kind."""
    if not isinstance(header, dict):
        raise Refusal("a message has no header")
    kind = header.get("msg_type")
    named = {name: header.get(name) for name in ("msg_id", "session")}
    if not isinstance(kind, str) or not all(_is_identifier(value) for value in named.values()):
        raise Refusal("a message has no proper header")
    return {"msg_type": kind, "version": "5.3", "username": "", "date": utcnow(), **named}


def _is_identifier(value: Any) -> bool:
    return isinstance(value, str) and _IDENTIFIER.match(value) is not None


def _content(kind: str, content: Any, metadata: Any, buffers: int, gate: Gate) -> tuple[dict[str, Any], dict[str, Any]]:
    """Content and metadata of a message of an allowed kind."""
    if not isinstance(content, dict):
        raise Refusal("a message has no proper content")
    if kind == "kernel_info_request":
        return {}, {}
    if kind == "comm_info_request":
        target = content.get("target_name", content.get("target"))
        if target not in _ASKED:
            raise Refusal("a page asks about comms of widgets only")
        return {"target_name": target} if target is not None else {}, {}
    if kind not in ("comm_open", "comm_msg", "comm_close"):
        raise Refusal("a page sends messages of widgets only: no code, and nothing else")
    comm, data = content.get("comm_id"), content.get("data")
    if not _is_identifier(comm):
        raise Refusal("a comm has no proper name")
    comm = cast("str", comm)
    if kind == "comm_open":
        return _open(comm, content, metadata, gate)
    if kind == "comm_close":
        if comm not in gate.opened:
            raise Refusal("a page closes the comms that it opened")
        gate.opened.discard(comm)
        return {"comm_id": comm, "data": {}}, {}
    if not isinstance(data, dict):
        raise Refusal("a widget's message has no data")
    method = data.get("method")
    if not isinstance(method, str) or method not in (_CONTROL_METHODS if comm in gate.opened else _METHODS):
        raise Refusal("a widget does not know this method")
    if buffers and method != "custom" and not isinstance(data.get("buffer_paths", []), list):
        raise Refusal("a widget's message has no proper buffers")
    return {"comm_id": comm, "data": data}, {}


def _open(comm: str, content: dict[str, Any], metadata: Any, gate: Gate) -> tuple[dict[str, Any], dict[str, Any]]:
    """Only the control comm: widgets are made by the notebook, never by a page."""
    if content.get("target_name") != CONTROL or content.get("target_module"):
        raise Refusal("a page makes no widgets: it has those of the notebook")
    if len(gate.opened) >= _CONTROLS:
        raise Refusal("a page has opened enough comms")
    gate.opened.add(comm)
    version = metadata.get("version") if isinstance(metadata, dict) else None
    known = {"version": version} if isinstance(version, str) and _IDENTIFIER.match(version) else {}
    return {"comm_id": comm, "target_name": CONTROL, "data": {}}, known


class GatedConnection(ZMQChannelsWebsocketConnection):
    """A page's connection to its kernel, with the gate in between."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._gate = Gate()

    def handle_incoming_message(self, incoming_msg: str) -> None:
        handler: Any = self.websocket_handler
        refusals: Refusals = handler.settings["refusals"]
        try:
            passed = self._gate.check(incoming_msg, self.subprotocol)
        except Refusal as refusal:
            refusals.add(refusal.reason)
            self._refuse(refusal)
            return
        except Exception:  # a fault of the gate's: closed, not open
            _log.exception("a message of a page could not be judged")
            refusals.add("a message could not be judged")
            return
        stream = self.channels.get("shell")
        if stream is None or stream.closed():  # the kernel is on its way out
            return
        self.session.send(
            stream,
            {
                "header": passed.header,
                "msg_id": passed.header["msg_id"],
                "msg_type": passed.kind,
                "parent_header": {},
                "metadata": passed.metadata,
                "content": passed.content,
            },
            buffers=passed.buffers,
        )

    def handle_outgoing_message(self, stream: str, outgoing_msg: list[Any]) -> None:
        _, parts = self.session.feed_identities(outgoing_msg)
        if self.session.unpack(parts[1]).get("msg_type") in SPOKEN:  # after the signature
            super().handle_outgoing_message(stream, outgoing_msg)

    def _refuse(self, refusal: Refusal) -> None:
        """Say so to the page, in the protocol's own words: an error as the reply."""
        content = {"status": "error", "ename": "Refused", "evalue": refusal.reason, "traceback": []}
        kind = (refusal.header or {}).get("msg_type", "")
        kind = kind.removesuffix("_request") if re.fullmatch(r"[a-z_]{1,40}", kind) else "message"
        parent = refusal.header or {}
        reply = self.session.msg(f"{kind}_reply", content=content, parent=parent)
        reply["parent_header"] = parent
        self._send_to_page(reply)

    def _send_to_page(self, message: dict[str, Any]) -> None:
        if self.subprotocol == V1:
            packed = serialize_msg_to_ws_v1(message, "shell", self.session.pack)  # type: ignore[no-untyped-call]
            self.write_message(packed, binary=True)
        else:
            self.write_message(json.dumps({**message, "channel": "shell"}, default=json_default))
