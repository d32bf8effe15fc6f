"""Scores of single examples against closed forms, leave-one-out training and dense float64 algebra."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from attribution_cases import Logistic, spearman
from influence.influence_cases import Ridge, Stop, dense_hessian, half_squared_error, stop_after, trained_net
from torch import nn

from gif_dash.influence import GaussNewton, Hessian, InfluenceError, ParameterIndex, Risk, TensorExamples
from gif_dash.influence.attribution import (
    directional_derivatives,
    influences,
    per_example_gradients,
    solve,
)
from gif_dash.influence.attribution_spectral import Decomposition

torch.set_num_threads(1)


def net_risk(mu: float = 0.0, micro_batch: int = 9) -> tuple[nn.Module, Risk]:
    net, examples = trained_net(smooth=True)
    return net, Risk(net, F.cross_entropy, examples, torch.arange(40), mu, micro_batch)


def looped_gradients(risk: Risk) -> np.ndarray:
    """∇ℓ of every example, one backward pass each."""
    parameters = [parameter for parameter in risk.model.parameters() if parameter.requires_grad]
    training = risk.model.training
    risk.model.eval()
    rows = []
    for number in risk.indices.tolist():
        loss = risk.batch_losses(torch.tensor([number])).sum()
        rows.append(torch.cat([part.flatten() for part in torch.autograd.grad(loss, parameters)]).numpy())
    risk.model.train(training)
    return np.array(rows)


# --- forward and reverse mode ----------------------------------------------------------------------------------------


def test_forward_mode_gives_the_inner_products_of_looped_gradients() -> None:
    net, risk = net_risk()
    directions = torch.randn(3, ParameterIndex.of(net).p, dtype=torch.float64)
    expected = directions.numpy() @ looped_gradients(risk).T
    found = directional_derivatives(risk, directions)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
    assert net.training
    whole = Risk(net, F.cross_entropy, risk.examples, risk.indices, 0.0, 1000)
    np.testing.assert_allclose(directional_derivatives(whole, directions), found, atol=1e-12)


def test_directions_in_one_layer_and_along_nothing() -> None:
    net, risk = net_risk()
    index = ParameterIndex.of(net)
    directions = torch.zeros(2, index.p, dtype=torch.float64)
    head = torch.nonzero(index.layer_of(torch.arange(index.p)) == len(index.layers) - 1).flatten()
    directions[0, head] = 1.0
    found = directional_derivatives(risk, directions)
    np.testing.assert_allclose(found[0], looped_gradients(risk)[:, head].sum(1), atol=1e-12)
    assert not found[1].any()


def test_gradients_of_single_examples_in_the_order_of_the_selection() -> None:
    net, risk = net_risk()
    expected = looped_gradients(risk)
    chosen = torch.tensor([70, 3, 0, 151])
    np.testing.assert_allclose(per_example_gradients(risk, lambda g: g), expected, atol=1e-12)
    np.testing.assert_allclose(per_example_gradients(risk, lambda g: g, chosen), expected[:, chosen], atol=1e-12)
    assert net.training


def test_both_passes_can_be_cancelled_between_micro_batches() -> None:
    net, risk = net_risk()
    direction = torch.ones(1, ParameterIndex.of(net).p, dtype=torch.float64)
    with pytest.raises(Stop):
        directional_derivatives(risk, direction, stop_after(3))
    with pytest.raises(Stop):
        per_example_gradients(risk, lambda g: g, tick=stop_after(3))
    assert net.training
    assert all(parameter.grad is None for parameter in net.parameters())


def test_directions_of_another_shape_are_refused() -> None:
    _, risk = net_risk()
    with pytest.raises(InfluenceError, match="shape"):
        directional_derivatives(risk, torch.ones(3))


# --- influence: closed forms -----------------------------------------------------------------------------------------


def test_linear_regression_is_the_closed_form() -> None:
    case = Ridge()
    test_inputs, test_targets = np.full((1, case.features), 0.5), np.array([2.0])
    design = np.hstack([test_inputs, [[1.0]]])
    slope = design[0] * (design[0] @ case.theta - test_targets[0])
    slopes = case.design * (case.design @ case.theta - case.targets)[:, None]
    expected = -slopes @ np.linalg.solve(case.hessian(case.every), slope)
    examples = TensorExamples(torch.tensor(test_inputs), torch.tensor(test_targets)[:, None])
    target = Risk(case.model, half_squared_error, examples, torch.tensor([0]))
    risk = case.risk(case.every)
    with Hessian(risk) as hessian:
        for settings in (
            {"solver": "direct"},
            {"solver": "cgls", "iterations": 60},
            {"solver": "cg", "iterations": 40},
        ):
            found = influences(risk, hessian, [target], **settings)[0]  # type: ignore[arg-type]
            np.testing.assert_allclose(found.scores, expected, rtol=1e-8, atol=1e-12)
            np.testing.assert_allclose(found.effects(case.n), -expected / case.n, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("settings", [{"solver": "direct"}, {"solver": "cgls", "iterations": 50}])
def test_logistic_regression_is_the_closed_form_for_several_test_examples(settings: dict[str, object]) -> None:
    case = Logistic()
    weights = np.full(case.n, 1 / case.n)
    inverse = np.linalg.inv(case.hessian(case.theta, weights))
    train = case.gradients(case.theta, case.inputs, case.labels)
    test = case.gradients(case.theta, case.test_inputs, case.test_labels)
    risk = case.risk()
    with Hessian(risk) as hessian:
        found = influences(risk, hessian, [case.target(t) for t in range(8)], **settings)  # type: ignore[arg-type]
    for t, one in enumerate(found):
        np.testing.assert_allclose(one.scores, -train @ inverse @ test[t], rtol=1e-6, atol=1e-9)
        assert one.decay == pytest.approx(case.mu * case.theta @ inverse @ test[t], rel=1e-6)
    together = influences(risk, Hessian(risk), [case.target(*range(8))], **settings)[0]  # type: ignore[arg-type]
    np.testing.assert_allclose(together.scores, np.mean([one.scores for one in found], axis=0), atol=1e-8)


def test_sign_and_size_are_those_of_training_again_without_the_example() -> None:
    case = Logistic(n=200)
    risk = case.risk()
    found = influences(risk, Hessian(risk), [case.target(2)], solver="direct")[0]
    before = case.losses(case.theta, case.test_inputs[2:3], case.test_labels[2:3])[0]
    some = np.argsort(found.scores.numpy())[[0, 1, 2, 60, 100, 140, -3, -2, -1]]
    left, renormalised = [], []
    for who in some:
        for way, into in ((False, left), (True, renormalised)):
            theta = case.without(int(who), renormalised=way)
            into.append(case.losses(theta, case.test_inputs[2:3], case.test_labels[2:3])[0] - before)
    predicted = found.effects(case.n).numpy()[some]
    assert spearman(predicted, np.array(left)) == 1.0
    np.testing.assert_allclose(predicted, left, rtol=0.15, atol=2e-5)
    same_recipe = (-found.scores.numpy()[some] + found.decay) / (case.n - 1)
    np.testing.assert_allclose(same_recipe, renormalised, rtol=0.15, atol=2e-5)
    helpful, harmful = int(found.scores.argmin()), int(found.scores.argmax())
    assert left[list(some).index(helpful)] > 0 > left[list(some).index(harmful)]


# --- influence: dense algebra on a network ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dense() -> tuple[Risk, np.ndarray, np.ndarray, np.ndarray]:
    """A network's risk, its dense Hessian plus a shift, per-example gradients, and the gradient of a test example."""
    net, risk = net_risk(0.5)
    h = dense_hessian(net, risk.examples, risk.indices, 0.5, smooth=True)
    g = looped_gradients(risk)
    return risk, h, g, g[11]


