"""Hessian-vector products: exactness, streaming, reuse of graphs, and what is left behind."""

from __future__ import annotations

import gc
import weakref
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from influence_cases import Ridge, Stop, dense_hessian, half_squared_error, stop_after, trained_net
from torch import Tensor, nn

from gif_dash.influence import Columns, Hessian, InfluenceError, ParameterIndex, Risk, TensorExamples
from gif_dash.influence.curvature import default_budget

PLENTY, NOTHING = 2**30, 0


def columns(hessian: Hessian) -> np.ndarray:
    """The dense matrix, product by product."""
    return np.array([hessian.matvec(unit).numpy() for unit in torch.eye(hessian.size, dtype=torch.float64)]).T


@pytest.mark.parametrize("budget", [NOTHING, PLENTY])
def test_closed_form_of_ridge_regression(budget: int) -> None:
    case = Ridge()
    with Hessian(case.risk(case.retain), budget) as hessian:
        np.testing.assert_allclose(columns(hessian), case.hessian(case.retain), rtol=0, atol=1e-13)
        assert hessian.products == case.p
        assert hessian.graphs == (7 if budget else 0)  # 45 examples in micro-batches of 7
    assert hessian.graphs == 0


@pytest.mark.parametrize("budget", [NOTHING, PLENTY])
def test_conv_net_with_batch_norm_against_forward_over_reverse(budget: int) -> None:
    net, examples = trained_net()
    indices = torch.arange(5, 36)
    with Hessian(Risk(net, F.cross_entropy, examples, indices, 0.01, 8), budget) as hessian:
        ours = columns(hessian)
    expected = dense_hessian(net, examples, indices, 0.01)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


def test_finite_differences_of_the_gradient() -> None:
    net, examples = trained_net(smooth=True)
    index = ParameterIndex.of(net)
    risk = Risk(net, F.cross_entropy, examples, torch.arange(40), 0.02, 16)
    theta, v = index.vector(net), torch.randn(index.p, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    v /= v.norm()
    product = Hessian(risk).matvec(v)
    step = 1e-5
    gradients = []
    for sign in (1, -1):
        index.assign(net, theta + sign * step * v)
        gradients.append(risk.gradient())
    difference = (gradients[0] - gradients[1]) / (2 * step)
    assert float((product - difference).norm() / product.norm()) < 1e-7


@pytest.mark.parametrize("micro_batch", [1, 6, 19, 37, 38, 512])
def test_micro_batches_and_reuse_do_not_change_the_product(micro_batch: int) -> None:
    net, examples = trained_net()
    indices, v = torch.arange(38), torch.randn(ParameterIndex.of(net).p, dtype=torch.float64)
    reference = Hessian(Risk(net, F.cross_entropy, examples, indices, 0.01), NOTHING).matvec(v)
    for budget in (NOTHING, 60_000, PLENTY):
        with Hessian(Risk(net, F.cross_entropy, examples, indices, 0.01, micro_batch), budget) as hessian:
            for _ in range(2):  # the second product reuses the graphs of the first
                torch.testing.assert_close(hessian.matvec(v), reference, rtol=1e-10, atol=1e-14)


def test_the_budget_decides_how_many_graphs_are_kept() -> None:
    width, batch = 10_000, 8
    net = nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Linear(width, 1)).double()
    examples = TensorExamples(torch.randn(30, 1).double(), torch.randn(30, 1).double())
    risk = Risk(net, half_squared_error, examples, torch.arange(30), micro_batch=batch)
    activations = 8 * batch * width  # bytes of the hidden layer in one micro-batch; several such tensors are saved
    v = torch.ones(3 * width + 1, dtype=torch.float64)
    graphs = []
    for budget in (activations, 6 * activations, 100 * activations):
        with Hessian(risk, budget) as hessian:
            hessian.matvec(v)
            graphs.append(hessian.graphs)
    assert graphs[0] == 0  # a budget that does not hold even one saved activation
    assert graphs == sorted(graphs)
    assert 0 < graphs[1] < 4
    assert graphs[-1] == 4


def test_passes_through_the_network() -> None:
    case = Ridge()
    passes = count_passes(case.model)
    v = torch.ones(case.p, dtype=torch.float64)
    with Hessian(case.risk(case.retain, micro_batch=15), PLENTY) as hessian:
        for _ in range(5):
            hessian.matvec(v)
    assert len(passes) == 3 + 2  # each graph is built once; two small ones are measured
    passes.clear()
    hessian = Hessian(case.risk(case.retain, micro_batch=15), NOTHING)
    for _ in range(5):
        hessian.matvec(v)
    assert len(passes) == 5 * 3 + 2


