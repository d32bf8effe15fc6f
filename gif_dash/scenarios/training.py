"""Training, deterministic per seed on a CPU, without touching the process's random state."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from gif_dash.influence.examples import Examples
from gif_dash.progress import Progress
from gif_dash.scenarios.augmenting import moved
from gif_dash.scenarios.resuming import Interrupted
from gif_dash.scenarios.scenario import Loss, ModelFactory, NoColdReference, Recipe, ScenarioError

#: Environment variable with torch's name of the device to compute on.
DEVICE = "GIF_DASH_DEVICE"
#: Parameters of a network that is trained on one CPU thread.
SMALL = 100_000


def device() -> torch.device:
    """Where to compute: what ``GIF_DASH_DEVICE`` names, else cuda, then mps, then cpu.

    Raises:
        ScenarioError: one sentence, if what it names is not here.
    """
    if wanted := os.environ.get(DEVICE):
        try:
            return torch.empty(0, device=wanted).device
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise ScenarioError(f"the device {wanted!r} cannot be used here ({reason})") from None
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's global random state set to `seed`, and put back afterwards."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    with torch.random.fork_rng(devices=devices):
        _seed(seed)
        try:
            yield
        finally:
            if mps is not None:
                torch.mps.set_rng_state(mps)


def _seed(seed: int) -> None:
    """`torch.manual_seed` without the stack trace that it formats for a CUDA that is not there (150 µs a step)."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


@contextmanager
def few_threads(model: nn.Module) -> Iterator[None]:
    """One CPU thread for a small network.

    Its operations take microseconds, so more threads bring nothing on an idle machine, and on a busy one they wait for
    each other at every operation (measured on two busy cores: 86 ms a step instead of 4).
    """
    before = torch.get_num_threads()
    small = sum(parameter.numel() for parameter in model.parameters()) <= SMALL
    if small:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if small:
            torch.set_num_threads(before)


def build(factory: ModelFactory, seed: int) -> nn.Module:
    """The network that `factory` makes when torch's random state is `seed`."""
    with seeded(seed):
        return factory()


def reset_copy(model: nn.Module) -> nn.Module:
    """A deep copy of `model` with all trainable parameters (and running statistics) initialised anew.

    Uses the modules' own ``reset_parameters``. Frozen parameters (``requires_grad`` False) keep their values: they are
    not part of the training.

    Raises:
        NoColdReference: if a trainable parameter would keep what it has learned.
    """
    fresh = copy.deepcopy(model)
    frozen = {name: value.detach().clone() for name, value in fresh.named_parameters() if not value.requires_grad}
    with torch.no_grad():
        for parameter in fresh.parameters():
            if parameter.requires_grad:
                parameter.fill_(math.nan)  # whatever is still NaN afterwards was not reset
        fresh.apply(_reset)
        for name, parameter in fresh.named_parameters():
            if name in frozen:
                parameter.copy_(frozen[name])
            elif parameter.isnan().any():
                raise NoColdReference(f"no cold reference: pass retrain= ({name} has no reset_parameters to reset it)")
    return fresh


def _reset(module: nn.Module) -> None:
    own = list(module.parameters())
    if own and not any(parameter.requires_grad for parameter in own):
        return  # frozen: running statistics stay, too
    # torch's attention and transformer modules have the method under a private name
    reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    if callable(reset):
        reset()


def steps(recipe: Recipe, examples: int) -> int:
    """Optimizer steps that the recipe takes on that many examples."""
    return recipe.epochs * math.ceil(examples / recipe.batch)


def rate(recipe: Recipe, step: int, total: int) -> float:
    """Learning rate of step 0 … total − 1: a linear rise, then a half cosine down to (almost) 0."""
    rise = recipe.warmup * total
    if step < rise:
        return recipe.lr * (step + 1) / (rise + 1)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * (step - rise) / (total - rise)))


def layers_in(recipe: Recipe, where: torch.device) -> AbstractContextManager[object]:
    """The precision that the recipe asks of the layers."""
    if recipe.precision == "float32":
        return nullcontext()
    return torch.autocast(where.type, torch.bfloat16)


def train(
    model: nn.Module,
    loss: Loss,
    examples: Examples,
    indices: Tensor,
    recipe: Recipe,
    seed: int,
    progress: Progress,
    title: str,
    interrupted: Interrupted | None = None,
) -> None:
    """Train `model` in place on ``examples[indices]``; it is left in eval mode.

    Args:
        model: on the device of the examples' batches.
        loss: per-example loss.
        examples: the training data.
        indices: int64 (n,), positions to train on.
        recipe: everything but the seed.
        seed: of the order of the examples and of dropout.
        progress: told about every step; may cancel.
        title: of the progress stage.
        interrupted: keeps the training after every epoch, and has what is left of one that was interrupted; nothing
            is kept without.

    Raises:
        ScenarioError: if the parameters are no longer finite.
        gif_dash.progress.Cancelled: from `progress`.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(
            parameters, recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=recipe.nesterov
        )
    else:
        optimizer = torch.optim.Adam(parameters, recipe.lr, weight_decay=recipe.weight_decay)
    total = steps(recipe, len(indices))
    parts = math.ceil(len(indices) / recipe.batch)
    generators = order, noise = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed)
    done = 0 if interrupted is None else interrupted.restore(model, optimizer, generators)
    progress.stage(title, total)
    model.train()
    if step := done * parts:
        progress.advance(step)
    with few_threads(model):
        for epoch in range(done, recipe.epochs):
            shuffled = indices[torch.randperm(len(indices), generator=order)]
            for chunk in shuffled.tensor_split(parts):
                progress.check()
                for group in optimizer.param_groups:
                    group["lr"] = rate(recipe, step, total)
                inputs, targets = examples.batch(chunk)
                # Forked at every step, not around the whole training: a notebook's own use of the random state
                # goes on meanwhile in another thread, and neither may see the other.
                with seeded(int(torch.randint(2**62, (), generator=noise))), layers_in(recipe, inputs.device):
                    outputs = model(moved(inputs, recipe.augment))
                if recipe.precision == "bfloat16":
                    outputs = outputs.float()  # the loss is taken in full precision
                optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(loss(outputs, targets, reduction="none").mean())
                optimizer.step()
                step += 1
                progress.advance()
            if not all(bool(parameter.isfinite().all()) for parameter in parameters):
                raise ScenarioError(f"training diverged after {step} steps; lower the recipe's lr ({recipe.lr:g})")
            if interrupted is not None and epoch + 1 < recipe.epochs:
                interrupted.keep(epoch + 1, model, optimizer, generators)
    optimizer.zero_grad(set_to_none=True)
    model.eval()
