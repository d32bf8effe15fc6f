"""Trainings that go on where they were interrupted: everything that the next epoch depends on, kept on disk."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from gif_dash.scenarios import checkpoints
from gif_dash.scenarios.checkpoints import State

Generators = tuple[torch.Generator, ...]

#: Seconds between two writings, at least: short trainings are not kept, long ones after every epoch.
SECONDS = 60.0


class Interrupted:
    """What is kept of a training while it runs, so that a killed one loses at most an epoch (or `SECONDS`).

    What is continued gives the same network, bit by bit, as what was never interrupted, on one device.

    Args:
        path: of the file; it goes when the training is done.
        key: of everything that the training depends on.

    Attributes:
        before: seconds of the epochs that were found done.
        found: how many these are.
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path.with_name(path.name.replace(".safetensors", ".unfinished.safetensors")), key
        self.before, self.found = 0.0, 0
        self._began = self._written = time.perf_counter()

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer, generators: Generators) -> int:
        """Bring all of them to where the file has them.

        Returns:
            How many epochs are done; 0 if there is no such file.
        """
        self._began = self._written = time.perf_counter()
        if not self.path.is_file():
            return 0
        like = dict(_parts(model, _fresh(optimizer), generators))
        if (found := checkpoints.read(self.path, self.key, like)) is None:
            return 0
        state, metadata = found
        model.load_state_dict(
            {name.removeprefix("model."): value for name, value in state.items() if name.startswith("model.")}
        )
        values = optimizer.state_dict()
        values["state"] = {}
        for name, value in state.items():
            if name.startswith("optimizer."):
                _, number, entry = name.split(".", 2)
                values["state"].setdefault(int(number), {})[entry] = value
        optimizer.load_state_dict(values)
        for place, generator in enumerate(generators):
            generator.set_state(state[f"generator.{place}"])
        self.before, self.found = float(metadata["seconds"]), int(metadata["epochs"])
        return self.found

    def keep(self, epochs: int, model: nn.Module, optimizer: torch.optim.Optimizer, generators: Generators) -> None:
        """So many epochs are done. Written only if the last writing is long ago; a full disk is said and no error."""
        now = time.perf_counter()
        if now - self._written < SECONDS:
            return
        state: State = dict(_parts(model, optimizer.state_dict()["state"], generators))
        seconds = self.before + now - self._began
        checkpoints.write(self.path, self.key, state, {"seconds": repr(seconds), "epochs": str(epochs)})
        self._written = time.perf_counter()

    def done(self) -> None:
        """The training is finished, and kept elsewhere."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def _parts(
    model: nn.Module, states: dict[int, dict[str, Tensor]], generators: Generators
) -> Iterator[tuple[str, Tensor]]:
    yield from ((f"model.{name}", value) for name, value in model.state_dict().items())
    for place, entries in states.items():
        yield from ((f"optimizer.{place}.{entry}", value) for entry, value in entries.items())
    yield from ((f"generator.{place}", generator.get_state()) for place, generator in enumerate(generators))


def _fresh(optimizer: torch.optim.Optimizer) -> dict[int, dict[str, Tensor]]:
    """Tensors of the shapes that the optimizer's state has after a step."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if isinstance(optimizer, torch.optim.Adam):
        return {
            place: {"step": torch.zeros(()), "exp_avg": value, "exp_avg_sq": value}
            for place, value in enumerate(parameters)
        }
    momentum = any(group["momentum"] for group in optimizer.param_groups)
    return {place: {"momentum_buffer": value} for place, value in enumerate(parameters)} if momentum else {}
