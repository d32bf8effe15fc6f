"""The README says what is true: its own-model example runs, its commands exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from gif_dash import RemovalSpec, cli, run
from gif_dash.progress import Silent

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)


def test_own_model_in_fifteen_lines() -> None:
    (code,) = [text for kind, text in BLOCKS if kind == "python" and "Scenario(" in text]
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    names: dict[str, object] = {}
    exec(code, names)
    result = run(RemovalSpec(scenario="wine", forget_classes=(0,)), progress=Silent())
    rows = result.table.set_index(["method", "mark"])
    assert rows.loc[("retrain", ""), "self_accuracy"] == 0
    assert {"gif", "fif", "pif"} <= set(result.table["method"])


def commands() -> list[str]:
    lines = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
    return [line for line in lines if line.startswith("gif-dash ")]


@pytest.mark.parametrize("line", commands())
def test_commands_are_understood(line: str) -> None:
    outcome = CliRunner().invoke(cli.main, [*shlex.split(line)[1:], "--help"])
    assert outcome.exit_code == 0, outcome.output
