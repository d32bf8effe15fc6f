"""The files of a record: a folder while it grows, one small archive to be shipped."""

from __future__ import annotations

import json
import math
import re
import subprocess
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from gif_dash import __version__
from gif_dash.compute import keys
from gif_dash.compute.store import Row
from gif_dash.recorded import FORMAT, INDEX
from gif_dash.results import Result, ScenarioCard, frame_to_dict
from gif_dash.specs import Spec
from gif_dash.spelling import changed, flag, to_cli, written

#: Significant digits of the numbers in tables: more than single precision has.
DIGITS = 7
#: Pictures per class that travel with the card.
PICTURES = 1


@dataclass(frozen=True)
class Kept:
    """A finished question of a record.

    Attributes:
        spec: the question's canonical JSON.
        fingerprint: of the scenario.
        code: hash of the code that computed it.
        commit: of the checkout that computed it, see `commit`.
        result: the answer.
    """

    spec: str
    fingerprint: str
    code: str
    commit: str
    result: Result


def commit() -> str:
    """The checkout's commit, with a + where files were changed since; the version where there is no checkout."""
    here = Path(__file__).parent
    try:
        hashed, state = (
            subprocess.run(["git", "-C", str(here), *command], capture_output=True, text=True, check=True).stdout
            for command in (("rev-parse", "--short=12", "HEAD"), ("status", "--porcelain", "--", str(here.parent)))
        )
    except (OSError, subprocess.CalledProcessError):
        return f"gif_dash {__version__}"
    return hashed.strip() + ("+" if state.strip() else "")


def title(spec: Spec) -> str:
    """Short and unique within a record: the experiment and what differs from its defaults, without the scenario."""
    told = [f"{flag(name)}-{written(value)}" for name, value in changed(spec).items() if name != "scenario"]
    return re.sub(r"[^a-z0-9.+-]+", "-", "_".join([spec.experiment, *told]).lower())[:120]


def place(folder: Path, spec: Spec) -> Path:
    """File of a question's answer in the folder of a record."""
    digest = keys.result_key(spec, "", "")[:8]
    return folder / f"{title(spec)[:60].strip('-')}-{digest}.json"


def read(path: Path) -> Kept | None:
    """What `write` has written; None if it is not there or is something else."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return Kept(told["spec"], told["fingerprint"], told["code"], told["commit"], Result.from_json(told["result"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(path: Path, kept: Kept) -> None:
    """Keep an answer, whole or not at all, with its main table as CSV beside it.

    Raises:
        OSError: it cannot be written.
    """
    told = {**{name: getattr(kept, name) for name in ("spec", "fingerprint", "code", "commit")}}
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({**told, "result": kept.result.to_json()}), encoding="utf-8")
    temporary.replace(path)
    kept.result.table.to_csv(path.with_suffix(".csv"), index=False)


def pack(path: Path, card: ScenarioCard | None, facts: Mapping[str, Any], answers: Iterable[tuple[Spec, Kept]]) -> None:
    """Write the archive that `gif_dash.recorded` reads.

    Args:
        path: of the archive, ``SCENARIO.zip``.
        card: of the scenario; places of files and all but the first pictures are left out. None: there is none.
        facts: about data, training and machine.
        answers: in the order in which they are offered.

    Raises:
        OSError: it cannot be written.
    """
    rows: list[dict[str, Any]] = []
    files: dict[str, str] = {}
    tables: dict[str, str] = {}
    for number, (spec, kept) in enumerate(answers):
        key = keys.result_key(spec, kept.fingerprint, kept.code)
        name = f"{number:02}-{title(spec)[:60].strip('-')}.json"
        known = kept.result.provenance
        row = Row(
            key,
            spec.experiment,
            "" if card is None else card.name,
            spec.canonical(),
            kept.code,
            kept.fingerprint,
            pd.Timestamp(known["created"]).timestamp(),
            float(known["seconds"]),
        )
        rows.append({f.name: getattr(row, f.name) for f in fields(row) if f.name not in ("name", "pinned", "recorded")})
        files[key] = f"results/{name}"
        said = {"commit": kept.commit, "command": to_cli(spec), "record": facts["command"]}
        result = replace(kept.result, provenance={**known, "recorded": said})
        tables[files[key]] = _compact(result)
    index = {"format": FORMAT, "card": _shipped(card), "facts": facts, "rows": rows, "files": files}
    temporary = path.with_suffix(".zip.tmp")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, text in ((INDEX, json.dumps(index)), *tables.items()):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text, zipfile.ZIP_DEFLATED, 9)
    temporary.replace(path)


def _shipped(card: ScenarioCard | None) -> dict[str, Any] | None:
    if card is None:
        return None
    pictures = tuple(row[:PICTURES] for row in card.thumbnails)
    return card.model_copy(update={"evidence": {}, "settings": {}, "thumbnails": pictures}).model_dump(mode="json")


def _compact(result: Result) -> str:
    """As `Result.to_json`, with rounded numbers in the tables."""
    tables = {}
    for name, frame in result.tables.items():
        told = frame_to_dict(frame)
        told["columns"] = {column: [_rounded(value) for value in values] for column, values in told["columns"].items()}
        tables[name] = told
    return json.dumps({"spec": result.spec, "tables": tables, "provenance": result.provenance}, separators=(",", ":"))


def _rounded(value: Any) -> Any:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) and math.isfinite(value) else value
