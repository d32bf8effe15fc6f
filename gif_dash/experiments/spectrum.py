"""Eigenvalues of the Hessian against regularisation: Fig. 3 of the GIF paper, and where LiSSA converges.

What is known of one loss and one α is kept (see `gif_dash.experiments.pieces`): a run goes on where it stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from gif_dash.experiments import pieces
from gif_dash.experiments.eigenvalues import DENSE, Spectrum, by_lanczos, dense_at_once, dense_matrix, of_matrix
from gif_dash.experiments.lissa_check import bound, measure
from gif_dash.experiments.metrics import answers, sample
from gif_dash.experiments.penalty import Penalty, Regularised
from gif_dash.experiments.provenance import Stopwatch, provenance
from gif_dash.influence import Hessian, ParameterIndex, Risk, TensorExamples
from gif_dash.progress import Progress
from gif_dash.results import Result
from gif_dash.scenarios import Prepared, Recipe, ScenarioError, load, training
from gif_dash.scenarios.dense import LOSSES, dense_net
from gif_dash.specs import LABELS, SpecError, SpectrumSpec
from gif_dash.specs.spectrum import SpectrumLoss

#: How the dense network is trained; the regulariser is part of the loss, not of the optimizer.
DENSE_RECIPE = Recipe("adam", lr=0.01, batch=128)
#: Training images behind ‖∇F‖, at most.
GRADIENT_IMAGES = 5000
#: ‖θ‖ below which a network counts as zero.
COLLAPSED = 1e-3
#: Bins of the histogram per factor of ten.
BINS_PER_DECADE = 2


def run(spec: SpectrumSpec, progress: Progress) -> Result:
    """The spectrum of the Hessian for every loss and every α.

    Returns:
        tables ``shares`` (the main one: a row for every loss and α), ``lissa`` (bound and check, likewise),
        ``histogram`` (all eigenvalues in logarithmic bins, by sign) and ``eigenvalues`` (the k largest).

    Raises:
        gif_dash.specs.SpecError: the scenario does not have what the spec names.
        gif_dash.scenarios.ScenarioError: the scenario cannot be had, or a training fails.
        gif_dash.influence.InfluenceError: there is no memory for what is asked, or a product is not finite.
        gif_dash.progress.Cancelled: from `progress`.
    """
    watch = Stopwatch(progress)
    with watch.stage("Loading the scenario"):
        prepared = load(spec.scenario, progress)
    spec.check(prepared.card)
    with training.few_threads(prepared.model):
        return Spectra(spec, prepared, progress, watch).run()


@dataclass(frozen=True)
class Point:
    """One Hessian: its loss, its α, and the network it belongs to (float64)."""

    loss: SpectrumLoss
    penalty: Penalty
    network: nn.Module


class Spectra:
    """One run.

    Args:
        spec: the question.
        prepared: the scenario.
        progress: told about everything; may cancel.
        watch: announces the stages.
    """

    def __init__(self, spec: SpectrumSpec, prepared: Prepared, progress: Progress, watch: Stopwatch) -> None:
        self.spec, self.prepared, self.progress, self.watch = spec, prepared, progress, watch
        self.device = torch.device("cpu") if prepared.device.type == "mps" else prepared.device  # float64
        self.factory = self._factory()
        self.size = sum(value.numel() for value in self.factory().parameters() if value.requires_grad)
        if spec.count > self.size:
            raise SpecError(f"the network has {self.size:,} parameters, and no more eigenvalues", "count")
        self.dense = spec.eigensolver == "dense" or (spec.eigensolver == "auto" and self.size <= DENSE)
        self.images = self._images()
        self.shares: list[dict[str, Any]] = []
        self.lissa: list[dict[str, Any]] = []
        self.histogram: list[pd.DataFrame] = []
        self.eigenvalues: list[pd.DataFrame] = []
        self.products = 0
        self.seconds = 0.0  # that parts found took

    def run(self) -> Result:
        kept = False
        for loss in self.spec.losses:
            network: nn.Module | None = None
            known: Tensor | None = None  # the Hessian of the loss alone, as long as the network stays the same
            for alpha in self.spec.alphas:
                part = self.spec.parse({**self.spec.model_dump(mode="json"), "losses": [loss], "alphas": [alpha]})
                file = pieces.place(part, self.prepared.card.fingerprint)
                if (found := pieces.read(file)) is not None:
                    self._take(found)
                    continue
                if kept:
                    self.progress.give_way()
                start = time.perf_counter()
                if self.spec.fit == "once":
                    network = network or self._trained(loss, None)
                penalty = Penalty(self.spec.norm, alpha)
                point = Point(loss, penalty, network or self._trained(loss, penalty))
                trained, products = time.perf_counter(), self.products
                known = self._point(point, known if network is not None else None)
                done = time.perf_counter()
                self.shares[-1] |= {"train_seconds": trained - start, "seconds": done - trained}
                spent = {"seconds": done - start, "hvps": self.products - products}
                kept = pieces.write(file, Result(self.spec.model_dump(mode="json"), self._tables(last=True), spent))
                self.progress.partial("shares", lambda: pd.DataFrame(self.shares))
        return Result(
            {"experiment": self.spec.experiment, **self.spec.model_dump(mode="json")},
            self._tables(),
            self._provenance(),
        )

    def _tables(self, last: bool = False) -> dict[str, pd.DataFrame]:
        """Of all that is known, or of the last loss and α."""
        some = slice(-1, None) if last else slice(None)
        return {
            "shares": pd.DataFrame(self.shares[some]),
            "lissa": pd.DataFrame(self.lissa[some]),
            "histogram": pd.concat(self.histogram[some], ignore_index=True),
            "eigenvalues": pd.concat(self.eigenvalues[some], ignore_index=True),
        }

    def _take(self, part: Result) -> None:
        """Add what was kept of one loss and α."""
        for name in ("shares", "lissa"):
            rows = part.tables[name].to_dict("records")
            getattr(self, name).extend({str(key): value for key, value in row.items()} for row in rows)
        self.histogram.append(part.tables["histogram"])
        self.eigenvalues.append(part.tables["eigenvalues"])
        self.seconds += part.provenance["seconds"]
        self.products += part.provenance["hvps"]
        self.progress.partial("shares", lambda: pd.DataFrame(self.shares))

    # --- networks ---------------------------------------------------------------------------------------------------

    def _factory(self) -> Callable[[], nn.Module]:
        """Makes untrained networks of the kind in question."""
        prepared = self.prepared
        if self.spec.net == "dense":
            inputs, _ = prepared.train.batch(torch.zeros(1, dtype=torch.int64))
            return partial(dense_net, inputs[0].numel(), len(prepared.scenario.classes))
        if isinstance(prepared.scenario.model, nn.Module):
            return lambda: training.reset_copy(prepared.model) if self.spec.fit == "each" else prepared.network()
        return prepared.scenario.model

    def _trained(self, loss: SpectrumLoss, penalty: Penalty | None) -> nn.Module:
        """A network in float64: trained with the loss and the regulariser, or with neither (the scenario's own)."""
        if self.spec.net == "own" and penalty is None:
            return self.prepared.network().to(self.device).double()
        named = LABELS[loss] if penalty is None else f"{LABELS[loss]}, α = {penalty.alpha:g}"
        recipe, examples = self._recipe(), self.prepared.train
        model = training.build(self.factory, self.spec.seed).to(self.prepared.device)
        wanted = LOSSES[loss] if penalty is None else penalty.added_to(LOSSES[loss], model)
        everything = torch.arange(len(examples))
        with self.watch.stage("Training"):
            training.train(
                model, wanted, examples, everything, recipe, self.spec.seed, self.progress, f"Training: {named}"
            )
        return model.to(self.device).double().eval()

    def _recipe(self) -> Recipe:
        if self.spec.net == "own":
            if self.prepared.recipe is None:
                raise ScenarioError(
                    f"{self.spec.scenario} has no recipe to train it with another loss: train once, or take "
                    "the dense network"
                )
            return replace(self.prepared.recipe, weight_decay=0.0)
        a_pass = -(-len(self.prepared.train_labels) // DENSE_RECIPE.batch)
        return replace(DENSE_RECIPE, epochs=max(1, round(self.spec.train_steps / a_pass)))

    # --- one Hessian ------------------------------------------------------------------------------------------------

    def _images(self) -> TensorExamples:
        """The images behind the Hessians, float64."""
        spec, prepared = self.spec, self.prepared
        if spec.images == "train":
            chosen = sample(torch.arange(len(prepared.train_labels)), spec.samples, spec.seed)
            inputs, targets = prepared.train.batch(chosen)
        else:
            inputs, targets = prepared.test.batch(torch.arange(min(spec.samples, len(prepared.test_labels))))
        return TensorExamples(inputs.to(self.device).double(), targets.to(self.device))

    def _point(self, point: Point, known: Tensor | None) -> Tensor | None:
        """Add the rows of one Hessian; returns the matrix of the loss alone, where it was made."""
        spec, loss = self.spec, LOSSES[point.loss]
        theta = ParameterIndex.of(point.network).vector(point.network)
        risk = Risk(point.network, loss, self.images, torch.arange(len(self.images)))
        named = f"Eigenvalues: {LABELS[point.loss]}, α = {point.penalty.alpha:g}"
        with Hessian(risk) as hessian, self.watch.stage("Eigenvalues"):
            self.progress.stage(named, self.size if self.dense and known is None and spec.net == "own" else 0)
            tick = self._tick(hessian)
            if self.dense:
                fresh = known is None
                if known is None:
                    small = spec.net == "dense"
                    known = dense_at_once(risk, self.progress.check) if small else dense_matrix(hessian, theta, tick)
                matrix = known + point.penalty.dense(theta)
                spectrum = of_matrix(matrix, spec.count, self.size if fresh else 0)
                apply: Callable[[Tensor], Tensor] = matrix.__matmul__
            else:
                spectrum = by_lanczos(hessian, point.penalty, theta, spec.count, spec.tolerance, spec.seed, tick)
                operator = Regularised(hessian, point.penalty, theta)
                apply = partial(operator.matvec, tick=tick)
            self.products += spectrum.products
            self._add(point, spectrum, theta)
            self._check_lissa(point, spectrum, apply, theta)
        return known

    def _add(self, point: Point, spectrum: Spectrum, theta: Tensor) -> None:
        spec, alpha = self.spec, point.penalty.alpha
        low, high = spectrum.extent
        row = {"loss": point.loss, "alpha": alpha}
        bins = self._bins(spectrum)
        self.histogram.append(bins.assign(**row)[["loss", "alpha", "sign", "low", "high", "count"]])
        ranks = np.arange(1, len(spectrum.top) + 1)
        self.eigenvalues.append(
            pd.DataFrame({**row, "rank": ranks, "value": spectrum.top, "bound": spectrum.bounds}, index=ranks - 1)
        )
        by_sign = bins.groupby("sign")["count"].sum()
        self.shares.append(
            {
                **row,
                "norm": spec.norm,
                "negative_share": 100 * spectrum.negative_share(spec.tolerance),
                "negative": int((spectrum.top < -spec.tolerance).sum()),
                "count": len(spectrum.top),
                "negative_share_all": 100 * float(by_sign.get("negative", 0.0)) / spectrum.size,
                "zero_share_all": 100 * float(by_sign.get("zero", 0.0)) / spectrum.size,
                "zero_up_to": spectrum.resolved(spec.tolerance),
                "lambda_min": low,
                "lambda_max": high,
                "smallest_of_count": float(abs(spectrum.top[-1])),
                "p": spectrum.size,
                **self._facts(point, theta),
                "eigensolver": spectrum.kind,
                "converged": spectrum.converged,
                "hvps": spectrum.products,
                "message": "; ".join(filter(None, (spectrum.message, self._collapsed(point, theta)))),
            }
        )

    def _collapsed(self, point: Point, theta: Tensor) -> str:
        """What must be said where the norm that is not squared has no Hessian."""
        if point.penalty.norm == "squared" or point.penalty.alpha == 0 or float(theta.norm()) > COLLAPSED:
            return ""
        return "training ended at θ = 0, where ‖θ‖ has no Hessian: these eigenvalues are an accident of its last steps"

    def _facts(self, point: Point, theta: Tensor) -> dict[str, float]:
        """What kind of network this is: is it trained, does it know anything?"""
        prepared, check = self.prepared, self.progress.check
        network = point.network.to(prepared.device, next(prepared.model.parameters()).dtype)
        loss, everything = LOSSES[point.loss], torch.arange(len(prepared.test_labels))
        said = answers(network, loss, prepared.test, everything, check)
        some = sample(torch.arange(len(prepared.train_labels)), GRADIENT_IMAGES, self.spec.seed)
        risk = Risk(network, loss, prepared.train, some)
        slope = risk.gradient(check).to(theta) + point.penalty.gradient(theta)
        facts = {
            "theta_norm": float(theta.norm()),
            "train_loss": float(risk.losses(tick=check).mean()),
            "test_loss": float(said.losses.mean()),
            "test_accuracy": said.accuracy(torch.ones_like(everything, dtype=torch.bool)),
            "gradient_norm": float(slope.norm()),
        }
        point.network.to(self.device, torch.float64)
        return facts

    def _bins(self, spectrum: Spectrum) -> pd.DataFrame:
        """All eigenvalues by sign and magnitude: sign, low, high (of the magnitude), count."""
        least = max(spectrum.resolved(self.spec.tolerance), 1e-12)
        most = max(abs(value) for value in spectrum.extent)
        first, last = np.floor(np.log10(least) + 1e-9), np.ceil(np.log10(max(most, 10 * least)) - 1e-9)
        magnitudes = 10 ** np.linspace(first, last, round((last - first) * BINS_PER_DECADE) + 1)
        magnitudes = np.append(least, magnitudes[magnitudes > least * (1 + 1e-6)])
        steps = len(magnitudes) - 1
        edges = np.concatenate([-magnitudes[::-1], magnitudes])
        counts = spectrum.counts(edges)
        rows: list[dict[str, Any]] = [{"sign": "zero", "low": 0.0, "high": least, "count": counts[steps]}]
        for place in range(steps):
            span = {"low": magnitudes[place], "high": magnitudes[place + 1]}
            rows.append({"sign": "negative", **span, "count": counts[steps - 1 - place]})
            rows.append({"sign": "positive", **span, "count": counts[steps + 1 + place]})
        return pd.DataFrame(rows)

    def _check_lissa(self, point: Point, spectrum: Spectrum, apply: Callable[[Tensor], Tensor], theta: Tensor) -> None:
        spec = self.spec
        low, high = spectrum.extent
        scale = spec.scale * max(abs(low), abs(high))
        row: dict[str, Any] = {"loss": point.loss, "alpha": point.penalty.alpha, "scale": scale}
        if scale > 0:
            row |= {"lambda_min": low, "lambda_max": high, **asdict(bound(low, high, scale, spec.tolerance))}
            steps = spec.lissa_steps if self.dense else min(spec.lissa_steps, spectrum.products)
            found = measure(apply, theta, scale, steps, spec.seed)
            row |= {
                "measured": found.verdict,
                **{f"residual_{name}": getattr(found, name) for name in ("first", "last", "ratio")},
                "steps": found.steps,
            }
        self.lissa.append(row)

    def _tick(self, hessian: Hessian) -> Callable[[], None]:
        seen = hessian.products

        def tick() -> None:
            nonlocal seen
            if (now := hessian.products) > seen:
                self.progress.advance(now - seen)
                seen = now
            self.progress.check()

        return tick

    def _provenance(self) -> dict[str, Any]:
        prepared, spec = self.prepared, self.spec
        facts: dict[str, Any] = {}
        if spec.net == "dense" or spec.fit == "each":
            recipe = self._recipe()
            steps = training.steps(recipe, len(prepared.train_labels))
            facts["training"] = f"{steps:,} steps, {replace(recipe, weight_decay=0.0).describe()}"
        known = provenance(
            self.device,
            self.watch,
            seed=spec.seed,
            scenario=prepared.card.title,
            fingerprint=prepared.card.fingerprint,
            data_note=prepared.card.data_note,
            preprocessing=prepared.card.preprocessing,
            p=self.size,
            curvature_examples=len(self.images),
            weight_decay=prepared.weight_decay,
            hvps=self.products,
            dtype="float64",
            **facts,
        )
        return {**known, "seconds": known["seconds"] + self.seconds}
