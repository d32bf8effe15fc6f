"""For everybody: axe finds nothing serious on any page, and the keyboard alone leads from a fresh page to a result.

    pytest tests/browser/test_access_browser.py -s    # prints what axe found, page by page

Every tab is looked at in its first state (class removal with its answer), light and dark at 1440 pixels and light at
800. What axe cannot decide (texts on pictures and gradients) is held by `test_contrast`, from the style sheet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from driving import Served, Visit, until

from gif_dash import resources

#: Seconds; an idle machine takes half a minute, a busy one many times that.
pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

IMPACTS = ("minor", "moderate", "serious", "critical")
#: Runs axe on what is to be seen: the other tabs' panels, which hidden as they are cost it most of its time, are taken
#: out of the page meanwhile.
AUDIT = """async () => {
    const away = [...document.querySelectorAll(".gd-place.gd-hidden")].map((place) => {
        const mark = document.createComment("");
        place.replaceWith(mark);
        return () => mark.replaceWith(place);
    });
    try {
        const { violations } = await axe.run(document, { resultTypes: ["violations"] });
        return violations.map(({ id, impact, help, nodes }) =>
            ({ id, impact, help, where: nodes.map((node) => node.html.slice(0, 200)) }));
    } finally {
        for (const back of away) back();
    }
}"""
#: Whether it can be seen that an element has the focus: an outline of its own or of what stands for it (the text of a
#: radio button that is drawn as a switch), or a ring in a drawing.
SEEN = """() => {
    const element = document.activeElement;
    if (!element || element === document.body) return "lost";
    const outlined = (each) => {
        const look = each && getComputedStyle(each);
        return look && look.outlineStyle !== "none" && parseFloat(look.outlineWidth) >= 1;
    };
    const ring = element.querySelector?.(".gd-hit, .gd-line-reach");
    const ringed = ring && getComputedStyle(ring).stroke !== "none";
    const seen = outlined(element) || outlined(element.nextElementSibling) || ringed;
    return seen ? "" : `not seen: ${element.outerHTML.slice(0, 200)}`;
}"""


@dataclass(frozen=True)
class Found:
    """What axe found on a page: violations as `AUDIT` tells them."""

    page: str
    look: str
    violations: list[dict[str, Any]]

    def __str__(self) -> str:
        counts = Counter(violation["impact"] for violation in self.violations)
        return f"{self.page:<22} {self.look:<11} " + " ".join(f"{counts[impact]:>8}" for impact in IMPACTS)


LOOKS = {"light 1440": ("light", 1440), "dark 1440": ("dark", 1440), "light 800": ("light", 800)}


def audited(page: Any, name: str, looks: tuple[str, ...] = tuple(LOOKS)) -> Iterator[Found]:
    """A page as it stands, in several looks."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    for look in looks:
        scheme, width = LOOKS[look]
        page.set_viewport_size({"width": width, "height": 1000})
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # no colour is half-way to another
        page.wait_for_timeout(150)  # what is drawn for a width or a theme is drawn again
        yield Found(name, look, page.evaluate(AUDIT))


def tabs(visit: Visit, dashboard: Served) -> Iterator[Found]:
    """All tabs, one after the other on one page."""
    page = visit.open(dashboard.url)
    page.wait_for_selector(".gd-plane path.gd-way", timeout=90_000)
    panel = page.locator(".gd-place:not(.gd-hidden)")
    cancel = panel.get_by_role("button", name="Cancel", exact=True)
    for title in page.get_by_role("tab").all_inner_texts():
        page.get_by_role("tab", name=title, exact=True).click()
        panel.get_by_role("tabpanel", name=title, exact=True).wait_for()
        if title == "Class removal":
            page.wait_for_selector(".gd-scores table", timeout=240_000)
        else:
            page.wait_for_timeout(500)
        yield from audited(page, title)
        if cancel.count() and cancel.is_visible():
            cancel.click()  # the first state is all that is wanted


def lessons(visit: Visit, dashboard: Served) -> Iterator[Found]:
    """A step of a lesson with a question, its answer, and the list of lessons."""
    page = visit.open(dashboard.url + "?lesson=part&step=5")
    page.get_by_role("button", name="Show what happens").wait_for(timeout=90_000)
    yield from audited(page, "lesson: a question")
    page.get_by_role("button", name="Show what happens").click()
    page.wait_for_selector(".gd-plane", state="visible")
    yield from audited(page, "lesson: its answer", ("light 1440", "dark 1440"))
    page.get_by_role("button", name="Other lessons").click()
    page.get_by_role("heading", name="Lessons").wait_for()
    yield from audited(page, "the list of lessons")


