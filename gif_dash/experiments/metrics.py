"""What is measured of a model: losses, accuracies and the score of a removal."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gif_dash.influence import Examples, Loss, Tick
from gif_dash.influence.risk import stream

#: Examples per forward pass: large enough for a GPU, small enough for a CPU's caches.
MICRO_BATCH = 500
#: The same for networks of so many parameters on a CPU: a quarter quicker for ResNet-18, a tenth for VGG-11.
LARGE, LARGE_MICRO_BATCH = 1_000_000, 64


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


def accuracy_error(accuracy: float, count: int) -> float:
    """Standard error of an accuracy as an estimate of that on all images of the kind, both in percent.

    The standard deviation of Jeffreys' posterior, Beta(right + ½, wrong + ½): the binomial √(p(1−p)/n) where there is
    something to see, and not 0 where all or none were right. NaN for a NaN accuracy.

    Args:
        accuracy: share of right answers, in percent.
        count: number of images behind it.
    """
    right = accuracy / 100 * count + 0.5
    wrong = count + 1 - right
    return 100 * math.sqrt(right * wrong / ((count + 1) ** 2 * (count + 2)))


def score_error(test_accuracy: float, self_accuracy: float, test_error: float, self_error: float) -> float:
    """Standard error of `removal_score`, from those of the two accuracies (percent): independent, to first order.

    With L = 1 − B: ∂score/∂A = 2L²/(A + L)², ∂score/∂L = 2A²/(A + L)². NaN where both terms vanish.
    """
    kept, lost = test_accuracy / 100, 1 - self_accuracy / 100
    if kept + lost == 0:
        return math.nan
    slopes = 2 * (lost / (kept + lost)) ** 2, 2 * (kept / (kept + lost)) ** 2
    return math.hypot(slopes[0] * test_error, slopes[1] * self_error) / 100


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

    def joined(self, other: Answers, mask: Tensor) -> Answers:
        """These answers where a boolean mask (n,) holds, in their order, and the other ones elsewhere, in theirs."""

        def merge(mine: Tensor, theirs: Tensor) -> Tensor:
            merged = mine.new_empty(len(mask))
            merged[mask], merged[~mask] = mine, theirs
            return merged

        return Answers(
            merge(self.losses, other.losses),
            merge(self.predicted, other.predicted),
            merge(self.labels, other.labels),
        )

    def confusion(self, classes: int) -> Tensor:
        """Counts (classes, classes + 1): row true, column predicted; the last column: answers that are not finite."""
        column = torch.where(self.predicted < 0, classes, self.predicted)
        flat = torch.bincount(self.labels * (classes + 1) + column, minlength=classes * (classes + 1))
        return flat.reshape(classes, classes + 1)


@torch.no_grad()
def answers(
    model: nn.Module, loss: Loss, examples: Examples, indices: Tensor, tick: Tick, micro_batch: int = 0
) -> Answers:
    """Ask a model (in the mode it is in) about examples.

    Args:
        indices: int64 (n,), on the CPU; none of them is answered by no forward pass.
        tick: called before every micro-batch; may raise to cancel.
        micro_batch: examples per forward pass, halved when the device runs out of memory; 0: what suits the network.
    """
    if len(indices) == 0:
        return Answers(torch.zeros(0, dtype=torch.float64), indices, indices)
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    size = sum(value.numel() for value in model.parameters())
    on_cpu = all(value.device.type == "cpu" for value in model.parameters())
    micro_batch = micro_batch or (LARGE_MICRO_BATCH if on_cpu and size >= LARGE else MICRO_BATCH)

    def work(chunk: Tensor) -> None:
        inputs, targets = examples.batch(chunk)
        outputs = model(inputs)
        finite = torch.isfinite(outputs).all(dim=1)
        losses = loss(outputs, targets, reduction="none").double().cpu()
        parts.append((losses, torch.where(finite, outputs.argmax(dim=1), -1).cpu(), targets.cpu()))

    stream(indices, micro_batch, work, tick)
    losses, predicted, labels = (torch.cat(column) for column in zip(*parts, strict=True))
    return Answers(losses, predicted, labels)


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
