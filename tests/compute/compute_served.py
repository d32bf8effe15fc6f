"""A program that starts the compute side of a server, says so, and waits. Run by test_compute_server.py."""

from __future__ import annotations

import json
import sys
import time

import compute_fakes
import compute_trains

from gif_dash import catalog
from gif_dash.compute.server import start_server

if __name__ == "__main__":
    for entry in (*compute_fakes.ENTRIES, compute_trains.ENTRY):
        catalog.EXPERIMENTS[entry.name] = entry
    catalog.SCENARIOS["tiny"] = compute_fakes.SCENARIO
    with start_server(threads=1, warm=(), torch=False) as server:
        while not server.ready:
            assert not server.executor.problem
            time.sleep(0.01)
        print(json.dumps(server.environment), flush=True)
        sys.stdin.readline()
    assert "torch" not in sys.modules
    print("closed", flush=True)
