"""Two digits and a linear model: curves, scatter, pictures, tables and words; pure functions of the result's tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

from gif_dash.figures import attribution
from gif_dash.figures.attribution import name
from gif_dash.figures.chart import Axis, Chart, Line, Mark, Quantity, decades, to_plotly
from gif_dash.figures.removal_words import effort
from gif_dash.figures.tables import Html, html_table, number, significant
from gif_dash.figures.theme import MARKERS, Style, label, plain, stroke, template
from gif_dash.results import Result

if TYPE_CHECKING:
    import plotly.graph_objects as go

#: The style of every solver: Tol's bright palette, as a solver is not a method.
STYLES: dict[str, Style] = {
    "closed-form": Style("#000000", "#f2f2f2", "solid", "", 1.5),
    "direct": Style("#767676", "#b5b5b5", "dot", "cross"),
    "cg": Style("#4477AA", "#7aa6d6", "solid", "circle"),
    "minres": Style("#228833", "#5cc46e", "dash", "square"),
    "cgls": Style("#AA3377", "#dd7ab0", "dashdot", "diamond"),
    "lissa": Style("#c8452f", "#ff8f7a", "longdash", "triangle-up"),
}
#: Images left out, by why they were chosen: words and style.
KINDS: dict[str, tuple[str, Style]] = {
    "helpful": ("most helpful", Style("#0072B2", "#56B4E9", "solid", "triangle-up")),
    "harmful": ("most harmful", Style("#c24d00", "#ff9d5c", "solid", "circle")),
    "random": ("at random", Style("#6b6b6b", "#b5b5b5", "solid", "diamond")),
}
#: Errors below this are drawn there: rounding.
FLOOR = 1e-16
#: From which correlation on the order of images counts as found, and how far from 1 a slope may be.
ORDERED, SLOPE = 0.95, 0.1
#: From which correlation on it counts as roughly found.
ROUGHLY = 0.7
#: Images of each side that two rankings are compared in; as the experiment has it.
TOP = 10
#: A solver counts as exact up to this error.
EXACT = 1e-6

#: Size of the scatter plot, and its margins: left, right, top, bottom.
WIDTH, HEIGHT = 560, 380
LEFT, RIGHT, UPPER, LOWER = 74, 14, 12, 48


def called(solver: str) -> str:
    """A solver in words, without what is in brackets."""
    return label(solver).partition(" (")[0]


def named(solver: str) -> Html:
    """Swatch and name of a solver as HTML."""
    return Html(f'{stroke(STYLES[solver])}<span class="gd-method">{escape(called(solver))}</span>')


# --- how the error falls ----------------------------------------------------------------------------------------------


def curves(curve: pd.DataFrame, solvers: pd.DataFrame) -> Chart:
    """Error and rank agreement of the iterative solvers against the work they have done.

    Args:
        curve, solvers: the tables of those names; may be empty.
    """
    lines = []
    for solver in dict.fromkeys(curve["solver"]) if len(curve) else ():
        rows = curve[curve["solver"] == solver]
        values = {
            "error": tuple(max(FLOOR, float(value)) for value in rows["error"]),
            "spearman": tuple(float(value) for value in rows["spearman"]),
        }
        x = tuple(float(value) for value in rows["passes"])
        lines.append(Line(str(solver), called(str(solver)), STYLES[str(solver)], x, values))
    direct = solvers[solvers["solver"] == "direct"] if len(solvers) else solvers
    passes = float(direct["passes"].iloc[0]) if len(direct) else math.nan
    marks = (Mark(passes, f"direct: {passes:g} products", STYLES["direct"]),) if math.isfinite(passes) else ()
    places = [*(place for line in lines for place in line.x), *(mark.x for mark in marks)] or [1.0, 100.0]
    errors = [value for line in lines for value in line.values["error"]] or [1e-12, 1.0]
    ranks = [value for line in lines for value in line.values["spearman"] if math.isfinite(value)]
    lowest = math.floor(10 * min([0.8, *ranks])) / 10
    x_low, x_high = decades(places, floor=1e-4, ceiling=1e7)
    y_low, y_high = decades(errors, floor=FLOOR, ceiling=1e6)
    return Chart(
        title="Error of H⁻¹∇ℓ against the work done",
        x=Axis("passes over the training images", "log", x_low, x_high),
        quantities=(
            Quantity("error", "Error of H⁻¹∇ℓ", "", 3, Axis("relative error", "log", y_low, y_high), "relative"),
            Quantity(
                "spearman",
                "Order of the images",
                "",
                4,
                Axis("Spearman", "linear", lowest - 0.01, 1.01),
                "Spearman’s correlation",
            ),
        ),
        lines=tuple(lines),
        marks=marks,
        symbol="passes",
    )


# --- predicted and actual ---------------------------------------------------------------------------------------------


def _ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers between two ends."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return [place * step for place in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def scatter_html(truth: pd.DataFrame, count: int) -> str:
    """Predicted against actual change of the test loss for the images left out, with the diagonal; as a picture.

    Args:
        truth: the table of that name; nothing is drawn of an empty one.
        count: how many images are left out in the end.
    """
    if not len(truth):
        return ""
    values: list[float] = [*truth["predicted"], *truth["actual"], 0.0]
    low, high = float(min(values)), float(max(values))
    pad = (high - low or 1.0) * 0.06
    low, high = low - pad, high + pad
    wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - UPPER - LOWER

    def px(value: float) -> float:
        return LEFT + wide * (value - low) / (high - low)

    def py(value: float) -> float:
        return UPPER + tall * (1 - (value - low) / (high - low))

    parts = []
    for value in _ticks(low, high):
        css = "gd-zero" if abs(value) < 1e-12 else "gd-gridline"
        text = "0" if abs(value) < 1e-12 else significant(value, 2)
        parts.append(
            f'<line x1="{px(value):.1f}" x2="{px(value):.1f}" y1="{UPPER}" y2="{UPPER + tall}" class="{css}"/>'
        )
        parts.append(f'<line x1="{LEFT}" x2="{LEFT + wide}" y1="{py(value):.1f}" y2="{py(value):.1f}" class="{css}"/>')
        parts.append(f'<text x="{px(value):.1f}" y="{UPPER + tall + 16}" text-anchor="middle">{text}</text>')
        parts.append(f'<text x="{LEFT - 7}" y="{py(value) + 4:.1f}" text-anchor="end">{text}</text>')
    parts.append(
        f'<line x1="{px(low):.1f}" y1="{py(low):.1f}" x2="{px(high):.1f}" y2="{py(high):.1f}" '
        'style="stroke:light-dark(#000000,#f2f2f2);stroke-width:1.2" stroke-dasharray="5 4"/>'
    )
    for row in truth.to_dict("records"):
        words, look = KINDS[str(row["kind"])]
        told = (
            f"training image {row['train_index']} ({row['label']}), {words}: predicted {_signed(row['predicted'])}, "
            f"trained again {_signed(row['actual'])}"
        )
        parts.append(
            f'<path d="{MARKERS[look.marker]}" style="fill:{look.css()};opacity:.75" '
            f'transform="translate({px(row["predicted"]):.1f},{py(row["actual"]):.1f})"><title>{escape(told)}</title>'
            "</path>"
        )
    middle = LEFT + wide / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">predicted by influence</text>')
    parts.append(
        f'<text x="13" y="{UPPER + tall / 2}" text-anchor="middle" transform="rotate(-90 13 {UPPER + tall / 2})">'
        "trained again without the image</text>"
    )
    keys = " ".join(
        f"<span>{stroke(look, line=False)}{escape(words)}</span>"
        for kind, (words, look) in KINDS.items()
        if kind in set(truth["kind"])
    )
    so_far = f" ({len(truth)} of {count} so far)" if len(truth) < count else ""
    heading = f"Change of the test loss when one training image is left out{so_far}"
    return (
        f'<figure class="gd-scoreplot gd-leftout"><figcaption>{escape(heading)}; on the dashed line the prediction is '
        f'exact. {keys}</figcaption><div class="gd-plotbox gd-still"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(heading)}: predicted against trained again; the numbers are in the table below">'
        f"{''.join(parts)}</svg></div></figure>"
    )


def _signed(value: float, digits: int = 3) -> str:
    text = significant(float(value), digits)
    return f"+{text}" if value > 0 else text


def scatter(result: Result) -> go.Figure:
    """`scatter_html` as a plotly figure, for exports."""
    import plotly.graph_objects as go

    truth = result.tables["truth"]
    heading = "Change of the test loss when one training image is left out"
    figure = go.Figure(layout={"template": template(), "height": 480, "title": plain(heading)})
    for kind, rows in truth.groupby("kind", sort=False):
        words, look = KINDS[str(kind)]
        figure.add_trace(
            go.Scatter(
                x=rows["predicted"],
                y=rows["actual"],
                text=[f"training image {index}" for index in rows["train_index"]],
                name=words,
                mode="markers",
                marker={"symbol": look.marker, "color": look.colour, "size": 8, "opacity": 0.75},
            )
        )
    if len(truth):
        ends = [min(truth["predicted"].min(), truth["actual"].min()), max(truth[["predicted", "actual"]].max())]
        line = {"color": "#000000", "dash": "dash", "width": 1.2}
        figure.add_trace(go.Scatter(x=ends, y=ends, name="exact prediction", mode="lines", line=line))
    figure.update_xaxes(title="predicted by influence")
    figure.update_yaxes(title="trained again without the image")
    return figure


# --- pictures ---------------------------------------------------------------------------------------------------------


def content(tables: Mapping[str, pd.DataFrame], classes: Sequence[str]) -> dict[str, Any]:
    """What `gif_dash.panels.images.ImagesWidget` shows: the test images, and both sides by every solver."""
    shown = list(dict.fromkeys(tables["shown"]["ranking"]))
    scores = tables["scores"]
    first = scores[scores["solver"] == scores["solver"].iloc[0]]
    wide = first[["train_index", "label", "predicted", "loss"]].reset_index(drop=True)
    for solver in shown:
        wide[solver] = scores.loc[scores["solver"] == solver, "effect"].to_numpy()
    query = tables["query"].assign(probability=math.nan)
    made = attribution.content({**tables, "scores": wide, "query": query}, classes)
    made["query"]["words"] = asked_words(tables["query"].iloc[0], classes)
    return made


def asked_words(asked: Mapping[str, Any] | pd.Series[Any], classes: Sequence[str]) -> str:
    """The test image and the model's answer in a sentence of HTML."""
    true, said = name(classes, int(asked["label"])), name(classes, int(asked["predicted"]))
    verdict = "and the model says so" if true == said else f"the model says <b>{escape(said)}</b>"
    return (
        f"Test image {int(asked['index'])}: it shows <b>{escape(true)}</b>, {verdict}. "
        f"Loss {significant(float(asked['loss']))} at the margin {significant(float(asked['margin']))}."
    )


