"""The bars of the spectrum in a real browser: positive ones above the axis, negative ones below it."""

from __future__ import annotations

from typing import Any

import pytest
from spectrum_fakes import answer
from widget_harness import HARNESS

from gif_dash.figures.spectrum import histogram_html
from gif_dash.panels.page import STATIC

pytestmark = pytest.mark.browser


def test_signs_are_told_by_direction_and_counts_by_text(browser: Any) -> None:
    page = browser.new_page(viewport={"width": 1200, "height": 800})
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.set_content("<!doctype html><main class='gd-app'></main>")
    page.add_style_tag(content=(STATIC / "page.css").read_text() + (STATIC / "spectrum.css").read_text())
    page.evaluate(HARNESS, [(STATIC / "spectrum.js").read_text(), {"html": histogram_html(answer(), 0.0)}])
    first = page.get_by_role("img", name="cross entropy: 39 positive, 7 negative and 40 zero of 86 eigenvalues")
    assert first.count() == 1
    axis = first.locator("em").first.bounding_box()
    labels = {text: first.get_by_text(text, exact=True).bounding_box() for text in ("35", "7", "40")}
    assert labels["35"]["y"] < axis["y"] < labels["7"]["y"]
    assert labels["40"]["x"] < labels["35"]["x"]
    page.evaluate("(html) => window.change('html', html)", histogram_html(answer(), 0.1))
    assert page.locator("h3").inner_text() == "All eigenvalues at α = 0.1"
    assert wrong == []
    page.close()
