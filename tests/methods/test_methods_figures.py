"""Pictures, tables and words of the methods, against what was put in."""

from __future__ import annotations

import math
import re

import pandas as pd
import pytest
from methods_fakes import SPEC, answer, row

from gif_dash import published
from gif_dash.figures import methods as pictures
from gif_dash.figures import methods_tables as tables
from gif_dash.figures import methods_words as words
from gif_dash.figures import removal
from gif_dash.figures.chart import Axis, Chart, Line, Quantity, runs, to_plotly
from gif_dash.figures.history import best_scores, numbers
from gif_dash.figures.theme import style
from gif_dash.specs import MethodsSpec

ONE = SPEC.model_copy(update={"seeds": 1})
DUMP = SPEC.model_dump(mode="json")


def text(markup: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", markup).split())


# --- bands ------------------------------------------------------------------------------------------------------------


def band(low: tuple[float, ...]) -> Line:
    x = tuple(float(place) for place in range(len(low)))
    return Line("gif", "GIF", style("gif"), x, {"v": (1.0,) * len(x)}, {"v": low}, {"v": (2.0,) * len(x)})


def test_a_band_is_cut_where_there_is_none() -> None:
    nan = math.nan
    assert runs(band((0.0, 0.0, nan, 0.0, nan, 0.0, 0.0, 0.0)), "v") == [[0, 1], [5, 6, 7]]
    assert runs(band((0.0, 0.0)), "other") == []


def test_bands_and_error_bars_reach_plotly() -> None:
    quantity = Quantity("v", "V", axis=Axis("v", "linear", 0, 3))
    chart = Chart("t", Axis("x", "linear", 0, 2), (quantity,), (band((0.5, 0.25)),))
    outline, line = to_plotly(chart).data
    assert list(outline.x) == [0, 1, 1, 0]
    assert list(outline.y) == [0.5, 0.25, 2.0, 2.0]
    assert line.error_y.array is None
    (line,) = to_plotly(Chart("t", Axis("x", "linear", 0, 2), (quantity,), (band((0.5, 0.25)),), points=True)).data
    assert list(line.error_y.array) == [1.0, 1.0]
    assert list(line.error_y.arrayminus) == [0.5, 0.75]


def test_class_removal_draws_its_standard_errors() -> None:
    rows = pd.DataFrame([row("original", 0, math.nan, math.nan), row("gif", 0, 10, 1.0), row("gif", 0, 10, 10.0)])
    chart = removal.curves(rows, DUMP | {"s_max": 1e4})
    (line,) = chart.lines
    assert line.low["test_accuracy"] == pytest.approx((97.5, 97.4, 96.5))
    assert line.high["self_accuracy"] == pytest.approx((90.75, 89.75, 80.75))
    assert "self_loss" not in line.low
    assert chart.levels[0].low["test_accuracy"] == pytest.approx(97.5)
    assert "standard error" in chart.bands
    plain = rows.drop(columns=[name for name in rows if name.endswith("_se")])
    assert removal.curves(plain, DUMP | {"s_max": 1e4}).bands == ""


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_curves_are_means_of_the_points_that_all_seeds_have() -> None:
    result = answer()
    chart = pictures.along_s(result.tables["points"], result.spec, 10.0)
    gif = next(line for line in chart.lines if line.key == "gif")
    assert gif.x == (0.0, 0.1, 1.0, 10.0, 100.0)  # neither seed's own fine point
    half = math.sqrt(0.5)  # the deviation of 1 and 2
    assert gif.values["test_accuracy"][:2] == pytest.approx((97.0, 96.99))
    assert gif.high["test_accuracy"][1] == pytest.approx(96.99 + 2 * half)
    assert gif.low["test_accuracy"][1] == pytest.approx(96.99 - 2 * half)
    assert gif.values["self_loss"][2] == pytest.approx(math.sqrt(2.0 * 3.0))  # drawn on a logarithmic axis
    assert gif.high["self_loss"][2] == pytest.approx(math.sqrt(6.0) * math.exp(half * math.log(3.0 / 2.0)))
    retrain = next(level for level in chart.levels if level.key == "retrain")
    assert retrain.values["score"] == pytest.approx(0.985)
    assert retrain.high["score"] - retrain.values["score"] == pytest.approx(0.01 * half)
    assert "2 seeds" in chart.bands
    assert [mark.x for mark in chart.marks] == pytest.approx([1.0, 100.0, 100.0, 100.0])  # √(10 · 1000)


def test_one_seed_keeps_all_points_and_the_error_of_the_images() -> None:
    result = answer(ONE)
    chart = pictures.along_s(result.tables["points"], result.spec, 30.0)
    gif = next(line for line in chart.lines if line.key == "gif")
    assert 20.0 in gif.x
    assert gif.high["test_accuracy"][0] == pytest.approx(98.5)
    assert "standard error" in chart.bands


def test_a_band_never_leaves_a_logarithmic_axis() -> None:
    result = answer()
    table = result.tables["points"]
    table.loc[table["seed"] == 1, "self_loss"] *= 100
    chart = pictures.along_s(table, result.spec, 10.0)
    assert all(value > 0 for line in chart.lines for value in line.low["self_loss"])


def test_score_over_mr_has_bars_levels_and_methods_of_all_parameters() -> None:
    result = answer()
    chart = pictures.over_mr(result.tables["summary"], result.spec)
    lines = {line.key: line for line in chart.lines}
    assert lines["gif"].x == (10.0, 30.0)
    assert lines["gif"].values["score"] == pytest.approx((0.975, 0.975))
    assert lines["gif"].high["score"][0] - 0.975 == pytest.approx(0.01 * math.sqrt(0.5))
    assert lines["if"].x == (10.0, 30.0)
    assert lines["if"].label == "IF: all parameters"
    levels = {level.key: level for level in chart.levels}
    assert levels["retrain"].values["time_ms"] == 8000.0
    assert chart.facets()[0].axis is not None
    assert chart.facets()[0].axis.low < 0.9 < 1.0 <= chart.facets()[0].axis.high
    one = pictures.over_mr(answer(ONE).tables["summary"], ONE.model_dump(mode="json"))
    assert one.lines[0].high["score"][0] - one.lines[0].values["score"][0] == pytest.approx(0.005)
    assert "one seed" in one.bands


def test_axes_only_grow_while_a_run_grows() -> None:
    summary = answer().tables["summary"]
    first = pictures.over_mr(summary, DUMP)
    then = pictures.over_mr(summary[summary["method"] != "if"], DUMP, before=first)
    assert then.facets()[0].axis == first.facets()[0].axis


def test_nothing_is_drawn_of_nothing() -> None:
    empty = pd.DataFrame({name: [] for name in ("group", "method", "mr", "mark", "scalar", "seed", "n")})
    assert pictures.over_mr(empty, DUMP).lines == ()
    assert pictures.along_s(empty, DUMP, 10.0).lines == ()
    assert pictures.growing(empty, 10.0)[0] == 10.0


def test_growing_is_the_last_network() -> None:
    table = answer().tables["points"]
    mr, rows = pictures.growing(table[table["mr"] != 100], 10.0)
    assert mr == 30.0
    assert set(rows["seed"]) == {1}


def test_exports_hold_every_mr() -> None:
    figures = pictures.figures(answer())
    assert len(figures) == 1 + len(SPEC.mrs)


# --- tables -----------------------------------------------------------------------------------------------------------


def test_published_table_is_printed_as_it_was() -> None:
    shown = text(tables.theirs())
    assert published.PAPER in shown
    assert "GIF 522 86.40 83.59 76.62 0.51 0.60 1.98 0.43 3.10 5.03 6.135 7.29 6.89 0.93 0.90 0.85" in shown
    assert "PIF 546 63.53 66.21 62.76 1.98 1.82 1.98 14.76 18.21 12.56 5.09 4.91 5.39 0.73 0.73 0.73" in shown
    assert "retrained (cold start) – 91.34 0.36 0.00 9.85 0.95" in shown


def test_our_table_has_the_same_layout() -> None:
    ours, theirs = tables.ours(answer()), tables.theirs()

    def heads(markup: str) -> list[str]:
        return [
            head
            for head in re.findall(r"<th[^>]*scope=\"col[^>]*>(.*?)</th>", markup)
            if "%" not in head or "," in head
        ]

    assert heads(ours) == heads(theirs)
    assert "0.975 ± 0.007" in text(ours)
    assert "mean ± sd over 2 seeds" in ours
    assert "without two" in ours
    assert "Digits &lt;small&gt;" in ours
    assert 'data-ask="gif 10"' in ours
    assert 'data-ask="if' not in ours


def test_one_seed_says_that_there_are_no_deviations() -> None:
    ours = tables.ours(answer(ONE))
    assert "±" not in text(ours)
    assert "one seed" in ours
    assert tables.differences_html(answer(ONE)) == ""


def test_differences_name_who_is_higher() -> None:
    result = answer(SPEC.model_copy(update={"seeds": 6}))
    shown = text(tables.differences_html(result))
    assert "GIF − FIF 10 +0.0095" in shown
    assert "GIF higher" in shown


def test_terminal_has_one_row_per_method_and_mr() -> None:
    frame = tables.summary(answer())
    assert len(frame) == 3 + 2 + 2 + 1
    assert "± sd" in frame


# --- words ------------------------------------------------------------------------------------------------------------


def test_words_of_one_seed_claim_nothing() -> None:
    said = text(words.significance(answer(ONE)))
    assert "One seed: no deviations, no test." in said
    assert "± 0.005" in said
    assert "higher" not in said
    assert "p =" not in said


def test_words_of_many_seeds_say_what_is_shown_and_what_is_not() -> None:
    result = answer(SPEC.model_copy(update={"seeds": 6}))
    said = text(words.significance(result))
    assert "GIF against FIF: GIF scores higher at 2 of 2 MRs" in said
    frame = result.tables["differences"]
    frame["verdict"] = "no difference shown"
    assert "GIF against FIF: no difference shown." in text(words.significance(result))


def test_good_edit_and_landing_speak_of_the_best_mean() -> None:
    result = answer()
    said = text(words.good_edit(result))
    assert "GIF (MR 10, 30 %)" in said
    assert "0.975 ± 0.007" in said
    assert "as good as retraining" in said
    landing = text(words.retraining_lands(result))
    assert "GIF at MR 10 %: at s = 1, ρ = 1.00 ± 0.00" in landing
    assert "warm start 90 % at s = 1" in landing


def test_published_gaps_are_named_as_published() -> None:
    said = words.against_published()
    assert said.startswith("As published")
    assert "+0.02, +0.05, +0.05" in said
    assert "+0.20, +0.17, +0.12" in said
    assert "0.932" in said
    assert "ten runs" in said


def test_what_is_missing_is_said() -> None:
    result = answer(incomplete="more seeds <b>", data_note="JPEG copies")
    assert words.oddities(result) == ["Missing: more seeds &lt;b&gt;.", "JPEG copies"]


def test_no_method_with_a_score() -> None:
    result = answer(MethodsSpec(methods=("gif",), mrs=(10,), forget_classes=(2,)))
    result.tables["summary"]["score"] = math.nan
    assert "Cannot be said" in words.good_edit(result)
    assert "Cannot be said" in words.retraining_lands(result)


def test_history_makes_no_single_number_of_many_networks() -> None:
    result = answer()
    columns = {name: list(column) for name, column in result.tables.get("sweep", pd.DataFrame()).items()}
    assert best_scores(columns) == {}
    assert len(numbers(result.tables)) == 0