# --- words ------------------------------------------------------------------------------------------------------------


def lands(result: Result) -> str:
    """ "Is this where retraining would land?" in a few sentences of HTML."""
    known, row = result.provenance, _rows(result)["closed-form"]
    pearson, spearman, slope = float(row["loo_pearson"]), float(row["loo_spearman"]), float(known["slope"])
    count = int(known["left_out"])
    if not count:
        return "<b>Not measured.</b> No image was left out."
    if not math.isfinite(pearson):
        return f"<b>Cannot be told.</b> With {count} images left out there is no correlation."
    close = abs(slope - 1) <= SLOPE
    if pearson >= ORDERED:
        verdict = "Yes." if close else "In order, not in size."
    else:
        verdict = "Roughly." if pearson >= ROUGHLY else "No."
    odd = int(known["left_out_unconverged"])
    warned = f" {odd} of the trainings did not come to rest." if odd else ""
    return (
        f"<b>{verdict}</b> {count} training images were left out one by one and the model trained again to "
        f"convergence. Predicted and actual change of the test loss correlate with {_rank(pearson)} (Pearson) and "
        f"{_rank(spearman)} (Spearman); the actual ones are {number(slope, 2)} times the predicted, the largest is "
        f"{significant(float(known['largest_actual']), 2)}.{warned}"
    )


