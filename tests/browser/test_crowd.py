"""A hundred classes with long and unkind names: nothing is cut off, and no name becomes an element."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driving import Served, Visit, start_server, until

pytestmark = pytest.mark.browser

CELL = (
    f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\nimport browser_crowd\nbrowser_crowd.dashboard()"
)

#: What goes beyond the window, except inside boxes that scroll.
BEYOND = """() => [...document.querySelectorAll(".gd-app *")].filter((one) => {
    const box = one.getBoundingClientRect();
    return box.width && one.checkVisibility() && (box.right > innerWidth + 1 || box.left < -1)
        && !one.parentElement.closest(".gd-scroll");
}).map((one) => `${one.tagName}.${one.className} ${one.textContent.slice(0, 40)}`)"""

#: Text that is cut off and cannot be read as a title either.
CUT = """() => [...document.querySelectorAll(".gd-app :not(svg *)")].filter((one) => one.checkVisibility()
    && ["hidden", "clip"].includes(getComputedStyle(one).overflowX) && one.scrollWidth > one.clientWidth + 1
    && !one.matches(".gd-unseen")
    && !one.closest("[title]")?.title.includes(one.textContent.trim().replace(/\\s+/g, " "))
).map((one) => `${one.tagName}.${one.className} ${one.textContent.slice(0, 40)}`)"""


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("crowd")
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "outputs": [], "execution_count": None, "source": CELL}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = folder / "crowd.ipynb"
    notebook.write_text(json.dumps({"cells": [cell], "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))
    script = Path(__file__).parents[1] / "serving" / "plain_server.py"
    served = start_server([sys.executable, str(script), str(notebook)], Path(os.environ["GIF_DASH_CACHE"]))
    yield served
    assert served.stop() == 0


def test_a_hundred_unkind_names_in_a_narrow_window(crowd: Served, visit: Visit) -> None:
    page = visit.open(crowd.url)
    page.set_viewport_size({"width": 800, "height": 900})
    page.wait_for_selector(".gd-scores table")
    for fold in ("Which layers move", "Confusion before and after", "Trust figures", "All computed points"):
        page.get_by_role("button", name=fold).click()
    until(lambda: page.locator(".gd-fold-body .gd-scroll:visible").count() >= 8, 20, "four folds, tables in each")

    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert page.evaluate(BEYOND) == []
    assert page.evaluate(CUT) == []
    assert page.locator(".gd-picker :is(b, [onerror]), .gd-fold-body :is(td, th) :is(b, img)").count() == 0

    picker = page.get_by_role("group", name="Classes to forget")
    height = picker.locator(".gd-classes").evaluate("(grid) => [grid.clientHeight, grid.scrollHeight]")
    assert height[0] < 300 < height[1], "it scrolls instead of filling the page"
    loaded = picker.locator("img[src]").count()
    assert 0 < loaded < 60, "pictures that nobody sees are not decoded"


def test_a_class_is_found_and_chosen_with_the_keyboard_alone(crowd: Served, visit: Visit) -> None:
    page = visit.open(crowd.url)
    picker = page.get_by_role("group", name="Classes to forget")
    search = picker.get_by_role("searchbox", name="Find among 100 classes")
    search.focus()
    page.keyboard.type("KIND 4")
    page.wait_for_function("document.querySelector('.gd-found [role=status]').textContent === '10 of 100 classes'")
    assert chosen(picker) == ["n02085620_" + "x" * 70]
    page.keyboard.press("Tab")  # the button that chooses what was found
    page.keyboard.press("Tab")  # one place for the whole grid
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    assert "kind 48 of a great many things" in chosen(picker)
    page.wait_for_url("**/*forget-class=8,48*")
    picker.get_by_role("button", name="Choose these 9").click()
    assert len(chosen(picker)) == 11
    picker.get_by_role("button", name="Take back n02085620").click()
    assert len(chosen(picker)) == 10


def chosen(picker: Any) -> list[str]:
    names: list[str] = picker.get_by_role("group", name="Chosen classes").get_by_role("button").all_inner_texts()
    return [name.strip() for name in names]


def test_on_paper_it_is_light_and_whole(crowd: Served, browser: Any) -> None:
    visitor = Visit(browser, color_scheme="dark")
    page = visitor.open(crowd.url)
    page.wait_for_selector(".gd-scores table")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.querySelector('.gd-app')).backgroundColor") == "rgb(255, 255, 255)"
    pages = len(re.findall(rb"/Type ?/Page\b", page.pdf(format="A4")))
    assert 2 <= pages <= 12, "neither one window only nor a wall"
    page.emulate_media(media="screen", color_scheme="dark")
    visitor.end()
    assert not visitor.complaints, "\n".join(visitor.complaints)
