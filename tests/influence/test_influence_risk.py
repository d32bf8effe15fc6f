"""The risk: value, losses and gradient, streamed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from influence_cases import Ridge, half_squared_error, trained_net
from torch import Tensor, nn

from gif_dash.influence import InfluenceError, ParameterIndex, Risk, TensorExamples


def test_closed_form_of_ridge_regression() -> None:
    case = Ridge()
    theta = case.theta + 0.1
    case.index.assign(case.model, torch.tensor(theta))
    risk = case.risk(case.retain)
    residual = case.design[case.retain] @ theta - case.targets[case.retain]
    assert risk.losses().numpy() == pytest.approx(residual**2 / 2, rel=1e-13)
    assert risk.value() == pytest.approx((residual**2).mean() / 2 + case.mu / 2 * theta @ theta, rel=1e-13)
    assert risk.gradient().numpy() == pytest.approx(case.gradient(case.retain, theta), rel=1e-12)


@pytest.mark.parametrize("micro_batch", [1, 7, 29, 30, 512])
def test_micro_batches_equal_the_full_batch(micro_batch: int) -> None:
    net, examples = trained_net()
    indices = torch.arange(3, 33)
    risk = Risk(net, F.cross_entropy, examples, indices, 0.01, micro_batch)
    net.eval()
    loss = F.cross_entropy(net(examples.inputs[indices]), examples.targets[indices])
    loss = loss + 0.005 * sum(parameter.square().sum() for parameter in net.parameters())
    expected = torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, list(net.parameters()))])
    net.train()
    assert risk.value() == pytest.approx(loss.item(), rel=1e-13)
    torch.testing.assert_close(risk.gradient(), expected, rtol=1e-11, atol=1e-14)


def test_the_model_is_left_as_it_was_found() -> None:
    net, examples = trained_net()
    net.norm2.eval()
    modes = [module.training for module in net.modules()]
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    risk = Risk(net, F.cross_entropy, examples, torch.arange(40), 0.01, 16)
    first = risk.gradient()
    assert torch.equal(first, risk.gradient())  # dropout is off
    risk.value()
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(tensor, state[name]) for name, tensor in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_losses_at_other_parameters_do_not_touch_the_model() -> None:
    net, examples = trained_net()
    index = ParameterIndex.of(net)
    risk = Risk(net, F.cross_entropy, examples, torch.arange(40), 0.01, 16)
    theta = index.vector(net)
    other = theta + 0.05 * torch.randn(index.p, dtype=torch.float64)
    losses, value = risk.losses(other), risk.value(other)
    assert torch.equal(index.vector(net), theta)
    index.assign(net, other)
    assert torch.equal(risk.losses(), losses)
    assert risk.value() == value


def test_weight_decay_covers_all_trainable_parameters_and_no_others() -> None:
    net, examples = trained_net()
    net.head.bias.requires_grad_(False)
    index = ParameterIndex.of(net)
    plain, decayed = (Risk(net, F.cross_entropy, examples, torch.arange(8), mu).gradient() for mu in (0.0, 0.5))
    torch.testing.assert_close(decayed - plain, 0.5 * index.vector(net))
    assert any(tensor.name.startswith("norm1") for tensor in index.tensors)


def test_a_model_that_ignores_a_parameter() -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.Linear(2, 1), nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    net = Idle().double()
    examples = TensorExamples(torch.ones(4, 2).double(), torch.ones(4, 1).double())
    gradient = Risk(net, half_squared_error, examples, torch.arange(4)).gradient()
    assert gradient.shape == (15,)
    assert not gradient[3:].any()
    assert gradient[:3].any()


def test_losses_of_several_outputs_are_averaged_like_torch_does() -> None:
    net = nn.Linear(2, 3).double()
    examples = TensorExamples(torch.randn(5, 2).double(), torch.randn(5, 3).double())
    risk = Risk(net, F.mse_loss, examples, torch.arange(5), micro_batch=2)
    assert risk.value() == pytest.approx(F.mse_loss(net(examples.inputs), examples.targets).item(), rel=1e-13)


def test_repeated_indices_count_twice() -> None:
    case = Ridge()
    who = np.array([3, 3, 3, 5])
    expected = case.gradient(who, case.theta)
    assert case.risk(who).gradient().numpy() == pytest.approx(expected, rel=1e-12)


def test_out_of_memory_halves_the_micro_batch() -> None:
    net, examples = trained_net()
    sizes: list[int] = []

    def hungry(outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        sizes.append(len(outputs))
        if len(outputs) > 6:
            raise torch.OutOfMemoryError("too much")
        return F.cross_entropy(outputs, targets, reduction=reduction)

    indices = torch.arange(37)
    plain = Risk(net, F.cross_entropy, examples, indices, 0.01)
    torch.testing.assert_close(Risk(net, hungry, examples, indices, 0.01).gradient(), plain.gradient())
    assert sizes == [37, 18, 9] + [4] * 9 + [1]

    def starving(outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
        raise torch.OutOfMemoryError("too much")

    with pytest.raises(InfluenceError, match="memory"):
        Risk(net, starving, examples, indices).value()


def test_bad_questions_get_one_sentence() -> None:
    net, examples = trained_net()
    with pytest.raises(InfluenceError, match="at least one example"):
        Risk(net, F.cross_entropy, examples, torch.arange(0))
    with pytest.raises(InfluenceError, match="0 to 39"):
        Risk(net, F.cross_entropy, examples, torch.tensor([40]))
    with pytest.raises(InfluenceError, match="int64"):
        Risk(net, F.cross_entropy, examples, torch.tensor([1.0]))
    with pytest.raises(InfluenceError, match="micro-batch"):
        Risk(net, F.cross_entropy, examples, torch.arange(3), micro_batch=0)
    with pytest.raises(InfluenceError, match="one value per example"):
        Risk(net, lambda o, t, reduction: F.cross_entropy(o, t), examples, torch.arange(3)).value()
    with pytest.raises(InfluenceError, match="40 inputs, but 39 targets"):
        TensorExamples(examples.inputs, examples.targets[1:])
