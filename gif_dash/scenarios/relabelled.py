"""The same scenario under other training labels: some of them wrong, some of those put right again."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gif_dash.influence.examples import Examples
from gif_dash.progress import Progress
from gif_dash.scenarios import cards, checkpoints
from gif_dash.scenarios.data import Items
from gif_dash.scenarios.prepared import Prepared, Reference
from gif_dash.scenarios.scenario import ScenarioError

#: Training on all examples is retraining that leaves out none.
NOBODY = torch.zeros(0, dtype=torch.int64)


@dataclass(frozen=True)
class Relabelled:
    """Examples under given labels. Implements `gif_dash.influence.Examples`.

    Attributes:
        examples: the examples as they were.
        labels: int64 (N,), CPU.
    """

    examples: Examples
    labels: Tensor

    def __len__(self) -> int:
        return len(self.examples)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        inputs, targets = self.examples.batch(indices)
        return inputs, self.labels[indices].to(targets)


def flipped(labels: Tensor, classes: int, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Some labels replaced by another class, drawn evenly among the others.

    Args:
        labels: int64 (N,).
        classes: how many there are.
        share: percent of all examples.
        seed: of the choice.

    Returns:
        the labels after that, (N,), and the positions that were changed, (m,), sorted.

    Raises:
        ScenarioError: it would be none of them, or all.
    """
    count = round(share / 100 * len(labels))
    if not 0 < count < len(labels):
        raise ScenarioError(f"{share:g} % of {len(labels):,} labels are {count:,}: there must be some, and not all")
    generator = torch.Generator().manual_seed(seed)
    where = torch.randperm(len(labels), generator=generator)[:count].sort().values
    steps = torch.randint(1, classes, (count,), generator=generator)
    changed = labels.clone()
    changed[where] = (changed[where] + steps) % classes
    return changed, where


def relabelled(prepared: Prepared, labels: Tensor) -> Prepared:
    """The scenario with other training labels, its network as it was; trained by `trained`.

    Args:
        prepared: the scenario.
        labels: int64 (N,), CPU.
    """
    content = checkpoints.state_hash({"labels": labels})
    train, scenario = Relabelled(_bare(prepared.train), labels), prepared.scenario
    return replace(
        prepared,
        scenario=replace(
            scenario,
            name=f"{scenario.name.removesuffix('-relabelled')[:60]}-relabelled",
            train=Items(train, train.labels),
        ),
        train=train,
        train_labels=labels,
        identity=cards.digest(prepared.identity, "relabelled", content),
        card=prepared.card.model_copy(
            update={"fingerprint": cards.digest(prepared.card.fingerprint, "relabelled", content)}
        ),
        _unwritten={},
    )


def _bare(examples: Examples) -> Examples:
    return examples.examples if isinstance(examples, Relabelled) else examples


def trained(prepared: Prepared, seed: int, progress: Progress) -> tuple[Prepared, Reference]:
    """A scenario of `relabelled` with a network trained on its labels from scratch, read from the cache if it is there.

    Raises:
        As `Prepared.reference`.
    """
    reference = prepared.reference(NOBODY, "cold", seed, progress)
    fingerprint = cards.digest(prepared.card.fingerprint, checkpoints.state_hash(reference.state))
    card = prepared.card.model_copy(update={"fingerprint": fingerprint, "test_accuracy": None})
    return replace(prepared, model=prepared.network(reference.state), card=card), reference


def is_trained(prepared: Prepared, seed: int) -> bool:
    """Whether `trained` has it without training."""
    return prepared.has_reference(NOBODY, "cold", seed)
