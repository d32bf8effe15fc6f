"""The estimators: exact on quadratics, equal to dense formulas on a network, near retraining on logistic regression."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from influence_cases import (
    Matrix,
    Ridge,
    Stop,
    dense_hessian,
    half_squared_error,
    krylov_minimiser,
    place,
    stop_after,
    symmetric,
    system_of,
    tikhonov,
    trained_net,
)
from torch import Tensor, nn

from gif_dash.influence import (
    Hessian,
    InfluenceError,
    ParameterIndex,
    Risk,
    TensorExamples,
    Update,
    estimate,
    estimates,
    relabelling_gradient,
    removal_gradient,
    retain_gradient,
    second_order,
    select,
    upweighting_gradient,
)

METHODS = ("gif", "fif", "pif", "if")
#: Steps with which each solver is exact on the quadratics here.
SOLVERS = {
    "cgls": 30,
    "lsqr": 30,
    "lsmr": 30,
    "neumann": 50_000,
    "neumann-published": 50_000,
    "direct": 1,
    "minres": 30,
    "cg": 30,
    "lissa": 50_000,
}
SYMMETRIC = ("minres", "cg", "lissa")
CASES = [(m, s) for m in METHODS for s in SOLVERS if m != "gif" or s not in SYMMETRIC]
J = np.array([0, 2, 3])


def tensor(array: np.ndarray) -> Tensor:
    return torch.tensor(array)


def removal(case: Ridge, *, mu_in_gradient: bool = True) -> Tensor:
    """g of a removal, from the engine's own gradient of the group."""
    forget = case.risk(case.forget, mu=0.0).gradient()
    return removal_gradient(forget, tensor(case.theta), case.mu if mu_in_gradient else 0.0, case.m, case.n)


def solve(case: Ridge, method: str, g: Tensor, indices: np.ndarray, solver: str = "direct") -> Update:
    with Hessian(case.risk(case.retain)) as hessian:
        return estimate(method, hessian, g, tensor(indices), solver=solver, iterations=SOLVERS[solver])


# --- exactness on quadratics ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "solver"), CASES)
def test_removal_with_everything_selected_is_retraining(method: str, solver: str) -> None:
    case = Ridge()
    update = solve(case, method, removal(case), np.arange(case.p), solver)
    retrained = case.minimiser(case.retain, case.targets)
    np.testing.assert_allclose(case.theta + update.delta.numpy(), retrained, rtol=0, atol=1e-12)
    assert update.report.status == "converged"


def test_removal_without_the_weight_decay_in_the_gradient_is_wrong() -> None:
    case = Ridge()
    update = solve(case, "if", removal(case, mu_in_gradient=False), np.arange(case.p))
    retrained = case.minimiser(case.retain, case.targets)
    assert np.linalg.norm(case.theta + update.delta.numpy() - retrained) > 0.02 * np.linalg.norm(retrained - case.theta)


