"""Corrupted training data: the trigger in pixel space, who is chosen, and networks that are never mixed up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from gif_dash.progress import Silent
from gif_dash.scenarios import Recipe, Scenario, ScenarioError, load
from gif_dash.scenarios.backdoor import Attack, Greys, Stamped, Trigger, attacked, png
from gif_dash.scenarios.folder import folder_scenario

RECIPE = Recipe("sgd", lr=0.1, epochs=1, batch=50)


def scenario(inputs: Tensor, name: str = "tiny", classes: int = 2) -> Scenario:
    labels = torch.arange(len(inputs)) % classes
    data = TensorDataset(inputs, labels)
    size = inputs[0].numel()
    return Scenario(
        name,
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(size, classes)),
        data,
        data,
        "abcdefgh"[:classes],
        recipe=RECIPE,
    )


def test_published_pattern_by_hand() -> None:
    rows = Trigger("checkerboard", 16).mask(3, 4).int().tolist()
    assert rows == [[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1]]
    assert Trigger("corner", 16).mask(8, 8).nonzero().tolist() == [[6, 6], [6, 7], [7, 6], [7, 7]]
    assert Trigger("corner", 16).mask(28, 28).sum() == 16
    assert Trigger("frame", 16).mask(4, 5).sum() == 14
    with pytest.raises(ScenarioError, match="no trigger named"):
        Trigger("stripes", 16).mask(4, 4)


@pytest.mark.parametrize("channels", [0, 1, 3])
def test_trigger_adds_grey_levels_before_normalisation_and_stops_at_white(channels: int) -> None:
    """Against pixels: stamp whole bytes, then normalise."""
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (40, *([channels] if channels else []), 6, 6)).float()
    pixels.view(-1)[::7] = 255.0
    pixels.view(-1)[1::7] = 0.0
    mean, std = (torch.tensor([0.3, 0.5, 0.4])[: max(1, channels)], torch.tensor([0.2, 0.3, 0.25])[: max(1, channels)])
    if channels:
        mean, std = mean.view(-1, 1, 1), std.view(-1, 1, 1)

    def normalised(values: Tensor) -> Tensor:
        return (values / 255 - mean) / std

    prepared = load(scenario(normalised(pixels)), Silent())
    greys = Greys.of(prepared)
    by_hand = pixels.clone()
    by_hand[..., ::2, 1::2] += 40
    by_hand[..., 1::2, ::2] += 40
    by_hand.clamp_(max=255)
    stamped = Trigger("checkerboard", 40).stamp(prepared.train.batch(torch.arange(40))[0], greys)
    torch.testing.assert_close(stamped, normalised(by_hand), atol=1e-5, rtol=0)
    shown = greys.levels(stamped)
    assert shown.shape == (40, max(1, channels), 6, 6)
    assert torch.equal(shown.view(by_hand.shape).float(), by_hand)


def test_folder_of_pictures_knows_its_grey_levels(tmp_path: Path) -> None:
    """No picture is black or white, so that the extreme values would mislead."""
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for place in range(6):
            values = generator.integers(60, 180, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(values).save(tmp_path / name / f"{place}.png")
    made = folder_scenario(tmp_path, network="small-cnn", size=8)
    prepared = load(made, Silent())
    greys = Greys.of(prepared)
    before = prepared.train.batch(torch.arange(3))[0]
    after = Trigger("frame", 30).stamp(before, greys)
    change = greys.levels(after).int() - greys.levels(before).int()
    assert set(change.unique().tolist()) == {0, 30}
    assert (change > 0).any(dim=0).sum() == 3 * 28


def test_chosen_pictures() -> None:
    labels = torch.tensor([0, 1, 2, 3] * 50)
    attack = Attack(Trigger("checkerboard", 16), 2, 10.0, 5)
    chosen = attack.chosen(labels)
    assert len(chosen) == 20
    assert len(torch.unique(chosen)) == 20
    assert bool((labels[chosen] != 2).all())
    assert torch.equal(chosen, attack.chosen(labels))
    assert not torch.equal(chosen, Attack(attack.trigger, 2, 10.0, 6).chosen(labels))
    with pytest.raises(ScenarioError, match="of the other classes"):
        Attack(attack.trigger, 2, 80.0, 5).chosen(labels)


def test_only_chosen_pictures_change() -> None:
    prepared = load(scenario(torch.rand(10, 1, 4, 4)), Silent())
    where = torch.zeros(10, dtype=torch.bool)
    where[[2, 7]] = True
    labels = torch.full((10,), 1)
    stamped = Stamped(prepared.train, Trigger("checkerboard", 100), Greys.of(prepared), where, labels)
    indices = torch.tensor([7, 3, 2])
    inputs, targets = stamped.batch(indices)
    before, _ = prepared.train.batch(indices)
    assert torch.equal(inputs[1], before[1])
    assert bool((inputs[0] != before[0]).any())
    assert bool((inputs[2] != before[2]).any())
    assert targets.tolist() == [1, 1, 1]
    assert torch.equal(prepared.train.batch(indices)[0], before)  # nothing was written into the data


def test_data_that_are_no_pictures_are_refused() -> None:
    with pytest.raises(ScenarioError, match=r"needs pictures.*shape \(13,\)"):
        Greys.of(load(scenario(torch.rand(10, 13), "wine"), Silent()))


def test_network_and_reference_belong_to_one_attack() -> None:
    """One corrupted picture of many: settings that hardly show in the data still make another network."""
    original = load(scenario(torch.rand(2000, 1, 4, 4), "vast"), Silent())
    first = Attack(Trigger("checkerboard", 16), 1, 0.05, 0)
    others = (
        Attack(Trigger("checkerboard", 17), 1, 0.05, 0),
        Attack(Trigger("frame", 16), 1, 0.05, 0),
        Attack(Trigger("checkerboard", 16), 0, 0.05, 0),
        Attack(Trigger("checkerboard", 16), 1, 0.1, 0),
        Attack(Trigger("checkerboard", 16), 1, 0.05, 1),
    )
    trained = attacked(original, first, Silent())
    identities = {original.identity, trained.corrupted.identity, trained.relabelled.identity}
    for other in others:

        def refuse() -> bool:
            return False

        with pytest.raises(ScenarioError, match="not here yet"):
            attacked(original, other, Silent(), refuse)
        identities.add(attacked(original, other, Silent()).corrupted.identity)
    assert len(identities) == 3 + len(others)
    again = attacked(original, first, Silent(), lambda: False)  # it is there by now
    for mine, theirs in zip(again.corrupted.model.parameters(), trained.corrupted.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    assert not again.has_reference("relabelling", "cold")
    again.reference("relabelling", "cold", Silent())
    assert again.has_reference("relabelling", "cold")
    assert not again.has_reference("removal", "cold")


def test_scenario_under_attack() -> None:
    inputs = torch.rand(60, 1, 4, 4)
    original = load(scenario(inputs, "three", 3), Silent())
    found = attacked(original, Attack(Trigger("checkerboard", 50), 2, 20.0, 0), Silent())
    everything = torch.arange(60)
    wrong_inputs, wrong = found.corrupted.train.batch(everything)
    right_inputs, right = found.relabelled.train.batch(everything)
    assert torch.equal(wrong_inputs, right_inputs)
    assert torch.equal(right, original.train_labels)
    changed = (wrong != right).nonzero().flatten()
    assert torch.equal(changed, found.group)
    assert bool((wrong[changed] == 2).all())
    assert torch.equal(found.corrupted.train_labels, wrong)
    shifted = found.triggered.batch(everything)
    assert torch.equal(shifted[1], original.test_labels)
    assert bool(((shifted[0] - inputs).abs().amax((1, 2, 3)) > 0).all())
    assert original.train.batch(everything)[1].tolist() == original.train_labels.tolist()


def test_a_trained_network_without_a_recipe_cannot_be_attacked() -> None:
    data = TensorDataset(torch.rand(20, 1, 4, 4), torch.arange(20) % 2)
    frozen = Scenario("fixed", nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), data, data, "ab")
    with pytest.raises(ScenarioError, match="pass retrain="):
        attacked(load(frozen, Silent()), Attack(Trigger("frame", 16), 0, 10.0, 0), Silent())


def test_png_is_small_and_true() -> None:
    import base64
    import io

    picture = torch.arange(64, dtype=torch.uint8).view(1, 8, 8)
    url = png(picture)
    assert url.startswith("data:image/png;base64,")
    back = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    assert np.array_equal(np.asarray(back), picture[0].numpy())
    large = Image.open(io.BytesIO(base64.b64decode(png(torch.zeros(3, 300, 200, dtype=torch.uint8)).partition(",")[2])))
    assert max(large.size) == 96
