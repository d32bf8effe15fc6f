"""What the lessons say is computed again: exactly where there are closed forms, within the said bounds for networks."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from gif_dash import AttributionSpec, BackdoorSpec, LineSpec, RemovalSpec, SpectrumSpec, ToySpec, run
from gif_dash.lessons import Question, scripts
from gif_dash.progress import Silent
from gif_dash.results import Result
from gif_dash.specs import Spec


def asked(lesson: str, title: str) -> Question:
    (question,) = [step.question for step in scripts()[lesson].steps if step.title == title]
    assert question is not None
    return question


def answer(question: Question) -> str:
    return question.choices[question.answer]


def computed(spec: Spec) -> Result:
    return run(spec, progress=Silent())


# --- what influence is: closed forms ---------------------------------------------------------------------------------


def line(**values: object) -> tuple[pd.DataFrame, dict[str, float]]:
    result = computed(LineSpec.parse(values))
    return result.table.set_index("index"), dict(result.tables["fit"].itertuples(index=False))


LEFT, RIGHT = 1, 15  # the outliers


def test_line_as_it_is_told() -> None:
    points, fit = line()
    assert (points.loc[[LEFT, RIGHT], "x"].tolist(), points.loc[[LEFT, RIGHT], "y"].tolist()) == (
        [-4.5, 2.5],
        [100, 100],
    )
    text = scripts()["line"].steps[0].text
    assert f"slope, {fit['slope']:.2f}.".replace("-", "−") in text
    assert 8.5 < fit["intercept"] - 5 < 9.5, "nine too high"
    said = f"The line says {fit['test_prediction']:.1f}; the error squared, the <b>loss</b>, is {fit['test_loss']:.1f}"
    assert said.replace("-", "−") in text
    assert fit["test_y"] == pytest.approx(-11)
    ends = [fit["slope"] * x + fit["intercept"] for x in (-6, 6)]
    assert ends == pytest.approx([44.4, -16.5], abs=0.1), "as sketched"


def test_line_only_the_near_outlier_harms() -> None:
    points, fit = line()
    assert points.loc[RIGHT, "left_out"] < 0 < points.loc[LEFT, "left_out"]
    raised = fit["test_loss"] + points.loc[LEFT, "left_out"]
    assert f"rise from {fit['test_loss']:.1f} to {raised:.0f}" in asked("line", "A line, pulled off").why
    assert line(removed=(LEFT,))[1]["test_loss"] == pytest.approx(raised)


def test_line_the_formula_overshoots() -> None:
    points, fit = line()
    question, text = asked("line", "Without fitting again"), scripts()["line"].steps[1].text
    predicted, really = points.loc[RIGHT, ["predicted", "left_out"]]
    assert f"predicts a change of {predicted:.0f}".replace("-", "−") in text
    left = line(removed=(RIGHT,))[1]["test_loss"]
    assert f"falls to {left:.1f}, by {-really:.0f}" in question.why
    assert left - fit["test_loss"] == pytest.approx(really)
    assert -predicted > fit["test_loss"], "more than there is"
    assert 2.5 < predicted / really < 3, "almost three times"


def test_line_signs_and_sizes() -> None:
    points, _ = line()
    predicted, really = points["predicted"], points["left_out"]
    assert (np.sign(predicted) == np.sign(really)).all(), "all twenty"
    assert ((predicted - really).abs() <= 0.1 * really.abs()).sum() == 9
    assert np.allclose(points["first_order"], predicted / (1 - points["leverage"])), "to be divided by 1 − h"


def test_line_another_question_changes_the_parts() -> None:
    points, _ = line(test_x=-4)
    assert points.loc[LEFT, "left_out"] < 0 < points.loc[RIGHT, "left_out"]
    assert points.loc[LEFT, "effect"] == "harmful"


# --- part of a network: closed forms ---------------------------------------------------------------------------------


def ends(spec: ToySpec) -> pd.DataFrame:
    steps = computed(spec).table
    return steps[steps["mark"] == "one"].set_index("method")


def test_part_losses_gradients_and_distances() -> None:
    at = ends(ToySpec(removal="group"))
    loss, gradient, away = at["loss"], at["gradient_norm"], at["distance_full"]
    why = asked("part", "FIF: as if the rest were frozen").why
    assert f"FIF ends at {loss['fif']:.1f}, PIF at {loss['pif']:.1f} and GIF at {loss['gif']:.1f}" in why
    assert f"untouched model had {loss['original']:.1f}" in why
    assert f"fitting again: {loss['retrain']:.2f}." in why
    pif = asked("part", "PIF: right, for another model")
    assert at.loc["pif", "distance_plane"] < 1e-9, "exactly where fitting again puts them"
    assert f"It is {loss['pif']:.1f}" in pif.why
    assert loss["original"] < loss["pif"] < 1.1 * loss["original"], "a little higher"
    assert f"{away['pif']:.1f} away, FIF {away['fif']:.1f}, GIF {away['gif']:.1f}" in pif.why
    assert away["pif"] == away[["gif", "fif", "pif"]].min()
    gif = asked("part", "GIF: make the whole gradient small")
    assert (
        f"gradient is {gradient['gif']:.1f}, against {gradient['fif']:.1f} for FIF and {gradient['pif']:.1f} for PIF"
        in gif.why
    )
    assert f"The loss is {loss['gif']:.1f}, against {loss['original']:.1f}" in gif.why
    assert loss["gif"] == loss[["gif", "fif", "pif", "original"]].max()


def test_part_without_correlation_the_three_agree() -> None:
    at = ends(ToySpec(removal="group", correlation=0, points=5000))[["weight_first", "weight_second"]]
    points = at.loc[["gif", "fif", "pif"]].to_numpy()
    apart = max(np.linalg.norm(one - other) for one, other in itertools.combinations(points, 2))
    way = min(np.linalg.norm(points - at.loc["original"].to_numpy(), axis=1))
    why = asked("part", "When the question does not matter").why
    assert apart < 0.03
    assert "within 0.03" in why
    assert f"a way of {way:.1f}" in why


def test_part_small_steps_end_where_one_large_one_does() -> None:
    once, often = ends(ToySpec(removal="group")), ends(ToySpec())
    columns = ["weight_first", "weight_second"]
    assert np.allclose(once.loc[["gif", "fif", "pif"], columns], often.loc[["gif", "fif", "pif"], columns], rtol=1e-8)
    assert answer(asked("part", "Once, or step by step")) == "at the same places"


# --- networks: as the page computes it -------------------------------------------------------------------------------


def rows(result: Result) -> pd.DataFrame:
    marked = result.table[(result.table["mark"] != "") | result.table["scalar"].isna()]
    return marked.set_index(["method", "mark"])


@pytest.fixture(scope="module")
def removal() -> Result:
    return computed(RemovalSpec())


def test_forgetting_one_step_is_too_short_and_the_best_is_far_out(removal: Result) -> None:
    at, trust = rows(removal), removal.tables["trust"].set_index(["method", "mark"])
    original = at.loc[("original", "")]
    assert original["self_accuracy"] > 80, "the untouched one reads more than four of five"
    for method in ("gif", "fif", "pif"):
        one, best = at.loc[(method, "one")], at.loc[(method, "best")]
        assert one["self_accuracy"] > 0.8 * original["self_accuracy"], "nearly as many as before"
        assert one["self_loss"] > original["self_loss"], "the right way"
        assert 3 < best["scalar"] < 40, "around s = 10"
        assert at.loc[("retrain", ""), "score"] - best["score"] < 0.01
        assert 0.8 < trust.loc[(method, "one"), "rho"] < 1.5
        assert abs(trust.loc[(method, "best"), "rho"]) < 0.1


def test_forgetting_where_retraining_lands(removal: Result) -> None:
    trust, at = removal.tables["trust"].set_index(["method", "mark"]), rows(removal)
    for method in ("gif", "fif", "pif"):
        row = trust.loc[(method, "best")]
        assert round(row["distance_original"]) == 6
        assert 0.95 < row["distance"] / row["distance_original"] < 1, "a few hundredths of the way"
    assert at.loc[("retrain", ""), "self_accuracy"] == 0
    assert at.loc[("retrain_warm", ""), "self_accuracy"] > 50, "more than half of the eights"


def test_forgetting_the_gradient_step_is_level(removal: Result) -> None:
    scores = [rows(removal).loc[(method, "best"), "score"] for method in ("gif", "fif", "pif")]
    scores.append(rows(computed(RemovalSpec(methods=("gradient",)))).loc[("gradient", "best"), "score"])
    assert max(scores) - min(scores) < 0.01
    assert abs(rows(removal).loc[("retrain", ""), "score"] - min(scores)) < 0.01


def test_forgetting_the_quietest_units_do_worse(removal: Result) -> None:
    control = rows(computed(RemovalSpec(criterion="lowest-outputs")))
    for method in ("gif", "fif", "pif"):
        assert control.loc[(method, "best"), "score"] < rows(removal).loc[(method, "best"), "score"] - 0.02


@pytest.fixture(scope="module")
def backdoor() -> Result:
    return computed(BackdoorSpec())


def test_backdoor_is_hidden_and_mended_at_a_price(backdoor: Result) -> None:
    at = rows(backdoor)
    corrupted, again = at.loc[("original", "")], at.loc[("retrain", "")]
    assert corrupted["clean_accuracy"] == pytest.approx(97, abs=1.5)
    assert corrupted["attack_success"] > 90, "4 to nearly all of them"
    assert corrupted["score"] == pytest.approx(0.22, abs=0.05)
    assert again["score"] == pytest.approx(0.98, abs=0.015)
    best = {method: at.loc[(method, "best")] for method in ("gif", "fif", "pif")}
    assert max(row["score"] for row in best.values()) == pytest.approx(0.9, abs=0.04)
    assert max(row["score"] for row in best.values()) < again["score"] - 0.03, "none reaches retraining"
    assert best["gif"]["clean_accuracy"] < 92
    assert corrupted["clean_accuracy"] - best["gif"]["clean_accuracy"] >= 5
    fif = backdoor.table[(backdoor.table["method"] == "fif") & (backdoor.table["mark"] == "")]
    far = fif.loc[(fif["scalar"] - 20).abs().idxmin()]
    assert far["attack_success"] < 2, "no trigger makes it say 4"
    assert far["clean_accuracy"] < 25


def test_backdoor_differences_are_within_their_errors(backdoor: Result) -> None:
    at = rows(backdoor)
    gif, fif = at.loc[("gif", "best")], at.loc[("fif", "best")]
    assert gif["images"] == 222
    assert gif["score_se"] == pytest.approx(0.014, abs=0.004)
    assert abs(fif["score"] - gif["score"]) < 2 * np.hypot(gif["score_se"], fif["score_se"])
    plain = rows(computed(BackdoorSpec(methods=("gradient",)))).loc[("gradient", "best")]
    for method in ("gif", "fif", "pif"):
        row = at.loc[(method, "best")]
        assert abs(plain["score"] - row["score"]) < 2 * np.hypot(plain["score_se"], row["score_se"])
    assert plain["score"] < at.loc[("retrain", ""), "score"] - 0.02


def test_doubt_the_warm_start_is_no_reference(removal: Result) -> None:
    at = rows(removal)
    warm, cold, best = at.loc[("retrain_warm", "")], at.loc[("retrain", "")], at.loc[("gif", "best")]
    assert warm["score"] == pytest.approx(0.55, abs=0.08)
    assert warm["self_accuracy"] > 50, "more than half"
    assert best["score"] > 0.99
    assert abs(cold["score"] - best["score"]) < 0.01


def test_doubt_one_picture_is_a_fortieth_of_the_score(removal: Result) -> None:
    confusion = removal.tables["confusion"]
    retrained = confusion[confusion["method"] == "retrain"]
    eights = int(retrained.loc[retrained["true"] == 8, "count"].sum())
    others = retrained[retrained["true"] != 8]
    right = others.loc[others["true"] == others["predicted"], "count"].sum() / others["count"].sum()
    assert (eights, int(retrained["count"].sum())) == (21, 222)

    def score(read: int) -> float:
        gone = 1 - read / eights
        return float(2 * right * gone / (right + gone))

    assert score(0) == pytest.approx(rows(removal).loc[("retrain", ""), "score"])
    assert score(0) == pytest.approx(0.9975, abs=0.006)
    assert f"By .{round(1000 * (score(0) - score(1))):03d}" in asked("doubt", "How many pictures?").why


def test_doubt_the_hessian_has_negative_eigenvalues_and_lissa_diverges() -> None:
    result = computed(SpectrumSpec(alphas=(0, 0.03, 0.1), losses=("cross-entropy",), count=682))
    at = result.table.set_index("alpha")
    assert (at["count"] == 682).all()
    assert at.loc[0.0, "negative"] == pytest.approx(100, abs=30)
    assert at.loc[0.0, "negative_share_all"] == pytest.approx(100 / 7, abs=4)
    assert at.loc[0.1, "negative"] == 0
    assert at.loc[0.1, "test_accuracy"] < 15
    lissa = result.tables["lissa"].set_index("alpha")
    assert lissa.loc[0.0, ["verdict", "measured"]].tolist() == ["diverges", "grows"]


def test_doubt_the_last_layer_names_other_images() -> None:
    result = computed(AttributionSpec(rankings=("influence", "influence-layers")))
    shared = result.tables["agreement"].set_index(["a", "b"]).loc[("influence", "influence-layers"), "common_for"]
    assert 5 <= shared <= 9
    query = result.tables["query"].iloc[0]
    assert (query["label"], query["predicted"]) == (2, 4), "a 2 is taken for a 4"


def test_doubt_the_published_drawing_is_of_another_plane() -> None:
    result = computed(ToySpec(variant="published"))
    marks = result.tables["landmarks"].groupby("landmark").last()[["weight_first", "weight_second"]]
    said = asked("doubt", "A drawing of another plane").why

    def place(name: str, digits: int) -> str:
        return "({}, {})".format(*(f"{value:.{digits}f}" for value in marks.loc[name])).replace("-", "−")

    assert f"{place('plane_optimum', 2)}, ◇" in said
    assert f"{place('drawn_optimum', 2)}, ★" in said
    assert place("full_optimum", 0) in said
