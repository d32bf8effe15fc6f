"""The class removal panel: looks up before it computes, follows a run, lets go of it at once."""

from __future__ import annotations

import subprocess
import sys
from urllib.parse import parse_qsl

import pytest
from panels_fakes import CARD, FakeClient, asking, context, result, sweep

from gif_dash.compute.client import View
from gif_dash.figures import removal as pictures
from gif_dash.panels.removal import RemovalPanel
from gif_dash.results import Result
from gif_dash.specs import RemovalSpec, Spec

DEFAULT = RemovalSpec(forget_classes=(1,), methods=("gif", "fif"))


def answer(spec: RemovalSpec = DEFAULT) -> Result:
    return result(spec)


def opened(client: FakeClient, spec: RemovalSpec = DEFAULT) -> RemovalPanel:
    return asking(RemovalPanel(context(client)), spec)


def settle(panel: RemovalPanel, **values: object) -> None:
    """What a person does in the form, and one beat of the page."""
    panel.form.set(**values)
    panel.context.ticker.tick()
    panel.context.ticker.tick()


def test_stored_answer_is_shown_at_once_and_nothing_is_computed() -> None:
    client = FakeClient()
    client.store(answer())
    panel = opened(client)
    assert client.submitted == []
    assert panel.bar.status == "Stored result"
    assert [line["key"] for line in panel.chart.chart["lines"]] == ["gif", "fif"]
    assert "Is this a good edit?" in panel.verdicts.value
    assert "0.980" in panel.scores.value


def test_default_is_computed_by_itself_and_streams() -> None:
    client = FakeClient()
    panel = opened(client)
    assert client.submitted == [DEFAULT]
    assert panel.bar.running
    client.views["ticket-1"] = View(
        "running",
        stage="Sweeping",
        fraction=0.5,
        seconds=2.0,
        seconds_left=4.0,
        version=1,
        partial={"sweep": sweep(scalars=(0.1,))},
    )
    panel.context.ticker.tick()
    assert panel.bar.status == "Sweeping"
    assert panel.bar.fraction == 0.5
    assert "about 4.0 s left" in panel.bar.clock
    assert len(panel.chart.chart["lines"]) == 2
    client.views["ticket-1"] = View("done", seconds=6.0, result=answer())
    panel.context.ticker.tick()
    assert not panel.bar.running
    assert panel.bar.status == "Done in 6.0 s"
    assert panel.context.ticker.idle
    assert panel.result is not None


def test_unchanged_partial_table_is_not_drawn_again() -> None:
    client = FakeClient()
    panel = opened(client)
    client.views["ticket-1"] = View("running", version=1, partial={"sweep": sweep()})
    panel.context.ticker.tick()
    first = panel.chart.chart
    panel.context.ticker.tick()
    assert panel.chart.chart is first


def test_cancel_is_idle_at_once_and_the_last_answer_comes_back() -> None:
    client = FakeClient()
    client.store(answer())
    panel = opened(client)
    settle(panel, mr=30)
    assert panel.bar.primary
    assert "press Run" in panel.bar.status
    panel.run()
    client.views["ticket-1"] = View("running", version=1, partial={"sweep": sweep(scalars=(0.1,))})
    panel.context.ticker.tick()
    growing = panel.chart.chart
    assert [line["x"] for line in growing["ghosts"]] == [[0.0, 0.1, 1.0, 10.0, 100.0]] * 2
    panel.cancel()
    assert client.cancelled == ["ticket-1"]
    assert not panel.bar.running
    assert panel.bar.status == "Cancelled"
    assert panel.context.ticker.idle
    assert panel.chart.chart["lines"] == pictures.curves(answer().tables["sweep"], answer().spec).to_dict()["lines"]
    client.views["ticket-1"] = View("done", result=answer(DEFAULT.model_copy(update={"mr": 30.0})))
    panel.context.ticker.tick()
    assert panel.result is not None
    assert panel.result.spec["mr"] == 10.0  # what nobody waits for is dropped


def test_the_run_before_stays_as_a_ghost() -> None:
    client = FakeClient()
    client.store(answer())
    other = DEFAULT.model_copy(update={"mr": 30.0})
    client.store(answer(other))
    panel = opened(client)
    assert panel.chart.chart["ghosts"] == []
    settle(panel, mr=30)
    assert panel.bar.status == "Stored result"
    assert len(panel.chart.chart["ghosts"]) == 2
    settle(panel, methods=["gif"])
    assert panel.chart.chart["ghosts"] != []  # nothing new is known: the picture stays


def test_run_of_another_question_replaces_the_run() -> None:
    client = FakeClient()
    panel = opened(client)
    settle(panel, mr=30)
    panel.run()
    assert client.cancelled == ["ticket-1"]
    assert panel.ticket == "ticket-2"


