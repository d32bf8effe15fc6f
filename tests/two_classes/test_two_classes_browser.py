"""The images of the two digits in Chromium: looked at, not chosen; another solver's by keyboard. Without a server."""

from __future__ import annotations

from typing import Any

import pytest
from two_classes_cases import SMALL, answer
from widget_harness import HARNESS

from gif_dash.figures.two_classes import content, scatter_html
from gif_dash.panels.images import ImagesWidget
from gif_dash.panels.two_classes import DIGITS

pytestmark = pytest.mark.browser


def test_images_are_looked_at_by_every_solver(browser: Any) -> None:
    page = browser.new_page(viewport={"width": 800, "height": 1200})
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.set_content("<main class='gd-app'></main>")
    page.add_style_tag(content=str(ImagesWidget._css))
    traits = {
        "content": content(answer(SMALL).tables, DIGITS),
        "ranking": "",
        "selected": [],
        "retrain": False,
        "running": False,
        "status": "",
        "fraction": None,
        "error": "",
        "choosing": False,
    }
    page.evaluate(HARNESS, [str(ImagesWidget._esm), traits])
    assert page.get_by_role("button", name="Choose all").count() == 0
    assert page.locator(".gd-tray").get_attribute("hidden") is not None
    assert page.get_by_role("img", name="helpful: removing it raises the loss").count() == SMALL.shown
    assert page.get_by_role("img", name="harmful: removing it lowers the loss").count() == SMALL.shown
    page.locator(".gd-tile").first.click()
    box = page.locator(".gd-plotbox svg").bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 5, box["y"] + box["height"] - 5, steps=4)
    page.mouse.up()
    assert page.evaluate("model.get('selected')") == []
    page.get_by_role("radio", name="direct").focus()
    for _ in range(len(SMALL.solvers) - 1):
        page.keyboard.press("ArrowRight")
    assert page.evaluate("model.get('ranking')") == "lissa"
    page.locator(".gd-testimage").nth(2).press("Enter")
    assert page.evaluate("sent") == [{"do": "query", "index": page.evaluate("model.get('content').gallery[2].index")}]
    page.evaluate(
        "text => document.body.insertAdjacentHTML('beforeend', text)", scatter_html(answer(SMALL).tables["truth"], 9)
    )
    assert page.get_by_role("img", name="predicted against trained again").count() == 1
    assert page.locator(".gd-leftout path").count() >= 9
    page.close()
    assert not complaints
