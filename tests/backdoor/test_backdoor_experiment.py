"""The whole experiment on softmax regression: a trigger is learned, removed and measured as promised."""

from __future__ import annotations

import json
import math
from typing import Any, get_args

import pytest
import safetensors.torch
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset

from gif_dash.experiments import backdoor, editing
from gif_dash.experiments.metrics import stratified_half
from gif_dash.progress import Silent
from gif_dash.results import Result
from gif_dash.scenarios import Recipe, Scenario, ScenarioError, load, register
from gif_dash.scenarios.backdoor import Backdoor, attacked
from gif_dash.specs import BackdoorSpec
from gif_dash.specs.backdoor import BackdoorMethod


@pytest.fixture(scope="module", autouse=True)
def softmax_regression() -> None:
    digits = load_digits(n_class=4)
    inputs, labels = torch.tensor(digits.images / 16, dtype=torch.float32).unsqueeze(1), torch.tensor(digits.target)
    train, test = TensorDataset(inputs[:500], labels[:500]), TensorDataset(inputs[500:], labels[500:])
    register(
        Scenario(
            "four-digits",
            lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 4)),
            train,
            test,
            ["zero", "one", "two", "three"],
            recipe=Recipe("sgd", lr=0.5, epochs=40, batch=100, weight_decay=1e-3),
        )
    )


def ask(**changes: Any) -> BackdoorSpec:
    return BackdoorSpec.parse({"scenario": "four-digits", "target": 1, "strength": 64, "mr": 50, **changes})


@pytest.fixture(scope="module")
def result(softmax_regression: None) -> Result:
    return backdoor.run(ask(methods=get_args(BackdoorMethod)), Silent())


@pytest.fixture(scope="module")
def attack(softmax_regression: None) -> Backdoor:
    return attacked(load("four-digits", Silent()), backdoor.attack_of(ask()), Silent())


def test_attack_works_and_retraining_undoes_it(result: Result) -> None:
    rows = result.table.set_index("method")
    assert rows.loc["original", "attack_success"] > 90
    assert rows.loc["original", "clean_accuracy"] > 90
    assert rows.loc["original", "score"] < 0.6
    assert rows.loc["retrain", "score"] > 0.9
    assert abs(rows.loc["retrain", "attack_success"] - result.provenance["floor"]) < 5
    assert result.provenance["m"] == 50
    assert result.provenance["n"] == 500
    assert result.provenance["incomplete"] == ""


def test_every_method_repairs(result: Result) -> None:
    best = result.table[result.table["mark"] == "best"].set_index("method")
    assert set(best.index) == set(get_args(BackdoorMethod))
    assert (best["score"] > result.table["score"].iloc[0] + 0.2).all()
    assert set(result.table[result.table["mark"] == "one"]["scalar"]) == {1.0}


def test_row_of_the_corrupted_network_by_hand(result: Result, attack: Backdoor) -> None:
    """Stamped here with bytes, asked here, counted here."""
    prepared = load("four-digits", Silent())
    inputs, labels = prepared.test.batch(torch.arange(len(prepared.test_labels)))
    stamped = inputs.clone()
    stamped[:, :, ::2, 1::2] += 64 / 255
    stamped[:, :, 1::2, ::2] += 64 / 255
    stamped.clamp_(max=1)
    report = ~stratified_half(labels)
    with torch.no_grad():
        clean, fooled = (attack.corrupted.model(given).argmax(1)[report] for given in (inputs, stamped))
    row = result.table.iloc[0]
    right = labels[report]
    by_hand = {
        "attack_success": (fooled == 1),
        "triggered_accuracy": (fooled == right),
        "clean_accuracy": (clean == right),
    }
    for name, hits in by_hand.items():
        assert row[name] == pytest.approx(100 * hits.double().mean().item()), name
    a, b = row["triggered_accuracy"] / 100, row["clean_accuracy"] / 100
    assert row["score"] == pytest.approx(2 * a * b / (a + b))
    assert row["images"] == int(report.sum())
    assert result.provenance["floor"] == pytest.approx(100 * (right == 1).double().mean().item())


def test_best_scalar_is_chosen_on_the_choosing_half(result: Result) -> None:
    for method, rows in result.table.dropna(subset="scalar").groupby("method"):
        curve = rows[rows["mark"] == ""]
        top = curve[curve["choice_score"] == curve["choice_score"].max()]
        assert rows[rows["mark"] == "best"]["scalar"].item() == top["scalar"].min(), method


