"""The pictures of the backdoor in Chromium: what the networks say follows the marker. Without a server."""

from __future__ import annotations

from typing import Any

import pytest
from backdoor_fakes import result

from gif_dash.figures.backdoor import answers
from gif_dash.panels.backdoor import Answers

pytestmark = pytest.mark.browser

#: Renders the widget with a model that is nothing but its traits.
RENDER = """async ([source, traits]) => {
    const { default: widget } = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
    const heard = {};
    window.model = {
        get: (name) => traits[name],
        on: (event, call) => (heard[event] = call),
        set: (name, value) => { traits[name] = value; heard[`change:${name}`]?.(); },
    };
    const el = document.body.appendChild(document.createElement("div"));
    widget.render({ model: window.model, el });
}"""


@pytest.fixture
def page(browser: Any) -> Any:
    page = browser.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto("about:blank")
    source = str(Answers()._esm)
    page.evaluate(RENDER, [source, {"content": answers(result()), "position": 0}])
    yield page
    page.close()
    assert not complaints


def said(page: Any, name: str, place: int) -> list[str]:
    """The answers of a network to the pictures without (0) or with the trigger (1), each with its sign."""
    row = page.locator(f"tbody:nth-of-type({place + 1}) tr", has=page.locator("th", has_text=name))
    found: list[str] = row.locator("td[data-state]").all_inner_texts()
    return found


def test_answers_follow_the_marker(page: Any) -> None:
    fooled = ["<two>⚑", "<two>⚑", "<two>✓"]
    assert said(page, "corrupted network", 1) == fooled
    assert said(page, "GIF", 1) == fooled  # s = 0
    page.evaluate("model.set('position', 0.9)")  # the nearest computed point is 1
    assert said(page, "GIF", 1) == ["zero✓", "one✓", "<two>✓"]
    assert said(page, "corrupted network", 1) == fooled
    assert said(page, "retrained", 1) == ["zero✓", "one✓", "<two>✓"]
    row = page.locator("tbody:nth-of-type(2) tr", has=page.locator("th", has_text="GIF"))
    assert "s = 1" in row.locator("th").inner_text()
    assert row.locator("td.gd-num").inner_text() == "3/3"


def test_pictures_and_signs_have_words(page: Any) -> None:
    assert page.get_by_role("img", name="one, with trigger").count() == 1
    assert page.get_by_role("img", name="<two>, without trigger").count() == 1
    assert page.get_by_role("img", name="the corrupt label").count() == 2 * 3  # corrupted network, GIF and FIF at s = 0
    assert page.get_by_role("region", name="Test pictures").count() == 1


def test_another_answer_replaces_the_first(page: Any) -> None:
    other = answers(result())
    other["pictures"], other["networks"] = other["pictures"][:1], other["networks"][:1]
    page.evaluate("(content) => model.set('content', content)", other)
    assert page.locator("tbody").count() == 2
    assert said(page, "corrupted network", 1) == ["<two>⚑"]
    page.evaluate("model.set('position', 10)")
    assert page.locator("img").count() == 2
