"""Past runs, alone and two side by side: pure functions of results and their questions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any, TypeVar

import pandas as pd

from gif_dash import catalog
from gif_dash.figures.chart import Chart, Level, Line, Mark, Quantity, hold
from gif_dash.figures.removal import REFERENCES, curves
from gif_dash.figures.tables import duration, html_table, number, significant
from gif_dash.figures.theme import Style, label, named
from gif_dash.figures.toy import chart as toy_chart
from gif_dash.results import Result
from gif_dash.specs import LABELS, Spec
from gif_dash.spelling import is_list

#: More classes than this are counted, not listed.
MANY = 4

Item = TypeVar("Item", Line, Level)


@dataclass(frozen=True)
class Chip:
    """One thing that a run was asked, in a word or two.

    Attributes:
        text: for example "MR 30 %".
        note: the setting's title, the value and the default, in full.
    """

    text: str
    note: str


# --- what was asked ---------------------------------------------------------------------------------------------------


def chips(spec: Mapping[str, Any], classes: Sequence[str] = ()) -> list[Chip]:
    """What a run was asked, as far as it differs from the defaults; what is forgotten is always said.

    Args:
        spec: as in `Result.spec`, perhaps of an older version of gif_dash.
        classes: names by position, where they are known.
    """
    kind = _kind(spec)
    if kind is None:
        return []
    defaults = kind().model_dump(mode="json")
    found = []
    for name in sorted(spec, key=lambda name: list(kind.model_fields).index(name) if name in defaults else math.inf):
        value = spec[name]
        if name in ("experiment", "scenario") or (name == "forget_classes" and spec.get("forget_indices")):
            continue
        if name not in defaults:
            found.append(Chip(f"{name} {value}", f"{name}: {value}; there is no such setting any more"))
        elif name == "forget_classes" or value != defaults[name]:
            title, full = _title(kind, name), spell(spec, name, classes)
            default = spell({**spec, name: defaults[name]}, name, classes)
            note = f"{title}: {full}" + ("" if name == "forget_classes" else f" (default: {default or 'none'})")
            found.append(Chip(_short(kind, name, value, full), note))
    return found


def spell(spec: Mapping[str, Any], name: str, classes: Sequence[str] = ()) -> str:
    """The value of a setting as people read it."""
    kind, value = _kind(spec), spec[name]
    if isinstance(value, (list, tuple)):
        if name == "forget_classes":
            return ", ".join(classes[item] if item < len(classes) else str(item) for item in value)
        return ", ".join(LABELS.get(str(item), str(item)) for item in value)
    if kind is None or name not in kind.model_fields:
        return str(value)
    text = repr(value).removesuffix(".0") if isinstance(value, float) else LABELS.get(str(value), str(value))
    unit = _schema(kind, name).get("unit", "")
    return f"{text} {unit}" if unit else text


def _short(kind: type[Spec], name: str, value: Any, full: str) -> str:
    if name == "forget_classes":
        if len(value) > MANY:
            return f"{len(value)} classes"
        return f"{'class' if len(value) == 1 else 'classes'} {full}"
    if name == "forget_indices":
        return f"{len(value)} example{'' if len(value) == 1 else 's'}"
    schema = _schema(kind, name)
    if is_list(kind, name):
        return full
    if "enum" in schema and not schema.get("advanced"):
        return full
    return f"{_title(kind, name)}{':' if 'enum' in schema else ''} {full}"


def questions(a: Mapping[str, Any], b: Mapping[str, Any], classes: Sequence[str] = ()) -> pd.DataFrame:
    """What was asked differently: columns setting, a, b; one row for every setting that differs.

    A setting that one of the two does not have (it is of another experiment or an older version) is left blank there.
    """
    names = dict.fromkeys([*a, *b])
    rows = []
    for name in names:
        if name in a and name in b and a[name] == b[name]:
            continue
        kind = _kind(a if name in a else b)
        title = "Experiment" if name == "experiment" else _title(kind, name) if kind is not None else name
        told = [_experiment(spec) if name == "experiment" else _spelled(spec, name, classes) for spec in (a, b)]
        rows.append({"setting": title, "a": told[0], "b": told[1]})
    return pd.DataFrame(rows, columns=["setting", "a", "b"])


def _spelled(spec: Mapping[str, Any], name: str, classes: Sequence[str]) -> str:
    if name not in spec:
        return ""
    text = spell(spec, name, classes) or "none"
    return text if len(text) <= 200 else f"{len(spec[name])} values"


def _experiment(spec: Mapping[str, Any]) -> str:
    entry = catalog.EXPERIMENTS.get(str(spec["experiment"]))
    return entry.title if entry is not None else str(spec["experiment"])


def _kind(spec: Mapping[str, Any]) -> type[Spec] | None:
    entry = catalog.EXPERIMENTS.get(str(spec["experiment"]))
    return None if entry is None else catalog.resolve(entry.spec)


def _schema(kind: type[Spec], name: str) -> dict[str, Any]:
    if kind not in _schemas:
        _schemas[kind] = kind.model_json_schema()["properties"]
    found: dict[str, Any] = _schemas[kind].get(name, {})
    return found


_schemas: dict[type[Spec], dict[str, Any]] = {}


def _title(kind: type[Spec], name: str) -> str:
    return kind.model_fields[name].title or name if name in kind.model_fields else name


#: Experiments whose runs are compared number by number.
COMPARED = ("removal", "toy")

# --- numbers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measure:
    """A number that runs are compared by; `decimals` is None for one that needs significant digits."""

    key: str
    title: str
    decimals: int | None = None


SCORES = (
    Measure("score", "Score", 3),
    Measure("self_accuracy", "Self accuracy, %", 1),
    Measure("test_accuracy", "Test accuracy, %", 1),
    Measure("scalar", "s"),
)
COSTS = (Measure("hvps", "HVPs", 0), Measure("seconds", "Solve, s", 2))
ENDS = (
    Measure("distance_plane", "Distance to retraining, target weights"),
    Measure("distance_full", "… all weights"),
    Measure("loss", "Loss"),
    Measure("gradient_norm", "Size of the gradient"),
)

_MARKS = {"best": "best s", "one": "s = 1", "": ""}


def best_scores(sweep: Mapping[str, Sequence[Any]]) -> dict[str, float]:
    """Score at the best s by method.

    Args:
        sweep: columns of the table of that name; may be empty.
    """
    if not {"method", "mark", "score"} <= sweep.keys():
        return {}
    rows = zip(sweep["method"], sweep["mark"], sweep["score"], strict=True)
    return {method: float(score) for method, mark, score in rows if mark == "best" and score is not None}


def numbers(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The numbers by which a run is judged.

    Args:
        tables: of a result: "sweep" and "solves" of a removal, or "steps" of the toy. Others give no numbers.

    Returns:
        Columns method, mark ("best", "one" or ""), quantity, value; one row per number. References trained with several
        seeds are averaged; they and the original model have no s. Costs of a solve have the mark "".
    """
    rows: list[tuple[str, str, str, float]] = []
    if "sweep" in tables:
        sweep = tables["sweep"]
        told = sweep[(sweep["mark"] != "") | sweep["method"].isin(REFERENCES)]
        keys = [measure.key for measure in SCORES if measure.key in told]
        for (method, mark), group in told.groupby(["method", "mark"], sort=False):
            means = {key: float(group[key].mean()) for key in keys}
            rows += [(str(method), str(mark), *item) for item in means.items() if item[0] != "scalar" or mark]
    if "solves" in tables:
        for _, row in tables["solves"].iterrows():
            rows += [(str(row["method"]), "", measure.key, float(row[measure.key])) for measure in COSTS]
    if "steps" in tables:
        steps = tables["steps"]
        for _, row in steps[steps["mark"] == "one"].iterrows():
            rows += [(str(row["method"]), "one", measure.key, float(row[measure.key])) for measure in ENDS]
    return pd.DataFrame(rows, columns=["method", "mark", "quantity", "value"])


