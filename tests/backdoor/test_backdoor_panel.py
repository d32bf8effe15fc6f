"""The backdoor's panel, pictures and words, from hand-made answers."""

from __future__ import annotations

import subprocess
import sys

import pytest
from backdoor_fakes import PICTURE, SPEC, result, row, sweep
from panels.panels_fakes import CARD, FakeClient, asking, context

from gif_dash.compute.client import View
from gif_dash.figures import backdoor as pictures
from gif_dash.panels.backdoor import BackdoorPanel
from gif_dash.specs import BackdoorSpec


def opened(client: FakeClient, spec: BackdoorSpec = SPEC) -> BackdoorPanel:
    return asking(BackdoorPanel(context(client)), spec)


def stored(spec: BackdoorSpec = SPEC) -> FakeClient:
    client = FakeClient()
    client.answers[spec.canonical()] = result(spec)
    return client


# --- panel ----------------------------------------------------------------------------------------------------------


def test_stored_answer_is_shown_at_once() -> None:
    client = stored()
    panel = opened(client)
    assert client.submitted == []
    chart = panel.chart.chart
    assert [line["key"] for line in chart["lines"]] == ["gif", "fif"]
    assert [quantity["key"] for quantity in chart["quantities"]] == [*pictures.MEASURES, "score"]
    assert {level["key"] for level in chart["levels"]} == {"original", "retrain", "retrain_warm", "floor"}
    assert "Is this a good edit?" in panel.verdicts.value
    assert "Is this where retraining would land?" in panel.verdicts.value
    assert "As published" in panel.scores.value
    assert panel.chart.position == panel.answers.position == 10.0  # the best s of the first method
    assert panel.answers.content["networks"][0]["method"] == "original"


def test_run_streams_and_can_be_cancelled() -> None:
    client = FakeClient()
    panel = opened(client)
    assert client.submitted == [SPEC]
    view = View("running", stage="Sweeping", version=1, partial={"sweep": sweep(gif=0.9)})
    client.views["ticket-1"] = view
    panel.context.ticker.tick()
    assert [line["key"] for line in panel.chart.chart["lines"]] == ["gif"]
    panel.cancel()
    assert client.cancelled == ["ticket-1"]
    assert panel.chart.chart["lines"] == []
    assert panel.context.ticker.idle


def test_the_run_before_stays_as_a_ghost() -> None:
    client = stored()
    other = SPEC.model_copy(update={"mr": 30.0})
    client.answers[other.canonical()] = result(other)
    panel = opened(client)
    assert panel.chart.chart["ghosts"] == []
    panel.form.set(mr=30)
    panel.context.ticker.tick()
    panel.context.ticker.tick()
    assert [line["key"] for line in panel.chart.chart["ghosts"]] == ["gif", "fif"]


def test_link_restores_the_marker_and_export_holds_the_pictures() -> None:
    client = stored()
    panel = BackdoorPanel(context(client))
    assert panel.restore({"target": "2", "methods": "gif,fif", "s": "3"}) == []
    panel.show()
    panel.context.ticker.tick()
    assert panel.chart.position == 3.0
    assert "s=3" in panel.share.query
    assert panel.restore({"s": "-1"}) != []
    assert next(iter(panel.export_tables())) == "sweep"
    assert "pictures" not in panel.export_tables()
    page = panel.export_html()
    assert PICTURE in page
    assert "<two>" not in page
    assert "BackdoorSpec(" in page


def test_a_label_that_another_scenario_lacks_is_replaced() -> None:
    panel = BackdoorPanel(context(FakeClient()))
    panel.show()  # the default is class 4, and there are three
    assert panel.spec.target == len(CARD.classes) - 1


def test_panel_needs_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import gif_dash.panels.backdoor"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


# --- pictures -------------------------------------------------------------------------------------------------------


