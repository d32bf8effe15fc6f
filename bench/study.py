"""Which default is robust? Step counts, damping and cheaper curvature against score, retraining and trust.

    python bench/study.py run --scenario digits-cnn --part tune
    python bench/study.py run --scenario digits-cnn --part report --series 0.5,2,7
    python bench/study.py run --scenario mnist-cnn --part tune --few
    python bench/study.py run --scenario mnist-cnn --part report --few --series 2
    python bench/study.py tables

`run` appends one JSON line per edit to ``study-SCENARIO-PART.jsonl`` and goes on where it stopped. Tuning uses classes
0–4 and seeds 0–2, reporting classes 5–9 and seeds 3–5, which nothing was chosen on. The seed is of the selection and of
both samples; the network is the scenario's one. Scores are of one half of the test images at the s chosen on the other
half, as in the product. docs/study.md is written from `tables`.
"""

from __future__ import annotations

import itertools
import json
import math
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import click
import pandas as pd
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from torch import Tensor
from torch.func import functional_call, grad, vmap

from gif_dash.experiments.metrics import answers, removal_score
from gif_dash.experiments.provenance import Stopwatch
from gif_dash.experiments.removal import Removal
from gif_dash.experiments.sweep import TestImages, coarse_scalars, fine_scalars
from gif_dash.influence import Risk, landing, quadratic_model, trust_ratio
from gif_dash.influence.bidiagonal import Bidiagonal
from gif_dash.influence.curvature import Curvature
from gif_dash.influence.errors import no_tick
from gif_dash.influence.estimators import method_system
from gif_dash.influence.gauss_newton import GaussNewton
from gif_dash.influence.published import restart_search
from gif_dash.influence.symmetric import minres
from gif_dash.influence.systems import System
from gif_dash.progress import Silent
from gif_dash.scenarios import Prepared, load
from gif_dash.specs import RemovalSpec

Kept = set[tuple[int, float]] | None
Look = tuple[str, str]  # symbol and colour

METHODS = ("gif", "fif", "pif")
RATIOS = (5.0, 10.0, 30.0, 50.0)
PARTS = {"tune": (range(5), range(3)), "report": (range(5, 10), range(3, 6))}
STEPS = (1, 2, 3, 5)
DAMPINGS = (0.0, 0.01, 0.03, 0.1, 0.3)
#: Scores below this are not drawn.
LOWEST = 0.5
#: Products of the paper's series that the default is held against.
BUDGET = 60
#: Edits whose trust ratio is measured.
TRUST = {("hessian", 0.0), ("hessian", 0.1), ("gradient step", 0.0)}
#: Test images of a sweep: all of digits-cnn's. With fewer candidates also fewer images, and every second scalar.
SWEEP_IMAGES, FEW_IMAGES = 1000, 600


@dataclass
class Edit:
    """A candidate's solution of its system, see `Bench.place`, and what it took."""

    name: str
    steps: int
    damping: float
    x: Tensor
    products: int
    seconds: float
    status: str


