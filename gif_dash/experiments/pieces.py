"""Finished pieces of a long run, so that an interrupted one goes on where it stopped.

A piece is a small `Result` in a file of its own in the cache folder. The store of answers cannot be used for this: it
belongs to the compute side, which starts experiments and is not known to them. Files serve the page and the command
alike, whoever of them computed a piece first; they carry no answer by themselves and may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zlib
from contextlib import suppress
from pathlib import Path

from gif_dash import notices
from gif_dash.compute.keys import result_key
from gif_dash.compute.paths import cache_dir
from gif_dash.results import Result
from gif_dash.specs import Spec


def place(spec: Spec, fingerprint: str, *parts: object) -> Path:
    """File of a piece; another one after any change of question, network, data or code.

    Args:
        spec: the piece as a question.
        fingerprint: of the scenario, see `gif_dash.results.ScenarioCard`.
        parts: what the question does not say.
    """
    text = "\0".join([result_key(spec, fingerprint), *map(str, parts)])
    return cache_dir() / "pieces" / f"{spec.experiment}-{hashlib.sha256(text.encode()).hexdigest()[:32]}.piece"


def read(path: Path) -> Result | None:
    """The piece of that file; None if it is not there or cannot be read."""
    try:
        return Result.from_json(zlib.decompress(path.read_bytes()).decode())
    except (OSError, ValueError, KeyError, zlib.error):
        return None


def write(path: Path, piece: Result) -> bool:
    """Keep a piece, whole or not at all; a folder that cannot be written is said and is no error.

    Returns:
        Whether it is kept: only then may the run give way, or it would begin anew again and again.
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(suffix=".tmp", prefix=".", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(zlib.compress(piece.to_json().encode()))
        os.replace(temporary, path)
        return True
    except OSError as error:
        notices.say(f"Finished parts of long runs are not kept: {path.parent} cannot be written ({error.strerror})")
        if temporary:
            with suppress(OSError):
                os.unlink(temporary)
        return False


def remove(path: Path) -> None:
    """Forget a piece."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
