"""Two digits and a linear model: every solver's influence against the closed form, and against leaving images out.

The Hessian of a linear model is XᵀDX/N + λI, so H⁻¹ is known by other means than the engine's; the loss is convex, so
training again without an image ends at one place, whatever the start. The solvers are the engine's, with products by
automatic differentiation, as for any network.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau, spearmanr
from torch import Tensor

from gif_dash.experiments.provenance import Stopwatch, provenance
from gif_dash.experiments.thumbnails import Thumbnails
from gif_dash.influence import Hessian, Resampled, Risk, Settings, SolveReport, TensorExamples
from gif_dash.influence.attribution import directional_derivatives, solve
from gif_dash.influence.estimators import method_system
from gif_dash.influence.solvers import largest_singular_value
from gif_dash.progress import Progress
from gif_dash.results import Result
from gif_dash.scenarios import ScenarioError
from gif_dash.scenarios.training import few_threads
from gif_dash.scenarios.two_classes import Objective, TwoClasses, accuracy, margin_loss, train, two_classes
from gif_dash.specs import LABELS, SpecError, TwoClassesSpec
from gif_dash.specs.two_classes import mnist_files, mnist_is_here

#: Test images on offer, those with the highest loss.
GALLERY = 40
#: Images of each side that are compared between two rankings.
TOP = 10
#: Points of a solver's curve, at most.
POINTS = 40
#: A second derivative counts as seen from this share of the largest that the loss has.
SEEN = 0.01
#: The inverse that all others are compared with.
EXACT = "closed-form"


def run(spec: TwoClassesSpec, progress: Progress) -> Result:
    """Solve, score, leave out.

    Returns:
        tables ``solvers`` (the main one: error, agreement and cost of each), ``curve`` (error against passes over the
        training images), ``truth`` (images left out: predicted and actual change of the test loss), ``scores`` (every
        training image by every solver: influence I and −I/N), ``shown``, ``query``, ``gallery`` and ``pictures``.

    Raises:
        gif_dash.specs.SpecError: the test image is not of the two digits.
        gif_dash.scenarios.ScenarioError: MNIST cannot be had.
        gif_dash.influence.InfluenceError: a solve meets numbers that are not finite.
        gif_dash.progress.Cancelled: from `progress`.
    """
    watch = Stopwatch(progress)
    with watch.stage("Reading the images"):
        if spec.data == "mnist" and not mnist_is_here() and not progress.patient:
            folder = mnist_files()[0].parent
            raise ScenarioError(f"MNIST is not in {folder}, and no click downloads it: run gif-dash prepare mnist-cnn")
        learned, asked = two_classes(spec.data, (spec.classes[0], spec.classes[1]))
    with TwoClassesRun.of(spec, learned, asked, progress, watch) as begun:
        return begun.run()


@dataclass
class Solved:
    """What is known of one solver.

    Attributes:
        delta: its H⁻¹∇ℓ(z_t), (p,).
        report: of the first of the timed solves, which all do the same.
        seconds, cpu: of each of them: wall time, and time of this thread on a processor.
        steps: numbers of the steps that were kept.
        iterates: the solutions after them.
        estimating: products on all images that went into LiSSA's scale.
    """

    delta: Tensor
    report: SolveReport
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    iterates: list[Tensor] = field(default_factory=list)
    estimating: int = 0


class TwoClassesRun:
    """One run.

    Args:
        spec: the question.
        learned, asked: training and test images of the two digits.
        progress: told about everything; may cancel.
        watch: announces the stages.
    """

    def __init__(
        self, spec: TwoClassesSpec, learned: TwoClasses, asked: TwoClasses, progress: Progress, watch: Stopwatch
    ) -> None:
        self.spec, self.learned, self.asked, self.progress, self.watch = spec, learned, asked, progress, watch
        self.n, self.p = learned.x.shape
        self.loss = margin_loss(spec.loss, spec.temperature)
        with watch.stage("Training to convergence"):
            self.fit = train(learned, spec.loss, spec.temperature, spec.damping, progress.check)
        self.w = self.fit.w
        self.model = self.fit.model()
        self.every = torch.arange(self.n)
        self.risk = Risk(self.model, self.loss, learned.examples(), self.every, spec.damping)
        self.hessian = Hessian(self.risk)
        self.solved: dict[str, Solved] = {}
        self.truth: list[dict[str, Any]] = []
        self.unconverged = 0
        self.scale = self.estimated = math.nan

    @classmethod
    @contextmanager
    def of(
        cls, spec: TwoClassesSpec, learned: TwoClasses, asked: TwoClasses, progress: Progress, watch: Stopwatch
    ) -> Iterator[TwoClassesRun]:
        """On one thread, which times can be compared by; frees the graphs at the end."""
        with few_threads(torch.nn.Linear(1, 1)):
            begun = cls(spec, learned, asked, progress, watch)
            try:
                yield begun
            finally:
                begun.hessian.close()

    def run(self) -> Result:
        spec, objective = self.spec, Objective(self.learned, self.loss, self.spec.damping)
        self.margins = self.asked.y * (self.asked.x @ self.w)
        self.losses = self.loss.value(self.margins)
        self.place = self._asked_place()
        target = Risk(
            self.model,
            self.loss,
            TensorExamples(self.asked.x[self.place : self.place + 1], self.asked.y[self.place : self.place + 1]),
            torch.tensor([0]),
        )
        self.gradient = target.gradient(self.progress.check)
        with self.watch.stage("Inverting in closed form"):
            started, cpu = time.perf_counter(), time.thread_time()
            matrix = objective.hessian(self.w)
            self.factor = torch.linalg.cholesky(matrix)
            self.exact = torch.cholesky_solve(self.gradient.unsqueeze(1), self.factor).squeeze(1)
            self.exact_seconds = time.perf_counter() - started, time.thread_time() - cpu
            self.extent = torch.linalg.eigvalsh(matrix)[[0, -1]].tolist()
        self._solve()
        with self.watch.stage(f"Scoring {self.n:,} training images"):
            self._score()
        self._say()
        self._leave_out(objective)
        return Result(
            {"experiment": spec.experiment, **spec.model_dump(mode="json")},
            {
                "solvers": self._solvers(),
                "curve": self._curve(),
                "truth": self._truth(),
                **{name: make() for name, make in self._pictured().items()},
            },
            self._provenance(),
        )

    def _asked_place(self) -> int:
        """Where the test image is among those of the two digits."""
        if self.spec.test_index < 0:
            return int(self.losses.argmax())
        found = (self.asked.positions == self.spec.test_index).nonzero().flatten()
        if not len(found):
            a, b = self.spec.classes
            raise SpecError(f"the test image {self.spec.test_index} shows neither {a} nor {b}", "test_index")
        return int(found[0])

    # --- solving ----------------------------------------------------------------------------------------------------

    def _solve(self) -> None:
        """Every solver several times in turns, so that a busy moment does not hit one of them alone."""
        spec = self.spec
        self.hessian.prepare(self.progress.check)
        self.hessian.matvec(self.gradient)  # the first one is slow: it is nobody's
        with self.watch.stage("Solving, in turns", spec.timings * len(spec.solvers)):
            for turn in range(spec.timings):
                for solver in spec.solvers:
                    self.progress.check()
                    started, cpu = time.perf_counter(), time.thread_time()
                    found = self._solve_once(solver, keep=turn == 0)
                    seconds, spent = time.perf_counter() - started, time.thread_time() - cpu
                    known = self.solved.setdefault(solver, found)
                    known.seconds.append(seconds)
                    known.cpu.append(spent)
                    self.progress.advance()

    def _solve_once(self, solver: str, keep: bool) -> Solved:
        spec, check = self.spec, self.progress.check
        steps: list[int] = []
        iterates: list[Tensor] = []
        most = spec.depth if solver == "lissa" else spec.iterations
        wanted = set(np.unique(np.round(np.geomspace(1, most, POINTS)).astype(int)).tolist()) if keep else set()

        def follow(step: int, x: Tensor) -> None:
            if step in wanted:
                steps.append(step)
                iterates.append(x)

        settings = Settings(solver=solver, iterations=most)  # type: ignore[typeddict-item]
        operator: Hessian | Resampled = self.hessian
        estimating = 0
        if solver == "lissa":
            before = self.hessian.products
            system = method_system("if", self.hessian, self.gradient, torch.arange(self.p), check)
            self.estimated = largest_singular_value(system)
            estimating = self.hessian.products - before
            self.scale = spec.scale * self.estimated
            settings |= {"scale": self.scale, "sigma_max": self.estimated, "repeats": spec.repeats}
            if spec.batch < self.n:
                operator = Resampled(self.hessian, spec.batch, spec.seed)
        update = solve(operator, self.gradient, tick=check, on_iterate=follow, **settings)
        return Solved(update.delta, update.report, steps=steps, iterates=iterates, estimating=estimating)

    def _score(self) -> None:
        """The influences: in closed form, and for the solvers by the engine's one pass for all directions."""
        slopes = self.loss.slope(self.learned.y * (self.learned.x @ self.w)) * self.learned.y
        self.scores: dict[str, NDArray[np.float64]] = {EXACT: (-slopes * (self.learned.x @ self.exact)).numpy()}
        rows = [(solver, None) for solver in self.solved]
        directions = [self.solved[solver].delta for solver in self.solved]
        points = [(solver, place) for solver, known in self.solved.items() for place in range(len(known.steps))]
        directions += [self.solved[solver].iterates[place] for solver, place in points]
        along = -directional_derivatives(self.risk, torch.stack(directions), self.progress.check).numpy()
        self.scores |= {solver: along[place] for place, (solver, _) in enumerate(rows)}
        self.along = dict(zip(points, along[len(rows) :], strict=True))

    # --- leaving out ------------------------------------------------------------------------------------------------

    def _leave_out(self, objective: Objective) -> None:
        """Train without one image at a time, from the minimiser with all of them."""
        chosen = self._chosen()
        if not chosen:
            return
        before = float(self.losses[self.place])
        x, y = self.asked.x[self.place], self.asked.y[self.place]
        with self.watch.stage(f"Training again without one of {len(chosen)} images", len(chosen)):
            for kind, place in chosen:
                without = Objective(self.learned, self.loss, self.spec.damping, without=place)
                found = without.minimise(self.w, self.factor, tick=self.progress.check)
                self.unconverged += not found.converged
                after = float(self.loss.value((y * (x @ found.w)).unsqueeze(0))[0])
                self.truth.append(
                    {
                        "kind": kind,
                        "train_index": int(self.learned.positions[place]),
                        "label": int(self.learned.labels[place]),
                        "influence": float(self.scores[EXACT][place]),
                        "predicted": self._predicted(EXACT, place),
                        "actual": after - before,
                        "gradient_norm": found.gradient_norm,
                        **{solver: self._predicted(solver, place) for solver in self.solved},
                    }
                )
                self.progress.advance()
                self.progress.partial("truth", self._truth)

    def _predicted(self, solver: str, place: int) -> float:
        """What training without an image by the same recipe, the mean over the others + λ/2·‖w‖², does to first order.

        −I/N, and the part of the penalty, which is the same for all images (`gif_dash.influence.attribution`).
        """
        return (-float(self.scores[solver][place]) + self._decay(solver)) / (self.n - 1)

    def _decay(self, solver: str) -> float:
        direction = self.exact if solver == EXACT else self.solved[solver].delta
        return float(self.spec.damping * (self.w @ direction))

    def _chosen(self) -> list[tuple[str, int]]:
        """Kinds and places of the images that are left out."""
        each = self.spec.retrained // 3
        scores = self.scores[EXACT]
        order = np.argsort(scores, kind="stable")  # the most helpful first
        helpful = [int(place) for place in order[:each] if scores[place] < 0]
        harmful = [int(place) for place in order[::-1][:each] if scores[place] > 0]
        rest = np.setdiff1d(np.arange(self.n), [*helpful, *harmful])
        count = min(len(rest), self.spec.retrained - 2 * each)
        drawn = np.random.default_rng(self.spec.seed).choice(rest, count, replace=False)
        kinds = (("helpful", helpful), ("harmful", harmful), ("random", sorted(drawn.tolist())))
        return [(kind, int(place)) for kind, places in kinds for place in places]

    # --- tables -----------------------------------------------------------------------------------------------------

    def _truth(self) -> pd.DataFrame:
        names = ["kind", "train_index", "label", "influence", "predicted", "actual", "gradient_norm", *self.solved]
        return pd.DataFrame(self.truth, columns=names)

    def _solvers(self) -> pd.DataFrame:
        wall, cpu = self.exact_seconds
        rows = [{"solver": EXACT, "status": "explicit", "iterations": 1, "products": 0, "seconds": wall, "cpu": cpu}]
        rows[0] |= {"passes": math.nan, "estimating": 0, "residual": self._residual(self.exact), "message": ""}
        for solver, known in self.solved.items():
            report = known.report
            rows.append(
                {
                    "solver": solver,
                    "status": report.status,
                    "iterations": report.iterations,
                    "products": report.products,
                    "seconds": median(known.seconds),
                    "cpu": median(known.cpu),
                    "passes": self._passes(solver, report.products) + known.estimating,
                    "estimating": known.estimating,
                    "residual": self._residual(known.delta),
                    "message": report.message,
                }
            )
        for row in rows:
            row |= self._agreement(str(row["solver"]))
        return pd.DataFrame(rows)

    def _passes(self, solver: str, products: int) -> float:
        """Products in passes over all training images."""
        share = min(self.spec.batch, self.n) / self.n if solver == "lissa" else 1.0
        return products * share

    def _residual(self, direction: Tensor) -> float:
        """‖Hv − g‖/‖g‖ with the closed form of H."""
        image = self.factor @ (self.factor.T @ direction)
        return float((image - self.gradient).norm() / self.gradient.norm())

    def _agreement(self, solver: str) -> dict[str, float]:
        exact, scores = self.scores[EXACT], self.scores[solver]
        direction = self.exact if solver == EXACT else self.solved[solver].delta
        known = _rank_agreement(exact, scores)
        ours, theirs = (np.argsort(values, kind="stable") for values in (exact, scores))
        known |= {
            "error": float((direction - self.exact).norm() / self.exact.norm()),
            "score_error": float(np.linalg.norm(scores - exact) / np.linalg.norm(exact)),
            "top_helpful": len(np.intersect1d(ours[:TOP], theirs[:TOP])),
            "top_harmful": len(np.intersect1d(ours[-TOP:], theirs[-TOP:])),
        }
        actual = np.array([row["actual"] for row in self.truth])
        predicted = np.array([row["predicted" if solver == EXACT else solver] for row in self.truth])
        return known | correlations(predicted, actual)

    def _curve(self) -> pd.DataFrame:
        rows = []
        exact = self.scores[EXACT]
        for (solver, place), scores in self.along.items():
            known = self.solved[solver]
            step = known.steps[place]
            products = step * {"cgls": 2}.get(solver, 1) + (solver == "cgls")
            rows.append(
                {
                    "solver": solver,
                    "step": step,
                    "products": products,
                    "passes": self._passes(solver, products),
                    "error": float((known.iterates[place] - self.exact).norm() / self.exact.norm()),
                    "score_error": float(np.linalg.norm(scores - exact) / np.linalg.norm(exact)),
                    "spearman": _rank_agreement(exact, scores, kendall=False)["spearman"],
                }
            )
        names = ["solver", "step", "products", "passes", "error", "score_error", "spearman"]
        return pd.DataFrame(rows, columns=names)

    def _pictured(self) -> dict[str, Callable[[], pd.DataFrame]]:
        """Tables that the page draws of the test image and the training images."""
        return {
            "scores": self._scores_table,
            "shown": self._shown,
            "query": self._query,
            "gallery": self._gallery,
            "pictures": self._pictures,
        }

    def _say(self) -> None:
        """What is known before images are left out, for whoever watches."""
        for name, make in self._pictured().items():
            self.progress.partial(name, make)
        self.progress.partial("curve", self._curve)

    def _scores_table(self) -> pd.DataFrame:
        said = self._said(self.learned)
        losses = self.loss.value(self.learned.y * (self.learned.x @ self.w)).numpy()
        frames = [
            pd.DataFrame(
                {
                    "solver": solver,
                    "train_index": self.learned.positions.numpy(),
                    "label": self.learned.labels.numpy(),
                    "predicted": said,
                    "loss": _short(losses),
                    "influence": _short(scores),
                    "effect": _short(-scores / self.n),
                }
            )
            for solver, scores in self.scores.items()
        ]
        return pd.concat(frames, ignore_index=True)

    def _said(self, data: TwoClasses) -> NDArray[np.int64]:
        """The class that the model takes each image for."""
        first, second = self.spec.classes
        said: NDArray[np.int64] = np.where((data.x @ self.w).numpy() > 0, first, second)
        return said

    def _shown(self) -> pd.DataFrame:
        said = self._said(self.learned)
        losses = self.loss.value(self.learned.y * (self.learned.x @ self.w)).numpy()
        frames = []
        for solver in self.solved:
            scores = self.scores[solver]
            order = np.argsort(scores, kind="stable")
            back = order[::-1]
            for side, ordered in (("for", order[scores[order] < 0]), ("against", back[scores[back] > 0])):
                places = ordered[: self.spec.shown]
                columns = {
                    "ranking": solver,
                    "side": side,
                    "train_index": self.learned.positions.numpy()[places],
                    "label": self.learned.labels.numpy()[places],
                    "predicted": said[places],
                    "loss": losses[places],
                    "score": -scores[places] / self.n,
                }
                frames.append(pd.DataFrame(columns))
        return pd.concat(frames, ignore_index=True)

    def _query(self) -> pd.DataFrame:
        place = self.place
        label = int(self.asked.labels[place])
        row = {
            "index": int(self.asked.positions[place]),
            "label": label,
            "predicted": int(self._said(self.asked)[place]),
            "target": label,
            "loss": float(self.losses[place]),
            "margin": float(self.margins[place]),
        }
        return pd.DataFrame([row])

    def _gallery(self) -> pd.DataFrame:
        order = torch.argsort(self.losses, descending=True, stable=True)[:GALLERY]
        return pd.DataFrame(
            {
                "test_index": self.asked.positions[order].numpy(),
                "label": self.asked.labels[order].numpy(),
                "predicted": self._said(self.asked)[order.numpy()],
                "loss": self.losses[order].numpy(),
            }
        )

    def _pictures(self) -> pd.DataFrame:
        train_indices = sorted({int(index) for index in self._shown()["train_index"]})
        test_indices = sorted({*self._gallery()["test_index"].tolist(), int(self.asked.positions[self.place])})
        frames = []
        for kind, data, indices in (("train", self.learned, train_indices), ("test", self.asked, test_indices)):
            urls = _thumbnails(data, indices)
            frames.append(pd.DataFrame({"kind": kind, "index": indices, "url": urls}))
        return pd.concat(frames, ignore_index=True)

    def _provenance(self) -> dict[str, Any]:
        spec = self.spec
        bends = self.loss.bend(self.learned.y * (self.learned.x @ self.w))
        largest = 0.25 if spec.loss == "logistic" else 0.25 / spec.temperature
        actual = np.array([row["actual"] for row in self.truth])
        predicted = np.array([row["predicted"] for row in self.truth])
        return provenance(
            torch.device("cpu"),
            self.watch,
            seed=spec.seed,
            data=LABELS[spec.data],
            classes=[str(digit) for digit in range(10)],
            n=self.n,
            p=self.p,
            dtype="float64",
            test_images=len(self.asked),
            train_accuracy=accuracy(self.learned, self.w),
            test_accuracy=accuracy(self.asked, self.w),
            gradient_norm=self.fit.gradient_norm,
            first_gradient_norm=self.fit.first_gradient_norm,
            training_steps=self.fit.steps,
            converged=self.fit.converged,
            lambda_min=self.extent[0],
            lambda_max=self.extent[1],
            lambda_max_image=float((bends * self.learned.x.square().sum(1)).max()) + spec.damping,
            lambda_max_estimate=self.estimated,
            scale=self.scale,
            images_curved=int((bends >= SEEN * largest).sum()),
            decay=self._decay(EXACT),
            left_out=len(self.truth),
            left_out_unconverged=self.unconverged,
            slope=_slope(predicted, actual),
            largest_actual=float(np.abs(actual).max()) if len(actual) else math.nan,
            hvps=sum(known.report.products for known in self.solved.values()),
        )


