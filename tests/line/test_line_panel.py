"""The line's panel without a browser: what it shows, exports and restores, and how it follows what is dragged."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import pytest

from gif_dash.panels.base import Context
from gif_dash.panels.line import DRAGGED, LinePanel
from gif_dash.panels.page import Page
from gif_dash.panels.ticker import Reporter, Ticker
from gif_dash.specs import LineSpec


class Recorder(Page):
    """A page that keeps what it is given to save."""

    saved: dict[str, str]

    def download(self, name: str, text: str, mime: str = "text/plain") -> None:
        self.saved = {"name": name, "text": text, "mime": mime}


def unreachable() -> Any:
    raise AssertionError("the line asks nobody to compute")


def made() -> LinePanel:
    reporter = Reporter()
    return LinePanel(Context(Recorder(), Ticker(reporter), reporter, unreachable))


@pytest.fixture
def panel() -> LinePanel:
    panel = made()
    panel.show()
    return panel


def drag(panel: LinePanel, **values: Any) -> None:
    """What the browser writes while a person drags, and the next beat of the page."""
    panel.view.state = {**panel.view.state, **values}
    panel.context.ticker.tick()


STATE = {"moved": ["3:1.5:-20"], "removed": [7], "test_x": -2, "test_offset": 30.25}
SPEC = LineSpec(moved=("3:1.5:-20",), removed=(7,), test_x=-2, test_offset=30.25)


def test_alive_at_load(panel: LinePanel) -> None:
    assert panel.view.picture["x"][:3] == [-5.0, -4.5, -4.0]
    assert panel.view.state == {"moved": [], "removed": [], "test_x": 3.2, "test_offset": 0.0}
    assert panel.result is not None
    assert "Most harmful is point 15" in panel.view.words
    assert panel.bar.status.startswith("Computed in")
    assert not panel.bar.can_run


def test_dragging_is_part_of_the_question(panel: LinePanel) -> None:
    drag(panel, **STATE)
    assert panel.spec == SPEC
    assert panel.result is not None
    assert 7 not in set(panel.result.table["index"])
    assert panel.form.values["test_x"] == -2
    assert "moved=3:1.5:-20" in unquote(panel.share.query)
    assert "--moved 3:1.5:-20" in panel.share.command
    assert "moved=('3:1.5:-20',)" in panel.share.python
    assert panel.view.state == STATE


def test_a_burst_is_computed_once_and_never_written_back_late(
    panel: LinePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []
    monkeypatch.setattr(panel, "_compute", lambda: computed.append(panel.spec))
    for offset in (1.0, 2.0, 3.0):
        panel.view.state = {**panel.view.state, "test_offset": offset}
    panel.context.ticker.tick()
    assert computed == [LineSpec(test_offset=3.0)]
    monkeypatch.undo()
    panel.form.values = {**panel.form.values, "test_offset": 4.0}  # the person has gone on meanwhile
    panel._compute()
    assert panel.view.state["test_offset"] == 3.0


def test_the_form_moves_what_is_drawn(panel: LinePanel) -> None:
    drag(panel, **STATE)
    panel.form.set(test_x=1.0, noise=0.0, height=50.0)
    panel.context.ticker.tick()
    assert panel.view.state == {**STATE, "test_x": 1.0}
    assert panel.view.picture["y"][1] == 50.0
    assert panel.view.picture["y"][0] == 30.0
    panel.form.values = dict(panel.form.defaults)  # "Reset to defaults"
    panel.context.ticker.tick()
    assert panel.view.state["moved"] == []
    assert panel.spec == LineSpec()


def test_reset_gives_back_the_tutorials_data(panel: LinePanel) -> None:
    panel.form.set(noise=5.0)
    drag(panel, **STATE)
    panel.view._message(panel.view, {"do": "reset"}, [])
    panel.context.ticker.tick()
    assert panel.spec == LineSpec()
    assert panel.view.state == {name: panel.form.defaults[name] for name in DRAGGED}


def test_what_cannot_be_fitted_is_said(panel: LinePanel) -> None:
    shown = panel.view.words
    drag(panel, removed=list(range(18)))
    assert "at least 3 points must stay" in panel.form.errors[""]  # `removed` has no control of its own
    assert panel.view.words == shown
    drag(panel, removed=[])
    assert panel.form.errors == {}
    drag(panel, moved=["19:1:1"])
    panel.form.set(points=10)
    panel.context.ticker.tick()
    assert "there is no point 19" in panel.form.errors[""]


def test_nonsense_from_the_page_is_refused(panel: LinePanel) -> None:
    drag(panel, moved=["<b>:1:1"], other=1)
    assert "index:x:y" in panel.form.errors[""]
    assert panel.spec == LineSpec()
    assert "other" not in panel.form.values


def test_link_restores_the_picture(panel: LinePanel) -> None:
    drag(panel, **STATE)
    query = {key: unquote(value) for key, value in re.findall(r"[?&]([^=]+)=([^&]*)", panel.share.query)}
    early, late = made(), made()
    late.show()  # a kernel kept ready has built its panel before it knows its visitor
    for other in (early, late):
        assert other.restore({key: value for key, value in query.items() if key != "tab"}) == []
        other.show()
        assert other.spec == SPEC
        assert other.view.state == panel.view.state
        assert other.view.words == panel.view.words
    assert len(late.restore({"moved": "3:1"})) == 1


def test_exports(panel: LinePanel) -> None:
    drag(panel, **STATE)
    panel._export("CSV")
    saved = panel.context.page.saved  # type: ignore[attr-defined]
    assert saved["name"] == "gif-dash-line.csv"
    header, *rows = saved["text"].splitlines()
    assert {"index", "x", "y", "residual", "leverage", "influence", "predicted", "left_out", "effect"} <= set(
        header.split(",")
    )
    assert len(rows) == 19
    panel._export("HTML")
    saved = panel.context.page.saved  # type: ignore[attr-defined]
    assert "LineSpec(" in saved["text"]
    assert saved["text"].count('class="plotly-graph-div"') == 1
    assert "Most harmful" in saved["text"]


def test_table_beside_the_plot(panel: LinePanel) -> None:
    panel.table.head.expanded = True
    (table,) = panel.table.body.children
    assert table.value.count("<tr>") == 21
    drag(panel, removed=[1])
    (table,) = panel.table.body.children
    assert table.value.count("<tr>") == 20


def test_two_lines_in_the_history_have_no_caveat(panel: LinePanel) -> None:
    from gif_dash.figures import history

    assert panel.result is not None
    assert history.caveats(panel.result, panel.result, same_data=True) == []
