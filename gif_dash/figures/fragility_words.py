"""Tables and words of fragility: pure functions of the result's tables."""

from __future__ import annotations

import math
from html import escape
from typing import Any

import pandas as pd

from gif_dash import published
from gif_dash.figures.fragility import HESSIAN_LABEL, VARIED, named
from gif_dash.figures.tables import duration, html_table, number, significant
from gif_dash.figures.theme import label
from gif_dash.results import Result

#: Shares of the spread of the retrained changes from which on going on with all examples is worth a sentence.
_SETTLED = 0.1


def agreement(result: Result) -> str:
    """Whether the estimates agree with retraining, as one HTML sentence per kind of Hessian."""
    said = []
    for kind in result.spec["hessians"]:
        means = _means(result, kind)
        known = means.dropna(subset="pearson")
        if not len(known):
            said.append(f"{_bold(kind)}: no finite estimate.")
            continue
        ranked = known.sort_values("pearson", kind="stable")
        best, worst = ranked.iloc[-1], ranked.iloc[0]
        text = f"{_bold(kind)}: Pearson {_with(best)} at {_at(result, best)}"
        if len(known) > 1:
            text += f", {_with(worst)} at {_at(result, worst)}"
        said.append(
            f"{text}; Spearman there {number(best['spearman'], 2)}"
            + (f" and {number(worst['spearman'], 2)}." if len(known) > 1 else ".")
        )
    return "<br>".join(said)


def settled(result: Result) -> str:
    """Whether the retrained changes are what they are taken for, as one or two HTML sentences."""
    summary, points = result.tables["summary"], result.tables["points"]
    spread = points.groupby(["value", "seed"])["retrained"].std().rename("spread").reset_index()
    once = summary.drop_duplicates(["value", "seed"]).merge(spread, on=["value", "seed"])
    share = (once["continued"].abs() / once["spread"]).replace([math.inf], math.nan)
    loose = once[(share > _SETTLED) | share.isna()]
    worst = once.iloc[int(once["continued"].abs().to_numpy().argmax())]
    facts = (
        f"Training on with all examples alone changes the test loss by up to {significant(abs(worst['continued']))} "
        f"(gradient {significant(worst['gradient_norm'])}); the removals differ by {significant(worst['spread'])} "
        "(one standard deviation)."
    )
    if not len(loose):
        return f"The networks had settled. {facts}"
    return (
        f"Not everywhere: in {len(loose)} of {len(once)} networks training had not settled, so that “retrained” also "
        f"means “trained for longer”. {facts} All retrainings of a network share it: it moves their points nearly "
        "alike, and so hardly the correlation."
    )


def oddities(result: Result) -> list[str]:
    """Sentences about what must be known of these numbers."""
    summary, said = result.tables["summary"], []
    once = summary.drop_duplicates(["value", "seed"])
    negative = once[once["lambda_min"] < -1e-8]
    if len(negative):
        said.append(
            f"In {len(negative)} of {len(once)} networks the Hessian has negative eigenvalues (down to "
            f"{significant(float(negative['lambda_min'].min()))}): the network is no minimum, and the estimates "
            "stand on less."
        )
    for message in dict.fromkeys(text for text in summary["message"] if text):
        where = summary[summary["message"] == message]
        at = ", ".join(f"{value:g}" for value in dict.fromkeys(where["value"]))
        kinds = ", ".join(HESSIAN_LABEL[kind] for kind in dict.fromkeys(where["hessian"]))
        said.append(f"{escape(kinds)} at {VARIED[result.spec['vary']]} {at}: {escape(message)}.")
    if result.spec["seeds"] == 1:
        said.append("One network per setting: differences between settings may be those of the initialisation.")
    return said


def facts(result: Result) -> str:
    """One line: data, networks, training, time."""
    spec, known = result.spec, result.provenance
    sizes = [_whole(size) for size in known["p"]]
    parts = [
        f"{escape(str(known['data']))}, {known['N']} training and {known['test_examples']} test examples",
        f"{sizes[0]} to {sizes[-1]} parameters" if len(sizes) > 1 else f"{sizes[0]} parameters",
        f"{_whole(spec['train_steps'])} steps of training, {_whole(spec['steps'])} of retraining from the optimum",
        escape(str(known["training"])),
        str(known["dtype"]),
        f"computed in {duration(float(known['seconds']))}",
    ]
    return " · ".join(parts)


def _whole(value: float) -> str:
    return f"{int(value):,}".replace(",", "\u202f")


def _bold(kind: str) -> str:
    text = HESSIAN_LABEL[kind]
    return f"<strong>{escape(text[:1].upper() + text[1:])}</strong>"


def _at(result: Result, row: Any) -> str:
    return f"{VARIED[result.spec['vary']]} {float(row['value']):g}"


