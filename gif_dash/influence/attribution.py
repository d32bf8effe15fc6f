"""Scores of single training examples: what would the loss of a test example be, had this one never been seen?

The influence of upweighting z on the loss of a test example z_t is I(z, z_t) = −∇ℓ(z_t)ᵀH⁻¹∇ℓ(z) (Koh & Liang 2017,
eq. 2), H the Hessian of what training minimised. Removing z changes that loss by about −I/N: z is *helpful* if removing
it raises the loss, I < 0, and *harmful* if I > 0.

As H is symmetric, one solve v = H⁻¹∇ℓ(z_t) for each test example serves all training examples: the scores are then
derivatives of their losses along v, which one pass in forward mode gives for all of them, without a gradient of any.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, Unpack, get_args

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor
from torch.func import functional_call, grad, vmap

from gif_dash.influence import solvers
from gif_dash.influence.attribution_spectral import Decomposition
from gif_dash.influence.curvature import Columns, Curvature
from gif_dash.influence.errors import InfluenceError, Tick, no_tick
from gif_dash.influence.estimators import Method, Settings, SolveReport, Update, estimate
from gif_dash.influence.parameters import ParameterIndex
from gif_dash.influence.risk import Risk, evaluating, stream, trainable
from gif_dash.influence.systems import OnIterate, System, trivial

#: Which inverse is meant where only a selection J of the parameters may move.
Inverse = Literal["if", "fif", "pif", "gif"]

#: Per-example gradients of a micro-batch occupy at most so many bytes.
GRADIENT_BYTES = 2**28


@dataclass(frozen=True)
class Influence:
    """The influence of training examples on the loss of one test example.

    Attributes:
        scores: I(z_i, z_t), float64, CPU, (n,).
        decay: μθ̂ᵀv. Training without z by the same recipe, which averages over the N − 1 others and keeps μ, changes
            the loss of z_t by about (−I + decay)/(N − 1) instead of −I/N; the decay's part is the same for every z.
        report: of the solve.
    """

    scores: Tensor
    decay: float
    report: SolveReport

    def effects(self, n: int) -> Tensor:
        """What removing each example does to the test loss, to first order: −I/N, (n,)."""
        return -self.scores / n


def influences(
    risk: Risk,
    curvature: Curvature,
    targets: Sequence[Risk],
    indices: Tensor | None = None,
    *,
    inverse: Inverse | None = None,
    on_solved: Callable[[int, SolveReport], None] | None = None,
    tick: Tick = no_tick,
    **settings: Unpack[Settings],
) -> list[Influence]:
    """The influence of every training example on every target.

    One solve for each target, all with the same curvature (its graphs are kept between them, and σ_max, where damping
    needs it, is estimated once; the direct solver decomposes the matrix once, see `Decomposition`); then one pass over
    the training examples for all targets.

    Args:
        risk: whose examples are the training examples to score; θ̂ is its model's state. Its weight decay counts for
            `Influence.decay` only.
        curvature: H, weight decay included; of all training examples, or of a sample.
        targets: each the mean loss of one test example, or of several; without weight decay.
        indices: J, int64, distinct, (k,); None for all parameters.
        inverse: what takes the place of H⁻¹. ``if``: H⁻¹ itself, whatever J; ``fif``: the inverse of H_JJ on J, the
            other parameters frozen; ``pif``: H⁻¹ whose results are kept on J; ``gif``: the pseudo-inverse of H_{:J},
            whose rows are J. By default ``if`` without J and ``fif`` with it.
        on_solved: told the number of each target and the report of its solve.
        tick: called between micro-batches; may raise to cancel.
        settings: of the solves, see `gif_dash.influence.estimate`; ``gif`` knows cgls and lsmr.

    Raises:
        InfluenceError: as `gif_dash.influence.estimate`, or if the network uses an operation that has no forward-mode
            derivative.
    """
    solved = []
    dense: Decomposition | None = None
    for number, target in enumerate(targets):
        gradient = target.gradient(tick)
        if settings.get("solver") == "direct" and inverse != "gif":
            if dense is None:
                dense = Decomposition.of_all(
                    curvature,
                    indices if inverse != "pif" else None,
                    gradient,
                    settings.get("memory_limit", 2**30),
                    tick,
                )
            update = dense.solve(gradient, indices if inverse == "pif" else None, **settings)
        else:
            update = solve(curvature, gradient, indices, inverse=inverse, tick=tick, **settings)
        if settings.get("damping") and update.report.sigma_max > 0:
            settings["sigma_max"] = update.report.sigma_max
        if on_solved:
            on_solved(number, update.report)
        solved.append(update)
    theta = ParameterIndex.of(risk.model).vector(risk.model)
    along = directional_derivatives(risk, torch.stack([update.delta for update in solved]), tick)
    return [
        Influence(-slopes, float(risk.weight_decay * (theta @ update.delta)), update.report)
        for slopes, update in zip(along, solved, strict=True)
    ]


def solve(
    curvature: Curvature,
    gradient: Tensor,
    indices: Tensor | None = None,
    *,
    inverse: Inverse | None = None,
    on_iterate: OnIterate | None = None,
    tick: Tick = no_tick,
    **settings: Unpack[Settings],
) -> Update:
    """v with ∇ℓ(z)ᵀv = ∇ℓ(z_t)ᵀΔ(z) for every z, Δ(z) the step that an `Inverse` makes of ∇ℓ(z): (p,).

    With A⁺ the inverse of a method, Δ = A⁺∇ℓ(z), v = (A⁺)ᵀ∇ℓ(z_t): H⁻¹ and H_JJ⁻¹ are their own transposes; PIF, which
    keeps J of the result, turns into H⁻¹ of a right-hand side restricted to J; GIF, the least-squares solution with
    H_{:J}, into the shortest solution w of H_{J:}w = g_J.

    Args and errors as `influences`; `gradient` is ∇ℓ(z_t), (p,), and `on_iterate` is told the iterates (k, v after k
    steps).
    """
    chosen: Inverse = inverse or ("if" if indices is None else "fif")
    if chosen not in get_args(Inverse):
        raise InfluenceError(f"unknown inverse {chosen!r}: choose from {', '.join(get_args(Inverse))}")
    everything = torch.arange(curvature.size, device=gradient.device)
    part = everything if indices is None else indices.to(gradient.device)
    if chosen == "gif":
        return _transposed(curvature, gradient, part, tick, settings, on_iterate)
    if chosen == "pif":
        kept = torch.zeros_like(gradient)
        kept[part] = gradient[part]
        gradient = kept
    method: Method = "fif" if chosen == "fif" else "if"
    return estimate(method, curvature, gradient, part, on_iterate=on_iterate, tick=tick, **settings)


def _transposed(
    curvature: Curvature,
    gradient: Tensor,
    part: Tensor,
    tick: Tick,
    settings: Settings,
    on_iterate: OnIterate | None,
) -> Update:
    """The least-squares problem of GIF with H_{J:} in the place of H_{:J}: k equations, p unknowns."""
    solver, damping = settings.get("solver", "cgls"), settings.get("damping", 0.0)
    if solver not in ("cgls", "lsmr"):
        raise InfluenceError(f"GIF's scores are solved for by cgls or lsmr, not by {solver}")
    started, before = time.perf_counter(), curvature.products
    columns = Columns(curvature, part)
    system = System(
        apply=lambda r: columns.rows(r, tick).to(gradient),
        adjoint=lambda x: columns.columns(x, tick).to(gradient),
        rhs=gradient[part],
        columns=curvature.size,
    )
    if not bool(system.rhs.any()):
        solution = trivial(system)
    else:
        sigma_max = settings.get("sigma_max")
        if damping and sigma_max is None:
            sigma_max = solvers.largest_singular_value(system)
        iterate = solvers.cgls if solver == "cgls" else solvers.lsmr
        steps = settings.get("iterations", 5)
        solution = iterate(system, steps, damping * (sigma_max or 0.0), sigma_max, on_iterate)
    report = SolveReport(
        method="gif",
        solver=solver,
        status=solution.status,
        iterations=solution.iterations,
        products=curvature.products - before,
        seconds=time.perf_counter() - started,
        sigma_max=solution.sigma_max,
        relative_residual=solution.relative_residual,
        optimality=solution.optimality,
        damping=damping,
        message=solution.message,
    )
    return Update(solution.x, report)


def directional_derivatives(risk: Risk, directions: Tensor, tick: Tick = no_tick) -> Tensor:
    """∇ℓ(z_i)ᵀv for every example of a risk and every direction v, in forward mode (Wengert 1964).

    The network is run once for every direction, with tangents on those parameter tensors only in which the direction is
    not zero. Weight decay has no part in it.

    Args:
        risk: the examples, in its order, and the loss.
        directions: (t, p).
        tick: called before every micro-batch; may raise to cancel.

    Returns:
        float64, CPU, (t, n).

    Raises:
        InfluenceError: the directions have another shape, or the network uses an operation that has no forward-mode
            derivative.
    """
    index, parameters = ParameterIndex.of(risk.model), trainable(risk.model)
    if directions.dim() != 2 or directions.shape[1] != index.p:
        raise InfluenceError(f"directions must have shape (t, {index.p}), got {tuple(directions.shape)}")
    tangents = []
    for direction in directions.to(parameters[0]):
        parts = zip(index.tensors, parameters, index.split(direction), strict=True)
        tangents.append([(tensor.name, point.detach(), part) for tensor, point, part in parts if bool(part.any())])
    columns: list[Tensor] = []

    def work(chunk: Tensor) -> None:
        inputs, labels = risk.examples.batch(chunk)
        found = [_slopes(risk, inputs, labels, tangent) for tangent in tangents]
        columns.append(torch.stack(found).cpu().double())

    _forward_rules()
    with evaluating(risk.model), torch.no_grad():
        try:
            stream(risk.indices, risk.micro_batch, work, tick)
        except NotImplementedError as error:
            raise InfluenceError(
                "the network uses an operation without a forward-mode derivative: single images cannot be scored"
            ) from error
    return torch.cat(columns, dim=1)


@cache
def _forward_rules() -> None:
    """torch loads some rules of forward mode when it is first used, with warnings about its own code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with forward_ad.dual_level():
            forward_ad.make_dual(torch.zeros(1), torch.zeros(1))  # type: ignore[no-untyped-call]


