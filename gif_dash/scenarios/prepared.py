"""A scenario made ready: the trained network on its device, the data in reach, references trained when asked for."""

from __future__ import annotations

import copy
import functools
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.data import Subset

from gif_dash import __version__, catalog
from gif_dash.compute.paths import cache_dir, data_dir
from gif_dash.influence.examples import Examples
from gif_dash.progress import Cancelled, Progress
from gif_dash.results import ScenarioCard
from gif_dash.scenarios import cards, checkpoints, data, training
from gif_dash.scenarios.checkpoints import State
from gif_dash.scenarios.finishing import Finishing
from gif_dash.scenarios.pictures import Pictures
from gif_dash.scenarios.resuming import Interrupted
from gif_dash.scenarios.scenario import ModelFactory, NoColdReference, Recipe, Scenario, ScenarioError, get, registered

Kind = Literal["cold", "warm"]

#: Continuation from θ̂ for scenarios that have no recipe: SGD with momentum, five passes.
WARM_DEFAULT = Recipe("sgd", lr=0.01, epochs=5, batch=128)

NO_COLD = "no cold reference: pass retrain="

#: Scenarios kept ready in a process.
KEPT = 4

#: Part of every checkpoint's key: raise it when training itself changes.
TRAINING_VERSION = 1


@dataclass(frozen=True)
class Reference:
    """A network trained without the forget group.

    Attributes:
        kind: ``cold`` (from scratch) or ``warm`` (from θ̂).
        seed: of the training.
        state: state dict, on the CPU.
        seconds: the training took, when it was made.
        note: how it was trained, in words: steps and rate.
    """

    kind: Kind
    seed: int
    state: State
    seconds: float
    note: str


