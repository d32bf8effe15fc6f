"""What the server answers: the page, the freeing of a kernel, refusals, and the headers of every answer."""

from __future__ import annotations

import asyncio
import re
from http.client import responses
from typing import Any

from jupyter_server.base.handlers import APIHandler
from tornado import httputil, iostream, web
from tornado.websocket import WebSocketClosedError, WebSocketHandler
from voila.tornado.handler import TornadoVoilaHandler

#: How the page names its kernel to its own scripts.
_KERNEL = re.compile(r'"kernelId": "([\w-]+)"')

#: Title and sentence of the pages for refused and failed requests.
_WORDS = {
    403: ("Not an address of the dashboard", "Use the address that gif-dash printed in the terminal."),
    404: ("There is nothing here", "The dashboard has one page, and this is not its address."),
    500: ("The dashboard stumbled", "The log, named in the terminal where gif-dash runs, says why."),
}


def error_page(handler: web.RequestHandler, status: int) -> str:
    """The page for a refused or failed request; it needs nothing from anywhere."""
    title, text = _WORDS.get(status, (responses.get(status, "Error"), ""))
    template = handler.settings["voila_jinja2_env"].get_template("error.html")
    page: str = template.render(status=status, title=title, text=text, home=handler.settings["base_url"])
    return page


class RefusalHandler(web.RequestHandler):
    """Everything no route is for: 403 for a foreign host name, whatever the path, else 404.

    A page elsewhere that makes its own host name point to this machine (DNS rebinding) thus learns nothing.
    """

    def check_xsrf_cookie(self) -> None:
        """A refusal needs no cookie."""

    def prepare(self) -> None:
        known: bool = self.settings["known_host"](self.request.host_name)
        raise web.HTTPError(404 if known else 403)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.finish(error_page(self, status_code))


class PageHandler(TornadoVoilaHandler):  # type: ignore[misc]
    """The page: what does not depend on the kernel is sent at once, the rest as the notebook's cells finish."""

    def initialize(self, prelude: str, **kwargs: Any) -> None:
        super().initialize(**kwargs)
        self.prelude = prelude

    @web.authenticated
    async def get(self, path: str | None = None) -> None:
        if "prefetch" in self.request.headers.get("Sec-Purpose", ""):
            self.set_status(503)  # a browser guessing where its user may go next: no reason to start a kernel
            return
        self.settings["first_visit"].ask()
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        kernel_id, listening = "", await self._send(self.prelude)
        try:
            await self.kernel_manager.discard_dead(self.notebook_path)
            async for html in self.get_generator():
                if not kernel_id and (match := _KERNEL.search(html)):
                    kernel_id = match.group(1)
                listening = listening and await self._send(html)
                if kernel_id and not listening:
                    break
        except Exception:
            self.log.exception("the page could not be built")
            listening = await self._send("<script>gifDashFailed()</script></body></html>")
        if kernel_id and not listening:  # the visitor has left before the page could say so
            await self.kernel_manager.free(kernel_id)

    async def _send(self, html: str) -> bool:
        """Whether somebody is there to read it."""
        try:
            self.write(html)
            await self.flush()
        except iostream.StreamClosedError:
            return False
        return True

    def should_use_rendered_notebook(self, *args: Any) -> bool:
        """Only if a kernel is running already: one that is still to be started would be waited for."""
        waiting: bool = self.kernel_manager.has_waiting(self.notebook_path)
        return waiting and super().should_use_rendered_notebook(*args)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.finish(error_page(self, status_code))


class KernelThereHandler(APIHandler):
    """Whether a page's kernel is there. Its scripts ask before they connect; there is nothing to change here."""

    @web.authenticated
    async def get(self, kernel_id: str) -> None:
        kernels: Any = self.kernel_manager
        if kernel_id not in kernels:
            raise web.HTTPError(404)
        model = kernels.kernel_model(kernel_id)
        self.finish({name: model[name] for name in ("id", "name", "execution_state", "last_activity", "connections")})


class FreeKernelHandler(APIHandler):
    """Frees the kernel of a page that is closed.

    A page has no XSRF cookie to send (Voila's own route therefore answers 403 and leaks the kernel). This one route
    asks for none: whoever knows a kernel's random id may free that kernel, and can do nothing else here.
    """

    def check_xsrf_cookie(self) -> None:
        """The kernel's id is the capability."""

    @web.authenticated
    async def post(self, kernel_id: str) -> None:
        kernels: Any = self.kernel_manager
        await kernels.free(kernel_id)
        self.set_status(204)
        self.finish()


class LifeHandler(WebSocketHandler):
    """An open page listens here: it is told when its kernel has ended.

    Nobody would say so otherwise: kernels are not started again, and messages to a dead one are lost in silence.
    """

    _SECONDS = 1.0  #: between two looks

    def initialize(self, kernels: Any) -> None:
        self.kernels = kernels
        self._watching: asyncio.Task[None] | None = None

    def open(self, kernel_id: str) -> None:
        self._watching = asyncio.ensure_future(self._watch(kernel_id))

    def on_message(self, message: str | bytes) -> None:
        """A page has nothing to say here."""

    def on_close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()

    async def _watch(self, kernel_id: str) -> None:
        try:
            if await self.kernels.alive(kernel_id):
                await self.write_message("alive")
            while await self.kernels.alive(kernel_id):
                await asyncio.sleep(self._SECONDS)
            await self.write_message("ended")
            self.close()
            await self.kernels.free(kernel_id)
        except WebSocketClosedError:
            pass


class SecurityHeaders(web.OutputTransform):
    """Adds the same headers to every answer, those of static files included.

    The content policy makes the browser itself hold the promise that the page asks no other host for anything. Widgets
    need inline scripts, `eval` (webpack's and plotly's) and modules from blob addresses (anywidget's).
    """

    def __init__(self, request: httputil.HTTPServerRequest) -> None:
        self.host = request.host

    def transform_first_chunk(
        self, status_code: int, headers: httputil.HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, httputil.HTTPHeaders, bytes]:
        headers["Content-Security-Policy"] = "; ".join(
            (
                "default-src 'self'",
                "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
                "style-src 'self' 'unsafe-inline'",
                "img-src 'self' data: blob:",
                "font-src 'self' data:",
                f"connect-src 'self' ws://{self.host} wss://{self.host} data: blob:",
                "worker-src 'self' blob:",
                "frame-src 'self' blob: data:",
                "object-src 'none'",
                "base-uri 'self'",
                "form-action 'self'",
                "frame-ancestors 'self'",
            )
        )
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        return status_code, headers, chunk
