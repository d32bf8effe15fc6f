"""Which training images did it? Those that most help and most hurt one prediction, by influence and by other rankings.

One solve for each influence ranking, then one pass in forward mode over the whole training set for all of them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch import Tensor

from gif_dash.experiments.metrics import Answers, answers, sample
from gif_dash.experiments.provenance import Stopwatch, provenance
from gif_dash.experiments.solving import LISSA_BATCH
from gif_dash.experiments.thumbnails import Thumbnails
from gif_dash.influence import (
    GaussNewton,
    Hessian,
    InfluenceError,
    ParameterIndex,
    Resampled,
    Risk,
    Settings,
    SolveReport,
    TensorExamples,
    select,
)
from gif_dash.influence.attribution import directional_derivatives, solve
from gif_dash.influence.attribution_rankings import (
    gradient_cosine,
    input_similarity,
    representer_points,
    training_loss,
)
from gif_dash.progress import Progress
from gif_dash.results import Result
from gif_dash.scenarios import Prepared, load
from gif_dash.scenarios.training import few_threads
from gif_dash.specs import INFLUENCES, LABELS, AttributionSpec, Ranking

#: Test images on offer, those with the highest loss.
GALLERY = 40
#: Rankings whose sign says for or against; the others say how close or how hard, and labels make the two sides.
SIGNED: tuple[Ranking, ...] = (*INFLUENCES, "gradient-cosine", "representer")
#: Tables that the page draws.
PICTURED = ("scores", "shown", "query", "gallery", "pictures")
#: Digits of the scores in the result.
DIGITS = 6


def run(spec: AttributionSpec, progress: Progress) -> Result:
    """Score all training images for one test image.

    Returns:
        tables ``scores`` (the main one: every training image with its score in every ranking), ``shown`` (the first
        images of each side), ``query`` (the test image), ``gallery`` (test images of the highest loss), ``pictures``
        (data URLs), ``agreement`` (of the rankings with each other) and ``solves``.

    Raises:
        gif_dash.specs.SpecError: the scenario does not have what the spec names.
        gif_dash.scenarios.ScenarioError: the scenario cannot be had.
        gif_dash.influence.InfluenceError: no ranking can be computed, for example for lack of memory.
        gif_dash.progress.Cancelled: from `progress`.
    """
    watch = Stopwatch(progress)
    with watch.stage("Loading the scenario"):
        prepared = load(spec.scenario, progress)
    spec.check(prepared.card)
    with few_threads(prepared.model), Attribution.of(spec, prepared, progress, watch) as attribution:
        return attribution.run()


@dataclass(frozen=True)
class Query:
    """The test image whose loss is asked about.

    Attributes:
        index: its position in the test set.
        label: its right class.
        predicted: what the network says; −1 where that is not finite.
        target: the class whose loss is meant.
        loss: of that class.
        probability: of that class, after a softmax of the outputs.
        risk: its loss as a risk of one example.
    """

    index: int
    label: int
    predicted: int
    target: int
    loss: float
    probability: float
    risk: Risk


def query(prepared: Prepared, model: torch.nn.Module, index: int, target: str, said: Answers | None = None) -> Query:
    """The test image at a position, or the one with the highest loss.

    Args:
        model: in eval mode, on the scenario's device.
        index: −1: the highest loss.
        target: ``label`` or ``predicted``.
        said: the network's answers to all test images, needed for −1.
    """
    if index < 0:
        assert said is not None
        index = int(torch.nan_to_num(said.losses, nan=math.inf).argmax())
    inputs, labels = prepared.test.batch(torch.tensor([index]))
    with torch.no_grad():
        outputs = model(inputs)
    predicted = int(outputs[0].argmax()) if bool(torch.isfinite(outputs).all()) else -1
    label = int(labels[0])
    asked = predicted if target == "predicted" and predicted >= 0 else label
    risk = Risk(
        model, prepared.scenario.loss, TensorExamples(inputs, torch.full_like(labels, asked)), torch.tensor([0])
    )
    probability = float(outputs[0].cpu().double().softmax(0)[asked])
    return Query(index, label, predicted, asked, float(risk.losses()[0]), probability, risk)


class Attribution:
    """One run."""

    def __init__(self, spec: AttributionSpec, prepared: Prepared, progress: Progress, watch: Stopwatch) -> None:
        self.spec, self.prepared, self.progress, self.watch = spec, prepared, progress, watch
        self.model = prepared.network()
        self.index = ParameterIndex.of(self.model)
        self.theta = self.index.vector(self.model)
        self.every = torch.arange(len(prepared.train_labels))
        self.risk = self._risk(self.every)
        curved = self._risk(sample(self.every, spec.curvature_samples, spec.seed))
        self.hessian: Hessian | GaussNewton = (
            GaussNewton(curved) if spec.curvature == "gauss-newton" else Hessian(curved)
        )
        self.solves: list[dict[str, Any]] = []
        self.scores: dict[Ranking, Tensor] = {}
        self.remarks: dict[str, str] = {}
        self.remainder = math.nan  # of the representer points
        self.k = 0

    @classmethod
    @contextmanager
    def of(
        cls, spec: AttributionSpec, prepared: Prepared, progress: Progress, watch: Stopwatch
    ) -> Iterator[Attribution]:
        """Frees the graphs at the end."""
        begun = cls(spec, prepared, progress, watch)
        try:
            yield begun
        finally:
            if isinstance(begun.hessian, Hessian):
                begun.hessian.close()

    def run(self) -> Result:
        prepared, spec, check = self.prepared, self.spec, self.progress.check
        loss = prepared.scenario.loss
        with self.watch.stage("Asking the network about all test images"):
            tests = answers(self.model, loss, prepared.test, torch.arange(len(prepared.test_labels)), check)
        asked = query(prepared, self.model, spec.test_index, spec.target, tests)
        with self.watch.stage("Asking the network about all training images"):
            trained = answers(self.model, loss, prepared.train, self.every, check)
        self._influence(asked)
        self._say(asked, tests, trained)
        for ranking in spec.rankings:
            if ranking not in INFLUENCES:
                self._alternative(ranking, asked)
                self._say(asked, tests, trained)
        if not self.scores:
            raise InfluenceError("; ".join(self.remarks.values()))
        with self.watch.stage("Making thumbnails"):
            tables = self._pictured(asked, tests, trained)
        return Result(
            {"experiment": spec.experiment, **spec.model_dump(mode="json")},
            {
                **tables,
                "agreement": self._agreement(asked),
                "solves": pd.DataFrame(self.solves, columns=[*SOLVE_COLUMNS]),
            },
            self._provenance(tests),
        )

    # --- scores -----------------------------------------------------------------------------------------------------

    def _influence(self, asked: Query) -> None:
        """One solve each, one pass for all."""
        wanted = [ranking for ranking in INFLUENCES if ranking in self.spec.rankings]
        if not wanted:
            return
        with self.watch.stage("Gradient of the test image"):
            gradient = asked.risk.gradient(self.progress.check)
        directions: dict[Ranking, Tensor] = {}
        for ranking in wanted:
            try:
                directions[ranking] = self._direction(ranking, asked, gradient)
            except InfluenceError as error:
                self.remarks[ranking] = f"{LABELS[ranking]}: {error}"
        if not directions:
            return
        count = len(self.every)
        with self.watch.stage(f"Scoring {count:,} training images", math.ceil(count / self.risk.micro_batch)):
            started = time.perf_counter()
            slopes = directional_derivatives(self.risk, torch.stack(list(directions.values())), self._tick())
            seconds = time.perf_counter() - started
        for row in self.solves:
            row["pass_seconds"] = seconds
        for ranking, along in zip(directions, slopes, strict=True):
            self.scores[ranking] = along / count  # −I/N: what removing the image adds to the loss

    def _direction(self, ranking: Ranking, asked: Query, gradient: Tensor) -> Tensor:
        """v with ∇ℓ(z)ᵀv = −I(z, z_t), (p,)."""
        spec = self.spec
        indices: Tensor | None = None
        inverse: Any = None
        if ranking == "influence-layers":
            indices = self._of_layers()
        elif ranking == "influence-selected":
            with self.watch.stage(f"Selecting parameters by {LABELS[spec.criterion]}"):
                chosen = select(
                    self.model,
                    self.prepared.scenario.loss,
                    asked.risk.examples,
                    asked.risk.indices,
                    criterion=spec.criterion,
                    mr=spec.mr,
                    seed=spec.seed,
                    tick=self.progress.check,
                )
            indices, inverse = chosen.indices, spec.inverse
            self.k = len(indices)
        settings = Settings(solver=spec.solver, iterations=spec.iterations, damping=spec.damping)
        if inverse == "gif" and spec.solver not in ("cgls", "lsmr"):
            settings["solver"] = "cgls"  # its system is rectangular
        operator: Any = self.hessian
        if settings["solver"] == "lissa":
            operator = Resampled(self.hessian, LISSA_BATCH, spec.seed)
        with self.watch.stage(f"Solving for {LABELS[ranking]}"):
            update = solve(operator, gradient, indices, inverse=inverse, tick=self.progress.check, **settings)
        decay = float(self.prepared.weight_decay * (self.theta @ update.delta))
        self.solves.append({"ranking": ranking, **_reported(update.report), "decay": decay, "pass_seconds": math.nan})
        return update.delta

    def _of_layers(self) -> Tensor:
        """The parameters of the chosen layers, by default the last."""
        names = [layer.name for layer in self.index.layers]
        wanted = self.spec.layers or (names[-1],)
        if missing := [name for name in wanted if name not in names]:
            raise InfluenceError(f"there is no layer {missing[0]!r} with parameters; choose from {', '.join(names)}")
        numbers = torch.tensor([names.index(name) for name in wanted])
        place = self.index.layer_of(torch.arange(self.index.p))
        return torch.isin(place, numbers).nonzero().flatten()

    def _alternative(self, ranking: Ranking, asked: Query) -> None:
        """One of the others."""
        check, parts = self.progress.check, math.ceil(len(self.every) / self.risk.micro_batch)
        try:
            with self.watch.stage(f"Ranking by {LABELS[ranking]}", parts if ranking != "gradient-cosine" else 0):
                if ranking == "gradient-cosine":
                    found = gradient_cosine(self.risk, asked.risk, tick=check)
                elif ranking == "representer":
                    points = representer_points(self.risk, asked.risk, self.prepared.weight_decay, self._tick())
                    found, self.remainder = points.scores, points.remainder
                elif ranking == "similarity":
                    found = input_similarity(self.risk, asked.risk, check)
                else:
                    found = training_loss(self.risk, self._tick())
        except InfluenceError as error:
            self.remarks[ranking] = f"{LABELS[ranking]}: {error}"
        else:
            self.scores[ranking] = found

    def _say(self, asked: Query, tests: Answers, trained: Answers) -> None:
        """What is known so far, for whoever watches."""
        if not self.scores:
            return
        made: dict[str, pd.DataFrame] = {}  # all of them at once, if any is asked for

        def table(name: str) -> pd.DataFrame:
            if not made:
                made.update(self._pictured(asked, tests, trained))
            return made[name]

        for name in PICTURED:
            self.progress.partial(name, partial(table, name))

    def _tick(self) -> Any:
        first = True

        def tick() -> None:
            nonlocal first
            if not first:
                self.progress.advance()
            first = False
            self.progress.check()

        return tick

    def _risk(self, indices: Tensor) -> Risk:
        prepared = self.prepared
        return Risk(self.model, prepared.scenario.loss, prepared.train, indices, prepared.weight_decay)

    # --- tables -----------------------------------------------------------------------------------------------------

    def _pictured(self, asked: Query, tests: Answers, trained: Answers) -> dict[str, pd.DataFrame]:
        """The tables that the page draws, of the scores that are known."""
        shown, gallery = self._shown(asked, trained), self._gallery(tests)
        return {
            "scores": self._scores_table(trained),
            "shown": shown,
            "query": pd.DataFrame([{name: value for name, value in vars(asked).items() if name != "risk"}]),
            "gallery": gallery,
            "pictures": self._pictures(shown, gallery, asked),
        }

    def _scores_table(self, trained: Answers) -> pd.DataFrame:
        columns: dict[str, Any] = {
            "train_index": self.every.numpy(),
            "label": trained.labels.numpy(),
            "predicted": trained.predicted.numpy(),
            "loss": _short(trained.losses),
        }
        return pd.DataFrame(columns | {ranking: _short(found) for ranking, found in self.scores.items()})

    def sides(self, ranking: Ranking, asked: Query) -> dict[str, Tensor]:
        """Training positions, the most telling first: ``for`` the class asked about and ``against`` it."""
        found = torch.nan_to_num(self.scores[ranking], nan=0.0)
        if ranking in SIGNED:
            order = torch.argsort(found, descending=True, stable=True)
            last = torch.argsort(found, stable=True)
            return {"for": order[found[order] > 0], "against": last[found[last] < 0]}
        same = self.prepared.train_labels == asked.target
        order = torch.argsort(found, descending=True, stable=True)
        return {"for": order[same[order]], "against": order[~same[order]]}

    def _shown(self, asked: Query, trained: Answers) -> pd.DataFrame:
        rows = []
        for ranking, found in self.scores.items():
            for side, order in self.sides(ranking, asked).items():
                for place, index in enumerate(order[: self.spec.shown].tolist()):
                    rows.append(
                        {
                            "ranking": ranking,
                            "side": side,
                            "place": place + 1,
                            "train_index": index,
                            "label": int(trained.labels[index]),
                            "predicted": int(trained.predicted[index]),
                            "loss": float(trained.losses[index]),
                            "score": float(found[index]),
                        }
                    )
        columns = ["ranking", "side", "place", "train_index", "label", "predicted", "loss", "score"]
        return pd.DataFrame(rows, columns=columns)

    def _gallery(self, tests: Answers) -> pd.DataFrame:
        order = torch.argsort(torch.nan_to_num(tests.losses, nan=math.inf), descending=True, stable=True)[:GALLERY]
        return pd.DataFrame(
            {
                "test_index": order.numpy(),
                "label": tests.labels[order].numpy(),
                "predicted": tests.predicted[order].numpy(),
                "loss": tests.losses[order].numpy(),
            }
        )

    def _pictures(self, shown: pd.DataFrame, gallery: pd.DataFrame, asked: Query) -> pd.DataFrame:
        train = sorted({int(index) for index in shown["train_index"]})
        test = sorted({asked.index, *(int(index) for index in gallery["test_index"])})
        urls = self._thumbnails[0].urls(train) + self._thumbnails[1].urls(test)
        kinds = ["train"] * len(train) + ["test"] * len(test)
        return pd.DataFrame({"kind": kinds, "index": [*train, *test], "url": urls})

    @cached_property
    def _thumbnails(self) -> tuple[Thumbnails, Thumbnails]:
        return Thumbnails.of(self.prepared.train), Thumbnails.of(self.prepared.test)

    def _agreement(self, asked: Query) -> pd.DataFrame:
        """Of each pair: Spearman's correlation of all scores, and how many of the images shown on each side agree."""
        names, rows = list(self.scores), []
        tops = {
            name: {side: set(order[: self.spec.shown].tolist()) for side, order in self.sides(name, asked).items()}
            for name in names
        }
        for a in names:
            for b in names:
                x, y = self.scores[a].numpy(), self.scores[b].numpy()
                same = 1.0 if a == b else float(spearmanr(x, y).statistic) if np.ptp(x) > 0 < np.ptp(y) else math.nan
                row: dict[str, Any] = {"a": a, "b": b, "spearman": same}
                row |= {f"common_{side}": len(tops[a][side] & tops[b][side]) for side in ("for", "against")}
                rows.append(row)
        return pd.DataFrame(rows)

    def _provenance(self, tests: Answers) -> dict[str, Any]:
        prepared, spec = self.prepared, self.spec
        return provenance(
            prepared.device,
            self.watch,
            seed=spec.seed,
            scenario=prepared.card.title,
            fingerprint=prepared.card.fingerprint,
            data_note=prepared.card.data_note,
            classes=list(prepared.card.classes),
            n=len(self.every),
            test_images=len(tests.labels),
            misclassified=int((tests.predicted != tests.labels).sum()),
            p=self.index.p,
            k=self.k,
            layers=list(spec.layers) or [self.index.layers[-1].name],
            curvature=spec.curvature,
            curvature_examples=self.hessian.risk.size,
            hvps=sum(int(row["hvps"]) for row in self.solves),
            weight_decay=prepared.weight_decay,
            representer_remainder=self.remainder,
            remarks=list(self.remarks.values()),
            training=prepared.recipe.describe() if prepared.recipe else "by the user",
        )


SOLVE_COLUMNS = (
    "ranking",
    "method",
    "solver",
    "status",
    "iterations",
    "hvps",
    "seconds",
    "pass_seconds",
    "sigma_max",
    "relative_residual",
    "optimality",
    "damping",
    "damping_form",
    "decay",
    "message",
)


def _reported(report: SolveReport) -> dict[str, Any]:
    row = asdict(report)
    row["hvps"] = row.pop("products")
    return row


def _short(values: Tensor) -> list[float]:
    """With a few significant digits: there may be many."""
    return [float(f"{value:.{DIGITS}g}") for value in values.tolist()]
