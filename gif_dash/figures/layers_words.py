"""Tables and words of the layers: pure functions of the result's tables."""

from __future__ import annotations

import math
from html import escape
from typing import Any

import pandas as pd

from gif_dash.figures.layers import REFERENCES, criteria_of, edit_row
from gif_dash.figures.removal_words import good_edit, retraining_lands
from gif_dash.figures.tables import Html, bar, duration, html_table, number, path, significant
from gif_dash.figures.theme import label, named
from gif_dash.results import Result

#: Networks with more layers are compared by kind of layer.
MANY = 8


def as_removal(result: Result, criterion: str) -> Result:
    """What class removal would call its tables, for one criterion."""
    edits = result.tables["edits"]
    trust, solves = (result.tables[name] for name in ("trust", "solves"))
    tables = {
        "sweep": edits[edits["criterion"].isin(("", criterion))],
        "trust": trust[trust["criterion"] == criterion],
        "solves": solves[solves["criterion"] == criterion],
    }
    return Result(result.spec, tables, result.provenance)


def trust(result: Result, criterion: str) -> str:
    """The two questions about the edits of a criterion, as HTML."""
    one = as_removal(result, criterion)
    return (
        '<div class="gd-questions">'
        f"<section><h3>Is this a good edit?</h3><p>{good_edit(one)}</p></section>"
        f"<section><h3>Is this where retraining would land?</h3><p>{retraining_lands(one)} {_basins(result)}</p>"
        "</section></div>"
    )


def _basins(result: Result) -> str:
    rows = result.tables["references"]
    length = {name: math.sqrt(float((rows[rows["reference"] == name]["norm"] ** 2).sum())) for name in REFERENCES}
    if not length["retrain"] or not length["retrain_warm"]:
        return ""
    return (
        f"The cold start lies {significant(length['retrain'])} from the original, the warm one "
        f"{significant(length['retrain_warm'])}: the cold start is another basin, so where it differs layer by layer "
        "is no target for an edit."
    )


def where(result: Result, criterion: str) -> str:
    """Where the update goes and what that does, as HTML paragraphs."""
    layers = result.tables["layers"]
    rows = layers[layers["criterion"] == criterion]
    said = [_where(result, criterion, str(method), part) for method, part in rows.groupby("method", sort=False)]
    return f"<p>{'</p><p>'.join(said)}</p>"


def _where(result: Result, criterion: str, method: str, rows: pd.DataFrame) -> str:
    top = rows.sort_values("part", ascending=False, kind="stable").iloc[0]
    most = rows.sort_values("score_alone", ascending=False, kind="stable").iloc[0]
    whole = edit_row(result.tables["edits"], criterion, method)
    before = edit_row(result.tables["edits"], criterion, "original")
    own = float(whole["score"]) if whole is not None else math.nan
    error = float(whole.get("score_se", math.nan)) if whole is not None else math.nan
    same = str(top["layer"]) == str(most["layer"])
    at = f"s = {significant(float(most['scalar']))}"
    said = (
        f"<b>{escape(label(method))}</b> puts {number(float(top['part']), 0)} % of ‖Δ‖² into layer "
        f"{escape(str(top['layer']))} ({escape(str(top['kind']))}, "
        f"{number(100 * float(top['parameters']) / float(rows['parameters'].sum()), 0)} % of the parameters). "
    )
    alone = float(most["score_alone"])
    if same:
        said += f"That layer alone, at {at}, scores {number(alone)}"
    else:
        said += (
            f"Of single layers, layer {escape(str(most['layer']))} does most: alone, at {at}, it scores {number(alone)}"
        )
    said += f"; the whole edit {number(own)}"
    if math.isfinite(error):
        said += f" ± {number(error)}"
    rest = rows[rows["layer"] != most["layer"]]
    if len(rest) and before is not None:
        said += (
            f", every other layer alone at most {number(float(rest['score_alone'].max()))} (untouched "
            f"{number(float(before['score']))})"
        )
    return said + "."


def facts(result: Result) -> str:
    """One line: what it took."""
    known = result.provenance
    return (
        f"{significant(float(result.spec['mr']), 2)} % of every layer · {known['hvps']} Hessian-vector products · "
        f"computed in {duration(float(known['seconds']))} · on {escape(str(known['device']))}"
    )


def oddities(result: Result) -> list[str]:
    """Sentences about what is missing or deviates."""
    known = result.provenance
    said = [f"Missing: {escape(str(known['incomplete']))}."] if known.get("incomplete") else []
    said += [f"{escape(str(note)[:1].upper() + str(note)[1:])}." for note in known.get("deviations", ())]
    if note := known.get("data_note"):
        said.append(escape(str(note)))
    return said


