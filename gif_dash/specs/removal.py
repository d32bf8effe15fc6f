"""The question of class removal."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import field_validator, model_validator

from gif_dash.results import ScenarioCard
from gif_dash.specs import fields
from gif_dash.specs.base import Spec, SpecError, fault, field
from gif_dash.specs.vocabulary import LABELS, SYMMETRIC, Criterion, Method, Solver


class RemovalSpec(fields.ForgetsClasses):
    """Class removal (Table 2 and Fig. 4 of the GIF paper): edit a network as if a class had never been seen."""

    experiment: ClassVar[str] = "removal"

    scenario: str = fields.scenario()
    forget_classes: tuple[int, ...] = fields.forget_classes()
    forget_indices: tuple[int, ...] = field(
        (),
        "Training indices to forget",
        "training examples to remove, instead of whole classes",
        advanced=True,
        widget="indices",
        max_length=100_000,
    )
    methods: tuple[Method, ...] = fields.methods()
    criterion: Criterion = fields.criterion()
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
    retrain_seeds: int = field(
        1,
        "Cold references",
        "models retrained from scratch without the forget group, one per seed",
        ge=1,
        le=10,
        advanced=True,
    )
    seed: int = fields.seed()

    @classmethod
    def like(cls, other: Spec, **changes: Any) -> Self:
        """The class removal that agrees with another question in all fields they share, but for `changes`.

        Raises:
            SpecError: there is no such question.
        """
        shared = {name: getattr(other, name) for name in cls.model_fields if name in type(other).model_fields}
        return cls.parse({**shared, **changes})

    @field_validator("forget_indices")
    @classmethod
    def _sorted_indices(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return fields.in_order(value)

    @model_validator(mode="after")
    def _something_to_forget(self) -> Self:
        if not self.forget_classes and not self.forget_indices:
            raise ValueError("choose at least one class (or training index) to forget")
        return self

    @model_validator(mode="after")
    def _solver_fits(self) -> Self:
        name = LABELS[self.solver]
        if self.solver in SYMMETRIC and "gif" in self.methods:
            raise fault(
                "solver", f"{name} needs a symmetric system, which GIF's is not: choose another one, or leave GIF out"
            )
        if self.solver == "neumann-published" and self.damping > 0:
            raise fault("damping", f"the {name} knows none: set it to 0, or choose another solver")
        return self

    def check(self, card: ScenarioCard | None) -> None:
        if card is None or not self.forget_indices:
            super().check(card)
            return
        if self.forget_indices[-1] >= card.train_size:
            raise SpecError(f"training indices go from 0 to {card.train_size - 1} in {card.name}", "forget_indices")
        if len(self.forget_indices) >= card.train_size:
            raise SpecError("at least one training example must stay", "forget_indices")
