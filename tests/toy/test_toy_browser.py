"""The toy in a real browser, served by Voila: what it shows are the numbers of the tables, and it plays by itself."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

import pandas as pd
import pytest

from gif_dash.experiments.toy import run
from gif_dash.progress import Silent
from gif_dash.specs import ToySpec

pytestmark = pytest.mark.browser

COLUMNS = ("distance_plane", "distance_full", "loss", "gradient_norm", "weight_first", "weight_second")


def opened(visit: Any, dashboard: Any, query: str = "") -> Any:
    page = visit.open(dashboard.url + query)
    page.locator("[data-head=gif]").wait_for(state="attached", timeout=60_000)
    return page


def wait_for_caption(page: Any, words: str) -> None:
    page.locator(".gd-caption", has_text=re.compile(f"^{re.escape(words)}$")).wait_for(timeout=30_000)


def assert_numbers(page: Any, spec: ToySpec, step: int) -> None:
    """The read-out holds, to the digits it shows, the rows that Python computes."""
    steps = run(spec, Silent()).table
    cells = page.evaluate(
        "() => Object.fromEntries([...document.querySelectorAll('.gd-toy .gd-readout tr[data-line]')]"
        ".map((row) => [row.dataset.line, [...row.querySelectorAll('td')].map((cell) => cell.textContent)]))"
    )
    assert set(cells) == {"gif", "fif", "pif", "original", "retrain"}
    for method, texts in cells.items():
        rows = steps[steps["method"] == method]
        row: pd.Series[Any] = rows[rows["step"] == step].iloc[0] if len(rows) > 1 else rows.iloc[0]
        for column, text in zip(COLUMNS, texts, strict=True):
            assert float(text.replace("−", "-")) == pytest.approx(row[column], rel=6e-3, abs=1e-9)


def test_alive_at_load_and_at_every_step(visit: Any, dashboard: Any) -> None:
    page = opened(visit, dashboard)
    wait_for_caption(page, "200 of 200 outliers removed")
    assert_numbers(page, ToySpec(), 20)
    page.get_by_role("button", name="Back to the start").click()
    wait_for_caption(page, "0 of 200 outliers removed")
    assert_numbers(page, ToySpec(), 0)
    page.get_by_role("button", name="One step on").click()
    page.get_by_role("button", name="One step on").click()
    wait_for_caption(page, "20 of 200 outliers removed")
    slider = page.get_by_role("slider", name="Step", exact=True)
    slider.press("ArrowRight")
    wait_for_caption(page, "30 of 200 outliers removed")
    assert_numbers(page, ToySpec(), 3)
    assert slider.get_attribute("aria-valuetext") == "step 3 of 20: 30 of 200 outliers removed"
    page.wait_for_function("location.search.includes('step=3')")
    # the trajectory as far as it has come: its start and three steps
    drawn = page.locator(".gd-way[data-path=gif]").get_attribute("d")
    assert len(set(re.findall(r"[-\d.]+,[-\d.]+", drawn))) == 4


def test_play_needs_no_kernel(visit: Any, dashboard: Any) -> None:
    """It plays, smoothly, while all kernels are stopped."""
    page = opened(visit, dashboard)
    wait_for_caption(page, "200 of 200 outliers removed")
    kernels = dashboard.kernels()
    for kernel in kernels:
        kernel.suspend()
    try:
        page.evaluate(
            """() => {
              window.frames_ = [];
              let before = "";
              const look = (now) => {
                const place = document.querySelector("[data-head=gif]").getAttribute("transform");
                if (place !== before) window.frames_.push(now);
                before = place;
                requestAnimationFrame(look);
              };
              requestAnimationFrame(look);
            }"""
        )
        page.get_by_role("button", name="Play").click()
        page.get_by_role("button", name="Pause").wait_for()
        wait_for_caption(page, "200 of 200 outliers removed")
        page.get_by_role("button", name="Play").wait_for()
    finally:
        for kernel in kernels:
            kernel.resume()
    times = page.evaluate("window.frames_")
    gaps = sorted(later - earlier for earlier, later in pairwise(times))
    assert len(gaps) > 40
    assert gaps[len(gaps) // 2] <= 40  # milliseconds: 25 pictures a second


def test_controls_change_the_picture(visit: Any, dashboard: Any) -> None:
    page = opened(visit, dashboard, "?tab=toy&correlation=0.3")
    assert_numbers(page, ToySpec(correlation=0.3), 20)
    noise = page.get_by_label("Noise, exact value")
    noise.fill("2.5")
    noise.press("Enter")
    page.wait_for_function("location.search.includes('noise=2.5')")
    page.wait_for_timeout(300)
    assert_numbers(page, ToySpec(correlation=0.3, noise=2.5), 20)
    page.get_by_role("radio", name="all at once").check()
    wait_for_caption(page, "s = 1")
    assert_numbers(page, ToySpec(correlation=0.3, noise=2.5, removal="group"), 20)


def test_as_published(visit: Any, dashboard: Any) -> None:
    page = opened(visit, dashboard)
    points = page.get_by_role("slider", name="Points")
    assert points.is_enabled()
    page.get_by_role("radiogroup", name="Version").get_by_role("radio", name="as published").check()
    wait_for_caption(page, "500 of 500 outliers removed")
    assert_numbers(page, ToySpec(variant="published"), 50)
    assert points.is_disabled()
    assert points.input_value() == "4000"
    assert page.get_by_text("PIF moves all five weights").is_visible()
    assert page.locator(".gd-mark-name", has_text="optimum as drawn").is_visible()
    page.get_by_role("radiogroup", name="Version").get_by_role("radio", name="exact").check()
    wait_for_caption(page, "200 of 200 outliers removed")
    assert points.is_enabled()
    assert points.input_value() == "1000"


def test_no_motion_for_who_wants_none(browser: Any, dashboard: Any) -> None:
    context = browser.new_context(reduced_motion="reduce", viewport={"width": 800, "height": 1000})
    page = context.new_page()
    page.goto(dashboard.url + "?tab=toy&removals=4")
    page.locator("[data-head=gif]").wait_for(state="attached", timeout=60_000)
    page.evaluate(
        """() => {
          window.places = new Set();
          const look = () => {
            window.places.add(document.querySelector("[data-head=gif]").getAttribute("transform"));
            requestAnimationFrame(look);
          };
          look();
        }"""
    )
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Pause").wait_for()
    page.get_by_role("button", name="Play").wait_for(timeout=20_000)
    wait_for_caption(page, "200 of 200 outliers removed")
    assert page.evaluate("window.places.size") == 5  # the steps and nothing between them
    context.close()


def test_points_changed_by_hand_come_back_with_the_link(visit: Any, dashboard: Any) -> None:
    """A lesson, a point dragged, another one taken out; the address line restores all of it in another tab."""
    page = opened(visit, dashboard)
    page.get_by_role("button", name="Ill-conditioned").click()
    page.wait_for_function("location.search.includes('correlation=0.95')")
    page.locator(".gd-preset[aria-pressed=true]", has_text="Ill-conditioned").wait_for()  # the address may be first
    point = page.locator(".gd-point").nth(2)
    index = point.get_attribute("data-index")
    point.focus()
    point.press("Space")
    page.wait_for_function("location.search.includes('edits=')")
    page.wait_for_timeout(300)  # the picture of the change before is in its place
    x, y = page.evaluate(
        "() => { const box = document.querySelectorAll('.gd-point .gd-hit')[2].getBoundingClientRect();"
        " return [box.x + box.width / 2, box.y + box.height / 2]; }"
    )
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 15, y + 40, steps=4)
    page.mouse.up()
    page.wait_for_function("decodeURIComponent(location.search).includes(':y:')")
    wait_for_caption(page, "199 of 199 outliers removed")
    query, seen = "", page.evaluate("location.search")
    while query != seen:  # the address follows the pointer, and then comes to rest
        query = seen
        page.wait_for_timeout(1500)
        seen = page.evaluate("location.search")
    edits = dict(part.split("=") for part in unquote(query[1:]).split("&"))["edits"]
    assert f"{index}:in" in edits or f"{index}:x1" in edits
    assert_numbers(page, ToySpec(correlation=0.95, edits=tuple(edits.split(","))), 20)
    again = opened(visit, dashboard, query)
    wait_for_caption(again, "199 of 199 outliers removed")
    assert_numbers(again, ToySpec(correlation=0.95, edits=tuple(edits.split(","))), 20)
    places = "() => [...document.querySelectorAll('.gd-point')].map((point) => point.getAttribute('transform'))"
    assert len(again.evaluate(places)) == len(page.evaluate(places))
