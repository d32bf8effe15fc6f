"""The question of the layers."""

from __future__ import annotations

from typing import ClassVar, Literal, Self, get_args

from pydantic import field_validator, model_validator

from gif_dash.specs import fields
from gif_dash.specs.base import SpecError, fault, field
from gif_dash.specs.removal import RemovalSpec
from gif_dash.specs.vocabulary import Criterion, Method, Solver


class LayersSpec(fields.ForgetsClasses):
    """Which layers move (§5 of the GIF paper): where criteria and methods put the update, and what each part does."""

    experiment: ClassVar[str] = "layers"

    scenario: str = fields.scenario()
    forget_classes: tuple[int, ...] = fields.forget_classes()
    methods: tuple[Method, ...] = fields.methods()
    criteria: tuple[Criterion, ...] = field(
        ("top-outputs", "top-gradients", "random"),
        "Criteria",
        "which parameters may change, chosen in every layer; lowest-k: negative controls",
        unusual=("threshold-published",),
        min_length=1,
    )
    mr: float = fields.mr()
    solver: Solver = fields.solver()
    curvature: Literal["hessian", "gauss-newton"] = fields.curvature()
    iterations: int = fields.iterations()
    damping: float = fields.damping()
    gradient: Literal["forget", "retain"] = fields.gradient()
    curvature_samples: int = fields.curvature_samples()
    forget_samples: int = fields.forget_samples()
    sweep_samples: int = fields.sweep_samples()
    report: Literal["held-out", "whole"] = fields.report()
    s_max: float = fields.s_max()
    seed: int = fields.seed()

    def cell(self, criterion: Criterion, methods: tuple[Method, ...] = ()) -> RemovalSpec:
        """The class removal behind a criterion, with all methods or some.

        Raises:
            SpecError: there is no such question.
        """
        return RemovalSpec.like(self, criterion=criterion, methods=methods or self.methods)

    @field_validator("criteria")
    @classmethod
    def _criteria_in_order(cls, value: tuple[Criterion, ...]) -> tuple[Criterion, ...]:
        return tuple(criterion for criterion in get_args(Criterion) if criterion in value)

    @model_validator(mode="after")
    def _cells_can_be_asked(self) -> Self:
        if not self.forget_classes:
            raise fault("forget_classes", "choose at least one class to forget")
        try:
            self.cell(self.criteria[0])
        except SpecError as error:
            raise fault(error.field, error.reason) from None
        return self
