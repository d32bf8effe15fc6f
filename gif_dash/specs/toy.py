"""The question of the toy."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from gif_dash.specs import toy_edits
from gif_dash.specs.base import MAX_SEED, Spec, fault, field


class ToySpec(Spec):
    """Figure 2 of the GIF paper: linear regression with a group of heterogeneous points, removed under one's eyes.

    The authors' data and the version as published leave no choice of what they fix: these fields take the published
    values, whatever is given (see `fixed`).
    """

    experiment: ClassVar[str] = "toy"

    variant: Literal["exact", "published"] = field(
        "exact",
        "Version",
        "exact: the paper's formulas; as published: the authors' notebook with its quirks, which fixes all the rest",
        widget="toggle",
    )
    data: Literal["drawn", "published"] = field(
        "drawn",
        "Data",
        "drawn here with the settings below, or the 4,000 points of the authors' notebook",
        widget="toggle",
    )
    removal: Literal["steps", "group"] = field(
        "steps",
        "Remove",
        "a few outliers at a time, re-estimating after each step, or all at once by one estimate, scaled by s",
        widget="toggle",
    )
    expansions: Literal["no", "yes"] = field(
        "no",
        "First and second order",
        "all at once only: also IF, first order in the removed share, and IF2, second order; both move all weights",
        widget="toggle",
    )
    points: int = field(1000, "Points", "number of training points, outliers included", ge=20, le=5000)
    outliers: int = field(200, "Outliers", "points to remove; at most half of all", ge=1, le=2000)
    strength: float = field(
        5.0, "Outlier strength", "targets of the outliers are sign-flipped and multiplied by this", ge=0.0, le=20.0
    )
    correlation: float = field(
        0.5,
        "Correlation",
        "of neighbouring features, its powers for those further apart; at 0 the methods agree up to sampling error, "
        "which more points reduce",
        ge=0.0,
        le=0.95,
    )
    noise: float = field(1.0, "Noise", "standard deviation of the noise on the targets", ge=0.0, le=5.0)
    first: int = field(1, "First target weight", "one of the two weights that the edit may change", ge=1, le=5)
    second: int = field(2, "Second target weight", "the other weight that the edit may change", ge=1, le=5)
    removals: int = field(
        20,
        "Steps",
        "in how many steps the outliers leave, or s goes from 0 to 1",
        ge=1,
        le=100,
        advanced=True,
    )
    seed: int = field(
        0, "Seed", "of the data: the same seed keeps the same random numbers", ge=0, le=MAX_SEED, advanced=True
    )
    edits: tuple[str, ...] = field(
        (),
        "Changed by hand",
        "changed points: INDEX:x2:0.5:y:-3.1:out moves a point and puts it among those to remove (in: keeps it)",
        max_length=toy_edits.MOST,
    )

    #: What the authors' data fixes; its features are mixed by a matrix, to which no correlation coefficient belongs.
    PUBLISHED_DATA: ClassVar[dict[str, Any]] = {
        "points": 4000,
        "outliers": 500,
        "strength": 5.0,
        "correlation": 0.5,
        "noise": 0.0,
        "seed": 0,
    }
    #: What the version as published fixes besides.
    PUBLISHED_RUN: ClassVar[dict[str, Any]] = {
        "data": "published",
        "removal": "steps",
        "first": 1,
        "second": 2,
        "removals": 50,
        "edits": (),
    }

    #: What a removal in steps fixes: an expansion is one estimate from the least-squares start.
    STEPWISE: ClassVar[dict[str, Any]] = {"expansions": "no"}

    @classmethod
    def fixed(cls, variant: str, data: str, removal: str = "group") -> dict[str, Any]:
        """Fields on which a version, its data and its kind of removal leave no choice, with their values."""
        if variant == "published":
            return {**cls.PUBLISHED_DATA, **cls.PUBLISHED_RUN, **cls.STEPWISE}
        settled = dict(cls.STEPWISE) if removal == "steps" else {}
        return {**cls.PUBLISHED_DATA, **settled} if data == "published" else settled

    @model_validator(mode="before")
    @classmethod
    def _as_published(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        chosen = (values.get(name, cls.model_fields[name].default) for name in ("variant", "data", "removal"))
        return {**values, **cls.fixed(*chosen)}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.first == self.second:
            raise ValueError(f"the two target weights (first, second) must differ; both are {self.first}")
        if self.outliers > self.points // 2:
            raise ValueError(
                f"the outliers must be at most half of the points, {self.points // 2} here; got {self.outliers}"
            )
        if self.removals > self.outliers:
            raise ValueError(
                f"the steps (removals) must be at most as many as the outliers, {self.outliers} here; "
                f"got {self.removals}"
            )
        self._settle_edits()
        return self

    def _settle_edits(self) -> None:
        """One spelling for equal changes, and a group that can be removed."""
        try:
            edits = toy_edits.canonical(self.edits, self.outliers)
        except ValueError as error:
            raise fault("edits", str(error)) from None
        object.__setattr__(self, "edits", edits)  # frozen for everybody else
        changes = self.changes()
        if changes and changes[-1].index >= self.points:
            raise fault("edits", f"there are points 0 to {self.points - 1}; got {changes[-1].index}")
        leaving = self.leaving
        if not 1 <= leaving <= self.points // 2:
            raise fault(
                "edits", f"at least 1 point must leave, at most half of all, {self.points // 2} here; got {leaving}"
            )

    def changes(self) -> list[toy_edits.Change]:
        """The changes by hand."""
        return [toy_edits.read(text) for text in self.edits]

    @property
    def leaving(self) -> int:
        """How many points are to be removed, changes by hand included."""
        removed = [change.removed for change in self.changes()]
        return self.outliers + removed.count(True) - removed.count(False)
