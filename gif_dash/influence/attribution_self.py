"""Self-influence: how much the loss of a training example would rise, had the network never seen it."""

from __future__ import annotations

from torch import Tensor

from gif_dash.influence.attribution import per_example_gradients
from gif_dash.influence.attribution_spectral import Decomposition
from gif_dash.influence.errors import Tick, no_tick
from gif_dash.influence.risk import Risk
from gif_dash.influence.systems import DampingForm

#: Up to so many parameters the inverse is exact.
EXACT = 3000


def self_influence(
    risk: Risk,
    inverse: Decomposition,
    *,
    damping: float = 0.0,
    form: DampingForm = "squared",
    tick: Tick = no_tick,
) -> Tensor:
    """∇ℓ(z_i)ᵀH⁻¹∇ℓ(z_i) = −I(z_i, z_i) of every example (Koh & Liang 2017, §5.4): (n,), float64, CPU.

    The loss of z_i would rise by about 1/N of it, had the network been trained without z_i. Not negative where the
    curvature is positive semi-definite; one pass with the gradients of a micro-batch at a time.

    Args:
        risk: the examples; without its weight decay.
        inverse: of H_JJ, exact or in a Lanczos subspace.
        damping: λ/σ_max.
        form: see `Decomposition.weights`.
        tick: called between micro-batches; may raise to cancel.

    Raises:
        InfluenceError: as `per_example_gradients`.
    """
    weights, vectors = inverse.weights(damping, form), inverse.vectors

    def consume(gradients: Tensor) -> Tensor:
        inside = gradients @ vectors.to(gradients)
        return inside.double().square() @ weights.to(gradients.device)

    return per_example_gradients(risk, consume, inverse.indices, tick)
