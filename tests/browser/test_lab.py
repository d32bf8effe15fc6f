"""The same notebook in JupyterLab, where panels compute in a thread of the kernel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from driving import Visit

from gif_dash import resources

pytestmark = pytest.mark.browser


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """JupyterLab with a copy of the dashboard's notebook; yields the address of that notebook."""
    shutil.copy(resources.notebook("dashboard"), tmp_path)
    settings = tmp_path / "settings"
    settings.mkdir()
    (settings / "overrides.json").write_text(
        '{"@jupyterlab/apputils-extension:notification": {"checkForUpdates": false, "fetchNews": "false"}}'
    )
    process = subprocess.Popen(
        [
            *(
                sys.executable,
                "-m",
                "jupyterlab",
                "--no-browser",
                "--allow-root",
                "--port=0",
                f"--notebook-dir={tmp_path}",
            ),
            *(
                "--IdentityProvider.token=",
                "--LabApp.expose_app_in_browser=True",
                "--LabApp.extension_manager=readonly",
            ),
            f"--LabApp.app_settings_dir={settings}",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "JUPYTER_CONFIG_DIR": str(tmp_path / "config"), "JUPYTER_DATA_DIR": str(tmp_path / "data")},
    )
    assert process.stdout is not None
    lines = []
    address = None
    for line in process.stdout:
        lines.append(line)
        if (match := re.search(r"(http://(?:127\.0\.0\.1|localhost):\d+)/lab", line)) is not None:
            address = match.group(1)
            break
    assert address is not None, "".join(lines)
    yield f"{address}/lab/tree/dashboard.ipynb?reset"
    family = [process, *psutil.Process(process.pid).children(recursive=True)]
    process.terminate()
    process.stdout.read()
    process.wait(timeout=30)
    _, alive = psutil.wait_procs(family[1:], timeout=10)
    for child in alive:
        child.kill()


def test_both_panels_live_in_jupyterlab(lab: str, visit: Visit) -> None:
    page = visit.open(lab)
    page.wait_for_function("window.jupyterapp !== undefined", timeout=60_000)
    page.evaluate(
        """async () => {
            const app = window.jupyterapp;
            await app.restored;
            const pause = () => new Promise((done) => setTimeout(done, 100));
            let panel;
            while (!(panel = app.shell.currentWidget)?.sessionContext) await pause();
            await panel.context.ready;
            await panel.sessionContext.ready;
            await panel.sessionContext.session.kernel.info;
            await app.commands.execute("notebook:run-all-cells");
        }"""
    )
    page.wait_for_selector(".gd-plane path.gd-way", timeout=60_000)
    assert page.locator(".gd-plane path.gd-way").count() >= 3
    page.get_by_role("button", name="Back to the start").click()
    assert page.get_by_role("slider", name="Step", exact=True).input_value() == "0"
    page.keyboard.press("a")  # a shortcut of JupyterLab's must not fire from within the page
    assert page.locator(".jp-CodeCell").count() == 1

    page.get_by_role("tab", name="Class removal", exact=True).click()
    page.wait_for_selector(".gd-scores table", timeout=240_000)
    widths = page.locator("figure.gd-facet svg").evaluate_all(
        "all => all.map((one) => one.getBoundingClientRect().width)"
    )
    assert len(widths) == 4
    assert min(widths) > 150
    assert page.locator('figure[data-quantity="test_accuracy"] .gd-line[data-line="gif"] path').get_attribute("d")
    assert "tab=" not in page.url, "the address is JupyterLab's"
