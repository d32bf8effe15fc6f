"""How visitors share one server: a click while grids run, a grid on two workers, memory of each visitor.

All on digits-cnn, in a cache folder of its own. A click is a class removal with a seed that nobody asked about; a grid
is a run of the criteria. Memory needs Chromium and playwright (the test extra): real pages keep real kernels.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from gif_dash.bench import startup
from gif_dash.bench.plan import Plan, Unavailable
from gif_dash.bench.rows import Row
from gif_dash.compute.client import TableClient
from gif_dash.compute.server import ComputeServer, start_server
from gif_dash.specs import CriteriaSpec, RemovalSpec, Spec

GROUP = "sharing"
CACHE = "GIF_DASH_CACHE"
SCENARIO = "digits-cnn"
#: Seconds between a visitor's answer and their next click.
THINK = 1.0
#: Seconds to wait for a server, an answer, or a page.
LONG = 300.0

_seeds = count(1000)


def measure(plan: Plan) -> list[Row]:
    """Clicks, throughput and memory; without Chromium the last is missing, and says so."""
    with _own_cache() as cache:
        rows = [*_clicks(4 if plan.quick else 20), *_throughput(6 if plan.quick else 24)]
        try:
            return rows + _memory(cache, 2 if plan.quick else 5)
        except Unavailable as error:
            return [*rows, Row(GROUP, "memory", "not measured", float("nan"), "", 0, note=str(error))]


@contextmanager
def _own_cache() -> Iterator[Path]:
    before = os.environ.get(CACHE)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[CACHE] = folder
        try:
            yield Path(folder)
        finally:
            del os.environ[CACHE]
            if before is not None:
                os.environ[CACHE] = before


def _click() -> RemovalSpec:
    return RemovalSpec(scenario=SCENARIO, seed=next(_seeds))


def _answer(client: TableClient, spec: Spec) -> tuple[float, float]:
    """Ask and wait: seconds until it ran, and until the answer was there."""
    asked = time.perf_counter()
    ticket, ran = client.submit(spec), 0.0
    while not (view := client.view(ticket)).ended:
        if not ran and view.state == "running":
            ran = time.perf_counter() - asked
        if time.perf_counter() - asked > LONG:
            raise Unavailable(f"no answer within {LONG:g} s")
        time.sleep(0.01)
    if view.result is None:
        raise Unavailable(view.error or "the run was cancelled")
    done = time.perf_counter() - asked
    return ran or done, done


@contextmanager
def _served(workers: int) -> Iterator[ComputeServer]:
    """Workers of one thread each, all of which have answered a question."""
    with start_server(workers=workers, threads=1, warm=(), patient=True) as server:
        began = time.perf_counter()
        while server.executor.slots < workers:
            if server.executor.problem or time.perf_counter() - began > LONG:
                raise Unavailable(server.executor.problem or "the workers did not start")
            time.sleep(0.05)
        _all(server, [_click() for _ in range(2 * workers)])
        yield server


def _all(server: ComputeServer, specs: list[RemovalSpec]) -> float:
    """Seconds until all are answered, asked at once."""
    client, began = TableClient(server.folder, server.store, patient=True), time.perf_counter()
    open_ = [client.submit(spec) for spec in specs]
    while open_:
        open_ = [ticket for ticket in open_ if not client.view(ticket).ended]
        time.sleep(0.01)
    return time.perf_counter() - began


def _clicks(repeats: int) -> list[Row]:
    """One worker: clicks while it is idle, then while two visitors' grids run."""
    rows = []
    with _served(1) as server:
        visitor, *others = (TableClient(server.folder, server.store) for _ in range(3))
        for case in ("idle worker", "two grids running"):
            grids: dict[TableClient, str] = {}
            if case != "idle worker":
                grids = {other: other.submit(_grid()) for other in others}
                while not any(other.view(ticket).partial for other, ticket in grids.items()):
                    time.sleep(0.05)
            waits, asked = [], len(grids)
            for _ in range(repeats):
                time.sleep(THINK)
                for other, ticket in grids.items():
                    if other.view(ticket).ended:  # there are always two
                        grids[other] = other.submit(_grid())
                        asked += 1
                waits.append(_answer(visitor, _click()))
            ended = asked - sum(not other.view(ticket).ended for other, ticket in grids.items())
            note = f"meanwhile {ended} of {asked} grids finished" if grids else ""
            for what, values in (
                ("click until it runs", [ran for ran, _ in waits]),
                ("click until its answer", [done for _, done in waits]),
            ):
                rows.append(Row.of(GROUP, case, what, values, "s", note))
                rows.append(Row(GROUP, case, f"{what}, longest", max(values), "s", len(values)))
            for other, ticket in grids.items():
                other.cancel(ticket)
    return rows


def _grid() -> CriteriaSpec:
    """As many cells as a question may have: they last longer than the clicks."""
    ratios = tuple(float(mr) for mr in range(5, 105, 5))
    return CriteriaSpec(scenario=SCENARIO, mrs=ratios, seed=next(_seeds))


def _throughput(cells: int) -> list[Row]:
    """The same number of fresh questions, on one worker and on two."""
    rates = []
    rows = []
    for workers in (1, 2):
        with _served(workers) as server:
            seconds = _all(server, [_click() for _ in range(cells)])
        rates.append(cells / seconds)
        case = f"{cells} questions, {workers} worker{'s' if workers > 1 else ''} of one thread"
        rows.append(Row(GROUP, case, "until all are answered", seconds, "s"))
    rows.append(Row(GROUP, f"{cells} questions", "throughput of two workers ÷ one", rates[1] / rates[0], "ratio"))
    return rows


def _memory(cache: Path, visitors: int) -> list[Row]:
    """Resident memory of the processes behind some open pages."""
    with startup.served(cache) as (server, url, browser):
        for _ in range(visitors):
            page = browser.new_context().new_page()
            page.goto(f"{url}/?tab=removal", wait_until="commit")
            page.wait_for_selector(".gd-chart .gd-line", timeout=1000 * LONG)
        time.sleep(startup.PAUSE)
        found = resident(server)
    case = f"{visitors} visitors, class removal shown"
    rows = [Row.of(GROUP, case, f"resident: {kind}", [own for own, _ in sizes], "MB") for kind, sizes in found.items()]
    shared = [Row.of(GROUP, case, "of a kernel, shared pages divided", [part for _, part in found["kernel"]], "MB")]
    return rows + shared


def resident(server: psutil.Process) -> dict[str, list[tuple[float, float]]]:
    """Resident megabytes of the server and all its processes by kind, and those with shared pages divided."""
    found: dict[str, list[tuple[float, float]]] = {}
    for kind, each in _family(server):
        with suppress(psutil.NoSuchProcess):
            memory = each.memory_full_info()
            found.setdefault(kind, []).append((memory.rss / 2**20, getattr(memory, "pss", memory.rss) / 2**20))
    return found


def processor_seconds(server: psutil.Process) -> dict[str, float]:
    """Processor time of the server and all its living processes by kind."""
    found: dict[str, float] = {}
    for kind, each in _family(server):
        with suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            found[kind] = found.get(kind, 0.0) + times.user + times.system
    return found


def _family(server: psutil.Process) -> Iterator[tuple[str, psutil.Process]]:
    """The server, its kernels and its workers; helpers of neither kind are left out."""
    yield "server", server
    for each in server.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if any("ipykernel" in word for word in each.cmdline()):
                yield "kernel", each
            elif any("libtorch" in region.path for region in each.memory_maps()):
                yield "worker", each