def test_settings_changed_during_a_run_are_said_at_its_end() -> None:
    client = FakeClient()
    panel = opened(client)
    settle(panel, mr=30)
    client.views["ticket-1"] = View("done", seconds=1.0, result=answer())
    panel.context.ticker.tick()
    assert panel.bar.primary
    assert "press Run" in panel.bar.status
    assert "the last run took 6.5 s" in panel.bar.status
    assert panel.shown_spec() == DEFAULT  # exports speak of what is shown


def test_failure_is_one_sentence_and_the_panel_is_ready_again() -> None:
    client = FakeClient()
    panel = opened(client)
    client.views["ticket-1"] = View("failed", error="there is no memory for the dense matrix")
    panel.context.ticker.tick()
    assert panel.bar.error == "there is no memory for the dense matrix"
    assert not panel.bar.running
    assert panel.context.ticker.idle


def test_lost_server_is_said_once() -> None:
    client = FakeClient()
    panel = opened(client)
    client.views.clear()
    with pytest.raises(KeyError):
        panel.context.ticker.tick()
    assert not panel.bar.running
    assert panel.context.ticker.idle


def test_question_that_the_card_does_not_allow() -> None:
    client = FakeClient()
    client.store(answer())
    panel = opened(client)
    settle(panel, forget_classes=[0, 1, 2])
    panel.run()
    assert client.submitted == []
    assert panel.form.errors == {"forget_classes": "at least one class must stay"}
    assert "at least one class must stay" in panel.bar.error


def test_nothing_is_started_for_a_scenario_that_has_to_be_prepared() -> None:
    client = FakeClient()
    opened(client, DEFAULT.model_copy(update={"scenario": "mnist-cnn"}))
    assert client.submitted == []


def test_classes_come_with_pictures_and_scenarios_with_their_command() -> None:
    panel = opened(FakeClient())
    classes = panel.form.choices["forget_classes"]
    assert [choice["label"] for choice in classes] == list(CARD.classes)
    assert classes[0]["images"] == ["aGk="]
    scenarios = {choice["value"]: choice for choice in panel.form.choices["scenario"]}
    assert scenarios["digits-cnn"]["command"] == ""
    assert "gif-dash prepare" in scenarios["mnist-cnn"]["command"]


def test_classes_are_offered_as_soon_as_the_run_has_loaded_the_scenario() -> None:
    client = FakeClient(card=None)
    client.card = None
    panel = RemovalPanel(context(client))
    panel.spec = DEFAULT
    panel.form.write(DEFAULT)
    client.submit = lambda spec: client.views.setdefault("t", View("queued")) and "t"  # type: ignore[method-assign]
    panel.show()
    assert panel.form.choices["forget_classes"] == []
    client.card = CARD
    client.views["t"] = View("running", stage="Measuring the original model")
    panel.context.ticker.tick()
    assert len(panel.form.choices["forget_classes"]) == 3


class Unknowing(FakeClient):
    """Takes every question while it does not know the scenario."""

    def submit(self, spec: Spec) -> str:
        self.submitted.append(spec)
        self.views[f"ticket-{len(self.submitted)}"] = View("queued")
        return f"ticket-{len(self.submitted)}"


def test_first_question_fits_a_scenario_with_few_classes_once_it_is_known() -> None:
    client = Unknowing(card=None)
    panel = RemovalPanel(context(client))
    panel.show()
    assert [spec.forget_classes for spec in client.submitted] == [(8,)], "how many classes there are is not known yet"
    client.card = CARD
    client.views["ticket-1"] = View("failed", error="three has classes 0 to 2")
    panel.context.ticker.tick()
    assert [spec.forget_classes for spec in client.submitted] == [(8,), (2,)]
    assert panel.form.values["forget_classes"] == [2]
    assert panel.bar.running
    assert panel.bar.error == ""


def test_classes_that_somebody_asked_for_are_not_exchanged() -> None:
    client = Unknowing(card=None)
    panel = RemovalPanel(context(client))
    assert panel.restore({"forget-class": "7"}) == []
    panel.show()
    client.card = CARD
    client.views["ticket-1"] = View("failed", error="three has classes 0 to 2")
    panel.context.ticker.tick()
    assert [spec.forget_classes for spec in client.submitted] == [(7,)]
    assert panel.bar.error == "three has classes 0 to 2"


def test_marker_starts_at_the_best_s_and_then_belongs_to_the_person() -> None:
    client = FakeClient()
    client.store(answer())
    client.store(answer(DEFAULT.model_copy(update={"mr": 30.0})))
    panel = opened(client)
    assert panel.chart.position == 100.0
    assert "s" not in dict(parse_qsl(panel.share.query.lstrip("?")))
    panel.chart.position = 2.5
    panel.context.ticker.tick()
    assert dict(parse_qsl(panel.share.query.lstrip("?")))["s"] == "2.5"
    settle(panel, mr=30)
    assert panel.chart.position == 2.5


