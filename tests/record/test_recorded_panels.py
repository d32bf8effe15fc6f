"""The panels on a machine where a scenario is recorded but not prepared."""

from __future__ import annotations

from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import record_fakes

from gif_dash import recorded
from gif_dash.compute.client import TableClient
from gif_dash.compute.jobs import JobTable
from gif_dash.compute.store import open_store
from gif_dash.panels.base import Context
from gif_dash.panels.criteria import CriteriaPanel
from gif_dash.panels.fragility import FragilityPanel
from gif_dash.panels.history import HistoryPanel
from gif_dash.panels.layers import LayersPanel
from gif_dash.panels.methods import MethodsPanel
from gif_dash.panels.page import Page
from gif_dash.panels.removal import RemovalPanel
from gif_dash.panels.ticker import Reporter, Ticker
from gif_dash.progress import Silent
from gif_dash.record.plan import plan, studies
from gif_dash.record.run import record_studies
from gif_dash.specs import RemovalSpec
from gif_dash.spelling import to_query

NAME = record_fakes.ENTRY.name
QUICK = plan(NAME, quick=True)


def visitor(tmp_path: Path) -> Context:
    """What the panels of a visitor's page share."""
    folder = tmp_path / "jobs"
    folder.mkdir(mode=0o700)
    JobTable(folder)
    client, reporter = TableClient(folder, open_store()), Reporter()
    return Context(Page(), Ticker(reporter), reporter, lambda: client)


def opened(kind: Any, tmp_path: Path, query: dict[str, str] | None = None) -> Any:
    panel = kind(visitor(tmp_path))
    panel.restore(query if query is not None else {"scenario": NAME})
    panel.show()
    return panel


def text(panel: Any) -> str:
    return unescape(panel.recorded.html)


def test_choosing_the_scenario_shows_the_nearest_recorded_question(shipped: recorded.Record, tmp_path: Path) -> None:
    panel = opened(RemovalPanel, tmp_path)
    assert panel.spec in QUICK.removals
    assert panel.spec.mr == 10
    assert panel.result is not None
    assert panel.bar.status == "Recorded run"
    assert "Recorded run: computed elsewhere on" in text(panel)
    assert "gif-dash run removal --scenario digits-large" in text(panel)
    assert f"gif-dash prepare {NAME}" in text(panel)
    assert not panel.bar.error
    choice = next(choice for choice in panel.form.choices["scenario"] if choice["value"] == NAME)
    assert choice["recorded"]
    assert "recorded, not prepared here" in choice["note"]
    assert [choice["label"] for choice in panel.form.choices["forget_classes"]] == list("0123456789")


def test_a_press_shows_another_recorded_question(shipped: recorded.Record, tmp_path: Path) -> None:
    panel = opened(RemovalPanel, tmp_path)
    for words in ('aria-pressed="true">MR 10 %<', 'aria-pressed="false">MR 50 %<'):
        assert words in text(panel)
    panel._take_recorded("1")
    panel._changed()
    assert panel.spec.mr == 50
    assert panel.result.spec["mr"] == 50
    assert panel.bar.status == "Recorded run"


def test_another_question_is_refused_with_the_command(shipped: recorded.Record, tmp_path: Path) -> None:
    panel = opened(RemovalPanel, tmp_path)
    panel.form.set(mr=20.0)
    panel._changed()
    assert "press Run" in panel.bar.status
    assert panel.result.spec["mr"] == 10  # what is on the screen stays
    panel.run()
    assert "where only recorded answers can be looked at; run once: gif-dash prepare digits-large" in panel.bar.error
    assert not panel.bar.running


def test_a_link_to_what_was_not_recorded_is_said(shipped: recorded.Record, tmp_path: Path) -> None:
    link = to_query(RemovalSpec(scenario=NAME, mr=45.0))
    panel = opened(RemovalPanel, tmp_path, link)
    assert panel.spec in QUICK.removals
    assert "this question was not recorded" in panel.bar.error


def test_a_link_to_what_was_recorded_is_followed(shipped: recorded.Record, tmp_path: Path) -> None:
    panel = opened(RemovalPanel, tmp_path, to_query(QUICK.removals[1]))
    assert panel.spec == QUICK.removals[1]
    assert not panel.bar.error
    assert panel.bar.status == "Recorded run"


def test_back_to_a_prepared_scenario_the_form_is_as_it_was(shipped: recorded.Record, tmp_path: Path) -> None:
    panel = opened(RemovalPanel, tmp_path, {"mr": "30"})
    before = panel.spec
    panel.bar.running = False
    panel.form.set(scenario=NAME)
    panel._changed()
    panel._changed()
    assert panel.spec in QUICK.removals
    panel.form.set(scenario="digits-cnn")
    panel._changed()
    panel._changed()
    assert panel.spec == before
    assert "prepare" not in text(panel)  # what is still on the screen is recorded, and said to be


def test_methods_and_criteria_are_there_too(shipped: recorded.Record, tmp_path: Path) -> None:
    for place, kind in enumerate((MethodsPanel, CriteriaPanel)):
        (tmp_path / str(place)).mkdir()
        panel = opened(kind, tmp_path / str(place))
        assert panel.bar.status == "Recorded run", kind
        assert "Recorded run: computed elsewhere" in text(panel)
        assert panel.export_tables()


