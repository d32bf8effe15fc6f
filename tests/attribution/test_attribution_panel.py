"""The panel of helpful and harmful images: looks up, computes, removes what is chosen, fits in a link."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from urllib.parse import parse_qsl

import pytest
from attribution_fakes import SPEC, Bars, answer, removal
from click.testing import CliRunner
from panels.panels_fakes import asking, context

from gif_dash import cli
from gif_dash.compute.client import View
from gif_dash.figures import attribution as pictures
from gif_dash.figures import image_removal as removed
from gif_dash.panels.attribution import AttributionPanel
from gif_dash.specs import AttributionSpec, ImageRemovalSpec


def opened(client: Bars, spec: AttributionSpec = SPEC) -> AttributionPanel:
    return asking(AttributionPanel(context(client)), spec)


def answered() -> Bars:
    client = Bars()
    client.keep(answer(), SPEC)
    return client


def press(panel: AttributionPanel, **message: object) -> None:
    panel.images._message(None, message, None)
    panel.context.ticker.tick()


def test_stored_answer_is_shown_with_pictures_signs_and_words() -> None:
    client = answered()
    panel = opened(client)
    assert client.submitted == []
    content = panel.images.content
    first = content["rankings"][0]
    assert [side["title"] for side in first["sides"]] == list(pictures.INFLUENCE_SIDES[:2])
    helpful = first["sides"][0]["tiles"][0]
    assert helpful["url"].startswith("data:image/png")
    assert helpful["score"].startswith("+")
    assert "helpful: removing it raises the loss by about" in helpful["words"]
    assert "harmful: removing it lowers" in first["sides"][1]["tiles"][0]["words"]
    assert content["query"]["wrong"]
    assert "one pass over all" in panel.about_scores.value
    assert len(content["plot"]["index"]) == 90


def test_names_of_classes_are_never_html() -> None:
    panel = opened(answered())
    assert "<right>" not in panel.images.content["query"]["words"]
    table = pictures.scores_html(answer(), "influence")
    assert "&lt;right&gt;" in table
    assert "<right>" not in table


def test_unknown_question_is_computed_alone() -> None:
    client = Bars()
    panel = opened(client)
    assert client.submitted == [SPEC]
    known = {name: answer().tables[name] for name in ("query", "shown", "gallery", "pictures", "scores")}
    client.views["ticket-1"] = View("running", version=1, partial=known)
    panel.context.ticker.tick()
    assert panel.images.content["rankings"]
    client.views["ticket-1"] = View("done", seconds=2.0, result=answer())
    panel.context.ticker.tick()
    assert panel.bar.status == "Done in 2.0 s"


def test_the_run_before_stays_as_a_ghost_where_it_is_about_the_same_images() -> None:
    client = answered()
    panel = opened(client)
    assert panel.images.content["plot"]["before"] == {}
    first, other = deepcopy(answer()), deepcopy(answer())
    other.table["influence"] *= 2
    other.spec["iterations"] = 7
    panel.show_result(other)
    drawn = panel.images.content["plot"]
    assert drawn["before"]["influence"] == first.table["influence"].tolist()
    assert drawn["scores"]["influence"] == (2 * first.table["influence"]).tolist()
    panel.show_result(other)
    assert panel.images.content["plot"]["before"]["influence"] == first.table["influence"].tolist(), "not of itself"
    elsewhere = deepcopy(answer())
    elsewhere.table["loss"] += 1
    elsewhere.spec["iterations"] = 8
    panel.show_result(elsewhere)
    assert panel.images.content["plot"]["before"] == {}, "other training images"


def test_pressed_test_image_is_asked_about() -> None:
    client = answered()
    panel = opened(client)
    other = panel.images.content["gallery"][3]["index"]
    press(panel, do="query", index=other)
    panel.context.ticker.tick()
    assert client.submitted == [SPEC.model_copy(update={"test_index": other})]
    press(panel, do="query", index=10**6)
    press(panel, do="query", index="<b>")
    panel.images._message(None, "nonsense", None)
    assert len(client.submitted) == 1


def test_chosen_images_are_removed_and_the_outcome_shown() -> None:
    client = answered()
    panel = opened(client)
    press(panel, do="remove")
    assert panel.images.error == "Choose at least one training image first."
    spec, result = removal(2, 7)
    panel.images.selected = [2, 7]
    press(panel, do="remove")
    assert client.submitted == [spec]
    assert isinstance(client.submitted[0], ImageRemovalSpec)
    assert panel.images.running
    press(panel, do="remove")
    assert len(client.submitted) == 1, "one at a time"
    client.views["ticket-1"] = View("running", stage="Solving for GIF", fraction=0.5)
    panel.context.ticker.tick()
    assert (panel.images.status, panel.images.fraction) == ("Solving for GIF", 0.5)
    client.views["ticket-1"] = View("done", seconds=1.5, result=result)
    panel.context.ticker.tick()
    assert not panel.images.running
    assert panel.images.status == "Done in 1.5 s"
    assert "Is this a good edit?" in panel.outcome.value
    assert "Is this where retraining would land?" in panel.outcome.value
    assert "2 training images" in panel.outcome.value
    assert "removal" in panel.export_tables()
    total = answer().table["influence"][[2, 7]].sum()
    assert pictures.score("influence", total) in panel.outcome.value
    assert pictures.summed(answer(), "similarity", [2, 7]) == ""


def test_training_again_is_asked_for_and_cancelled() -> None:
    client = answered()
    panel = opened(client)
    panel.images.selected, panel.images.retrain = [2, 7], True
    press(panel, do="remove")
    assert client.submitted[0].retrain == "yes"  # type: ignore[attr-defined]
    press(panel, do="cancel")
    assert client.cancelled == ["ticket-1"]
    assert not panel.images.running
    assert panel.images.status == "Cancelled"
    client.views["ticket-2"] = View("failed", error="No memory")
    press(panel, do="remove")
    client.views["ticket-2"] = View("failed", error="No memory")
    panel.context.ticker.tick()
    assert panel.images.error == "No memory"


def test_another_test_image_forgets_the_outcome() -> None:
    client = answered()
    other = SPEC.model_copy(update={"test_index": 5})
    client.keep(answer(other), other)
    spec, result = removal(2, 7)
    client.keep(result, spec)
    panel = opened(client)
    panel.images.selected = [2, 7]
    panel._look_up_removal()
    assert panel.outcome.value
    panel.form.set(test_index=5)
    panel.context.ticker.tick()
    panel.context.ticker.tick()
    assert panel.images.content["query"]["index"] == 5
    assert panel.outcome.value == ""
    assert panel.images.selected == [2, 7]


def test_link_restores_ranking_and_choice_with_what_is_known_of_it() -> None:
    client = answered()
    spec, result = removal(2, 7)
    client.keep(result, spec)
    panel = opened(client)
    panel.images.ranking, panel.images.selected = "representer", [2, 7]
    panel.context.ticker.tick()
    query = dict(parse_qsl(panel.share.query.lstrip("?")))
    assert (query["ranking"], query["selected"]) == ("representer", "2,7")
    again = AttributionPanel(context(client))
    assert again.restore(query) == []
    again.show()
    again.context.ticker.tick()
    assert again.ranking == "representer"
    assert "2 training images" in again.outcome.value
    said = again.restore({"ranking": "luck", "selected": "1,x"})
    assert len(said) == 2


def test_ways_out_carry_numbers_and_pictures() -> None:
    panel = opened(answered())
    assert "pictures" not in panel.export_tables()
    page = panel.export_html()
    assert page.count("data:image/png") >= 10
    assert "Helpful: removing one raises the loss" in page
    assert "gif-dash run attribution" in panel.share.command
    for ranking in SPEC.rankings:
        assert len(pictures.figures(answer(), ranking)[0].data) == 2
    assert len(pictures.summary(answer())) >= 5
    assert list(removed.summary(removal(2, 7)[1])["network"]) == ["original", "gif", "if"]


def test_agreement_and_solves_are_tables_with_all_rankings() -> None:
    text = pictures.agreement_html(answer())
    assert text.count("<tr>") == len(SPEC.rankings) + 1
    assert "1.00" in text
    assert "&lt;small" not in text
    assert "MINRES" in pictures.solves_html(answer())


def test_what_must_be_known_is_said() -> None:
    result = answer()
    assert any("Representer points add up" in text for text in pictures.oddities(result))
    failed = replace(result, provenance={**result.provenance, "remarks": ["representer points: no <b>layer</b>"]})
    assert "no &lt;b&gt;layer&lt;/b&gt;." in pictures.oddities(failed)[0]
    heavy = result.tables["solves"].assign(decay=1e6)
    assert any(
        "weight decay" in text for text in pictures.oddities(replace(result, tables={**result.tables, "solves": heavy}))
    )
    assert "regularised inverse" in pictures.stepped(result)


@pytest.mark.parametrize("name", ["attribution", "image-removal"])
def test_command_knows_its_settings(name: str) -> None:
    outcome = CliRunner().invoke(cli.main, ["run", name, "--help"])
    assert outcome.exit_code == 0
    assert "--test-index" in outcome.output
