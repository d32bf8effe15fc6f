"""Pictures, tables and words of the backdoor: pure functions of the result's tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

from gif_dash import published
from gif_dash.figures.chart import Axis, Chart, Level, Line, Mark, Quantity, nearest, to_plotly
from gif_dash.figures.removal import REFERENCES, S_MIN, best_scalar, methods_of, rows_of
from gif_dash.figures.removal import layers as layers_figure
from gif_dash.figures.removal_words import retraining_lands as removal_lands
from gif_dash.figures.tables import Html, clipped, html_table, number, significant
from gif_dash.figures.theme import Style, label, style, swatch
from gif_dash.results import Result

if TYPE_CHECKING:
    import plotly.graph_objects as go

#: What is measured, in this order: column → title.
MEASURES = {
    "attack_success": "Trigger, corrupt label",
    "triggered_accuracy": "Trigger, right label",
    "clean_accuracy": "No trigger, right label",
}
NAMES = {"original": "corrupted network"}
FLOOR = "share of true pictures of the corrupt label"
#: Differences of less than so many standard errors are called none.
SURE = 2.0


def name(method: str) -> str:
    """What people read instead of a row's name."""
    return NAMES.get(method) or label(method)


def named(method: str) -> Html:
    """Swatch and name of a row as HTML."""
    return Html(f'{swatch(method)}<span class="gd-method">{escape(name(method))}</span>')


def curves(sweep: pd.DataFrame, spec: Mapping[str, Any], floor: float = math.nan) -> Chart:
    """Accuracies against the influence scalar (Fig. 5 of the GIF paper).

    Args:
        sweep: the table of that name, complete or partial; may be empty.
        spec: the question, for the largest scalar.
        floor: share of the test pictures whose right label is the corrupt one, in percent.

    Returns:
        A chart with one line per method (s = 0 is the corrupted network), the other networks as levels, and marks at
        s = 1 and at every method's best s.
    """
    origin = rows_of(sweep, "original")
    methods = [method for method in methods_of(sweep) if method not in REFERENCES]
    percent = Axis("%", "linear", -3.0, 103.0)
    quantities = (
        Quantity(
            "attack_success", MEASURES["attack_success"], "%", 1, percent, "attack success: the lower, the better"
        ),
        Quantity("triggered_accuracy", MEASURES["triggered_accuracy"], "%", 1, percent, "repaired"),
        Quantity("clean_accuracy", MEASURES["clean_accuracy"], "%", 1, percent, "kept"),
        Quantity("score", "Score", "", 3, Axis("score", "linear", -0.03, 1.03), "harmonic mean of the last two"),
    )
    levels = [_level(rows_of(sweep, method), method) for method in REFERENCES if len(rows_of(sweep, method))]
    if math.isfinite(floor):
        levels.append(Level("floor", FLOOR, FLOOR_STYLE, {"attack_success": floor}))
    best = {method: found for method in methods if (found := best_scalar(sweep, method)) is not None}
    marks = [Mark(1.0, "s = 1: the method's own prediction")]
    marks += [Mark(s, f"best s of {label(method)}: {significant(s)}", style(method)) for method, s in best.items()]
    return Chart(
        title="Accuracies against the influence scalar",
        x=Axis("influence scalar s", "zero-log", S_MIN, float(spec["s_max"])),
        quantities=quantities,
        lines=tuple(_line(rows_of(sweep, method), method, origin) for method in methods),
        levels=tuple(levels),
        marks=tuple(marks),
        symbol="s",
    )


FLOOR_STYLE = Style("#8a6d3b", "#c9a86a", "dashdot", "", 1.5)
_KEYS = (*MEASURES, "score")