def compared(result: Result) -> str:
    """ "Which solver would do?" in a few sentences of HTML."""
    rows = _rows(result)
    told = []
    for solver, row in rows.items():
        if solver == "closed-form":
            continue
        what = f"{escape(called(solver))}: error {significant(float(row['error']), 2)} after {_passes(row)}"
        if row["status"] in ("diverged", "indefinite"):
            what += f", {row['status']}"
        if not float(row["error"]) <= EXACT:
            what += f", order of the images {_rank(float(row['spearman']))} (Spearman)"
        told.append(what)
    return f"{_verdict(rows)} {'; '.join(told)}.{_overtaken(result)}{_condition(result)}"


def _overtaken(result: Result) -> str:
    """From when on the other iterative solvers have LiSSA's error; nothing where there is nothing to compare."""
    curve, lissa = result.tables["curve"], _rows(result).get("lissa")
    if lissa is None or lissa["status"] == "diverged":
        return ""
    told = []
    for solver in dict.fromkeys(curve["solver"]):
        near = curve[(curve["solver"] == solver) & (curve["error"] <= float(lissa["error"]))]
        if solver != "lissa" and len(near):
            told.append(f"{escape(called(str(solver)))} after {_count(float(near['passes'].iloc[0]))}")
    if not told:
        return ""
    return f" The error that LiSSA ends with: {', '.join(told)} passes."


