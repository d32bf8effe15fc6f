"""Starting and stopping the server: the port, the log, the words on the terminal, the browser."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

import click

from gif_dash import resources
from gif_dash.access import IDLE_MINUTES, LOOPBACK, VISITORS, Access
from gif_dash.compute import paths
from gif_dash.compute.dask_executor import Cluster
from gif_dash.compute.limits import NO_LIMITS, Limits
from gif_dash.compute.server import start_server

_LOG_LIMIT = 2_000_000  #: bytes of an old log that a new run still appends to


def serve(
    port: int = 8866,
    access: Access = LOOPBACK,
    open_browser: bool = True,
    cache_dir: Path | str | None = None,
    data_dir: Path | str | None = None,
    workers: int = 1,
    threads: int | None = None,
    cluster: Cluster | None = None,
    limits: Limits = NO_LIMITS,
    visitors: int = VISITORS,
    idle_minutes: float = IDLE_MINUTES,
    notebook: Path | None = None,
    query: str = "",
    first: Callable[[], None] | None = None,
) -> int:
    """Serve the dashboard until Ctrl+C (SIGINT), SIGTERM or SIGHUP.

    Args:
        port: to listen on; 0 takes a free one.
        access: where it listens, and who may come in.
        open_browser: open the page in a browser where there is one.
        cache_dir: checkpoints, results and the log; ``GIF_DASH_CACHE`` or the user's cache folder if None.
        data_dir: data sets; ``GIF_DASH_DATA`` or the user's data folder if None.
        workers: processes that compute, each with its own copy of every model that is asked for.
        threads: of each worker's arithmetic; the machine's cores shared out if None.
        cluster: a Dask cluster whose workers compute, instead of some of our own.
        limits: on what a visitor may want.
        visitors: at a time, each with a program of their own.
        idle_minutes: without a touch after which an open page is put to rest; 0 for never.
        notebook: serve this notebook instead of the dashboard, and compute nothing.
        query: of the address that is printed and opened, with its question mark: what the page shows first.
        first: done before anything is started, as soon as the port is known to be free.

    Returns:
        The exit code: 0 after an orderly stop.

    Raises:
        click.ClickException: one sentence, if the port is in use, or anybody could come in.
    """
    access.check()
    for variable, folder in (("GIF_DASH_CACHE", cache_dir), ("GIF_DASH_DATA", data_dir)):
        if folder is not None:
            os.environ[variable] = str(Path(folder).expanduser().resolve())
    sockets = listen(port, access.host)  # before anything that takes time: a port in use is said at once
    if first is not None:
        first()
    with ExitStack() as stack:
        log, output = _open_log()
        if output is not None:
            stack.callback(output.close)
            _redirect_errors(output, stack)
        # Voila and its kernels find the page's template through this variable
        os.environ["JUPYTER_PATH"] = os.pathsep.join(
            filter(None, (str(resources.jupyter_data()), os.environ.get("JUPYTER_PATH")))
        )
        # jsonschema, far below Voila, would load this package for a format nobody uses here: 1.4 s for a grammar
        sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
        from gif_dash.serving.server import DashboardServer, configuration

        settings = configuration(
            visitors=visitors,
            rest_after=round(60 * idle_minutes),
            rest_warning=min(300, round(30 * idle_minutes)),
            token=access.token,
            password=access.password,
        )
        server = DashboardServer(notebook or resources.notebook("dashboard"), sockets, settings, access.names)
        server.kernel_output = output
        warning = ""
        if notebook is None:
            compute = stack.enter_context(
                start_server(
                    workers=workers,
                    threads=threads,
                    cluster=cluster,
                    limits=limits,
                    log=log,
                    begin=server.first_visit.worker,
                )
            )
            server.kernel_environment.update(compute.environment)
            warning = compute.store.warning
        url = f"http://{_shown(access, sockets[0])}:{sockets[0].getsockname()[1]}/{query}"

        def ready() -> None:
            click.echo(f"gif_dash is at {url}")
            click.echo(f"Press Ctrl+C to stop. {f'Log: {log}' if log else 'The log goes to this terminal.'}")
            if warning and log:  # without a log file the terminal has it already
                click.echo(f"{warning}.")
            sys.stdout.flush()
            if open_browser and has_browser():
                threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

        server.start(ready)
    with suppress(OSError):  # the terminal may be gone by now
        click.echo("gif_dash has stopped.")
    return 0


def _shown(access: Access, bound: socket.socket) -> str:
    """The host of the address that is printed."""
    if not access.loopback:
        return access.shown
    host: str = bound.getsockname()[0]
    return f"[{host}]" if ":" in host else host


def listen(port: int, host: str) -> list[socket.socket]:
    """Sockets that listen at an address.

    Raises:
        click.ClickException: one sentence, if the port is in use or there is no such address.
    """
    from tornado.netutil import bind_sockets

    name = host.strip("[]")
    try:
        return bind_sockets(port, name)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            other = port + 1 if port < 65535 else port - 1
            raise click.ClickException(f"port {port} is in use; choose another, such as --port {other}") from None
        raise click.ClickException(f"cannot listen on {host} port {port}: {error.strerror or error}") from None


def has_browser() -> bool:
    """Whether opening a page would show a window, and not take over this terminal."""
    if sys.platform.startswith(("win", "darwin")):
        return True
    if not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "BROWSER")):
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def _redirect_errors(output: IO[bytes], stack: ExitStack) -> None:
    """Standard error goes to the log until the stack unwinds, that of worker processes included: a calm terminal."""
    sys.stderr.flush()
    terminal = os.dup(2)
    os.dup2(output.fileno(), 2)

    def restore() -> None:
        sys.stderr.flush()
        os.dup2(terminal, 2)
        os.close(terminal)

    stack.callback(restore)


def _open_log() -> tuple[Path | None, IO[bytes] | None]:
    """Send the log, and what kernels print, to a file of the cache folder; to the terminal where that cannot be."""
    path: Path | None = paths.cache_dir() / "serve.log"
    output: IO[bytes] | None = None
    try:
        assert path is not None
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > _LOG_LIMIT:
            path.replace(path.with_suffix(".log.1"))
        output = path.open("ab")
        handler: logging.Handler = logging.FileHandler(path, encoding="utf-8")
    except OSError:
        path, handler = None, logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(_shortened)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("gif_dash").setLevel(logging.INFO if path else logging.WARNING)
    logging.getLogger("tornado.general").setLevel(logging.ERROR)  # a line about pings for every page opened
    logging.captureWarnings(True)
    return path, output


def _shortened(record: logging.LogRecord) -> bool:
    """A kernel that ends while it builds a page (its visitor has left) is a line of the log, and no traceback."""
    if record.exc_info and type(record.exc_info[1]).__name__ == "DeadKernelError":
        record.exc_info = None
    return True
