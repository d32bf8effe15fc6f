"""Flat index ↔ (layer, tensor, row), and θ in and out of a model."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from influence_cases import SmallNet
from torch import nn

from gif_dash.influence import InfluenceError, ParameterIndex, Selection


def test_order_and_places() -> None:
    net = SmallNet().double()
    index = ParameterIndex.of(net)
    assert [tensor.name for tensor in index.tensors] == [name for name, _ in net.named_parameters()]
    assert index.p == sum(parameter.numel() for parameter in net.parameters())
    assert [(layer.name, layer.kind, layer.selectable, layer.parameters) for layer in index.layers] == [
        ("conv1", "Conv2d", True, 30),
        ("norm1", "BatchNorm2d", False, 6),
        ("conv2", "Conv2d", True, 108),
        ("norm2", "BatchNorm2d", False, 8),
        ("head", "Linear", True, 51),
    ]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5), st.booleans()), min_size=1, max_size=4), st.data())
def test_flat_indices_and_locations_are_inverse(shapes: list[tuple[int, int, bool]], data: st.DataObject) -> None:
    net = nn.ModuleList(nn.Linear(fan_in, units, bias=bias) for units, fan_in, bias in shapes)
    index = ParameterIndex.of(net)
    flat = torch.tensor(data.draw(st.lists(st.integers(0, index.p - 1), max_size=20)), dtype=torch.int64)
    location = index.locate(flat)
    assert torch.equal(index.flat(location), flat)
    theta, tensors = index.vector(net), list(net.parameters())
    for i, tensor, row, column in zip(flat, *location, strict=True):
        assert theta[i] == tensors[tensor].detach().reshape(index.tensors[tensor].rows, -1)[row, column]


def test_location_of_a_convolution_weight() -> None:
    index = ParameterIndex.of(nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 1)))
    location = index.locate(torch.tensor([0, 18 + 17, 54 + 2, 57 + 3 * 2 + 1]))
    assert location.tensor.tolist() == [0, 0, 1, 2]
    assert location.row.tolist() == [0, 1, 2, 2]
    assert location.column.tolist() == [0, 17, 0, 1]
    assert index.layer_of(torch.tensor([[0, 57], [56, 68]])).tolist() == [[0, 1], [0, 1]]
    with pytest.raises(InfluenceError, match=f"0 to {index.p - 1}"):
        index.locate(torch.tensor([index.p]))


def test_vector_assign_add() -> None:
    net = SmallNet().double()
    index = ParameterIndex.of(net)
    theta, delta = index.vector(net), torch.randn(index.p, dtype=torch.float64)
    index.add(net, delta, -2.5)
    torch.testing.assert_close(index.vector(net), theta - 2.5 * delta)
    torch.testing.assert_close(net.conv2.weight.detach().reshape(-1), (theta - 2.5 * delta)[36:144])
    index.assign(net, theta)
    assert torch.equal(index.vector(net), theta)
    theta.zero_()  # a copy, not a view
    assert index.vector(net).any()
    with pytest.raises(InfluenceError, match=f"expected a vector of {index.p}"):
        index.add(net, delta[1:])
    with pytest.raises(InfluenceError, match="not those this index was built from"):
        index.vector(nn.Linear(2, 2))


def test_frozen_and_shared_parameters() -> None:
    net = SmallNet()
    net.conv1.weight.requires_grad_(False)
    index = ParameterIndex.of(net)
    assert index.tensors[0].name == "conv1.bias"
    assert index.p == sum(parameter.numel() for parameter in net.parameters()) - 27

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(5, 4)
            self.head = nn.Linear(4, 5)
            self.head.weight = self.embed.weight

    tied = Tied()
    index = ParameterIndex.of(tied)
    assert index.p == 25
    assert [(layer.name, layer.parameters) for layer in index.layers] == [("head", 25)]
    assert [(tensor.name, tensor.role) for tensor in index.tensors] == [
        ("embed.weight", "weight"),
        ("head.bias", "bias"),
    ]


def test_models_without_usable_parameters_are_refused() -> None:
    with pytest.raises(InfluenceError, match="no trainable parameters"):
        ParameterIndex.of(nn.Linear(2, 2).requires_grad_(False))
    with pytest.raises(InfluenceError, match="one dtype"):
        ParameterIndex.of(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double()))
    with pytest.raises(InfluenceError, match="floating point"):
        ParameterIndex.of(nn.Linear(2, 2, dtype=torch.complex64))


def test_summary_per_layer() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.BatchNorm1d(2), nn.Linear(2, 1, bias=False)).double()
    index = ParameterIndex.of(net)  # 4 + 2, 2 + 2, 2
    indices = torch.tensor([0, 4, 10])
    delta = torch.zeros(12, dtype=torch.float64)
    delta[indices] = torch.tensor([3.0, 4.0, -5.0], dtype=torch.float64)
    theta = torch.arange(12, dtype=torch.float64)
    rows = index.summary(delta, Selection(indices, 12, "random", 20), theta)
    assert [row["layer"] for row in rows] == ["0", "2", "3"]
    assert [row["kind"] for row in rows] == ["Linear", "BatchNorm1d", "Linear"]
    assert [row["parameters"] for row in rows] == [6, 4, 2]
    assert [row["selected"] for row in rows] == [2, 0, 1]
    assert [row["share"] for row in rows] == pytest.approx([100 / 3, 0, 50])
    assert [row["norm"] for row in rows] == pytest.approx([5, 0, 5])
    assert [row["theta_norm"] for row in rows] == pytest.approx([55**0.5, (36 + 49 + 64 + 81) ** 0.5, 221**0.5])
