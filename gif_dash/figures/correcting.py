"""What a terminal shows of correcting."""

from __future__ import annotations

import pandas as pd

from gif_dash.results import Result

#: Column of the table ``summary`` → heading.
SUMMARY = {
    "choice": "images",
    "m": "how many",
    "repaired": "repaired %",
    "steps": "steps, median",
    "cost": "rest loses, points",
    "same_class": "of the right class %",
    "moved": "‖Δθ‖, median",
    "n": "n",
}


def summary(result: Result) -> pd.DataFrame:
    """How many mispredictions were repaired, in how many steps, at what cost on the other test images."""
    return result.tables["summary"][list(SUMMARY)].rename(columns=SUMMARY)
