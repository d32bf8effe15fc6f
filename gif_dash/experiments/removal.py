"""Class removal: Table 2 and Fig. 4 of the GIF paper, with retraining in the same table.

The engine's update Δ is scaled by the influence scalar s; the edited models θ̂ + sΔ are measured along a logarithmic
sweep of s, coarse first and then finer around the best score. The best s is chosen on one half of the test set and
reported on the other, unless the spec asks for the published protocol (both on the whole test set).
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from gif_dash.experiments.editing import Editing
from gif_dash.experiments.provenance import Stopwatch
from gif_dash.influence import (
    Landing,
    Risk,
    Selection,
    Tick,
    Update,
    landing,
    quadratic_model,
    stationarity,
    trust_ratio,
)
from gif_dash.progress import Progress
from gif_dash.results import Result
from gif_dash.scenarios import Prepared, Reference
from gif_dash.specs import Method, RemovalSpec

SOLVE_COLUMNS = (
    "method",
    "solver",
    "status",
    "iterations",
    "hvps",
    "seconds",
    "sigma_max",
    "relative_residual",
    "optimality",
    "norm_ratio",
    "stationarity",
    "damping",
    "damping_form",
    "message",
)


def run(spec: RemovalSpec, progress: Progress) -> Result:
    """Remove classes (or training examples) from a trained network and measure the edited models.

    Returns:
        tables ``sweep`` (the main one), ``solves``, ``trust``, ``layers`` and ``confusion``.

    Raises:
        gif_dash.specs.SpecError: the scenario does not have what the spec names.
        gif_dash.scenarios.ScenarioError: the scenario cannot be had.
        gif_dash.influence.InfluenceError: the engine cannot do what is asked, for example for lack of memory.
        gif_dash.progress.Cancelled: from `progress`.
    """
    with Removal.of(spec, progress) as removal:
        return removal.run()


def edited_model(spec: RemovalSpec, method: Method, scalar: float, progress: Progress) -> torch.nn.Module:
    """The edited network θ̂ + sΔ of a method, computed again from the spec.

    Args:
        spec: the question; its other methods do not matter.
        method: one of those of the spec.
        scalar: s.
        progress: told about the stages; may cancel.

    Returns:
        A network of one's own, in eval mode, on the scenario's device.

    Raises:
        As `run`.
    """
    return edited(spec, method, scalar, progress)[0]


def edited(
    spec: RemovalSpec, method: Method, scalar: float, progress: Progress
) -> tuple[torch.nn.Module, dict[str, Any]]:
    """`edited_model`, with the provenance of its computation."""
    with Removal.of(spec, progress) as removal:
        selection, gradient = removal.system()
        update = removal.solve((method,), gradient, selection.indices)[method]
        return removal.edited(update, scalar), removal.provenance(selection)


class Removal(Editing):
    """One run: the parts it is made of, in the order in which they happen."""

    def __init__(self, spec: RemovalSpec, prepared: Prepared, progress: Progress, watch: Stopwatch) -> None:
        super().__init__(spec, prepared, progress, watch)
        self.sweep = self.new_sweep()

    def run(self) -> Result:
        with self.watch.stage("Measuring the original model"):
            self.sweep.measure(self.model, "original")
        selection, gradient = self.system()
        updates = self.solve(self.spec.methods, gradient, selection.indices)
        best = self.measure(self.sweep, updates)
        trust = self._trust(updates, best)
        references, missing, impatient = self.references(self.sweep, self.spec.retrain_seeds)
        distances = self._distances(updates, best, references)
        return Result(
            {"experiment": self.spec.experiment, **self.spec.model_dump(mode="json")},
            {
                "sweep": self.sweep.table(),
                "solves": self._solves_table(updates, gradient),
                "trust": trust.merge(distances, on=["method", "mark"], how="left"),
                "layers": self._layers_table(updates, selection),
                "confusion": pd.concat(self.sweep.confusions, ignore_index=True),
            },
            self.provenance(selection, references, incomplete=missing, impatient=impatient),
        )

    def _trust(self, updates: dict[Method, Update], best: dict[Method, float]) -> pd.DataFrame:
        """Trust-region ratios at s = 1 and the best s, on the examples of the curvature sample."""
        rows: list[dict[str, Any]] = []
        check, risk = self.progress.check, self.hessian.risk
        with self.watch.stage("Trust figures", 2 * len(updates)):
            slope, losses = risk.gradient(check), risk.losses(tick=check)
            for method, update in updates.items():
                model = quadratic_model(self.hessian, update.delta, gradient=slope, losses=losses, tick=check)
                for mark, scalar in (("one", 1.0), ("best", best[method])):
                    found = trust_ratio(model, scalar, population=len(self.retain), tick=check)
                    rows.append({"method": method, "mark": mark, **asdict(found), "curvature": model.curvature})
                    self.progress.advance()
        return pd.DataFrame(rows)

    def _distances(
        self, updates: dict[Method, Update], best: dict[Method, float], references: dict[str, Reference]
    ) -> pd.DataFrame:
        """Where the edited models lie with respect to the retrained ones, in the space of the parameters."""
        retrained = {
            name: self.index.vector(self.prepared.network(reference.state)) for name, reference in references.items()
        }
        rows = []
        for method, update in updates.items():
            for mark, scalar in (("one", 1.0), ("best", best[method])):
                row: dict[str, Any] = {"method": method, "mark": mark}
                for name, suffix in (("retrain", ""), ("retrain_warm", "_warm")):
                    found = Landing(math.nan, math.nan, math.nan)
                    if name in retrained:
                        found = landing(self.theta, update.delta, scalar, retrained[name])
                    row |= {f"{key}{suffix}": value for key, value in asdict(found).items()}
                rows.append(row)
        return pd.DataFrame(rows)

    def _solves_table(self, updates: dict[Method, Update], gradient: Tensor) -> pd.DataFrame:
        with self.watch.stage("Checking that training converged"):
            rest = stationarity(training_gradient(self.prepared, self.progress.check), gradient)
        rows = []
        for update in updates.values():
            row = asdict(update.report)
            row["hvps"] = row.pop("products")
            row["norm_ratio"] = float(update.delta.norm() / self.theta.norm())
            rows.append({**row, "stationarity": rest})
        return pd.DataFrame(rows)[list(SOLVE_COLUMNS)]

    def _layers_table(self, updates: dict[Method, Update], selection: Selection) -> pd.DataFrame:
        return pd.DataFrame(
            {"method": method, **row}
            for method, update in updates.items()
            for row in self.index.summary(update.delta, selection, self.theta)
        )


_training_gradients: dict[str, Tensor] = {}


def training_gradient(prepared: Prepared, tick: Tick) -> Tensor:
    """∇L_D(θ̂) + μθ̂ over the whole training set, (p,); computed once per process and trained network."""
    name = f"{prepared.card.fingerprint} {prepared.device}"
    if name not in _training_gradients:
        everything = torch.arange(len(prepared.train_labels))
        risk = Risk(prepared.network(), prepared.scenario.loss, prepared.train, everything, prepared.weight_decay)
        _training_gradients.clear()
        _training_gradients[name] = risk.gradient(tick)
    return _training_gradients[name]
