"""The assembled dashboard: tabs, links, and what it says when a link is off."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from panels_fakes import FakeClient, result

from gif_dash import Dashboard
from gif_dash.app import TABS
from gif_dash.compute.client import View
from gif_dash.specs import RemovalSpec

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "dashboard.ipynb"
#: Where the class removal stands among the tabs.
REMOVAL = [tab.key for tab in TABS].index("removal")


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    fake = FakeClient()
    monkeypatch.setattr("gif_dash.compute.client.connect", lambda: fake)
    return fake


def test_first_tab_is_shown_and_others_wait(client: FakeClient) -> None:
    dashboard = Dashboard(query="")
    assert list(dashboard.panels) == [TABS[0].key]
    assert dashboard.notice.value == ""
    assert "gd-hidden" not in dashboard.places[0]._dom_classes
    assert "gd-hidden" in dashboard.places[1]._dom_classes


def test_tab_is_made_when_it_is_opened(client: FakeClient) -> None:
    dashboard = Dashboard(query="")
    dashboard.tabs.selected = REMOVAL
    assert dashboard.panel.title == "Class removal"
    assert dashboard.page.query.startswith("?tab=removal")
    assert "gd-hidden" in dashboard.places[0]._dom_classes
    dashboard.tabs.selected = 0
    assert dashboard.page.query.startswith("?tab=toy")
    assert client.submitted == [RemovalSpec(forget_classes=(2,))]  # there is no class 8 among three


def test_link_opens_its_tab_with_its_state(client: FakeClient) -> None:
    dashboard = Dashboard(query="tab=removal&mr=25&forget-class=1&s=3")
    assert dashboard.tabs.selected == REMOVAL
    assert dashboard.panel.spec == RemovalSpec(mr=25, forget_classes=(1,))
    assert dashboard.panel.extra_state() == {"s": "3"}
    assert dashboard.notice.value == ""
    assert client.submitted == [RemovalSpec(mr=25, forget_classes=(1,))]


def test_link_to_the_first_tab_changes_what_is_there(client: FakeClient) -> None:
    dashboard = Dashboard(query="tab=toy&outliers=100&seed=4")
    assert (dashboard.panel.spec.outliers, dashboard.panel.spec.seed) == (100, 4)
    assert dashboard.panel.result.spec["seed"] == 4


def test_link_without_a_tab_belongs_to_the_first(client: FakeClient) -> None:
    assert Dashboard(query="?seed=4").panel.spec.seed == 4


@pytest.mark.parametrize("query", ["tab=nonsense", "tab=removal&mr=x", "tab=toy&points=-1", "tab=%3Cscript%3E"])
def test_nonsense_is_said_in_escaped_sentences(client: FakeClient, query: str) -> None:
    dashboard = Dashboard(query=query)
    assert dashboard.notice.value.startswith("<p>")
    assert "<script>" not in dashboard.notice.value


def test_query_string_of_the_page_is_followed(client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUERY_STRING", "tab=removal&mr=33")
    assert Dashboard().panel.spec.mr == 33


def test_store_that_keeps_nothing_is_said_beside_the_rest(client: FakeClient) -> None:
    client.warning = "Results are not kept: <no space>"
    dashboard = Dashboard(query="tab=removal&mr=nonsense")
    assert "not followed" in dashboard.notice.value
    assert "Results are not kept: &lt;no space&gt;" in dashboard.notice.value


def test_what_goes_wrong_during_a_run_is_said_when_it_ends(client: FakeClient) -> None:
    dashboard = Dashboard(query="tab=removal")
    assert dashboard.notice.value == ""
    client.warning = "Trained networks are not kept: the disk is full"
    client.views["ticket-1"] = View("done", seconds=1.0, result=result(RemovalSpec(forget_classes=(2,))))
    dashboard.ticker.tick()
    assert "the disk is full" in dashboard.notice.value


def test_named_scenario_is_selected(client: FakeClient) -> None:
    dashboard = Dashboard("mnist-cnn", query="")
    assert dashboard.panel.spec == RemovalSpec(scenario="mnist-cnn")


def test_answer_is_found_by_the_panel(client: FakeClient) -> None:
    client.card = client.card.model_copy(update={"classes": tuple("0123456789")})  # type: ignore[union-attr]
    client.store(result(RemovalSpec()))
    dashboard = Dashboard(query="tab=removal")
    assert client.submitted == []
    assert dashboard.panel.bar.status == "Stored result"


def test_notebook_is_a_few_lines_without_outputs() -> None:
    notebook = json.loads(NOTEBOOK.read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert sum(len(cell["source"]) for cell in code) <= 6
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