def test_where_nothing_of_an_experiment_is_recorded_it_says_so(shipped: recorded.Record, tmp_path: Path) -> None:
    panel = opened(LayersPanel, tmp_path)
    choice = next(choice for choice in panel.form.choices["scenario"] if choice["value"] == NAME)
    assert not choice["recorded"]
    assert "recorded" not in choice["note"]
    assert panel.bar.status.startswith("Digits, as if large is not prepared on this machine; once: gif-dash prepare")
    assert not panel.bar.primary
    assert text(panel) == ""
    panel.form.set(scenario="digits-cnn")
    panel._changed()
    assert "not prepared" not in panel.bar.status
    panel.form.set(scenario=NAME)
    panel._changed()
    assert "not prepared on this machine" in panel.bar.status


def test_a_run_that_prepares_the_scenario_ends_what_was_said_of_it(
    shipped: recorded.Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a notebook a run may get data and train; the question that was asked stays, and nothing else is asked."""
    for place, kind in enumerate((LayersPanel, RemovalPanel)):
        (tmp_path / str(place)).mkdir()
        panel = opened(kind, tmp_path / str(place))
        panel.form.set(mr=20.0)
        panel._changed()
        client = panel.context.connect()
        ready = [replace(o, state="ready", command="", recorded=False) for o in client.offers()]
        monkeypatch.setattr(client, "offers", lambda ready=ready: ready)
        panel.bar.status = "Done in 3 s"
        panel.poll()
        assert panel.spec.mr == 20, kind
        assert not panel.bar.running
        assert panel.bar.status == "Done in 3 s"
        panel.form.set(mr=25.0)
        panel._changed()
        assert "not prepared" not in panel.bar.status, kind
        assert "press Run" in panel.bar.status
        assert "prepare" not in text(panel)
        assert panel.preparing() == ""


def test_the_history_marks_recorded_runs(shipped: recorded.Record, tmp_path: Path) -> None:
    panel = HistoryPanel(visitor(tmp_path))
    panel.show()
    panel._chosen()
    rows = panel.table.rows
    assert len(rows) == 4
    assert all(row["recorded"] and not row["old"] for row in rows)
    assert all(row["scenario"] == "Digits, as if large" for row in rows)
    assert "Recorded run: computed elsewhere" in panel.who.value
    panel._hear({"do": "delete", "key": rows[0]["key"]})
    assert "comes with gif_dash" in panel.table.error
    assert len(panel.table.rows) == 4


def test_a_study_without_a_scenario_is_offered_where_it_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIF_DASH_CACHE", str(tmp_path / "cache"))
    lines: list[str] = []
    for _ in range(2):
        questions = studies(quick=True)
        archive = record_studies(questions, tmp_path / "shipped", Silent(), lines.append, "gif-dash record studies")
    assert "weight-decay" in lines[0]
    assert lines[1].endswith("kept before")
    monkeypatch.setenv(recorded.VARIABLE, str(archive.parent))
    monkeypatch.setenv("GIF_DASH_CACHE", str(tmp_path / "elsewhere"))

    (asked,) = recorded.records()[recorded.STUDIES].questions("fragility")
    panel = FragilityPanel(visitor(tmp_path))
    panel.restore({"data": "mnist", "vary": "weight-decay", "hessians": "exact"})
    panel.show()
    assert panel.spec.data == "mnist", "a link is followed as it is"
    assert panel.result is None, "another question than the recorded one"
    assert 'data-ask="0"' in panel.recorded.html
    panel._take_recorded("0")
    panel._changed()
    assert panel.spec == asked
    assert panel.bar.status == "Recorded run"
    assert "Recorded run: computed elsewhere on" in text(panel)
    assert "gif-dash run fragility --vary weight-decay" in text(panel)
    assert "data-ask" not in panel.recorded.html, "it is the only one"
    panel.restore({"data": "mnist", "vary": "damping", "hessians": "exact"})
    assert "data-ask" in panel.recorded.html, "the way back"


def test_choosing_mnist_takes_settings_that_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIF_DASH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(recorded.VARIABLE, raising=False)  # what comes with the package
    monkeypatch.setattr(FragilityPanel, "may_run_alone", lambda self: False)
    panel = FragilityPanel(visitor(tmp_path))
    panel.restore({"width": "7"})
    panel.show()
    assert panel.recorded.html == "", "Iris is computed at once"
    for shipped in (True, False):
        if not shipped:
            (tmp_path / "empty").mkdir()
            monkeypatch.setenv(recorded.VARIABLE, str(tmp_path / "empty"))
        panel.form.set(data="mnist")
        panel._changed()
        assert (panel.spec.data, panel.spec.vary) == ("mnist", "weight-decay")
        shown = panel.result is not None and panel.result.spec["data"] == "mnist"
        if shipped:
            assert shown
            assert "a tenth" in str(panel.result.provenance["data"])
        panel.form.set(data="iris")
        panel._changed()
        assert (panel.spec.data, panel.spec.vary, panel.spec.width) == ("iris", "width", 7)
    panel.form.set(data="mnist")
    panel.form.set(vary="damping")
    panel.form.set(data="iris")
    panel._changed()
    assert (panel.spec.data, panel.spec.vary) == ("iris", "damping"), "the person's own"
