"""Figure 2 of the GIF paper in closed form: linear regression, and a group of outliers removed under one's eyes.

A linear model with five weights and a bias is fitted by least squares; its first points are outliers, and they are to
be removed. Only two target weights J may change. The mean squared error over any set of points is a quadratic, so the
three estimators, retraining, and the contours of the loss are exact formulas: a picture takes milliseconds.

With H and g the Hessian and the negative gradient of the loss over the points that remain (Lyu et al., arXiv
2312.05586, section 3), the estimators change the target weights by

* FIF, "frozen": ``(H_JJ)^-1 g_J``, the least loss while the other weights keep their values;
* GIF: the x that minimises ``|H_{:J} x - g|``, the least total gradient;
* PIF, "projected": ``[H^-1 g]_J``, the target weights of the full optimum.

Beside these exact solves there are two expansions in the removed share q = m/N, of all parameters: Koh and Liang's
first order, ``q H_D^-1 g_U``, and the second order of Basu et al. 2020, whose errors fall as q and as q².

Points may be moved by hand, and taken out of the group to remove or put into it (`edited`).

Everything is float64. Parameters are ordered weights 1 to 5, bias: p = 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]
Method = Literal["gif", "fif", "pif"]
Expansion = Literal["koh", "if2"]
Way = Literal["gif", "fif", "pif", "koh", "if2"]

METHODS: tuple[Method, ...] = ("gif", "fif", "pif")
#: First and second order in the share of the points that leave.
EXPANSIONS: tuple[Expansion, ...] = ("koh", "if2")
FEATURES = 5

#: What the targets of the drawn data are made from: the linear function of the authors' first notebooks.
TRUE_WEIGHTS = (2.0, 2.0, -5.0, 1.0, -3.0)
TRUE_BIAS = 1.0

#: The group removal is followed to this influence scalar; s = 1 is the methods' own prediction.
LARGEST_SCALAR = 1.5

#: Directions whose singular value is below this share of the largest do not count (collinear features).
RCOND = 1e-12


@dataclass(frozen=True)
class Data:
    """Points of a regression; the first `outliers` of them are to be removed, in this order.

    Attributes:
        features: (N, 5).
        targets: (N,).
        outliers: m, the number of points to remove.
    """

    features: Array
    targets: Array
    outliers: int

    @property
    def design(self) -> Array:
        """(N, 6): the features and a column of ones for the bias."""
        return np.column_stack([self.features, np.ones(len(self.features))])


@dataclass(frozen=True)
class Edit:
    """What was done to one point by hand.

    Attributes:
        index: position of the point in the data as drawn.
        moved: (column, value) pairs; columns 0 to 4 are the features, 5 is the target.
        removed: whether it belongs to the points to remove; None leaves that as it was.
    """

    index: int
    moved: tuple[tuple[int, float], ...] = ()
    removed: bool | None = None


@dataclass(frozen=True)
class Solves:
    """What the methods solved at every step, number by number.

    Attributes:
        hessian: (S, 6, 6), or (1, 6, 6) where one solve serves all steps: H of the retained points.
        gradients: per method (S, 6) or (1, 6), the right-hand side g: minus the gradient that is left (the mean
            gradient of the removed points, as published).
        changes: per method (S, 6) or (1, 6), what it changes: a step, or Δ at s = 1.
        moved: per method the positions of the parameters it moves, from 0.
        factors: per method what its solve is multiplied by, (S,) or (1,); 1 but for the version as published.
        expansion: for the expansions, else empty: H_D and H_U, (6, 6), g_U, ``solved`` = H_D^-1 g_U, the first order's
            change with 1/(1-q) in it, ``first``, and ``image`` = H_D^-1 H_U first, (6,).
        share: q = m/N.
    """

    hessian: Array
    gradients: dict[Way, Array]
    changes: dict[Way, Array]
    moved: dict[Way, tuple[int, ...]]
    factors: dict[Way, Array]
    expansion: dict[str, Array]
    share: float


@dataclass(frozen=True)
class Quadratic:
    """Quadratic functions with a minimum: ``minimum + (x - optimum)' hessian (x - optimum) / 2``, one or a stack.

    Attributes:
        hessian: (..., d, d), positive semidefinite.
        optimum: (..., d); where the Hessian is singular, the optimum of least norm.
        minimum: (...), the value there.
    """

    hessian: Array
    optimum: Array
    minimum: Array

    def __len__(self) -> int:
        return len(self.optimum)

    def __getitem__(self, step: int | slice | NDArray[np.int64]) -> Quadratic:
        return Quadratic(self.hessian[step], self.optimum[step], self.minimum[step])

    def value(self, x: Array) -> Array:
        """Values at the points x, shape (..., d) to (...)."""
        step = x - self.optimum
        return np.asarray(self.minimum + 0.5 * np.einsum("...i,...ij,...j->...", step, self.hessian, step))

    def gradient(self, x: Array) -> Array:
        """Gradients at the points x, shape (..., d) to (..., d)."""
        return _apply(self.hessian, x - self.optimum)

    def slice(self, indices: Sequence[int], base: Array) -> Quadratic:
        """The functions of the coordinates `indices` alone, the others held at the values they have in `base`, (d,)."""
        chosen = list(indices)
        at = np.broadcast_to(base, self.optimum.shape).copy()
        at[..., chosen] += estimate("fif", self.hessian, -self.gradient(base), chosen)
        return Quadratic(self.hessian[..., chosen, :][..., chosen], at[..., chosen], self.value(at))

    def ellipses(self, levels: Array) -> tuple[Array, Array, Array]:
        """Contours of functions of two variables; their centre is the optimum.

        Args:
            levels: (..., L) values of the function.

        Returns:
            Semi-axes a and b, a ≥ b, each (..., L), and the angle of a in radians, (...). An axis is infinite where
            the function is flat.
        """
        curvature, directions = np.linalg.eigh(self.hessian)
        excess = np.maximum(levels - self.minimum[..., None], 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            axes = np.sqrt(2 * excess[..., None] / np.maximum(curvature, 0.0)[..., None, :])
        return axes[..., 0], axes[..., 1], np.arctan2(directions[..., 1, 0], directions[..., 0, 0])


@dataclass(frozen=True)
class Trace:
    """The way of every method through a removal, and all that its picture needs.

    Attributes:
        indices: positions of the two target weights, from 0.
        scalar: (S,) influence scalar of each step; 1 throughout where every step re-estimates.
        removed: (S,) outliers that the loss of the step leaves out.
        start: (6,) the model that is edited.
        paths: per method (S, 6), the parameters after each step.
        risks: S of them, the mean squared error over the remaining points as a function of all parameters.
        plane: positions of the two weights over which the contours are drawn, from 0.
        slices: S of them, the loss that is drawn, as a function of these two weights.
        group: the whole group leaves at once, so that `risks` and `slices` are the same at every step.
        published: as the authors' notebook draws it.
        solves: how each step was found.
    """

    indices: tuple[int, int]
    scalar: Array
    removed: NDArray[np.int64]
    start: Array
    paths: dict[Way, Array]
    risks: Quadratic
    plane: tuple[int, int]
    slices: Quadratic
    solves: Solves
    group: bool = False
    published: bool = False

    @property
    def prediction(self) -> int:
        """The step at which all outliers are out at s = 1: where the methods predict retraining without them."""
        return int(np.argmin(np.abs(self.scalar - 1.0))) if self.group else len(self.scalar) - 1

    def steps(self) -> pd.DataFrame:
        """One row per method and step: weights, loss, total gradient, distances to retraining.

        ``loss`` and ``gradient_norm`` (Euclidean, all six parameters) are of the mean squared error over the points
        that remain at the step; the distances are Euclidean to the model retrained on the same points, over the two
        target weights (``distance_plane``) and over all parameters (``distance_full``). The rows ``original`` are the
        model as it was, ``retrain`` the retrained one (a single row, where the group leaves at once). The ``mark``
        "one" stands where all outliers are out and s = 1.
        """
        paths: dict[str, Array] = {str(method): path for method, path in self.paths.items()}
        paths["original"] = np.tile(self.start, (len(self.scalar), 1))
        everything = slice(None)
        blocks = [self._measured(method, path, everything) for method, path in paths.items()]
        kept = slice(self.prediction, self.prediction + 1) if self.group else everything
        retrain = self._measured("retrain", self.risks.optimum, kept)
        blocks.append({**retrain, "scalar": np.full(len(retrain["step"]), np.nan)})
        return _frame(blocks)

    def _measured(self, name: str, path: Array, kept: slice) -> dict[str, NDArray[Any]]:
        """Columns of a table: what is measured along a path of shape (S, 6)."""
        first, second = self.indices
        offset = path - self.risks.optimum
        steps = np.arange(len(path))
        columns: dict[str, NDArray[Any]] = {
            "method": np.full(len(path), name),
            "step": steps,
            "mark": np.where(steps == self.prediction, "one", ""),
            "scalar": self.scalar,
            "removed": self.removed,
            "weight_first": path[:, first],
            "weight_second": path[:, second],
            "loss": self.risks.value(path),
            "gradient_norm": np.linalg.norm(self.risks.gradient(path), axis=1),
            "distance_plane": np.linalg.norm(offset[:, [first, second]], axis=1),
            "distance_full": np.linalg.norm(offset, axis=1),
            **{f"weight_{number + 1}": path[:, number] for number in range(FEATURES)},
            "bias": path[:, FEATURES],
        }
        return {column: values[kept] for column, values in columns.items()}

    def landmarks(self) -> pd.DataFrame:
        """The points that the methods aim at, per step (once, where they do not move).

        ``start``; ``plane_optimum``: least loss over the target weights with the others as in the start;
        ``least_gradient``: least total gradient, likewise; ``full_optimum``: retraining, whose other weights are not
        those of the plane (loss and gradient are its own). As published, ``drawn_optimum`` is the centre of the
        contours that the notebook draws, over other weights.
        """
        kept = slice(self.prediction, self.prediction + 1) if self.group else slice(None)
        places = {
            "start": np.tile(self.start, (len(self.risks), 1)),
            "plane_optimum": self._moved("fif"),
            "least_gradient": self._moved("gif"),
            "full_optimum": self.risks.optimum,
        }
        names = ["step", "weight_first", "weight_second", "loss", "gradient_norm"]
        blocks = []
        for name, path in places.items():
            measured = self._measured(name, path, kept)
            blocks.append({"landmark": measured["method"], **{column: measured[column] for column in names}})
        if self.published:
            drawn = self.slices[-1]
            row = ["drawn_optimum", self.prediction, *drawn.optimum, float(drawn.minimum), np.nan]
            blocks.append({name: np.array([value]) for name, value in zip(blocks[0], row, strict=True)})
        return _frame(blocks)

    def _moved(self, method: Method) -> Array:
        """(S, 6): where one exact estimate from the start leads, at each step."""
        theta = np.tile(self.start, (len(self.risks), 1))
        theta[:, list(self.indices)] += estimate(
            method, self.risks.hessian, -self.risks.gradient(self.start), self.indices
        )
        return theta

    def contours(self) -> pd.DataFrame:
        """Contours of the loss over the plane shown, as ellipses: one row per step (once if fixed) and level.

        ``level`` is the loss on the contour and ``excess`` what it lies above the least loss in the plane; the centre
        is (``weight_first``, ``weight_second``), the semi-axes are ``major`` and ``minor``, ``angle`` is that of the
        major axis to the first weight's axis, in radians.
        """
        drawn = self.slices[:1] if self.group or self.published else self.slices
        excess = np.array(self._excesses())
        levels = drawn.minimum[:, None] + excess
        major, minor, angle = drawn.ellipses(levels)
        count = len(excess)
        columns = {
            "step": np.repeat(np.arange(len(drawn)), count),
            "level": levels.ravel(),
            "excess": np.tile(excess, len(drawn)),
            "weight_first": np.repeat(drawn.optimum[:, 0], count),
            "weight_second": np.repeat(drawn.optimum[:, 1], count),
            "major": major.ravel(),
            "minor": minor.ravel(),
            "angle": np.repeat(angle, count),
        }
        return pd.DataFrame(columns)

    def _excesses(self) -> list[float]:
        """Levels above the least loss in the plane: round numbers that fill the region of the paths."""
        last = self.slices[-1]
        points = np.vstack([path[:, list(self.indices)] for path in self.paths.values()])
        low, high = points.min(axis=0), points.max(axis=0)
        width = 1.5 * float((high - low).max())
        middle = (low + high) / 2
        corners = middle + 0.5 * width * np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)])
        largest = float((last.value(corners) - last.minimum).max())
        smallest = 0.5 * float(np.linalg.eigvalsh(last.hessian)[0]) * (0.04 * width) ** 2
        return round_levels(smallest, largest)


def _frame(blocks: Sequence[dict[str, NDArray[Any]]]) -> pd.DataFrame:
    """One table from blocks of rows with the same columns."""
    return pd.DataFrame({name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]})


def round_levels(smallest: float, largest: float, most: int = 9) -> list[float]:
    """Round numbers between two positive ones: 1, 2, 5 in every decade, or fewer so that at most `most` are left."""
    if not (0 < largest < np.inf):
        return []
    smallest = max(smallest, largest * 1e-6)
    decades = range(int(np.floor(np.log10(smallest))), int(np.ceil(np.log10(largest))) + 1)
    found: list[float] = []
    for digits in ((1, 2, 5), (1, 3), (1,)):
        found = [float(f"{digit}e{power}") for power in decades for digit in digits]
        found = [level for level in found if smallest <= level <= largest]
        if len(found) <= most:
            break
    return found


def draw(points: int, outliers: int, strength: float, correlation: float, noise: float, seed: int) -> Data:
    """Normal features, a linear target with noise, and outliers whose targets are sign-flipped and amplified.

    Features have unit variance; two of them whose numbers differ by d are correlated by ``correlation ** d``. The same
    seed keeps the same random numbers, so a change of strength, noise or correlation moves the points, not the dice.

    Args:
        points: N, outliers included.
        outliers: m of them, the first ones.
        strength: their targets are multiplied by ``-strength``.
        correlation: of neighbouring features, below 1.
        noise: standard deviation of the noise on the targets.
        seed: of numpy's default generator.
    """
    of_features, of_noise = np.random.default_rng(seed).spawn(2)
    distance = np.abs(np.subtract.outer(np.arange(FEATURES), np.arange(FEATURES)))
    mixing = np.linalg.cholesky(np.power(float(correlation), distance))
    features = of_features.standard_normal((points, FEATURES)) @ mixing.T
    targets = features @ np.array(TRUE_WEIGHTS) + TRUE_BIAS + noise * of_noise.standard_normal(points)
    targets[:outliers] *= -strength
    return Data(features, targets, outliers)


@cache
def published_data() -> Data:
    """The 4,000 points of the authors' notebook, 500 of them outliers: uniform features, mixed; targets without noise.

    The target is the sum of the unmixed features, so that the full optimum is (-12, 9, 1, 1, 1) and bias 0.
    """
    features = np.random.RandomState(0).random_sample((4000, FEATURES))
    targets = features.sum(axis=1)
    targets[:500] *= -5
    mixing = np.eye(FEATURES)
    mixing[0, 2:] = 6, 4, 3
    mixing[1, 2:] = -2, -4, -2
    return Data(features @ mixing, targets, 500)


def load(source: str, points: int, outliers: int, strength: float, correlation: float, noise: float, seed: int) -> Data:
    """The data that a question names: ``published``, or ``drawn`` with the settings (see `draw`)."""
    return published_data() if source == "published" else draw(points, outliers, strength, correlation, noise, seed)


def edited(data: Data, edits: Sequence[Edit]) -> Data:
    """The data after changes by hand; the points to remove come first, in their old order.

    Args:
        data: as drawn; left as it is.
        edits: each point at most once.

    Raises:
        ValueError: no point is left to remove, or none would stay.
    """
    if not edits:
        return data
    table = np.column_stack([data.features, data.targets])
    removed = np.arange(len(table)) < data.outliers
    for edit in edits:
        for column, value in edit.moved:
            table[edit.index, column] = value
        if edit.removed is not None:
            removed[edit.index] = edit.removed
    count = int(removed.sum())
    if not 0 < count < len(table):
        raise ValueError("at least one point must leave, and one must stay")
    order = np.argsort(~removed, kind="stable")
    return Data(table[order, :FEATURES], table[order, FEATURES], count)


def risks(data: Data, cuts: Sequence[int]) -> Quadratic:
    """The mean squared error over the points from position `cut` on, as a function of all parameters, for every cut.

    Args:
        data: the points.
        cuts: S ascending positions, each below N.

    Returns:
        A stack of S quadratics of the six parameters.
    """
    design, targets = data.design, data.targets
    bounds = [*cuts, len(targets)]
    blocks = [slice(start, stop) for start, stop in pairwise(bounds)]
    # summed from the end, so that nothing is subtracted and nothing cancels
    gram = np.cumsum([design[block].T @ design[block] for block in blocks[::-1]], axis=0)[::-1]
    moment = np.cumsum([design[block].T @ targets[block] for block in blocks[::-1]], axis=0)[::-1]
    optimum = _apply(_inverse(gram, symmetric=True), moment)
    squares = (design @ optimum.T - targets[:, None]) ** 2
    counts = len(targets) - np.array(cuts)
    minimum = np.array([squares[cut:, column].sum() for column, cut in enumerate(cuts)]) / counts
    return Quadratic(2 * gram / counts[:, None, None], optimum, minimum)


def estimator(method: Method, hessian: Array, indices: Sequence[int]) -> Array:
    """The matrix that turns g into the change of the target weights (section 3 of the paper).

    Args:
        method: ``gif``, ``fif`` or ``pif``.
        hessian: H of the remaining points, (..., p, p).
        indices: k positions of the target weights.

    Returns:
        (..., k, p). Where the system is singular, its change is the one of least norm.
    """
    chosen = list(indices)
    if method == "pif":
        return _inverse(hessian, symmetric=True)[..., chosen, :]
    if method == "gif":
        return _inverse(hessian[..., chosen])
    matrix = np.zeros_like(hessian[..., chosen, :])
    matrix[..., chosen] = _inverse(hessian[..., chosen, :][..., chosen], symmetric=True)
    return matrix


def estimate(method: Method, hessian: Array, gradient: Array, indices: Sequence[int]) -> Array:
    """The change of the target weights that a method predicts, (..., k).

    Args:
        method, hessian, indices: see `estimator`.
        gradient: g, (..., p): minus the gradient of the remaining points' loss at the present parameters.
    """
    return _apply(estimator(method, hessian, indices), gradient)


def _inverse(matrix: Array, symmetric: bool = False) -> Array:
    """The pseudo-inverse, stack by stack."""
    return np.asarray(np.linalg.pinv(matrix, RCOND, hermitian=symmetric), dtype=np.float64)


def _apply(matrix: Array, vector: Array) -> Array:
    """Matrix times vector, stack by stack."""
    return np.asarray(np.einsum("...ij,...j->...i", matrix, vector))


def remove_in_steps(data: Data, indices: tuple[int, int], removals: int) -> Trace:
    """A few points at a time, re-estimating after each step from where the last one led: g = -∇L_R(θ)."""
    cuts = _cuts(data, removals)
    remaining = risks(data, cuts)
    start = remaining[0].optimum
    paths: dict[Way, Array] = {}
    gradients: dict[Way, Array] = {}
    for method in METHODS:
        estimators = estimator(method, remaining.hessian, indices)
        path, found = [start], [np.zeros_like(start)]
        for step in range(1, len(cuts)):
            theta = path[-1].copy()
            found.append(-remaining[step].gradient(theta))
            theta[list(indices)] += estimators[step] @ found[-1]
            path.append(theta)
        paths[method], gradients[method] = np.array(path), np.array(found)
    ones = np.ones(len(cuts))
    solves = _solves(remaining.hessian, gradients, paths, indices, data.outliers / len(data.targets))
    slices = remaining.slice(indices, start)
    return Trace(indices, ones, np.array(cuts), start, paths, remaining, indices, slices, solves)


def remove_group(data: Data, indices: tuple[int, int], removals: int, *, expansions: bool = False) -> Trace:
    """The whole group at once: one estimate Δ at the start, followed along start + s·Δ in `removals` steps to s = 1.

    With `expansions`, the first and the second order go along, which move all parameters.
    """
    both = risks(data, [0, data.outliers])
    start, remaining = both.optimum[0], both[1]
    scalar = np.arange(int(np.ceil(LARGEST_SCALAR * removals)) + 1) / removals
    changes: dict[Way, Array] = {}
    gradients: dict[Way, Array] = {}
    for method in METHODS:
        delta = np.zeros_like(start)
        gradients[method] = -remaining.gradient(start)
        delta[list(indices)] = estimate(method, remaining.hessian, gradients[method], indices)
        changes[method] = delta
    parts = expand(data, start, both[0].hessian) if expansions else {}
    share = data.outliers / len(data.targets)
    if parts:
        changes["koh"] = share * parts["solved"]
        changes["if2"] = parts["first"] - share / (1 - share) * (parts["first"] - parts["image"])
        gradients["koh"] = gradients["if2"] = parts["gradient"]
    paths = {way: start + scalar[:, None] * delta for way, delta in changes.items()}
    constant = both[np.ones(len(scalar), dtype=np.int64)]
    removed = np.full(len(scalar), data.outliers)
    slices = constant.slice(indices, start)
    once: dict[Way, Array] = {way: np.stack([start, start + delta]) for way, delta in changes.items()}
    solves = _solves(
        remaining.hessian[None], {way: g[None] for way, g in gradients.items()}, once, indices, share, parts
    )
    return Trace(indices, scalar, removed, start, paths, constant, indices, slices, solves, group=True)


def expand(data: Data, start: Array, hessian: Array) -> dict[str, Array]:
    """What the two expansions are made of; see `Solves.expansion`.

    Args:
        data: the points.
        start: (6,) the minimum over all points.
        hessian: H_D, (6, 6).
    """
    block = data.design[: data.outliers]
    group = 2 * block.T @ block / data.outliers
    gradient = 2 * block.T @ (block @ start - data.targets[: data.outliers]) / data.outliers
    inverse = _inverse(hessian, symmetric=True)
    solved = inverse @ gradient
    first = data.outliers / (len(data.targets) - data.outliers) * solved
    return {
        "all": hessian,
        "group": group,
        "gradient": gradient,
        "solved": solved,
        "first": first,
        "image": inverse @ (group @ first),
    }


def _solves(
    hessian: Array,
    gradients: dict[Way, Array],
    paths: dict[Way, Array],
    indices: tuple[int, int],
    share: float,
    expansion: dict[str, Array] | None = None,
    factors: dict[Way, Array] | None = None,
    moved: dict[Way, tuple[int, ...]] | None = None,
) -> Solves:
    """Every step's right-hand side and change; `paths` have one point more than there are solves where one serves."""
    once = len(hessian) == 1
    changes = {way: np.diff(path, axis=0, prepend=path[:0] if once else path[:1]) for way, path in paths.items()}
    ones = np.ones(len(hessian))
    everything = tuple(range(FEATURES + 1))
    targets: dict[Way, tuple[int, ...]] = {way: everything if way in EXPANSIONS else indices for way in paths}
    return Solves(
        hessian=hessian,
        gradients=gradients,
        changes=changes,
        moved={**targets, **(moved or {})},
        factors={**dict.fromkeys(paths, ones), **(factors or {})},
        expansion=expansion or {},
        share=share,
    )


