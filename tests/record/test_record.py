"""Recording a scenario, and exploring the record where nothing is prepared."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import record_fakes

from gif_dash import catalog, published, recorded
from gif_dash.compute import cards
from gif_dash.compute.client import TableClient, execute
from gif_dash.compute.store import Store, StoreError, open_store
from gif_dash.progress import Silent
from gif_dash.record import files
from gif_dash.record.plan import LARGE, plan
from gif_dash.record.run import record
from gif_dash.results import Result
from gif_dash.scenarios import ScenarioError
from gif_dash.specs import CriteriaSpec, RemovalSpec, SpecError

NAME = record_fakes.ENTRY.name
QUICK = plan(NAME, quick=True)


# --- plans ----------------------------------------------------------------------------------------------------------


def test_the_plan_of_vgg_is_table_2_over_three_sampling_seeds() -> None:
    found = plan("cifar10-vgg11")
    assert {(spec.seed, spec.mr) for spec in found.removals} == {(s, mr) for s in range(3) for mr in (10, 30, 50)}
    assert found.others == ()
    for spec in found.removals:
        assert spec.forget_classes == (8,)
        assert set(spec.methods) >= {"gif", "fif", "pif"}
        assert (spec.criterion, spec.report, spec.sweep_samples) == ("top-outputs", "held-out", 2000)
        assert spec.curvature_samples == LARGE["curvature_samples"]
    assert [(spec.seed, spec.mrs) for spec, _ in found.methods()] == [(seed, (10.0, 30.0, 50.0)) for seed in range(3)]


def test_the_plan_of_resnet_has_table_1_as_well() -> None:
    (cells,) = plan("mnist-resnet18").others
    assert isinstance(cells, CriteriaSpec)
    assert set(cells.criteria) == set(published.CRITERIA)
    assert cells.mrs == published.CRITERIA_MRS
    assert cells.method == "gif"


def test_what_a_cell_of_the_methods_opens_is_recorded() -> None:
    found = plan("cifar10-vgg11")
    for spec, _ in found.methods():
        for mr in spec.mrs:
            assert spec.removal(mr=mr) in found.removals


# --- recording ------------------------------------------------------------------------------------------------------


def test_a_record_says_where_it_comes_from(shipped: recorded.Record) -> None:
    facts = shipped.facts
    assert facts["training"]["epochs"] == 100
    assert facts["training"]["test_accuracy"] > 90
    assert set(facts["references"]) == {"retrain", "retrain_warm"}
    assert facts["references"]["retrain"]["seconds"] > 0
    assert facts["command"] == f"gif-dash record {NAME} --quick"
    assert set(facts["versions"]) >= {"torch", "python", "gif_dash"}
    assert shipped.card.evidence == {}
    assert shipped.card.settings == {}
    assert all(len(row) == 1 for row in shipped.card.thumbnails)
    text = zipfile.ZipFile(shipped.path).read(recorded.INDEX).decode()
    assert "/tmp" not in text  # nor any other place of the machine it was made on
    assert str(Path.home()) not in text
    assert shipped.path.stat().st_size < 100_000


def test_every_answer_is_as_it_was_computed_but_for_rounding(made: Path, shipped: recorded.Record) -> None:
    for spec in QUICK.questions:
        kept = files.read(files.place(made, spec))
        found = recorded.answer(spec)
        assert kept is not None
        assert found is not None
        assert list(found.tables) == list(kept.result.tables)
        for name, table in found.tables.items():
            pd.testing.assert_frame_equal(table, kept.result.tables[name], rtol=1e-6, check_exact=False)
        said = found.provenance["recorded"]
        assert said["command"].startswith(f"gif-dash run {spec.experiment} --scenario {NAME}")
        assert found.provenance["device"].startswith("cpu")
        written = pd.read_csv(files.place(made, spec).with_suffix(".csv"))
        assert len(written) == len(kept.result.table)


def test_the_same_command_goes_on_where_it_stopped(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the first question, then again: what is there is computed by nobody."""
    computed: list[str] = []

    def counted(spec: RemovalSpec, progress: Silent) -> Result:
        if len(computed) == 1:
            computed.append("killed")
            raise KeyboardInterrupt
        computed.append(spec.canonical())
        return execute(spec, progress)

    monkeypatch.setattr("gif_dash.record.run.execute", counted)
    folder = tmp_path / "record"
    with pytest.raises(KeyboardInterrupt):
        record(NAME, QUICK, folder, Silent(), lambda line: None, "again")
    with zipfile.ZipFile(folder / f"{NAME}.zip") as archive:  # what is there can be shipped
        names = archive.namelist()
        assert len(names) == 3
        assert "mrs-10-" in names[1], "about methods, with the MR that is there"
    lines: list[str] = []
    record(NAME, QUICK, folder, Silent(), lines.append, "again")
    assert len(computed) == 1 + len(QUICK.questions)
    assert sum("kept before" in line for line in lines) == 1
    with zipfile.ZipFile(folder / f"{NAME}.zip") as archive:
        assert len(archive.namelist()) == len(QUICK.questions) + 2


