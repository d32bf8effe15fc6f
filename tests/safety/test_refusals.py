"""Refusals are counted, all of them, and said from time to time."""

from __future__ import annotations

import logging

import pytest

from gif_dash.refusals import QUIET, Refusals


def test_ten_thousand_refusals_are_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    refusals = Refusals(logging.getLogger("gif_dash.tests"), clock=lambda: now)
    for place in range(10_000):
        now = place * 3 * QUIET / 10_000
        refusals.add("a message is too long" if place % 2 else "a message cannot be read")
    assert refusals.count.total() == 10_000
    assert set(refusals.count.values()) == {5000}
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert lines[0] == "refused what a page sent: a message cannot be read (1 in all)"
    assert "and 33" in lines[1]
    assert "more since the last such line" in lines[1]