class Bench:
    """One trained network, one class, one seed, one MR: the systems of the three methods, solved and measured."""

    def __init__(
        self, prepared: Prepared, forget_class: int, seed: int, mr: float, samples: int = 1024, few: bool = False
    ) -> None:
        spec = RemovalSpec(
            scenario=prepared.scenario.name,
            forget_classes=(forget_class,),
            seed=seed,
            mr=mr,
            curvature_samples=samples,
            forget_samples=samples,
            sweep_samples=FEW_IMAGES if few else SWEEP_IMAGES,
        )
        self.stride = 2 if few else 1
        self.prepared, self.spec = prepared, spec
        self.removal = Removal(spec, prepared, Silent(), Stopwatch(Silent()))
        self.selection, self.gradient = self.removal.system()
        self.images = TestImages.all(prepared.test_labels, (forget_class,), "held-out").sampled(
            spec.sweep_samples, seed
        )

    def system(self, method: str, operator: Curvature | None = None) -> System:
        hessian = operator or self.removal.hessian
        return method_system(method, hessian, self.gradient, self.selection.indices, no_tick)  # type: ignore[arg-type]

    def place(self, method: str, x: Tensor) -> Tensor:
        """A solution as a displacement of all parameters."""
        delta = torch.zeros_like(self.gradient)
        chosen = self.selection.indices
        delta[chosen] = x[chosen] if method == "pif" else x
        return delta

    def measure(self, delta: Tensor, trust: bool) -> dict[str, Any]:
        """Best s on one half of the images, score there on the other; distance to the retrained parameters; trust."""
        removal, prepared = self.removal, self.prepared
        loss, images = prepared.scenario.loss, self.images
        scores: dict[float, tuple[float, float, float, float]] = {}

        def score(s: float) -> None:
            removal.index.assign(removal.canvas, removal.theta + s * delta)
            told = answers(removal.canvas, loss, prepared.test, images.indices, lambda: None)
            halves = []
            for where in (images.choose, images.report):
                kept, gone = told.accuracy(where & ~images.gone), told.accuracy(where & images.gone)
                halves.append((removal_score(kept, gone), kept, gone))
            scores[s] = (halves[0][0], *halves[1])

        coarse = [s for s in coarse_scalars(self.spec.s_max) if s >= 1][:: self.stride]  # nothing is forgotten below
        for s in coarse:
            score(s)
        rough = min(coarse, key=lambda s: (-scores[s][0], s))
        for s in fine_scalars(coarse, rough):
            score(s)
        best = min(scores, key=lambda s: (-scores[s][0], s))
        _, reported, kept, gone = scores[best]
        found: dict[str, Any] = {"s": best, "score": reported, "test_accuracy": kept, "self_accuracy": gone}
        found["norm_ratio"] = float(delta.norm() / removal.theta.norm())
        if trust:
            quadratic = quadratic_model(removal.hessian, delta, gradient=self.slope, losses=self.losses)
            for mark, s in (("one", 1.0), ("best", best)):
                found[f"rho_{mark}"] = trust_ratio(quadratic, s, population=len(removal.retain)).rho
        for kind, retrained in self.retrained.items():
            for mark, s in (("one", 1.0), ("best", best)):
                there = landing(removal.theta, delta, s, retrained)
                found[f"{kind}_{mark}"] = there.distance / there.distance_original
            found[f"{kind}_cosine"] = there.cosine
        return found

    @contextmanager
    def open(self) -> Iterator[Bench]:
        """Keep what all candidates share."""
        removal = self.removal
        with removal:
            risk = removal.hessian.risk
            self.slope, self.losses = risk.gradient(), risk.losses()
            self.retrained = {}
            for kind in ("cold", "warm"):
                if self.prepared.has_reference(removal.forget, kind, 0):
                    state = self.prepared.reference(removal.forget, kind, 0, Silent()).state
                    self.retrained[kind] = removal.index.vector(self.prepared.network(state))
            yield self


def krylov(name: str, system: System, scale: Tensor | None = None) -> Iterator[Edit]:
    """All step counts and dampings from one bidiagonalisation."""
    space = Bidiagonal(system)
    started, seconds = time.perf_counter(), []
    for k in STEPS:
        space.extend(k)
        seconds.append(time.perf_counter() - started)
    for k, spent in zip(STEPS, seconds, strict=True):
        for damping in DAMPINGS if k > 1 else DAMPINGS[:1]:  # one step: damping only shortens it
            found = space.solution(damping, k)
            x = found.x if scale is None else found.x * scale
            yield Edit(name, k, damping, x, 1 + 2 * k, spent, found.status)


