"""Pictures of the layers: pure functions of the result's tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from gif_dash.figures.cells import Switch
from gif_dash.figures.tables import number, significant
from gif_dash.figures.theme import label, plain, style, swatch, template
from gif_dash.results import Result

if TYPE_CHECKING:
    import plotly.graph_objects as go

#: Retrained networks, in the order of the columns.
REFERENCES = ("retrain_warm", "retrain")
_SHORT = {"retrain_warm": "retrained, warm", "retrain": "retrained, cold"}
_OPEN = "open in class removal"


@dataclass(frozen=True)
class Quantity:
    """What the bars show.

    Attributes:
        key: column of the table ``layers``.
        title: what people read on the switch.
        note: what it is, in a sentence.
        unit, decimals: of the numbers; decimals None: three significant digits.
        most: value of a full bar; None: the largest there is.
        whole: column of the whole edit in ``edits``, if it has one.
    """

    key: str
    title: str
    note: str
    unit: str = ""
    decimals: int | None = None
    most: float | None = None
    whole: str = ""

    def spell(self, value: float) -> str:
        """A value with its unit."""
        text = significant(value) if self.decimals is None else number(value, self.decimals)
        return f"{text}\u202f{self.unit}" if self.unit and math.isfinite(value) else text


QUANTITIES = (
    Quantity("part", "Share of the update", "the layer's share of ‖Δ‖²", "%", 1, 100.0),
    Quantity("ratio", "Size at s = 1", "‖Δ‖ of the layer, relative to the norm of its parameters"),
    Quantity("ratio_best", "Size at the best s", "s·‖Δ‖ of the layer, relative to the norm of its parameters"),
    Quantity(
        "score_alone",
        "Alone: score",
        "score of the network in which only this layer is edited, at the best s of the whole edit",
        "",
        3,
        1.0,
        "score",
    ),
    Quantity(
        "self_accuracy_alone",
        "Alone: recognises",
        "accuracy on the removed class when only this layer is edited",
        "%",
        1,
        100.0,
        "self_accuracy",
    ),
    Quantity(
        "test_accuracy_alone",
        "Alone: keeps",
        "accuracy on the other classes when only this layer is edited",
        "%",
        1,
        100.0,
        "test_accuracy",
    ),
    Quantity(
        "cosine_retrain_warm",
        "Direction",
        "cosine between Δ in this layer and the way to the warm-started retrained network; bars: its magnitude",
        "",
        2,
        1.0,
    ),
)


@dataclass(frozen=True)
class Bar:
    """A number with a bar.

    Attributes:
        text: the number.
        share: length of the bar, 0 … 1; None for no bar.
        note: a sentence, shown when pointed at.
        before: length in the run before; None for no mark.
    """

    text: str = "–"
    share: float | None = None
    note: str = ""
    before: float | None = None


@dataclass(frozen=True)
class Column:
    """A method or a retrained network. `action`: what pressing its head does; empty where nothing."""

    key: str
    label: str
    swatch: str
    colour: str
    action: str = ""


@dataclass(frozen=True)
class Row:
    """A layer; `size` is the width of its box, 0 … 1."""

    key: str
    label: str
    kind: str
    parameters: str
    size: float


@dataclass(frozen=True)
class View:
    """One criterion and one quantity.

    Attributes:
        selected: share of every layer that may change.
        bars: by row, then column.
        whole: of the whole edit, by column.
        note: what the numbers are.
    """

    selected: tuple[Bar, ...]
    bars: tuple[tuple[Bar, ...], ...]
    whole: tuple[Bar, ...]
    note: str


@dataclass(frozen=True)
class Picture:
    """The network, one row per layer from input to output. A view's name: values of the switches, blanks between."""

    title: str
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    switches: tuple[Switch, ...]
    views: Mapping[str, View]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values for the page."""
        return asdict(self)


def criteria_of(layers: pd.DataFrame) -> list[str]:
    """The criteria of a table, in its order."""
    return list(dict.fromkeys(layers["criterion"])) if len(layers) else []


def picture(tables: Mapping[str, pd.DataFrame], before: Mapping[str, pd.DataFrame] | None = None) -> Picture | None:
    """Bars of every layer, method, criterion and quantity, with the retrained networks beside them.

    Args:
        tables: of the result; while it grows, ``layers`` only.
        before: tables of the run before, marked on the bars.

    Returns:
        None while there is nothing.
    """
    layers = tables.get("layers", pd.DataFrame())
    if not len(layers):
        return None
    criteria, methods = criteria_of(layers), list(dict.fromkeys(layers["method"]))
    first = layers.drop_duplicates("layer")
    references = tables.get("references", pd.DataFrame({"reference": []}))
    trained = [name for name in REFERENCES if name in set(references["reference"])]
    largest = math.log(max(2.0, float(first["parameters"].max())))
    rows = tuple(
        Row(
            str(row["layer"]),
            str(row["layer"]),
            str(row["kind"]),
            f"{row['parameters']:,}".replace(",", "\u202f"),
            math.log(max(2.0, float(row["parameters"]))) / largest,
        )
        for _, row in first.iterrows()
    )
    columns = tuple(
        Column(name, _SHORT.get(name, label(name)), swatch(name), style(name).css(), "" if name in trained else _OPEN)
        for name in (*methods, *trained)
    )
    views = {
        f"{criterion} {quantity.key}": _view(tables, before, criterion, quantity, methods, trained, rows)
        for criterion in criteria
        for quantity in QUANTITIES
    }
    switches = (
        Switch("criterion", "Criterion", tuple((name, label(name)) for name in criteria)),
        Switch("quantity", "Bars", tuple((quantity.key, quantity.title) for quantity in QUANTITIES)),
    )
    return Picture("Where the update goes, from the input to the output", rows, columns, switches, views)


def _view(
    tables: Mapping[str, pd.DataFrame],
    before: Mapping[str, pd.DataFrame] | None,
    criterion: str,
    quantity: Quantity,
    methods: Sequence[str],
    trained: Sequence[str],
    rows: Sequence[Row],
) -> View:
    layers = tables["layers"]
    values = _by_layer(layers[layers["criterion"] == criterion], "method", quantity.key)
    truth = {}
    if trained and quantity.key in ("part", "ratio", "ratio_best"):
        truth = _by_layer(tables["references"], "reference", quantity.key.removesuffix("_best"))
    shown = [value for value in values.values() if math.isfinite(value)]
    most = quantity.most or max(map(abs, shown), default=0.0) or 1.0
    old = {}
    if before is not None and len(before["layers"]):
        known = before["layers"]
        old = _by_layer(known[known["criterion"] == criterion], "method", quantity.key)

    def bar(who: str, row: Row) -> Bar:
        value = truth.get((who, row.key), math.nan) if who in trained else values.get((who, row.key), math.nan)
        past = old.get((who, row.key), math.nan)
        note = f"{label(who)}, layer {row.label}: {quantity.title.lower()} {quantity.spell(value)}"
        if not math.isfinite(value):
            return Bar()
        return Bar(quantity.spell(value), _share(value, most), note, _share(past, most))

    of_criterion = layers[layers["criterion"] == criterion]
    own = of_criterion[of_criterion["method"] == _bound(methods)].set_index("layer")
    selected = tuple(
        Bar(
            f"{number(float(own['share'][row.key]), 1)}\u202f%",
            float(own["share"][row.key]) / 100,
            f"{int(own['selected'][row.key])} of {row.parameters} parameters may change",
        )
        for row in rows
    )
    bars = tuple(tuple(bar(who, row) for who in (*methods, *trained)) for row in rows)
    whole = tuple(_whole(tables, criterion, quantity, who, who in trained) for who in (*methods, *trained))
    return View(selected, bars, whole, f"{quantity.title}: {quantity.note}.")


def _bound(methods: Sequence[str]) -> str:
    """A method that keeps to the selection, if there is one."""
    return next((method for method in methods if method not in ("if", "koh", "if2")), methods[0])


def _share(value: float, most: float) -> float | None:
    return min(1.0, abs(value) / most) if math.isfinite(value) else None


def _by_layer(rows: pd.DataFrame, who: str, key: str) -> dict[tuple[str, str], float]:
    return {
        (str(name), str(layer)): float(value)
        for name, layer, value in zip(rows[who], rows["layer"], rows[key], strict=True)
    }


def _whole(tables: Mapping[str, pd.DataFrame], criterion: str, quantity: Quantity, who: str, trained: bool) -> Bar:
    """The same quantity of the whole edit, or of the retrained network."""
    if quantity.whole:
        edit = edit_row(tables.get("edits", pd.DataFrame()), criterion, who)
        return Bar() if edit is None else Bar(quantity.spell(float(edit[quantity.whole])))
    if quantity.key == "part":
        return Bar("100\u202f%")
    if quantity.key.startswith("cosine"):
        trust = tables.get("trust", pd.DataFrame())
        if trained or not len(trust):
            return Bar()
        rows = trust[(trust["criterion"] == criterion) & (trust["method"] == who) & (trust["mark"] == "one")]
        return Bar(quantity.spell(float(rows["cosine_warm"].iloc[0]))) if len(rows) else Bar()
    table = tables["references"] if trained else tables["layers"]
    named = "reference" if trained else "method"
    rows = table[table[named] == who]
    rows = rows if trained else rows[rows["criterion"] == criterion]
    norms = rows["norm"] if trained or quantity.key == "ratio" else rows["norm_best"]
    theta = math.sqrt(float((rows["theta_norm"] ** 2).sum()))
    return Bar(quantity.spell(math.sqrt(float((norms**2).sum())) / theta)) if theta > 0 else Bar()


def edit_row(edits: pd.DataFrame, criterion: str, method: str, mark: str = "best") -> pd.Series[Any] | None:
    """The row of a whole edit, of the original network or of a retrained one."""
    if not len(edits):
        return None
    rows = edits[edits["method"] == method]
    if method not in ("original", *REFERENCES):
        rows = rows[(rows["criterion"] == criterion) & (rows["mark"] == mark)]
    return rows.iloc[0] if len(rows) else None


def figures(result: Result, *, dark: bool = False) -> list[go.Figure]:
    """The shares of ‖Δ‖² and what each layer does alone, one figure per criterion, for exports and notebooks."""
    return [_figure(result, criterion, dark) for criterion in criteria_of(result.tables["layers"])]


def _figure(result: Result, criterion: str, dark: bool) -> go.Figure:
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    layers, references = result.tables["layers"], result.tables["references"]
    layers = layers[layers["criterion"] == criterion]
    titles = ["Share of ‖Δ‖², %", "Score of the layer alone"]
    figure = make_subplots(1, 2, subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.04)

    def add(name: str, rows: pd.DataFrame, key: str, column: int, legend: bool) -> None:
        look = style(name)
        names = [plain(f"{layer} ({kind})") for layer, kind in zip(rows["layer"], rows["kind"], strict=True)]
        colour = look.dark if dark else look.colour
        figure.add_trace(
            go.Bar(
                x=rows[key].tolist(),
                y=names,
                orientation="h",
                name=label(name),
                legendgroup=name,
                showlegend=legend,
                marker={"color": colour},
            ),
            1,
            column,
        )

    for method, rows in layers.groupby("method", sort=False):
        add(str(method), rows, "part", 1, True)
        add(str(method), rows, "score_alone", 2, False)
    for reference, rows in references.groupby("reference", sort=False):
        add(str(reference), rows, "part", 1, True)
    count = layers["layer"].nunique()
    bars = layers["method"].nunique() + references["reference"].nunique()
    inner = count * (12 + 10 * bars)
    title = f"Where the update goes: {label(criterion)}"
    figure.update_layout(template=template(dark), height=inner + 130, barmode="group", meta=title)
    figure.update_layout(margin={"t": 80, "b": 46}, legend={"y": 1 + 34 / inner})
    figure.update_yaxes(type="category", autorange="reversed")
    figure.update_xaxes(rangemode="tozero")
    return figure
