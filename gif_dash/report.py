"""The report: every published number that gif_dash computes, too, beside ours. Torch-free.

Ours are recorded runs (see `gif_dash.recorded`), and what this person's store has of the same questions. Only the
linear regression is computed here; it takes milliseconds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, stdev
from typing import Any

import numpy as np

from gif_dash import __version__, catalog, published, recorded, toy
from gif_dash.compute.store import Row, Store
from gif_dash.figures.report import Claim, Network, Pair, Report, Section, Table
from gif_dash.figures.report_svg import Curve, along_s
from gif_dash.figures.tables import duration
from gif_dash.figures.theme import label
from gif_dash.record.plan import plan, studies
from gif_dash.results import Result
from gif_dash.specs import BackdoorSpec, CriteriaSpec, MethodsSpec, RemovalSpec, Spec, SpectrumSpec
from gif_dash.spelling import to_cli

#: Networks that are recorded, those of the paper first.
NETWORKS = ("cifar10-vgg11", "mnist-resnet18", "mnist-cnn", "digits-cnn")
#: Networks, trained from seeds of their own, behind a mean.
MANY = 10
#: Metrics of Table 2: heading, column, column of its standard error, decimals of ours and of the published number.
METRICS = (
    ("test acc. %", "test_accuracy", "test_accuracy_se", 2, 2),
    ("test loss", "test_loss", "", 3, 2),
    ("self-acc. %", "self_accuracy", "self_accuracy_se", 2, 2),
    ("self-loss", "self_loss", "", 2, 2),
    ("score", "score", "score_se", 3, 2),
)


class Answers:
    """Where our numbers come from.

    Args:
        store: this person's, None for recorded runs only.
    """

    def __init__(self, store: Store | None) -> None:
        self._store = store
        self._rows: list[Row] = [] if store is None else store.history()

    def find(self, spec: Spec) -> Result | None:
        """The recorded answer, else the newest stored one; of today's code if there is one."""
        if (found := recorded.answer(spec)) is not None or self._store is None:
            return found
        asked = spec.canonical()
        rows = [row for row in self._rows if row.spec == asked]
        rows.sort(key=lambda row: (row.old_code, -row.created))
        return self._store.get(rows[0].key) if rows else None


def build(store: Store | None, now: float | None = None) -> Report:
    """The whole report.

    Args:
        store: whose results stand in where nothing is recorded; None: recorded runs only.
        now: seconds since the epoch; the report says no time without.
    """
    answers = Answers(store)
    sections = (
        _criteria(answers),
        *_criteria_elsewhere(answers),
        _methods(answers),
        _authors(answers),
        _along(answers),
        _other_networks(answers),
        _backdoor(answers),
        _spectrum(answers),
        _toy(),
        _line(),
        _fragility(answers),
    )
    when = "" if now is None else f", {time.strftime('%Y-%m-%d', time.gmtime(now))}"
    what = "recorded runs" if store is None else "recorded and stored runs"
    made = f"Made by gif_dash {__version__}{when}, from {what}."
    return Report(sections, tuple(_network(name) for name in NETWORKS if _worth(name)), made)


def _worth(name: str) -> bool:
    """The paper's networks always, others if they are recorded."""
    return catalog.SCENARIOS[name].large or name in recorded.records()


def _network(name: str) -> Network:
    entry = catalog.SCENARIOS[name]
    title = f"{entry.title} ({name})"
    if (record := recorded.records().get(name)) is None:
        return Network(title, (), f"gif-dash record {name}", False)
    assert record.card is not None, "the record of a scenario"
    facts, training = record.facts, record.facts["training"]
    computed = [row for row in record.rows if row.experiment != "methods"]  # those are assembled from others
    epochs = f"{training.get('epochs', '?')} epochs in {duration(training['seconds'])}"
    told = {
        "parameters": f"{record.card.parameters:,}",
        "test accuracy": f"{training['test_accuracy']:.2f} %",
        "training": f"{epochs}: {training.get('recipe', '')}",
        **{
            label(row): f"{known['note']}, in {duration(known['seconds'])}"
            for row, known in facts["references"].items()
        },
        "data": facts["data_note"] or "the originals",
        "computed on": f"{facts['device']}, torch {facts['versions']['torch']}, commit {facts['commit']}",
        "runs": f"{len(computed)}, in {duration(sum(row.seconds for row in computed))}" if computed else "none yet",
    }
    return Network(title, tuple(told.items()), recorded.command(name, facts), True)


