"""The layers panel: bars by criterion and quantity, words that follow the criterion, and the way to class removal."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest
from panels.panels_fakes import FakeClient, context, row

from gif_dash.compute.client import View
from gif_dash.figures import layers as pictures
from gif_dash.figures import layers_words as words
from gif_dash.panels.layers import LayersPanel
from gif_dash.results import Result
from gif_dash.specs import LayersSpec, RemovalSpec, Spec

SPEC = LayersSpec(forget_classes=(1,), methods=("gif", "fif"), criteria=("top-outputs", "random"))
PARTS = {("top-outputs", "gif"): 20.0, ("top-outputs", "fif"): 40.0, ("random", "gif"): 70.0, ("random", "fif"): 90.0}


def layers() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "criterion": criterion,
            "method": method,
            "layer": layer,
            "kind": kind,
            "parameters": count,
            "selected": count // 10,
            "share": 10.0,
            "norm": math.sqrt(part),
            "theta_norm": 10.0,
            "ratio": math.sqrt(part) / 10,
            "part": part,
            "scalar": 5.0,
            "norm_best": 5 * math.sqrt(part),
            "ratio_best": math.sqrt(part) / 2,
            "cosine_retrain": 0.1,
            "cosine_retrain_warm": -0.5,
            "test_accuracy_alone": 97.0,
            "self_accuracy_alone": 60.0 if layer == "conv" else 5.0,
            "score_alone": 0.5 if layer == "conv" else 0.9,
        }
        for (criterion, method), first in PARTS.items()
        for layer, kind, count, part in (("conv", "Conv2d", 100, first), ("head", "Linear", 1000, 100 - first))
    )


def answer(spec: LayersSpec = SPEC) -> Result:
    edits = [{"criterion": "", **row(name, math.nan)} for name in ("original", "retrain", "retrain_warm")]
    pairs = [(criterion, method) for criterion in spec.criteria for method in spec.methods]
    for criterion, method in pairs:
        for mark, scalar in (("one", 1.0), ("best", 5.0)):
            edits.append({"criterion": criterion, **row(method, scalar, mark, score=0.95, score_se=0.01)})
    references = pd.DataFrame(
        {
            "reference": name,
            "layer": layer,
            "kind": "Conv2d" if layer == "conv" else "Linear",
            "parameters": 100,
            "norm": norm,
            "theta_norm": 10.0,
            "ratio": norm / 10,
            "part": 50.0,
            "note": "so and so",
        }
        for name, norm in (("retrain", 8.0), ("retrain_warm", 0.5))
        for layer in ("conv", "head")
    )
    trust = pd.DataFrame(
        {
            "criterion": criterion,
            "method": method,
            "mark": mark,
            "scalar": scalar,
            "rho": 1.0,
            "rho_error": 0.01,
            "numerator": 0.1,
            "denominator": 0.1,
            "verdict": "good",
            **{
                f"{key}{suffix}": 0.5 for suffix in ("", "_warm") for key in ("distance", "distance_original", "cosine")
            },
        }
        for criterion, method in pairs
        for mark, scalar in (("one", 1.0), ("best", 5.0))
    )
    solves = pd.DataFrame(
        {
            "criterion": criterion,
            "method": method,
            "solver": "cgls",
            "status": "stopped",
            "iterations": 5,
            "relative_residual": 0.4,
            "message": "",
        }
        for criterion, method in pairs
    )
    tensors = layers().assign(role="weight", shape="2×3")
    tables = {
        "layers": layers(),
        "tensors": tensors,
        "edits": pd.DataFrame(edits),
        "references": references,
        "trust": trust,
        "solves": solves,
    }
    known = {"seconds": 6.5, "hvps": 44, "device": "cpu"}
    return Result({"experiment": "layers", **spec.model_dump(mode="json")}, tables, known)


class Client(FakeClient):
    def store(self, found: Result) -> None:
        values = {name: value for name, value in found.spec.items() if name != "experiment"}
        self.answers[LayersSpec.parse(values).canonical()] = found


def opened(client: Client, shown: list[Spec] | None = None) -> LayersPanel:
    panel = LayersPanel(replace(context(client), show=(shown if shown is not None else []).append))
    panel.spec = SPEC
    panel.form.write(SPEC)
    panel.show()
    panel.context.ticker.tick()
    return panel


@pytest.fixture
def client() -> Client:
    made = Client()
    made.store(answer())
    return made


def test_bars_have_numbers_lengths_and_the_retrained_networks_beside_them(client: Client) -> None:
    picture = opened(client).network.picture
    assert [column["key"] for column in picture["columns"]] == ["gif", "fif", "retrain_warm", "retrain"]
    assert [bool(column["action"]) for column in picture["columns"]] == [True, True, False, False]
    view = picture["views"]["random part"]
    assert [bar["text"] for bar in view["bars"][0]] == ["70.0\u202f%", "90.0\u202f%", "50.0\u202f%", "50.0\u202f%"]
    assert [bar["share"] for bar in view["bars"][0]] == pytest.approx([0.7, 0.9, 0.5, 0.5])
    assert view["selected"][1]["note"] == "100 of 1\u202f000 parameters may change"
    sizes = picture["views"]["top-outputs ratio"]
    assert sizes["bars"][1][0]["share"] == pytest.approx(1.0), "the longest bar is the largest"
    assert sizes["whole"][0]["text"] == "0.707"
    assert sizes["whole"][2]["text"] == "0.0500"
    alone = picture["views"]["top-outputs score_alone"]
    assert [bar["text"] for bar in alone["bars"][1]] == ["0.900", "0.900", "–", "–"]
    assert alone["whole"][0]["text"] == "0.950"
    assert picture["views"]["random cosine_retrain_warm"]["bars"][0][0]["text"] == "−0.50"


def test_words_follow_the_criterion(client: Client) -> None:
    panel = opened(client)
    assert "<b>GIF</b> puts 80 % of ‖Δ‖² into layer head (Linear, 91 % of the parameters)" in panel.words.value
    assert "That layer alone, at s = 5.00, scores 0.900; the whole edit 0.950 ± 0.010" in panel.words.value
    panel.network.view = {"criterion": "random"}
    panel.context.ticker.tick()
    assert "<b>GIF</b> puts 70 % of ‖Δ‖² into layer conv" in panel.words.value
    assert "Of single layers, layer head does most" in panel.words.value
    assert "Is this where retraining would land?" in panel.words.value
    assert "another basin" in panel.words.value
    assert "criterion=random" in panel.share.query
    assert client.submitted == []


def test_a_link_restores_the_view(client: Client) -> None:
    panel = LayersPanel(context(client))
    query = {"forget-class": "1", "methods": "gif,fif", "criteria": "top-outputs,random"}
    assert panel.restore({**query, "criterion": "random", "quantity": "ratio"}) == []
    assert panel.spec == SPEC
    panel.show()
    assert panel.criterion == "random"
    assert panel.extra_state() == {"criterion": "random", "quantity": "ratio"}
    assert "choose from" in panel.restore({**query, "quantity": "beauty"})[0]


def test_a_press_on_a_method_opens_its_class_removal(client: Client) -> None:
    shown: list[Spec] = []
    panel = opened(client, shown)
    panel.network._message(panel.network, {"do": "open", "method": "fif", "criterion": "random"}, [])
    assert shown == [RemovalSpec(forget_classes=(1,), methods=("fif",), criterion="random")]
    panel.network._message(panel.network, {"do": "open", "method": "retrain", "criterion": "random"}, [])
    panel.network._message(panel.network, {"do": "open", "method": "gif", "criterion": "nonsense"}, [])
    assert len(shown) == 1


def test_a_run_streams_criterion_by_criterion_and_marks_the_run_before(client: Client) -> None:
    panel = opened(client)
    other = SPEC.model_copy(update={"mr": 30.0})
    panel.form.write(other)
    panel.context.ticker.tick()
    panel.run()
    half = layers()
    half = half[half["criterion"] == "top-outputs"]
    client.views["ticket-1"] = View("running", stage="Solving", version=1, partial={"layers": half})
    panel.context.ticker.tick()
    picture = panel.network.picture
    assert [choice[0] for choice in picture["switches"][0]["choices"]] == ["top-outputs"]
    assert picture["views"]["top-outputs part"]["bars"][0][0]["before"] == pytest.approx(0.2)
    assert [column["key"] for column in picture["columns"]] == ["gif", "fif"]
    panel.cancel()
    assert len(panel.network.picture["columns"]) == 4
    assert panel.network.picture["views"]["top-outputs part"]["bars"][0][0]["before"] is None


def test_tables_and_exports(client: Client) -> None:
    panel = opened(client)
    compared = words.compared_html(answer())
    assert "random" in compared
    assert "top-k outputs" in compared
    assert compared.count("<tr>") == 1 + 4 + 2
    for made in (words.layers_html(answer()), words.tensors_html(answer()), words.references_html(answer())):
        assert "<caption>" in made
    assert len(panel.export_figures()) == 2
    page = panel.export_html()
    assert "LayersSpec(" in page
    assert "Is this a good edit?" in page
    assert list(words.summary(answer())["layer"]) == ["conv", "head"] * 4


def test_a_network_of_many_layers_is_compared_by_kind() -> None:
    found = answer()
    first = found.tables["layers"]
    many = pd.concat([first.assign(layer=first["layer"] + str(place), part=first["part"] / 10) for place in range(10)])
    compared = words.compared_html(replace(found, tables={**found.tables, "layers": many}))
    assert "Conv2d, % of" in compared
    assert "conv3" not in compared.split("<tbody>")[0]


def test_nothing_is_drawn_of_nothing() -> None:
    assert pictures.picture({}) is None
    assert LayersPanel(context(Client())).network.picture == {}