def _verdict(rows: Mapping[str, Mapping[Any, Any]]) -> str:
    lissa = rows.get("lissa")
    others = {name: row for name, row in rows.items() if name not in ("closed-form", "lissa")}
    if lissa is None or not others:
        return ""
    best = min(others, key=lambda solver: (not float(others[solver]["error"]) <= EXACT, others[solver]["passes"]))
    row = others[best]
    if not float(row["error"]) <= EXACT:
        return "<b>None is exact.</b>"
    if lissa["status"] == "diverged":
        return f"<b>{escape(called(best))} is exact; LiSSA diverges.</b>"
    rank, work = float(lissa["spearman"]), float(lissa["passes"]) / float(row["passes"])
    if float(lissa["error"]) <= EXACT:
        found = "LiSSA is as exact"
    elif rank >= ORDERED:
        found = "LiSSA is not, but has the order of the images"
    elif rank >= ROUGHLY:
        found = "LiSSA is not, and has the order of the images roughly"
    else:
        found = "LiSSA is not, and has not the order of the images either"
    spent = f"with {significant(work, 2)} times the work" if work >= 1 else f"with {significant(work, 2)} of the work"
    return f"<b>{escape(called(best))} is exact; {found}, {spent}.</b>"


def _condition(result: Result) -> str:
    """Where LiSSA converges, with the numbers of this Hessian."""
    known = result.provenance
    scale = float(known["scale"])
    if not math.isfinite(scale):
        return ""
    low, high, image = (float(known[key]) for key in ("lambda_min", "lambda_max", "lambda_max_image"))
    numbers = f"λ_min = {significant(low, 2)}, λ_max = {significant(high, 2)}, 2·scale = {significant(2 * scale, 2)}"
    if high >= 2 * scale:
        return f" LiSSA cannot converge: 0 &lt; λ &lt; 2·scale does not hold ({numbers})."
    left = (1 - low / scale) ** int(result.spec["depth"])
    text = f" In the mean LiSSA converges, as 0 &lt; λ &lt; 2·scale ({numbers})"
    if left > 0.01:
        text += (
            f", but slowly: after {result.spec['depth']} steps {significant(left, 2)} of the slowest part is missing"
        )
    batch = min(int(result.spec["batch"]), int(known["n"]))
    if batch < int(known["n"]) and image / batch > scale:
        text += (
            f". But one image alone has a curvature of {significant(image, 2)}, and in a batch of {batch} it makes a "
            "step overshoot"
        )
    return f"{text}."


