"""Methods over seeds: against class removal, over networks that differ, and through interruptions."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset

from gif_dash import cli, notices
from gif_dash.experiments import editing, methods, pieces, removal
from gif_dash.progress import Cancelled, Postponed, Silent
from gif_dash.results import Result
from gif_dash.scenarios import Recipe, Scenario, ScenarioError, load, register
from gif_dash.scenarios.reseeded import is_trained, reseeded
from gif_dash.specs import MethodsSpec


def scenario(name: str, **other: object) -> Scenario:
    """A small network on four digits; trains in a second."""
    digits = load_digits(n_class=4)
    inputs, labels = torch.tensor(digits.images / 16, dtype=torch.float32), torch.tensor(digits.target)
    known = {
        "name": name,
        "model": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.Tanh(), nn.Linear(12, 4)),
        "train": TensorDataset(inputs[:400], labels[:400]),
        "test": TensorDataset(inputs[400:], labels[400:]),
        "classes": ["zero", "one", "two", "three"],
        "recipe": Recipe("sgd", lr=0.3, epochs=8, batch=100, weight_decay=1e-2),
    }
    return Scenario(**{**known, **other})  # type: ignore[arg-type]


@pytest.fixture(scope="module", autouse=True)
def small() -> None:
    register(scenario("methods-small"))


QUICK = {"mrs": (20, 50), "iterations": 3, "s_max": 100, "curvature_samples": 200, "forget_classes": (3,)}


def ask(**changes: object) -> MethodsSpec:
    return MethodsSpec.parse({"scenario": "methods-small", **QUICK, **changes})


@pytest.fixture(scope="module")
def result(small: None) -> Result:
    return methods.run(ask(seeds=2, others="yes", methods=("gif", "pif", "if", "gradient", "if2")), Silent())


METRICS = ["scalar", "test_accuracy", "test_loss", "self_accuracy", "self_loss", "score"]


def test_every_number_of_the_first_seed_is_that_of_class_removal(result: Result) -> None:
    spec = MethodsSpec.parse({name: value for name, value in result.spec.items() if name != "experiment"})
    table = result.table
    for mr in spec.mrs:
        single = removal.run(spec.removal(mr=mr), Silent())
        own = table[(table["group"] == "chosen") & (table["seed"] == 0)]
        for name in ("gif", "pif", "if", "gradient", "if2", "retrain", "retrain_warm", "original"):
            expected = single.table[single.table["method"] == name].reset_index(drop=True)
            found = own[own["method"] == name]
            if name in ("gif", "pif", "gradient"):
                found = found[found["mr"] == mr]
            found = found.reset_index(drop=True)
            pd.testing.assert_frame_equal(found[METRICS], expected[METRICS], rtol=1e-5)
        trust = single.tables["trust"].set_index(["method", "mark"])
        marked = own[(own["mr"] == mr) & (own["mark"] != "")].set_index(["method", "mark"])
        for key in (("gif", "one"), ("pif", "best")):
            assert marked.loc[key, "rho"] == pytest.approx(trust.loc[key, "rho"], rel=1e-4)
            assert marked.loc[key, "distance"] == pytest.approx(trust.loc[key, "distance"], rel=1e-5)


def test_networks_and_their_retrainings_differ(result: Result) -> None:
    chosen = result.table[result.table["group"] == "chosen"]
    for name in ("original", "retrain", "retrain_warm"):
        losses = chosen[chosen["method"] == name].set_index("seed")["test_loss"]
        assert len(losses) == 2
        assert losses[0] != losses[1]
    summary = result.tables["summary"]
    assert (summary[(summary["group"] == "chosen") & (summary["method"] == "original")]["n"] == 2).all()
    assert (summary[(summary["group"] == "others") & (summary["method"] == "original")]["n"] == 3).all()


def test_pif_and_if_are_charged_with_the_whole_solve_although_there_is_one(result: Result) -> None:
    marked = result.table[result.table["mark"] == "best"]
    hvps = marked.groupby("method")["hvps"].agg(set)
    assert hvps["pif"] == hvps["if"] == {1 + 2 * 3}
    assert hvps["gradient"] == {0}


def test_retraining_has_its_time_and_edits_have_theirs(result: Result) -> None:
    rows = result.table[(result.table["group"] == "chosen") & (result.table["seed"] == 0)]
    prepared = load("methods-small", Silent())
    cold = prepared.reference(prepared.forget((3,)), "cold", 0, Silent())
    assert rows[rows["method"] == "retrain"]["seconds"].tolist() == [cold.seconds]
    assert rows[rows["mark"] == "best"]["seconds"].ge(0).all()


def test_result_survives_storage(result: Result) -> None:
    again = Result.from_json(result.to_json())
    for name, table in result.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table)


def test_finished_pieces_are_not_computed_again(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    def computed(self: methods.Piece) -> Result:
        raise AssertionError("computed again")

    monkeypatch.setattr(methods.Piece, "run", computed)
    spec = MethodsSpec.parse({name: value for name, value in result.spec.items() if name != "experiment"})
    again = methods.run(spec, Silent())
    pd.testing.assert_frame_equal(again.table, result.table)
    assert again.provenance["seconds"] == result.provenance["seconds"]  # what it took, not what the look-up took
    with pytest.raises(AssertionError, match="computed again"):
        methods.run(spec.model_copy(update={"seeds": 3}), Silent())


class Impatient(Silent):
    patient = False


class Interrupted(Silent):
    """Cancels in the middle of a seed."""

    def __init__(self, at: str) -> None:
        self.at, self.stages, self.tables = at, [], {}

    def stage(self, title: str, total: int = 0) -> None:
        self.stages.append(title)
        if title.startswith(self.at) and "Trust" in title:
            raise Cancelled("enough")

    def partial(self, table: str, make: object) -> None:
        self.tables[table] = make()  # type: ignore[operator]


def test_an_interrupted_run_goes_on_where_it_stopped() -> None:
    spec = ask(seeds=3, methods=("gif", "fif"), seed=11)
    first = Interrupted("Seed 2 of 3")
    with pytest.raises(Cancelled):
        methods.run(spec, first)
    assert set(first.tables["summary"]["n"]) == {1, 2}  # one whole network, and a part of the second
    second = Interrupted("never")
    whole = methods.run(spec, second)
    assert not any(stage.startswith("Seed 1") for stage in second.stages)
    assert any(stage.startswith("Seed 2") for stage in second.stages)
    assert sorted(set(whole.table["seed"])) == [0, 1, 2]


def test_what_streams_is_the_growing_sweep_and_of_the_rest_the_reported_rows() -> None:
    told = Interrupted("Seed 2 of 2, MR 50 %")
    with pytest.raises(Cancelled):
        methods.run(ask(seeds=2, methods=("fif",), seed=12), told)
    table = told.tables["points"]
    points = table[(table["mark"] == "") & table["scalar"].notna()]
    assert set(zip(points["seed"], points["mr"], strict=True)) == {(1, 50.0)}
    assert len(table[table["mark"] == "best"]) == 4


def test_a_trained_module_without_a_recipe_has_seeds_of_sampling_only() -> None:
    trained = load("methods-small", Silent()).network()
    register(scenario("methods-bare", model=trained, recipe=None, weight_decay=1e-2))
    small = {"curvature_samples": 50, "forget_samples": 20, "methods": ["gif"], "seeds": 2}
    result = methods.run(ask(scenario="methods-bare", **small), Silent())
    assert "seeds are those of sampling only" in result.provenance["incomplete"]
    assert "no cold reference" in result.provenance["incomplete"]
    assert not result.provenance["impatient"]
    rows = result.table
    assert rows[rows["method"] == "original"]["test_loss"].nunique() == 1  # one network
    assert rows[(rows["method"] == "gif") & (rows["mark"] == "one")].groupby("mr")["self_loss"].nunique().eq(2).all()
    assert "retrain" not in set(rows["method"])


def test_a_click_trains_nothing_that_takes_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editing, "LONG_TRAINING", -1.0)
    prepared = load("methods-small", Silent())
    spec = ask(seeds=9, methods=("gif",), forget_classes=(0, 1), others="yes")
    result = methods.run(spec, Impatient())
    assert set(result.table["seed"]) == {0}
    assert set(result.table["class"]) == {"0+1"}
    assert result.provenance["impatient"]  # not kept: a patient asker gets more
    assert "gif-dash run methods --scenario methods-small" in result.provenance["incomplete"]
    assert "--seeds 9" in result.provenance["incomplete"]
    assert "retrain" not in set(result.table["method"])
    assert not is_trained(prepared, 8)
    assert pieces.read(pieces.place(spec.piece(0, (0, 1)), prepared.card.fingerprint, 0)) is None


class Busy(Impatient):
    """Somebody else waits from the n-th time on that it is asked."""

    def __init__(self, parts: int) -> None:
        self.left = parts

    def give_way(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Postponed


def test_a_run_gives_way_between_its_parts_and_goes_on_to_the_same_answer() -> None:
    spec = ask(seeds=2, methods=("gif", "pif", "if", "gradient"), seed=14, mrs=(10, 40))
    before, turns = set(pieces.cache_dir().joinpath("pieces").iterdir()), 0
    while True:
        try:
            result = methods.run(spec, Busy(0))
            break
        except Postponed:
            turns += 1
    assert turns == 5  # two MR and all parameters, for each of two networks
    for file in set(pieces.cache_dir().joinpath("pieces").iterdir()) - before:
        file.unlink()
    undisturbed = methods.run(spec, Busy(100))
    own = ["seconds", "products"]
    pd.testing.assert_frame_equal(result.table.drop(columns=own), undisturbed.table.drop(columns=own), rtol=1e-5)
    assert result.provenance["hvps"] > undisturbed.provenance["hvps"]  # the solve that all MR share is made anew


def test_a_click_gets_what_a_patient_asker_computed(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(editing, "LONG_TRAINING", -1.0)
    spec = MethodsSpec.parse({name: value for name, value in result.spec.items() if name != "experiment"})
    again = methods.run(spec, Impatient())
    pd.testing.assert_frame_equal(again.table, result.table)
    assert not again.provenance["impatient"]


def test_reseeded_network_is_the_recipe_with_another_seed() -> None:
    prepared = load("methods-small", Silent())
    assert reseeded(prepared, 0, Silent()) is prepared
    other = reseeded(prepared, 5, Silent())
    assert is_trained(prepared, 5)
    recipe = prepared.recipe
    assert recipe is not None
    alone = load(scenario("methods-alone", recipe=replace(recipe, seed=5)), Silent())
    for own, expected in zip(other.model.parameters(), alone.model.parameters(), strict=True):
        torch.testing.assert_close(own, expected)
    assert other.card.fingerprint != prepared.card.fingerprint
    assert math.isclose(other.weight_decay, prepared.weight_decay)


def test_a_damaged_piece_is_made_again() -> None:
    spec = ask(methods=("gradient",), seed=13)
    before = set(pieces.cache_dir().joinpath("pieces").iterdir())
    first = methods.run(spec, Silent())
    (made,) = set(pieces.cache_dir().joinpath("pieces").iterdir()) - before
    made.write_bytes(b"not a piece")
    again = methods.run(spec, Silent())
    pd.testing.assert_frame_equal(again.table[METRICS], first.table[METRICS])


def test_bad_scenario_and_classes_are_said() -> None:
    with pytest.raises(ScenarioError):
        methods.run(ask(scenario="nowhere"), Silent())
    with pytest.raises(ValueError, match="classes 0 to 3"):
        methods.run(ask(forget_classes=(7,)), Silent())


def test_pieces_are_listed_and_cleared_with_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIF_DASH_CACHE", str(tmp_path))
    path = pieces.place(MethodsSpec(), "fingerprint", 0)
    pieces.write(path, Result({"experiment": "methods"}, {"points": pd.DataFrame({"score": [math.nan]})}, {}))
    assert pieces.read(path) is not None
    assert "1 finished parts of long runs" in CliRunner().invoke(cli.main, ["cache", "--list"]).output
    assert CliRunner().invoke(cli.main, ["cache", "--clear", "--yes"]).exit_code == 0
    assert pieces.read(path) is None


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIF_DASH_CACHE", str(tmp_path))
    (tmp_path / "pieces").write_text("in the way")
    path = pieces.place(MethodsSpec(), "fingerprint", 0)
    pieces.write(path, Result({"experiment": "methods"}, {"points": pd.DataFrame()}, {}))
    assert pieces.read(path) is None
    assert any("long runs are not kept" in sentence for sentence in notices.said())


def test_a_run_whose_parts_cannot_be_kept_does_not_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "write", lambda path, piece: False)
    assert len(methods.run(ask(seeds=2, methods=("gradient",), seed=15, mrs=(10, 40)), Busy(0)).table)