def test_both_right_hand_sides_agree_at_convergence_and_only_there() -> None:
    case = Ridge()

    def both() -> tuple[Tensor, Tensor]:
        theta = case.index.vector(case.model)
        forget, retain = (case.risk(who, mu=0.0).gradient() for who in (case.forget, case.retain))
        return removal_gradient(forget, theta, case.mu, case.m, case.n), retain_gradient(retain, theta, case.mu)

    torch.testing.assert_close(*both(), rtol=0, atol=1e-13)
    case.index.add(case.model, torch.ones(case.p).double(), 0.1)
    first, second = both()
    assert float((first - second).norm()) > 0.1 * float(second.norm())
    # away from convergence it is the retain form that leads to retraining
    here = case.index.vector(case.model).numpy()
    update = solve(case, "if", second, np.arange(case.p))
    np.testing.assert_allclose(here + update.delta.numpy(), case.minimiser(case.retain, case.targets), atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_relabelling_is_exact_with_m_over_n_and_the_relabelled_set(method: str) -> None:
    right = Ridge()
    wrong_targets = right.targets.copy()
    wrong_targets[: right.m] += 5
    theta = right.minimiser(right.every, wrong_targets)
    right.index.assign(right.model, tensor(theta))
    wrong_gradient = right.risk(right.forget, 0.0, wrong_targets).gradient()
    right_gradient = right.risk(right.forget, 0.0).gradient()
    g = relabelling_gradient(wrong_gradient, right_gradient, right.m, right.n)
    with Hessian(right.risk(right.every)) as hessian:
        update = estimate(method, hessian, g, torch.arange(right.p), solver="direct")
    np.testing.assert_allclose(theta + update.delta.numpy(), right.minimiser(right.every, right.targets), atol=1e-12)
    with Hessian(right.risk(right.retain)) as hessian:  # m/(N−m) and H_R, as published, is another answer
        published = estimate(method, hessian, g * right.n / (right.n - right.m), torch.arange(right.p), solver="direct")
    assert float((published.delta - update.delta).norm()) > 0.1 * float(update.delta.norm())


@pytest.mark.parametrize("solver", SOLVERS)
def test_what_each_method_optimises_on_a_part(solver: str) -> None:
    case = Ridge()
    g, theta = removal(case), case.theta
    h, gradient = case.hessian(case.retain), case.gradient(case.retain, case.theta)
    updates = {m: solve(case, m, g, J, solver).delta.numpy() for m in METHODS if m != "if" and (m, solver) in CASES}
    for delta in updates.values():
        assert not np.delete(delta, J).any()
    # FIF: the minimiser of F_R over θ_J, the rest frozen, where the J part of the gradient vanishes
    landed = case.gradient(case.retain, theta + updates["fif"])
    np.testing.assert_allclose(landed[J], 0, atol=1e-12)
    # PIF: the J part of the full minimiser
    np.testing.assert_allclose((theta + updates["pif"])[J], case.minimiser(case.retain, case.targets)[J], atol=1e-12)
    if solver in SYMMETRIC:
        return
    # GIF: the least total gradient; its own derivative with respect to θ_J vanishes, and any other step is worse
    landed = case.gradient(case.retain, theta + updates["gif"])
    np.testing.assert_allclose(h[:, J].T @ landed, 0, atol=1e-12)
    for other in (updates["fif"], updates["pif"], 0 * theta):
        assert np.linalg.norm(landed) < np.linalg.norm(case.gradient(case.retain, theta + other)) - 1e-4
    np.testing.assert_allclose(gradient, -g.numpy(), atol=1e-13)


def test_the_gradient_step() -> None:
    case = Ridge()
    g = removal(case)
    with Hessian(case.risk(case.retain)) as hessian:
        update = estimate("gradient", hessian, g, tensor(J))
        assert hessian.products == 0
    expected = torch.zeros_like(g)
    expected[J] = g[J]
    assert torch.equal(update.delta, expected)
    assert (update.report.status, update.report.solver, update.report.products) == ("explicit", "none", 0)
    assert math.isnan(update.report.sigma_max)


# --- counting, scale --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("method", METHODS)
def test_cgls_costs_1_plus_2k_products(method: str, steps: int) -> None:
    h, g = Matrix(symmetric(20)), torch.randn(20, dtype=torch.float64)
    report = estimate(method, h, g, torch.arange(3, 15), iterations=steps).report
    assert report.products == h.products == 1 + 2 * steps
    assert (report.iterations, report.status) == (steps, "stopped")


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10_000),
    st.floats(-6, 6),
    st.sampled_from(METHODS),
    st.sampled_from(
        ["cgls", "lsqr", "lsmr", "neumann", "direct", "minres", "cg", "lissa"]
    ),  # the published search is not
    st.sampled_from([0.0, 0.1]),
)
def test_scaling_the_loss_does_not_change_the_update(
    seed: int, decades: float, method: str, solver: str, damping: float
) -> None:
    assume((method, solver) in CASES)
    matrix, factor = symmetric(10, seed, definite=solver == "cg"), 10**decades
    g = torch.randn(10, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    indices = torch.tensor([1, 4, 5, 8])
    one, other = (
        estimate(method, Matrix(a * matrix), a * g, indices, solver=solver, iterations=4, damping=damping).delta
        for a in (1.0, factor)
    )
    torch.testing.assert_close(other, one, rtol=1e-8, atol=1e-10 * float(one.abs().max()))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(METHODS), st.floats(0.01, 3) | st.floats(-3, -0.01) | st.just(0.0))
