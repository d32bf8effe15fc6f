"""The closed forms of the toy and the engine on tensors are two ways to the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gif_dash import toy
from gif_dash.influence import (
    Hessian,
    ParameterIndex,
    Risk,
    TensorExamples,
    estimate,
    removal_gradient,
    retain_gradient,
)
from gif_dash.influence.estimators import second_order


def squared_error(outputs: Tensor, targets: Tensor, reduction: str = "none") -> Tensor:
    assert reduction == "none"
    return ((outputs - targets) ** 2).squeeze(1)


def risk(data: toy.Data, model: nn.Module, positions: range) -> Risk:
    examples = TensorExamples(torch.from_numpy(data.features), torch.from_numpy(data.targets)[:, None])
    return Risk(model, squared_error, examples, torch.tensor(positions), micro_batch=333)


def model_at(theta: toy.Array) -> nn.Module:
    model = nn.Linear(5, 1).double()
    index = ParameterIndex.of(model)
    index.assign(model, torch.from_numpy(theta))
    return model


DATA = {
    "drawn": toy.draw(1000, 200, 5.0, 0.5, 1.0, 0),
    "strongly correlated": toy.draw(400, 100, 8.0, 0.9, 0.3, 4),
    "published": toy.published_data(),
}


@pytest.mark.parametrize("name", DATA)
def test_group_removal_is_the_engines(name: str) -> None:
    data, indices = DATA[name], (0, 1)
    trace = toy.remove_group(data, indices, 4)
    model = model_at(trace.start)
    count, outliers = len(data.targets), data.outliers
    retained = risk(data, model, range(outliers, count))
    theta = torch.from_numpy(trace.start)
    by_forgetting = removal_gradient(risk(data, model, range(outliers)).gradient(), theta, 0.0, outliers, count)
    by_retaining = retain_gradient(retained.gradient(), theta, 0.0)
    chosen = torch.tensor(indices)
    with Hessian(retained) as hessian:
        for method in toy.METHODS:
            expected = trace.paths[method][trace.prediction] - trace.start
            for gradient in (by_forgetting, by_retaining):  # equal, since the start is a minimum
                update = estimate(method, hessian, gradient, chosen, solver="direct")
                np.testing.assert_allclose(update.delta, expected, rtol=1e-9, atol=1e-9)
    ends = trace.steps().query("mark == 'one'").set_index("method")
    for method in toy.METHODS:
        edited = risk(data, model_at(trace.paths[method][trace.prediction]), range(outliers, count))
        assert ends.loc[method, "loss"] == pytest.approx(edited.value(), rel=1e-9)
        assert ends.loc[method, "gradient_norm"] == pytest.approx(float(edited.gradient().norm()), rel=1e-9)


@pytest.mark.parametrize("name", DATA)
def test_stepwise_removal_is_the_engines(name: str) -> None:
    """g = -∇L_R at the present parameters, one estimate after the other."""
    data, indices = DATA[name], (3, 1)
    trace = toy.remove_in_steps(data, indices, 4)
    for method in toy.METHODS:
        theta = trace.start.copy()
        for step, cut in enumerate(trace.removed[1:], start=1):
            retained = risk(data, model_at(theta), range(int(cut), len(data.targets)))
            with Hessian(retained) as hessian:
                gradient = retain_gradient(retained.gradient(), hessian.theta, 0.0)
                update = estimate(method, hessian, gradient, torch.tensor(indices), solver="direct")
            theta = theta + update.delta.numpy()
            np.testing.assert_allclose(trace.paths[method][step], theta, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", DATA)
def test_first_and_second_order_are_the_engines(name: str) -> None:
    """Koh and Liang's own form, H_D and (m/N)·g_U, and IF2 with the removal's sign."""
    data = DATA[name]
    trace = toy.remove_group(data, (0, 1), 4, expansions=True)
    model = model_at(trace.start)
    count, outliers = len(data.targets), data.outliers
    group = risk(data, model, range(outliers))
    gradient = group.gradient()
    with Hessian(risk(data, model, range(count))) as everything, Hessian(group) as leaving:
        first = estimate("if", everything, outliers / count * gradient, torch.arange(6), solver="direct")
        second = second_order(everything, leaving, gradient, outliers, count, solver="direct")
    for way, update in (("koh", first), ("if2", second)):
        found = trace.paths[way][trace.prediction] - trace.start  # type: ignore[index]
        np.testing.assert_allclose(found, update.delta, rtol=1e-9, atol=1e-9)


def test_points_changed_by_hand_are_the_engines() -> None:
    drawn = DATA["drawn"]
    edits = [toy.Edit(3, ((0, 0.5), (5, -2.0))), toy.Edit(4, removed=False), toy.Edit(900, ((5, 9.0),), True)]
    data = toy.edited(drawn, edits)
    assert data.outliers == 200
    features, targets = drawn.features.copy(), drawn.targets.copy()
    features[3, 0], targets[3], targets[900] = 0.5, -2, 9
    examples = TensorExamples(torch.from_numpy(features), torch.from_numpy(targets)[:, None])
    staying = torch.tensor([4, *range(200, 900), *range(901, 1000)])
    trace = toy.remove_group(data, (0, 1), 4)
    model = model_at(trace.start)
    retained = Risk(model, squared_error, examples, staying)
    gradient = retain_gradient(retained.gradient(), torch.from_numpy(trace.start), 0.0)
    with Hessian(retained) as hessian:
        for method in toy.METHODS:
            update = estimate(method, hessian, gradient, torch.tensor((0, 1)), solver="direct")
            expected = trace.paths[method][trace.prediction] - trace.start
            np.testing.assert_allclose(update.delta, expected, rtol=1e-9, atol=1e-9)
