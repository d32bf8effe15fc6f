"""The question of mislabelled data."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import field_validator, model_validator

from gif_dash.results import ScenarioCard
from gif_dash.specs import fields
from gif_dash.specs.base import MAX_SEED, Spec, SpecError, fault, field


class MislabelledSpec(Spec):
    """Mislabelled data (Koh & Liang 2017, §5.4): wrong labels found by self-influence, corrected, and trained again."""

    experiment: ClassVar[str] = "mislabelled"

    scenario: str = fields.scenario()
    share: float = field(
        10.0, "Wrong labels", "share of the training images that get a wrong one", unit="%", gt=0, le=60
    )
    part: Literal["last", "network", "subspace"] = field(
        "last",
        "Self-influence on",
        "the last layer, exactly; the whole network, exactly, up to 3,000 parameters; or in a Lanczos subspace",
        widget="toggle",
    )
    inspected: tuple[float, ...] = field(
        (10.0,),
        "Inspected, then corrected",
        "shares of the training images that somebody looks at, in the order of a ranking, before training again; "
        "empty: none",
        unit="%",
        max_length=12,
    )
    rank: int = field(20, "Rank", "of the Lanczos subspace", ge=1, le=500, advanced=True)
    curvature: Literal["hessian", "gauss-newton"] = fields.curvature()
    damping: float = field(
        0.01,
        "Damping",
        "relative to the largest eigenvalue: θ/(θ² + λ²) in the place of 1/θ, λ = damping · σ_max",
        unit="σ_max",
        ge=0.0,
        le=10.0,
        advanced=True,
    )
    curvature_samples: int = field(
        1024, "Curvature samples", "training examples for the Hessian, at most", ge=1, le=1_000_000, advanced=True
    )
    shown: int = field(24, "Images shown", "the first of the ranking", ge=4, le=96, advanced=True)
    seed: int = field(0, "Seed", "of the wrong labels; each has networks of its own", ge=0, le=MAX_SEED, advanced=True)

    @field_validator("inspected")
    @classmethod
    def _in_order(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(set(value)))

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if any(not 0 < share <= 100 for share in self.inspected):
            raise fault("inspected", "shares go from above 0 up to 100 %")
        return self

    def check(self, card: ScenarioCard | None) -> None:
        if card is None:
            raise SpecError(f"there is no scenario named {self.scenario!r}", "scenario")
        if not 0 < round(self.share / 100 * card.train_size) < card.train_size:
            raise SpecError(f"{self.share:g} % of {card.train_size:,} training images are none", "share")
        if self.part == "last" and card.layers and card.layers[-1].parameters > 3000:
            raise SpecError(
                f"the last layer of {card.name} has {card.layers[-1].parameters:,} parameters, and the exact inverse "
                "goes up to 3,000: take a subspace",
                "part",
            )
        if self.part == "network" and card.parameters > 3000:
            raise SpecError(
                f"{card.name} has {card.parameters:,} parameters, and the exact inverse goes up to 3,000: take the "
                "last layer or a subspace",
                "part",
            )
        if not card.has_cold_reference:
            raise SpecError(f"{card.name} cannot be trained from scratch: pass retrain=", "scenario")