def published(bench: Bench, method: str, steps: tuple[float, ...]) -> Iterator[Edit]:
    """The paper's series in at most `BUDGET` products, those of the search for its constant counted.

    Its constant grows by a step that the authors chose per network (0.5 to 7). Where no run of the search is under way
    that has not grown, the best that as many products of MINRES (symmetric systems) and CGLS give stands in.
    """
    found = False
    for step in steps:
        system = bench.system(method)
        left, latest = [BUDGET], [torch.zeros(system.columns)]

        def limited(product: Callable[[Tensor], Tensor], left: list[int] = left) -> Callable[[Tensor], Tensor]:
            def apply(x: Tensor) -> Tensor:
                if not left[0]:
                    raise _Spent
                left[0] -= 1
                return product(x)

            return apply

        def told(k: int, x: Tensor, latest: list[Tensor] = latest) -> None:
            latest[0], latest[1:] = x, [torch.tensor(k)]

        counted = replace(system, apply=limited(system.apply), adjoint=limited(system.adjoint))
        watch = _Watch(bench)
        with suppress(_Spent):
            restart_search(counted, BUDGET, step, on_iterate=told)
        terms = int(latest[-1])
        status = "stopped" if terms > 2 else "searching"  # the test comes after every second term
        found |= status == "stopped"
        yield watch.edit(f"series {step:g}", terms, latest[0], status)
    if found:
        return
    system, watch = bench.system(method), _Watch(bench)
    space = Bidiagonal(system)
    space.extend((BUDGET - 1) // 2)
    answer = space.solution()
    yield watch.edit("CGLS", answer.iterations, answer.x, answer.status)
    if system.symmetric:
        watch = _Watch(bench)
        answer = minres(system, BUDGET - 1)
        yield watch.edit("MINRES", answer.iterations, answer.x, answer.status)


@dataclass
class Shared:
    """What the MRs of a class and seed have in common.

    Attributes:
        cell: class and seed.
        projected: PIF's solutions, of all parameters, and so of every selection.
        diagonal: of the empirical Fisher matrix.
    """

    cell: tuple[int, int] | None = None
    projected: list[Edit] = field(default_factory=list)
    diagonal: Tensor | None = None

    def of(self, forget_class: int, seed: int) -> Shared:
        """Itself, emptied if it was about another class or seed."""
        if self.cell != (forget_class, seed):
            self.cell, self.projected, self.diagonal = (forget_class, seed), [], None
        return self


class _Watch:
    """Products and seconds since it was made."""

    def __init__(self, bench: Bench) -> None:
        self._hessian = bench.removal.hessian
        self._products, self._started = self._hessian.products, time.perf_counter()

    def edit(self, name: str, steps: int, x: Tensor, status: str) -> Edit:
        seconds = time.perf_counter() - self._started
        return Edit(name, steps, 0.0, x, self._hessian.products - self._products, seconds, status)


class _Spent(Exception):
    """The products are used up."""


def fisher_diagonal(risk: Risk) -> Tensor:
    """Mean squared per-example gradients plus weight decay, (p,): the diagonal of the empirical Fisher matrix."""
    model = risk.model.eval()
    names = [name for name, value in model.named_parameters() if value.requires_grad]
    parameters = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}
    buffers = dict(model.named_buffers())

    def loss(theta: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return risk.loss(functional_call(model, (theta, buffers), (x[None],)), y[None], reduction="none")[0]

    per_example: Callable[..., dict[str, Tensor]] = vmap(grad(loss), (None, 0, 0))
    total: Tensor | None = None
    for chunk in torch.split(risk.indices, 64):
        inputs, targets = risk.examples.batch(chunk)
        found = per_example(parameters, inputs, targets)
        squares = torch.cat([found[name].square().sum(0).flatten() for name in names])
        total = squares if total is None else total + squares
    assert total is not None
    return total / risk.size


def preconditioned(system: System, diagonal: Tensor) -> tuple[System, Tensor]:
    """The system in the variables z = x/w, w = (d + mean d)^(−½): columns of a similar size; x = w·z."""
    w = (diagonal + diagonal.mean()).rsqrt()
    scaled = replace(
        system,
        apply=lambda z: system.apply(w * z),
        adjoint=lambda r: w * system.adjoint(r),
        symmetric=False,
    )
    return scaled, w


def edits(
    bench: Bench,
    method: str,
    cheaper: Bench,
    diagonal: Tensor | None,
    kept: Kept,
    variants: frozenset[str],
    series: tuple[float, ...],
) -> Iterator[Edit]:
    """All candidates of a method; the diagonal is needed by one variant only."""
    for edit in krylov("hessian", bench.system(method)):
        if kept is None or (edit.steps, edit.damping) in kept:
            yield edit
    made: list[tuple[str, System, Tensor | None]] = []
    if "256 samples" in variants:
        made.append(("256 samples", cheaper.system(method), None))
    if "gauss-newton" in variants:
        made.append(("gauss-newton", bench.system(method, GaussNewton(bench.removal.hessian.risk)), None))
    if diagonal is not None:
        made.append(("preconditioned", *preconditioned(bench.system(method), _columns(bench, method, diagonal))))
    variants_kept = REPORTED if series else VARIANTS
    for name, system, scale in made:
        for edit in krylov(name, system, scale):
            if (edit.steps, edit.damping) in variants_kept and (kept is None or edit.damping == 0):
                yield edit
    if method == "gif":  # the gradient step is the same for all
        yield Edit("gradient step", 0, 0.0, bench.gradient[bench.selection.indices], 0, 0.0, "explicit")
    if series:
        yield from published(bench, method, series)


#: The default of the product: candidate, steps, damping.
DEFAULT = ("hessian", 5, 0.0)
#: What is measured of the exact Hessian, (steps, damping), if not everything; and of the variants.
KEPT = {(1, 0.0), (3, 0.0), (5, 0.0), (5, 0.03), (5, 0.1)}
VARIANTS = {(k, c) for k in (1, 3, 5) for c in (0.0, 0.03)}
#: In the report: the default, and what may win over it. One step has lost.
REPORTED = {(3, 0.0), (5, 0.0)}
#: The variants by what they cost to measure; the last of them, the one that tuning left standing, is reported on.
CHEAP, DEAR = frozenset({"256 samples"}), frozenset({"256 samples", "gauss-newton", "preconditioned"})
STANDING = frozenset({"preconditioned"})


def _columns(bench: Bench, method: str, diagonal: Tensor) -> Tensor:
    return diagonal if method == "pif" else diagonal[bench.selection.indices]


@click.group()
def main() -> None:
    """The study behind the default solver."""


@main.command()
@click.option("--scenario", default="digits-cnn", show_default=True)
@click.option("--part", type=click.Choice(list(PARTS)), default="tune", show_default=True)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=".", help="folder of the lines")
@click.option("--references", is_flag=True, help="train missing cold and warm references first")
@click.option("--series", default="", metavar="STEPS", help="measure the paper's series with these search steps, too")
@click.option(
    "--few",
    is_flag=True,
    help="fewer candidates and images, dear variants with one seed: for slow networks",
)
@click.option("--threads", default=1, show_default=True)
@click.option("--seed", "only", type=int, multiple=True, help="this seed only (repeatable): to share out the work")
def run(
    scenario: str, part: str, out: Path, references: bool, series: str, few: bool, threads: int, only: tuple[int, ...]
) -> None:
    """Measure all candidates; goes on where it stopped. The seeds are gone through one after the other."""
    torch.set_num_threads(threads)
    prepared = load(scenario, Silent())
    path = out / f"study-{scenario}-{part}.jsonl"
    done = {tuple(json.loads(line)[:4]) for line in path.read_text().splitlines()} if path.exists() else set()
    kept = None if part == "tune" and not few else KEPT if part == "tune" else {DEFAULT[1:]}
    steps = tuple(map(float, filter(None, series.split(","))))
    classes, seeds = PARTS[part]
    shared = Shared()
    for seed, forget_class, mr in itertools.product(seeds, classes, RATIOS):
        key = (scenario, forget_class, seed, mr)
        if key in done or seed not in (only or seeds):
            continue
        if references:
            for kind in ("cold", "warm"):
                prepared.reference(prepared.forget((forget_class,)), kind, 0, Silent())  # type: ignore[arg-type]
        started = time.perf_counter()
        variants = STANDING if part == "report" else CHEAP if few and seed > seeds[0] else DEAR
        rows = list(_measure(prepared, forget_class, seed, mr, kept, variants, steps, few, shared))
        with path.open("a") as file:
            file.write(json.dumps([*key, rows]) + "\n")
        seconds = time.perf_counter() - started
        click.echo(f"{scenario} seed {seed} class {forget_class} MR {mr:g}: {seconds:.0f} s")