def _line(rows: pd.DataFrame, method: str, origin: pd.DataFrame) -> Line:
    """One method's curve; where s was measured on a sample and on all pictures, all pictures count."""
    exact = rows.assign(_marked=rows["mark"] != "").sort_values(["scalar", "_marked"], kind="stable")
    points = exact.drop_duplicates("scalar", keep="last")
    points = pd.concat([origin.head(1).assign(scalar=0.0), points]) if len(origin) else points
    values = {key: tuple(float(value) for value in points[key]) for key in _KEYS}
    return Line(method, label(method), style(method), tuple(float(s) for s in points["scalar"]), values)


def _level(rows: pd.DataFrame, method: str) -> Level:
    return Level(method, name(method), style(method), {key: float(rows[key].mean()) for key in _KEYS})


# --- tables ---------------------------------------------------------------------------------------------------------

PLACES = {"best": "best s", "one": "s = 1", "": ""}


def scores(result: Result) -> pd.DataFrame:
    """The best and the s = 1 row of every method, and the other networks.

    Columns: method, where ("best s", "s = 1" or ""), scalar, the three accuracies in percent and the score (0 … 1),
    each with its standard error (``…_se``), hvps, seconds (of the solve), images.
    """
    sweep, solves = result.tables["sweep"], result.tables["solves"].set_index("method")
    kept = sweep[(sweep["mark"] != "") | sweep["scalar"].isna()]
    order = {"best": 0, "one": 1, "": 2}
    frame = kept.assign(_place=kept["mark"].map(order)).sort_values("_place", kind="stable")
    return pd.DataFrame(
        {
            "method": frame["method"],
            "where": frame["mark"].map(PLACES),
            "scalar": frame["scalar"],
            **{key: frame[key] for measure in _KEYS for key in (measure, f"{measure}_se")},
            "hvps": frame["method"].map(solves["hvps"]),
            "seconds": frame["method"].map(solves["seconds"]),
            "images": frame["images"],
        }
    ).reset_index(drop=True)


def scores_html(result: Result) -> str:
    """`scores` as an HTML table, and the published one beside it."""
    frame = scores(result)
    shown = pd.DataFrame(
        {
            "method": frame["method"],
            "where": frame["where"],
            "scalar": frame["scalar"],
            **{
                key: [_with_error(*pair, 1) for pair in zip(frame[key], frame[f"{key}_se"], strict=True)]
                for key in MEASURES
            },
            "score": [_with_error(*pair, 3) for pair in zip(frame["score"], frame["score_se"], strict=True)],
            "hvps": frame["hvps"],
            "seconds": frame["seconds"],
        }
    )
    ours = html_table(
        shown,
        caption=f"Measured here, on {_images(result)}; ± one standard error",
        row_header="method",
        titles={
            "method": "",
            "where": "",
            "scalar": "s",
            **{key: f"{title}, %" for key, title in MEASURES.items()},
            "score": "Score",
            "hvps": "HVPs",
            "seconds": "Solve, s",
        },
        formats={
            "method": named,
            "scalar": significant,
            "hvps": lambda value: number(value, 0),
            "seconds": lambda value: number(value, 2),
        },
    )
    return f'{ours}<div style="margin-top:18px">{published_html()}</div>'


def _with_error(value: float, error: float, decimals: int) -> str:
    if not math.isfinite(error):
        return number(value, decimals)
    small = 10**-decimals
    return f"{number(value, decimals)} " + (f"± {number(error, decimals)}" if error >= small / 2 else f"± <{small:g}")


def published_html() -> str:
    """The published table; its score is computed here from the published means."""
    frame = pd.DataFrame(
        [
            {
                "method": method,
                **{
                    key: number(mean, 1 if deviation is not None or mean < 99 else 2)
                    + ("" if deviation is None else f" ± {number(deviation, 1)}")
                    for key, (mean, deviation) in zip(MEASURES, cells, strict=True)
                },
                "score": number(2 * cells[1][0] * cells[2][0] / (cells[1][0] + cells[2][0]) / 100),
            }
            for method, cells in published.BACKDOOR.items()
        ]
    )
    return html_table(
        frame,
        caption=f"As published ({published.BACKDOOR_SETTING}; ± one standard deviation; score from these means)",
        row_header="method",
        titles={"method": "", **{key: f"{title}, %" for key, title in MEASURES.items()}, "score": "Score"},
        formats={"method": named},
    )


