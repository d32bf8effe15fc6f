"""A whole dashboard over made-up answers, in this process: what a visitor's kernel holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipywidgets
from backdoor.backdoor_fakes import result as backdoor
from criteria.criteria_fakes import result as criteria
from layers.layers_fakes import answer as layers
from methods.methods_fakes import answer as methods
from panels.panels_fakes import CARD, FakeClient
from panels.panels_fakes import result as removal
from spectrum.spectrum_fakes import answer as spectrum

from gif_dash import Dashboard
from gif_dash.app import TABS
from gif_dash.catalog import EXPERIMENTS, resolve
from gif_dash.compute.store import Store
from gif_dash.compute.work import Answer, pack
from gif_dash.panels.hearing import Hearing, listen
from gif_dash.results import Result
from gif_dash.specs import RemovalSpec, Spec


class Strict(FakeClient):
    """Has an answer for the first question of most tabs, and takes no question that is not one."""

    def __init__(self, store: Store) -> None:
        super().__init__(CARD.model_copy(update={"classes": tuple("0123456789"), "train_counts": (10,) * 10}))
        self.runs = store
        self.taken: list[str] = []

    def stored(self, spec: Spec) -> Result | None:
        check(spec)
        return super().stored(spec)

    def submit(self, spec: Spec) -> str:
        check(spec)
        spec.check(self.card)
        return super().submit(spec)

    def take_home(self, spec: Spec, method: str, scalar: float) -> str:
        check(spec)
        assert method in spec.methods  # type: ignore[attr-defined]
        assert scalar == scalar
        self.taken.append(method)
        return super().submit(spec)

    def keep(self, answer: Result) -> None:
        kind = resolve(EXPERIMENTS[answer.experiment].spec)
        values = {name: value for name, value in answer.spec.items() if name != "experiment"}
        self.answers[kind.parse(values).canonical()] = answer


def check(spec: Spec) -> None:
    """A spec is what its own rules allow, whichever way it came about."""
    again = type(spec).parse(spec.model_dump(mode="json"))
    assert again == spec
    assert len(spec.canonical()) < 100_000


class WholePage:
    """The dashboard, with every tab opened, heard as visitors' pages are."""

    def __init__(self, folder: Path, monkeypatch: Any) -> None:
        monkeypatch.setattr(ipywidgets.Widget, "_handle_msg", ipywidgets.Widget._handle_msg)  # `listen` replaces it
        self.store = Store(folder)
        self.client = Strict(self.store)
        for answer in (removal(RemovalSpec()), backdoor(), criteria(), layers(), methods(), spectrum()):
            self.client.keep(answer)
        for spec in (RemovalSpec(forget_classes=(1,)), RemovalSpec(mr=30)):
            self.store.put(spec, Answer(pack(removal(spec)), CARD.model_dump_json(), 6.5))
        monkeypatch.setattr("gif_dash.compute.client.connect", lambda: self.client)
        monkeypatch.setattr("gif_dash.app.listen", lambda reporter, log: listen(reporter))
        monkeypatch.setenv("VOILA_KERNEL_ID", "0")
        self.dashboard = Dashboard(query="")
        assert self.dashboard.hearing is not None
        self.hearing: Hearing = self.dashboard.hearing
        for place in range(len(TABS)):
            self.dashboard.tabs.selected = place
            self.beat()

    def beat(self) -> None:
        for _ in range(3):
            self.dashboard.ticker.tick()

    def widgets(self) -> list[ipywidgets.Widget]:
        """All that hang together with the dashboard, each once, parents first."""
        found: dict[int, ipywidgets.Widget] = {}
        waiting: list[Any] = [self.dashboard]
        while waiting:
            widget = waiting.pop()
            if id(widget) in found:
                continue
            found[id(widget)] = widget
            waiting += getattr(widget, "children", ())
            waiting += [part for name in ("layout", "style") if (part := getattr(widget, name, None)) is not None]
        return list(found.values())

    def valid(self) -> None:
        """What must hold whatever was sent."""
        for panel in self.dashboard.panels.values():
            if (spec := getattr(panel, "spec", None)) is not None:
                check(spec)
        assert 0 <= self.dashboard.tabs.selected < len(TABS)
