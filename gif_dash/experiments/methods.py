"""Methods: Table 2 and Fig. 4 of the GIF paper, over seeds of training and sampling, with retraining for each.

A piece is one network and one group of classes: every method at every MR, solved, swept and measured as class removal
does it. A run keeps each piece as soon as it is finished, and of an unfinished one each MR (see
`gif_dash.experiments.pieces`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from gif_dash.experiments import paired, pieces
from gif_dash.experiments.editing import may_train
from gif_dash.experiments.provenance import Stopwatch
from gif_dash.experiments.removal import Removal
from gif_dash.experiments.sweep import Sweep
from gif_dash.influence import Update
from gif_dash.progress import Progress
from gif_dash.results import Result
from gif_dash.scenarios import Kind, NoColdReference, Prepared, Reference, load
from gif_dash.scenarios.reseeded import is_trained, reseeded
from gif_dash.scenarios.training import few_threads
from gif_dash.specs import Method, MethodsSpec
from gif_dash.specs.methods import EVERYWHERE
from gif_dash.spelling import to_cli

#: MR of the methods that change all parameters.
ALL = 100.0
#: The first columns of the main table.
KEYS = ("group", "class", "seed", "mr", "method", "scalar", "mark")


def run(spec: MethodsSpec, progress: Progress) -> Result:
    """Edit the scenario's network, and networks trained anew from other seeds, by every method at every MR.

    Returns:
        tables ``points`` (the main one: the columns of class removal's, with group, class, seed, mr, and in marked rows
        hvps, seconds, products, trust figures and distances), ``summary`` and ``differences`` (see `paired`). Methods
        that change all parameters have MR 100; references and the original have none, and the seconds of retraining.

    Raises:
        gif_dash.specs.SpecError: the scenario does not have what the spec names.
        gif_dash.scenarios.ScenarioError: the scenario cannot be had, or a training fails.
        gif_dash.influence.InfluenceError: the engine cannot do what is asked.
        gif_dash.progress.Cancelled: from `progress`.
    """
    watch = Stopwatch(progress)
    with watch.stage("Loading the scenario"):
        base = load(spec.scenario, progress)
    spec.check(base.card)
    with few_threads(base.model):
        return _Run(spec, base, progress, watch).run()


@dataclass(frozen=True)
class _Place:
    """Which network and which classes a piece is about; `prefix` names it in the stages."""

    number: int
    classes: tuple[int, ...]
    group: str
    prefix: str

    @property
    def name(self) -> str:
        """The classes' positions, as in the table."""
        return "+".join(map(str, self.classes))


class _Run:
    def __init__(self, spec: MethodsSpec, base: Prepared, progress: Progress, watch: Stopwatch) -> None:
        self.spec, self.base, self.progress, self.watch = spec, base, progress, watch
        self.unhurried = may_train(spec.scenario, base, progress)
        self.done: list[Result] = []
        self.computed = 0  # of these, by this run
        self.kept = False  # the last of them
        self.missing: list[str] = []
        self.impatient = False

    def run(self) -> Result:
        for place in self._places():
            piece = self._piece(place)
            if piece is not None:
                self.done.append(piece)
        table = pd.concat([piece.table for piece in self.done], ignore_index=True)
        marked = _reported(table)
        return Result(
            {"experiment": self.spec.experiment, **self.spec.model_dump(mode="json")},
            {"points": table, "summary": paired.summary(marked), "differences": paired.differences(marked)},
            self._provenance(),
        )

    def _places(self) -> list[_Place]:
        spec, names = self.spec, self.base.scenario.classes
        many = spec.seeds > 1
        places = [
            _Place(number, spec.forget_classes, "chosen", f"Seed {number + 1} of {spec.seeds}, " if many else "")
            for number in range(spec.seeds)
        ]
        if spec.others == "yes":
            rest = [position for position in range(len(names)) if position not in spec.forget_classes]
            places += [_Place(0, (position,), "others", f"Class {names[position]}, ") for position in rest]
        return places

    def _piece(self, place: _Place) -> Result | None:
        """One piece: found, or computed and kept; None if it would take longer than this asker may wait."""
        try:
            if not self.unhurried and not is_trained(self.base, place.number):
                self._leave_out()
                return None
            prepared = reseeded(self.base, place.number, self.progress)
        except NoColdReference:
            prepared = self.base
            self._miss("this network cannot be trained anew: the seeds are those of sampling only")
        file = pieces.place(self.spec.piece(place.number, place.classes), prepared.card.fingerprint, place.number)
        if (found := pieces.read(file)) is not None:
            self._follow(found)
            return Result(found.spec, {"points": found.table.assign(group=place.group)}, found.provenance)
        if self.computed and not self.unhurried:
            self._leave_out()
            return None
        if self.kept:
            self.progress.give_way()
        told = _Told(self.progress, place, [piece.table for piece in self.done])
        with Piece(self.spec, place.number, place.classes, prepared, told) as piece:
            computed = piece.run()
        self.computed += 1
        self._follow(computed)
        if not computed.provenance["impatient"]:
            self.kept = pieces.write(file, computed)
            if self.kept:
                piece.forget_parts()
        return computed

    def _follow(self, piece: Result) -> None:
        """What a piece lacks is said of the whole."""
        self.impatient |= bool(piece.provenance["impatient"])
        for sentence in piece.provenance["missing"]:
            self._miss(sentence)

    def _leave_out(self) -> None:
        """What a click does: one piece, where others take a training of minutes."""
        self.impatient = True
        self._miss(f"more seeds or classes take long and are not here yet: run {to_cli(self.spec)}")

    def _miss(self, sentence: str) -> None:
        if sentence not in self.missing:
            self.missing.append(sentence)

    def _provenance(self) -> dict[str, Any]:
        first = self.done[0].provenance
        kept = [piece.provenance for piece in self.done]
        return {
            **first,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "fingerprint": self.base.card.fingerprint,
            "seconds": sum(float(piece["seconds"]) for piece in kept),
            "seconds_here": self.watch.total,
            "hvps": sum(int(piece["hvps"]) for piece in kept),
            "pieces": [
                {key: piece[key] for key in ("seed", "forget", "seconds", "created", "device")} for piece in kept
            ],
            "incomplete": "; ".join(self.missing),
            "impatient": self.impatient,
        }


