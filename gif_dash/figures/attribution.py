"""Helpful and harmful images: what the page shows, tables and words; pure functions of the result's tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gif_dash.figures.removal_words import effort
from gif_dash.figures.tables import Html, html_table, number, significant
from gif_dash.figures.theme import label as words_for
from gif_dash.figures.theme import plain, template
from gif_dash.results import Result
from gif_dash.specs import INFLUENCES

if TYPE_CHECKING:
    import plotly.graph_objects as go

#: Points of the score plot, at most: the first of both ends of every ranking, and a sample of the others.
POINTS, ENDS = 2500, 150
#: Of the decay's part of a removal's effect, the share of the largest effect from which on it is mentioned.
DECAY_SHARE = 0.05

#: What each ranking says of an image, by side: heading and what one number means.
SIDES: dict[str, tuple[str, str, str]] = {
    "gradient-cosine": (
        "Gradient points the same way",
        "Gradient points the other way",
        "cosine of its gradient with that of the test image",
    ),
    "representer": (
        "Speaks for class {target}",
        "Speaks against class {target}",
        "what it contributes to the output of class {target}",
    ),
    "similarity": (
        "Most similar of class {target}",
        "Most similar of other classes",
        "cosine of the pixels, mean picture subtracted; it has no sign of its own, the labels make the two sides",
    ),
    "training-loss": (
        "Highest own loss of class {target}",
        "Highest own loss of other classes",
        "its own loss, the same for every test image; it has no sign, the labels make the two sides",
    ),
}
INFLUENCE_SIDES = (
    "Helpful: removing one raises the loss",
    "Harmful: removing one lowers the loss",
    "change of the test image’s loss if it is removed, −I/N, to first order",
)


def name(classes: Sequence[str], place: int) -> str:
    """A class in words."""
    return classes[place] if 0 <= place < len(classes) else "not finite"


def sides(ranking: str, target: str) -> tuple[str, str, str]:
    """Headings of the two sides of a ranking, and what its numbers are."""
    first, second, unit = SIDES.get(ranking, INFLUENCE_SIDES)
    return tuple(text.replace("{target}", target) for text in (first, second, unit))  # type: ignore[return-value]


def score(ranking: str, value: float) -> str:
    """A score as people read it, with its sign where it has one."""
    if ranking == "training-loss" or not math.isfinite(value):
        return significant(value)
    text = significant(value, 3)
    return f"+{text}" if value > 0 else text


def content(
    tables: Mapping[str, pd.DataFrame], classes: Sequence[str], before: pd.DataFrame | None = None
) -> dict[str, Any]:
    """What the page draws, as plain values.

    Args:
        tables: of the result, or of one that is under way.
        classes: the classes' names.
        before: table ``scores`` of the run before, about the same training images.

    Returns:
        query (index, url, label, predicted, wrong, words), gallery (index, url, says, wrong, title), rankings (key,
        label, unit, sides: title and tiles of index, url, label, score, words), and plot (index, title, loss and, by
        ranking, score of some training images, and what it was in the run before).
    """
    asked = tables["query"].iloc[0]
    pictures = {(row.kind, row.index_): row.url for row in _pictures(tables).itertuples()}
    target = name(classes, int(asked["target"]))
    rankings = []
    for key in dict.fromkeys(tables["shown"]["ranking"]):
        rows = tables["shown"][tables["shown"]["ranking"] == key]
        titles = sides(str(key), target)
        parts = []
        for side, title in zip(("for", "against"), titles, strict=False):
            own = rows[rows["side"] == side]
            tiles = [_tile(str(key), side, row, pictures, classes) for row in own.to_dict("records")]
            parts.append({"key": side, "title": title, "tiles": tiles})
        rankings.append({"key": key, "label": words_for(str(key)), "unit": titles[2], "sides": parts})
    gallery = [
        {
            "index": int(row["test_index"]),
            "url": pictures.get(("test", int(row["test_index"])), ""),
            "says": _says(classes, row),
            "wrong": bool(row["label"] != row["predicted"]),
            "title": f"test image {int(row['test_index'])}, {_answer(classes, row)}, loss {number(row['loss'])}",
        }
        for row in tables["gallery"].to_dict("records")
    ]
    return {
        "query": {
            "index": int(asked["index"]),
            "url": pictures.get(("test", int(asked["index"])), ""),
            "label": name(classes, int(asked["label"])),
            "wrong": bool(asked["label"] != asked["predicted"]),
            "words": asked_words(asked, classes),
        },
        "gallery": gallery,
        "rankings": rankings,
        "plot": _plot(tables, classes, before),
    }


def _pictures(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    return tables["pictures"].rename(columns={"index": "index_"})


def _says(classes: Sequence[str], row: Mapping[Any, Any]) -> str:
    true, said = name(classes, int(row["label"])), name(classes, int(row["predicted"]))
    return true if true == said else f"{true} → {said}"


def _answer(classes: Sequence[str], row: Mapping[Any, Any]) -> str:
    true, said = name(classes, int(row["label"])), name(classes, int(row["predicted"]))
    return f"{true}, recognised" if true == said else f"{true}, taken for {said}"


def _tile(
    ranking: str, side: str, row: Mapping[Any, Any], pictures: Mapping[tuple[Any, Any], Any], classes: Sequence[str]
) -> dict[str, Any]:
    index, value = int(row["train_index"]), float(row["score"])
    says = score(ranking, value)
    if ranking not in SIDES:
        kind = "helpful" if side == "for" else "harmful"
        way = "raises" if side == "for" else "lowers"
        told = f"{kind}: removing it {way} the loss by about {significant(abs(value))}"
    else:
        told = f"{words_for(ranking)} {says}"
    return {
        "index": index,
        "url": pictures.get(("train", index), ""),
        "label": _says(classes, row),
        "wrong": bool(row["label"] != row["predicted"]),
        "score": says,
        "words": f"training image {index}, {_answer(classes, row)}, own loss {significant(row['loss'])}; {told}",
    }


def _plot(
    tables: Mapping[str, pd.DataFrame], classes: Sequence[str], before: pd.DataFrame | None = None
) -> dict[str, Any]:
    """Some points of the score plot: all of them if they are few."""
    scores = tables["scores"]
    names = [str(key) for key in dict.fromkeys(tables["shown"]["ranking"])]
    chosen = np.arange(len(scores))
    if len(scores) > POINTS:
        ends = [scores[key].to_numpy().argsort() for key in names]
        kept = np.unique(np.concatenate([np.concatenate([order[:ENDS], order[-ENDS:]]) for order in ends]))
        others = np.setdiff1d(chosen, kept)
        drawn = np.random.default_rng(0).choice(others, max(0, min(len(others), POINTS - len(kept))), replace=False)
        chosen = np.sort(np.concatenate([kept, drawn]))
    part = scores.iloc[chosen]
    earlier = pd.DataFrame() if before is None else before.iloc[chosen]
    ghosts = {key: [_finite(value) for value in earlier[key]] for key in names if key in earlier}
    return {
        "index": [int(index) for index in part["train_index"]],
        "title": [_says(classes, row) for row in part[["label", "predicted"]].to_dict("records")],
        "loss": [_finite(value) for value in part["loss"]],
        "scores": {key: [_finite(value) for value in part[key]] for key in names},
        "before": ghosts,
        "all": len(scores),
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


# --- words ----------------------------------------------------------------------------------------------------------


def asked_words(asked: Mapping[str, Any] | pd.Series[Any], classes: Sequence[str]) -> str:
    """The test image and the network's answer in a sentence of HTML."""
    true, said = name(classes, int(asked["label"])), name(classes, int(asked["predicted"]))
    target = name(classes, int(asked["target"]))
    right = int(asked["label"]) == int(asked["predicted"])
    verdict = "and the network says so" if right else f"the network says <b>{escape(said)}</b>"
    return (
        f"Test image {int(asked['index'])}: it shows <b>{escape(true)}</b>, {verdict}. Loss of class {escape(target)}: "
        f"{number(float(asked['loss']))} (probability {_percent(float(asked['probability']))})."
    )


