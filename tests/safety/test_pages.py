"""What a visitor sees of all this in Chromium: links with markup, a full house, a page at rest, the login page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from driving import Served, Visit, until
from serving.test_server import ask, kernel_of, start_plain

pytestmark = pytest.mark.browser

#: A page of widgets without a compute side: the toy, and a link that is followed.
CELL = "from gif_dash import Dashboard; Dashboard()"
EVIL = "<img src=x onerror=console.error(1)><script>console.error(2)</script>"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = {"visitors": 1, "pool": 0, "rest_after": 12, "rest_warning": 9, "idle_interval": 1}
    served = start_plain(tmp_path_factory.mktemp("pages"), CELL, **settings)
    yield served
    assert served.stop() == 0


def test_a_bad_link_gives_the_nearest_view_and_sentences_as_text(served: Served, visit: Visit) -> None:
    query = {"tab": "toy", "points": EVIL, "seed": "4", "outliers": "-3", EVIL: EVIL, "removal": EVIL}
    page = visit.open(f"{served.url}?{urlencode(query)}")
    page.wait_for_selector(".gd-plane path.gd-way")
    notice = page.locator(".gd-notice").inner_text()
    assert notice.count("The link was not followed in one point") >= 2
    assert page.locator("img[src=x]").count() == 0
    assert "seed=4" in page.url, "the good part of the link is followed"
    visit.close(page)
    page = visit.open(f"{served.url}?{urlencode({'tab': EVIL})}")
    page.wait_for_selector(".gd-plane path.gd-way")
    assert EVIL in page.locator(".gd-notice").inner_text()
    assert page.locator("img[src=x]").count() == 0


def test_who_finds_no_place_is_told_so_and_comes_in_later(served: Served, browser: Any, tmp_path: Path) -> None:
    kernel = kernel_of(ask(served, "/")[2])
    visitor = Visit(browser)
    page = visitor.open(served.url + "?tab=toy&seed=9")
    page.get_by_role("heading", name="All places are taken").wait_for()
    page.screenshot(path=tmp_path / "full.png")
    ask(served, f"/voila/api/shutdown/{kernel}", "POST")
    until(lambda: not served.kernels(), 20, "the place is free")
    page.get_by_role("link", name="Ask again now").click()
    page.wait_for_selector(".gd-plane path.gd-way")
    assert "seed=9" in page.url
    visitor.end()
    complaints = [text for text in visitor.complaints if "503" not in text]  # the browser's own word for a full house
    assert not complaints


def test_an_untouched_page_says_so_stays_if_asked_and_is_reloaded_as_it_was(served: Served, visit: Visit) -> None:
    page = visit.open(served.url + "?tab=toy&seed=4")
    page.wait_for_selector(".gd-plane path.gd-way")
    bar = page.locator("#gd-lost")
    bar.get_by_role("button", name="Stay").wait_for(timeout=60_000)
    assert re.search(r"In (a minute|\d minutes) it will be put to rest", bar.inner_text())
    bar.get_by_role("button", name="Stay").click()
    until(lambda: not bar.is_visible(), 10, "somebody is there")
    bar.get_by_role("button", name="Reload").wait_for(timeout=90_000)
    assert "put to rest" in bar.inner_text()
    until(lambda: not served.kernels(), 20, "its kernel is gone")
    bar.get_by_role("button", name="Reload").click()
    page.wait_for_selector(".gd-plane path.gd-way")
    assert "seed=4" in page.url


def test_the_login_page_lets_in(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("correct horse battery")
    served = start_plain(tmp_path, CELL, pool=0, password_file=tmp_path / "password")
    visitor = Visit(browser)
    try:
        page = visitor.open(served.url + "?tab=toy&seed=4")
        field = page.get_by_label("Password or token")
        field.fill("wrong horse")
        field.press("Enter")
        page.get_by_role("alert").wait_for()
        page.get_by_label("Password or token").fill("correct horse battery")
        page.get_by_role("button", name="Enter").click()
        page.wait_for_selector(".gd-plane path.gd-way")
        assert "seed=4" in page.url
        assert "correct" not in page.content()
        page.get_by_role("slider", name="Noise", exact=True).press("ArrowRight")
        page.wait_for_function("location.search.includes('noise=')")  # the page is alive
        visitor.context.close()
        assert [text for text in visitor.complaints if "401" not in text] == []
    finally:
        served.stop()


@pytest.mark.parametrize("width", [400, 1440])
def test_login_and_full_house_fit_and_are_readable_in_both_schemes(browser: Any, width: int, tmp_path: Path) -> None:
    from jinja2 import Environment, FileSystemLoader

    from gif_dash import resources
    from gif_dash.serving.handlers import _WORDS, RETRY

    folder = resources.jupyter_data() / "voila" / "templates" / "gif-dash"
    templates = Environment(loader=FileSystemLoader(folder), autoescape=True)
    title, text = _WORDS[503]
    pages = {
        "login": templates.get_template("login.html").render(wrong=True, action="/login", xsrf="x"),
        "full": templates.get_template("error.html").render(status=503, title=title, text=text, home="/", retry=RETRY),
    }
    for name, html in pages.items():
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport={"width": width, "height": 700}, color_scheme=scheme)
            page.set_content(html)
            page.screenshot(path=tmp_path / f"{name}-{scheme}-{width}.png")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.close()
