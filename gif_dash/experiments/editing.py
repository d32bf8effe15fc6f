"""Editing a network as if some training examples had never been seen: what all experiments about it share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Self

import torch
from torch import Tensor

from gif_dash import catalog
from gif_dash.experiments.provenance import Stopwatch, provenance
from gif_dash.experiments.solving import Solving
from gif_dash.experiments.sweep import FINE_POINTS, Sweep, TestImages, coarse_scalars, fine_scalars
from gif_dash.influence import ParameterIndex, Selection, Update, select
from gif_dash.progress import Progress
from gif_dash.scenarios import Kind, NoColdReference, Prepared, Reference, load
from gif_dash.scenarios.training import few_threads
from gif_dash.specs import LABELS, Criterion, Method, RemovalSpec
from gif_dash.spelling import to_cli

#: A scenario whose training took longer than this many seconds is retrained for a patient asker only. (Those of the
#: catalog say themselves whether they are quick: a busy machine must not decide what a page shows.)
LONG_TRAINING = 60.0


def may_train(scenario: str, prepared: Prepared, progress: Progress) -> bool:
    """Whether a training of a scenario may be started for whoever asks; no visitor's click starts a long one."""
    entry = catalog.SCENARIOS.get(scenario)
    quick = entry.quick if entry else prepared.card.seconds.get("train", 0.0) <= LONG_TRAINING
    return progress.patient or quick


