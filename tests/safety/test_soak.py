"""A worker that computes all day stays as large as it is. Minutes: ``pytest -m long tests/safety/test_soak.py -s``."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import psutil
import pytest

from gif_dash.bench import sharing
from gif_dash.compute.client import TableClient
from gif_dash.compute.server import start_server
from gif_dash.specs import RemovalSpec

RUNS = 200
#: Megabytes between the median of the runs 30 to 60 and that of the last 30. A leak of 0.2 MB a run would be 30.
FLAT = 15


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_a_worker_is_as_large_after_two_hundred_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GIF_DASH_CACHE", str(tmp_path))
    sizes: list[float] = []
    with start_server(workers=1, threads=1, warm=(), patient=True) as server:
        client = TableClient(server.folder, server.store, patient=True)
        for seed in range(RUNS):
            small = {"curvature_samples": 128, "forget_samples": 64, "sweep_samples": 100, "iterations": 2}
            ticket = client.submit(RemovalSpec.parse({**small, "seed": seed, "forget_classes": [seed % 10]}))
            while not (view := client.view(ticket)).ended:
                time.sleep(0.01)
            assert view.result is not None, view.error
            ((own, _),) = sharing.resident(psutil.Process())["worker"]
            sizes.append(own)
    begin, end = statistics.median(sizes[30:60]), statistics.median(sizes[-30:])
    print(f"worker: {sizes[0]:.0f} MB after the first run, {begin:.1f} MB in runs 30 to 60, {end:.1f} MB at the end")
    assert end - begin < FLAT
