"""Problems whose influence is known in closed form, for the tests of this folder; numpy, float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from gif_dash.influence import ParameterIndex, Risk, TensorExamples


@dataclass
class Logistic:
    """Multinomial logistic regression with weight decay μ over weights and bias, at its exact minimiser.

    θ is laid out as ``nn.Linear``: the weight's rows, then the bias.
    """

    mu: float = 0.02
    n: int = 60
    features: int = 4
    classes: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self.labels = rng.integers(self.classes, size=self.n)
        centres = rng.normal(size=(self.classes, self.features))
        self.inputs = centres[self.labels] + 0.8 * rng.normal(size=(self.n, self.features))
        self.labels[:5] = (self.labels[:5] + 1) % self.classes  # some are wrong
        self.test_inputs = centres[rng.integers(self.classes, size=8)] + rng.normal(size=(8, self.features))
        self.test_labels = rng.integers(self.classes, size=8)
        self.theta = self.minimiser(np.ones(self.n) / self.n)
        self.model = nn.Linear(self.features, self.classes).double()
        ParameterIndex.of(self.model).assign(self.model, torch.tensor(self.theta))

    def gradients(self, theta: np.ndarray, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """∇ℓ of every example, without weight decay: (n, p)."""
        design = np.hstack([inputs, np.ones((len(inputs), 1))])
        errors = self.probabilities(theta, inputs)
        errors[np.arange(len(labels)), labels] -= 1
        weight = errors[:, :, None] * design[:, None, :-1]
        return np.hstack([weight.reshape(len(inputs), -1), errors])

    def probabilities(self, theta: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        split = self.classes * self.features
        outputs = inputs @ theta[:split].reshape(self.classes, self.features).T + theta[split:]
        outputs -= outputs.max(1, keepdims=True)
        return np.exp(outputs) / np.exp(outputs).sum(1, keepdims=True)

    def losses(self, theta: np.ndarray, inputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return -np.log(self.probabilities(theta, inputs)[np.arange(len(labels)), labels])

    def hessian(self, theta: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Of Σ w_i ℓ_i + μ/2·‖θ‖², from the closed form diag(p) − ppᵀ."""
        p = self.probabilities(theta, self.inputs)
        middle = np.einsum("ij,jk->ijk", p, np.eye(self.classes)) - p[:, :, None] * p[:, None, :]
        design = np.hstack([self.inputs, np.ones((self.n, 1))])
        blocks = np.einsum("i,iab,ic,id->acbd", weights, middle, design, design)  # (class, input, class, input)
        size = self.features + 1
        order = [a * size + c for a in range(self.classes) for c in range(self.features)]
        order += [a * size + self.features for a in range(self.classes)]
        full = blocks.reshape(self.classes * size, -1)[np.ix_(order, order)]
        return full + self.mu * np.eye(len(full))

    def minimiser(self, weights: np.ndarray) -> np.ndarray:
        """Of Σ w_i ℓ_i + μ/2·‖θ‖², by Newton's method to rounding."""
        theta = np.zeros(self.classes * (self.features + 1))
        for _ in range(50):
            slope = weights @ self.gradients(theta, self.inputs, self.labels) + self.mu * theta
            theta = theta - np.linalg.solve(self.hessian(theta, weights), slope)
            if np.linalg.norm(slope) < 1e-14:
                break
        return theta

    def without(self, who: int, *, renormalised: bool) -> np.ndarray:
        """Trained again without one example: weights 1/N for the others, or 1/(N − 1)."""
        weights = np.full(self.n, 1 / (self.n - 1 if renormalised else self.n))
        weights[who] = 0.0
        return self.minimiser(weights)

    def risk(self, mu: float | None = None, micro_batch: int = 7) -> Risk:
        examples = TensorExamples(torch.tensor(self.inputs), torch.tensor(self.labels))
        decay = self.mu if mu is None else mu
        return Risk(self.model, F.cross_entropy, examples, torch.arange(self.n), decay, micro_batch)

    def target(self, *who: int) -> Risk:
        examples = TensorExamples(torch.tensor(self.test_inputs), torch.tensor(self.test_labels))
        return Risk(self.model, F.cross_entropy, examples, torch.tensor(who))


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of ranks, for values without ties."""
    ranks = [np.argsort(np.argsort(values)) for values in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])
