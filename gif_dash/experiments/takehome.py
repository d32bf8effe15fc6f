"""An edited network as a file: safetensors with its provenance, loadable in plain torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gif_dash import __version__
from gif_dash.experiments import removal
from gif_dash.influence import Method
from gif_dash.progress import Progress
from gif_dash.results import Result
from gif_dash.scenarios import checkpoints
from gif_dash.specs import RemovalSpec


def save_model(model: torch.nn.Module, path: Path, result: Result, method: str, scalar: float) -> None:
    """Write a network's state dict; readers see the whole file or none.

    ``model.load_state_dict(safetensors.torch.load_file(path))`` reads it. The file's metadata (texts, as the format
    wants) holds the spec, the method, s, and the provenance of the result.

    Raises:
        OSError: the file cannot be written.
    """
    checkpoints.save(path, model.state_dict(), file_metadata(result.spec, method, scalar, result.provenance))


def edited_file(spec: RemovalSpec, method: Method, scalar: float, progress: Progress) -> bytes:
    """The edited network θ̂ + sΔ of a method, computed again, as the bytes of the file that `save_model` writes.

    The provenance inside is that of this computation, which has no sweep and no references.

    Args:
        spec: the question.
        method: one of the spec's.
        scalar: s.
        progress: told about the stages; may cancel.

    Raises:
        As `removal.run`.
    """
    model, provenance = removal.edited(spec, method, scalar, progress)
    asked = {"experiment": spec.experiment, **spec.model_dump(mode="json")}
    return checkpoints.encode(model.state_dict(), file_metadata(asked, method, scalar, provenance))


def file_metadata(spec: Mapping[str, Any], method: str, scalar: float, provenance: Mapping[str, Any]) -> dict[str, str]:
    """What stands in the file beside the network: spec, method, s and provenance, as texts."""
    return {
        "gif_dash": __version__,
        "spec": json.dumps(spec),
        "method": method,
        "scalar": repr(scalar),
        "provenance": json.dumps(provenance),
    }
