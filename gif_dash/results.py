"""What comes out: tidy tables with provenance, and the card that describes a scenario to those who cannot load it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict

from gif_dash import catalog
from gif_dash.progress import Progress, Silent


@dataclass(frozen=True)
class Result:
    """The answer to one spec.

    Attributes:
        spec: the question, as `Spec.model_dump(mode="json")` with the key ``experiment`` added.
        tables: tidy tables by name; the first is the one a CSV export writes.
        provenance: device, versions, seed, wall time in seconds, HVP count, and whatever explains the numbers.
    """

    spec: dict[str, Any]
    tables: dict[str, pd.DataFrame]
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def experiment(self) -> str:
        return str(self.spec["experiment"])

    @property
    def table(self) -> pd.DataFrame:
        """The main table."""
        return next(iter(self.tables.values()))

    def summary(self) -> pd.DataFrame:
        """The rows and columns that one looks at first: the experiment's own choice, or the main table."""
        entry = catalog.EXPERIMENTS.get(self.experiment)
        if entry is None or not entry.summary:
            return self.table
        frame: pd.DataFrame = catalog.resolve(entry.summary)(self)
        return frame

    def scalar(self, method: str, at: float | str = "best") -> float:
        """The influence scalar s behind a wish: a number, or ``best`` for the method's best s.

        Raises:
            ValueError: one sentence, if the result does not have it.
        """
        if "scalar" not in self.table or "mark" not in self.table:
            raise ValueError(f"a result of {self.experiment} has no edited models")
        rows = self.table[(self.table["method"] == method) & (self.table["mark"] == "best")]
        if not len(rows):
            known = ", ".join(self.table.dropna(subset="scalar")["method"].unique())
            raise ValueError(f"this result has no method {method!r}; choose from {known}")
        if at == "best":
            return float(rows["scalar"].iloc[0])
        try:
            value = float(at)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ValueError(f"s is 'best' or a finite number; got {at!r}")
        return value

    def model(self, method: str = "gif", s: float | str = "best", progress: Progress | None = None) -> Any:
        """The edited network θ̂ + s·Δ of a class removal, computed again from the spec.

        Args:
            method: one of the result's methods.
            s: the influence scalar, or ``best``.
            progress: told about the stages; nobody by default.

        Returns:
            A ``torch.nn.Module`` of one's own, in eval mode.

        Raises:
            ValueError: one sentence, if the result does not have it.
        """
        entry = catalog.EXPERIMENTS[self.experiment]
        if not entry.edited:
            raise ValueError(f"a result of {self.experiment} has no edited models")
        scalar = self.scalar(method, s)
        values = {name: value for name, value in self.spec.items() if name != "experiment"}
        edited = catalog.resolve(f"{entry.target.partition(':')[0]}:edited_model")
        return edited(catalog.resolve(entry.spec).parse(values), method, scalar, progress or Silent())

    def to_json(self) -> str:
        """Lossless text: floats are written in full, NaN and Inf by name."""
        tables = {name: frame_to_dict(frame) for name, frame in self.tables.items()}
        return json.dumps({"spec": self.spec, "tables": tables, "provenance": self.provenance})

    @classmethod
    def from_json(cls, text: str) -> Result:
        payload = json.loads(text)
        tables = {name: frame_from_dict(data) for name, data in payload["tables"].items()}
        return cls(payload["spec"], tables, payload["provenance"])


def frame_to_dict(frame: pd.DataFrame) -> dict[str, Any]:
    """A table as plain JSON values; the index is not kept."""
    columns = {str(name): frame[name].tolist() for name in frame.columns}
    return {"dtypes": {str(name): str(dtype) for name, dtype in frame.dtypes.items()}, "columns": columns}


def frame_from_dict(data: dict[str, Any]) -> pd.DataFrame:
    """Inverse of `frame_to_dict`."""
    return pd.DataFrame(data["columns"]).astype(data["dtypes"])


class LayerCard(BaseModel):
    """One layer of a network, as people see it."""

    model_config = ConfigDict(frozen=True)

    name: str
    kind: str  #: class name of the module, for example ``Conv2d``
    parameters: int
    selectable: bool  #: weights and biases of convolutional and linear layers only


class ScenarioCard(BaseModel):
    """What can be known of a scenario without loading it."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    summary: str = ""
    fingerprint: str = ""  #: hash of weights, buffers, data sample and recipe; empty while not prepared
    classes: tuple[str, ...] = ()
    train_size: int = 0
    test_size: int = 0
    train_counts: tuple[int, ...] = ()  #: training examples per class
    test_counts: tuple[int, ...] = ()
    parameters: int = 0
    weight_decay: float = 0.0
    layers: tuple[LayerCard, ...] = ()
    thumbnails: tuple[tuple[str, ...], ...] = ()  #: per class, a few PNG pictures as base64 text
    test_accuracy: float | None = None  #: of the original model, in percent
    has_cold_reference: bool = True  #: whether it can be retrained from scratch
    data_note: str = ""  #: what must be said beside numbers, for example "JPEG copies"
    seconds: dict[str, float] = {}  #: measured times, for example of training
    preprocessing: str = ""  #: of the inputs, as torchvision's transforms, where it is known
    evidence: dict[str, tuple[int, int]] = {}  #: places behind the fingerprint, see `compute.evidence`
    settings: dict[str, str] = {}  #: environment variables that decide what the scenario is, with their values then
