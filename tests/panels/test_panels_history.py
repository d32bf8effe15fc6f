"""The History tab over a store of its own: what it lists, what a person does in it, and what its links restore."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from panels_fakes import CARD, FakeClient, context, result

from gif_dash import Dashboard
from gif_dash.app import TABS
from gif_dash.compute import keys
from gif_dash.compute.store import Store, StoreError
from gif_dash.compute.work import Answer, pack
from gif_dash.experiments.toy import run as run_toy
from gif_dash.panels import history
from gif_dash.panels.history import HistoryPanel
from gif_dash.progress import Silent
from gif_dash.specs import RemovalSpec, Spec, ToySpec

ONE = RemovalSpec(forget_classes=(1,), methods=("gif", "fif"))
TWO = RemovalSpec(forget_classes=(2,), methods=("gif", "pif"), mr=30)
TOY = ToySpec(points=100, outliers=10, removals=2)

#: Where the class removal stands among the tabs.
REMOVAL = [tab.key for tab in TABS].index("removal")


class Clock:
    """The panel's clock, moved by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    moved = Clock()
    monkeypatch.setattr(history, "monotonic", moved)
    return moved


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "cache")
    yield made
    made.close()


@pytest.fixture
def client(store: Store) -> FakeClient:
    fake = FakeClient()
    fake.runs = store  # type: ignore[attr-defined]
    return fake


def keep(store: Store, spec: Spec) -> str:
    if isinstance(spec, RemovalSpec):
        return store.put(spec, Answer(pack(result(spec)), CARD.model_dump_json(), 6.5))
    assert isinstance(spec, ToySpec)
    return store.put(spec, Answer(pack(run_toy(spec, Silent())), None, 0.1))


def age(store: Store, **created: float) -> None:
    """Give runs other times than now."""
    assert store._disk is not None
    for key, when in created.items():
        store._disk.execute("UPDATE results SET created = ? WHERE key = ?", (when, key))


def opened(client: FakeClient) -> HistoryPanel:
    panel = HistoryPanel(context(client))
    panel.show()
    beat(panel)
    return panel


def beat(panel: HistoryPanel, times: int = 3) -> None:
    for _ in range(times):
        panel.context.ticker.tick()


def do(panel: HistoryPanel, **message: Any) -> None:
    """What the table in the browser sends, and the beats after it."""
    panel.table._handle_custom_msg(message, [])
    beat(panel)


def choose(panel: HistoryPanel, a: str = "", b: str = "") -> None:
    panel.table.set_state({"a": a, "b": b})
    beat(panel)


def shown(panel: HistoryPanel) -> list[str]:
    return [row["key"] for row in panel.table.rows]


# --- the list ---------------------------------------------------------------------------------------------------------


def test_nothing_computed_yet(client: FakeClient) -> None:
    panel = opened(client)
    assert panel.table.ready
    assert panel.table.rows == []
    assert "gd-hidden" in panel.below._dom_classes
    assert panel.context.page.query == "?tab=history"


def test_runs_are_listed_pinned_first_then_newest_with_what_was_asked(client: FakeClient, store: Store) -> None:
    one, two, toy = keep(store, ONE), keep(store, TWO), keep(store, TOY)
    age(store, **{one: 3000.0, two: 2000.0, toy: 1000.0})
    store.pin(toy, True)
    store.rename(one, "<i>mine</i>")
    panel = opened(client)
    assert shown(panel) == [toy, one, two]
    rows = {row["key"]: row for row in panel.table.rows}
    assert [chip[0] for chip in rows[two]["chips"]] == ["class two", "GIF, PIF", "MR 30 %"], (
        "names of the card's classes"
    )
    assert rows[one]["name"] == rows[one]["label"] == "<i>mine</i>", "text; the browser writes it as text"
    assert rows[two]["label"] == "Class removal, class two, GIF, PIF, MR 30 %"
    assert rows[one]["scenario"] == "Digits"
    assert rows[toy]["pinned"]
    assert not any(row["old"] for row in rows.values())
    json.dumps(panel.table.rows)


