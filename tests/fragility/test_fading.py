"""Fading: exact in the long run on what is convex, the noise that is asked for, and the panel."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from panels.panels_fakes import FakeClient, context

from gif_dash.experiments.fading import batches, moments, reweighted, run
from gif_dash.figures import fading as pictures
from gif_dash.panels.fading import FadingPanel
from gif_dash.progress import Cancelled, Silent
from gif_dash.results import Result
from gif_dash.specs import FadingSpec

#: Convex and strongly regularised: it settles, and the influence is right in the long run.
CONVEX = FadingSpec(
    depth=0, weight_decay=0.1, damping=0.0, seeds=2, points=6, train_steps=700, steps=400, batch=30, rate=0.1
)


@pytest.fixture(scope="module")
def convex() -> Result:
    return run(CONVEX, Silent())


def test_convex_training_comes_to_what_was_predicted(convex: Result) -> None:
    curve, networks = convex.tables["curve"], convex.tables["networks"]
    assert networks["gradient_norm"].max() < 1e-10
    last = curve[(curve["steps"] == 400) & (curve["noise"] == "none")].set_index(["estimate", "seed"])
    for seed in (0, 1):
        assert last.loc[("influence", seed), "pearson"] > 0.99
        predicted = float(networks.set_index("seed").loc[seed, "norm_predicted"])
        assert last.loc[("influence", seed), "divergence"] == pytest.approx(predicted, rel=0.15)
        assert last.loc[("influence", seed), "travelled"] < 1e-9, "without an intervention nothing moves"
    first = curve[(curve["steps"] == 1) & (curve["noise"] == "none")].set_index(["estimate", "seed"])
    assert first.loc[("gradient-product", 0), "pearson"] > 0.999, "the first step is along the gradient"


def test_own_batches_drown_the_intervention(convex: Result) -> None:
    last = convex.tables["curve"].query("steps == 400 and estimate == 'influence'").groupby("noise")
    divergence = last["divergence"].mean()
    assert divergence["own"] > 3 * divergence["none"]
    assert last["pearson"].mean()["own"] < last["pearson"].mean()["none"]


def test_a_doubled_example_moves_the_other_way() -> None:
    asked = CONVEX.model_copy(update={"noises": ("none",), "seeds": 1})
    doubled = run(asked.model_copy(update={"intervention": "doubling"}), Silent()).tables["curve"]
    last = doubled[(doubled["steps"] == 400) & (doubled["estimate"] == "influence")]
    assert last["pearson"].iloc[0] > 0.99


def test_weights_and_batches() -> None:
    weights = reweighted(4, [None, 1], "doubling")
    torch.testing.assert_close(weights[1], torch.tensor([1, 2, 1, 1], dtype=torch.float64) / 5)
    assert reweighted(4, [2], "removal")[0].tolist() == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3])
    own = batches(50, 12, 3, False, torch.Generator().manual_seed(0))
    assert own.unique().tolist() == [0.0, 4.0]
    assert (own.sum(1) == 12).all(), "a batch counts as much as all examples"
    assert len({tuple(row) for row in own.tolist()}) > 30
    shared = batches(5, 12, 3, True, torch.Generator().manual_seed(0))
    assert (shared == shared[0]).all()
    assert moments(10)[0] == 1
    assert moments(3000)[-1] == 3000


def test_no_noise_is_the_same_every_time(convex: Result) -> None:
    again = run(CONVEX.model_copy(update={"noises": ("none",)}), Silent()).tables["curve"]
    first = convex.tables["curve"].query("noise == 'none'")
    np.testing.assert_array_equal(first["spread"], again["spread"])


def test_cancel() -> None:
    class Cancelling(Silent):
        def check(self) -> None:
            raise Cancelled

    with pytest.raises(Cancelled):
        run(CONVEX, Cancelling())


def test_the_panel_shows_a_stored_answer_and_its_ways_out(convex: Result) -> None:
    client = FakeClient()
    client.answers[CONVEX.canonical()] = convex
    panel = FadingPanel(context(client))
    panel.spec = CONVEX
    panel.form.write(CONVEX)
    panel.show()
    panel.context.ticker.tick()
    assert client.submitted == []
    lines = {line["key"]: line for line in panel.chart.chart["lines"]}
    assert list(lines) == ["none-influence", "shared-influence", "own-influence", "none-gradient-product"]
    assert lines["none-influence"]["x"][-1] == 400
    assert "<strong>No noise</strong>: Pearson" in panel.words.value
    assert "For how long does the prediction hold?" in panel.words.value
    panel.chart.position = 30.0
    panel.context.ticker.tick()
    assert "at=30" in panel.share.query
    assert "gradient product, no noise" in panel.export_html()
    assert "gif-dash run fading" in panel.share.command
    assert {"noise", "steps", "Pearson"} <= set(pictures.summary(convex))
    assert math.isfinite(pictures.summary(convex)["Pearson"].iloc[0])


def test_a_faded_prediction_is_said() -> None:
    curve = curve_of([0.9, 0.8, 0.2, 0.1])
    networks = {"seed": [0], "norm_predicted": [0.1], "gradient_norm": [0.01]}
    spec = {**FadingSpec(noises=("none",), seeds=1).model_dump(mode="json"), "experiment": "fading"}
    result = Result(spec, {"curve": curve, "networks": pd.DataFrame(networks)})
    assert "at most 0.90 (after 1), 0.10 after 1000; below 0.5 from step 100 on." in pictures.holds(result)
    back = Result(spec, {"curve": curve_of([0.9, 0.2, 0.8, 0.9]), "networks": pd.DataFrame(networks)})
    assert "below" not in pictures.holds(back), "it came back"


def curve_of(pearsons: list[float]) -> pd.DataFrame:
    known = {"noise": "none", "seed": 0, "estimate": "influence", "spearman": 0.5, "divergence": 0.1, "spread": 0.01}
    return pd.DataFrame({**known, "pearson": value, "steps": 10**place} for place, value in enumerate(pearsons))
