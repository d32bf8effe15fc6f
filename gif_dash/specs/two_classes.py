"""The question of two digits told apart by a linear model: influence where everything is known exactly."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import field_validator

from gif_dash.compute.paths import data_dir
from gif_dash.specs.base import MAX_SEED, Spec, field

BinaryLoss = Literal["logistic", "smoothed-hinge"]
BinarySolver = Literal["direct", "cg", "minres", "cgls", "lissa"]

#: Files of MNIST in torchvision's layout, below the folder of the data sets.
MNIST_FILES = tuple(
    f"MNIST/raw/{name}"
    for name in (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    )
)


class TwoClassesSpec(Spec):
    """Two digits told apart by a linear model (Koh & Liang 2017, §4): direct inverse against CG against LiSSA, and all
    of them against leaving images out."""

    experiment: ClassVar[str] = "two-classes"

    data: Literal["digits", "mnist"] = field(
        "digits",
        "Data",
        "scikit-learn's 8×8 digits or MNIST: the images and labels of two classes, no network",
        widget="toggle",
    )
    classes: tuple[int, ...] = field((1, 7), "Digits", "two of them, told apart", widget="classes", max_length=10)
    test_index: int = field(
        -1,
        "Test image",
        "its position in the test set; −1: of these digits, the one with the highest loss",
        ge=-1,
        le=100_000_000,
    )
    loss: BinaryLoss = field(
        "logistic",
        "Loss",
        "of the margin m = y·wᵀx: log(1 + exp(−m)), or the hinge made smooth, t·log(1 + exp((1 − m)/t))",
        widget="toggle",
    )
    temperature: float = field(
        1e-3,
        "Temperature t",
        "of the smoothed hinge; at 0 it is the hinge, which has no curvature but at its kink",
        ge=1e-6,
        le=10,
    )
    solvers: tuple[BinarySolver, ...] = field(
        ("direct", "cg", "lissa"), "Solvers", "of Hv = ∇ℓ(test image), to be compared", min_length=1
    )
    depth: int = field(500, "LiSSA’s depth", "steps of the recursion, each with a fresh batch", ge=1, le=1_000_000)
    batch: int = field(
        128, "LiSSA’s batch", "training images behind each step; all of them if there are no more", ge=1, le=100_000
    )
    scale: float = field(
        1.0,
        "LiSSA’s scale",
        "what LiSSA divides the Hessian by, relative to an estimate of its largest eigenvalue; 1 is the solver’s "
        "default, above 0.5 it converges in the mean",
        unit="λ_max",
        ge=0.1,
        le=1000,
    )
    repeats: int = field(1, "LiSSA’s repeats", "independent runs, averaged", ge=1, le=100, advanced=True)
    iterations: int = field(50, "Iterations", "of CG, MINRES and CGLS, at most", ge=1, le=5000, advanced=True)
    damping: float = field(
        0.01,
        "L2 damping λ",
        "λ/2·‖w‖² is added to the mean loss in training and, as λI, to the Hessian",
        ge=1e-6,
        le=10,
        advanced=True,
    )
    retrained: int = field(
        30,
        "Images left out",
        "one by one, a third each of the most helpful, the most harmful and at random; the model is trained again to "
        "convergence without each",
        ge=0,
        le=600,
        advanced=True,
    )
    timings: int = field(
        3, "Timings", "times each solve is timed, in turns; their median is shown", ge=1, le=50, advanced=True
    )
    shown: int = field(12, "Images shown", "on each side", ge=4, le=48, advanced=True)
    seed: int = field(
        0, "Seed", "of LiSSA’s batches and of the images left out at random", ge=0, le=MAX_SEED, advanced=True
    )

    @field_validator("classes")
    @classmethod
    def _two_digits(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        chosen = tuple(sorted(set(value)))
        if len(chosen) != 2 or chosen[0] < 0 or chosen[1] > 9:
            raise ValueError("choose two different digits from 0 to 9")
        return chosen

    @field_validator("solvers")
    @classmethod
    def _known_order(cls, value: tuple[BinarySolver, ...]) -> tuple[BinarySolver, ...]:
        known: tuple[BinarySolver, ...] = ("direct", "cg", "minres", "cgls", "lissa")
        return tuple(solver for solver in known if solver in value)

    def files(self) -> tuple[Path, ...]:
        return mnist_files() if self.data == "mnist" else ()


def mnist_files() -> tuple[Path, ...]:
    """The four files of MNIST, whether or not they are there."""
    return tuple(data_dir() / name for name in MNIST_FILES)


def mnist_is_here() -> bool:
    """Whether MNIST can be read without a download."""
    return all(file.is_file() for file in mnist_files())
