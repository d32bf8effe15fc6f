"""Self-influence and the other rankings against dense algebra and their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from attribution_cases import Logistic
from influence.influence_cases import Matrix, symmetric, trained_net
from torch import nn

from gif_dash.influence import Hessian, InfluenceError, Risk, TensorExamples
from gif_dash.influence.attribution_rankings import (
    gradient_cosine,
    gradient_norms,
    input_similarity,
    representer_points,
    training_loss,
)
from gif_dash.influence.attribution_self import self_influence
from gif_dash.influence.attribution_spectral import Decomposition

torch.set_num_threads(1)


# --- self-influence ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damping", [0.0, 0.1])
@pytest.mark.parametrize("form", ["squared", "shifted"])
def test_self_influence_is_the_quadratic_form(damping: float, form: str) -> None:
    case = Logistic()
    g = case.gradients(case.theta, case.inputs, case.labels)
    h = case.hessian(case.theta, np.full(case.n, 1 / case.n))
    lam, one = damping * np.linalg.norm(h, 2), np.eye(len(h))
    inverse = np.linalg.inv(h + lam * one) if form == "shifted" else np.linalg.solve(h @ h + lam**2 * one, h)
    whole = Decomposition.of_all(Hessian(case.risk()))
    found = self_influence(case.risk(), whole, damping=damping, form=form)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, np.einsum("ij,jk,ik->i", g, inverse, g), rtol=1e-8)
    assert whole.products == len(h)


def test_self_influence_of_a_selection_inverts_its_block() -> None:
    case = Logistic()
    j = torch.tensor([9, 2, 14, 5])
    g = case.gradients(case.theta, case.inputs, case.labels)[:, j]
    h = case.hessian(case.theta, np.full(case.n, 1 / case.n))[np.ix_(j, j)]
    found = self_influence(case.risk(), Decomposition.of_all(Hessian(case.risk()), j))
    np.testing.assert_allclose(found, np.einsum("ij,jk,ik->i", g, np.linalg.inv(h), g), rtol=1e-8)


def test_self_influence_finds_the_wrong_labels_of_a_separable_problem() -> None:
    case = Logistic(n=150, seed=3)
    found = self_influence(case.risk(), Decomposition.of_all(Hessian(case.risk()))).numpy()
    ranks = np.argsort(np.argsort(-found))
    assert np.mean(ranks[:5]) < 0.2 * case.n  # the first five were changed


def test_lanczos_subspace_keeps_the_largest_pairs_and_all_of_them_are_exact() -> None:
    matrix = symmetric(30, 4)
    some = Decomposition.of_largest(Matrix(matrix), 6, steps=30)
    values, vectors = np.linalg.eigh(matrix)
    top = np.argsort(-abs(values))[:6]
    np.testing.assert_allclose(some.values, values[top], atol=1e-10)
    projector = (some.vectors @ some.vectors.T).numpy()
    np.testing.assert_allclose(projector, vectors[:, top] @ vectors[:, top].T, atol=1e-8)
    assert not some.exact
    assert some.products == 30
    g = torch.tensor(np.random.default_rng(0).normal(size=30))
    update = Decomposition.of_largest(Matrix(matrix), 30).solve(g)
    np.testing.assert_allclose(update.delta, np.linalg.solve(matrix, g), atol=1e-8)
    assert "rank" in some.solve(g).report.message
    with pytest.raises(InfluenceError, match="rank"):
        Decomposition.of_largest(Matrix(matrix), 31)


def test_self_influence_in_a_subspace_grows_to_the_exact_one() -> None:
    case = Logistic()
    exact = self_influence(case.risk(), Decomposition.of_all(Hessian(case.risk())))
    errors = []
    for rank in (3, 8, 15):
        inverse = Decomposition.of_largest(Hessian(case.risk()), rank, steps=15)
        errors.append(float((self_influence(case.risk(), inverse) - exact).abs().max()))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-8


# --- the other rankings -----------------------------------------------------------------------------------------------


def net_and_target() -> tuple[Risk, Risk]:
    net, examples = trained_net(smooth=True)
    risk = Risk(net, F.cross_entropy, examples, torch.arange(40), 0.0, 9)
    return risk, Risk(net, F.cross_entropy, examples, torch.tensor([7]))


def test_gradient_cosine_is_the_cosine_of_looped_gradients() -> None:
    risk, target = net_and_target()
    net = risk.model.eval()
    rows = []
    for number in range(40):
        loss = F.cross_entropy(net(risk.examples.inputs[[number]]), risk.examples.targets[[number]])  # type: ignore[attr-defined]
        rows.append(torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(net.parameters()))]).numpy())
    g = np.array(rows)
    expected = g @ g[7] / np.linalg.norm(g, axis=1) / np.linalg.norm(g[7])
    found = gradient_cosine(risk, target)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert found[7] == pytest.approx(1.0)
    np.testing.assert_allclose(gradient_norms(risk), np.linalg.norm(g, axis=1), atol=1e-12)


def test_similarity_and_loss_are_their_definitions() -> None:
    risk, target = net_and_target()
    inputs = risk.examples.inputs.flatten(1).numpy()  # type: ignore[attr-defined]
    centred = inputs - inputs.mean(0)
    expected = centred @ centred[7] / np.linalg.norm(centred, axis=1) / np.linalg.norm(centred[7])
    np.testing.assert_allclose(input_similarity(risk, target), expected, atol=1e-12)
    np.testing.assert_allclose(training_loss(risk), risk.losses(), atol=1e-12)


def test_representer_points_add_up_to_the_output_where_the_last_layer_is_at_rest() -> None:
    case = Logistic(seed=2)
    for t in range(3):
        found = representer_points(case.risk(), case.target(t), case.mu)
        weight, bias = case.theta[:12].reshape(3, 4), case.theta[12:]
        label = case.test_labels[t]
        assert found.output == pytest.approx(case.test_inputs[t] @ weight[label] + bias[label])
        assert float(found.scores.sum()) == pytest.approx(found.output, abs=1e-10)
        assert found.remainder < 1e-9
    # speaking for a label: of the same class, mostly
    same = case.labels == case.test_labels[2]
    assert found.scores[torch.tensor(same)].mean() > found.scores[torch.tensor(~same)].mean()


def test_representer_points_say_how_far_from_rest_the_last_layer_is() -> None:
    case = Logistic()
    with torch.no_grad():
        case.model.weight.mul_(1.5)
    assert representer_points(case.risk(), case.target(0), case.mu).remainder > 0.05
    undecayed = representer_points(case.risk(), case.target(0), 0.0)
    assert np.isnan(undecayed.remainder)
    np.testing.assert_allclose(
        undecayed.scores, case.mu * representer_points(case.risk(), case.target(0), case.mu).scores, atol=1e-14
    )


def test_network_without_a_linear_end_has_no_representer_points() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.LayerNorm(3)).double()
    examples = TensorExamples(torch.randn(5, 4, dtype=torch.float64), torch.arange(5) % 3)
    risk = Risk(net, F.cross_entropy, examples, torch.arange(5))
    with pytest.raises(InfluenceError, match="linear layer"):
        representer_points(risk, risk, 0.1)
