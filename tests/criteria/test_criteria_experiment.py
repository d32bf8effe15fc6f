"""The criteria's cells against class removal's own answers, what cannot be, and how a run tells of itself."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable

import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset

from gif_dash.experiments import criteria, pieces, removal
from gif_dash.experiments.metrics import stratified_half
from gif_dash.influence import Hessian
from gif_dash.progress import Cancelled, Postponed, Silent
from gif_dash.results import Result
from gif_dash.scenarios import Recipe, Scenario, load, register
from gif_dash.specs import CriteriaSpec

METRICS = ["self_loss", "self_accuracy", "test_loss", "test_accuracy", "score", "self_accuracy_se", "test_accuracy_se"]
METRICS += ["score_se", "forget_loss", "forget_accuracy", "images"]


@pytest.fixture(scope="module", autouse=True)
def small_network() -> None:
    """A perceptron with one hidden layer on four digits; trains in a second."""
    digits = load_digits(n_class=4)
    inputs, labels = torch.tensor(digits.images / 16, dtype=torch.float32), torch.tensor(digits.target)
    train, test = TensorDataset(inputs[:400], labels[:400]), TensorDataset(inputs[400:], labels[400:])
    register(
        Scenario(
            name="criteria-perceptron",
            model=lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Tanh(), nn.Linear(10, 4)),
            train=train,
            test=test,
            classes=["zero", "one", "two", "three"],
            recipe=Recipe("sgd", lr=0.3, epochs=25, batch=50, weight_decay=1e-3),
        )
    )


def ask(**changes: object) -> CriteriaSpec:
    small = {"scenario": "criteria-perceptron", "forget_classes": [3], "mrs": [5, 40], "iterations": 3}
    return CriteriaSpec.parse(
        {**small, "criteria": ["top-gradients", "random"], "curvature_samples": 150, "sweep_samples": 60, **changes}
    )


@pytest.fixture(scope="module")
def result(small_network: None) -> Result:
    return criteria.run(ask(), Silent())


def cell(result: Result, criterion: str, mr: float) -> pd.DataFrame:
    table = result.table
    return table[(table["criterion"] == criterion) & (table["mr"] == mr)].set_index("mark")


@pytest.mark.parametrize(("criterion", "mr"), ask().cells)
def test_every_cell_is_class_removals_own_answer(result: Result, criterion: str, mr: float) -> None:
    own = removal.run(ask().cell(criterion, mr), Silent())  # type: ignore[arg-type]
    mine = cell(result, criterion, mr)
    sweep = own.table[own.table["method"] == "gif"]
    solve, trust = own.tables["solves"].iloc[0], own.tables["trust"].set_index("mark")
    for mark in ("one", "best"):
        theirs = sweep[sweep["mark"] == mark].iloc[0]
        assert mine["scalar"][mark] == theirs["scalar"]
        for name in METRICS:
            assert mine[name][mark] == pytest.approx(theirs[name], rel=1e-5, abs=1e-6), name
        assert mine["rho"][mark] == pytest.approx(trust["rho"][mark], rel=1e-3)
        assert mine["distance"][mark] == pytest.approx(trust["distance"][mark], rel=1e-5)
        assert mine["distance_warm"][mark] == pytest.approx(trust["distance_warm"][mark], rel=1e-5)
    assert mine["hvps"]["one"] == solve["hvps"] == 7
    assert mine["relative_residual"]["one"] == pytest.approx(solve["relative_residual"], rel=1e-5)
    assert mine["norm_ratio"]["one"] == pytest.approx(solve["norm_ratio"], rel=1e-5)
    assert (mine["k"]["one"], mine["share"]["one"]) == (own.provenance["k"], own.provenance["share"])

    points = result.tables["curves"]
    points = points[(points["criterion"] == criterion) & (points["mr"] == mr)]
    theirs = sweep[sweep["mark"] == ""]
    assert points["scalar"].tolist() == theirs["scalar"].tolist()
    assert points["score"].tolist() == pytest.approx(theirs["score"].tolist())
    assert points["self_loss"].tolist() == pytest.approx(theirs["self_loss"].tolist(), rel=1e-4)


def test_references_are_class_removals(result: Result) -> None:
    own = removal.run(ask().cell("random", 5), Silent()).table.set_index("method")
    mine = result.table[result.table["criterion"] == ""].set_index("method")
    assert list(mine.index) == ["original", "retrain", "retrain_warm"]
    for name in mine.index:
        for column in METRICS:
            assert mine[column][name] == pytest.approx(own[column][name]), (name, column)
    assert mine[["mr", "scalar", "k"]].isna().all().all()


def test_lowest_k_are_the_units_that_top_k_leaves_out() -> None:
    """Below half of every layer the two ends of the ranking share nothing."""
    spec = ask(criteria=["top-outputs", "lowest-outputs"], mrs=[40])
    with criteria.Criteria.of(spec.cell("top-outputs", 40), Silent()) as run:
        top, low = (set(run.select(name, 40).indices.tolist()) for name in spec.criteria)
    assert top
    assert not top & low


def test_standard_errors_of_the_losses_are_those_of_a_mean(result: Result) -> None:
    prepared = load("criteria-perceptron", Silent())
    inputs, labels = prepared.test.batch(torch.arange(len(prepared.test_labels)))
    with torch.no_grad():
        losses = nn.functional.cross_entropy(prepared.model(inputs), labels, reduction="none").double().numpy()
    reported, gone = (~stratified_half(labels)).numpy(), (labels == 3).numpy()
    origin = result.table.iloc[0]
    for name, chosen in (("self_loss", reported & gone), ("test_loss", reported & ~gone)):
        part = losses[chosen]
        assert origin[name] == pytest.approx(part.mean(), rel=1e-5)
        assert origin[f"{name}_se"] == pytest.approx(part.std(ddof=1) / math.sqrt(len(part)), rel=1e-5)
    assert math.isnan(criteria.mean_error(torch.tensor([1.0])))


def test_cell_that_cannot_be_is_a_row_with_its_sentence() -> None:
    found = criteria.run(ask(mrs=[0.01, 40]), Silent())
    failed = found.table[found.table["mark"] == "failed"]
    assert failed[["criterion", "mr"]].to_numpy().tolist() == [["top-gradients", 0.01], ["random", 0.01]]
    assert failed["message"].str.contains("selects none of the 694 parameters").all()
    assert failed["score"].isna().all()
    assert cell(found, "random", 40)["score"].notna().all()
    assert set(found.tables["curves"]["mr"]) == {40.0}


def test_methods_beside_gif_are_their_own() -> None:
    spec = ask(method="gradient", criteria=["random"], mrs=[40])
    row = cell(criteria.run(spec, Silent()), "random", 40).loc["one"]
    assert row["method"] == "gradient"
    assert row["hvps"] == 0


class Listener(Silent):
    """Keeps what it is told; stops the run at a partial table."""

    def __init__(self, stop: Callable[[pd.DataFrame], bool] = lambda table: False) -> None:
        self.stages: list[list[object]] = []
        self.cells: list[int] = []
        self.tables: set[str] = set()
        self.stop = stop

    def stage(self, title: str, total: int = 0) -> None:
        self.stages.append([title, total, 0])

    def advance(self, units: int = 1) -> None:
        self.stages[-1][2] += units  # type: ignore[operator]

    def partial(self, table: str, make: Callable[[], pd.DataFrame]) -> None:
        self.tables.add(table)
        made = make()
        if table == "cells":
            self.cells.append(int((made["mark"] == "best").sum()))
            if self.stop(made):
                raise Cancelled


def test_cells_stream_one_by_one_under_one_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Hessian] = []
    begin = Hessian.__init__

    def counted(self: Hessian, *arguments: object, **named: object) -> None:
        built.append(self)
        begin(self, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Hessian, "__init__", counted)
    heard = Listener()
    found = criteria.run(ask(), heard)
    assert heard.cells == [0, 1, 2, 3, 4]
    assert heard.tables == {"cells", "curves"}, "the sweeps of single cells are nobody's business"
    title, total, done = heard.stages[-1]
    assert (title, done) == ("4 cells: 2 criteria at 2 ratios", total)
    assert len(built) == 1, "one curvature for all cells"
    assert found.provenance["hvps"] == 4 * (7 + 1), "seven for a solve, one for its trust figures"


def test_run_can_be_stopped_between_cells() -> None:
    heard = Listener(stop=lambda table: int((table["mark"] == "best").sum()) == 2)
    with pytest.raises(Cancelled):
        criteria.run(ask(), heard)
    assert heard.cells == [0, 1, 2]


class Busy(Silent):
    """Somebody else always waits."""

    def give_way(self) -> None:
        raise Postponed("another question goes first")


def test_a_run_gives_way_between_its_cells_and_goes_on_to_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    spec, turns, solved = ask(seed=7), 0, []
    solve = criteria.Criteria.solve

    def counted(self: criteria.Criteria, *arguments: object) -> object:
        solved.append(1)
        return solve(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(criteria.Criteria, "solve", counted)
    while True:
        try:
            result = criteria.run(spec, Busy())
            break
        except Postponed:
            turns += 1
    assert (turns, len(solved)) == (3, 4)
    shutil.rmtree(pieces.cache_dir() / "pieces")
    undisturbed = criteria.run(spec, Silent())
    own = ["seconds", "selection_seconds"]
    pd.testing.assert_frame_equal(result.table.drop(columns=own), undisturbed.table.drop(columns=own), rtol=1e-5)
    pd.testing.assert_frame_equal(result.tables["curves"], undisturbed.tables["curves"], rtol=1e-5)
    assert result.provenance["hvps"] == undisturbed.provenance["hvps"] > 0
    solved.clear()
    larger = criteria.run(ask(seed=7, mrs=[5, 20, 40]), Silent())
    assert len(solved) == 2  # the other cells are those of the smaller question
    again = larger.table[larger.table["mr"] != 20].reset_index(drop=True)
    pd.testing.assert_frame_equal(again, undisturbed.table)


def test_a_run_whose_cells_cannot_be_kept_does_not_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "write", lambda path, piece: False)
    assert len(criteria.run(ask(seed=8), Busy()).table)  # it would begin anew for ever