class _Told:
    """The `Progress` of one piece: stages say which piece it is, and tables come with those of the pieces before."""

    def __init__(self, progress: Progress, place: _Place, done: list[pd.DataFrame]) -> None:
        self._progress, self.place = progress, place
        self._done = [_reported(table) for table in done]
        self.mr = math.nan
        self.finished: list[pd.DataFrame] = []  # of this piece: one per MR

    @property
    def patient(self) -> bool:
        return self._progress.patient

    def stage(self, title: str, total: int = 0) -> None:
        at = "" if math.isnan(self.mr) else f"MR {self.mr:g} %, " if self.mr < ALL else "all parameters, "
        prefix = f"{self.place.prefix}{at}".removesuffix(", ")
        self._progress.stage(f"{prefix}: {title}" if prefix else title, total)

    def advance(self, units: int = 1) -> None:
        self._progress.advance(units)

    def check(self) -> None:
        self._progress.check()

    def give_way(self) -> None:
        self._progress.give_way()

    def partial(self, table: str, make: Callable[[], pd.DataFrame]) -> None:
        """What grows is the sweep at one MR: all its points, and of whatever came before the reported rows only."""
        mr = self.mr
        self._progress.partial("points", lambda: self._all(self.labelled(make(), mr)))

    def grown(self, rows: pd.DataFrame) -> None:
        """One MR (or the references) of the piece is finished."""
        self.finished.append(rows)
        marked = _reported(self._all())
        self._progress.partial("summary", lambda: paired.summary(marked))

    def labelled(self, rows: pd.DataFrame, mr: float) -> pd.DataFrame:
        """Rows of a sweep with the columns that say where they belong."""
        known: dict[str, Any] = {"class": self.place.name, "seed": self.place.number, "mr": mr}
        frame = rows.assign(group=self.place.group, **known)
        return frame[[*KEYS, *(name for name in frame.columns if name not in KEYS)]]

    def _all(self, *growing: pd.DataFrame) -> pd.DataFrame:
        before = [rows for rows in (*self._done, *map(_reported, self.finished)) if len(rows)]
        return pd.concat([*before, *growing], ignore_index=True)


