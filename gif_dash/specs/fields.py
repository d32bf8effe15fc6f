"""Fields that the questions about edited networks share: one place for their words, ranges and defaults.

Each function makes the field of its name; a spec lists them in the order in which people are asked.
"""

from __future__ import annotations

from typing import Any, get_args

from pydantic import field_validator

from gif_dash.results import ScenarioCard
from gif_dash.specs.base import MAX_SEED, Spec, SpecError, field
from gif_dash.specs.vocabulary import Method


def scenario() -> Any:
    return field("digits-cnn", "Scenario", "the trained network and its data", widget="scenario", max_length=80)


def forget_classes() -> Any:
    return field(
        (8,),
        "Classes to forget",
        "positions of the removed classes in the scenario's list",
        widget="classes",
        max_length=1000,
    )


def methods(default: tuple[Method, ...] = ("gif", "fif", "pif")) -> Any:
    return field(
        default,
        "Methods",
        "the estimators to compare",
        widget="methods",
        unusual=("koh", "if2"),
        min_length=1,
    )


def criterion() -> Any:
    return field(
        "top-outputs",
        "Criterion",
        "which parameters may change, chosen in every convolutional and linear layer; lowest-k: negative controls",
    )


def mr(default: float = 10.0) -> Any:
    return field(default, "MR", "modification ratio: share of the parameters that may change", unit="%", gt=0, le=100)


def solver() -> Any:
    return field(
        "cgls",
        "Solver",
        "CGLS and LSMR need no constant; the Neumann series is the paper's; MINRES, CG and LiSSA cannot do GIF; direct "
        "builds the dense matrix",
        advanced=True,
    )


def curvature() -> Any:
    return field(
        "hessian",
        "Curvature",
        "the Hessian, or the Gauss–Newton matrix, whose eigenvalues are not negative",
        advanced=True,
    )


def iterations() -> Any:
    return field(
        5,
        "Iterations",
        "solver steps; fewer steps regularise more (CGLS: two Hessian-vector products each)",
        ge=1,
        le=2000,
        advanced=True,
    )


def damping() -> Any:
    return field(
        0.0,
        "Damping",
        "relative to the largest singular value of the system: λ = damping · σ_max",
        unit="σ_max",
        ge=0.0,
        le=10.0,
        advanced=True,
    )


def gradient() -> Any:
    return field(
        "forget",
        "Right-hand side",
        "m/(N−m)·(g_U + μθ̂), which assumes that training converged, or −(∇L_R + μθ̂), which does not",
        advanced=True,
    )


def curvature_samples() -> Any:
    return field(
        1024,
        "Curvature samples",
        "examples of the retain set for the Hessian, at most",
        ge=1,
        le=1_000_000,
        advanced=True,
    )


def forget_samples() -> Any:
    return field(
        1024,
        "Gradient samples",
        "examples of the forget group for the gradient, at most",
        ge=1,
        le=1_000_000,
        advanced=True,
    )


def sweep_samples() -> Any:
    return field(
        1000,
        "Sweep samples",
        "test images for the points of the sweep, at most; s = 0, 1 and the best use all of them",
        ge=10,
        le=1_000_000,
        advanced=True,
    )


def report() -> Any:
    return field(
        "held-out",
        "Best s",
        "chosen on one half of the test set and reported on the other, or both on the whole",
        advanced=True,
    )


def s_max() -> Any:
    return field(1e4, "Largest s", "end of the logarithmic sweep of the influence scalar", ge=10, le=1e6, advanced=True)


def seed() -> Any:
    return field(0, "Seed", "seed of selection and sampling", ge=0, le=MAX_SEED, advanced=True)


class ForgetsClasses(Spec):
    """A question about a scenario of which classes are forgotten: fields ``scenario`` and ``forget_classes``."""

    @field_validator("forget_classes", check_fields=False)
    @classmethod
    def _sorted_classes(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return in_order(value)

    @field_validator("methods", check_fields=False)
    @classmethod
    def _known_order(cls, value: tuple[Method, ...]) -> tuple[Method, ...]:
        return tuple(method for method in get_args(Method) if method in value)

    def check(self, card: ScenarioCard | None) -> None:
        scenario: str = self.scenario  # type: ignore[attr-defined]
        classes: tuple[int, ...] = self.forget_classes  # type: ignore[attr-defined]
        if card is None:
            raise SpecError(f"there is no scenario named {scenario!r}", "scenario")
        count = len(card.classes)
        if classes and classes[-1] >= count:
            raise SpecError(f"{card.name} has classes 0 to {count - 1}", "forget_classes")
        if len(classes) >= count:
            raise SpecError("at least one class must stay", "forget_classes")


def in_order(positions: tuple[int, ...]) -> tuple[int, ...]:
    """Positions sorted, each once.

    Raises:
        ValueError: one of them is negative.
    """
    if any(item < 0 for item in positions):
        raise ValueError("positions must not be negative")
    return tuple(sorted(set(positions)))
