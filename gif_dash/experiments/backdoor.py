"""Backdoor: Fig. 5 of the GIF paper and its table. A network that learned a trigger is repaired by one step.

The corrupted pictures U carry a trigger and a wrong label. *Relabelling* moves the network to where training with their
right labels would have led, *removal* to where training without them would. The edited networks θ̂ + sΔ are measured on
test pictures, clean and triggered; the best s is chosen on one half of them and reported on the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Self

import pandas as pd
import torch
from torch import Tensor, nn

from gif_dash.experiments.editing import may_train
from gif_dash.experiments.metrics import Answers, accuracy_error, answers, removal_score, sample, score_error
from gif_dash.experiments.provenance import Stopwatch
from gif_dash.experiments.removal import Removal
from gif_dash.experiments.solving import Solving
from gif_dash.experiments.sweep import ROW_ORDER, TestImages, held
from gif_dash.experiments.takehome import file_metadata
from gif_dash.influence import (
    Curvature,
    GaussNewton,
    Hessian,
    Risk,
    Selection,
    Settings,
    Tick,
    Update,
    estimate,
    no_tick,
    relabelling_gradient,
)
from gif_dash.progress import Progress
from gif_dash.results import Result
from gif_dash.scenarios import Kind, NoColdReference, Prepared, Reference, ScenarioError, checkpoints, load
from gif_dash.scenarios.backdoor import Attack, Backdoor, Trigger, attacked, png
from gif_dash.scenarios.training import few_threads
from gif_dash.specs import BackdoorSpec, Method
from gif_dash.spelling import to_cli

#: Test pictures that are shown with the networks' answers, at most; of different classes.
SHOWN = 12


def run(spec: BackdoorSpec, progress: Progress) -> Result:
    """Corrupt a scenario's training data, train on them, repair the network and measure the repairs.

    Returns:
        tables ``sweep`` (the main one), ``solves``, ``trust``, ``layers``, ``answers`` (what every network says to the
        shown pictures) and ``pictures`` (as data URLs).

    Raises:
        gif_dash.specs.SpecError: the scenario does not have what the spec names.
        gif_dash.scenarios.ScenarioError: the scenario cannot be had, its data are no pictures, or the corrupted
            network is not there and the asker has no patience.
        gif_dash.influence.InfluenceError: the engine cannot do what is asked.
        gif_dash.progress.Cancelled: from `progress`.
    """
    with Repair.asked(spec, progress) as repair:
        return repair.run()


def edited_model(spec: BackdoorSpec, method: Method, scalar: float, progress: Progress) -> nn.Module:
    """The repaired network θ̂ + sΔ of a method, computed again from the spec; errors as `run`."""
    return edited(spec, method, scalar, progress)[0]


def edited(spec: BackdoorSpec, method: Method, scalar: float, progress: Progress) -> tuple[nn.Module, dict[str, Any]]:
    """`edited_model`, with the provenance of its computation."""
    with Repair.asked(spec, progress) as repair:
        selection, gradient = repair.system()
        update = repair.solve((method,), gradient, selection.indices)[method]
        return repair.edited(update, scalar), repair.provenance(selection)


def edited_file(spec: BackdoorSpec, method: Method, scalar: float, progress: Progress) -> bytes:
    """`edited_model` as the bytes of a safetensors file; see `gif_dash.experiments.takehome.edited_file`."""
    model, known = edited(spec, method, scalar, progress)
    asked = {"experiment": spec.experiment, **spec.model_dump(mode="json")}
    return checkpoints.encode(model.state_dict(), file_metadata(asked, method, scalar, known))


def attack_of(spec: BackdoorSpec) -> Attack:
    """What the question does to the training data."""
    return Attack(Trigger(spec.pattern, spec.strength), spec.target, spec.share, spec.seed)


class Repair(Removal):
    """One run. A removal of the corrupted pictures, but for the system that is solved and what is measured.

    Args:
        spec: the question.
        backdoor: the scenario under attack.
        progress: told about everything; may cancel.
        watch: announces the stages.
    """

    def __init__(self, spec: BackdoorSpec, backdoor: Backdoor, progress: Progress, watch: Stopwatch) -> None:
        self.question = spec
        self.backdoor = backdoor
        super().__init__(spec.removal(tuple(backdoor.group.tolist())), backdoor.corrupted, progress, watch)
        self._second_order: list[Hessian | GaussNewton] = []
        if spec.repair == "relabelling":
            self.solving.close()
            if spec.weighting == "exact":
                self.retain = torch.arange(len(self.prepared.train_labels))  # D′ = R ∪ U_right
            # R is the same in both data sets, so the Hessian over R is the published one here, too.
            self.solving = Solving(
                self.spec, backdoor.relabelled, self.model, self.forget, self.retain, progress, watch
            )
            self.hessian = self.solving.hessian

    @classmethod
    @contextmanager
    def asked(cls, spec: BackdoorSpec, progress: Progress) -> Iterator[Self]:
        """Load the scenario, check the question against it, corrupt it, and begin; errors as `run`."""
        watch = Stopwatch(progress)
        with watch.stage("Loading the scenario"):
            original = load(spec.scenario, progress)
        spec.check(original.card)

        def allowed() -> bool:
            if may_train(spec.scenario, original, progress):
                return True
            raise ScenarioError(f"the corrupted network takes minutes to train and is not here yet: run {to_cli(spec)}")

        with watch.stage("Training the corrupted network"):
            backdoor = attacked(original, attack_of(spec), progress, allowed)
        with few_threads(original.model), cls(spec, backdoor, progress, watch) as begun:
            yield begun

    def __exit__(self, *_: object) -> None:
        for operator in self._second_order:
            if isinstance(operator, Hessian):
                operator.close()
        super().__exit__()

    def new_sweep(self) -> Any:
        return Sweep(self.backdoor, self.every, self.sampled, self.progress)

    def gradient(self) -> Tensor:
        """The right-hand side g, (p,)."""
        if self.question.repair == "removal" or self.question.gradient == "retain":
            return super().gradient()
        with self.watch.stage("Gradient of what is relabelled"):
            return self.relabelling_gradient()

    def relabelling_gradient(self) -> Tensor:
        """(m/N)·(∇L_wrong − ∇L_right), or with the published weight m/(N−m); (p,)."""
        m, n = len(self.forget), len(self.prepared.train_labels)
        wrong = self._group_risk(self.backdoor.corrupted).gradient(self.progress.check)
        right = self.solving.forget_gradient
        g = relabelling_gradient(wrong, right, m, n)
        return g * (n / (n - m)) if self.question.weighting == "published" else g

    def solve(self, methods: Sequence[Method], gradient: Tensor, indices: Tensor) -> dict[Method, Update]:
        if self.question.repair == "removal" or "if2" not in methods:
            return super().solve(methods, gradient, indices)
        first = tuple(method for method in methods if method != "if2")
        updates = super().solve(first, gradient, indices) if first else {}
        self.hessian.close()  # one curvature's graphs at a time
        with self.watch.stage("Solving for IF2 (second order)"):
            updates["if2"] = self._relabelling_second_order()
        return {method: updates[method] for method in methods}

    def _relabelling_second_order(self) -> Update:
        """IF2 with curvatures of the data as they are and of both labellings of the group."""
        prepared, seed = self.prepared, self.spec.seed
        everything = sample(torch.arange(len(prepared.train_labels)), self.spec.curvature_samples, seed + 3)
        group = sample(self.forget, self.spec.forget_samples, seed + 2)
        loss, mu = prepared.scenario.loss, prepared.weight_decay
        whole = self._curvature(Risk(self.model, loss, prepared.train, everything, mu))
        wrong = self._curvature(Risk(self.model, loss, prepared.train, group))
        right = self._curvature(Risk(self.model, loss, self.backdoor.relabelled.train, group))
        own = relabelling_gradient(
            self._group_risk(self.backdoor.corrupted).gradient(self.progress.check),
            self.solving.forget_gradient,
            len(self.forget),
            len(prepared.train_labels),
        )
        settings = Settings(solver=self.spec.solver, iterations=self.spec.iterations, damping=self.spec.damping)
        ratio = len(self.forget) / len(prepared.train_labels)
        return second_order_relabelling(whole, wrong, right, own, ratio, tick=self.progress.check, **settings)

    def _curvature(self, risk: Risk) -> Hessian | GaussNewton:
        operator = GaussNewton(risk) if self.spec.curvature == "gauss-newton" else Hessian(risk)
        self._second_order.append(operator)
        return operator

    def _group_risk(self, prepared: Prepared) -> Risk:
        """The corrupted pictures behind the gradient, under a data set's labels, without weight decay."""
        return Risk(self.model, prepared.scenario.loss, prepared.train, self.solving.forget_sample)

    def run(self) -> Result:
        sweep: Any = self.sweep
        with self.watch.stage("Measuring the corrupted network"):
            sweep.measure(self.model, "original")
        selection, gradient = self.system()
        updates = self.solve(self.question.methods, gradient, selection.indices)
        best = self.measure(sweep, updates)
        trust = self._trust(updates, best)
        references, missing, impatient = self.references(sweep)
        distances = self._distances(updates, best, references)
        return Result(
            {"experiment": self.question.experiment, **self.question.model_dump(mode="json")},
            {
                "sweep": sweep.table(),
                "solves": self._solves_table(updates, gradient),
                "trust": trust.merge(distances, on=["method", "mark"], how="left"),
                "layers": self._layers_table(updates, selection),
                "answers": sweep.said(),
                "pictures": sweep.pictures(),
            },
            self.provenance(
                selection,
                references,
                incomplete=missing,
                impatient=impatient,
                floor=sweep.floor,
                target=self.prepared.scenario.classes[self.question.target],
                corrupted_training=self.backdoor.note,
                hvps=self.solving.products + sum(operator.products for operator in self._second_order),
                deviations=self.deviations(),
            ),
        )

    def provenance(
        self,
        selection: Selection | None = None,
        references: Mapping[str, Reference] = MappingProxyType({}),
        **facts: Any,
    ) -> dict[str, Any]:
        known = super().provenance(selection, references)
        return {**known, "self_images": "test pictures, clean and triggered", **facts}

    def deviations(self) -> list[str]:
        """What the settings do not say; sentences."""
        if self.question.repair == "removal":
            return self.solving.deviations()
        said = [sentence for sentence in self.solving.deviations() if not sentence.startswith("IF2")]
        if "if2" in self.question.methods:
            said.append(
                "IF2 is derived here for relabelling (the paper gives none): "
                "Δ = Δ₁ − (m/N)·H_D⁻¹(H_right − H_wrong)Δ₁ with Δ₁ = H_D⁻¹g, always with the exact weight"
            )
        if self.question.weighting == "published":
            said.append(
                "the weight m/(N−m) and the curvature of the pictures never corrupted are as published; s = 1 is then "
                "not exact for a quadratic loss"
            )
        return said

    def references(self, sweep: Any, seeds: int = 1) -> tuple[dict[str, Reference], str, bool]:
        """Measure networks trained on the repaired data; returns as `Editing.references`."""
        kinds: tuple[tuple[str, Kind], ...] = (("retrain", "cold"), ("retrain_warm", "warm"))
        found: dict[str, Reference] = {}
        missing: list[str] = []
        impatient = False
        for method, kind in kinds:
            known = self.backdoor.has_reference(self.question.repair, kind)
            if not known and not may_train(self.question.scenario, self.prepared, self.progress):
                impatient = True
                missing.append(
                    f"the retrained network takes minutes to train and is not here yet: run {to_cli(self.question)}"
                )
                continue
            try:
                reference = self.backdoor.reference(self.question.repair, kind, self.progress)
            except NoColdReference as error:
                missing.append(str(error))
                continue
            with self.watch.stage("Measuring the retrained network"):
                sweep.measure(self.prepared.network(reference.state), method)
            found[method] = reference
        return found, "; ".join(dict.fromkeys(missing)), impatient