@dataclass(frozen=True, eq=False)
class Prepared:
    """What experiments work with. Shared by all of a process: edit a `network()`, never `model`.

    Attributes:
        scenario: where it comes from.
        model: the trained network θ̂, in eval mode, on `device`.
        train: training examples; batches come on `device`.
        test: test examples, likewise.
        train_labels: int64 (N,), CPU.
        test_labels: int64, CPU.
        card: what can be shown without all this.
        weight_decay: μ of the training.
        device: of model and batches.
        recipe: how it was (and is again) trained, if by a recipe.
        identity: hash of everything that a training from scratch depends on.
        signature: hash of what tells in little time that the user's objects have changed since.
    """

    scenario: Scenario
    model: nn.Module
    train: Examples
    test: Examples
    train_labels: Tensor
    test_labels: Tensor
    card: ScenarioCard
    weight_decay: float
    device: torch.device
    recipe: Recipe | None
    identity: str
    signature: str
    _unwritten: dict[str, Reference] = field(default_factory=dict, repr=False)

    def network(self, state: Mapping[str, Tensor] | None = None) -> nn.Module:
        """A copy of the network of one's own, with θ̂ or a reference's state; eval mode, on `device`."""
        model = copy.deepcopy(self.model)
        if state is not None:
            model.load_state_dict(dict(state))
        return model.eval()

    def forget(self, classes: Sequence[int] = (), indices: Sequence[int] = ()) -> Tensor:
        """Training positions of the forget group: of the given indices if there are any, else of the classes.

        Returns:
            int64 (m,), sorted, each position once.

        Raises:
            ScenarioError: if something is out of range, nothing is forgotten, or nothing remains.
        """
        count = len(self.train_labels)
        chosen: Tensor
        if len(indices):
            chosen = torch.unique(torch.as_tensor(list(indices), dtype=torch.int64))
            if chosen[0] < 0 or chosen[-1] >= count:
                raise ScenarioError(f"training indices go from 0 to {count - 1} in {self.scenario.name}")
        else:
            known = len(self.scenario.classes)
            if any(not 0 <= label < known for label in classes):
                raise ScenarioError(f"{self.scenario.name} has classes 0 to {known - 1}")
            wanted = torch.as_tensor(list(classes), dtype=torch.int64)
            chosen = torch.isin(self.train_labels, wanted).nonzero().flatten()
        if not 0 < len(chosen) < count:
            raise ScenarioError("there must be at least one training example to forget and one to stay")
        return chosen

    def retain(self, forget: Tensor) -> Tensor:
        """All other training positions, int64 (N − m,), sorted."""
        stays = torch.ones(len(self.train_labels), dtype=torch.bool)
        stays[forget] = False
        positions: Tensor = stays.nonzero().flatten()
        return positions

    def reference(self, forget: Tensor, kind: Kind, seed: int, progress: Progress) -> Reference:
        """The network trained without the forget group; read from the cache folder if it was trained before.

        Args:
            forget: int64 (m,) training positions.
            kind: ``cold``: from scratch, like the original; ``warm``: from θ̂, as `Reference.note` says.
            seed: of initialisation (cold), order of the examples, and dropout.
            progress: told about the training; may cancel, but a training that is almost done is finished and kept.

        Raises:
            NoColdReference: if the scenario cannot be trained from scratch.
            ScenarioError: if the training fails.
            gif_dash.progress.Cancelled: from `progress`.
        """
        forget, recipe = torch.unique(forget), self._reference_recipe(kind)
        path, key = self._place(forget, kind, seed, recipe)
        with _one_at_a_time(progress):
            if key in self._unwritten:
                return self._unwritten[key]
            if (found := checkpoints.read(path, key, self.model.state_dict())) is not None:
                state, metadata = found
                return Reference(kind, seed, state, float(metadata["seconds"]), metadata["note"])
            finishing = Finishing(progress)
            kept = Interrupted(path, key)
            reference = self._train_reference(self.retain(forget), kind, seed, recipe, finishing, kept)
            metadata = _metadata(reference.seconds, seed, self.weight_decay, recipe) | {"note": reference.note}
            if not checkpoints.write(path, key, reference.state, metadata):
                self._unwritten[key] = reference
            kept.done()
            if finishing.left is not None:
                raise finishing.left
            return reference

    def has_reference(self, forget: Tensor, kind: Kind, seed: int) -> bool:
        """Whether `reference` has it without training (arguments as there)."""
        path, key = self._place(torch.unique(forget), kind, seed, self._reference_recipe(kind))
        return key in self._unwritten or path.is_file()

    def _place(self, forget: Tensor, kind: Kind, seed: int, recipe: Recipe | None) -> tuple[Path, str]:
        """Where a reference is kept, and the key of everything that it depends on."""
        start = checkpoints.state_hash(self.model.state_dict()) if kind == "warm" else ""
        key = cards.digest(kind, seed, self.identity, start, forget.tolist(), cards.recipe_text(recipe))
        return checkpoints.place(f"{self.scenario.name}-{kind}", key), key

    def _reference_recipe(self, kind: Kind) -> Recipe | None:
        if kind == "cold":
            return self.recipe
        return self.recipe.warm() if self.recipe is not None else replace(WARM_DEFAULT, weight_decay=self.weight_decay)

    def _train_reference(
        self, retain: Tensor, kind: Kind, seed: int, recipe: Recipe | None, progress: Progress, kept: Interrupted
    ) -> Reference:
        title = f"Retraining on {len(retain):,} of {len(self.train_labels):,} examples ({kind} start, seed {seed})"
        started = time.perf_counter()
        if kind == "cold" and self.scenario.retrain is not None:
            state = _retrain(self.scenario, self.model, retain, seed, progress, title)
            note = f"cold start by the scenario's own retrain function, seed {seed}"
        else:
            if recipe is None:
                raise NoColdReference(NO_COLD)
            model = self.network() if kind == "warm" else _untrained(self.scenario, self.model, seed)
            model = model.to(self.device, _dtype(self.model))
            training.train(model, self.scenario.loss, self.train, retain, recipe, seed, progress, title, kept)
            state = _to_cpu(model.state_dict())
            steps = training.steps(recipe, len(retain))
            note = f"{kind} start: {steps:,} steps, {recipe.describe()}, seed {seed}"
        return Reference(kind, seed, state, kept.before + time.perf_counter() - started, note)


_lock = threading.Lock()
_kept: OrderedDict[tuple[object, ...], Prepared] = OrderedDict()


@contextmanager
def _one_at_a_time(progress: Progress) -> Iterator[None]:
    """Only one training in a process; who waits can still be cancelled."""
    while not _lock.acquire(timeout=0.1):
        progress.check()
    try:
        yield
    finally:
        _lock.release()


def load(scenario: str | Scenario, progress: Progress, *, device: torch.device | str | None = None) -> Prepared:
    """Make a scenario ready; an untrained one is trained at first use and kept in the cache folder.

    The same object is given again in this process while network, data, files and folders stay as they are. Changes
    inside a data set that is neither made of tensors nor has ``targets`` or files are not noticed.

    Args:
        scenario: a name of the catalog, a registered name, or the scenario itself.
        progress: told about reading and training; may cancel.
        device: where to compute; None: cuda, then mps, then cpu.

    Raises:
        ScenarioError: one sentence about what is wrong, or missing.
        gif_dash.progress.Cancelled: from `progress`.
    """
    chosen = torch.device(device) if device is not None else training.device()
    with _one_at_a_time(progress):
        source = registered(scenario) if isinstance(scenario, str) else scenario
        settings = catalog.settings(scenario) if isinstance(scenario, str) else {}
        key = (source or scenario, chosen, cache_dir(), data_dir(), *settings.items())
        kept = _kept.pop(key, None)
        if kept is None or not _current(kept, source):
            name = scenario if isinstance(scenario, str) else scenario.name
            kept = _prepare(source or get(name), chosen, progress)
        _kept[key] = kept
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
        return kept


