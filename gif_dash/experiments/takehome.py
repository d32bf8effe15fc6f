"""An edited network as a file: safetensors with its provenance, loadable in plain torch."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import safetensors.torch
import torch

from gif_dash import __version__
from gif_dash.results import Result


def save_model(model: torch.nn.Module, path: Path, result: Result, method: str, scalar: float) -> None:
    """Write a network's state dict; readers see the whole file or none.

    ``model.load_state_dict(safetensors.torch.load_file(path))`` reads it. The file's metadata (texts, as the format
    wants) holds the spec, the method, s, and the provenance of the result.

    Raises:
        OSError: the file cannot be written.
    """
    # clones: tied parameters share memory, which the format refuses
    state = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in model.state_dict().items()}
    metadata = {
        "gif_dash": __version__,
        "spec": json.dumps(result.spec),
        "method": method,
        "scalar": repr(scalar),
        "provenance": json.dumps(result.provenance),
    }
    with tempfile.NamedTemporaryFile(dir=path.resolve().parent, suffix=".part", delete=False) as file:
        try:
            file.write(safetensors.torch.save(state, metadata))
            file.close()
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
