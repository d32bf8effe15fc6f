"""What is being explained: a network, the data it was trained and tested on, and how it can be trained again."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

from gif_dash import catalog
from gif_dash.progress import Progress

Loss = Callable[..., Tensor]
ModelFactory = Callable[[], nn.Module]
Retrain = Callable[[ModelFactory, Dataset[Any], int, Progress], dict[str, Tensor]]


class ScenarioError(ValueError):
    """A scenario that cannot be used; the message is one sentence that says what to do."""


class NoColdReference(ScenarioError):
    """The scenario cannot be trained from scratch."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: minimise the mean loss + weight_decay/2·‖θ‖² over the trainable parameters θ.

    The weight decay is coupled (part of the gradient) for both optimizers, so that a converged θ̂ is a stationary point
    of that sum. The learning rate rises linearly from 0 during the first `warmup` of the steps and follows a half
    cosine back to 0, so that training ends at rest.

    Attributes:
        optimizer: ``sgd`` (with momentum) or ``adam`` (its default betas).
        lr: highest learning rate.
        epochs: passes over the training data.
        batch: examples per step, at most; an epoch is cut into equal parts.
        weight_decay: μ ≥ 0.
        momentum: of ``sgd``.
        warmup: share of the steps, 0 … 1.
        seed: of the initialisation, the order of the examples and dropout.
        nesterov: whether the momentum of ``sgd`` is Nesterov's.
        augment: what training does to pictures (never gradients, curvature or measurements, for which examples are
            fixed): ``crop`` moves each by up to an eighth of its size, ``flip-crop`` also mirrors half of them.
        precision: of the forward and backward passes of training (never of the parameters, their sums, gradients for
            influence, curvature or measurements): with ``bfloat16`` layers run under ``torch.autocast``, which is two
            to three times as fast on processors with instructions for it, and slow on others.
    """

    optimizer: Literal["sgd", "adam"] = "sgd"
    lr: float = 0.1
    epochs: int = 30
    batch: int = 128
    weight_decay: float = 0.0
    momentum: float = 0.9
    warmup: float = 0.05
    seed: int = 0
    nesterov: bool = False
    augment: Literal["none", "crop", "flip-crop"] = "none"
    precision: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        if self.optimizer not in ("sgd", "adam"):
            raise ScenarioError(f"a recipe's optimizer is 'sgd' or 'adam', not {self.optimizer!r}")
        if not self.lr > 0 or self.epochs < 1 or self.batch < 1:
            raise ScenarioError("a recipe needs lr > 0, epochs ≥ 1 and batch ≥ 1")
        if not self.weight_decay >= 0 or not 0 <= self.momentum < 1 or not 0 <= self.warmup < 1:
            raise ScenarioError("a recipe needs weight_decay ≥ 0, 0 ≤ momentum < 1 and 0 ≤ warmup < 1")
        if self.nesterov and not (self.optimizer == "sgd" and self.momentum > 0):
            raise ScenarioError("nesterov goes with sgd and momentum > 0")
        if self.augment not in ("none", "crop", "flip-crop"):
            raise ScenarioError(f"a recipe's augment is 'none', 'crop' or 'flip-crop', not {self.augment!r}")
        if self.precision not in ("float32", "bfloat16"):
            raise ScenarioError(f"a recipe's precision is 'float32' or 'bfloat16', not {self.precision!r}")

    def warm(self) -> Recipe:
        """The default continuation from θ̂: a quarter of the epochs at a tenth of the rate, falling to 0."""
        return replace(self, lr=self.lr / 10, epochs=-(-self.epochs // 4))

    def describe(self) -> str:
        """In words, for notes beside numbers."""
        nesterov = " (Nesterov)" if self.nesterov else ""
        kind = f"SGD, momentum {self.momentum:g}{nesterov}" if self.optimizer == "sgd" else "Adam"
        moved = {"none": "", "crop": ", random crops", "flip-crop": ", random flips and crops"}[self.augment]
        precise = ", in bfloat16" if self.precision == "bfloat16" else ""
        told = f"{kind}, rate up to {self.lr:g}, batches of {self.batch}, weight decay {self.weight_decay:g}"
        return f"{told}{moved}{precise}"


@dataclass(frozen=True, eq=False)
class Scenario:
    """A trained network, or how to train it, with its data.

    Attributes:
        name: what people type; unique.
        model: a trained module (used as it is, on a deep copy), or a function without arguments that builds an
            untrained one (trained by `recipe` or `retrain` at first use, then kept as a checkpoint).
        train: map-style data set of (input tensor, class position) pairs; deterministic.
        test: likewise.
        classes: the classes' names, by position.
        loss: ``loss(outputs, targets, reduction="none")`` → one value per example, shape (b,).
        retrain: trains from scratch: ``retrain(model_factory, dataset, seed, progress)`` → state dict.
        recipe: trains from scratch without any code.
        weight_decay: μ, if the module was trained with weight decay and there is no recipe that says so.
        title: what people read; `name` if empty.
        summary: one sentence.
        data_note: what must be said beside every number, for example that the pictures are JPEG copies.
        files: the files behind the data, if any; the scenario is loaded again when they change.

    Raises:
        ScenarioError: one sentence, when the parts cannot belong together.
    """

    name: str
    model: nn.Module | ModelFactory
    train: Dataset[Any]
    test: Dataset[Any]
    classes: Sequence[str]
    loss: Loss = F.cross_entropy
    retrain: Retrain | None = None
    recipe: Recipe | None = None
    weight_decay: float | None = None
    title: str = ""
    summary: str = ""
    data_note: str = ""
    files: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if not self.name or len(self.name) > 80:
            raise ScenarioError("a scenario needs a name of at most 80 characters")
        if len(self.classes) < 2:
            raise ScenarioError(f"{self.name} needs at least two classes; it has {len(self.classes)}")
        if not callable(self.model):
            raise ScenarioError(f"{self.name}: model must be a torch module or a function that builds one")
        if not self.trained and self.recipe is None and self.retrain is None:
            raise ScenarioError(f"{self.name}: an untrained model needs recipe= or retrain= to be trained")
        if self.recipe is not None and self.weight_decay not in (None, self.recipe.weight_decay):
            raise ScenarioError(f"{self.name}: weight_decay differs from the recipe's; give it once")
        if self.weight_decay is not None and not self.weight_decay >= 0:
            raise ScenarioError(f"{self.name}: weight_decay must not be negative")

    @property
    def trained(self) -> bool:
        """Whether `model` is a module (taken as trained)."""
        return isinstance(self.model, nn.Module)

    @property
    def mu(self) -> float:
        """The weight decay μ the network was trained with."""
        if self.recipe is not None:
            return self.recipe.weight_decay
        return self.weight_decay or 0.0


_registered: dict[str, Scenario] = {}
_lock = threading.Lock()


def register(scenario: Scenario) -> None:
    """Make a scenario known by name in this process; one registered earlier under that name is replaced.

    Raises:
        ScenarioError: if the name belongs to a scenario of the catalog.
    """
    if scenario.name in catalog.scenarios():
        raise ScenarioError(f"{scenario.name!r} is a built-in scenario; choose another name")
    with _lock:
        _registered[scenario.name] = scenario


def registrations() -> dict[str, Scenario]:
    """The scenarios registered in this process, by name, in the order of their registration."""
    with _lock:
        return dict(_registered)


def registered(name: str) -> Scenario | None:
    """The scenario registered in this process under that name, if there is one."""
    return registrations().get(name)


def get(name: str) -> Scenario:
    """The scenario of that name: one registered in this process, or one of the catalog.

    Raises:
        ScenarioError: if there is none, or its data are missing.
    """
    if (known := registered(name)) is not None:
        return known
    entries = catalog.scenarios()
    if name not in entries:
        names = ", ".join([*entries, *registrations()])
        raise ScenarioError(f"there is no scenario named {name!r}; choose from {names}")
    entry = entries[name]
    if entry.added:
        return _made_by(entry)
    scenario: Scenario = catalog.resolve(entry.target)()
    return replace(scenario, name=entry.name, title=entry.title, summary=entry.summary)


def imported(path: str, what: str) -> Any:
    """The object behind ``package.module:name``, which comes from the person's own command line or code.

    Args:
        path: where it is.
        what: how a sentence calls it.

    Raises:
        ScenarioError: if it cannot be imported.
    """
    module, _, name = path.partition(":")
    if not module or not name:
        raise ScenarioError(f"the {what} {path!r} must be spelled package.module:function")
    try:
        return catalog.resolve(path)
    except ModuleNotFoundError as error:
        reason = f"there is no module {error.name!r}"
        if error.name == module.partition(".")[0]:
            reason += " (in the current folder or among the installed ones)"
    except AttributeError:
        reason = f"{module} has no {name!r}"
    except Exception as error:  # whatever a foreign module raises
        reason = f"{type(error).__name__}: {error}"
    raise ScenarioError(f"the {what} {path} cannot be imported: {' '.join(reason.split())}")


def source_files(path: str) -> tuple[Path, ...]:
    """The file of the (imported) module of an import path."""
    file = getattr(sys.modules.get(path.partition(":")[0]), "__file__", None) if ":" in path else None
    return (Path(file),) if file else ()


def _made_by(entry: catalog.ScenarioEntry) -> Scenario:
    """The scenario of a person's own function, under the name by which it is offered."""
    made = imported(entry.target, "scenario")
    if not isinstance(made, Scenario):
        if not callable(made):
            raise ScenarioError(f"{entry.target} must be a function that makes a Scenario; it is {made!r}"[:300])
        try:
            made = made()
        except ScenarioError:
            raise
        except Exception as error:  # whatever a foreign function raises
            raise ScenarioError(f"{entry.target} failed: {type(error).__name__}: {error}") from error
    if not isinstance(made, Scenario):
        raise ScenarioError(f"{entry.target} must make a Scenario; it makes a {type(made).__name__}")
    files = (*made.files, *source_files(entry.target))
    return replace(made, name=entry.name, title=made.title or made.name, files=files)
