"""The history: past runs in a table, one of them alone or two over each other, with differences in numbers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from html import escape
from time import monotonic
from typing import Any, ClassVar

import anywidget
import pandas as pd
import traitlets

from gif_dash import catalog
from gif_dash.compute.store import Deleted, Row, StoreError
from gif_dash.compute.work import spec_from
from gif_dash.figures import history as figures
from gif_dash.figures import recorded
from gif_dash.figures.removal import curves
from gif_dash.figures.removal_tables import scores_html
from gif_dash.figures.removal_words import facts
from gif_dash.figures.tables import duration
from gif_dash.figures.theme import label, swatch
from gif_dash.panels.bars import ShareBar, column, html, intro
from gif_dash.panels.base import Context
from gif_dash.panels.chart import ChartWidget
from gif_dash.panels.page import STATIC
from gif_dash.results import Result
from gif_dash.specs import RemovalSpec, Spec, SpecError
from gif_dash.spelling import to_cli, to_python

#: Seconds between two looks at the store while the tab is open.
LOOK = 3.0
#: Seconds for which a deletion can be undone.
UNDO = 20.0
#: Runs whose scores are looked up in one beat.
BATCH = 20
#: Characters of a key in a link, at least.
PREFIX = 8


class RunTable(anywidget.AnyWidget):
    """Past runs as a table: filtered, sorted and drawn in the browser, a hundred rows at a time.

    Attributes:
        rows: one dictionary per run, see `HistoryPanel._describe`.
        scores: per run [[method, score at the best s, swatch], …]; missing until it has been looked up.
        a, b: keys of the chosen runs; a run that stands alone is A.
        deleted: label of the run that was just deleted and can be brought back; else empty.
        error: one sentence, or nothing.
        ready: whether the store has been looked at.
    """

    _esm = STATIC / "history.js"
    _css = STATIC / "history.css"
    heard: ClassVar[tuple[str, ...]] = ("a", "b")

    rows = traitlets.List(traitlets.Dict()).tag(sync=True)
    scores = traitlets.Dict().tag(sync=True)
    a = traitlets.Unicode("").tag(sync=True)
    b = traitlets.Unicode("").tag(sync=True)
    deleted = traitlets.Unicode("").tag(sync=True)
    error = traitlets.Unicode("").tag(sync=True)
    ready = traitlets.Bool(False).tag(sync=True)

    def __init__(self, on_message: Callable[[Mapping[str, Any]], object]) -> None:
        super().__init__()
        self.on_msg(lambda _widget, content, _buffers: on_message(content))


class Actions(anywidget.AnyWidget):
    """A row of buttons: [[name, text, help], …]; a press calls `on_press` with the name."""

    _esm = STATIC / "actions.js"

    buttons: traitlets.List[list[str]] = traitlets.List().tag(sync=True)

    def __init__(self, on_press: Callable[[str], object]) -> None:
        super().__init__()
        self.on_msg(lambda _widget, content, _buffers: on_press(str(content.get("do"))))


class HistoryPanel:
    """Past runs, whoever computed them: on this page, in a notebook or on the command line."""

    title = "History"
    intro = (
        "<p>Every run is kept, wherever it was asked for. Choose one as <b>A</b> to see it again and another as "
        "<b>B</b> to lay both over each other. Name and pin what you want to find again.</p>"
    )

    def __init__(self, context: Context) -> None:
        self.context = context
        self.guard = context.reporter.guard
        self.active = False
        self._rows: dict[str, Row] = {}
        self._version: tuple[Any, ...] | None = None  # of the store, when it was last read
        self._looked = 0.0
        self._deleted: tuple[Deleted, float] | None = None  # and until when it can be undone
        self._untouched = True  # nobody, and no link, has chosen a run
        self._shown: tuple[str, ...] | None = None
        self.results: list[Result] = []  #: of the chosen runs
        self.table = RunTable(self.guard(self._hear))
        self.table.observe(self.guard(lambda _change: context.ticker.soon(self._chosen)), ["a", "b"])
        self.who = html("", "gd-history-who")
        self.chart = ChartWidget()
        self.words = html("", "gd-history-words")
        self.actions = Actions(self.guard(self._press))
        self.share = ShareBar(self.guard(self._export), files=["CSV", "JSON", "PNG", "SVG"])
        self.below = column(
            self.who, self.actions, self.chart, self.words, self.share, classes=("gd-history-below", "gd-hidden")
        )
        self.widget = column(
            intro(self.title, self.intro),
            self.table,
            self.below,
            classes=("gd-panel", "gd-history-panel"),
        )

    # --- as every panel ---------------------------------------------------------------------------------------------

    def restore(self, query: Mapping[str, str]) -> list[str]:
        """Choose the runs of a link; returns one sentence for every one that cannot be found."""
        wanted = {name: query[name] for name in ("a", "b") if query.get(name)}
        if not wanted:
            return []
        self._read()
        self._untouched = False
        sentences, found = [], []
        for prefix in wanted.values():
            keys = [key for key in self._rows if key.startswith(prefix)]
            if len(keys) == 1:
                found += keys
            else:
                why = "is in the store no longer" if not keys else f"could be any of {len(keys)}: its name is too short"
                sentences.append(f"The link was not followed in one point: the run {prefix[:PREFIX]} {why}.")
        self._choose(*found)
        return sentences

    def show(self) -> None:
        """The tab is opened: see what has been computed meanwhile, and go on looking."""
        self.active = True
        self._look()
        if self._untouched and self._rows:
            self._choose(next(iter(self._rows)))
        self._chosen()
        self.context.ticker.every(self._beat)

    def hide(self) -> None:
        self.active = False
        self.context.ticker.stop(self._beat)
        self.context.ticker.stop(self._score)

    # --- the store --------------------------------------------------------------------------------------------------

    @property
    def _runs(self) -> Any:
        return self.context.connect().runs

    def _beat(self) -> None:
        """A light look every few seconds, and the end of the time for second thoughts."""
        now = monotonic()
        if self._deleted is not None and now > self._deleted[1]:
            self._deleted, self.table.deleted = None, ""
        if now - self._looked >= LOOK:
            self._look()

    def _look(self) -> None:
        self._looked = monotonic()
        if self._runs.version() != self._version:
            self._read()

    def _read(self) -> None:
        """All runs, the pinned ones first, then the newest, then those that came with gif_dash."""
        self._version = self._runs.version()
        rows = sorted(self._runs.history(), key=lambda row: (row.recorded, not row.pinned))
        self._rows = {row.key: row for row in rows}
        offers = {offer.name: offer for offer in self.context.connect().offers()}
        titles = {name: offer.title for name, offer in offers.items()}
        self._classes = {  # names of classes, as long as scenario and run are still about the same data
            offer.card.fingerprint: offer.card.classes for offer in offers.values() if offer.card is not None
        }
        self.table.rows = [self._describe(row, titles) for row in rows]
        self._choose(*(key for key in (self.table.a, self.table.b) if key in self._rows))
        self.table.scores = {key: scores for key, scores in self.table.scores.items() if key in self._rows}
        self.table.ready = True
        self.context.ticker.soon(self._chosen)
        self.context.ticker.every(self._score)

    def _describe(self, row: Row, titles: Mapping[str, str]) -> dict[str, Any]:
        """A run as the table in the browser has it."""
        entry = catalog.EXPERIMENTS.get(row.experiment)
        return {
            "key": row.key,
            "name": row.name,
            "label": self._label(row),
            "pinned": row.pinned,
            "created": row.created,
            "experiment": entry.title if entry is not None else row.experiment,
            "scenario": titles.get(row.scenario, row.scenario),
            "chips": [[chip.text, chip.note] for chip in self._chips(row)],
            "old": row.old_code,
            "recorded": row.recorded,
            "seconds": row.seconds,
            "took": duration(row.seconds),
        }

    def _chips(self, row: Row) -> list[figures.Chip]:
        return figures.chips(json.loads(row.spec), self._classes.get(row.fingerprint, ()))

    def _label(self, row: Row) -> str:
        """The name, or what was asked."""
        entry = catalog.EXPERIMENTS.get(row.experiment)
        words = [entry.title if entry is not None else row.experiment, *(chip.text for chip in self._chips(row))]
        return row.name or ", ".join(words)

    def _score(self) -> None:
        """Look up the scores of a few more runs."""
        waiting = [key for key in self._rows if key not in self.table.scores]
        found = {key: self._best(key) for key in waiting[:BATCH]}
        if found:
            self.table.scores = {**self.table.scores, **found}
        if len(waiting) <= BATCH:
            self.context.ticker.stop(self._score)

    def _best(self, key: str) -> list[list[Any]]:
        scores = figures.best_scores(self._runs.columns(key, "sweep"))
        return [[label(method), score, swatch(method)] for method, score in scores.items() if score == score]

    # --- what a person does -----------------------------------------------------------------------------------------

    def _hear(self, message: Mapping[str, Any]) -> None:
        self.table.error = ""
        try:
            self._obey(message)
        except StoreError as error:
            self.table.error = str(error)
        self._read()

    def _obey(self, message: Mapping[str, Any]) -> None:
        key = str(message.get("key", ""))
        match message.get("do"):
            case "pin":
                self._runs.pin(key, bool(message.get("pinned")))
            case "rename":
                self._runs.rename(key, str(message.get("name", "")))
            case "delete":
                row = self._rows.get(key)
                self._deleted = self._runs.delete(key), monotonic() + UNDO
                self.table.deleted = self._label(row) if row is not None else "The run"
            case "undo" if self._deleted is not None:
                self._runs.restore(self._deleted[0])
                self._deleted, self.table.deleted = None, ""
            case "start":
                self.context.show(RemovalSpec())

    def _choose(self, a: str = "", b: str = "") -> None:
        with self.table.hold_sync():
            self.table.a, self.table.b = a, b

    def _chosen(self) -> None:
        """Show what is chosen, if that is not what is shown."""
        keys = tuple(key for key in (self.table.a, self.table.b) if key in self._rows)
        state = (*keys, *(f"{self._rows[key].name} {self._rows[key].old_code}" for key in keys))
        if state != self._shown:
            if keys:
                self._untouched = False
            self._shown = state
            self._draw([self._rows[key] for key in keys])
        self.state_changed()

    def state_changed(self) -> None:
        """Link and address line follow what is chosen."""
        keys = zip("ab", (key for key in (self.table.a, self.table.b) if key), strict=False)
        query = {"tab": "history", **{name: self._prefix(key) for name, key in keys}}
        self.share.query = self.context.viewing.link(query)
        if self.active:
            self.context.page.query = self.context.viewing.address(query)

    def _prefix(self, key: str) -> str:
        """The shortest beginning of a key, of a readable length, that no other run has."""
        others = [other for other in self._rows if other != key]
        return next(
            (key[:size] for size in range(PREFIX, len(key)) if not any(o.startswith(key[:size]) for o in others)), key
        )

    def _press(self, name: str) -> None:
        if name == "open" and self.table.a in self._rows:
            try:
                self.context.show(spec_from(self._rows[self.table.a].spec))
            except SpecError as error:
                self.table.error = f"This question cannot be asked any more: {error}"

    # --- below the table --------------------------------------------------------------------------------------------

    def _draw(self, rows: list[Row]) -> None:
        loaded = [self._runs.get(row.key) for row in rows]
        self.results = [result for result in loaded if result is not None]
        if not self.results or len(self.results) < len(rows):  # nothing, or deleted this very moment
            self.below.add_class("gd-hidden")
            return
        try:
            if len(rows) == 1:
                said = self._draw_one(rows[0], self.results[0])
            else:
                said = self._draw_two(rows[0], rows[1], *self.results)
        except KeyError:
            if not any(row.old_code for row in rows):
                raise
            self._picture(None)
            self.words.value = ""
            said = ["These tables are of an older form and cannot be drawn any more; CSV and JSON have all of them."]
        caveats = "".join(f'<p class="gd-caveat">{escape(sentence)}</p>' for sentence in said)
        self.who.value = f'<div class="gd-who">{"".join(map(self._section, "AB", rows))}</div>{caveats}'
        self._offer_ways_out(rows)
        self.below.remove_class("gd-hidden")

    def _section(self, tag: str, row: Row) -> str:
        entry = catalog.EXPERIMENTS.get(row.experiment)
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(row.created))
        asked = [chip.text for chip in self._chips(row)] or ["the defaults"]
        said = [entry.title if entry else row.experiment, row.scenario, *asked, when, f"took {duration(row.seconds)}"]
        named = [row.name] if row.name else [when]
        mark = "older code" if row.old_code else "recorded" if row.recorded else ""
        old = f' <span class="gd-asked-chip gd-older">{mark}</span>' if mark else ""
        return (
            f'<section><h2><span class="gd-tag">{tag}</span>{escape(named[0])}</h2>'
            f'<p class="gd-muted">{escape(" · ".join(filter(None, said)))}{old}</p></section>'
        )

    def _draw_one(self, row: Row, result: Result) -> list[str]:
        """Curves and numbers of one run; returns what must be known of them."""
        self._picture(figures.picture(result))
        if result.experiment == "removal":
            self.words.value = f'{scores_html(result)}<p class="gd-help">{facts(result)}</p>'
        elif result.experiment == "toy":
            table = figures.numbers(result.tables)
            self.words.value = figures.numbers_html(table, caption="At the end of the way") if len(table) else ""
        else:
            self.words.value = figures.summary_html(result, caption="What one looks at first; the CSV has all")
        if row.recorded:
            return [recorded.sentence(result)]
        if not row.old_code:
            return []
        return [
            "Computed by older code: today's may give other numbers. Opened in its tab, the question is computed again "
            "when Run is pressed."
        ]

    def _draw_two(self, row_a: Row, row_b: Row, a: Result, b: Result) -> list[str]:
        """Both runs' curves and all differences; returns what must be known of them."""
        both = a.experiment == b.experiment == "removal"
        self._picture(figures.overlay(*(curves(run.tables["sweep"], run.spec) for run in (a, b))) if both else None)
        same_data = row_a.fingerprint == row_b.fingerprint
        asked = figures.questions(a.spec, b.spec, self._classes.get(row_a.fingerprint, ()) if same_data else ())
        origins = figures.origins(
            *(
                figures.origin(result.provenance, code=row.code, older=row.old_code, fingerprint=row.fingerprint)
                for row, result in ((row_a, a), (row_b, b))
            )
        )
        self.words.value = "".join(
            [
                self._differences(a, b),
                '<div class="gd-two-tables"><div>',
                figures.pair_html(asked, caption="What was asked differently", title="Setting"),
                "</div><div>",
                figures.pair_html(origins, caption="Where the numbers come from, as far as it differs", title=""),
                "</div></div>",
            ]
        )
        return figures.caveats(a, b, same_data=same_data)

    def _differences(self, a: Result, b: Result) -> str:
        if not {a.experiment, b.experiment} <= set(figures.COMPARED):
            return figures.summaries_html(a, b)
        table = self.compared()
        return "".join(
            [
                figures.differences_html(table, [*figures.SCORES, *figures.ENDS], caption="Differences in numbers"),
                figures.differences_html(table, figures.COSTS, caption="Differences in cost, of the solves"),
            ]
        )

    def _picture(self, chart: Any) -> None:
        if chart is None:
            self.chart.add_class("gd-hidden")
            return
        self.chart.draw(chart)
        self.chart.remove_class("gd-hidden")

    def compared(self) -> pd.DataFrame:
        """What the two chosen runs differ in, as the CSV has it: `figures.differences`, or `figures.summaries`."""
        one, other = self.results
        if not {one.experiment, other.experiment} <= set(figures.COMPARED):
            table = figures.summaries(one, other)
            both = [one.summary().assign(run="A"), other.summary().assign(run="B")]
            return table if table is not None else pd.concat(both, ignore_index=True)
        a, b = (figures.numbers(result.tables) for result in self.results)
        return figures.differences(a, b)

    # --- ways out ---------------------------------------------------------------------------------------------------

    def _offer_ways_out(self, rows: list[Row]) -> None:
        specs = [spec for row in rows if (spec := _asked(row)) is not None]
        marks = ["", ""] if len(specs) == 1 else ["# A\n", "# B\n"]
        self.share.python = "\n\n".join(mark + to_python(spec) for mark, spec in zip(marks, specs, strict=False))
        self.share.command = "\n".join(map(to_cli, specs))
        title = self.context.tabs.get(rows[0].experiment)
        help = "the same question in its own tab; settings can be changed there"
        self.actions.buttons = [["open", f"Open in {title}", help]] if len(rows) == 1 and title else []

    def _export(self, kind: str) -> None:
        keys = "-".join(key[:PREFIX] for key in (self.table.a, self.table.b) if key)
        if not self.results:
            return
        alone = len(self.results) == 1
        if kind == "CSV":
            text = (self.results[0].table if alone else self.compared()).to_csv(index=False)
            self.context.page.download(f"gif-dash-{keys}.csv", text, "text/csv")
        elif kind == "JSON":
            told = [result.to_json() for result in self.results]
            text = told[0] if alone else f'{{"a": {told[0]}, "b": {told[1]}}}'
            self.context.page.download(f"gif-dash-{keys}.json", text, "application/json")


def _asked(row: Row) -> Spec | None:
    """The question of a run, if it can still be asked."""
    try:
        return spec_from(row.spec)
    except SpecError:
        return None
