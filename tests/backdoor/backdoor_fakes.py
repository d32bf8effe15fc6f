"""A hand-made answer about a backdoor, for three classes, of which 'two' is the corrupt label."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from panels.panels_fakes import result as removal_result

from gif_dash.results import Result
from gif_dash.specs import BackdoorSpec

SPEC = BackdoorSpec(target=2, methods=("gif", "fif"))
SCALARS = (0.1, 1.0, 10.0)
PICTURE = "data:image/png;base64,aGk="


def row(method: str, scalar: float = math.nan, mark: str = "", score: float = 0.5, **other: Any) -> dict[str, Any]:
    known = {
        "method": method,
        "scalar": scalar,
        "mark": mark,
        "attack_success": 100 * (1 - score),
        "triggered_accuracy": 100 * score,
        "clean_accuracy": 100 * score,
        "score": score,
        "attack_success_se": 1.0,
        "triggered_accuracy_se": 1.0,
        "clean_accuracy_se": 1.0,
        "score_se": 0.01,
        "triggered_loss": 0.5,
        "clean_loss": 0.1,
        "choice_score": score,
        "images": 200,
    }
    return known | other


def sweep(**best: float) -> pd.DataFrame:
    """Scores of the marked rows by method; by default .95 and .90."""
    best = best or {"gif": 0.95, "fif": 0.90}
    rows = [row("original", score=0.2), row("retrain", score=0.97), row("retrain_warm", score=0.96)]
    for method, score in best.items():
        rows += [row(method, s, score=0.1 * s / (1 + s)) for s in SCALARS]
        rows += [row(method, 1.0, "one", score=0.6), row(method, 10.0, "best", score=score)]
    return pd.DataFrame(rows)


def result(spec: BackdoorSpec = SPEC, table: pd.DataFrame | None = None, **provenance: Any) -> Result:
    """Without the trigger everybody is right; with it the corrupted network says 'two', GIF from s = 1 on is right."""
    removal = removal_result()
    table = (
        sweep(**{method: 0.95 - 0.05 * place for place, method in enumerate(spec.methods)}) if table is None else table
    )
    answers = []
    for method in ("original", *spec.methods, "retrain"):
        for scalar in (math.nan,) if method in ("original", "retrain") else SCALARS:
            for triggered in (False, True):
                for picture in range(3):
                    repaired = not triggered or method == "retrain" or scalar >= 1
                    said = picture if repaired else 2
                    answers.append((method, scalar, picture, triggered, said))
    tables = {
        "sweep": table,
        "solves": removal.tables["solves"],
        "trust": removal.tables["trust"],
        "layers": removal.tables["layers"],
        "answers": pd.DataFrame(answers, columns=["method", "scalar", "picture", "triggered", "predicted"]),
        "pictures": pd.DataFrame(
            {"picture": [0, 1, 2], "test_index": [5, 6, 7], "label": [0, 1, 2], "clean": PICTURE, "triggered": PICTURE}
        ),
    }
    known = {
        "seconds": 6.5,
        "hvps": 22,
        "k": 20,
        "p": 200,
        "m": 3,
        "n": 30,
        "floor": 33.0,
        "target": "<two>",
        "classes": ["zero", "one", "<two>"],
        "device": "cpu",
        "data_note": "",
        "deviations": [],
    }
    return Result({"experiment": "backdoor", **spec.model_dump(mode="json")}, tables, known | provenance)
