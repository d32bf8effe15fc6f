"""Takes the pictures of the documentation: every tab of the dashboard on digits-cnn, 1440 pixels wide.

    python docs/screenshots.py [TAB ...]

Starts ``gif-dash`` with the cache folder of this machine (what is not there is computed: minutes), drives a Chromium of
this machine by playwright, and writes ``docs/pictures/TAB.webp``. Needs the ``test`` extra.
"""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from driving import CHROMIUM_FLAGS, Visit, find_chromium, start_server  # noqa: E402

from gif_dash.compute.paths import cache_dir  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
WIDTH = 1440
#: Bytes of a picture for every 1,000 pixels of its height, and of all pictures, at most; a test holds them, too.
LARGEST, ALL = 73_000, 1_150_000
#: Seconds that a question may take which nobody has asked before.
PATIENCE = 1200
#: Milliseconds in which a page settles: the kernel hears of a change, figures are drawn, pictures arrive.
SETTLING = 8000
#: anywidget gives a widget two seconds to start, which a busy machine may exceed; a picture can wait.
PATIENT = "AbortSignal.timeout = () => new AbortController().signal"


@dataclass(frozen=True)
class Shot:
    """A picture.

    Attributes:
        name: of its file.
        query: the state of the page, as in a link.
        height: pixels from the top of the page.
        dark: whether the visitor prefers a dark page.
    """

    name: str
    query: str
    height: int = 1000
    dark: bool = False


SHOTS = (
    Shot("toy", "tab=toy"),
    Shot("line", "tab=line"),
    Shot("removal", "tab=removal&scenario=digits-cnn", height=1240),
    Shot("removal-dark", "tab=removal&scenario=digits-cnn", dark=True),
    Shot("methods", "tab=methods&scenario=digits-cnn"),
    Shot("criteria", "tab=criteria&scenario=digits-cnn"),
    Shot("layers", "tab=layers&scenario=digits-cnn"),
    Shot("attribution", "tab=attribution&scenario=digits-cnn"),
    Shot("mislabelled", "tab=mislabelled&scenario=digits-cnn"),
    Shot("two-classes", "tab=two-classes&repeats=4"),
    Shot("backdoor", "tab=backdoor&scenario=digits-cnn"),
    Shot("spectrum", "tab=spectrum&scenario=digits-cnn"),
    Shot("fragility", "tab=fragility&vary=weight-decay&seeds=1&points=10&train-steps=2000&steps=2000"),
    Shot("fading", "tab=fading&seeds=1&points=8&steps=1000"),
    Shot("correcting", "tab=correcting&scenario=digits-cnn"),
    Shot("history", "tab=history"),
)


def take(browser: Any, url: str, shot: Shot) -> bytes:
    """The picture as PNG, once the page is at rest.

    Raises:
        SystemExit: the page made an error.
    """
    visit = Visit(browser, color_scheme="dark" if shot.dark else "light")
    visit.context.add_init_script(PATIENT)
    page = visit.open(f"{url.partition('?')[0]}?{shot.query}")
    page.set_viewport_size({"width": WIDTH, "height": shot.height})
    panel = page.locator(".gd-place:not(.gd-hidden)")
    panel.wait_for(timeout=1000 * PATIENCE)
    run, cancel = (panel.get_by_role("button", name=name, exact=True) for name in ("Run", "Cancel"))
    page.wait_for_timeout(SETTLING)
    if run.count() and not cancel.is_visible():
        run.click()
        page.wait_for_timeout(SETTLING)
    if run.count():
        cancel.wait_for(state="hidden", timeout=1000 * PATIENCE)
    page.wait_for_timeout(SETTLING)
    page.mouse.move(0, 0)
    page.evaluate("document.activeElement && document.activeElement.blur(); scrollTo(0, 0)")
    png: bytes = page.screenshot()
    visit.context.close()
    if visit.complaints:
        sys.exit("\n".join(visit.complaints))
    return png


def compressed(png: bytes) -> bytes:
    """WebP without loss but for the number of colours, of which it has as many as `LARGEST` allows.

    Raises:
        SystemExit: there is no such number.
    """
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    most = LARGEST * picture.height / 1000
    for colours in (256, 128, 64, 32):
        few = picture.quantize(colours, method=Image.Quantize.MEDIANCUT, kmeans=1, dither=Image.Dither.NONE)
        file = io.BytesIO()
        few.convert("RGB").save(file, "WEBP", lossless=True, method=6)
        if file.tell() <= most:
            return file.getvalue()
    sys.exit(f"a picture of {picture.width}×{picture.height} pixels does not fit into {most:.0f} bytes")


def main(names: list[str]) -> None:
    from playwright.sync_api import sync_playwright

    path = find_chromium()
    if path is None:
        sys.exit("there is no Chromium here (Debian: apt-get install chromium)")
    PICTURES.mkdir(exist_ok=True)
    served = start_server([sys.executable, "-m", "gif_dash.cli", "--no-browser", "--port", "0"], cache_dir())
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
            for shot in SHOTS:
                if not names or shot.name in names:
                    file = PICTURES / f"{shot.name}.webp"
                    file.write_bytes(compressed(take(browser, served.url, shot)))
                    print(f"{file.relative_to(ROOT)}: {file.stat().st_size / 1000:.0f} kB", flush=True)
            browser.close()
    finally:
        served.stop()
    if (total := sum(file.stat().st_size for file in PICTURES.iterdir())) > ALL:
        sys.exit(f"all pictures together have {total} bytes; {ALL} are allowed")


if __name__ == "__main__":
    main(sys.argv[1:])