def _passes(row: Mapping[Any, Any]) -> str:
    return f"{_count(float(row['passes']))} passes"


def _count(value: float) -> str:
    """Passes: whole numbers as such."""
    return spaced(round(value)) if value >= 100 or value == round(value) else significant(value, 2)


def _rank(value: float) -> str:
    return number(value, 3 if value < 0.9995 else 5)


def _rows(result: Result) -> dict[str, dict[Any, Any]]:
    return {str(row["solver"]): row for row in result.tables["solvers"].to_dict("records")}


def kink(result: Result) -> str:
    """What the smoothed hinge does to the Hessian; nothing for the logistic loss."""
    if result.spec["loss"] != "smoothed-hinge":
        return ""
    known, t = result.provenance, float(result.spec["temperature"])
    return (
        f"At t = {t:g} the loss bends within a few t of the margin 1 only, where ℓ″ reaches 1/(4t) = "
        f"{significant(0.25 / t, 2)}: the Hessian sees {known['images_curved']} of the {spaced(known['n'])} training "
        "images, and elsewhere it is λI. As t falls to 0 the loss becomes the hinge, whose curvature is 0 but at its "
        "kink."
    )


def facts(result: Result) -> str:
    """One line: which model, how well trained, on what, and what it took; HTML."""
    known = result.provenance
    rest = "at rest" if known["converged"] else "not at rest"
    parts = [
        f"{spaced(known['n'])} training images, {known['p']} weights, no bias",
        f"trained by {known['training_steps']} Newton steps until {rest}: ‖∇F‖ = "
        f"{significant(float(known['gradient_norm']), 2)} (at w = 0: "
        f"{significant(float(known['first_gradient_norm']), 2)})",
        f"{significant(float(known['test_accuracy']), 4)} % of {spaced(known['test_images'])} test images right",
    ]
    return " · ".join([*parts, *effort(known)])


def spaced(count: int) -> str:
    """A whole number with thin spaces between the thousands."""
    return f"{count:,}".replace(",", "\u202f")


# --- tables -----------------------------------------------------------------------------------------------------------


def solvers_html(result: Result) -> str:
    """Cost, error and agreement of every solver."""
    table = result.tables["solvers"]
    rows = table.to_dict("records")
    frame = pd.DataFrame(
        {
            "solver": [named(str(row["solver"])) for row in rows],
            "status": [_status(row) for row in rows],
            "iterations": ["–" if row["solver"] in ("closed-form", "direct") else row["iterations"] for row in rows],
            "products": [spaced(int(row["products"])) if row["products"] else "–" for row in rows],
            "passes": [_count(float(row["passes"])) if row["products"] else "–" for row in rows],
            "seconds": [f"{significant(1000 * float(row['seconds']), 2)}" for row in rows],
            "cpu": [f"{significant(1000 * float(row['cpu']), 2)}" for row in rows],
            "error": [significant(float(row["error"]), 2) for row in rows],
            "score_error": [significant(float(row["score_error"]), 2) for row in rows],
            "spearman": [_rank(float(row["spearman"])) for row in rows],
            "kendall": [_rank(float(row["kendall"])) for row in rows],
            "top": [f"{row['top_helpful']} + {row['top_harmful']}" for row in rows],
            "loo": [number(float(row["loo_pearson"]), 4) for row in rows],
        }
    )
    timings = int(result.spec["timings"])
    return html_table(
        frame,
        caption=(
            f"H⁻¹∇ℓ by every solver, against the closed form (XᵀDX/N + λI)⁻¹; times: median of {timings}, solved in "
            "turns, on one thread"
        ),
        titles={
            "iterations": "steps",
            "seconds": "time (ms)",
            "cpu": "processor (ms)",
            "error": "error of H⁻¹∇ℓ",
            "score_error": "error of I",
            "spearman": "Spearman",
            "kendall": "Kendall",
            "top": f"of the first {TOP} + {TOP}",
            "loo": "r, left out",
        },
        formats={"solver": Html},
        row_header="solver",
    )


