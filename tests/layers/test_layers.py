"""Layers: norms and shares by hand, restricted edits against plain ones, the whole experiment on a tiny scenario."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from gif_dash.experiments import removal
from gif_dash.experiments.editing import Editing
from gif_dash.experiments.layers import EVERYWHERE, Layers, run
from gif_dash.experiments.metrics import stratified_half
from gif_dash.influence import Selection
from gif_dash.progress import Silent
from gif_dash.results import Result
from gif_dash.scenarios import Recipe, Scenario, load, register
from gif_dash.specs import LayersSpec, RemovalSpec, SpecError


@pytest.fixture(scope="module", autouse=True)
def pictures() -> None:
    """Three kinds of 4×4 pictures; convolution, batch norm and linear: 2·9 + 2, 2 + 2, and 32·3 + 3 parameters."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(240) % 3
    means = torch.randn(3, 1, 4, 4, generator=generator)
    inputs = 1.5 * means[labels] + torch.randn(240, 1, 4, 4, generator=generator)
    register(
        Scenario(
            name="three-kinds",
            model=lambda: nn.Sequential(
                nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3)
            ),
            train=TensorDataset(inputs[:150], labels[:150]),
            test=TensorDataset(inputs[150:], labels[150:]),
            classes=("a", "b", "c"),
            recipe=Recipe("sgd", lr=0.1, epochs=6, batch=30, weight_decay=1e-3),
        )
    )


def ask(**changes: object) -> LayersSpec:
    values = {"scenario": "three-kinds", "forget_classes": [1], "methods": ["gif", "pif", "if"], "mr": 20, "s_max": 100}
    return LayersSpec.parse({**values, "criteria": ["top-outputs", "random"], **changes})


@pytest.fixture(scope="module")
def result(pictures: None) -> Result:
    return run(ask(), Silent())


def test_norms_of_the_layers_make_up_the_whole(result: Result) -> None:
    layers, solves = result.tables["layers"], result.tables["solves"]
    assert list(dict.fromkeys(layers["criterion"])) == ["top-outputs", "random"]
    assert len(layers) == 2 * 3 * 3
    assert len(solves) == 2 * 3
    for (criterion, method), rows in layers.groupby(["criterion", "method"]):
        update = RemovalSpec.like(ask(), criterion=criterion, methods=(method,))
        with Editing.of(update, Silent()) as editing:
            selection, gradient = editing.system()
            delta = editing.solve((method,), gradient, selection.indices)[method].delta.double()
        whole = math.sqrt(float((rows["norm"] ** 2).sum()))
        assert whole == pytest.approx(float(delta.norm()), rel=1e-5), (criterion, method)
        assert rows["part"].sum() == pytest.approx(100)
        np.testing.assert_allclose(rows["norm_best"], rows["norm"] * rows["scalar"])
        np.testing.assert_allclose(rows["ratio"], rows["norm"] / rows["theta_norm"])
        tensors = result.tables["tensors"]
        own = tensors[(tensors["criterion"] == criterion) & (tensors["method"] == method)]
        by_layer = own.groupby("layer", sort=False)
        np.testing.assert_allclose(np.sqrt(by_layer["norm"].apply(lambda norms: (norms**2).sum())), rows["norm"])
        assert by_layer["selected"].sum().tolist() == rows["selected"].tolist()
        assert by_layer["part"].sum().tolist() == pytest.approx(rows["part"].tolist())


def test_shares_of_a_selection_by_hand(pictures: None) -> None:
    """Positions: 0–17 kernel, 18–19 bias, 20–23 batch norm, 24–119 weights, 120–122 biases."""
    spec = ask()
    with Editing.of(spec.cell("random"), Silent()) as editing:
        found = Layers(spec, editing)
        chosen = Selection(torch.tensor([0, 3, 18, 24, 25, 26, 27, 122]), 123, "hand", 6.5)
        delta = torch.zeros(123)
        delta[torch.tensor([0, 3, 18, 24, 122])] = torch.tensor([3.0, 4.0, 12.0, -1.0, 2.0])
        rows = found._rows(delta, chosen, 2.0)
        tensors = found._tensor_rows(delta, chosen)
    assert [row["selected"] for row in rows] == [3, 0, 5]
    assert [row["parameters"] for row in rows] == [20, 4, 99]
    assert [row["share"] for row in rows] == pytest.approx([15.0, 0.0, 500 / 99])
    assert [row["norm"] for row in rows] == pytest.approx([13.0, 0.0, math.sqrt(5)])
    assert [row["norm_best"] for row in rows] == pytest.approx([26.0, 0.0, 2 * math.sqrt(5)])
    assert [row["part"] for row in rows] == pytest.approx([100 * 169 / 174, 0.0, 100 * 5 / 174])
    assert [(row["role"], row["selected"]) for row in tensors] == [
        ("weight", 2), ("bias", 1), ("weight", 0), ("bias", 0), ("weight", 4), ("bias", 1)
    ]  # fmt: skip
    assert tensors[0]["shape"] == "2×1×3×3"
    assert tensors[0]["norm"] == pytest.approx(5.0)


