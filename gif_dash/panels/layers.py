"""Which layers move: the update layer by layer, by criterion and method, and what each part of it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import anywidget
import ipywidgets
import pandas as pd
import traitlets

from gif_dash.figures import layers as pictures
from gif_dash.figures import layers_words as words
from gif_dash.panels.bars import column, html
from gif_dash.panels.base import Context
from gif_dash.panels.layers_about import ABOUT
from gif_dash.panels.page import STATIC
from gif_dash.panels.scenario import ScenarioPanel
from gif_dash.results import Result
from gif_dash.specs import LayersSpec, Spec

if TYPE_CHECKING:
    import plotly.graph_objects as go


class NetworkWidget(anywidget.AnyWidget):
    """The layers as rows with bars.

    Attributes:
        picture: `gif_dash.figures.layers.Picture.to_dict`, or nothing.
        view: the value of every switch by its key; the browser changes it by itself.
    """

    _esm = STATIC / "layers.js"
    _css = STATIC / "layers.css"
    heard: ClassVar[tuple[str, ...]] = ("view",)

    picture = traitlets.Dict().tag(sync=True)
    view = traitlets.Dict().tag(sync=True)

    def __init__(self, on_open: Callable[[str, str], object], **traits: Any) -> None:
        super().__init__(**traits)
        self._on_open = on_open
        self.on_msg(self._message)

    def draw(self, picture: pictures.Picture | None) -> None:
        """Show a picture; the switches stay where they are."""
        self.picture = {} if picture is None else picture.to_dict()

    def _message(self, _widget: Any, content: Any, _buffers: Any) -> None:
        if isinstance(content, dict) and content.get("do") == "open":
            self._on_open(str(content.get("method")), str(content.get("criterion")))


class LayersPanel(ScenarioPanel[LayersSpec]):
    """The third question of §5 of the GIF paper, for any scenario and any classes of it."""

    spec_class: ClassVar[type[Spec]] = LayersSpec
    title = "Layers"
    intro = (
        "<p>The same share of every layer may change. <b>Which layers does the update move</b>, and which of them make "
        "the network forget? One row per layer; press a method's name to open its edit in class removal.</p>"
    )
    overrides: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "scenario": {"help": ""},
        "forget_classes": {"help": "press one to add it or to take it back"},
        "damping": {"kind": "number"},
    }

    def __init__(self, context: Context) -> None:
        self.network = NetworkWidget(context.reporter.guard(self._open))
        self._before: Mapping[str, pd.DataFrame] | None = None
        super().__init__(context)
        self.network.observe(self.guard(lambda _change: context.ticker.soon(self._view_changed)), "view")

    # --- state ------------------------------------------------------------------------------------------------------

    @property
    def criterion(self) -> str:
        """The criterion that is shown."""
        known = pictures.criteria_of(self.result.tables["layers"]) if self.result is not None else []
        wanted = str(self.network.view.get("criterion", ""))
        return wanted if wanted in known or not known else known[0]

    def restore_extra(self, query: Mapping[str, str]) -> list[str]:
        view, said = {}, []
        choices: dict[str, list[str]] = {
            "criterion": [str(name) for name in self.spec.criteria],
            "quantity": [quantity.key for quantity in pictures.QUANTITIES],
        }
        for key, known in choices.items():
            text = query.get(key, "")
            if text in known:
                view[key] = text
            elif text:
                said.append(f"The link was not followed in one point: {key}: choose from {', '.join(known)}.")
        self.network.view = view
        return said

    def extra_state(self) -> dict[str, str]:
        first = {"criterion": self.spec.criteria[0], "quantity": pictures.QUANTITIES[0].key}
        return {key: str(value) for key, value in self.network.view.items() if value != first.get(key)}

    def _view_changed(self) -> None:
        if self._built and self.result is not None:
            self._say(self.result)
        self.state_changed()

    # --- what is shown ----------------------------------------------------------------------------------------------

    def build(self) -> Sequence[ipywidgets.Widget]:
        self.where = html("", "gd-verdicts")
        self.words = html("", "gd-verdicts")
        self.compared = html("")
        self.folds = (
            self._fold("All numbers", lambda: html(words.layers_html(self._shown())), "every layer"),
            self._fold("Weights and biases", lambda: html(words.tensors_html(self._shown())), "every tensor"),
            self._fold(
                "Retraining", lambda: html(words.references_html(self._shown())), "how far it moved every layer"
            ),
        )
        for fold in self.folds:
            fold.add_class("gd-hidden")
        about = self._fold("About this panel", lambda: html(ABOUT, "gd-about"), "equations, choices")
        return (
            column(self.network, self.where, classes=("gd-results",)),
            self.words,
            self.compared,
            *self.folds,
            about,
        )

    def show_partial(self, partial: Mapping[str, pd.DataFrame]) -> None:
        if "layers" in partial:
            self.network.draw(pictures.picture(partial, self._past(self.running)))

    def show_result(self, result: Result) -> None:
        if self.result is not None and result.spec != self.result.spec:
            same = result.spec["scenario"] == self.result.spec["scenario"]
            self._before = self.result.tables if same else None
        self.result = result
        self.network.draw(pictures.picture(result.tables, self._before))
        self._say(result)
        self.compared.value = words.compared_html(result)
        for fold in self.folds:
            fold.remove_class("gd-hidden")
            fold.refresh()
        self.refresh_offers()

    def stopped(self) -> None:
        self.network.draw(None if self.result is None else pictures.picture(self.result.tables, self._before))

    def _past(self, spec: LayersSpec | None) -> Mapping[str, pd.DataFrame] | None:
        if self.result is None or spec is None or self.result.spec["scenario"] != spec.scenario:
            return None
        return self.result.tables

    def _say(self, result: Result) -> None:
        odd = "".join(f'<p class="gd-help">{sentence}</p>' for sentence in words.oddities(result))
        self.where.value = words.where(result, self.criterion)
        self.words.value = f'{words.trust(result, self.criterion)}{odd}<p class="gd-help">{words.facts(result)}</p>'

    def _open(self, method: str, criterion: str) -> None:
        """Open the class removal behind a column."""
        spec: LayersSpec = self.running or self.shown_spec()
        chosen = next((name for name in spec.criteria if name == criterion), None)
        one = next((name for name in spec.methods if name == method), None)
        if chosen is None or one is None:
            return
        self.context.show(spec.cell(chosen, (one,)))

    # --- ways out ---------------------------------------------------------------------------------------------------

    def export_figures(self) -> Sequence[go.Figure]:
        return pictures.figures(self._shown())

    def export_words(self) -> Sequence[str]:
        result = self._shown()
        criteria = pictures.criteria_of(result.tables["layers"])
        said = [words.where(result, criterion) + words.trust(result, criterion) for criterion in criteria]
        return [words.facts(result), *said, *words.oddities(result)]