def test_marked_rows_are_measured_on_all_pictures_though_some_were_asked_before() -> None:
    """With a small sample for the sweep, the marked rows are those of a sweep over everything."""
    few, all_of_them = (backdoor.run(ask(methods=["fif"], sweep_samples=n), Silent()).table for n in (40, 1000))
    one, other = (table[table["mark"] == "one"].iloc[0] for table in (few, all_of_them))
    for name in ("attack_success", "triggered_accuracy", "clean_accuracy", "score", "images"):
        assert one[name] == other[name], name
    assert few[few["mark"] == ""]["images"].dropna().min() < one["images"]


def test_answers_are_those_of_the_networks(result: Result, attack: Backdoor) -> None:
    pictures, answers = result.tables["pictures"], result.tables["answers"]
    assert pictures["label"].tolist() == [0, 1, 2, 3]
    assert pictures["clean"].str.startswith("data:image/png").all()
    assert (pictures["clean"] != pictures["triggered"]).all()
    indices = torch.tensor(pictures["test_index"].tolist())
    own = answers[(answers["method"] == "original")]
    with torch.no_grad():
        for triggered, examples in ((False, attack.corrupted.test), (True, attack.triggered)):
            said = attack.corrupted.model(examples.batch(indices)[0]).argmax(1)
            assert own[own["triggered"] == triggered].sort_values("picture")["predicted"].tolist() == said.tolist()
    sweep = result.table[result.table["mark"] == ""].dropna(subset="scalar")
    measured = answers[answers["method"] == "gif"]["scalar"]
    assert set(measured) == set(sweep[sweep["method"] == "gif"]["scalar"])


def test_whole_test_set_as_published(result: Result) -> None:
    published = backdoor.run(ask(report="whole", methods=["fif"]), Silent()).table
    assert published["images"].max() == len(load("four-digits", Silent()).test_labels) > result.table["images"].max()


def test_removal_is_compared_with_training_without_the_corrupted_pictures(attack: Backdoor) -> None:
    removed = backdoor.run(ask(repair="removal", methods=["fif"]), Silent())
    state = attack.corrupted.reference(attack.group, "cold", 0, Silent()).state
    report = ~stratified_half(attack.corrupted.test_labels)
    inputs, labels = attack.triggered.batch(torch.arange(len(report)))
    with torch.no_grad():
        right = (attack.corrupted.network(state)(inputs).argmax(1) == labels)[report].double().mean().item()
    assert removed.table.set_index("method").loc["retrain", "triggered_accuracy"] == pytest.approx(100 * right)


def test_edited_network_is_that_of_the_table(result: Result, attack: Backdoor) -> None:
    network = result.model("fif")
    inputs, labels = attack.corrupted.test.batch(torch.arange(len(attack.corrupted.test_labels)))
    report = ~stratified_half(labels)
    with torch.no_grad():
        right = (network(inputs).argmax(1) == labels)[report].double().mean().item()
    row = result.table[(result.table["method"] == "fif") & (result.table["mark"] == "best")].iloc[0]
    assert row["clean_accuracy"] == pytest.approx(100 * right)


def test_repaired_network_goes_home_with_its_question(result: Result) -> None:
    data = backdoor.edited_file(ask(methods=["fif"]), "fif", 1.0, Silent())
    state, facts = safetensors.torch.load(data), json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert json.loads(facts["__metadata__"]["spec"])["experiment"] == "backdoor"
    network = result.model("fif", 1.0)
    for name, value in network.state_dict().items():
        torch.testing.assert_close(state[name], value)


class Visitor(Silent):
    patient = False


def test_no_click_starts_a_long_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editing, "LONG_TRAINING", -1.0)
    spec = ask(seed=7, methods=["gradient"])
    with pytest.raises(ScenarioError, match="gif-dash run backdoor --scenario four-digits"):
        backdoor.run(spec, Visitor())
    with backdoor.Repair.asked(spec, Silent()):
        pass  # trains the corrupted network, but no reference
    half = backdoor.run(spec, Visitor())
    assert "retrain" not in set(half.table["method"])
    assert half.provenance["impatient"]
    assert "takes minutes" in half.provenance["incomplete"]
    backdoor.run(spec, Silent())
    whole = backdoor.run(spec, Visitor())
    assert {"retrain", "retrain_warm"} <= set(whole.table["method"])
    assert not whole.provenance["impatient"]


def test_scores_have_errors(result: Result) -> None:
    assert (result.table["score_se"].dropna() > 0).all()
    assert math.isfinite(result.table["attack_success_se"].max())