class Editing:
    """One trained network, one forget group, one pair of samples: select, solve, sweep along s, compare.

    A context manager: leaving it frees the graphs. Its parts may be asked for again and again, with other criteria and
    other modification ratios, as the curvature does not depend on them.

    Args:
        spec: the question; what is said below of criterion, MR and methods may differ from its own.
        prepared: the scenario.
        progress: told about everything; may cancel.
        watch: announces the stages.

    Attributes:
        forget, retain: training positions, int64 (m,) and (N − m,).
        model: at θ̂; belongs to the curvature's graphs, never edited.
        canvas: the network that edits are written into.
        theta: θ̂, (p,).
        every, sampled: test images, all and those behind a point of a sweep.
        solving, hessian: see `Solving`.
    """

    def __init__(self, spec: RemovalSpec, prepared: Prepared, progress: Progress, watch: Stopwatch) -> None:
        self.spec = spec
        self.prepared = prepared
        self.progress = progress
        self.watch = watch
        self.forget = prepared.forget(spec.forget_classes, spec.forget_indices)
        self.retain = prepared.retain(self.forget)
        self.model = prepared.network()
        self.canvas = prepared.network()
        self.index = ParameterIndex.of(self.model)
        self.theta = self.index.vector(self.model)
        self._by_class = not spec.forget_indices
        classes = spec.forget_classes if self._by_class else ()
        self.every = TestImages.all(prepared.test_labels, classes, spec.report)
        self.sampled = self.every.sampled(spec.sweep_samples, spec.seed)
        self.solving = Solving(spec, prepared, self.model, self.forget, self.retain, progress, watch)
        self.hessian = self.solving.hessian

    @classmethod
    @contextmanager
    def of(cls, spec: RemovalSpec, progress: Progress) -> Iterator[Self]:
        """Load the scenario, check the question against it, and begin.

        Raises:
            gif_dash.specs.SpecError: the scenario does not have what the spec names.
            gif_dash.scenarios.ScenarioError: the scenario cannot be had.
            gif_dash.progress.Cancelled: from `progress`.
        """
        watch = Stopwatch(progress)
        with watch.stage("Loading the scenario"):
            prepared = load(spec.scenario, progress)
        spec.check(prepared.card)
        with few_threads(prepared.model), cls(spec, prepared, progress, watch) as begun:
            yield begun

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.solving.close()

    def new_sweep(self) -> Sweep:
        """An empty table of measurements, on the same images every time."""
        return Sweep(self.prepared, self.forget, self.every, self.sampled, self._by_class, self.progress)

    def select(self, criterion: Criterion | None = None, mr: float | None = None) -> Selection:
        """The parameters J that may change, by the question's own criterion and MR unless others are given."""
        criterion = self.spec.criterion if criterion is None else criterion
        with self.watch.stage(f"Selecting parameters by {LABELS[criterion]}"):
            return select(
                self.model,
                self.prepared.scenario.loss,
                self.prepared.train,
                self.solving.forget_sample,
                criterion=criterion,
                mr=self.spec.mr if mr is None else mr,
                seed=self.spec.seed,
                tick=self.progress.check,
            )

    def gradient(self) -> Tensor:
        """The right-hand side g, (p,)."""
        with self.watch.stage("Gradient of what is removed"):
            return self.solving.right_hand_side()

    def system(self) -> tuple[Selection, Tensor]:
        """What is to be solved: the selected parameters J and the right-hand side g, (p,)."""
        return self.select(), self.gradient()

    def solve(self, methods: Sequence[Method], gradient: Tensor, indices: Tensor) -> dict[Method, Update]:
        """The updates of some methods, see `Solving.updates`."""
        return self.solving.updates(methods, gradient, indices)

    def edited(self, update: Update, scalar: float) -> torch.nn.Module:
        """θ̂ + sΔ in a network of its own: the Hessian's graphs belong to `self.model`."""
        self.index.assign(self.canvas, self.theta + scalar * update.delta)
        return self.canvas

    def measure(self, sweep: Sweep, updates: Mapping[Method, Update]) -> dict[Method, float]:
        """Measure every method along s, coarse and then fine, then at s = 1 and at its best s on all images."""
        coarse = coarse_scalars(self.spec.s_max)
        with self.watch.stage("Sweeping the influence scalar", len(updates) * (len(coarse) + FINE_POINTS + 2)):
            for scalar in coarse:  # all methods side by side, so that their curves grow together
                for method, update in updates.items():
                    sweep.point(self.edited(update, scalar), method, scalar)
                    self.progress.advance()
            for method, update in updates.items():
                for scalar in fine_scalars(coarse, sweep.best(method)):
                    sweep.point(self.edited(update, scalar), method, scalar)
                    self.progress.advance()
            best = {method: sweep.best(method) for method in updates}
            for method, update in updates.items():
                for mark, scalar in (("one", 1.0), ("best", best[method])):
                    sweep.complete(self.edited(update, scalar), method, scalar, mark)
                    self.progress.advance()
        return best

    def references(self, sweep: Sweep, seeds: int = 1) -> tuple[dict[str, Reference], str, bool]:
        """Measure models retrained without the forget group.

        Args:
            sweep: gets their rows.
            seeds: cold starts; the warm start has one.

        Returns:
            The first of each kind by row name, a sentence about the missing, whether patience would get them.
        """
        wanted: list[tuple[str, Kind, int]] = [("retrain", "cold", seed) for seed in range(seeds)]
        wanted.append(("retrain_warm", "warm", 0))
        first: dict[str, Reference] = {}
        missing: list[str] = []
        impatient = False
        for method, kind, seed in wanted:
            if not self.may_train(kind, seed):
                impatient = True
                missing.append(
                    f"the retrained model takes minutes to train and is not here yet: run {to_cli(self.spec)}"
                )
                continue
            try:
                reference = self.prepared.reference(self.forget, kind, seed, self.progress)
            except NoColdReference as error:
                missing.append(str(error))
                continue
            with self.watch.stage("Measuring the retrained model"):
                sweep.measure(self.prepared.network(reference.state), method, seed)
            first.setdefault(method, reference)
        return first, "; ".join(dict.fromkeys(missing)), impatient

    def may_train(self, kind: Kind, seed: int) -> bool:
        """Whether a reference is there, or may be trained for whoever asks."""
        if may_train(self.spec.scenario, self.prepared, self.progress):
            return True
        return self.prepared.has_reference(self.forget, kind, seed)

    def provenance(
        self,
        selection: Selection | None = None,
        references: Mapping[str, Reference] = MappingProxyType({}),
        **facts: Any,
    ) -> dict[str, Any]:
        """What explains the numbers, as far as the run has come."""
        prepared, spec = self.prepared, self.spec
        names = [prepared.scenario.classes[position] for position in spec.forget_classes]
        group = f"{len(self.forget)} training examples" if spec.forget_indices else ", ".join(names)
        return provenance(
            prepared.device,
            self.watch,
            seed=spec.seed,
            scenario=prepared.card.title,
            fingerprint=prepared.card.fingerprint,
            data_note=prepared.card.data_note,
            preprocessing=prepared.card.preprocessing,
            classes=list(prepared.card.classes),
            forget=group,
            self_images="removed training images" if spec.forget_indices else "test images of the removed classes",
            m=len(self.forget),
            n=len(prepared.train_labels),
            p=len(self.theta),
            **({} if selection is None else {"k": selection.k, "share": selection.share}),
            curvature_examples=self.hessian.risk.size,
            gradient_examples=len(self.solving.forget_sample) if spec.gradient == "forget" else len(self.retain),
            hvps=self.solving.products,
            curvature=spec.curvature,
            deviations=self.solving.deviations(),
            weight_decay=prepared.weight_decay,
            training=prepared.recipe.describe() if prepared.recipe else "by the user",
            references={name: reference.note for name, reference in references.items()},
            **facts,
        )
