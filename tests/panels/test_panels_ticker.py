"""One heartbeat, and no exception that vanishes."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from gif_dash.panels.ticker import Reporter, Ticker


def test_failing_callback_raises_in_tests() -> None:
    def fail(_change: object) -> None:
        raise ZeroDivisionError("by zero")

    with pytest.raises(ZeroDivisionError):
        Reporter().guard(fail)(None)


def test_failing_callback_says_one_sentence_and_logs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("GIF_DASH_STRICT")
    said: list[str] = []

    def fail() -> None:
        raise RuntimeError("first line\nsecond line")

    with caplog.at_level(logging.ERROR, logger="gif_dash"):
        Reporter(said.append).guard(fail)()
    assert len(said) == 1
    assert "RuntimeError: first line second line" in said[0]
    assert "\n" not in said[0]
    assert caplog.records[0].exc_info is not None


def test_sentence_is_said_in_strict_mode_too() -> None:
    said: list[str] = []
    with pytest.raises(ValueError, match="no"):
        Reporter(said.append).guard(lambda: (_ for _ in ()).throw(ValueError("no")))()
    assert said


def test_failing_tick_raises_in_tests() -> None:
    ticker = Ticker(Reporter())
    ticker.soon(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ticker.tick()


def test_a_burst_is_answered_once() -> None:
    calls: list[int] = []

    def answer() -> None:
        calls.append(1)

    ticker = Ticker(Reporter())
    for _ in range(10):
        ticker.soon(answer)
    ticker.tick()
    ticker.tick()
    assert calls == [1]
    assert ticker.idle


def test_repeated_until_stopped() -> None:
    calls: list[int] = []
    ticker = Ticker(Reporter())

    def look() -> None:
        calls.append(len(calls))
        if len(calls) == 3:
            ticker.stop(look)

    ticker.every(look)
    for _ in range(5):
        ticker.tick()
    assert calls == [0, 1, 2]
    assert ticker.idle


def test_stopped_within_the_same_beat_is_not_called() -> None:
    calls: list[str] = []
    ticker = Ticker(Reporter())

    def second() -> None:
        calls.append("second")

    def first() -> None:
        ticker.stop(second)

    ticker.every(first)
    ticker.every(second)
    ticker.tick()
    assert calls == []


def test_beats_in_the_running_loop_and_rests() -> None:
    async def scenario() -> list[str]:
        calls: list[str] = []
        ticker = Ticker(Reporter(), hertz=200)
        ticker.soon(lambda: calls.append("a"))
        assert calls == []  # never within the caller
        await asyncio.sleep(0.05)
        assert ticker.idle
        ticker.soon(lambda: calls.append("b"))
        await asyncio.sleep(0.05)
        return calls

    with ThreadPoolExecutor(1) as thread:  # the browser tests leave a running loop in this one
        assert thread.submit(asyncio.run, scenario()).result() == ["a", "b"]
