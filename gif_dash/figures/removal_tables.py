"""Tables of class removal as accessible HTML: pure functions of the result's tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import pandas as pd

from gif_dash.figures.removal import REFERENCES, methods_of, rows_of
from gif_dash.figures.tables import Html, bar, clipped, html_table, number, path, significant
from gif_dash.figures.theme import label, named, style
from gif_dash.results import Result


def scores(result: Result) -> pd.DataFrame:
    """The best and the s = 1 row of every method, and the references (Table 2 of the GIF paper).

    Columns: method, where ("best s", "s = 1" or ""), scalar, test_accuracy and self_accuracy in percent, score
    (0 … 1), test_loss, self_loss, forget_accuracy in percent, hvps, seconds (of the solve), seed, images.
    """
    sweep, solves = result.tables["sweep"], result.tables["solves"].set_index("method")
    rows = []
    for method in (*[m for m in methods_of(sweep) if m not in REFERENCES], *REFERENCES):
        for _, row in rows_of(sweep, method).iterrows():
            if row["mark"] == "" and method not in REFERENCES:
                continue
            known = method in solves.index
            rows.append(
                {
                    "method": method,
                    "where": {"best": "best s", "one": "s = 1"}.get(row["mark"], ""),
                    **{key: row[key] for key in ("scalar", "test_accuracy", "self_accuracy", "score")},
                    **{key: row[key] for key in ("test_loss", "self_loss", "forget_accuracy")},
                    "hvps": solves["hvps"][method] if known else None,
                    "seconds": solves["seconds"][method] if known else None,
                    "images": int(row["images"]),
                    "seed": row.get("seed", 0),
                }
            )
    frame = pd.DataFrame(rows)
    order = {"best s": 0, "s = 1": 1, "": 2}
    return frame.assign(_place=frame["where"].map(order)).sort_values("_place", kind="stable").drop(columns="_place")


def scores_html(result: Result) -> str:
    """`scores` as an HTML table."""
    frame = scores(result)
    trained = frame["method"] == "retrain"
    if trained.sum() > 1:
        frame.loc[trained, "where"] = [f"seed {seed}" for seed in frame.loc[trained, "seed"]]
    shown = frame.drop(columns=["seed", "images"])
    percent = {key: lambda value: number(value, 1) for key in ("test_accuracy", "self_accuracy", "forget_accuracy")}
    return html_table(
        shown,
        caption=f"Scores, measured on {_images(result)}",
        row_header="method",
        titles={
            "method": "",
            "where": "",
            "scalar": "s",
            "test_accuracy": "Test accuracy, %",
            "self_accuracy": "Self accuracy, %",
            "score": "Score",
            "test_loss": "Test loss",
            "self_loss": "Self loss",
            "forget_accuracy": "Forget accuracy, %",
            "hvps": "HVPs",
            "seconds": "Solve, s",
        },
        formats={
            **percent,
            "method": lambda name: Html(named(name)),
            "scalar": significant,
            "score": number,
            "test_loss": number,
            "self_loss": number,
            "hvps": lambda value: number(value, 0),
            "seconds": lambda value: number(value, 2),
        },
    )


def _images(result: Result) -> str:
    sweep = result.tables["sweep"]
    images = int(rows_of(sweep, "original")["images"].iloc[0])
    if result.spec["report"] == "whole":
        return f"all {images} test images, on which the best s was chosen too (as published)"
    return f"the {images} test images that had no part in choosing the best s"


def sweep_html(sweep: pd.DataFrame) -> str:
    """Every measured model as an HTML table."""
    columns = ["method", "scalar", "mark", "test_loss", "test_accuracy", "self_loss", "self_accuracy", "score"]
    columns += ["forget_loss", "forget_accuracy", "choice_score", "images"]
    shown = sweep[[name for name in columns if name in sweep]]
    return html_table(
        shown,
        caption="All computed points",
        row_header="method",
        titles={
            "method": "Method",
            "scalar": "s",
            "mark": "Mark",
            "test_loss": "Test loss",
            "test_accuracy": "Test accuracy, %",
            "self_loss": "Self loss",
            "self_accuracy": "Self accuracy, %",
            "score": "Score",
            "forget_loss": "Forget loss",
            "forget_accuracy": "Forget accuracy, %",
            "choice_score": "Score that chooses s",
            "images": "Test images",
        },
        formats={"method": label, "mark": lambda mark: {"one": "s = 1", "best": "best"}.get(mark, "")},
    )


#: What the trust table shows, in this order.
TRUST_TITLES = {
    "method": "",
    "mark": "",
    "scalar": "s",
    "rho": "ρ(s)",
    "rho_error": "± error",
    "verdict": "picture",
    "numerator": "F changes by",
    "denominator": "picture says",
    "distance": "to cold retrained",
    "distance_original": "original",
    "cosine": "cosine",
    "distance_warm": "to warm retrained",
    "distance_original_warm": "original",
    "cosine_warm": "cosine",
}


def _three(value: Any) -> str:
    return significant(value, 3)


def trust_html(result: Result) -> str:
    """The trust figures as an HTML table."""
    return html_table(
        result.tables["trust"][[name for name in TRUST_TITLES if name in result.tables["trust"]]],
        caption="Trust figures at s = 1 and at the best s; distances in the space of all parameters",
        row_header="method",
        titles=TRUST_TITLES,
        formats={
            **dict.fromkeys(TRUST_TITLES, _three),
            "verdict": str,
            "method": lambda name: Html(named(name)),
            "mark": lambda mark: {"one": "s = 1", "best": "best s"}.get(mark, ""),
        },
    )


def solves_html(result: Result) -> str:
    """The solvers' reports as an HTML table."""
    return html_table(
        result.tables["solves"],
        caption="Solver reports",
        row_header="method",
        titles={
            "method": "",
            "solver": "Solver",
            "status": "Status",
            "iterations": "Iterations",
            "hvps": "HVPs",
            "seconds": "Seconds",
            "sigma_max": "σ_max",
            "relative_residual": "‖Hx−g‖/‖g‖",
            "optimality": "‖Hᵀr‖/(σ_max‖r‖)",
            "curvature": "ΔᵀHΔ",
            "norm_ratio": "‖Δ‖/‖θ̂‖",
            "stationarity": "‖∇L_D+μθ̂‖/‖g‖",
            "damping": "Damping, σ_max",
            "message": "Note",
        },
        formats={"method": lambda name: Html(named(name)), "solver": label},
    )


