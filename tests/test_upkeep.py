"""Commands around the dashboard, as a person at a terminal sees them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from gif_dash import ToySpec, api, catalog, cli, resources, run
from gif_dash.compute.paths import cache_dir
from gif_dash.progress import Silent
from gif_dash.specs import LayersSpec, Spec


def say(*arguments: str) -> tuple[int, str]:
    outcome = CliRunner().invoke(cli.main, list(arguments))
    return outcome.exit_code, outcome.output


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GIF_DASH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_prepare_makes_references_once() -> None:
    code, words = say("prepare", "digits-cnn", "--classes", "8")
    assert code == 0, words
    assert "digits-cnn is ready" in words
    folder = cache_dir() / "checkpoints"
    before = {path: path.stat().st_mtime_ns for path in folder.glob("digits-cnn-*")}
    assert len(before) >= 3  # the network, its cold and its warm reference
    assert say("prepare", "digits-cnn", "--classes", "8")[0] == 0
    assert {path: path.stat().st_mtime_ns for path in folder.glob("digits-cnn-*")} == before


def test_prepare_asks_the_default_question_of_every_experiment_that_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Spec] = []

    def answer(spec: Spec) -> None:
        asked.append(spec)
        if spec.experiment == "backdoor":
            raise ValueError("there are no pictures in it")

    monkeypatch.setattr(api, "run", answer)
    code, words = say("prepare", "digits-cnn", "--experiments", "all")
    assert code == 0, words
    assert [spec.experiment for spec in asked] == [
        name for name, entry in catalog.EXPERIMENTS.items() if entry.needs_scenario
    ]
    assert all(spec == type(spec)() for spec in asked)  # those that the page opens with
    assert "digits-cnn: Backdoor: there are no pictures in it" in words
    asked.clear()
    assert say("prepare", "digits-cnn", "--experiments", "layers, removal", "--classes", "3,4")[0] == 0
    assert [spec.experiment for spec in asked] == ["removal", "removal", "layers"]
    assert asked[2] == LayersSpec(forget_classes=(3,))


def test_prepare_refuses_in_one_sentence() -> None:
    assert say("prepare", "imagenet")[0] == 2
    code, words = say("prepare", "digits-cnn", "--experiments", "alchemy")
    assert code == 1
    assert "got 'alchemy'" in words
    code, words = say("prepare", "digits-cnn", "--classes", "10")
    assert code == 1
    assert "positions from 0 to 9" in words


def test_cache_lists_and_clears_what_is_ours_only(own_cache: Path) -> None:
    run(ToySpec(points=100, outliers=10, removals=2), progress=Silent())
    (own_cache / "checkpoints").mkdir()
    (own_cache / "checkpoints" / "a-1.safetensors").write_bytes(b"x" * 1000)
    (own_cache / "mine.txt").write_text("not gif_dash's")
    code, words = say("cache")
    assert code == 0
    assert "points=100" in words
    assert "a-1.safetensors" in words
    assert CliRunner().invoke(cli.main, ["cache", "--clear"], input="n\n").exit_code == 0
    assert (own_cache / "checkpoints" / "a-1.safetensors").exists()
    assert say("cache", "--clear", "--yes")[0] == 0
    assert [path.name for path in own_cache.rglob("*") if path.is_file()] == ["mine.txt"]
    assert say("cache")[0] == 0


def test_doctor_says_whether_all_is_well(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, words = say("doctor")
    assert code == 0
    assert words.strip().endswith("All is well.")
    assert str(own_cache) in words.replace("\n", "")
    blocked = own_cache.parent / "file"
    blocked.write_text("a file where a folder should be")
    monkeypatch.setenv("GIF_DASH_CACHE", str(blocked / "cache"))
    code, words = say("doctor")
    assert code == 1
    assert "To mend:" in words


def test_lab_copies_notebooks_and_overwrites_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(subprocess, "call", lambda command: started.append(command) or 0)
    monkeypatch.chdir(tmp_path)
    assert say("lab", "--no-browser")[0] == 0
    source = resources.notebook("dashboard")
    assert (tmp_path / source.name).read_bytes() == source.read_bytes()
    (tmp_path / source.name).write_text("my own changes")
    assert say("lab")[0] == 0
    assert (tmp_path / source.name).read_text() == "my own changes"
    assert "--no-browser" in started[0]
    assert "--LabApp.news_url=None" in started[0]
