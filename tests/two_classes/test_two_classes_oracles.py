"""The linear model's losses, Hessian, training and solvers against closed forms in numpy and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.autograd.forward_ad as forward_ad
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from two_classes_cases import DAMPING, hinge_parts, ones_and_sevens, parts

from gif_dash.influence import Hessian, Resampled, Risk, TensorExamples
from gif_dash.influence.attribution import influences, solve
from gif_dash.scenarios import ScenarioError
from gif_dash.scenarios.two_classes import Objective, TwoClasses, margin_loss, smoothed_hinge, train

torch.set_num_threads(1)
LOSSES = [("logistic", 1.0), ("smoothed-hinge", 0.1), ("smoothed-hinge", 1e-3)]
MARGINS = np.array([-1e6, -900.0, -3.0, -0.5, 0.0, 0.99, 0.9995, 1.0, 1.0005, 1.01, 2.0, 900.0, 1e6])


def numpy_hessian(name: str, t: float, data: TwoClasses, w: np.ndarray) -> np.ndarray:
    """XᵀDX/N + λI."""
    x, y = data.x.numpy(), data.y.numpy()
    bends = parts(name, y * (x @ w), t)[2]
    return x.T @ np.diag(bends) @ x / len(x) + DAMPING * np.eye(x.shape[1])


def fitted(name: str, t: float) -> tuple[TwoClasses, torch.Tensor, Risk, Risk]:
    """Training images, weights, their risk, and that of the test image of the highest loss."""
    data, asked = ones_and_sevens()
    loss = margin_loss(name, t)
    fit = train(data, name, t, DAMPING)
    model = fit.model()
    place = int(loss.value(asked.y * (asked.x @ fit.w)).argmax())
    target = Risk(model, loss, asked.examples(), torch.tensor([place]))
    return data, fit.w, Risk(model, loss, data.examples(), torch.arange(len(data)), DAMPING), target


# --- losses


@pytest.mark.parametrize(("name", "t"), LOSSES)
def test_losses_and_both_derivatives_are_the_closed_forms(name: str, t: float) -> None:
    loss, margins = margin_loss(name, t), torch.tensor(MARGINS, requires_grad=True)
    expected = parts(name, MARGINS, t)
    value = loss.value(margins)
    (slope,) = torch.autograd.grad(value.sum(), margins, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), margins)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(margins.detach(), torch.ones(len(MARGINS), dtype=torch.float64))
        forward = forward_ad.unpack_dual(loss.value(dual)).tangent
    with torch.no_grad():
        own = loss.value(margins), loss.slope(margins), loss.bend(margins)
    for found, wanted in zip((value, slope, bend, forward, *own), (*expected, expected[1], *expected), strict=True):
        assert bool(torch.isfinite(found).all())
        np.testing.assert_allclose(found.detach().numpy(), wanted, rtol=1e-9, atol=1e-12 * max(1, 1 / t))


def test_smoothed_hinge_is_the_hinge_in_the_limit() -> None:
    margins = torch.linspace(-3, 5, 801, dtype=torch.float64)
    hinge = (1 - margins).clamp_min(0)
    before = np.inf
    for t in (0.3, 0.03, 3e-3, 3e-4):
        above = smoothed_hinge(t).value(margins) - hinge
        assert float(above.min()) >= -1e-15
        assert float(above.max()) == pytest.approx(t * np.log(2))
        assert float(above.max()) < before
        before = float(above.max())
    away = (margins - 1).abs() > 0.05
    slopes = smoothed_hinge(1e-3).slope(margins)
    np.testing.assert_allclose(slopes[away], torch.where(margins < 1, -1.0, 0.0)[away], atol=1e-15)
    assert float(smoothed_hinge(1e-3).bend(margins)[away].max()) < 1e-15


def test_the_curvature_of_the_smoothed_hinge_is_a_peak_of_area_one() -> None:
    margins = np.linspace(0.9, 1.1, 200_001)
    for t in (1e-3, 5e-3):
        bends = smoothed_hinge(t).bend(torch.tensor(margins)).numpy()
        assert np.trapezoid(bends, margins) == pytest.approx(1.0, rel=1e-6)
        assert bends.max() == pytest.approx(1 / (4 * t))
        np.testing.assert_allclose(bends, hinge_parts(margins, t)[2], rtol=1e-10)


# --- data and training


def test_images_have_length_one_and_signs() -> None:
    data, asked = ones_and_sevens()
    assert set(data.labels.tolist()) == set(asked.labels.tolist()) == {1, 7}
    np.testing.assert_allclose(np.linalg.norm(data.x.numpy(), axis=1), 1.0)
    assert torch.equal(data.y == 1, data.labels == 1)
    flat = data.pictures.flatten(1).double()
    np.testing.assert_allclose(data.x * flat.norm(dim=1, keepdim=True), flat, atol=1e-12)
    with pytest.raises(ScenarioError, match="no images of the class 9"):
        TwoClasses.of(data.pictures, data.labels, (1, 9))


@pytest.mark.parametrize(("name", "t"), LOSSES)
def test_training_ends_where_the_gradient_vanishes(name: str, t: float) -> None:
    data, _ = ones_and_sevens()
    fit = train(data, name, t, DAMPING)
    w, x, y = fit.w.numpy(), data.x.numpy(), data.y.numpy()
    slopes = parts(name, y * (x @ w), t)[1]
    gradient = x.T @ (y * slopes) / len(x) + DAMPING * w
    assert np.linalg.norm(gradient) < 1e-10 * fit.first_gradient_norm
    assert fit.converged
    assert torch.equal(train(data, name, t, DAMPING).w, fit.w)


def test_logistic_regression_is_scikit_learns() -> None:
    data, _ = ones_and_sevens()

    def theirs(kept: np.ndarray) -> np.ndarray:
        x, y = data.x.numpy()[kept], data.y.numpy()[kept]
        model = LogisticRegression(C=1 / (DAMPING * len(x)), fit_intercept=False, tol=1e-12, max_iter=10_000)
        return model.fit(x, y).coef_[0]

    every = np.ones(len(data), dtype=bool)
    fit = train(data, "logistic", 1.0, DAMPING)
    np.testing.assert_allclose(fit.w, theirs(every), atol=1e-5)
    every[17] = False
    without = Objective(data, margin_loss("logistic", 1.0), DAMPING, without=17).minimise(fit.w)
    np.testing.assert_allclose(without.w, theirs(every), atol=1e-5)
    assert float((without.w - fit.w).norm()) > 1e-3, "the image left out makes a difference that can be seen"


def test_the_smoothed_hinge_at_a_small_temperature_is_scikit_learns_support_vector_machine() -> None:
    data, _ = ones_and_sevens()
    svm = LinearSVC(loss="hinge", C=1 / (DAMPING * len(data)), fit_intercept=False, tol=1e-10, max_iter=1_000_000)
    theirs = svm.fit(data.x.numpy(), data.y.numpy()).coef_[0]
    distances = [
        np.linalg.norm(train(data, "smoothed-hinge", t, DAMPING).w.numpy() - theirs) / np.linalg.norm(theirs)
        for t in (0.1, 1e-2, 1e-3)
    ]
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] < 0.01


# --- Hessian and solvers


@pytest.mark.parametrize(("name", "t"), LOSSES)
def test_the_engines_hessian_is_the_closed_form(name: str, t: float) -> None:
    data, w, risk, _ = fitted(name, t)
    expected = numpy_hessian(name, t, data, w.numpy())
    with Hessian(risk) as hessian:
        columns = [hessian.matvec(unit) for unit in torch.eye(hessian.size, dtype=torch.float64)]
    scale = np.abs(expected).max()
    np.testing.assert_allclose(torch.stack(columns), expected, atol=1e-12 * scale)
    np.testing.assert_allclose(Objective(data, margin_loss(name, t), DAMPING).hessian(w), expected, atol=1e-12 * scale)


@pytest.mark.parametrize(("name", "t"), LOSSES)
def test_direct_and_krylov_solvers_are_numpys_solution(name: str, t: float) -> None:
    data, w, risk, target = fitted(name, t)
    gradient = target.gradient()
    expected = np.linalg.solve(numpy_hessian(name, t, data, w.numpy()), gradient.numpy())
    slopes = data.y.numpy() * parts(name, (data.y * (data.x @ w)).numpy(), t)[1]
    scores = -slopes * (data.x.numpy() @ expected)
    with Hessian(risk) as hessian:
        for solver in ("direct", "cg", "minres", "cgls"):
            found = solve(hessian, gradient, solver=solver, iterations=200)  # type: ignore[arg-type]
            np.testing.assert_allclose(found.delta, expected, atol=1e-8 * np.abs(expected).max())
            assert found.report.status == "converged"
        ours = influences(risk, hessian, [target], solver="direct")[0].scores.numpy()
    np.testing.assert_allclose(ours, scores, atol=1e-8 * np.abs(scores).max())


@pytest.mark.parametrize(("name", "t"), LOSSES)
def test_cg_stays_below_its_bound(name: str, t: float) -> None:
    """‖x_k − x‖_H ≤ 2((√κ − 1)/(√κ + 1))ᵏ‖x‖_H."""
    data, w, risk, target = fitted(name, t)
    h = numpy_hessian(name, t, data, w.numpy())
    gradient = target.gradient()
    exact = np.linalg.solve(h, gradient.numpy())
    values = np.linalg.eigvalsh(h)
    rate = (np.sqrt(values[-1] / values[0]) - 1) / (np.sqrt(values[-1] / values[0]) + 1)

    def length(x: np.ndarray) -> float:
        return float(np.sqrt(x @ h @ x))

    seen: list[float] = []
    with Hessian(risk) as hessian:
        solve(
            hessian,
            gradient,
            solver="cg",
            iterations=30,
            on_iterate=lambda _, x: seen.append(length(x.numpy() - exact)),
        )
    assert len(seen) >= 10
    for k, error in enumerate(seen, 1):
        assert error <= 2 * rate**k * length(exact) * (1 + 1e-9) + 1e-12 * length(exact)


@pytest.mark.parametrize("factor", [0.6, 2.0])
def test_lissa_with_all_images_is_the_direct_solution_whatever_the_scale(factor: float) -> None:
    data, w, risk, target = fitted("logistic", 1.0)
    h = numpy_hessian("logistic", 1.0, data, w.numpy())
    gradient, largest = target.gradient(), float(np.linalg.eigvalsh(h)[-1])
    exact = np.linalg.solve(h, gradient.numpy())
    with Hessian(risk) as hessian:
        settings = {"solver": "lissa", "iterations": 700, "sigma_max": largest}
        found = solve(hessian, gradient, scale=factor * largest, **settings)  # type: ignore[arg-type]
        np.testing.assert_allclose(found.delta, exact, atol=1e-9 * np.abs(exact).max())
        small = solve(hessian, gradient, scale=0.49 * largest, **settings)  # type: ignore[arg-type]
    assert small.report.status == "diverged"


def test_lissa_on_batches_comes_nearer_with_larger_batches_and_is_the_same_for_the_same_seed() -> None:
    data, w, risk, target = fitted("logistic", 1.0)
    h = numpy_hessian("logistic", 1.0, data, w.numpy())
    gradient, largest = target.gradient(), float(np.linalg.eigvalsh(h)[-1])
    exact = torch.tensor(np.linalg.solve(h, gradient.numpy()))

    def error(batch: int) -> float:
        with Hessian(risk) as hessian:
            hessian.prepare()
            drawn = Resampled(hessian, batch, 0)
            found = solve(drawn, gradient, solver="lissa", iterations=150, scale=largest, sigma_max=largest, repeats=2)
        return float((found.delta - exact).norm() / exact.norm())

    assert error(4) > 2 * error(256) > 0
    assert error(32) == error(32)


def test_examples_are_what_the_engine_wants() -> None:
    data, _ = ones_and_sevens()
    loss = margin_loss("logistic", 1.0)
    model = train(data, "logistic", 1.0, DAMPING).model()
    risk = Risk(model, loss, TensorExamples(data.x, data.y), torch.arange(5))
    np.testing.assert_allclose(risk.losses(), loss(model(data.x[:5]), data.y[:5]).detach())
    mean = loss(model(data.x[:5]), data.y[:5], reduction="mean").detach()
    assert float(mean) == pytest.approx(float(risk.losses().mean()))
