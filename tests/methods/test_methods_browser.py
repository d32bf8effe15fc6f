"""The methods panel in Chromium: bars, the marker that chooses MR, and the way to class removal by keyboard."""

from __future__ import annotations

import pytest
from driving import Served, Visit

pytestmark = pytest.mark.browser

SMALL = "?tab=methods&methods=fif,gradient&mrs=10,50&iterations=1&curvature-samples=100&s-max=100"


def test_methods_on_the_page(visit: Visit, dashboard: Served) -> None:
    page = visit.open(dashboard.url + SMALL)
    page.wait_for_selector(".gd-table2 button[data-ask]", timeout=240_000)  # whoever comes first waits for trainings
    first, second = page.locator(".gd-chart").nth(0), page.locator(".gd-chart").nth(1)
    score = first.locator('figure[data-quantity="score"]')
    assert score.locator(".gd-whisker").count() == 4, "two methods at two MRs"
    left, right = score.locator(".gd-whisker").nth(0).bounding_box(), score.locator(".gd-whisker").nth(2).bounding_box()
    assert left["x"] != right["x"], "side by side"
    slider = first.locator("input[type=range]")
    assert 60 <= int(slider.input_value()) <= 85, "MR 10 of 0 … 56, in 400 steps of a linear scale"
    assert second.locator('figure[data-quantity="test_accuracy"] path.gd-band').count() == 2
    assert second.locator('figure[data-quantity="test_loss"] path.gd-band').count() == 0
    assert "at MR 10 %" in page.locator(".gd-curves-title").inner_text()
    first.get_by_role("button", name="MR 50 %").click()
    page.wait_for_function("document.querySelector('.gd-curves-title').innerText.includes('at MR 50 %')")
    page.wait_for_function("location.search.includes('at-mr=50')")
    button = page.get_by_role("button", name="FIF at MR 50 %: open in Class removal")
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('[role=tab][aria-selected=true]').innerText === 'Class removal'")
    page.wait_for_function("location.search.includes('mr=50')")
