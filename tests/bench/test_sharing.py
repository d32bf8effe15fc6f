"""What visitors share, measured small: figures that can be had anywhere, and that do not depend on how fast it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from gif_dash.bench import sharing


@pytest.mark.timeout(280)
def test_clicks_are_answered_while_grids_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GIF_DASH_CACHE", str(tmp_path))
    monkeypatch.setattr(sharing, "THINK", 0.0)
    small = {"curvature_samples": 64, "forget_samples": 64, "sweep_samples": 60, "iterations": 1}
    monkeypatch.setattr(sharing, "_click", lambda: sharing.RemovalSpec.parse({**small, "seed": next(sharing._seeds)}))
    rows = sharing._clicks(1)
    values = {(row.case, row.what): row for row in rows}
    idle, busy = (values[case, "click until it runs"] for case in ("idle worker", "two grids running"))
    assert 0 < idle.value < 2
    assert idle.value < busy.value
    assert busy.note == "meanwhile 0 of 2 grids finished"
    assert all(row.value <= values[row.case, f"{row.what}, longest"].value for row in (idle, busy))
