"""As many visitors as there are places; untouched pages rest; who leaves leaves nothing behind."""

from __future__ import annotations

import asyncio
import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from driving import Served, until
from serving.test_server import ask, kernel_of, start_plain
from socketing import connected
from tornado.websocket import websocket_connect

CELL = "import time; time.sleep(0.2); print('here I am')"
PLACES = 3


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with three places and one kernel ahead."""
    served = start_plain(tmp_path_factory.mktemp("small"), CELL, visitors=PLACES, pool=1)
    yield served
    assert served.stop() == 0


def leave(served: Served, pages: list[str]) -> None:
    for page in pages:
        assert ask(served, f"/voila/api/shutdown/{kernel_of(page)}", "POST")[0] == 204
    until(lambda: len(served.kernels()) <= 1, 60, "only the kernel that waits is left")


def test_two_hundred_rapid_requests_start_no_more_kernels_than_there_are_places(small: Served) -> None:
    most, over = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.is_set():
            most = max(most, len(small.kernels()))
            time.sleep(0.02)

    watching = threading.Thread(target=watch)
    watching.start()
    answers: list[tuple[int, str, str]] = []

    def get() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", small.port, timeout=120)
        connection.request("GET", "/")
        answer = connection.getresponse()
        answers.append((answer.status, answer.read().decode(), answer.headers.get("Retry-After", "")))

    for _ in range(10):
        threads = [threading.Thread(target=get) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    over.set()
    watching.join()
    statuses = Counter(status for status, _, _ in answers)
    assert statuses == {200: PLACES, 503: 200 - PLACES}
    assert 1 <= most <= PLACES + 1, "one more waits for the next"
    for status, page, retry in answers:
        if status == 503:
            assert "All places are taken" in page
            assert 'http-equiv="refresh"' in page
            assert retry == "30"
    assert "Traceback" not in small.log
    leave(small, [page for status, page, _ in answers if status == 200])
    status, _, page = ask(small, "/")
    assert status == 200, "there is room again"
    leave(small, [page])


def test_who_leaves_before_the_page_is_there_takes_no_place(small: Served) -> None:
    import socket

    for _ in range(3 * PLACES):
        with socket.create_connection(("127.0.0.1", small.port)) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            connection.recv(100)

    def page() -> Any:
        status, _, text = ask(small, "/")
        return text if status == 200 else None

    leave(small, [until(page, 60, "their places are free")])


def test_an_untouched_page_is_warned_then_put_to_rest(tmp_path: Path) -> None:
    served = start_plain(tmp_path, "1", pool=0, rest_after=8, rest_warning=5, idle_interval=1)
    try:
        kernel = kernel_of(ask(served, "/")[2])

        async def look() -> list[str]:
            heard = []
            async with connected(served, kernel):  # an open page: the culler of abandoned kernels leaves it alone
                life = await websocket_connect(f"ws://127.0.0.1:{served.port}/voila/api/life/{kernel}")
                while (word := await asyncio.wait_for(life.read_message(), 60)) is not None:
                    heard.append(str(word))
                    if word.startswith("idle") and heard.count(word) == 1:
                        life.write_message("stay")
            return heard

        heard = asyncio.run(look())
        assert heard == ["alive", "idle 1", "alive", "idle 1", "rested"]
        until(lambda: not served.kernels(), 20, "its kernel is gone")
    finally:
        served.stop()


def visit(served: Served) -> None:
    """A whole visit: the page, its socket, a question to its kernel, and away."""
    status, _, page = ask(served, "/")
    assert status == 200
    kernel = kernel_of(page)

    async def speak() -> None:
        async with connected(served, kernel) as talk:
            await talk.reply(await talk.send("kernel_info_request", {}))

    asyncio.run(speak())
    assert ask(served, f"/voila/api/shutdown/{kernel}", "POST")[0] == 204
    until(lambda: ask(served, f"/api/kernels/{kernel}")[0] == 404, 30, "the kernel is gone")


def sessions(served: Served, count: int) -> float:
    """So many visits; megabytes by which the server grew after the first few."""
    server = psutil.Process(served.process.pid)

    def settled() -> int:
        """Processes of the server, once a kernel waits for the next visitor and nothing else is there."""
        until(lambda: len(served.kernels()) == 1, 60, "only the kernel that waits is there")
        return len(server.children(recursive=True))

    for _ in range(2):
        visit(served)
    family, before = settled(), server.memory_info().rss
    for _ in range(count):
        visit(served)
    assert settled() <= family, "a process is left"
    return float(server.memory_info().rss - before) / 2**20


def test_sessions_in_a_row_leave_nothing(small: Served) -> None:
    until(lambda: len(small.kernels()) == 1, 60, "one kernel waits")
    assert sessions(small, 5) < 20


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_thirty_sessions_in_a_row_leave_nothing(small: Served) -> None:
    until(lambda: len(small.kernels()) == 1, 60, "one kernel waits")
    grown = sessions(small, 30)
    print(f"the server grew by {grown:.1f} MB in 30 sessions")
    assert grown < 20
