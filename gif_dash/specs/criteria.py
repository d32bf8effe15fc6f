"""The question of the selection criteria."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from gif_dash.specs import fields
from gif_dash.specs.base import SpecError, fault, field
from gif_dash.specs.removal import RemovalSpec
from gif_dash.specs.vocabulary import Criterion, Solver

#: The paper's four criteria and the negative controls of the two that rank units.
DEFAULT: tuple[Criterion, ...] = (
    "top-outputs",
    "top-gradients",
    "threshold",
    "random",
    "lowest-outputs",
    "lowest-gradients",
)


class CriteriaSpec(fields.ForgetsClasses):
    """Selection criteria (Table 1 of the GIF paper): which parameters should be allowed to change, and how many?"""

    experiment: ClassVar[str] = "criteria"

    scenario: str = fields.scenario()
    forget_classes: tuple[int, ...] = fields.forget_classes()
    method: Literal["gif", "fif", "pif", "gradient"] = field(
        "gif",
        "Method",
        "the estimator of every cell; those that change all parameters whatever the criterion are left out",
    )
    criteria: tuple[Criterion, ...] = field(
        DEFAULT,
        "Criteria",
        "which parameters may change; lowest-k: negative controls",
        unusual=("threshold-published",),
        min_length=1,
    )
    mrs: tuple[Annotated[float, Field(gt=0, le=100)], ...] = field(
        (5.0, 10.0, 30.0, 50.0),
        "MR",
        "modification ratios: shares of the parameters that may change",
        unit="%",
        min_length=1,
        max_length=20,
    )
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

    def cell(self, criterion: Criterion, mr: float) -> RemovalSpec:
        """The class removal behind one cell."""
        return RemovalSpec.like(self, methods=(self.method,), criterion=criterion, mr=mr)

    @property
    def cells(self) -> list[tuple[Criterion, float]]:
        """Criterion and MR of every cell, row by row."""
        return [(criterion, mr) for criterion in self.criteria for mr in self.mrs]

    @field_validator("criteria")
    @classmethod
    def _in_order(cls, value: tuple[Criterion, ...]) -> tuple[Criterion, ...]:
        return tuple(criterion for criterion in get_args(Criterion) if criterion in value)

    @field_validator("mrs")
    @classmethod
    def _ascending(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(set(value)))

    @model_validator(mode="after")
    def _cells_can_be_asked(self) -> Self:
        if not self.forget_classes:
            raise fault("forget_classes", "choose at least one class to forget")
        try:
            self.cell(*self.cells[0])
        except SpecError as error:
            raise fault(error.field, error.reason) from None
        return self