def _percent(share: float) -> str:
    return f"{significant(100 * share, 2)} %"


def how(result: Result) -> str:
    """How the scores were found, in a line of HTML."""
    solves, known = result.tables["solves"], result.provenance
    parts = []
    if len(solves):
        first = solves.iloc[0]
        passed = f"{significant(float(first['pass_seconds']), 2)} s" if math.isfinite(first["pass_seconds"]) else "–"
        count = "one solve" if len(solves) == 1 else f"{len(solves)} solves"
        parts.append(
            f"{count} ({' + '.join(significant(float(s), 2) for s in solves['seconds'])} s), then one pass over all "
            f"{known['n']:,} training images ({passed})".replace(",", "\u202f", 1)
        )
    return " · ".join([*parts, *effort(known)])


def oddities(result: Result) -> list[str]:
    """What must be known of the scores; sentences of HTML."""
    known, solves = result.provenance, result.tables["solves"]
    said = [f"{escape(str(text))}." for text in known.get("remarks", [])]
    said += [
        f"{words_for(row['ranking']).capitalize()}: {escape(str(row['message']))}."
        for row in solves.to_dict("records")
        if row["status"] in ("diverged", "indefinite")
    ]
    if len(solves) and "influence" in result.tables["scores"]:
        largest = float(result.tables["scores"]["influence"].abs().max())
        part = float(solves["decay"].iloc[0]) / known["n"]
        if largest > 0 and abs(part) > DECAY_SHARE * largest:
            said.append(
                f"Trained by the same recipe without an image, the weight decay adds about {score('influence', part)} "
                "to every effect here, whichever image it is."
            )
    remainder = float(known.get("representer_remainder", math.nan))
    if math.isfinite(remainder) and remainder > 0.1:
        said.append(
            "Representer points add up to the network’s output only where its last layer is at rest: here they miss "
            f"{100 * remainder:.0f} % of it, so read their order, not their size."
        )
    return said