def _images(result: Result) -> str:
    images = int(rows_of(result.tables["sweep"], "original")["images"].iloc[0])
    if result.spec["report"] == "whole":
        return f"all {images:,} test pictures, on which the best s was chosen too (as published)"
    return f"the {images:,} test pictures that had no part in choosing the best s"


def points_html(sweep: pd.DataFrame) -> str:
    """Every measured network as an HTML table."""
    columns = ["method", "scalar", "mark", *_KEYS, "triggered_loss", "clean_loss", "choice_score", "images"]
    return html_table(
        sweep[columns],
        caption="All computed points",
        row_header="method",
        titles={
            "method": "Network",
            "scalar": "s",
            "mark": "Mark",
            **{key: f"{title}, %" for key, title in MEASURES.items()},
            "score": "Score",
            "triggered_loss": "Loss with trigger",
            "clean_loss": "Loss without",
            "choice_score": "Score that chooses s",
            "images": "Test pictures",
        },
        formats={"method": name, "mark": lambda mark: {"one": "s = 1", "best": "best"}.get(mark, "")},
    )


# --- pictures -------------------------------------------------------------------------------------------------------

KEY = "✓ right · ⚑ the corrupt label, where it is wrong · ✗ another wrong answer"


def answers(result: Result) -> dict[str, Any]:
    """The shown pictures and what every network says to them, as plain values for the page.

    Returns:
        title, key, classes (names by position), target (position of the corrupt label), pictures (label, clean,
        triggered), and networks: name (HTML), scalars (n, one 0 for a network that has no s), clean and triggered
        (n lists of the predicted position by picture).
    """
    said, pictures = result.tables["answers"], result.tables["pictures"]
    rows = said.assign(scalar=said["scalar"].fillna(0.0))
    origin = rows[rows["method"] == "original"]
    order = ["original", *(m for m in methods_of(said) if m not in REFERENCES), "retrain", "retrain_warm"]
    networks = []
    for method in order:
        own = rows[rows["method"] == method]
        if not len(own):
            continue
        if method not in REFERENCES:
            own = pd.concat([origin, own])  # s = 0
        own = own.drop_duplicates(["scalar", "triggered", "picture"])
        table = own.pivot(index=["triggered", "scalar"], columns="picture", values="predicted")
        networks.append(
            {
                "method": method,
                "name": named(method),
                "scalars": [float(s) for s in table.loc[False].index],
                "clean": table.loc[False].to_numpy().tolist(),
                "triggered": table.loc[True].to_numpy().tolist(),
            }
        )
    return {
        "title": "Test pictures, and what the networks say to them at the marker's s",
        "key": KEY,
        "classes": [str(entry) for entry in result.provenance["classes"]],
        "target": int(result.spec["target"]),
        "pictures": pictures[["label", "clean", "triggered"]].to_dict("records"),
        "networks": networks,
    }


def answers_html(result: Result) -> str:
    """`answers` at every method's best s as a plain table, for exports."""
    content = answers(result)
    names, target, sweep = content["classes"], content["target"], result.tables["sweep"]
    columns = {str(place): picture for place, picture in enumerate(content["pictures"])}
    rows = []
    for kind, title in (("clean", "without trigger"), ("triggered", "with trigger")):
        rows.append({"": title, **{key: _image(picture[kind]) for key, picture in columns.items()}})
        for network in content["networks"]:
            method = network["method"]
            best = best_scalar(sweep, method)
            place = 0 if best is None else nearest(network["scalars"], best)
            at = "" if best is None else f", s = {significant(network['scalars'][place])}"
            said = dict(zip(columns, network[kind][place], strict=True))
            rows.append(
                {
                    "": name(method) + at,
                    **{key: _mark(names, said[key], columns[key]["label"], target) for key in columns},
                }
            )
    titles = {key: names[picture["label"]] for key, picture in columns.items()}
    caption = f"Test pictures and what the networks say ({KEY})"
    return html_table(
        pd.DataFrame(rows),
        caption=caption,
        row_header="",
        titles=titles,
        formats=dict.fromkeys(columns, lambda cell: cell),
    )


