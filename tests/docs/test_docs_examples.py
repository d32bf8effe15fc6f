"""The examples of the documentation are run, in the order in which they stand on their page."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from docs_pages import DOCS, blocks
from PIL import Image

from gif_dash import catalog, cli, spelling

PAGES = sorted(page.name for page in DOCS.glob("*.md") if any(kind in ("python", "sh") for kind, _ in blocks(page)))
#: Seconds; busy machines take many times what idle ones do.
pytestmark = pytest.mark.timeout(1200)

#: Commands that are run; of the others (servers, and what takes a GPU, a download or hours) the flags are checked.
RUN = ("run", "prepare")
LONG = ("mnist", "cifar10", "--device", "--grid", "--workers", "--scheduler")
#: Pages whose commands are run; the tables of the others were made by theirs, in hours.
LIVE = ("tutorial.md", "own-model.md", "own-data.md")


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In an empty folder; what commands say to their workers through the environment is not said to other tests."""
    monkeypatch.chdir(tmp_path)
    kept = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(kept)


def follow(page: str) -> dict[str, Any]:
    """Run a page's examples from its first to its last; the names that its Python lines have made."""
    names: dict[str, Any] = {}
    for kind, text in blocks(DOCS / page):
        if kind == "python":
            exec(compile(text, page, "exec"), names)
        elif kind == "sh":
            for line in text.splitlines():
                type_in(line, live=page in LIVE)
    return names


def type_in(line: str, *, live: bool) -> None:
    """A line of a shell, as far as it is ours."""
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=\S+", words[0]):
        words = words[1:]
    if not words or words[0].rpartition("/")[2] != "gif-dash":
        return
    words = [word for word in words[1:] if not re.fullmatch(r"\[.*|.*\]", word)]  # what may be left out
    runs = live and words and words[0] in RUN and not any(name in line for name in LONG)
    outcome = CliRunner().invoke(cli.main, words if runs else [*words, "--help"], catch_exceptions=False)
    assert outcome.exit_code == 0, f"{line}\n{outcome.output}"


def pictures(folder: Path) -> None:
    """Bright and dark pictures in folders of classes."""
    generator = np.random.default_rng(0)
    for shade, name in enumerate(("cat", "dog", "owl")):
        (folder / name).mkdir(parents=True)
        for place in range(12):
            array = generator.integers(90 * shade, 90 * shade + 70, (20, 18, 3), dtype=np.uint8)
            Image.fromarray(array).save(folder / name / f"{place}.jpg")


def test_tutorial(tmp_path: Path) -> None:
    """It runs, and what it says about the numbers is true of them."""
    names = follow("tutorial.md")
    table: pd.DataFrame = names["table"]
    places = [("original", ""), ("gif", "one"), ("gif", "best"), ("retrain", "")]
    original, one, best, retrained = (row for _, row in table.loc[places].iterrows())
    assert original["self_accuracy"] - one["self_accuracy"] < 30, "at s = 1 it has hardly moved"
    assert best["self_accuracy"] < 5
    assert best["test_accuracy"] > 90
    assert 3 < best["scalar"] < 60, "around 10"
    assert best["score"] > retrained["score"] - 0.02, "as good as retraining by this score"
    assert retrained["self_accuracy"] == 0
    trust = names["trust"]
    assert abs(trust.loc[("gif", "one"), "rho"] - 1) < 0.5
    assert trust.loc[("gif", "best"), "rho"] < 0.5
    doubt = names["doubt"].table
    scores = doubt[doubt["mark"] == "best"].set_index("method")["score"]
    assert scores["gradient"] > scores["gif"] - 0.03, "the gradient step scores about as well"
    assert len(pd.read_csv("eights.csv")) > 10
    images = torch.rand(4, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(names["network"](images), names["same"].cpu()(images))


def test_own_model(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(blocks(DOCS / "own-model.md")[0][1])
    names = follow("own-model.md")
    for answer in ("result", "own_way"):
        rows = names[answer].table.set_index(["method", "mark"])
        assert rows.loc[("retrain", ""), "self_accuracy"].item() == 0, "there is a cold reference"
    assert "retrain" not in set(names["without_cold"].table["method"]), "nobody knows how to train it"
    assert {"gif", "retrain_warm"} <= set(names["without_cold"].table["method"])
    assert {"gif", "retrain"} <= set(pd.read_csv("wine.csv")["method"])


def test_own_pictures(tmp_path: Path) -> None:
    pictures(tmp_path / "pictures")
    names = follow("own-data.md")
    assert {"gif", "retrain"} <= set(names["result"].table["method"])
    assert Path("edited-pictures.safetensors").stat().st_size > 1000
    assert len(pd.read_csv("without-cats.csv")) > 10


@pytest.mark.parametrize("page", [page for page in PAGES if page not in LIVE])
def test_other_pages(page: str) -> None:
    """The mathematics asserts its own claims; commands elsewhere are understood."""
    names = follow(page)
    assert page != "mathematics.md" or set(names["landed"]) == {"pif", "fif", "gif"}


def test_what_can_be_had_as_published_is_spelled_right() -> None:
    """Every `--setting value` in a sentence is one that an experiment has."""
    text = (DOCS / "deviations.md").read_text(encoding="utf-8")
    named = re.findall(r"`--([a-z-]+) ([a-z-]+)`", text)
    specs = [catalog.resolve(entry.spec) for entry in catalog.EXPERIMENTS.values()]
    known = {
        (spelling.flag(name), choice)
        for spec in specs
        for name, schema in spec.model_json_schema()["properties"].items()
        for choice in schema.get("enum", ())
    }
    assert len(named) >= 9
    assert not set(named) - known
