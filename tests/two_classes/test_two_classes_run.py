"""The experiment on the digits: tables, signs, leave-one-out training, refusals, progress and cancellation."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression
from two_classes_cases import DAMPING, SMALL, answer, ones_and_sevens

from gif_dash import cli, spelling
from gif_dash.compute.keys import files_fingerprint, scenario_of
from gif_dash.experiments import two_classes as experiment
from gif_dash.figures import two_classes as pictures
from gif_dash.progress import Cancelled, Silent
from gif_dash.results import Result
from gif_dash.scenarios import ScenarioError
from gif_dash.specs import SpecError, TwoClassesSpec
from gif_dash.specs.two_classes import MNIST_FILES

HINGE = TwoClassesSpec(loss="smoothed-hinge", solvers=("cg", "lissa"), depth=30, retrained=30, timings=1)


def solvers(result: Result) -> pd.DataFrame:
    return result.tables["solvers"].set_index("solver")


# --- numbers


def test_exact_solvers_are_the_closed_form_and_lissa_is_near() -> None:
    table = solvers(answer(SMALL))
    for solver in ("direct", "cg", "minres", "cgls"):
        row = table.loc[solver]
        assert row["error"] < 1e-10
        assert row["score_error"] < 1e-10
        assert (row["spearman"], row["kendall"]) == pytest.approx((1.0, 1.0))
        assert (row["top_helpful"], row["top_harmful"]) == (10, 10)
        assert row["residual"] < 1e-10
    lissa = table.loc["lissa"]
    assert 1e-6 < lissa["error"] < 0.3
    assert lissa["products"] == 2 * SMALL.depth + 2
    data, _ = ones_and_sevens()
    assert lissa["passes"] == pytest.approx(lissa["products"] * SMALL.batch / len(data) + lissa["estimating"])
    assert table.loc["direct", "passes"] == 64
    assert (table["seconds"] > 0).all()


def test_scores_have_the_sign_and_size_of_training_again() -> None:
    """Left out by scikit-learn: neither the training nor the Hessian is ours."""
    result = answer(SMALL)
    data, asked = ones_and_sevens()
    place = int((asked.positions == int(result.tables["query"]["index"].iloc[0])).nonzero()[0])
    x, y = data.x.numpy(), data.y.numpy()

    def loss(kept: np.ndarray) -> float:
        model = LogisticRegression(C=1 / (DAMPING * kept.sum()), fit_intercept=False, tol=1e-12, max_iter=10_000)
        w = model.fit(x[kept], y[kept]).coef_[0]
        return float(np.log1p(np.exp(-float(asked.y[place]) * (w @ asked.x[place].numpy()))))

    every = np.ones(len(x), dtype=bool)
    before, truth = loss(every), result.tables["truth"]
    assert list(truth["kind"]) == ["helpful"] * 3 + ["harmful"] * 3 + ["random"] * 3
    for row in truth.to_dict("records"):
        kept = every.copy()
        kept[int((data.positions == row["train_index"]).nonzero()[0])] = False
        assert row["actual"] == pytest.approx(loss(kept) - before, abs=2e-6)
        assert row["predicted"] == pytest.approx(row["actual"], rel=0.06, abs=2e-5)
        decay = result.provenance["decay"]
        assert row["predicted"] == pytest.approx((-row["influence"] + decay) / (len(x) - 1))
        if row["kind"] != "random":
            assert (row["actual"] > 0) == (row["kind"] == "helpful") == (row["influence"] < 0)
    table = solvers(result)
    assert table.loc["closed-form", "loo_pearson"] > 0.999
    assert table.loc["direct", "loo_pearson"] == pytest.approx(table.loc["closed-form", "loo_pearson"])
    assert 0.95 < result.provenance["slope"] < 1.06
    scores = result.tables["scores"]
    np.testing.assert_allclose(scores["effect"], -scores["influence"] / len(x), rtol=1e-4)


def test_order_of_the_smoothed_hinge_is_found_and_its_training_comes_to_rest() -> None:
    result = answer(HINGE)
    assert result.provenance["left_out_unconverged"] == 0
    assert result.provenance["converged"]
    assert solvers(result).loc["closed-form", "loo_pearson"] > 0.8
    assert 0 < result.provenance["images_curved"] < 40
    assert "1/(4t) = 250" in pictures.kink(result)
    assert solvers(result).loc["lissa", "error"] > solvers(result).loc["cg", "error"]


def test_error_falls_along_the_curves() -> None:
    curve = answer(SMALL).tables["curve"]
    for solver in ("cg", "minres", "cgls"):
        rows = curve[curve["solver"] == solver]
        assert rows["error"].iloc[-1] < 1e-10 < 0.01 < rows["error"].iloc[0]
        assert rows["passes"].is_monotonic_increasing
    lissa = curve[curve["solver"] == "lissa"]
    assert lissa["step"].iloc[-1] == SMALL.depth
    assert lissa["error"].iloc[-1] < 0.5 * lissa["error"].iloc[0]
    assert set(curve["solver"]) == {"cg", "minres", "cgls", "lissa"}, "direct has no steps"


def test_images_shown_are_the_first_of_their_side_and_have_pictures() -> None:
    tables = answer(SMALL).tables
    for solver, rows in tables["shown"].groupby("ranking"):
        own = tables["scores"][tables["scores"]["solver"] == solver].set_index("train_index")["effect"]
        first = rows[rows["side"] == "for"]["train_index"].tolist()
        assert first == own.sort_values(ascending=False).index[: len(first)].tolist()
        last = rows[rows["side"] == "against"]["train_index"].tolist()
        assert last == own.sort_values().index[: len(last)].tolist()
    assert tables["pictures"]["url"].str.startswith("data:image/png").all()
    assert set(tables["gallery"]["label"]) <= {1, 7}
    assert tables["gallery"]["loss"].is_monotonic_decreasing
    assert tables["query"]["index"].iloc[0] == tables["gallery"]["test_index"].iloc[0], "−1 is the highest loss"


def test_the_same_question_has_the_same_numbers() -> None:
    spec = SMALL.model_copy(update={"solvers": ("cg", "lissa"), "depth": 20, "retrained": 3, "iterations": 5})
    one, two = experiment.run(spec, Silent()), experiment.run(spec, Silent())
    for name in ("curve", "truth", "scores"):
        pd.testing.assert_frame_equal(one.tables[name], two.tables[name])
    again = Result.from_json(one.to_json())
    pd.testing.assert_frame_equal(again.tables["solvers"], one.tables["solvers"])


def test_a_batch_of_all_images_is_the_hessian_itself() -> None:
    spec = SMALL.model_copy(
        update={"solvers": ("lissa",), "batch": 1000, "depth": 400, "retrained": 0, "repeats": 1, "scale": 0.7}
    )
    result = experiment.run(spec, Silent())
    row = solvers(result).loc["lissa"]
    assert row["error"] < 1e-6
    assert row["passes"] == row["products"] + row["estimating"]
    assert not len(result.tables["truth"])
    assert "Not measured" in pictures.lands(result)
    assert pictures.scatter_html(result.tables["truth"], 0) == ""


# --- questions


def test_digits_are_two_sorted_and_different() -> None:
    assert TwoClassesSpec(classes=(7, 1)).classes == (1, 7)
    for classes in ((1,), (1, 1), (1, 2, 3), (-1, 4), (3, 10)):
        with pytest.raises(SpecError, match="two different digits"):
            TwoClassesSpec.parse({"classes": classes})


def test_other_test_images_and_digits() -> None:
    _, asked = ones_and_sevens()
    index = int(asked.positions[5])
    spec = SMALL.model_copy(update={"test_index": index, "solvers": ("cg",), "retrained": 0, "iterations": 3})
    assert experiment.run(spec, Silent()).tables["query"]["index"].iloc[0] == index
    other = next(place for place in range(450) if place not in asked.positions.tolist())
    with pytest.raises(SpecError, match="shows neither 1 nor 7"):
        experiment.run(spec.model_copy(update={"test_index": other}), Silent())


def test_every_spelling_restores_the_question() -> None:
    spec = TwoClassesSpec(classes=(3, 8), loss="smoothed-hinge", temperature=0.05, solvers=("cg",), damping=0.1)
    assert spelling.from_query(TwoClassesSpec, spelling.to_query(spec)) == (spec, [])
    words = shlex.split(spelling.to_cli(spec))
    assert words[:3] == ["gif-dash", "run", "two-classes"]
    code = spelling.to_python(spec).splitlines()[2].removeprefix("result = run(").removesuffix(")")
    assert eval(code, {"TwoClassesSpec": TwoClassesSpec}) == spec


def test_command_computes_and_shows_the_solvers(tmp_path: Path) -> None:
    out = tmp_path / "solvers.csv"
    settings = ["--solvers", "cg,lissa", "--depth", "5", "--retrained", "0", "--timings", "1"]
    outcome = CliRunner().invoke(cli.main, ["run", "two-classes", *settings, "--out", str(out)])
    assert outcome.exit_code == 0, outcome.output
    assert "closed form" in outcome.output
    assert pd.read_csv(out)["solver"].tolist() == ["closed-form", "cg", "lissa"]


# --- MNIST


def test_mnist_that_is_not_here_is_a_sentence_where_nobody_is_patient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIF_DASH_DATA", str(tmp_path))

    class Visitor(Silent):
        patient = False

    with pytest.raises(ScenarioError, match="run gif-dash prepare mnist-cnn"):
        experiment.run(TwoClassesSpec(data="mnist"), Visitor())


def test_changed_files_of_mnist_are_another_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIF_DASH_DATA", str(tmp_path))
    spec = TwoClassesSpec(data="mnist")
    assert scenario_of(spec) == "" == files_fingerprint(TwoClassesSpec())
    absent = files_fingerprint(spec)
    for name in MNIST_FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"0")
    before = files_fingerprint(spec)
    (tmp_path / MNIST_FILES[1]).write_bytes(b"01")
    assert len({absent, before, files_fingerprint(spec)}) == 3


# --- progress


class Watching(Silent):
    """Remembers what it is told; may cancel in a stage."""

    def __init__(self, until: str = "") -> None:
        self.now, self.until, self.stages, self.tables = "", until, [], {}  # type: ignore[var-annotated]
        self.advanced = 0

    def stage(self, title: str, total: int = 0) -> None:
        self.now, self.advanced = title, 0
        self.stages.append(title)

    def advance(self, units: int = 1) -> None:
        self.advanced += units

    def partial(self, table: str, make: Callable[[], pd.DataFrame]) -> None:
        self.tables[table] = make

    def check(self) -> None:
        if self.until and self.now.startswith(self.until) and self.advanced >= (self.until != "Training to"):
            raise Cancelled


QUICK = SMALL.model_copy(update={"solvers": ("cg", "lissa"), "depth": 10, "retrained": 6, "repeats": 1})


def test_pictures_and_curves_are_told_before_images_are_left_out() -> None:
    watching = Watching("Training again")
    threads = torch.get_num_threads()
    with pytest.raises(Cancelled):
        experiment.run(QUICK, watching)
    assert torch.get_num_threads() == threads
    assert {"query", "shown", "gallery", "pictures", "scores", "curve", "truth"} <= set(watching.tables)
    assert len(watching.tables["truth"]()) == 1
    assert len(watching.tables["curve"]())


@pytest.mark.parametrize("stage", ["Training to", "Solving"])
def test_a_run_can_be_cancelled_at_any_time(stage: str) -> None:
    watching = Watching(stage)
    with pytest.raises(Cancelled):
        experiment.run(QUICK, watching)
    assert watching.stages[-1].startswith(stage)
