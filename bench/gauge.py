"""When can influence be believed? Which trust figure predicts that an edit disagrees with retraining?

    python bench/gauge.py run                      # all scenarios; --scenario NAME for some; goes on where it stopped
    python bench/gauge.py tables                   # held-out AUCs
    python bench/gauge.py write                    # what the panels say: gif_dash/figures/gauge.json
    python bench/gauge.py page                     # the tables of docs/gauge.md
    python bench/gauge.py figure --out docs/gauge.svg

`run` appends one JSON line per class removal (all methods of one question) to ``SCENARIO.jsonl``. What follows was
decided before anything was analysed.

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
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, partial
from html import escape
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.utils.data import TensorDataset

from gif_dash.experiments.provenance import Stopwatch
from gif_dash.experiments.removal import Removal
from gif_dash.figures.gauge import TITLES
from gif_dash.progress import Silent
from gif_dash.scenarios import Prepared, Recipe, Scenario, load
from gif_dash.scenarios.dense import dense_net
from gif_dash.scenarios.reseeded import reseeded
from gif_dash.specs import RemovalSpec

FOLDER = Path(__file__).parent / "gauge"
#: What the panels say.
SAID = Path(__file__).parent.parent / "gif_dash" / "figures" / "gauge.json"

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Pairs = tuple[Floats, Floats, Floats]

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
        partial(dense_net, x.shape[1], len(classes), hidden),
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


@cache
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


# --- what the lines say -----------------------------------------------------------------------------------------------

#: Trust figures by name; those of `SKEWED` go into the regression as logarithms, of at least the number beside them.
FIGURES = ("residual", "curvature", "negative", "step", "step_best", "rho_one", "rho", "stationarity", "seeds")
SKEWED = {"residual": 1e-6, "step": 1e-6, "step_best": 1e-6, "rho_one": 1e-4, "rho": 1e-4, "stationarity": 1e-8}
#: The measures of disagreement.
MEASURES = ("gap", "apart")
TOGETHER = "together"
#: Edits on either side of a label without which a scenario has no AUC.
FEWEST = 10
DRAWS = 2000
USEFUL = 0.7
CELL = ["scenario", "class", "mr", "steps", "method"]


def read(folder: Path = FOLDER) -> pd.DataFrame:
    """All edits, one row each: where they belong, `COLUMNS`, `MEASURES` and `FIGURES`."""
    rows = []
    for name in SCENARIOS:
        path = folder / f"{name}.jsonl"
        for line in path.read_text().splitlines() if path.exists() else ():
            number, forget_class, mr, steps, told = json.loads(line)
            cell = {"scenario": name, "network": number, "class": forget_class, "mr": mr, "steps": steps}
            cell |= {"theta": told["theta"], "original": told["original"], "retrain": np.mean(told["retrain"])}
            cell |= {"spread": np.ptp(told["retrain"]), "seconds": told["seconds"] / len(told["edits"])}
            rows += [{**cell, "method": edit[0], **dict(zip(COLUMNS, edit[1:], strict=True))} for edit in told["edits"]]
    return figured(pd.DataFrame(rows))


def figured(edits: pd.DataFrame) -> pd.DataFrame:
    """The edits with `MEASURES` and `FIGURES`.

    ``residual``: of the solve, relative; ``curvature``: Rayleigh quotient of the step, relative to the σ_max that the
    solves of the same removal found; ``negative``: whether it is below 0; ``step``: ‖Δ‖/‖θ̂‖; ``step_best``: s times
    that; ``rho_one`` and ``rho``: |ρ − 1| at s = 1 and the best s; ``stationarity``: ‖∇L_D + μθ̂‖/‖g‖; ``seeds``: mean
    difference of the score to the same edits of the scenario's other networks. Missing where it does not exist.
    """
    edits = edits.astype(dict.fromkeys(COLUMNS, float))
    top = edits.groupby(["scenario", "network", "class", "mr", "steps"])["sigma_max"].transform("max")
    score = edits["score"].fillna(0.0)
    rayleigh = edits["curvature"] / (edits["norm_ratio"] * edits["theta"]) ** 2
    return edits.assign(
        gap=(score - edits["retrain"]).abs(),
        residual=edits["relative_residual"],
        negative=(edits["curvature"] < 0).astype(float),
        curvature=rayleigh.where(edits["norm_ratio"] > 0) / top,
        step=edits["norm_ratio"],
        step_best=edits["scalar"] * edits["norm_ratio"],
        rho_one=(edits["rho_one"] - 1).abs(),
        rho=(edits["rho"] - 1).abs(),
        seeds=score.groupby([edits[name] for name in CELL]).transform(_to_others),
    )


def _to_others(scores: pd.Series[float]) -> pd.Series[float]:
    """Mean |difference| of each to all others; missing for one alone."""
    values = scores.to_numpy()
    far = np.abs(values[:, None] - values[None, :]).sum(1)
    return pd.Series(far / (len(values) - 1) if len(values) > 1 else math.nan, index=scores.index)


def auc(figure: Floats, wrong: Bools) -> float:
    """The probability that an edit that disagrees has a larger figure than one that does not, ties counting half.

    Args:
        figure: (n,), finite.
        wrong: (n,), whether it disagrees.

    Returns:
        0 … 1; NaN if all of them, or none, disagree.
    """
    bad, good = figure[wrong], figure[~wrong]
    if not len(bad) or not len(good):
        return math.nan
    ordered = np.sort(good)
    below, upto = (np.searchsorted(ordered, bad, side) for side in ("left", "right"))
    return float((below + upto).sum() / (2 * len(bad) * len(good)))


def labelled(edits: pd.DataFrame, measure: str) -> dict[str, Bools]:
    """For each scenario left out: whether each edit (of all scenarios) disagrees, by the median of the others."""
    values = edits[measure].to_numpy()
    return {
        name: values > np.median(values[(edits["scenario"] != name).to_numpy()]) for name in edits["scenario"].unique()
    }


def within(edits: pd.DataFrame, figure: Floats, wrong: Bools, names: Iterable[str]) -> list[float]:
    """AUCs inside scenarios, over the edits that have the figure; those with fewer than `FEWEST` on a side are out."""
    found = []
    for name in names:
        here = (edits["scenario"] == name).to_numpy() & np.isfinite(figure)
        if min(wrong[here].sum(), (~wrong[here]).sum()) >= FEWEST:
            found.append(auc(figure[here], wrong[here]))
    return found


def held_out(edits: pd.DataFrame, measure: str) -> tuple[pd.DataFrame, dict[str, Bools]]:
    """What each figure, and all of them together, predict of the scenario that they were not fitted on.

    Returns:
        A column per figure, directed so that larger means disagreement (NaN where an edit lacks it), and the labels of
        `labelled`.
    """
    labels = labelled(edits, measure)
    predicted = pd.DataFrame(math.nan, index=edits.index, columns=[*FIGURES, TOGETHER])
    for name, wrong in labels.items():
        here = (edits["scenario"] == name).to_numpy()
        others = [other for other in labels if other != name]
        for figure in FIGURES:
            values = edits[figure].to_numpy()
            side = 1.0 if direction(edits, figure, wrong, others) else -1.0
            predicted.loc[here, figure] = side * values[here]
        predicted.loc[here, TOGETHER] = together(edits, wrong, ~here)[here]
    return predicted, labels


def direction(edits: pd.DataFrame, figure: str, wrong: Bools, names: Iterable[str]) -> bool:
    """Whether a larger figure means disagreement in the mean of these scenarios."""
    known = within(edits, edits[figure].to_numpy(), wrong, names)
    return bool(np.mean(known) >= 0.5) if known else True


def together(edits: pd.DataFrame, wrong: Bools, fit: Bools) -> Floats:
    """Log odds of disagreement by logistic regression fitted on some edits, for all edits, (n,)."""
    from sklearn.linear_model import LogisticRegression

    columns = []
    for name in FIGURES:
        values = edits[name].to_numpy()
        if name in SKEWED:
            values = np.log10(np.maximum(values, SKEWED[name]))
        values = np.where(np.isfinite(values), values, np.nanmedian(np.where(np.isfinite(values), values, np.nan)[fit]))
        spread = values[fit].std()
        columns.append((values - values[fit].mean()) / (spread or 1.0))
    x = np.stack(columns, 1)
    fitted = LogisticRegression(class_weight="balanced", max_iter=1000).fit(x[fit], wrong[fit])
    return np.asarray(fitted.decision_function(x))


def measure_aucs(edits: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Held-out AUCs of every figure: in every scenario, their mean, and its interval."""
    predicted, labels = held_out(edits, measure)
    rows = []
    for figure in predicted.columns:
        pairs = {name: _pairs(edits, predicted[figure].to_numpy(), labels[name], name) for name in labels}
        known = {name: pair for name, pair in pairs.items() if pair is not None}
        each = {name: _weighted(*pair, np.ones((1, len(pair[1]))))[0] for name, pair in known.items()}
        low, high = _interval(known)
        mean = float(np.mean(list(each.values()))) if each else math.nan
        sides = (
            [direction(edits, figure, labels[name], set(labels) - {name}) for name in labels]
            if (figure != TOGETHER)
            else [True]
        )
        larger = float(np.mean(sides))  # share of the scenarios left out for which the others say so
        row = {"figure": figure, "larger": larger, "auc": mean, "low": low, "high": high, "scenarios": len(each)}
        rows.append({**row, "worst": min(each.values(), default=math.nan), **each})
    return pd.DataFrame(rows)