def plain(browser: Any) -> Iterator[Found]:
    """The pages around the dashboard: signing in, too many visitors, an error."""
    from jinja2 import Environment, FileSystemLoader

    folder = resources.jupyter_data() / "voila" / "templates" / "gif-dash"
    templates = Environment(loader=FileSystemLoader(folder), autoescape=True)
    words = {"title": "There is no free place", "text": "All places are taken; this page asks again.", "home": "/"}
    page = browser.new_page()
    for name, template, values in (
        ("signing in", "login.html", {"wrong": True, "action": "/login", "xsrf": "x"}),
        ("no free place", "error.html", {**words, "status": 503, "retry": 3600}),
        ("nothing there", "error.html", {**words, "status": 404}),
    ):
        page.set_content(templates.get_template(template).render(values))
        yield from audited(page, name)
    page.close()


def test_axe_finds_nothing_serious_on_any_page(visit: Visit, browser: Any, dashboard: Served) -> None:
    print(f"\n{'page':<22} {'look':<11} " + " ".join(f"{impact:>8}" for impact in IMPACTS))
    serious = []
    for source in (plain(browser), lessons(visit, dashboard), tabs(visit, dashboard)):
        for found in source:
            print(found)
            for violation in found.violations:
                told = f"{found.page}, {found.look}: {violation['help']} ({violation['id']}): {violation['where'][:3]}"
                if violation["impact"] in ("serious", "critical"):
                    serious.append(told)
                else:
                    print("   ", told)
    assert not serious, "\n".join(serious)


class Keyboard:
    """The keyboard of a page; after every press the focus must be somewhere, and be seen."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.stops = 0

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)
        assert (wrong := self.page.evaluate(SEEN)) == "", f"after {key}: {wrong}"
        self.stops += 1

    def tab_to(self, target: Any, most: int = 60) -> None:
        """Press Tab until the target has the focus."""
        for _ in range(most):
            self.press("Tab")
            if target.evaluate("element => element === document.activeElement"):
                return
        raise AssertionError(f"Tab does not lead to {target}")


def test_from_a_fresh_page_to_a_result_with_the_keyboard_alone(visit: Visit, dashboard: Served) -> None:
    page = visit.open(dashboard.url)
    page.wait_for_selector(".gd-plane path.gd-way", timeout=90_000)
    page.wait_for_selector("#loading", state="detached")
    keys = Keyboard(page)
    keys.tab_to(page.get_by_role("tab", name="Toy", exact=True))
    keys.press("ArrowRight")
    keys.press("ArrowRight")
    assert page.get_by_role("tab", selected=True).inner_text() == "Toy", "passing by opens nothing"
    keys.press("Enter")
    panel = page.get_by_role("tabpanel", name="Class removal")
    panel.wait_for()
    status = panel.locator(".gd-runbar").get_by_role("status")
    until(lambda: status.inner_text().startswith(("Done", "Stored")), 240, "the first answer")

    keys.tab_to(panel.get_by_role("slider", name="MR", exact=True))
    for _ in range(7):  # to where no other test has been
        keys.press("ArrowRight")
    until(lambda: "press Run" in status.inner_text(), 10, "it says what to do")
    run = panel.get_by_role("button", name="Run", exact=True)
    keys.tab_to(run)
    keys.press("Enter")
    until(lambda: status.inner_text().startswith(("Done", "Stored")), 120, "the answer")
    assert page.evaluate(SEEN) == "", "Run still has the focus"
    assert run.evaluate("element => element === document.activeElement")
    keys.tab_to(panel.get_by_role("slider", name="influence scalar s"))
    keys.press("End")
    assert panel.locator(".gd-scrub output").inner_text() == "s = 10000"
    keys.tab_to(panel.locator(".gd-scores").get_by_role("region").first)
    assert panel.locator(".gd-scores table").is_visible()

    lesson = visit.open(dashboard.url + "?lesson=line")
    card = lesson.locator(".gd-lesson")
    card.get_by_role("button", name="Next").wait_for(timeout=90_000)
    keys = Keyboard(lesson)
    keys.tab_to(card.get_by_role("button", name="All controls"))
    keys.press("Enter")
    lesson.get_by_role("tab", name="Line", exact=True).wait_for()
    until(lambda: lesson.evaluate(SEEN) == "", 10, "leaving a lesson does not lose the focus")
