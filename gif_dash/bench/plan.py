"""What is to be measured, and how thoroughly."""

from __future__ import annotations

from dataclasses import dataclass

#: Every group is a module of this package.
GROUPS = ("hvp", "solve", "selection", "sweep", "memory", "startup")
#: Likewise, but measured only when named: they take minutes and both cores.
NAMED_GROUPS = ("sharing", "load", "attribution", "latency")


@dataclass(frozen=True)
class Plan:
    """One run of the benchmark.

    Attributes:
        quick: all groups within three minutes on two cores; else more networks, samples and repeats.
        device: of the networks, as torch names it; None takes the best there is.
        cases: networks to measure; empty for all of a group.
        visitors: of the group "load"; None for its own number.
        threads: CPU threads; None leaves them to torch. With one thread its CPU time is measured instead of wall time.
    """

    quick: bool = False
    device: str | None = None
    cases: tuple[str, ...] = ()
    threads: int | None = None
    visitors: int | None = None

    def wants(self, case: str) -> bool:
        return not self.cases or case in self.cases


class Unavailable(Exception):
    """One sentence: what a group or a peer lacks here."""
