"""How long people wait: from the command to the served page, and from the request to a live toy.

Needs Chromium and playwright (the test extra). Before each start of the server, a browser just started paints a bare
static page of another server: what no page can beat on this machine. Then three visits per start:

- cold: asked for the moment the server says its address (no kernel is ready), in a browser that has cached nothing
- ready: a kernel waits, a browser that has cached nothing
- warm: a kernel waits, the browser has been here before

The first start has an empty cache folder, so the server also trains the default network meanwhile; the others do not.
"""

from __future__ import annotations

import http.server
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from gif_dash.bench.plan import Plan, Unavailable
from gif_dash.bench.rows import Row

GROUP = "startup"
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
#: Seconds for the next kernel to get ready.
PAUSE = 15.0
#: Milliseconds since the request at which the toy's trajectories were in the page.
WATCH = """
addEventListener("DOMContentLoaded", () => {
  const seen = () => document.querySelector(".gd-plane path.gd-way") && (window.liveToy ??= performance.now());
  seen() || new MutationObserver((_, watch) => seen() && watch.disconnect())
    .observe(document.body, { childList: true, subtree: true });
});
"""
PAINT = (
    "() => performance.getEntriesByType('paint').find((entry) => entry.name === 'first-contentful-paint')?.startTime"
)


def measure(plan: Plan) -> list[Row]:
    """The first start of a server and later ones; two starts if quick, else five.

    Raises:
        Unavailable: without playwright or Chromium.
    """
    path = chromium()
    from playwright.sync_api import sync_playwright

    starts: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as cache, sync_playwright() as playwright:
        for _ in range(2 if plan.quick else 5):
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
            floor = {"bare static page, browser just started: request to picture": _bare_page(browser)}
            browser.close()
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
            starts.append(floor | _start_and_visits(Path(cache), browser, PAUSE / 2 if plan.quick else PAUSE))
            browser.close()
    return [Row(GROUP, "first start", what, value, "s") for what, value in starts[0].items()] + [
        Row.of(GROUP, "later starts", what, [start[what] for start in starts[1:]], "s") for what in starts[0]
    ]


def chromium() -> str:
    """Where Chromium is.

    Raises:
        Unavailable: there is none, or no playwright to drive it.
    """
    try:
        import playwright  # noqa: F401
    except ImportError:
        raise Unavailable("playwright is not installed (the test extra has it)") from None
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        raise Unavailable("there is no Chromium here")
    return path


class _Bare(http.server.BaseHTTPRequestHandler):
    """Answers every request with a page of one word, without style or script."""

    def do_GET(self) -> None:  # the name that http.server asks for
        body = b"<!DOCTYPE html><title>bare</title><body>bare"
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """The terminal is for the measurements."""


def _bare_page(browser: Any) -> float:
    """Seconds from the request of a bare page to its picture."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Bare) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            page = browser.new_context().new_page()
            page.goto(f"http://127.0.0.1:{server.server_address[1]}/", wait_until="commit")
            page.wait_for_function(f"({PAINT})() !== undefined")
            milliseconds: float = page.evaluate(PAINT)
            return milliseconds / 1000
        finally:
            server.shutdown()


def _start_and_visits(cache: Path, browser: Any, pause: float) -> dict[str, float]:
    process, url, served = start(cache)
    found = {"command to served page": served}
    try:
        context = None
        for name in ("cold", "ready", "warm"):
            if name != "cold":
                time.sleep(pause)
            if context is None or name != "warm":
                context = browser.new_context()
            painted, live = _visit(context, url)
            found |= {f"{name}: request to loading state": painted, f"{name}: request to live toy": live}
    finally:
        process.send_signal(signal.SIGINT)
        begin = time.perf_counter()
        process.wait()
    return {**found, "Ctrl+C to the end": time.perf_counter() - begin}


def start(cache: Path, *options: str) -> tuple[subprocess.Popen[str], str, float]:
    """Start the command; returns the process, the address, and the seconds until it said it."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "gif_dash.cli", "--no-browser", "--port", "0", *options],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "GIF_DASH_CACHE": str(cache)},
    )
    assert process.stdout is not None
    for line in process.stdout:
        if (match := re.search(r"http://\S+", line)) is not None:
            return process, match.group(), time.perf_counter() - begin
    raise Unavailable("gif-dash did not start")


@contextmanager
def served(cache: Path, *options: str) -> Iterator[tuple[psutil.Process, str, Any]]:
    """The process of a server, its address, and a headless browser beside it; all end with the block.

    Raises:
        Unavailable: without playwright or Chromium, or where a page does not answer.
    """
    path = chromium()
    from playwright.sync_api import Error, sync_playwright

    process, url, _ = start(cache, *options)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
            try:
                yield psutil.Process(process.pid), url.rstrip("/"), browser
            except Error as error:
                raise Unavailable(f"a page did not answer: {str(error).splitlines()[0]}") from error
            finally:
                browser.close()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def _visit(context: Any, url: str) -> tuple[float, float]:
    """Seconds from the request to the loading state and to the live toy."""
    page = context.new_page()
    page.add_init_script(WATCH)
    page.goto(url, wait_until="commit")
    page.wait_for_function("window.liveToy", timeout=120_000)
    live, paint = page.evaluate("window.liveToy"), page.evaluate(PAINT)
    page.close(run_before_unload=True)
    return paint / 1000, live / 1000
