"""The layers in a real browser: switches, names, and what a press tells Python. No server is needed."""

from __future__ import annotations

from typing import Any

import pytest
from layers_fakes import answer
from widget_harness import HARNESS

from gif_dash.figures.layers import picture
from gif_dash.panels.page import STATIC

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser: Any) -> Any:
    page = browser.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.set_content("<!doctype html><main class='gd-app'></main>")
    page.add_style_tag(content=(STATIC / "page.css").read_text() + (STATIC / "layers.css").read_text())
    drawn = picture(answer().tables)
    assert drawn is not None
    page.evaluate(HARNESS, [(STATIC / "layers.js").read_text(), {"picture": drawn.to_dict(), "view": {}}])
    yield page
    page.close()
    assert wrong == []


def row(page: Any, place: int) -> list[str]:
    cells: list[str] = page.locator("tbody tr").nth(place).locator("td, th").all_inner_texts()
    return [" ".join(text.split()) for text in cells]


def test_layers_stand_in_order_with_numbers_on_their_bars(page: Any) -> None:
    assert row(page, 0) == ["conv Conv2d 100", "10.0 %", "20.0 %", "40.0 %", "50.0 %", "50.0 %"]
    assert row(page, 2)[0] == "whole"
    lengths = (
        page.locator("tbody tr")
        .first.locator(".gd-network-bar")
        .evaluate_all("bars => bars.map((bar) => bar.style.getPropertyValue('--part'))")
    )
    assert lengths == ["10.0%", "20.0%", "40.0%", "50.0%", "50.0%"]


def test_the_keyboard_changes_criterion_and_quantity_without_asking_python(page: Any) -> None:
    page.get_by_role("radio", name="top-k outputs").focus()
    page.keyboard.press("ArrowRight")
    assert row(page, 0)[2:4] == ["70.0 %", "90.0 %"]
    page.get_by_role("radio", name="Alone: score").check()
    assert row(page, 1)[2:] == ["0.900", "0.900", "–", "–"]
    assert page.evaluate("window.sent") == []
    assert page.evaluate("window.traits.view") == {"criterion": "random", "quantity": "score_alone"}


def test_a_method_opens_class_removal_with_the_criterion_on_the_screen(page: Any) -> None:
    page.get_by_role("radio", name="random").check()
    page.get_by_role("button", name="FIF: open in class removal").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("window.sent") == [{"do": "open", "method": "fif", "criterion": "random"}]
    assert page.get_by_role("button").count() == 2, "retrained networks have nothing to open"


def test_another_answer_keeps_the_view(page: Any) -> None:
    page.get_by_role("radio", name="random").check()
    page.evaluate("window.change('picture', JSON.parse(JSON.stringify(window.traits.picture)))")
    assert page.get_by_role("radio", name="random").is_checked()
    assert row(page, 0)[2] == "70.0 %"
    page.evaluate("window.change('picture', {})")
    assert page.locator("table").count() == 0 or not page.locator("table").is_visible()
