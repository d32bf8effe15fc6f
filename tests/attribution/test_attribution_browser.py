"""The images in Chromium: pressed by pointer and keyboard, caught with a line around points. Without a server."""

from __future__ import annotations

from typing import Any

import pytest
from attribution_fakes import answer

from gif_dash.figures.attribution import content
from gif_dash.panels.images import ImagesWidget

pytestmark = pytest.mark.browser

#: Renders the widget with a model that is nothing but its traits, and remembers what it sends.
RENDER = """async ([source, style, traits]) => {
    document.head.append(Object.assign(document.createElement("style"), { textContent: style }));
    const { default: widget } = await import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
    const heard = {};
    window.sent = [];
    window.model = {
        get: (name) => traits[name],
        on: (event, call) => (heard[event] = call),
        set: (name, value) => { traits[name] = value; heard[`change:${name}`]?.(); },
        save_changes: () => {},
        send: (message) => window.sent.push(message),
    };
    const el = document.body.appendChild(document.createElement("div"));
    el.className = "gd-app";
    widget.render({ model: window.model, el });
}"""


@pytest.fixture
def page(browser: Any) -> Any:
    page = browser.new_page(viewport={"width": 1100, "height": 1400})
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto("about:blank")
    traits = {
        "content": content(answer().tables, ["left", "middle", "<right>"]),
        "ranking": "",
        "selected": [],
        "retrain": False,
        "running": False,
        "status": "",
        "fraction": None,
        "error": "",
    }
    page.evaluate(RENDER, [str(ImagesWidget._esm), str(ImagesWidget._css), traits])
    yield page
    page.close()
    assert not complaints


def chosen(page: Any) -> list[int]:
    found: list[int] = page.evaluate("model.get('selected')")
    return found


def test_tiles_are_chosen_with_the_keyboard_and_removed(page: Any) -> None:
    remove = page.get_by_role("button", name="Remove these and see")
    assert remove.is_disabled()
    tile = page.locator(".gd-side-for .gd-tile").first
    tile.focus()
    page.keyboard.press("Enter")
    assert tile.get_attribute("aria-pressed") == "true"
    page.keyboard.press("Space")
    assert chosen(page) == []
    page.get_by_role("button", name="Choose all: Harmful").press("Enter")
    harmful = page.locator(".gd-side-against .gd-tile")
    assert len(chosen(page)) == harmful.count() > 0
    assert harmful.first.get_attribute("aria-pressed") == "true"
    page.get_by_label("train again, too").check()
    remove.click()
    assert page.evaluate("[sent, model.get('retrain')]") == [[{"do": "remove"}], True]
    page.get_by_role("button", name="Choose none").click()
    assert chosen(page) == []


def test_names_say_the_sign_and_are_no_html(page: Any) -> None:
    assert page.get_by_role("button", name="helpful: removing it raises the loss").count() > 0
    assert page.get_by_role("button", name="harmful: removing it lowers the loss").count() > 0
    assert page.locator("right").count() == 0


def test_another_ranking_shows_other_sides_and_keeps_the_choice(page: Any) -> None:
    page.locator(".gd-tile").first.click()
    before = chosen(page)
    page.get_by_role("radio", name="own loss").check(force=True)
    assert page.evaluate("model.get('ranking')") == "training-loss"
    assert page.get_by_role("heading", name="Highest own loss of class").count() == 1
    assert chosen(page) == before


def test_test_image_is_asked_about(page: Any) -> None:
    images = page.locator(".gd-testimage")
    assert images.first.get_attribute("aria-current") == "true"
    images.nth(2).click()
    index = page.evaluate("model.get('content').gallery[2].index")
    assert page.evaluate("sent") == [{"do": "query", "index": index}]


def test_the_run_before_is_drawn_faintly(page: Any) -> None:
    assert page.locator(".gd-ghostpoint").count() == 0
    scores = answer().table
    before = scores.assign(influence=scores["influence"] * 3)
    page.evaluate(
        "content => model.set('content', content)", content(answer().tables, ["left", "middle", "<right>"], before)
    )
    assert page.locator(".gd-ghostpoint").count() == page.locator(".gd-point").count() == 90
    assert "faint: the run before" in page.locator(".gd-scoreplot figcaption").inner_text()
    page.get_by_role("radio", name="own loss").check(force=True)
    first, ghost = (page.locator(each).first.bounding_box() for each in (".gd-point", ".gd-ghostpoint"))
    assert abs(first["x"] + first["width"] / 2 - ghost["x"] - ghost["width"] / 2) < 1, "the same score, the same place"


def test_line_around_points_chooses_them_and_a_press_drops_one(page: Any) -> None:
    box = page.locator(".gd-plotbox svg").bounding_box()
    corners = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)]
    places = [(box["x"] + x * box["width"] * 0.998 + 1, box["y"] + y * box["height"] * 0.998) for x, y in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()
    assert len(chosen(page)) == 90
    assert page.locator(".gd-point.gd-chosen").count() == 90
    point = page.locator(".gd-point").first.bounding_box()
    page.mouse.click(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)
    assert len(chosen(page)) == 89
    assert "89 training images chosen" in page.locator(".gd-count").inner_text()


def test_running_removal_can_be_cancelled(page: Any) -> None:
    page.evaluate("model.set('running', true); model.set('status', 'Solving for GIF'); model.set('fraction', 0.25)")
    assert page.get_by_role("status").filter(has_text="Solving for GIF").count() == 1
    assert page.get_by_role("progressbar").get_attribute("value") == "0.25"
    page.get_by_role("button", name="Cancel").click()
    assert page.evaluate("sent") == [{"do": "cancel"}]
