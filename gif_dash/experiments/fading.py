"""Fading (Schioppa et al. 2023): how long after an intervention does its influence predict what training does?

A network is trained on Iris; then one example is removed (or counts twice) and training goes on, beside the same
network without the intervention. After each number of steps the difference of their test losses is compared, over the
interventions, with what the influence said at the beginning. Noise is that of random batches: every network gets a
weight of 0 for all examples outside its batch, so that all networks remain one run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, vmap

from gif_dash.experiments import fleet
from gif_dash.experiments.fleet import Fleet
from gif_dash.experiments.fragility import correlations, filled
from gif_dash.experiments.leave_one_out import Dense, Sampling
from gif_dash.experiments.provenance import Stopwatch, provenance
from gif_dash.experiments.small_data import iris
from gif_dash.influence import Risk
from gif_dash.progress import Progress
from gif_dash.results import Result
from gif_dash.scenarios import training
from gif_dash.specs import FadingSpec
from gif_dash.specs.fading import Noise

#: Points of a curve, at most; they are in equal ratios.
POINTS = 40


def run(spec: FadingSpec, progress: Progress) -> Result:
    """Train, intervene, train on, and compare after every number of steps.

    Returns:
        tables ``curve`` (the main one: a row for every kind of noise, seed, number of steps and estimate) and
        ``networks`` (a row for every seed: at the intervention).

    Raises:
        gif_dash.scenarios.ScenarioError: a training diverges.
        gif_dash.influence.InfluenceError: the Hessian is not finite.
        gif_dash.progress.Cancelled: from `progress`.
    """
    watch = Stopwatch(progress)
    fading = _Fading(spec, progress, watch)
    with training.few_threads(fading.model):
        return fading.run()


def moments(steps: int) -> list[int]:
    """Numbers of steps after which is measured: from 1 in equal ratios."""
    return sorted({round(step) for step in np.geomspace(1, steps, min(POINTS, steps))})


class _Fading:
    def __init__(self, spec: FadingSpec, progress: Progress, watch: Stopwatch) -> None:
        self.spec, self.progress, self.watch = spec, progress, watch
        self.data = iris()
        self.gradients = fleet.of_dense(spec.activation, "cross-entropy")
        self.model = self._factory()
        self.rows: list[dict[str, Any]] = []

    def _factory(self) -> nn.Module:
        spec = self.spec
        return fleet.dense(4, 3, spec.width, spec.depth, spec.activation).double()

    def run(self) -> Result:
        spec, n = self.spec, self.data.n
        seeds = range(spec.seed, spec.seed + spec.seeds)
        networks = fleet.stacked([training.build(self._factory, seed) for seed in seeds])
        everything = fleet.leave_one_out(n, [None] * spec.seeds)
        with self.watch.stage(f"Training {spec.seeds} networks", spec.train_steps):
            origin = self._descend(networks, lambda step: everything, spec.train_steps)
        facts, jobs = [], []
        with self.watch.stage("Estimates", spec.seeds):
            for number, seed in enumerate(seeds):
                said = self._estimates(origin, number)
                facts.append({"seed": seed, **said})
                jobs += [(number, None), *((number, place) for place in said["places"].tolist())]
                self.progress.advance()
        numbers = [number for number, _ in jobs]
        weights = reweighted(n, [place for _, place in jobs], spec.intervention)
        for noise in spec.noises:
            with self.watch.stage(f"Training on, noise: {noise}", spec.steps):
                self._train_on(noise, fleet.chosen(origin, numbers), weights, facts)
            self.progress.partial("curve", lambda: pd.DataFrame(self.rows))
        kept = [{key: value for key, value in row.items() if not isinstance(value, Tensor)} for row in facts]
        return Result(
            {"experiment": spec.experiment, **spec.model_dump(mode="json")},
            {"curve": pd.DataFrame(self.rows), "networks": pd.DataFrame(kept)},
            provenance(
                torch.device("cpu"),
                self.watch,
                seed=spec.seed,
                data=self.data.title,
                N=n,
                test_examples=len(self.data.test[1]),
                p=sum(part[0].numel() for part in origin),
                dtype="float64",
            ),
        )

    def _descend(
        self,
        start: Fleet,
        weights: Callable[[int], Tensor],
        steps: int,
        watch: Callable[[int, Fleet], None] | None = None,
    ) -> Fleet:
        def advance(units: int) -> None:
            self.progress.advance(units)
            self.progress.check()

        return fleet.descend(
            start,
            self.gradients,
            fleet.always(self.data.train[0], self.data.wanted()),
            weights,
            torch.full((len(start[0]),), self.spec.weight_decay, dtype=torch.float64),
            steps=steps,
            rate=self.spec.rate,
            advance=advance,
            watch=watch,
        )

    def _estimates(self, origin: Fleet, number: int) -> dict[str, Any]:
        """Of one network at the intervention: the test example, the points, and what is predicted of them."""
        spec, data = self.spec, self.data
        model = filled(self.model, fleet.member(origin, number))
        train, test = (
            Risk(model, F.cross_entropy, data.examples(part), torch.arange(len(labels)), mu)
            for part, labels, mu in (("train", data.train[1], spec.weight_decay), ("test", data.test[1], 0.0))
        )
        losses = test.losses()
        index = int(losses.argmax())
        target = Risk(model, F.cross_entropy, test.examples, torch.tensor([index]))
        estimates = Dense(train, target, Sampling(1, 1, spec.seed), self.progress.check)
        ranking = estimates.ranking(spec.damping)
        places = torch.argsort(ranking.abs(), descending=True, stable=True)[: spec.points]
        sign = 1.0 if spec.intervention == "removal" else -1.0
        exact = estimates.predict("exact", spec.damping, places)
        return {
            "test_index": index,
            "test_loss": float(losses[index]),
            "gradient_norm": estimates.stationarity(),
            "norm_predicted": float(exact.norms.median()),
            "lambda_min": estimates.extent()[0],
            "lambda_max": estimates.extent()[1],
            "places": places,
            "influence": sign * exact.changes,
            "gradient-product": sign * (estimates.gradients[places] @ estimates.slope),
        }

    def _train_on(self, noise: Noise, start: Fleet, weights: Tensor, facts: list[dict[str, Any]]) -> None:
        spec, wanted = self.spec, set(moments(self.spec.steps))
        origin = fleet.vectors(start).clone()
        generator = torch.Generator().manual_seed(spec.seed)

        def weighted(step: int) -> Tensor:
            if noise == "none":
                return weights
            return weights * batches(len(weights), self.data.n, spec.batch, noise == "shared", generator)

        def watch(step: int, networks: Fleet) -> None:
            if step in wanted:
                self._measure(noise, step, networks, origin, facts)

        self._descend(start, weighted, spec.steps, watch)

    def _measure(self, noise: Noise, step: int, networks: Fleet, origin: Tensor, facts: list[dict[str, Any]]) -> None:
        thetas = fleet.vectors(networks)
        count = self.spec.points + 1
        for number, said in enumerate(facts):
            rows = slice(number * count, (number + 1) * count)
            losses = self._losses([part[rows] for part in networks], said["test_index"])
            own, start = thetas[rows], origin[rows]
            changes = losses[1:] - losses[0]
            known = {
                "noise": noise,
                "seed": said["seed"],
                "steps": step,
                "divergence": float((own[1:] - own[0]).norm(dim=1).median()),
                "travelled": float((own[0] - start[0]).norm()),
                "spread": float(changes.std()),
            }
            for estimate in ("influence", "gradient-product"):
                found = correlations(said[estimate].numpy(), changes.numpy())
                self.rows.append({**known, "estimate": estimate, "pearson": found[0], "spearman": found[1]})

    def _losses(self, networks: Fleet, index: int) -> Tensor:
        """Of one test example, for every network: (m,)."""
        names = [name for name, _ in self.model.named_parameters()]
        inputs, label = self.data.test[0][[index]], self.data.test[1][[index]]
        with torch.no_grad():
            outputs = vmap(lambda named: functional_call(self.model, named, (inputs,)))(
                dict(zip(names, networks, strict=True))
            )
        return F.cross_entropy(outputs[:, 0], label.expand(len(outputs)), reduction="none")


def reweighted(n: int, places: list[int | None], intervention: str) -> Tensor:
    """Weights of the mean loss after an intervention on one example for each network: float64, (m, n).

    A doubled example has 2/(N + 1) and the others 1/(N + 1); for a removed one see `fleet.leave_one_out`.
    """
    if intervention == "removal":
        return fleet.leave_one_out(n, places)
    weights = fleet.leave_one_out(n, [None] * len(places))
    for row, place in enumerate(places):
        if place is not None:
            weights[row] = 1 / (n + 1)
            weights[row, place] = 2 / (n + 1)
    return weights


def batches(networks: int, n: int, size: int, shared: bool, generator: torch.Generator) -> Tensor:
    """Factors of the weights that make a random batch of `size` of n examples: n/size inside it, 0 outside, (m, n)."""
    drawn = torch.rand(1 if shared else networks, n, generator=generator, dtype=torch.float64)
    inside = torch.zeros_like(drawn).scatter_(1, drawn.topk(size, dim=1).indices, n / size)
    return inside.expand(networks, n)
