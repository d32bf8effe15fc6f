"""A hand-made answer and a client that does what it is told, for tests of the page without any computing."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, TypeVar

import pandas as pd

from gif_dash.compute.cards import Offer
from gif_dash.compute.client import View
from gif_dash.panels.base import Context, JobPanel
from gif_dash.panels.page import Page
from gif_dash.panels.ticker import Reporter, Ticker
from gif_dash.results import Result, ScenarioCard
from gif_dash.specs import RemovalSpec, Spec

P = TypeVar("P", bound=JobPanel[Any])

SCALARS = (0.1, 1.0, 10.0, 100.0)


def row(method: str, scalar: float, mark: str = "", **other: Any) -> dict[str, Any]:
    """A row of the sweep whose numbers can be told from the scalar."""
    s = 0.0 if math.isnan(scalar) else scalar
    known = {
        "method": method,
        "scalar": scalar,
        "mark": mark,
        "self_loss": 0.1 + s,
        "self_accuracy": max(0.0, 90.0 - s),
        "test_loss": 0.05 + s / 100,
        "test_accuracy": 98.0 - s / 10,
        "score": min(1.0, s / 100),
        "forget_loss": 0.01 + s,
        "forget_accuracy": max(0.0, 95.0 - s),
        "choice_score": min(1.0, s / 100),
        "images": 200,
        "seed": 0,
    }
    return known | other


def sweep(methods: tuple[str, ...] = ("gif", "fif"), scalars: tuple[float, ...] = SCALARS) -> pd.DataFrame:
    rows = [row("original", math.nan)]
    rows += [row("retrain", math.nan, self_accuracy=0.0, test_accuracy=97.0, score=0.985, self_loss=9.0)]
    rows += [row("retrain_warm", math.nan, self_accuracy=40.0, score=0.75)]
    for method in methods:
        rows += [row(method, scalar) for scalar in scalars]
        rows += [row(method, 1.0, "one", self_loss=1.25), row(method, 100.0, "best", score=0.98, self_accuracy=1.0)]
    return pd.DataFrame(rows)


def result(spec: RemovalSpec | None = None, **other: Any) -> Result:
    """An answer with all tables of class removal; for three classes, of which the spec's are removed."""
    spec = spec or RemovalSpec(forget_classes=(2,), methods=("gif", "fif"))
    methods = tuple(spec.methods)
    solves = pd.DataFrame(
        {
            "method": method,
            "solver": "cgls",
            "status": "stopped",
            "iterations": 5,
            "hvps": 11,
            "seconds": 0.25,
            "sigma_max": 2.0,
            "relative_residual": 0.4,
            "optimality": 0.03,
            "curvature": 0.5,
            "norm_ratio": 0.01,
            "stationarity": 0.09,
            "message": "",
        }
        for method in methods
    )
    trust = pd.DataFrame(
        {
            "method": method,
            "mark": mark,
            "scalar": scalar,
            "rho": rho,
            "rho_error": 0.02,
            "numerator": rho * 0.1,
            "denominator": 0.1,
            "verdict": verdict,
            "distance": 5.0,
            "distance_original": 6.0,
            "cosine": 0.1,
            "distance_warm": 0.9,
            "distance_original_warm": 1.0,
            "cosine_warm": 0.5,
        }
        for method in methods
        for mark, scalar, rho, verdict in (("one", 1.0, 1.02, "good"), ("best", 100.0, 0.03, "poor"))
    )
    layers = pd.DataFrame(
        {
            "method": method,
            "layer": layer,
            "kind": "Linear",
            "parameters": 100,
            "selected": 10,
            "share": 10.0,
            "norm": norm,
            "theta_norm": 3.0,
        }
        for method in methods
        for layer, norm in (("0", 0.5), ("2", 0.25))
    )
    who = [("original", ""), ("retrain", ""), *((method, mark) for method in methods for mark in ("one", "best"))]
    confusion = pd.DataFrame(
        {"method": name, "mark": mark, "true": true, "predicted": said, "count": 7 if true == said else 1}
        for name, mark in who
        for true in range(3)
        for said in range(3)
    )
    tables = {"sweep": sweep(methods), "solves": solves, "trust": trust, "layers": layers, "confusion": confusion}
    provenance = {"seconds": 6.5, "hvps": 22, "k": 20, "p": 200, "data_note": "", "device": "cpu"}
    spec_values = {"experiment": "removal", **spec.model_dump(mode="json")}
    return replace(Result(spec_values, tables, provenance), **other)


CARD = ScenarioCard(
    name="digits-cnn",
    title="Digits, small CNN",
    fingerprint="f",
    classes=("zero", "one", "two"),
    train_size=30,
    test_size=12,
    train_counts=(10, 10, 10),
    parameters=200,
    thumbnails=(("aGk=",), ("aGk=",), ("aGk=",)),
    test_accuracy=97.0,
)


class FakeClient:
    """Answers from `answers`, keeps account of what it was asked, and lets a test move a run on."""

    def __init__(self, card: ScenarioCard | None = CARD) -> None:
        self.answers: dict[str, Result] = {}
        self.submitted: list[Spec] = []
        self.cancelled: list[str] = []
        self.views: dict[str, View] = {}
        self.card = card
        self.warning = ""

    def submit(self, spec: Spec) -> str:
        spec.check(self.card)
        self.submitted.append(spec)
        ticket = f"ticket-{len(self.submitted)}"
        self.views[ticket] = View("queued", position=1)
        return ticket

    def prepare(self, scenario: str) -> str:
        raise NotImplementedError

    def view(self, ticket: str) -> View:
        return self.views[ticket]

    def cancel(self, ticket: str) -> None:
        self.cancelled.append(ticket)

    def stored(self, spec: Spec) -> Result | None:
        return self.answers.get(spec.canonical())

    def offers(self) -> list[Offer]:
        return [
            Offer("digits-cnn", "Digits", "small", self.card, "ready" if self.card else "quick"),
            Offer("mnist-cnn", "MNIST", "large", None, "command", "gif-dash prepare mnist-cnn"),
        ]

    def store(self, answer: Result) -> None:
        values = {name: value for name, value in answer.spec.items() if name != "experiment"}
        self.answers[RemovalSpec.parse(values).canonical()] = answer


def asking(panel: P, spec: Spec) -> P:
    """The panel as a visitor finds it who has opened a link with this question, after a beat."""
    panel.spec = spec
    panel.form.write(spec)
    panel.show()
    panel.context.ticker.tick()
    return panel


def context(client: FakeClient | None = None) -> Context:
    """What panels share, with a ticker that a test moves by hand."""
    reporter = Reporter()
    fake = client or FakeClient()
    return Context(Page(), Ticker(reporter), reporter, lambda: fake)