def test_answers_along_s() -> None:
    content = pictures.answers(result())
    assert content["target"] == 2
    by_name = {network["method"]: network for network in content["networks"]}
    assert list(by_name) == ["original", "gif", "fif", "retrain"]
    assert by_name["original"]["scalars"] == [0.0]
    assert by_name["original"]["triggered"] == [[2, 2, 2]]
    assert by_name["gif"]["scalars"] == [0.0, 0.1, 1.0, 10.0]
    assert by_name["gif"]["triggered"] == [[2, 2, 2], [2, 2, 2], [0, 1, 2], [0, 1, 2]]
    assert by_name["gif"]["clean"] == [[0, 1, 2]] * 4


def test_pictures_for_exports_say_what_is_right_without_colour() -> None:
    text = pictures.answers_html(result())
    assert "&lt;two&gt; ⚑" in text  # fooled
    assert "&lt;two&gt; ✓" in text  # the same answer where it is right
    assert "GIF, s = 10.0" in text


def test_published_table_is_named_and_scored() -> None:
    text = pictures.published_html()
    assert "As published" in text
    assert "11.5 ± 0.5" in text
    assert "99.98" in text
    assert "0.968" in text  # 2·.954·.983/(.954 + .983)


def test_scores_have_both_marks_and_the_references() -> None:
    frame = pictures.scores(result())
    assert frame["where"].tolist() == ["best s", "best s", "s = 1", "s = 1", "", "", ""]
    assert frame["hvps"].tolist()[:4] == [11] * 4
    assert pictures.summary(result())["method"].iloc[0] == "corrupted network"
    assert len(pictures.figures(result())) == 2


# --- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("best", "verdict", "order"),
    [
        ({"gif": 0.96, "fif": 0.94}, "within the errors as good as", "Within the errors the methods are alike"),
        ({"gif": 0.90, "fif": 0.80}, "short of retraining", "GIF is ahead of FIF by more than the errors"),
        ({"gif": 0.22, "fif": 0.21}, "no better than the corrupted network", "alike"),
        (
            {"gif": 0.80, "fif": 0.90, "pif": 0.89},
            "by 0.070 ± 0.014",
            "FIF is ahead of GIF by more than the errors, and",
        ),
    ],
)
def test_no_verdict_within_the_errors(best: dict[str, float], verdict: str, order: str) -> None:
    said = pictures.good_edit(result(table=sweep(**best)))
    assert verdict in said
    assert order in said


def test_verdict_without_retraining() -> None:
    table = sweep(gif=0.9)
    alone = table[~table["method"].isin(("retrain", "retrain_warm"))]
    assert "no retraining to compare with" in pictures.good_edit(result(table=alone))
    assert "Cannot be said" in pictures.good_edit(result(table=alone[alone["method"] == "original"]))


@pytest.mark.parametrize(("fooled", "words"), [(95.0, "works."), (60.0, "in part"), (38.0, "was not learned")])
def test_attack_is_said_with_its_floor(fooled: float, words: str) -> None:
    table = sweep()
    table.loc[table["method"] == "original", "attack_success"] = fooled
    said = pictures.attack(result(table=table))
    assert words in said
    assert "33.0 %" in said
    assert "&lt;two&gt;" in said


def test_partial_table_without_methods_is_drawn() -> None:
    import pandas as pd

    chart = pictures.curves(pd.DataFrame([row("original")]), SPEC.model_dump())
    assert chart.lines == ()
    assert [level.key for level in chart.levels] == ["original"]


def test_what_the_plot_cannot_show_is_said() -> None:
    answer = result(incomplete="no <reference>", deviations=["as published"], data_note="JPEG copies")
    answer.tables["solves"].loc[0, "message"] = "the expansion in m/N does not hold here"
    assert pictures.oddities(answer) == [
        "Missing: no &lt;reference&gt;.",
        "GIF: the expansion in m/N does not hold here.",
        "As published.",
        "JPEG copies",
    ]
