"""How far the picture lags behind the hand: at the slider of the influence scalar, and at a dragged point of the toy.

Needs Chromium and playwright (the test extra). A small class removal on digits-cnn is computed first. Then keys and a
pointer, as the browser's debugger sends them, move the slider at random times, and the page itself takes times:

- written: from the event's own time stamp (when the browser got the key or the pointer's move) until the page's script
  has drawn, that is, has changed every curve's marker and the table
- rendered: until the task after the next animation frame; by then style, layout and paint of the frame with the new
  picture are done and handed to the compositor
- presented: what the browser's own Event Timing says (event to presentation), in steps of 8 ms; it is silent about
  what took less than 16 ms, which counts as 16 here

Beside them stands the processor time of the page's main thread for each move, all told and by kind, from the browser's
own counters: what a busy machine does not change. A screen of 60 Hz alone makes an event wait for 8 ms in the middle,
and for 17 ms at most. Frames a second of the toy are animation frames in which a trajectory differs from the frame
before, while a point goes round in circles: moved by the debugger, which sends a move when the one before has been
dealt with and its answer has come back, and then by the page itself at every animation frame, as browsers hand on the
moves of a real pointer.
"""

from __future__ import annotations

import math
import random
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from gif_dash.bench import startup
from gif_dash.bench.load import LONG, SMALL, percentile
from gif_dash.bench.plan import Plan, Unavailable
from gif_dash.bench.rows import Row

GROUP = "latency"
CASE = "class removal, digits-cnn"
#: Presses of a key, and moves of the pointer.
PRESSES = 250
#: Seconds between two presses, from and to; drawn evenly, so that they meet the frames anywhere.
PAUSE = (0.05, 0.11)
#: Steps of the event timing, and what it is silent about (milliseconds).
SILENT = 16

#: The browser's counters of its main thread, and what they count.
COUNTERS = {
    "TaskDuration": "processor time, all told",
    "ScriptDuration": "of it scripts",
    "RecalcStyleDuration": "of it style",
    "LayoutDuration": "of it layout",
}

#: Listens for the slider's moves; registered after the page's own listeners, so that these have drawn.
WATCH = """
() => {
  const slider = document.querySelector(".gd-place:not(.gd-hidden) .gd-scrub input");
  const output = document.querySelector(".gd-place:not(.gd-hidden) .gd-scrub output");
  const cursor = document.querySelector(".gd-place:not(.gd-hidden) .gd-cursor");
  const state = () => output.textContent + cursor.getAttribute("x1");
  window.lag = { written: [], rendered: [], presented: [], same: 0 };
  let from = 0, before = state();
  for (const kind of ["keydown", "pointermove"]) {
    addEventListener(kind, (event) => { from = event.timeStamp; }, { capture: true });
  }
  slider.addEventListener("input", () => {
    const begin = from, now = state();
    if (now === before) window.lag.same += 1;
    before = now;
    window.lag.written.push(performance.now() - begin);
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => window.lag.rendered.push(performance.now() - begin);
      channel.port2.postMessage(0);
    });
  });
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (entry.name === "keydown") window.lag.presented.push(entry.duration);
  }).observe({ type: "event", durationThreshold: 16 });
  slider.focus();
}
"""
#: Moves the captured pointer in circles around a place, once in every animation frame, for some milliseconds.
CIRCLE = """
([x, y, long]) => new Promise((done) => {
  const point = document.querySelector(".gd-place:not(.gd-hidden) .gd-data .gd-point");
  const begin = performance.now();
  let moves = 0;
  const move = () => {
    const passed = performance.now() - begin;
    if (passed > long) return done(moves);
    const turn = 3 * passed / 1000;
    point.dispatchEvent(new PointerEvent("pointermove", {
      clientX: x + 40 * Math.sin(turn), clientY: y + 40 * (1 - Math.cos(turn)),
      pointerId: 1, pointerType: "mouse", isPrimary: true, buttons: 1, bubbles: true,
    }));
    moves += 1;
    requestAnimationFrame(move);
  };
  requestAnimationFrame(move);
})
"""
#: Notes the time of every animation frame in which the trajectory of GIF has another shape.
FRAMES = """
() => {
  const shape = () => document.querySelector(".gd-place:not(.gd-hidden) .gd-plane path.gd-way")?.getAttribute("d");
  window.frames_ = [];
  window.frames_on = true;
  let before = shape();
  const look = (now) => {
    const after = shape();
    if (after !== before) window.frames_.push(now);
    before = after;
    if (window.frames_on) requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}
"""


def measure(plan: Plan) -> list[Row]:
    """The slider by keys and by pointer, and a dragged point of the toy: five seconds if quick, else ten.

    Raises:
        Unavailable: without playwright or Chromium, or where a move changed nothing.
    """
    with tempfile.TemporaryDirectory() as cache, startup.served(Path(cache)) as (_, url, browser):
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        return [*_slider(page, url), *_toy(page, url, 5.0 if plan.quick else 10.0)]