def _measure(
    prepared: Prepared,
    forget_class: int,
    seed: int,
    mr: float,
    kept: Kept,
    variants: frozenset[str],
    series: tuple[float, ...],
    few: bool,
    shared: Shared,
) -> Iterator[dict[str, Any]]:
    """The rows of a cell."""
    with Bench(prepared, forget_class, seed, mr, few=few).open() as bench:
        cheaper = Bench(prepared, forget_class, seed, mr, samples=256)
        cheaper.selection = bench.selection
        here = shared.of(forget_class, seed)
        if "preconditioned" in variants and here.diagonal is None:
            here.diagonal = fisher_diagonal(bench.removal.hessian.risk)
        with cheaper.removal:
            for method in METHODS:
                made: Iterable[Edit] = edits(bench, method, cheaper, here.diagonal, kept, variants, series)
                if method == "pif":  # solved for all parameters, so for all MRs at once
                    made = here.projected = here.projected or list(made)
                for edit in made:
                    delta = bench.place(method, edit.x)
                    measured = bench.measure(delta, (edit.name, edit.damping) in TRUST)
                    yield {
                        "method": method,
                        "candidate": edit.name,
                        "steps": edit.steps,
                        "damping": edit.damping,
                        "products": edit.products,
                        "seconds": edit.seconds,
                        "status": edit.status,
                        **{name: None if math.isnan(value) else value for name, value in measured.items()},
                    }