def _status(row: Mapping[Any, Any]) -> str:
    return {"explicit": "exact", "converged": "converged", "stopped": "steps used up"}.get(
        str(row["status"]), str(row["status"])
    )


def truth_html(result: Result) -> str:
    """The images left out, one by one."""
    table = result.tables["truth"]
    classes = [str(entry) for entry in result.provenance["classes"]]
    solvers = [str(column) for column in table.columns if column in STYLES]
    frame = pd.DataFrame(
        {
            "kind": [KINDS[str(kind)][0] for kind in table["kind"]],
            "train_index": table["train_index"].tolist(),
            "label": [name(classes, int(place)) for place in table["label"]],
            "actual": [_signed(value) for value in table["actual"]],
            "predicted": [_signed(value) for value in table["predicted"]],
            **{solver: [_signed(value) for value in table[solver]] for solver in solvers},
        }
    )
    return html_table(
        frame,
        caption="Change of the test loss without one training image: trained again, and predicted by each solver",
        titles={
            "kind": "chosen as",
            "train_index": "training image",
            "label": "class",
            "actual": "trained again",
            "predicted": "closed form",
            **{solver: called(solver) for solver in solvers},
        },
    )


def scores_html(result: Result, solver: str) -> str:
    """The shown images by one solver as a table."""
    shown = result.tables["shown"]
    rows = shown[shown["ranking"] == solver]
    classes = [str(entry) for entry in result.provenance["classes"]]
    heads = dict(zip(("for", "against"), attribution.INFLUENCE_SIDES[:2], strict=True))
    frame = pd.DataFrame(
        {
            "side": [heads[str(side)] for side in rows["side"]],
            "train_index": rows["train_index"].tolist(),
            "label": [name(classes, int(place)) for place in rows["label"]],
            "loss": [significant(float(value)) for value in rows["loss"]],
            "influence": [_signed(-float(value) * int(result.provenance["n"])) for value in rows["score"]],
            "score": [_signed(float(value)) for value in rows["score"]],
        }
    )
    titles = {"train_index": "training image", "label": "class", "loss": "own loss", "influence": "I", "score": "−I/N"}
    return html_table(frame, caption=f"By {called(solver)}: {attribution.INFLUENCE_SIDES[2]}", titles=titles)


def pictures_html(result: Result, solver: str) -> str:
    """Both sides by one solver as pictures, for exports."""
    classes = [str(entry) for entry in result.provenance["classes"]]
    return attribution.tiles_html(content(result.tables, classes), solver)


def summary(result: Result) -> pd.DataFrame:
    """The rows that a terminal shows: the solvers."""
    table = result.tables["solvers"]
    return pd.DataFrame(
        {
            "solver": [called(str(solver)) for solver in table["solver"]],
            "status": table["status"],
            "passes": table["passes"],
            "seconds": table["seconds"],
            "error": table["error"],
            "Spearman": table["spearman"],
            "Kendall": table["kendall"],
            f"of {TOP} + {TOP}": table["top_helpful"] + table["top_harmful"],
            "r, left out": table["loo_pearson"],
        }
    )


def figures(result: Result) -> list[go.Figure]:
    """The curves and the scatter as plotly figures, for exports."""
    tables = result.tables
    drawn = [to_plotly(curves(tables["curve"], tables["solvers"]), height=420)]
    return [*drawn, scatter(result)] if len(tables["truth"]) else drawn
