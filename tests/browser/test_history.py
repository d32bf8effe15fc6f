"""The History tab in Chromium: found, named, pinned, compared, deleted and brought back; from the keyboard too."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from driving import Served, Visit, start_server, until

from gif_dash import RemovalSpec, ToySpec, run
from gif_dash.progress import Silent
from gif_dash.results import Result
from gif_dash.specs import Spec

pytestmark = pytest.mark.browser

#: Two removals of the small network, and a run of the toy, as a person asks for them outside the page.
A = RemovalSpec(forget_classes=(3,), methods=("gif", "fif"), iterations=2, curvature_samples=200, forget_samples=100)
B = A.model_copy(update={"methods": ("gif", "pif"), "criterion": "random", "mr": 30.0})

#: In the order in which they are computed.
SPECS: dict[str, Spec] = {"oldest": ToySpec(removals=5), "toy": ToySpec(removals=3), "a": A, "b": B}


@pytest.fixture(scope="module")
def runs(dashboard: Served) -> dict[str, Result]:
    """Computed by the public API into the store of the server, which runs already and has to notice."""
    return {name: run(spec, progress=Silent()) for name, spec in SPECS.items()}


def open_history(visit: Visit, dashboard: Served, query: str = "?tab=history") -> Any:
    page = visit.open(dashboard.url + query)
    page.wait_for_selector(".gd-history tbody tr")
    return page


def row(page: Any, text: str) -> Any:
    """The row whose chips, name or experiment have the text."""
    return page.locator(f'.gd-history tbody tr:has(input[aria-label*="{text}"])')


def drawn(page: Any, quantity: str, line: str) -> list[tuple[float, float]]:
    path = page.locator(f'figure[data-quantity="{quantity}"] .gd-line[data-line="{line}"] path').first
    pairs = re.findall(r"[ML](-?[\d.]+),(-?[\d.]+)", path.get_attribute("d"))
    return [(float(x), float(y)) for x, y in pairs]


def accuracy_of(page: Any, points: list[tuple[float, float]]) -> list[float]:
    """Pixels back to percent, by the axis' own ticks."""
    ticks = page.evaluate(
        """() => [...document.querySelectorAll('figure[data-quantity="self_accuracy"] svg text[text-anchor="end"]')]
            .map((tick) => [Number(tick.textContent), Number(tick.getAttribute("y")) - 4])"""
    )
    (low, bottom), (high, top) = ticks[0], ticks[-1]
    return [low + (high - low) * (y - bottom) / (top - bottom) for _, y in points]


def test_found_named_pinned_and_still_there_after_a_reload(
    visit: Visit, dashboard: Served, runs: dict[str, Result]
) -> None:
    page = open_history(visit, dashboard)
    panel = page.get_by_role("tabpanel", name="History")
    status = panel.get_by_role("status").first
    until(lambda: re.fullmatch(r"\d+ runs", status.inner_text()), 20, "it says how many there are")
    page.get_by_role("searchbox", name="Filter").fill("MR 30 RANDOM class 3")
    until(lambda: status.inner_text().startswith("1 of "), 20, "one has all these words")
    assert page.locator(".gd-history tbody tr").count() == 1
    page.get_by_role("searchbox", name="Filter").press("Escape")
    until(lambda: re.fullmatch(r"\d+ runs", status.inner_text()), 20, "all are back")

    name = row(page, "Toy, Steps 5").get_by_role("textbox")
    name.fill('<img src=x onerror="boom()"> & co')
    name.press("Enter")
    named = row(page, "<img src=x")
    named.wait_for()
    named.get_by_role("button", name="Pin").click()
    until(
        lambda: page.locator(".gd-history tbody tr").first.get_by_role("textbox").input_value().startswith("<img"),
        20,
        "pinned on top",
    )
    assert named.get_by_role("button", name="Pin").get_attribute("aria-pressed") == "true"
    focused = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused.startswith("Pin <img"), "the focus goes along"
    assert page.locator(".gd-history img").count() == 0

    name = row(page, "class 3, GIF, FIF").get_by_role("textbox")
    name.fill("thrown away")
    name.press("Escape")
    assert name.input_value() == ""

    page.reload(wait_until="commit")
    page.wait_for_selector(".gd-history tbody tr")
    first = page.locator(".gd-history tbody tr").first
    assert first.get_by_role("textbox").input_value() == '<img src=x onerror="boom()"> & co'
    assert first.get_by_role("button", name="Pin").get_attribute("aria-pressed") == "true"