def layers_html(result: Result) -> str:
    """How far Δ moves every layer, and how much of each was selected: one row per layer, one column per method.

    The numbers carry bars: those of the methods on one common scale, those of the share on 0 … 100 %.
    """
    table = result.tables["layers"]
    methods = list(dict.fromkeys(table["method"]))
    largest = max((float(norm) for norm in table["norm"] if math.isfinite(norm)), default=0.0)
    norms = table.pivot_table(index="layer", columns="method", values="norm", sort=False)
    first = table.drop_duplicates("layer")
    frame = first[["layer", "parameters", "share"]].assign(
        **{method: norms[method].reindex(first["layer"]).to_numpy() for method in methods},
        theta_norm=first["theta_norm"],
    )
    kinds = dict(zip(first["layer"], first["kind"], strict=True))

    def named_layer(layer: str) -> Html:
        return Html(f'{path(layer)} <span class="gd-muted">{escape(kinds[layer])}</span>')

    def bars(method: str) -> Callable[[Any], Html]:
        return lambda norm: bar(significant(norm), norm / largest if largest else 0.0, style(method).css())

    return html_table(
        frame,
        caption="Which layers move: the norm of Δ at s = 1 in every layer (bars: one scale for all)",
        row_header="layer",
        classes="gd-layers",
        titles={
            "layer": "Layer",
            "parameters": "Parameters",
            "share": "Selected, %",
            **{method: Html(f"‖Δ‖ {named(method)}") for method in methods},
            "theta_norm": "‖θ̂‖",
        },
        formats={
            "layer": named_layer,
            "parameters": lambda value: f"{value:,}".replace(",", "\u202f"),
            "share": lambda share: bar(number(share, 1), share / 100, "var(--gd-control)"),
            **{method: bars(method) for method in methods},
            "theta_norm": significant,
        },
    )


#: Up to so many classes a confusion matrix shows them all.
MOST_CLASSES = 20
#: Of more classes it shows at most so many: those that matter.
CONCERNED = 10
#: Pairs of classes in the list of the largest confusions.
PAIRS = 12


def confusion_html(result: Result, classes: Sequence[str]) -> str:
    """Who is taken for whom, before and after: a matrix per model, counts shaded within each true class.

    Args:
        classes: names by position. Of more than `MOST_CLASSES` those concerned are shown, after a list of the most
            frequent confusions.
    """
    confusion = result.tables["confusion"]
    confusion = confusion[(confusion["count"] > 0) & (confusion["mark"] != "one")]
    known = int(confusion[["true", "predicted"]].to_numpy().max(initial=-1)) + 1
    names = [*classes, *(str(place) for place in range(len(classes), known))]
    removed = list(result.spec["forget_classes"]) if not result.spec.get("forget_indices") else []
    parts = []
    shown = list(range(len(names)))
    if len(names) > MOST_CLASSES:
        pairs = _pairs(confusion, removed)
        shown = _concerned(pairs, removed)
        parts.append(_pairs_table(pairs, confusion, names, removed))
    parts.append(
        '<p class="gd-key">Rows: the true class; columns: what the model says. The darker, the larger its share of '
        "the row. A removed class is marked ✕."
    )
    if len(shown) < len(names):
        parts.append(
            f" Shown are the {len(shown)} of {len(names)} classes with the most frequent of these confusions; the last "
            "column counts all others. The HTML export has all counts."
        )
    parts.append('</p><div class="gd-matrices">')
    parts += [
        _confusion_table(rows, _model(str(method), str(mark)), names, shown, removed)
        for (method, mark), rows in confusion.groupby(["method", "mark"], sort=False)
    ]
    return "".join(parts) + "</div>"


def _model(method: str, mark: str) -> str:
    return label(method) + (" at its best s" if mark == "best" else "")


