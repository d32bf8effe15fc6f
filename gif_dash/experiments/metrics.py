"""What is measured of a model: losses, accuracies and the score of a removal."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gif_dash.influence import Examples, Loss, Tick


def removal_score(test_accuracy: float, self_accuracy: float) -> float:
    """Harmonic mean of keeping the other classes and losing the removed one (GIF paper, eq. 32).

    Args:
        test_accuracy: A, accuracy on the other classes, in percent.
        self_accuracy: B, accuracy on the removed class, in percent.

    Returns:
        2·A·(1−B)/(A + 1−B) as a fraction 0 … 1; 0 when both terms vanish; NaN when either accuracy is NaN.
    """
    kept, lost = test_accuracy / 100, 1 - self_accuracy / 100
    return 2 * kept * lost / (kept + lost) if kept + lost != 0 else 0.0


@dataclass(frozen=True)
class Answers:
    """What a model says to a list of examples.

    Attributes:
        losses: float64 (n,), per-example loss; Inf or NaN where the model's outputs are not finite.
        predicted: int64 (n,), the class with the largest output; −1 where an output is not finite.
        labels: int64 (n,), the true classes.
    """

    losses: Tensor
    predicted: Tensor
    labels: Tensor

    def mean_loss(self, where: Tensor) -> float:
        """Mean loss over a boolean mask (n,); NaN over nothing."""
        return float(self.losses[where].mean()) if bool(where.any()) else float("nan")

    def accuracy(self, where: Tensor) -> float:
        """Accuracy in percent over a boolean mask (n,); NaN over nothing."""
        if not bool(where.any()):
            return float("nan")
        return 100 * float((self.predicted[where] == self.labels[where]).double().mean())

    def confusion(self, classes: int) -> Tensor:
        """Counts (classes, classes + 1): row true, column predicted; the last column: answers that are not finite."""
        column = torch.where(self.predicted < 0, classes, self.predicted)
        flat = torch.bincount(self.labels * (classes + 1) + column, minlength=classes * (classes + 1))
        return flat.reshape(classes, classes + 1)


@torch.no_grad()
def answers(
    model: nn.Module, loss: Loss, examples: Examples, indices: Tensor, tick: Tick, micro_batch: int = 1000
) -> Answers:
    """Ask a model (in the mode it is in) about examples.

    Args:
        indices: int64 (n,), on the CPU.
        tick: called between micro-batches; may raise to cancel.
    """
    losses, predicted, labels = [], [], []
    for batch in torch.split(indices, micro_batch):
        inputs, targets = examples.batch(batch)
        outputs = model(inputs)
        finite = torch.isfinite(outputs).all(dim=1)
        losses.append(loss(outputs, targets, reduction="none").double().cpu())
        predicted.append(torch.where(finite, outputs.argmax(dim=1), -1).cpu())
        labels.append(targets.cpu())
        tick()
    return Answers(torch.cat(losses), torch.cat(predicted), torch.cat(labels))


def stratified_half(labels: Tensor, seed: int = 0) -> Tensor:
    """A fixed half of a test set: boolean mask (n,) with half of each class (rounded up), drawn with a seed."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.zeros(len(labels), dtype=torch.bool)
    for label in torch.unique(labels):
        members = (labels == label).nonzero().flatten()
        order = torch.randperm(len(members), generator=generator)
        mask[members[order[: (len(members) + 1) // 2]]] = True
    return mask


def sample(indices: Tensor, size: int, seed: int) -> Tensor:
    """At most `size` of the indices, sorted, drawn without replacement with a seed."""
    if len(indices) <= size:
        return indices
    generator = torch.Generator().manual_seed(seed)
    return indices[torch.randperm(len(indices), generator=generator)[:size]].sort().values
