"""When can influence be believed? Which trust figure predicts that an edit disagrees with retraining?

    python bench/gauge.py run                      # all scenarios; --scenario NAME for some; goes on where it stopped
    python bench/gauge.py tables                   # held-out AUCs
    python bench/gauge.py write                    # what the panels say: gif_dash/figures/gauge.json
    python bench/gauge.py figure --out docs/gauge.svg

`run` appends one JSON line per class removal (all methods of one question) to ``SCENARIO.jsonl``. What follows was
decided before any line was looked at.

**Edits.** Every scenario of `SCENARIOS`, networks trained from several seeds, classes removed one at a time, the
`SETTINGS` of MR and solver steps, each method at its best s, chosen and reported as the product does it.

**Disagreement**, two measures: the *score gap*, |score of the edit − mean score of cold-retrained networks|; and the
*answers apart*, the share of the reporting images whose place in the table (true class × answer) differs between the
edit and one cold-retrained network, at least: half the sum of the differences of the two confusion tables, over the
number of images. An edit *disagrees* by a measure if it is above the median over all edits of the other scenarios: the
threshold of a label is never chosen on the scenario that it labels.

**Figures**, see `FIGURES`. Each alone: its direction is learned from the other scenarios (the side of ½ on which their
AUC lies), and its AUC measured on the scenario left out. Together: a logistic regression on the standardised figures,
missing ones replaced by the median of the training scenarios, and the classes of disagreement weighted alike, fitted on
the other scenarios. AUCs are computed inside a scenario, between edits of the same collection of networks, and averaged
over the scenarios; a scenario that has fewer than `FEWEST` edits on one side of a label has no AUC for it. The interval
is a bootstrap over scenarios and, inside them, over (network, class) groups: 2.5 to 97.5 % of `DRAWS` draws.

**Useful** is a figure with a mean held-out AUC of at least `USEFUL` whose interval lies above ½; `USEFUL` = .7 is the
customary bound of acceptable discrimination (Hosmer & Lemeshow). Only of such a figure do the panels say something else
than that nothing predicts.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from gif_dash.experiments.provenance import Stopwatch
from gif_dash.experiments.removal import Removal
from gif_dash.progress import Silent
from gif_dash.scenarios import Prepared, Recipe, Scenario, load
from gif_dash.scenarios.reseeded import reseeded
from gif_dash.specs import RemovalSpec

FOLDER = Path(__file__).parent / "gauge"

#: (MR in %, solver steps) → methods. Methods that change all parameters, and the gradient step, come once.
SETTINGS: dict[tuple[float, int], tuple[str, ...]] = {
    (10.0, 5): ("gif", "fif", "pif", "if", "gradient", "if2"),
    (50.0, 5): ("gif", "fif", "pif", "gradient"),
    (10.0, 1): ("gif", "fif", "pif"),
    (10.0, 20): ("gif", "fif", "pif"),
}
#: What is kept of an edit, after its method; at the best s unless it says one.
COLUMNS = (
    "scalar",
    "score",
    "self_accuracy",
    "test_accuracy",
    "apart",
    "score_one",
    "apart_one",
    "relative_residual",
    "norm_ratio",
    "stationarity",
    "sigma_max",
    "curvature",
    "rho",
    "rho_error",
    "rho_one",
    "rho_error_one",
)
#: Cold references of every class; their mean score is what an edit is compared with.
REFERENCES = 3


def dense(*widths: int) -> nn.Sequential:
    """A dense ReLU network of these widths, input and output included."""
    layers: list[nn.Module] = []
    for place, (before, after) in enumerate(zip(widths, widths[1:], strict=False)):
        layers += [nn.ReLU()] if place else []
        layers.append(nn.Linear(before, after))
    return nn.Sequential(*layers)


def small(name: str, data: str, hidden: tuple[int, ...], recipe: Recipe) -> Scenario:
    """A dense network on a data set that comes with scikit-learn: a stratified half for training, a half for testing.

    Args:
        name: of the scenario.
        data: wine, iris, breast_cancer or digits.
        hidden: widths of the hidden layers.
        recipe: how it is trained.
    """
    import sklearn.datasets
    from sklearn.model_selection import train_test_split

    bunch = getattr(sklearn.datasets, f"load_{data}")()
    x, y = torch.tensor(bunch.data, dtype=torch.float32), torch.tensor(bunch.target, dtype=torch.int64)
    train, test = train_test_split(np.arange(len(y)), test_size=0.5, stratify=bunch.target, random_state=0)
    x = (x - x[train].mean(0)) / (x[train].std(0) + 1e-3)
    classes = tuple(map(str, bunch.target_names))
    return Scenario(
        name,
        partial(dense, x.shape[1], *hidden, len(classes)),
        TensorDataset(x[train], y[train]),
        TensorDataset(x[test], y[test]),
        classes,
        recipe=recipe,
    )


def _sgd(epochs: int, weight_decay: float, lr: float = 0.1) -> Recipe:
    return Recipe("sgd", lr=lr, epochs=epochs, batch=32, weight_decay=weight_decay)


#: Name → (data, hidden layers, recipe); trained long, briefly, with and without weight decay; wide, narrow, deep.
SMALL: dict[str, tuple[str, tuple[int, ...], Recipe]] = {
    "iris-linear": ("iris", (), _sgd(100, 1e-2)),
    "iris-8": ("iris", (8,), _sgd(100, 1e-3)),
    "iris-brief": ("iris", (8, 8), _sgd(8, 0.0)),
    "wine-16": ("wine", (16,), _sgd(60, 1e-3)),
    "wine-brief": ("wine", (16,), _sgd(3, 0.0)),
    "cancer-16": ("breast_cancer", (16,), _sgd(40, 1e-3)),
    "digits-64": ("digits", (64,), _sgd(40, 1e-3)),
    "digits-8": ("digits", (8,), _sgd(40, 1e-3)),
    "digits-deep": ("digits", (32, 32, 32), _sgd(40, 1e-4)),
    "digits-brief": ("digits", (64,), _sgd(2, 0.0)),
    "digits-decay": ("digits", (32,), _sgd(40, 2e-2)),
    "digits-no-decay": ("digits", (32,), _sgd(80, 0.0)),
}
#: Scenario → (networks, classes removed, each by itself).
SCENARIOS: dict[str, tuple[int, tuple[int, ...]]] = {
    **{name: (3, (0, 1, 2)) for name in SMALL if name.startswith(("iris", "wine"))},
    "cancer-16": (3, (0, 1)),
    **{name: (3, (0, 2, 4, 6, 8)) for name in SMALL if name.startswith("digits")},
    "digits-cnn": (2, (0, 2, 4, 6, 8)),
}


def prepare(name: str) -> Prepared:
    """A scenario of the collection, trained."""
    return load(small(name, *SMALL[name]) if name in SMALL else name, Silent())


def measured(prepared: Prepared, forget_class: int, mr: float, steps: int, methods: tuple[str, ...]) -> dict[str, Any]:
    """One class removal: the disagreements and trust figures of its edits (`COLUMNS`), scores of θ̂ and of retraining.

    Args:
        prepared: the scenario with one of its networks.
        forget_class: removed.
        mr, steps: modification ratio and solver steps.
        methods: asked for.
    """
    spec = RemovalSpec(
        scenario=prepared.scenario.name,
        forget_classes=(forget_class,),
        methods=methods,  # type: ignore[arg-type]
        mr=mr,
        iterations=steps,
        retrain_seeds=REFERENCES,
    )
    with Removal(spec, prepared, Silent(), Stopwatch(Silent())) as removal:
        size = float(removal.theta.norm())
        result = removal.run()
    sweep, solves, trust, confusion = (result.tables[name] for name in ("sweep", "solves", "trust", "confusion"))
    truth, references = _confusion(confusion, "retrain", ""), sweep[sweep["method"] == "retrain"]
    edits = []
    for method in methods:
        values: dict[str, Any] = dict(solves[solves["method"] == method].iloc[0])
        for mark, suffix in (("best", ""), ("one", "_one")):
            for table in (trust, sweep):
                found = table[(table["method"] == method) & (table["mark"] == mark)].iloc[0]
                values |= {f"{name}{suffix}": value for name, value in found.items()}
            values[f"apart{suffix}"] = apart(_confusion(confusion, method, mark), truth)
        edits.append([method, *(float(values[name]) for name in COLUMNS)])
    return {
        "original": float(sweep.loc[sweep["method"] == "original", "score"].iloc[0]),
        "retrain": references["score"].tolist(),
        "theta": size,
        "edits": edits,
    }


def _confusion(table: pd.DataFrame, method: str, mark: str) -> pd.Series[int]:
    rows = table[(table["method"] == method) & (table["mark"] == mark)]
    return rows.set_index(["true", "predicted"])["count"]


def apart(one: pd.Series[int], other: pd.Series[int]) -> float:
    """Half the sum of the differences of two confusion tables over the number of images: the least share of images
    that the two networks answer differently."""
    difference = one.sub(other, fill_value=0).abs().sum()
    return float(difference / (one.sum() + other.sum()))


@click.group()
def main() -> None:
    """Which trust figure predicts that an edit disagrees with retraining?"""


@main.command()
@click.option("--scenario", "names", multiple=True, type=click.Choice(list(SCENARIOS)), help="some of them; or all")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=FOLDER, help="of the lines")
def run(names: tuple[str, ...], folder: Path) -> None:
    """Collect the edits; goes on where it stopped."""
    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or SCENARIOS:
        path = folder / f"{name}.jsonl"
        done = {tuple(json.loads(line)[:4]) for line in path.read_text().splitlines()} if path.exists() else set()
        started, count = time.process_time(), 0
        for key in cells(name):
            if key in done:
                continue
            number, forget_class, mr, steps = key
            began = time.process_time()
            base = reseeded(prepare(name), number, Silent())
            told = measured(base, forget_class, mr, steps, SETTINGS[mr, steps])
            told["seconds"] = time.process_time() - began
            with path.open("a") as file:
                file.write(json.dumps([*key, _short(told)]) + "\n")
            count += 1
        click.echo(f"{name}: {count} cells, {time.process_time() - started:.0f} s of processor time")


def cells(name: str) -> Iterator[tuple[int, int, float, int]]:
    """(network, class, MR, steps) of a scenario."""
    networks, classes = SCENARIOS[name]
    for number in range(networks):
        for forget_class in classes:
            for mr, steps in SETTINGS:
                yield number, forget_class, mr, steps


def _short(value: Any) -> Any:
    """Numbers to five digits, what is not finite as null."""
    if isinstance(value, dict):
        return {name: _short(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_short(item) for item in value]
    if isinstance(value, str):
        return value
    return float(f"{float(value):.5g}") if math.isfinite(value) else None


if __name__ == "__main__":
    main()
