"""The questions of single images: which of them made a prediction, and what it is without some of them."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self, get_args

from pydantic import field_validator, model_validator

from gif_dash.results import ScenarioCard
from gif_dash.specs import fields
from gif_dash.specs.base import Spec, SpecError, fault, field
from gif_dash.specs.removal import RemovalSpec
from gif_dash.specs.vocabulary import LABELS, SYMMETRIC, Criterion, Method, Solver

Ranking = Literal[
    "influence",
    "influence-layers",
    "influence-selected",
    "gradient-cosine",
    "representer",
    "similarity",
    "training-loss",
]

#: Rankings by influence functions; the others are alternatives to them.
INFLUENCES: tuple[Ranking, ...] = ("influence", "influence-layers", "influence-selected")


def _test_index() -> Any:
    return field(
        -1, "Test image", "its position in the test set; −1: the one with the highest loss", ge=-1, le=100_000_000
    )


def _target() -> Any:
    return field(
        "label",
        "Loss of",
        "helpful images speak for this class: the right one, or what the network says",
        widget="toggle",
    )


class AttributionSpec(Spec):
    """Helpful and harmful images (Koh & Liang 2017, §5): which training images a prediction owes to, by influence and
    by the alternatives to it."""

    experiment: ClassVar[str] = "attribution"

    scenario: str = fields.scenario()
    test_index: int = _test_index()
    target: Literal["label", "predicted"] = _target()
    rankings: tuple[Ranking, ...] = field(
        get_args(Ranking),
        "Rankings",
        "influence on parts of the network, and the alternatives to it",
        min_length=1,
    )
    layers: tuple[str, ...] = field(
        (),
        "Layers",
        "names of the layers for the influence on chosen layers; empty: the last one",
        advanced=True,
        max_length=100,
    )
    inverse: Literal["fif", "pif", "gif"] = field(
        "fif", "Method on J", "how the influence on the selected J is meant", advanced=True
    )
    criterion: Criterion = field(
        "top-outputs", "Criterion", "which parameters are selected, from the test image", advanced=True
    )
    mr: float = field(
        10.0, "MR", "modification ratio: share of the parameters in J", unit="%", gt=0, le=100, advanced=True
    )
    solver: Solver = field(
        "minres",
        "Solver",
        "one solve for each influence ranking; MINRES has the least residual for its products; GIF on J takes CGLS "
        "unless LSMR is chosen",
        advanced=True,
    )
    curvature: Literal["hessian", "gauss-newton"] = fields.curvature()
    iterations: int = field(
        5,
        "Iterations",
        "solver steps, one Hessian-vector product each (CGLS and LSMR: two); fewer steps regularise more, which the "
        "numbers need (docs/measurements.md)",
        ge=1,
        le=2000,
        advanced=True,
    )
    damping: float = fields.damping()
    curvature_samples: int = field(
        1024, "Curvature samples", "training examples for the Hessian, at most", ge=1, le=1_000_000, advanced=True
    )
    shown: int = field(12, "Images shown", "on each side", ge=4, le=48, advanced=True)
    seed: int = fields.seed()

    @field_validator("rankings")
    @classmethod
    def _rankings_in_order(cls, value: tuple[Ranking, ...]) -> tuple[Ranking, ...]:
        return tuple(ranking for ranking in get_args(Ranking) if ranking in value)

    @model_validator(mode="after")
    def _solver_fits(self) -> Self:
        if self.solver == "neumann-published" and self.damping > 0:
            raise fault("damping", f"the {LABELS[self.solver]} knows none: set it to 0, or choose another solver")
        return self

    def check(self, card: ScenarioCard | None) -> None:
        _check_image(card, self.scenario, self.test_index)
        assert card is not None
        known = [layer.name for layer in card.layers]
        if unknown := [name for name in self.layers if name not in known]:
            raise SpecError(f"{card.name} has no layer {unknown[0]!r}; choose from {', '.join(known)}", "layers")


class ImageRemovalSpec(Spec):
    """Some training images removed: what influence functions predict for one test image, what the edited network and
    networks trained again say."""

    experiment: ClassVar[str] = "image-removal"

    scenario: str = fields.scenario()
    forget_indices: tuple[int, ...] = field(
        (0,),
        "Training images to remove",
        "positions in the training set",
        widget="indices",
        min_length=1,
        max_length=100_000,
    )
    test_index: int = _test_index()
    target: Literal["label", "predicted"] = _target()
    methods: tuple[Method, ...] = fields.methods(("gif", "if"))
    criterion: Criterion = fields.criterion()
    mr: float = fields.mr()
    retrain: Literal["no", "yes"] = field(
        "no", "Train again", "without the images, and with all of them for comparison", widget="toggle"
    )
    retrain_seeds: int = field(
        3, "Seeds", "of the cold starts, each without the images and with them", ge=1, le=20, advanced=True
    )
    solver: Solver = field(
        "minres",
        "Solver",
        "MINRES has the least residual for its products; GIF, whose system is rectangular, takes CGLS in its place",
        advanced=True,
    )
    curvature: Literal["hessian", "gauss-newton"] = fields.curvature()
    iterations: int = fields.iterations()
    damping: float = fields.damping()
    gradient: Literal["forget", "retain"] = fields.gradient()
    curvature_samples: int = fields.curvature_samples()
    forget_samples: int = fields.forget_samples()
    seed: int = fields.seed()

    @field_validator("methods")
    @classmethod
    def _known_order(cls, value: tuple[Method, ...]) -> tuple[Method, ...]:
        return tuple(method for method in get_args(Method) if method in value)

    @field_validator("forget_indices")
    @classmethod
    def _sorted_indices(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return fields.in_order(value)

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        try:
            self.removal()
        except SpecError as error:
            raise fault(error.field, error.reason) from None
        return self

    def removal(self) -> RemovalSpec:
        """The removal of the same images as a question of its own: by all methods, or by all but GIF where the solver
        cannot do GIF, which then has `removal_by_gif`.

        Raises:
            SpecError: there is no such question.
        """
        rest = tuple(method for method in self.methods if method != "gif")
        if self.solver not in SYMMETRIC or not rest:
            return RemovalSpec.like(self, forget_classes=(), solver=self._solver_of_gif() if not rest else self.solver)
        return RemovalSpec.like(self, forget_classes=(), methods=rest)

    def removal_by_gif(self) -> RemovalSpec | None:
        """The same by GIF alone, by CGLS; None where `removal` has it."""
        if "gif" in self.removal().methods or "gif" not in self.methods:
            return None
        return RemovalSpec.like(self, forget_classes=(), methods=("gif",), solver=self._solver_of_gif())

    def _solver_of_gif(self) -> Solver:
        return "cgls" if self.solver in SYMMETRIC else self.solver

    @classmethod
    def of(cls, spec: AttributionSpec, indices: tuple[int, ...], **changes: Any) -> Self:
        """The removal of training images that a ranking has brought up, with its settings.

        Raises:
            SpecError: there is no such question.
        """
        names = "scenario test_index target criterion mr solver curvature iterations damping curvature_samples seed"
        values: dict[str, Any] = {name: getattr(spec, name) for name in names.split()}
        return cls.parse({**values, "forget_indices": indices, **changes})

    def check(self, card: ScenarioCard | None) -> None:
        _check_image(card, self.scenario, self.test_index)
        self.removal().check(card)


def _check_image(card: ScenarioCard | None, scenario: str, index: int) -> None:
    if card is None:
        raise SpecError(f"there is no scenario named {scenario!r}", "scenario")
    if index >= card.test_size:
        raise SpecError(f"test images go from 0 to {card.test_size - 1} in {card.name}", "test_index")
