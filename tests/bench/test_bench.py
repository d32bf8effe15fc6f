"""The benchmark: what it writes, how repeats become rows, and the memory that products may take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from gif_dash.bench import environment, latency, memory, peers, run
from gif_dash.bench.plan import GROUPS, NAMED_GROUPS, Plan, Unavailable
from gif_dash.bench.report import number, report, write_json
from gif_dash.bench.rows import Row, interleaved, ratios, spread

linux = pytest.mark.skipif(not memory.STATM.is_file(), reason="resident memory is read from /proc")


def test_the_command_writes_tidy_rows(tmp_path: Path) -> None:
    out = tmp_path / "rows.json"
    command = [
        sys.executable,
        "-m",
        "gif_dash.cli",
        "bench",
        "hvp",
        "--quick",
        "--case",
        "digits-cnn",
        "--threads",
        "1",
    ]
    done = subprocess.run([*command, "--device", "cpu", "--json", str(out)], check=True, capture_output=True, text=True)
    document = json.loads(out.read_text(encoding="utf-8"))
    facts, rows = document["environment"], document["rows"]
    assert facts["threads"] == 1
    assert facts["clock"] == "CPU time"
    assert {"cpu", "cores", "load", "load_after", "packages", "device"} <= facts.keys()
    assert all(set(row) == {field.name for field in fields(Row)} for row in rows)
    values = {row["what"]: row for row in rows}
    assert values["HVP"]["unit"] == "s"
    assert values["HVP"]["repeats"] >= 3
    # twice the arithmetic of a gradient, less what a gradient spends besides
    assert 1 < values["HVP ÷ gradient"]["value"] < 4
    assert values["streamed HVP ÷ gradient"]["value"] > values["HVP ÷ gradient"]["value"]
    assert "HVP ÷ gradient" in done.stdout
    assert document["command"].startswith("gif-dash bench hvp")


def test_repeats_are_interleaved_and_the_first_round_is_not_counted() -> None:
    calls: list[str] = []
    now = [0.0]

    def task(name: str, seconds: float) -> None:
        calls.append(name)
        now[0] += seconds

    times = interleaved(
        {"a": lambda: task("a", 1.0), "b": lambda: task("b", 3.0)}, 2, settle=lambda: None, clock=lambda: now[0]
    )
    assert calls == ["a", "b"] * 3
    assert times == {"a": [1.0, 1.0], "b": [3.0, 3.0]}
    assert ratios(times["b"], times["a"]) == [3.0, 3.0]


def test_rows_are_medians_with_half_the_quartiles_distance() -> None:
    row = Row.of("g", "c", "w", [5.0, 1.0, 100.0, 2.0, 4.0], "s")
    assert (row.value, row.repeats, row.spread) == (4.0, 5, 1.5)  # quartiles 2 and 5
    assert spread([7.0]) == 0.0


def test_what_could_not_be_measured_is_a_row_that_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(plan: Plan) -> list[Row]:
        raise Unavailable("there is no Chromium here")

    monkeypatch.setattr("gif_dash.bench.startup.measure", refuse)
    rows = run.run(["startup"], Plan(quick=True))
    assert [row.note for row in rows] == ["there is no Chromium here"]
    assert report(rows).row_count == 1
    write_json(tmp_path / "rows.json", environment.environment(), "gif-dash bench", rows)
    assert json.loads((tmp_path / "rows.json").read_text())["rows"][0]["value"] is None


def test_a_peer_that_fails_is_a_row_with_its_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "environment", lambda: Path(sys.executable))
    monkeypatch.setattr(peers, "_published", lambda plan: [])
    monkeypatch.setattr(peers, "PEERS", ("nonesuch",))
    (row,) = peers.measure(Plan(quick=True))
    assert (row.case, row.unit) == ("nonesuch", "")
    assert "KeyError: 'nonesuch'" in row.note


def test_peers_that_cannot_be_installed_are_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Path:
        raise Unavailable("pip could not install the peers (no network)")

    monkeypatch.setattr(peers, "environment", refuse)
    monkeypatch.setattr(peers, "_published", lambda plan: [])
    assert [row.case for row in peers.measure(Plan())] == list(peers.PEERS)


def test_numbers_for_people() -> None:
    assert [number(value) for value in (1234.5, 12.345, 0.0012345)] == ["1234", "12.3", "0.00123"]


def test_wrong_names_are_refused_in_one_sentence() -> None:
    for arguments, said in ((["--case", "vgg99"], "--case: choose from"), (["--device", "toaster"], "--device: ")):
        command = [sys.executable, "-m", "gif_dash.cli", "bench", "hvp", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert said in done.stderr
        assert "Traceback" not in done.stderr


class Heard:
    """A page that has noted these times."""

    def __init__(self, **noted: object) -> None:
        self.noted = noted

    def wait_for_timeout(self, _milliseconds: float) -> None: ...

    def evaluate(self, _script: str) -> object:
        return self.noted


def test_latency_counts_only_pictures_that_changed() -> None:
    times = [float(place) for place in range(latency.PRESSES)]
    noted = {"written": times, "rendered": times, "presented": [24.0], "same": 0}
    assert latency._heard(Heard(**noted), "a key")["written"] == times
    median, tail = latency._rows("key", "written", times)
    assert (median.value, tail.value) == pytest.approx((124.5, 236.55))  # of 0 … 249
    for wrong in ({"same": 100}, {"written": times[:100]}, {"rendered": times[:5]}):
        with pytest.raises(Unavailable, match="moves by a key"):
            latency._heard(Heard(**(noted | wrong)), "a key")


def test_every_group_is_a_module() -> None:
    folder = Path(run.__file__).parent
    assert all((folder / f"{name}.py").is_file() for name in GROUPS + NAMED_GROUPS)


@linux
def test_streamed_products_take_no_more_memory_for_more_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ceiling: eight times the examples may take 32 MB more; kept as graphs, they would take 250 MB more."""
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "1")
    small, graphs = memory.growth("mnist-cnn", 256, 0)
    large, more_graphs = memory.growth("mnist-cnn", 2048, 0)
    assert (graphs, more_graphs) == (0, 0)
    assert large < small + 32


@linux
def test_kept_graphs_stay_within_their_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the budget there are the tensors of the micro-batch at work, as in a streamed product."""
    monkeypatch.setitem(os.environ, "OMP_NUM_THREADS", "1")
    budget, working = 96, 96
    some, graphs = memory.growth("mnist-cnn", 3072, budget)
    assert graphs > 0
    assert some < budget + working
    whole, all_graphs = memory.growth("mnist-cnn", 3072, 2000)
    assert all_graphs > graphs
    assert whole > some + 100  # the measurement sees kept graphs at all