def correlations(predicted: NDArray[np.float64], actual: NDArray[np.float64]) -> dict[str, float]:
    """Pearson's and Spearman's correlation of predicted with actual changes; NaN where there are too few."""
    if len(actual) < 3 or not np.ptp(actual) or not np.ptp(predicted):
        return {"loo_pearson": math.nan, "loo_spearman": math.nan}
    pearson = float(np.corrcoef(predicted, actual)[0, 1])
    return {"loo_pearson": pearson, "loo_spearman": float(spearmanr(predicted, actual).statistic)}


def _slope(predicted: NDArray[np.float64], actual: NDArray[np.float64]) -> float:
    """Of the least-squares line through the origin: actual by predicted."""
    squares = float(predicted @ predicted)
    return float(predicted @ actual) / squares if squares else math.nan


def _rank_agreement(a: NDArray[np.float64], b: NDArray[np.float64], *, kendall: bool = True) -> dict[str, float]:
    """NaN where one of them says nothing."""
    if not np.ptp(a) or not np.ptp(b):
        return {"spearman": math.nan} | ({"kendall": math.nan} if kendall else {})
    found = {"spearman": float(spearmanr(a, b).statistic)}
    return found | ({"kendall": float(kendalltau(a, b).statistic)} if kendall else {})


def _thumbnails(data: TwoClasses, indices: Sequence[int]) -> list[str]:
    """Data URLs of images by their positions in the whole set."""
    places = torch.searchsorted(data.positions, torch.tensor(list(indices)))
    return Thumbnails.of(TensorExamples(data.pictures, data.labels)).urls(places.tolist())


def _short(values: NDArray[np.float64]) -> list[float]:
    return [float(f"{value:.6g}") for value in values.tolist()]
