"""The line in a real browser: dragged by mouse, touch and keys, fast, with the numbers that Python computes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest
from driving import Visit, until

from gif_dash import spelling
from gif_dash.experiments.line import run
from gif_dash.figures.tables import significant
from gif_dash.progress import Silent
from gif_dash.specs import LineSpec

pytestmark = pytest.mark.browser

READY = "g.gd-line-point[data-what='19'][data-influence]"

#: What the page computed for every point and for the test point, in full precision.
NUMBERS = """() => ({
  points: Object.fromEntries([...document.querySelectorAll("g.gd-line-point:not([data-effect=removed])")].map(
    (g) => [g.dataset.what, ["x", "y", "influence", "predicted", "leftOut"].map((name) => Number(g.dataset[name]))])),
  loss: Number(document.querySelector("g.gd-line-test").dataset.loss),
})"""


@pytest.fixture(scope="module")
def visitor(browser: Any) -> Iterator[Visit]:
    """One visitor for all tests of this file."""
    made = Visit(browser)
    yield made
    made.end()
    assert not made.complaints, "\n".join(made.complaints)


@pytest.fixture(scope="module")
def opened(visitor: Visit, dashboard: Any) -> Any:
    page = visitor.open(dashboard.url + "?tab=line")
    page.locator(READY).wait_for(state="attached", timeout=60_000)
    return page


@pytest.fixture
def page(opened: Any) -> Any:
    """The page with the tutorial's data."""
    opened.locator(".gd-line-bar").get_by_role("button", name="Reset").click()
    until(lambda: spec_of(opened) == LineSpec(), 20, "the address says nothing but the tab")
    return opened


def spec_of(page: Any) -> LineSpec:
    """The question in the page's address."""
    spec, sentences = spelling.from_query(LineSpec, dict(parse_qsl(urlsplit(page.url).query)))
    assert sentences == []
    return spec


def centre(page: Any, what: int | str) -> tuple[float, float]:
    box = page.locator(f"[data-what='{what}'] .gd-line-reach").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def assert_numbers(page: Any, spec: LineSpec) -> None:
    """The page's numbers are those that Python computes for the question in the address."""
    assert spec_of(page) == spec
    result = run(spec, Silent())
    shown = page.evaluate(NUMBERS)
    assert set(shown["points"]) == {str(index) for index in result.table["index"]}
    for _, row in result.table.iterrows():
        expected = [row[name] for name in ("x", "y", "influence", "predicted", "left_out")]
        np.testing.assert_allclose(shown["points"][str(row["index"])], expected, rtol=1e-9, atol=1e-9)
    fit = dict(zip(result.tables["fit"]["quantity"], result.tables["fit"]["value"], strict=True))
    assert shown["loss"] == pytest.approx(fit["test_loss"], rel=1e-9)


def test_alive_at_load_with_python_numbers(page: Any) -> None:
    assert_numbers(page, LineSpec())
    assert page.locator("text.gd-line-name-harmful").text_content() == "most harmful: 15"
    assert page.locator("text.gd-line-name-helpful").text_content() == "most helpful: 1"
    assert page.get_by_text("Most harmful is point 15 (x = 2.5)").is_visible()
    # the equation holds the numbers of the chosen point, and its factors give the answer
    page.get_by_role("button", name="Point 15: x 2.5, y 100").focus()
    row = run(LineSpec(), Silent()).table.set_index("index").loc[15]
    answers = page.locator(".gd-line-equation .gd-line-answer").all_text_contents()
    assert answers == [significant(row[name]) for name in ("influence", "predicted", "left_out")]