def _cuts(data: Data, removals: int) -> list[int]:
    return [int(cut) for cut in np.linspace(0, data.outliers, removals + 1).round()]


# As published: settings of the authors' notebook (github.com/hslyu/GIF, scripts/fig2-toy_example.ipynb).

#: What the notebook does otherwise than the formulas of the paper, in words.
QUIRKS = (
    "The start is not the least-squares fit: 10,000 gradient steps of rate 0.01 stop well before it.",
    "The contours are drawn over weights 2 and 3 with the bias set to 1, while the trajectories are weights 1 and 2; "
    "the marked optimum is that of the wrong plane.",
    "PIF moves all five weights, not two, and is divided by a further 10.",
    "Each step is scaled by m/N/1.04 with N fixed at 4,000, although points leave and the Hessian is of those that "
    "remain.",
    "Every method starts with a bias of its own, drawn at random, instead of the trained one.",
    "The lines are smoothed (Gaussian, σ = 0.75 steps), and the start marker is shifted by 0.05 along weight 2.",
)

_SGD_STEPS = 10_000
_SGD_RATE = 0.01
_NORMALIZER = 1.04
_REMOVALS = 50
#: ``torch.manual_seed(0)``, then four times ``torch.nn.Linear(5, 1)``: the first one's weights and bias are where the
#: training begins, the others' biases belong to the edited copies for GIF, FIF and PIF. (A test draws them again.)
_INITIAL = (
    -0.003348207799717784,
    0.23990486562252045,
    -0.36807698011398315,
    -0.3291219472885132,
    -0.17224626243114471,
    0.11992361396551132,
)
_FRESH_BIAS: dict[Method, float] = {
    "gif": -0.08790671080350876,
    "fif": 0.2683383524417877,
    "pif": 0.33465519547462463,
}
#: The window of the notebook's picture: weight 1 from, to, weight 2 from, to.
PUBLISHED_WINDOW = (-1.575, 1.425, -0.75, 1.25)
START_SHIFT = 0.05


