"""The question of correcting: how few steps on which training images repair a misprediction?"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from gif_dash.results import ScenarioCard
from gif_dash.specs import fields
from gif_dash.specs.base import MAX_SEED, Spec, SpecError, field

Choice = Literal["influence", "nearest", "random"]


class CorrectingSpec(Spec):
    """Repairing mispredictions by a few steps on their influential training images (Schioppa et al. 2023)."""

    experiment: ClassVar[str] = "correcting"

    scenario: str = fields.scenario()
    choices: tuple[Choice, ...] = field(
        ("influence", "nearest", "random"),
        "Training images",
        "those that most help the right answer by influence, those with the most similar inputs, or any; nearest and "
        "random ones of all classes",
        min_length=1,
    )
    examples: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = field(
        (5, 20), "How many", "training images in every step", min_length=1, max_length=6
    )
    mispredictions: int = field(10, "Mispredictions", "test images, at most: the first wrong ones", ge=1, le=200)
    steps: int = field(50, "Steps", "of gradient descent on these images, at most", ge=1, le=1000)
    rate: float = field(0.05, "Learning rate", "of plain gradient descent", gt=0, le=10)
    repeats: int = field(3, "Repeats", "draws of random images for every misprediction", ge=1, le=20, advanced=True)
    iterations: int = field(5, "MINRES steps", "of the influence", ge=1, le=500, advanced=True)
    damping: float = field(0.0, "Damping", "of the influence", unit="σ_max", ge=0, le=10, advanced=True)
    curvature_samples: int = field(
        1024, "Curvature sample", "training images behind the Hessian", ge=1, le=1_000_000, advanced=True
    )
    seed: int = field(0, "Seed", "of the samples and of the random images", ge=0, le=MAX_SEED - 20, advanced=True)

    @field_validator("choices")
    @classmethod
    def _known_order(cls, value: tuple[Choice, ...]) -> tuple[Choice, ...]:
        known: tuple[Choice, ...] = ("influence", "nearest", "random")
        return tuple(name for name in known if name in value)

    @field_validator("examples")
    @classmethod
    def _ascending(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(value)))

    def check(self, card: ScenarioCard | None) -> None:
        if card is None:
            raise SpecError(f"there is no scenario named {self.scenario!r}", "scenario")
        if card.train_size and max(self.examples) > card.train_size:
            raise SpecError(f"{card.name} has {card.train_size} training images", "examples")