def test_dragging_is_fast_and_lands_where_it_was_dropped(page: Any) -> None:
    x, y = centre(page, 15)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 5, y + 5)
    page.evaluate(
        """() => {
          window.frames_ = [];
          let before = "";
          const look = (now) => {
            const place = document.querySelector(".gd-line-fit").getAttribute("d");
            if (place !== before) window.frames_.push(now);
            before = place;
            window.looking = requestAnimationFrame(look);
          };
          look(performance.now());
          // A hand that moves: an event every 8 ms for 1.2 s, as a mouse sends them.
          const root = document.querySelector(".gd-line-plot svg");
          const box = document.querySelector("[data-what='15'] .gd-line-reach").getBoundingClientRect();
          const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
          const pointer = { bubbles: true, pointerId: 1, buttons: 1, isPrimary: true };
          window.hand = new Promise((done) => {
            let count = 0;
            const timer = setInterval(() => {
              count += 1;
              const there = { clientX: x + 40 * Math.sin(count / 20), clientY: y + count };
              root.dispatchEvent(new PointerEvent("pointermove", { ...pointer, ...there }));
              if (count === 150) { clearInterval(timer); done(); }
            }, 8);
          });
        }"""
    )
    axis = page.locator(".gd-line-plot text").all_text_contents()
    page.evaluate("window.hand")
    page.evaluate("cancelAnimationFrame(window.looking)")
    assert page.locator(".gd-line-plot text").all_text_contents()[:12] == axis[:12], "axes are held"
    gaps = sorted(later - earlier for earlier, later in pairwise(page.evaluate("window.frames_")))
    assert len(gaps) > 25
    assert gaps[len(gaps) // 2] <= 40, "milliseconds: 25 pictures a second"
    page.mouse.up()
    until(lambda: spec_of(page).moved, 20, "the address follows")
    index, there_x, there_y = spec_of(page).moved[0].split(":")
    assert index == "15"
    assert float(there_y) < 80
    until(
        lambda: "15:" in page.url and page.locator(".gd-line-ghost").get_attribute("d"),
        20,
        "the line before is a ghost",
    )
    assert_numbers(page, spec_of(page))
    assert f"x {float(there_x):g}".replace("-", "−") in page.locator("[data-what='15']").get_attribute("aria-label")
    page.get_by_role("button", name="Undo").click()
    until(lambda: spec_of(page) == LineSpec(), 20, "taken back")
    assert_numbers(page, LineSpec())


def test_by_keyboard_alone(page: Any) -> None:
    page.get_by_role("button", name="Point 15: x 2.5, y 100").focus()
    for key in ("ArrowDown", "Shift+ArrowDown", "ArrowLeft", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    until(lambda: spec_of(page) == LineSpec(moved=("15:1.4:89",)), 20, "arrows move the point")
    until(lambda: "Point 15: x 1.4, y 89" in page.locator(".gd-line-live").text_content(), 10, "it is announced")
    assert_numbers(page, LineSpec(moved=("15:1.4:89",)))
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.dataset.what") == "test"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    wanted = LineSpec(moved=("15:1.4:89",), test_x=3.3, test_offset=10.5)
    until(lambda: spec_of(page) == wanted, 20, "the test point moves, and keeps its y when it moves sideways")
    page.keyboard.press("Home")
    assert page.evaluate("document.activeElement.dataset.what") == "0"
    page.keyboard.press("PageDown")
    page.keyboard.press("Delete")
    wanted = wanted.model_copy(update={"removed": (1,)})
    until(lambda: spec_of(page) == wanted, 20, "Delete takes a point out")
    assert page.locator("[data-what='1']").get_attribute("data-effect") == "removed"
    assert "19 of 20 points are fitted" in page.locator(".gd-line-live").text_content()
    assert page.locator(".gd-line-entry").count() == 19
    assert page.locator(".gd-line-equation [data-n=n]").first.text_content() == "19"
    assert_numbers(page, wanted)
    page.keyboard.press("Delete")
    until(lambda: not spec_of(page).removed, 20, "and back")
    assert page.evaluate("document.activeElement.dataset.what") == "1", "the focus stays where it was"
    page.keyboard.press("Escape")
    until(lambda: spec_of(page) == LineSpec(), 20, "Escape gives back the tutorial's data")
    assert_numbers(page, LineSpec())


def test_escape_takes_a_drag_back(page: Any) -> None:
    x, y = centre(page, "test")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 60, y - 40, steps=4)
    until(lambda: page.locator("[data-what=test]").get_attribute("data-x") != "3.2", 10, "it moves")
    page.keyboard.press("Escape")
    page.mouse.up()
    until(lambda: page.locator("[data-what=test]").get_attribute("data-x") == "3.2", 10, "it is back")
    until(lambda: spec_of(page) == LineSpec(), 20, "for Python, too")


def test_link_restores_and_settings_move_the_points(page: Any) -> None:
    """A link with everything in it, opened in the same tab; then the form changes what was not dragged."""
    spec = LineSpec(
        moved=("3:-1.25:60.5", "15:2.5:-8"), removed=(1, 7), test_x=-2.0, test_offset=15, noise=3, decay=0.5, height=-40
    )
    page.goto(urlsplit(page.url)._replace(query=spelling.to_query_string(spec)[1:]).geturl())
    page.locator(READY).wait_for(state="attached", timeout=60_000)
    until(lambda: page.evaluate(NUMBERS)["points"].get("3", [0])[0] == -1.25, 20, "the points are where the link says")
    assert_numbers(page, spec)
    noise = page.get_by_label("Noise, exact value")
    noise.fill("0")
    noise.press("Enter")
    until(lambda: spec_of(page).noise == 0, 20, "the form changes the data")
    until(lambda: page.evaluate(NUMBERS)["points"]["0"][1] == 30, 20, "and the picture follows")
    assert_numbers(page, spec.model_copy(update={"noise": 0.0}))