def _slider(page: Any, url: str) -> list[Row]:
    page.goto(f"{url}/?tab=removal&scenario=digits-cnn&{SMALL}", wait_until="commit")
    page.wait_for_selector(".gd-scores table", timeout=LONG)
    page.wait_for_timeout(3000)  # the page comes to rest
    page.evaluate(WATCH)
    chance = random.Random(0)
    page.keyboard.press("Home")
    _forget(page)
    counters = Counters(page)
    for _ in range(PRESSES):
        time.sleep(chance.uniform(*PAUSE))
        page.keyboard.press("ArrowRight")
    spent = counters.rows(CASE, "key", PRESSES)
    keys = _heard(page, "a key")
    silent = [float(SILENT)] * (PRESSES - len(keys["presented"]))
    rows = [
        *_rows("key", "written", keys["written"]),
        *_rows("key", "rendered", keys["rendered"]),
        *_rows("key", "presented", keys["presented"] + silent, f"{len(silent)} of {PRESSES} below {SILENT} ms"),
    ]
    rows += spent
    box = page.locator(".gd-place:not(.gd-hidden) .gd-scrub input").bounding_box()
    left, middle, wide = box["x"] + 10, box["y"] + box["height"] / 2, box["width"] - 20
    page.mouse.move(left, middle)
    page.mouse.down()
    _forget(page)
    for place in range(PRESSES):
        time.sleep(chance.uniform(0.01, 0.04))
        page.mouse.move(left + wide * (place + 1) / PRESSES, middle)
    page.mouse.up()
    drag = _heard(page, "the pointer")
    return [*rows, *_rows("pointer", "written", drag["written"]), *_rows("pointer", "rendered", drag["rendered"])]


class Counters:
    """Processor time of a page's main thread from now on."""

    def __init__(self, page: Any) -> None:
        self._session = page.context.new_cdp_session(page)
        self._session.send("Performance.enable", {"timeDomain": "threadTicks"})
        self._before = self._read()

    def rows(self, case: str, move: str, moves: int) -> list[Row]:
        """What was spent on each of some moves; ends the counting."""
        after = self._read()
        self._session.detach()
        return [
            Row(
                GROUP,
                case,
                f"main thread for a {move}: {what}",
                1000 * (after[name] - self._before[name]) / moves,
                "ms",
                moves,
            )
            for name, what in COUNTERS.items()
        ]

    def _read(self) -> dict[str, float]:
        metrics = self._session.send("Performance.getMetrics")["metrics"]
        return {each["name"]: each["value"] for each in metrics}


def _forget(page: Any) -> None:
    page.wait_for_timeout(300)
    page.evaluate("window.lag.written = [], window.lag.rendered = [], window.lag.presented = [], window.lag.same = 0")


def _heard(page: Any, what: str) -> dict[str, list[float]]:
    """What the page has noted, once it is at rest.

    Raises:
        Unavailable: a tenth or more of the moves were not seen, or changed nothing.
    """
    page.wait_for_timeout(500)
    found: dict[str, Any] = page.evaluate("window.lag")
    moves = len(found["written"])
    if len(found["rendered"]) < moves or moves < 0.8 * PRESSES or found["same"] > 0.1 * moves:
        raise Unavailable(f"of {PRESSES} moves by {what} {moves} were seen, and {found['same']} changed nothing")
    return found


def _rows(by: str, what: str, values: list[float], note: str = "") -> list[Row]:
    return [
        Row.of(GROUP, CASE, f"{by} to {what} picture", values, "ms", note),
        Row(GROUP, CASE, f"{by} to {what} picture, 95th percentile", percentile(values), "ms", len(values)),
    ]


def _toy(page: Any, url: str, seconds: float) -> list[Row]:
    """Frames a second while a point of the data goes round; 1,000 points, the default."""
    page.goto(f"{url}/?tab=toy", wait_until="commit")
    page.wait_for_selector(".gd-plane path.gd-way", timeout=LONG)
    page.wait_for_timeout(3000)
    box = page.locator(".gd-place:not(.gd-hidden) .gd-data .gd-point").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()

    def by_debugger() -> int:
        begin, moves = time.perf_counter(), 0
        while (passed := time.perf_counter() - begin) < seconds:
            page.mouse.move(x + 40 * math.sin(3 * passed), y + 40 * (1 - math.cos(3 * passed)))
            moves += 1
        return moves

    def by_frame() -> int:
        moves: int = page.evaluate(CIRCLE, [x, y, 1000 * seconds])
        return moves

    rows = [
        *_dragged(page, "toy, a point dragged by the debugger", by_debugger),
        *_dragged(page, "toy, a point dragged at every frame", by_frame),
    ]
    page.mouse.up()
    return rows


def _dragged(page: Any, case: str, drag: Callable[[], int]) -> list[Row]:
    """What the page draws while a point is dragged; `drag` returns the number of moves."""
    page.evaluate(FRAMES)
    counters = Counters(page)
    begin = time.perf_counter()
    moves = drag()
    passed = time.perf_counter() - begin
    spent = counters.rows(case, "move", moves)
    page.evaluate("window.frames_on = false")
    frames: list[float] = page.evaluate("window.frames_")
    if len(frames) < 2:
        raise Unavailable("a point was dragged and no trajectory moved")
    gaps = [after - before for before, after in pairwise(frames)]
    return [
        Row(GROUP, case, "frames a second with a new picture", len(frames) / passed, "1/s", len(frames)),
        Row(GROUP, case, "moves a second that the pointer made", moves / passed, "1/s", moves),
        Row.of(GROUP, case, "from one new picture to the next", gaps, "ms"),
        Row(GROUP, case, "from one new picture to the next, 95th percentile", percentile(gaps), "ms", len(gaps)),
        *spent,
    ]