def _pairs(edits: pd.DataFrame, figure: Floats, wrong: Bools, name: str) -> Pairs | None:
    """Inside one scenario, by (network, class) groups: won comparisons (g, g), disagreeing (g,) and agreeing (g,)."""
    here = (edits["scenario"] == name).to_numpy() & np.isfinite(figure)
    if min(wrong[here].sum(), (~wrong[here]).sum()) < FEWEST:
        return None
    values, bad = figure[here], wrong[here]
    group = edits[here].groupby(["network", "class"]).ngroup().to_numpy()
    count = group.max() + 1
    member = np.eye(count)[group]
    won = (values[bad][:, None] > values[~bad][None, :]) + 0.5 * (values[bad][:, None] == values[~bad][None, :])
    return member[bad].T @ won @ member[~bad], member[bad].sum(0), member[~bad].sum(0)


def _weighted(won: Floats, bad: Floats, good: Floats, weights: Floats) -> Floats:
    """AUCs with the groups weighted: weights (d, g) → (d,)."""
    size = (weights @ bad) * (weights @ good)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.einsum("dg,gh,dh->d", weights, won, weights) / size)


def _interval(known: dict[str, Pairs]) -> tuple[float, float]:
    """2.5 and 97.5 % of the mean AUC over drawn scenarios with drawn groups."""
    if len(known) < 2:
        return math.nan, math.nan
    random = np.random.default_rng(0)
    drawn = []
    for won, bad, good in known.values():
        weights = random.multinomial(len(bad), np.full(len(bad), 1 / len(bad)), DRAWS).astype(float)
        drawn.append(_weighted(won, bad, good, weights))
    values = np.stack(drawn, 1)  # (draws, scenarios); NaN where a draw has one side only
    chosen = np.take_along_axis(values, random.integers(0, len(known), values.shape), 1)
    low, high = np.nanquantile(np.nanmean(chosen, 1), (0.025, 0.975))
    return float(low), float(high)