@pytest.mark.parametrize("inverse", ["if", "fif", "pif", "gif"])
def test_selection_means_what_the_estimators_mean(
    inverse: str, dense: tuple[Risk, np.ndarray, np.ndarray, np.ndarray]
) -> None:
    risk, h, g, test = dense
    j = np.random.default_rng(0).choice(len(h), 30, replace=False)
    target = Risk(risk.model, risk.loss, risk.examples, torch.tensor([11]))
    with Hessian(risk) as hessian:
        found = influences(
            risk,
            hessian,
            [target],
            torch.tensor(j),
            inverse=inverse,
            iterations=300,  # type: ignore[arg-type]
        )[0]
    steps = []
    for slope in g:  # the step of each training example, as its own method makes it, then its effect on the test loss
        step = np.zeros(len(h))
        if inverse == "if":
            step = np.linalg.solve(h, slope)
        elif inverse == "fif":
            step[j] = np.linalg.solve(h[np.ix_(j, j)], slope[j])
        elif inverse == "pif":
            step[j] = np.linalg.solve(h, slope)[j]
        else:
            step[j] = np.linalg.lstsq(h[:, j], slope, rcond=None)[0]
        steps.append(step)
    np.testing.assert_allclose(found.scores, -np.array(steps) @ test, rtol=1e-5, atol=1e-7)


