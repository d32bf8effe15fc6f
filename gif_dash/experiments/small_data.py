"""Small data sets as whole tensors: Iris, a tenth of MNIST."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gif_dash.influence import TensorExamples

#: Training images that a tenth of MNIST is.
TENTH = 6000


@dataclass(frozen=True)
class SmallData:
    """Training and test examples in memory.

    Attributes:
        title: what it is, in words.
        train, test: inputs (n, …) and labels int64 (n,).
        classes: their names.
    """

    title: str
    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    classes: tuple[str, ...]

    @property
    def n(self) -> int:
        """Number of training examples."""
        return len(self.train[1])

    def wanted(self) -> Tensor:
        """Training labels as 0 and 1, in the dtype of the inputs: (n, c)."""
        return torch.nn.functional.one_hot(self.train[1], len(self.classes)).to(self.train[0])

    def examples(self, part: str = "train") -> TensorExamples:
        """The training examples, or those of ``test``."""
        return TensorExamples(*(self.train if part == "train" else self.test))


def iris() -> SmallData:
    """scikit-learn's Iris, float64: 120 flowers for training, 30 for testing, stratified; features standardised."""
    import sklearn.datasets
    from sklearn.model_selection import train_test_split

    bunch: Any = sklearn.datasets.load_iris()
    inputs, labels = torch.tensor(bunch.data, dtype=torch.float64), torch.tensor(bunch.target, dtype=torch.int64)
    train, test = train_test_split(np.arange(len(labels)), test_size=30, stratify=bunch.target, random_state=0)
    inputs = (inputs - inputs[train].mean(0)) / inputs[train].std(0)
    names = tuple(map(str, bunch.target_names))
    return SmallData("Iris", (inputs[train], labels[train]), (inputs[test], labels[test]), names)


def mnist_tenth() -> SmallData:
    """A tenth of MNIST's training images, drawn once for all, and all test images; float32.

    Raises:
        gif_dash.scenarios.ScenarioError: MNIST is neither there nor to be had.
    """
    from gif_dash.scenarios.builtin import DIGITS, mnist_cnn

    scenario: Any = mnist_cnn()
    drawn = torch.randperm(len(scenario.train), generator=torch.Generator().manual_seed(0))[:TENTH]
    inputs, labels = scenario.train.tensors
    return SmallData("MNIST, a tenth", (inputs[drawn], labels[drawn]), scenario.test.tensors, DIGITS)