def _pairs(confusion: pd.DataFrame, removed: Sequence[int]) -> pd.DataFrame:
    """Confusions, the most frequent first (by the model that makes it most often); one row per pair, one column per
    model, index (true, predicted). What becomes of removed classes comes first."""
    wrong = confusion[(confusion["true"] != confusion["predicted"]) & (confusion["predicted"] >= 0)]
    models = pd.MultiIndex.from_frame(confusion[["method", "mark"]].drop_duplicates())
    pairs = wrong.pivot_table(
        index=["true", "predicted"], columns=["method", "mark"], values="count", aggfunc="sum", fill_value=0
    )
    pairs = pairs.reindex(columns=models, fill_value=0)
    order = pd.DataFrame(
        {
            "kept": ~pairs.index.get_level_values("true").isin(removed),
            "most": -pairs.max(axis=1),
            "sum": -pairs.sum(axis=1),
        },
        index=pairs.index,
    )
    return pairs.loc[order.sort_values(["kept", "most", "sum"], kind="stable").index]


def _concerned(pairs: pd.DataFrame, removed: Sequence[int]) -> list[int]:
    """The classes of a matrix that cannot show all: what was removed, then those of the most frequent confusions."""
    both = [int(place) for pair in pairs.head(PAIRS).index for place in pair]
    return sorted(list(dict.fromkeys([*removed, *both]))[:CONCERNED])


def _pairs_table(pairs: pd.DataFrame, confusion: pd.DataFrame, classes: Sequence[str], removed: Sequence[int]) -> str:
    images = confusion[confusion["method"] == "original"].groupby("true")["count"].sum()
    top = pairs.head(PAIRS)
    true, predicted = (top.index.get_level_values(name).astype(object) for name in ("true", "predicted"))
    frame = pd.DataFrame(
        {
            "true": true,
            "predicted": predicted,
            "images": [int(images.get(place, 0)) for place in true],
        }
    )
    titles = {"true": "True class", "predicted": "taken for", "images": "Test images"}
    for method, counts in zip(top.columns.get_level_values("method"), top.T.to_numpy(), strict=True):
        frame[method], titles[method] = counts, label(method)
    first = "what becomes of removed classes first, then " if removed else ""
    return html_table(
        frame,
        caption=f"Confusions: {first}the most frequent; methods at their best s "
        f"({len(top)} of {len(pairs)} kinds that occur)",
        titles=titles,
        formats=dict.fromkeys(("true", "predicted"), lambda place: Html(_class(classes, place, removed))),
        row_header="true",
    )


def _class(classes: Sequence[str], place: int, removed: Sequence[int]) -> str:
    return clipped(classes[place]) + (" ✕" if place in removed else "")


def _confusion_table(
    rows: pd.DataFrame, title: str, classes: Sequence[str], shown: Sequence[int], removed: Sequence[int]
) -> str:
    columns_of = (rows["true"].tolist(), rows["predicted"].tolist(), rows["count"].tolist())
    counts = {(true, said): count for true, said, count in zip(*columns_of, strict=True)}
    totals = rows.groupby("true")["count"].sum()
    columns = [[place] for place in shown]
    heads = [str(clipped(classes[place])) for place in shown]
    others = sorted(set(range(len(classes))) - set(shown))
    if others:
        columns.append(others)
        heads.append("others")
    if bool((rows["predicted"] < 0).any()):
        columns.append([-1])
        heads.append("not finite")
    body = []
    for true in shown:
        cells = []
        for column in columns:
            count = sum(counts.get((true, said), 0) for said in column)
            shade = f' style="--share:{100 * count / int(totals[true]):.0f}%"' if count else ""
            cells.append(f"<td{shade}>{count or '<span aria-hidden=true>·</span>'}</td>")
        body.append(f'<tr><th scope="row">{_class(classes, true, removed)}</th>{"".join(cells)}</tr>')
    head = "".join(f'<th scope="col">{text}</th>' for text in heads)
    return (
        f'<div class="gd-scroll" tabindex="0" role="region" aria-label="{escape(title)}">'
        f'<table class="gd-matrix"><caption>{escape(title)}</caption><thead><tr><td></td>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


#: What a terminal shows: column of the table → heading.
SUMMARY = {
    "method": "method",
    "mark": "row",
    "scalar": "s",
    "self_loss": "self loss",
    "self_accuracy": "self acc %",
    "test_loss": "test loss",
    "test_accuracy": "test acc %",
    "score": "score",
    "hvps": "HVPs",
    "seconds": "solve s",
}


def summary(result: Result) -> pd.DataFrame:
    """The rows one looks at first: each method at s = 1 and at its best s, and the references."""
    frame = result.table
    frame = frame[frame["mark"].isin(("best", "one")) | frame["scalar"].isna()]
    frame = frame.merge(result.tables["solves"][["method", "hvps", "seconds"]], on="method", how="left")
    frame = frame.assign(mark=frame["mark"].map({"": "", "one": "s = 1", "best": "best"}))
    return frame[list(SUMMARY)].rename(columns=SUMMARY)