def _origin(results: Iterable[Result]) -> str:
    """Where numbers come from, in words."""
    told = []
    for result in results:
        known = result.provenance
        said = known.get("recorded")
        where = f"recorded, commit {said['commit']}" if said else "stored on this machine"
        note = f"; {known['data_note']}" if known.get("data_note") else ""
        told.append(f"{str(known.get('created', ''))[:10]}, {known.get('device', '')}, {where}{note}")
    return " and ".join(dict.fromkeys(told))


# --- Table 1 ----------------------------------------------------------------------------------------------------------


def _criteria(answers: Answers) -> Section:
    found = _criteria_of(answers, "mnist-resnet18")
    cells = _cells(found)
    return Section(
        "Table 1: selection criteria",
        published.CRITERIA_SETTING,
        _origin([found]) if found else "",
        "gif-dash record mnist-resnet18",
        (_table(_CRITERIA_COLUMNS, _criteria_rows(cells, published.CRITERIA)),),
        _criteria_claims(cells),
        (
            "s is each cell's best, chosen on one half of the test set and reported on the other; the published "
            "scalars (5, 150), (10, 95), (30, 85), (50, 28) are in the authors' scaling and do not carry over",
            "CGLS with 5 steps (11 Hessian-vector products) instead of a Neumann series with a searched constant",
            "self-loss on the removed class's test images; in the paper on the target data",
        ),
        (_LIKE_LOSS,),
    )


def _criteria_elsewhere(answers: Answers) -> list[Section]:
    """The protocol of Table 1 on recorded networks that the paper has no numbers for."""
    sections = []
    for name in NETWORKS:
        if catalog.SCENARIOS[name].large or (found := _criteria_of(answers, name)) is None:
            continue
        cells = _cells(found)
        sections.append(
            Section(
                f"The protocol of Table 1 on {catalog.SCENARIOS[name].title}",
                "nothing; this is another network, class 8 removed",
                _origin([found]),
                f"gif-dash record {name}",
                (_table(_CRITERIA_COLUMNS, _criteria_rows(cells, {}), f"{_LIKE_LOSS.capitalize()}."),),
                _criteria_claims(cells),
            )
        )
    return sections


_CRITERIA_COLUMNS = ("self-loss", "test loss", "score")
_LIKE_LOSS = (
    "losses grow with s without end, and every cell has its own s: they compare cells only at like test loss; the "
    "score does not have this fault"
)


def _criteria_of(answers: Answers, name: str) -> Result | None:
    asked = [spec for spec in plan(name).others if isinstance(spec, CriteriaSpec)]
    return answers.find(asked[0]) if asked else None


def _criteria_rows(
    cells: Mapping[tuple[str, float], Mapping[str, Any]], theirs: Mapping[str, Sequence[tuple[float, float]]]
) -> list[tuple[str, tuple[Pair, ...]]]:
    """A line per criterion and MR.

    Args:
        cells: ours.
        theirs: (self-loss, test loss) by criterion, in the order of the MRs; empty: nothing is published.
    """
    rows = []
    for criterion in published.CRITERIA:
        for place, mr in enumerate(published.CRITERIA_MRS):
            own = cells.get((criterion, mr), {})
            values = theirs[criterion][place] if criterion in theirs else (math.nan, math.nan)
            pairs = [
                _pair(value, own.get(name), own.get(f"{name}_se"), 2, "" if math.isnan(value) else f"{value:.2f}")
                for name, value in zip(("self_loss", "test_loss"), values, strict=True)
            ]
            pairs.append(_pair(math.nan, own.get("score"), own.get("score_se"), 4, ""))
            rows.append((f"{label(criterion)}, MR {mr:g} %", tuple(pairs)))
    return rows


def _criteria_claims(cells: Mapping[tuple[str, float], Mapping[str, Any]]) -> tuple[Claim, ...]:
    return tuple(
        Claim.judged(f"{words} than threshold and random at every MR", list(_criteria_gaps(cells, metric, sign)))
        for words, metric, sign in (
            ("top-k criteria forget more (higher self-loss)", "self_loss", 1),
            ("top-k criteria keep more (lower test loss)", "test_loss", -1),
            ("(not claimed) top-k criteria have a higher score", "score", 1),
        )
    )


