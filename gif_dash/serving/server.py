"""A Voila that serves exactly one notebook, on this machine, and opens nothing else."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

import tornado.web
import zmq
from jupyter_server.base.handlers import FileFindHandler
from jupyter_server.services.kernels.websocket import KernelWebsocketHandler
from jupyter_server.utils import url_path_join
from tornado.httpserver import HTTPServer
from tornado.ioloop import PeriodicCallback
from traitlets.config import Config
from voila.app import Voila
from voila.request_info_handler import RequestInfoSocketHandler
from voila.static_file_handler import MultiStaticFileHandler, TemplateStaticFileHandler
from voila.utils import create_include_assets_functions

from gif_dash.access import IDLE_MINUTES, VISITORS
from gif_dash.compute import folders
from gif_dash.refusals import Refusals
from gif_dash.serving.first_visit import FirstVisit
from gif_dash.serving.gate import LONGEST, GatedConnection
from gif_dash.serving.handlers import (
    FreeKernelHandler,
    KernelThereHandler,
    LifeHandler,
    LoginHandler,
    PageHandler,
    RefusalHandler,
    SecurityHeaders,
    log_request,
)
from gif_dash.serving.kernels import OwnKernelSpec, VisitorKernels

TEMPLATE = "gif-dash"
_KERNEL_ID = r"(?P<kernel_id>\w+-\w+-\w+-\w+-\w+)"

#: JupyterLab extensions the page needs; others that happen to be installed are neither listed nor loaded.
_EXTENSIONS = (
    "@jupyter-widgets/jupyterlab-manager",
    "@voila-dashboards/widgets-manager8",
    "anywidget",
)

_log = logging.getLogger("gif_dash.serving")


def configuration(
    *,
    pool: int = 1,
    idle_timeout: int = 300,
    idle_interval: int = 30,
    visitors: int = VISITORS,
    rest_after: int = int(60 * IDLE_MINUTES),
    rest_warning: int = 300,
    token: str = "",
    password: str = "",
) -> Config:
    """The settings of Voila and of the kernels.

    Args:
        pool: kernels kept ready for the next visitor; 0 starts each kernel at its request.
        idle_timeout: seconds without a message after which a kernel is freed that no open page is connected to.
        idle_interval: seconds between two looks for such kernels.
        visitors: at a time; who comes then is told so.
        rest_after: seconds without a touch after which an open page is put to rest; 0 for never.
        rest_warning: seconds before that, the page says so.
        token: that visitors must show, or empty.
        password: that visitors must type, hashed as Jupyter does; or empty.
    """
    config = Config()
    voila = config.VoilaConfiguration
    voila.template = TEMPLATE
    voila.theme = "light"  # the template follows the system's scheme by itself
    voila.allow_template_override = "NO"
    voila.allow_theme_override = "NO"
    voila.file_allowlist = []
    voila.show_tracebacks = False
    voila.preheat_kernel = pool > 0
    voila.default_pool_size = pool
    voila.multi_kernel_manager_class = VisitorKernels
    voila.extension_allowlist = list(_EXTENSIONS)
    # A cell may show late where many pages are made at once; after 4 s, the default, a page would stay empty.
    config.VoilaExecutor.iopub_timeout = 120
    config.VoilaExecutor.cell_error_instruction = "The log, named in the terminal where gif-dash runs, says why."
    voila.kernel_spec_manager_class = OwnKernelSpec
    config.Voila.kernel_websocket_connection_class = GatedConnection
    config.VisitorKernels.allow_tracebacks = False  # they are for the log, not for the page
    config.Voila.token = token
    config.PasswordIdentityProvider.hashed_password = password
    config.PasswordIdentityProvider.allow_password_change = False
    config.PasswordIdentityProvider.cookie_options = {"samesite": "Lax"}
    if zmq.has("curve"):  # other users of the machine cannot listen in
        config.KernelManager.transport_encryption = "auto"
    # The one notebook is ours: no key for signing it needs to be kept in the user's folders.
    config.NotebookNotary.secret = secrets.token_bytes(32)
    config.NotebookNotary.db_file = ":memory:"
    # A kernel that died would come back empty, behind a page that no longer fits it.
    config.AsyncIOLoopKernelManager.autorestart = False
    config.VoilaKernelManager.fill_delay = 0.0  # `VisitorKernels` waits by itself
    config.VisitorKernels.places = visitors
    config.VisitorKernels.rest_after = rest_after
    config.VisitorKernels.rest_warning = rest_warning
    config.VisitorKernels.cull_idle_timeout = idle_timeout
    config.VisitorKernels.cull_interval = idle_interval
    config.VisitorKernels.cull_connected = False
    return config


class DashboardServer(Voila):  # type: ignore[misc]
    """Voila with the routes that one page needs, and its own start and stop.

    Attributes:
        kernel_environment: variables every kernel gets besides the server's own.
        kernel_output: binary file for what kernels print outside the page; None for the terminal.
        refusals: what pages were not allowed to say to their kernels.
        known_hosts: host names the server answers to, besides loopback addresses.
    """

    name = "gif-dash"

    def __init__(self, notebook: Path, sockets: list[socket.socket], config: Config, names: Iterable[str] = ()) -> None:
        address = sockets[0].getsockname()
        super().__init__(
            config=config,
            notebook_path=str(notebook),
            ip=address[0],
            port=address[1],
            port_retries=0,
            open_browser=False,
            log=logging.getLogger("gif_dash.voila"),
            config_file_paths=[],  # a voila.json of the current folder or of the user is not for this server
        )
        self.sockets = sockets
        own: str = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address[0], address[0])  # by which kernels ask
        self.kernel_environment: dict[str, str] = {"VOILA_APP_IP": f"[{own}]" if ":" in own else own}
        self.kernel_output: IO[bytes] | None = None
        self.first_visit = FirstVisit()
        self.refusals = Refusals(_log)
        self.known_hosts: frozenset[str] = frozenset({"localhost", *names})
        self.initialize([])

    def _configure_logging(self) -> None:
        """Voila's log goes where the program's log goes."""

    def known_host(self, name: str) -> bool:
        """Whether a Host header's name is one of this server's."""
        name = name.lower().strip("[]")
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return name in self.known_hosts

    def init_settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = super().init_settings()
        # Routes are for known hosts only, see `_serve`; Jupyter's own check knows no addresses but those of loopback.
        settings["allow_remote_access"] = len(self.known_hosts) > 1
        settings["log_function"] = log_request
        settings["local_hostnames"] = sorted(self.known_hosts)
        settings["known_host"] = self.known_host
        settings["first_visit"] = self.first_visit
        settings["refusals"] = self.refusals
        settings["websocket_max_message_size"] = 2 * LONGEST  # what is longer ends the connection before it is read
        settings["default_handler_class"] = RefusalHandler
        return settings

    def init_handlers(self) -> list[Any]:
        """The routes; what is not listed is refused. No files, no folder, no contents."""

        def at(pattern: str) -> str:
            joined: str = url_path_join(self.server_url, pattern)
            return joined

        handlers: list[Any] = [
            (at(rf"/api/kernels/{_KERNEL_ID}"), KernelThereHandler),
            # Voila's own looks into binary messages of one spelling only, and of the other it never comes to an end
            (at(rf"/api/kernels/{_KERNEL_ID}/channels"), KernelWebsocketHandler),
            (at(rf"/voila/templates/({TEMPLATE}/static/[^/]+)"), TemplateStaticFileHandler),
            (at(r"/voila/static/(.+)"), MultiStaticFileHandler, {"paths": self.static_paths}),
            (at(r"/voila/labextensions/(.+)"), FileFindHandler, {"path": self.labextensions_path}),
            (at(rf"/voila/api/shutdown/{_KERNEL_ID}"), FreeKernelHandler),
            (at(rf"/voila/api/life/{_KERNEL_ID}"), LifeHandler, {"kernels": self.kernel_manager}),
        ]
        if self.identity_provider.auth_enabled:
            handlers.append((at("/login"), LoginHandler))
        if self.voila_configuration.preheat_kernel:
            handlers.append((at(rf"/voila/query/{_KERNEL_ID}"), RequestInfoSocketHandler))
        page = {
            "prelude": self._prelude(),
            "notebook_path": Path(self.notebook_path).name,
            "template_paths": self.template_paths,
            "config": self.config,
            "voila_configuration": self.voila_configuration,
        }
        handlers.append((at("/"), PageHandler, page))
        return handlers

    def _prelude(self) -> str:
        template = self.app.settings["voila_jinja2_env"].get_template("prelude.html")
        text: str = template.render(
            base_url=self.base_url, static=url_path_join(self.base_url, "voila/static"), **self._assets()
        )
        return text

    def _assets(self) -> dict[str, Callable[..., str]]:
        assets: dict[str, Callable[..., str]] = create_include_assets_functions(TEMPLATE, self.base_url)
        return assets

    def start(self, ready: Callable[[], None] = lambda: None) -> None:
        """Serve until SIGINT, SIGTERM or SIGHUP; calls `ready` once the page can be asked for."""
        asyncio.run(self._serve(ready))

    async def _serve(self, ready: Callable[[], None]) -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()

        def stop(number: int, frame: Any) -> None:
            loop.call_soon_threadsafe(stopped.set)

        signals = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        for number in signals:
            signal.signal(number, stop)
        if sys.platform == "win32":  # the loop there does not wake up for a signal
            PeriodicCallback(lambda: None, 500).start()

        self.connection_dir = str(folders.make("kernels"))
        # Kernels read no profile of the user's: its start-up files are not for visitors.
        self.kernel_environment.setdefault("IPYTHONDIR", str(Path(self.connection_dir) / "ipython"))
        try:
            settings = self.init_settings()
            self.app = tornado.web.Application(**settings)
            self.app.transforms.append(SecurityHeaders)
            known = (f"[{name}]" if ":" in name else name for name in self.known_hosts)
            names = "|".join(re.escape(name) for name in known)
            self.app.add_handlers(rf"(?i:{names}|127\.\d+\.\d+\.\d+|\[::1\])$", self.init_handlers())
            server = HTTPServer(self.app, xheaders=True)  # behind TLS of a proxy, cookies are for TLS only
            server.add_sockets(self.sockets)
            _log.info("serving %s at port %d", self.notebook_path, self.port)
            ready()
            first_visit = asyncio.create_task(self.first_visit.pass_by())
            await stopped.wait()
            first_visit.cancel()
            server.stop()
            await server.close_all_connections()
        finally:
            await self._stop_kernels()
            folders.remove(Path(self.connection_dir))

    async def _stop_kernels(self) -> None:
        manager = getattr(self, "kernel_manager", None)
        if manager is None:
            return
        logging.getLogger("traitlets").setLevel(logging.CRITICAL)  # notebooks that end now have not failed
        try:
            await asyncio.wait_for(manager.stop(), timeout=10)
        except Exception:
            _log.exception("some kernels did not stop in time; they end with this process")
