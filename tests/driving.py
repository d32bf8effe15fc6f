"""Driving the dashboard from outside: a server in a process of its own, and a strict visitor in Chromium."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

#: Flags that keep Chromium from talking to anyone by itself, and make it run as root in a container.
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Served:
    """A running server: its address, its process, and its log."""

    url: str
    process: subprocess.Popen[str]
    cache: Path
    words: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port

    @property
    def log(self) -> str:
        return (self.cache / "serve.log").read_text()

    def kernels(self) -> list[psutil.Process]:
        """Processes of visitors' kernels, those kept ready included."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if any("ipykernel" in word for word in child.cmdline()):
                    found.append(child)
        return found

    def stop(self, number: int = signal.SIGINT) -> int:
        """Stop it as a person would, and see that it leaves nothing behind. Returns the exit status."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(number)
        try:
            status = self.process.wait(timeout=30)
        finally:
            self.process.kill()
        _, alive = psutil.wait_procs(family, timeout=5)
        for process in alive:
            process.kill()
        assert not alive, f"left behind: {alive}"
        return status


def start_server(command: list[str], cache: Path, **environment: str) -> Served:
    """Start a server and wait until it has said its address."""
    cache.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "GIF_DASH_CACHE": str(cache), **environment},
        start_new_session=True,
    )
    assert process.stdout is not None
    words: list[str] = []
    for line in process.stdout:
        words.append(line.rstrip())
        if (match := re.search(r"http://\S+", line)) is not None:
            words.append(process.stdout.readline().rstrip())
            return Served(match.group(), process, cache, words)
    process.wait()
    raise AssertionError("the server did not start:\n" + "\n".join(words))


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Wait until the condition holds; returns its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds} s still not: {what}")
        time.sleep(0.05)
    return value


def find_chromium() -> str | None:
    """A Chromium of this machine; playwright brings its own only where it is told to."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if (path := shutil.which(name)) is not None:
            return path
    return None


#: Address of the kernel of a page that Voila served; nothing for other pages.
KERNEL = """() => {
    const config = document.getElementById("jupyter-config-data");
    const kernel = config && JSON.parse(config.textContent).kernelId;
    return kernel ? new URL(`/api/kernels/${kernel}`, location).href : null;
}"""


def answers(address: str) -> bool:
    """Whether there is something at the address."""
    try:
        with urllib.request.urlopen(address, timeout=10):
            return True
    except urllib.error.HTTPError:
        return False


class Visit:
    """A page that keeps account of what must not happen: requests to elsewhere, page errors, console errors."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1400, "height": 1000}, **options)
        self.context.set_default_timeout(30_000)
        self.context.route("**/*", self._allow_loopback)
        self.context.on("page", self._watch)
        self.complaints: list[str] = []

    def open(self, url: str) -> Any:
        """A new tab at the address."""
        page = self.context.new_page()
        page.goto(url, wait_until="commit")
        return page

    def close(self, page: Any) -> None:
        """Close a tab as a person does, and see that its kernel is freed."""
        from playwright.sync_api import Error

        if page.is_closed():
            return
        kernel = page.evaluate(KERNEL)
        with page.expect_event("close"), contextlib.suppress(Error):  # it may be gone before it has answered
            page.close(run_before_unload=True)
        if kernel is not None:
            until(lambda: not answers(kernel), 10, "the kernel of a closed page is freed")

    def end(self) -> None:
        """Close all tabs, and then the window."""
        for page in self.context.pages:
            self.close(page)
        self.context.close()

    def _allow_loopback(self, route: Any) -> None:
        address = urlsplit(route.request.url)
        if address.hostname in ("127.0.0.1", "localhost") or address.scheme in ("data", "blob", "file"):
            route.continue_()
        else:
            self.complaints.append(f"request to elsewhere: {route.request.url}")
            route.abort()

    def _watch(self, page: Any) -> None:
        page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}"))
        page.on("crash", lambda _: self.complaints.append("the page crashed"))
        page.on("console", self._hear)
        page.on("websocket", self._see_socket)

    def _hear(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(f"console error: {message.text}")

    def _see_socket(self, socket: Any) -> None:
        if urlsplit(socket.url).hostname not in ("127.0.0.1", "localhost"):
            self.complaints.append(f"socket to elsewhere: {socket.url}")
