"""The toy panel without a browser: what it shows, exports and restores, and how it treats fields that are fixed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gif_dash import toy
from gif_dash.panels import toy as panels
from gif_dash.panels.base import Context
from gif_dash.panels.page import Page
from gif_dash.panels.ticker import Reporter, Ticker
from gif_dash.specs import ToySpec
from gif_dash.specs.toy_presets import PRESETS


class Recorder(Page):
    """A page that keeps what it is given to save."""

    saved: dict[str, str]

    def download(self, name: str, text: str, mime: str = "text/plain") -> None:
        self.saved = {"name": name, "text": text, "mime": mime}


def unreachable() -> Any:
    raise AssertionError("the toy asks nobody to compute")


@pytest.fixture
def panel() -> panels.ToyPanel:
    reporter = Reporter()
    made = panels.ToyPanel(Context(Recorder(), Ticker(reporter), reporter, unreachable))
    made.show()
    return made


def change(panel: panels.ToyPanel, **values: Any) -> None:
    """What a person does, and the next beat of the page."""
    panel.form.set(**values)
    panel.context.ticker.tick()


def shown(panel: panels.ToyPanel) -> dict[str, Any]:
    return panel.view.picture


def test_alive_at_load(panel: panels.ToyPanel) -> None:
    paths = {path["key"]: path["points"] for path in shown(panel)["plane"]["paths"]}
    assert set(paths) == {"gif", "fif", "pif", "retrain"}
    assert all(len(points) == ToySpec().removals + 1 for points in paths.values())
    assert panel.result is not None
    assert "FIF" in panel.words.value
    assert panel.bar.status.startswith("Computed in")
    assert not panel.bar.can_run


def test_every_change_is_a_new_picture(panel: panels.ToyPanel) -> None:
    before = shown(panel)["plane"]["paths"]
    for values in ({"noise": 0.3}, {"correlation": 0.8}, {"removal": "group"}, {"second": 4}, {"seed": 5}):
        change(panel, **values)
        assert panel.result is not None
        assert {name: panel.result.spec[name] for name in values} == values
        assert shown(panel)["plane"]["paths"] != before
        before = shown(panel)["plane"]["paths"]
    assert "removal=group" in panel.share.query
    assert "--second 4" in panel.share.command
    assert "ToySpec(" in panel.share.python


def test_a_burst_of_changes_is_one_picture(panel: panels.ToyPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(panel.view, "draw", lambda *picture: drawn.append(picture))
    for noise in (0.1, 0.2, 0.3, 0.4):
        panel.form.set(noise=noise)
    panel.context.ticker.tick()
    assert len(drawn) == 1
    assert panel.spec.noise == 0.4


def test_wrong_values_keep_the_picture(panel: panels.ToyPanel) -> None:
    before = shown(panel)
    change(panel, first=2)
    assert "must differ" in panel.form.errors[""]
    assert shown(panel) == before
    change(panel, first=3)
    assert panel.form.errors == {}
    assert shown(panel) != before


def test_published_takes_fields_and_gives_them_back(panel: panels.ToyPanel) -> None:
    change(panel, points=300, outliers=30, first=3, removal="group")
    change(panel, data="published")
    assert panel.form.values["points"] == 4000
    assert set(panel.form.disabled) == set(ToySpec.PUBLISHED_DATA)
    change(panel, variant="published")
    assert panel.form.values["removals"] == 50
    assert panel.form.values["first"] == 1
    assert {"data", "removal", "points"} <= set(panel.form.disabled)
    assert not {"variant"} & set(panel.form.disabled)
    for quirk in toy.QUIRKS:
        assert quirk.split(",")[0] in panel.words.value
    change(panel, variant="exact")
    assert panel.form.values["data"] == "published"
    assert panel.form.values["points"] == 4000
    assert (panel.form.values["first"], panel.form.values["removal"]) == (3, "group")
    change(panel, data="drawn")
    assert panel.spec == ToySpec(points=300, outliers=30, first=3, removal="group")
    assert panel.form.values == panel.spec.model_dump(mode="json")
    assert panel.form.disabled == []
    change(panel, variant="published")
    change(panel, **ToySpec().model_dump(mode="json"))  # "Reset to defaults"
    assert panel.spec == ToySpec()
    assert panel.form.disabled == list(ToySpec.STEPWISE)


def test_the_settings_before_stay_as_a_ghost(panel: panels.ToyPanel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ghost is what stood for a while, not what a moving slider passed by; another plane has none."""
    clock = [100.0]
    monkeypatch.setattr(panels, "perf_counter", lambda: clock[0])
    panel._compute()
    stood = [path["points"] for path in shown(panel)["plane"]["paths"]]
    clock[0] += 10
    for noise in (1.1, 1.2, 1.3):
        change(panel, noise=noise)
        clock[0] += 0.05
        assert [path["points"] for path in shown(panel)["plane"]["ghosts"]] == stood
        assert shown(panel)["chart"]["ghosts"]
    clock[0] += 10
    change(panel, second=5)
    assert not shown(panel)["plane"]["ghosts"]
    assert not shown(panel)["chart"]["ghosts"]


