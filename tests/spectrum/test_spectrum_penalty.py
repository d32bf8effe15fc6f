"""The two regularisers: their derivatives against autograd, and what they do to eigenvalues."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from gif_dash.experiments.penalty import Penalty, Regularised
from gif_dash.influence import ParameterIndex


class Matrix:
    """A symmetric matrix as a curvature."""

    def __init__(self, matrix: torch.Tensor) -> None:
        self.matrix, self.products = matrix, 0

    @property
    def size(self) -> int:
        return len(self.matrix)

    def matvec(self, v: torch.Tensor, tick: object = None) -> torch.Tensor:
        self.products += 1
        return self.matrix @ v


def point(size: int = 7) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize("norm", ["squared", "plain"])
def test_derivatives_are_those_of_the_formula(norm: str) -> None:
    theta, alpha = point(), 0.7

    def value(at: torch.Tensor) -> torch.Tensor:
        return 0.5 * alpha * (at.pow(2).sum() if norm == "squared" else at.pow(2).sum().sqrt())

    penalty = Penalty(norm, alpha)
    assert penalty.value([theta[:3], theta[3:]]) == pytest.approx(float(value(theta)), abs=1e-14)
    slope = torch.autograd.functional.jacobian(value, theta)
    torch.testing.assert_close(penalty.gradient(theta), slope, rtol=0, atol=1e-14)
    hessian = torch.autograd.functional.hessian(value, theta)
    torch.testing.assert_close(penalty.dense(theta), hessian, rtol=0, atol=1e-14)
    v = torch.randn(len(theta), dtype=torch.float64)
    torch.testing.assert_close(penalty.matvec(theta, v), hessian @ v, rtol=0, atol=1e-13)


def test_eigenvalues_of_the_plain_norm() -> None:
    """Zero along θ, α/(2‖θ‖) across it: twice the parameters, half the strength."""
    theta = point()
    for stretch in (1, 2):
        found = np.linalg.eigvalsh(Penalty("plain", 0.6).dense(stretch * theta).numpy())
        assert found[0] == pytest.approx(0, abs=1e-15)
        np.testing.assert_allclose(found[1:], 0.3 / (stretch * float(theta.norm())), rtol=1e-12)


@pytest.mark.parametrize("norm", ["squared", "plain"])
def test_operator_adds_it_and_counts_the_products_of_the_other(norm: str) -> None:
    theta = point()
    matrix = torch.randn(7, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    matrix = matrix + matrix.T
    penalty = Penalty(norm, 0.4)
    inner = Matrix(matrix)
    operator = Regularised(inner, penalty, theta)
    v = point(7) + 1
    torch.testing.assert_close(operator.matvec(v), (matrix + penalty.dense(theta)) @ v, rtol=0, atol=1e-13)
    assert operator.size == 7
    assert operator.products == inner.products == 1


@pytest.mark.parametrize("norm", ["squared", "plain"])
def test_added_to_a_loss_it_is_what_training_feels(norm: str) -> None:
    """One step of gradient descent on the loss with it moves by the gradient of both."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2).double()
    index = ParameterIndex.of(model)
    theta = index.vector(model)
    inputs, targets = torch.randn(5, 3, dtype=torch.float64), torch.tensor([0, 1, 0, 1, 1])
    penalty = Penalty(norm, 0.3)
    loss = penalty.added_to(nn.functional.cross_entropy, model)
    values = loss(model(inputs), targets, reduction="none")
    bare = nn.functional.cross_entropy(model(inputs), targets, reduction="none")
    assert values.shape == (5,)
    length = math.sqrt(float(theta.square().sum()))
    expected = 0.15 * (length**2 if norm == "squared" else length)
    torch.testing.assert_close(values - bare, torch.full((5,), expected, dtype=torch.float64), rtol=0, atol=1e-12)
    both = torch.cat([part.reshape(-1) for part in torch.autograd.grad(values.mean(), list(model.parameters()))])
    alone = torch.cat([part.reshape(-1) for part in torch.autograd.grad(bare.mean(), list(model.parameters()))])
    torch.testing.assert_close(both - alone, penalty.gradient(theta), rtol=0, atol=1e-12)