def stepped(result: Result) -> str:
    """What the solver's setting means for the numbers; a sentence of HTML."""
    solves = result.tables["solves"]
    if not len(solves):
        return ""
    residual = float(solves["relative_residual"].iloc[0])
    steps, solver = int(solves["iterations"].iloc[0]), words_for(str(solves["solver"].iloc[0]))
    damped = float(result.spec["damping"]) > 0
    if not math.isfinite(residual) or (residual < 0.01 and not damped):
        return ""
    return (
        f"Solved by {steps} steps of {escape(solver)}{', damped' if damped else ''} (residual "
        f"{significant(residual, 2)}): a regularised inverse. Other settings give other effects, and to a degree "
        "another order of the images."
    )


def summed(result: Result, ranking: str, indices: Sequence[int]) -> str:
    """What the effects of some training images sum to; nothing for a ranking whose scores are no effects."""
    if ranking not in INFLUENCES or ranking not in result.tables["scores"]:
        return ""
    total = float(result.tables["scores"][ranking].iloc[list(indices)].sum())
    return f"By {escape(words_for(ranking))}, the numbers of these images sum to {score(ranking, total)}."


# --- tables ---------------------------------------------------------------------------------------------------------


def agreement_html(result: Result) -> str:
    """Spearman's correlation of every pair of rankings, with the number of shown images they share."""
    table, shown = result.tables["agreement"], int(result.spec["shown"])
    names = [str(key) for key in dict.fromkeys(table["a"])]
    rows = []
    for a in names:
        row: dict[str, Any] = {"ranking": words_for(a)}
        for b in names:
            cell = table[(table["a"] == a) & (table["b"] == b)].iloc[0]
            common = f"{int(cell['common_for'])} / {int(cell['common_against'])}"
            small = "" if a == b else f"<small class='gd-muted'>{common}</small>"
            value = float(cell["spearman"])
            text = f"{value:.2f}".replace("-", "−") if math.isfinite(value) else "–"
            row[b] = f"{text}{small}"
        rows.append(row)
    return html_table(
        pd.DataFrame(rows),
        caption=(
            f"Agreement of the rankings: Spearman’s correlation over all training images; below it, how many of the "
            f"{shown} images shown on each side they share"
        ),
        titles={"ranking": "", **{key: words_for(key) for key in names}},
        formats=dict.fromkeys(names, Html),
        row_header="ranking",
        classes="gd-agreement",
    )


def solves_html(result: Result) -> str:
    """The solver's reports."""
    columns = {
        "ranking": "ranking",
        "solver": "solver",
        "status": "status",
        "iterations": "steps",
        "hvps": "HVPs",
        "seconds": "solve (s)",
        "pass_seconds": "pass (s)",
        "sigma_max": "σ_max",
        "relative_residual": "residual",
        "optimality": "optimality",
        "decay": "μθ̂ᵀv",
    }
    frame = result.tables["solves"][list(columns)]
    formats = {key: lambda value: significant(float(value)) for key in list(columns)[5:]}
    formats |= {"ranking": lambda value: words_for(str(value)), "solver": lambda value: words_for(str(value))}
    return html_table(frame, caption="How v = H⁻¹∇ℓ was found", titles=columns, formats=formats, row_header="ranking")


