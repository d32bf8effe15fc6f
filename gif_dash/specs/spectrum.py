"""The question of the spectrum."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from gif_dash.results import ScenarioCard
from gif_dash.specs import fields
from gif_dash.specs.base import MAX_SEED, Spec, SpecError, field

SpectrumLoss = Literal["cross-entropy", "squared-error"]
Norm = Literal["squared", "plain"]


class SpectrumSpec(Spec):
    """Eigenvalues of the Hessian against regularisation (Fig. 3 of the GIF paper), and where LiSSA converges."""

    experiment: ClassVar[str] = "spectrum"

    scenario: str = fields.scenario()
    net: Literal["dense", "own"] = field(
        "dense",
        "Network",
        "two hidden layers of 8 units, as in the paper's Fig. 3, or the scenario's own network",
        widget="toggle",
    )
    fit: Literal["each", "once"] = field(
        "each",
        "Training",
        "with the regulariser, anew for each α; or once without it (the scenario's own network: as it was trained), "
        "and α is in the Hessian only",
        widget="toggle",
    )
    losses: tuple[SpectrumLoss, ...] = field(
        ("cross-entropy", "squared-error"),
        "Losses",
        "squared error: of the outputs to 0 and 1, mean over the classes",
        min_length=1,
    )
    norm: Norm = field(
        "squared",
        "Regulariser",
        "α/2·‖θ‖², whose Hessian is αI; or α/2·‖θ‖, not squared, as in the authors' code",
        widget="toggle",
    )
    alphas: tuple[Annotated[float, Field(ge=0, le=100)], ...] = field(
        (0.0, 0.001, 0.003, 0.01, 0.03, 0.1),
        "α",
        "weights of the regulariser; 0 is none",
        min_length=1,
        max_length=60,
    )
    count: int = field(
        100,
        "Eigenvalues",
        "so many of largest magnitude; the paper takes 500",
        ge=1,
        le=5000,
    )
    scale: float = field(
        1.0,
        "LiSSA's scale",
        "what LiSSA divides the Hessian by, relative to its largest eigenvalue magnitude; 1 is the solver's default",
        unit="σ_max",
        ge=0.1,
        le=100,
    )
    images: Literal["train", "test-first"] = field(
        "train",
        "Images",
        "behind the Hessian: a seeded sample of the training images, or the first test images, as published",
        advanced=True,
    )
    samples: int = field(512, "Image count", "images behind the Hessian, at most", ge=1, le=1_000_000, advanced=True)
    tolerance: float = field(
        1e-8,
        "Zero up to",
        "an eigenvalue below minus this counts as negative; a magnitude up to this as zero",
        ge=0,
        le=1,
        advanced=True,
    )
    eigensolver: Literal["auto", "dense", "lanczos"] = field(
        "auto",
        "Eigenvalues by",
        "the whole dense matrix (auto: up to 2,000 parameters), or Lanczos; both in float64",
        advanced=True,
    )
    train_steps: int = field(
        600,
        "Training steps",
        "optimizer steps of the dense network, rounded to whole passes over the training images",
        ge=10,
        le=100_000,
        advanced=True,
    )
    lissa_steps: int = field(
        500,
        "LiSSA steps",
        "of the measured check, at most, each with all images (with Lanczos at most as many as that took products)",
        ge=10,
        le=100_000,
        advanced=True,
    )
    seed: int = field(
        0, "Seed", "of initialisation, order of training, sample and Lanczos", ge=0, le=MAX_SEED, advanced=True
    )

    #: What the authors' run fixes, as far as it is known; the scenario is mnist-cnn there.
    PUBLISHED: ClassVar[dict[str, Any]] = {
        "net": "dense",
        "norm": "plain",
        "alphas": tuple(round(step / 100, 2) for step in range(26)),
        "count": 500,
        "images": "test-first",
        "samples": 512,
        "tolerance": 1e-8,
    }

    @field_validator("losses")
    @classmethod
    def _known_order(cls, value: tuple[SpectrumLoss, ...]) -> tuple[SpectrumLoss, ...]:
        known: tuple[SpectrumLoss, ...] = ("cross-entropy", "squared-error")
        return tuple(loss for loss in known if loss in value)

    @field_validator("alphas")
    @classmethod
    def _ascending(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(set(value)))

    def check(self, card: ScenarioCard | None) -> None:
        if card is None:
            raise SpecError(f"there is no scenario named {self.scenario!r}", "scenario")
        if self.net == "own" and self.fit == "each" and not card.has_cold_reference:
            raise SpecError(f"{card.name}'s own network cannot be trained again: choose 'once'", "fit")
        if self.net == "own" and card.parameters and self.count > card.parameters:
            raise SpecError(f"{card.name}'s own network has {card.parameters} parameters", "count")
