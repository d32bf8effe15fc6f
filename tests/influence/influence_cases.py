"""Small problems with independently known answers. Everything in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, hessian

from gif_dash.influence import ParameterIndex, Risk, TensorExamples


def half_squared_error(outputs: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    return 0.5 * F.mse_loss(outputs, targets, reduction=reduction)


class Matrix:
    """A symmetric matrix in the place of a Hessian."""

    def __init__(self, matrix: np.ndarray, dtype: torch.dtype = torch.float64) -> None:
        self.matrix = torch.tensor(matrix, dtype=dtype)
        self.products = 0

    @property
    def size(self) -> int:
        return len(self.matrix)

    def matvec(self, v: Tensor, tick: object = None) -> Tensor:
        self.products += 1
        return self.matrix @ v


def symmetric(size: int, seed: int = 0, *, definite: bool = False) -> np.ndarray:
    """A random symmetric matrix with eigenvalues of size 0.1 to 1, of both signs unless definite."""
    rng = np.random.default_rng(seed)
    vectors, _ = np.linalg.qr(rng.normal(size=(size, size)))
    values = rng.uniform(0.1, 1, size) * (1 if definite else rng.choice([-1, 1], size))
    return (vectors * values) @ vectors.T


@dataclass
class Ridge:
    """Least squares with weight decay μ over weights and bias, at its exact minimiser over all N examples.

    The first m examples are the group U; on a quadratic, Newton's step from θ̂ is retraining.
    """

    mu: float = 0.3
    n: int = 60
    m: int = 15
    features: int = 6
    seed: int = 0

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        inputs = rng.normal(size=(self.n, self.features))
        self.design = np.hstack([inputs, np.ones((self.n, 1))])  # nn.Linear: weights, then bias
        self.targets = inputs @ rng.normal(size=self.features) + rng.normal(size=self.n)
        self.targets[: self.m] *= -3
        self.p = self.features + 1
        self.every, self.forget, self.retain = np.arange(self.n), np.arange(self.m), np.arange(self.m, self.n)
        self.theta = self.minimiser(self.every, self.targets)
        self.model = nn.Linear(self.features, 1).double()
        self.index = ParameterIndex.of(self.model)
        self.index.assign(self.model, torch.tensor(self.theta))
        self.inputs = torch.tensor(inputs)

    def minimiser(self, who: np.ndarray, targets: np.ndarray) -> np.ndarray:
        return np.linalg.solve(self.hessian(who), self.design[who].T @ targets[who] / len(who))

    def hessian(self, who: np.ndarray) -> np.ndarray:
        return self.design[who].T @ self.design[who] / len(who) + self.mu * np.eye(self.p)

    def gradient(self, who: np.ndarray, theta: np.ndarray, targets: np.ndarray | None = None) -> np.ndarray:
        """∇F over `who`, weight decay included."""
        targets = self.targets if targets is None else targets
        return self.design[who].T @ (self.design[who] @ theta - targets[who]) / len(who) + self.mu * theta

    def risk(
        self, who: np.ndarray, mu: float | None = None, targets: np.ndarray | None = None, micro_batch: int = 7
    ) -> Risk:
        chosen = torch.tensor(self.targets if targets is None else targets)[:, None]
        examples = TensorExamples(self.inputs, chosen)
        decay = self.mu if mu is None else mu
        return Risk(self.model, half_squared_error, examples, torch.tensor(who), decay, micro_batch)


class SmallNet(nn.Module):
    """Two convolutions with batch norm and in-place ReLU, one of them without bias, and a linear layer."""

    def __init__(self, inplace: bool = True, smooth: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 3, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(3)
        self.conv2 = nn.Conv2d(3, 4, 3, stride=2, bias=False)
        self.norm2 = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(16, 3)
        self.act: nn.Module = nn.Softplus() if smooth else nn.ReLU(inplace=inplace)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm1(self.conv1(x)))
        x = self.act(self.norm2(self.conv2(x)))
        return self.head(self.drop(x.flatten(1)))


def trained_net(seed: int = 0, *, smooth: bool = False) -> tuple[SmallNet, TensorExamples]:
    """A small net after a few steps of training, with running statistics of its own, left in training mode."""
    torch.manual_seed(seed)
    net = SmallNet(smooth=smooth).double()
    inputs = torch.randn(40, 1, 6, 6, dtype=torch.float64)
    targets = (inputs.mean((1, 2, 3)) * 12).round().clamp(-1, 1).long() + 1
    optimiser = torch.optim.SGD(net.parameters(), lr=0.05)
    for _ in range(20):
        optimiser.zero_grad()
        F.cross_entropy(net(inputs), targets).backward()
        optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return net.train(), TensorExamples(inputs, targets)


def dense_hessian(
    net: SmallNet, examples: TensorExamples, indices: Tensor, mu: float, smooth: bool = False
) -> np.ndarray:
    """∇²F by forward-over-reverse differentiation of one full batch (the engine: twice reverse, in micro-batches)."""
    twin = SmallNet(inplace=False, smooth=smooth).double().eval()
    twin.load_state_dict(net.state_dict())
    index = ParameterIndex.of(twin)
    inputs, targets = examples.inputs[indices], examples.targets[indices]

    def risk(theta: Tensor) -> Tensor:
        parameters = dict(zip([t.name for t in index.tensors], index.split(theta), strict=True))
        outputs = functional_call(twin, parameters, (inputs,))
        return F.cross_entropy(outputs, targets) + mu / 2 * theta @ theta

    return hessian(risk)(index.vector(twin)).numpy()


def krylov_minimiser(a: np.ndarray, b: np.ndarray, steps: int) -> np.ndarray:
    """What CGLS computes, without its recurrences: argmin ‖Ax − b‖ over an orthonormal basis of the Krylov space."""
    basis: list[np.ndarray] = []
    v = a.T @ b
    for _ in range(steps):
        for _ in range(2):  # twice is enough
            for q in basis:
                v = v - (q @ v) * q
        basis.append(v / np.linalg.norm(v))
        v = a.T @ (a @ basis[-1])
    q = np.array(basis).T
    return q @ np.linalg.lstsq(a @ q, b, rcond=None)[0]


def tikhonov(a: np.ndarray, b: np.ndarray, lam: float) -> np.ndarray:
    """(AᵀA + λ²I)⁻¹Aᵀb by least squares with the augmented matrix."""
    columns = a.shape[1]
    return np.linalg.lstsq(np.vstack([a, lam * np.eye(columns)]), np.append(b, np.zeros(columns)), rcond=None)[0]


def system_of(method: str, h: np.ndarray, g: np.ndarray, j: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The dense least-squares problem of a method."""
    if method == "gif":
        return h[:, j], g
    if method == "fif":
        return h[np.ix_(j, j)], g[j]
    return h, g


def place(method: str, x: np.ndarray, j: np.ndarray, p: int) -> np.ndarray:
    """The solution of `system_of` as a displacement of all parameters."""
    delta = np.zeros(p)
    if method == "if":
        return x
    delta[j] = x[j] if method == "pif" else x
    return delta


class Stop(Exception):
    """The person has pressed cancel."""


def stop_after(calls: int) -> Callable[[], None]:
    """A tick that lets so many micro-batches pass."""
    left = [calls]

    def tick() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Stop

    return tick