def test_direct_scores_of_many_cost_one_decomposition(dense: tuple[Risk, np.ndarray, np.ndarray, np.ndarray]) -> None:
    risk, h, g, _ = dense
    j = torch.arange(40, 60)
    targets = [Risk(risk.model, risk.loss, risk.examples, torch.tensor([t])) for t in (0, 5, 11)]
    with Hessian(risk) as hessian:
        found = influences(risk, hessian, targets, j, solver="direct", damping=0.05)
        assert hessian.products == 20
    assert [one.report.products for one in found] == [20, 0, 0]
    block = h[np.ix_(j, j)]
    lam = 0.05 * np.linalg.norm(block, 2)
    for one, t in zip(found, (0, 5, 11), strict=True):
        x = np.linalg.solve(block.T @ block + lam**2 * np.eye(20), block.T @ g[t, j])
        np.testing.assert_allclose(one.scores, -g[:, j] @ x, rtol=1e-8)
        assert one.report.optimality < 1e-9


def test_gauss_newton_takes_the_place_of_the_hessian() -> None:
    case = Logistic()
    risk = case.risk()
    ours = influences(risk, GaussNewton(risk), [case.target(0)], solver="cg", iterations=60)[0]
    theirs = influences(risk, Hessian(risk), [case.target(0)], solver="direct")[0]
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-9)  # the network is linear


def test_float32_agrees_with_float64() -> None:
    case = Logistic()
    exact = influences(case.risk(), Hessian(case.risk()), [case.target(0)], solver="direct")[0].scores.numpy()
    single = case.model.float()
    examples = TensorExamples(torch.tensor(case.inputs).float(), torch.tensor(case.labels))
    tests = TensorExamples(torch.tensor(case.test_inputs).float(), torch.tensor(case.test_labels))
    risk = Risk(single, F.cross_entropy, examples, torch.arange(case.n), case.mu)
    target = Risk(single, F.cross_entropy, tests, torch.tensor([0]))
    found = influences(risk, Hessian(risk), [target], iterations=60)[0]
    np.testing.assert_allclose(found.scores, exact, rtol=1e-2, atol=1e-3)


def test_one_solve_for_each_test_example_and_no_more() -> None:
    case = Logistic()
    risk = case.risk()
    told: list[int] = []
    hessian = Hessian(risk)
    found = influences(
        risk, hessian, [case.target(0), case.target(1)], iterations=6, on_solved=lambda number, _: told.append(number)
    )
    assert told == [0, 1]
    assert hessian.products == 2 * (1 + 2 * 6) == sum(one.report.products for one in found)


def test_unknown_inverse_and_unfit_solver_are_refused() -> None:
    case = Logistic()
    hessian, gradient = Hessian(case.risk()), case.target(0).gradient()
    with pytest.raises(InfluenceError, match="unknown inverse"):
        solve(hessian, gradient, inverse="other")  # type: ignore[arg-type]
    with pytest.raises(InfluenceError, match="cgls or lsmr"):
        solve(hessian, gradient, torch.arange(3), inverse="gif", solver="cg")


def test_decomposition_beyond_memory_is_refused() -> None:
    hessian = Hessian(Logistic().risk())
    with pytest.raises(InfluenceError, match="Lanczos"):
        Decomposition.of_all(hessian, memory_limit=100)
