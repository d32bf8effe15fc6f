"""Results leave: the edited network for plain torch, tables for pandas, groups of examples from a file."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from gif_dash import cli
from gif_dash.progress import Silent
from gif_dash.results import Result
from gif_dash.scenarios import load
from gif_dash.scenarios.builtin import small_cnn


def say(*arguments: object) -> tuple[int, str]:
    outcome = CliRunner().invoke(cli.main, ["run", "removal", *map(str, arguments)])
    return outcome.exit_code, outcome.output


def test_edited_network_in_plain_torch(tmp_path: Path) -> None:
    table, file = tmp_path / "all.json", tmp_path / "edited.safetensors"
    code, words = say("--out", table, "--save-model", file, "--method", "fif")
    assert code == 0, words
    result = Result.from_json(table.read_text())
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    assert json.loads(metadata["spec"]) == result.spec
    assert metadata["method"] == "fif"
    assert float(metadata["scalar"]) == result.scalar("fif", "best")
    assert json.loads(metadata["provenance"])["fingerprint"] == result.provenance["fingerprint"]
    network = small_cnn().eval()
    network.load_state_dict(load_file(file))
    prepared = load("digits-cnn", Silent())
    forgotten = (prepared.train_labels == 8).nonzero().flatten()
    inputs, labels = prepared.train.batch(forgotten)
    with torch.no_grad():
        loss = nn.functional.cross_entropy(network(inputs), labels).item()
    row = result.table[(result.table["method"] == "fif") & (result.table["mark"] == "best")].iloc[0]
    assert loss == pytest.approx(row["forget_loss"], rel=1e-3)
    untouched = prepared.network().state_dict()
    changed = sum(int((network.state_dict()[name] != untouched[name]).sum()) for name in untouched)
    assert 0 < changed <= result.provenance["k"]


def test_zero_scalar_is_the_original_network(tmp_path: Path) -> None:
    assert say("--save-model", tmp_path / "same.safetensors", "--at", "0")[0] == 0
    original = load("digits-cnn", Silent()).network().state_dict()
    saved = load_file(tmp_path / "same.safetensors")
    assert all(torch.equal(saved[name], original[name]) for name in original)


def test_tables_for_pandas(tmp_path: Path) -> None:
    csv, parquet = tmp_path / "table.csv", tmp_path / "table.parquet"
    assert say("--out", csv)[0] == 0
    assert say("--out", parquet)[0] == 0
    pd.testing.assert_frame_equal(
        pd.read_csv(csv, keep_default_na=False, na_values={"scalar": [""]}), pd.read_parquet(parquet), check_dtype=False
    )


def test_examples_to_forget_from_a_file(tmp_path: Path) -> None:
    listed, table = tmp_path / "forget.txt", tmp_path / "all.json"
    listed.write_text("3\n14\n15, 92\n")
    code, words = say("--forget-indices", listed, "--out", table)
    assert code == 0, words
    result = Result.from_json(table.read_text())
    assert result.spec["forget_indices"] == [3, 14, 15, 92]
    assert result.provenance["m"] == 4
    listed.write_text("three")
    code, words = say("--forget-indices", listed)
    assert code == 2
    assert "forget" in words


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--save-model", "edited.pt"], ["--save-model", ".safetensors"]),
        (["--save-model", "edited.safetensors", "--method", "if"], ["--method", "gif, fif, pif"]),
        (["--method", "gif"], ["--save-model"]),
    ],
)
def test_refusals_before_anything_is_computed(arguments: list[str], words: list[str]) -> None:
    code, said = say(*arguments)
    assert code == 2
    assert all(word in said for word in words), said


def test_scalar_is_best_or_a_number(tmp_path: Path) -> None:
    code, said = say("--save-model", tmp_path / "edited.safetensors", "--at", "worst")
    assert code == 1
    assert "'best' or a finite number" in said
    assert not list(tmp_path.iterdir())
