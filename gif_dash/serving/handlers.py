"""What the server answers: the page, the freeing of a kernel, refusals, and the headers of every answer."""

from __future__ import annotations

import asyncio
import logging
import math
import re
from http.client import responses
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.auth.login import LoginFormHandler
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import httputil, iostream, web
from tornado.websocket import WebSocketClosedError, WebSocketHandler
from voila.tornado.handler import TornadoVoilaHandler

from gif_dash.serving.kernels import Place

_log = logging.getLogger("gif_dash.serving")

#: How the page names its kernel to its own scripts.
_KERNEL = re.compile(r'"kernelId": "([\w-]+)"')

#: Seconds until a visitor who found no place asks again.
RETRY = 30

#: Title and sentence of the pages for refused and failed requests.
_WORDS = {
    403: ("Not an address of the dashboard", "Use the address that gif-dash printed in the terminal."),
    404: ("There is nothing here", "The dashboard has one page, and this is not its address."),
    503: (
        "All places are taken",
        "Every visitor gets a program of their own, and this machine bears so many. A place becomes free "
        "when somebody leaves: this page asks again by itself every half minute.",
    ),
    500: ("The dashboard stumbled", "The log, named in the terminal where gif-dash runs, says why."),
}


def error_page(handler: web.RequestHandler, status: int) -> str:
    """The page for a refused or failed request; it needs nothing from anywhere."""
    title, text = _WORDS.get(status, (responses.get(status, "Error"), ""))
    template = handler.settings["voila_jinja2_env"].get_template("error.html")
    page: str = template.render(status=status, title=title, text=text, home=handler.settings["base_url"], retry=RETRY)
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

    @allow_unauthenticated  # else the token would go along to the login page
    async def get(self, path: str | None = None) -> None:
        if "token" in self.request.query_arguments:  # it has let its bearer in, or not: nobody needs to see it again
            self.redirect(without_token(self.request.uri or "/") if self.current_user else self.get_login_url())
            return
        if (page := self._get()) is not None:  # who is not signed in has been sent to the login page
            await page

    @web.authenticated
    async def _get(self) -> None:
        if "prefetch" in self.request.headers.get("Sec-Purpose", ""):
            self.set_status(503)  # a browser guessing where its user may go next: no reason to start a kernel
            return
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        place = self.kernel_manager.take_place()
        if place is None:
            self.log.info("a visitor found all %d places taken", self.kernel_manager.places)
            self.set_status(503)
            self.set_header("Retry-After", str(RETRY))
            self.finish(error_page(self, 503))
            return
        try:
            await self._build(place)
        finally:
            if not place.kernel_id:
                self.kernel_manager.leave(place)

    async def _build(self, place: Place) -> None:
        """Send the page, and note whose kernel it is."""
        self.settings["first_visit"].ask()
        kernel_id, listening = "", await self._send(self.prelude)
        try:
            await self.kernel_manager.discard_dead(self.notebook_path)
            async for html in self.get_generator():
                if not kernel_id and (match := _KERNEL.search(html)):
                    kernel_id = place.kernel_id = match.group(1)
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


class LoginHandler(LoginFormHandler):
    """Jupyter's login by password or token, on a page of ours."""

    def _render(self, message: Any = None) -> None:
        after = urlencode({"next": without_token(self.get_argument("next", default=self.base_url))})
        template = self.settings["voila_jinja2_env"].get_template("login.html")
        self.set_header("Cache-Control", "no-store")
        self.write(
            template.render(
                wrong=bool(message),
                action=f"{url_path_join(self.base_url, 'login')}?{after}",
                xsrf=self.xsrf_token.decode(),
            )
        )

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.finish(error_page(self, status_code))


def without_token(uri: str) -> str:
    """The address of a request without the token in its query."""
    parts = urlsplit(uri)
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "token"]
    return urlunsplit(("", "", parts.path or "/", urlencode(query), ""))


def log_request(handler: web.RequestHandler) -> None:
    """A line for what failed here; queries, which may hold more than is good for a log, are never in it."""
    status = handler.get_status()
    level = logging.ERROR if status >= 500 and status != 503 else logging.DEBUG
    _log.log(level, "%s %r answered with %d", handler.request.method, handler.request.path[:100], status)


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
    """An open page listens here: it is told when its kernel has ended, or is about to because nobody touches the page.

    Nobody would say so otherwise: kernels are not started again, and messages to a dead one are lost in silence. The
    server says ``alive``, ``idle MINUTES`` (until the page is put to rest), ``rested`` or ``ended``; a page says
    ``stay``, and nothing else is listened to.
    """

    _SECONDS = 1.0  #: between two looks

    def initialize(self, kernels: Any) -> None:
        self.kernels = kernels
        self.kernel_id = ""
        self._watching: asyncio.Task[None] | None = None

    def open(self, kernel_id: str) -> None:
        self.kernel_id = kernel_id
        self._watching = asyncio.ensure_future(self._watch(kernel_id))

    def on_message(self, message: str | bytes) -> None:
        if message == "stay":
            self.kernels.touch(self.kernel_id)

    def on_close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()

    async def _watch(self, kernel_id: str) -> None:
        said = ""
        try:
            while await self.kernels.alive(kernel_id):
                left = self.kernels.rest_left(kernel_id)
                idle = left <= self.kernels.rest_warning
                word = f"idle {max(1, math.ceil(left / 60))}" if idle else "alive"
                if word != said:
                    await self.write_message(word)
                    said = word
                await asyncio.sleep(self._SECONDS)
            if self.kernels.stopping:
                return  # the kernel ended with the server: the connection will, too, and the page keeps trying
            await self.write_message("rested" if self.kernels.rested(kernel_id) else "ended")
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
        self.login = request.path.endswith("/login")
        self.host = request.host if re.fullmatch(r"[\w.:\[\]-]+", request.host) else ""

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
                f"connect-src 'self'{f' ws://{self.host} wss://{self.host}' if self.host else ''} data: blob:",
                "worker-src 'self' blob:",
                "frame-src 'self' blob: data:",
                "object-src 'none'",
                "base-uri 'self'",
                "form-action 'self'",
                "frame-ancestors 'self'",
            )
        )
        headers["X-Content-Type-Options"] = "nosniff"
        # a form sent without a referrer has no origin either, and Jupyter takes none of unknown origin
        headers["Referrer-Policy"] = "same-origin" if self.login else "no-referrer"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        return status_code, headers, chunk
