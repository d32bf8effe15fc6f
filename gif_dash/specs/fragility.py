"""The question of fragility: when do influence estimates agree with retraining?"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from gif_dash.specs.base import MAX_SEED, Spec, fault, field

Varied = Literal["width", "depth", "weight-decay", "damping"]
#: How the inverse Hessian is had; see `gif_dash.experiments.fragility`.
Inverse = Literal["exact", "rest", "sample", "lissa"]

#: What a varied setting goes through when no values are given.
USUAL: dict[str, tuple[float, ...]] = {
    "width": (2.0, 4.0, 8.0, 16.0),
    "depth": (0.0, 1.0, 2.0, 3.0, 4.0),
    "weight-decay": (0.0, 1e-4, 1e-3, 1e-2, 1e-1),
    "damping": (0.0, 1e-4, 1e-3, 1e-2, 1e-1),
}
#: From where to where each of them may go.
RANGES: dict[str, tuple[float, float]] = {
    "width": (1, 64),
    "depth": (0, 6),
    "weight-decay": (0, 1),
    "damping": (0, 10),
}


class FragilitySpec(Spec):
    """Predicted against retrained change of a test loss, one training example removed at a time (Basu et al. 2021)."""

    experiment: ClassVar[str] = "fragility"

    data: Literal["iris", "mnist"] = field(
        "iris",
        "Data",
        "Iris and dense networks; or a tenth of MNIST and a small CNN, which takes many minutes and is computed by the "
        "command only",
        widget="toggle",
    )
    vary: Varied = field("width", "Vary", "what changes from network to network", widget="toggle")
    values: tuple[Annotated[float, Field(ge=0, le=64)], ...] = field(
        (), "Values", "of what varies, with commas; leave it empty for the usual ones", max_length=12
    )
    width: int = field(5, "Width", "units of every hidden layer, unless it varies", ge=1, le=64)
    depth: int = field(1, "Depth", "hidden layers, unless it varies; 0 is a linear classifier", ge=0, le=6)
    weight_decay: float = field(1e-3, "Weight decay", "μ of the loss + μ/2·‖θ‖², unless it varies", ge=0, le=1)
    damping: float = field(
        1e-3,
        "Damping",
        "λ added to the Hessian's eigenvalues, relative to their largest magnitude, unless it varies",
        unit="σ_max",
        ge=0,
        le=10,
    )
    hessians: tuple[Inverse, ...] = field(
        ("exact", "rest", "sample"),
        "Hessian",
        "exact: of all examples, the classic estimate; of the rest: without the removed example, and the loss measured "
        "after the step; of a sample; LiSSA, stochastic",
        min_length=1,
    )
    seeds: int = field(3, "Seeds", "networks per setting, for the error bars", ge=1, le=20)
    points: int = field(
        20,
        "Points",
        "training examples of largest |influence|, removed one at a time; 20 are 16.6 % of Iris, as published",
        ge=3,
        le=120,
    )
    test_point: Literal["highest-loss", "median-loss"] = field(
        "highest-loss",
        "Test example",
        "of the highest loss, as published, or of the median loss",
        widget="toggle",
        advanced=True,
    )
    activation: Literal["relu", "tanh"] = field(
        "relu", "Activation", "of the hidden units", widget="toggle", advanced=True
    )
    loss: Literal["cross-entropy", "squared-error"] = field(
        "cross-entropy",
        "Loss",
        "squared error with depth 0 is a quadratic: there the estimate of the rest is exact",
        widget="toggle",
        advanced=True,
    )
    cold: Literal["no", "yes"] = field(
        "no",
        "From scratch, too",
        "retrain from the same initialisation as well, not from the optimum only",
        widget="toggle",
        advanced=True,
    )
    train_steps: int = field(
        7500, "Training steps", "of every network, full batch (MNIST: batches)", ge=10, le=200_000, advanced=True
    )
    steps: int = field(
        7500, "Retraining steps", "without a point, from the optimum, as published", ge=1, le=200_000, advanced=True
    )
    rate: float = field(0.1, "Learning rate", "of gradient descent with momentum .9", ge=1e-4, le=1, advanced=True)
    curvature_samples: int = field(
        40,
        "Sample",
        "training examples behind the sampled Hessian and behind each LiSSA step",
        ge=1,
        le=6000,
        advanced=True,
    )
    lissa_steps: int = field(200, "LiSSA steps", "each with a fresh sample", ge=10, le=20_000, advanced=True)
    seed: int = field(0, "Seed", "of the first network and of the samples", ge=0, le=MAX_SEED - 20, advanced=True)

    @field_validator("values")
    @classmethod
    def _ascending(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(set(value)))

    @field_validator("hessians")
    @classmethod
    def _known_order(cls, value: tuple[Inverse, ...]) -> tuple[Inverse, ...]:
        known: tuple[Inverse, ...] = ("exact", "rest", "sample", "lissa")
        return tuple(name for name in known if name in value)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        low, high = RANGES[self.vary]
        if off := [value for value in self.values if not low <= value <= high]:
            raise fault("values", f"{self.vary} goes from {low:g} to {high:g}; got {off[0]:g}")
        if self.vary in ("width", "depth") and any(value != int(value) for value in self.values):
            raise fault("values", f"{self.vary} is a whole number")
        if self.data == "mnist":
            if self.vary not in ("weight-decay", "damping"):
                raise fault("vary", "the small CNN of MNIST has one width and depth: vary weight decay or damping")
            if "rest" in self.hessians:
                raise fault("hessians", "the Hessian of the rest is computed for Iris only")
        return self

    def grid(self) -> tuple[float, ...]:
        """The values of what varies."""
        return self.values or USUAL[self.vary]

    def at(self, value: float) -> dict[str, Any]:
        """Width, depth, weight decay and damping at one of the values."""
        settings = {
            "width": self.width,
            "depth": self.depth,
            "weight_decay": self.weight_decay,
            "damping": self.damping,
        }
        whole = self.vary in ("width", "depth")
        return settings | {self.vary.replace("-", "_"): int(value) if whole else value}
