"""Correcting (Schioppa et al. 2023): a misprediction repaired by a few steps on training images, and what it costs.

For every mispredicted test image the network takes a few steps of plain gradient descent on the mean loss of some
training images: those whose upweighting lowers the loss of the right answer most by influence, those with the nearest
inputs, or random ones. It is repaired at the first step after which the answer is right; the cost is what the accuracy
on all the other test images loses until then.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from gif_dash.experiments.metrics import answers, sample
from gif_dash.experiments.provenance import Stopwatch, provenance
from gif_dash.influence import Hessian, ParameterIndex, Risk
from gif_dash.influence.attribution import influences
from gif_dash.progress import Progress
from gif_dash.results import Result
from gif_dash.scenarios import Prepared, ScenarioError, load
from gif_dash.scenarios.training import few_threads
from gif_dash.specs import CorrectingSpec


def run(spec: CorrectingSpec, progress: Progress) -> Result:
    """Take the first mispredictions, repair each of them in every way, measure the cost.

    Returns:
        tables ``repairs`` (the main one: a row for every test image, choice, number of images and repeat), ``summary``
        (for every choice and number of images) and ``steps`` (the loss of the test image after every step).

    Raises:
        gif_dash.specs.SpecError: the scenario does not have what the spec names.
        gif_dash.scenarios.ScenarioError: the scenario cannot be had, or nothing is mispredicted.
        gif_dash.influence.InfluenceError: the influence cannot be computed.
        gif_dash.progress.Cancelled: from `progress`.
    """
    watch = Stopwatch(progress)
    with watch.stage("Loading the scenario"):
        prepared = load(spec.scenario, progress)
    spec.check(prepared.card)
    with few_threads(prepared.model):
        return _Correcting(spec, prepared, progress, watch).run()


class _Correcting:
    def __init__(self, spec: CorrectingSpec, prepared: Prepared, progress: Progress, watch: Stopwatch) -> None:
        self.spec, self.prepared, self.progress, self.watch = spec, prepared, progress, watch
        self.every = torch.arange(len(prepared.train_labels))
        self.tests = torch.arange(len(prepared.test_labels))
        self.repairs: list[dict[str, Any]] = []
        self.steps: list[dict[str, Any]] = []
        self.products = 0

    def run(self) -> Result:
        spec, prepared = self.spec, self.prepared
        model = prepared.network()
        with self.watch.stage("Asking the network about all test images"):
            said = answers(model, prepared.scenario.loss, prepared.test, self.tests, self.progress.check)
        wrong = (said.predicted != said.labels).nonzero().flatten()
        if not len(wrong):
            raise ScenarioError("this network mispredicts none of the test images: there is nothing to correct")
        chosen = wrong[: spec.mispredictions]
        right = said.predicted == said.labels
        orders = self._orders(model, chosen)
        ways = [(choice, repeat) for choice in spec.choices for repeat in range(self._repeats(choice))]
        with self.watch.stage("Correcting", len(chosen) * len(ways) * len(spec.examples)):
            for index in chosen.tolist():
                for choice, repeat in ways:
                    for m in spec.examples:
                        self._repair(index, choice, repeat, orders[choice, repeat, index][:m], right)
                        self.progress.advance()
                self.progress.partial("repairs", lambda: pd.DataFrame(self.repairs))
        repairs = pd.DataFrame(self.repairs)
        return Result(
            {"experiment": spec.experiment, **spec.model_dump(mode="json")},
            {"repairs": repairs, "summary": summarised(repairs), "steps": pd.DataFrame(self.steps)},
            provenance(
                prepared.device,
                self.watch,
                seed=spec.seed,
                scenario=prepared.card.title,
                fingerprint=prepared.card.fingerprint,
                data_note=prepared.card.data_note,
                classes=list(prepared.card.classes),
                wrong=len(wrong),
                test_images=len(self.tests),
                hvps=self.products,
            ),
        )

    def _repeats(self, choice: str) -> int:
        return self.spec.repeats if choice == "random" else 1

    def _orders(self, model: nn.Module, chosen: Tensor) -> dict[tuple[str, int, int], Tensor]:
        """For every choice, repeat and test image: the training images to take, best first."""
        spec, prepared, most = self.spec, self.prepared, max(self.spec.examples)
        found: dict[tuple[str, int, int], Tensor] = {}
        loss = prepared.scenario.loss
        if "influence" in spec.choices:
            train = Risk(model, loss, prepared.train, self.every, prepared.weight_decay)
            drawn = sample(self.every, spec.curvature_samples, spec.seed)
            targets = [Risk(model, loss, prepared.test, chosen[[place]]) for place in range(len(chosen))]
            curved = Risk(model, loss, prepared.train, drawn, prepared.weight_decay)
            with self.watch.stage("Influence"), Hessian(curved) as curvature:
                scores = influences(
                    train,
                    curvature,
                    targets,
                    solver="minres",
                    iterations=spec.iterations,
                    damping=spec.damping,
                    tick=self.progress.check,
                )
                self.products = curvature.products
            for index, influence in zip(chosen.tolist(), scores, strict=True):  # helpful: I < 0
                found["influence", 0, index] = torch.argsort(influence.scores, stable=True)[:most]
        for index in chosen.tolist() if "nearest" in spec.choices else ():
            inputs, _ = prepared.test.batch(torch.tensor([index]))
            near = nearest(prepared, self.every, inputs, self.progress)
            found["nearest", 0, index] = torch.argsort(near, stable=True)[:most]
        for repeat in range(spec.repeats if "random" in spec.choices else 0):
            generator = torch.Generator().manual_seed(spec.seed + repeat)
            for index in chosen.tolist():
                found["random", repeat, index] = torch.randperm(len(self.every), generator=generator)[:most]
        return found

    def _repair(self, index: int, choice: str, repeat: int, places: Tensor, right: Tensor) -> None:
        """Steps until the answer is right, or all of them; then the cost."""
        spec, prepared = self.spec, self.prepared
        model, where = prepared.network(), torch.tensor([index])
        parameters, theta = ParameterIndex.of(model), ParameterIndex.of(model).vector(model)
        risk = Risk(model, prepared.scenario.loss, prepared.train, places)
        key = {"test_index": index, "choice": choice, "m": len(places), "repeat": repeat}
        repaired, after = math.nan, theta
        for step in range(spec.steps + 1):
            self.progress.check()
            if step:
                parameters.add(model, risk.gradient(self.progress.check), -spec.rate)
            said = answers(model, prepared.scenario.loss, prepared.test, where, self.progress.check)
            self.steps.append({**key, "step": step, "loss": float(said.losses[0])})
            if int(said.predicted[0]) == int(said.labels[0]):
                repaired = float(step)
                break
        after = parameters.vector(model)
        said = answers(model, prepared.scenario.loss, prepared.test, self.tests, self.progress.check)
        others = self.tests != index
        accuracy = said.accuracy(others)
        before = 100 * float(right[others].double().mean())
        self.repairs.append(
            {
                **key,
                "repaired": not math.isnan(repaired),
                "steps": repaired,
                "label": int(prepared.test_labels[index]),
                "same_class": float((prepared.train_labels[places] == prepared.test_labels[index]).double().mean()),
                "rest_accuracy": accuracy,
                "cost": before - accuracy,
                "moved": float((after - theta).norm()),
            }
        )


def nearest(prepared: Prepared, indices: Tensor, inputs: Tensor, progress: Progress) -> Tensor:
    """Euclidean distances of training inputs to one input (1, …): float64, CPU, (n,)."""
    found = []
    for chunk in torch.split(indices, 1000):
        progress.check()
        batch, _ = prepared.train.batch(chunk)
        found.append((batch - inputs.to(batch)).flatten(1).double().norm(dim=1).cpu())
    return torch.cat(found)


def summarised(repairs: pd.DataFrame) -> pd.DataFrame:
    """For every choice and number of images: share repaired, median steps of those, mean cost."""
    groups = repairs.groupby(["choice", "m"], sort=False)
    return pd.DataFrame(
        {
            "repaired": 100 * groups["repaired"].mean(),
            "steps": groups["steps"].median(),
            "cost": groups["cost"].mean(),
            "cost_sd": groups["cost"].std(),
            "same_class": 100 * groups["same_class"].mean(),
            "moved": groups["moved"].median(),
            "n": groups.size(),
        }
    ).reset_index()