@main.command()
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=".", help="where the lines are")
def tables(folder: Path) -> None:
    """Mean and worst score of every candidate, and the default against the paper's series."""
    for part in PARTS:
        lines = read(folder, part)
        if len(lines):
            click.echo(f"\n## {part}\n")
            click.echo(summary(lines).to_string(index=False, float_format=_number))
    lines = read(folder, "report")
    if len(lines):
        click.echo("\n## the default against the series\n")
        click.echo(against_series(lines, DEFAULT).to_string(index=False, float_format=_number))


def read(folder: Path, part: str) -> pd.DataFrame:
    """All measured edits of a part, one row each."""
    rows = []
    for path in sorted(folder.glob(f"study-*-{part}.jsonl")):
        for line in path.read_text().splitlines():
            scenario, forget_class, seed, mr, edits_ = json.loads(line)
            cell = {"scenario": scenario, "class": forget_class, "seed": seed, "mr": mr}
            rows += [{**cell, **row} for row in edits_]
    return pd.DataFrame(rows)


@main.command()
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), default=".", help="where the lines are")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default="study.svg", show_default=True)
@click.option("--browser", default="chromium", show_default=True, help="executable of Chromium, which draws the file")
def figure(folder: Path, out: Path, browser: str) -> None:
    """Mean and worst score of the tuning part against products and against seconds, as SVG."""
    from playwright.sync_api import sync_playwright

    picture = drawing(read(folder, "tune"))
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=shutil.which(browser), args=["--no-sandbox"]).new_page()
        page.set_content(picture.to_html(include_plotlyjs=True, full_html=True))
        page.wait_for_selector(".main-svg")
        image = page.evaluate(
            "() => Plotly.toImage(document.querySelector('.js-plotly-plot'), {format: 'svg', width: 960, height: 800})"
        )
    out.write_text(unquote(image.partition(",")[2]))


def drawing(lines: pd.DataFrame) -> go.Figure:
    """A row per scenario. Left: step counts and dampings of the exact Hessian; right: cheaper curvature and time."""
    tables = dict(list(summary(lines).groupby("scenario")))
    halves = ("exact Hessian: products of a solve", "cheaper curvature: seconds of a solve")
    picture = make_subplots(
        len(tables),
        2,
        subplot_titles=[f"{name}, {what}" for name in tables for what in halves],
        shared_yaxes=True,
        horizontal_spacing=0.04,
        vertical_spacing=0.12,
    )
    looks: dict[float, Look] = {
        0.0: ("circle", "#000000"),
        0.01: ("square", "#0072B2"),
        0.03: ("diamond", "#009E73"),
        0.1: ("triangle-up", "#D55E00"),
        0.3: ("x", "#CC79A7"),
    }
    marks: dict[str, Look] = {
        "hessian": ("circle", "#000000"),
        "gauss-newton": ("square-open", "#0072B2"),
        "256 samples": ("diamond", "#E69F00"),
        "preconditioned": ("star", "#56B4E9"),
    }
    for place, table in enumerate(tables.values(), start=1):
        exact = table[table["candidate"].isin(("hessian", "gradient step"))]
        for damping, rows in exact.groupby("damping"):
            rows = rows.sort_values("HVPs")
            label = "undamped" if not damping else f"damping {damping:g} σ_max"
            _points(picture, (place, 1), rows["HVPs"], rows, label, looks[float(damping)])
        for name, mark in marks.items():
            rows = table[(table["candidate"] == name) & (table["damping"] == 0) & (table["steps"] != 2)]
            label = name.replace("hessian", "exact, 1,024 samples")
            rows = rows.sort_values("HVPs")
            _points(picture, (place, 2), rows["seconds"], rows, label, mark)
        lowest = max(LOWEST, 0.99 * table["worst"].min())
        picture.update_yaxes(range=[lowest, 1.0], row=place)
        picture.update_yaxes(title_text="score (dotted: worst case)", row=place, col=1)
    picture.update_xaxes(type="log", col=2)
    picture.update_layout(template="simple_white", legend={"orientation": "h", "y": -0.08}, margin={"t": 40, "l": 60})
    return picture


