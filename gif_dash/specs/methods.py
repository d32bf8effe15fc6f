"""The question of the methods."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from gif_dash.specs import fields
from gif_dash.specs.base import SpecError, fault, field
from gif_dash.specs.removal import RemovalSpec
from gif_dash.specs.vocabulary import Criterion, Method, Solver

#: Methods that change all parameters, whatever the selection.
EVERYWHERE: tuple[Method, ...] = ("if", "koh", "if2")


class MethodsSpec(fields.ForgetsClasses):
    """Methods (Table 2 and Fig. 4 of the GIF paper): which one edits best, over seeds of training and sampling?"""

    experiment: ClassVar[str] = "methods"

    scenario: str = fields.scenario()
    forget_classes: tuple[int, ...] = fields.forget_classes()
    methods: tuple[Method, ...] = fields.methods(("gif", "fif", "pif", "if", "gradient", "if2"))
    mrs: tuple[Annotated[float, Field(gt=0, le=100)], ...] = field(
        (10.0, 30.0, 50.0),
        "MR",
        "modification ratios: shares of the parameters that may change",
        unit="%",
        min_length=1,
        max_length=20,
    )
    seeds: int = field(
        1,
        "Seeds",
        "networks trained anew, each with samples of its own and its own retraining; from two on there are error bars",
        ge=1,
        le=30,
    )
    others: Literal["no", "yes"] = field(
        "no",
        "Other classes",
        "remove each of the other classes once as well, by itself, from the first network",
        widget="toggle",
    )
    criterion: Criterion = fields.criterion()
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

    def removal(self, number: int = 0, classes: tuple[int, ...] = (), **changes: object) -> RemovalSpec:
        """The class removal behind one seed; of the scenario's own network for the first one only.

        Args:
            number: of the seed, from 0.
            classes: instead of the spec's.
            changes: further fields, for example ``mr``.

        Raises:
            SpecError: there is no such question.
        """
        chosen = classes or self.forget_classes
        return RemovalSpec.like(self, forget_classes=chosen, seed=self.seed + number, **changes)

    def piece(self, number: int, classes: tuple[int, ...]) -> Self:
        """The question about one seed and one group of classes: what is kept when a long run is interrupted."""
        return self.model_copy(
            update={"forget_classes": classes, "seeds": 1, "others": "no", "seed": self.seed + number}
        )

    @field_validator("mrs")
    @classmethod
    def _ascending(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(set(value)))

    @model_validator(mode="after")
    def _removals_can_be_asked(self) -> Self:
        if not self.forget_classes:
            raise fault("forget_classes", "choose at least one class to forget")
        try:
            self.removal()
            self.removal(self.seeds - 1)
        except SpecError as error:
            raise fault(error.field, error.reason) from None
        return self
