"""A hand-made answer about methods: numbers that can be told from method, seed and s."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from gif_dash.experiments.paired import differences, summary
from gif_dash.results import Result
from gif_dash.specs import MethodsSpec
from gif_dash.specs.methods import EVERYWHERE

SCALARS = (0.1, 1.0, 10.0, 100.0)
SPEC = MethodsSpec(methods=("gif", "fif", "if"), mrs=(10, 30), seeds=2, forget_classes=(2,))
#: Score of the first seed; every further one has one hundredth less, and FIF every second time a little more.
SCORES = {"gif": 0.98, "fif": 0.97, "if": 0.90, "retrain": 0.99, "retrain_warm": 0.5, "original": 0.1}


def row(method: str, seed: int, mr: float, scalar: float, mark: str = "", **other: Any) -> dict[str, Any]:
    s = 0.0 if math.isnan(scalar) else scalar
    known = {
        "group": "chosen",
        "class": "2",
        "seed": seed,
        "mr": mr,
        "method": method,
        "scalar": scalar,
        "mark": mark,
        "self_loss": 1.0 + s + seed,
        "self_accuracy": max(0.0, 90.0 - s),
        "test_loss": 0.05 + s / 100,
        "test_accuracy": 98.0 - s / 10 - 2 * seed,
        "score": SCORES[method] - 0.01 * seed + (0.001 * (seed % 2) if method == "fif" else 0.0),
        "images": 200,
        "test_accuracy_se": 0.5,
        "self_accuracy_se": 0.75,
        "score_se": 0.005,
        "hvps": math.nan if method in ("retrain", "retrain_warm", "original") else 11.0,
        "seconds": {"original": math.nan, "retrain": 8.0, "retrain_warm": 2.0}.get(method, 0.25),
        "rho": 1.0 if mark == "one" else 0.05,
        "rho_error": 0.02,
        "verdict": "good" if mark == "one" else "poor" if mark else math.nan,
        "distance": 5.0,
        "distance_original": 6.0,
        "distance_warm": 0.9,
        "distance_original_warm": 1.0,
    }
    return known | other


def answer(spec: MethodsSpec = SPEC, **changes: Any) -> Result:
    """An answer of a spec; `changes` go into its provenance."""
    rows = []
    for seed in range(spec.seeds):
        rows += [row(name, seed, math.nan, math.nan) for name in ("original", "retrain", "retrain_warm")]
        for method in spec.methods:
            for mr in (100.0,) if method in EVERYWHERE else spec.mrs:
                best = 10.0 if seed == 0 else 1000.0
                rows += [row(method, seed, mr, scalar) for scalar in (*SCALARS, 20.0 + seed)]
                rows += [row(method, seed, mr, 1.0, "one"), row(method, seed, mr, best, "best")]
    table = pd.DataFrame(rows)
    marked = table[(table["mark"] != "") | table["scalar"].isna()]
    tables = {"points": table, "summary": summary(marked), "differences": differences(marked)}
    provenance = {
        "seconds": 20.0,
        "hvps": 99,
        "p": 1898,
        "shares": {"10": 9.96, "30": 29.9},
        "classes": ["zero", "one", "two"],
        "scenario": "Digits <small>",
        "device": "cpu",
        "pieces": [{}] * spec.seeds,
        **changes,
    }
    return Result({"experiment": "methods", **spec.model_dump(mode="json")}, tables, provenance)
