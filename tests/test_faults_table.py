"""The fault table speaks of tests that exist, and in the very words of the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gif_dash import resources
from gif_dash.compute import client, dask_executor, dispatcher

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "faults.md"


@pytest.fixture(scope="module")
def page() -> str:
    if not PAGE.is_file():
        pytest.skip("there are no pages of documentation beside these tests")
    return PAGE.read_text()


def test_every_fault_names_a_test_that_exists(page: str) -> None:
    texts = "\n".join(file.read_text() for file in TESTS.rglob("test_*.py"))
    defined = set(re.findall(r"^def (test_\w+)", texts, re.MULTILINE))
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| fault")]
    assert len(rows) >= 20
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        assert defined.issuperset(named), set(named) - defined


def test_sentences_are_those_of_the_program(page: str) -> None:
    for sentence in (dask_executor.LOST, dispatcher.GIVEN_UP, client._STUCK):
        assert f"“{sentence}" in page
    script = (resources.jupyter_data() / "voila" / "templates" / "gif-dash" / "lost.js").read_text()
    for sentence in re.findall(r"“((?:The program behind|gif-dash does not)[^…:]*)", page):
        assert sentence in script
