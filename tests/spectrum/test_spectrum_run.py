"""The whole experiment on a tiny scenario, and its spec."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from gif_dash.experiments import pieces
from gif_dash.experiments.spectrum import run
from gif_dash.progress import Cancelled, Postponed, Silent
from gif_dash.results import Result
from gif_dash.scenarios import Recipe, Scenario, load, register
from gif_dash.specs import SpecError, SpectrumSpec

FACTS = {"alphas": (0.0, 0.02, 0.3), "count": 12, "samples": 40, "train_steps": 30, "lissa_steps": 60}


@pytest.fixture(scope="module", autouse=True)
def blobs() -> None:
    """Three clouds in six dimensions, and a network of 4·6 + 4 + 3·4 + 3 = 43 parameters."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(150) % 3
    inputs = 2 * torch.eye(3, 6)[labels] + torch.randn(150, 6, generator=generator)
    register(
        Scenario(
            name="clouds",
            model=lambda: nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3)),
            train=TensorDataset(inputs[:100], labels[:100]),
            test=TensorDataset(inputs[100:], labels[100:]),
            classes=("a", "b", "c"),
            recipe=Recipe("sgd", lr=0.1, epochs=5, batch=25, weight_decay=1e-3),
        )
    )


def ask(**changes: object) -> SpectrumSpec:
    return SpectrumSpec.parse({"scenario": "clouds", **FACTS, **changes})


@pytest.fixture(scope="module")
def result(blobs: None) -> Result:
    return run(ask(), Silent())


def test_tables_agree_with_each_other(result: Result) -> None:
    shares, lissa = result.tables["shares"], result.tables["lissa"]
    assert list(zip(shares["loss"], shares["alpha"], strict=True)) == [
        (loss, alpha) for loss in ("cross-entropy", "squared-error") for alpha in FACTS["alphas"]
    ]
    values = result.tables["eigenvalues"]
    for _, row in shares.iterrows():
        own = values[(values["loss"] == row["loss"]) & (values["alpha"] == row["alpha"])]
        assert len(own) == 12
        assert (own["value"].abs().diff().dropna() <= 1e-15).all()
        assert row["negative_share"] == pytest.approx(100 * (own["value"] < -1e-8).mean())
        assert row["lambda_min"] <= own["value"].min()
    counts = result.tables["histogram"].groupby(["loss", "alpha"])["count"].sum()
    assert (counts == shares["p"].iloc[0]).all()
    for _, row in shares.merge(lissa, on=["loss", "alpha"], suffixes=("", "_")).iterrows():
        assert (row["verdict"] == "converges") == (row["lambda_min"] > 1e-8)
        assert row["measured"] == "falls" or row["verdict"] != "converges"


def test_trained_once_the_squared_norm_moves_every_eigenvalue_by_alpha() -> None:
    once = run(ask(fit="once", count=12), Silent())
    shares = once.tables["shares"].set_index(["loss", "alpha"])
    for loss in ("cross-entropy", "squared-error"):
        low = shares.loc[loss, "lambda_min"]
        np.testing.assert_allclose(low - low.loc[0.0], FACTS["alphas"], atol=1e-12)
        assert shares.loc[loss, "test_accuracy"].nunique() == 1
        assert shares.loc[loss, "theta_norm"].nunique() == 1
    assert shares["hvps"].sum() == 2 * shares["p"].iloc[0], "one matrix for every loss"


def test_trained_once_the_plain_norm_moves_them_by_less() -> None:
    shares = run(ask(fit="once", norm="plain"), Silent()).tables["shares"].set_index(["loss", "alpha"])
    row = shares.loc[("cross-entropy", 0.3)]
    lift = 0.15 / row["theta_norm"]
    moved = row["lambda_max"] - shares.loc[("cross-entropy", 0.0), "lambda_max"]
    assert 0 <= moved <= lift + 1e-12
    assert lift < 0.3


def test_regularised_training_shrinks_the_network(result: Result) -> None:
    norms = result.tables["shares"].groupby("loss")["theta_norm"].apply(list)
    for found in norms:
        assert found[0] > found[2]