def test_rows_of_older_code_are_marked_and_said(
    client: FakeClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = keep(store, ONE)
    monkeypatch.setattr(keys, "_code_hash", lambda module: "changed")
    panel = opened(client)
    assert [row["old"] for row in panel.table.rows] == [True]
    assert panel.table.a == one
    assert "older code" in panel.who.value
    assert "when Run is pressed" in panel.who.value


def test_scores_arrive_beat_by_beat(client: FakeClient, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "BATCH", 2)
    found = [keep(store, ONE.model_copy(update={"seed": seed})) for seed in range(5)]
    panel = HistoryPanel(context(client))
    panel.show()
    counts = []
    for _ in range(4):
        panel.context.ticker.tick()
        counts.append(len(panel.table.scores))
    assert counts == [2, 4, 5, 5]
    assert [item[:2] for item in panel.table.scores[found[0]]] == [["GIF", 0.98], ["FIF", 0.98]]
    reads: list[str] = []
    monkeypatch.setattr(store, "columns", lambda key, table: reads.append(key) or {})
    keep(store, TWO)
    panel.hide()
    panel.show()
    beat(panel)
    assert len(reads) == 1, "what is known is not read again"


def test_a_run_computed_elsewhere_appears(client: FakeClient, store: Store, clock: Clock) -> None:
    panel = opened(client)
    key = Store(store.path.parent).put(ONE, Answer(pack(result(ONE)), CARD.model_dump_json()))
    beat(panel)
    assert panel.table.rows == [], "no look before its time"
    clock.now += history.LOOK
    beat(panel)
    assert shown(panel) == [key]


def test_the_store_is_not_read_while_nothing_changes(
    client: FakeClient, store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(store, ONE)
    panel = opened(client)
    rows = panel.table.rows
    monkeypatch.setattr(store, "history", lambda: pytest.fail("read without need"))
    for _ in range(5):
        clock.now += history.LOOK
        beat(panel)
    assert panel.table.rows is rows
    panel.hide()
    assert panel.context.ticker.idle, "a hidden tab looks at nothing"


# --- what a person does -----------------------------------------------------------------------------------------------


def test_names_and_pins_are_kept(client: FakeClient, store: Store) -> None:
    one, two = keep(store, ONE), keep(store, TWO)
    age(store, **{one: 1000.0, two: 2000.0})
    panel = opened(client)
    assert shown(panel) == [two, one]
    do(panel, do="pin", key=one, pinned=True)
    do(panel, do="rename", key=one, name="  the\n first ")
    assert shown(panel) == [one, two]
    assert {row.key: (row.name, row.pinned) for row in store.history()}[one] == ("the first", True)
    assert panel.table.rows[0]["name"] == "the first"
    do(panel, do="pin", key=one, pinned=False)
    assert shown(panel) == [two, one]


def test_the_heading_follows_a_new_name(client: FakeClient, store: Store) -> None:
    one = keep(store, ONE)
    panel = opened(client)
    do(panel, do="rename", key=one, name="<b>bold</b>")
    assert "&lt;b&gt;bold&lt;/b&gt;" in panel.who.value


def test_delete_and_undo(client: FakeClient, store: Store, clock: Clock) -> None:
    one, two = keep(store, ONE), keep(store, TWO)
    store.rename(one, "precious")
    panel = opened(client)
    choose(panel, one, two)
    do(panel, do="delete", key=one)
    assert shown(panel) == [two]
    assert panel.table.deleted == "precious"
    assert (panel.table.a, panel.table.b) == (two, "")
    assert store.get(one) is None
    clock.now += history.UNDO - 1
    beat(panel)
    do(panel, do="undo")
    assert set(shown(panel)) == {one, two}
    assert panel.table.deleted == ""
    assert {row.key: row.name for row in store.history()}[one] == "precious"
    do(panel, do="delete", key=one)
    clock.now += history.UNDO + 1
    beat(panel)
    assert panel.table.deleted == ""
    do(panel, do="undo")
    assert shown(panel) == [two], "too late"


def test_what_cannot_be_kept_is_said_in_one_sentence(
    client: FakeClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = keep(store, ONE)
    panel = opened(client)
    do(panel, do="rename", key=one, name="x" * 81)
    assert "80 characters" in panel.table.error

    def refuse(*_arguments: Any) -> None:
        raise StoreError("The result store is read-only.")

    for name in ("rename", "pin", "delete"):
        monkeypatch.setattr(store, name, refuse)
    for message in ({"do": "pin", "pinned": True}, {"do": "delete"}, {"do": "rename", "name": "x"}):
        do(panel, key=one, **message)
        assert panel.table.error == "The result store is read-only."
    assert shown(panel) == [one]
    assert panel.table.deleted == ""
    monkeypatch.undo()
    do(panel, do="pin", key=one, pinned=True)
    assert panel.table.error == ""


def test_a_run_that_was_deleted_elsewhere_meanwhile(client: FakeClient, store: Store) -> None:
    one, two = keep(store, ONE), keep(store, TWO)
    panel = opened(client)
    choose(panel, one)
    Store(store.path.parent).delete(one)
    do(panel, do="rename", key=one, name="x")
    assert "no longer" in panel.table.error
    assert shown(panel) == [two]
    assert panel.table.a == ""
    assert "gd-hidden" in panel.below._dom_classes


def test_nonsense_from_the_page_changes_nothing(client: FakeClient, store: Store) -> None:
    one = keep(store, ONE)
    panel = opened(client)
    for message in ({"do": "drop"}, {}, {"do": "undo"}, {"do": "delete", "key": "x' OR '1'='1"}, {"do": "pin"}):
        do(panel, **message)
    assert shown(panel) == [one]
    choose(panel, "no such key")
    assert "gd-hidden" in panel.below._dom_classes


# --- one run, two runs ------------------------------------------------------------------------------------------------


def test_the_first_row_is_shown_by_itself(client: FakeClient, store: Store) -> None:
    one = keep(store, ONE)
    panel = opened(client)
    assert panel.table.a == one
    assert [line["key"] for line in panel.chart.chart["lines"]] == ["gif", "fif"]
    assert "0.980" in panel.words.value
    assert "gd-hidden" not in panel.below._dom_classes
    choose(panel)
    assert "gd-hidden" in panel.below._dom_classes
    panel.hide()
    panel.show()
    beat(panel)
    assert panel.table.a == "", "what a person has put away stays away"


def test_two_removals_are_laid_over_each_other(client: FakeClient, store: Store) -> None:
    one, two = keep(store, ONE), keep(store, TWO)
    panel = opened(client)
    choose(panel, one, two)
    assert [line["label"] for line in panel.chart.chart["lines"]] == ["GIF · A", "GIF · B", "FIF · A", "PIF · B"]
    assert "forget different examples" in panel.who.value
    for words in ("B − A", "What was asked differently", "30 %", "class"):
        assert words in panel.words.value + panel.who.value
    assert panel.actions.buttons == []
    gif = panel.compared().query("method == 'gif' and mark == 'best' and quantity == 'score'")
    assert gif[["a", "b", "difference"]].iloc[0].tolist() == [0.98, 0.98, 0.0]
    choose(panel, two, one)
    assert [line["label"] for line in panel.chart.chart["lines"]] == ["GIF · A", "GIF · B", "PIF · A", "FIF · B"]


def test_a_toy_beside_a_removal_and_beside_another(client: FakeClient, store: Store) -> None:
    one, toy, other = keep(store, ONE), keep(store, TOY), keep(store, TOY.model_copy(update={"seed": 1}))
    panel = opened(client)
    choose(panel, one, toy)
    assert "gd-hidden" in panel.chart._dom_classes
    assert "A is Class removal, B is Toy" in panel.who.value
    assert "Differences in numbers" not in panel.words.value
    choose(panel, toy, other)
    assert "Differences in numbers" in panel.words.value
    assert "gd-hidden" in panel.chart._dom_classes
    choose(panel, toy)
    assert panel.chart.chart["lines"]
    assert "gd-hidden" not in panel.chart._dom_classes


def test_files_of_one_run_and_of_two(client: FakeClient, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = keep(store, ONE), keep(store, TWO)
    panel = opened(client)
    saved: dict[str, str] = {}
    monkeypatch.setattr(panel.context.page, "download", lambda name, text, mime: saved.update({name: text}))
    for keys_ in ((one,), (one, two)):
        choose(panel, *keys_)
        for kind in ("CSV", "JSON"):
            panel.share._handle_custom_msg({"do": "file", "name": kind}, [])
    alone, both = f"gif-dash-{one[:8]}", f"gif-dash-{one[:8]}-{two[:8]}"
    assert set(saved) == {f"{alone}.csv", f"{alone}.json", f"{both}.csv", f"{both}.json"}
    table = pd.read_csv(
        StringIO(saved[f"{both}.csv"]), keep_default_na=False, na_values={"a": "", "b": "", "difference": ""}
    )
    pd.testing.assert_frame_equal(table, panel.compared(), check_dtype=False)
    assert len(pd.read_csv(StringIO(saved[f"{alone}.csv"]))) == len(result(ONE).table)
    assert json.loads(saved[f"{alone}.json"])["spec"]["forget_classes"] == [1]
    assert json.loads(saved[f"{both}.json"])["b"]["spec"]["mr"] == 30
    assert panel.share.python.count("run(RemovalSpec(") == 2
    compile(panel.share.python, "copied", "exec")


def test_a_question_that_can_no_longer_be_asked(client: FakeClient, store: Store) -> None:
    key = keep(store, ONE)
    spec = json.dumps({**json.loads(ONE.canonical()), "momentum": 1})
    with sqlite3.connect(store.path) as other:
        other.execute("UPDATE results SET spec = ?, code = 'old' WHERE key = ?", (spec, key))
    other.close()
    panel = opened(client)
    assert "momentum 1" in [chip[0] for chip in panel.table.rows[0]["chips"]]
    assert panel.share.python == ""
    panel.actions._handle_custom_msg({"do": "open"}, [])
    assert "cannot be asked any more" in panel.table.error
    assert "0.980" in panel.words.value, "its numbers are shown all the same"


def test_tables_of_an_older_form_can_still_be_saved(
    client: FakeClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = result(ONE)
    old.tables["sweep"] = old.tables["sweep"].drop(columns="self_loss")
    key = store.put(ONE, Answer(pack(old), CARD.model_dump_json()))
    with pytest.raises(KeyError):
        opened(client)  # of today's code, it is a mistake of ours
    monkeypatch.setattr(keys, "_code_hash", lambda module: "changed")
    two = keep(store, TWO)
    panel = opened(client)
    for chosen in ((key,), (two, key)):
        choose(panel, *chosen)
        assert "older form" in panel.who.value
        assert "gd-hidden" in panel.chart._dom_classes
    assert len(panel.results) == 2


# --- links and other tabs ---------------------------------------------------------------------------------------------


@pytest.fixture
def page(client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    monkeypatch.setattr("gif_dash.compute.client.connect", lambda: client)
    return client


def settle(dashboard: Dashboard) -> None:
    for _ in range(4):
        dashboard.ticker.tick()


def test_a_link_restores_the_choice(page: FakeClient, store: Store) -> None:
    one, two = keep(store, ONE), keep(store, TWO)
    first = Dashboard(query="tab=history")
    choose(first.panel, two, one)
    link = first.page.query
    assert link == f"?tab=history&a={two[:8]}&b={one[:8]}"
    again = Dashboard(query=link)
    settle(again)
    assert (again.panel.table.a, again.panel.table.b) == (two, one)
    assert again.page.query == link
    assert again.notice.value == ""


def test_prefixes_in_links_are_unique(page: FakeClient, store: Store) -> None:
    (one,) = (keep(store, ONE),)
    twin = one[:20] + ("0" if one[20] != "0" else "1") + one[21:]
    with sqlite3.connect(store.path) as other:
        other.execute(
            "INSERT INTO results SELECT ?, experiment, scenario, spec, result, code, fingerprint, created, "
            "seconds FROM results",
            (twin,),
        )
    other.close()
    dashboard = Dashboard(query="tab=history")
    choose(dashboard.panel, one)
    assert dashboard.page.query == f"?tab=history&a={one[:21]}"
    assert Dashboard(query=dashboard.page.query).panel.table.a == one
    assert "could be any of 2" in Dashboard(query=f"tab=history&a={one[:20]}").notice.value


def test_a_run_that_is_gone_is_one_sentence(page: FakeClient, store: Store) -> None:
    one = keep(store, ONE)
    dashboard = Dashboard(query=f"tab=history&a=%3Cb%3E1234&b={one[:8]}")
    settle(dashboard)
    assert dashboard.notice.value.count("<p>") == 1
    assert "&lt;b&gt;1234" in dashboard.notice.value
    assert dashboard.panel.table.a == one, "what is there is shown"


def test_open_in_its_tab_shows_the_stored_answer(page: FakeClient, store: Store) -> None:
    spec = TWO
    page.store(result(spec))
    keep(store, spec)
    dashboard = Dashboard(query="tab=history")
    settle(dashboard)
    assert dashboard.panel.actions.buttons[0][1] == "Open in Class removal"
    dashboard.panel.actions._handle_custom_msg({"do": "open"}, [])
    settle(dashboard)
    assert dashboard.tabs.selected == REMOVAL
    assert dashboard.panel.spec == spec
    assert dashboard.panel.bar.status == "Stored result"
    assert page.submitted == []


@pytest.mark.parametrize("visited", [False, True])
def test_a_run_of_older_code_waits_for_run(page: FakeClient, store: Store, visited: bool) -> None:
    page.store(result(ONE))
    keep(store, TWO)  # of which the client knows no answer: the code has changed
    dashboard = Dashboard(query="tab=removal&forget-class=1&methods=gif,fif" if visited else "tab=history")
    settle(dashboard)
    dashboard.tabs.selected = len(TABS) - 1
    settle(dashboard)
    dashboard.panel.actions._handle_custom_msg({"do": "open"}, [])
    settle(dashboard)
    assert dashboard.panel.spec == TWO
    assert page.submitted == []
    assert "press Run" in dashboard.panel.bar.status
    dashboard.panel.run()
    assert page.submitted == [TWO]


def test_a_toy_is_opened_in_its_tab(page: FakeClient, store: Store) -> None:
    keep(store, TOY)
    dashboard = Dashboard(query="tab=history")
    settle(dashboard)
    dashboard.panel.actions._handle_custom_msg({"do": "open"}, [])
    settle(dashboard)
    assert dashboard.tabs.selected == 0
    assert dashboard.panel.result.spec["outliers"] == 10


def test_the_empty_tab_leads_to_the_first_run(page: FakeClient) -> None:
    dashboard = Dashboard(query="tab=history")
    settle(dashboard)
    do(dashboard.panel, do="start")
    assert dashboard.tabs.selected == REMOVAL


def test_the_panel_needs_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import gif_dash.panels.history"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