def published_start(steps: int = _SGD_STEPS) -> Array:
    """(6,): where the notebook's training is after `steps` steps of full-batch gradient descent, in closed form.

    For a quadratic, t steps of rate η lead to ``optimum + (I - η·H)^t (initial - optimum)``.
    """
    risk = risks(published_data(), [0])[0]
    curvature, directions = np.linalg.eigh(risk.hessian)
    away = directions.T @ (np.array(_INITIAL) - risk.optimum)
    return np.asarray(risk.optimum + directions @ ((1 - _SGD_RATE * curvature) ** steps * away))


def remove_as_published() -> Trace:
    """The trajectories of the authors' notebook, computed as it computes them (see `QUIRKS`)."""
    data = published_data()
    indices = (0, 1)
    cuts = _cuts(data, _REMOVALS)
    remaining = risks(data, cuts)
    start = published_start()
    design, targets = data.design, data.targets
    paths: dict[Way, Array] = {}
    gradients: dict[Way, Array] = {}
    factors: dict[Way, Array] = {}
    sizes = np.diff(cuts, prepend=0)
    for method in METHODS:
        moved = list(range(FEATURES)) if method == "pif" else list(indices)
        estimators = estimator(method, remaining.hessian, moved) / (10 if method == "pif" else 1)
        theta = start.copy()
        theta[FEATURES] = _FRESH_BIAS[method]
        path, found = [theta], [np.zeros_like(theta)]
        factors[method] = sizes / len(targets) / _NORMALIZER / (10 if method == "pif" else 1)
        for step, (begin, end) in enumerate(pairwise(cuts), start=1):
            theta, block = path[-1].copy(), design[begin:end]
            gradient = (
                2 * block.T @ (block @ theta - targets[begin:end]) / (end - begin)
            )  # mean over the removed points
            theta[moved] += (end - begin) / len(targets) / _NORMALIZER * (estimators[step] @ gradient)
            path.append(theta)
            found.append(gradient)
        paths[method], gradients[method] = np.array(path), np.array(found)
    base = start.copy()
    base[FEATURES] = 1.0
    plane = (1, 2)
    last = remaining[np.full(len(cuts), len(cuts) - 1)]
    ones = np.ones(len(cuts))
    slices = last.slice(plane, base)
    five = tuple(range(FEATURES))
    share = data.outliers / len(targets)
    solves = _solves(remaining.hessian, gradients, paths, indices, share, factors=factors, moved={"pif": five})
    return Trace(indices, ones, np.array(cuts), start, paths, remaining, plane, slices, solves, published=True)


def smoothed(path: Array, sigma: float = 0.75) -> Array:
    """A line as the notebook draws it: each coordinate of (S, d) under a Gaussian of `sigma` steps, ends reflected."""
    radius = int(4 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    padded = np.pad(path, ((radius, radius), (0, 0)), mode="symmetric")
    return np.column_stack([np.convolve(column, kernel, mode="valid") for column in padded.T])