def second_order_relabelling(
    whole: Curvature,
    wrong: Curvature,
    right: Curvature,
    gradient: Tensor,
    ratio: float,
    *,
    tick: Tick = no_tick,
    **settings: Any,
) -> Update:
    """The second-order influence of relabelling, after Basu, You & Feizi 2020, who give it for removal.

    With q = m/N the relabelled risk is F_D + q·(L_right − L_wrong), so that on a quadratic
    (H_D + q·(H_right − H_wrong))Δ = g with g = q·(∇L_wrong − ∇L_right). To second order in q:
    Δ₁ = H_D⁻¹g and Δ = Δ₁ − q·H_D⁻¹(H_right − H_wrong)Δ₁; the error relative to Δ falls as q².

    Args:
        whole: H_D + μI, of the data with the wrong labels.
        wrong, right: H of the group under both labellings, without weight decay.
        gradient: g, (p,).
        ratio: q.
        tick: called between micro-batches; may raise to cancel.
        settings: of both solves, see `gif_dash.influence.estimate`.

    Raises:
        gif_dash.influence.InfluenceError: as `gif_dash.influence.estimate`.
    """
    everything = torch.arange(whole.size)
    first = estimate("if", whole, gradient, everything, tick=tick, **settings)
    image = (right.matvec(first.delta, tick) - wrong.matvec(first.delta, tick)).to(gradient)
    second = estimate("if", whole, ratio * image, everything, tick=tick, **settings)
    worse = max(first.report, second.report, key=lambda report: report.optimality)
    terms = float(second.delta.norm() / first.delta.norm()) if bool(first.delta.any()) else 0.0
    said = "two solves with the Hessian of all data, one product with the group's under each label"
    if terms > 1:
        said = f"the second term is {terms:.3g} times as long as the first: the expansion in m/N does not hold here"
    report = replace(
        worse,
        method="if2",
        iterations=first.report.iterations + second.report.iterations,
        products=first.report.products + second.report.products + 2,
        seconds=first.report.seconds + second.report.seconds,
        message="; ".join(filter(None, (worse.message, said))),
    )
    return Update(first.delta - second.delta, report)


