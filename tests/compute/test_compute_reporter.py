"""The reporter: how often it speaks, what it says, how it is stopped."""

from __future__ import annotations

import itertools
import json
import math

import pandas as pd
import pytest

from gif_dash.compute import reporter
from gif_dash.compute.reporter import INTERVAL, TABLES_INTERVAL, Reporter, Update, Wishes
from gif_dash.progress import Cancelled, Postponed
from gif_dash.results import frame_from_dict


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(reporter.time, "monotonic", clock)
    return clock


def test_speaks_at_most_once_per_interval(clock: Clock) -> None:
    sent: list[tuple[float, Update]] = []
    built: list[float] = []

    def build() -> pd.DataFrame:
        built.append(clock.now)
        return pd.DataFrame({"a": [1.0]})

    progress = Reporter(lambda update: sent.append((clock.now, update)), Wishes())
    progress.stage("Counting", 10_000)
    for _ in range(10_000):
        clock.now += 0.001
        progress.advance()
        progress.partial("counts", build)
    assert 10 / INTERVAL * 0.9 <= len(sent) <= 10 / INTERVAL * 1.5
    tables = [when for when, update in sent if update.tables]
    assert all(later - earlier >= TABLES_INTERVAL for earlier, later in itertools.pairwise(tables))
    assert len(tables) >= 10 / TABLES_INTERVAL * 0.9
    assert built == tables, "a table is built when it is sent, and only then"


def test_what_was_held_back_is_said_at_the_next_check(clock: Clock) -> None:
    sent: list[Update] = []
    progress = Reporter(sent.append, Wishes())
    progress.stage("First", 4)
    clock.now += INTERVAL / 2
    progress.stage("Second")
    progress.partial("t", lambda: pd.DataFrame({"a": [math.nan, math.inf]}))
    assert [update.stage for update in sent] == ["First", "Second"]  # a table goes out at once, and the stage with it
    progress.partial("t", lambda: pd.DataFrame({"a": [1.0, -math.inf]}))
    clock.now += 1
    progress.check()
    assert len(sent) == 3
    assert frame_from_dict(json.loads(sent[-1].tables["t"]))["a"].tolist() == [1.0, -math.inf]


def test_fraction_and_time_left_follow_the_pace_of_the_stage(clock: Clock) -> None:
    sent: list[Update] = []
    progress = Reporter(sent.append, Wishes())
    progress.stage("Training", 40)
    assert sent[-1].fraction == 0
    assert sent[-1].seconds_left is None
    for _ in range(10):
        clock.now += 2
        progress.advance()
    assert sent[-1].fraction == pytest.approx(0.25)
    assert sent[-1].seconds_left == pytest.approx(60)  # 10 units in 20 s, 30 to go
    for _ in range(50):
        clock.now += 2
        progress.advance()
    assert sent[-1].fraction == 1
    assert sent[-1].seconds_left == 0
    progress.stage("Unknown length")
    clock.now += 5
    progress.advance()
    assert sent[-1].fraction is None
    assert sent[-1].seconds_left is None


def test_only_check_and_give_way_raise() -> None:
    wishes = Wishes()
    progress = Reporter(lambda update: None, wishes)
    progress.check()
    progress.give_way()
    wishes.give_way = True
    progress.check()
    with pytest.raises(Postponed):
        progress.give_way()
    wishes.stop = True
    progress.stage("Next", 3)
    progress.advance()
    progress.partial("t", lambda: pd.DataFrame({"a": [1]}))
    with pytest.raises(Cancelled):
        progress.check()
    with pytest.raises(Cancelled):  # who has left need not be let go first
        progress.give_way()
