"""Means over repeats, and whether two methods differ by more than chance: paired, corrected for many looks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, get_args

import numpy as np
import pandas as pd
from scipy import stats

from gif_dash.specs import Method

#: What is averaged, as named in the main table.
METRICS = ("test_accuracy", "test_loss", "self_accuracy", "self_loss", "score")
#: Pairs of methods that are compared beside all with the gradient step and all with retraining.
PAIRS: tuple[tuple[Method, Method], ...] = (("gif", "fif"), ("gif", "pif"), ("fif", "pif"))
#: A difference is called shown from here on, after the correction.
LEVEL = 0.05

SHOWN, NOT_SHOWN = ("a higher", "b higher"), "no difference shown"

_DIFFERENCES = ("group", "family", "mr", "a", "b", "n", "mean", "se", "p", "p_holm", "verdict")


def p_value(differences: Sequence[float]) -> float:
    """Two-sided p-value of the paired t-test that the differences are 0 in the mean.

    1 where all are 0. Where all are equal but not 0 the t statistic has no meaning, and the sign test's 2/2ⁿ stands in.
    NaN for fewer than two.
    """
    values = np.asarray(differences, dtype=float)
    if len(values) < 2 or not np.isfinite(values).all():
        return math.nan
    if np.ptp(values) <= 1e-12:
        return 1.0 if abs(values[0]) <= 1e-12 else 2.0 / 2 ** len(values)
    return float(stats.ttest_1samp(values, 0.0).pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """p-values corrected by Holm (1979): the chance of any false alarm among all of them stays below the level.

    The smallest of m is multiplied by m, the next by m − 1, …; none gets smaller than one before it, none exceeds 1.
    NaN stays NaN and does not count.
    """
    corrected = [math.nan] * len(values)
    order = sorted((value, place) for place, value in enumerate(values) if not math.isnan(value))
    least = 0.0
    for rank, (value, place) in enumerate(order):
        least = max(least, min(1.0, (len(order) - rank) * value))
        corrected[place] = least
    return corrected


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over repeats.

    Args:
        table: marked rows and references of the main table: columns group, class, seed, method, mr, mark, scalar, the
            `METRICS` and their standard errors, seconds (of the solve or the retraining) and hvps.

    Returns:
        One row per group, method, MR and mark: n, every metric with its standard deviation over repeats (column …_sd;
        NaN for a single one), the mean standard errors of score and accuracies that come from the number of test images
        (column …_se), the geometric mean of s, time_ms with time_ms_sd, and hvps (mean).
    """
    rows = table.assign(time_ms=1000 * table["seconds"], log_s=np.log(table["scalar"].where(table["scalar"] > 0)))
    grouped = rows.groupby(["group", "method", "mr", "mark"], sort=False, dropna=False)
    frame = grouped.size().rename("n").to_frame()
    for name in (*METRICS, "time_ms"):
        frame[name], frame[f"{name}_sd"] = grouped[name].mean(), grouped[name].std(ddof=1)
    for name in ("test_accuracy_se", "self_accuracy_se", "score_se"):
        frame[name] = grouped[name].mean()
    frame["hvps"], frame["scalar"] = grouped["hvps"].mean(), np.exp(grouped["log_s"].mean())
    frame = frame.reset_index()
    order = ["original", "retrain", "retrain_warm", *get_args(Method)]
    keys = frame.assign(
        _group=frame["group"] != "chosen",
        _mark=frame["mark"].map({"": 0, "best": 1, "one": 2}),
        _method=frame["method"].map(order.index),
    )
    ordered = keys.sort_values(["_group", "_mark", "_method", "mr"], kind="stable").index
    return frame.loc[ordered].reset_index(drop=True)


def differences(table: pd.DataFrame) -> pd.DataFrame:
    """Paired differences of the score at each method's best s, over repeats.

    Repeats of the chosen classes are seeds; those of the group ``others`` are classes. A method that changes all
    parameters is compared at every MR with those that do not, and with retraining once.

    Args:
        table: as for `summary`.

    Returns:
        One row per group, family (``methods`` or ``retraining``), MR and pair: n, mean of a − b, its standard error,
        p (see `p_value`), p_holm (`holm` over the group's family) and a verdict: "a higher", "b higher" or "no
        difference shown"; empty, as are se and p, for fewer than two repeats.
    """
    scores = table[(table["mark"] == "best") | (table["method"] == "retrain")]
    found: list[dict[str, Any]] = []
    for group, rows in scores.groupby("group", sort=False):
        by = {
            (str(part["method"].iloc[0]), float(part["mr"].iloc[0])): part.set_index(["class", "seed"])["score"]
            for _, part in rows.groupby(["method", "mr"], dropna=False)
        }
        for family in ("methods", "retraining"):
            part: list[dict[str, Any]] = []
            for mr, a, b in _pairs(list(by), family):
                joined = pd.concat([by[a], by[b]], axis=1, join="inner").to_numpy()
                gaps = joined[:, 0] - joined[:, 1]
                if not len(gaps):
                    continue
                n = len(gaps)
                spread = float(gaps.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
                known = {"group": group, "family": family, "mr": mr, "a": a[0], "b": b[0], "n": n}
                part.append({**known, "mean": float(gaps.mean()), "se": spread, "p": p_value(gaps.tolist())})
            for row, corrected in zip(part, holm([row["p"] for row in part]), strict=True):
                found.append({**row, "p_holm": corrected, "verdict": _verdict(row["mean"], corrected)})
    return pd.DataFrame(found, columns=list(_DIFFERENCES))


def _pairs(known: list[tuple[str, float]], family: str) -> Iterator[tuple[float, tuple[str, float], tuple[str, float]]]:
    """(MR, a, b) of every comparison that can be made."""
    methods = [method for method in get_args(Method) if any(name == method for name, _ in known)]
    own = {method: {mr for name, mr in known if name == method} for method in methods}
    if family == "retraining":
        truth = next((key for key in known if key[0] == "retrain"), None)
        for method in methods if truth is not None else ():
            for mr in sorted(own[method]):
                assert truth is not None
                yield mr, (method, mr), truth
        return
    others = [(method, "gradient") for method in methods if method != "gradient"] if "gradient" in own else []
    for a, b in [*((a, b) for a, b in PAIRS if a in own and b in own), *others]:
        for mr in sorted(own[b]):
            yield mr, (a, mr if mr in own[a] else min(own[a])), (b, mr)


def _verdict(mean: float, corrected: float) -> str:
    if math.isnan(corrected):
        return ""
    return NOT_SHOWN if corrected >= LEVEL else SHOWN[mean < 0]
