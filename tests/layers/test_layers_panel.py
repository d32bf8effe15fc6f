"""The layers panel: bars by criterion and quantity, words that follow the criterion, and the way to class removal."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from layers_fakes import SPEC, Client, answer, layers
from panels.panels_fakes import asking, context

from gif_dash.compute.client import View
from gif_dash.figures import layers as pictures
from gif_dash.figures import layers_words as words
from gif_dash.panels.layers import LayersPanel
from gif_dash.specs import RemovalSpec, Spec


def opened(client: Client, shown: list[Spec] | None = None) -> LayersPanel:
    return asking(LayersPanel(replace(context(client), show=(shown if shown is not None else []).append)), SPEC)


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
    assert "<b>GIF</b> puts 80 % of ‖Δ‖² into layer head (Linear, 91 % of the parameters)" in panel.where.value
    assert "That layer alone, at s = 5.00, scores 0.900; the whole edit 0.950 ± 0.010" in panel.where.value
    panel.network.view = {"criterion": "random"}
    panel.context.ticker.tick()
    assert "<b>GIF</b> puts 70 % of ‖Δ‖² into layer conv" in panel.where.value
    assert "Of single layers, layer head does most" in panel.where.value
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
