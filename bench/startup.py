"""How long people wait: from the command to the served page, and from the request to a live toy.

``python bench/startup.py [--repeats 3] [--json FILE]`` needs Chromium and the test extra. Three visits per start:

- cold: asked for the moment the server says its address (no kernel is ready), in a browser that has cached nothing
- ready: a kernel waits, a browser that has cached nothing
- warm: a kernel waits, the browser has been here before

The first start has an empty cache folder, so the server also trains the default network meanwhile; the others do not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
#: Milliseconds since the request at which the toy's trajectories were in the page.
WATCH = """
addEventListener("DOMContentLoaded", () => {
  const seen = () => document.querySelector(".gd-plane path.gd-way") && (window.liveToy ??= performance.now());
  seen() || new MutationObserver((_, watch) => seen() && watch.disconnect())
    .observe(document.body, { childList: true, subtree: true });
});
"""
PAINT = (
    "() => performance.getEntriesByType('paint').find((entry) => entry.name === 'first-contentful-paint')?.startTime"
)


def start(cache: Path) -> tuple[subprocess.Popen[str], str, float]:
    """Start the command; returns the process, the address, and the seconds until it said it."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("gif-dash")), "--no-browser", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "GIF_DASH_CACHE": str(cache)},
    )
    assert process.stdout is not None
    for line in process.stdout:
        if (match := re.search(r"http://\S+", line)) is not None:
            return process, match.group(), time.perf_counter() - begin
    raise SystemExit("gif-dash did not start")


def visit(context: Any, url: str) -> tuple[float, float]:
    """Seconds from the request to the loading state and to the live toy."""
    page = context.new_page()
    page.add_init_script(WATCH)
    page.goto(url, wait_until="commit")
    page.wait_for_function("window.liveToy", timeout=120_000)
    live, paint = page.evaluate("window.liveToy"), page.evaluate(PAINT)
    page.close(run_before_unload=True)
    return paint / 1000, live / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="starts of the server")
    parser.add_argument("--pause", type=float, default=15, help="seconds for the next kernel to get ready")
    parser.add_argument("--json", type=Path, help="write all measurements and the environment to this file")
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    rows: list[dict[str, float]] = []
    machine = {"cores": os.cpu_count(), "load": os.getloadavg()[0], "python": platform.python_version()}
    with tempfile.TemporaryDirectory() as cache, sync_playwright() as playwright:
        for _ in range(options.repeats):
            process, url, served = start(Path(cache))
            row = {"command to served page": served}
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            for name in ("cold", "ready", "warm"):
                if name != "cold":
                    time.sleep(options.pause)
                if name != "warm":
                    context = browser.new_context()
                painted, live = visit(context, url)
                row |= {f"{name}: request to loading state": painted, f"{name}: request to live toy": live}
            browser.close()
            process.send_signal(signal.SIGINT)
            begin = time.perf_counter()
            process.wait()
            rows.append({**row, "Ctrl+C to the end": time.perf_counter() - begin})
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    print(f"{'seconds':34}{'first':>8}{'others':>8}   (median)")
    for name in rows[0]:
        others = [row[name] for row in rows[1:]]
        print(f"{name:34}{rows[0][name]:8.2f}" + (f"{statistics.median(others):8.2f}" if others else ""))
    if options.json is not None:
        options.json.write_text(json.dumps({"environment": machine, "starts": rows}, indent=2))


if __name__ == "__main__":
    main()
