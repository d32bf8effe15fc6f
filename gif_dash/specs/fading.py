"""The question of fading: for how many steps after an intervention does its prediction hold?"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import field_validator

from gif_dash.specs.base import MAX_SEED, Spec, field

Noise = Literal["none", "shared", "own"]


class FadingSpec(Spec):
    """Agreement of the influence with training that goes on, against the steps since (Schioppa et al. 2023)."""

    experiment: ClassVar[str] = "fading"

    intervention: Literal["removal", "doubling"] = field(
        "removal",
        "Intervention",
        "one training example is removed, or counts twice, from this step on",
        widget="toggle",
    )
    noises: tuple[Noise, ...] = field(
        ("none", "shared", "own"),
        "Noise",
        "none: all examples in every step; shared: random batches, the same with and without the intervention; own: "
        "other batches for every network, as in reality",
        min_length=1,
    )
    steps: int = field(3000, "Steps after", "of training on after the intervention", ge=10, le=100_000)
    train_steps: int = field(2000, "Steps before", "of training before it, with all examples", ge=0, le=100_000)
    width: int = field(5, "Width", "units of every hidden layer", ge=1, le=64)
    depth: int = field(1, "Depth", "hidden layers; 0 is a linear classifier", ge=0, le=6)
    weight_decay: float = field(1e-3, "Weight decay", "μ of the loss + μ/2·‖θ‖²", ge=0, le=1)
    damping: float = field(
        1e-3,
        "Damping",
        "λ added to the Hessian's eigenvalues, relative to their largest magnitude",
        unit="σ_max",
        ge=0,
        le=10,
    )
    points: int = field(20, "Points", "training examples of largest |influence|, one at a time", ge=3, le=120)
    seeds: int = field(3, "Seeds", "networks, for the bands", ge=1, le=20)
    batch: int = field(20, "Batch", "examples of a noisy step, of 120", ge=1, le=120, advanced=True)
    activation: Literal["relu", "tanh"] = field(
        "relu", "Activation", "of the hidden units", widget="toggle", advanced=True
    )
    rate: float = field(0.05, "Learning rate", "of gradient descent with momentum .9", ge=1e-4, le=1, advanced=True)
    seed: int = field(0, "Seed", "of the first network and of the batches", ge=0, le=MAX_SEED - 20, advanced=True)

    @field_validator("noises")
    @classmethod
    def _known_order(cls, value: tuple[Noise, ...]) -> tuple[Noise, ...]:
        known: tuple[Noise, ...] = ("none", "shared", "own")
        return tuple(name for name in known if name in value)
