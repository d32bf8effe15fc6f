"""Other answers to "which training examples matter for this one?", on the interface of influence: one score for each.

All are oriented like the effect −I/N of a removal: positive means that the example speaks for the label of the test
example, negative that it speaks against it. Those that know no sign are not negative.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gif_dash.influence.attribution import directional_derivatives, per_example_gradients
from gif_dash.influence.errors import InfluenceError, Tick, no_tick
from gif_dash.influence.examples import Examples
from gif_dash.influence.risk import Risk, evaluating, stream


def input_similarity(risk: Risk, target: Risk, tick: Tick = no_tick) -> Tensor:
    """Cosine of the inputs with that of the test example, minus their mean over the training examples: (n,), −1 … 1.

    The baseline of Hanawa et al. 2021, "Evaluation of similarity-based explanations" (their cosine of the inputs,
    here of centred ones: pixels are not negative, so that the cosines of all pictures would be near 1). Knows neither
    the network nor labels.

    Args:
        risk: the training examples.
        target: one test example.
        tick: called before every micro-batch; may raise to cancel.
    """
    total: list[Tensor] = []

    def add(chunk: Tensor) -> None:
        total.append(_flat(risk.examples, chunk).sum(0))

    stream(risk.indices, risk.micro_batch, add, tick)
    mean = torch.stack(total).sum(0) / risk.size
    query = _flat(target.examples, target.indices)[0] - mean
    query = query / torch.linalg.vector_norm(query).clamp_min(1e-300)
    parts: list[Tensor] = []

    def work(chunk: Tensor) -> None:
        inputs = _flat(risk.examples, chunk) - mean
        parts.append((inputs @ query) / torch.linalg.vector_norm(inputs, dim=1).clamp_min(1e-300))

    stream(risk.indices, risk.micro_batch, work, tick)
    return torch.cat(parts)


def training_loss(risk: Risk, tick: Tick = no_tick) -> Tensor:
    """The example's own loss: (n,), not negative; the same for every test example.

    What is hard is often what is wrong: the usual baseline for mislabelled data (for example Koh & Liang 2017, §5.4).
    """
    return risk.losses(tick=tick)


def gradient_cosine(risk: Risk, target: Risk, norms: Tensor | None = None, tick: Tick = no_tick) -> Tensor:
    """Cosine of ∇ℓ(z_i) with ∇ℓ(z_t): (n,), −1 … 1; 0 where a gradient vanishes.

    The kernel of Charpiat et al. 2019, "Input similarity from the neural network perspective"; the "grad-cos" that
    Hanawa et al. 2021 find to pass their tests. The inner products are one pass in forward mode; the norms take the
    gradients of a micro-batch at a time.

    Args:
        risk: the training examples; without its weight decay.
        target: one test example, without weight decay.
        norms: ‖∇ℓ(z_i)‖ where they are known, see `gradient_norms`: they do not depend on the test example.
        tick: called between micro-batches; may raise to cancel.
    """
    gradient = target.gradient(tick)
    products = directional_derivatives(risk, gradient.unsqueeze(0), tick)[0]
    norms = gradient_norms(risk, tick) if norms is None else norms
    scale = norms * float(torch.linalg.vector_norm(gradient.double()))
    return torch.where(scale > 0, products / scale.clamp_min(1e-300), 0.0)


def gradient_norms(risk: Risk, tick: Tick = no_tick) -> Tensor:
    """‖∇ℓ(z_i)‖ over all parameters, without weight decay: (n,)."""
    return per_example_gradients(risk, lambda gradients: torch.linalg.vector_norm(gradients.double(), dim=1), tick=tick)


@dataclass(frozen=True)
class Representer:
    """The representer points of one test example.

    Attributes:
        scores: α_{i,c}·h_iᵀh_t, c the label of the test example: what each training example contributes to its output
            c; float64, CPU, (n,). Positive: it excites that output.
        output: the network's output c.
        remainder: |output − Σ scores| / |output|; 0 where the last layer is at rest, NaN without weight decay.
    """

    scores: Tensor
    output: float
    remainder: float


def representer_points(risk: Risk, target: Risk, weight_decay: float, tick: Tick = no_tick) -> Representer:
    """Yeh et al. 2018, "Representer point selection for explaining deep neural networks", eq. 3 and theorem 3.1.

    Where the last layer Θ is a stationary point of the mean loss + μ/2·‖Θ‖², Θ = Σ α_i h_iᵀ with
    α_i = −1/(μN)·∂ℓ_i/∂(outputs), h_i the inputs of the last layer. A bias is one more input that is always 1.

    Deviations: the paper trains the last layer again until it is stationary, with a decay of its own; here it is taken
    as training left it, and `Representer.remainder` says how far it is from rest. Without weight decay the factor 1/μ
    is left out, which changes no order.

    Args:
        risk: the training examples, all of them.
        target: one test example.
        weight_decay: μ.
        tick: called before every micro-batch; may raise to cancel.

    Raises:
        InfluenceError: the last module that has parameters is not a linear layer that gives the network's outputs.
    """
    layer = last_linear(risk.model)
    with evaluating(risk.model):
        features, outputs, _ = _last(target, target.indices, layer)
        label = int(target.examples.batch(target.indices)[1][0])
        query, output = features[0], float(outputs[0, label])
        parts: list[Tensor] = []

        def work(chunk: Tensor) -> None:
            inside, _, slopes = _last(risk, chunk, layer)
            parts.append(-(slopes[:, label] * (inside @ query)))

        stream(risk.indices, risk.micro_batch, work, tick)
    scores = torch.cat(parts) / risk.size
    if weight_decay <= 0:
        return Representer(scores, output, float("nan"))
    scores = scores / weight_decay
    return Representer(scores, output, abs(output - float(scores.sum())) / max(abs(output), 1e-300))


def last_linear(model: nn.Module) -> nn.Linear:
    """The last module that has trainable parameters, if it is a linear layer.

    Raises:
        InfluenceError: if it is not.
    """
    owners = [module for module in model.modules() if any(True for _ in module.parameters(recurse=False))]
    if not owners or not isinstance(owners[-1], nn.Linear):
        raise InfluenceError("representer points need a network that ends in a linear layer")
    return owners[-1]


def _last(risk: Risk, chunk: Tensor, layer: nn.Linear) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs of the last layer (b, f) with a 1 for the bias, its outputs (b, c) and the loss's slopes in them."""
    seen: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _module, inputs, _outputs: seen.append(inputs[0].detach()))
    try:
        with torch.no_grad():
            outputs, labels = risk.batch_outputs(chunk)
    finally:
        handle.remove()
    if len(seen) != 1 or seen[0].dim() != 2 or outputs.shape != (len(seen[0]), layer.out_features):
        raise InfluenceError("representer points need a network whose last linear layer gives its outputs")
    with torch.enable_grad():
        point = outputs.detach().requires_grad_()
        (slopes,) = torch.autograd.grad(risk.losses_of(point, labels).sum(), point)
    inside = seen[0]
    if layer.bias is not None:
        inside = torch.cat([inside, inside.new_ones(len(inside), 1)], dim=1)
    return inside.cpu().double(), outputs.cpu().double(), slopes.cpu().double()


def _flat(examples: Examples, chunk: Tensor) -> Tensor:
    """Inputs as rows, float64, CPU."""
    return examples.batch(chunk)[0].detach().flatten(1).cpu().double()
