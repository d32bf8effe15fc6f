"""The whole experiment: exact where it must be, parts that are kept, cancelling."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from gif_dash.experiments import fleet
from gif_dash.experiments.fragility import parts, run
from gif_dash.experiments.small_data import iris
from gif_dash.progress import Cancelled, Postponed, Silent
from gif_dash.results import Result
from gif_dash.scenarios import ScenarioError, training
from gif_dash.specs import FragilitySpec

#: A quadratic: leaving an example out is a linear system.
QUADRATIC = FragilitySpec(
    vary="damping",
    values=(0.0,),
    depth=0,
    loss="squared-error",
    weight_decay=0.1,
    hessians=("exact", "rest"),
    seeds=1,
    points=8,
    train_steps=600,
    steps=600,
)


@pytest.fixture(scope="module")
def quadratic() -> Result:
    return run(QUADRATIC, Silent())


def test_on_a_quadratic_the_estimate_of_the_rest_is_the_truth(quadratic: Result) -> None:
    points = quadratic.tables["points"]
    rest = points[points["hessian"] == "rest"]
    np.testing.assert_allclose(rest["predicted"], rest["retrained"], rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(rest["norm_predicted"], rest["norm_retrained"], rtol=1e-8)
    summary = quadratic.tables["summary"].set_index("hessian")
    assert summary.loc["rest", "pearson"] == pytest.approx(1.0, abs=1e-12)
    assert summary.loc["rest", "spearman"] == pytest.approx(1.0)
    assert 0.9 < summary.loc["exact", "pearson"] < 1 - 1e-9, "the classic one is of first order only"
    assert summary.loc["exact", "gradient_norm"] < 1e-12
    assert abs(summary.loc["exact", "continued"]) < 1e-12


def test_the_quadratic_against_ridge_regression(quadratic: Result) -> None:
    """Nothing of the engine: normal equations with and without an example (mean over 3 outputs, so μ counts thrice)."""
    data = iris()
    ones = torch.ones(data.n, 1, dtype=torch.float64)
    design, wanted = torch.cat([data.train[0], ones], 1), data.wanted()

    def solved(kept: torch.Tensor) -> torch.Tensor:
        some = design[kept]
        left = 2 / 3 / len(kept) * some.T @ some + 0.1 * torch.eye(5, dtype=torch.float64)
        return torch.linalg.solve(left, 2 / 3 / len(kept) * some.T @ wanted[kept])

    def loss(weights: torch.Tensor) -> float:
        index = int(quadratic.tables["summary"]["test_index"].iloc[0])
        row = torch.cat([data.test[0][index], torch.ones(1, dtype=torch.float64)])
        label = F.one_hot(data.test[1][index], 3)
        return float((row @ weights - label).square().mean())

    every = torch.arange(data.n)
    before = loss(solved(every))
    points = quadratic.tables["points"]
    for row in points[points["hessian"] == "rest"].to_dict("records"):
        without = solved(every[every != row["train_index"]])
        assert row["retrained"] == pytest.approx(loss(without) - before, rel=1e-7, abs=1e-11)


def test_points_are_the_most_influential_and_the_test_example_has_the_highest_loss(quadratic: Result) -> None:
    points = quadratic.tables["points"]
    exact = points[points["hessian"] == "exact"]
    assert (exact["predicted"].abs().diff().dropna() <= 0).all()
    assert exact["train_index"].is_unique
    data, network = iris(), training.build(lambda: fleet.dense(4, 3, 5, 0, "relu").double(), 0)
    assert len(exact) == 8
    assert data.n == 120
    assert network[0].weight.shape == (3, 4)


SMALL = FragilitySpec(values=(2.0, 3.0), seeds=2, points=3, train_steps=40, steps=20, hessians=("exact", "rest"))


def test_parts_are_kept_and_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIF_DASH_CACHE", str(tmp_path))

    class Busy(Silent):
        def give_way(self) -> None:
            raise Postponed

    assert parts(SMALL) == [(2.0,), (3.0,)]
    with pytest.raises(Postponed):
        run(SMALL, Busy())
    kept = list((tmp_path / "pieces").iterdir())
    assert len(kept) == 1
    told: list[str] = []

    class Listening(Silent):
        def stage(self, title: str, total: int = 0) -> None:
            told.append(title)

    whole = run(SMALL, Listening())
    assert not any("width 2" in title for title in told)
    assert any(title == "width 3: retraining 8 networks" for title in told)
    shutil.rmtree(tmp_path / "pieces")
    fresh = run(SMALL, Silent())
    for name in ("points", "summary"):
        pd.testing.assert_frame_equal(
            whole.tables[name].drop(columns=["seconds", "retraining_seconds"], errors="ignore"),
            fresh.tables[name].drop(columns=["seconds", "retraining_seconds"], errors="ignore"),
        )
    assert set(fresh.tables["summary"]["p"]) == {2 * 4 + 2 + 3 * 2 + 3, 3 * 4 + 3 + 3 * 3 + 3}


def test_several_decays_are_one_run_and_do_not_mix() -> None:
    """A network trained beside others of another weight decay is the one that is trained alone."""
    asked = {"vary": "weight-decay", "seeds": 1, "points": 3, "train_steps": 60, "steps": 30, "cold": "yes"}
    both = run(FragilitySpec.parse({**asked, "values": (0.0, 0.1)}), Silent()).tables["points"]
    alone = run(FragilitySpec.parse({**asked, "values": (0.1,)}), Silent()).tables["points"]
    together = both[both["value"] == 0.1].reset_index(drop=True)
    pd.testing.assert_frame_equal(together, alone, rtol=1e-9, atol=1e-9)
    assert not np.allclose(alone["retrained_cold"], alone["retrained"])


def test_cancelling_stops_between_steps() -> None:
    class Cancelling(Silent):
        beats = 0

        def check(self) -> None:
            self.beats += 1
            if self.beats > 2:
                raise Cancelled

    with pytest.raises(Cancelled):
        run(SMALL.model_copy(update={"train_steps": 100_000, "seed": 7}), Cancelling())


def test_a_click_does_not_start_mnist() -> None:
    class Click(Silent):
        patient = False

    spec = FragilitySpec(data="mnist", vary="damping", hessians=("exact",))
    with pytest.raises(ScenarioError, match="gif-dash run fragility --data mnist --vary damping"):
        run(spec, Click())


@pytest.mark.data
@pytest.mark.skipif("GIF_DASH_DATA" not in os.environ, reason="needs MNIST under GIF_DASH_DATA")
def test_mnist_in_a_few_steps() -> None:
    spec = FragilitySpec(
        data="mnist",
        vary="weight-decay",
        values=(1e-2,),
        hessians=("sample",),
        seeds=1,
        points=3,
        train_steps=10,
        steps=2,
        rate=0.02,
        curvature_samples=50,
    )
    found = run(spec, Silent()).tables
    assert len(found["points"]) == 3
    assert found["points"]["retrained"].map(np.isfinite).all()
    assert set(found["summary"]["p"]) == {2538}
