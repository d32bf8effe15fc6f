"""One record for all tests here, and its trained networks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import record_fakes

from gif_dash import catalog, recorded


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache folder of whoever made the record."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def made(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a record of `record_fakes.ENTRY`."""
    folder = tmp_path_factory.mktemp("record")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(catalog.SCENARIOS, record_fakes.ENTRY.name, record_fakes.ENTRY)
        patch.setenv("GIF_DASH_CACHE", str(trained))
        record_fakes.make(folder)
    return folder


@pytest.fixture
def machine(made: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another machine's cache folder: nothing was asked there, but trainings are found done."""
    monkeypatch.setitem(catalog.SCENARIOS, record_fakes.ENTRY.name, record_fakes.ENTRY)
    shutil.copytree(trained / "checkpoints", tmp_path / "cache" / "checkpoints")
    monkeypatch.setenv("GIF_DASH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def shipped(made: Path, machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> recorded.Record:
    """The record on that machine."""
    (tmp_path / "shipped").mkdir()
    shutil.copy(made / "digits-large.zip", tmp_path / "shipped")
    monkeypatch.setenv(recorded.VARIABLE, str(tmp_path / "shipped"))
    return recorded.records()["digits-large"]
