"""Grids by worker processes: the same table, two at a time, failures and interruptions as in one process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from compute_fakes import FakeSpec

from gif_dash import grid, parallel
from gif_dash.compute import store
from gif_dash.progress import Cancelled, Silent

pytestmark = [pytest.mark.timeout(180), pytest.mark.usefixtures("own_folders")]


class Impatient(Silent):
    """Leaves as soon as one cell is done."""

    def __init__(self) -> None:
        self.heads: list[str] = []

    def stage(self, title: str, total: int = 0) -> None:
        self.heads.append(title)

    def check(self) -> None:
        if any(head.startswith("1 of") for head in self.heads):
            raise Cancelled("enough")


def listed(folder: Path, tags: tuple[int, ...], steps: int = 40) -> list[grid.Cell]:
    return grid.cells(FakeSpec, {"log": str(folder / "log"), "steps": steps}, {"tag": tags})


def test_two_workers_give_the_table_of_one_process_and_a_second_run_computes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_stores", {})
    ended: list[int] = []
    cells = listed(tmp_path, (0, 1, 2, 3))
    found = parallel.run_cells(cells, Silent(), workers=2, told=lambda place, outcome: ended.append(place))
    assert sorted(ended) == [1, 2, 3, 4]
    assert not found.failed
    lines = (tmp_path / "log").read_text().splitlines()
    assert sorted(line.split()[1] for line in lines) == ["0", "1", "2", "3"]
    assert len({line.split()[0] for line in lines}) == 2  # two processes
    again = parallel.run_cells(cells, Silent(), workers=2)
    assert all(outcome.stored for outcome in again.outcomes)
    pd.testing.assert_frame_equal(again.table, found.table)
    begin: Callable[[str], Silent] = lambda head: Silent()  # noqa: E731
    pd.testing.assert_frame_equal(grid.run_cells(cells, begin).table, found.table)
    assert len((tmp_path / "log").read_text().splitlines()) == 4


def test_a_cell_that_fails_does_not_stop_the_others_and_who_leaves_keeps_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_stores", {})
    cells = grid.cells(FakeSpec, {"log": str(tmp_path / "bad"), "steps": 5}, {"mode": ("sentence", "count")})
    found = parallel.run_cells(cells, Silent(), workers=1)
    assert [outcome.error for outcome in found.outcomes] == ["this cannot be computed, choose another tag", ""]
    many = listed(tmp_path, tuple(range(5)), steps=20)
    with pytest.raises(Cancelled):
        parallel.run_cells(many, Impatient(), workers=1)
    assert len((tmp_path / "log").read_text().splitlines()) < 5
    rest = parallel.run_cells(many, Silent(), workers=1)
    assert rest.outcomes[0].stored
    assert not rest.failed


def test_workers_of_a_later_grid_are_its_own(tmp_path: Path) -> None:
    """Dask keeps the first workers' variables in the process, where they would go before those of the next."""
    before = dict(os.environ)
    for threads in (1, 2):
        found = parallel.run_cells(listed(tmp_path, (threads,), steps=2), Silent(), workers=1, threads=threads)
        [outcome] = found.outcomes
        assert outcome.result is not None
        assert outcome.result.provenance["threads"] == str(threads)
    assert dict(os.environ) == before