def _cells(found: Result | None) -> dict[tuple[str, float], dict[str, Any]]:
    """Rows at the best s by criterion and MR."""
    if found is None:
        return {}
    table = found.tables["cells"]
    rows = table[table["mark"] == "best"].to_dict("records")
    return {(str(row["criterion"]), float(row["mr"])): {str(k): v for k, v in row.items()} for row in rows}


def _criteria_gaps(
    cells: Mapping[tuple[str, float], Mapping[str, Any]], metric: str, sign: int
) -> Iterable[tuple[str, float, float]]:
    for mr in published.CRITERIA_MRS:
        for top in ("top-outputs", "top-gradients"):
            for other in ("threshold", "random"):
                one, two = cells.get((top, mr), {}), cells.get((other, mr), {})
                gap = sign * (one.get(metric, math.nan) - two.get(metric, math.nan))
                error = math.hypot(one.get(f"{metric}_se", math.nan), two.get(f"{metric}_se", math.nan))
                yield f"{label(top)} − {label(other)}, MR {mr:g} %", gap, error


# --- Table 2 ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Seeds:
    """One network's answers about methods, one per sampling seed."""

    results: tuple[Result, ...]

    @classmethod
    def of(cls, answers: Answers, name: str) -> _Seeds:
        """Of each seed the answer with the most MRs: a record that goes on may not have all of them yet."""
        found = []
        for whole, _ in plan(name).methods():
            parts = (mrs for count in range(len(whole.mrs), 0, -1) for mrs in combinations(whole.mrs, count))
            asked = (whole.model_copy(update={"mrs": mrs}) for mrs in parts)
            found.append(next((result for spec in asked if (result := answers.find(spec)) is not None), None))
        return cls(tuple(result for result in found if result is not None))

    def values(self, method: str, mr: float, name: str) -> list[float]:
        """A column at the best s (of a reference: its only row), by seed."""
        found: list[float] = []
        for result in self.results:
            rows = result.table[result.table["method"] == method]
            if not math.isnan(mr):
                rows = rows[(rows["mr"] == mr) & (rows["mark"] == "best")]
            if len(rows):
                found.append(float(rows[name].tolist()[0]))
        return found

    def counted(self, mrs: Sequence[float]) -> str:
        """Sampling seeds, in words; with the MRs that have fewer of them."""
        counts = [len(self.values("gif", mr, "score")) for mr in mrs]
        most = max(counts)
        fewer = [f"MR {mr:g} %: {count}" for mr, count in zip(mrs, counts, strict=True) if count < most]
        return f"{most} sampling seed{'s' * (most != 1)}" + (f" ({', '.join(fewer)})" if fewer else "")

    def value(self, method: str, mr: float, name: str, error: str = "") -> tuple[float, float]:
        """Mean over the seeds, and its standard error: of the test images and of the samples."""
        values = self.values(method, mr, name)
        if not values:
            return math.nan, math.nan
        own = fmean(self.values(method, mr, error)) if error else math.nan
        return fmean(values), math.hypot(own, _sem(values))

    def gap(self, one: str, other: str, mr: float) -> tuple[str, float, float]:
        """Difference of two scores, seed by seed."""
        words = f"{label(one)} − {label(other)}, MR {mr:g} %"
        a, b = (self.values(name, mr if name != "retrain" else math.nan, "score") for name in (one, other))
        gaps = [x - y for x, y in zip(a, b, strict=False)]
        if not gaps:
            return words, math.nan, math.nan
        images = [self.value(name, mr if name != "retrain" else math.nan, "score_se")[0] for name in (one, other)]
        return words, fmean(gaps), math.hypot(*images, _sem(gaps))


