"""Some training images removed: a prediction for one test image, the edited network, and networks trained again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from gif_dash.experiments.attribution import Query, query
from gif_dash.experiments.editing import Editing
from gif_dash.experiments.metrics import answers
from gif_dash.experiments.solving import Solving
from gif_dash.influence import Update
from gif_dash.progress import Progress
from gif_dash.results import Result
from gif_dash.scenarios import Kind, NoColdReference
from gif_dash.specs import ImageRemovalSpec, Method, RemovalSpec
from gif_dash.spelling import to_cli


def run(spec: ImageRemovalSpec, progress: Progress) -> Result:
    """Remove training images by every method at s = 1, and by training again if that is asked for.

    A network trained again differs from the original by its seed as well; so each is compared with one trained in the
    same way, from the same seed, on all images.

    Returns:
        tables ``outcomes`` (the main one: every network's loss on the test image, its change, what the method predicted
        of it, and what else changed) and ``solves``.

    Raises:
        As `gif_dash.experiments.removal.run`.
    """
    with Editing.of(spec.removal(), progress) as editing:
        spec.check(editing.prepared.card)
        return ImageRemoval(spec, editing).run()


class ImageRemoval:
    """One run."""

    def __init__(self, spec: ImageRemovalSpec, editing: Editing) -> None:
        self.spec, self.editing = spec, editing
        self.rows: list[dict[str, Any]] = []
        self.query: Query | None = None
        self.hvps = 0  # with a curvature of GIF's own

    def run(self) -> Result:
        spec, editing = self.spec, self.editing
        prepared, check = editing.prepared, editing.progress.check
        said = None
        if spec.test_index < 0:
            with editing.watch.stage("Asking the network about all test images"):
                everything = torch.arange(len(prepared.test_labels))
                said = answers(editing.model, prepared.scenario.loss, prepared.test, everything, check)
        asked = self.query = query(prepared, editing.model, spec.test_index, spec.target, said)
        with editing.watch.stage("Measuring the original model"):
            self._add(editing.model, "original")
        selection, gradient = editing.system()
        updates = editing.solve(editing.spec.methods, gradient, selection.indices)
        if (by_gif := spec.removal_by_gif()) is not None:
            updates = self._by_gif(by_gif, gradient, selection.indices) | updates
        slope = asked.risk.gradient(check)
        with editing.watch.stage("Measuring the edited networks", len(updates)):
            for method, update in updates.items():
                predicted = float(slope.double() @ update.delta.double())
                self._add(editing.edited(update, 1.0), method, predicted=predicted)
                editing.progress.advance()
        missing, impatient = self._retrained() if spec.retrain == "yes" else ("", False)
        known = editing.provenance(
            selection,
            incomplete=missing,
            impatient=impatient,
            test_index=asked.index,
            label=asked.label,
            target=asked.target,
        )
        return Result(
            {"experiment": spec.experiment, **spec.model_dump(mode="json")},
            {"outcomes": self._table(), "solves": _solves(updates)},
            {**known, "hvps": known["hvps"] + self.hvps},
        )

    def _by_gif(self, question: RemovalSpec, gradient: Tensor, indices: Tensor) -> dict[Method, Update]:
        """GIF's update with a solver of its own, on the same samples."""
        editing = self.editing
        editing.hessian.close()  # one curvature's graphs at a time
        own = Solving(
            question,
            editing.prepared,
            editing.model,
            editing.forget,
            editing.retain,
            editing.progress,
            editing.watch,
        )
        try:
            return own.updates(("gif",), gradient, indices)
        finally:
            own.close()
            self.hvps += own.products

    def _retrained(self) -> tuple[str, bool]:
        """Networks trained with and without the images; a sentence about the missing, whether patience gets them."""
        editing, spec = self.editing, self.spec
        prepared, nothing = editing.prepared, torch.zeros(0, dtype=torch.int64)
        wanted: list[tuple[Kind, int]] = [("warm", 0), *(("cold", seed) for seed in range(spec.retrain_seeds))]
        missing: list[str] = []
        for kind, seed in wanted:
            suffix = "" if kind == "cold" else "_warm"
            pairs: list[tuple[str, Tensor]] = [
                (f"retrain{suffix}_all", nothing),
                (f"retrain{suffix}", editing.forget),
            ]
            if not all(
                editing.may_train(kind, seed) or prepared.has_reference(without, kind, seed) for _, without in pairs
            ):
                return f"the networks trained again take minutes and are not here yet: run {to_cli(spec)}", True
            base = math.nan
            try:
                for method, without in pairs:
                    reference = prepared.reference(without, kind, seed, editing.progress)
                    with editing.watch.stage("Measuring the networks trained again"):
                        row = self._add(prepared.network(reference.state), method, seed=seed, base=base)
                    row["note"] = reference.note
                    base = row["query_loss"]
            except NoColdReference as error:
                missing.append(str(error))
        return "; ".join(dict.fromkeys(missing)), False

    def _add(
        self, model: nn.Module, method: str, *, seed: int = 0, predicted: float = math.nan, base: float | None = None
    ) -> dict[str, Any]:
        """Measure a network. `base`: the loss to compare with, NaN: none; by default the original network's."""
        editing, asked = self.editing, self.query
        assert asked is not None
        prepared, check = editing.prepared, editing.progress.check
        loss = prepared.scenario.loss
        inputs, labels = asked.risk.examples.batch(asked.risk.indices)
        with torch.no_grad():
            outputs = model(inputs)
            of_query = float(loss(outputs, labels, reduction="none")[0])
        finite = bool(torch.isfinite(outputs).all())
        tests = answers(model, loss, prepared.test, torch.arange(len(prepared.test_labels)), check)
        gone = answers(model, loss, prepared.train, editing.forget, check)
        everywhere, removed = (torch.ones(len(part.labels), dtype=torch.bool) for part in (tests, gone))
        if base is None:
            base = self.rows[0]["query_loss"] if self.rows else math.nan
        row = {
            "method": method,
            "seed": seed,
            "query_loss": of_query,
            "change": of_query - base,
            "predicted_change": predicted,
            "probability": float(outputs[0].cpu().double().softmax(0)[asked.target]),
            "says": int(outputs[0].argmax()) if finite else -1,
            "test_accuracy": tests.accuracy(everywhere),
            "test_loss": tests.mean_loss(everywhere),
            "removed_accuracy": gone.accuracy(removed),
            "removed_loss": gone.mean_loss(removed),
            "note": "",
        }
        self.rows.append(row)
        self.editing.progress.partial("outcomes", self._table)
        return row

    def _table(self) -> pd.DataFrame:
        return pd.DataFrame(self.rows)


def _solves(updates: dict[Any, Update]) -> pd.DataFrame:
    rows: Sequence[dict[str, Any]] = [asdict(update.report) for update in updates.values()]
    return pd.DataFrame([{**row, "hvps": row["products"]} for row in rows])
