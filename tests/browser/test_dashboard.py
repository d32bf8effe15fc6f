"""The dashboard in Chromium, as people use it; a request to elsewhere, a page or a console error fails any test."""

from __future__ import annotations

import csv
import re
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from driving import Served, Visit, until

pytestmark = pytest.mark.browser

METHODS = ("gif", "fif", "pif")

#: Numbers of SVG paths, as the browser has them: one list of [x, y] per element that the selector finds.
POINTS = """(selector) => [...document.querySelectorAll(selector)].map((path) =>
    path.getAttribute("d").split(/[ML]/).filter(Boolean).map((pair) => pair.split(",").map(Number)))"""


def points(page: Any, selector: str) -> list[list[list[float]]]:
    found: list[list[list[float]]] = page.evaluate(POINTS, selector)
    for path in found:
        assert all(value == value and abs(value) < 1e5 for point in path for value in point), f"{selector}: {path}"
    return found


def open_toy(visit: Visit, dashboard: Served, query: str = "") -> Any:
    page = visit.open(dashboard.url + query)
    page.wait_for_selector(".gd-plane path.gd-way")
    return page


def open_removal(visit: Visit, dashboard: Served, query: str = "?tab=removal") -> Any:
    """The class removal tab with a complete answer; who comes first waits for network and reference to be trained."""
    page = visit.open(dashboard.url + query)
    page.wait_for_selector(".gd-scores table", timeout=240_000)
    return page


def moves(page: Any, slider: Any, key: str, text: Any) -> str:
    """Press a key on a slider; the text beside it as it is when the key event is over: nobody was asked."""
    slider.focus()
    before: str = text.inner_text()
    page.keyboard.press(key)
    after: str = text.inner_text()
    assert after != before
    return after


# --- toy --------------------------------------------------------------------------------------------------------------


def test_the_toy_is_alive_at_load(visit: Visit, dashboard: Served) -> None:
    page = open_toy(visit, dashboard)
    assert page.title().startswith("gif_dash")
    page.wait_for_selector("#loading", state="detached")
    ways = {method: points(page, f'.gd-plane path.gd-way[data-path="{method}"]')[0] for method in METHODS}
    assert all(len(way) >= 21 for way in ways.values()), "the start and twenty removal steps"
    assert len({tuple(map(tuple, way)) for way in ways.values()}) == 3, "three methods, three trajectories"
    assert len(points(page, ".gd-measure path.gd-line")) >= 12, "every measure has a line for every method"
    assert page.locator(".gd-plane [data-landmark]").count() >= 3, "start, optimum in the plane, full optimum"
    assert page.get_by_role("tab", selected=True).inner_text() == "Toy"
    rows = page.locator(".gd-readout tr[data-line]")
    assert rows.count() >= 4
    assert "NaN" not in page.locator("body").inner_text()


def test_on_a_slow_machine_the_page_comes_late_but_whole(visit: Visit, dashboard: Served) -> None:
    """Nothing is drawn for three seconds while the first widget is made; anywidget by itself gives up after two."""
    visit.context.add_init_script(
        """(() => {
          const make = URL.createObjectURL;
          window.held = 0;
          URL.createObjectURL = (blob) => {
            const begin = performance.now();
            while (!window.held && performance.now() - begin < 3000);
            window.held += 1;
            return make.call(URL, blob);
          };
        })()"""
    )
    page = open_toy(visit, dashboard)
    page.wait_for_timeout(3000)
    assert page.evaluate("window.held") > 5, "widgets are made from blobs: this test still slows them down"


class Values:
    """The exact number beside a range of the form, with the manners of a locator."""

    def __init__(self, page: Any, name: str) -> None:
        self.input = page.get_by_role("spinbutton", name=f"{name}, exact value")

    def inner_text(self) -> str:
        value: str = self.input.input_value()
        return value


# --- class removal ----------------------------------------------------------------------------------------------------


def test_class_removal_computes_its_default_and_can_be_scrubbed(visit: Visit, dashboard: Served) -> None:
    page = open_toy(visit, dashboard)
    page.get_by_role("tab", name="Class removal").click()
    page.wait_for_selector(".gd-scores table", timeout=240_000)

    facets = page.locator("figure.gd-facet")
    assert facets.count() == 4
    for key in facets.evaluate_all("figures => figures.map((figure) => figure.dataset.quantity)"):
        for method in METHODS:
            (line,) = points(page, f'figure[data-quantity="{key}"] .gd-line[data-line="{method}"] path')
            assert len(line) >= 15, "a coarse sweep and a finer one around the best"
        levels = f'figure[data-quantity="{key}"] .gd-level'
        names = page.locator(levels).evaluate_all("lines => lines.map((line) => line.dataset.line)")
        assert "retrain" in names, "the truth is a line in every plot"

    slider = page.get_by_role("slider", name="influence scalar s")
    output = page.locator(".gd-scrub output")
    cursor = page.locator("figure.gd-facet line.gd-cursor")
    table = page.locator(".gd-chart .gd-readout table")
    where, numbers = cursor.first.get_attribute("x1"), table.inner_text()
    moves(page, slider, "Home", output)
    assert output.inner_text() == "s = 0"
    at_zero = {line.get_attribute("x1") for line in cursor.all()}
    assert len(at_zero) == 1, "one marker over all curves"
    assert where not in at_zero
    assert table.inner_text() != numbers
    for _ in range(3):
        moves(page, slider, "ArrowRight", output)
    assert cursor.first.get_attribute("x1") not in at_zero
    moves(page, slider, "End", output)
    page.get_by_role("button", name=re.compile("best s of GIF")).click()
    assert re.fullmatch(r"s = [\d.]+", output.inner_text())
    page.wait_for_url("**/*s=*")

    words = page.locator(".gd-verdicts").inner_text()
    assert "Is this a good edit?" in words
    assert "Is this where retraining would land?" in words
    scores = page.locator(".gd-scores table").inner_text()
    for name in ("GIF", "FIF", "PIF", "original", "retrained"):
        assert name in scores