class Piece(Removal):
    """One network, one group of classes: all methods at all MRs.

    Args:
        question: the whole question.
        number: of the network, and of the seeds of samples and retraining.
        classes: which are removed.
        prepared: the scenario with that network.
        told: the progress of this piece.
    """

    def __init__(
        self, question: MethodsSpec, number: int, classes: tuple[int, ...], prepared: Prepared, told: _Told
    ) -> None:
        self.question, self.number, self.told = question, number, told
        spec = question.removal(number, classes, mr=question.mrs[0])
        super().__init__(spec, prepared, told, Stopwatch(told))
        self.retrained: dict[str, Reference] = {}
        self.missing: list[str] = []
        self.late = False  # whether patience would get what is missing
        self.shares: dict[str, float] = {}
        self.found: list[Result] = []  # parts that an interrupted run has kept
        self.files: list[Path] = []  # of all parts
        self.kept = False  # the last part that was computed

    def run(self) -> Result:
        self._measure_references()
        if any(method not in EVERYWHERE for method in self.question.methods):
            for mr in self.question.mrs:
                self._part(mr)
        if any(method in EVERYWHERE for method in self.question.methods):
            self._part(ALL, everywhere=True)
        seconds, products = (sum(part.provenance[name] for part in self.found) for name in ("seconds", "hvps"))
        known = self.provenance(None, self.retrained)
        known |= {"seconds": known["seconds"] + seconds, "hvps": known["hvps"] + products}
        table = pd.concat(self.told.finished, ignore_index=True).assign(products=known["hvps"])
        facts = {"seed": self.number, "shares": self.shares, "missing": self.missing, "impatient": self.late}
        return Result(self.spec.model_dump(mode="json"), {"points": table}, {**known, **facts})

    def _part(self, mr: float, everywhere: bool = False) -> None:
        """All at one MR, or what changes all parameters: found, or computed and kept."""
        began, products = self.watch.total, self.solving.products
        question = self.question.piece(self.number, self.spec.forget_classes).model_copy(update={"mrs": (mr,)})
        what = ("part", everywhere, *sorted(self.retrained))
        file = pieces.place(question, self.prepared.card.fingerprint, self.number, *what)
        self.files.append(file)
        self.told.mr = mr
        if (part := pieces.read(file)) is None:
            if self.kept:  # not before the first part, or the preparations would be for nothing
                self.progress.give_way()
            share, updates = self._everywhere() if everywhere else self._selected(mr)
            rows = self._rows(mr, updates)
            spent = {"seconds": self.watch.total - began, "hvps": self.solving.products - products}
            part = Result(self.spec.model_dump(mode="json"), {"points": rows}, {**spent, "share": share})
            self.kept = pieces.write(file, part)
        else:
            self.found.append(part)
        if not everywhere:
            self.shares[f"{mr:g}"] = part.provenance["share"]
        self.told.grown(part.table)

    def forget_parts(self) -> None:
        """The piece is kept as a whole."""
        for file in self.files:
            pieces.remove(file)

    @cached_property
    def right_side(self) -> Tensor:
        """g, (p,); with it the graphs of the curvature, so that no method's time has them in it."""
        gradient = self.gradient()
        with self.watch.stage("Building the graphs of the curvature"):
            self.solving.curvature.matvec(gradient, self.progress.check)
        return gradient

    @cached_property
    def full(self) -> Update:
        """H⁻¹g, which is IF and, restricted to J, PIF at every MR: one solve for all of them."""
        return self.solve(("if",), self.right_side, torch.arange(len(self.theta)))["if"]

    def _everywhere(self) -> tuple[float, dict[Method, Update]]:
        """The methods that change all parameters."""
        methods = tuple(method for method in EVERYWHERE if method in self.question.methods)
        updates: dict[Method, Update] = {"if": self.full} if "if" in methods else {}
        own = tuple(method for method in methods if method != "if")
        return 1.0, updates | (self.solve(own, self.right_side, torch.arange(len(self.theta))) if own else {})

    def _selected(self, mr: float) -> tuple[float, dict[Method, Update]]:
        """The selected share of the parameters, and the methods that change J only, in the question's order."""
        gradient, selection = self.right_side, self.select(mr=mr)
        indices = selection.indices
        methods = tuple(method for method in self.question.methods if method not in EVERYWHERE)
        updates = self.solve(tuple(method for method in methods if method != "pif"), gradient, indices)
        if "pif" in methods:
            whole = self.full
            mask = torch.zeros_like(whole.delta)
            mask[indices.to(mask.device)] = 1
            updates["pif"] = Update(whole.delta * mask, replace(whole.report, method="pif"))
        return selection.share, {method: updates[method] for method in methods}

    def _rows(self, mr: float, updates: dict[Method, Update]) -> pd.DataFrame:
        """Sweep, measure, compare: the rows of one MR."""
        sweep = self.new_sweep()
        best = self.measure(sweep, updates)
        trust = self._trust(updates, best).merge(
            self._distances(updates, best, self.retrained), on=["method", "mark"], how="left"
        )
        costs = pd.DataFrame(
            {"method": method, "hvps": update.report.products, "seconds": update.report.seconds}
            for method, update in updates.items()
        )
        rows = sweep.table().merge(costs, on="method", how="left")
        rows = rows.merge(trust.drop(columns="scalar"), on=["method", "mark"], how="left")
        return self.told.labelled(rows, mr)

    def _measure_references(self) -> None:
        """The original and its retrainings: a cold start with this number's seed, a warm one from this network."""
        sweep: Sweep = self.sweep
        with self.watch.stage("Measuring the original model"):
            sweep.measure(self.model, "original")
        wanted: tuple[tuple[str, Kind], ...] = (("retrain", "cold"), ("retrain_warm", "warm"))
        for name, kind in wanted:
            if not self.may_train(kind, self.number):
                self.late = True
                self.missing.append(
                    f"retrained models take minutes to train and are not here yet: run {to_cli(self.question)}"
                )
                continue
            try:
                reference = self.prepared.reference(self.forget, kind, self.number, self.progress)
            except NoColdReference as error:
                self.missing.append(str(error))
                continue
            with self.watch.stage("Measuring the retrained model"):
                sweep.measure(self.prepared.network(reference.state), name)
            self.retrained[name] = reference
        self.missing = list(dict.fromkeys(self.missing))
        times = {name: reference.seconds for name, reference in self.retrained.items()}
        rows = sweep.table()
        rows = rows.assign(hvps=math.nan, seconds=rows["method"].map(times).astype(float))
        self.told.grown(self.told.labelled(rows, math.nan))


def _reported(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that tables show: references, s = 1 and the best s; not the points between."""
    return table[(table["mark"] != "") | table["scalar"].isna()]
