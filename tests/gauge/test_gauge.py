"""The gauge: AUCs against another library, the shipped numbers against the kept lines, the sentences of the panels."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from panels.panels_fakes import result

from gif_dash.figures import gauge as said
from gif_dash.figures import removal_words

ROOT = Path(__file__).resolve().parents[2]


@cache
def bench() -> ModuleType:
    """bench/gauge.py, which is no part of the package."""
    path = ROOT / "bench" / "gauge.py"
    if not path.exists():
        pytest.skip("bench/ is not here: an installed package")
    spec = importlib.util.spec_from_file_location("bench_gauge", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@cache
def edits() -> pd.DataFrame:
    """The kept lines."""
    return bench().read()


# --- AUC --------------------------------------------------------------------------------------------------------------


def test_auc_by_hand() -> None:
    auc = bench().auc
    figure, wrong = np.array([3.0, 1.0, 2.0, 2.0]), np.array([True, False, True, False])
    assert auc(figure, wrong) == (1 + 1 + 1 + 0.5) / 4  # 3 > 1, 3 > 2, 2 > 1, and a tie
    assert auc(-figure, wrong) == 0.5 / 4
    assert math.isnan(auc(figure, np.ones(4, dtype=bool)))


def test_auc_is_that_of_scikit_learn_and_weights_count_groups() -> None:
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(3)
    figure, wrong = np.round(random.normal(size=200), 1), random.random(200) < 0.3
    assert bench().auc(figure, wrong) == pytest.approx(roc_auc_score(wrong, figure))
    group = np.arange(200) % 5
    frame = pd.DataFrame({"scenario": "one", "network": 0, "class": group})
    pair = bench()._pairs(frame, figure, wrong, "one")
    assert pair is not None
    twice = np.array([1.0, 2.0, 0.0, 1.0, 1.0])  # a draw: group 1 two times, group 2 not at all
    where = np.concatenate([np.flatnonzero(group == place) for place in (0, 1, 1, 3, 4)])
    drawn = bench()._weighted(*pair, np.stack([np.ones(5), twice]))
    assert drawn == pytest.approx([roc_auc_score(wrong, figure), roc_auc_score(wrong[where], figure[where])])


def test_apart_is_the_least_share_of_images_with_another_answer() -> None:
    cells = pd.MultiIndex.from_tuples([(0, 0), (0, 1), (1, 1)], names=["true", "predicted"])
    one, other = pd.Series([5, 0, 5], index=cells), pd.Series([3, 2, 5], index=cells)
    assert bench().apart(one, other) == 0.2  # two of ten images
    assert bench().apart(one, one) == 0


# --- held out ---------------------------------------------------------------------------------------------------------


def made(seed: int = 0) -> pd.DataFrame:
    """Four scenarios in which the step foretells the gap, and every other figure is noise."""
    random = np.random.default_rng(seed)
    count = 4 * 60
    known: dict[str, Any] = {
        "scenario": np.repeat(["a", "b", "c", "d"], 60),
        "network": np.tile([0, 1, 2], count // 3),
        "class": np.arange(count) // 3 % 4,
    }
    frame = pd.DataFrame(known | {name: random.random(count) for name in bench().FIGURES})
    return frame.assign(gap=frame["step"] + 0.2 * random.random(count), apart=random.random(count))


def test_what_foretells_is_found_on_scenarios_left_out_and_noise_is_not() -> None:
    table = bench().measure_aucs(made(), "gap").set_index("figure")
    assert table.loc["step", "auc"] > 0.9
    assert bench().useful(table.loc["step"])
    assert table.loc["together", "auc"] > 0.9
    assert not any(bench().useful(table.loc[name]) for name in bench().FIGURES if name != "step")
    noise = bench().measure_aucs(made(), "apart")
    assert not noise.apply(bench().useful, axis=1).any()
    turned = bench().measure_aucs(made().assign(step=lambda frame: -frame["step"]), "gap").set_index("figure")
    assert not turned.loc["step", "larger"], "the direction is learned"
    assert turned.loc["step", "auc"] == pytest.approx(table.loc["step", "auc"])


def test_a_label_does_not_see_the_scenario_that_it_labels() -> None:
    frame = made()
    labels = bench().labelled(frame, "gap")["a"]
    rest = frame[frame["scenario"] != "a"]["gap"].median()
    assert (labels == (frame["gap"] > rest)).all()
    moved = frame.assign(gap=frame["gap"].where(frame["scenario"] != "a", 9.0))
    assert (bench().labelled(moved, "gap")["a"][60:] == labels[60:]).all()


def test_shares_on_both_sides_of_the_threshold() -> None:
    known = bench().shares(made(), "step", "gap")
    assert known["above"] > 80
    assert known["below"] < 20
    assert 0.3 < known["threshold"] < 0.7
    turned = bench().shares(made().assign(step=lambda frame: -frame["step"]), "step", "gap")
    assert (turned["above"], turned["below"]) == pytest.approx((known["below"], known["above"]))


# --- what is kept -----------------------------------------------------------------------------------------------------


def test_the_shipped_numbers_are_those_of_the_kept_lines() -> None:
    assert said.told() == json.loads(json.dumps(bench().constants(edits())))
    assert set(said.TITLES) == {*bench().FIGURES, "together"}


def test_the_page_has_the_shipped_numbers() -> None:
    page = (ROOT / "docs" / "gauge.md").read_text(encoding="utf-8")
    for measure in bench().MEASURES:
        assert bench().markdown(said.told(), measure) in page
    assert bench().collected(edits()) in page
    assert (ROOT / "docs" / "gauge.svg").read_text(encoding="utf-8") == bench().drawing(said.told())


def test_all_cells_are_there_once() -> None:
    rows = edits()
    for name in bench().SCENARIOS:
        here = rows[rows["scenario"] == name]
        cells = list(bench().cells(name))
        expected = sum(len(bench().SETTINGS[mr, steps]) for *_, mr, steps in cells)
        assert len(here) == len(here.drop_duplicates(["network", "class", "mr", "steps", "method"])) == expected


def test_a_cell_computed_again_is_the_kept_one() -> None:
    """One removal, by the present code: the kept disagreements are not those of another experiment."""
    prepared = bench().prepare("iris-linear")
    told = bench()._short(bench().measured(prepared, 0, 10.0, 5, ("gif", "if")))
    line = next(line for line in (bench().FOLDER / "iris-linear.jsonl").read_text().splitlines())
    kept = json.loads(line)
    assert kept[:4] == [0, 0, 10.0, 5]
    assert told["retrain"] == pytest.approx(kept[4]["retrain"])
    columns = {name: place for place, name in enumerate(("method", *bench().COLUMNS))}
    before = {edit[0]: edit for edit in kept[4]["edits"]}
    for edit in told["edits"]:
        for name in ("score", "apart", "norm_ratio", "rho_one"):
            assert edit[columns[name]] == pytest.approx(before[edit[0]][columns[name]], rel=0.05, abs=0.05), name


# --- what is said -----------------------------------------------------------------------------------------------------


def numbers(useful: bool, figure: str = "step_best") -> dict[str, Any]:
    row = {"figure": figure, "larger": True, "scenarios": 5, "auc": 0.8, "low": 0.7, "high": 0.9, "useful": useful}
    row |= {"threshold": 1.5, "above": 71.2, "below": 22.4, "bound": 0.13, "edits": 90}
    rho = {**row, "figure": "rho", "auc": 0.55, "low": 0.4, "high": 0.6, "useful": False}
    together = {**rho, "figure": "together", "auc": 0.95, "useful": True}
    counted = {"edits": 1234, "networks": 7, "scenarios": 5, "useful": 0.7}
    return {**counted, "gap": [rho, row, together], "apart": [rho, row, together]}


def test_values_on_both_sides_of_the_threshold_are_told_what_they_have_meant() -> None:
    told = said.sentence("gap", {"step_best": [("gif", 2.0), ("fif", 1.0)]}, numbers(True))
    assert "In part, by the relative step norm at the best s" in told
    assert "those above 1.5 disagreed with retraining (a score more than 0.13 off) in 71 % of cases" in told
    assert "the others in 22 % (held-out AUC .80 (.70 … .90) on 5 of them)" in told
    assert "Here GIF 2.0: 71 % of such edits disagreed; FIF 1.0: 22 % of such edits disagreed." in told
    assert "1\u202f234 edits of 7 small networks (5 scenarios)" in told
    apart = said.sentence("apart", {"step_best": [("gif", 2.0)]}, numbers(True))
    assert "other answers to more than 13 % of the test images" in apart
    assert "FIF" not in apart


def test_what_was_not_measured_or_does_not_foretell_is_said() -> None:
    told = said.sentence("gap", {"rho": [("gif", 0.1)], "step_best": [("gif", math.nan)]}, numbers(True))
    assert "Not by what was measured here. In part, by the relative step norm at the best s" in told
    assert "It is missing here" in told
    assert "Methods measures it with two seeds or more" in said.sentence("gap", {}, numbers(True, "seeds"))
    told = said.sentence("gap", {"step_best": [("gif", 2.0)]}, numbers(False))
    assert "Not by a trust figure: over 1\u202f234 edits of 7 small networks (5 scenarios) none" in told
    assert "at best .80 (.70 … .90) on 5 of them, of the relative step norm at the best s" in told
    assert "of |ρ − 1| at the best s .55 (.40 … .60) on 5 of them; ½ is chance, .70 was asked for" in told
    assert "71 %" not in told, "what a figure has meant is said only where it foretells"


def test_class_removal_says_it_in_both_answers() -> None:
    answer = result()
    for words, measure in ((removal_words.good_edit(answer), "gap"), (removal_words.retraining_lands(answer), "apart")):
        assert said.sentence(measure, removal_words.gauged_values(answer)) in words  # type: ignore[arg-type]
    values = removal_words.gauged_values(answer)
    assert values["step_best"] == [("gif", pytest.approx(1.0)), ("fif", pytest.approx(1.0))]  # s = 100, ‖Δ‖ = .01·‖θ̂‖
    assert values["rho"] == [("gif", pytest.approx(0.97)), ("fif", pytest.approx(0.97))]
