"""Class removal: Table 2 and Fig. 4 of the GIF paper, with retraining in the same table.

The engine's update Δ is scaled by the influence scalar s; the edited models θ̂ + sΔ are measured along a logarithmic
sweep of s, coarse first and then finer around the best score. The best s is chosen on one half of the test set and
reported on the other, unless the spec asks for the published protocol (both on the whole test set).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from gif_dash.experiments.metrics import Answers, answers, removal_score, sample, stratified_half
from gif_dash.experiments.provenance import Stopwatch, provenance
from gif_dash.influence import Hessian, ParameterIndex, Risk, Update, estimate, select
from gif_dash.progress import Progress
from gif_dash.results import Result
from gif_dash.scenarios import Prepared, load
from gif_dash.specs import LABELS, RemovalSpec

COARSE_PER_DECADE = 4
FINE_POINTS = 8
ROW_ORDER = ("original", "retrain", "retrain_warm", "gif", "fif", "pif", "if", "gradient")
#: The removed training images behind a point of the sweep, at most; rows at s = 1 and the best s use all of them.
FORGET_IMAGES = 500
#: Trainings expected to take longer than this many seconds are started by a patient asker only.
LONG_TRAINING = 60.0


def coarse_scalars(s_max: float) -> list[float]:
    """0.1 … s_max on a logarithmic grid that contains 1."""
    count = round(COARSE_PER_DECADE * math.log10(s_max / 0.1))
    return [float(f"{0.1 * 10 ** (step / COARSE_PER_DECADE):.6g}") for step in range(count + 1)]


def fine_scalars(coarse: Sequence[float], best: float) -> list[float]:
    """Points between the coarse neighbours of the best scalar, evenly spaced in log s."""
    position = coarse.index(best)
    low, high = coarse[max(position - 1, 0)], coarse[min(position + 1, len(coarse) - 1)]
    ratio = math.log(high / low)
    points = [low * math.exp(ratio * step / (FINE_POINTS + 1)) for step in range(1, FINE_POINTS + 1)]
    return [float(f"{point:.6g}") for point in points]


@dataclass(frozen=True)
class TestImages:
    """Test images by their role.

    Attributes:
        indices: int64 (n,), positions in the test set.
        gone: bool (n,), images of a removed class.
        choose: bool (n,), images on which the best s is chosen.
        report: bool (n,), images on which everything is reported.
    """

    indices: Tensor
    gone: Tensor
    choose: Tensor
    report: Tensor

    @classmethod
    def all(cls, labels: Tensor, classes: Sequence[int], report: str) -> TestImages:
        half = stratified_half(labels)
        everything = torch.ones_like(half)
        gone = torch.isin(labels, torch.tensor(classes, dtype=labels.dtype))
        whole = report == "whole"
        choose, report_on = (everything, everything) if whole else (half, ~half)
        return cls(torch.arange(len(labels)), gone, choose, report_on)

    def sampled(self, size: int, seed: int) -> TestImages:
        """At most `size` images; a third of them from the removed classes as far as there are so many."""
        if len(self.indices) <= size:
            return self
        gone = sample(self.gone.nonzero().flatten(), size // 3, seed)
        kept = sample((~self.gone).nonzero().flatten(), size - len(gone), seed)
        chosen = torch.cat([gone, kept]).sort().values
        return TestImages(self.indices[chosen], self.gone[chosen], self.choose[chosen], self.report[chosen])


@dataclass
class Sweep:
    """Measures models and keeps the rows of the main table.

    With whole classes removed, `self_*` are the test images of these classes; with single training examples removed
    there is no such class, and `self_*` are the removed training images themselves.
    """

    prepared: Prepared
    forget: Tensor
    every: TestImages
    sampled: TestImages
    by_class: bool
    progress: Progress
    rows: list[dict[str, Any]] = field(default_factory=list)

    def measure(
        self, model: torch.nn.Module, method: str, scalar: float, mark: str = "", seed: int = 0
    ) -> dict[str, Any]:
        """Measure a model and add its row: rows with a mark and references on all images, others on the samples."""
        full = bool(mark) or math.isnan(scalar)
        images = self.every if full else self.sampled
        removed = self.forget if full else sample(self.forget, FORGET_IMAGES, 0)
        tick, loss = self.progress.check, self.prepared.scenario.loss
        on_test = answers(model, loss, self.prepared.test, images.indices, tick)
        on_removed = answers(model, loss, self.prepared.train, removed, tick)
        row = {
            "method": method,
            "scalar": scalar,
            "mark": mark,
            **self._metrics(on_test, on_removed, images, images.report),
            "forget_loss": on_removed.mean_loss(torch.ones_like(removed, dtype=torch.bool)),
            "forget_accuracy": on_removed.accuracy(torch.ones_like(removed, dtype=torch.bool)),
            "choice_score": self._metrics(on_test, on_removed, images, images.choose)["score"],
            "images": int(images.report.sum()),
            "seed": seed,
        }
        self.rows.append(row)
        self.progress.partial("sweep", self.table())
        return row

    def _metrics(self, on_test: Answers, on_removed: Answers, images: TestImages, where: Tensor) -> dict[str, float]:
        if self.by_class:
            gone = (on_test, where & images.gone)
        else:
            gone = (on_removed, torch.ones_like(on_removed.labels, dtype=torch.bool))
        kept = where & ~images.gone
        self_accuracy, test_accuracy = gone[0].accuracy(gone[1]), on_test.accuracy(kept)
        return {
            "self_loss": gone[0].mean_loss(gone[1]),
            "self_accuracy": self_accuracy,
            "test_loss": on_test.mean_loss(kept),
            "test_accuracy": test_accuracy,
            "score": removal_score(test_accuracy, self_accuracy),
        }

    def best(self, method: str) -> float:
        """The scalar with the highest score on the choosing images; the smallest of equals."""
        rows = [row for row in self.rows if row["method"] == method and not row["mark"]]
        scored = [row for row in rows if not math.isnan(row["choice_score"])]
        return min(scored, key=lambda row: (-row["choice_score"], row["scalar"]))["scalar"] if scored else 1.0

    def table(self) -> pd.DataFrame:
        """References first, then the methods, each with its scalars in order and its marked rows last."""
        frame = pd.DataFrame(self.rows)
        keys = pd.DataFrame(
            {
                "method": frame["method"].map(ROW_ORDER.index),
                "marked": frame["mark"] != "",
                "scalar": frame["scalar"],
            }
        )
        return frame.loc[keys.sort_values(["method", "marked", "scalar"], kind="stable").index].reset_index(drop=True)


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
    watch = Stopwatch(progress)
    with watch.stage("Loading the scenario"):
        prepared = load(spec.scenario, progress)
    spec.check(prepared.card)
    with Removal(spec, prepared, progress, watch) as removal:
        return removal.run()


class Removal:
    """One run: the parts it is made of, in the order in which they happen."""

    def __init__(self, spec: RemovalSpec, prepared: Prepared, progress: Progress, watch: Stopwatch) -> None:
        self.spec = spec
        self.prepared = prepared
        self.progress = progress
        self.watch = watch
        self.forget = prepared.forget(spec.forget_classes, spec.forget_indices)
        self.retain = prepared.retain(self.forget)
        self.model = prepared.network()
        self.index = ParameterIndex.of(self.model)
        self.theta = self.index.vector(self.model)
        by_class = not spec.forget_indices
        every = TestImages.all(prepared.test_labels, spec.forget_classes if by_class else (), spec.report)
        sampled = every.sampled(spec.sweep_samples, spec.seed)
        self.sweep = Sweep(prepared, self.forget, every, sampled, by_class, progress)
        # drawn independently of each other: the retain set and the forget group are disjoint, the seeds differ
        self.hessian = Hessian(self._risk(sample(self.retain, spec.curvature_samples, spec.seed)))
        self.forget_sample = sample(self.forget, spec.forget_samples, spec.seed + 1)

    def __enter__(self) -> Removal:
        return self

    def __exit__(self, *_: object) -> None:
        self.hessian.close()

    def run(self) -> Result:
        with self.watch.stage("Measuring the original model"):
            self.sweep.measure(self.model, "original", math.nan)
        with self.watch.stage(f"Selecting parameters by {LABELS[self.spec.criterion]}"):
            selection = select(
                self.model,
                self.prepared.scenario.loss,
                self.prepared.train,
                self.forget_sample,
                criterion=self.spec.criterion,
                mr=self.spec.mr,
                seed=self.spec.seed,
                tick=self.progress.check,
            )
        with self.watch.stage("Gradient of what is removed"):
            gradient = self._right_hand_side()
        updates = {method: self._solve(method, gradient, selection.indices) for method in self.spec.methods}
        best = self._sweep(updates)
        self._mark(updates, best)
        with self.watch.stage("Trust figures"):
            trust = self._trust(updates, best)
        references = self._references()
        return Result(
            {"experiment": self.spec.experiment, **self.spec.model_dump(mode="json")},
            {
                "sweep": self.sweep.table(),
                "solves": self._solves(updates, trust),
                "trust": self._trust_table(updates, best, trust, references),
                "layers": self._layers(updates, selection),
                "confusion": pd.DataFrame(self.confusion),
            },
            self._provenance(selection),
        )

    def _risk(self, indices: Tensor) -> Risk:
        prepared = self.prepared
        return Risk(self.model, prepared.scenario.loss, prepared.train, indices, prepared.weight_decay)

    def _right_hand_side(self) -> Tensor:
        """g of METHOD: from the sampled forget group, or from the whole retain set (a sample's noise would drown it)."""
        forget = Risk(self.model, self.prepared.scenario.loss, self.prepared.train, self.forget_sample)
        m, n, mu = len(self.forget), len(self.prepared.train_labels), self.prepared.weight_decay
        if self.spec.gradient == "forget":
            return removal_gradient(forget.gradient(self.progress.check), self.theta, mu, m, n)
        retain = Risk(self.model, self.prepared.scenario.loss, self.prepared.train, self.retain)
        return retain_gradient(retain.gradient(self.progress.check), self.theta, mu)