def test_an_edit_of_all_layers_is_the_whole_edit_and_of_none_the_original(pictures: None) -> None:
    spec = ask()
    with Editing.of(spec.cell("top-outputs"), Silent()) as editing:
        found = Layers(spec, editing)
        selection, gradient = editing.system()
        delta = editing.solve(("gif",), gradient, selection.indices)["gif"].delta
        assert torch.equal(found.restricted(delta, [0, 1, 2]), delta)
        assert not found.restricted(delta, []).any()
        parts = [found.restricted(delta, [layer]) for layer in range(3)]
    assert torch.equal(sum(parts), delta)
    assert torch.equal(parts[0].nonzero().flatten(), (delta[:20] != 0).nonzero().flatten())
    assert not parts[1].any()
    assert (parts[2][:24] == 0).all()


def test_what_a_layer_does_alone_is_that_of_the_network_with_only_it_changed(result: Result) -> None:
    """Against a network edited by hand and asked plainly."""
    prepared = load("three-kinds", Silent())
    inputs, labels = prepared.test.batch(torch.arange(len(prepared.test_labels)))
    half = ~stratified_half(prepared.test_labels)
    layers = result.tables["layers"]
    rows = layers[(layers["criterion"] == "top-outputs") & (layers["method"] == "gif")].reset_index()
    scalar = float(rows["scalar"].iloc[0])
    before = prepared.network()
    edited = removal.edited_model(ask().cell("top-outputs", ("gif",)), "gif", scalar, Silent())
    whole = result.tables["edits"].query("criterion == 'top-outputs' and method == 'gif' and mark == 'best'").iloc[0]
    assert whole["scalar"] == scalar
    for place, prefixes in ((0, ("0.",)), (1, ("1.",)), (2, ("4.",)), (None, ("0.", "1.", "4."))):
        state = dict(before.state_dict())
        state |= {name: value for name, value in edited.state_dict().items() if name.startswith(prefixes)}
        network = prepared.network(state)
        with torch.no_grad():
            right = (network(inputs).argmax(1) == labels).cpu()
        kept = 100 * float(right[half & (labels != 1)].double().mean())
        known = 100 * float(right[half & (labels == 1)].double().mean())
        if place is None:
            assert (whole["test_accuracy"], whole["self_accuracy"]) == pytest.approx((kept, known))
        else:
            row = rows.loc[place]
            assert (row["test_accuracy_alone"], row["self_accuracy_alone"]) == pytest.approx((kept, known)), place


def test_methods_that_change_everything_are_solved_for_once_and_shown_with_every_criterion(result: Result) -> None:
    layers, edits = result.tables["layers"], result.tables["edits"]
    assert EVERYWHERE == ("if", "koh", "if2")
    both = [layers[(layers["method"] == "if") & (layers["criterion"] == name)] for name in ("top-outputs", "random")]
    columns = ["layer", "norm", "part", "score_alone", "share"]
    assert both[0][columns].to_numpy().tolist() == both[1][columns].to_numpy().tolist()
    assert (both[0]["share"] == 100).all()
    gif = [layers[(layers["method"] == "gif") & (layers["criterion"] == name)] for name in ("top-outputs", "random")]
    assert gif[0]["norm"].tolist() != gif[1]["norm"].tolist()
    assert len(edits[edits["method"] == "if"]) == 4
    assert edits[edits["method"] == "original"]["criterion"].tolist() == [""]


def test_retraining_stands_beside_it(result: Result) -> None:
    references, trust = result.tables["references"], result.tables["trust"]
    assert references["reference"].value_counts().to_dict() == {"retrain": 3, "retrain_warm": 3}
    for name, suffix in (("retrain", ""), ("retrain_warm", "_warm")):
        rows = references[references["reference"] == name]
        assert rows["part"].sum() == pytest.approx(100)
        whole = math.sqrt(float((rows["norm"] ** 2).sum()))
        assert whole == pytest.approx(trust[f"distance_original{suffix}"].iloc[0], rel=1e-5)
    one = removal.run(ask().cell("random", ("pif",)), Silent())
    theirs = one.tables["trust"].set_index("mark").loc["best"]
    ours = trust.query("criterion == 'random' and method == 'pif' and mark == 'best'").iloc[0]
    for column in ("scalar", "rho", "distance_warm", "cosine"):
        assert ours[column] == pytest.approx(theirs[column], rel=1e-3), column


def test_refusals_are_sentences() -> None:
    with pytest.raises(SpecError, match="at least one class"):
        ask(forget_classes=[])
    with pytest.raises(SpecError, match="symmetric"):
        ask(solver="minres")
    with pytest.raises(SpecError, match="classes 0 to 2"):
        run(ask(forget_classes=[7]), Silent())
    assert ask(criteria=["random", "top-outputs", "random"]).criteria == ("top-outputs", "random")
