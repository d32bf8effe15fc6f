"""Fragility, Fading and Correcting in Chromium: a link with a small question, its figure and words, a quiet console."""

from __future__ import annotations

from typing import Any

import pytest
from driving import Served, Visit

pytestmark = pytest.mark.browser

#: Link → (lines of the chart, facets with a curve, beginning of the words).
SMALL = {
    "tab=fragility&values=2,3&seeds=1&points=4&train-steps=200&steps=200&hessians=exact": (
        3,
        "Do the estimates agree with retraining?",
    ),
    "tab=fading&steps=40&train-steps=100&points=4&seeds=1&noises=none,own": (
        3,
        "For how long does the prediction hold?",
    ),
    "tab=correcting&examples=3,6&mispredictions=2&steps=5&repeats=1": (3, "Do a few steps repair it?"),
}
PLACE = ".gd-place:not(.gd-hidden)"


def test_a_small_question_in_each_of_the_three(visit: Visit, dashboard: Served) -> None:
    page: Any = None
    for query, (lines, heading) in SMALL.items():
        page = visit.open(f"{dashboard.url}?{query}") if page is None else page
        if not page.url.endswith(query):
            page.goto(f"{dashboard.url}?{query}", wait_until="commit")
        page.wait_for_selector(f"{PLACE} .gd-verdicts h3", timeout=240_000)
        place = page.locator(PLACE)
        assert place.locator(".gd-verdicts h3").first.inner_text() == heading
        assert place.locator("figure.gd-facet").count() == 4
        keys = place.locator(".gd-line").evaluate_all("lines => lines.map((line) => line.dataset.line)")
        assert len(set(keys)) == lines
        assert "was not followed" not in page.locator(".gd-notice").inner_text()
        assert "NaN" not in place.inner_text()
    slider = page.get_by_role("slider", name="training images in every step")
    slider.focus()
    page.keyboard.press("End")
    page.wait_for_url("**/*at=*")
    row = page.locator(f"{PLACE} .gd-readout tbody tr").first.inner_text()
    assert "6" in row.split(), "the marker reads the larger number of images"
    page.get_by_role("button", name="As published").click()
    page.locator(f"{PLACE} .gd-wrapped").get_by_text("as published", exact=True).wait_for()
    tops = page.get_by_role("tab").evaluate_all("tabs => [...new Set(tabs.map((tab) => tab.offsetTop))]")
    assert len(tops) == 1, "all tabs stand in one row of 1400 pixels"