def _sem(values: Sequence[float]) -> float:
    """Standard error of a mean; 0 where one value says nothing of it."""
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def _methods(answers: Answers) -> Section:
    name = "cifar10-vgg11"
    ours = _Seeds.of(answers, name)
    rows = []
    for method in ("gif", "fif", "pif", "gradient"):
        for place, mr in enumerate(published.METHODS_MRS):
            theirs = published.METHODS[method][1][place] if method in published.METHODS else (math.nan,) * len(METRICS)
            rows.append((f"{label(method)}, MR {mr:g} %", _metrics(ours, method, mr, theirs)))
    rows.append((label("retrain"), _metrics(ours, "retrain", math.nan, published.METHODS["retrain"][1][0])))
    times = []
    for method in ("gif", "fif", "pif", "retrain"):
        mr = math.nan if method == "retrain" else published.METHODS_MRS[0]
        seconds, _ = ours.value(method, mr, "seconds")
        theirs_ms = published.METHODS[method][0]
        known = math.nan if theirs_ms is None else float(theirs_ms)
        text = "" if theirs_ms is None else f"{theirs_ms:.0f}"
        times.append((label(method), (Pair(known, 1000 * seconds, decimals=0, text=text),)))
    mrs = published.METHODS_MRS
    return Section(
        "Table 2: methods",
        published.METHODS_SETTING,
        f"{_origin(ours.results)}; one network, one retraining, mean over {ours.counted(mrs)}" if ours.results else "",
        f"gif-dash record {name}",
        (
            _table(tuple(metric[0] for metric in METRICS), rows),
            _table(
                ("time of a solve, ms",),
                times,
                "Of different machines: published on one RTX 3090, ours as said above and by the clock, beside "
                "whatever else that machine had to do.",
            ),
        ),
        _methods_claims(ours),
        (
            "s is each method's best, chosen on one half of the test set and reported on the other; as published it is "
            "chosen and reported on the whole test set",
            "CGLS with 5 steps for all methods instead of a Neumann series (30 steps in the authors' last runs)",
            "512 training images of the class and 512 of the others behind gradient and curvature; in the authors' "
            "last runs both are of the test set",
            "one trained network: the spread over networks is not in our errors",
            "self-loss on the class's test images; in the paper on the target data",
        ),
        (
            "another training: architecture and recipe decide how well the network is before the edit (compare the "
            "test accuracy of retraining)",
            "regularised alike, the methods differ little in our runs on smaller networks; the published PIF may "
            "suffer from an unregularised solve",
            "the best s differs: a smaller one keeps more accuracy and forgets less",
        ),
    )


def _methods_claims(ours: _Seeds, where: str = "") -> tuple[Claim, ...]:
    """What the paper says of the methods, judged by our numbers; `where` goes before every claim."""
    mrs = published.METHODS_MRS
    return tuple(
        Claim.judged(where + words, [ours.gap(one, other, mr) for mr in mrs])
        for words, one, other in (
            ("GIF scores higher than FIF at every MR", "gif", "fif"),
            ("GIF scores higher than PIF at every MR", "gif", "pif"),
            ("FIF scores higher than PIF at every MR", "fif", "pif"),
            ("retraining scores higher than GIF", "retrain", "gif"),
            (
                "(not in the paper) GIF scores higher than the gradient step, which costs one gradient",
                "gif",
                "gradient",
            ),
        )
    )


def _metrics(ours: _Seeds, method: str, mr: float, theirs: Sequence[float]) -> tuple[Pair, ...]:
    pairs = []
    for (_, name, error, decimals, digits), value in zip(METRICS, theirs, strict=True):
        mean, spread = ours.value(method, mr, name, error)
        text = (
            ""
            if math.isnan(value)
            else repr(value)
            if len(repr(value).partition(".")[2]) > 2
            else f"{value:.{digits}f}"
        )
        pairs.append(Pair(value, mean, spread, decimals, text))
    return tuple(pairs)