@dataclass(frozen=True)
class _Said:
    """What a network says to the test pictures, without and with the trigger."""

    clean: Answers
    triggered: Answers


class Sweep:
    """Measures networks on clean and on triggered test pictures; the table's rows.

    A point of the sweep is measured on a sample of the pictures, everything else on all of them.

    Args:
        backdoor: the scenario under attack.
        every, sampled: test pictures, all and those behind a point.
        progress: told about the table; may cancel.
    """

    def __init__(self, backdoor: Backdoor, every: TestImages, sampled: TestImages, progress: Progress) -> None:
        self.backdoor = backdoor
        self.every = every
        self.sampled = sampled
        self.progress = progress
        self.rows: list[dict[str, Any]] = []
        prepared = backdoor.corrupted
        self._held = [held(examples, sampled.indices) for examples in (prepared.test, backdoor.triggered)]
        self._mask = torch.isin(every.indices, sampled.indices)
        self._known: dict[str, dict[float, _Said]] = {}
        self._shown = _shown(prepared.test_labels, sampled)
        self._answers: list[dict[str, Any]] = []

    @property
    def floor(self) -> float:
        """Share of the reporting pictures whose right label is the corrupt one, in percent."""
        labels = self.backdoor.corrupted.test_labels[self.every.report]
        return 100 * float((labels == self.backdoor.attack.target).double().mean())

    def measure(self, model: nn.Module, method: str, seed: int = 0) -> None:
        """Add the row of the corrupted network or of a retrained one."""
        said = self._ask(model, self.every.indices)
        self._add(said, self.every, method, math.nan, "")
        self._remember(_part(said, self.sampled.indices), method, math.nan)

    def point(self, model: nn.Module, method: str, scalar: float) -> None:
        """Add the row of a repaired network, measured on the sample."""
        inside = torch.arange(len(self.sampled.indices))
        clean, triggered = (self._answers_to(model, examples, inside) for examples in self._held)
        said = _Said(clean, triggered)
        self._add(said, self.sampled, method, scalar, "")
        self._remember(said, method, scalar)
        kept = self._known.setdefault(method, {})
        kept[scalar] = said
        for other in set(kept) - {1.0, self.best(method)}:
            del kept[other]

    def complete(self, model: nn.Module, method: str, scalar: float, mark: str) -> None:
        """Add the marked row of a repaired network, measured on all pictures; `point` has asked some of them."""
        known, rest = self._known[method][scalar], self._ask(model, self.every.indices[~self._mask])
        said = _Said(
            known.clean.joined(rest.clean, self._mask),
            known.triggered.joined(rest.triggered, self._mask),
        )
        self._add(said, self.every, method, scalar, mark)

    def best(self, method: str) -> float:
        """The scalar with the highest score on the choosing pictures; the smallest of equals."""
        rows = [row for row in self.rows if row["method"] == method and not row["mark"]]
        scored = [row for row in rows if not math.isnan(row["choice_score"])]
        return min(scored, key=lambda row: (-row["choice_score"], row["scalar"]))["scalar"] if scored else 1.0

    def table(self) -> pd.DataFrame:
        """References first, then the methods, each with its scalars in order and its marked rows last."""
        rows = sorted(
            self.rows,
            key=lambda row: (
                ROW_ORDER.index(row["method"]),
                row["mark"] != "",
                0.0 if math.isnan(row["scalar"]) else row["scalar"],
            ),
        )
        return pd.DataFrame(rows)

    def said(self) -> pd.DataFrame:
        """Answers to the shown pictures: method, scalar, picture (position in `pictures`), triggered, predicted."""
        return pd.DataFrame(self._answers)

    def pictures(self) -> pd.DataFrame:
        """The shown pictures: picture, test_index, label, clean and triggered (data URLs)."""
        indices = self.sampled.indices[self._shown]
        prepared, levels = self.backdoor.corrupted, self.backdoor.greys.levels
        clean, triggered = (levels(examples.batch(indices)[0]) for examples in (prepared.test, self.backdoor.triggered))
        return pd.DataFrame(
            {
                "picture": range(len(indices)),
                "test_index": indices.tolist(),
                "label": prepared.test_labels[indices].tolist(),
                "clean": [png(picture) for picture in clean],
                "triggered": [png(picture) for picture in triggered],
            }
        )

    def _ask(self, model: nn.Module, indices: Tensor) -> _Said:
        tests = (self.backdoor.corrupted.test, self.backdoor.triggered)
        clean, triggered = (self._answers_to(model, examples, indices) for examples in tests)
        return _Said(clean, triggered)

    def _answers_to(self, model: nn.Module, examples: Any, indices: Tensor) -> Answers:
        return answers(model, self.backdoor.corrupted.scenario.loss, examples, indices, self.progress.check)

    def _add(self, said: _Said, images: TestImages, method: str, scalar: float, mark: str) -> None:
        measured = self._metrics(said, images.report)
        row = {
            "method": method,
            "scalar": scalar,
            "mark": mark,
            **measured,
            "choice_score": self._metrics(said, images.choose)["score"],
            "images": int(images.report.sum()),
        }
        self.rows.append(row)
        self.progress.partial("sweep", self.table)

    def _metrics(self, said: _Said, where: Tensor) -> dict[str, float]:
        """Accuracies in percent over a mask of the pictures, their score and the standard errors."""
        count, target = int(where.sum()), self.backdoor.attack.target
        fooled = 100 * float((said.triggered.predicted[where] == target).double().mean()) if count else math.nan
        right, clean = said.triggered.accuracy(where), said.clean.accuracy(where)
        errors = [accuracy_error(accuracy, count) for accuracy in (fooled, right, clean)]
        return {
            "attack_success": fooled,
            "triggered_accuracy": right,
            "clean_accuracy": clean,
            "score": repair_score(right, clean),
            "attack_success_se": errors[0],
            "triggered_accuracy_se": errors[1],
            "clean_accuracy_se": errors[2],
            "score_se": score_error(right, 100 - clean, errors[1], errors[2]),
            "triggered_loss": said.triggered.mean_loss(where),
            "clean_loss": said.clean.mean_loss(where),
        }

    def _remember(self, said: _Said, method: str, scalar: float) -> None:
        for triggered, given in ((False, said.clean), (True, said.triggered)):
            for picture, predicted in enumerate(given.predicted[self._shown].tolist()):
                self._answers.append(
                    {
                        "method": method,
                        "scalar": scalar,
                        "picture": picture,
                        "triggered": triggered,
                        "predicted": predicted,
                    }
                )


def repair_score(triggered_accuracy: float, clean_accuracy: float) -> float:
    """Harmonic mean of the accuracies on triggered and on clean pictures (percent), a fraction 0 … 1."""
    return removal_score(triggered_accuracy, 100 - clean_accuracy)


def _part(said: _Said, indices: Tensor) -> _Said:
    """What was said to some of all the test pictures."""

    def part(given: Answers) -> Answers:
        return Answers(given.losses[indices], given.predicted[indices], given.labels[indices])

    return _Said(part(said.clean), part(said.triggered))


def _shown(labels: Tensor, sampled: TestImages) -> Tensor:
    """Positions among the sampled pictures of those that are shown: the first reporting one of every class."""
    of_sample = labels[sampled.indices]
    firsts = [
        int(found[0])
        for label in torch.unique(of_sample)
        if len(found := ((of_sample == label) & sampled.report).nonzero().flatten())
    ]
    return torch.tensor(firsts[:SHOWN], dtype=torch.int64)