def _image(url: str) -> Html:
    return Html(f'<img src="{escape(url)}" width="48" height="48" alt="" style="image-rendering:pixelated">')


def _mark(names: Sequence[str], said: int, label: int, target: int) -> str:
    sign = "✓" if said == label else "⚑" if said == target else "✗"
    return f"{names[said] if 0 <= said < len(names) else 'not finite'} {sign}"


# --- words ----------------------------------------------------------------------------------------------------------


def attack(result: Result) -> str:
    """Whether the attack worked, in a sentence of HTML."""
    origin = rows_of(result.tables["sweep"], "original").iloc[0]
    known, spec = result.provenance, result.spec
    fooled, floor = float(origin["attack_success"]), float(known.get("floor", math.nan))
    verdict = (
        "The backdoor works" if fooled - floor > 50 else "The backdoor works in part" if fooled - floor > 10
        else "The backdoor was not learned: raise the strength or the share"
    )  # fmt: skip
    return (
        f"<b>{verdict}.</b> Trained with {known['m']:,} of {known['n']:,} pictures corrupted (trigger: "
        f"{escape(label(str(spec['pattern'])))}, +{spec['strength']:g} grey levels), the network calls "
        f"{_percent(fooled)} of the triggered test pictures {clipped(str(known['target']))}; {_percent(floor)} really "
        f"show it, so no repair should go below that. Without the trigger it is right on "
        f"{_percent(origin['clean_accuracy'])}."
    )


def good_edit(result: Result) -> str:
    """ "Is this a good edit?" in a few sentences of HTML; no difference within two standard errors is called one."""
    sweep = result.tables["sweep"]
    best = {
        str(row["method"]): row for _, row in sweep[sweep["mark"] == "best"].iterrows() if math.isfinite(row["score"])
    }
    if not best:
        return "<b>Cannot be said:</b> no method has a best s with a finite score."
    truth = rows_of(sweep, "retrain")
    kind = "Retraining"
    if not len(truth):
        truth, kind = rows_of(sweep, "retrain_warm"), "Warm-started retraining (there is no cold one)"
    ranked = sorted(best, key=lambda method: -best[method]["score"])
    told = "; ".join(_measured(method, row) for method, row in best.items())
    chosen = "the same test pictures, as published" if result.spec["report"] == "whole" else "other test pictures"
    aim = f" {kind}: {_accuracies(truth.iloc[0])}." if len(truth) else ""
    verdict = _verdict(best[ranked[0]], truth, rows_of(sweep, "original"))
    return (
        f"<b>{verdict}</b> At the best s, chosen on {chosen}, right with and without the trigger: {told}.{aim} "
        f"{_order(best, ranked)}{_at_one(sweep)}"
    )


def _measured(method: str, row: Any) -> str:
    return f"{escape(label(method))} (s = {significant(float(row['scalar']))}) {_accuracies(row)}"


def _accuracies(row: Any) -> str:
    return (
        f"{_percent(row['triggered_accuracy'])} and {_percent(row['clean_accuracy'])}, score "
        f"{_with_error(row['score'], row['score_se'], 3)}"
    )


def _verdict(row: Any, truth: pd.DataFrame, origin: pd.DataFrame) -> str:
    if len(origin) and not _surely_above(row, origin.iloc[0]):
        return "No: no better than the corrupted network, within the errors."
    if not len(truth):
        return "Better than the corrupted network; there is no retraining to compare with."
    other = truth.iloc[0]
    if _surely_above(other, row):
        gap, error = other["score"] - row["score"], math.hypot(other["score_se"], row["score_se"])
        return f"Repaired, but short of retraining: by {_with_error(gap, error, 3)} in score, for the best method."
    if _surely_above(row, other):
        return "Yes: by this score above retraining, by more than the errors."
    return "Yes: within the errors as good as retraining, by this score."


