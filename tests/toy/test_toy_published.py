"""The authors' data and notebook: numbers that were published or printed by it, and a replay of its loop in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from gif_dash import toy


def test_exact_numbers_on_the_published_data() -> None:
    """Group removal from the least-squares start: end points (target weights) and the loss over the retained points."""
    trace = toy.remove_group(toy.published_data(), (0, 1), 20)
    ends = trace.steps().query("mark == 'one'").set_index("method")
    expected = {"fif": (0.551, 1.428, 0.5006), "gif": (0.772, 1.246, 0.5080), "pif": (-12, 9, 25.3)}
    for method, (first, second, loss) in expected.items():
        row = ends.loc[method]
        assert row["weight_first"] == pytest.approx(first, abs=5e-4)
        assert row["weight_second"] == pytest.approx(second, abs=5e-4)
        assert row["loss"] == pytest.approx(loss, abs=0.05 if method == "pif" else 5e-5)
    assert ends.loc["original", "loss"] == pytest.approx(3.979, abs=5e-4)
    # without noise retraining finds the function that made the targets: the sum of the features before they were mixed
    np.testing.assert_allclose(
        ends.loc["retrain", [f"weight_{n}" for n in range(1, 6)] + ["bias"]].astype(float),
        [-12, 9, 1, 1, 1, 0],
        atol=1e-10,
    )
    assert ends.loc["retrain", "loss"] < 1e-20


def test_training_of_the_notebook_in_closed_form() -> None:
    """The notebook prints its loss after 2,000, 4,000 … 10,000 gradient steps (in float32)."""
    data = toy.published_data()
    for steps, printed in ((2000, 26.4954), (4000, 26.4900), (6000, 26.4884), (8000, 26.4878), (10000, 26.4876)):
        theta = toy.published_start(steps)
        assert np.mean((data.design @ theta - data.targets) ** 2) == pytest.approx(printed, abs=6e-5)


def test_the_optimum_of_the_wrong_plane() -> None:
    """The notebook's grid search over weights 2 and 3 (spacing 0.025) prints (1.125, 0.75)."""
    marks = toy.remove_as_published().landmarks().set_index("landmark")
    drawn = marks.loc["drawn_optimum", ["weight_first", "weight_second"]].astype(float)
    np.testing.assert_allclose(drawn, (1.123, 0.749), atol=5e-4)
    np.testing.assert_allclose(np.round(drawn / 0.025) * 0.025, (1.125, 0.75), atol=1e-9)


def test_replay_of_the_notebook() -> None:
    """The same loop written with torch's modules and autograd, its random initialisation included."""
    x, y = (torch.from_numpy(array) for array in (toy.published_data().features, toy.published_data().targets))
    torch.manual_seed(0)
    trained, *copies = (torch.nn.Linear(5, 1) for _ in range(4))
    initial = torch.cat([parameter.detach().flatten() for parameter in trained.parameters()])
    np.testing.assert_allclose(toy.published_start(0), initial, atol=1e-12)
    start = torch.from_numpy(toy.published_start())
    trace = toy.remove_as_published()
    np.testing.assert_array_equal(trace.removed, np.arange(0, 501, 10))

    def mean_square(theta: torch.Tensor, cut: slice) -> torch.Tensor:
        return ((x[cut] @ theta[:5] + theta[5] - y[cut]) ** 2).mean()

    for method, copy in zip(("gif", "fif", "pif"), copies, strict=True):
        theta = torch.cat([start[:5], copy.bias.detach().double()])
        for step, end in enumerate(range(10, 501, 10), start=1):
            leaving, staying = slice(end - 10, end), slice(end, None)
            leaf = theta.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(mean_square(leaf, leaving), leaf)
            hessian = torch.autograd.functional.hessian(lambda t, kept=staying: mean_square(t, kept), theta)
            if method == "pif":
                moved, size = torch.linalg.solve(hessian, gradient)[:5], 5
                moved = moved / 10
            elif method == "fif":
                moved, size = torch.linalg.solve(hessian[:2, :2], gradient[:2]), 2
            else:
                moved, size = torch.linalg.lstsq(hessian[:, :2], gradient[:, None]).solution[:, 0], 2
            theta[:size] += moved * 10 / 1.04 / 4000
            np.testing.assert_allclose(trace.paths[method][step], theta, rtol=0, atol=1e-10)


def test_smoothing_is_scipys() -> None:
    path = np.random.default_rng(0).standard_normal((51, 2))
    np.testing.assert_allclose(toy.smoothed(path), gaussian_filter1d(path, 0.75, axis=0), atol=1e-14)
    short = path[:2]
    np.testing.assert_allclose(toy.smoothed(short), gaussian_filter1d(short, 0.75, axis=0), atol=1e-14)


def test_every_quirk_makes_a_difference() -> None:
    """As published is not the exact method: the end points differ, and PIF moved weights it should not."""
    published = toy.remove_as_published()
    exact = toy.remove_in_steps(toy.published_data(), (0, 1), 50)
    for method in toy.METHODS:
        gap = np.linalg.norm(published.paths[method][-1, :2] - exact.paths[method][-1, :2])
        assert gap > 0.3
        assert published.paths[method][0, 5] != published.start[5]
    assert np.abs(published.paths["pif"][-1] - published.paths["pif"][0])[2:5].min() > 1e-2
    assert np.array_equal(published.paths["gif"][-1, 2:5], published.start[2:5])
    assert published.plane == (1, 2)
    assert published.indices == (0, 1)
