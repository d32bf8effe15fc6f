"""Lessons as data, and the guide that leads through them."""

from __future__ import annotations

import re
from urllib.parse import parse_qs
from xml.etree import ElementTree

import pytest
from panels.panels_fakes import FakeClient

from gif_dash import Dashboard, Lesson
from gif_dash.app import TABS
from gif_dash.catalog import resolve
from gif_dash.lessons import Script, scripts
from gif_dash.panels.viewing import PARTS
from gif_dash.specs import RemovalSpec
from gif_dash.spelling import from_query

LESSONS = list(scripts().values())
#: Words that a person reads in a minute, with the pictures.
PACE = 130


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    fake = FakeClient()
    assert fake.card is not None
    fake.card = fake.card.model_copy(update={"classes": tuple("0123456789")})
    monkeypatch.setattr("gif_dash.compute.client.connect", lambda: fake)
    return fake


def texts(script: Script) -> list[str]:
    found = [script.summary]
    for step in script.steps:
        found.append(step.text)
        if step.question is not None:
            found += [step.question.text, *step.question.choices, step.question.why]
    return found


@pytest.mark.parametrize("script", LESSONS, ids=lambda script: script.name)
def test_a_lesson_is_short_well_formed_and_self_contained(script: Script) -> None:
    words = sum(len(re.sub(r"<math.*?</math>|<[^>]*>", " ", text).split()) for text in texts(script))
    assert words / PACE + 0.75 * len(script.steps) <= script.minutes <= 15, "reading, and a while to play at every step"
    for step in script.steps:
        for text in (
            step.text,
            step.question.why if step.question else "",
            step.question.text if step.question else "",
        ):
            ElementTree.fromstring(f"<div>{text}</div>")  # every tag is closed
            assert not re.search(r"https?:|<script|src=|on\w+=", text)
        assert set(step.hide) <= set(PARTS)
    assert sum(step.question is not None for step in script.steps) >= 3
    assert len({step.question.answer for step in script.steps if step.question}) > 1, "not always the same choice"


@pytest.mark.parametrize("script", LESSONS, ids=lambda script: script.name)
def test_every_view_of_a_lesson_exists(script: Script) -> None:
    panels = {tab.key: resolve(tab.panel) for tab in TABS}
    for place, step in enumerate(script.steps):
        for revealed in (False, True):
            state = script.state(place, revealed)
            kind = panels[state["tab"]].spec_class
            assert from_query(kind, state)[1] == []
            assert set(step.controls) <= set(kind.model_fields)
        if step.question is not None:
            assert 0 <= step.question.answer < len(step.question.choices)


def shown(dashboard: Dashboard) -> set[str]:
    """Settings that are on the page."""
    form = dashboard.panel.form
    return set(form.spec_class.model_fields) - set(form.hidden)


def test_a_link_opens_a_lesson_at_a_step(client: FakeClient) -> None:
    dashboard = Dashboard(query="lesson=part&step=5&hide=words")
    card = dashboard.guide.card
    assert (card.lesson["name"], card.step, card.revealed) == ("part", 4, False)
    assert parse_qs(dashboard.page.query.removeprefix("?")) == {"lesson": ["part"], "step": ["5"], "hide": ["words"]}
    assert {"gd-in-lesson", "gd-covered", "gd-hide-header", "gd-hide-words"} <= set(dashboard._dom_classes)
    assert shown(dashboard) == {"correlation", "points"}
    assert dashboard.notice.value == ""


def test_prediction_comes_before_the_view(client: FakeClient) -> None:
    dashboard = Lesson("part", step=5)
    assert dashboard.panel.spec.correlation == 0.5
    dashboard.guide.card.revealed = True
    dashboard.ticker.tick()
    assert (dashboard.panel.spec.correlation, dashboard.panel.spec.points) == (0, 5000)
    assert "gd-covered" not in dashboard._dom_classes


def test_what_a_person_changed_stays_until_a_step_has_its_own_view(client: FakeClient) -> None:
    dashboard = Lesson("part", step=5)
    card = dashboard.guide.card
    dashboard.panel.form.set(correlation=0.9)
    dashboard.ticker.tick()
    card.revealed = True
    dashboard.ticker.tick()
    assert dashboard.panel.spec.correlation == 0
    dashboard.panel.form.set(correlation=0.9)
    dashboard.ticker.tick()
    card.step, card.revealed = 5, False
    dashboard.ticker.tick()
    assert dashboard.panel.spec.correlation == 0.5
    assert dashboard.page.query == "?lesson=part&step=6"


def test_leaving_keeps_the_view_and_gives_all_controls(client: FakeClient) -> None:
    dashboard = Lesson("part", step=5)
    dashboard.guide.card.revealed = True
    dashboard.ticker.tick()
    dashboard.guide._hear("leave", "")
    assert "gd-in-lesson" not in dashboard._dom_classes
    assert shown(dashboard) == set(dashboard.panel.spec_class.model_fields)
    assert "tab=toy" in dashboard.page.query
    assert "correlation=0" in dashboard.page.query
    dashboard.guide._hear("back", "part")
    assert dashboard.page.query == "?lesson=part&step=5"


def test_a_view_that_is_not_stored_is_computed(client: FakeClient) -> None:
    dashboard = Lesson("forgetting")
    assert client.submitted == [RemovalSpec()]
    assert dashboard.panel.chart.position == 1
    card = dashboard.guide.card
    card.step = 2
    dashboard.ticker.tick()
    card.revealed = True
    dashboard.ticker.tick()
    assert client.submitted[-1] == RemovalSpec(methods=("gif", "fif", "pif", "gradient"))


@pytest.mark.parametrize("name", ["nonsense", "<script>alert(1)</script>", "PART"])
def test_an_unknown_lesson_gives_the_list(client: FakeClient, name: str) -> None:
    dashboard = Lesson(name)
    assert dashboard.guide.card.listed
    assert "There is no lesson named" in dashboard.notice.value
    assert "<script>" not in dashboard.notice.value
    assert [offer["name"] for offer in dashboard.guide.card.offers] == list(scripts())


@pytest.mark.parametrize("step", ["0", "99", "x", "", "9" * 30, "-1"])
def test_steps_that_there_are_not(client: FakeClient, step: str) -> None:
    dashboard = Dashboard(query=f"lesson=part&step={step}")
    assert "steps go from 1 to 7" in dashboard.notice.value
    assert 0 <= dashboard.guide.card.step <= 6


def test_messages_that_are_none_change_nothing(client: FakeClient) -> None:
    dashboard = Dashboard(query="")
    for what, name in (("start", "nonsense"), ("back", ""), ("nonsense", "part"), ("leave", "")):
        dashboard.guide._hear(what, name)
    assert dashboard.guide.script is None
    dashboard.guide.start("part")
    dashboard.guide.card.step = 10**9
    dashboard.ticker.tick()
    assert dashboard.page.query == "?lesson=part&step=7"
