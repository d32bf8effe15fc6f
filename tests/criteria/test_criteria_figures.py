"""Pictures, tables and words of the criteria: what they say is what the table has."""

from __future__ import annotations

import math

import pytest
from criteria_fakes import SPEC, cells, references, result, row, table

from gif_dash import published
from gif_dash.figures import criteria as pictures
from gif_dash.figures import criteria_tables as tables
from gif_dash.figures import criteria_words as words
from gif_dash.figures.cells import share
from gif_dash.figures.chart import to_plotly

ASKED = SPEC.model_dump(mode="json")


def test_share_of_a_colour_scale() -> None:
    assert share(0.75, 0.5, 1.0) == 0.5
    assert (share(0.2, 0.5, 1.0), share(7.0, 0.5, 1.0)) == (0.0, 1.0)
    assert share(1.0, 0.01, 100.0, log=True) == pytest.approx(0.5)
    assert share(math.nan, 0, 1) is None
    assert share(math.inf, 0, 1) is None


def test_scale_follows_what_is_there_in_steps() -> None:
    score, loss = pictures.MEASURES[0], pictures.MEASURES[1]
    assert score.scale([0.991, 0.979, math.nan]) == pytest.approx((0.95, 1.0))
    assert score.scale([0.604, 0.998]) == pytest.approx((0.6, 1.0))
    assert score.scale([0.0]) == (0.0, 1.0)
    assert score.scale([1.0]) == score.scale([]) == pytest.approx((0.95, 1.0)), "no closer than a step"
    assert loss.scale([0.3, 12.0]) == (0.1, 100.0)


def test_grid_has_every_quantity_at_both_places() -> None:
    grid = pictures.grid(table(), ASKED)
    assert [head.key for head in grid.rows] == ["top-outputs", "random", "lowest-outputs"]
    assert [head.key for head in grid.columns] == ["5", "20"]
    assert len(grid.views) == 10
    best, one = grid.views["score best"], grid.views["score one"]
    assert (best.cells[0][1].text, best.cells[0][1].below) == ("0.900", "± 0.010")
    assert (best.low, best.high, best.cells[0][1].share) == ("≤ 0.850", "1.00", pytest.approx(1 / 3))
    assert one.cells[0][1].text == "0.300"
    assert one.cells[0][1].share == pytest.approx(0.05 / 0.75), "from 0.25, the step below the least"
    assert [head.key for head, _ in best.footer] == ["original", "retrain"]
    assert [cell.text for _, cell in best.footer] == ["0.180", "0.980"]
    note = best.cells[1][0].note
    assert all(part in note for part in ("random, MR 5 %", "100 parameters (4.9 %)", "s = 12.5", "11 HVPs")), note
    loss = grid.views["self_loss best"]
    assert (loss.low, loss.high) == ("0.100", "10.0")
    assert loss.cells[0][0].share == pytest.approx(math.log(5.0 / 0.1) / math.log(100))


def test_failed_cell_says_why_and_cannot_be_pressed() -> None:
    failed = pictures.grid(table(), ASKED).views["score best"].cells[2][0]
    assert (failed.text, failed.enabled, failed.share) == ("–", False, None)
    assert failed.note.endswith("no <b>unit</b>")
    assert "no &lt;b&gt;unit&lt;/b&gt;" in " ".join(words.oddities(result()))
    assert "<b>unit" not in tables.cells_html(result())


def test_cells_that_are_not_there_yet_are_empty() -> None:
    grid = pictures.grid(cells(*references(), row("top-outputs", 5, "best")), ASKED)
    view = grid.views["score best"]
    assert view.cells[0][0].text == "0.900"
    assert view.cells[0][1].text == ""
    assert "not computed yet" in view.cells[0][1].note
    assert all(
        cell.text == "" for line in pictures.grid(table().head(0), ASKED).views["score one"].cells for cell in line
    )


def test_curves_over_mr_have_error_bars_and_levels() -> None:
    chart = pictures.over_mr(table(), ASKED, "best")
    lines = {line.key: line for line in chart.lines}
    assert lines["top-outputs"].x == (5.0, 20.0)
    assert lines["lowest-outputs"].x == (20.0,)
    assert lines["random"].low["score"] == pytest.approx((0.89, 0.89))
    assert lines["random"].high["score"] == pytest.approx((0.91, 0.91))
    assert {level.key: level.values["score"] for level in chart.levels} == {"original": 0.18, "retrain": 0.98}
    assert chart.x.scale == "linear"
    wide = pictures.over_mr(table().head(0), {**ASKED, "mrs": [1.0, 50.0]}, "best")
    assert wide.x.scale == "log"
    assert to_plotly(chart).data


def test_run_before_is_a_ghost_on_the_same_axis_only() -> None:
    chart = pictures.over_mr(table(), ASKED, "best")
    other = pictures.over_mr(table(random=0.5), ASKED, "best")
    assert pictures.add_ghosts(chart, other).ghosts == other.lines
    elsewhere = pictures.over_mr(table(), {**ASKED, "mrs": [5.0, 50.0]}, "best")
    assert pictures.add_ghosts(chart, elsewhere) is chart
    assert pictures.add_ghosts(chart, None) is chart