def _points(
    picture: go.Figure, at: tuple[int, int], x: pd.Series[float], rows: pd.DataFrame, name: str, look: Look
) -> None:
    symbol, colour = look
    for of, dash in (("mean", "solid"), ("worst", "dot")):
        trace = go.Scatter(
            x=x,
            y=rows[of],
            name=name,
            legendgroup=name,
            showlegend=of == "mean" and at[0] == 1,
            mode="lines+markers",
            marker={"symbol": symbol, "size": 8},
            line={"color": colour, "dash": dash, "width": 1.5},
        )
        picture.add_trace(trace, *at)


def _number(value: float) -> str:
    return f"{value:.4g}"


CELL = ["scenario", "class", "seed", "mr", "method"]
CANDIDATE = ["candidate", "steps", "damping"]


def summary(lines: pd.DataFrame) -> pd.DataFrame:
    """Per scenario and candidate: mean and worst score of each method and of all, cost, distance to retraining."""
    lines = lines.assign(steps=lines["steps"].where(~lines["candidate"].str.contains("series|CGLS|MINRES"), 0))
    found = []
    for (scenario, *candidate), group in lines.groupby(["scenario", *CANDIDATE]):
        row = {"scenario": scenario, **dict(zip(CANDIDATE, candidate, strict=True))}
        for method in METHODS:
            scores = group.loc[group["method"] == method, "score"]
            row[f"{method} mean"], row[f"{method} worst"] = scores.mean(), scores.min()
        row |= {"mean": group["score"].mean(), "worst": group["score"].min(), "cells": len(group)}
        row |= {"HVPs": group["products"].median(), "seconds": group["seconds"].median()}
        for name in ("cold_best", "warm_best", "warm_one", "rho_one", "rho_best"):
            row[name] = group[name].astype(float).median() if name in group else math.nan
        found.append(row)
    return pd.DataFrame(found).sort_values(["scenario", "mean"], ascending=[True, False])


def against_series(lines: pd.DataFrame, default: tuple[str, int, float]) -> pd.DataFrame:
    """Default − series, cell by cell: mean difference with its standard error over classes, worst cases of both.

    The series has the one search step that does best on the scenario, over all its methods: authors choose it per
    network. It is chosen on the very scores that are compared, in the series' favour. Where it has not converged, the
    better of MINRES and CGLS stands in.
    """
    name, steps, damping = default
    ours = lines[(lines["candidate"] == name) & (lines["steps"] == steps) & (lines["damping"] == damping)]
    series = lines[lines["candidate"].str.contains("series")]
    means = series.groupby(["scenario", "candidate"])["score"].mean().unstack()
    series = series[series["candidate"] == series["scenario"].map(means.idxmax(axis=1))]
    stand_in = lines[lines["candidate"].isin(("MINRES", "CGLS"))].groupby(CELL)["score"].max()
    best = series.set_index(CELL)["score"].where(series.set_index(CELL)["status"] != "searching", stand_in)
    best = best.rename("series")
    pairs = ours.set_index(CELL).join(best, how="inner").reset_index()
    pairs["difference"] = pairs["score"] - pairs["series"]
    found = []
    for (scenario, method), group in [*pairs.groupby(["scenario", "method"]), *_all(pairs)]:
        classes = group.groupby("class")["difference"].mean()
        found.append(
            {
                "scenario": scenario,
                "method": method,
                "cells": len(group),
                "default mean": group["score"].mean(),
                "series mean": group["series"].mean(),
                "difference": group["difference"].mean(),
                "standard error": classes.std(ddof=1) / math.sqrt(len(classes)),
                "default worst": group["score"].min(),
                "series worst": group["series"].min(),
            }
        )
    return pd.DataFrame(found)


def _all(pairs: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame]]:
    for scenario, group in pairs.groupby("scenario"):
        yield (str(scenario), "all"), group


if __name__ == "__main__":
    main()
