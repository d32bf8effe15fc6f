"""What a Hessian-vector product costs, in gradients."""

from __future__ import annotations

from gif_dash.bench.networks import NETWORKS, Case, choose_device, clock, interleaved
from gif_dash.bench.plan import Plan
from gif_dash.bench.rows import Row, ratios
from gif_dash.influence import Hessian

GROUP = "hvp"
PLENTY = 1 << 40


def measure(plan: Plan) -> list[Row]:
    """Gradient, product on kept graphs, streamed product and building the graphs, of every network.

    The ratio is that of a product alone to a gradient over the same examples with the same micro-batches, measured one
    after the other. The thorough measurement adds a row for every micro-batch size.
    """
    device = choose_device(plan.device)
    rows: list[Row] = []
    for name, network in NETWORKS.items():
        if plan.wants(name):
            case = Case.of(name, network.examples(plan, device), device)
            with case.threads(plan):
                rows += _default(case, plan)
                if not plan.quick:
                    for batch in network.batches:
                        rows += _at(case, batch, plan)
    return rows


def _default(case: Case, plan: Plan) -> list[Row]:
    """With the engine's own micro-batch size for products."""
    v = case.direction()
    with Hessian(case.risk(), PLENTY) as kept, Hessian(case.risk(), 0) as streamed:
        building = _build(kept, case, plan)
        risk = case.risk(kept.micro_batch)
        times = interleaved(
            {"gradient": risk.gradient, "product": lambda: kept.matvec(v), "streamed": lambda: streamed.matvec(v)},
            3 if plan.quick else 9,
            case,
            plan,
        )
    title, note = case.title, f"micro-batches of {risk.micro_batch}"
    gradient = times["gradient"]
    return [
        Row.of(GROUP, title, "HVP ÷ gradient", ratios(times["product"], gradient), "ratio", note),
        Row.of(GROUP, title, "streamed HVP ÷ gradient", ratios(times["streamed"], gradient), "ratio", note),
        Row(GROUP, title, "building graphs ÷ gradient", building / Row.of("", "", "", gradient, "").value, "ratio"),
        Row.of(GROUP, title, "gradient", gradient, "s", note),
        Row.of(GROUP, title, "HVP", times["product"], "s", note),
    ]


def _at(case: Case, batch: int, plan: Plan) -> list[Row]:
    """With a micro-batch size of one's own."""
    v, risk = case.direction(), case.risk(batch)
    with Hessian(risk, PLENTY, batch) as kept:
        times = interleaved({"gradient": risk.gradient, "product": lambda: kept.matvec(v)}, 5, case, plan)
    title = f"{case.title}, micro-batches of {batch}"
    return [
        Row.of(GROUP, title, "HVP ÷ gradient", ratios(times["product"], times["gradient"]), "ratio"),
        Row.of(GROUP, title, "gradient", times["gradient"], "s"),
        Row.of(GROUP, title, "HVP", times["product"], "s"),
    ]


def _build(hessian: Hessian, case: Case, plan: Plan) -> float:
    """Seconds to build and keep the graphs, after a first build that warms everything up."""
    v = case.direction()
    hessian.matvec(v)
    hessian.close()
    case.settle()
    started = clock(plan)()
    hessian.prepare()
    case.settle()
    return clock(plan)() - started
