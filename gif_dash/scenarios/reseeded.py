"""The same scenario with its network trained anew from another seed."""

from __future__ import annotations

from dataclasses import replace

import torch

from gif_dash.progress import Progress
from gif_dash.scenarios import cards, checkpoints
from gif_dash.scenarios.prepared import Prepared

#: Trained anew on all examples is retraining that leaves out none: the same recipe, the same checkpoints.
_NOTHING = torch.zeros(0, dtype=torch.int64)


def training_seed(prepared: Prepared, number: int) -> int:
    """The seed of the training of a scenario's network `number`; the scenario's own network has number 0."""
    return (prepared.recipe.seed if prepared.recipe is not None else 0) + number


def is_trained(prepared: Prepared, number: int) -> bool:
    """Whether `reseeded` has the network without training it."""
    return number == 0 or prepared.has_reference(_NOTHING, "cold", training_seed(prepared, number))


def reseeded(prepared: Prepared, number: int, progress: Progress) -> Prepared:
    """The scenario with network `number`, trained as its own one was but for the seed.

    The seed decides the initialisation, the order of the examples and dropout. The network is read from the cache
    folder if it was trained before. Data and cold references are those of the scenario.

    Args:
        prepared: the scenario.
        number: 0 for the scenario's own network.
        progress: told about the training; may cancel.

    Returns:
        The scenario with another θ̂ and a fingerprint of its own.

    Raises:
        gif_dash.scenarios.NoColdReference: the scenario cannot be trained from scratch; it has only one network.
        gif_dash.scenarios.ScenarioError: the training fails.
        gif_dash.progress.Cancelled: from `progress`.
    """
    if number == 0:
        return prepared
    trained = prepared.reference(_NOTHING, "cold", training_seed(prepared, number), progress)
    fingerprint = cards.digest(prepared.card.fingerprint, checkpoints.state_hash(trained.state))
    card = prepared.card.model_copy(update={"fingerprint": fingerprint, "test_accuracy": None})
    return replace(prepared, model=prepared.network(trained.state), card=card)
