"""Keys: what changes them and what does not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gif_dash
from gif_dash.compute.keys import code_hash, result_key, scenario_of
from gif_dash.specs import RemovalSpec, ToySpec

PACKAGE = Path(gif_dash.__file__).parent
SCRIPT = """
import json, sys
from gif_dash.compute import keys

def hashes():
    keys._code_hash.cache_clear()
    return {name: keys.code_hash(name) for name in ("toy", "removal")}

before = hashes()
assert before["toy"] != before["removal"] and hashes() == before
for file in sys.argv[1:]:
    with open("gif_dash/" + file, "a") as stream:
        stream.write("\\n# another line\\n")
    now = hashes()
    print(json.dumps([file, now["toy"] != before["toy"], now["removal"] != before["removal"]]))
    before = now
assert "torch" not in sys.modules
"""


def test_key_depends_on_question_fingerprint_and_code() -> None:
    spec = RemovalSpec(mr=10)
    key = result_key(spec, "a", "code")
    assert result_key(RemovalSpec(mr=10.0, forget_classes=(8, 8)), "a", "code") == key
    others = {
        result_key(RemovalSpec(mr=11), "a", "code"),
        result_key(spec, "b", "code"),
        result_key(spec, "a", "other"),
        result_key(spec, "a"),
        result_key(ToySpec(), "a", "code"),
    }
    assert len(others | {key}) == 6


def test_scenario_only_where_the_experiment_needs_one() -> None:
    assert scenario_of(RemovalSpec(scenario="mnist-cnn")) == "mnist-cnn"
    assert scenario_of(ToySpec()) == ""


def test_hash_follows_the_code_that_counts_and_no_other(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "gif_dash", ignore=shutil.ignore_patterns("__pycache__"))
    files = ("panels/__init__.py", "experiments/metrics.py", "toy.py", "influence/__init__.py")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *files], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert [json.loads(line) for line in done.stdout.splitlines()] == [
        ["panels/__init__.py", False, False],
        ["experiments/metrics.py", False, True],  # removal imports it
        ["toy.py", True, False],
        ["influence/__init__.py", True, True],
    ]


def test_hash_of_an_unknown_module(monkeypatch: pytest.MonkeyPatch) -> None:
    from gif_dash import catalog

    entry = catalog.ExperimentEntry("nowhere", "", "", "gif_dash.experiments.nowhere:run")
    monkeypatch.setitem(catalog.EXPERIMENTS, "nowhere", entry)
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        code_hash("nowhere")