def test_the_scenarios_own_network_once_is_the_trained_one() -> None:
    shares = run(ask(net="own", fit="once", losses=["cross-entropy"]), Silent()).tables["shares"]
    prepared = load("clouds", Silent())
    assert shares["p"].unique() == [43]
    assert shares["test_accuracy"].iloc[0] == pytest.approx(prepared.card.test_accuracy)
    norm = torch.cat([value.detach().flatten() for value in prepared.model.parameters()]).norm()
    assert shares["theta_norm"].iloc[0] == pytest.approx(float(norm), rel=1e-5)
    assert "training" not in run(ask(net="own", fit="once"), Silent()).provenance


def test_lanczos_gives_the_same_shares(result: Result) -> None:
    other = run(ask(eigensolver="lanczos"), Silent()).tables["shares"]
    shares = result.tables["shares"]
    assert set(other["eigensolver"]) == {"lanczos"}
    known = other["message"] == ""
    assert known.any()
    pd.testing.assert_series_equal(other["negative_share"][known], shares["negative_share"][known], atol=1e-9)
    np.testing.assert_allclose(other["lambda_min"], shares["lambda_min"], atol=1e-3)


def test_images_as_published_are_the_first_of_the_test_set() -> None:
    spec = ask(images="test-first", samples=7, alphas=(0.0,), losses=["cross-entropy"], fit="once")
    assert run(spec, Silent()).provenance["curvature_examples"] == 7


class Stopping(Silent):
    def __init__(self, checks: int) -> None:
        self.left = checks

    def check(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Cancelled


@pytest.mark.parametrize("checks", [0, 20, 120])
def test_stops_at_the_next_check(checks: int) -> None:
    watcher = Stopping(checks)
    with pytest.raises(Cancelled):
        run(ask(seed=5), watcher)
    assert watcher.left == -1


def test_partial_tables_grow() -> None:
    class Listening(Silent):
        seen: list[int] = []  # noqa: RUF012

        def partial(self, table: str, make: object) -> None:
            assert table == "shares"
            self.seen.append(len(make()))  # type: ignore[operator]

    run(ask(losses=["cross-entropy"], fit="once"), Listening())
    assert Listening.seen == [1, 2, 3]


def test_refusals_are_sentences() -> None:
    with pytest.raises(SpecError, match="parameters"):
        run(ask(count=5000), Silent())
    with pytest.raises(SpecError, match="Losses"):
        ask(losses=[])
    with pytest.raises(SpecError, match="α"):
        ask(alphas=[-0.1])
    assert ask(alphas=[0.3, 0.0, 0.3]).alphas == (0.0, 0.3)
    published = ask(**SpectrumSpec.PUBLISHED)
    assert len(published.alphas) == 26
    assert published.alphas[-1] == 0.25


class Busy(Silent):
    """Somebody else always waits."""

    def give_way(self) -> None:
        raise Postponed("another question goes first")


@pytest.mark.parametrize("fit", ["once", "each"])
def test_a_run_gives_way_between_its_parts_and_goes_on_to_the_same_answer(fit: str) -> None:
    spec, turns = ask(fit=fit, alphas=(0.0, 0.003), seed=5), 0
    while True:
        try:
            result = run(spec, Busy())
            break
        except Postponed:
            turns += 1
    assert turns == 2 * len(spec.losses) - 1
    shutil.rmtree(pieces.cache_dir() / "pieces")
    undisturbed = run(spec, Silent())
    own = ["seconds", "train_seconds", "hvps"]
    assert set(result.tables) == set(undisturbed.tables)
    for name, table in result.tables.items():
        expected = undisturbed.tables[name]
        pd.testing.assert_frame_equal(
            table.drop(columns=own, errors="ignore"), expected.drop(columns=own, errors="ignore"), rtol=1e-5, atol=1e-9
        )


def test_a_run_whose_parts_cannot_be_kept_does_not_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "write", lambda path, piece: False)
    assert len(run(ask(alphas=(0.0, 0.003), seed=6), Busy()).table)
