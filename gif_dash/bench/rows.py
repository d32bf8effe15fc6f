"""Rows of the benchmark's table, and the way times become rows: interleaved repeats, medians, ratios of neighbours."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Task = Callable[[], object]


@dataclass(frozen=True)
class Row:
    """One measured figure.

    Attributes:
        group: of the benchmark.
        case: the network, or what else was measured, with its sizes.
        what: which figure.
        value: median over the repeats; NaN where it could not be had, which `note` explains.
        unit: s, ms, 1/s, MB, cores, ``ratio`` (dimensionless) or ``count``.
        repeats: measurements behind it.
        spread: half the distance between the quartiles, in the same unit; 0 for one measurement.
        note: a few words where something is to be said.
    """

    group: str
    case: str
    what: str
    value: float
    unit: str
    repeats: int = 1
    spread: float = 0.0
    note: str = ""

    @classmethod
    def of(cls, group: str, case: str, what: str, values: Sequence[float], unit: str, note: str = "") -> Row:
        """Median and spread of repeated measurements."""
        return cls(group, case, what, statistics.median(values), unit, len(values), spread(values), note)


def spread(values: Sequence[float]) -> float:
    """Half the distance between the quartiles; 0 for a single value."""
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2


def interleaved(
    tasks: Mapping[str, Task], repeats: int, settle: Task = lambda: None, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of every task, all in turn in each repeat, so that a slow moment of the machine meets all of them.

    Args:
        tasks: by name; each is run once unmeasured first.
        repeats: rounds.
        settle: called before every reading of the clock, to wait for a device that works on its own.
        clock: what counts as time.
    """
    for task in tasks.values():
        task()
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats):
        for name, task in tasks.items():
            settle()
            started = clock()
            task()
            settle()
            seconds[name].append(clock() - started)
    return seconds


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Ratios of measurements of the same round."""
    return [a / b for a, b in zip(above, below, strict=True)]