def test_along_s_starts_at_the_original_model() -> None:
    answer = result()
    chart = pictures.along_s(answer.tables["curves"], answer.table, answer.spec, 20)
    line = chart.lines[0]
    assert line.x == (0.0, 0.1, 1.0, 12.5)
    assert line.values["score"] == pytest.approx((0.18, 0.001, 0.01, 0.125))
    assert [mark.x for mark in chart.marks] == [1.0, 12.5, 12.5, 12.5]


# --- comparisons ------------------------------------------------------------------------------------------------------


def test_differences_by_hand() -> None:
    rows = [
        row("top-outputs", 5, "best", score=0.95, score_se=0.03, self_loss=6.0, self_loss_se=0.3, test_loss=0.1),
        row("random", 5, "best", score=0.80, score_se=0.04, self_loss=7.0, self_loss_se=0.4, test_loss=0.15),
    ]
    found = tables.differences(cells(*rows), "best").set_index("quantity")
    assert found["difference"].to_dict() == pytest.approx({"score": 0.15, "self_loss": -1.0, "test_loss": -0.05})
    assert found["error"].to_dict() == pytest.approx(
        {"score": 0.05, "self_loss": 0.5, "test_loss": math.hypot(0.1, 0.1)}
    )
    # 0.15 is three errors; −1 exactly two, which is not beyond; −0.05 less than one
    assert found["verdict"].to_dict() == {"score": "holds", "self_loss": "undecided", "test_loss": "undecided"}
    assert len(tables.differences(cells(*rows), "one")) == 0
    shown = tables.differences_html(cells(*rows), "best")
    assert "minus random" in shown
    assert "+0.150 ± 0.050 <span class='gd-muted'>holds</span>" in shown
    assert "&lt;" not in shown, "swatches are drawn, not spelled"


@pytest.mark.parametrize(
    ("scores", "claim"),
    [
        ({"top_outputs": 0.95, "random": 0.80}, "As in the paper, in all of 2 comparisons."),
        ({"top_outputs": 0.80, "random": 0.95}, "As in the paper in 0 of 2 comparisons, the opposite in 2."),
        ({"top_outputs": 0.90, "random": 0.89}, "Not shown here: none of 2 comparisons goes beyond its error."),
    ],
)
def test_words_follow_the_comparisons(scores: dict[str, float], claim: str) -> None:
    assert claim in words.ordering(result(**scores))


def test_negative_control_is_counted_where_it_was_measured() -> None:
    said = words.ordering(result(top_outputs=0.95, lowest_outputs=0.5))
    assert "top-k scores higher in 1 of 1 comparisons and lower in 0" in said
    assert "cannot be told" in words.ordering(result(SPEC.model_copy(update={"criteria": ("random",)})))


def test_good_edits_are_counted_within_two_errors_of_retraining() -> None:
    """Retraining has 0.98 ± 0.01: 0.95 lies within 2·√2·0.01 = 0.028 no more, 0.96 does."""
    said = words.good_edit(result(top_outputs=0.96, random=0.95, lowest_outputs=0.5))
    assert "Some are: 2 of 5 cells are within two standard errors of retraining." in said
    assert "from 0.500 (lowest-k outputs (control), MR 20 %) to 0.960 (top-k outputs, MR" in said
    assert "still recognised by 80.0 % (original 90.0 %)" in said


def test_where_retraining_would_land_counts_the_trust_figures() -> None:
    said = words.retraining_lands(result())
    assert "Not at the best s." in said
    assert "in 5 of 5 cells at s = 1 and in 0 of 5 at the best s" in said
    assert "of the cold-started retraining, in units of the original model's: 1.2 at s = 1" in said


def test_published_table_is_named_and_in_our_layout() -> None:
    theirs = tables.published_html()
    assert "Published: Table 1: ResNet-18, MNIST" in theirs
    assert "4.95 / 1.02" in theirs
    assert theirs.count("<tr>") == 1 + len(published.CRITERIA)
    ours = tables.ours_html(table(), ASKED, "best", "Digits <i>")
    assert "Here: Digits &lt;i&gt;, GIF, at each cell&#x27;s best s" in ours
    assert "5.00 / 0.200" in ours


def test_the_papers_finding_is_in_its_own_table() -> None:
    """What we compare with must be what Table 1 says: at every MR more self loss and less test loss."""
    rows = {(row["criterion"], row["mr"]): row for row in pictures.records(published.criteria())}
    for a, b in tables.PAPER:
        for mr in published.CRITERIA_MRS:
            assert rows[a, mr]["self_loss"] > rows[b, mr]["self_loss"]
            assert rows[a, mr]["test_loss"] < rows[b, mr]["test_loss"]


def test_summary_for_a_terminal() -> None:
    frame = pictures.summary(result())
    assert frame["criterion"].tolist()[:3] == ["original", "retrain", "top-outputs"]
    assert frame["note"].tolist().count("no <b>unit</b>") == 1
    assert "note" not in pictures.summary(result(SPEC.model_copy(update={"criteria": ("random",)})))