def test_parameters_without_curvature() -> None:
    class Odd(nn.Module):
        """One parameter enters linearly, one not at all."""

        def __init__(self) -> None:
            super().__init__()
            self.square, self.shift, self.idle = (nn.Parameter(torch.tensor(2.0).double()) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            return self.square**2 * x + self.shift

    def plain_sum(outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        return outputs

    examples = TensorExamples(torch.tensor([1.0, 3.0]).double(), torch.zeros(2))
    hessian = Hessian(Risk(Odd(), plain_sum, examples, torch.arange(2)))
    np.testing.assert_allclose(columns(hessian), np.diag([4.0, 0, 0]), atol=1e-15)
    linear = Risk(
        nn.Linear(1, 1).double(),
        plain_sum,
        TensorExamples(torch.ones(2, 1).double(), torch.zeros(2)),
        torch.arange(2),
        0.5,
    )
    np.testing.assert_allclose(columns(Hessian(linear)), 0.5 * np.eye(2))


class Traced(torch.autograd.Function):
    """The identity, whose nodes can be counted for as long as a graph holds them."""

    alive: ClassVar[weakref.WeakSet[Any]] = weakref.WeakSet()

    class Token:
        pass

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.token = Traced.Token()
        Traced.alive.add(ctx.token)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class TracedNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 1).double()

    def forward(self, x: Tensor) -> Tensor:
        return Traced.apply(self.layer(x)).tanh()  # tanh saves its own output: a cycle, if kept carelessly


def traced_risk() -> Risk:
    examples = TensorExamples(torch.randn(40, 6).double(), torch.randn(40, 1).double())
    return Risk(TracedNet(), half_squared_error, examples, torch.arange(40), micro_batch=10)


def live_graphs() -> int:
    gc.collect()
    return len(Traced.alive)


def test_columns_rows_and_blocks_are_those_of_the_whole_product() -> None:
    net, examples = trained_net()
    indices = torch.arange(4, 30)
    dense = dense_hessian(net, examples, indices, 0.01)
    index, generator = ParameterIndex.of(net), torch.Generator().manual_seed(3)
    first, second = (next(t for t in index.tensors if t.name == name) for name in ("conv1.weight", "conv2.weight"))
    whole_units = torch.cat([torch.arange(first.start, first.stop), torch.arange(second.start, second.start + 27)])
    one_row = torch.arange(second.start + 30, second.start + 41)
    scattered = torch.randperm(index.p, generator=generator)[:25].sort().values  # norms and biases too
    risk = Risk(net, F.cross_entropy, examples, indices, 0.01, 9)
    for budget in (NOTHING, PLENTY):
        with Hessian(risk, budget) as hessian:
            for j in (whole_units, one_row, scattered, torch.arange(index.p)):
                part = Columns(hessian, j)
                x = torch.randn(len(j), dtype=torch.float64, generator=generator)
                r = torch.randn(index.p, dtype=torch.float64, generator=generator)
                for ours, expected in (
                    (part.columns(x), dense[:, j] @ x.numpy()),
                    (part.rows(r), dense[j] @ r.numpy()),
                    (part.block(x), dense[np.ix_(j, j)] @ x.numpy()),
                    (hessian.matvec(r), dense @ r.numpy()),  # nothing is left over from the restricted products
                ):
                    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-11 * np.abs(dense).max())


