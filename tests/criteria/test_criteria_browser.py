"""The grid of cells in a real browser: keyboard, switches, and what it tells Python. No server is needed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from criteria_fakes import SPEC, table
from widget_harness import HARNESS

from gif_dash.figures.criteria import grid
from gif_dash.panels.page import STATIC

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser: Any) -> Any:
    page = browser.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.set_content("<!doctype html><main class='gd-app'></main>")
    page.add_style_tag(content=(STATIC / "page.css").read_text() + (STATIC / "cells.css").read_text())
    picture = grid(table(), SPEC.model_dump(mode="json")).to_dict()
    traits = {"grid": json.loads(json.dumps(picture)), "view": {}, "selected": []}
    page.evaluate(HARNESS, [(STATIC / "cells.js").read_text(), traits])
    yield page
    page.close()
    assert wrong == []


def focused(page: Any) -> str:
    return str(page.evaluate("document.activeElement.getAttribute('aria-label')"))


def test_keyboard_walks_the_cells_and_presses_one(page: Any) -> None:
    cells = page.get_by_role("button")
    assert cells.count() == 6
    assert page.locator("button.gd-cell[tabindex='0']").count() == 1, "one stop for the Tab key"
    cells.first.focus()
    assert focused(page) == "top-k outputs, MR 5 %: 0.900 ± 0.010"
    page.keyboard.press("ArrowUp")
    assert focused(page).startswith("top-k outputs, MR 5 %"), "there is nothing above"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert focused(page).startswith("random, MR 20 %")
    assert "s = 12.5" in page.locator(".gd-cells-note").inner_text()
    page.keyboard.press("Enter")
    assert page.evaluate("window.sent") == [{"do": "press", "row": "random", "column": "20"}]
    page.keyboard.press("Control+End")
    assert focused(page).startswith("lowest-k outputs (control), MR 20 %")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    assert len(page.evaluate("window.sent")) == 1, "what failed cannot be opened"
    assert "no <b>unit</b>" in page.locator(".gd-cells-note").inner_text()


def test_switches_change_the_numbers_without_python(page: Any) -> None:
    page.get_by_role("radio", name="Self loss").check(force=True)
    assert page.get_by_role("button").first.inner_text().split("\n")[0] == "5.00"
    page.get_by_role("radio", name="s = 1").check(force=True)
    page.get_by_role("radio", name="Score").check(force=True)
    assert page.get_by_role("button").first.inner_text().split("\n")[0] == "0.300"
    assert page.evaluate("window.traits.view") == {"measure": "score", "at": "one"}
    assert page.evaluate("window.sent") == []


def test_new_numbers_leave_the_focus_where_it_is(page: Any) -> None:
    page.get_by_role("button").nth(3).focus()
    before = page.evaluate("(window.kept = document.activeElement, true)")
    assert before
    page.evaluate("""() => {
        const next = structuredClone(window.traits.grid);
        next.views["score best"].cells[1][1].text = "0.123";
        window.change("grid", next);
    }""")
    assert page.evaluate("document.activeElement === window.kept")
    assert focused(page).startswith("random, MR 20 %: 0.123")
    page.evaluate("window.change('selected', ['random', '20'])")
    assert page.locator("[aria-current=true]").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_numbers_are_readable_on_every_colour(page: Any, scheme: str) -> None:
    """WCAG: a contrast of at least 4.5 between text and ground at both ends of the scale."""
    page.emulate_media(color_scheme=scheme)
    for part in (0, 0.5, 1):
        contrast = page.evaluate(
            """(part) => {
                const cell = document.querySelector("button.gd-cell");
                cell.style.setProperty("--share", part);
                cell.style.transition = "none";
                const canvas = document.createElement("canvas").getContext("2d");
                const light = (colour) => {
                    canvas.fillStyle = "#000";
                    canvas.fillStyle = colour;
                    canvas.fillRect(0, 0, 1, 1);
                    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((v) => {
                        const u = v / 255;
                        return u <= 0.03928 ? u / 12.92 : ((u + 0.055) / 1.055) ** 2.4;
                    });
                    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
                };
                const style = getComputedStyle(cell);
                const [one, other] = [light(style.color), light(style.backgroundColor)].sort((a, b) => b - a);
                return (one + 0.05) / (other + 0.05);
            }""",
            part,
        )
        assert contrast >= 4.5, (scheme, part, contrast)
