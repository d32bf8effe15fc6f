"""What a visitor sees when a kernel, the server, a worker or the connection goes while the page is open."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from driving import KERNEL, Served, Visit, start_server, until

from gif_dash.compute.dask_executor import LOST

pytestmark = pytest.mark.browser

#: What a browser writes to its console by itself when there is nobody at an address.
UNREACHABLE = ("net::ERR_", "WebSocket connection to")


@pytest.fixture
def patient(browser: Any) -> Iterator[Visit]:
    """A strict visitor, except that servers may be out of reach."""
    visitor = Visit(browser)
    yield visitor
    visitor.context.close()
    complaints = [text for text in visitor.complaints if not any(words in text for words in UNREACHABLE)]
    assert not complaints, "\n".join(complaints)


def open_toy(visit: Visit, address: str, query: str = "") -> Any:
    page = visit.open(address + query)
    page.wait_for_selector(".gd-plane path.gd-way")
    return page


def noise(page: Any) -> Any:
    return page.get_by_role("spinbutton", name="Noise, exact value")


def way(page: Any) -> str:
    drawn: str = page.locator(".gd-plane path.gd-way").first.get_attribute("d")
    return drawn


def answers_to_a_key(page: Any) -> None:
    """The kernel answers: another noise, another way."""
    before = way(page)
    page.bring_to_front()
    page.get_by_role("slider", name="Noise", exact=True).press("ArrowRight")
    until(lambda: way(page) != before, 10, "the way follows the slider")


def lost(page: Any) -> Any:
    """The sentence at the foot of the page."""
    return page.locator("#gd-lost")


def kernel(served: Served, page: Any) -> psutil.Process:
    """The process behind a page."""
    name = page.evaluate(KERNEL).rpartition("/")[2]
    (process,) = [each for each in served.kernels() if name in " ".join(each.cmdline())]
    return process


def test_a_kernel_that_dies_is_said_and_a_reload_goes_on(visit: Visit, dashboard: Served) -> None:
    page, other = (open_toy(visit, dashboard.url, "?tab=toy&noise=2") for _ in range(2))
    answers_to_a_key(page)
    page.wait_for_url("**/*noise=2.*")
    number, address = noise(page).input_value(), page.url
    assert lost(page).is_hidden()
    process = kernel(dashboard, page)
    process.kill()
    lost(page).wait_for(timeout=10_000)
    assert "has ended" in lost(page).inner_text()
    assert "Reload to go on" in lost(page).inner_text()
    until(lambda: not process.is_running(), 10, "nothing is left of it")
    assert lost(other).is_hidden()
    answers_to_a_key(other)

    lost(page).get_by_role("button", name="Reload").click()
    page.wait_for_selector("#loading", state="detached")
    page.wait_for_selector(".gd-plane path.gd-way")
    assert page.url == address
    assert noise(page).input_value() == number
    assert lost(page).is_hidden()
    answers_to_a_key(page)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


def test_a_server_that_is_started_again(patient: Visit) -> None:
    command = [sys.executable, "-m", "gif_dash.cli", "--no-browser", "--port", str(free_port())]
    cache = Path(os.environ["GIF_DASH_CACHE"])
    served = start_server(command, cache)
    try:
        page = patient.open(served.url + "?tab=removal")
        page.wait_for_selector(".gd-scores table", timeout=240_000)
        scores, address = page.locator(".gd-scores table").inner_text(), page.url
        assert served.stop() == 0
        lost(page).wait_for(timeout=10_000)
        assert "does not answer" in lost(page).inner_text()
        assert "keeps trying" in lost(page).inner_text()
        assert page.locator(".gd-scores table").inner_text() == scores, "what was there can still be read"

        served = start_server(command, cache)
        reload = lost(page).get_by_role("button", name="Reload")
        reload.wait_for(timeout=20_000)
        assert "Reload to go on" in lost(page).inner_text()
        reload.click()
        page.wait_for_selector("#loading", state="detached")
        page.wait_for_selector(".gd-scores table")
        assert page.get_by_role("status").filter(has_text="Stored result").count() == 1
        assert page.locator(".gd-scores table").inner_text() == scores
        assert page.url == address
        patient.close(page)
    finally:
        if served.process.poll() is None:
            served.stop()


class Line:
    """A line to the server that can be cut: whoever connects to `port` talks to the server's."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._open: set[socket.socket] = set()
        self.cut, self.refused = False, b""
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                if self.cut:
                    near.close()
                    continue
                head = near.recv(65536, socket.MSG_PEEK)
                if self.refused and self.refused in head:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._to))
                self._open |= {near, far}
                for one, two in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(one, two), daemon=True).start()

    def _pass(self, one: socket.socket, two: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                two.sendall(data)
        for each in (one, two):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def tear(self) -> None:
        self.cut = True
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listening.close()


def test_a_connection_that_is_cut_comes_back_by_itself_or_says_how(patient: Visit, dashboard: Served) -> None:
    line = Line(dashboard.port)
    try:
        page = open_toy(patient, f"http://127.0.0.1:{line.port}/")
        page.wait_for_selector("#loading", state="detached")
        answers_to_a_key(page)
        line.tear()
        lost(page).wait_for(timeout=10_000)
        assert "does not answer" in lost(page).inner_text()
        line.cut = False
        lost(page).wait_for(state="hidden", timeout=30_000)
        answers_to_a_key(page)

        line.refused = b"/channels"  # as when the page's own connection has given up
        line.tear()
        lost(page).wait_for(timeout=10_000)
        line.cut = False
        reload = lost(page).get_by_role("button", name="Reload")
        reload.wait_for(timeout=30_000)
        assert "cut for too long" in lost(page).inner_text()
        line.refused = b""
        reload.click()
        page.wait_for_selector("#loading", state="detached")
        page.wait_for_selector(".gd-plane path.gd-way")
        answers_to_a_key(page)
        patient.close(page)
    finally:
        line.close()


def test_a_worker_that_dies_while_it_computes(visit: Visit, dashboard: Served) -> None:
    page = visit.open(dashboard.url + "?tab=removal&seed=77")  # a network that nobody has trained yet
    panel = page.locator(".gd-panel:visible")
    error, status = panel.locator(".gd-runbar .gd-error"), panel.locator(".gd-runbar .gd-status")
    run, cancel = (panel.get_by_role("button", name=name, exact=True) for name in ("Run", "Cancel"))
    cancel.wait_for(timeout=60_000)
    until(lambda: "Training" in status.inner_text() or panel.locator("progress[value]").count(), 120, "it computes")
    worker(dashboard).kill()
    error.wait_for(timeout=20_000)
    assert error.inner_text() == LOST
    assert "Run" in LOST
    assert run.is_enabled()
    run.click()
    page.wait_for_selector(".gd-scores table", timeout=240_000)
    assert status.inner_text().startswith("Done")
    assert error.is_hidden()


def worker(served: Served) -> psutil.Process:
    """The process that computes: the one with torch."""
    kernels = served.kernels()
    children = psutil.Process(served.process.pid).children(recursive=True)
    (process,) = [
        child for child in children if child not in kernels and any("libtorch" in at.path for at in child.memory_maps())
    ]
    return process
