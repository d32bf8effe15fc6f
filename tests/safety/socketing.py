"""A visitor without a browser: asks for the page, then speaks to its kernel over the websocket, as any program can."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from driving import Served
from jupyter_server.services.kernels.connection.base import deserialize_binary_message
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

#: Seconds to wait for an answer of a kernel on a busy machine.
LONG = 60.0


@dataclass
class Socket:
    """A connection in the older spelling, which is plain JSON."""

    connection: WebSocketClientConnection
    session: str = field(default_factory=lambda: uuid.uuid4().hex)

    async def send(self, kind: str, content: Any, channel: str = "shell", **more: Any) -> str:
        """Send a message of Jupyter's protocol; returns its identifier."""
        name = uuid.uuid4().hex
        header = {
            "msg_id": name,
            "msg_type": kind,
            "session": self.session,
            "username": "",
            "version": "5.3",
            "date": "",
        }
        message = {
            "header": header,
            "parent_header": {},
            "metadata": {},
            "content": content,
            "channel": channel,
            **more,
        }
        await self.raw(json.dumps(message))
        return name

    async def raw(self, text: str | bytes) -> None:
        await self.connection.write_message(text, binary=isinstance(text, bytes))

    async def hear(self, seconds: float = LONG) -> dict[str, Any] | None:
        """The next message, or None if the connection was closed."""
        text = await asyncio.wait_for(self.connection.read_message(), seconds)
        if text is None:
            return None
        return dict(deserialize_binary_message(text) if isinstance(text, bytes) else json.loads(text))

    async def reply(self, name: str, kind: str = "", seconds: float = LONG) -> dict[str, Any]:
        """The answer to a message: of a kind, or any reply."""
        return (await self.until(name, kind, seconds))[-1]

    async def until(self, name: str, kind: str = "", seconds: float = LONG) -> list[dict[str, Any]]:
        """All that is heard, up to the answer to a message."""
        found = []
        while True:
            message = await self.hear(seconds)
            assert message is not None, "the connection was closed"
            found.append(message)
            said = message["header"]["msg_type"]
            if message["parent_header"].get("msg_id") == name and (said == kind if kind else said.endswith("_reply")):
                return found


@contextlib.asynccontextmanager
async def connected(served: Served, kernel: str, **headers: str) -> AsyncIterator[Socket]:
    """A socket to a kernel."""
    request = HTTPRequest(
        f"ws://127.0.0.1:{served.port}/api/kernels/{kernel}/channels?session_id=x",
        headers=headers,
        connect_timeout=LONG,
    )
    connection = await websocket_connect(request)
    try:
        socket = Socket(connection)  # the server may lose what a kernel says before it has answered this
        await socket.reply(await socket.send("kernel_info_request", {}))
        yield socket
    finally:
        connection.close()
