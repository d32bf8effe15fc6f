"""What is asked of a scenario when it is recorded: a list of questions, the most wanted first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gif_dash import published
from gif_dash.specs import BackdoorSpec, CriteriaSpec, FragilitySpec, MethodsSpec, RemovalSpec, Spec, SpectrumSpec

#: Seeds of sampling: same network, same retraining, other samples behind curvature, gradient and sweep.
SEEDS = 3
#: The estimators of Table 2, and the step that costs one gradient.
METHODS = ("gif", "fif", "pif", "gradient")
#: Samples of the large networks: 512 for curvature and gradient, as in the authors' code; 2,000 test images for the
#: points of a sweep (s = 0, 1 and the best have all of them).
LARGE = {"curvature_samples": 512, "forget_samples": 512, "sweep_samples": 2000}


@dataclass(frozen=True)
class Plan:
    """Questions about one scenario.

    Attributes:
        removals: class removals by (seed, MR).
        others: further questions.
        forget: the classes whose retraining all removals share.
    """

    removals: tuple[RemovalSpec, ...]
    others: tuple[Spec, ...] = ()
    forget: tuple[int, ...] = (8,)

    @property
    def questions(self) -> tuple[Spec, ...]:
        """All of them, in the order in which they are computed: other sampling seeds come last."""
        first = [spec for spec in self.removals if spec.seed == self.removals[0].seed]
        return (*first, *self.others, *(spec for spec in self.removals if spec not in first))

    def methods(self) -> list[tuple[MethodsSpec, list[RemovalSpec]]]:
        """For every sampling seed the question about methods that its removals answer together."""
        found = []
        for seed in dict.fromkeys(spec.seed for spec in self.removals):
            parts = [spec for spec in self.removals if spec.seed == seed]
            shared = {name: getattr(parts[0], name) for name in MethodsSpec.model_fields if hasattr(parts[0], name)}
            found.append((MethodsSpec.parse({**shared, "mrs": tuple(part.mr for part in parts), "seeds": 1}), parts))
        return found


def plan(name: str, *, forget: int = 8, seeds: int = SEEDS, quick: bool = False) -> Plan:
    """What is recorded of a scenario.

    Args:
        name: of the scenario.
        forget: the removed class; 8 is "8" on MNIST and "ship" on CIFAR-10, as published.
        seeds: of sampling.
        quick: one seed, two MRs and few images, to see that all works.
    """
    known: dict[str, Any] = {"scenario": name, "forget_classes": (forget,)}
    if quick:
        few = {"curvature_samples": 64, "forget_samples": 64, "sweep_samples": 50, "iterations": 2, "s_max": 100.0}
        removals = [RemovalSpec.parse({**known, **few, "mr": mr, "methods": ("gif", "fif")}) for mr in (10.0, 50.0)]
        cells = CriteriaSpec.parse({**known, **few, "criteria": ("top-outputs", "random"), "mrs": (10.0,)})
        return Plan(tuple(removals), (cells,), (forget,))
    samples = LARGE if name in ("mnist-resnet18", "cifar10-vgg11") else {}
    removals = [
        RemovalSpec.parse({**known, **samples, "methods": METHODS, "mr": mr, "seed": seed})
        for seed in range(seeds)
        for mr in published.METHODS_MRS
    ]
    others: tuple[Spec, ...] = ()
    if name != "cifar10-vgg11":  # Table 1 is about MNIST
        criteria = {"criteria": tuple(published.CRITERIA), "mrs": published.CRITERIA_MRS}
        others = (CriteriaSpec.parse({**known, **samples, **criteria}),)
    if name == "mnist-cnn":
        others += (*_backdoor(name), _spectrum(name))
    return Plan(tuple(removals), others, (forget,))


def studies(*, quick: bool = False) -> tuple[Spec, ...]:
    """What is recorded of experiments that train networks of their own: those that take many minutes.

    The small CNN on a tenth of MNIST of Basu et al. (2021), with their weight decay and without, 20 removals each.

    Args:
        quick: a small network on Iris instead, to see that all works.
    """
    if quick:
        few = {"vary": "weight-decay", "values": (0.0, 0.001), "points": 3, "seeds": 1, "width": 2}
        return (FragilitySpec.parse({**few, "train_steps": 200, "steps": 200}),)
    network = {"data": "mnist", "vary": "weight-decay", "values": (0.0, 0.001), "hessians": ("exact", "sample")}
    return (FragilitySpec.parse({**network, "seeds": 1, "rate": 0.02, "curvature_samples": 1000, "steps": 1500}),)


def _backdoor(name: str) -> list[BackdoorSpec]:
    """Our protocol, and the published sizes of samples with the whole test set."""
    methods = ("gif", "fif", "pif", "if", "gradient", "if2")
    ours = {"scenario": name, "methods": methods}
    whole = {"iterations": 1, "report": "whole", "curvature_samples": 2048, "forget_samples": 6000}
    return [BackdoorSpec.parse(ours), BackdoorSpec.parse({**ours, **whole})]


def _spectrum(name: str) -> SpectrumSpec:
    alphas = tuple(sorted({alpha for points in published.SPECTRUM.values() for alpha, _ in points}))
    return SpectrumSpec.parse(
        {"scenario": name, "norm": "plain", "alphas": alphas, "count": 500, "images": "test-first"}
    )