def _authors(answers: Answers) -> Section:
    """[A]'s last runs: other classes, another criterion."""
    rows, commands, found = [], [], []
    for place, scores in published.AUTHORS_RUNS.items():
        spec = RemovalSpec(
            scenario="cifar10-vgg11",
            forget_classes=(place,),
            criterion="top-gradients",
            curvature_samples=512,
            forget_samples=512,
            sweep_samples=2000,
            report="whole",
        )
        commands.append(to_cli(spec))
        result = answers.find(spec)
        if result is not None:
            found.append(result)
        for method, score in scores.items():
            own = {} if result is None else _at_best(result, method)
            rows.append(
                (
                    f"class {place}, {label(method)}",
                    (_pair(score, own.get("score"), own.get("score_se"), 3, f"{score:.3f}"),),
                )
            )
    return Section(
        "The authors' own last runs on CIFAR-10",
        published.AUTHORS_SETTING,
        _origin(found) if found else "",
        "\n".join(commands),
        (_table(("score, MR 10 %",), rows),),
        (),
        ("ours take curvature and gradient from training images, never from test images", "one run instead of ten"),
        ("their directions are scaled to norm 0.03 and followed until the test accuracy falls below 80 %",),
    )


def _along(answers: Answers) -> Section:
    """Fig. 4 has no numbers: our curves for the paper's networks."""
    figures, found = [], []
    names = ("cifar10-vgg11", "mnist-resnet18", "mnist-cnn")
    for name in names:
        result = answers.find(plan(name).removals[0])
        if result is None:
            continue
        found.append(result)
        title = catalog.SCENARIOS[name].title
        for metric, words in (("self_accuracy", "self-accuracy, %"), ("test_accuracy", "test accuracy, %")):
            svg = along_s(_curves(result, metric), words, 0.0, 100.0)
            figures.append((svg, f"{title}, MR {result.spec['mr']:g} %, sampling seed {result.spec['seed']}: {words}"))
    return Section(
        "Fig. 4: losses and accuracies against the scalar",
        "Fig. 4: curves against the growing influence scalar, per method; no numbers are printed",
        _origin(found) if found else "",
        "\n".join(f"gif-dash record {name}" for name in names),
        figures=tuple(figures),
    )


def _curves(result: Result, metric: str) -> list[Curve]:
    table = result.table
    curves = []
    for method in (*result.spec["methods"], "retrain"):
        rows = table[(table["method"] == method) & (table["mark"] == "")].sort_values("scalar")
        if len(rows):
            curves.append(Curve(method, tuple(rows["scalar"].fillna(0)), tuple(rows[metric])))
    return curves


def _other_networks(answers: Answers) -> Section:
    """The protocol of Table 2 on what the paper has no numbers for."""
    rows = []
    commands: list[str] = []
    found: list[Result] = []
    claims: list[Claim] = []
    for name in NETWORKS[1:]:
        if not _worth(name):
            continue
        commands.append(f"gif-dash record {name}")
        ours = _Seeds.of(answers, name)
        found += ours.results
        if ours.results:
            claims += _methods_claims(ours, f"{name}: ")
        for method in ("gif", "fif", "pif", "gradient"):
            pairs = tuple(
                Pair(math.nan, *ours.value(method, mr, "score", "score_se"), 4) for mr in published.METHODS_MRS
            )
            rows.append((f"{name}: {label(method)}", pairs))
        score = Pair(math.nan, *ours.value("retrain", math.nan, "score", "score_se"), 4)
        rows.append((f"{name}: {label('retrain')}", (score,) * 3))
        many = MethodsSpec(scenario=name, seeds=MANY)
        if (result := answers.find(many)) is not None:
            commands.append(to_cli(many))
            found.append(result)
            rows += _many(name, result)
    return Section(
        "The protocol of Table 2 on MNIST",
        "nothing; these are other networks, class 8 removed",
        _origin(found) if found else "",
        "\n".join(commands),
        (_table(tuple(f"score, MR {mr:g} %" for mr in published.METHODS_MRS), rows),),
        tuple(claims),
    )


def _many(name: str, result: Result) -> list[tuple[str, tuple[Pair, ...]]]:
    """Means over networks trained from seeds of their own, with the standard errors of these means."""
    summary = [row for row in result.tables["summary"].to_dict("records") if row["mark"] != "one"]
    rows = []
    for method in ("gif", "fif", "pif", "gradient", "retrain"):
        pairs = []
        for mr in published.METHODS_MRS:
            own = [row for row in summary if row["method"] == method and (method == "retrain" or row["mr"] == mr)]
            error = float(own[0]["score_sd"]) / math.sqrt(float(own[0]["n"])) if own else math.nan
            pairs.append(Pair(math.nan, float(own[0]["score"]) if own else math.nan, error, 4))
        rows.append((f"{name}, {MANY} networks: {label(method)}", tuple(pairs)))
    return rows


