"""The closed forms of the line and the engine on tensors are two ways to the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gif_dash import line
from gif_dash.influence import (
    Hessian,
    ParameterIndex,
    Risk,
    TensorExamples,
    estimate,
    removal_gradient,
    upweighting_gradient,
)
from gif_dash.influence.attribution import influences


def squared_error(outputs: Tensor, targets: Tensor, reduction: str = "none") -> Tensor:
    assert reduction == "none"
    return ((outputs - targets) ** 2).squeeze(1)


@pytest.mark.parametrize("decay", [0.0, 0.8])
def test_influence_and_removal_are_the_engines(decay: float) -> None:
    x, y = line.draw(20, (1, -5), 100.0, 0.1, 3)
    test = (3.2, 4.0)
    found = line.analyse(x, y, test, decay)
    model = nn.Linear(1, 1).double()
    ParameterIndex.of(model).assign(model, torch.from_numpy(found.theta))
    points = TensorExamples(torch.from_numpy(x)[:, None], torch.from_numpy(y)[:, None])
    at = TensorExamples(*(torch.tensor([[value]], dtype=torch.float64) for value in test))

    def risk(indices: list[int], mu: float, examples: TensorExamples = points) -> Risk:
        return Risk(model, squared_error, examples, torch.tensor(indices), mu)

    every, both = list(range(20)), torch.arange(2)
    whole, target = risk(every, decay), risk([0], 0.0, at)
    assert float(whole.gradient().norm()) < 1e-9
    assert target.value() == pytest.approx(found.test_loss, rel=1e-9)
    with Hessian(whole) as hessian:
        (scores,) = influences(whole, hessian, [target], solver="direct")
        np.testing.assert_allclose(scores.scores.numpy(), found.influence, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(scores.effects(20).numpy(), found.predicted, rtol=1e-9, atol=1e-9)
        # the first order of Koh and Liang, their own gradient of the removed point alone
        theta = torch.from_numpy(found.theta)
        single = risk([15], 0.0).gradient()
        step = estimate("if", hessian, upweighting_gradient(single, theta, 0.0, 1, 20), both, solver="direct").delta
        assert float(step @ target.gradient()) == pytest.approx(found.predicted[15], rel=1e-9)
    for index in (0, 1, 15):
        others = [place for place in every if place != index]
        with Hessian(risk(others, decay)) as hessian:
            gradient = removal_gradient(risk([index], 0.0).gradient(), theta, decay, 1, 20)
            step = estimate("if", hessian, gradient, both, solver="direct").delta
        np.testing.assert_allclose((theta + step).numpy(), found.moved[index], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose((theta + step).numpy(), found.without[index], rtol=1e-9, atol=1e-9)
        edited = target.value(theta + step) - target.value()
        assert edited == pytest.approx(found.left_out[index], rel=1e-9)
