"""Many visitors at a time: their pages live, their sliders, an answer they share, and one of their own for each.

Every visitor is a page in a window of its own of one headless Chromium on this very machine, which therefore carries
the browsers as well: real visitors bring their own. One after the other:

- live: all ask for the page at once, each with a seed of their own in the link
- sliders: all press the arrow key of the Noise slider at the same time, some times with a pause; from the key to the
  redrawn curves
- shared: all open the Class removal tab at once; its question is computed once, with what must be trained for it
- own: all load a link with a question that nobody else asks; each must get the answer to it

Nothing may be lost or mixed up: every page must show its own seed at the end of each part, and the store must hold each
question exactly once.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil  # type: ignore[import-untyped]

from gif_dash.bench import sharing, startup
from gif_dash.bench.plan import Plan, Unavailable
from gif_dash.bench.rows import Row
from gif_dash.compute.store import Store
from gif_dash.results import Result

GROUP = "load"
#: Milliseconds to wait for a page or an answer; twenty of them share this machine with their browsers.
LONG = 600_000
#: Seconds between two presses of a visitor.
THINK = 1.0
#: A class removal that a worker answers in about a second: little of everything.
SMALL = "curvature-samples=64&forget-samples=64&sweep-samples=60&iterations=1"
#: Presses the slider's key some times; milliseconds from each to the redrawn curves, or -1 where nothing was drawn.
PRESS = """
([times, pause]) => {
  const panel = document.querySelector(".gd-place:not(.gd-hidden)");
  const slider = panel.querySelector('input[type="range"][id$="-noise"]'); // each step moves every point
  const drawn = () => panel.querySelector(".gd-plane path.gd-way")?.getAttribute("d");
  const once = () => new Promise((done) => {
    const before = drawn(), begin = performance.now();
    const over = (value) => { watch.disconnect(); clearTimeout(late); done(value); };
    const watch = new MutationObserver(() => drawn() !== before && over(performance.now() - begin));
    const late = setTimeout(() => over(-1), 60000);
    watch.observe(panel, { subtree: true, childList: true, attributes: true });
    slider.stepUp();
    slider.dispatchEvent(new Event("input", { bubbles: true }));
  });
  window.pressed = [];
  (async () => {
    for (let left = times; left; left--) {
      await new Promise((then) => setTimeout(then, pause * (0.5 + Math.random())));
      window.pressed.push(await once());
    }
  })();
}
"""
#: Presses a tab, and keeps the milliseconds until what is looked for is there.
OPEN = """
([title, wanted]) => {
  const tab = [...document.querySelectorAll('[role="tab"]')].find((each) => each.textContent.trim() === title);
  const begin = performance.now();
  const seen = () => document.querySelector(wanted) && (window.opened ??= performance.now() - begin);
  new MutationObserver((_, watch) => seen() && watch.disconnect())
    .observe(document.body, { childList: true, subtree: true });
  tab.click();
}
"""
#: Keeps the milliseconds since the request at which something was there, by its selector.
SEEN = """
([wanted]) => {
  window.seen ??= {};
  const seen = () => document.querySelector(wanted) && (window.seen[wanted] ??= performance.now());
  seen() || new MutationObserver((_, watch) => seen() && watch.disconnect())
    .observe(document, { childList: true, subtree: true });
}
"""
#: In the panel that is shown.
TOY = ".gd-place:not(.gd-hidden) .gd-plane path.gd-way"
REMOVAL = ".gd-place:not(.gd-hidden) .gd-scores table"  # comes with the whole answer; curves grow before


def measure(plan: Plan) -> list[Row]:
    """Twenty visitors, three if quick, unless the plan says how many.

    Raises:
        Unavailable: without playwright or Chromium, if a page does not come to life, or if something was mixed up.
    """
    visitors = plan.visitors or (3 if plan.quick else 20)
    with (
        tempfile.TemporaryDirectory() as cache,
        startup.served(Path(cache), "--max-visitors", str(2 * visitors)) as (server, url, browser),
    ):
        crowd = Crowd(url, [browser.new_context().new_page() for _ in range(visitors)], server)
        return [*crowd.measure(5 if plan.quick else 20), *_kept(Path(cache), visitors)]


class Crowd:
    """Some visitors of one server.

    Args:
        url: of the server.
        pages: one for each, of a window of its own.
        server: its process.
    """

    def __init__(self, url: str, pages: list[Any], server: psutil.Process) -> None:
        self.url, self.pages, self.server = url, pages, server
        self.case = f"{len(pages)} visitors"
        self.errors: list[str] = []
        for page in pages:
            page.on("pageerror", lambda error: self.errors.append(str(error)))

    def measure(self, presses: int) -> list[Row]:
        """All parts, in their order."""
        rows = self._live()
        rows += self._sliders(presses)
        rows += self._shared()
        rows += self._memory()
        rows += self._own()
        if self.errors:
            raise Unavailable(f"{len(self.errors)} errors in pages, the first: {self.errors[0]}")
        return rows

    def _live(self) -> list[Row]:
        self._load("tab=toy", TOY)
        return self._times("request to live page", self._seen(TOY), "s")

    def _sliders(self, presses: int) -> list[Row]:
        busy = self._busy()
        for page in self.pages:
            page.evaluate(PRESS, [presses, 1000 * THINK])
        values: list[float] = []
        for page in self.pages:
            page.wait_for_function(f"window.pressed.length === {presses}", timeout=LONG)
            values += page.evaluate("window.pressed")
        if min(values) < 0:
            raise Unavailable("a slider moved and nothing was drawn within a minute")
        self._own_seeds("toy")
        rows = self._times("slider to redrawn curves", values, "ms")
        return [*rows, *self._used("sliders", busy)]

    def _shared(self) -> list[Row]:
        busy = self._busy()
        for page in self.pages:
            page.evaluate(OPEN, ["Class removal", REMOVAL])
        for page in self.pages:
            page.wait_for_function("window.opened", timeout=LONG)
        values = [page.evaluate("window.opened") / 1000 for page in self.pages]
        return [*self._times("tab to the shared answer", values, "s"), *self._used("shared answer", busy)]

    def _own(self) -> list[Row]:
        busy = self._busy()
        self._load(f"tab=removal&{SMALL}", REMOVAL)
        rows = self._times("link to one's own answer", self._seen(REMOVAL), "s")
        self._own_seeds("removal")
        return [*rows, *self._used("own answers", busy)]

    def _memory(self) -> list[Row]:
        found = sharing.resident(self.server)
        rows = [
            Row.of(GROUP, self.case, f"resident: {kind}", [own for own, _ in sizes], "MB")
            for kind, sizes in found.items()
        ]
        total = sum(part for sizes in found.values() for _, part in sizes)
        shared = Row.of(
            GROUP, self.case, "of a kernel, shared pages divided", [part for _, part in found["kernel"]], "MB"
        )
        return [*rows, shared, Row(GROUP, self.case, "all of the server, shared pages divided", total, "MB")]

    def _load(self, query: str, wanted: str) -> None:
        """Everybody asks at once, each with a seed of their own, and waits for what is wanted."""
        from playwright.sync_api import TimeoutError as Late

        for place, page in enumerate(self.pages):
            page.add_init_script(f"({SEEN})({[wanted]!r})")
            page.goto(f"{self.url}/?{query}&seed={seed(place)}", wait_until="commit", timeout=LONG)
        for place, page in enumerate(self.pages):
            try:
                page.wait_for_selector(wanted, timeout=LONG)
            except Late:
                said = " / ".join(page.locator(".gd-place:not(.gd-hidden) [role=status]").all_inner_texts())
                raise Unavailable(f"visitor {place} waits for {wanted} in vain; the page says: {said}") from None

    def _seen(self, wanted: str) -> list[float]:
        """Seconds since the request."""
        return [page.evaluate("(wanted) => window.seen[wanted]", wanted) / 1000 for page in self.pages]

    def _own_seeds(self, tab: str) -> None:
        for place, page in enumerate(self.pages):
            shown = parse_qs(urlsplit(page.url).query)
            if (shown.get("tab"), shown.get("seed")) != ([tab], [str(seed(place))]):
                raise Unavailable(f"a visitor's page shows something else than was asked: {page.url}")

    def _times(self, what: str, values: list[float], unit: str) -> list[Row]:
        return [
            Row.of(GROUP, self.case, what, values, unit),
            Row(GROUP, self.case, f"{what}, 95th percentile", percentile(values), unit, len(values)),
            Row(GROUP, self.case, f"{what}, longest", max(values), unit, len(values)),
        ]

    def _busy(self) -> tuple[float, dict[str, float]]:
        return time.perf_counter(), sharing.processor_seconds(self.server)

    def _used(self, part: str, before: tuple[float, dict[str, float]]) -> list[Row]:
        """Processor time since then by kind of process, as a share of one core."""
        wall = time.perf_counter() - before[0]
        now = sharing.processor_seconds(self.server)
        return [
            Row(
                GROUP,
                self.case,
                f"{part}: cores used by {kind}",
                (now[kind] - before[1].get(kind, 0.0)) / wall,
                "cores",
            )
            for kind in sorted(now)
            if now[kind] >= before[1].get(kind, 0.0)  # kernels that ended meanwhile take their time along
        ]


def seed(place: int) -> int:
    """Of a visitor."""
    return 1000 + place


def percentile(values: list[float], share: int = 95) -> float:
    """The 95th, of at least two values."""
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1] if len(values) > 1 else values[0]


def _kept(cache: Path, visitors: int) -> list[Row]:
    """What the store holds: each question once, and for every visitor's the answer to it."""
    store = Store(cache)
    try:
        rows = [(row, store.get(row.key)) for row in store.history()]
    finally:
        store.close()
    removal = [result for row, result in rows if row.experiment == "removal" and isinstance(result, Result)]
    own = sorted(result.spec["seed"] for result in removal if result.spec["seed"] >= seed(0))
    shared = sum(result.spec["seed"] < seed(0) for result in removal)
    if own != [seed(place) for place in range(visitors)] or shared != 1:
        raise Unavailable(f"the store holds answers for the seeds {own} and {shared} shared ones")
    case = f"{visitors} visitors"
    return [
        Row(GROUP, case, "own questions, each answered once", float(len(own)), "count"),
        Row(GROUP, case, "computations of the shared answer", float(shared), "count"),
    ]