# --- Fig. 5, Fig. 3 ---------------------------------------------------------------------------------------------------


#: What Fig. 5 and its table count, in words and by column.
_REPAIRED = (("corrupt label", "attack_success"), ("right label", "triggered_accuracy"), ("clean", "clean_accuracy"))


def _backdoor(answers: Answers) -> Section:
    asked = [spec for spec in plan("mnist-cnn").others if isinstance(spec, BackdoorSpec)]
    found = [(spec, result) for spec in asked if (result := answers.find(spec)) is not None]
    tables, claims = [], []
    shown: list[tuple[BackdoorSpec, Result | None]] = [*found] or [(asked[0], None)]
    nothing: tuple[tuple[float, float | None], ...] = ((math.nan, None),) * len(_REPAIRED)
    for spec, result in shown:
        rows = []
        for method in ("gif", "fif", "pif", "if", "if2", "gradient", "retrain"):
            own = {} if result is None else _at_best(result, method)
            pairs = tuple(
                _pair(mean, own.get(key), own.get(f"{key}_se"), 2, _with(mean, sd), sd or 0.0)
                for (_, key), (mean, sd) in zip(_REPAIRED, published.BACKDOOR.get(method, nothing), strict=True)
            )
            rows.append((label(method), pairs))
        steps = f"{spec.iterations} step{'s' * (spec.iterations != 1)} of CGLS"
        images = "the whole test set" if spec.report == "whole" else "the half that did not choose s"
        note = f"{steps}, {spec.curvature_samples:,} images for curvature, {images}."
        tables.append(_table(tuple(f"{words}, %" for words, _ in _REPAIRED), rows, note if result is not None else ""))
        if result is not None:
            claims += _backdoor_claims(result, f"{steps}: ")
    return Section(
        "Fig. 5: repairing a backdoor",
        published.BACKDOOR_SETTING
        + "; accuracy on triggered images by the corrupt and by the right label, on clean ones",
        _origin(result for _, result in found),
        "gif-dash record mnist-cnn",
        tuple(tables),
        tuple(claims),
        (
            "CGLS instead of 1,000 Neumann steps; the weight of relabelling is m/N, exact for a quadratic, instead of "
            "m/(N−m)",
            "one network instead of ten: ours have no spread over networks",
            "IF2 as published adds the second-order term with another factor: its numbers are as run, no target",
        ),
        (
            "the step count is a regulariser: compare the tables, which differ in steps and images",
            "the true 4s put a floor of 9.4 to 9.8 % under the first number",
            *_broken_expansion(result for _, result in found),
        ),
    )


def _backdoor_claims(result: Result, where: str) -> list[Claim]:
    """Whether GIF repairs best, as the table says, on triggered and on clean images."""
    own = {method: _at_best(result, method) for method in ("gif", "fif", "pif", "if", "if2", "gradient")}

    def gap(other: str, key: str) -> tuple[str, float, float]:
        pair = [own[name] for name in ("gif", other)]
        value, error = ([row.get(name, math.nan) for row in pair] for name in (key, f"{key}_se"))
        return f"{label('gif')} − {label(other)}", value[0] - value[1], math.hypot(*error)

    rivals = ("fif", "pif", "if", "if2")
    return [
        Claim.judged(
            f"{where}GIF restores more right labels than FIF, PIF, IF and IF2",
            [gap(other, "triggered_accuracy") for other in rivals],
        ),
        Claim.judged(
            f"{where}GIF keeps more accuracy on clean images than FIF, PIF, IF and IF2",
            [gap(other, "clean_accuracy") for other in rivals],
        ),
        Claim.judged(
            f"{where}(not in the paper) GIF restores more right labels than the gradient step",
            [gap("gradient", "triggered_accuracy")],
        ),
    ]


def _broken_expansion(results: Iterable[Result]) -> list[str]:
    """A sentence where IF2 leaves the network worse than the corrupted one at every s."""
    for result in results:
        if (best := _at_best(result, "if2")) and best["score"] < _at_best(result, "original")["score"]:
            return [
                "the expansion behind IF2 does not hold here: at every s the network is worse than the corrupted one"
            ]
    return []


