"""The panel of two digits: looks up, computes alone, grows, is cancelled, fits in a link, leaves the page."""

from __future__ import annotations

import math
from dataclasses import replace
from urllib.parse import parse_qsl

import pandas as pd
from panels.panels_fakes import FakeClient, asking, context
from two_classes_cases import SMALL, answer

from gif_dash.compute.client import View
from gif_dash.figures import two_classes as pictures
from gif_dash.panels.two_classes import NEEDED, TwoClassesPanel
from gif_dash.results import Result
from gif_dash.specs import TwoClassesSpec


class Client(FakeClient):
    """Knows no scenario, as there is none."""

    def __init__(self) -> None:
        super().__init__(None)

    def keep(self, result: Result, spec: TwoClassesSpec) -> None:
        self.answers[spec.canonical()] = result


def opened(client: Client, spec: TwoClassesSpec = SMALL) -> TwoClassesPanel:
    return asking(TwoClassesPanel(context(client)), spec)


def answered() -> Client:
    client = Client()
    client.keep(answer(SMALL), SMALL)
    return client


def with_solver(result: Result, solver: str, **values: object) -> Result:
    """The same with other numbers in a row of the solvers."""
    table = result.tables["solvers"].copy()
    for column, value in values.items():
        table[column] = table[column].astype(object) if isinstance(value, str) else table[column]
        table.loc[table["solver"] == solver, column] = value
    return replace(result, tables={**result.tables, "solvers": table})


def test_stored_answer_is_shown_with_pictures_table_curves_and_truth() -> None:
    client = answered()
    panel = opened(client)
    assert client.submitted == []
    content = panel.images.content
    assert [entry["key"] for entry in content["rankings"]] == list(SMALL.solvers)
    helpful, harmful = content["rankings"][0]["sides"]
    assert "Helpful: removing one raises the loss" in helpful["title"]
    assert "helpful: removing it raises the loss by about" in helpful["tiles"][0]["words"]
    assert "harmful: removing it lowers" in harmful["tiles"][0]["words"]
    assert helpful["tiles"][0]["url"].startswith("data:image/png")
    assert "shows <b>1</b>" in content["query"]["words"] or "shows <b>7</b>" in content["query"]["words"]
    assert panel.images.choosing is False
    assert "Is this where retraining would land?" in panel.verdicts.value
    assert "<b>Yes.</b> 9 training images" in panel.verdicts.value
    assert "Which solver would do?" in panel.verdicts.value
    assert panel.table.value.count("<tr>") == len(SMALL.solvers) + 2
    assert panel.scatter.value.count("<title>") == 9
    lines = {line["key"] for line in panel.chart.chart["lines"]}
    assert lines == {"cg", "minres", "cgls", "lissa"}
    assert panel.chart.chart["quantities"][0]["axis"]["scale"] == "log"
    assert panel.chart.chart["marks"][0]["x"] == 64
    assert len(content["plot"]["index"]) == 270


def test_unknown_question_is_computed_alone_grows_and_can_be_cancelled() -> None:
    client = Client()
    panel = opened(client)
    assert client.submitted == [SMALL]
    tables = answer(SMALL).tables
    known = {name: tables[name] for name in (*NEEDED, "curve")}
    client.views["ticket-1"] = View("running", version=1, partial=known)
    panel.context.ticker.tick()
    assert panel.images.content["rankings"]
    assert panel.chart.chart["lines"]
    client.views["ticket-1"] = View("running", version=2, partial={**known, "truth": tables["truth"].head(4)})
    panel.context.ticker.tick()
    assert "(4 of 9 so far)" in panel.scatter.value
    panel.cancel()
    assert client.cancelled == ["ticket-1"]
    assert panel.images.content == {}
    assert panel.scatter.value == ""
    assert not panel.chart.chart["lines"]
    panel.run()
    client.views["ticket-2"] = View("done", seconds=2.0, result=answer(SMALL))
    panel.context.ticker.tick()
    assert panel.bar.status == "Done in 2.0 s"


def test_run_before_stays_as_a_ghost_and_comes_back_when_the_next_is_cancelled() -> None:
    client = answered()
    panel = opened(client)
    other = SMALL.model_copy(update={"depth": 61})
    panel.form.set(depth=61)
    panel.context.ticker.tick()
    assert "Settings changed" in panel.bar.status
    panel.run()
    assert client.submitted == [other]
    client.views["ticket-1"] = View("running", version=1, partial={"curve": answer(SMALL).tables["curve"].head(3)})
    panel.context.ticker.tick()
    assert len(panel.chart.chart["ghosts"]) == 4
    panel.cancel()
    assert len(panel.chart.chart["lines"]) == 4
    assert panel.scatter.value.count("<title>") == 9
    client.keep(replace(answer(SMALL), spec={**answer(SMALL).spec, "depth": 61}), other)
    panel.look_up()
    assert len(panel.chart.chart["ghosts"]) == 4


