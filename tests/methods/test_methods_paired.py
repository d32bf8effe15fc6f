"""Means, deviations and tests over repeats, against hand computation."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from scipy import stats

from gif_dash.experiments.paired import differences, holm, p_value, summary


def row(method: str, mr: float, seed: int, score: float, mark: str = "best", **other: object) -> dict[str, object]:
    known = {
        "group": "chosen",
        "class": "8",
        "seed": seed,
        "mr": mr,
        "method": method,
        "mark": mark,
        "scalar": 10.0 if mark else math.nan,
        "test_accuracy": 99.0,
        "test_loss": 0.1,
        "self_accuracy": 1.0,
        "self_loss": 5.0,
        "score": score,
        "test_accuracy_se": 0.5,
        "self_accuracy_se": 0.5,
        "score_se": 0.01,
        "seconds": 0.2,
        "hvps": 11,
    }
    return known | other


def test_p_value_is_that_of_the_t_statistic_written_out() -> None:
    gaps = [0.01, 0.02, -0.005, 0.015]
    mean = sum(gaps) / 4
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / 3)
    t = mean / (deviation / 2)
    assert p_value(gaps) == pytest.approx(2 * stats.t.sf(t, df=3), rel=1e-9)


@pytest.mark.parametrize(("gaps", "expected"), [([0.0] * 5, 1.0), ([0.25] * 3, 2 / 8)])
def test_p_value_of_equal_differences_is_no_division_by_zero(gaps: list[float], expected: float) -> None:
    assert p_value(gaps) == expected


@pytest.mark.parametrize("gaps", [[], [0.3], [0.1, math.nan]])
def test_no_p_value_where_there_is_nothing_to_test(gaps: list[float]) -> None:
    assert math.isnan(p_value(gaps))


def test_holm_by_hand() -> None:
    # sorted: .01·4 = .04, .02·3 = .06, .03·2 = .06, .9·1
    assert holm([0.03, 0.01, math.nan, 0.9, 0.02])[:2] == pytest.approx([0.06, 0.04])
    corrected = holm([0.03, 0.01, math.nan, 0.9, 0.02])
    assert math.isnan(corrected[2])
    assert corrected[3:] == pytest.approx([0.9, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([0.04, 0.045]) == pytest.approx([0.08, 0.08])  # never smaller than one before it


def test_summary_by_hand() -> None:
    table = pd.DataFrame(
        [
            row("gif", 10.0, 0, 0.90, scalar=10.0, seconds=0.1),
            row("gif", 10.0, 1, 0.94, scalar=1000.0, seconds=0.3),
            row("retrain", math.nan, 0, 0.95, mark=""),
            row("retrain", math.nan, 1, 0.97, mark=""),
        ]
    )
    found = summary(table).set_index("method")
    assert list(found.index) == ["retrain", "gif"]  # references first
    assert found.loc["gif", "n"] == 2
    assert found.loc["gif", "score"] == pytest.approx(0.92)
    assert found.loc["gif", "score_sd"] == pytest.approx(math.sqrt(2 * 0.02**2))
    assert found.loc["gif", "scalar"] == pytest.approx(100.0)  # the geometric mean
    assert found.loc["gif", "time_ms"] == pytest.approx(200.0)
    assert found.loc["retrain", "score"] == pytest.approx(0.96)


def test_one_repeat_has_no_deviation_no_test_and_no_verdict() -> None:
    table = pd.DataFrame(
        [row("gif", 10.0, 0, 0.9), row("fif", 10.0, 0, 0.8), row("retrain", math.nan, 0, 1.0, mark="")]
    )
    assert summary(table)["score_sd"].isna().all()
    found = differences(table)
    assert found["mean"].tolist() == pytest.approx([0.1, -0.1, -0.2])
    assert found[["se", "p", "p_holm"]].isna().all(axis=None)
    assert (found["verdict"] == "").all()


def test_differences_pair_by_seed() -> None:
    """Both methods vary by .1 between seeds, but differ by .02 ± little on each of them."""
    gaps = (0.020, 0.022, 0.018, 0.021, 0.019)
    rows = []
    for seed, gap in enumerate(gaps):
        level = 0.7 + 0.05 * seed
        rows += [row("fif", 10.0, seed, level), row("gif", 10.0, seed, level + gap)]
    found = differences(pd.DataFrame(rows[::-1]))  # the order of the rows does not matter
    assert len(found) == 1
    only = found.iloc[0]
    assert (only["a"], only["b"], only["n"], only["verdict"]) == ("gif", "fif", 5, "a higher")
    assert only["mean"] == pytest.approx(0.02)
    assert only["se"] == pytest.approx(stats.sem(gaps))


def test_no_difference_is_shown_where_chance_would_do() -> None:
    rows = [row("gif", 10.0, seed, 0.9 + 0.01 * (-1) ** seed) for seed in range(4)]
    rows += [row("fif", 10.0, seed, 0.9) for seed in range(4)]
    assert differences(pd.DataFrame(rows))["verdict"].tolist() == ["no difference shown"]


def test_methods_of_all_parameters_meet_the_others_at_every_mr_and_retraining_once() -> None:
    rows = []
    for seed in range(2):
        rows += [row("gradient", mr, seed, 0.9) for mr in (10.0, 30.0)]
        rows += [row("if", 100.0, seed, 0.8), row("retrain", math.nan, seed, 1.0, mark="")]
    found = differences(pd.DataFrame(rows))
    against = found[found["family"] == "methods"]
    assert against[["a", "b", "mr"]].to_numpy().tolist() == [["if", "gradient", 10.0], ["if", "gradient", 30.0]]
    assert found[(found["family"] == "retraining") & (found["a"] == "if")]["mr"].tolist() == [100.0]


def test_holm_counts_the_comparisons_of_its_own_kind() -> None:
    rows = []
    for seed, noise in enumerate((0.0, 0.01, 0.02)):
        rows += [row("gif", 10.0, seed, 0.95 + noise), row("fif", 10.0, seed, 0.93 - noise)]
        rows += [row("retrain", math.nan, seed, 0.99, mark="")]
    found = differences(pd.DataFrame(rows))
    alone = found[found["family"] == "methods"].iloc[0]
    assert alone["p_holm"] == pytest.approx(alone["p"])
    pair = found[found["family"] == "retraining"]
    assert pair["p_holm"].max() >= pair["p"].max()
    assert pair["p_holm"].min() == pytest.approx(2 * pair["p"].min())