def _with(mean: float, deviation: float | None) -> str:
    if math.isnan(mean):
        return ""
    text = f"{mean:g}" if deviation is None else f"{mean:.1f}"
    return text if deviation is None else f"{text} ± {deviation:.1f}"


def _spectrum(answers: Answers) -> Section:
    [spec] = [spec for spec in plan("mnist-cnn").others if isinstance(spec, SpectrumSpec)]
    found = answers.find(spec)
    names = {"mse": "squared-error", "cross_entropy": "cross-entropy"}
    rows = []
    for run, points in published.SPECTRUM.items():
        for alpha, share in points:
            own: float | None = None
            error = math.nan
            if found is not None:
                table = found.tables["shares"]
                row = table[(table["loss"] == names[run]) & (table["alpha"] == alpha)]
                if len(row):
                    own = float(row["negative_share"].iloc[0])
            text = f"{share:g}" if share else "0.0"
            rows.append(
                (
                    f"{label(names[run])}, α = {alpha:g}",
                    (Pair(share, math.nan if own is None else own, error, 2, text),),
                )
            )
    return Section(
        "Fig. 3: negative eigenvalues",
        published.SPECTRUM_SETTING,
        _origin([found]) if found else "",
        "gif-dash record mnist-cnn",
        (_table(("share of the 500 largest, %",), rows, "One seed: no error is known."),),
        (),
        ("the network is trained anew for each α; whether the authors did so is not known",),
        ("the Hessian of one training from another seed",),
    )


# --- Fig. 2, [F] ------------------------------------------------------------------------------------------------------


def _toy() -> Section:
    trace = toy.remove_group(toy.published_data(), (0, 1), 20)
    ends = {row["method"]: row for row in trace.steps().query("mark == 'one'").to_dict("records")}
    rows: list[tuple[str, tuple[Pair, ...]]] = []
    for method, values in published.TOY.items():
        decimals = (0, 0, 1) if method == "pif" else (3, 3, 4)
        own = [float(ends[method][name]) for name in ("weight_first", "weight_second", "loss")]
        rows.append((label(method), tuple(_exact(*item) for item in zip(values, own, decimals, strict=True))))
    start = _exact(published.TOY_START, float(ends["original"]["loss"]), 3)
    rows.append((label("original"), (Pair(math.nan), Pair(math.nan), start)))
    marks = {row["landmark"]: row for row in toy.remove_as_published().landmarks().to_dict("records")}
    drawn = [float(marks["drawn_optimum"][name]) for name in ("weight_first", "weight_second")]
    centre = [_exact(value, own, 3) for value, own in zip(published.TOY_DRAWN, drawn, strict=True)]
    rows.append(("centre of the drawn contours", (*centre, Pair(math.nan))))
    return Section(
        "Fig. 2: linear regression",
        published.TOY_SETTING,
        "computed while this report was made, in closed form",
        "gif-dash run toy --data published --removal group",
        (_table(("first weight", "second weight", "loss"), rows),),
        (),
        (
            "the published figure draws its contours over weights 2 and 3 while its trajectories are weights 1 and 2; "
            "in the plane of the trajectories FIF lands on the optimum of the slice, GIF on the point of least total "
            "gradient, and PIF goes where the full optimum has these weights",
        ),
    )


def _line() -> Section:
    """[T]: a line fitted by least squares, two outliers, the influence of every point on a test point's loss."""
    x = np.arange(-5, 5, 0.5)
    y = -5 * x + 5 + 0.1 * np.random.default_rng(0).standard_normal(len(x))
    for outlier in published.TUTORIAL:
        y[outlier] = 100
    design = np.stack([x, np.ones_like(x)], axis=1)
    theta = np.linalg.lstsq(design, y, rcond=None)[0]
    test = np.array([published.TUTORIAL_POINT, 1.0])
    slope = (test @ theta - (-5 * published.TUTORIAL_POINT + 5)) * test
    # −∇ℓ(test)ᵀ H⁻¹ ∇ℓ(i): how the test loss changes when point i is given more weight
    scores = -((design @ theta - y)[:, None] * design) @ np.linalg.solve(design.T @ design / len(x), slope)
    found = {"most harmful": int(np.argmax(scores)), "most helpful": int(np.argmin(scores))}
    claims = []
    for index, words in published.TUTORIAL.items():
        place = index % len(x)
        holds = found[words] == place
        told = f"ours: index {found[words]}, x = {x[found[words]]:g}, score {scores[found[words]]:.3g}"
        claims.append(
            Claim(
                f"the outlier at index {index} (x = {x[place]:g}) is the {words} of all points",
                "holds" if holds else "does not hold",
                told,
            )
        )
    return Section(
        "The line with two outliers",
        published.TUTORIAL_SETTING,
        "computed while this report was made, with the exact 2×2 Hessian",
        claims=tuple(claims),
        differs=("the noise is drawn from another seed, which moves nothing visibly",),
    )


