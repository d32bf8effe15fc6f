"""Tables and words of the spectrum: pure functions of the result's tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

import pandas as pd

from gif_dash import published
from gif_dash.figures.spectrum import LOSS_STYLE, converges_from
from gif_dash.figures.tables import Html, duration, html_table, number, significant
from gif_dash.figures.theme import label, stroke
from gif_dash.results import Result

#: Test accuracies below this share of chance are called chance.
_CHANCE = 1.5


def named_loss(loss: str) -> Html:
    """Swatch and label of a loss."""
    return Html(f'{stroke(LOSS_STYLE[loss])}<span class="gd-method">{escape(label(loss))}</span>')


def regulariser(spec: Mapping[str, Any]) -> str:
    """The formula of the regulariser."""
    return "α/2·‖θ‖²" if spec["norm"] == "squared" else "α/2·‖θ‖"


def answer(result: Result) -> str:
    """What the shares and LiSSA say, as HTML sentences, one paragraph per loss."""
    shares, lissa = result.tables["shares"], result.tables["lissa"]
    return "".join(
        f"<p><b>{escape(_title(loss))}.</b> {_one(result, loss, shares, lissa)}</p>" for loss in _losses(result)
    )


def _losses(result: Result) -> list[str]:
    return [str(loss) for loss in dict.fromkeys(result.tables["shares"]["loss"])]


def _title(loss: str) -> str:
    text = label(loss)
    return text[:1].upper() + text[1:]


def _one(result: Result, loss: str, shares: pd.DataFrame, lissa: pd.DataFrame) -> str:
    rows = shares[shares["loss"] == loss].sort_values("alpha")
    first, last = rows.iloc[0], rows.iloc[-1]
    said = [
        f"At α = {float(first['alpha']):g}, {number(first['negative_share'], 1)} % of the "
        f"{int(first['count'])} eigenvalues of largest magnitude are negative, and "
        f"{number(first['negative_share_all'], 1)} % of all {_whole(first['p'])}; the smallest is "
        f"{significant(float(first['lambda_min']))}."
    ]
    if len(rows) > 1:
        said.append(
            f"At α = {float(last['alpha']):g}: {number(last['negative_share'], 1)} % and "
            f"{number(last['negative_share_all'], 1)} %, smallest {significant(float(last['lambda_min']))}."
        )
    hidden = rows[(rows["negative"] == 0) & (rows["negative_share_all"] > 0)]
    if len(hidden):
        at = ", ".join(f"{alpha:g}" for alpha in hidden["alpha"])
        said.append(
            f"At α = {at} none of the {int(first['count'])} largest is negative but others are: a share of 0 among the "
            "largest does not mean that the Hessian is positive definite."
        )
    said.append(_lissa_words(loss, lissa))
    chance = 100 / max(1, result.provenance.get("classes", 10))
    dead = rows[rows["test_accuracy"] < _CHANCE * chance]
    if len(dead) and result.spec["fit"] == "each":
        said.append(
            f"From α = {float(dead['alpha'].min()):g} on the network has learned nothing (test accuracy "
            f"{number(float(dead['test_accuracy'].min()), 0)} %): there the regulariser alone makes the spectrum."
        )
    return " ".join(said)


def _whole(value: float) -> str:
    return f"{int(value):,}".replace(",", "\u202f")


def _lissa_words(loss: str, lissa: pd.DataFrame) -> str:
    rows = lissa[lissa["loss"] == loss]
    scale = "at this scale"
    start = converges_from(lissa, loss)
    if start is None:
        worst = rows.sort_values("alpha").iloc[-1]
        return (
            f"LiSSA {scale} converges at none of them; at the largest α it would still need "
            f"{significant(float(worst['shift_needed']))} added to every eigenvalue."
        )
    if start == float(rows["alpha"].min()):
        return f"LiSSA {scale} converges at all of them."
    return f"LiSSA {scale} converges from α = {start:g} on."


def oddities(result: Result) -> list[str]:
    """Sentences about what must be known of these numbers."""
    shares, said = result.tables["shares"], []
    for message in dict.fromkeys(text for text in shares["message"] if text):
        where = shares[shares["message"] == message]
        at = ", ".join(f"{label(row['loss'])} α = {row['alpha']:g}" for _, row in where.iterrows())
        said.append(f"{escape(at)}: {escape(message)}.")
    odd = contradictions(result.tables["lissa"])
    if len(odd):
        said.append(
            f"At {len(odd)} of {len(result.tables['lissa'])} points LiSSA's residual was still falling where the "
            "eigenvalues say that it must grow in the end: the growing part is small and slow (see the table)."
        )
    if result.spec["net"] == "own" and result.spec["fit"] == "once" and len(result.spec["losses"]) > 1:
        said.append("The network was trained once, with its own loss: for the other one it is no minimum.")
    if note := result.provenance.get("data_note"):
        said.append(escape(str(note)))
    return said


def contradictions(lissa: pd.DataFrame) -> pd.DataFrame:
    """Rows where the measured residual does not (yet) do what the eigenvalues say."""
    expected = lissa["verdict"].map({"converges": "falls", "diverges": "grows"})
    return lissa[expected.notna() & (expected != lissa["measured"])]


def facts(result: Result) -> str:
    """One line: which network, which images, how long."""
    spec, known = result.spec, result.provenance
    network = "784-8-8-10 or alike" if spec["net"] == "dense" else "the scenario's own network"
    parts = [
        f"{_whole(known['p'])} parameters ({network})",
        f"regulariser {regulariser(spec)}",
        f"{known['curvature_examples']} {'training' if spec['images'] == 'train' else 'test'} images",
        f"{known['hvps']} Hessian-vector products, float64",
    ]
    if "training" in known:
        parts.append(escape(str(known["training"]).replace(", weight decay 0", "")))
    parts.append(f"computed in {duration(float(known['seconds']))}")
    return " · ".join(parts)


_TITLES = {
    "loss": "",
    "alpha": "α",
    "negative_share": "Negative of k, %",
    "count": "k",
    "negative_share_all": "Negative of all, %",
    "zero_share_all": "Zero of all, %",
    "lambda_min": "λ_min",
    "lambda_max": "λ_max",
    "smallest_of_count": "|λ_k|",
    "test_accuracy": "Test accuracy, %",
    "train_loss": "Train loss",
    "gradient_norm": "‖∇F‖",
    "theta_norm": "‖θ‖",
    "converged": "Converged",
}


def shares_html(result: Result) -> str:
    """The main table."""
    frame = result.tables["shares"]
    return html_table(
        frame[list(_TITLES)],
        caption="Eigenvalues for every loss and α; ‖∇F‖: how far training is from a stationary point",
        row_header="loss",
        titles=_TITLES,
        formats={
            **{key: significant for key in _TITLES if key not in ("loss", "alpha", "count", "converged")},
            **{key: lambda value: number(value, 1) for key in _TITLES if key.endswith(("_share", "_all", "accuracy"))},
            "loss": named_loss,
            "alpha": "{:g}".format,
        },
    )


_LISSA = {
    "loss": "",
    "alpha": "α",
    "verdict": "By the eigenvalues",
    "measured": "Residual measured",
    "residual_last": "Last residual",
    "residual_ratio": "% per step, at the end",
    "factor": "% per step, in the long run",
    "steps": "Steps",
    "scale": "Scale",
    "scale_needed": "Scale above",
    "shift_needed": "Shift above",
}
_WHY = {
    "negative": "diverges (negative eigenvalues)",
    "scale": "diverges (scale too small)",
    "zero": "stalls (eigenvalues 0)",
}


def lissa_html(result: Result) -> str:
    """Where LiSSA converges: what the eigenvalues say beside what it did."""
    frame = result.tables["lissa"]
    shown = frame.assign(
        verdict=[
            _WHY.get(str(reason), str(verdict))
            for verdict, reason in zip(frame["verdict"], frame["reason"], strict=True)
        ]
    )
    return html_table(
        shown[[name for name in _LISSA if name in shown]],
        caption="LiSSA on H + ∇²R: converges if every eigenvalue is above 0 and below twice the scale",
        row_header="loss",
        titles=_LISSA,
        formats={
            **dict.fromkeys(("residual_last", "scale", "scale_needed", "shift_needed"), significant),
            "alpha": "{:g}".format,
            **dict.fromkeys(("residual_ratio", "factor"), lambda value: significant(100 * (value - 1), 2)),
            "steps": lambda value: number(float(value), 0),
            "loss": named_loss,
        },
    )


def published_html(result: Result) -> str:
    """Our shares beside the authors', by the loss that was really run."""
    shares = result.tables["shares"]
    rows = []
    for name, points in published.SPECTRUM.items():
        loss = {"mse": "squared-error", "cross_entropy": "cross-entropy"}[name]
        for alpha, value in points:
            ours = shares[(shares["loss"] == loss) & ((shares["alpha"] - alpha).abs() < 1e-9)]
            rows.append(
                {
                    "loss": loss,
                    "run": name,
                    "alpha": alpha,
                    "published": value,
                    "ours": float(ours["negative_share"].iloc[0]) if len(ours) else math.nan,
                }
            )
    return html_table(
        pd.DataFrame(rows),
        caption=f"Published: {published.SPECTRUM_SETTING}",
        row_header="loss",
        titles={"loss": "", "run": "Name of the run", "alpha": "α", "published": "As published, %", "ours": "Here, %"},
        formats={
            "loss": named_loss,
            "alpha": "{:g}".format,
            "published": lambda value: number(value, 2),
            "ours": lambda value: number(value, 1),
        },
    )


def summary(result: Result) -> pd.DataFrame:
    """The rows that a terminal shows."""
    shares = result.tables["shares"].merge(
        result.tables["lissa"][["loss", "alpha", "verdict", "measured"]], on=["loss", "alpha"]
    )
    names = {
        "loss": "loss",
        "alpha": "α",
        "negative_share": "negative of k %",
        "negative_share_all": "of all %",
        "lambda_min": "λ_min",
        "lambda_max": "λ_max",
        "verdict": "LiSSA",
        "measured": "residual",
        "test_accuracy": "test acc %",
        "theta_norm": "‖θ‖",
    }
    return shares[list(names)].rename(columns=names)
