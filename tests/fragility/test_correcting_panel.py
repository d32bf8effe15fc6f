"""The panel, pictures and words of correcting, from hand-made answers."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from panels.panels_fakes import FakeClient, asking, context

from gif_dash import published
from gif_dash.compute.client import View
from gif_dash.figures import correcting as pictures
from gif_dash.panels.correcting import CorrectingPanel
from gif_dash.results import Result
from gif_dash.specs import CorrectingSpec

SPEC = CorrectingSpec(examples=(2, 8), repeats=2)


def repairs(wrong: int = 4) -> pd.DataFrame:
    """Influence repairs all in a few steps, the nearest a quarter of them in ten, random images none."""
    rows: list[dict[str, Any]] = []
    for place in range(wrong):
        for m in SPEC.examples:
            for choice, repeat, done, steps in (
                ("influence", 0, True, 2.0 + place),
                ("nearest", 0, place % 4 == 0, 10.0 if place % 4 == 0 else math.nan),
                ("random", 0, False, math.nan),
                ("random", 1, False, math.nan),
            ):
                known = {"test_index": 10 + place, "choice": choice, "m": m, "repeat": repeat, "repaired": done}
                cost = {"influence": 1.0 + place, "nearest": 0.5, "random": -0.25}[choice]
                rows.append({**known, "steps": steps, "label": 1, "same_class": 0.5, "cost": cost, "moved": 0.1})
    return pd.DataFrame(rows)


def answer(wrong: int = 4) -> Result:
    table = repairs(wrong)
    groups = table.groupby(["choice", "m"], sort=False)
    numbers = {name: groups[name].mean() for name in ("cost", "same_class", "moved")}
    summary = pd.DataFrame(
        {**numbers, "repaired": 100 * groups["repaired"].mean(), "steps": groups["steps"].median(), "n": groups.size()}
    ).reset_index()
    known = {"wrong": 7, "test_images": 101, "classes": ["a", "<b>"], "scenario": "Digits, small CNN", "seconds": 2.0}
    asked = {"experiment": "correcting", **SPEC.model_dump(mode="json")}
    return Result(asked, {"repairs": table, "summary": summary, "steps": pd.DataFrame()}, known)


def opened(client: FakeClient) -> CorrectingPanel:
    return asking(CorrectingPanel(context(client)), SPEC)


def stored() -> FakeClient:
    client = FakeClient()
    client.answers[SPEC.canonical()] = answer()
    return client


def test_a_stored_answer_is_drawn_with_errors_over_the_mispredictions() -> None:
    client = stored()
    panel = opened(client)
    assert client.submitted == []
    lines = {line["key"]: line for line in panel.chart.chart["lines"]}
    assert list(lines) == ["influence", "nearest", "random"]
    assert lines["influence"]["x"] == [2.0, 8.0]
    assert lines["influence"]["values"]["repaired"] == [100.0, 100.0]
    assert lines["influence"]["values"]["steps"] == [3.5, 3.5]
    assert lines["influence"]["low"]["steps"] == [2.75, 2.75]
    assert lines["nearest"]["values"]["repaired"] == [25.0, 25.0]
    assert lines["nearest"]["high"]["repaired"] == pytest.approx([50.0, 50.0])  # 1, 0, 0, 0: sd ½, its error ¼
    assert lines["random"]["values"]["steps"] == [None, None]
    assert "Yes, and influence finds images that repair more." in panel.words.value
    assert "most helpful by influence</strong>" in panel.words.value.lower()
    assert "on the other 100 test images" in panel.words.value
    assert "4 of 7 mispredicted test images" in panel.words.value
    assert panel.chart.position == 2.0
    assert panel.extra_state() == {}


def test_the_marker_belongs_to_the_link() -> None:
    panel = opened(stored())
    panel.chart.position = 7.0
    panel.context.ticker.tick()
    assert "at=7" in panel.share.query
    other = CorrectingPanel(context(stored()))
    assert other.restore({"at": "7", "examples": "2,8", "repeats": "2"}) == []
    other.show()
    assert other.chart.position == 7.0
    assert other.restore({"at": "-1"}) != []


def test_a_run_grows_and_can_be_cancelled() -> None:
    client = FakeClient()
    panel = opened(client)
    assert client.submitted == [SPEC]
    client.views["ticket-1"] = View("running", stage="Correcting", version=1, partial={"repairs": repairs(1)})
    panel.context.ticker.tick()
    assert panel.chart.chart["lines"][0]["values"]["repaired"] == [100.0, 100.0]
    panel.cancel()
    assert client.cancelled == ["ticket-1"]
    assert panel.chart.chart["lines"] == []


def test_the_verdict_needs_two_standard_errors_and_a_rival() -> None:
    result = answer()
    table = result.tables["repairs"].copy()
    assert pictures.repairs(result).startswith("<b>Yes")
    table.loc[table["choice"] == "influence", "repaired"] = table["test_index"] < 11
    even = replace(result, tables={**result.tables, "repairs": table})
    assert "No difference from nearest inputs is shown over these 4" in pictures.repairs(even)
    table.loc[table["choice"] == "influence", "repaired"] = False
    table.loc[table["choice"] == "nearest", "repaired"] = True
    assert "repair more" in pictures.repairs(replace(result, tables={**result.tables, "repairs": table}))
    alone = replace(result, spec={**result.spec, "choices": ["influence"]})
    assert "nothing to compare" in pictures.repairs(alone)
    assert "anecdote" in pictures.repairs(answer(1))


def test_the_published_statement_stands_beside_ours() -> None:
    told = pictures.published_html(answer())
    assert published.CORRECTING in told
    assert "100 % within 50 steps on 2 images, median 3.5 steps" in told
    assert "nearest inputs 25 %; random 0 %" in told
    assert "Digits, small CNN" in told


def test_single_repairs_and_ways_out() -> None:
    told = pictures.singles_html(answer())
    assert "not repaired" in told
    assert "&lt;b&gt;" in told
    panel = opened(stored())
    assert next(iter(panel.export_tables())) == "repairs"
    assert "What does it cost on the rest?" in panel.export_html()
    (figure,) = panel.export_figures()
    assert list(figure.data[0].y) == [100.0, 100.0]
    assert "gif-dash run correcting --examples 2,8 --repeats 2" in panel.share.command


def test_the_panel_does_without_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import gif_dash.panels.correcting"
    subprocess.run([sys.executable, "-c", code], check=True)