def test_pressed_test_image_is_asked_about() -> None:
    client = answered()
    panel = opened(client)
    other = panel.images.content["gallery"][3]["index"]
    panel.images._message(None, {"do": "query", "index": other}, None)
    panel.context.ticker.tick()
    panel.context.ticker.tick()
    assert client.submitted == [SMALL.model_copy(update={"test_index": other})]
    panel.images._message(None, {"do": "query", "index": 10**6}, None)
    panel.images._message(None, {"do": "remove"}, None)
    panel.context.ticker.tick()
    assert len(client.submitted) == 1


def test_settings_without_a_meaning_are_out_of_reach() -> None:
    panel = opened(answered())
    assert panel.form.disabled == ["temperature"]
    panel.form.set(loss="smoothed-hinge", solvers=["cg"])
    panel.context.ticker.tick()
    assert panel.form.disabled == ["depth", "batch", "scale", "repeats"]
    panel.form.set(classes=[1])
    panel.context.ticker.tick()
    assert "two different digits" in panel.form.errors["classes"]


def test_link_restores_solver_and_marker() -> None:
    client = answered()
    panel = opened(client)
    panel.images.ranking, panel.chart.position = "lissa", 25.0
    panel.context.ticker.tick()
    query = dict(parse_qsl(panel.share.query.lstrip("?")))
    assert (query["tab"], query["ranking"], query["at"]) == ("two-classes", "lissa", "25")
    again = TwoClassesPanel(context(client))
    assert again.restore(query) == []
    again.show()
    again.context.ticker.tick()
    assert (again.ranking, again.chart.position, again.spec) == ("lissa", 25.0, SMALL)
    assert "By LiSSA" in pictures.scores_html(answer(SMALL), again.ranking)
    assert len(again.restore({"ranking": "luck", "at": "-1"})) == 2


def test_ways_out_carry_numbers_and_pictures() -> None:
    panel = opened(answered())
    tables = panel.export_tables()
    assert next(iter(tables)) == "solvers"
    assert {"scores", "truth", "curve"} <= set(tables)
    assert "pictures" not in tables
    page = panel.export_html()
    assert page.count("data:image/png") >= 10
    assert "Is this where retraining would land?" in page
    assert "gif-dash run two-classes" in panel.share.command
    assert [len(figure.data) for figure in pictures.figures(answer(SMALL))][1] == 4
    assert pictures.truth_html(answer(SMALL)).count("<tr>") == 10


def test_words_say_what_the_numbers_say() -> None:
    result = answer(SMALL)

    def told(**known: object) -> str:
        return pictures.compared(replace(result, provenance={**result.provenance, **known}))

    assert "is exact; LiSSA is not, but has the order of the images" in told()
    assert "The error that LiSSA ends with: CG after" in told()
    assert "In the mean LiSSA converges" in told()
    assert "LiSSA cannot converge" in told(scale=0.4 * result.provenance["lambda_max"])
    assert "makes a step overshoot" in told(lambda_max_image=1e4)
    assert "the order of the images roughly" in pictures.compared(with_solver(result, "lissa", spearman=0.9))
    assert "not the order" in pictures.compared(with_solver(result, "lissa", spearman=0.2))
    assert "LiSSA is as exact" in pictures.compared(with_solver(result, "lissa", error=1e-9))
    assert "None is exact" in pictures.compared(
        replace(result, tables={**result.tables, "solvers": result.tables["solvers"].assign(error=0.5)})
    )
    diverged = pictures.compared(with_solver(result, "lissa", status="diverged"))
    assert "is exact; LiSSA diverges.</b>" in diverged
    assert ", diverged" in diverged
    assert "The error that LiSSA ends with" not in diverged
    for pearson, slope, verdict in (
        (0.99, 1.0, "Yes"),
        (0.99, 2.0, "In order"),
        (0.8, 1.0, "Roughly"),
        (0.1, 1, "No."),
    ):
        changed = with_solver(result, "closed-form", loo_pearson=pearson)
        changed = replace(changed, provenance={**result.provenance, "slope": slope})
        assert pictures.lands(changed).startswith(f"<b>{verdict}")
    assert "Cannot be told" in pictures.lands(with_solver(result, "closed-form", loo_pearson=math.nan))
    assert pictures.kink(result) == ""


def test_nothing_known_yet_is_an_empty_chart() -> None:
    empty = pd.DataFrame({"solver": []})
    chart = pictures.curves(empty, empty)
    assert chart.lines == chart.marks == ()
    assert chart.x.low < chart.x.high