class Zoo(nn.Module):
    """Layers that are replaced while differentiating twice, in their less usual forms, and some that are not."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, stride=2, dilation=(1, 2), padding=(1, 2), padding_mode="reflect")
        self.grouped = nn.Conv2d(4, 4, 3, padding="same", groups=2)
        self.plain_norm = nn.BatchNorm2d(4, affine=False)
        self.batch_statistics = nn.BatchNorm2d(4, track_running_stats=False)
        self.flat = nn.Conv1d(4, 3, 2, stride=2)
        self.frozen = nn.Linear(6, 6)
        self.frozen.weight.requires_grad_(False)
        self.tied = nn.Linear(6, 6, bias=False)
        self.raw = nn.Parameter(torch.randn(6, 6))  # a weight that is computed
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.plain_norm(F.softplus(self.conv(x)))
        x = self.batch_statistics(F.softplus(self.grouped(x)))
        x = F.softplus(self.flat(x.flatten(2)))
        x = torch.tanh(self.frozen(x))
        x = torch.tanh(self.tied(F.linear(torch.sin(self.tied(x)), self.raw.sin())))  # on three dimensions
        return self.head(x).mean(1)


def test_uncommon_layers_against_finite_differences() -> None:
    torch.manual_seed(4)
    net = Zoo().double()
    examples = TensorExamples(torch.randn(6, 2, 7, 6, dtype=torch.float64), torch.arange(6) % 3)
    net.train()
    net(examples.inputs)  # running statistics of its own
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    index = ParameterIndex.of(net)
    risk = Risk(net, F.cross_entropy, examples, torch.arange(6))
    theta, v = index.vector(net), torch.randn(index.p, dtype=torch.float64)
    product = Hessian(risk).matvec(v)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    gradients = []
    for step in (1e-5, -1e-5):
        index.assign(net, theta + step * v)
        gradients.append(risk.gradient())
    torch.testing.assert_close(product, (gradients[0] - gradients[1]) / 2e-5, rtol=1e-6, atol=1e-9)


def test_graphs_are_freed() -> None:
    risk = traced_risk()
    v = torch.ones(7, dtype=torch.float64)
    hessian = Hessian(risk, PLENTY)
    product = hessian.matvec(v)
    assert live_graphs() == 4  # neither more (the measuring pass) nor less
    assert not product.requires_grad
    hessian.close()
    assert live_graphs() == 0
    torch.testing.assert_close(hessian.matvec(v), product)  # usable again after close
    hessian.close()
    streamed = Hessian(risk, NOTHING)
    streamed.matvec(v)
    assert live_graphs() == 0


def count_passes(model: nn.Module) -> list[int]:
    passes: list[int] = []
    model.register_forward_hook(lambda *_: passes.append(1))
    return passes


@pytest.mark.parametrize("budget", [NOTHING, PLENTY])
@pytest.mark.parametrize("calls", [0, 1, 3, 6])
def test_cancelling_stops_within_one_micro_batch_and_leaves_nothing(budget: int, calls: int) -> None:
    risk = traced_risk()
    risk.model.train()
    passes = count_passes(risk.model)
    hessian = Hessian(risk, budget)
    tick = stop_after(calls)

    def products() -> None:
        for _ in range(3):
            hessian.matvec(torch.ones(7, dtype=torch.float64), tick)

    with pytest.raises(Stop):
        products()
    assert len(passes) <= calls
    assert hessian.graphs == 0
    assert live_graphs() == 0
    assert all(module.training for module in risk.model.modules())


@pytest.mark.parametrize("what", ["gradient", "losses", "value"])
def test_cancelling_a_risk(what: str) -> None:
    risk = traced_risk()
    passes = count_passes(risk.model)
    with pytest.raises(Stop):
        getattr(risk, what)(tick=stop_after(2))
    assert len(passes) == 2
    assert live_graphs() == 0
    assert all(module.training for module in risk.model.modules())


def test_a_hessian_belongs_to_the_parameters_it_was_made_at() -> None:
    case = Ridge()
    hessian = Hessian(case.risk(case.retain))
    v = torch.ones(case.p, dtype=torch.float64)
    before = hessian.matvec(v)
    case.index.add(case.model, v, 0.1)
    with pytest.raises(InfluenceError, match="parameters are not those"):
        hessian.matvec(v)
    case.index.assign(case.model, torch.tensor(case.theta))
    torch.testing.assert_close(hessian.matvec(v), before)


def test_out_of_memory_goes_on_without_kept_graphs() -> None:
    net, examples = trained_net()
    v = torch.randn(ParameterIndex.of(net).p, dtype=torch.float64)
    expected = Hessian(Risk(net, F.cross_entropy, examples, torch.arange(40), 0.01)).matvec(v)

    refused: list[weakref.ref[Tensor]] = []

    def hungry(outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        # on a GPU a second attempt has no more room than the first while the first one's tensors are there
        assert all(outputs() is None for outputs in refused)
        if len(outputs) > 12:
            refused.append(weakref.ref(outputs))
            raise torch.OutOfMemoryError("too much")
        return F.cross_entropy(outputs, targets, reduction=reduction)

    hessian = Hessian(Risk(net, hungry, examples, torch.arange(40), 0.01, 40))
    torch.testing.assert_close(hessian.matvec(v), expected)
    assert len(refused) >= 2  # once while graphs were kept, and at least once without
    assert hessian.graphs == 0


def test_single_precision_and_calls_under_no_grad() -> None:
    net, examples = trained_net()
    v = torch.randn(ParameterIndex.of(net).p, dtype=torch.float64)
    expected = Hessian(Risk(net, F.cross_entropy, examples, torch.arange(40), 0.01)).matvec(v)
    single = TensorExamples(examples.inputs.float(), examples.targets)
    with torch.no_grad():
        product = Hessian(Risk(net.float(), F.cross_entropy, single, torch.arange(40), 0.01, 16)).matvec(v)
    assert product.dtype == torch.float32
    assert float((product.double() - expected).norm() / expected.norm()) < 1e-5


def test_default_budget_grows_with_free_gpu_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (40 * 2**30, 80 * 2**30))
    assert default_budget(torch.device("cpu")) == 2**30
    assert default_budget(torch.device("cuda")) == 10 * 2**30
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**30, 80 * 2**30))
    assert default_budget(torch.device("cuda")) == 2**30
