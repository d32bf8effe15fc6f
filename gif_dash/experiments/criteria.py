"""Selection criteria: Table 1 of the GIF paper, every cell as class removal would answer it by itself.

All cells share one network, one pair of samples and one right-hand side; selection, solve and sweep are the cell's own.
Finished cells are kept (see `gif_dash.experiments.pieces`): a run goes on where it stopped, and a larger question
computes only what a smaller one has not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import pandas as pd
from torch import Tensor

from gif_dash.experiments import pieces
from gif_dash.experiments.editing import Editing
from gif_dash.experiments.sweep import FINE_POINTS, Sweep, TestImages, coarse_scalars
from gif_dash.influence import (
    InfluenceError,
    Update,
    landing,
    quadratic_model,
    trust_ratio,
)
from gif_dash.progress import Progress
from gif_dash.results import Result
from gif_dash.specs import CriteriaSpec, Criterion

#: Columns of the main table; what a row does not have is missing there (NaN, or empty text).
COLUMNS = (
    "method",
    "criterion",
    "mr",
    "mark",
    "scalar",
    "self_loss",
    "self_accuracy",
    "test_loss",
    "test_accuracy",
    "score",
    "self_loss_se",
    "self_accuracy_se",
    "test_loss_se",
    "test_accuracy_se",
    "score_se",
    "forget_loss",
    "forget_accuracy",
    "images",
    "k",
    "share",
    "hvps",
    "seconds",
    "selection_seconds",
    "solver",
    "status",
    "iterations",
    "relative_residual",
    "optimality",
    "norm_ratio",
    "rho",
    "rho_error",
    "verdict",
    "distance",
    "distance_original",
    "cosine",
    "distance_warm",
    "distance_original_warm",
    "cosine_warm",
    "message",
)
#: Columns of text.
WORDS = ("method", "criterion", "mark", "solver", "status", "verdict", "message")
#: What is taken from the solver's report under its own name.
REPORTED = ("solver", "status", "iterations", "seconds", "relative_residual", "optimality", "message")
#: Columns of the curves.
CURVE = ("criterion", "mr", "scalar", "self_loss", "self_accuracy", "test_loss", "test_accuracy", "score", "score_se")


def run(spec: CriteriaSpec, progress: Progress) -> Result:
    """Edit a trained network with every criterion at every modification ratio, and measure all edited networks.

    A cell that cannot be (an MR so small that nothing is selected) is a row with the mark "failed" and a sentence.

    Returns:
        tables ``cells`` (the main one: the original and the retrained networks, then two rows per cell, at s = 1 and at
        the cell's best s) and ``curves`` (every measured s of every cell).

    Raises:
        gif_dash.specs.SpecError: the scenario does not have what the spec names.
        gif_dash.scenarios.ScenarioError: the scenario cannot be had.
        gif_dash.progress.Cancelled: from `progress`.
    """
    bar = _OneBar(progress)
    with Criteria.of(spec.cell(*spec.cells[0]), bar) as criteria:
        return criteria.run(spec, bar)


class Criteria(Editing):
    """One run: references first, then cell after cell."""

    def run(self, spec: CriteriaSpec, bar: _OneBar) -> Result:
        self.rows: list[dict[str, Any]] = []
        self.curves: list[pd.DataFrame] = []
        sweep = self.measuring()
        with self.watch.stage("Measuring the original model"):
            sweep.measure(self.model, "original")
        references, missing, impatient = self.references(sweep)
        self.rows += [{**row, "criterion": "", "mr": math.nan} for row in sweep.rows]
        retrained = {name: self.index.vector(self.prepared.network(found.state)) for name, found in references.items()}
        self.progress.partial("cells", self.table)

        units = 2 * spec.iterations + len(coarse_scalars(spec.s_max)) + FINE_POINTS + 3
        bar.begin(
            f"{len(spec.cells)} cells: {len(spec.criteria)} criteria at {len(spec.mrs)} ratios", units, len(spec.cells)
        )
        last, seconds, products = spec.cells[-1], 0.0, 0
        for criterion, mr in spec.cells:
            part = spec.parse({**spec.model_dump(mode="json"), "criteria": [criterion], "mrs": [mr]})
            file = pieces.place(part, self.prepared.card.fingerprint, *sorted(retrained))
            cell = pieces.read(file)
            kept = False
            if cell is None:
                cell = self._cell(criterion, mr, retrained)
                kept = len(cell.tables["curves"]) > 0 and pieces.write(file, cell)
            else:
                seconds += cell.provenance["seconds"]
                products += cell.provenance["hvps"]
            self.rows += [{str(name): value for name, value in row.items()} for row in cell.table.to_dict("records")]
            self.curves.append(cell.tables["curves"])
            bar.next()
            self.progress.partial("cells", self.table)
            self.progress.partial("curves", self.points)
            if kept and (criterion, mr) != last:
                self.progress.give_way()
        known = self.provenance(None, references, incomplete=missing, impatient=impatient)
        before = {"seconds": known["seconds"] + seconds, "hvps": known["hvps"] + products}
        return Result(
            {"experiment": spec.experiment, **spec.model_dump(mode="json")},
            {"cells": self.table(), "curves": self.points()},
            {**known, **before},
        )

    def measuring(self) -> Sweep:
        """An empty table of one cell, which nobody watches."""
        return _Sweep(self.prepared, self.forget, self.every, self.sampled, True, _Quiet(self.progress))

    @cached_property
    def stays(self) -> tuple[Tensor, Tensor]:
        """Gradient (p,) and losses of what stays, on the sample of the curvature."""
        with self.watch.stage("Loss on what stays"):
            risk, check = self.hessian.risk, self.progress.check
            return risk.gradient(check), risk.losses(tick=check)

    @cached_property
    def right_side(self) -> Tensor:
        """g, (p,)."""
        return self.gradient()

    def _cell(self, criterion: Criterion, mr: float, retrained: Mapping[str, Tensor]) -> Result:
        """One cell: its rows and its curve, which is empty if it cannot be."""
        method = self.spec.methods[0]
        cell: dict[str, Any] = {"method": method, "criterion": criterion, "mr": mr}
        began, products = time.perf_counter(), self.solving.products
        try:
            selection = self.select(criterion, mr)
            cell |= {"k": selection.k, "share": selection.share, "selection_seconds": time.perf_counter() - began}
            update = self.solve((method,), self.right_side, selection.indices)[method]
        except InfluenceError as error:
            return self._kept([{**cell, "mark": "failed", "message": str(error)}], None, began, products)
        report = update.report
        cell |= {name: getattr(report, name) for name in REPORTED}
        cell |= {"hvps": report.products, "norm_ratio": float(update.delta.norm() / self.theta.norm())}

        sweep = self.measuring()
        self.measure(sweep, {method: update})
        measured = sweep.table().assign(criterion=criterion, mr=mr)
        marked = [row for row in sweep.rows if row["mark"]]
        rows = [
            {**row, **cell, **trust, **_distances(self.theta, update, row["scalar"], retrained)}
            for row, trust in zip(marked, self._trust(update, [row["scalar"] for row in marked]), strict=True)
        ]
        return self._kept(rows, measured.loc[measured["mark"] == "", list(CURVE)], began, products)

    def _kept(self, rows: list[dict[str, Any]], curve: pd.DataFrame | None, began: float, products: int) -> Result:
        tables = {"cells": _frame(rows), "curves": pd.DataFrame(columns=list(CURVE)) if curve is None else curve}
        spent = {"seconds": time.perf_counter() - began, "hvps": self.solving.products - products}
        return Result(self.spec.model_dump(mode="json"), tables, spent)

    def _trust(self, update: Update, scalars: Sequence[float]) -> list[dict[str, Any]]:
        """ρ(s) on the examples of the curvature sample."""
        check, population = self.progress.check, len(self.retain)
        slope, losses = self.stays
        model = quadratic_model(self.hessian, update.delta, gradient=slope, losses=losses, tick=check)
        return [asdict(trust_ratio(model, scalar, population=population, tick=check)) for scalar in scalars]

    def table(self) -> pd.DataFrame:
        """The main table, as far as it is known."""
        return _frame(self.rows)

    def points(self) -> pd.DataFrame:
        """The curves, as far as they are known."""
        found = [curve for curve in self.curves if len(curve)]
        return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=list(CURVE))


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    kinds = {name: object if name in WORDS else float for name in COLUMNS}
    return frame.astype(kinds).fillna(dict.fromkeys(WORDS, ""))


def _distances(theta: Tensor, update: Update, scalar: float, retrained: Mapping[str, Tensor]) -> dict[str, float]:
    """Where an edited network lies with respect to the retrained ones, in the space of the parameters."""
    found: dict[str, float] = {}
    for name, suffix in (("retrain", ""), ("retrain_warm", "_warm")):
        if name in retrained:
            lands = asdict(landing(theta, update.delta, scalar, retrained[name]))
            found |= {f"{key}{suffix}": value for key, value in lands.items()}
    return found


class _Sweep(Sweep):
    """A sweep whose losses have standard errors, too: those of a mean over the test images."""

    def _metrics(self, said: Any, images: TestImages, where: Tensor) -> tuple[dict[str, float], dict[str, float]]:
        metrics, errors = super()._metrics(said, images, where)
        losses, gone = said.on_test.losses, images.gone
        errors |= {"self_loss_se": mean_error(losses[where & gone]), "test_loss_se": mean_error(losses[where & ~gone])}
        return metrics, errors


def mean_error(values: Tensor) -> float:
    """Standard error of the mean of independent values (n,), from their sample variance; NaN below two."""
    return float(values.std() / math.sqrt(len(values))) if len(values) > 1 else math.nan


class _Quiet:
    """A `Progress` that passes on all but partial tables."""

    def __init__(self, progress: Progress) -> None:
        self.patient, self.stage, self.advance = progress.patient, progress.stage, progress.advance
        self.check, self.give_way = progress.check, progress.give_way

    def partial(self, table: str, make: Callable[[], pd.DataFrame]) -> None:
        pass


class _OneBar:
    """A `Progress` that, once it has begun, shows all that happens as one stage of equal parts.

    Args:
        progress: told about it.
    """

    def __init__(self, progress: Progress) -> None:
        self.progress, self.patient = progress, progress.patient
        self.partial, self.check, self.give_way = progress.partial, progress.check, progress.give_way
        self._units = self._left = 0

    def begin(self, title: str, units: int, parts: int) -> None:
        """The stage of `parts` parts begins, with about so many units of work in each."""
        self._units = self._left = units
        self.progress.stage(title, units * parts)

    def next(self) -> None:
        """A part is done."""
        self.progress.advance(self._left)
        self._left = self._units

    def stage(self, title: str, total: int = 0) -> None:
        if not self._units:
            self.progress.stage(title, total)

    def advance(self, units: int = 1) -> None:
        if self._units:
            units = min(units, self._left)
            self._left -= units
        self.progress.advance(units)
