"""Grids whose cells are answered by worker processes, several at a time: of this machine or of a Dask cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from gif_dash.compute import cards
from gif_dash.compute.client import TableClient, View
from gif_dash.compute.dask_executor import Cluster
from gif_dash.compute.server import start_server
from gif_dash.compute.store import open_store
from gif_dash.grid import Cell, GridResult, Outcome
from gif_dash.progress import Progress

#: Seconds between two looks.
TICK = 0.1


def run_cells(
    listed: Sequence[Cell],
    progress: Progress,
    *,
    workers: int = 1,
    threads: int | None = None,
    cluster: Cluster | None = None,
    told: Callable[[int, Outcome], None] = lambda place, outcome: None,
) -> GridResult:
    """`gif_dash.grid.run_cells`, by worker processes.

    Args:
        listed: see `gif_dash.grid.cells`.
        progress: told how many cells are done and what the running ones do; may cancel.
        workers: processes to start here; each has its own copy of the model.
        threads: of each worker's arithmetic; the cores shared out, by default.
        cluster: whose workers to use instead.
        told: called with the place of a cell, from 1, and what came of it, in the order in which they end.

    Raises:
        SpecError: a scenario does not allow a cell (as far as that is known), or does not exist; nothing was computed.
        Cancelled, KeyboardInterrupt: somebody has stopped it; what was computed is stored.
    """
    store = open_store()
    for cell in listed:
        cards.admit(cell.spec, store, patient=True)
    outcomes: dict[int, Outcome] = {}
    with start_server(workers=workers, threads=threads, cluster=cluster, warm=(), patient=True) as server:
        client = TableClient(server.folder, server.store, patient=True)
        stored = [cards.look_up(cell.spec, store) is not None for cell in listed]
        open_ = {client.submit(cell.spec): place for place, cell in enumerate(listed)}
        progress.stage(_head(0, len(listed), []), len(listed))
        said = ""
        try:
            while open_:
                views = {ticket: client.view(ticket) for ticket in open_}
                for ticket in [ticket for ticket, view in views.items() if view.ended]:
                    place, view = open_.pop(ticket), views.pop(ticket)
                    error = "" if view.result is not None else view.error or "cancelled"
                    outcomes[place] = Outcome(listed[place], view.result, error, stored[place], view.seconds)
                    told(place + 1, outcomes[place])
                head = _head(len(outcomes), len(listed), list(views.values()))
                if head != said:
                    said = head
                    progress.stage(head, len(listed))
                    progress.advance(len(outcomes))
                progress.check()
                time.sleep(TICK)
        finally:
            for ticket in open_:
                client.cancel(ticket)
    return GridResult(tuple(outcomes[place] for place in range(len(listed))))


def _head(done: int, count: int, views: Sequence[View]) -> str:
    """Where the grid is."""
    running = [view.stage for view in views if view.state == "running"]
    doing = f", {len(running)} running" if running else ", waiting for a worker" if views else ""
    return f"{done} of {count} cells done{doing}"