def test_updates_are_linear_in_the_gradient_and_independent_of_the_order_of_parameters(
    seed: int, method: str, factor: float
) -> None:
    matrix, generator = symmetric(10, seed), torch.Generator().manual_seed(seed)
    g = torch.randn(10, dtype=torch.float64, generator=generator)
    order, indices = torch.randperm(10, generator=generator), torch.tensor([0, 3, 4, 9])
    delta = estimate(method, Matrix(matrix), g, indices, iterations=3).delta
    scaled = estimate(method, Matrix(matrix), factor * g, indices, iterations=3).delta
    torch.testing.assert_close(scaled, factor * delta, rtol=1e-8, atol=1e-9 * abs(factor))
    position = torch.argsort(order)  # old index → new index
    shuffled = estimate(method, Matrix(matrix[np.ix_(order, order)]), g[order], position[indices], iterations=3).delta
    torch.testing.assert_close(shuffled[position], delta, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("damping", [0.03, 0.5])
@pytest.mark.parametrize(("method", "solver"), [(m, s) for m, s in CASES if m != "gif" and s != "neumann-published"])
def test_both_forms_of_damping(method: str, solver: str, damping: float) -> None:
    """λ is relative to σ_max in both; scaling the loss leaves the update alone."""
    matrix, g = symmetric(9, 2, definite=True), np.random.default_rng(3).normal(size=9)
    a, b = system_of(method, matrix, g, J)
    for form in ("squared", "shifted"):
        if form == "squared" and solver in SYMMETRIC:
            continue
        deltas = []
        for factor in (1.0, 1e3):
            hessian = Matrix(factor * matrix)
            update = estimate(
                method,
                hessian,
                tensor(factor * g),
                tensor(J),
                solver=solver,
                iterations=SOLVERS[solver],
                damping=damping,
                damping_form=form,
            )
            assert update.report.products == hessian.products
            assert update.report.damping_form == form
            deltas.append(update.delta.numpy())
        lam = damping * update.report.sigma_max / factor
        assert lam == pytest.approx(damping * np.linalg.norm(a, 2), rel=0.01)
        x = tikhonov(a, b, lam) if form == "squared" else np.linalg.solve(a + lam * np.eye(len(a)), b)
        for delta in deltas:
            np.testing.assert_allclose(delta, place(method, x, J, 9), rtol=0, atol=1e-9)


def test_each_solver_has_its_form_and_takes_a_known_sigma_max() -> None:
    matrix, g = symmetric(9, 2, definite=True), torch.ones(9, dtype=torch.float64)
    for solver in SOLVERS:
        update = estimate("fif", Matrix(matrix), g, tensor(J), solver=solver)
        assert update.report.damping_form == ("shifted" if solver in SYMMETRIC else "squared")
    for solver in ("cgls", "lsmr", "neumann", "minres", "cg", "lissa"):
        known = estimate("if", Matrix(matrix), g, tensor(J), solver=solver, damping=0.1, sigma_max=0.7)
        assert known.report.sigma_max == 0.7
        asked = estimate("if", Matrix(matrix), g, tensor(J), solver=solver, damping=0.1)
        assert known.report.products < asked.report.products
    free = estimate("if", Matrix(matrix), g, tensor(J), solver="lsqr", damping=0.1)
    assert free.report.products == 11  # σ_max is that of its own steps
    assert free.report.sigma_max == pytest.approx(np.linalg.norm(matrix, 2), rel=0.02)
    same = estimate("if", Matrix(matrix), g, tensor(J), solver="lsqr", damping=0.1, sigma_max=0.7)
    steps = estimate("if", Matrix(matrix), g, tensor(J), damping=0.1, sigma_max=0.7)
    torch.testing.assert_close(same.delta, steps.delta)


@pytest.mark.parametrize(("method", "solver"), [case for case in CASES if case[1] != "direct"])
def test_iterates_are_the_updates_of_fewer_steps(method: str, solver: str) -> None:
    matrix, g = symmetric(9, 2, definite=True), torch.arange(9.0, dtype=torch.float64)
    seen: dict[int, Tensor] = {}
    told = estimate(method, Matrix(matrix), g, tensor(J), solver=solver, iterations=3, on_iterate=seen.__setitem__)
    plain = estimate(method, Matrix(matrix), g, tensor(J), solver=solver, iterations=3)
    assert told.report.products == plain.report.products
    assert list(seen) == [1, 2, 3]
    for k, delta in seen.items():
        fewer = estimate(method, Matrix(matrix), g, tensor(J), solver=solver, iterations=k).delta
        torch.testing.assert_close(delta, fewer, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("order", [("gif", "pif", "if", "fif"), ("if", "gradient", "pif"), ("pif",)])
def test_what_is_common_to_methods_is_done_once(order: tuple[str, ...]) -> None:
    matrix, g, part = symmetric(12), torch.ones(12, dtype=torch.float64), torch.arange(3, 10)
    hessian, seen = Matrix(matrix), []
    together = estimates(order, hessian, g, part, iterations=4, damping=0.1, on_iterate=lambda *told: seen.append(told))
    assert tuple(together) == order
    assert sum(update.report.products for update in together.values()) == hessian.products
    for method, update in together.items():
        own = Matrix(matrix)
        alone = estimate(method, own, g, part, iterations=4, damping=0.1)
        assert torch.equal(update.delta, alone.delta)
        assert update.report.method == method
        assert update.report.optimality == pytest.approx(alone.report.optimality, nan_ok=True)
        assert update.report.products == (0 if "shared" in update.report.message else own.products)
        iterates = [delta for name, _, delta in seen if name == method]
        assert len(iterates) == (0 if method == "gradient" else 4)
        assert not iterates or torch.equal(iterates[-1], update.delta)
    if len(order) > 1:
        first, second = (name for name in order if name in ("pif", "if"))
        assert (together[second].report.products, together[second].report.seconds) == (0, 0)
        assert together[second].report.message.startswith(f"shared with {first}")
        assert "shared" not in together[first].report.message


# --- first and second order in the size of the group ------------------------------------------------------------------


def groups(mu: float = 0.3) -> list[tuple[float, Ridge]]:
    """The same group among more and more copies of the same other points: q = m/N falls, all else converges."""
    cases = []
    for copies in (4, 8, 16, 32):
        case = Ridge(mu=mu, n=100, m=20)
        case.design = np.vstack([case.design[:20], *[case.design[20:]] * copies])
        case.targets = np.concatenate([case.targets[:20], *[case.targets[20:]] * copies])
        case.n = len(case.targets)
        case.every, case.retain = np.arange(case.n), np.arange(20, case.n)
        case.inputs, case.theta = tensor(case.design[:, :-1]), case.minimiser(case.every, case.targets)
        case.index.assign(case.model, tensor(case.theta))
        cases.append((case.m / case.n, case))
    return cases


def slope(qs: list[float], errors: list[float]) -> float:
    """Exponent of the errors' fall with q."""
    return float(np.polyfit(np.log(qs), np.log(errors), 1)[0])


def test_second_order_error_falls_as_q_squared_and_the_other_sign_fails() -> None:
    """Relative to the displacement of exact retraining; weight decay in H_D, H_U and g_U."""
    qs, errors = [], {"if2": [], "koh": [], "plus": [], "no decay in the gradient": [], "none in H_U": []}
    for q, case in groups():
        m, truth = case.m, case.minimiser(case.retain, case.targets) - case.theta
        whole, group = Hessian(case.risk(case.every, micro_batch=512)), Hessian(case.risk(case.forget))
        g, plain = group.risk.gradient(), case.risk(case.forget, mu=0.0)
        update = second_order(whole, group, g, m, case.n, solver="minres", iterations=20)
        assert update.report.method == "if2"
        assert update.report.products == whole.products + group.products
        assert group.products == 1
        first = estimate("if", whole, q / (1 - q) * g, torch.arange(case.p), solver="direct").delta
        koh = upweighting_gradient(plain.gradient(), tensor(case.theta), case.mu, m, case.n)
        found = {
            "if2": update.delta,
            "koh": estimate("if", whole, koh, torch.arange(case.p), solver="direct").delta,
            "plus": 2 * first - update.delta,
            "no decay in the gradient": second_order(whole, group, plain.gradient(), m, case.n, solver="direct").delta,
            "none in H_U": second_order(whole, Hessian(plain), g, m, case.n, solver="direct").delta,
        }
        qs.append(q)
        for name, delta in found.items():
            errors[name].append(np.linalg.norm(delta.numpy() - truth) / np.linalg.norm(truth))
    assert slope(qs, errors["if2"]) == pytest.approx(2, abs=0.15)
    assert slope(qs, errors["koh"]) == pytest.approx(1, abs=0.15)
    assert slope(qs, errors["plus"]) == pytest.approx(1, abs=0.15)
    assert slope(qs, errors["none in H_U"]) == pytest.approx(1, abs=0.15)
    assert slope(qs, errors["no decay in the gradient"]) == pytest.approx(0, abs=0.15)
    assert errors["if2"][-1] < 0.01 < min(errors["no decay in the gradient"])


def test_second_order_is_the_formula_of_the_paper() -> None:
    case = Ridge()
    q, h_d, h_u = case.m / case.n, case.hessian(case.every), case.hessian(case.forget)
    g = case.gradient(case.forget, case.theta)
    first = q / (1 - q) * np.linalg.solve(h_d, g)
    expected = first - q / (1 - q) * (np.eye(case.p) - np.linalg.solve(h_d, h_u)) @ first
    for solver in ("cgls", "direct", "cg"):
        found = second_order(Matrix(h_d), Matrix(h_u), tensor(g), case.m, case.n, solver=solver, iterations=30)
        np.testing.assert_allclose(found.delta.numpy(), expected, rtol=0, atol=1e-12)
        assert found.report.status == "converged"
    with pytest.raises(InfluenceError, match="at least one"):
        second_order(Matrix(h_d), Matrix(h_u), tensor(g), case.n, case.n)


def test_koh_and_liang_without_decay_in_the_gradient_keep_its_sum() -> None:
    """Their form, (m/N)·∇L_U, belongs to retraining with μN/(N − m), to first order, and not with μ."""
    qs, errors = [], {True: [], False: []}
    for q, case in groups(mu=3.0):
        g = upweighting_gradient(case.risk(case.forget, mu=0.0).gradient(), tensor(case.theta), 0.0, case.m, case.n)
        delta = estimate("if", Matrix(case.hessian(case.every)), g, torch.arange(case.p), solver="direct").delta
        qs.append(q)
        for kept in errors:
            twin = replace(case, mu=case.mu / (1 - q) if kept else case.mu)
            twin.design = case.design
            truth = twin.minimiser(case.retain, case.targets) - case.theta
            errors[kept].append(np.linalg.norm(delta.numpy() - truth) / np.linalg.norm(truth))
    assert slope(qs, errors[True]) == pytest.approx(1, abs=0.15)
    assert slope(qs, errors[False]) == pytest.approx(0, abs=0.15)


# --- a network, against a dense Hessian -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network() -> tuple[nn.Module, TensorExamples, Risk, np.ndarray, Tensor]:
    net, examples = trained_net()
    forget = (examples.targets == 2).nonzero().flatten()
    retain = (examples.targets != 2).nonzero().flatten()
    theta = ParameterIndex.of(net).vector(net)
    group = Risk(net, F.cross_entropy, examples, forget, micro_batch=4).gradient()
    g = removal_gradient(group, theta, 0.01, len(forget), len(examples))
    return (
        net,
        examples,
        Risk(net, F.cross_entropy, examples, retain, 0.01, 8),
        dense_hessian(net, examples, retain, 0.01),
        g,
    )


def selection_of(network: tuple[nn.Module, TensorExamples, Risk, np.ndarray, Tensor], criterion: str) -> Tensor:
    net, examples, *_ = network
    forget = (examples.targets == 2).nonzero().flatten()
    return select(net, F.cross_entropy, examples, forget, criterion=criterion, mr=20, seed=3, micro_batch=4).indices


CRITERIA = ("top-outputs", "top-gradients", "threshold", "random")


@pytest.mark.parametrize(("method", "criterion"), list(itertools.product(METHODS, CRITERIA)))
def test_network_every_estimator_and_criterion_against_the_dense_hessian(
    network: tuple[nn.Module, TensorExamples, Risk, np.ndarray, Tensor], method: str, criterion: str
) -> None:
    _, _, risk, h, g = network
    indices = selection_of(network, criterion)
    a, b = system_of(method, h, g.numpy(), indices.numpy())
    sigma = np.linalg.norm(a, 2)
    hessian = Hessian(risk)

    def dense(x: np.ndarray) -> np.ndarray:
        return place(method, x, indices.numpy(), hessian.size)

    def near(update: Update, expected: np.ndarray, relative: float) -> None:
        error = np.linalg.norm(update.delta.numpy() - dense(expected))
        assert error <= relative * np.linalg.norm(dense(expected))

    # equal steps of CGLS, undamped
    update = estimate(method, hessian, g, indices, iterations=5)
    x = krylov_minimiser(a, b, 5)
    near(update, x, 1e-8)
    assert update.report.relative_residual == pytest.approx(np.linalg.norm(b - a @ x) / np.linalg.norm(b), rel=1e-8)
    # damped to a condition of 10, to the end
    update = estimate(method, hessian, g, indices, iterations=80, damping=0.1)
    assert 0.99 * sigma <= update.report.sigma_max <= sigma * (1 + 1e-12)
    near(update, tikhonov(a, b, 0.1 * update.report.sigma_max), 1e-6)
    assert update.report.optimality < 1e-8
    # as many terms of the series of the paper
    update = estimate(method, hessian, g, indices, solver="neumann", iterations=20)
    c = 1.1 * update.report.sigma_max / math.sqrt(2)
    values, vectors = np.linalg.eigh(a.T @ a)
    terms = sum((1 - values / c**2) ** j for j in range(20)) / c**2
    near(update, vectors @ (terms * (vectors.T @ (a.T @ b))), 1e-8)
    hessian.close()


@pytest.mark.parametrize("method", METHODS)
def test_network_direct_solver(
    network: tuple[nn.Module, TensorExamples, Risk, np.ndarray, Tensor], method: str
) -> None:
    _, _, risk, h, g = network
    indices = selection_of(network, "top-outputs")
    a, b = system_of(method, h, g.numpy(), indices.numpy())
    with Hessian(risk) as hessian:
        damped = estimate(method, hessian, g, indices, solver="direct", damping=1e-3)
        assert damped.report.products == a.shape[1]
    expected = place(method, tikhonov(a, b, 1e-3 * np.linalg.norm(a, 2)), indices.numpy(), len(g))
    assert np.linalg.norm(damped.delta.numpy() - expected) <= 1e-6 * np.linalg.norm(expected)


@pytest.mark.parametrize("method", ["fif", "pif", "if"])
def test_network_symmetric_solvers(
    network: tuple[nn.Module, TensorExamples, Risk, np.ndarray, Tensor], method: str
) -> None:
    _, _, risk, h, g = network
    indices = selection_of(network, "top-outputs")
    a, b = system_of(method, h, g.numpy(), indices.numpy())
    damping = -1.5 * np.linalg.eigvalsh(a)[0] / np.linalg.norm(a, 2)  # more than CG and LiSSA need
    assert 0.01 < damping < 2
    with Hessian(risk) as hessian:
        for solver, steps in (("minres", 80), ("cg", 60), ("lissa", 400)):
            update = estimate(method, hessian, g, indices, solver=solver, iterations=steps, damping=damping)
            expected = np.linalg.solve(a + damping * update.report.sigma_max * np.eye(len(a)), b)
            error = np.linalg.norm(update.delta.numpy() - place(method, expected, indices.numpy(), len(g)))
            assert error <= 1e-6 * np.linalg.norm(expected)
            assert update.report.relative_residual < 1e-6


@pytest.mark.parametrize("method", METHODS)
def test_dead_units_stay_where_they_are(method: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).double()
    with torch.no_grad():
        net[0].bias[[1, 4]] = -100.0  # these units never fire
    examples = TensorExamples(torch.randn(30, 4).double(), torch.randint(0, 3, (30,)))
    indices = torch.arange(30)  # rows 1 and 4 of the first layer are dead: weights 4–7, 16–19, biases 25, 28
    dead = torch.tensor([*range(4, 8), *range(16, 20), 25, 28])
    g = 0.1 * Risk(net, F.cross_entropy, examples, torch.arange(10)).gradient()
    assert not g[dead].any()
    for solver in SOLVERS:
        for damping in (0.0, 0.01):
            if (method, solver) not in CASES or (solver == "neumann-published" and damping):
                continue
            hessian = Hessian(Risk(net, F.cross_entropy, examples, torch.arange(10, 30)))
            steps = min(SOLVERS[solver], 100)
            delta = estimate(method, hessian, g, indices, solver=solver, iterations=steps, damping=damping).delta
            assert torch.isfinite(delta).all()
            assert delta.any()
            assert float(delta[dead].abs().max()) <= 1e-10 * float(delta.abs().max())
    only_dead = estimate(method, hessian, g, dead, iterations=3)
    if method in ("gif", "fif"):
        assert only_dead.report.status == "trivial"
        assert not only_dead.delta.any()


# --- against retraining -----------------------------------------------------------------------------------------------


def test_leave_one_out_on_logistic_regression() -> None:
    """Removing one patient changes the loss of the test patients as predicted (breast cancer, exact retraining)."""
    from scipy.stats import spearmanr
    from sklearn.datasets import load_breast_cancer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    data = load_breast_cancer()
    x_train, x_test, y_train, y_test = train_test_split(data.data, data.target, test_size=0.3, random_state=0)
    scaler = StandardScaler().fit(x_train)
    x_train, x_test = (np.hstack([scaler.transform(x), np.ones((len(x), 1))]) for x in (x_train, x_test))
    n, mu = len(x_train), 0.01

    def train(keep: np.ndarray) -> np.ndarray:
        regression = LogisticRegression(
            C=1 / (mu * len(keep)), fit_intercept=False, tol=1e-12, solver="newton-cholesky", max_iter=200
        )
        return regression.fit(x_train[keep], y_train[keep]).coef_[0]

    def test_loss(theta: np.ndarray) -> float:
        return float(np.logaddexp(0, -(2 * y_test - 1) * (x_test @ theta)).mean())

    def loss(outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        return F.binary_cross_entropy_with_logits(outputs[:, 0], targets, reduction=reduction)

    theta = train(np.arange(n))
    net = nn.Linear(x_train.shape[1], 1, bias=False).double()
    index = ParameterIndex.of(net)
    index.assign(net, tensor(theta))
    training = TensorExamples(tensor(x_train), tensor(y_train).double())
    testing = TensorExamples(tensor(x_test), tensor(y_test).double())
    test_gradient = Risk(net, loss, testing, torch.arange(len(x_test))).gradient()
    predicted, true = [], []
    for out in np.random.default_rng(0).choice(n, 40, replace=False):
        keep = np.delete(np.arange(n), out)
        group = Risk(net, loss, training, torch.tensor([out])).gradient()
        g = removal_gradient(group, tensor(theta), mu, 1, n)
        with Hessian(Risk(net, loss, training, tensor(keep), mu)) as hessian:
            update = estimate("if", hessian, g, torch.arange(index.p), iterations=60)
        predicted.append(float(test_gradient @ update.delta))
        true.append(test_loss(train(keep)) - test_loss(theta))
    assert spearmanr(predicted, true).statistic >= 0.95
    # not the order only: the size too
    assert np.polyfit(true, predicted, 1)[0] == pytest.approx(1, abs=0.2)


# --- what can go wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "solver"), CASES)
def test_a_zero_right_hand_side_is_trivial(method: str, solver: str) -> None:
    update = estimate(method, Matrix(symmetric(6)), torch.zeros(6).double(), torch.arange(3), solver=solver)
    assert update.report.status == "trivial"
    assert update.report.products == 0
    assert update.report.message
    assert torch.equal(update.delta, torch.zeros(6).double())


@pytest.mark.parametrize(("method", "solver"), CASES)
def test_no_curvature_is_trivial(method: str, solver: str) -> None:
    for damping in (0.0, 0.1) if solver != "neumann-published" else (0.0,):
        zero = Matrix(np.zeros((6, 6)))
        update = estimate(method, zero, torch.ones(6).double(), torch.arange(3), solver=solver, damping=damping)
        assert update.report.status == "trivial"
        assert not update.delta.any()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"method": "newton"}, "unknown method 'newton': choose from gif, fif"),
        ({"solver": "lu"}, "unknown solver 'lu': choose from cgls"),
        ({"iterations": 0}, "at least one iteration"),
        ({"damping": -1.0}, "not negative"),
        ({"damping": math.nan}, "finite"),
        ({"indices": torch.arange(0)}, "selection is empty"),
        ({"indices": torch.tensor([1, 6])}, "distinct parameter indices from 0 to 5"),
        ({"indices": torch.tensor([1, 1])}, "distinct"),
        ({"indices": torch.tensor([True] * 6)}, "int64"),
        ({"gradient": torch.ones(5).double()}, r"shape \(6,\), got \(5,\)"),
        ({"gradient": torch.tensor([1, 1, math.nan, 1, 1, 1]).double()}, "gradient is not finite"),
        ({"hessian": Matrix(np.full((6, 6), math.inf))}, "not finite"),
        ({"solver": "direct", "memory_limit": 100}, "memory|dense"),
        ({"solver": "minres"}, "minres needs a symmetric system, which GIF's is not: choose from cgls, lsqr, lsmr"),
        ({"solver": "cg"}, "cg needs a symmetric"),
        ({"solver": "lissa"}, "lissa needs a symmetric"),
        ({"damping_form": "shifted", "damping": 0.1}, "rectangular and cannot be damped by a shift"),
        ({"damping_form": "cubed"}, "unknown damping form 'cubed': choose from squared, shifted"),
        ({"method": "if", "solver": "cg", "damping_form": "squared", "damping": 0.1}, "cg damps by a shift"),
        ({"solver": "neumann-published", "damping": 0.1}, "knows no damping"),
        ({"solver": "neumann-published", "step": 0.0}, "positive step"),
        ({"method": "if", "solver": "lissa", "scale": -1.0}, "scale must be positive"),
        ({"method": "if", "solver": "lissa", "repeats": 0}, "at least one repeat"),
        ({"sigma_max": math.nan, "damping": 0.1}, "σ_max must be finite"),
    ],
)
def test_bad_questions_get_one_sentence(change: dict[str, object], sentence: str) -> None:
    arguments: dict[str, object] = {
        "method": "gif",
        "hessian": Matrix(symmetric(6)),
        "gradient": torch.ones(6).double(),
        "indices": torch.arange(3),
    }
    with pytest.raises(InfluenceError, match=sentence):
        estimate(**(arguments | change))