def split(figure: Floats, wrong: Bools) -> float:
    """The threshold above which edits are best told to disagree: largest sensitivity + specificity (Youden)."""
    known = np.isfinite(figure)
    bad, good = np.sort(figure[known & wrong]), np.sort(figure[known & ~wrong])
    tried = np.unique(figure[known])
    caught, alarms = (1 - np.searchsorted(side, tried, "right") / len(side) for side in (bad, good))
    return float(tried[int(np.argmax(caught - alarms))])


def shares(edits: pd.DataFrame, figure: str, measure: str) -> dict[str, float]:
    """The threshold of a figure, and how many edits disagree on its two sides in scenarios that it was not chosen on.

    Returns:
        ``threshold`` (of all scenarios), ``above`` and ``below`` (held-out shares in %), ``edits`` (their number), and
        ``bound``: the median of the measure over all edits, above which an edit disagrees.
    """
    values, labels = edits[figure].to_numpy(), labelled(edits, measure)
    bound = float(np.median(edits[measure]))
    all_wrong = edits[measure].to_numpy() > bound
    larger = direction(edits, figure, all_wrong, labels)
    sign = 1.0 if larger else -1.0
    counts = np.zeros((2, 2))
    for name, wrong in labels.items():
        here = (edits["scenario"] == name).to_numpy()
        at = split(sign * values[~here], wrong[~here])
        known = here & np.isfinite(values)
        for far in (0, 1):
            side = known & ((sign * values > at) == bool(far))
            counts[far] += wrong[side].sum(), side.sum()
    share = 100 * counts[:, 0] / np.maximum(counts[:, 1], 1)
    worse, better = ("above", "below") if larger else ("below", "above")
    return {
        "threshold": sign * split(sign * values, all_wrong),
        worse: float(share[1]),
        better: float(share[0]),
        "edits": float(counts[:, 1].sum()),
        "bound": bound,
    }