def test_two_runs_are_compared_in_curves_and_numbers(visit: Visit, dashboard: Served, runs: dict[str, Result]) -> None:
    page = open_history(visit, dashboard)
    row(page, "class 3, GIF, FIF").get_by_role("button", name="A: ").click()
    page.locator(".gd-history tbody tr").filter(has_text="random").get_by_role("button", name="B: ").click()
    page.wait_for_selector('.gd-chart .gd-line[data-line="pif-b"]', state="attached")
    for name, line, method in (("a", "gif-a", "gif"), ("b", "gif-b", "gif"), ("b", "pif-b", "pif")):
        sweep = runs[name].table
        own = sweep[sweep["method"] == method].sort_values(["scalar", "mark"]).drop_duplicates("scalar", keep="last")
        expected = [float(sweep.loc[sweep["method"] == "original", "self_accuracy"].iloc[0]), *own["self_accuracy"]]
        seen = accuracy_of(page, drawn(page, "self_accuracy", line))
        assert seen == pytest.approx(expected, abs=0.5), line
    legend = page.locator(".gd-chart .gd-legend").inner_text()
    for words in ("GIF · A", "GIF · B", "FIF · A", "PIF · B"):
        assert words in legend

    page.wait_for_selector(".gd-compared tbody td", state="attached")  # comes after the curves
    best = {name: runs[name].table.query("method == 'gif' and mark == 'best'")["score"].iloc[0] for name in ("a", "b")}
    cells = page.locator(".gd-compared tbody tr").first.locator("td").all_inner_texts()
    change = best["b"] - best["a"]
    listed = row(page, "class 3, GIF, FIF").locator(".gd-run-best > span").first.inner_text()
    assert listed.split() == ["GIF", f"{best['a']:.3f}"], "as many digits as in the comparison"
    told = f"{change:+.3f}".replace("-", "−") if abs(change) >= 0.0005 else cells[3]
    assert cells[:4] == ["best s", f"{best['a']:.3f}", f"{best['b']:.3f}", told]
    asked = page.locator(".gd-two-tables").inner_text()
    assert "30 %" in asked
    assert "random" in asked

    link = page.url
    assert re.search(r"tab=history&a=[0-9a-f]{8}&b=[0-9a-f]{8}$", link)
    page.reload(wait_until="commit")
    page.wait_for_selector('.gd-chart .gd-line[data-line="pif-b"]', state="attached")
    assert page.url == link
    assert page.locator(".gd-history tbody [aria-pressed=true][data-control=a]").count() == 1


def test_delete_asks_and_can_be_undone(visit: Visit, dashboard: Served, runs: dict[str, Result]) -> None:
    page = open_history(visit, dashboard)
    toy = row(page, "Toy, Steps 3")
    toy.get_by_role("button", name="Delete").click()
    sure = page.get_by_role("group", name=re.compile("^Delete Toy"))
    page.keyboard.press("Escape")
    sure.wait_for(state="hidden")
    assert page.evaluate("document.activeElement.textContent") == "Delete", "the focus comes back"
    page.keyboard.press("Enter")
    sure.get_by_role("button", name="Yes").click()
    toy.wait_for(state="detached")
    undo = page.get_by_role("button", name="Undo")
    undo.wait_for()
    until(lambda: page.evaluate("document.activeElement.textContent") == "Undo", 20, "Undo has the focus")
    page.keyboard.press("Enter")
    toy.wait_for()
    undo.wait_for(state="hidden")
    link = page.locator("body").get_attribute("data-voila")  # the page is still ours
    assert link is not None
    page = open_history(visit, dashboard, "?tab=history&a=00000000")
    assert "no longer" in page.locator(".gd-notice").inner_text()


