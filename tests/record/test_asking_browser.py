"""The buttons of recorded questions in a real browser; no server is needed."""

from __future__ import annotations

from typing import Any

import pytest
from widget_harness import HARNESS

from gif_dash.panels.page import STATIC

pytestmark = pytest.mark.browser

ONE, TWO = (f'<button data-ask="{what}">{what}</button>' for what in ("gif 10", 'the "other"'.replace('"', "&quot;")))


def test_who_presses_with_the_keyboard_stays_on_the_button(browser: Any) -> None:
    page = browser.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.set_content("<!doctype html><main></main><button>elsewhere</button>")
    page.evaluate(HARNESS, [(STATIC / "asking.js").read_text(), {"html": f"<p>{ONE}{TWO}</p>"}])
    for name in ("gif 10", 'the "other"'):
        page.get_by_role("button", name=name).focus()
        page.keyboard.press("Enter")
        page.evaluate("html => window.change('html', html)", f"<p>Another answer</p><p>{ONE}{TWO}</p>")
        assert page.evaluate("document.activeElement.textContent") == name
    assert page.evaluate("window.sent.map((message) => message.what)") == ["gif 10", 'the "other"']
    page.evaluate("html => window.change('html', html)", f"<p>{ONE}</p>")
    assert page.evaluate("document.activeElement === document.body"), "the button is gone"
    page.get_by_role("button", name="elsewhere").focus()
    page.evaluate("html => window.change('html', html)", f"<p>{ONE}{TWO}</p>")
    assert page.evaluate("document.activeElement.textContent") == "elsewhere", "nobody's focus is taken"
    page.close()
    assert wrong == []
