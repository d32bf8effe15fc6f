"""What all tests share: a cache folder of their own, the dashboard in a process of its own, and a strict browser."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driving import CHROMIUM_FLAGS, Served, Visit, find_chromium, start_server


def pytest_configure(config: pytest.Config) -> None:
    """Neither the caches of the person who runs the tests nor a server of theirs has a part in them."""
    folder = tempfile.mkdtemp(prefix="gif-dash-tests-")
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ["GIF_DASH_CACHE"] = folder
    os.environ["GIF_DASH_RECORDED"] = os.path.join(folder, "recorded")  # none, whatever the package ships
    os.environ["GIF_DASH_STRICT"] = "1"
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command does: test machines are busy
    os.environ.pop("GIF_DASH_JOBS", None)


# --- the server ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def dashboard() -> Iterator[Served]:
    """The dashboard as people start it: ``gif-dash --no-browser``; what it trains, other tests find trained."""
    command = [sys.executable, "-m", "gif_dash.cli", "--no-browser", "--port", "0"]
    served = start_server(command, Path(os.environ["GIF_DASH_CACHE"]))
    yield served
    assert served.stop() == 0


# --- the browser ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium; without one the tests skip, or fail where ``GIF_DASH_REQUIRE_BROWSER=1``.

    One for each file of tests: as long as it is open, playwright's event loop runs in this thread.
    """
    path = find_chromium()
    if path is None:
        sentence = "there is no Chromium here (Debian: apt-get install chromium)"
        if os.environ.get("GIF_DASH_REQUIRE_BROWSER") == "1":
            pytest.fail(sentence)
        pytest.skip(sentence)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Visit]:
    """A visitor of its own for one test; whatever the page did wrong fails the test."""
    visitor = Visit(browser)
    yield visitor
    visitor.end()
    assert not visitor.complaints, "\n".join(visitor.complaints)
