"""A hand-made answer of fragility."""

from __future__ import annotations

import math

import pandas as pd

from gif_dash.results import Result
from gif_dash.specs import FragilitySpec

SPEC = FragilitySpec(values=(2.0, 8.0), hessians=("exact", "sample"), seeds=2)


def summary(spec: FragilitySpec = SPEC) -> pd.DataFrame:
    """Pearson .9 ± .1 and .4 ± .1 with the exact Hessian, .2 less with that of a sample."""
    return pd.DataFrame(
        {
            "value": value,
            "seed": seed,
            "hessian": kind,
            "pearson": (0.9 if value == spec.grid()[0] else 0.4) - 0.2 * (kind == "sample") + 0.1 * (2 * seed - 1),
            "spearman": 0.3,
            "norm_predicted": 0.1 if kind != "lissa" else math.nan,
            "norm_retrained": 0.2,
            "norm_from_continued": 0.15,
            "points": 2,
            "continued": 0.5 if value > 2 else 1e-6,
            "norm_continued": 0.01,
            "width": int(value),
            "depth": 1,
            "weight_decay": 1e-3,
            "damping": 1e-3,
            "p": 43,
            "train_accuracy": 98.0,
            "test_accuracy": 96.0,
            "test_index": 4,
            "test_loss": 0.7,
            "gradient_norm": 1e-4,
            "lambda_max": 2.0,
            "lambda_min": -0.01 if value > 2 else 0.001,
            "seconds": 0.1,
            "retraining_seconds": 1.0,
            "residual": 0.0,
            "message": "LiSSA diverges <here>" if kind == "lissa" else "",
        }
        for value in spec.grid()
        for seed in range(spec.seeds)
        for kind in spec.hessians
    )


def points(spec: FragilitySpec = SPEC) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "value": value,
            "seed": seed,
            "hessian": kind,
            "train_index": index,
            "label": 0,
            "predicted": 0.01 * index,
            "retrained": 0.02 * index,
            "norm_predicted": 0.1,
            "norm_retrained": 0.2,
            "norm_from_continued": 0.15,
        }
        for value in spec.grid()
        for seed in range(spec.seeds)
        for kind in spec.hessians
        for index in (-1, 3)
    )


def answer(spec: FragilitySpec = SPEC) -> Result:
    known = {
        "data": "Iris",
        "N": 120,
        "test_examples": 30,
        "p": [19, 67],
        "dtype": "float64",
        "training": "gradient descent",
        "seconds": 12.0,
    }
    asked = {"experiment": "fragility", **spec.model_dump(mode="json")}
    return Result(asked, {"points": points(spec), "summary": summary(spec)}, known)
