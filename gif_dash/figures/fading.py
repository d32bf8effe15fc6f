"""Pictures, tables and words of fading: pure functions of the result's tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from gif_dash.figures.chart import Axis, Chart, Line, Quantity, decades, to_plotly
from gif_dash.figures.tables import duration, html_table, number, significant
from gif_dash.figures.theme import DASH_DOT_DOT, Style
from gif_dash.results import Result

if TYPE_CHECKING:
    import plotly.graph_objects as go

#: The lines: kind of noise and estimate; no method's styles.
LINES: dict[tuple[str, str], tuple[str, Style]] = {
    ("none", "influence"): ("influence, no noise", Style("#4477AA", "#7fb0e0", "solid")),
    ("shared", "influence"): ("influence, shared batches", Style("#228833", "#66c277", "dash")),
    ("own", "influence"): ("influence, own batches", Style("#AA3377", "#e07fb0", "dot")),
    ("none", "gradient-product"): ("gradient product, no noise", Style("#B35806", "#f1a340", DASH_DOT_DOT)),
}
#: Agreement below this counts as faded.
FADED = 0.5
_MEASURES = ("pearson", "spearman", "divergence", "spread")


def curves(curve: pd.DataFrame, spec: Mapping[str, Any]) -> Chart:
    """Agreement, divergence of the parameters and spread of the changes against the steps since the intervention.

    Args:
        curve: the table of that name, complete or partial; may be empty.
        spec: the question.

    Returns:
        A chart with a line for every kind of noise, means over the seeds; bands are one standard deviation.
    """
    lines = [_line(curve, key) for key in LINES if len(curve) and _has(curve, key)]
    seeds = int(spec["seeds"])
    correlations = [value for line in lines for key in ("pearson", "spearman") for value in _finite(line, key)]
    low = -1.05 if min([0.0, *correlations]) < 0 else -0.05
    sizes = {
        key: decades([value for line in lines for value in _finite(line, key) if value > 0], floor=1e-12)
        for key in ("divergence", "spread")
    }
    return Chart(
        title="Agreement of the influence with training that goes on",
        x=Axis("steps since the intervention", "log", 1.0, float(max(2, spec["steps"]))),
        quantities=(
            Quantity("pearson", "Pearson", "", 3, Axis("correlation", "linear", low, 1.05), "predicted, measured"),
            Quantity("spearman", "Spearman", "", 3, Axis("rank correlation", "linear", low, 1.05), "likewise"),
            Quantity("divergence", "Divergence", "", 3, Axis("‖θ − θ′‖", "log", *sizes["divergence"]), "of parameters"),
            Quantity("spread", "Spread of the changes", "", 3, Axis("sd", "log", *sizes["spread"]), "of the test loss"),
        ),
        lines=tuple(lines),
        symbol="steps",
        bands=f"bands: ± one standard deviation over {seeds} networks" if lines and seeds > 1 else "",
    )


def _has(curve: pd.DataFrame, key: tuple[str, str]) -> bool:
    return bool(((curve["noise"] == key[0]) & (curve["estimate"] == key[1])).any())


def _line(curve: pd.DataFrame, key: tuple[str, str]) -> Line:
    rows = curve[(curve["noise"] == key[0]) & (curve["estimate"] == key[1])]
    groups = rows.groupby("steps")[list(_MEASURES)]
    mean, spread = groups.mean(), groups.std()
    named, look = LINES[key]
    values = {name: tuple(map(float, mean[name])) for name in _MEASURES}
    bands = [name for name in ("pearson", "spearman") if spread[name].notna().any()]
    low, high = (
        {name: tuple(map(float, (mean[name] + sign * spread[name]).clip(-1, 1))) for name in bands} for sign in (-1, 1)
    )
    return Line("-".join(key), named, look, tuple(float(step) for step in mean.index), values, low, high)


def _finite(line: Line, key: str) -> list[float]:
    return [value for value in line.values[key] if math.isfinite(value)]


def means(result: Result) -> pd.DataFrame:
    """Means over the seeds for every kind of noise, estimate and number of steps."""
    curve = result.tables["curve"]
    groups = curve.groupby(["noise", "estimate", "steps"], sort=False)
    return groups[list(_MEASURES)].mean().reset_index()


def holds(result: Result) -> str:
    """For how long the influence predicts what happens, as one HTML sentence per kind of noise."""
    table, said = means(result), []
    for noise in result.spec["noises"]:
        rows = table[(table["noise"] == noise) & (table["estimate"] == "influence")].dropna(subset="pearson")
        name = LINES[noise, "influence"][0].partition(", ")[2]
        head = f"<strong>{name[:1].upper()}{name[1:]}</strong>"
        if not len(rows):
            said.append(f"{head}: no finite agreement.")
            continue
        best, last = rows.iloc[int(rows["pearson"].to_numpy().argmax())], rows.iloc[-1]
        text = (
            f"{head}: Pearson {number(rows['pearson'].iloc[0], 2)} after the first step, at most "
            f"{number(best['pearson'], 2)} (after {best['steps']:g}), {number(last['pearson'], 2)} after "
            f"{last['steps']:g}"
        )
        after = rows[(rows["steps"] > best["steps"]) & (rows["pearson"] < FADED)]
        if best["pearson"] >= FADED and len(after):
            text += f"; below {FADED:g} from step {after['steps'].iloc[0]:g} on" if _stays(rows, after) else ""
        said.append(text + ".")
    return "<br>".join(said)


def _stays(rows: pd.DataFrame, after: pd.DataFrame) -> bool:
    """Whether it is below ever after."""
    return bool((rows.loc[rows["steps"] >= after["steps"].iloc[0], "pearson"] < FADED).all())


def apart(result: Result) -> str:
    """How far the networks have come apart, as HTML sentences."""
    table = means(result)
    predicted = float(result.tables["networks"]["norm_predicted"].mean())
    ends = []
    for noise in result.spec["noises"]:
        rows = table[(table["noise"] == noise) & (table["estimate"] == "influence")]
        name = LINES[noise, "influence"][0].partition(", ")[2]
        ends.append(f"{significant(float(rows['divergence'].iloc[-1]))} with {name}")
    gradient = float(result.tables["networks"]["gradient_norm"].max())
    return (
        f"With and without the intervention the parameters end {', '.join(ends)} apart (median); the influence "
        f"predicts {significant(predicted)}. At the intervention the gradient was up to {significant(gradient)}: the "
        "further from 0, the less it was an optimum."
    )


def facts(result: Result) -> str:
    """One line: data, networks, time."""
    spec, known = result.spec, result.provenance
    parts = [
        f"{known['data']}, {known['N']} training examples",
        f"{known['p']} parameters",
        f"{spec['train_steps']} steps before, {spec['steps']} after",
        f"{spec['points']} interventions in each of {spec['seeds']} networks",
        f"computed in {duration(float(known['seconds']))}",
    ]
    return " · ".join(parts)


def means_html(result: Result) -> str:
    """Agreement at some numbers of steps, as a table."""
    return html_table(
        summary(result),
        caption="Means over the networks, at steps about a factor of ten apart",
        formats=dict.fromkeys(("Pearson", "Spearman"), lambda value: number(value, 2)),
    )


def figures(result: Result, *, dark: bool = False) -> Sequence[go.Figure]:
    """The curves, for exports and notebooks."""
    return [to_plotly(curves(result.tables["curve"], result.spec), dark=dark)]


def summary(result: Result) -> pd.DataFrame:
    """The rows that a terminal shows: at steps about a factor of ten apart, and at the last."""
    table = means(result)
    steps = sorted(table["steps"].unique())
    wanted = {min(steps, key=lambda step: abs(math.log(step / power))) for power in (1, 10, 100, 1000, 10_000)}
    rows = table[table["steps"].isin({*wanted, steps[-1]})]
    names = {
        "noise": "noise",
        "estimate": "estimate",
        "steps": "steps",
        "pearson": "Pearson",
        "spearman": "Spearman",
        "divergence": "divergence",
        "spread": "spread of changes",
    }
    return rows[list(names)].rename(columns=names)
