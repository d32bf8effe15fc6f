"""Class removal against retraining, against its own protocol, and when it is told to stop."""

from __future__ import annotations

import itertools
import math
from typing import get_args

import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset

from gif_dash.compute.client import execute
from gif_dash.experiments import editing, removal, sweep
from gif_dash.experiments.metrics import stratified_half
from gif_dash.experiments.provenance import Stopwatch
from gif_dash.influence import InfluenceError
from gif_dash.progress import Cancelled, Silent
from gif_dash.results import Result
from gif_dash.scenarios import Recipe, Scenario, load, register
from gif_dash.specs import Method, RemovalSpec, SpecError


@pytest.fixture(scope="module", autouse=True)
def softmax_regression() -> None:
    """Softmax regression on five digits: convex, so that retraining has one answer. Trains in a second."""
    digits = load_digits(n_class=5)
    inputs, labels = torch.tensor(digits.images / 16, dtype=torch.float32), torch.tensor(digits.target)
    train, test = TensorDataset(inputs[:600], labels[:600]), TensorDataset(inputs[600:], labels[600:])
    register(
        Scenario(
            name="convex",
            model=lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 5)),
            train=train,
            test=test,
            classes=["zero", "one", "two", "three", "four"],
            recipe=Recipe("sgd", lr=0.5, epochs=80, batch=100, weight_decay=1e-2),
        )
    )


def ask(**changes: object) -> RemovalSpec:
    return RemovalSpec.parse({"scenario": "convex", "forget_classes": [3], "mr": 50, **changes})


@pytest.fixture(scope="module")
def result(softmax_regression: None) -> Result:
    return removal.run(ask(methods=get_args(Method)), Silent())


def test_table_has_what_it_promises(result: Result) -> None:
    table = result.table
    promised = ["method", "scalar", "mark", "self_loss", "self_accuracy", "test_loss", "test_accuracy", "score"]
    assert list(table.columns[:8]) == promised
    assert list(table["method"].unique()) == [
        "original",
        "retrain",
        "retrain_warm",
        "gif",
        "fif",
        "pif",
        "if",
        "gradient",
        "koh",
        "if2",
    ]
    references = table[table["method"].isin(("original", "retrain", "retrain_warm"))]
    assert references["scalar"].isna().all()
    assert table.groupby("method")["mark"].apply(set)["gif"] == {"", "one", "best"}
    assert (table[table["mark"] == "one"]["scalar"] == 1.0).all()
    assert table["self_accuracy"].between(0, 100).all()
    assert table["score"].between(0, 1).all()
    prepared = load("convex", Silent())
    assert result.provenance["m"] == int((prepared.train_labels == 3).sum())
    assert result.provenance["n"] == len(prepared.train_labels) == 600
    assert result.provenance["incomplete"] == ""


def test_retrained_model_has_never_seen_the_class(result: Result) -> None:
    retrain = result.table.set_index("method").loc["retrain"]
    assert retrain["self_accuracy"] == 0
    assert retrain["score"] > 0.95


def test_original_row_is_the_network_on_the_reporting_half(result: Result) -> None:
    prepared = load("convex", Silent())
    inputs, labels = prepared.test.batch(torch.arange(len(prepared.test_labels)))
    half = ~stratified_half(labels)
    with torch.no_grad():
        right = prepared.model(inputs).argmax(1) == labels
    row = result.table.iloc[0]
    assert row["method"] == "original"
    assert row["test_accuracy"] == pytest.approx(100 * right[half & (labels != 3)].double().mean().item())
    assert row["self_accuracy"] == pytest.approx(100 * right[half & (labels == 3)].double().mean().item())
    assert row["images"] == int(half.sum())


def test_classic_influence_goes_most_of_the_way_to_retraining_where_theory_holds() -> None:
    """In a convex problem IF at s = 1 must land nearer to the retrained parameters than the original model lies."""
    indices = list(range(0, 600, 20))  # a small group: first order holds
    exact = ask(methods=["if"], solver="direct", forget_classes=[], forget_indices=indices, gradient="retain")
    one = removal.run(exact, Silent()).tables["trust"].set_index("mark").loc["one"]
    assert one["distance"] < 0.3 * one["distance_original"]
    assert one["cosine"] > 0.95
    assert one["rho"] == pytest.approx(1, abs=0.2)


def test_best_scalar_is_chosen_on_the_choosing_half(result: Result) -> None:
    for method, rows in result.table.dropna(subset="scalar").groupby("method"):
        curve = rows[rows["mark"] == ""]
        top = curve[curve["choice_score"] == curve["choice_score"].max()]
        assert rows[rows["mark"] == "best"]["scalar"].item() == top["scalar"].min(), method