def test_link_restores_spec_and_marker() -> None:
    spec = RemovalSpec(forget_classes=(0, 2), methods=("pif",), mr=12.5, seed=3)
    client = FakeClient()
    first = opened(client, spec)
    first.chart.position = 7.5
    first.context.ticker.tick()
    query = dict(parse_qsl(first.share.query.lstrip("?")))
    assert query.pop("tab") == "removal"
    second = RemovalPanel(context(client))
    assert second.restore(query) == []
    assert second.spec == spec
    assert second.chart.position == 7.5
    assert second.form.read() == spec


@pytest.mark.parametrize(
    ("query", "sentences"),
    [
        ({"mr": "banana"}, 1),
        ({"mr": "1e9", "criterion": "best"}, 2),
        ({"forget-class": "-3,x"}, 1),
        ({"s": "nan"}, 1),
        ({"s": "-1"}, 1),
        ({"s": "<script>"}, 1),
        ({"unknown": "1", "lesson": "2"}, 0),
        ({"seed": "99999999999999999999"}, 1),
    ],
)
def test_nonsense_in_a_link_is_left_out_with_a_sentence(query: dict[str, str], sentences: int) -> None:
    panel = RemovalPanel(context())
    assert len(panel.restore(query)) == sentences
    assert panel.spec == RemovalSpec()


def test_link_to_classes_that_are_not_there() -> None:
    client = FakeClient()
    panel = opened(client, RemovalSpec(forget_classes=(1, 7)))
    assert client.submitted == [RemovalSpec(forget_classes=(1,))]
    assert "classes go from 0 to 2" in panel.bar.error
    assert panel.form.read() == panel.spec


def test_spellings_follow_the_form() -> None:
    panel = opened(FakeClient())
    settle(panel, mr=25)
    assert "mr=25" in panel.share.query
    assert "mr=25.0" in panel.share.python
    assert "--mr 25" in panel.share.command
    assert panel.context.page.query == panel.share.query


def test_hidden_panel_leaves_the_address_alone() -> None:
    panel = opened(FakeClient())
    panel.hide()
    panel.context.page.query = "?tab=toy"
    settle(panel, mr=25)
    assert panel.context.page.query == "?tab=toy"


def test_csv_is_the_main_table(monkeypatch: pytest.MonkeyPatch) -> None:
    client = FakeClient()
    client.store(answer())
    panel = opened(client)
    saved: list[tuple[str, str]] = []
    monkeypatch.setattr(panel.context.page, "download", lambda name, text, mime: saved.append((name, text)))
    panel._export("CSV")
    name, text = saved[0]
    assert name == "gif-dash-removal.csv"
    lines = text.splitlines()
    assert lines[0].split(",")[:8] == list(answer().table.columns[:8])
    assert len(lines) == 1 + len(answer().table)


def test_html_export_is_complete_and_needs_nothing_else() -> None:
    client = FakeClient()
    client.store(answer())
    panel = opened(client)
    text = panel.export_html()
    assert "plotly.js v" in text
    for mark in ("Is this a good edit?", "RemovalSpec(forget_classes=(1,)", "Table: sweep", "Table: confusion", "0.98"):
        assert mark in text
    head = text.split("plotly.js v")[0] + text[-20_000:]
    assert "<script src=" not in head
    assert "<link" not in head


def test_nothing_to_save_is_said() -> None:
    panel = opened(FakeClient())
    panel._export("CSV")
    assert "run it first" in panel.bar.error


def test_folds_are_made_when_opened_and_follow_the_answer() -> None:
    client = FakeClient()
    client.store(answer())
    client.store(answer(DEFAULT.model_copy(update={"methods": ("gif",)})))
    panel = opened(client)
    fold = next(fold for fold in panel.folds if fold.head.title == "Solver reports")
    assert fold.body.children == ()
    fold.head.expanded = True
    assert "FIF" in fold.body.children[0].value
    settle(panel, methods=["gif"])
    assert "FIF" not in fold.body.children[0].value
    fold.head.expanded = False
    assert fold.body.layout.display == "none"


def test_layers_are_a_table_with_bars_that_follow_the_style_sheet() -> None:
    client = FakeClient()
    client.store(answer())
    panel = opened(client)
    fold = next(fold for fold in panel.folds if fold.head.title == "Which layers move")
    fold.head.expanded = True
    text = fold.body.children[0].value
    assert text.count("<tr>") == 3, "the head and two layers"
    assert text.count("--part:100.0%") == text.count("--part:50.0%") == 2, "norms 0.5 and 0.25 of two methods"
    panel.context.page.theme = "dark"
    assert fold.body.children[0].value == text, "nothing has to be drawn again for another theme"


def test_page_imports_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import gif_dash.app, gif_dash.panels.removal, gif_dash.panels.toy, gif_dash.cli\n"
        "import gif_dash.figures.removal_words, gif_dash.figures.export, gif_dash.compute.client\n"
        "gif_dash.app.Dashboard(query='')\n"
        "assert 'plotly' not in sys.modules, 'plotly is not needed for the first paint'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
