"""What the default solve costs: seconds, products, and seconds per product, for every method."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from gif_dash.bench.networks import NETWORKS, Case, choose_device, interleaved
from gif_dash.bench.plan import Plan
from gif_dash.bench.rows import Row, Task, ratios
from gif_dash.influence import Hessian, Method, estimate, select

GROUP = "solve"
METHODS: tuple[Method, ...] = ("gif", "fif", "pif")
#: Steps of CGLS; 1 + 2k products.
STEPS = 5
MR = 10.0


def measure(plan: Plan) -> list[Row]:
    """GIF, FIF and PIF by five steps of CGLS on kept graphs, for top-k outputs at MR 10 %, in gradients.

    All three take 11 products; those of GIF and FIF leave out the rows that the selection does not touch. The thorough
    measurement, and every one on a GPU, adds a whole edit by GIF: gradient, selection, graphs and solve, with as many
    examples behind the gradient as behind the curvature. (Published: 522 ms on an RTX 3090, VGG-11, 512 and 512.)
    """
    device = choose_device(plan.device)
    rows: list[Row] = []
    for name, network in NETWORKS.items():
        if not plan.wants(name) or (plan.quick and device.type == "cpu" and name in ("vgg11", "resnet18")):
            continue
        case = Case.of(name, network.examples(plan, device), device)
        every = torch.arange(case.samples)
        chosen = select(
            case.model, case.risk().loss, case.examples, every[:128], criterion="top-outputs", mr=MR, seed=0
        )
        g = case.risk().gradient()
        with case.threads(plan), Hessian(case.risk(), 1 << 40) as hessian:
            hessian.prepare()
            tasks: dict[str, Task] = {"gradient": case.risk(hessian.micro_batch).gradient}
            for method in METHODS:
                tasks[method] = partial(estimate, method, hessian, g, chosen.indices, iterations=STEPS)
            times = interleaved(tasks, 2 if plan.quick else 5, case, plan)
        if not plan.quick or device.type != "cpu":
            with case.threads(plan):
                whole = interleaved({"whole": partial(_edit, case, every)}, 2 if plan.quick else 5, case, plan)["whole"]
            rows.append(Row.of(GROUP, case.title, "one GIF, everything included", whole, "s", f"CGLS {STEPS}"))
        note = f"{1 + 2 * STEPS} products, {chosen.share:.3g} % of the parameters"
        for method in METHODS:
            what, ratio = f"{method.upper()}, CGLS {STEPS}", ratios(times[method], times["gradient"])
            rows.append(Row.of(GROUP, case.title, what, times[method], "s", note))
            rows.append(Row.of(GROUP, case.title, f"{what} ÷ gradient", ratio, "ratio"))
    return rows


def _edit(case: Case, forget: Tensor) -> Tensor:
    """Δ of GIF, from nothing."""
    loss, examples = case.risk().loss, case.examples
    chosen = select(case.model, loss, examples, forget, criterion="top-outputs", mr=MR, seed=0)
    gradient = case.risk().gradient()
    with Hessian(case.risk()) as hessian:
        return estimate("gif", hessian, gradient, chosen.indices, iterations=STEPS).delta