def test_whole_test_set_as_published(result: Result) -> None:
    published = removal.run(ask(report="whole", methods=["gif"]), Silent()).table
    assert published["images"].max() == len(load("convex", Silent()).test_labels) > result.table["images"].max()
    assert (published["choice_score"] == published["score"]).all()


def test_same_question_same_answer(result: Result) -> None:
    again = removal.run(ask(methods=get_args(Method)), Silent())
    pd.testing.assert_frame_equal(again.table, result.table, rtol=1e-4)


def test_training_indices_are_their_own_witnesses() -> None:
    table = removal.run(ask(forget_classes=[], forget_indices=[1, 2, 3], methods=["gif"]), Silent()).table
    curve = table[table["method"] == "gif"]
    assert (curve["self_accuracy"] == curve["forget_accuracy"]).all()
    assert (curve["self_loss"] == curve["forget_loss"]).all()


def test_layers_confusion_and_solves_add_up(result: Result) -> None:
    layers = result.tables["layers"]
    assert layers.groupby("method")["parameters"].sum().unique() == [325]
    assert layers.groupby("method")["selected"].sum().unique() == [result.provenance["k"]]
    confusion = result.tables["confusion"]
    counts = confusion.groupby(["method", "mark"])["count"].sum()
    assert counts.nunique() == 1
    assert counts.iloc[0] == result.table["images"].max()
    solves = result.tables["solves"].set_index("method")
    assert (solves.loc[["gif", "fif", "pif", "koh"], "hvps"] == 11).all()
    assert solves.loc["if2", "hvps"] == 23  # two solves with H_D and a product with H_U
    assert (solves.loc[["gradient", "if"], "hvps"] == 0).all()
    assert "shared with pif" in solves.loc["if", "message"]
    assert result.provenance["hvps"] == solves["hvps"].sum() + len(solves)  # one for each trust figure
    assert len(result.provenance["deviations"]) == 2  # Koh's form and the second order have samples of their own
    assert (solves["stationarity"] > 0).all()


def test_several_references_have_their_seeds() -> None:
    table = removal.run(ask(retrain_seeds=2, methods=["gradient"]), Silent()).table
    assert table[table["method"] == "retrain"]["seed"].tolist() == [0, 1]


class Stopping(Silent):
    """Presses cancel after some checks."""

    def __init__(self, checks: int) -> None:
        self.left = checks

    def check(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Cancelled("enough")


@pytest.mark.parametrize("checks", [0, 3, 10, 40])
def test_stops_at_the_next_check(checks: int) -> None:
    watcher = Stopping(checks)
    with pytest.raises(Cancelled):
        removal.run(ask(seed=99), watcher)
    assert watcher.left == -1


class Impatient(Silent):
    patient = False


def test_a_visitor_does_not_start_a_long_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editing, "LONG_TRAINING", -1.0)
    spec = ask(forget_classes=[1], methods=["gif"])
    without = execute(spec, Impatient())
    assert not without.table["method"].str.startswith("retrain").any()
    assert "gif-dash run removal" in without.provenance["incomplete"]
    assert without.tables["trust"]["distance"].isna().all()
    assert (execute(spec, Silent()).table["method"] == "retrain").any(), "an answer with a gap must not be kept"
    assert execute(spec, Impatient()).provenance["incomplete"] == ""


def test_refusals_are_sentences() -> None:
    with pytest.raises(SpecError, match="classes 0 to 4"):
        removal.run(ask(forget_classes=[9]), Silent())
    with pytest.raises(InfluenceError, match="larger"):
        removal.run(ask(mr=0.001), Silent())


def test_scalars_are_logarithmic_and_contain_one() -> None:
    coarse = sweep.coarse_scalars(1e4)
    assert coarse[0] == 0.1
    assert coarse[-1] == 1e4
    assert 1.0 in coarse
    ratios = [b / a for a, b in itertools.pairwise(coarse)]
    assert max(ratios) / min(ratios) == pytest.approx(1, abs=1e-3)
    fine = sweep.fine_scalars(coarse, 10.0)
    assert len(fine) == sweep.FINE_POINTS
    assert coarse[7] < min(fine) < 10 < max(fine) < coarse[9]
    assert all(low < high for low, high in itertools.pairwise(fine))
    assert len(sweep.fine_scalars(coarse, 0.1)) == sweep.FINE_POINTS


def test_sampling_keeps_images_of_the_removed_class() -> None:
    labels = torch.arange(1000) % 10
    images = sweep.TestImages.all(labels, [3], "held-out")
    sampled = images.sampled(200, seed=0)
    assert len(sampled.indices) == 200
    assert int(sampled.gone.sum()) == 66
    assert (labels[sampled.indices[sampled.gone]] == 3).all()
    assert not (sampled.choose & sampled.report).any()
    assert images.sampled(5000, seed=0) is images


