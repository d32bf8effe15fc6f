"""The methods panel: what is stored comes at once, what runs grows, a score opens its class removal."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl

import pandas as pd
from methods_fakes import SPEC, answer
from panels.panels_fakes import FakeClient, asking, context

from gif_dash.compute.client import View
from gif_dash.panels.methods import MethodsPanel
from gif_dash.results import Result
from gif_dash.specs import MethodsSpec, RemovalSpec, Spec

ONE = SPEC.model_copy(update={"seeds": 1})


def client(*answers: Result) -> FakeClient:
    fake = FakeClient()
    for given in answers:
        values = {name: value for name, value in given.spec.items() if name != "experiment"}
        fake.answers[MethodsSpec.parse(values).canonical()] = given
    return fake


def opened(fake: FakeClient, spec: MethodsSpec = SPEC) -> tuple[MethodsPanel, list[Spec]]:
    asked: list[Spec] = []
    return asking(MethodsPanel(replace(context(fake), show=asked.append)), spec), asked


def place(panel: MethodsPanel, mr: float) -> None:
    panel.chart.position = mr
    panel.context.ticker.tick()
    panel.context.ticker.tick()


def test_stored_answer_comes_at_once_with_the_published_one_beside_it() -> None:
    fake = client(answer())
    panel, _ = opened(fake)
    assert fake.submitted == []
    assert "Ours:" in panel.ours.html
    assert "mean ± sd over 2 seeds" in panel.ours.html
    assert "As published" in panel.published.value
    assert "Is this a good edit?" in panel.verdicts.value
    assert "Is this where retraining would land?" in panel.verdicts.value
    assert [line["key"] for line in panel.chart.chart["lines"]] == ["gif", "fif", "if"]
    assert "Paired differences" in panel.differences.value
    assert round(panel.curves.position, 6) == 100.0  # GIF's best s, the geometric mean


def test_one_seed_shows_no_test() -> None:
    panel, _ = opened(client(answer(ONE)), ONE)
    assert "One seed: no deviations, no test." in panel.verdicts.value
    assert panel.differences.value == ""


def test_marker_in_the_first_plot_chooses_the_mr_of_the_second() -> None:
    panel, _ = opened(client(answer()))
    assert "at MR 10 %, mean over 2 seeds" in panel.curves_title.value
    place(panel, 27.0)
    assert "at MR 30 %" in panel.curves_title.value
    assert dict(parse_qsl(panel.share.query.lstrip("?")))["at-mr"] == "30"
    other, _ = opened(client(answer()))
    assert other.restore(dict(parse_qsl(panel.share.query.lstrip("?")))) == []
    place(other, other.chart.position)
    assert "at MR 30 %" in other.curves_title.value
    assert "at-mr goes from 0 to 100" in other.restore_extra({"at-mr": "much"})[0]


def test_a_score_opens_its_class_removal() -> None:
    panel, asked = opened(client(answer()))
    panel.ours._message(None, {"do": "ask", "what": "fif 30"}, [])
    assert asked == [RemovalSpec(methods=("gif", "fif", "if"), mr=30, forget_classes=(2,))]
    panel.ours._message(None, {"do": "ask", "what": "if 30"}, [])  # it has no such button
    panel.ours._message(None, {"do": "ask", "what": "pif 30"}, [])
    panel.ours._message(None, "nonsense", [])
    assert len(asked) == 1


def test_a_run_grows_and_ends() -> None:
    fake = client()
    panel, _ = opened(fake)
    assert fake.submitted == [SPEC]
    result = answer()
    table, summary = result.tables["points"], result.tables["summary"]
    part = table[(table["seed"] == 0) & (table["mr"] != 30) & (table["method"] != "if")]
    view = View("running", stage="Seed 1 of 2", version=1, partial={"points": part})
    fake.views["ticket-1"] = view
    panel.context.ticker.tick()
    assert "at MR 10 %, being computed" in panel.curves_title.value
    assert len(panel.curves.chart["lines"]) == 2
    fake.views["ticket-1"] = replace(view, version=2, partial={"points": part, "summary": summary})
    panel.context.ticker.tick()
    assert "as far as computed" in panel.ours.html
    assert len(panel.chart.chart["lines"]) == 3
    fake.views["ticket-1"] = View("done", seconds=6.0, result=result)
    panel.context.ticker.tick()
    assert panel.bar.status == "Done in 6.0 s"
    assert "mean over 2 seeds" in panel.curves_title.value


def test_cancelled_run_gives_way_to_the_answer_before_and_a_new_one_has_a_ghost() -> None:
    fake = client(answer())
    panel, _ = opened(fake)
    before = panel.ours.html
    panel.form.set(seed=5)
    panel.context.ticker.tick()
    panel.context.ticker.tick()
    assert "about 20 s in all" in panel.bar.status
    panel.run()
    assert panel.bar.running
    assert panel.chart.chart["ghosts"]
    panel.cancel()
    assert panel.ours.html == before
    assert len(panel.chart.chart["lines"]) == 3


def test_settings_changed_while_it_ran_are_said() -> None:
    fake = client()
    panel, _ = opened(fake)
    panel.form.set(seed=5)
    panel.context.ticker.tick()
    panel.context.ticker.tick()
    fake.views["ticket-1"] = View("done", seconds=6.0, result=answer())
    panel.context.ticker.tick()
    assert panel.bar.primary
    assert "Settings changed" in panel.bar.status


def test_folds_and_exports() -> None:
    panel, _ = opened(client(answer()))
    for fold in panel.folds:
        fold.head.expanded = True
    others = panel.folds[2].body.children[0].value
    assert "Only the chosen classes" in others
    page = panel.export_html()
    assert "As published" in page
    assert "from gif_dash import MethodsSpec, run" in page
    assert next(iter(panel.export_tables())) == "points"
    assert len(panel.export_figures()) == 3


def test_other_classes_have_a_fold_of_their_own() -> None:
    spec = SPEC.model_copy(update={"others": "yes"})
    result = answer(spec)
    for name in ("points", "summary", "differences"):
        table = result.tables[name]
        result.tables[name] = pd.concat([table, table.assign(group="others")], ignore_index=True)
    panel, _ = opened(client(result), spec)
    panel.folds[2].head.expanded = True
    shown = panel.folds[2].body.children[0].value
    assert "without each of the other 2 classes" in shown
    assert "over classes" in shown
