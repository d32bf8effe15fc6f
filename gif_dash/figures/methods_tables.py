"""Tables of the methods: pure functions of the result's tables."""

from __future__ import annotations

import pandas as pd

from gif_dash.results import Result

#: What a terminal shows: column of the summary → heading.
SUMMARY = {
    "group": "classes",
    "method": "method",
    "mr": "MR %",
    "scalar": "s",
    "test_accuracy": "test acc %",
    "test_loss": "test loss",
    "self_accuracy": "self acc %",
    "self_loss": "self loss",
    "score": "score",
    "score_sd": "± sd",
    "time_ms": "solve ms",
    "hvps": "HVPs",
    "n": "n",
}


def summary(result: Result) -> pd.DataFrame:
    """The rows one looks at first: every method at its best s, and the references."""
    frame = result.tables["summary"]
    return frame[frame["mark"] != "one"][list(SUMMARY)].rename(columns=SUMMARY)
