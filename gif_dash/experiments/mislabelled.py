"""Mislabelled data: wrong labels put in, found again by self-influence, corrected, and the network trained again."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from gif_dash.experiments.editing import may_train
from gif_dash.experiments.metrics import accuracy_error, answers, sample
from gif_dash.experiments.provenance import Stopwatch, provenance
from gif_dash.experiments.thumbnails import Thumbnails
from gif_dash.influence import GaussNewton, Hessian, ParameterIndex, Risk
from gif_dash.influence.attribution_self import EXACT, self_influence
from gif_dash.influence.attribution_spectral import Decomposition
from gif_dash.progress import Progress
from gif_dash.results import Result
from gif_dash.scenarios import NoColdReference, Prepared, ScenarioError, load
from gif_dash.scenarios.relabelled import flipped, is_trained, relabelled, trained
from gif_dash.scenarios.training import few_threads
from gif_dash.specs import MislabelledSpec
from gif_dash.spelling import to_cli

#: Rankings, in the order in which they stand everywhere.
RANKINGS = ("self-influence", "training-loss", "random-order")
#: Points of a detection curve.
POINTS = 101


def run(spec: MislabelledSpec, progress: Progress) -> Result:
    """Flip labels, train on them, rank all training images, correct what an inspection finds, train again.

    Returns:
        tables ``detection`` (the main one: share of the wrong labels found against share inspected, by ranking),
        ``areas`` (the area under the ROC curve of each ranking, with its standard error), ``repairs`` (test accuracy
        before, after each inspection, and with all labels right), ``scores`` (every training image), ``shown`` (the
        first of each ranking) and ``pictures``.

    Raises:
        gif_dash.specs.SpecError: the scenario does not have what the spec names.
        gif_dash.scenarios.ScenarioError: the scenario cannot be had, or cannot be trained from scratch.
        gif_dash.influence.InfluenceError: the self-influence cannot be computed.
        gif_dash.progress.Cancelled: from `progress`.
    """
    watch = Stopwatch(progress)
    with watch.stage("Loading the scenario"):
        prepared = load(spec.scenario, progress)
    spec.check(prepared.card)
    with few_threads(prepared.model):
        return Mislabelled(spec, prepared, progress, watch).run()


class Mislabelled:
    """One run."""

    def __init__(self, spec: MislabelledSpec, prepared: Prepared, progress: Progress, watch: Stopwatch) -> None:
        self.spec, self.prepared, self.progress, self.watch = spec, prepared, progress, watch
        self.right = prepared.train_labels
        self.wrong, self.where = flipped(self.right, len(prepared.scenario.classes), spec.share, spec.seed)
        self.is_wrong = torch.zeros(len(self.right), dtype=torch.bool)
        self.is_wrong[self.where] = True
        self.rows: list[dict[str, Any]] = []
        self.notes: dict[str, str] = {}
        self.facts: dict[str, Any] = {}

    def run(self) -> Result:
        spec, prepared = self.spec, self.prepared
        derived = relabelled(prepared, self.wrong)
        if not is_trained(derived, 0) and not may_train(spec.scenario, prepared, self.progress):
            raise ScenarioError(
                "the network with wrong labels takes minutes to train and is not here yet: run " + to_cli(spec)
            )
        try:
            mislabelled, reference = trained(derived, 0, self.progress)
        except NoColdReference as error:
            raise ScenarioError(str(error)) from error
        with self.watch.stage("Asking the network about all training images"):
            said = answers(
                mislabelled.network(),
                prepared.scenario.loss,
                mislabelled.train,
                torch.arange(len(self.right)),
                self.progress.check,
            )
        scores = {"self-influence": self._self_influence(mislabelled), "training-loss": said.losses}
        generator = torch.Generator().manual_seed(spec.seed + 1)
        scores["random-order"] = torch.rand(len(self.right), generator=generator, dtype=torch.float64)
        self._accuracy(mislabelled, "wrong", "", math.nan, len(self.where))
        self._accuracy(prepared, "right", "", math.nan, 0)
        detection = self._detection(scores)
        self.progress.partial("detection", lambda: detection)
        incomplete, impatient = self._repairs(scores)
        shown = self._shown(scores, said.predicted, said.losses)
        return Result(
            {"experiment": spec.experiment, **spec.model_dump(mode="json")},
            {
                "detection": detection,
                "areas": self._areas(scores),
                "repairs": pd.DataFrame(self.rows),
                "scores": self._scores(scores, said.predicted),
                "shown": shown,
                "pictures": self._pictures(shown),
            },
            provenance(
                prepared.device,
                self.watch,
                seed=spec.seed,
                scenario=prepared.card.title,
                fingerprint=prepared.card.fingerprint,
                data_note=prepared.card.data_note,
                classes=list(prepared.card.classes),
                n=len(self.right),
                m=len(self.where),
                test_images=len(prepared.test_labels),
                training=prepared.recipe.describe() if prepared.recipe else "by the user",
                note=reference.note,
                incomplete=incomplete,
                impatient=impatient,
                **self.facts,
            ),
        )

    def _self_influence(self, mislabelled: Prepared) -> Tensor:
        spec, model = self.spec, mislabelled.network()
        index, loss = ParameterIndex.of(model), mislabelled.scenario.loss
        every = torch.arange(len(self.right))
        curved = sample(every, spec.curvature_samples, spec.seed)
        risk = Risk(model, loss, mislabelled.train, curved, mislabelled.weight_decay)
        curvature: Any = GaussNewton(risk) if spec.curvature == "gauss-newton" else Hessian(risk)
        like, check = index.vector(model), self.progress.check
        try:
            with self.watch.stage("Inverting the curvature"):
                if spec.part == "subspace":
                    rank = min(spec.rank, index.p)
                    inverse = Decomposition.of_largest(curvature, rank, like=like, seed=spec.seed, tick=check)
                else:
                    indices = None
                    if spec.part == "last":
                        place = index.layer_of(torch.arange(index.p))
                        indices = (place == len(index.layers) - 1).nonzero().flatten()
                    count = index.p if indices is None else len(indices)
                    if count > EXACT:
                        raise ScenarioError(
                            f"the last layer has {count:,} parameters, and the exact inverse goes up to {EXACT:,}: "
                            "take a subspace"
                        )
                    inverse = Decomposition.of_all(curvature, indices, like, tick=check)
        finally:
            if isinstance(curvature, Hessian):
                curvature.close()
        with self.watch.stage(f"Self-influence of {len(every):,} training images"):
            whole = Risk(model, loss, mislabelled.train, every)
            found = self_influence(whole, inverse, damping=spec.damping, tick=check)
        self.facts = {
            "k": len(inverse.vectors),
            "p": index.p,
            "rank": len(inverse.values),
            "exact": inverse.exact,
            "hvps": inverse.products,
            "negative_eigenvalues": int((inverse.values < 0).sum()),
            "layer": index.layers[-1].name,
        }
        return found

    # --- finding and repairing --------------------------------------------------------------------------------------

    def _repairs(self, scores: dict[str, Tensor]) -> tuple[str, bool]:
        """Networks trained again after each inspection; a sentence about the missing, whether patience gets them."""
        for share in self.spec.inspected:
            for ranking in RANKINGS:
                count = inspected(share, len(self.right))
                order = torch.argsort(scores[ranking], descending=True, stable=True)[:count]
                labels = self.wrong.clone()
                labels[order] = self.right[order]
                derived = relabelled(self.prepared, labels)
                if not is_trained(derived, 0) and not may_train(self.spec.scenario, self.prepared, self.progress):
                    return f"training again takes minutes and is not here yet: run {to_cli(self.spec)}", True
                repaired, _ = trained(derived, 0, self.progress)
                self._accuracy(repaired, "repaired", ranking, share, int((labels != self.right).sum()))
        return "", False

    def _accuracy(self, prepared: Prepared, labels: str, ranking: str, share: float, left: int) -> None:
        """Measure a network on the test images."""
        with self.watch.stage("Measuring on the test images"):
            every = torch.arange(len(prepared.test_labels))
            said = answers(prepared.network(), prepared.scenario.loss, prepared.test, every, self.progress.check)
        whole = torch.ones(len(every), dtype=torch.bool)
        accuracy = said.accuracy(whole)
        self.rows.append(
            {
                "labels": labels,
                "ranking": ranking,
                "inspected": share,
                "wrong_left": left,
                "test_accuracy": accuracy,
                "test_accuracy_se": accuracy_error(accuracy, len(every)),
                "test_loss": said.mean_loss(whole),
            }
        )
        self.progress.partial("repairs", lambda: pd.DataFrame(self.rows))

    def _detection(self, scores: dict[str, Tensor]) -> pd.DataFrame:
        frames = []
        for ranking in RANKINGS:
            curve = found_share(scores[ranking].numpy(), self.is_wrong.numpy(), POINTS)
            frames.append(
                pd.DataFrame({"ranking": ranking, "inspected": np.linspace(0, 100, POINTS), "found": 100 * curve})
            )
        return pd.concat(frames, ignore_index=True)

    def _areas(self, scores: dict[str, Tensor]) -> pd.DataFrame:
        rows = []
        for ranking in RANKINGS:
            area, error = area_under_roc(scores[ranking].numpy(), self.is_wrong.numpy())
            rows.append({"ranking": ranking, "auc": area, "auc_se": error})
        return pd.DataFrame(rows)

    # --- tables -----------------------------------------------------------------------------------------------------

    def _scores(self, scores: dict[str, Tensor], predicted: Tensor) -> pd.DataFrame:
        columns: dict[str, Any] = {
            "train_index": np.arange(len(self.right)),
            "label": self.wrong.numpy(),
            "right_label": self.right.numpy(),
            "predicted": predicted.numpy(),
            "wrong": self.is_wrong.numpy(),
        }
        return pd.DataFrame(
            columns | {name: [float(f"{value:.6g}") for value in found.tolist()] for name, found in scores.items()}
        )

    def _shown(self, scores: dict[str, Tensor], predicted: Tensor, losses: Tensor) -> pd.DataFrame:
        rows = []
        for ranking in RANKINGS[:2]:
            order = torch.argsort(scores[ranking], descending=True, stable=True)[: self.spec.shown]
            for place, index in enumerate(order.tolist()):
                rows.append(
                    {
                        "ranking": ranking,
                        "place": place + 1,
                        "train_index": index,
                        "label": int(self.wrong[index]),
                        "right_label": int(self.right[index]),
                        "predicted": int(predicted[index]),
                        "wrong": bool(self.is_wrong[index]),
                        "loss": float(losses[index]),
                        "score": float(scores[ranking][index]),
                    }
                )
        return pd.DataFrame(rows)

    def _pictures(self, shown: pd.DataFrame) -> pd.DataFrame:
        with self.watch.stage("Making thumbnails"):
            indices = sorted({int(index) for index in shown["train_index"]})
            return pd.DataFrame({"index": indices, "url": Thumbnails.of(self.prepared.train).urls(indices)})


def inspected(share: float, n: int) -> int:
    """How many images a share of them is, at least one."""
    return max(1, round(share / 100 * n))


def found_share(scores: NDArray[np.float64], wrong: NDArray[np.bool_], points: int) -> NDArray[np.float64]:
    """Share of the wrong ones among the first, for evenly spaced shares of all from 0 to 1: (points,).

    Ties are broken by position. NaN counts as the lowest score.
    """
    order = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")
    found = np.concatenate([[0.0], np.cumsum(wrong[order]) / max(1, int(wrong.sum()))])
    places = np.round(np.linspace(0, len(scores), points)).astype(int)
    return np.asarray(found[places], dtype=np.float64)


def area_under_roc(scores: NDArray[np.float64], wrong: NDArray[np.bool_]) -> tuple[float, float]:
    """The chance that a wrong one has a higher score than a right one (half for a tie), and its standard error.

    Mann and Whitney's statistic; the error after Hanley and McNeil 1982, eq. 1 and 2.
    """
    scores = np.nan_to_num(scores, nan=-np.inf)
    m, n = int(wrong.sum()), int((~wrong).sum())
    if not m or not n:
        return math.nan, math.nan
    area = float((rankdata(scores)[wrong].sum() - m * (m + 1) / 2) / (m * n))
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (m - 1) * (q1 - area**2) + (n - 1) * (q2 - area**2)) / (m * n)
    return area, math.sqrt(max(0.0, variance))