def test_a_record_begins_with_the_network_itself(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first answer there is the network with its accuracy; nothing is offered of it yet."""

    def killed(spec: RemovalSpec, progress: Silent) -> Result:
        raise KeyboardInterrupt

    monkeypatch.setattr("gif_dash.record.run.execute", killed)
    with pytest.raises(KeyboardInterrupt):
        record(NAME, QUICK, tmp_path, Silent(), lambda line: None, "again")
    monkeypatch.setenv(recorded.VARIABLE, str(tmp_path))
    (found,) = recorded.records().values()
    assert found.card is not None
    assert found.card.test_accuracy == found.facts["training"]["test_accuracy"]
    assert "retrain" in found.facts["references"]
    assert found.rows == ()
    assert recorded.Runs(open_store()).history() == []


def test_a_record_that_goes_on_never_has_less_than_before(
    made: Path, machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the last question are there: no archive that is written has fewer answers than these."""
    *there, last = QUICK.questions
    for spec in there:
        shutil.copy(files.place(made, spec), tmp_path)
    kept = files.read(files.place(made, last))
    assert kept is not None
    monkeypatch.setattr("gif_dash.record.run.execute", lambda spec, progress: kept.result)
    sizes: list[int] = []

    def counted(path: Path, card: Any, facts: Any, answers: Any) -> None:
        sizes.append(len(answers))

    monkeypatch.setattr(files, "pack", counted)
    record(NAME, QUICK, tmp_path, Silent(), lambda line: None, "again")
    assert sizes == [len(there) + 1, len(there) + 2]  # and the question about methods that they answer together


def test_the_record_of_another_network_is_not_mixed_in(
    made: Path, machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = files.place(tmp_path, QUICK.questions[0])
    told = json.loads(files.place(made, QUICK.questions[0]).read_text())
    path.write_text(json.dumps({**told, "fingerprint": "another"}))
    with pytest.raises(ScenarioError, match="another network"):
        record(NAME, QUICK, tmp_path, Silent(), lambda line: None, "again")


def test_the_assembled_methods_are_what_the_experiment_computes(
    shipped: recorded.Record,
) -> None:
    """From class removals, or by the experiment itself: the same tables, but for seconds and products."""
    ((spec, _),) = QUICK.methods()
    assembled = recorded.answer(spec)
    assert assembled is not None
    computed = execute(spec, Silent())
    assert list(assembled.tables) == list(computed.tables)
    for name in ("points", "summary"):
        ours, theirs = assembled.tables[name], computed.tables[name]
        known = [column for column in theirs if column not in ("seconds", "products", "time_ms", "hvps")]
        assert set(known) <= set(ours.columns)
        # the order of equal rows may differ: references, then MR by MR
        keys = [key for key in ("method", "mr", "mark", "scalar") if key in known]
        one, other = (table[known].sort_values(keys).reset_index(drop=True) for table in (ours, theirs))
        pd.testing.assert_frame_equal(one, other, rtol=2e-3, atol=1e-6, check_dtype=False)
    retrained = assembled.table[assembled.table["method"] == "retrain"]["seconds"]
    assert retrained.notna().all()
    assert assembled.provenance["assembled"] == "from 2 class removals"
    assert assembled.provenance["hvps"] > 0


# --- exploring ------------------------------------------------------------------------------------------------------


def client(tmp_path: Path) -> TableClient:
    from gif_dash.compute.jobs import JobTable

    folder = tmp_path / "jobs"
    folder.mkdir(mode=0o700)
    JobTable(folder)
    return TableClient(folder, open_store(), patient=False)


def test_the_page_offers_what_is_recorded_and_refuses_the_rest(shipped: recorded.Record, tmp_path: Path) -> None:
    visitor = client(tmp_path)
    offer = next(offer for offer in visitor.offers() if offer.name == NAME)
    assert (offer.state, offer.recorded) == ("command", True)
    assert offer.card is not None
    assert offer.card.classes == tuple("0123456789")
    asked = QUICK.removals[0]
    found = visitor.stored(asked)
    assert found is not None
    assert "recorded" in found.provenance
    other = asked.model_copy(update={"mr": 20.0})
    assert visitor.stored(other) is None
    sentence = f"only recorded answers can be looked at; run once: gif-dash prepare {NAME}"
    with pytest.raises(SpecError, match=sentence):
        visitor.submit(other)
    plain = next(offer for offer in visitor.offers() if offer.name == "mnist-cnn")
    assert not plain.recorded


def test_who_computes_is_never_given_a_recorded_answer(shipped: recorded.Record) -> None:
    found = execute(QUICK.removals[0], Silent())
    assert "recorded" not in found.provenance
    # now another code's answer of the very same network is there, and the recorded one is no longer needed
    store = open_store()
    assert cards.look_up(QUICK.removals[0], store) is not None
    # a question that was recorded, of the network that is prepared here now: the fingerprints agree
    assert cards.recorded_answer(QUICK.removals[1], store) is not None


def test_a_record_of_another_network_does_not_answer_for_the_prepared_one(
    shipped: recorded.Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = shipped.card.model_copy(update={"fingerprint": "mine"})
    monkeypatch.setattr(cards, "believed_card", lambda store, name: card)
    assert cards.recorded_answer(QUICK.removals[0], open_store()) is None


def test_quick_scenarios_are_computed_whatever_was_recorded(
    shipped: recorded.Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    monkeypatch.setitem(catalog.SCENARIOS, NAME, replace(record_fakes.ENTRY, quick=True))
    assert cards.recorded_answer(QUICK.removals[0], open_store()) is None
    assert not next(offer for offer in cards.offers(open_store()) if offer.name == NAME).recorded


def test_the_history_has_recorded_runs_that_nobody_changes(shipped: recorded.Record, tmp_path: Path) -> None:
    store = Store(tmp_path / "own")
    runs = recorded.Runs(store)
    rows = runs.history()
    assert len(rows) == len(QUICK.questions) + 1
    assert all(row.recorded and not row.old_code for row in rows)
    assert {row.experiment for row in rows} == {"removal", "methods", "criteria"}
    assert [row.key for row in runs.history("criteria")] == [row.key for row in rows if row.experiment == "criteria"]
    row = next(row for row in rows if row.experiment == "removal")
    result = runs.get(row.key)
    assert result is not None
    columns = runs.columns(row.key, "sweep")
    assert columns["method"] == result.tables["sweep"]["method"].tolist()
    assert runs.columns(row.key, "nothing") == {}
    for change in (lambda: runs.rename(row.key, "x"), lambda: runs.pin(row.key, True), lambda: runs.delete(row.key)):
        with pytest.raises(StoreError, match="comes with gif_dash"):
            change()


def test_a_damaged_file_is_passed_over(shipped: recorded.Record) -> None:
    (shipped.path.parent / "other.zip").write_bytes(b"no archive")
    with zipfile.ZipFile(shipped.path.parent / "third.zip", "w") as archive:
        archive.writestr(recorded.INDEX, json.dumps({"format": 99}))
    assert list(recorded.records()) == [NAME]


def test_records_are_read_without_torch(shipped: recorded.Record) -> None:
    lines = """
import sys
from gif_dash import recorded
record, = recorded.records().values()
assert record.result(record.rows[0].key).tables
loaded = {"torch", "sklearn", "gif_dash.scenarios", "gif_dash.experiments"} & set(sys.modules)
assert not loaded, loaded
"""
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_command_records(machine: Path, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from gif_dash.cli import main

    done = CliRunner().invoke(main, ["record", "nothing"])
    assert done.exit_code == 2
    assert "choose from digits-cnn" in done.output
    done = CliRunner().invoke(main, ["record", "studies", "--seeds", "2"])
    assert done.exit_code == 2
    assert "--seeds: goes with a scenario, not with studies" in done.output
    out = tmp_path / "out"
    done = CliRunner().invoke(main, ["record", NAME, "--quick", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert (out / f"{NAME}.zip").is_file()
    assert "3 questions recorded" in done.output


def test_results_from_elsewhere_are_recorded_too(machine: Path, made: Path, tmp_path: Path) -> None:
    """With their own provenance; those of another network are refused."""
    kept = files.read(files.place(made, QUICK.questions[0]))
    assert kept is not None
    spec = QUICK.removals[0].model_copy(update={"seed": 5})
    values = {"experiment": "removal", **spec.model_dump(mode="json")}
    file = tmp_path / "elsewhere.json"
    file.write_text(Result(values, kept.result.tables, kept.result.provenance).to_json())
    folder = tmp_path / "record"
    one = QUICK.__class__(QUICK.removals[:1])
    record(NAME, one, folder, Silent(), lambda line: None, "again", [file])
    with zipfile.ZipFile(folder / f"{NAME}.zip") as archive:
        rows = json.loads(archive.read(recorded.INDEX))["rows"]
    assert [json.loads(row["spec"]).get("seed") for row in rows] == [0, 0, 5]  # methods, removal, added
    file.write_text(Result(values, {}, {**kept.result.provenance, "fingerprint": "other"}).to_json())
    with pytest.raises(ScenarioError, match="another network"):
        record(NAME, one, folder, Silent(), lambda line: None, "again", [file])
    file.write_text("{}")
    with pytest.raises(ScenarioError, match="no result of gif-dash run"):
        record(NAME, one, folder, Silent(), lambda line: None, "again", [file])


def test_other_sampling_seeds_come_last() -> None:
    asked = plan("mnist-resnet18").questions
    kinds = [(spec.experiment, spec.seed) for spec in asked]  # type: ignore[attr-defined]
    assert kinds == [("removal", 0)] * 3 + [("criteria", 0)] + [("removal", 1)] * 3 + [("removal", 2)] * 3
    assert len(plan("cifar10-vgg11", seeds=1).questions) == 3