def _current(kept: Prepared, source: Scenario | None) -> bool:
    files = tuple(Path(file) for file in kept.card.evidence)
    if cards.evidence(files) != kept.card.evidence:
        return False
    return source is None or _signature(source) == kept.signature


def _signature(scenario: Scenario) -> str:
    state = checkpoints.state_hash(scenario.model.state_dict()) if isinstance(scenario.model, nn.Module) else ""
    return cards.digest(state, data.signature(scenario.train), data.signature(scenario.test))


def _prepare(scenario: Scenario, device: torch.device, progress: Progress) -> Prepared:
    name, classes = scenario.name, len(scenario.classes)
    seen = cards.evidence(scenario.files)  # before they are read: what changes meanwhile is read again
    seed = scenario.recipe.seed if scenario.recipe is not None else 0
    model = copy.deepcopy(scenario.model) if isinstance(scenario.model, nn.Module) else _build(scenario, seed)
    model = model.to(device, _dtype(model, device))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ScenarioError(f"{name}'s model has no trainable parameters (requires_grad is False for all)")
    train = data.prepare(scenario.train, f"{name}'s training data", classes, device, _dtype(model), progress)
    test = data.prepare(scenario.test, f"{name}'s test data", classes, device, _dtype(model), progress)
    if len(torch.unique(train.labels)) < 2:
        raise ScenarioError(f"{name}'s training data are all of one class; there must be at least two")
    model.eval()
    _check_fit(scenario, model, train.examples)

    identity = cards.digest(
        TRAINING_VERSION,
        cards.architecture(model),
        "" if scenario.trained else checkpoints.state_hash(model.state_dict()),  # the initialisation
        {
            label: checkpoints.state_hash({"": value})
            for label, value in model.named_parameters()
            if not value.requires_grad
        },
        cards.data_hash(train),
        cards.recipe_text(scenario.recipe),
        scenario.mu,
        cards.code(scenario.loss),
        cards.code(scenario.retrain),
    )
    files, seconds = scenario.files, {}
    if not scenario.trained:
        path = checkpoints.place(name, identity)
        found = checkpoints.read(path, identity, model.state_dict())
        if found is None:
            found = _train_original(scenario, model, train, identity, path, seed, progress)
        state, metadata = found
        model.load_state_dict(state)
        files, seconds = (*files, path), {"train": float(metadata["seconds"])}
    card = ScenarioCard(
        name=name,
        title=scenario.title or name,
        summary=scenario.summary,
        fingerprint=cards.fingerprint(scenario, model, train, test),
        classes=tuple(map(str, scenario.classes)),
        train_size=len(train.labels),
        test_size=len(test.labels),
        train_counts=cards.counts(train.labels, classes),
        test_counts=cards.counts(test.labels, classes),
        parameters=sum(value.numel() for value in model.parameters() if value.requires_grad),
        weight_decay=scenario.mu,
        layers=cards.layer_cards(model),
        thumbnails=cards.thumbnails(train.examples, train.labels, classes),
        test_accuracy=_accuracy(model, test, progress),
        has_cold_reference=_has_cold(scenario, model, seed),
        data_note=scenario.data_note,
        seconds=seconds,
        preprocessing=scenario.train.preprocessing if isinstance(scenario.train, Pictures) else "",
        evidence=seen | cards.evidence(files[len(scenario.files) :]),
        settings=catalog.settings(name),
    )
    return Prepared(
        scenario,
        model,
        train.examples,
        test.examples,
        train.labels,
        test.labels,
        card,
        scenario.mu,
        device,
        scenario.recipe,
        identity,
        _signature(scenario),
    )


def _train_original(
    scenario: Scenario, model: nn.Module, train: data.Split, key: str, path: Path, seed: int, progress: Progress
) -> tuple[State, dict[str, str]]:
    started = time.perf_counter()
    title = f"Training {scenario.title or scenario.name}"
    everything = torch.arange(len(train.labels))
    kept = Interrupted(path, key)
    if scenario.recipe is not None:
        training.train(model, scenario.loss, train.examples, everything, scenario.recipe, seed, progress, title, kept)
        state = _to_cpu(model.state_dict())
    else:
        state = _retrain(scenario, model, everything, seed, progress, title)
    metadata = _metadata(kept.before + time.perf_counter() - started, seed, scenario.mu, scenario.recipe)
    checkpoints.write(path, key, state, metadata)
    kept.done()
    return state, metadata