def useful(row: Mapping[str, Any]) -> bool:
    """Whether the panels may say that a figure predicts."""
    return bool(row["auc"] >= USEFUL and row["low"] > 0.5)


def constants(edits: pd.DataFrame) -> dict[str, Any]:
    """What the panels say, as plain values rounded to what they print."""
    told: dict[str, Any] = {
        "edits": len(edits),
        "scenarios": int(edits["scenario"].nunique()),
        "networks": len(edits[["scenario", "network"]].drop_duplicates()),
        "useful": USEFUL,
    }
    for measure in MEASURES:
        table = measure_aucs(edits, measure)
        figures = []
        for row in table.to_dict("records"):
            known = {
                "figure": row["figure"],
                "larger": row["larger"] >= 0.5,
                "agreed": row["larger"] in (0, 1),
                "scenarios": int(row["scenarios"]),
            }
            known |= {name: round(float(row[name]), 3) for name in ("auc", "low", "high", "worst")}
            known["useful"] = useful(row)
            if row["figure"] != TOGETHER:
                known |= {k: float(f"{v:.3g}") for k, v in shares(edits, str(row["figure"]), measure).items()}
                known["edits"] = int(np.isfinite(edits[row["figure"]]).sum())
            figures.append(known)
        told[measure] = figures
    return told


@main.command()
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=FOLDER, help="of the lines")
def tables(folder: Path) -> None:
    """What was collected, and the held-out AUCs."""
    edits = read(folder)
    click.echo(collection(edits).to_string(float_format=_number))
    for measure in MEASURES:
        click.echo(f"\n## {measure}\n")
        table = measure_aucs(edits, measure)
        click.echo(table.assign(useful=table.apply(useful, axis=1)).T.to_string(float_format=_number))
        kept = pd.DataFrame({name: shares(edits, name, measure) for name in FIGURES})
        click.echo(kept.T.to_string(float_format=_number))


def collection(edits: pd.DataFrame) -> pd.DataFrame:
    """Per scenario: edits, scores, how they disagree, and the processor time, trainings included."""
    groups = edits.groupby("scenario", sort=False)
    return pd.DataFrame(
        {
            "edits": groups.size(),
            "retrained": groups["retrain"].mean(),
            "spread": groups["spread"].mean(),
            "edited": groups["score"].mean(),
            **{measure: groups[measure].median() for measure in MEASURES},
            "stationarity": groups["stationarity"].median(),
            "seconds": groups["seconds"].sum(),
        }
    )


@main.command()
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=FOLDER, help="of the lines")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=SAID, help="file of the package")
def write(folder: Path, out: Path) -> None:
    """Write what the panels say."""
    out.write_text(json.dumps(constants(read(folder)), indent=1) + "\n")


@main.command()
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default="gauge.svg", show_default=True)
def figure(out: Path) -> None:
    """Draw what `write` has written, as SVG."""
    out.write_text(drawing(json.loads(SAID.read_text())))


@main.command()
def page() -> None:
    """Print the tables of docs/gauge.md, as Markdown, from what `write` has written."""
    told = json.loads(SAID.read_text())
    click.echo("\n\n".join([*(markdown(told, measure) for measure in MEASURES), collected(read())]))


