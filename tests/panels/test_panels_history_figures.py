"""Two runs side by side, from hand-made tables: differences, questions, origins, and curves over each other."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from panels_fakes import result, row, sweep

from gif_dash import catalog
from gif_dash.figures import history
from gif_dash.figures.chart import Chart, to_plotly
from gif_dash.figures.removal import curves
from gif_dash.progress import Silent
from gif_dash.results import Result
from gif_dash.specs import RemovalSpec, ToySpec

A = RemovalSpec(forget_classes=(2,), methods=("gif", "fif"))
B = RemovalSpec(forget_classes=(2,), methods=("gif", "pif"), mr=30, criterion="random")


def stored(spec: Any) -> dict[str, Any]:
    """A spec as the store has it: sorted, with the experiment."""
    values: dict[str, Any] = json.loads(spec.canonical())
    return values


def texts(spec: dict[str, Any], *classes: str) -> list[str]:
    return [chip.text for chip in history.chips(spec, classes)]


# --- what was asked ---------------------------------------------------------------------------------------------------


def test_chips_say_what_differs_and_always_what_is_forgotten() -> None:
    assert texts(stored(RemovalSpec())) == ["class 8"]
    assert texts(stored(B)) == ["class 2", "GIF, PIF", "random", "MR 30 %"]
    assert texts(stored(RemovalSpec(forget_classes=(0, 2))), "cat", "dog", "<b>") == ["classes cat, <b>"]
    assert texts(stored(RemovalSpec(forget_classes=tuple(range(7))))) == ["7 classes"]
    assert texts(stored(RemovalSpec(forget_indices=(5, 9)))) == ["2 examples"]
    assert texts(stored(RemovalSpec(solver="neumann", seed=3, damping=0.5))) == [
        "class 8",
        "Solver: Neumann series",
        "Damping 0.5 σ_max",
        "Seed 3",
    ]
    assert texts(stored(ToySpec())) == []
    assert texts(stored(ToySpec(removal="group", noise=2))) == ["all at once", "Noise 2"]


def test_chips_say_the_whole_in_their_note() -> None:
    (_, methods, criterion, mr) = history.chips(stored(B))
    assert mr.note == "MR: 30 % (default: 10 %)"
    assert criterion.note == "Criterion: random (default: top-k outputs)"
    assert methods.note == "Methods: GIF, PIF (default: GIF, FIF, PIF)"


def test_questions_of_other_versions_and_experiments_are_shown_too() -> None:
    assert texts({"experiment": "removal", "forget_classes": [1], "momentum": 0.9}) == ["class 1", "momentum 0.9"]
    assert texts({"experiment": "gone", "size": 3}) == []
    table = history.questions({"experiment": "gone", "size": 3}, stored(RemovalSpec()))
    assert ("size", "3", "") in list(table.itertuples(index=False, name=None))


def test_only_settings_that_differ_are_listed() -> None:
    table = history.questions(stored(A), stored(B), ("zero", "one", "two"))
    assert set(table.itertuples(index=False, name=None)) == {
        ("Methods", "GIF, FIF", "GIF, PIF"),
        ("Criterion", "top-k outputs", "random"),
        ("MR", "10 %", "30 %"),
    }
    assert not len(history.questions(stored(A), stored(A)))
    classes = history.questions(stored(A), stored(RemovalSpec(forget_classes=(0, 1), methods=("gif", "fif"))), ("x",))
    assert list(classes.itertuples(index=False, name=None)) == [("Classes to forget", "2", "x, 1")]
    toy = history.questions(stored(A), stored(ToySpec()))
    assert ("Experiment", "Class removal", "Toy") in list(toy.itertuples(index=False, name=None))


def test_questions_and_origins_are_text() -> None:
    a, b = {**stored(A), "scenario": "<img src=x>"}, stored(A)
    html = history.pair_html(history.questions(a, b), caption="Asked", title="Setting")
    assert "<img" not in html
    assert "&lt;img" in html
    assert history.pair_html(history.questions(b, b), caption="Asked", title="") == "<p><b>Asked</b>: nothing.</p>"


# --- numbers ----------------------------------------------------------------------------------------------------------


def numbers(*rows: tuple[str, str, str, float]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["method", "mark", "quantity", "value"])


def test_numbers_are_those_of_the_marked_rows_the_references_and_the_solves() -> None:
    tables = {
        "sweep": pd.DataFrame(
            [
                row("gif", 0.1),
                row("gif", 1.0, "one", score=0.25, self_accuracy=80.0),
                row("gif", 7.0, "best", score=0.75),
                row("retrain", math.nan, score=0.9, seed=0),
                row("retrain", math.nan, score=0.7, seed=1),
            ]
        ),
        "solves": pd.DataFrame({"method": ["gif"], "hvps": [11], "seconds": [0.5]}),
    }
    found = {item[:3]: item[3] for item in history.numbers(tables).itertuples(index=False, name=None)}
    assert found["gif", "best", "score"] == 0.75
    assert found["gif", "best", "scalar"] == 7.0
    assert found["gif", "one", "self_accuracy"] == 80.0
    assert found["retrain", "", "score"] == pytest.approx(0.8), "the mean over seeds"
    assert ("retrain", "", "scalar") not in found
    assert found["gif", "", "hvps"] == 11
    assert found["gif", "", "seconds"] == 0.5
    assert not any(quantity == "score" and value == 0.001 for (_, _, quantity), value in found.items())
    assert history.numbers({"other": pd.DataFrame({"x": [1]})}).empty


def test_differences_are_b_minus_a_and_missing_ones_are_missing() -> None:
    a = numbers(("fif", "best", "score", 0.5), ("gif", "one", "score", 0.25), ("gif", "best", "score", 0.75))
    b = numbers(("gif", "best", "score", 0.5), ("pif", "best", "score", 1.0), ("gif", "one", "score", 0.25))
    found = history.differences(a, b)
    assert list(found.columns) == ["method", "mark", "quantity", "a", "b", "difference"]
    rows = [tuple(None if item != item else item for item in line) for line in found.itertuples(index=False, name=None)]
    assert rows == [
        ("gif", "best", "score", 0.75, 0.5, -0.25),
        ("gif", "one", "score", 0.25, 0.25, 0.0),
        ("fif", "best", "score", 0.5, None, None),
        ("pif", "best", "score", None, 1.0, None),
    ]


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (0.25, 3, "+0.250"),
        (-17.44, 1, "−17.4"),
        (0.0, 3, "0"),
        (1e-5, 3, "+1.0·10⁻⁵"),
        (math.nan, 1, "–"),
        (38, 0, "+38"),
    ],
)
def test_differences_carry_their_sign(value: float, decimals: int, text: str) -> None:
    assert history.signed(value, decimals) == text


def test_the_table_of_differences_has_a_row_per_method_and_mark() -> None:
    other = result(B)
    other.tables["sweep"].loc[other.tables["sweep"]["mark"] == "best", "score"] = 0.5
    table = history.differences(history.numbers(result(A).tables), history.numbers(other.tables))
    html = history.differences_html(table, history.SCORES, caption="Differences")
    rows = [
        [re.sub("<.*?>", "", cell) for cell in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", line)]
        for line in re.findall("<tr>(.*?)</tr>", html.partition("<tbody>")[2])
    ]
    assert len(rows) == 3 * 2 + 3, "three methods at two places, three references"
    assert rows[0][:5] == ["GIF", "best s", "0.980", "0.500", "−0.480"]
    assert rows[3][:5] == ["FIF", "s = 1", "0.010", "–", "–"]
    assert {len(line) for line in rows} == {2 + 3 * len(history.SCORES)}
    assert html.count('scope="colgroup"') == len(history.SCORES)
    assert history.differences_html(table, history.ENDS, caption="of the toy") == ""


def test_toy_runs_have_numbers_too() -> None:
    from gif_dash.experiments.toy import run

    specs = ToySpec(points=100, outliers=10, removals=2), ToySpec(points=100, outliers=20, removals=2)
    a, b = (run(spec, Silent()) for spec in specs)
    found = history.differences(history.numbers(a.tables), history.numbers(b.tables))
    ends = a.tables["steps"].query("method == 'gif' and mark == 'one'")["loss"].iloc[0]
    gif = found[(found["method"] == "gif") & (found["quantity"] == "loss")]
    assert gif["a"].iloc[0] == ends
    assert gif["difference"].iloc[0] == gif["b"].iloc[0] - gif["a"].iloc[0] != 0
    assert history.picture(a) is not None
    assert "gradient" in history.numbers_html(history.numbers(a.tables), caption="x")
    none = history.differences(history.numbers(a.tables), history.numbers(result(A).tables))
    assert history.differences_html(none, [*history.SCORES, *history.ENDS], caption="x") == ""


def test_scores_for_the_list_come_from_plain_columns() -> None:
    columns = {name: column.tolist() for name, column in sweep(("gif", "pif")).items()}
    assert history.best_scores(columns) == {"gif": 0.98, "pif": 0.98}
    assert history.best_scores({}) == {}


# --- where numbers come from ------------------------------------------------------------------------------------------


def test_only_what_differs_in_provenance_is_listed() -> None:
    one = {"device": "cpu", "versions": {"gif_dash": "1", "torch": "2.1"}, "k": 20, "p": 2000, "seconds": 3.0}
    other = {**one, "device": "cuda", "versions": {"gif_dash": "1", "torch": "2.2"}, "incomplete": "no cold reference"}
    a = history.origin(one, code="a" * 64, older=True, fingerprint="f" * 64)
    b = history.origin(other, code="b" * 64, older=False, fingerprint="f" * 64)
    assert list(history.origins(a, b).itertuples(index=False, name=None)) == [
        ("Device", "cpu", "cuda"),
        ("torch", "2.1", "2.2"),
        ("Code", "aaaaaaaa (older)", "bbbbbbbb (as it is now)"),
        ("Missing", "–", "no cold reference"),
    ]


def test_what_keeps_numbers_from_being_compared_is_said() -> None:
    a = result(A)

    def said(spec: Any, same_data: bool = True) -> str:
        return " ".join(history.caveats(a, result(spec), same_data=same_data))

    assert said(B) == ""
    assert "different scenarios" in said(A.model_copy(update={"scenario": "mnist-cnn"}), same_data=False)
    assert "changed between" in said(A, same_data=False)
    assert "different examples" in said(A.model_copy(update={"forget_classes": (1,)}))
    assert "different test images" in said(A.model_copy(update={"report": "whole"}))
    toy = replace(a, spec=stored(ToySpec()), tables={})
    (sentence,) = history.caveats(a, toy, same_data=True)
    assert "A is Class removal, B is Toy" in sentence


# --- curves -----------------------------------------------------------------------------------------------------------


def over(a: RemovalSpec = A, b: RemovalSpec = B, **changes: Any) -> tuple[Chart, Chart, Chart]:
    one, other = (curves(sweep(spec.methods), spec.model_dump()) for spec in (a, b))
    if changes:
        frame = sweep(b.methods)
        for name, (column, value) in changes.items():
            frame.loc[frame["method"] == name, column] = value
        other = curves(frame, b.model_dump())
    return one, other, history.overlay(one, other)


def test_both_runs_curves_are_drawn_and_named() -> None:
    one, other, both = over()
    assert [line.label for line in both.lines] == ["GIF · A", "GIF · B", "FIF · A", "PIF · B"]
    drawn = {line.key: line for line in both.lines}
    assert drawn["gif-a"].values == one.lines[0].values
    assert drawn["pif-b"].values == other.lines[1].values
    assert len({line.key for line in both.lines}) == 4
    assert both.ghosts == ()
    json.dumps(both.to_dict())
    assert len(to_plotly(both).data) >= 16


def test_the_two_runs_of_a_method_differ_in_more_than_colour() -> None:
    _, _, both = over()
    a, b = both.lines[:2]
    assert a.style.dash == b.style.dash
    assert a.style.marker == b.style.marker
    assert b.style.width >= 2 * a.style.width
    assert b.style.colour == "rgba(0,114,178,0.4)"


def test_axes_hold_both_runs() -> None:
    _, _, both = over(B, A.model_copy(update={"s_max": 1e6}), gif=("test_loss", 4e4))
    assert both.x.high == 1e6
    (loss,) = [quantity for quantity in both.quantities if quantity.key == "test_loss"]
    assert loss.axis is not None
    assert loss.axis.low <= 0.05
    assert loss.axis.high >= 4e4


def test_equal_references_are_drawn_once_and_others_apart() -> None:
    _, _, both = over(retrain=("self_accuracy", 12.5))
    levels = {level.key: level for level in both.levels}
    assert set(levels) == {"original", "retrain-a", "retrain-b", "retrain_warm"}
    assert levels["retrain-a"].values["self_accuracy"] == 0.0
    assert levels["retrain-b"].values["self_accuracy"] == 12.5
    assert levels["retrain-b"].label == "retrained (cold start) · B"


def test_marks_say_whose_they_are() -> None:
    _, _, both = over()
    assert [mark.label.partition(":")[0] for mark in both.marks] == ["s = 1", "A", "A", "B", "B"]


def test_what_is_called_self_differs_with_what_is_removed() -> None:
    _, _, both = over(b=B.model_copy(update={"forget_classes": (0, 1)}))
    notes = {quantity.key: quantity.note for quantity in both.quantities}
    assert notes["self_loss"] == "what was removed"
    assert notes["test_loss"] == "other classes"


def test_other_experiments_are_compared_by_their_summaries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(catalog.EXPERIMENTS, "toy", replace(catalog.EXPERIMENTS["toy"], summary=""))

    def run(*scores: float, names: tuple[str, ...] = ("gif", "<b>")) -> Result:
        table = pd.DataFrame({"method": names, "mr": [5.0, 10.0], "score": scores})
        return Result({"experiment": "toy"}, {"cells": table})

    found = history.summaries(run(0.5, 0.75), run(0.75, 0.5))
    assert found is not None
    assert found.to_dict("list") == {"method": ["gif", "<b>"], "mr": [5.0, 10.0], "score, B − A": [0.25, -0.25]}
    assert history.summaries(run(0.5, 0.75), run(0.5, 0.75, names=("fif", "pif"))) is None
    text = history.summaries_html(run(0.5, 0.75), run(0.75, 0.5))
    assert "GIF" in text
    assert "<b>" not in text
    assert text.count("<table") == 3