def test_folds_show_layers_and_confusions(visit: Visit, dashboard: Served) -> None:
    page = open_removal(visit, dashboard)
    page.get_by_role("button", name="Which layers move").click()
    page.wait_for_selector("table.gd-layers .gd-bar")
    longest = page.evaluate(
        """() => Math.max(...[...document.querySelectorAll(".gd-layers .gd-bar")].map((bar) =>
            parseFloat(getComputedStyle(bar).backgroundSize)))"""
    )
    assert longest == 100, "the largest norm has the longest bar"
    rows = page.locator("table.gd-layers tbody tr")
    assert rows.count() >= 2, "a row for every layer"
    assert rows.first.locator(".gd-bar").count() == 1 + len(METHODS), "the share and the norm by every method"
    page.get_by_role("button", name="Confusion before and after").click()
    page.get_by_role("button", name="All computed points").click()
    until(lambda: page.locator(".gd-fold-body table:visible").count() >= 3, 10, "tables")


def test_another_class_cancelled_within_a_second_and_run_again(visit: Visit, dashboard: Served) -> None:
    page = open_removal(visit, dashboard)
    panel = page.get_by_role("tabpanel", name="Class removal")
    picker = panel.get_by_role("group", name="Classes to forget")
    chosen = picker.get_by_role("button", pressed=True)
    until(lambda: chosen.count() == 1, 10, "the class of the stored answer is marked")
    assert picker.locator("img").count() >= 10, "example pictures"
    picker.get_by_role("button", name="3", exact=True).click()
    picker.get_by_role("button", name="8", exact=True).click()
    assert [button.inner_text().split()[-1] for button in chosen.all()] == ["3"]
    page.wait_for_url("**/*forget-class=3*")
    until(lambda: "press Run" in panel.get_by_role("status").first.inner_text(), 5, "it says what to do")

    run, cancel = (panel.get_by_role("button", name=name, exact=True) for name in ("Run", "Cancel"))
    run.click()
    cancel.wait_for()
    panel.get_by_role("progressbar", name="Progress of the run").wait_for()
    moves(page, page.get_by_role("slider", name="influence scalar s"), "ArrowRight", page.locator(".gd-scrub output"))
    begin = time.monotonic()
    cancel.click()
    run.and_(page.locator("[aria-disabled=false]")).wait_for()
    cancel.wait_for(state="hidden")
    assert time.monotonic() - begin < 1.0
    assert panel.get_by_role("status").first.inner_text() == "Cancelled"
    page.wait_for_timeout(1500)
    assert panel.get_by_role("status").first.inner_text() == "Cancelled", "nothing of the old run comes in late"
    assert page.locator(".gd-chart .gd-line").count() > 0, "the answer before is back"

    before = page.locator(".gd-scores table").inner_text()
    run.click()
    cancel.wait_for()
    cancel.wait_for(state="hidden", timeout=240_000)
    assert panel.get_by_role("status").first.inner_text().startswith("Done"), panel.inner_text()
    until(lambda: page.locator(".gd-scores table").inner_text() != before, 5, "the scores of another class")
    assert "faint: the run before" in page.locator(".gd-chart .gd-legend").inner_text()


def test_a_link_and_a_reload_restore_the_view(visit: Visit, dashboard: Served) -> None:
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = open_removal(visit, dashboard)
    slider = page.get_by_role("slider", name="influence scalar s")
    slider.focus()
    page.keyboard.press("Home")
    for _ in range(200):
        page.keyboard.press("ArrowRight")
    text = page.locator(".gd-scrub output").inner_text()
    page.wait_for_url(re.compile(r"[?&]s=[\d.]+"))
    page.wait_for_timeout(300)
    page.get_by_role("button", name="Link", exact=True).click()
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == page.url
    for restored in (lambda: open_removal(visit, dashboard, link.removeprefix(dashboard.url)), lambda: reload(page)):
        again = restored()
        assert again.get_by_role("tab", selected=True).inner_text() == "Class removal"
        until(lambda again=again: again.locator(".gd-scrub output").inner_text() == text, 10, f"the marker at {text}")
        assert again.url == link


def reload(page: Any) -> Any:
    page.reload(wait_until="commit")
    page.wait_for_selector(".gd-scores table")
    return page


