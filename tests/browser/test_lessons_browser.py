"""A lesson with the keyboard, a slide, and the figures of a panel as files that stand alone; one page each."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from driving import Served, Visit
from PIL import Image

pytestmark = pytest.mark.browser

SVG = "{http://www.w3.org/2000/svg}"
#: Addresses within a drawing, and names of namespaces, are no references to elsewhere.
OUTSIDE = re.compile(r"""(?:href|src|url\()\s*=?\s*["'(]?(?!#|data:)[^"')\s]*//""")


def test_a_lesson_from_the_keyboard(visit: Visit, dashboard: Served) -> None:
    page = visit.open(dashboard.url + "?lesson=part&step=4")
    page.wait_for_selector(".gd-plane path.gd-way", state="attached", timeout=90_000)
    lesson = page.locator(".gd-lesson")
    lesson.get_by_role("heading", name="GIF: make the whole gradient small").wait_for()
    assert lesson.get_by_role("status").inner_text() == "4 of 7"
    assert lesson.locator("math").count() >= 2
    assert page.get_by_role("tab").count() == 0, "hidden"

    page.keyboard.press("ArrowRight")  # nothing has the focus yet: as a presenter's remote does it
    lesson.get_by_role("heading", name="When the question does not matter").wait_for()
    page.wait_for_function("location.search === '?lesson=part&step=5'")
    page.wait_for_selector(".gd-covered")
    assert not page.locator(".gd-plane").is_visible(), "predict first"
    page.keyboard.press("1")
    assert lesson.get_by_role("button", name="as far apart as before").get_attribute("aria-pressed") == "true"
    lesson.get_by_role("button", name="Show what happens").press("Enter")
    lesson.get_by_text("Not as you predicted.").wait_for()
    page.wait_for_selector(".gd-plane", state="visible")
    page.wait_for_function("document.querySelector('.gd-form input[type=number]').value === '5000'")
    shown = page.get_by_role("form").locator(".gd-field:visible .gd-label").all_inner_texts()
    assert shown == ["Points", "Correlation"]

    page.keyboard.press("PageDown")
    page.keyboard.press("PageDown")
    lesson.get_by_text("You predicted 0 of 1 as it came.").wait_for()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    lesson.get_by_text("Not as you predicted.").wait_for()  # it is remembered
    lesson.get_by_role("button", name="All controls").click()
    page.wait_for_function("location.search.includes('correlation=0')")
    assert page.get_by_role("tab").first.is_visible()
    page.get_by_role("button", name="Back to “Part of a network”").wait_for()


def saved(page: Any, kind: str, folder: Path) -> bytes:
    panel = page.locator(".gd-place:not(.gd-hidden)")
    with page.expect_download() as begun:
        panel.get_by_role("button", name=kind, exact=True).click()
    assert begun.value.suggested_filename.endswith(f".{kind.lower()}")
    begun.value.save_as(folder / kind)
    return (folder / kind).read_bytes()


def drawing(data: bytes, texts: set[str], lines: int) -> ElementTree.Element:
    """A standalone SVG with these texts and at least so many lines."""
    text = data.decode()
    assert not OUTSIDE.search(text.replace('xmlns="http://www.w3.org/2000/svg"', ""))
    assert not re.search(r"<script|<foreignObject|class=|var\(|light-dark|color\(", text)
    root = ElementTree.fromstring(text)
    assert root.tag == f"{SVG}svg"
    assert texts <= {"".join(element.itertext()) for element in root.iter(f"{SVG}text")}
    drawn = [
        path for path in root.iter(f"{SVG}path") if path.get("stroke", "none") != "none" and len(path.get("d", "")) > 40
    ]
    assert len(drawn) >= lines
    for link in re.findall(r"url\(#([^)]+)\)", text):
        assert f'id="{link}"' in text
    return root


def test_figures_leave_as_files_that_stand_alone(visit: Visit, dashboard: Served, tmp_path: Path) -> None:
    page = visit.open(dashboard.url + "?tab=toy&hide=header,intro,table,noise")
    page.wait_for_selector(".gd-plane path.gd-way", timeout=90_000)
    assert not page.locator(".gd-header").is_visible()
    assert not page.locator(".gd-readout").first.is_visible()
    assert page.locator(".gd-field:visible .gd-label", has_text="Noise").count() == 0
    assert "hide=header,intro,table,noise" in page.url

    toy = drawing(
        saved(page, "SVG", tmp_path), {"GIF", "FIF", "PIF", "weight 1", "start", "Size of the total gradient"}, 12
    )
    wide, high = float(toy.get("width", 0)), float(toy.get("height", 0))
    assert wide > 600
    assert high > 350
    picture = Image.open(io.BytesIO(saved(page, "PNG", tmp_path)))
    assert (picture.format, picture.size) == ("PNG", (2 * wide, 2 * high))
    colours = picture.convert("RGB").getcolors(picture.width * picture.height)
    assert colours is not None
    assert max(colours)[1] == (255, 255, 255), "the ground"
    found = {colour for count, colour in colours if count > 200}
    assert {(0, 114, 178), (213, 94, 0), (0, 158, 115)} <= found, "GIF, FIF, PIF"

    page.emulate_media(color_scheme="dark")
    page.get_by_role("tab", name="Class removal", exact=True).click()
    page.wait_for_selector(".gd-scores table", timeout=240_000, state="attached")
    root = drawing(saved(page, "SVG", tmp_path), {"Self accuracy", "influence scalar s", "retrained (cold start)"}, 12)
    ground = root.find(f"{SVG}rect")
    assert ground is not None
    assert ground.get("fill") == "rgb(20,23,28)", "the theme's"