def scores_html(result: Result, ranking: str) -> str:
    """The shown images of one ranking as a table."""
    rows = result.tables["shown"][result.tables["shown"]["ranking"] == ranking]
    classes = [str(entry) for entry in result.provenance["classes"]]
    target = name(classes, int(result.tables["query"].iloc[0]["target"]))
    titles = sides(ranking, target)
    frame = pd.DataFrame(
        {
            "side": [titles[0 if side == "for" else 1] for side in rows["side"]],
            "train_index": rows["train_index"].tolist(),
            "label": [name(classes, int(place)) for place in rows["label"]],
            "predicted": [name(classes, int(place)) for place in rows["predicted"]],
            "loss": rows["loss"].tolist(),
            "score": [score(ranking, float(value)) for value in rows["score"]],
        }
    )
    return html_table(
        frame,
        caption=f"{words_for(ranking).capitalize()}: {titles[2]}",
        titles={"train_index": "training image", "predicted": "recognised as", "loss": "own loss", "label": "class"},
        formats={"loss": lambda value: significant(float(value))},
    )


def pictures_html(result: Result, ranking: str) -> str:
    """Both sides of a ranking as pictures, for exports."""
    classes = [str(entry) for entry in result.provenance["classes"]]
    return tiles_html(content(result.tables, classes), ranking)


def tiles_html(drawn: Mapping[str, Any], ranking: str) -> str:
    """The test image and both sides of one ranking of a `content`, for exports."""
    known = {entry["key"]: entry for entry in drawn["rankings"]}[ranking]
    rows = []
    for side in known["sides"]:
        cells = "".join(
            f'<figure style="display:inline-block;margin:4px;text-align:center;font-size:12px">'
            f"{_image(tile['url'], tile['words'])}<figcaption>{escape(tile['label'])}<br>{escape(tile['score'])}"
            "</figcaption></figure>"
            for tile in side["tiles"]
        )
        rows.append(f"<h3>{escape(side['title'])}</h3><div>{cells}</div>")
    return f"{_image(drawn['query']['url'], 'the test image')}{''.join(rows)}"


def _image(url: str, words: str) -> str:
    if not url:
        return ""
    return f'<img src="{escape(url)}" width="56" height="56" alt="{escape(words)}" style="image-rendering:pixelated">'


def summary(result: Result) -> pd.DataFrame:
    """The rows that a terminal shows: the first images of both sides, by the first ranking."""
    shown = result.tables["shown"]
    first = shown[shown["ranking"] == shown["ranking"].iloc[0]] if len(shown) else shown
    names = {"side": "side", "train_index": "training image", "label": "class", "loss": "own loss", "score": "score"}
    rows = first[list(names)].rename(columns=names)
    if len(shown) and first["ranking"].iloc[0] in INFLUENCES:
        kinds = {"for": "helpful: removing it raises the loss", "against": "harmful: removing it lowers the loss"}
        rows = rows.assign(side=rows["side"].map(kinds)).rename(columns={"score": "−I/N"})
    return rows.reset_index(drop=True)


def figures(result: Result, ranking: str) -> list[go.Figure]:
    """The score plot as a plotly figure, for exports."""
    import plotly.graph_objects as go

    classes = [str(entry) for entry in result.provenance["classes"]]
    points = _plot(result.tables, classes)
    target = name(classes, int(result.tables["query"].iloc[0]["target"]))
    titles = sides(ranking, target)
    x = [value if value is not None else math.nan for value in points["scores"][ranking]]
    y = [value if value is not None else math.nan for value in points["loss"]]
    figure = go.Figure(layout={"template": template(), "height": 480, "title": plain(words_for(ranking))})
    for sign, title, symbol, colour in ((1, titles[0], "triangle-up", "#0072B2"), (-1, titles[1], "circle", "#D55E00")):
        places = [place for place, value in enumerate(x) if value * sign > 0]
        figure.add_trace(
            go.Scatter(
                x=[x[place] for place in places],
                y=[y[place] for place in places],
                text=[f"{points['index'][place]}: {plain(points['title'][place])}" for place in places],
                mode="markers",
                marker={"symbol": symbol, "color": colour, "size": 6, "opacity": 0.6},
                name=plain(title) if ranking not in ("similarity", "training-loss") else ("> 0", "< 0")[sign < 0],
            )
        )
    figure.update_xaxes(title=plain(titles[2]))
    figure.update_yaxes(title="own loss of the training image", type="log")
    return [figure]
