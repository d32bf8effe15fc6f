"""The criteria's panel: looks up before it computes, grows cell by cell, opens what is pressed, fits in a link."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl

import pytest
from click.testing import CliRunner
from criteria_fakes import SPEC, Answering, cells, references, result, row
from panels.panels_fakes import FakeClient, asking, context

from gif_dash import cli
from gif_dash.compute.client import View
from gif_dash.panels.criteria import CriteriaPanel
from gif_dash.specs import CriteriaSpec, RemovalSpec, Spec, SpecError


def opened(client: Answering, spec: CriteriaSpec = SPEC) -> tuple[CriteriaPanel, list[Spec]]:
    shown: list[Spec] = []
    return asking(CriteriaPanel(replace(context(client), show=shown.append)), spec), shown


def text(panel: CriteriaPanel, row: int, column: int, view: str = "score best") -> str:
    return str(panel.cells.grid["views"][view]["cells"][row][column]["text"])


def answered(**scores: float) -> Answering:
    client = Answering()
    client.keep(result(**scores), SPEC)
    return client


def test_stored_answer_is_shown_with_words_and_published_numbers() -> None:
    client = answered(top_outputs=0.97)
    panel, _ = opened(client)
    assert client.submitted == []
    assert text(panel, 0, 0) == "0.970"
    assert "Does it matter which?" in panel.verdicts.value
    assert "Are these good edits?" in panel.verdicts.value
    assert "Is this where retraining would land?" in panel.verdicts.value
    assert "Published: Table 1" in panel.losses.value
    assert [line["key"] for line in panel.chart.chart["lines"]] == ["top-outputs", "random", "lowest-outputs"]


def test_small_networks_are_run_at_load_and_large_ones_wait() -> None:
    client = Answering()
    opened(client)
    assert client.submitted == [SPEC]
    large = Answering()
    large.offers = lambda: [replace(offer, state="ready") for offer in FakeClient.offers(large)]  # type: ignore[method-assign]
    panel, _ = opened(large, SPEC.model_copy(update={"scenario": "mnist-cnn"}))
    assert large.submitted == []
    assert not panel.bar.running
    assert panel.bar.status == "Press Run to compute the cells"


def test_cell_opens_the_class_removal_behind_it() -> None:
    panel, shown = opened(answered())
    panel.cells._message(None, {"do": "press", "row": "random", "column": "20"}, None)
    assert shown == [RemovalSpec(forget_classes=(2,), methods=("gif",), criterion="random", mr=20)]
    assert panel.cells.selected == ["random", "20"]


@pytest.mark.parametrize(
    "message",
    [
        {"do": "press", "row": "random", "column": "21"},
        {"do": "press", "row": "<b>", "column": "20"},
        {"do": "press"},
        {"do": "else"},
        "nonsense",
    ],
)
def test_what_no_cell_says_is_ignored(message: object) -> None:
    panel, shown = opened(answered())
    panel.cells._message(None, message, None)
    assert shown == []


def test_cells_grow_while_it_runs_and_the_answer_before_stays_as_ghost() -> None:
    client = answered(top_outputs=0.97)
    panel, _ = opened(client)
    panel.form.set(seed=4)
    panel.context.ticker.tick()
    panel.context.ticker.tick()
    assert "press Run" in panel.bar.status
    assert text(panel, 0, 0) == "0.970", "the last answer stays until there is something new"
    panel.run()
    assert text(panel, 0, 0) == ""
    partial = cells(*references(), row("top-outputs", 5, "one"), row("top-outputs", 5, "best", score=0.91))
    client.views["ticket-1"] = View("running", version=1, partial={"cells": partial})
    panel.context.ticker.tick()
    assert (text(panel, 0, 0), text(panel, 0, 1)) == ("0.910", "")
    assert [line["key"] for line in panel.chart.chart["ghosts"]] == ["top-outputs", "random", "lowest-outputs"]
    other = SPEC.model_copy(update={"seed": 4})
    client.views["ticket-1"] = View("done", seconds=3.0, result=result(other, top_outputs=0.92))
    panel.context.ticker.tick()
    assert text(panel, 0, 0) == "0.920"
    assert panel.chart.chart["ghosts"][0]["values"]["score"] == [0.97, 0.97]


def test_cancelled_run_leaves_the_last_answer() -> None:
    client = answered(top_outputs=0.97)
    panel, _ = opened(client)
    panel.form.set(seed=4)
    panel.context.ticker.tick()
    panel.run()
    assert text(panel, 0, 0) == ""
    panel.cancel()
    assert text(panel, 0, 0) == "0.970"
    assert panel.bar.status == "Cancelled"


def test_switch_changes_curves_and_words_and_fits_in_the_link() -> None:
    panel, _ = opened(answered())
    assert panel.chart.chart["lines"][0]["values"]["score"] == [0.9, 0.9]
    panel.cells.view = {"measure": "test_loss", "at": "one"}
    panel.context.ticker.tick()
    assert panel.chart.chart["lines"][0]["values"]["score"] == [0.3, 0.3]
    assert "at s = 1" in panel.losses.value
    query = dict(parse_qsl(panel.share.query.lstrip("?")))
    assert (query["measure"], query["at"], query["mrs"]) == ("test_loss", "one", "5,20")
    again = CriteriaPanel(context(answered()))
    assert again.restore(query) == []
    assert again.cells.view == {"measure": "test_loss", "at": "one"}
    assert again.spec == SPEC


def test_nonsense_in_a_link_is_left_out_with_a_sentence() -> None:
    panel = CriteriaPanel(context(Answering()))
    assert len(panel.restore({"measure": "<b>", "at": "two", "mrs": "5,x"})) == 3
    assert (panel.spec, panel.cells.view) == (CriteriaSpec(), {})


def test_page_leaves_with_words_figures_and_tables() -> None:
    panel, _ = opened(answered())
    page = panel.export_html()
    assert "Published: Table 1" in page
    assert "CriteriaSpec(forget_classes=(2,)" in page
    assert "Table: curves (18 rows)" in page


# --- the question -----------------------------------------------------------------------------------------------------


def test_question_is_put_in_order() -> None:
    spec = CriteriaSpec.parse({"criteria": ["random", "top-outputs"], "mrs": [50, 5, 5.0]})
    assert spec.criteria == ("top-outputs", "random")
    assert spec.mrs == (5.0, 50.0)
    assert spec.cells[1] == ("top-outputs", 50.0)
    assert spec.cell("random", 5) == RemovalSpec(methods=("gif",), criterion="random", mr=5)


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"solver": "minres"}, "solver", "needs a symmetric system"),
        ({"forget_classes": []}, "forget_classes", "at least one class"),
        ({"mrs": [0]}, "mrs", "above 0 up to 100"),
        ({"mrs": []}, "mrs", "MR: "),
        ({"criteria": ["best"]}, "criteria", "top-outputs"),
        ({"method": "if"}, "method", "gradient"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence_at_its_field(values: dict[str, object], field: str, words: str) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        CriteriaSpec.parse(values)
    assert caught.value.field == field


def test_command_line_knows_the_method() -> None:
    """``--method`` belongs to the question here, not to an edited network that is saved."""
    outcome = CliRunner().invoke(cli.main, ["run", "criteria", "--method", "if"])
    assert outcome.exit_code == 2
    assert outcome.output.strip() == "Error: --method: choose from gif, fif, pif, gradient; got 'if'"