def test_a_run_finished_elsewhere_appears_by_itself(visit: Visit, dashboard: Served, runs: dict[str, Result]) -> None:
    page = open_history(visit, dashboard)
    before = page.locator(".gd-history tbody tr").count()
    box = page.get_by_role("searchbox", name="Filter")
    box.focus()
    run(ToySpec(removals=4, seed=int(time.time())), progress=Silent())
    until(lambda: page.locator(".gd-history tbody tr").count() == before + 1, 20, "a row more")
    assert box.evaluate("box => box === document.activeElement"), "nobody's focus is taken"


def test_it_is_worked_from_the_keyboard(visit: Visit, dashboard: Served, runs: dict[str, Result]) -> None:
    page = open_history(visit, dashboard)
    page.get_by_role("columnheader", name="Name").get_by_role("button").press("Enter")
    assert page.get_by_role("columnheader", name="Name").get_attribute("aria-sort") == "ascending"
    buttons = page.locator(".gd-history tbody [data-control=b]")
    first = page.locator(".gd-history tbody [data-control=a]").first
    if first.get_attribute("aria-pressed") == "false":
        first.press("Space")
    buttons.first.focus()
    page.keyboard.press("ArrowDown")
    assert buttons.nth(1).evaluate("button => button === document.activeElement")
    page.keyboard.press("Space")
    until(
        lambda: page.locator(".gd-history tbody [data-control][aria-pressed=true]:not(.gd-run-star)").count() == 2,
        20,
        "A and B",
    )
    page.keyboard.press("ArrowUp")
    assert buttons.first.evaluate("button => button === document.activeElement")
    for element in page.locator(".gd-history :is(button, input, select):visible").all():
        named = element.get_attribute("aria-label") or element.inner_text() or element.get_attribute("id")
        assert named, element.evaluate("element => element.outerHTML")


def test_open_in_class_removal(visit: Visit, dashboard: Served, runs: dict[str, Result]) -> None:
    page = open_history(visit, dashboard)
    row(page, "class 3, GIF, FIF").get_by_role("button", name="A: ").click()
    page.get_by_role("button", name="Open in Class removal").click()
    page.wait_for_selector(".gd-scores table")
    assert page.get_by_role("tab", selected=True).inner_text() == "Class removal"
    page.wait_for_url("**/*forget-class=3*")
    assert "iterations=2" in page.url
    assert (
        page.get_by_role("tabpanel", name="Class removal").get_by_role("status").first.inner_text() == "Stored result"
    )


def test_it_fits_a_narrow_window(visit: Visit, dashboard: Served, runs: dict[str, Result]) -> None:
    page = open_history(visit, dashboard)
    for width in (800, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        table = page.locator(".gd-history-scroll")
        assert table.evaluate("box => box.scrollWidth - box.clientWidth") <= 0, f"no column is out of sight at {width}"


def test_where_nothing_was_computed_it_says_what_to_do(browser: Any, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gif_dash.cli", "--no-browser", "--port", "0"]
    served = start_server(command, tmp_path / "cache")
    visitor = Visit(browser)
    try:
        page = visitor.open(served.url + "?tab=history")
        page.get_by_role("heading", name="Nothing has been computed yet").wait_for()
        assert page.locator(".gd-history tbody tr").count() == 0
        page.get_by_role("button", name="Go to Class removal").click()
        until(lambda: page.get_by_role("tab", selected=True).inner_text() == "Class removal", 20, "the tab is open")
        visitor.end()
    finally:
        assert served.stop() == 0
    assert not visitor.complaints, "\n".join(visitor.complaints)
