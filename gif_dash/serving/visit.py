"""What a kernel learns of the visit it serves. Runs in the kernel and is light: no Voila, no Jupyter server."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading

_log = logging.getLogger("gif_dash.serving")


def query_string() -> str:
    """The query string of the page's address, without the question mark; empty outside Voila.

    A kernel that was started ahead of time waits here until its visitor comes, so ask for it as late as possible: what
    is built before is built while nobody waits. (The same as ``voila.utils.wait_for_request``, without importing the
    server into every kernel.)
    """
    if os.environ.get("VOILA_PREHEAT") == "True" and "QUERY_STRING" not in os.environ:
        thread = threading.Thread(target=lambda: asyncio.run(_wait()), name="gif-dash-visit", daemon=True)
        thread.start()  # the kernel's own event loop is running in this thread already
        thread.join()
    return os.environ.get("QUERY_STRING", "")


async def _wait() -> None:
    from tornado.websocket import websocket_connect

    host, port = os.environ.get("VOILA_APP_IP", "127.0.0.1"), os.environ.get("VOILA_APP_PORT", "8866")
    base, kernel = os.environ.get("VOILA_SERVER_URL", "/"), os.environ.get("VOILA_KERNEL_ID", "")
    try:
        connection = await websocket_connect(f"ws://{host}:{port}{base}voila/query/{kernel}", connect_timeout=10)
        message = await connection.read_message()
        connection.close()
    except OSError as error:
        _log.warning("the server does not say which page this kernel is for: %s", error)
        return
    if message is not None:
        os.environ.update(json.loads(message))
