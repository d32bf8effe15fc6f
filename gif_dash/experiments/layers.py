"""Which layers move: where criteria and methods put the update, and what each part of it does (§5 of the GIF paper)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from gif_dash.experiments.editing import Editing
from gif_dash.experiments.metrics import answers, removal_score
from gif_dash.experiments.sweep import Sweep
from gif_dash.influence import Landing, Selection, Update, landing, quadratic_model, trust_ratio
from gif_dash.progress import Progress
from gif_dash.results import Result
from gif_dash.scenarios import Reference
from gif_dash.specs import LABELS, Criterion, LayersSpec, Method

#: Methods that change all parameters, whatever the criterion: they are solved for once.
EVERYWHERE: tuple[Method, ...] = ("if", "koh", "if2")
REFERENCES = ("retrain", "retrain_warm")


def run(spec: LayersSpec, progress: Progress) -> Result:
    """The update of every criterion and method, layer by layer.

    Returns:
        tables ``layers`` (the main one), ``tensors`` (weights and biases apart), ``edits`` (the whole edits at s = 1
        and at the best s, the original and retrained networks), ``references`` (per layer, how far retraining moved
        it), ``trust`` and ``solves``.

    Raises:
        As `gif_dash.experiments.removal.run`.
    """
    with Editing.of(spec.cell(spec.criteria[0]), progress) as editing:
        return Layers(spec, editing).run()


class Layers:
    """One run.

    Args:
        spec: the question.
        editing: of its first criterion.
    """

    def __init__(self, spec: LayersSpec, editing: Editing) -> None:
        self.spec, self.editing = spec, editing
        self.index, self.theta = editing.index, editing.theta
        everything = torch.arange(self.index.p)
        self.place = self.index.layer_of(everything).to(self.theta.device)  # of every parameter, its layer
        self.tensor = self.index.locate(everything).tensor
        self.layers: list[dict[str, Any]] = []
        self.tensors: list[dict[str, Any]] = []
        self.trust: list[dict[str, Any]] = []
        self.solves: list[dict[str, Any]] = []
        self.edits: list[pd.DataFrame] = []
        self.retrained: dict[str, Tensor] = {}
        self.before: dict[str, float] = {}

    def run(self) -> Result:
        editing, spec = self.editing, self.spec
        start = editing.new_sweep()
        with editing.watch.stage("Measuring the original model"):
            start.measure(editing.model, "original")
        references, missing, impatient = editing.references(start)
        self.retrained = {
            name: self.index.vector(editing.prepared.network(reference.state)).to(self.theta)
            for name, reference in references.items()
        }
        self.edits.append(start.table().assign(criterion=""))
        self.before = self._effect(editing.model)
        gradient, selection = editing.gradient(), None
        everywhere = tuple(method for method in spec.methods if method in EVERYWHERE)
        for place, criterion in enumerate(spec.criteria):
            selection = editing.select(criterion)
            methods = tuple(method for method in spec.methods if place == 0 or method not in everywhere)
            updates = editing.solve(methods, gradient, selection.indices)
            sweep = editing.new_sweep()
            best = editing.measure(sweep, updates)
            self._add(criterion, selection, updates, best, sweep)
            editing.progress.partial("layers", self._layers_table)
        return Result(
            {"experiment": spec.experiment, **spec.model_dump(mode="json")},
            {
                "layers": self._layers_table(),
                "tensors": self._repeated(pd.DataFrame(self.tensors)),
                "edits": self._repeated(pd.concat(self.edits, ignore_index=True)),
                "references": self._references_table(references),
                "trust": self._repeated(pd.DataFrame(self.trust)),
                "solves": self._repeated(pd.DataFrame(self.solves)),
            },
            editing.provenance(selection, references, incomplete=missing, impatient=impatient),
        )

    # --- one criterion ----------------------------------------------------------------------------------------------

    def _add(
        self,
        criterion: Criterion,
        selection: Selection,
        updates: dict[Method, Update],
        best: dict[Method, float],
        sweep: Sweep,
    ) -> None:
        marked = sweep.table()
        self.edits.append(marked[marked["mark"] != ""].assign(criterion=criterion))
        with self.editing.watch.stage(f"What each layer does, {LABELS[criterion]}", len(updates) * len(self._names)):
            for method, update in updates.items():
                who = {"criterion": criterion, "method": method}
                chosen = self._all if method in EVERYWHERE else selection
                rows = self._rows(update.delta, chosen, best[method])
                effects = [self._alone(update, number, best[method]) for number in range(len(rows))]
                self.layers += [{**who, **row, **effect} for row, effect in zip(rows, effects, strict=True)]
                self.tensors += [{**who, **row} for row in self._tensor_rows(update.delta, chosen)]
                report = asdict(update.report)
                self.solves.append({**who, **report, "hvps": report.pop("products"), "method": method})
        self._add_trust(criterion, updates, best)

    def _rows(self, delta: Tensor, selection: Selection, scalar: float) -> list[dict[str, Any]]:
        """Norms and shares of every layer; `scalar`: the best s."""
        rows = self.index.summary(delta, selection, self.theta)
        whole = sum(row["norm"] ** 2 for row in rows)
        for number, row in enumerate(rows):
            row["ratio"] = row["norm"] / row["theta_norm"] if row["theta_norm"] > 0 else math.nan
            row["part"] = 100 * row["norm"] ** 2 / whole if whole > 0 else math.nan
            row |= {"scalar": scalar, "norm_best": scalar * row["norm"], "ratio_best": scalar * row["ratio"]}
            there = self.place == number
            for name in REFERENCES:
                cosine = math.nan
                if name in self.retrained:
                    cosine = landing(self.theta[there], delta[there], 1.0, self.retrained[name][there]).cosine
                row[f"cosine_{name}"] = cosine
        return rows

    def _tensor_rows(self, delta: Tensor, selection: Selection) -> list[dict[str, Any]]:
        """The same for weights and biases apart."""
        selected = torch.bincount(self.tensor[selection.indices], minlength=len(self.index.tensors)).tolist()
        whole = float(delta.double().square().sum())
        rows = []
        for tensor, part, own, count in zip(
            self.index.tensors, self.index.split(delta), self.index.split(self.theta), selected, strict=True
        ):
            layer = self.index.layers[tensor.layer]
            norm, theta_norm = float(part.double().norm()), float(own.double().norm())
            rows.append(
                {
                    "layer": layer.name,
                    "kind": layer.kind,
                    "role": tensor.role,
                    "shape": "×".join(map(str, tensor.shape)),
                    "parameters": tensor.size,
                    "selected": count,
                    "share": 100 * count / tensor.size,
                    "norm": norm,
                    "theta_norm": theta_norm,
                    "ratio": norm / theta_norm if theta_norm > 0 else math.nan,
                    "part": 100 * norm**2 / whole if whole > 0 else math.nan,
                }
            )
        return rows

    def restricted(self, delta: Tensor, layers: Sequence[int]) -> Tensor:
        """Δ in some layers (by position), zero in the others: (p,)."""
        keep = torch.isin(self.place, torch.tensor(list(layers), device=self.place.device))
        return torch.where(keep, delta, torch.zeros_like(delta))

    def _alone(self, update: Update, layer: int, scalar: float) -> dict[str, float]:
        """What the part of Δ in one layer does alone, at the best s of the whole."""
        part = self.restricted(update.delta, [layer])
        self.editing.progress.advance()
        if not bool(part.any()):
            return {f"{name}_alone": value for name, value in self.before.items()}
        self.index.assign(self.editing.canvas, self.theta + scalar * part)
        return {f"{name}_alone": value for name, value in self._effect(self.editing.canvas).items()}

    def _effect(self, model: nn.Module) -> dict[str, float]:
        """Accuracies and score on the reporting test images."""
        editing = self.editing
        every, prepared = editing.every, editing.prepared
        said = answers(
            model, prepared.scenario.loss, prepared.test, every.indices[every.report], editing.progress.check
        )
        gone = every.gone[every.report]
        kept, known = said.accuracy(~gone), said.accuracy(gone)
        return {"test_accuracy": kept, "self_accuracy": known, "score": removal_score(kept, known)}

    def _add_trust(self, criterion: Criterion, updates: dict[Method, Update], best: dict[Method, float]) -> None:
        """Trust-region ratios and distances to the retrained networks, of the whole edits."""
        editing = self.editing
        check, risk = editing.progress.check, editing.hessian.risk
        with editing.watch.stage(f"Trust figures, {LABELS[criterion]}", 2 * len(updates)):
            slope, losses = risk.gradient(check), risk.losses(tick=check)
            for method, update in updates.items():
                picture = quadratic_model(editing.hessian, update.delta, gradient=slope, losses=losses, tick=check)
                for mark, scalar in (("one", 1.0), ("best", best[method])):
                    found = trust_ratio(picture, scalar, population=len(editing.retain), tick=check)
                    row: dict[str, Any] = {"criterion": criterion, "method": method, "mark": mark, **asdict(found)}
                    for name, suffix in (("retrain", ""), ("retrain_warm", "_warm")):
                        near = Landing(math.nan, math.nan, math.nan)
                        if name in self.retrained:
                            near = landing(self.theta, update.delta, scalar, self.retrained[name])
                        row |= {f"{key}{suffix}": value for key, value in asdict(near).items()}
                    self.trust.append(row)
                    editing.progress.advance()

    # --- tables -----------------------------------------------------------------------------------------------------

    @property
    def _names(self) -> list[str]:
        return [layer.name for layer in self.index.layers]

    @property
    def _all(self) -> Selection:
        return Selection(torch.arange(self.index.p), self.index.p, "all", 100.0)

    def _repeated(self, frame: pd.DataFrame) -> pd.DataFrame:
        """In the order of the question; what does not depend on the criterion is repeated for all that are done."""
        shared = frame[frame["method"].isin(EVERYWHERE)]
        done = [criterion for criterion in self.spec.criteria if criterion in set(frame["criterion"])]
        whole = pd.concat([frame, *(shared.assign(criterion=criterion) for criterion in done[1:])], ignore_index=True)
        places = {name: place for place, name in enumerate(("", *self.spec.criteria))}
        methods = {name: place for place, name in enumerate(("original", *REFERENCES, *self.spec.methods))}
        order = pd.DataFrame({"a": whole["criterion"].map(places), "b": whole["method"].map(methods)})
        return whole.loc[order.sort_values(["a", "b"], kind="stable").index].reset_index(drop=True)

    def _layers_table(self) -> pd.DataFrame:
        return self._repeated(pd.DataFrame(self.layers))

    def _references_table(self, references: dict[str, Reference]) -> pd.DataFrame:
        """How far every layer of the retrained networks lies from the original."""
        columns = ["reference", "layer", "kind", "parameters", "norm", "theta_norm", "ratio", "part", "note"]
        rows = []
        for name, vector in self.retrained.items():
            found = self._rows(vector - self.theta, self._all, 1.0)
            rows += [{"reference": name, **row, "note": references[name].note} for row in found]
        return pd.DataFrame(rows, columns=columns)