def test_a_bad_link_gives_the_nearest_view_and_a_sentence(visit: Visit, dashboard: Served) -> None:
    page = open_toy(visit, dashboard, "?tab=toy&correlation=17&noise=2&other=1")
    notice = page.locator(".gd-notice")
    assert "Correlation" in notice.inner_text()
    assert Values(page, "Noise").inner_text() == "2", "what is valid is followed"
    page = open_toy(visit, dashboard, "?tab=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E")
    assert "<img" in page.locator(".gd-notice").inner_text(), "shown as text"
    assert page.locator(".gd-notice img").count() == 0


def test_results_can_be_taken_home(visit: Visit, dashboard: Served, tmp_path: Path) -> None:
    page = open_removal(visit, dashboard)
    with page.expect_download() as begun:
        page.get_by_role("button", name="CSV", exact=True).click()
    begun.value.save_as(tmp_path / "table.csv")
    rows = list(csv.DictReader((tmp_path / "table.csv").open()))
    best = {row["method"]: row for row in rows if row["mark"] == "best"}
    assert set(best) == set(METHODS)
    (retrained,) = [row for row in rows if row["method"] == "retrain"]
    assert float(retrained["score"]) > 0.9

    with page.expect_download() as begun:
        page.get_by_role("button", name="HTML", exact=True).click()
    begun.value.save_as(tmp_path / "figures.html")
    offline = visit.context.new_page()
    offline.goto((tmp_path / "figures.html").as_uri())
    offline.wait_for_selector(".js-plotly-plot .main-svg")
    lines = offline.evaluate(
        """() => [...document.querySelectorAll(".js-plotly-plot")].map((plot) => plot.data.length)"""
    )
    assert len(lines) >= 1
    assert all(count >= 3 for count in lines)


# --- visits -----------------------------------------------------------------------------------------------------------


def test_two_tabs_are_two_visits_and_closing_frees_their_kernels(visit: Visit, dashboard: Served) -> None:
    until(lambda: len(dashboard.kernels()) == 1, 30, "earlier visitors are gone, one kernel waits")
    one, two = (open_toy(visit, dashboard) for _ in range(2))
    until(lambda: len(dashboard.kernels()) == 3, 30, "a kernel for each page, and one that waits")
    untouched = points(two, ".gd-plane path.gd-way")
    one.bring_to_front()
    moves(one, one.get_by_role("slider", name="Noise", exact=True), "ArrowRight", Values(one, "Noise"))
    until(lambda: points(one, ".gd-plane path.gd-way") != untouched, 5, "one has changed")
    assert points(two, ".gd-plane path.gd-way") == untouched, "the other has not"

    visit.close(one)
    until(lambda: len(dashboard.kernels()) == 2, 15, "its kernel is freed")
    two.bring_to_front()
    moves(two, two.get_by_role("slider", name="Noise", exact=True), "ArrowRight", Values(two, "Noise"))
    until(lambda: points(two, ".gd-plane path.gd-way") != untouched, 5, "the other lives on")
    two.reload(wait_until="commit")
    two.wait_for_selector(".gd-plane path.gd-way")
    until(lambda: len(dashboard.kernels()) == 2, 30, "a reload frees the kernel before")
    visit.close(two)
    until(lambda: len(dashboard.kernels()) == 1, 15, "only the waiting kernel is left")


def loads_torch(process: psutil.Process) -> bool:
    return any("libtorch" in region.path for region in process.memory_maps())


def test_torch_is_in_the_worker_only(visit: Visit, dashboard: Served) -> None:
    page = open_removal(visit, dashboard)
    assert page.locator(".gd-chart .gd-line").count() > 0
    server = psutil.Process(dashboard.process.pid)
    kernels = dashboard.kernels()
    assert kernels
    assert not loads_torch(server)
    assert not any(map(loads_torch, kernels))
    others = [child for child in server.children(recursive=True) if child not in kernels]
    assert any(map(loads_torch, others)), "the worker has it, or this test sees nothing"


def test_the_browser_itself_forbids_requests_to_elsewhere(browser: Any, dashboard: Served) -> None:
    visitor = Visit(browser)
    page = visitor.open(dashboard.url)
    assert page.evaluate("fetch('https://example.org/').then(() => 'sent', () => 'refused')") == "refused"
    assert any("Content Security Policy" in complaint for complaint in visitor.complaints)
    assert not any("request to elsewhere" in complaint for complaint in visitor.complaints)
    visitor.end()


def test_it_fits_a_narrow_window_and_a_dark_one(browser: Any, dashboard: Served) -> None:
    visitor = Visit(browser, color_scheme="dark")
    page = open_removal(visitor, dashboard)
    for width in (800, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        page.evaluate("scrollTo(0, 0)")
        curves = page.locator(".gd-results .gd-chart figure").first.bounding_box()
        assert curves["y"] + curves["height"] < 900, "a picture is on the screen, not controls only"
        assert curves["width"] > 0.25 * width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert sum(map(int, re.findall(r"\d+", background)[:3])) < 200, "dark"
    visitor.end()
    assert not visitor.complaints, "\n".join(visitor.complaints)