def _slopes(risk: Risk, inputs: Tensor, labels: Tensor, tangent: list[tuple[str, Tensor, Tensor]]) -> Tensor:
    """Derivatives of the losses (b,) along one direction."""
    if not tangent:
        return torch.zeros(len(labels), dtype=torch.float64)
    with forward_ad.dual_level():
        duals = {name: forward_ad.make_dual(point, part) for name, point, part in tangent}  # type: ignore[no-untyped-call]
        losses = risk.losses_of(functional_call(risk.model, duals, (inputs,)), labels)
        slopes: Tensor | None = forward_ad.unpack_dual(losses).tangent  # type: ignore[no-untyped-call]
    return losses.new_zeros(len(labels)) if slopes is None else slopes


def per_example_gradients(
    risk: Risk, consume: Callable[[Tensor], Tensor], indices: Tensor | None = None, tick: Tick = no_tick
) -> Tensor:
    """What `consume` makes of the gradients ∇ℓ(z_i) of all examples, a micro-batch at a time.

    Reverse mode, all examples of a micro-batch at once (``vmap``); for quadratic forms in the gradients, which forward
    mode cannot give. Differentiates only with respect to the tensors that J touches.

    Args:
        risk: the examples and the loss; without its weight decay.
        consume: (b, k) gradients in J, in J's order → (b, …).
        indices: J, int64, (k,); None for all parameters.
        tick: called before every micro-batch; may raise to cancel.

    Returns:
        float64, CPU, (n, …).

    Raises:
        InfluenceError: the network cannot be run on single examples by ``vmap`` (an operation that changes a buffer).
    """
    index, parameters = ParameterIndex.of(risk.model), trainable(risk.model)
    names = [tensor.name for tensor in index.tensors]
    touched = list(range(len(names))) if indices is None else torch.unique(index.locate(indices).tensor).tolist()
    part = _within(index, touched, indices)
    points = {names[number]: parameters[number].detach() for number in touched}
    width = sum(index.tensors[number].size for number in touched) * parameters[0].element_size()
    size = max(1, min(risk.micro_batch, GRADIENT_BYTES // width))
    found: list[Tensor] = []

    def loss(chosen: dict[str, Tensor], example: Tensor, label: Tensor) -> Tensor:
        outputs = functional_call(risk.model, chosen, (example.unsqueeze(0),))
        return risk.losses_of(outputs, label.unsqueeze(0)).sum()

    each = vmap(grad(loss), in_dims=(None, 0, 0))

    def work(chunk: Tensor) -> None:
        gradients = each(points, *risk.examples.batch(chunk))
        whole = torch.cat([gradients[names[number]].flatten(1) for number in touched], dim=1).detach()
        found.append(consume(whole if part is None else whole[:, part.to(whole.device)]).cpu().double())

    with evaluating(risk.model):
        try:
            stream(risk.indices, size, work, tick)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise InfluenceError(f"the network does not give gradients of single examples ({reason})") from error
    return torch.cat(found)


def _within(index: ParameterIndex, touched: list[int], indices: Tensor | None) -> Tensor | None:
    """Positions of J in the touched tensors put side by side; None if they are J."""
    if indices is None:
        return None
    offset, place = 0, torch.full((index.p,), -1, dtype=torch.int64)
    for number in touched:
        tensor = index.tensors[number]
        place[tensor.start : tensor.stop] = torch.arange(offset, offset + tensor.size)
        offset += tensor.size
    return place[indices.cpu()]