def _with(row: Any) -> str:
    spread = row["pearson_sd"]
    return number(row["pearson"], 2) + ("" if math.isnan(spread) else f" ± {spread:.2f}")


def _means(result: Result, kind: str | None = None) -> pd.DataFrame:
    """Means over the seeds of every setting and kind of Hessian, and standard deviations of the correlations."""
    summary = result.tables["summary"]
    rows = summary if kind is None else summary[summary["hessian"] == kind]
    numeric = [name for name in rows.columns if name not in ("value", "seed", "hessian", "message")]
    groups = rows.groupby(["value", "hessian"], sort=False)
    means = groups[numeric].mean()
    for name in ("pearson", "spearman"):
        means[f"{name}_sd"] = groups[name].std()
    return means.assign(n=groups.size()).reset_index()


_TITLES = {
    "value": "",
    "hessian": "Hessian",
    "pearson": "Pearson",
    "pearson_sd": "± sd",
    "spearman": "Spearman",
    "spearman_sd": "± sd",
    "pearson_cold": "Pearson, from scratch",
    "spearman_cold": "Spearman, from scratch",
    "norm_predicted": "‖Δ‖ predicted",
    "norm_retrained": "‖Δ‖ retrained",
    "norm_from_continued": "to training on with all",
    "lambda_max": "λ_max",
    "lambda_min": "λ_min",
    "gradient_norm": "‖∇F‖",
    "test_accuracy": "Test acc. %",
    "test_loss": "Test loss",
    "continued": "Training on",
    "n": "n",
}
_ROUND = ("pearson", "spearman")


def means_html(result: Result) -> str:
    """Every setting, as a table."""
    means = _means(result)
    names = [name for name in _TITLES if name in means]
    formats: dict[str, Any] = dict.fromkeys(names, significant)
    formats |= {name: lambda value: number(value, 2) for name in names if name.startswith(_ROUND)}
    formats |= {"value": "{:g}".format, "hessian": named, "n": lambda value: str(int(value))}
    formats["test_accuracy"] = lambda value: number(value, 1)
    return html_table(
        means[names],
        caption="Means over the networks of every setting; norms are medians over the removed examples; training on: "
        "what as many steps with all examples do to the test loss",
        row_header="value",
        titles={**_TITLES, "value": VARIED[result.spec["vary"]]},
        formats=formats,
    )


def published_html(result: Result) -> str:
    """The published correlations beside ours."""
    rows: list[dict[str, Any]] = []
    for network, pairs in published.FRAGILITY.items():
        for decay, (pearson, spearman) in zip(("with", "without"), pairs, strict=True):
            row = {"network": f"{network}, MNIST", "decay": decay, "who": "as published"}
            rows.append({**row, "pearson": pearson, "spearman": spearman})
    spec, varied = result.spec, VARIED[result.spec["vary"]]
    small = "small CNN, MNIST" if spec["data"] == "mnist" else "dense, Iris"
    means = _means(result, "exact" if "exact" in spec["hessians"] else spec["hessians"][0])
    for _, ours in means.iterrows():
        decay = "with" if ours["weight_decay"] > 0 else "without"
        here: dict[str, Any] = {"network": f"{small}, {varied} {ours['value']:g}", "decay": decay, "who": "here"}
        rows.append({**here, "pearson": ours["pearson"], "spearman": ours["spearman"]})
    return html_table(
        pd.DataFrame(rows)[["who", "network", "decay", "pearson", "spearman"]],
        caption=f"Published: {published.FRAGILITY_SETTING}. Of Iris no numbers are at hand",
        row_header="network",
        titles={
            "who": "",
            "network": "Network",
            "decay": "Weight decay",
            "pearson": "Pearson",
            "spearman": "Spearman",
        },
        formats=dict.fromkeys(("pearson", "spearman"), lambda value: number(value, 2)),
    )


def question(result: Result) -> str:
    """What was asked, in words."""
    test = label(str(result.spec["test_point"]))
    return (
        f"Does removing one of the {result.spec['points']} most influential training examples change the loss of the "
        f"test example of the {test} as predicted?"
    )


#: What a terminal shows: column → heading.
SUMMARY = {
    "value": "value",
    "hessian": "Hessian",
    "pearson": "Pearson",
    "pearson_sd": "± sd",
    "spearman": "Spearman",
    "norm_predicted": "‖Δ‖ predicted",
    "norm_retrained": "retrained",
    "lambda_max": "λ_max",
    "gradient_norm": "‖∇F‖",
    "continued": "training on",
    "test_accuracy": "test acc %",
    "n": "n",
}


def summary(result: Result) -> pd.DataFrame:
    """The rows that a terminal shows."""
    return _means(result)[list(SUMMARY)].rename(columns={**SUMMARY, "value": VARIED[result.spec["vary"]]})
