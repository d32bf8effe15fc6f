"""Mislabelled data: labels, curves and areas by hand, the experiment on a tiny scenario, its panel."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from attribution_fakes import Bars
from attribution_scenario import NAME, loaded, scenario
from panels.panels_fakes import asking, context

from gif_dash.compute.client import View
from gif_dash.experiments import mislabelled
from gif_dash.figures import mislabelled as pictures
from gif_dash.panels.mislabelled import MislabelledPanel
from gif_dash.progress import Cancelled, Silent
from gif_dash.results import LayerCard, Result
from gif_dash.scenarios import ScenarioError, register
from gif_dash.scenarios.relabelled import flipped, relabelled, trained
from gif_dash.specs import MislabelledSpec, SpecError

torch.set_num_threads(1)
SPEC = MislabelledSpec(scenario=NAME, share=20, inspected=(20,), shown=6)


@cache
def answer(spec: MislabelledSpec = SPEC) -> Result:
    register(scenario())
    return mislabelled.run(spec, Silent())


# --- labels, curves, areas


def test_flipped_labels_are_of_other_classes_seeded_and_counted() -> None:
    labels = torch.arange(90) % 3
    changed, where = flipped(labels, 3, 20, 0)
    assert len(where) == 18
    assert (changed[where] != labels[where]).all()
    rest = torch.ones(90, dtype=torch.bool)
    rest[where] = False
    assert (changed[rest] == labels[rest]).all()
    assert set(((changed - labels)[where] % 3).tolist()) == {1, 2}
    assert torch.equal(flipped(labels, 3, 20, 0)[0], changed)
    assert not torch.equal(flipped(labels, 3, 20, 1)[0], changed)
    for share in (0.1, 100):
        with pytest.raises(ScenarioError, match="some, and not all"):
            flipped(labels, 3, share, 0)


def test_curve_and_area_by_hand() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, np.nan])
    wrong = np.array([True, False, True, False, False, True])
    np.testing.assert_allclose(mislabelled.found_share(scores, wrong, 7), [0, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 2 / 3, 1])
    area, error = mislabelled.area_under_roc(scores, wrong)
    assert area == pytest.approx((3 + 2 + 0) / 9)
    assert 0 < error < 0.5
    assert mislabelled.area_under_roc(np.ones(6), wrong)[0] == 0.5


def test_area_is_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(0)
    scores, wrong = rng.integers(0, 8, 60).astype(float), rng.random(60) < 0.3
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[wrong] for b in scores[~wrong]]
    assert mislabelled.area_under_roc(scores, wrong)[0] == pytest.approx(np.mean(pairs))


def test_other_labels_are_another_training_and_the_right_ones_the_first() -> None:
    ready = loaded()
    labels, where = flipped(ready.train_labels, 3, 30, 0)
    other, _ = trained(relabelled(ready, labels), 0, Silent())
    inputs, targets = other.train.batch(where[:4])
    assert torch.equal(targets, labels[where[:4]])
    assert torch.equal(inputs, ready.train.batch(where[:4])[0])
    same, _ = trained(relabelled(relabelled(ready, labels), ready.train_labels), 0, Silent())
    for name, value in ready.model.state_dict().items():
        torch.testing.assert_close(same.model.state_dict()[name], value)
    assert other.card.fingerprint not in (ready.card.fingerprint, same.card.fingerprint)
    assert not torch.equal(other.model.state_dict()["3.weight"], ready.model.state_dict()["3.weight"])


# --- the experiment


def test_wrong_labels_are_found_and_corrected() -> None:
    result = answer()
    areas = result.tables["areas"].set_index("ranking")["auc"]
    assert areas["self-influence"] > 0.85
    detection = result.table
    for ranking in mislabelled.RANKINGS:
        curve = detection[detection["ranking"] == ranking]["found"].to_numpy()
        assert (np.diff(curve) >= 0).all()
        assert (curve[0], curve[-1]) == (0, 100)
    scores = result.tables["scores"]
    assert (scores["wrong"] == (scores["label"] != scores["right_label"])).all()
    assert scores["wrong"].sum() == 18
    repairs = result.tables["repairs"]
    done = repairs[repairs["labels"] == "repaired"].set_index("ranking")
    first = scores.nlargest(18, "self-influence", keep="first")
    assert done["wrong_left"]["self-influence"] == 18 - first["wrong"].sum()
    assert list(repairs["labels"]) == ["wrong", "right", "repaired", "repaired", "repaired"]


@pytest.mark.parametrize(
    "changes", [{"part": "network"}, {"part": "subspace", "rank": 15}, {"curvature": "gauss-newton"}]
)
def test_other_parts_find_them_too(changes: dict[str, object]) -> None:
    spec = SPEC.model_copy(update={**changes, "inspected": ()})
    result = answer(spec)
    assert result.tables["areas"]["auc"].iloc[0] > 0.7
    assert result.provenance["exact"] == (changes.get("part") != "subspace")
    assert len(result.tables["repairs"]) == 2
    assert "Not measured" in pictures.repairs(result)


def test_refusals() -> None:
    card = loaded().card
    with pytest.raises(SpecError, match="shares go from"):
        MislabelledSpec.parse({"inspected": [0]})
    with pytest.raises(SpecError, match="exact inverse"):
        SPEC.model_copy(update={"part": "network"}).check(card.model_copy(update={"parameters": 3001}))
    large = LayerCard(name="fc", kind="Linear", parameters=3001, selectable=True)
    with pytest.raises(SpecError, match="take a subspace"):
        SPEC.check(card.model_copy(update={"layers": (large,)}))
    with pytest.raises(SpecError, match="from scratch"):
        SPEC.check(card.model_copy(update={"has_cold_reference": False}))

    class Leaving(Silent):
        def check(self) -> None:
            raise Cancelled

    with pytest.raises(Cancelled):
        mislabelled.run(SPEC.model_copy(update={"seed": 5}), Leaving())


# --- the panel


def opened(client: Bars) -> MislabelledPanel:
    return asking(MislabelledPanel(context(client)), SPEC)


def test_panel_shows_curves_words_and_pictures() -> None:
    client = Bars()
    client.keep(answer(), SPEC)
    panel = opened(client)
    assert client.submitted == []
    assert [line["key"] for line in panel.chart.chart["lines"]] == list(mislabelled.RANKINGS)
    assert "Does self-influence find them?" in panel.verdicts.value
    assert "Does correcting them help?" in panel.verdicts.value
    assert panel.images.value.count("<figure") == 6
    assert "&lt;right&gt;" in panel.images.value
    assert "<right>" not in panel.images.value
    assert "pictures" not in panel.export_tables()
    assert "Wrong labels found" in panel.export_html()
    assert len(pictures.summary(answer())) == 5
    assert "20" in pictures.detection_html(answer())


def test_panel_follows_a_run_with_the_answer_before_as_ghost() -> None:
    client = Bars()
    client.keep(answer(), SPEC)
    panel = opened(client)
    panel.form.set(seed=3)
    panel.context.ticker.tick()
    panel.run()
    client.views["ticket-1"] = View("running", version=1, partial={"detection": answer().table})
    panel.context.ticker.tick()
    assert len(panel.chart.chart["ghosts"]) == 3
    panel.cancel()
    assert panel.chart.chart["ghosts"] == []
    assert panel.bar.status == "Cancelled"


def test_words_follow_the_numbers() -> None:
    result = answer()

    def with_area(ours: float, loss: float) -> Result:
        areas = result.tables["areas"].assign(auc=[ours, loss, 0.5], auc_se=0.01)
        return Result(result.spec, {**result.tables, "areas": areas}, result.provenance)

    assert "far better than chance" in pictures.finds(with_area(0.95, 0.95))
    assert "the loss alone does as well" in pictures.finds(with_area(0.95, 0.93))
    assert "worse than the loss alone" in pictures.finds(with_area(0.80, 0.95))
    assert "better than the loss alone" in pictures.finds(with_area(0.95, 0.80))
    assert "Not better than chance" in pictures.finds(with_area(0.51, 0.95))