def _build(scenario: Scenario, seed: int) -> nn.Module:
    """A new network of a scenario that has a factory."""
    assert not isinstance(scenario.model, nn.Module)
    model, other = (training.build(scenario.model, seed) for _ in range(2))
    if not isinstance(model, nn.Module):
        raise ScenarioError(f"{scenario.name}: the function given as model must return a torch module")
    if model is other:
        raise ScenarioError(f"{scenario.name}: the function given as model must build a new network every time")
    return model


def _untrained(scenario: Scenario, model: nn.Module, seed: int) -> nn.Module:
    """A network initialised anew, on the CPU: from the factory, or `model` reset."""
    if not isinstance(scenario.model, nn.Module):
        return _build(scenario, seed)
    return training.build(lambda: training.reset_copy(model), seed)


def _has_cold(scenario: Scenario, model: nn.Module, seed: int) -> bool:
    if scenario.retrain is not None:
        return True
    if scenario.recipe is None:
        return False
    try:
        _untrained(scenario, model, seed)
    except NoColdReference:
        return False
    return True


def _retrain(
    scenario: Scenario, model: nn.Module, positions: Tensor, seed: int, progress: Progress, title: str
) -> State:
    """The state dict that the scenario's own function gives for some of the training data."""
    assert scenario.retrain is not None
    progress.stage(title)
    progress.check()
    factory: ModelFactory = functools.partial(_untrained, scenario, model, seed)
    remaining = Subset(scenario.train, positions.tolist())
    try:
        with training.seeded(seed):
            state = scenario.retrain(factory, remaining, seed, progress)
    except (Cancelled, ScenarioError):
        raise
    except Exception as error:
        raise ScenarioError(f"{scenario.name}'s retrain function failed: {type(error).__name__}: {error}") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ScenarioError(f"{scenario.name}'s retrain function must return a state dict")
    if mismatch := checkpoints.misfit(state, model.state_dict()):
        raise ScenarioError(f"{scenario.name}'s retrain function returned a state dict that does not fit: {mismatch}")
    return _to_cpu(state)


def _check_fit(scenario: Scenario, model: nn.Module, examples: Examples) -> None:
    """Outputs and losses must have the shapes that everything else relies on."""
    name, classes = scenario.name, len(scenario.classes)
    inputs, targets = examples.batch(torch.arange(min(4, len(examples))))
    shape = tuple(inputs.shape[1:])
    try:
        with torch.no_grad():
            outputs = model(inputs)
    except Exception as error:  # whatever a foreign network raises
        raise ScenarioError(f"{name}'s model does not accept inputs of shape {shape}: {_first_line(error)}") from error
    wanted = (len(inputs), classes)
    if not isinstance(outputs, Tensor) or tuple(outputs.shape) != wanted:
        got = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise ScenarioError(
            f"{name}'s model must give one output per class, shape {wanted} for {len(inputs)} inputs; it gives {got}"
        )
    try:
        losses = scenario.loss(outputs, targets, reduction="none")
    except Exception as error:
        sentence = f"{name}'s loss must work as loss(outputs, targets, reduction='none'): {_first_line(error)}"
        raise ScenarioError(sentence) from error
    if not isinstance(losses, Tensor) or losses.shape != targets.shape:
        got = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
        raise ScenarioError(
            f"{name}'s loss must give one value per example with reduction='none', "
            f"shape ({len(inputs)},) for {len(inputs)} inputs; it gives {got}"
        )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@torch.no_grad()
def _accuracy(model: nn.Module, split: data.Split, progress: Progress) -> float:
    """In percent."""
    right = 0
    for positions in torch.split(torch.arange(len(split.labels)), 512):
        progress.check()
        inputs, targets = split.examples.batch(positions)
        right += int((model(inputs).argmax(1) == targets).sum())
    return 100 * right / len(split.labels)


def _dtype(model: nn.Module, device: torch.device | None = None) -> torch.dtype:
    """float64 for a network that has it where the device knows it, else float32."""
    double = any(parameter.dtype == torch.float64 for parameter in model.parameters())
    return torch.float64 if double and (device is None or device.type != "mps") else torch.float32


def _to_cpu(state: Mapping[str, Tensor]) -> State:
    return {name: value.detach().to("cpu", copy=True) for name, value in state.items()}


def _metadata(seconds: float, seed: int, weight_decay: float, recipe: Recipe | None) -> dict[str, str]:
    return {
        "seconds": repr(seconds),
        "seed": str(seed),
        "weight_decay": repr(weight_decay),
        "recipe": cards.recipe_text(recipe),
        "gif_dash": __version__,
        "torch": torch.__version__,
    }