def test_an_overflowing_update_is_named() -> None:
    tiny = Matrix(np.eye(3) * 1e-25, torch.float32)
    with pytest.raises(InfluenceError, match="overflow"):
        estimate("if", tiny, torch.full((3,), 1e18), torch.arange(3), solver="direct")


def test_groups_must_leave_something() -> None:
    v = torch.ones(2)
    for call in (lambda m: removal_gradient(v, v, 0.1, m, 5), lambda m: relabelling_gradient(v, v, m, 5)):
        for m in (0, 5, 6):
            with pytest.raises(InfluenceError, match="at least one"):
                call(m)


def test_cancelling_a_solve_leaves_no_graph() -> None:
    case = Ridge()
    g = removal(case)
    for solver, calls in itertools.product(SOLVERS, (0, 10, 20)):
        method, damping = ("if" if solver in SYMMETRIC else "gif"), (0.0 if solver == "neumann-published" else 0.1)
        hessian = Hessian(case.risk(case.retain))
        with pytest.raises(Stop):
            estimate(method, hessian, g, tensor(J), solver=solver, damping=damping, tick=stop_after(calls))
        assert hessian.graphs == 0


def test_the_model_is_not_changed() -> None:
    net, examples = trained_net()
    state = {name: value.clone() for name, value in net.state_dict().items()}
    index = ParameterIndex.of(net)
    for method in METHODS:
        with Hessian(Risk(net, F.cross_entropy, examples, torch.arange(30), 0.01, 8)) as hessian:
            estimate(method, hessian, torch.randn(index.p).double(), torch.arange(20), iterations=2)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert net.training
    assert all(parameter.grad is None for parameter in net.parameters())


def test_squared_loss_with_mean_over_outputs() -> None:
    """Two outputs: torch's mean over examples and outputs is what is differentiated twice."""
    net = nn.Linear(3, 2, bias=False).double()
    inputs = torch.randn(9, 3).double()
    examples = TensorExamples(inputs, torch.randn(9, 2).double())
    hessian = Hessian(Risk(net, half_squared_error, examples, torch.arange(9), micro_batch=4))
    block = (inputs.T @ inputs / 9 / 2).numpy()
    dense = np.array([hessian.matvec(unit).numpy() for unit in torch.eye(6).double()])
    np.testing.assert_allclose(dense, np.kron(np.eye(2), block), atol=1e-14)