def _exact(value: float, own: float, decimals: int) -> Pair:
    """Ours is exact: all that can differ is the published rounding."""
    return Pair(value, own, 0.0, decimals, f"{value:.{decimals}f}")


def _fragility(answers: Answers) -> Section:
    """Their correlations for five networks; ours for the small CNN, the only one that is trained here."""
    (asked,) = studies()
    found = answers.find(asked)
    ours = {} if found is None else _correlations(found)
    rows = [
        (
            network,
            tuple(
                _pair(value, ours.get(key) if network == "small CNN" else None, None, 2, f"{value:.2f}")
                for key, value in zip(_CORRELATIONS, (*with_decay, *without), strict=True)
            ),
        )
        for network, (with_decay, without) in published.FRAGILITY.items()
    ]
    return Section(
        "Influence in deep networks is fragile (Basu et al. 2021)",
        published.FRAGILITY_SETTING,
        _fragility_ours(found) if found is not None else "",
        to_cli(asked),
        (_table(("Pearson, with decay", "Spearman, with decay", "Pearson, without", "Spearman, without"), rows),),
        differs=() if found is None else (_fragility_differs(found.spec),),
        reasons=() if found is None else (_unsettled(found),),
    )


def _fragility_ours(found: Result) -> str:
    known = found.provenance
    return (
        f"{known['p'][0]:,} parameters, a tenth of MNIST, {found.spec['points']} removals, retrained for "
        f"{found.spec['steps']:,} steps from the optimum; {_origin([found])}"
    )


def _fragility_differs(spec: Mapping[str, Any]) -> str:
    return (
        f"{spec['points']} removals instead of 100; decay {max(spec['values']):g}; "
        f"{spec['seeds']} network{'s' * (spec['seeds'] != 1)} per setting"
    )


def _unsettled(found: Result) -> str:
    """How far training on alone moves what the removals are measured by."""
    moved = found.tables["summary"]["continued"].abs().max()
    return f"training had not come to rest: going on with all examples changes the test loss by up to {moved:.2g}"


#: Columns of the table above, and rows of a summary: (has weight decay, correlation).
_CORRELATIONS = ((True, "pearson"), (True, "spearman"), (False, "pearson"), (False, "spearman"))


def _correlations(result: Result) -> dict[tuple[bool, str], float]:
    """Of the exact Hessian, the classic estimate."""
    rows = result.tables["summary"]
    exact = rows[rows["hessian"] == "exact"]
    return {
        (decays, name): float(exact.loc[(exact["value"] > 0) == decays, name].iloc[0]) for decays, name in _CORRELATIONS
    }


# --- pieces -----------------------------------------------------------------------------------------------------------


def _at_best(result: Result, method: str) -> dict[str, Any]:
    """A method's row at its best s; of retraining and the original network the only one; empty if there is none."""
    table = result.table[result.table["method"] == method]
    table = table if method in ("retrain", "original") else table[table["mark"] == "best"]
    return {str(key): value for key, value in table.iloc[0].items()} if len(table) else {}


def _pair(value: float, own: Any, error: Any, decimals: int, text: str, spread: float = 0.0) -> Pair:
    mine, known = (math.nan if number is None else float(number) for number in (own, error))
    return Pair(value, mine, known, decimals, text, spread)


def _table(columns: Sequence[str], rows: Iterable[tuple[str, tuple[Pair, ...]]], note: str = "") -> Table:
    from gif_dash.figures.report import Row as Line

    return Table(tuple(columns), tuple(Line(head, pairs) for head, pairs in rows), note)
