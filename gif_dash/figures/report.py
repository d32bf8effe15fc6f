"""The report: published numbers beside ours, and what follows. Pure: no question is asked and nothing is computed here.

`Pair` and `Claim` decide what agrees; both treat all methods and directions alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from gif_dash.figures.tables import number

Verdict = Literal["holds", "does not hold", "not shown", "not run"]

#: Standard errors beyond which a difference counts.
ERRORS = 2.0


@dataclass(frozen=True)
class Pair:
    """A published number and ours.

    Attributes:
        published: NaN where none was given.
        ours: NaN where it was not run.
        error: standard error of ours; NaN where it is not known.
        decimals: with which ours is printed.
        text: published, as it was printed; made from the number if empty.
        spread: published standard deviation over runs; 0 where none was given.
    """

    published: float
    ours: float = math.nan
    error: float = math.nan
    decimals: int = 2
    text: str = ""
    spread: float = 0.0

    @property
    def run(self) -> bool:
        return not math.isnan(self.ours)

    @property
    def theirs(self) -> str:
        """The published number as it was printed."""
        if math.isnan(self.published):
            return "–"
        return self.text or f"{self.published:g}"

    @property
    def mine(self) -> str:
        """Our number with its error."""
        if not self.run:
            return "not run"
        error = "" if math.isnan(self.error) or self.error == 0 else f" ± {number(self.error, self.decimals)}"
        return number(self.ours, self.decimals) + error

    @property
    def agreement(self) -> str:
        """``agrees``: the published number lies within two standard errors (its own spread among them) and its
        rounding of ours; else where ours lies. Empty where one of them is missing, or nothing is known of the error."""
        if not self.run or math.isnan(self.published) or math.isnan(self.error):
            return ""
        gap = self.ours - self.published
        if abs(gap) <= ERRORS * math.hypot(self.error, self.spread) + 0.5 * 10**-self.digits:
            return "agrees"
        return "ours is higher" if gap > 0 else "ours is lower"

    @property
    def digits(self) -> int:
        """Decimals of the published number."""
        return len(self.theirs.partition(" ")[0].partition(".")[2])


@dataclass(frozen=True)
class Row:
    """A line of a table: its head and one pair per column."""

    head: str
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Table:
    """Published numbers beside ours.

    Attributes:
        columns: headings.
        rows: lines.
        note: below the table.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""

    @property
    def pairs(self) -> list[Pair]:
        return [pair for row in self.rows for pair in row.pairs]

    @property
    def alone(self) -> bool:
        """Nothing is published of all this: ours stand by themselves."""
        return all(math.isnan(pair.published) for pair in self.pairs)


@dataclass(frozen=True)
class Claim:
    """What the publication says, and what our numbers say of it.

    Attributes:
        text: the claim.
        verdict: whether ours show it.
        evidence: our numbers, in words.
    """

    text: str
    verdict: Verdict = "not run"
    evidence: str = ""

    @classmethod
    def judged(cls, text: str, gaps: Sequence[tuple[str, float, float]]) -> Claim:
        """A claim that some differences are above zero.

        Args:
            text: the claim.
            gaps: (what, difference, standard error) of every comparison that the claim is about.

        It holds if every difference lies above zero by more than two standard errors, does not hold if one lies below
        by as much, and is not shown otherwise.
        """
        known = [gap for gap in gaps if not math.isnan(gap[1])]
        if not known:
            return cls(text)
        above = sum(gap > ERRORS * error for _, gap, error in known)
        below = sum(gap < -ERRORS * error for _, gap, error in known)
        verdict: Verdict = "does not hold" if below else "holds" if above == len(gaps) else "not shown"
        told = "; ".join(f"{what} {signed(gap)} ± {number(error, 3)}" for what, gap, error in known)
        if len(known) > 6:
            told = (
                f"of {len(known)} comparisons {above} are beyond two standard errors as claimed, {below} the other way"
            )
        return cls(text, verdict, told)


@dataclass(frozen=True)
class Section:
    """A part of the report.

    Attributes:
        title: what it is about.
        published: the published setting.
        ours: our setting and where the numbers come from; empty if nothing was run.
        command: that computes ours; empty if there is no experiment for it yet.
        tables: numbers.
        claims: what was claimed of them.
        differs: settings in which ours differs.
        reasons: why numbers that differ may do so.
        figures: SVG pictures with captions.
    """

    title: str
    published: str
    ours: str = ""
    command: str = ""
    tables: tuple[Table, ...] = ()
    claims: tuple[Claim, ...] = ()
    differs: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    figures: tuple[tuple[str, str], ...] = field(default=())

    @property
    def run(self) -> bool:
        """Whether there is anything of ours in it."""
        told = any(claim.verdict != "not run" for claim in self.claims) or bool(self.figures)
        return told or any(pair.run for table in self.tables for pair in table.pairs)

    @property
    def tally(self) -> str:
        """How many published numbers agree with ours."""
        pairs = [pair for table in self.tables for pair in table.pairs if not math.isnan(pair.published)]
        ran = [pair for pair in pairs if pair.run]
        told = [pair.agreement for pair in ran]
        if not ran:
            return f"{len(pairs)} published numbers, not run" if pairs else ""
        words = [
            f"{told.count(key)} {text}"
            for key, text in (
                ("agrees", "agree within two standard errors of ours"),
                ("ours is higher", "where ours is higher"),
                ("ours is lower", "where ours is lower"),
                ("", "without an error to judge by"),
            )
            if told.count(key)
        ]
        missing = f", {len(pairs) - len(ran)} not run" if len(pairs) > len(ran) else ""
        return f"{len(pairs)} published numbers: {', '.join(words)}{missing}"


@dataclass(frozen=True)
class Network:
    """A trained network behind our numbers, as one line of facts."""

    name: str
    facts: tuple[tuple[str, str], ...]
    command: str
    recorded: bool


@dataclass(frozen=True)
class Report:
    """All of it.

    Attributes:
        sections: in the order of the publication.
        networks: behind our numbers.
        made: by which version, when.
    """

    sections: tuple[Section, ...]
    networks: tuple[Network, ...]
    made: str = ""


def signed(value: float, decimals: int = 3) -> str:
    """A difference with its sign."""
    return ("+" if value > 0 else "") + number(value, decimals)
