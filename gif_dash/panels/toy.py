"""The toy panel: linear regression, removed points, and three estimators on their way. Computed in the kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

import anywidget
import ipywidgets
import pandas as pd
import traitlets

from gif_dash import toy
from gif_dash.catalog import EXPERIMENTS, resolve
from gif_dash.figures import chart as line_charts
from gif_dash.figures import toy as figures
from gif_dash.figures import toy_points
from gif_dash.figures.chart import Chart
from gif_dash.figures.tables import html_table
from gif_dash.panels.bars import Fold, html
from gif_dash.panels.base import Context, Panel
from gif_dash.panels.page import STATIC
from gif_dash.progress import Silent
from gif_dash.results import Result
from gif_dash.specs import SpecError, ToySpec
from gif_dash.specs.toy_presets import PRESETS, preset_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

#: A picture that stood for so many seconds is the ghost of the next ones; what a moving slider passes by is not.
SETTLED = 1.0


#: Where one of these differs, the picture is of another plane: no ghost, and axes of its own.
OTHER_PLANE = ("variant", "data", "first", "second")

#: The experiment with its trajectories, and the points as drawn.
COMPUTED, BASE = (f"{EXPERIMENTS['toy'].target.partition(':')[0]}:{name}" for name in ("computed", "base"))

WEIGHTS = [{"value": number, "label": str(number)} for number in range(1, toy.FEATURES + 1)]


def script(*names: str) -> str:
    """Several files of `STATIC` as one module; the last one exports."""
    return "\n".join((STATIC / name).read_text(encoding="utf-8") for name in names)


class PresetRow(anywidget.AnyWidget):
    """The presets: a button for each, and what the one that is set teaches.

    Attributes:
        presets: name, title, teaches and look of each.
        active: name of the one whose settings the form holds; empty if there is none.
    """

    _esm = STATIC / "presets.js"

    presets = traitlets.List(traitlets.Dict()).tag(sync=True)
    active = traitlets.Unicode("").tag(sync=True)

    def __init__(self, on_preset: Callable[[str], object]) -> None:
        super().__init__(
            presets=[
                {"name": each.name, "title": each.title, "teaches": each.teaches, "look": each.look} for each in PRESETS
            ]
        )
        self._on_preset = on_preset
        self.on_msg(self._message)

    def _message(self, _widget: Any, content: Any, _buffers: Any) -> None:
        if isinstance(content, dict) and content.get("do") == "preset":
            self._on_preset(str(content.get("name", "")))


class PlaneWidget(anywidget.AnyWidget):
    """Plane, points, solve, measures, player, and the numbers at the step: one drawing, all in the browser.

    Attributes:
        picture: {"plane": `figures.toy.Plane.to_dict`, "chart": `figures.chart.Chart.to_dict`, "points":
            `figures.toy_points.Points.to_dict`, "solves": `figures.toy_points.solves`, "serial": of the last changes
            by hand that it knows}; use `draw`.
        columns: the points as drawn, `figures.toy_points.columns`.
        hand: {"serial", "edits"}: what a person has just changed by hand, from the browser.
        feature: number of the feature that the points are drawn against; 0 is the first target weight's.
        step: the step shown; -1 stands for the picture's own end. Python follows, the browser does not wait for it.
        playing: whether it plays; axes are held meanwhile.
    """

    _esm = script("least.js", "solve.js", "points.js", "plane.js")
    _css = STATIC / "plane.css"
    heard: ClassVar[tuple[str, ...]] = ("step", "playing", "hand", "feature")

    picture = traitlets.Dict().tag(sync=True)
    columns = traitlets.Bytes(b"").tag(sync=True)
    hand = traitlets.Dict().tag(sync=True)
    feature = traitlets.Int(0, min=0, max=toy.FEATURES).tag(sync=True)
    step = traitlets.Int(-1).tag(sync=True)
    playing = traitlets.Bool(False).tag(sync=True)

    def draw(
        self, plane: figures.Plane, chart: Chart, points: toy_points.Points, solves: dict[str, Any], columns: bytes
    ) -> None:
        """Show a picture; the step stays where it is, and at the end if it was there."""
        with self.hold_sync():
            if columns != self.columns:
                self.columns = columns
            self.picture = {
                "plane": plane.to_dict(),
                "chart": chart.to_dict(),
                "points": points.to_dict(),
                "solves": solves,
                "serial": self.serial,
            }

    def again(self) -> None:
        """The same picture, for a browser whose last changes by hand came to nothing."""
        self.picture = {**self.picture, "serial": self.serial}

    @property
    def serial(self) -> int:
        """Of the last changes by hand that the browser has told."""
        serial = self.hand.get("serial", 0)
        return serial if isinstance(serial, int) else 0


class ToyPanel(Panel[ToySpec]):
    """Figure 2 of the GIF paper, alive: every change of a control is answered with a new picture."""

    spec_class = ToySpec
    title = "Toy"
    intro = (
        "A linear model is fitted to points of which some are outliers. These are removed, but only two of its six "
        "parameters may change: where should they go? Press Play, choose a preset, or drag a point of the data."
    )
    overrides: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "first": {"kind": "toggle", "choices": WEIGHTS},
        "second": {"kind": "toggle", "choices": WEIGHTS},
        "edits": {"hidden": True},  # made in the picture of the data
    }

    def __init__(self, context: Context) -> None:
        self.result: Result | None = None
        self.plane: figures.Plane | None = None
        self.chart: Chart | None = None
        self._settled: tuple[figures.Plane, Chart] | None = None  # what becomes the ghost
        self._shown_at = 0.0
        self._own: dict[str, Any] = {}  # values that the version as published replaced for the time being
        self._fixed: dict[str, Any] = {}
        self._restored_step = -1
        self._restored_feature = 0
        self.presets = PresetRow(context.reporter.guard(self.choose))
        super().__init__(context)

    def controls(self) -> Sequence[ipywidgets.Widget]:
        return (self.presets, *super().controls())

    def choose(self, name: str) -> None:
        """Take the settings of a preset; nothing that was changed by hand stays."""
        preset = next((each for each in PRESETS if each.name == name), None)
        if preset is None:
            return
        self._own.clear()
        self.form.write(preset.spec)

    def state_changed(self) -> None:
        super().state_changed()
        preset = preset_of(self.spec)
        self.presets.active = preset.name if preset is not None else ""

    def build(self) -> Sequence[ipywidgets.Widget]:
        self.view = PlaneWidget(step=self._restored_step, feature=self._restored_feature)
        self.view.observe(self.guard(lambda _change: self.state_changed()), ["step", "feature"])
        self.view.observe(self.guard(lambda _change: self._by_hand()), "hand")
        self.words = html("", "gd-words")
        self.table = Fold("Every step as a table", self._table, guard=self.guard)
        self._arrange(ToySpec())
        self._compute()
        return (self.view, self.words, self.table)

    def update(self, before: ToySpec) -> None:
        self._arrange(before)
        self._compute()

    def _changed(self) -> None:
        """Changes by hand that other settings leave no room for are dropped."""
        super()._changed()
        try:
            ToySpec.parse(self.form.values)
        except SpecError as error:
            if error.field == "edits":
                self.form.set(edits=[])

    def _by_hand(self) -> None:
        """What a person has changed in the picture of the data is part of the question."""
        edits = self.view.hand.get("edits", [])
        try:
            told = ToySpec.parse({**self.spec.model_dump(mode="json"), "edits": edits})
        except SpecError as error:
            self.bar.error = str(error)
            self.view.again()
            return
        self.bar.error = ""
        if told == self.spec:
            self.view.again()
        else:
            self.form.set(edits=list(told.edits))

    def restore(self, query: Mapping[str, str]) -> list[str]:
        before = self.spec
        sentences = super().restore(query)
        if self._built:  # shown before its link was known
            self.result = self.plane = self.chart = self._settled = None
            self.view.step, self.view.feature = self._restored_step, self._restored_feature
            self.update(before)
        return sentences

    def _compute(self) -> None:
        begin = perf_counter()
        result, trace = resolve(COMPUTED)(self.spec, Silent())
        if self.plane is not None and self.chart is not None and begin - self._shown_at > SETTLED:
            self._settled = (self.plane, self.chart)
        if self.result is not None and any(self.result.spec[name] != result.spec[name] for name in OTHER_PLANE):
            self._settled = self.plane = self.chart = None
        plane, chart = figures.plane(result, self.plane), figures.chart(result, self.chart)
        self.result, self.plane, self.chart = result, plane, chart
        if self._settled is not None:
            plane = plane.with_ghosts_of(self._settled[0])
            if self._settled[1].x == chart.x:
                chart = chart.with_ghosts_of(self._settled[1])
        base = resolve(BASE)(self.spec)
        points, columns = toy_points.points(self.spec, base), toy_points.columns(base)
        self.view.draw(plane, chart, points, toy_points.solves(trace), columns)
        self.words.value = self._paragraphs(result)
        self.table.refresh()
        self._shown_at = perf_counter()
        self.bar.status = f"Computed in {1000 * (self._shown_at - begin):.0f} ms"

    def _paragraphs(self, result: Result) -> str:
        said = "".join(f"<p>{sentence}</p>" for sentence in figures.words(result))
        quirks = result.provenance["quirks"]
        if not quirks:
            return said
        listed = "".join(f"<li>{escape(quirk)}</li>" for quirk in quirks)
        return f"{said}<h3>What the notebook does otherwise than the paper's formulas</h3><ul>{listed}</ul>"

    def _table(self) -> ipywidgets.Widget:
        assert self.result is not None
        frame, titles = figures.table(self.result)
        caption = "Every method at every step; the CSV has all weights"
        return html(html_table(frame, caption=caption, titles=titles, row_header="method", limit=600))

    # --- fields that the version as published fixes -----------------------------------------------------------------

    def _arrange(self, before: ToySpec) -> None:
        """Show fixed fields with their values and out of reach; give the person's values back once they are free."""
        fixed = ToySpec.fixed(self.spec.variant, self.spec.data, self.spec.removal)
        values = before.model_dump(mode="json")
        self._own.update({name: values[name] for name in fixed.keys() - self._fixed.keys()})
        freed = {name: self._own.pop(name) for name in self._fixed.keys() - fixed.keys() if name in self._own}
        self._fixed = fixed
        if freed and self.spec != ToySpec():  # unless all was reset
            self.form.set(**freed)
            self.spec = self.form.read()
            self._arrange(self.spec)  # the data that comes back may free more
            return
        self.form.set(**{name: list(value) if isinstance(value, tuple) else value for name, value in fixed.items()})
        self.form.disabled = sorted(fixed)
        self.state_changed()

    def extra_state(self) -> dict[str, str]:
        if not self._built or self.plane is None:
            return {}
        state = {} if self.view.step in (-1, self.plane.end) else {"step": str(self.view.step)}
        return state | ({"feature": str(self.view.feature)} if self.view.feature else {})

    def restore_extra(self, query: Mapping[str, str]) -> list[str]:
        sentences = []
        step, feature = query.get("step", ""), query.get("feature", "")
        if step and not step.isdecimal():
            sentences.append("The link was not followed in one point: step is a whole number.")
            step = ""
        if feature and feature not in map(str, range(1, toy.FEATURES + 1)):
            sentences.append(f"The link was not followed in one point: feature is a number from 1 to {toy.FEATURES}.")
            feature = ""
        self._restored_step = min(int(step), 10_000) if step else -1
        self._restored_feature = int(feature) if feature else 0
        return sentences

    # --- ways out ---------------------------------------------------------------------------------------------------

    def export_tables(self) -> Mapping[str, pd.DataFrame]:
        return self.result.tables if self.result is not None else {}

    def export_figures(self) -> Sequence[go.Figure]:
        if self.plane is None or self.chart is None:
            return ()
        return (figures.to_plotly(self.plane), line_charts.to_plotly(self.chart, height=800))

    def export_words(self) -> Sequence[str]:
        if self.result is None:
            return ()
        return [*figures.words(self.result), *(escape(quirk) for quirk in self.result.provenance["quirks"])]

    def export_provenance(self) -> Mapping[str, Any]:
        return self.result.provenance if self.result is not None else {}
