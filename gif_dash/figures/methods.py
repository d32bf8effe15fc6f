"""Pictures of the methods: pure functions of the result's tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gif_dash.figures import removal
from gif_dash.figures.chart import Axis, Chart, Level, Line, Mark, Quantity, decades, hold, to_plotly
from gif_dash.figures.removal import KEYS, LOSSES, REFERENCES
from gif_dash.figures.tables import significant
from gif_dash.figures.theme import label, style
from gif_dash.results import Result
from gif_dash.specs.methods import EVERYWHERE

if TYPE_CHECKING:
    import plotly.graph_objects as go

#: Smallest span of the score's axis: below it there is only the noise of few test images.
LEAST_SPAN = 0.02


def over_mr(summary: pd.DataFrame, spec: Mapping[str, Any], *, before: Chart | None = None) -> Chart:
    """Score and time of the solve at each method's best s, against MR.

    Error bars are ± one standard deviation over seeds, or, with one seed, ± one standard error of the test images. The
    axis of the score holds methods and cold retraining; the original and the warm start may lie below it.

    Args:
        summary: the table of that name, complete or partial; may be empty.
        spec: the question.
        before: what was on the screen during the same run; axes never get shorter than there.
    """
    mrs = [float(mr) for mr in spec["mrs"]]
    rows = summary[(summary["group"] == "chosen") & (summary["mark"] == "best")] if len(summary) else summary
    names = [str(method) for method in spec["methods"] if len(rows) and (rows["method"] == method).any()]
    seeds = int(rows["n"].max()) if len(rows) else 1
    lines = tuple(_over_mr(rows[rows["method"] == name], name, mrs, "_sd" if seeds > 1 else "_se") for name in names)
    levels = tuple(
        _cost_level(summary, name) for name in REFERENCES if len(summary) and (summary["method"] == name).any()
    )
    truth = next((level for level in levels if level.key == "retrain"), None)
    scores = [
        value
        for line in lines
        for part in (line.values, line.low, line.high)
        for value in part.get("score", ())
        if math.isfinite(value)
    ]
    scores += [truth.values["score"]] if truth is not None else []
    low = min([1.0 - LEAST_SPAN, *scores])
    pad = 0.06 * (1.0 - low)
    times = decades(
        [value for line in lines for value in line.values["time_ms"]] + [level.values["time_ms"] for level in levels],
        floor=1e-2,
        ceiling=1e9,
    )
    axes = {
        "score": Axis("score", "linear", low - pad, 1.0 + pad),
        "time_ms": Axis("ms", "log", *times),
    }
    held = {quantity.key: quantity.axis for quantity in before.quantities} if before is not None else {}
    return Chart(
        title="Score and cost at every modification ratio",
        x=Axis("modification ratio MR, %", "linear", 0.0, 1.12 * max(mrs)),
        quantities=(
            Quantity("score", "Score", "", 3, hold(axes["score"], held.get("score")), "at each method's best s"),
            Quantity(
                "time_ms", "Time", "ms", 1, hold(axes["time_ms"], held.get("time_ms")), "of the solve; of retraining"
            ),
            Quantity("test_accuracy", "Test accuracy", "%", 2),
            Quantity("self_accuracy", "Self accuracy", "%", 2),
        ),
        lines=lines,
        levels=levels,
        marks=tuple(Mark(mr, f"MR {mr:g} %") for mr in mrs),
        symbol="MR",
        bands=_bars(seeds) if lines else "",
        points=True,
    )


def _bars(seeds: int) -> str:
    if seeds > 1:
        return f"bars: ± one standard deviation over {seeds} seeds"
    return "one seed; bars: ± one standard error of the test images"


_COSTS = ("score", "time_ms", "test_accuracy", "self_accuracy")


def _over_mr(rows: pd.DataFrame, method: str, mrs: Sequence[float], spread: str) -> Line:
    """A line over MR; level where a method changes all parameters."""
    known = rows.set_index("mr")
    places = [mr for mr in mrs if method in EVERYWHERE or mr in known.index]
    points = known.iloc[[0] * len(places)] if method in EVERYWHERE else known.loc[places]
    values = {key: tuple(float(value) for value in points[key]) for key in _COSTS}
    low, high = (
        {
            key: tuple((points[key] + sign * points[f"{key}{spread}"]).astype(float))
            for key in _COSTS
            if f"{key}{spread}" in points and points[f"{key}{spread}"].notna().any()
        }
        for sign in (-1, 1)
    )
    if "time_ms" in low:  # the axis is logarithmic
        low["time_ms"] = tuple(
            max(end, 0.1 * value) for end, value in zip(low["time_ms"], values["time_ms"], strict=True)
        )
    text = f"{label(method)}: all parameters" if method in EVERYWHERE else label(method)
    return Line(method, text, style(method), tuple(places), values, low, high)


def _cost_level(summary: pd.DataFrame, name: str) -> Level:
    row = summary[(summary["method"] == name) & (summary["group"] == "chosen")].iloc[0]
    values = {key: float(row[key]) for key in _COSTS}
    low, high = (
        {key: values[key] + sign * float(row[f"{key}_sd"]) for key in ("score",) if math.isfinite(row[f"{key}_sd"])}
        for sign in (-1, 1)
    )
    return Level(name, label(name), style(name), values, low, high)


def along_s(sweep: pd.DataFrame, spec: Mapping[str, Any], mr: float, *, before: Chart | None = None) -> Chart:
    """Losses and accuracies against the influence scalar at one MR (Fig. 4 of the GIF paper): mean over seeds.

    With several seeds the points are those that all of them have, bands are ± one standard deviation over seeds (of
    losses: of their logarithm), and a method's best s is the geometric mean. With one seed everything is drawn,
    with bands of one standard error.

    Args:
        sweep: the table ``points``, complete or partial; may be empty.
        spec: the question.
        mr: one of its modification ratios.
        before: what was on the screen during the same run.
    """
    rows = at_mr(sweep, mr)
    seeds = rows["seed"].nunique() if len(rows) else 0
    if seeds < 2:
        return removal.curves(rows, spec, before=before)
    drawn = mean_curves(rows)
    chart = removal.curves(
        drawn,
        spec,
        before=before,
        spread="_sd",
        bands=f"bands: ± one standard deviation over {seeds} seeds (losses: of their logarithm)",
    )
    best = rows[rows["mark"] == "best"].groupby("method")["scalar"].apply(lambda s: math.exp(np.log(s).mean()))
    marks = [chart.marks[0]]
    marks += [
        Mark(best[line.key], f"best s of {line.label}: {significant(best[line.key])}", line.style)
        for line in chart.lines
        if line.key in best
    ]
    return replace(chart, marks=tuple(marks))


def at_mr(sweep: pd.DataFrame, mr: float) -> pd.DataFrame:
    """Rows of the chosen classes at one MR, those of methods that change all parameters, and the references."""
    if not len(sweep):
        return sweep
    everywhere = sweep["method"].isin(EVERYWHERE)
    return sweep[(sweep["group"] == "chosen") & ((sweep["mr"] == mr) | everywhere | sweep["scalar"].isna())]


def growing(sweep: pd.DataFrame, first: float) -> tuple[float, pd.DataFrame]:
    """What a run is computing just now: its MR, and the rows of that network, as if it were the only one.

    Args:
        sweep: the partial table ``points``; of finished pieces it has the reported rows only.
        first: the MR that is said while there is none yet.
    """
    if not len(sweep):
        return first, sweep
    last = sweep.iloc[-1]
    rows = sweep[(sweep["class"] == last["class"]) & (sweep["seed"] == last["seed"])]
    points = rows[rows["scalar"].notna()]["mr"]
    known = [float(mr) for mr in points if mr < 100]
    return (known[-1] if known else first), rows.assign(group="chosen")


def mean_curves(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds of the points that all seeds of a method have.

    Accuracies and scores come with their standard deviation (columns ``…_sd``). Losses, which are drawn on a
    logarithmic axis, are geometric means, with the ends of the band of one standard deviation of the logarithm
    (columns ``…_low``, ``…_high``).

    Args:
        rows: of one MR and one group of classes.

    Returns:
        One row per method and scalar, without marks; one row per reference.
    """
    points = rows[rows["mark"] == ""]
    losses = [key for key in LOSSES if key in points]
    points = points.assign(**{key: np.log(points[key].clip(lower=1e-12)) for key in losses})
    grouped = points.groupby(["method", "scalar"], sort=False, dropna=False)
    keys = [key for key in KEYS if key in points]
    deviations, seeds = grouped[keys].std(ddof=1).add_suffix("_sd"), grouped["seed"].nunique().rename("n")
    frame = grouped[keys].mean().join(deviations).join(seeds)
    for key in losses:
        centre, deviation = frame[key], frame.pop(f"{key}_sd")
        frame[key] = np.exp(centre)
        frame[f"{key}_low"], frame[f"{key}_high"] = np.exp(centre - deviation), np.exp(centre + deviation)
    frame = frame.reset_index()
    every = points.groupby("method")["seed"].nunique()
    return frame[frame["n"] == frame["method"].map(every)].assign(mark="").reset_index(drop=True)


def figures(result: Result, *, dark: bool = False) -> list[go.Figure]:
    """The score over MR and the curves at every MR as plotly figures, for exports and notebooks."""
    charts: Iterable[Chart] = (
        over_mr(result.tables["summary"], result.spec),
        *(
            replace(chart, title=f"MR {mr:g} %: {chart.title}")
            for mr in result.spec["mrs"]
            for chart in (along_s(result.tables["points"], result.spec, float(mr)),)
        ),
    )
    return [to_plotly(chart, dark=dark, height=420 if place == 0 else 640) for place, chart in enumerate(charts)]
