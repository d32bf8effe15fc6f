"""Tables of class removal as accessible HTML: pure functions of the result's tables."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import pandas as pd

from gif_dash.figures.removal import REFERENCES, methods_of, rows_of
from gif_dash.figures.tables import Html, html_table, number, significant
from gif_dash.figures.theme import label, named
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
    """The per-layer table."""
    return html_table(
        result.tables["layers"],
        caption="Which layers move",
        row_header="method",
        titles={
            "method": "",
            "layer": "Layer",
            "kind": "Kind",
            "parameters": "Parameters",
            "selected": "Selected",
            "share": "Selected, %",
            "norm": "‖Δ‖ in it",
            "theta_norm": "‖θ̂‖ in it",
        },
        formats={"method": lambda name: Html(named(name))},
    )


def confusion_html(result: Result, classes: Sequence[str], *, most: int = 20) -> str:
    """Who is taken for whom, before and after: a table per model, counts shaded within each true class.

    Args:
        classes: names by position; where there are more than `most`, only the classes concerned are shown.
    """
    confusion = result.tables["confusion"]
    removed = list(result.spec["forget_classes"]) if not result.spec.get("forget_indices") else []
    shown = list(range(len(classes))) if len(classes) <= most else _concerned(confusion, removed, most)
    parts = [
        "<p>Rows: the true class; columns: what the model says. The darker, the larger its share of the row. "
        "A removed class is marked ✕.</p>"
    ]
    if len(shown) < len(classes):
        parts.append(
            f"<p>Only the {len(shown)} classes that change most are shown; the HTML export has all counts.</p>"
        )
    tables = []
    for (method, mark), rows in confusion.groupby(["method", "mark"], sort=False):
        if mark == "one":
            continue
        title = label(str(method)) + (" at its best s" if mark == "best" else "")
        tables.append(_confusion_table(rows, title, classes, shown, removed))
    return f'{"".join(parts)}<div class="gd-matrices">{"".join(tables)}</div>'


def _concerned(confusion: pd.DataFrame, removed: Sequence[int], most: int) -> list[int]:
    wrong = confusion[confusion["true"] != confusion["predicted"]]
    counts = wrong[wrong["predicted"] >= 0].groupby("true")["count"].sum().sort_values(ascending=False)
    return sorted(dict.fromkeys([*removed, *(int(name) for name in counts.index)]))[:most]


def _confusion_table(
    rows: pd.DataFrame, title: str, classes: Sequence[str], shown: Sequence[int], removed: Sequence[int]
) -> str:
    counts = rows.groupby(["true", "predicted"])["count"].sum()
    head = "".join(f'<th scope="col">{escape(classes[item])}</th>' for item in shown)
    body = []
    for true in shown:
        total = max(1, int(sum(counts.get((true, item), 0) for item in range(-1, len(classes) + 1))))
        cells = []
        for said in shown:
            count = int(counts.get((true, said), 0))
            shade = f' style="--share:{100 * count / total:.0f}%"' if count else ""
            cells.append(f"<td{shade}>{count or '<span aria-hidden=true>·</span>'}</td>")
        name = escape(classes[true]) + (" ✕" if true in removed else "")
        body.append(f'<tr><th scope="row">{name}</th>{"".join(cells)}</tr>')
    return (
        f'<table class="gd-matrix"><caption>{escape(title)}</caption><thead><tr><td></td>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table>"
    )
