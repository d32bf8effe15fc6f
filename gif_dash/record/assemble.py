"""The answer to a question about methods, put together from the class removals that it consists of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from gif_dash.experiments import paired
from gif_dash.results import Result
from gif_dash.specs import MethodsSpec

#: The first columns of the table, as `gif_dash.experiments.methods` has them.
KEYS = ("group", "class", "seed", "mr", "method", "scalar", "mark")


def methods(spec: MethodsSpec, removals: Sequence[Result], seconds: Mapping[str, float]) -> Result:
    """What `gif_dash.experiments.methods.run` would answer: the same tables from numbers that are there.

    Args:
        spec: one network (``seeds`` 1), one group of classes.
        removals: the class removals at its MRs, in their order.
        seconds: the trainings of the references took, by row name.

    Returns:
        tables ``points``, ``summary`` and ``differences``. PIF was solved once for every MR instead of once for all.
    """
    parts = []
    for place, removal in enumerate(removals):
        sweep = removal.tables["sweep"]
        reference = sweep["method"].isin(("original", "retrain", "retrain_warm"))
        if place == 0:
            known = sweep[reference]
            parts.append(_placed(known.assign(seconds=known["method"].map(dict(seconds)).astype(float)), spec, None))
        costs = removal.tables["solves"][["method", "hvps", "seconds"]]
        rows = sweep[~reference].merge(costs, on="method", how="left")
        rows = rows.merge(removal.tables["trust"].drop(columns="scalar"), on=["method", "mark"], how="left")
        parts.append(_placed(rows, spec, float(removal.spec["mr"])))
    products = sum(int(removal.provenance["hvps"]) for removal in removals)
    table = pd.concat(parts, ignore_index=True).assign(products=products)
    marked = table[(table["mark"] != "") | table["scalar"].isna()]
    first = removals[0].provenance
    own = ("k", "share", "stages", "recorded")
    return Result(
        {"experiment": spec.experiment, **spec.model_dump(mode="json")},
        {"points": table, "summary": paired.summary(marked), "differences": paired.differences(marked)},
        {
            **{name: value for name, value in first.items() if name not in own},
            "created": removals[-1].provenance["created"],
            "seconds": sum(float(removal.provenance["seconds"]) for removal in removals),
            "hvps": products,
            "shares": {f"{removal.spec['mr']:g}": removal.provenance["share"] for removal in removals},
            "pieces": [
                {name: removal.provenance[name] for name in ("seed", "forget", "seconds", "created", "device")}
                for removal in removals
            ],
            "assembled": f"from {len(removals)} class removals",
            "incomplete": "; ".join(dict.fromkeys(filter(None, (r.provenance["incomplete"] for r in removals)))),
            "impatient": any(removal.provenance["impatient"] for removal in removals),
        },
    )


def _placed(rows: pd.DataFrame, spec: MethodsSpec, mr: float | None) -> pd.DataFrame:
    """With the columns that say where the rows belong."""
    classes, ratio = "+".join(map(str, spec.forget_classes)), math.nan if mr is None else mr
    frame = rows.assign(group="chosen", seed=0, mr=ratio, **{"class": classes})
    return frame[[*KEYS, *(name for name in frame.columns if name not in KEYS)]]