def collected(edits: pd.DataFrame) -> str:
    """The collection as a table of docs/gauge.md."""
    lines = [
        "| scenario | network | networks × classes | edits | score, retrained | score, edited | score gap, median | "
        "answers apart, median | stationarity, median | processor time, s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    table = collection(edits)
    for name, row in table.iterrows():
        networks, classes = SCENARIOS[str(name)]
        shape = "the package's CNN"
        if name in SMALL:
            data, hidden, recipe = SMALL[str(name)]
            widths = "-".join(map(str, hidden)) or "none"
            shape = f"{data.replace('_', ' ')}, hidden {widths}, {recipe.epochs} epochs, decay {recipe.weight_decay:g}"
        numbers = [f"{row[key]:.2f}" for key in ("retrained", "edited", *MEASURES)]
        lines.append(
            f"| {name} | {shape} | {networks} × {len(classes)} | {row['edits']:.0f} | {' | '.join(numbers)} | "
            f"{row['stationarity']:.2g} | {row['seconds']:.0f} |"
        )
    total = f"| all | | | {len(edits)} | | | | | | {table['seconds'].sum():.0f} |"
    return "\n".join([*lines, total])


def markdown(told: Mapping[str, Any], measure: str) -> str:
    """The held-out AUCs of a measure as a table of docs/gauge.md."""
    lines = [
        "| figure | disagree where it is | held-out AUC | 95 % interval | worst scenario | "
        "disagree above / below (threshold), % |",
        "|---|---|---|---|---|---|",
    ]
    for row in told[measure]:
        split_ = (
            "| " if row["figure"] == TOGETHER else f"{row['above']:.0f} / {row['below']:.0f} ({row['threshold']:g})"
        )
        side = "" if row["figure"] == TOGETHER else "larger" if row["larger"] else "smaller"
        side = side if row["agreed"] else "varies"
        numbers = f"{row['auc']:.2f} | {row['low']:.2f} … {row['high']:.2f} | {row['worst']:.2f}"
        title = TITLES[row["figure"]].replace("|", "\\|")
        lines.append(f"| {title} | {side} | {numbers} | {split_.removeprefix('| ')} |")
    return "\n".join(lines)


def drawing(told: Mapping[str, Any]) -> str:
    """AUCs with their intervals, one row per figure, a column per measure."""
    left, wide, gap, high, top = 300, 270, 40, 26, 60
    bottom = top + high * len(told[MEASURES[0]])
    total = (left + 2 * wide + gap + 20, bottom + 50)
    heads = {"gap": "score off retraining's", "apart": "answers differ from retraining's"}
    parts = [f'<rect width="{total[0]}" height="{total[1]}" fill="#fff"/>']
    for place, row in enumerate(told[MEASURES[0]]):
        y = top + high * (place + 0.5) + 4
        title = escape(TITLES[row["figure"]].removeprefix("the "))
        parts.append(f'<text x="{left - 14}" y="{y}" text-anchor="end">{title}</text>')
    for column, measure in enumerate(MEASURES):
        start = left + column * (wide + gap)

        def across(value: float, start: float = start) -> float:
            return start + wide * (value - 0.2) / 0.8

        parts.append(f'<text x="{start}" y="28" font-weight="600">{heads[measure]}</text>')
        parts += [
            f'<text x="{across(tick / 10):.1f}" y="{bottom + 18}" text-anchor="middle">{tick / 10:.1f}</text>'
            for tick in range(2, 11)
        ]
        for value, name, dash in ((0.5, "chance", ""), (told["useful"], "useful", "5 4")):
            x = f"{across(value):.1f}"
            parts.append(f'<path d="M{x},{top - 6}V{bottom}" stroke="#767676" stroke-dasharray="{dash}"/>')
            parts.append(f'<text x="{x}" y="{top - 12}" text-anchor="middle" fill="#595959">{name}</text>')
        for place, row in enumerate(told[measure]):
            y = top + high * (place + 0.5)
            low, middle, end = (min(max(row[name], 0.2), 1.0) for name in ("low", "auc", "high"))
            colour = "#0072B2" if row["low"] > 0.5 else "#767676"
            parts.append(f'<path d="M{across(low):.1f},{y}H{across(end):.1f}" stroke="{colour}" stroke-width="2"/>')
            parts.append(f'<circle cx="{across(middle):.1f}" cy="{y}" r="4.5" fill="{colour}"/>')
        parts.append(f'<path d="M{start},{bottom}h{wide}" stroke="#767676"/>')
        parts.append(f'<text x="{start}" y="{bottom + 38}" fill="#595959">held-out AUC, 95 % interval</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total[0]} {total[1]}" width="{total[0]}" '
        f'height="{total[1]}" font-family="sans-serif" font-size="13" fill="none"><g fill="#000">'
        f"{''.join(parts)}</g></svg>\n"
    )


def _number(value: float) -> str:
    return f"{value:.3g}"


if __name__ == "__main__":
    main()
