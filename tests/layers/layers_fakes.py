"""A hand-made answer of the layers, and a client that has it."""

from __future__ import annotations

import math

import pandas as pd
from panels.panels_fakes import FakeClient, row

from gif_dash.results import Result
from gif_dash.specs import LayersSpec

SPEC = LayersSpec(forget_classes=(1,), methods=("gif", "fif"), criteria=("top-outputs", "random"))
PARTS = {("top-outputs", "gif"): 20.0, ("top-outputs", "fif"): 40.0, ("random", "gif"): 70.0, ("random", "fif"): 90.0}


def layers() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "criterion": criterion,
            "method": method,
            "layer": layer,
            "kind": kind,
            "parameters": count,
            "selected": count // 10,
            "share": 10.0,
            "norm": math.sqrt(part),
            "theta_norm": 10.0,
            "ratio": math.sqrt(part) / 10,
            "part": part,
            "scalar": 5.0,
            "norm_best": 5 * math.sqrt(part),
            "ratio_best": math.sqrt(part) / 2,
            "cosine_retrain": 0.1,
            "cosine_retrain_warm": -0.5,
            "test_accuracy_alone": 97.0,
            "self_accuracy_alone": 60.0 if layer == "conv" else 5.0,
            "score_alone": 0.5 if layer == "conv" else 0.9,
        }
        for (criterion, method), first in PARTS.items()
        for layer, kind, count, part in (("conv", "Conv2d", 100, first), ("head", "Linear", 1000, 100 - first))
    )


def answer(spec: LayersSpec = SPEC) -> Result:
    edits = [{"criterion": "", **row(name, math.nan)} for name in ("original", "retrain", "retrain_warm")]
    pairs = [(criterion, method) for criterion in spec.criteria for method in spec.methods]
    for criterion, method in pairs:
        for mark, scalar in (("one", 1.0), ("best", 5.0)):
            edits.append({"criterion": criterion, **row(method, scalar, mark, score=0.95, score_se=0.01)})
    references = pd.DataFrame(
        {
            "reference": name,
            "layer": layer,
            "kind": "Conv2d" if layer == "conv" else "Linear",
            "parameters": 100,
            "norm": norm,
            "theta_norm": 10.0,
            "ratio": norm / 10,
            "part": 50.0,
            "note": "so and so",
        }
        for name, norm in (("retrain", 8.0), ("retrain_warm", 0.5))
        for layer in ("conv", "head")
    )
    trust = pd.DataFrame(
        {
            "criterion": criterion,
            "method": method,
            "mark": mark,
            "scalar": scalar,
            "rho": 1.0,
            "rho_error": 0.01,
            "numerator": 0.1,
            "denominator": 0.1,
            "verdict": "good",
            **{
                f"{key}{suffix}": 0.5 for suffix in ("", "_warm") for key in ("distance", "distance_original", "cosine")
            },
        }
        for criterion, method in pairs
        for mark, scalar in (("one", 1.0), ("best", 5.0))
    )
    solves = pd.DataFrame(
        {
            "criterion": criterion,
            "method": method,
            "solver": "cgls",
            "status": "stopped",
            "iterations": 5,
            "relative_residual": 0.4,
            "message": "",
        }
        for criterion, method in pairs
    )
    tensors = layers().assign(role="weight", shape="2×3")
    tables = {
        "layers": layers(),
        "tensors": tensors,
        "edits": pd.DataFrame(edits),
        "references": references,
        "trust": trust,
        "solves": solves,
    }
    known = {"seconds": 6.5, "hvps": 44, "device": "cpu"}
    return Result({"experiment": "layers", **spec.model_dump(mode="json")}, tables, known)


class Client(FakeClient):
    def store(self, found: Result) -> None:
        values = {name: value for name, value in found.spec.items() if name != "experiment"}
        self.answers[LayersSpec.parse(values).canonical()] = found
