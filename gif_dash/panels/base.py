"""What every panel has in common: a form made from its spec, a status line, ways out, a state that fits in a link."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import ipywidgets
import pandas as pd

from gif_dash.figures import recorded
from gif_dash.figures.export import standalone_html
from gif_dash.figures.tables import duration
from gif_dash.panels.asking import Asking
from gif_dash.panels.bars import Fold, RunBar, ShareBar, column, html, intro
from gif_dash.panels.form import Form
from gif_dash.panels.page import Page
from gif_dash.panels.ticker import Reporter, Ticker
from gif_dash.panels.viewing import Viewing
from gif_dash.results import Result
from gif_dash.specs import Spec, SpecError
from gif_dash.spelling import from_query, to_cli, to_python, to_query, to_yaml

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from gif_dash.compute.client import Client, View

S = TypeVar("S", bound=Spec)


@dataclass(frozen=True)
class Context:
    """What the panels of one dashboard share.

    Attributes:
        page: what only the browser can do.
        ticker: owner of all widget writes that a computation causes.
        reporter: wraps every callback.
        connect: the client of the compute side; made at the first call, the same one ever after.
        show: opens the tab of a question with that question; looks up the answer, computes nothing.
        tabs: titles of the tabs by experiment.
        viewing: what is hidden, and the lesson that is going on.
    """

    page: Page
    ticker: Ticker
    reporter: Reporter
    connect: Callable[[], Client]
    show: Callable[[Spec], None] = lambda spec: None
    tabs: Mapping[str, str] = field(default_factory=dict)
    viewing: Viewing = field(default_factory=Viewing)


class Panel(Generic[S]):
    """One experiment's controls and results.

    A panel says what is shown in `build`, and what happens when the form holds another valid question in `update`. It
    computes what takes milliseconds by itself; what takes longer is the business of `JobPanel`.
    """

    spec_class: ClassVar[type[Spec]]
    title: ClassVar[str] = ""
    intro: ClassVar[str] = ""  #: one or two sentences of HTML above the controls
    overrides: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  #: see `gif_dash.panels.form.describe`
    files: ClassVar[Sequence[str]] = ("CSV", "HTML", "PNG", "SVG")

    def __init__(self, context: Context) -> None:
        self.context = context
        self.guard = context.reporter.guard
        self.spec: S = self.spec_class()  # type: ignore[assignment]
        self.active = False
        self._built = False
        self.form: Form[S] = Form(self.spec_class, self.spec, overrides=self.overrides)  # type: ignore[arg-type]
        self.form.label = f"Settings: {self.title}"
        self.bar = self._run_bar()
        self.share = ShareBar(self.guard(self._export), files=list(self.files))
        self.results = column(classes=("gd-results",))
        controls = column(*self.controls(), classes=("gd-controls",))
        self.widget = column(
            intro(self.title, self.intro),
            ipywidgets.Box([controls, self.results], _dom_classes=("gd-columns",)),
            classes=("gd-panel",),
        )
        self.form.observe(self.guard(lambda _change: context.ticker.soon(self._changed)), "values")

    # --- what a panel writes ---------------------------------------------------------------------------------------

    def build(self) -> Sequence[ipywidgets.Widget]:
        """The results, top to bottom; called once, when the panel is first shown."""
        raise NotImplementedError

    def opened(self) -> None:
        """The panel has just been shown for the first time, `build` is done."""

    def update(self, before: S) -> None:
        """`self.spec` is another question than `before`; called at most once a beat, after `build`."""

    def controls(self) -> Sequence[ipywidgets.Widget]:
        """The left column."""
        return (self.form, self.bar, self.share)

    def extra_state(self) -> dict[str, str]:
        """What a link restores beside the spec (a marker's position)."""
        return {}

    def restore_extra(self, query: Mapping[str, str]) -> list[str]:
        """Inverse of `extra_state`; returns one sentence for everything that could not be followed."""
        return []

    def export_tables(self) -> Mapping[str, pd.DataFrame]:
        """Tables of what is shown; the first is the CSV. Empty while there is nothing."""
        return {}

    def export_figures(self) -> Sequence[go.Figure]:
        """What is shown, as plotly figures."""
        return ()

    def export_words(self) -> Sequence[str]:
        """What is said beside the figures, as HTML paragraphs."""
        return ()

    def export_provenance(self) -> Mapping[str, Any]:
        return {}

    # --- state ------------------------------------------------------------------------------------------------------

    def restore(self, query: Mapping[str, str]) -> list[str]:
        """Take the state of a link before the panel is shown; returns one sentence for all that was off."""
        spec, sentences = from_query(self.spec_class, query)
        self.spec = spec  # type: ignore[assignment]
        self.form.write(self.spec)
        return sentences + self.restore_extra(query)

    def show(self) -> None:
        """The panel becomes visible."""
        self.active = True
        if not self._built:
            self._built = True
            self.results.children = tuple(self.build())
            self.opened()
        self.state_changed()

    def hide(self) -> None:
        """Another panel becomes visible."""
        self.active = False

    def state_changed(self) -> None:
        """Link, address line, Python lines and command follow the state."""
        query = {"tab": self.spec.experiment, **to_query(self.spec), **self.extra_state()}
        self.share.query = self.context.viewing.link(query)
        self.share.python, self.share.command = to_python(self.spec), to_cli(self.spec)
        self.share.yaml = to_yaml(self.spec)
        if self.active:
            self.context.page.query = self.context.viewing.address(query)

    def _changed(self) -> None:
        before = self.spec
        try:
            self.spec = self.form.read()
        except SpecError:
            return  # the form says so beside the field
        if self.spec == before:
            return
        self.state_changed()
        if self._built:
            self.update(before)

    # --- ways out ---------------------------------------------------------------------------------------------------

    def _export(self, kind: str) -> None:
        tables = self.export_tables()
        if not tables:
            self.bar.error = "There is nothing to save yet: run it first."
            return
        name = f"gif-dash-{self.spec.experiment}"
        if kind == "CSV":
            self.context.page.download(f"{name}.csv", next(iter(tables.values())).to_csv(index=False), "text/csv")
        elif kind == "HTML":
            self.context.page.download(f"{name}.html", self.export_html(), "text/html")

    def shown_spec(self) -> S:
        """The question whose answer is on the screen."""
        return self.spec

    def export_html(self) -> str:
        """What is shown as one self-contained HTML page."""
        return standalone_html(
            f"gif_dash: {self.title}",
            words=self.export_words(),
            figures=self.export_figures(),
            tables=self.export_tables(),
            python=to_python(self.shown_spec()),
            provenance={"spec": self.shown_spec().model_dump(mode="json"), **self.export_provenance()},
        )

    def _run_bar(self) -> RunBar:
        return RunBar(lambda: None, lambda: None, can_run=False)


class NothingShown(Exception):
    """There is no answer on the screen yet."""


class JobPanel(Panel[S]):
    """A panel whose answers take longer than a blink: asked of the compute side, followed as they grow, cancellable.

    It shows a stored answer at once. While a run goes on, the page stays alive; Cancel makes it idle at once, whatever
    the worker does. Answers of runs that nobody waits for any more are dropped.
    """

    def __init__(self, context: Context) -> None:
        self.result: Result | None = None  #: the complete answer on the screen
        self.ticket = ""  #: of the run that is being followed
        self.running: S | None = None  #: its question
        self.waits = False  #: for Run, also with the first question
        self._version = -1
        self.recorded = Asking(context.reporter.guard(self._take_recorded))
        self.recorded.add_class("gd-recorded")
        super().__init__(context)
        above, columns = self.widget.children
        self.widget.children = (above, self.recorded, columns)

    # --- pieces of a panel ------------------------------------------------------------------------------------------

    def _fold(self, title: str, build: Callable[[], ipywidgets.Widget], note: str = "") -> Fold:
        """A fold; one about an answer stays empty as long as there is none (hidden, but a message may open it)."""

        def content() -> ipywidgets.Widget:
            try:
                return build()
            except NothingShown:
                return html("")

        return Fold(title, content, guard=self.guard, note=note)

    def _shown(self) -> Result:
        """The answer on the screen.

        Raises:
            NothingShown: there is none.
        """
        if self.result is None:
            raise NothingShown
        return self.result

    def ask(self, **values: Any) -> None:
        """Another question, by a press on the picture: looked up, or computed at once."""
        self.form.set(**values)
        self.context.ticker.soon(self._ask)

    def _ask(self) -> None:
        self._changed()
        if self.running != self.spec and (self.result is None or self.shown_spec() != self.spec):
            self.run()

    # --- what a panel writes ---------------------------------------------------------------------------------------

    def show_result(self, result: Result) -> None:
        """Draw a complete answer; `self.result` still holds the one before."""
        raise NotImplementedError

    def show_partial(self, tables: Mapping[str, pd.DataFrame]) -> None:
        """Draw what is known so far of the run of `self.running`."""

    def started(self) -> None:
        """A run begins: what is on the screen becomes the run before."""

    def stopped(self) -> None:
        """The run was cancelled or failed: what was drawn of it goes, the last answer comes back."""

    def may_run_alone(self) -> bool:
        """Whether the first question may be computed without being asked for."""
        return True

    # --- running ----------------------------------------------------------------------------------------------------

    def restore(self, query: Mapping[str, str]) -> list[str]:
        before = self.spec
        sentences = super().restore(query)
        if self._built and self.spec != before:
            self.update(before)
        return sentences

    def opened(self) -> None:
        if self.look_up():
            return
        if self.waits:
            self._say_stale()
        elif self.may_run_alone():
            self.run()
        self.say_recorded()

    def update(self, before: S) -> None:
        self.bar.error = ""
        if not self.look_up():
            self._say_stale()
            self.say_recorded()

    def look_up(self) -> bool:
        """Show the stored answer of the current question if there is one."""
        try:
            found = self.context.connect().stored(self.spec)
        except SpecError as error:
            self.form.refuse(error)
            return False
        if found is None:
            return False
        if self.ticket:
            self._leave()
        self._finish(found, "Recorded run" if "recorded" in found.provenance else "Stored result")
        return True

    def run(self) -> None:
        """Ask for the current question."""
        try:
            self.spec = self.form.read()
            ticket = self.context.connect().submit(self.spec)
        except SpecError as error:
            self.form.refuse(error)
            self.bar.error = str(error)
            return
        if self.ticket:
            self._leave()
        self.state_changed()
        self.ticket, self.running, self._version = ticket, self.spec, -1
        self.bar.error, self.bar.clock, self.bar.fraction = "", "", None
        self.bar.running, self.bar.primary, self.bar.status = True, False, "Waiting to start"
        self.started()
        self.context.ticker.every(self.poll)

    def cancel(self) -> None:
        """Idle at once; the worker is told and stops when it can."""
        if not self.ticket:
            return
        self._leave()
        self._idle("Cancelled")
        self.stopped()

    def poll(self) -> None:
        """One look at the run; the ticker calls it."""
        if not self.ticket:
            self.context.ticker.stop(self.poll)
            return
        try:
            view = self.context.connect().view(self.ticket)
        except Exception:  # the server has ended: say it once, not at every beat
            self.ticket = ""
            self._idle("Stopped")
            raise
        if view.state in ("queued", "running"):
            self._follow(view)
        elif view.state == "done" and view.result is not None:
            self.ticket = ""
            self._finish(view.result, f"Done in {duration(view.seconds)}" if view.seconds else "Stored result")
        else:
            self.ticket = ""
            self._idle("Cancelled" if view.state == "cancelled" else "Stopped")
            self.bar.error = view.error
            self.stopped()

    def _follow(self, view: View) -> None:
        if view.state == "queued":
            self.bar.status = waiting(view)
        else:
            self.bar.status = view.stage or "Running"
        self.bar.fraction = view.fraction
        self.bar.clock = f"{duration(view.seconds)}{time_left(view)}"
        if view.version != self._version:
            self._version = view.version
            if view.partial:
                self.show_partial(view.partial)

    def _finish(self, result: Result, words: str) -> None:
        self._idle(words)
        self.show_result(result)
        self.result = result
        if self.running is not None and self.running != self.spec:
            self._say_stale()  # the person has gone on while it ran
        self.running = None
        self.say_recorded()

    def _idle(self, words: str) -> None:
        self.context.ticker.stop(self.poll)
        self.bar.running, self.bar.fraction, self.bar.clock, self.bar.status = False, None, "", words
        self.bar.primary = False

    def _leave(self) -> None:
        ticket, self.ticket, self.running = self.ticket, "", None
        self.context.ticker.stop(self.poll)
        self.context.connect().cancel(ticket)

    def _say_stale(self) -> None:
        if not self.bar.running:
            self.bar.primary = True
            self.bar.status = "Settings changed: press Run to compute them" + self.estimate()

    # --- what was recorded ------------------------------------------------------------------------------------------

    def recorded_questions(self) -> list[S]:
        """What was recorded of this experiment, where it is not computed at once."""
        return []

    def preparing(self) -> str:
        """The command without which no other questions can be asked here; empty where they can."""
        return ""

    def _take_recorded(self, what: str) -> None:
        """Show one of the recorded questions."""
        self.form.write(self.recorded_questions()[int(what)])

    def say_recorded(self) -> None:
        """What is recorded, and what of it is on the screen."""
        questions = self.recorded_questions()
        shown = self.result if self.result is not None and "recorded" in self.result.provenance else None
        told = shown is not None or bool(questions)
        self.recorded.html = recorded.note(questions, shown, self.spec, self.preparing()) if told else ""

    def estimate(self) -> str:
        """How long a run will take, as the end of a sentence; from the last run of this panel."""
        seconds = self.result.provenance.get("seconds") if self.result is not None else None
        return f" (the last run took {duration(seconds)})" if isinstance(seconds, (int, float)) else ""

    def shown_spec(self) -> S:
        if self.result is None:
            return self.spec
        values = {name: value for name, value in self.result.spec.items() if name != "experiment"}
        return self.spec_class.parse(values)  # type: ignore[return-value]

    def export_tables(self) -> Mapping[str, pd.DataFrame]:
        return self.result.tables if self.result is not None else {}

    def export_provenance(self) -> Mapping[str, Any]:
        return self.result.provenance if self.result is not None else {}

    def _run_bar(self) -> RunBar:
        return RunBar(self.guard(self.run), self.guard(self.cancel))


def waiting(view: View) -> str:
    """Of a run in the queue: how many are before it, and what runs now."""
    return view.stage or "Waiting to start"


def time_left(view: View) -> str:
    """Of a run that is running: the time until its stage is done, as the end of a sentence; nothing where unknown."""
    return f", about {duration(view.seconds_left)} left" if view.seconds_left is not None else ""
