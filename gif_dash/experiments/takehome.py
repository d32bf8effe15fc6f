"""An edited network as a file: safetensors with its provenance, loadable in plain torch."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from gif_dash import __version__
from gif_dash.results import Result
from gif_dash.scenarios import checkpoints


def save_model(model: torch.nn.Module, path: Path, result: Result, method: str, scalar: float) -> None:
    """Write a network's state dict; readers see the whole file or none.

    ``model.load_state_dict(safetensors.torch.load_file(path))`` reads it. The file's metadata (texts, as the format
    wants) holds the spec, the method, s, and the provenance of the result.

    Raises:
        OSError: the file cannot be written.
    """
    metadata = {
        "gif_dash": __version__,
        "spec": json.dumps(result.spec),
        "method": method,
        "scalar": repr(scalar),
        "provenance": json.dumps(result.provenance),
    }
    checkpoints.save(path, model.state_dict(), metadata)
