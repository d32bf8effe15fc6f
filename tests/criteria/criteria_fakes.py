"""A hand-made answer about the criteria, for tests of pictures, words and panel without any computing."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from panels.panels_fakes import FakeClient

from gif_dash.experiments.criteria import COLUMNS, CURVE, WORDS
from gif_dash.results import Result
from gif_dash.specs import CriteriaSpec, Spec

SPEC = CriteriaSpec(forget_classes=(2,), criteria=("top-outputs", "random", "lowest-outputs"), mrs=(5, 20))


def row(criterion: str, mr: float, mark: str, **other: Any) -> dict[str, Any]:
    """One row; what is not given has a value that can be told from nothing else."""
    known: dict[str, Any] = {"method": "gif", "criterion": criterion, "mr": mr, "mark": mark}
    known |= {"scalar": 1.0 if mark == "one" else 12.5, "self_loss": 5.0, "self_accuracy": 10.0, "test_loss": 0.2}
    known |= {"test_accuracy": 95.0, "score": 0.9, "images": 200, "k": 100, "share": mr - 0.1, "hvps": 11}
    known |= {f"{name}_se": 0.1 for name in ("self_loss", "test_loss", "self_accuracy", "test_accuracy")}
    known |= {"score_se": 0.01, "seconds": 0.25, "status": "stopped", "solver": "cgls", "relative_residual": 0.3}
    known |= {"verdict": "good" if mark == "one" else "poor", "rho": 1.0, "distance": 5.0, "distance_original": 4.0}
    return known | other


def cells(*rows: dict[str, Any]) -> pd.DataFrame:
    """The main table with the given rows, as the experiment makes it."""
    frame = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    return frame.astype({name: object if name in WORDS else float for name in COLUMNS}).fillna(dict.fromkeys(WORDS, ""))


def references() -> list[dict[str, Any]]:
    bare = {"scalar": math.nan}
    origin = {"method": "original", "self_accuracy": 90.0, "score": 0.18, "self_loss": 0.3, "verdict": ""}
    truth = {"method": "retrain", "self_accuracy": 0.0, "score": 0.98, "self_loss": 9.0, "verdict": ""}
    return [row("", math.nan, "", **{**bare, **known}) for known in (origin, truth)]


def table(spec: CriteriaSpec = SPEC, **scores: float) -> pd.DataFrame:
    """All cells of a question: `scores` by criterion with underscores; lowest-k fails at the smallest MR."""
    rows = references()
    for criterion, mr in spec.cells:
        if criterion == "lowest-outputs" and mr == spec.mrs[0]:
            rows.append(
                {"method": "gif", "criterion": criterion, "mr": mr, "mark": "failed", "message": "no <b>unit</b>"}
            )
            continue
        score = scores.get(criterion.replace("-", "_"), 0.9)
        rows += [row(criterion, mr, "one", score=0.3, self_accuracy=80.0), row(criterion, mr, "best", score=score)]
    return cells(*rows)


def result(spec: CriteriaSpec = SPEC, **scores: float) -> Result:
    points = [
        {"criterion": criterion, "mr": mr, "scalar": s, "score": s / 100, "score_se": 0.01, "self_loss": s}
        | {"self_accuracy": 50.0, "test_loss": 0.1, "test_accuracy": 90.0}
        for criterion, mr in spec.cells
        for s in (0.1, 1.0, 12.5)
    ]
    tables = {"cells": table(spec, **scores), "curves": pd.DataFrame(points)[list(CURVE)]}
    values = {"experiment": "criteria", **spec.model_dump(mode="json")}
    return Result(values, tables, {"seconds": 9.0, "hvps": 72, "device": "cpu"})


class Answering(FakeClient):
    """Looks answers up by the question, whatever its experiment."""

    def keep(self, answer: Result, spec: Spec) -> None:
        self.answers[spec.canonical()] = answer
