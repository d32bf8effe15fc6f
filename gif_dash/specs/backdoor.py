"""The question of the backdoor: a network trained on pictures with a hidden trigger, and its repair."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self, get_args

from pydantic import field_validator, model_validator

from gif_dash.results import ScenarioCard
from gif_dash.specs import fields
from gif_dash.specs.base import Spec, SpecError, fault, field
from gif_dash.specs.removal import RemovalSpec
from gif_dash.specs.vocabulary import Criterion, Solver

Pattern = Literal["checkerboard", "corner", "frame"]
#: Koh & Liang's own form knows removal only, so it is left out here.
BackdoorMethod = Literal["gif", "fif", "pif", "if", "gradient", "if2"]


class BackdoorSpec(Spec):
    """Backdoor (Fig. 5 of the GIF paper): repair a network that was trained on pictures with a trigger."""

    experiment: ClassVar[str] = "backdoor"

    scenario: str = fields.scenario()
    target: int = field(
        4, "Corrupt label", "the class that every triggered training picture claims", ge=0, widget="class"
    )
    pattern: Pattern = field(
        "checkerboard",
        "Trigger",
        "brightened pixels: every second one as published, a square in the corner, or the outermost frame",
    )
    strength: float = field(
        16.0,
        "Strength",
        "grey levels (of 255) that the trigger adds; the paper adds 16; the small corner needs more to be learned",
        gt=0,
        le=255,
    )
    share: float = field(
        10.0,
        "Corrupted share",
        "of all training pictures: they get trigger and corrupt label, whatever they show",
        unit="%",
        gt=0,
        le=90,
    )
    repair: Literal["relabelling", "removal"] = field(
        "relabelling", "Repair", "give the corrupted pictures their right labels, or remove them", widget="toggle"
    )
    methods: tuple[BackdoorMethod, ...] = field(
        ("gif", "fif", "pif"),
        "Methods",
        "the estimators to compare",
        widget="methods",
        unusual=("if2",),
        min_length=1,
    )
    criterion: Criterion = fields.criterion()
    mr: float = fields.mr(5.0)
    weighting: Literal["exact", "published"] = field(
        "exact",
        "Weight of relabelling",
        "m/N and the curvature of all relabelled data, exact for a quadratic; as published m/(N−m) and that of the "
        "pictures never corrupted",
        advanced=True,
    )
    solver: Solver = fields.solver()
    curvature: Literal["hessian", "gauss-newton"] = fields.curvature()
    iterations: int = fields.iterations()
    damping: float = fields.damping()
    gradient: Literal["forget", "retain"] = field(
        "forget",
        "Right-hand side",
        "from the corrupted pictures, which assumes that training converged, or the negative gradient of the risk "
        "after the repair, which does not",
        advanced=True,
    )
    curvature_samples: int = field(
        1024,
        "Curvature samples",
        "training pictures for the Hessian, at most",
        ge=1,
        le=1_000_000,
        advanced=True,
    )
    forget_samples: int = field(
        1024,
        "Gradient samples",
        "corrupted pictures for the gradient, at most",
        ge=1,
        le=1_000_000,
        advanced=True,
    )
    sweep_samples: int = fields.sweep_samples()
    report: Literal["held-out", "whole"] = fields.report()
    s_max: float = fields.s_max()
    seed: int = field(
        0,
        "Seed",
        "of the choice of corrupted pictures (another one trains another network), selection and sampling",
        ge=0,
        le=2**31 - 1,
        advanced=True,
    )

    def removal(self, indices: tuple[int, ...]) -> RemovalSpec:
        """The removal of the corrupted pictures, by training index, with the settings of this question.

        Raises:
            SpecError: there is no such question.
        """
        return RemovalSpec.like(self, forget_classes=(), forget_indices=indices)

    def corrupted(self, train_size: int) -> int:
        """How many training pictures are corrupted: m."""
        return round(self.share / 100 * train_size)

    @field_validator("methods")
    @classmethod
    def _known_order(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(method for method in get_args(BackdoorMethod) if method in value)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        try:
            self.removal((0,))
        except SpecError as error:
            raise fault(error.field, error.reason) from None
        if self.weighting == "published" and self.repair == "removal":
            raise fault("weighting", "it belongs to relabelling; removal has one weight only")
        if self.weighting == "published" and self.gradient == "retain":
            raise fault("gradient", "the published weight is one of the gradient from the corrupted pictures")
        return self

    def check(self, card: ScenarioCard | None) -> None:
        if card is None:
            raise SpecError(f"there is no scenario named {self.scenario!r}", "scenario")
        if self.target >= len(card.classes):
            raise SpecError(f"{card.name} has classes 0 to {len(card.classes) - 1}", "target", "Corrupt label")
        count, others = self.corrupted(card.train_size), card.train_size
        if self.target < len(card.train_counts):
            others -= card.train_counts[self.target]
        if not 0 < count <= others:
            raise SpecError(
                f"{self.share:g} % of {card.name} are {count:,} pictures, and {others:,} are of the other classes",
                "share",
                "Corrupted share",
            )