def differences(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """Two runs' `numbers` side by side.

    Returns:
        Columns method, mark, quantity, a, b, difference (b − a); NaN where a run has no such number. Methods in the
        order of `LABELS`, then mark best before one.
    """
    keys = ["method", "mark", "quantity"]
    left, right = a.rename(columns={"value": "a"}), b.rename(columns={"value": "b"})
    both = left.merge(right, on=keys, how="outer", sort=False)
    both["difference"] = both["b"] - both["a"]
    methods, marks = list(LABELS), list(_MARKS)
    quantities = [measure.key for measure in (*SCORES, *COSTS, *ENDS)]
    places = {
        "method": lambda name: methods.index(name) if name in methods else len(methods),
        "mark": marks.index,
        "quantity": quantities.index,
    }
    order = pd.DataFrame({key: both[key].map(place) for key, place in places.items()})
    ordered: pd.DataFrame = both.loc[order.sort_values(keys, kind="stable").index]
    return ordered.reset_index(drop=True)


def signed(value: float, decimals: int | None) -> str:
    """A difference with its sign; nothing that rounds to zero looks like a difference of a certain size."""
    if math.isnan(value):
        return "–"
    if value == 0:
        return "0"
    text = significant(abs(value)) if decimals is None else number(abs(value), decimals)
    return ("+" if value > 0 else "−") + text


def differences_html(table: pd.DataFrame, measures: Sequence[Measure], *, caption: str) -> str:
    """`differences` for some measures: a row per method and mark, three columns per measure.

    Empty if no measure has a difference: then the two runs have no numbers in common.
    """
    wanted = table[table["quantity"].isin([measure.key for measure in measures])]
    if not wanted["difference"].notna().any():
        return ""
    shown = [measure for measure in measures if (wanted["quantity"] == measure.key).any()]
    top = "".join(
        f'<th scope="colgroup" colspan="3" class="gd-group">{escape(measure.title)}</th>' for measure in shown
    )
    heads = "".join(f'<th scope="col" class="gd-num{css}">{text}</th>' for _ in shown for text, css in _HEADS)
    body = []
    for (method, mark), group in wanted.groupby(["method", "mark"], sort=False):
        found = group.set_index("quantity")
        cells = "".join(_three(found, measure) for measure in shown)
        where = _MARKS.get(str(mark), str(mark))
        body.append(f'<tr><th scope="row">{named(str(method))}</th><td>{escape(where)}</td>{cells}</tr>')
    return (
        f'<div class="gd-scroll" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f'<table class="gd-table gd-compared"><caption>{escape(caption)}</caption>'
        f'<thead><tr><td colspan="2"></td>{top}</tr><tr><th scope="col">Method</th><th scope="col">At</th>{heads}</tr>'
        f"</thead><tbody>{''.join(body)}</tbody></table></div>"
    )


_HEADS = (("A", " gd-first"), ("B", ""), ("B − A", ""))


def _three(found: pd.DataFrame, measure: Measure) -> str:
    if measure.key not in found.index:
        return '<td class="gd-num gd-first">–</td>' + '<td class="gd-num">–</td>' * 2
    a, b, change = (float(found[name][measure.key]) for name in ("a", "b", "difference"))
    told = [significant(value) if measure.decimals is None else number(value, measure.decimals) for value in (a, b)]
    return (
        f'<td class="gd-num gd-first">{told[0]}</td><td class="gd-num">{told[1]}</td>'
        f'<td class="gd-num gd-change{" gd-same" if not change > 0 and not change < 0 else ""}">'
        f"{signed(change, measure.decimals)}</td>"
    )


def numbers_html(table: pd.DataFrame, *, caption: str) -> str:
    """`numbers` of one run as an HTML table, one column per quantity."""
    measures = [measure for measure in (*SCORES, *COSTS, *ENDS) if (table["quantity"] == measure.key).any()]
    wide = table.pivot_table(index=["method", "mark"], columns="quantity", values="value", sort=False).reset_index()
    wide["mark"] = wide["mark"].map(_MARKS)
    return html_table(
        wide[["method", "mark", *(measure.key for measure in measures)]],
        caption=caption,
        row_header="method",
        titles={"method": "", "mark": "", **{measure.key: measure.title for measure in measures}},
        formats={"method": label},
    )


def summary_html(result: Result, *, caption: str) -> str:
    """What one looks at first, of experiments whose numbers are not a removal's, as an HTML table."""
    return _frame_html(result.summary(), caption)


def summaries(a: Result, b: Result) -> pd.DataFrame | None:
    """B − A of two summaries in all numbers, beside the words that name the rows; None if their rows are not the same.

    The numbers that name rows, too (an MR, an α), differ by nothing and are shown as they are.
    """
    left, right = a.summary().reset_index(drop=True), b.summary().reset_index(drop=True)
    if list(left.columns) != list(right.columns) or len(left) != len(right):
        return None
    numeric = [name for name in left if pd.api.types.is_numeric_dtype(left[name])]
    words = [name for name in left if name not in numeric]
    if not left[words].equals(right[words]):
        return None
    same = [name for name in numeric if left[name].equals(right[name])]
    shown = left[[*words, *same]].copy()
    for name in numeric:
        if name not in same:
            shown[f"{name}, B − A"] = right[name] - left[name]
    return shown


def _frame_html(frame: pd.DataFrame, caption: str) -> str:
    def told(value: Any) -> str:
        return significant(value, 4) if isinstance(value, float) else LABELS.get(str(value), str(value))

    formats = {str(name): told for name in frame.columns}
    return html_table(frame, caption=caption, formats=formats, limit=200)


def summaries_html(a: Result, b: Result) -> str:
    """Both summaries below one another, and before them what differs, where their rows are the same."""
    parts = [_frame_html(frame, "Differences, B − A")] if (frame := summaries(a, b)) is not None else []
    parts += [summary_html(result, caption=name) for name, result in (("A", a), ("B", b))]
    return "".join(parts)


# --- where numbers come from ------------------------------------------------------------------------------------------


def origin(provenance: Mapping[str, Any], *, code: str, older: bool, fingerprint: str) -> dict[str, str]:
    """Where a run's numbers come from, in words.

    Args:
        provenance: of the result.
        code: hash of the code that computed it.
        older: whether today's code is another.
        fingerprint: of the scenario's network and data; empty where there is none.
    """
    told = {"Device": str(provenance.get("device", ""))}
    for name, version in dict(provenance.get("versions", {})).items():
        told["Python" if name == "python" else str(name)] = str(version)
    told["Code"] = f"{code[:8]} ({'older' if older else 'as it is now'})"
    told["Network and data"] = fingerprint[:8]
    told["Note on the data"] = str(provenance.get("data_note", ""))
    told["Missing"] = str(provenance.get("incomplete", ""))
    for title, part, whole in (("Parameters that may change", "k", "p"), ("Examples removed", "m", "n")):
        if part in provenance and whole in provenance:
            told[title] = f"{provenance[part]:,} of {provenance[whole]:,}".replace(",", "\u202f")
    if "hvps" in provenance:
        told["HVPs in all"] = str(provenance["hvps"])
    if "seconds" in provenance:
        told["Time in all"] = duration(float(provenance["seconds"]))
    if "created" in provenance:
        told["Computed"] = str(provenance["created"])[:16].replace("T", " ") + " UTC"
    return told


def origins(a: Mapping[str, str], b: Mapping[str, str]) -> pd.DataFrame:
    """Where two runs' `origin` differs: columns what, a, b."""
    rows = [
        {"what": what, "a": a.get(what, "") or "–", "b": b.get(what, "") or "–"}
        for what in dict.fromkeys([*a, *b])
        if a.get(what, "") != b.get(what, "")
    ]
    return pd.DataFrame(rows, columns=["what", "a", "b"])


def caveats(a: Result, b: Result, *, same_data: bool) -> list[str]:
    """Sentences about what keeps the numbers of two runs from being compared.

    Args:
        same_data: whether the scenarios' fingerprints (network and data) are equal.
    """
    if a.experiment != b.experiment:
        return [
            f"A is {_experiment(a.spec)}, B is {_experiment(b.spec)}: there are no numbers that both have, "
            "and no curves to lay over each other."
        ]
    if "scenario" not in a.spec:  # the toy, the line
        return []
    if a.spec["scenario"] != b.spec["scenario"]:
        return ["A and B are of different scenarios: their scores are of different networks and of different data."]
    said = []
    if not same_data:
        said.append("The scenario's network or data changed between A and B: the scores are not of the same model.")
    if any(a.spec.get(name) != b.spec.get(name) for name in ("forget_classes", "forget_indices")):
        said.append("A and B forget different examples: each has its own self accuracy and its own score.")
    if a.spec.get("report") != b.spec.get("report"):
        said.append("A and B choose the best s in different ways: their scores are measured on different test images.")
    return said


def pair_html(table: pd.DataFrame, *, caption: str, title: str) -> str:
    """`questions` or `origins` as an HTML table; one sentence if nothing differs."""
    if not len(table):
        return f"<p><b>{escape(caption)}</b>: nothing.</p>"
    first = str(table.columns[0])
    return html_table(table, caption=caption, row_header=first, titles={first: title, "a": "A", "b": "B"})


# --- curves -----------------------------------------------------------------------------------------------------------


def picture(result: Result) -> Chart | None:
    """A run's curves; None for experiments that have none."""
    if result.experiment == "removal":
        return curves(result.tables["sweep"], result.spec)
    return toy_chart(result) if result.experiment == "toy" else None


def overlay(a: Chart, b: Chart) -> Chart:
    """The curves of two removals over each other: A in crisp lines, B in broad, pale ones of the same colour and dash.

    The axes hold both. References that are equal in both are drawn once.
    """
    shared = {level.key for level in a.levels if any(_equal(level, other) for other in b.levels)}
    levels_b = [level for level in b.levels if level.key not in shared]
    return Chart(
        title=f"{a.title}, A and B",
        x=hold(a.x, b.x),
        quantities=tuple(map(_quantity, a.quantities, b.quantities)),
        lines=_paired([_of_a(line) for line in a.lines], [_of_b(line) for line in b.lines]),
        levels=_paired(
            [level if level.key in shared else _of_a(level) for level in a.levels],
            [_of_b(level) for level in levels_b],
        ),
        marks=_marks(a, b),
        symbol=a.symbol,
    )


def _of_a(item: Item) -> Item:
    return replace(item, key=f"{item.key}-a", label=f"{item.label} · A")


def _of_b(item: Item) -> Item:
    return replace(item, key=f"{item.key}-b", label=f"{item.label} · B", style=pale(item.style))


def _paired(a: Sequence[Item], b: Sequence[Item]) -> tuple[Item, ...]:
    """Every method of A with the same of B beside it; then what only B has."""
    order = {item.key.removesuffix("-a"): place for place, item in enumerate(a)}
    return tuple(sorted(list(a) + list(b), key=lambda item: order.get(item.key[:-2], order.get(item.key, len(order)))))


def pale(style: Style) -> Style:
    """The same style as a broad, translucent stroke: told apart without colour, and from what lies on it."""
    return replace(style, colour=_translucent(style.colour), dark=_translucent(style.dark), width=style.width + 4)


def _translucent(colour: str) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.4)"


def _equal(one: Level, other: Level) -> bool:
    def same(left: float | None, right: float | None) -> bool:
        return left == right or (left is not None and right is not None and math.isnan(left) and math.isnan(right))

    return one.key == other.key and all(
        same(mine.get(key), its.get(key))
        for mine, its in ((one.values, other.values), (one.low, other.low), (one.high, other.high))
        for key in {*mine, *its}
    )


def _quantity(a: Quantity, b: Quantity) -> Quantity:
    axis = a.axis if a.axis is None else hold(a.axis, b.axis)
    return replace(a, axis=axis, note=a.note if a.note == b.note else "what was removed")


def _marks(a: Chart, b: Chart) -> tuple[Mark, ...]:
    """Marks that belong to all lines once, the others for each run."""
    common = [mark for mark in a.marks if mark.style is None]
    own = [replace(mark, label=f"A: {mark.label}") for mark in a.marks if mark.style is not None]
    other = [
        replace(mark, label=f"B: {mark.label}", style=pale(mark.style)) for mark in b.marks if mark.style is not None
    ]
    return (*common, *own, *other)
