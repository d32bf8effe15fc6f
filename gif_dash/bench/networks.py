"""The networks that are measured, with data of the right shape: speed does not depend on what the pictures show."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gif_dash.bench import rows
from gif_dash.bench.plan import Plan
from gif_dash.bench.rows import Task
from gif_dash.influence import ParameterIndex, Risk, TensorExamples
from gif_dash.scenarios.networks import factory
from gif_dash.scenarios.training import device as best_device
from gif_dash.scenarios.training import few_threads

CLASSES = 10


@dataclass(frozen=True)
class Network:
    """A network and the sizes to measure it at.

    Attributes:
        name: of the case.
        network: see `scenarios.networks`.
        channels, pixels: of its pictures.
        samples: examples of the curvature sample on a CPU, quick and thorough.
        batches: micro-batch sizes to compare in the thorough measurement.
    """

    name: str
    network: str
    channels: int
    pixels: int
    samples: tuple[int, int]
    batches: tuple[int, ...]

    def examples(self, plan: Plan, device: torch.device) -> int:
        """How many examples to measure with; other devices than a CPU get at least the published experiments' 512."""
        count = self.samples[0 if plan.quick else 1]
        return count if device.type == "cpu" else max(count, PUBLISHED_SAMPLES)


#: Examples behind curvature and gradient each, in the published experiments on ResNet-18 and VGG-11.
PUBLISHED_SAMPLES = 512

#: ResNet-18 sees MNIST's pictures padded to 32×32, as the published experiments on it do.
NETWORKS = {
    network.name: network
    for network in (
        Network("digits-cnn", "small-cnn", 1, 8, (1024, 1024), (128, 256, 512, 1024)),
        Network("mnist-cnn", "stride-cnn", 1, 28, (512, 1024), (32, 64, 128, 256, 512)),
        Network("vgg11", "vgg11", 3, 32, (32, 128), (8, 16, 32, 64)),
        Network("resnet18", "resnet18", 1, 32, (16, 64), (8, 16, 32)),
    )
}


@dataclass(frozen=True)
class Case:
    """A network on its device with random pictures."""

    name: str
    model: nn.Module
    examples: TensorExamples
    device: torch.device

    @classmethod
    def of(cls, name: str, samples: int, device: torch.device) -> Case:
        """A case of `NETWORKS` with so many examples; weights and pictures are always the same."""
        spec = NETWORKS[name]
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = factory(spec.network)(spec.channels, spec.pixels, CLASSES).to(device).eval()
            inputs = torch.randn(samples, spec.channels, spec.pixels, spec.pixels)
            targets = torch.randint(CLASSES, (samples,))
        return cls(name, model, TensorExamples(inputs.to(device), targets.to(device)), device)

    @property
    def samples(self) -> int:
        return len(self.examples)

    @property
    def title(self) -> str:
        return f"{self.name}, {self.samples} examples"

    def risk(self, micro_batch: int | None = None) -> Risk:
        """The mean cross-entropy over all examples."""
        risk = Risk(self.model, F.cross_entropy, self.examples, torch.arange(self.samples), 5e-4)
        return risk if micro_batch is None else Risk(**{**vars(risk), "micro_batch": micro_batch})

    def direction(self) -> Tensor:
        """A unit vector (p,)."""
        index = ParameterIndex.of(self.model)
        v = torch.randn(index.p, generator=torch.Generator().manual_seed(1)).to(self.device)
        return v.div_(torch.linalg.vector_norm(v))

    def settle(self) -> None:
        """Wait for a device that works on its own."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    @contextmanager
    def threads(self, plan: Plan) -> Iterator[None]:
        """The CPU threads asked for; else torch's own number, or one for a small network, as the program does."""
        before = torch.get_num_threads()
        if plan.threads is None:
            with few_threads(self.model):
                yield
            return
        torch.set_num_threads(plan.threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def interleaved(tasks: Mapping[str, Task], repeats: int, case: Case, plan: Plan) -> dict[str, list[float]]:
    """`rows.interleaved` on the case's device, with the plan's clock."""
    return rows.interleaved(tasks, repeats, case.settle, clock(plan))


def clock(plan: Plan) -> Callable[[], float]:
    """Wall time; with one thread on a CPU its own time, which a busy machine disturbs less."""
    alone = plan.threads == 1 and choose_device(plan.device).type == "cpu"
    return time.process_time if alone else time.perf_counter


def choose_device(name: str | None) -> torch.device:
    """The device asked for, else the best there is.

    Raises:
        ValueError: one sentence, if it is not here.
    """
    if name is None:
        return best_device()
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"{name!r} cannot be used here ({str(error).splitlines()[0]})") from None
    return torch.device(name)