def compared_html(result: Result) -> str:
    """Criteria and methods against each other: where ‖Δ‖² goes, by layer or (in large networks) by kind of layer."""
    layers, edits = result.tables["layers"], result.tables["edits"]
    names = list(dict.fromkeys(layers["layer"]))
    key = "layer" if len(names) <= MANY else "kind"
    groups = list(dict.fromkeys(layers[key]))
    rows: list[dict[str, Any]] = []
    for criterion in criteria_of(layers):
        of_criterion = layers[layers["criterion"] == criterion]
        for method, part in of_criterion.groupby("method", sort=False):
            shares = part.groupby(key)["part"].sum()
            best = part.sort_values("score_alone", ascending=False, kind="stable").iloc[0]
            edit = edit_row(edits, criterion, str(method))
            rows.append(
                {
                    "criterion": label(criterion),
                    "method": str(method),
                    **{f"part {group}": float(shares[group]) for group in groups},
                    "scalar": float(best["scalar"]),
                    "score": float(edit["score"]) if edit is not None else math.nan,
                    "alone": float(best["score_alone"]),
                    "layer": str(best["layer"]),
                }
            )
    references = result.tables["references"]
    for reference, part in references.groupby("reference", sort=False):
        shares = part.groupby(key)["part"].sum()
        edit = edit_row(edits, "", str(reference))
        rows.append(
            {
                "criterion": "",
                "method": str(reference),
                **{f"part {group}": float(shares[group]) for group in groups},
                "scalar": math.nan,
                "score": float(edit["score"]) if edit is not None else math.nan,
                "alone": math.nan,
                "layer": "",
            }
        )
    kinds = dict(zip(layers["layer"], layers["kind"], strict=True))

    def head(group: str) -> Html:
        more = f' <span class="gd-muted">{escape(str(kinds[group]))}</span>' if key == "layer" else ""
        return Html(f"{path(str(group))}{more}, % of ‖Δ‖²")

    frame = pd.DataFrame(rows)
    return html_table(
        frame,
        caption="Criteria compared: where the squared norm of the update lies, and the best single layer",
        row_header="method",
        classes="gd-layers",
        titles={
            "criterion": "Criterion",
            "method": "",
            **{f"part {group}": head(group) for group in groups},
            "scalar": "Best s",
            "score": "Score, whole",
            "alone": "Score, best layer alone",
            "layer": "which",
        },
        formats={
            "method": lambda name: Html(named(name)),
            "scalar": significant,
            **dict.fromkeys(("score", "alone"), number),
            **{f"part {group}": _part_bar for group in groups},
        },
    )


def _part_bar(value: float) -> Html:
    return bar(number(value, 1), value / 100, "var(--gd-control)")


_LAYERS = {
    "criterion": "Criterion",
    "method": "",
    "layer": "Layer",
    "kind": "Kind",
    "parameters": "Parameters",
    "share": "Selected, %",
    "part": "% of ‖Δ‖²",
    "norm": "‖Δ‖",
    "ratio": "‖Δ‖/‖θ̂‖",
    "scalar": "Best s",
    "norm_best": "s‖Δ‖",
    "ratio_best": "s‖Δ‖/‖θ̂‖",
    "test_accuracy_alone": "Alone: keeps, %",
    "self_accuracy_alone": "Alone: recognises, %",
    "score_alone": "Alone: score",
    "cosine_retrain_warm": "Cosine, warm",
    "cosine_retrain": "Cosine, cold",
}


def _one(value: float) -> str:
    return number(value, 1)


def _two(value: float) -> str:
    return number(value, 2)


def layers_html(result: Result) -> str:
    """The main table."""
    frame = result.tables["layers"]
    return html_table(
        frame[list(_LAYERS)],
        caption="Every layer; alone: only this layer edited, at the best s of the whole edit",
        row_header="method",
        titles=_LAYERS,
        formats={
            **dict.fromkeys(("norm", "ratio", "scalar", "norm_best", "ratio_best"), significant),
            **dict.fromkeys(("test_accuracy_alone", "self_accuracy_alone", "share", "part"), _one),
            **dict.fromkeys(("cosine_retrain_warm", "cosine_retrain"), _two),
            "score_alone": number,
            "criterion": label,
            "method": lambda name: Html(named(name)),
        },
    )


def tensors_html(result: Result) -> str:
    """Weights and biases apart."""
    titles = {
        "criterion": "Criterion",
        "method": "",
        "layer": "Layer",
        "kind": "Kind",
        "role": "",
        "shape": "Shape",
        "parameters": "Parameters",
        "selected": "Selected",
        "share": "Selected, %",
        "part": "% of ‖Δ‖²",
        "norm": "‖Δ‖",
        "ratio": "‖Δ‖/‖θ̂‖",
    }
    return html_table(
        result.tables["tensors"][list(titles)],
        caption="Weights and biases",
        row_header="method",
        titles=titles,
        formats={
            "criterion": label,
            "method": lambda name: Html(named(name)),
            **{name: lambda value: number(value, 1) for name in ("share", "part")},
            **dict.fromkeys(("norm", "ratio"), significant),
        },
    )


def references_html(result: Result) -> str:
    """How far retraining moved every layer."""
    titles = {
        "reference": "",
        "layer": "Layer",
        "kind": "Kind",
        "norm": "‖θ_retrained − θ̂‖",
        "theta_norm": "‖θ̂‖",
        "ratio": "Ratio",
        "part": "% of the square",
        "note": "How it was trained",
    }
    return html_table(
        result.tables["references"][list(titles)],
        caption="How far retraining moved every layer; a cold start is another basin, and no target",
        row_header="reference",
        titles=titles,
        formats={
            "reference": lambda name: Html(named(name)),
            **dict.fromkeys(("norm", "theta_norm", "ratio"), significant),
            "part": lambda value: number(value, 1),
        },
    )


def summary(result: Result) -> pd.DataFrame:
    """The rows that a terminal shows."""
    names = {
        "criterion": "criterion",
        "method": "method",
        "layer": "layer",
        "kind": "kind",
        "share": "selected %",
        "part": "% of ‖Δ‖²",
        "ratio": "‖Δ‖/‖θ‖",
        "scalar": "best s",
        "score_alone": "score alone",
        "cosine_retrain_warm": "cos warm",
    }
    return result.table[list(names)].rename(columns=names)
