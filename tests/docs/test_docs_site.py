"""The documentation builds without a network and without a warning, loads nothing from elsewhere, and its links lead
somewhere."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from docs_pages import DOCS, ROOT, Built, outside, styled
from driving import Visit
from PIL import Image

#: Seconds; busy machines take many times what idle ones do.
pytestmark = pytest.mark.timeout(1200)

#: Runs ``sphinx-build`` where no other host can be reached, not even asked for.
BUILD = """
import socket, sys

def refuse(*arguments, **options):
    raise OSError(f"the documentation asks for another host: {arguments[:2]}")

socket.getaddrinfo = socket.create_connection = socket.socket.connect = refuse
from sphinx.cmd.build import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site, by the line of the README."""
    pytest.importorskip("sphinx")
    (line,) = [line for line in (ROOT / "README.md").read_text().splitlines() if "sphinx-build" in line]
    arguments = line.split("sphinx-build", 1)[1].split("#")[0].split()
    assert arguments == ["-W", "-b", "html", "docs", "site"]
    place = tmp_path_factory.mktemp("docs") / "site"
    run = subprocess.run(
        [sys.executable, "-c", BUILD, "-q", "--keep-going", *arguments[:-1], str(place)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert not run.stderr.strip(), run.stderr
    return place


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Built]:
    return {path.resolve(): Built(path.resolve()) for path in site.rglob("*.html")}


def test_every_page_is_there(site: Path) -> None:
    for page in DOCS.glob("*.md"):
        assert (site / f"{page.stem}.html").is_file()


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Built]) -> None:
    for page in pages.values():
        assert page.loaded, "the style sheet, at least"
        assert not [address for address in page.loaded if outside(address)], page.path
    for sheet in site.rglob("*.css"):
        assert not [address for address in styled(sheet.read_text(encoding="utf-8")) if outside(address)], sheet


def test_links_lead_to_pages_and_anchors_that_are_there(pages: dict[Path, Built]) -> None:
    followed = 0
    for page in pages.values():
        for link in page.links:
            if outside(link) or link.startswith("mailto:"):
                continue
            path, anchor = page.target(link)
            assert path.exists(), f"{page.path.name}: {link}"
            if anchor and path.suffix == ".html":
                assert anchor in pages[path].anchors, f"{page.path.name}: {link}"
            followed += 1
    assert followed > 500


@pytest.mark.parametrize("module", ["gif_dash", "gif_dash.influence"])
def test_every_public_name_is_documented(pages: dict[Path, Built], site: Path, module: str) -> None:
    anchors = pages[(site / "api.html").resolve()].anchors
    names = [name for name in importlib.import_module(module).__all__ if not name.startswith("__")]
    assert not [name for name in names if f"{module}.{name}" not in anchors]


def test_signatures_are_readable(site: Path) -> None:
    text = (site / "api.html").read_text(encoding="utf-8")
    text = text[text.index("<article") : text.index("</article")]
    for scrap in ("0x", "&lt;function", "&lt;factory", "~", "system-message", "(*args", "problematic"):
        assert scrap not in text


def test_equations_are_drawn_and_no_request_leaves(site: Path, visit: Visit) -> None:
    page = visit.open((site / "mathematics.html").as_uri())
    page.wait_for_load_state()
    heights = page.locator('math[display="block"]').evaluate_all(
        "all => all.map((one) => one.getBoundingClientRect().height)"
    )
    source = (DOCS / "mathematics.md").read_text(encoding="utf-8")
    assert len(heights) == source.count("$$") // 2
    assert min(heights) > 10
    assert "$" not in page.locator("article").inner_text(), "an equation was not understood as one"
    for name in ("index", "api", "tabs"):
        page.goto((site / f"{name}.html").as_uri())
        page.wait_for_load_state()
        broken: Any = page.locator("img").evaluate_all(
            "all => all.filter((one) => one.complete && !one.naturalWidth).length"
        )
        assert broken == 0


# --- what the site is made of ---------------------------------------------------------------------------------------


def test_pictures_are_small_wide_and_used() -> None:
    pictures = sorted((DOCS / "pictures").iterdir())
    assert sum(picture.stat().st_size for picture in pictures) <= 1_150_000
    words = "".join(page.read_text(encoding="utf-8") for page in DOCS.glob("*.md"))
    for picture in pictures:
        assert picture.stat().st_size <= 150_000, picture
        assert Image.open(picture).width == 1440
        assert f"pictures/{picture.name}" in words


def test_links_of_the_readme_lead_to_files_and_headings() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    headings = {title.lower().replace(" ", "-") for title in re.findall(r"^##+ (.+)$", text, flags=re.MULTILINE)}
    inside = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not outside(link)]
    assert len(inside) > 8
    for link in inside:
        assert link[1:] in headings if link.startswith("#") else (ROOT / link).is_file(), link
