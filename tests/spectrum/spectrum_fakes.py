"""A hand-made answer of the spectrum, and a client that has it."""

from __future__ import annotations

import pandas as pd
from panels.panels_fakes import FakeClient

from gif_dash.results import Result
from gif_dash.specs import SpectrumSpec

SPEC = SpectrumSpec(alphas=(0.0, 0.01, 0.1), count=10)


def shares(spec: SpectrumSpec = SPEC) -> pd.DataFrame:
    lows = {"cross-entropy": (-0.05, -0.01, 0.08), "squared-error": (-0.001, 0.01, 0.1)}
    negative = {"cross-entropy": (3, 0, 0), "squared-error": (0, 0, 0)}
    of_all = {"cross-entropy": (15.0, 5.0, 0.0), "squared-error": (4.0, 0.0, 0.0)}
    return pd.DataFrame(
        {
            "loss": loss,
            "alpha": alpha,
            "negative_share": 10.0 * negative[loss][place],
            "negative": negative[loss][place],
            "count": 10,
            "negative_share_all": of_all[loss][place],
            "zero_share_all": 0.0,
            "zero_up_to": 1e-8,
            "lambda_min": lows[loss][place],
            "lambda_max": 9.0,
            "smallest_of_count": 0.5,
            "p": 1682,
            "theta_norm": 5.0,
            "train_loss": 0.1,
            "test_loss": 0.2,
            "test_accuracy": 90.0 if place < 2 else 10.0,
            "gradient_norm": 0.01,
            "eigensolver": "dense",
            "converged": 10,
            "hvps": 100,
            "message": "",
        }
        for loss in spec.losses
        for place, alpha in enumerate(spec.alphas)
    )


def answer(spec: SpectrumSpec = SPEC) -> Result:
    table = shares(spec)
    positive = table["lambda_min"] > 0
    lissa = table[["loss", "alpha", "lambda_min", "lambda_max"]].assign(
        scale=9.0,
        verdict=positive.map({True: "converges", False: "diverges"}),
        reason=positive.map({True: "", False: "negative"}),
        factor=1 - table["lambda_min"] / 9,
        scale_needed=4.5,
        shift_needed=(-table["lambda_min"]).clip(lower=0),
        measured=["grows", "falls", "falls"] * len(spec.losses),
        residual_first=0.9,
        residual_last=0.5,
        residual_ratio=0.99,
        steps=50,
    )
    bins = [
        ("zero", 0.0, 1e-8, 40),
        ("negative", 0.01, 0.1, 7),
        ("positive", 0.01, 0.1, 35),
        ("positive", 1.0, 10.0, 4),
    ]
    bins.append(("negative", 1.0, 10.0, 0))
    histogram = pd.DataFrame(
        {"loss": loss, "alpha": alpha, "sign": sign, "low": low, "high": high, "count": count + 1000.0 * alpha}
        for loss in spec.losses
        for alpha in spec.alphas
        for sign, low, high, count in bins
    )
    values = pd.DataFrame({"loss": ["cross-entropy"], "alpha": [0.0], "rank": [1], "value": [9.0], "bound": [0.0]})
    tables = {"shares": table, "lissa": lissa, "histogram": histogram, "eigenvalues": values}
    known = {"seconds": 6.5, "hvps": 1200, "p": 1682, "curvature_examples": 512, "training": "600 steps, Adam"}
    return Result({"experiment": "spectrum", **spec.model_dump(mode="json")}, tables, known)


class Client(FakeClient):
    def store(self, found: Result) -> None:
        values = {name: value for name, value in found.spec.items() if name != "experiment"}
        self.answers[SpectrumSpec.parse(values).canonical()] = found