def test_a_network_that_overflows_is_measured_as_wrong(softmax_regression: None) -> None:
    prepared = load("convex", Silent())
    every = sweep.TestImages.all(prepared.test_labels, [3], "whole")
    rows = sweep.Sweep(prepared, torch.tensor([0, 1]), every, every, True, Silent())
    network = prepared.network()
    with torch.no_grad():
        network[1].weight.fill_(math.inf)
    rows.point(network, "gif", 1e9)
    row = rows.rows[0]
    assert row["test_accuracy"] == row["self_accuracy"] == 0
    assert not math.isfinite(row["test_loss"])


@pytest.mark.parametrize("sweep_samples", [90, 2000])
@pytest.mark.parametrize(
    "forget", [{"forget_classes": [3]}, {"forget_classes": [], "forget_indices": list(range(300))}]
)
def test_k_scalars_cost_at_most_k_passes(forget: dict[str, list[int]], sweep_samples: int) -> None:
    """Images that went through the network, counted; every row against a plain evaluation of the edited network."""
    spec = ask(methods=["gif", "gradient"], sweep_samples=sweep_samples, **forget)
    prepared = load("convex", Silent())
    forwards: list[int] = []
    with removal.Removal(spec, prepared, Silent(), Stopwatch(Silent())) as run:
        run.canvas.register_forward_hook(lambda _module, inputs, _output: forwards.append(len(inputs[0])))
        selection, gradient = run.system()
        updates = run.solve(spec.methods, gradient, selection.indices)
        run.measure(run.sweep, updates)
    table = run.sweep.table()
    scalars = table.groupby("method")["scalar"].nunique().sum()
    tests, gone = len(prepared.test_labels), len(run.forget)
    assert sum(forwards) <= scalars * (tests + gone)
    asked, asked_gone = min(sweep_samples, tests), min(gone, sweep.FORGET_IMAGES)
    assert sum(forwards) == scalars * (asked + asked_gone) + 2 * len(updates) * (tests - asked + gone - asked_gone)

    inputs, labels = prepared.test.batch(torch.arange(tests))
    removed, removed_labels = prepared.train.batch(run.forget)
    every = sweep.TestImages.all(labels, spec.forget_classes if not spec.forget_indices else [], "held-out")
    for _, row in table[table["mark"] != ""].iterrows():
        network = prepared.network()
        run.index.add(network, updates[row["method"]].delta, row["scalar"])
        with torch.no_grad():
            outputs, on_removed = network(inputs), network(removed)
        kept, witnesses = every.report & ~every.gone, every.report & every.gone
        right = (outputs.argmax(1) == labels).double()
        right_removed = 100 * (on_removed.argmax(1) == removed_labels).double().mean().item()
        own = right_removed if spec.forget_indices else 100 * right[witnesses].mean().item()
        assert row["test_accuracy"] == pytest.approx(100 * right[kept].mean().item())
        assert row["self_accuracy"] == pytest.approx(own)
        assert row["forget_accuracy"] == pytest.approx(right_removed)
        expected = nn.functional.cross_entropy(outputs[kept], labels[kept]).item()
        assert row["test_loss"] == pytest.approx(expected, rel=1e-4)
        point = table[(table["method"] == row["method"]) & (table["scalar"] == row["scalar"]) & (table["mark"] == "")]
        difference = abs(point["test_accuracy"].item() - row["test_accuracy"])
        assert difference <= 4 * point["test_accuracy_se"].item()
        assert (difference == 0) or sweep_samples < tests
        assert point["test_accuracy_se"].item() >= row["test_accuracy_se"]


def test_what_questions_have_in_common_is_asked_once() -> None:
    prepared, asked = load("convex", Silent()), []
    sweep._remembered.clear()
    for mr in (20, 40):
        with removal.Removal(ask(mr=mr, forget_classes=[2]), prepared, Silent(), Stopwatch(Silent())) as run:
            run.model.register_forward_hook(lambda _module, inputs, _output: asked.append(len(inputs[0])))
            run.sweep.measure(run.model, "original")
    assert sum(asked) == len(prepared.test_labels) + len(run.forget)
    with torch.no_grad():
        run.model[1].weight.mul_(0.5)
    run.sweep.measure(run.model, "original")
    assert sum(asked) == 2 * (len(prepared.test_labels) + len(run.forget))


def test_edited_model_is_the_one_that_was_measured(result: Result) -> None:
    row = result.table[(result.table["method"] == "pif") & (result.table["mark"] == "best")].iloc[0]
    network = removal.edited_model(ask(), "pif", row["scalar"], Silent())
    prepared = load("convex", Silent())
    inputs, labels = prepared.test.batch(torch.arange(len(prepared.test_labels)))
    kept = ~stratified_half(labels) & (labels != 3)
    with torch.no_grad():
        loss = nn.functional.cross_entropy(network(inputs[kept]), labels[kept]).item()
    assert loss == pytest.approx(row["test_loss"], rel=1e-3)