def _surely_above(one: Any, other: Any) -> bool:
    return bool(one["score"] - other["score"] > SURE * math.hypot(one["score_se"], other["score_se"]))


def _order(best: Mapping[str, Any], ranked: Sequence[str]) -> str:
    """Which methods the best one is surely ahead of."""
    if len(ranked) < 2:
        return ""
    first = ranked[0]
    behind = [method for method in ranked[1:] if _surely_above(best[first], best[method])]
    alike = [method for method in ranked[1:] if method not in behind]
    if not behind:
        return "Within the errors the methods are alike."
    words = f"{escape(label(first))} is ahead of {_list(behind)} by more than the errors"
    return words + (f", and level with {_list(alike)}." if alike else ".")


def _list(methods: Sequence[str]) -> str:
    *some, last = [escape(label(method)) for method in methods]
    return f"{', '.join(some)} and {last}" if some else last


def _at_one(sweep: pd.DataFrame) -> str:
    rows = sweep[sweep["mark"] == "one"]
    told = ", ".join(f"{escape(label(str(row['method'])))} {number(row['score'])}" for _, row in rows.iterrows())
    return f" At s = 1, the methods' own prediction, the scores are {told}." if told else ""


def retraining_lands(result: Result) -> str:
    """ "Is this where retraining would land?" in a few sentences of HTML, from residuals, ρ(s) and distances."""
    said = removal_lands(result)
    if result.spec["repair"] == "relabelling":
        said = said.replace("the loss on what stays", "the loss on the relabelled data")
    return said.replace("forgetting by one step", "repair by one step").replace("the step that forgets", "the repair")


def oddities(result: Result) -> list[str]:
    """Sentences about what the plot cannot show."""
    said = []
    if missing := result.provenance.get("incomplete"):
        said.append(f"Missing: {escape(str(missing))}.")
    for _, row in result.tables["solves"].iterrows():
        if "does not hold" in str(row["message"]):
            said.append(f"{escape(label(row['method']))}: {escape(str(row['message']))}.")
    said += [f"{escape(str(note)[:1].upper() + str(note)[1:])}." for note in result.provenance.get("deviations", ())]
    if note := result.provenance.get("data_note"):
        said.append(escape(str(note)))
    return said


def _percent(value: float) -> str:
    return f"{number(float(value), 1)} %"


def figures(result: Result, *, dark: bool = False) -> list[go.Figure]:
    """The curves and the layers as plotly figures, for exports and notebooks."""
    chart = curves(result.tables["sweep"], result.spec, result.provenance.get("floor", math.nan))
    return [to_plotly(chart, dark=dark), layers_figure(result, dark=dark)]


# --- terminal -------------------------------------------------------------------------------------------------------

#: What a terminal shows: column of the table → heading.
SUMMARY = {
    "method": "method",
    "mark": "row",
    "scalar": "s",
    "attack_success": "corrupt label %",
    "triggered_accuracy": "right label %",
    "clean_accuracy": "clean %",
    "score": "score",
    "hvps": "HVPs",
    "seconds": "solve s",
}


def summary(result: Result) -> pd.DataFrame:
    """The rows one looks at first: each method at s = 1 and at its best s, and the other networks."""
    frame = result.table
    frame = frame[frame["mark"].isin(("best", "one")) | frame["scalar"].isna()]
    frame = frame.merge(result.tables["solves"][["method", "hvps", "seconds"]], on="method", how="left")
    frame = frame.assign(
        mark=frame["mark"].map({"": "", "one": "s = 1", "best": "best"}), method=frame["method"].map(name)
    )
    return frame[list(SUMMARY)].rename(columns=SUMMARY)