def test_link_restores_settings_and_step(panel: panels.ToyPanel) -> None:
    change(panel, correlation=0.7, removals=8)
    panel.view.step = 3
    assert panel.share.query.endswith("step=3")
    query = dict(re.findall(r"[?&]([^=]+)=([^&]*)", panel.share.query))
    reporter = Reporter()
    context = Context(Recorder(), Ticker(reporter), reporter, unreachable)
    early, late = panels.ToyPanel(context), panels.ToyPanel(context)
    late.show()  # a kernel kept ready has built its panel before it knows its visitor
    for other in (early, late):
        assert other.restore({key: value for key, value in query.items() if key != "tab"}) == []
        other.show()
        assert other.spec == panel.spec
        assert other.view.step == 3
        assert shown(other)["plane"]["paths"] == shown(panel)["plane"]["paths"]
        assert not shown(other)["plane"]["ghosts"]
    assert len(late.restore({"step": "first"})) == 1


def test_exports(panel: panels.ToyPanel) -> None:
    panel._export("CSV")
    saved = panel.context.page.saved  # type: ignore[attr-defined]
    assert saved["name"] == "gif-dash-toy.csv"
    header = saved["text"].splitlines()[0].split(",")
    assert {"method", "step", "loss", "gradient_norm", "distance_plane", "distance_full"} <= set(header)
    panel._export("HTML")
    saved = panel.context.page.saved  # type: ignore[attr-defined]
    assert saved["mime"] == "text/html"
    assert "ToySpec()" in saved["text"]
    assert saved["text"].count('class="plotly-graph-div"') == 2
    assert "<table" in saved["text"]


def test_table_beside_the_plot(panel: panels.ToyPanel) -> None:
    panel.table.head.expanded = True
    (table,) = panel.table.body.children
    assert table.value.count("<tr>") == 5 * (ToySpec().removals + 1) + 1
    change(panel, removals=2)
    (table,) = panel.table.body.children
    assert table.value.count("<tr>") == 5 * 3 + 1


def by_hand(panel: panels.ToyPanel, serial: int, *edits: str) -> None:
    """What the page tells, and the next beat."""
    panel.view.hand = {"serial": serial, "edits": list(edits)}
    panel.context.ticker.tick()


def test_changes_by_hand_are_part_of_the_question(panel: panels.ToyPanel) -> None:
    by_hand(panel, 1, "900:out", "3:y:-2:x1:0.5", "4:out")
    assert panel.spec.edits == ("3:x1:0.5:y:-2", "900:out"), "what changes nothing is left out"
    assert shown(panel)["points"]["edits"] == panel.spec.edits
    assert shown(panel)["serial"] == 1
    assert {3, 900} <= set(shown(panel)["points"]["shown"])
    assert shown(panel)["plane"]["captions"][-1] == "201 of 201 outliers removed"
    assert panel.result is not None
    assert panel.result.provenance["m"] == 201
    by_hand(panel, 2, "3:x1:0.5:y:-2", "900:out")
    assert shown(panel)["serial"] == 2, "also where nothing is new the page hears that it was heard"
    by_hand(panel, 3, "nonsense")
    assert "INDEX:x2" in panel.bar.error
    assert (shown(panel)["serial"], len(panel.spec.edits)) == (3, 2)
    by_hand(panel, 4)
    assert panel.spec == ToySpec()
    assert not panel.bar.error


def test_other_settings_drop_changes_that_no_longer_fit(panel: panels.ToyPanel) -> None:
    by_hand(panel, 1, "900:out", "3:y:-2")
    change(panel, noise=2.0)
    assert len(panel.spec.edits) == 2, "they stay while they can"
    change(panel, points=800)
    panel.context.ticker.tick()
    assert panel.spec == ToySpec(noise=2.0, points=800)
    assert not panel.form.errors


def test_the_lessons(panel: panels.ToyPanel) -> None:
    assert panel.presets.active == "correlated", "the defaults are one of them"
    by_hand(panel, 1, "900:out")
    assert panel.presets.active == ""
    for preset in (*PRESETS, *PRESETS[::-1]):
        panel.presets._message(None, {"do": "preset", "name": preset.name}, [])
        panel.context.ticker.tick()
        assert panel.spec == preset.spec
        assert panel.presets.active == preset.name
        assert panel.form.values == preset.spec.model_dump(mode="json")
    panel.presets._message(None, {"do": "preset", "name": "no such"}, [])
    panel.context.ticker.tick()
    assert panel.spec == PRESETS[0].spec


def test_the_feature_of_the_data_is_in_the_link(panel: panels.ToyPanel) -> None:
    panel.view.feature = 4
    assert panel.share.query.endswith("feature=4")
    reporter = Reporter()
    other = panels.ToyPanel(Context(Recorder(), Ticker(reporter), reporter, unreachable))
    assert other.restore({"feature": "4"}) == []
    other.show()
    assert other.view.feature == 4
    for wrong in ("0", "6", "x"):
        assert len(other.restore({"feature": wrong})) == 1
