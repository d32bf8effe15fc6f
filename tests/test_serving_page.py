"""The page about serving speaks of options, defaults and tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gif_dash.cli import main

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "serving.md"


@pytest.fixture(scope="module")
def page() -> str:
    if not PAGE.is_file():
        pytest.skip("there are no pages of documentation beside these tests")
    return PAGE.read_text()


def test_every_option_exists(page: str) -> None:
    known = {name for parameter in main.commands["serve"].params for name in parameter.opts}
    other = {"--create-home", "--no-cache-dir"}  # of useradd and pip, in the container's file
    named = set(re.findall(r"--[a-z][a-z-]+", page))
    assert len(named) > 10
    assert named - known == other


def test_defaults_are_those_of_the_command(page: str) -> None:
    defaults = {parameter.opts[0]: parameter.default for parameter in main.commands["serve"].params}
    rows = re.findall(r"^\| `(--[a-z-]+)` \|.*\| ([^|]+) \|$", page, re.MULTILINE)
    assert len(rows) >= 6
    for option, said in rows:
        if said not in ("no limit", "none"):
            assert str(defaults[option]).removesuffix(".0") == said, option


def test_every_item_of_the_checklist_names_tests_that_exist(page: str) -> None:
    texts = "\n".join(file.read_text() for file in TESTS.rglob("test_*.py"))
    defined = set(re.findall(r"^def (test_\w+)", texts, re.MULTILINE))
    rows = [line for line in page.splitlines() if line.startswith("| ") and "`test_" in line]
    assert len(rows) >= 12
    for row in rows:
        named = set(re.findall(r"`(test_\w+)`", row))
        assert named <= defined, named - defined
