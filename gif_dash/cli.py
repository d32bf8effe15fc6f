"""The ``gif-dash`` command. Flags and help come from the specs; torch is imported only by commands that compute."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pandas as pd
from click.core import ParameterSource
from rich.table import Table

from gif_dash import __version__, catalog, spelling
from gif_dash.access import IDLE_MINUTES, VISITORS
from gif_dash.bench.plan import GROUPS, NAMED_GROUPS, Plan
from gif_dash.results import Result
from gif_dash.specs import LABELS, Spec, SpecError, allowed
from gif_dash.terminal import show

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gif_dash import grid
    from gif_dash.compute.dask_executor import Cluster
    from gif_dash.progress import Progress

    Told = Callable[[int, grid.Outcome], None]

_FILE = click.Path(dir_okay=False, path_type=Path)
#: Endings of files with tables.
_TABLES = (".csv", ".parquet", ".json")

_GRID = (
    "compute every combination with other --grid settings and write one table (repeatable; several values of a setting "
    "that holds a list are joined by +; cells that are stored are not computed again)"
)

Decorator = Callable[[Callable[..., None]], Callable[..., None]]


class BadValue(click.ClickException):
    """A value that is not allowed: one sentence that names the flag, and exit status 2."""

    exit_code = 2


class _ServeByDefault(click.Group):
    """``gif-dash`` without a command serves: ``gif-dash --port 9000`` is ``gif-dash serve --port 9000``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = {"--help", "-h", "--version"}
        if not args or (args[0].startswith("-") and args[0] not in own):
            args = ["serve", *args]
        return super().parse_args(ctx, args)


def _enter_folder(variable: str) -> Callable[[click.Context, click.Parameter, Path | None], None]:
    def callback(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> None:
        if value is not None:
            os.environ[variable] = str(value.expanduser().resolve())

    return callback


def _folders(command: Callable[..., None]) -> Callable[..., None]:
    """The two folders every command knows; they travel to worker processes through the environment."""
    for name, variable, help in (
        ("--data-dir", "GIF_DASH_DATA", "folder of the data sets, in torchvision's layout"),
        ("--cache-dir", "GIF_DASH_CACHE", "folder of checkpoints and results"),
    ):
        command = click.option(
            name,
            type=click.Path(file_okay=False, path_type=Path),
            callback=_enter_folder(variable),
            expose_value=False,
            help=f"{help} [env: {variable}]",
        )(command)
    return command


def _enter_text(variable: str) -> Callable[[click.Context, click.Parameter, str | None], None]:
    def callback(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
        if value is not None:
            os.environ[variable] = value

    return callback


def _device(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--device",
        metavar="NAME",
        callback=_enter_text("GIF_DASH_DEVICE"),
        expose_value=False,
        help="where to compute, such as cpu, cuda or cuda:1; the best there is, by default [env: GIF_DASH_DEVICE]",
    )(command)


def _cluster(command: Callable[..., None]) -> Callable[..., None]:
    """Options of a foreign Dask cluster; the command gets a ``cluster``, None without --scheduler."""

    @wraps(command)
    def connected(
        *arguments: Any,
        scheduler: str | None,
        tls_ca: Path | None,
        tls_cert: Path | None,
        tls_key: Path | None,
        **values: Any,
    ) -> None:
        cluster = None
        if scheduler is None:
            if any((tls_ca, tls_cert, tls_key)):
                raise BadValue("--tls-ca, --tls-cert, --tls-key: go with --scheduler")
        else:
            from gif_dash.compute.dask_executor import Cluster

            if not scheduler.startswith(("tcp://", "tls://")):
                raise BadValue(f"--scheduler: tcp://HOST:PORT or tls://HOST:PORT; got {scheduler!r}")
            if scheduler.startswith("tls://") and tls_ca is None:
                raise BadValue("--scheduler: a tls:// address goes with --tls-ca, --tls-cert and --tls-key")
            cluster = Cluster(scheduler, tls_ca, tls_cert, tls_key)
        command(*arguments, cluster=cluster, **values)

    decorated: Callable[..., None] = connected
    pem = click.Path(exists=True, dir_okay=False, path_type=Path)
    for name, help in (
        ("--tls-key", "PEM file of the key to --tls-cert"),
        ("--tls-cert", "PEM file of the certificate to show to the cluster"),
        ("--tls-ca", "PEM file of the authority that vouches for the cluster"),
    ):
        decorated = click.option(name, type=pem, metavar="FILE", help=help)(decorated)
    return click.option(
        "--scheduler", metavar="tcp://HOST:PORT", help="compute on the workers of this Dask cluster instead of here"
    )(decorated)


def _own(command: Callable[..., None]) -> Callable[..., None]:
    """A person's own scenarios; they travel to worker processes through the environment, never through a page."""
    options = (
        ("folder", click.Path(file_okay=False, path_type=Path), "PATH", "your pictures, one folder per class"),
        ("network", str, "NAME", f"for --folder: {', '.join(catalog.NETWORKS)} or package.module:function"),
        ("image-size", click.IntRange(min=1), "PIXELS", "for --folder: shorter side of the pictures"),
        ("add", str, "package.module:function", "a function that makes a Scenario of yours (repeatable)"),
        (
            "recipe",
            str,
            "|".join(catalog.RECIPES),
            "of the large networks: short (the default; in bfloat16 if the processor has it), or full with a GPU",
        ),
    )

    @wraps(command)
    def checked(*arguments: Any, **values: Any) -> None:
        for name in ("network", "image-size"):
            if _given(name) and not os.environ.get(catalog.FOLDER):
                raise BadValue(f"--{name}: goes with --folder")
        command(*arguments, **values)

    decorated: Callable[..., None] = checked
    for name, kind, metavar, help in reversed(options):
        decorated = click.option(
            f"--{name}",
            type=kind,
            metavar=metavar,
            multiple=name == "add",
            callback=_enter_own,
            expose_value=False,
            help=f"{help} [env: {catalog.FLAGS[name]}]",
        )(decorated)
    return decorated


def _enter_own(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    name = str(parameter.name).replace("_", "-")
    variable = catalog.FLAGS[name]
    if name == "folder":
        if value is None and not os.environ.get(variable):
            return
        value = Path(value or os.environ[variable]).expanduser().resolve()  # workers may have another current folder
    elif value is None or value == ():
        return
    elif name == "recipe" and value not in catalog.RECIPES:
        raise BadValue(f"--recipe: choose from {', '.join(catalog.RECIPES)}; got {value!r}")
    elif name == "network" and ":" not in value and value not in catalog.NETWORKS:
        choices = ", ".join(catalog.NETWORKS)
        raise BadValue(f"--network: choose from {choices}, or package.module:function; got {value!r}")
    elif name == "add":
        if wrong := [path for path in value if not all(path.partition(":"))]:
            raise BadValue(f"--add: must be package.module:function; got {wrong[0]!r}")
        value = ",".join(dict.fromkeys([*catalog.added(), *value]))
    os.environ[variable] = str(value)
    if ":" in str(value) and name in ("network", "add"):  # modules of the current folder, as python finds them
        here = str(Path.cwd())
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
        sys.path.insert(0, here)


def _given(name: str) -> bool:
    """Whether a flag stands on the command line."""
    source = click.get_current_context().get_parameter_source(name.replace("-", "_"))
    return source is ParameterSource.COMMANDLINE


def _named() -> list[str]:
    """The scenarios that the command line itself brings."""
    return [
        entry.name
        for entry in catalog.scenarios().values()
        if (catalog.FOLDER in entry.variables and _given("folder")) or (entry.added and _given("add"))
    ]


@click.group(cls=_ServeByDefault, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gif-dash")
def main() -> None:
    """What would the model be, had it never seen these examples?

    Without a command, gif-dash serves the dashboard (gif-dash serve --help lists its options).
    """
    # Before torch is imported, here or in a worker: threads that spin while they wait for each other make a training
    # step up to six times slower where something else wants a core, too, and gain nothing where nothing does.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@main.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8866, show_default=True, help="port to listen on")
@click.option("--no-browser", is_flag=True, help="do not open a browser")
@click.option("--max-visitors", type=click.IntRange(min=1), default=VISITORS, show_default=True, help="at a time")
@click.option(
    "--max-idle",
    type=click.FloatRange(min=0),
    default=IDLE_MINUTES,
    show_default=True,
    metavar="MINUTES",
    help="without a touch after which an open page is put to rest; 0 for never",
)
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="address to listen at")
@click.option("--allow-host", multiple=True, metavar="NAME", help="answer to this host name, too (repeatable)")
@click.option("--token-file", type=_FILE, help="file with the token that visitors must show [env: JUPYTER_TOKEN]")
@click.option("--password-file", type=_FILE, help="file with the password that visitors must type, plain or hashed")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="processes that compute")
@click.option("--threads", type=click.IntRange(min=1), help="of each worker; the cores shared out, by default")
@_device
@click.option("--max-queued", type=click.IntRange(min=1), help="questions of one visitor that wait or run at a time")
@click.option("--max-samples", type=click.IntRange(min=1), help="examples behind any of a question's samples")
@click.option("--max-minutes", type=click.FloatRange(min=0, min_open=True), help="that a run may take")
@_cluster
@_folders
@_own
def serve(
    port: int,
    no_browser: bool,
    max_visitors: int,
    max_idle: float,
    host: str,
    allow_host: tuple[str, ...],
    token_file: Path | None,
    password_file: Path | None,
    workers: int,
    threads: int | None,
    max_queued: int | None,
    max_samples: int | None,
    max_minutes: float | None,
    cluster: Cluster | None,
) -> None:
    """Serve the dashboard, on this machine only unless told otherwise.

    What --folder and --add bring is prepared first. Another --host goes with a token or a password.
    """
    from gif_dash import upkeep
    from gif_dash.access import access
    from gif_dash.compute.limits import Limits
    from gif_dash.serving import serve as start

    own = [name for name in catalog.scenarios() if name not in catalog.SCENARIOS]
    query = f"?tab=removal&scenario={own[0]}" if own else ""
    code = start(
        port=port,
        access=access(host, allow_host, token_file, password_file),
        open_browser=not no_browser,
        visitors=max_visitors,
        idle_minutes=max_idle,
        workers=workers,
        threads=threads,
        cluster=cluster,
        limits=Limits(max_queued, max_samples, max_minutes),
        query=query,
        first=lambda: upkeep.prepare_first(own),
    )
    sys.exit(code)


@main.command()
@_folders
@_own
def scenarios() -> None:
    """List the scenarios and what is ready."""
    from gif_dash.compute.cards import offers
    from gif_dash.compute.store import open_store

    table = Table(box=None, header_style="bold")
    for title in ("scenario", "what it is", "state"):
        table.add_column(title, overflow="fold")
    states = {"ready": "ready", "quick": "trains in seconds at first use"}
    for offer in offers(open_store()):
        table.add_row(offer.name, offer.summary, states.get(offer.state, f"prepare with: {offer.command}"))
    show(table)


@main.command()
def lessons() -> None:
    """List the lessons: their links on the served page, and what they are about."""
    from gif_dash.lessons import scripts

    table = Table(box=None, header_style="bold")
    for title in ("link", "minutes", "lesson"):
        table.add_column(
            title, overflow="fold", no_wrap=title == "link", justify="right" if title == "minutes" else "left"
        )
    for script in scripts().values():
        table.add_row(f"/?lesson={script.name}", str(script.minutes), f"{script.title}. {script.summary}")
    show(table)


@main.command()
@click.argument("scenario", nargs=-1, metavar="[SCENARIO]...")
@click.option(
    "--classes",
    default="default",
    show_default=True,
    metavar="default|all|LIST",
    help="classes to make references and default runs for: the spec's default, all, or positions with commas",
)
@click.option(
    "--experiments",
    default="removal",
    show_default=True,
    metavar="all|LIST",
    help="whose default runs to make, so that their tabs are filled at once: all, or names with commas",
)
@_folders
@_own
def prepare(scenario: tuple[str, ...], classes: str, experiments: str) -> None:
    """Get data, train, make references and default runs (of all scenarios but the large ones, if none is named)."""
    from gif_dash import upkeep

    known = catalog.scenarios()
    if unknown := [name for name in scenario if name not in known]:
        raise BadValue(f"there is no scenario named {unknown[0]!r}; choose from {', '.join(known)}")
    small = [name for name, entry in known.items() if not entry.large]
    upkeep.prepare(scenario or tuple(_named() or small), classes, experiments)


@main.command()
@click.argument("scenario")
@click.option("--forget-class", default=8, show_default=True, type=click.IntRange(min=0), help="the removed class")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1, 10), help="of sampling")
@click.option("--quick", is_flag=True, help="three small questions only, to see that all works")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="folder of the tables [default: cache]")
@click.option(
    "--include",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="a result of this network from elsewhere (gif-dash run ... --out FILE.json), recorded too (repeatable)",
)
@_device
@_folders
@_own
def record(
    scenario: str, forget_class: int, seeds: int, quick: bool, out: Path | None, include: tuple[Path, ...]
) -> None:
    """Train a scenario, make references, and compute what the paper shows of it into small tables.

    SCENARIO may also be "studies": experiments that train networks of their own and take many minutes.

    Stopped at any time, the same command goes on there. Large networks take hours without a GPU.
    """
    from gif_dash.record.command import run
    from gif_dash.recorded import STUDIES

    if scenario not in (known := [*catalog.scenarios(), STUDIES]):
        raise BadValue(f"there is no scenario named {scenario!r}; choose from {', '.join(known)}")
    if scenario == STUDIES and (unused := [flag for flag in ("forget-class", "seeds", "include") if _given(flag)]):
        raise BadValue(f"--{unused[0]}: goes with a scenario, not with {STUDIES}")
    with _sentences():
        run(scenario, out, forget_class, seeds, quick, include)


@main.command()
@click.option("--out", type=_FILE, required=True, help="file to write: .html (one file, offline) or .md")
@click.option("--recorded-only", is_flag=True, help="leave out what this machine's store has")
@_folders
def report(out: Path, recorded_only: bool) -> None:
    """Write published numbers beside ours: where they agree, where not, and what was not run."""
    _writable("--out", out, (".html", ".md"))
    import time

    from gif_dash import report as reports
    from gif_dash.compute.store import open_store
    from gif_dash.figures import report_html, report_markdown

    with _sentences():
        if out.suffix == ".html":
            text = report_html.page(reports.build(None if recorded_only else open_store(), time.time()))
        else:
            text = report_markdown.page(reports.build(None if recorded_only else open_store()))
        out.write_text(text, encoding="utf-8")
    click.echo(f"written to {out} ({len(text.encode()) / 1000:.0f} kB)")


@main.command()
@_folders
@_own
def doctor() -> None:
    """Show versions, device, data and disk, and whether all is well."""
    from gif_dash import upkeep

    sys.exit(upkeep.doctor())


@main.command()
@click.option("--list", "action", flag_value="list", default=True, help="show what is kept (the default)")
@click.option("--clear", "action", flag_value="clear", help="delete checkpoints and all results but the pinned ones")
@click.option("--all", "pinned_too", is_flag=True, help="with --clear: delete pinned results too")
@click.option("--yes", is_flag=True, help="delete without asking")
@_folders
def cache(action: str, pinned_too: bool, yes: bool) -> None:
    """Show or delete results and checkpoints. Results pinned in the History tab stay, unless --all is given."""
    from gif_dash import upkeep

    if action == "list":
        upkeep.list_cache()
    elif yes or click.confirm(upkeep.clear_question(pinned_too)):
        upkeep.clear_cache(pinned_too)


@main.command()
@click.argument(
    "groups",
    nargs=-1,
    type=click.Choice(GROUPS + NAMED_GROUPS),
    metavar=f"[{'|'.join(GROUPS + NAMED_GROUPS)}]...",
)
@click.option("--quick", is_flag=True, help="all groups in three minutes; fewer networks, samples and repeats")
@click.option("--case", "cases", multiple=True, metavar="NETWORK", help="measure this network only (repeatable)")
@click.option("--device", metavar="DEVICE", help="of the networks, such as cpu or cuda [default: the best there is]")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; with 1, its CPU time is measured")
@click.option("--visitors", type=click.IntRange(1, 100), help='of the group "load" [default: 20]')
@click.option("--peers", is_flag=True, help="against other libraries, which get a virtual environment of their own")
@click.option("--json", "out", type=_FILE, help="write the rows and the environment to this file")
@_folders
def bench(
    groups: tuple[str, ...],
    quick: bool,
    cases: tuple[str, ...],
    device: str | None,
    threads: int | None,
    visitors: int | None,
    peers: bool,
    out: Path | None,
) -> None:
    """Measure what the engine costs (without groups: all but those that take minutes and both cores)."""
    from gif_dash.bench.command import bench as measure

    if out is not None:
        _writable("--json", out, (".json",))
    measure(groups, Plan(quick, device, cases, threads, visitors), peers, out)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@_folders
def lab(arguments: tuple[str, ...]) -> None:
    """Copy the notebooks here and open JupyterLab (further ARGUMENTS are JupyterLab's)."""
    from gif_dash import upkeep

    sys.exit(upkeep.lab(arguments))


class _FromFile(click.Group):
    """``gif-dash run --spec FILE`` runs the experiment that the file names."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for place, word in enumerate(args):
            if not word.startswith("-") or {"--help", "-h"} & set(args):
                break
            if word == "--spec" or word.startswith("--spec="):
                given = args[place + 1 : place + 2] if word == "--spec" else [word.partition("=")[2]]
                if given and given[0]:
                    args = [_spec_file(Path(given[0])).experiment, *args]
                break
        return super().parse_args(ctx, args)


@main.group(cls=_FromFile)
@click.option(
    "--spec", type=_FILE, metavar="FILE.yaml", expose_value=False, help="run the experiment that the file names"
)
def run() -> None:
    """Compute an experiment without the dashboard and write its table."""


def _spec_file(path: Path) -> Spec:
    """The question in a YAML file."""
    try:
        return spelling.from_yaml(path.read_text(encoding="utf-8"))
    except SpecError as error:
        raise BadValue(f"--spec: {path}: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadValue(f"--spec: {path} cannot be read ({error})") from None


def _options(spec: type[Spec]) -> Decorator:
    """One flag for every field of the spec. Values are taken as text: the spec validates them."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        defaults = spec().model_dump(mode="json")
        for name, info in reversed(spec.model_fields.items()):
            default = spelling.written(defaults[name])
            rule = allowed(spec, name)
            many = " (several with commas)" if spelling.is_list(spec, name) else ""
            help = f"{info.description}{f'; {rule}' if rule else ''}{many} [default: {default}]"
            command = click.option(f"--{spelling.flag(name)}", name, metavar="VALUE", help=help)(command)
        return command

    return decorate


def _add_run(entry: catalog.ExperimentEntry) -> None:
    spec: type[Spec] = catalog.resolve(entry.spec)
    description = (spec.__doc__ or "").strip().splitlines()[0]

    @run.command(entry.name, help=description, short_help=description)
    @_options(spec)
    @click.option(
        "--spec",
        "asked",
        type=_FILE,
        metavar="FILE.yaml",
        help="settings from a file, as “copy as YAML” gives them; those on the command line come first",
    )
    @click.option("--out", type=_FILE, help="write the table (.csv, .parquet), or all tables and provenance (.json)")
    @click.option("--fresh", is_flag=True, help="compute even if the result is stored")
    @click.option("--grid", "axes", multiple=True, metavar="SETTING=VALUE,VALUE,...", help=_GRID)
    @click.option("--workers", type=click.IntRange(1, 64), help="compute in so many processes of their own")
    @click.option(
        "--threads", type=click.IntRange(min=1), help="of each of --workers; the cores shared out, by default"
    )
    @_device
    @_cluster
    @_folders
    @_own
    def command(
        asked: Path | None,
        out: Path | None,
        fresh: bool,
        axes: tuple[str, ...],
        workers: int | None,
        threads: int | None,
        cluster: Cluster | None,
        **texts: Any,
    ) -> None:
        crew = Crew(workers, threads, cluster)
        crew.check(fresh)
        own = ("save_model", "method", "at") if entry.edited else ()
        home = TakeHome(*(texts.pop(name, None) for name in own))
        if (listed := texts.pop("forget_file", None)) is not None:
            texts["forget_indices"] = _listed(listed)
        if asked is not None:
            found = _spec_file(asked)
            if found.experiment != entry.name:
                raise BadValue(f"--spec: {asked} asks for {found.experiment}, not {entry.name}")
            for name, value in spelling.changed(found).items():
                texts[name] = spelling.written(value) if texts[name] is None else texts[name]
        if "scenario" in spec.model_fields and texts["scenario"] is None and (named := _named()):
            texts["scenario"] = named[0]
        given = {name: text for name, text in texts.items() if text is not None}
        if axes:
            _run_grid(spec, given, axes, out, fresh, home, crew)
        else:
            _run(spec, given, out, fresh, home, crew)

    if entry.name == "removal":
        click.option("--forget-indices", "forget_file", type=_FILE, help="file with --forget-index, one per line")(
            command
        )
    if entry.edited:
        for option in (
            click.option("--save-model", type=_FILE, help="write the edited network (.safetensors)"),
            click.option("--method", metavar="VALUE", help="of --save-model [default: the first of --methods]"),
            click.option("--at", metavar="best|S", default="best", help="s of --save-model [default: best]"),
        ):
            option(command)


@dataclass(frozen=True)
class Crew:
    """Who computes: this process, unless there are workers or a cluster."""

    workers: int | None
    threads: int | None
    cluster: Cluster | None

    @property
    def elsewhere(self) -> bool:
        return self.workers is not None or self.cluster is not None

    def check(self, fresh: bool) -> None:
        if self.threads is not None and self.workers is None:
            raise BadValue("--threads: goes with --workers")
        if self.workers is not None and self.cluster is not None:
            raise BadValue("--workers: a cluster (--scheduler) has workers of its own")
        if fresh and self.elsewhere:
            raise BadValue("--fresh: goes without --workers and --scheduler")

    def run_cells(self, listed: Sequence[grid.Cell], progress: Progress, told: Told) -> grid.GridResult:
        from gif_dash import parallel

        return parallel.run_cells(
            listed, progress, workers=self.workers or 1, threads=self.threads, cluster=self.cluster, told=told
        )


@dataclass(frozen=True)
class TakeHome:
    """The edited network to be saved: where, of which method, at which s."""

    path: Path | None = None
    method: str | None = None
    at: str | None = None

    def check(self, spec: Spec) -> None:
        """Refuse before anything is computed."""
        if self.path is None:
            if self.method is not None:
                raise BadValue("--method: goes with --save-model; --methods chooses what is computed")
            return
        _writable("--save-model", self.path, (".safetensors",))
        methods = getattr(spec, "methods", ())
        if self.method is not None and self.method not in methods:
            raise BadValue(f"--method: choose from {', '.join(methods)}; got {self.method!r}")

    def save(self, result: Result) -> None:
        if self.path is None:
            return
        from gif_dash.experiments.takehome import save_model
        from gif_dash.terminal import TerminalProgress

        method = self.method or result.spec["methods"][0]
        scalar = result.scalar(method, self.at or "best")
        with TerminalProgress() as progress:
            save_model(result.model(method, scalar, progress), self.path, result, method, scalar)
        click.echo(f"{LABELS[method]} at s = {scalar:.4g} written to {self.path}")


def _listed(path: Path) -> str:
    """Whole numbers of a text file, with commas."""
    try:
        return ",".join(path.read_text(encoding="utf-8").replace(",", " ").split())
    except (OSError, UnicodeDecodeError) as error:
        raise BadValue(f"--forget-indices: {path} cannot be read ({error})") from None


def _writable(flag: str, path: Path, endings: tuple[str, ...]) -> None:
    if path.suffix not in endings:
        raise BadValue(f"{flag}: the file's name must end in {' or '.join(endings)}; got '{path.name}'")
    if not path.resolve().parent.is_dir():
        raise BadValue(f"{flag}: there is no folder '{path.parent}'")


def _run(kind: type[Spec], texts: dict[str, str], out: Path | None, fresh: bool, home: TakeHome, crew: Crew) -> None:
    if out is not None:
        _writable("--out", out, _TABLES)
    with _sentences():
        spec = kind.parse({name: spelling.parse_text(kind, name, text) for name, text in texts.items()})
        home.check(spec)
        from gif_dash.api import run as compute

        result = _elsewhere(spec, crew) if crew.elsewhere else compute(spec, fresh=fresh)
        home.save(result)
    _write(out, result.table, result.to_json)
    show(_table(result.summary()))
    if said := result.provenance.get("incomplete"):
        click.echo(said)
    if out is not None:
        click.echo(f"{len(result.table)} rows written to {out}")


def _elsewhere(spec: Spec, crew: Crew) -> Result:
    """The answer of a worker.

    Raises:
        click.ClickException: one sentence, if it failed.
    """
    from gif_dash.grid import Cell
    from gif_dash.terminal import TerminalProgress

    with TerminalProgress() as bar:
        [outcome] = crew.run_cells([Cell(spec, {})], bar, lambda place, outcome: None).outcomes
    if outcome.result is None:
        raise click.ClickException(outcome.error)
    return outcome.result


def _run_grid(
    kind: type[Spec],
    texts: dict[str, str],
    axes: tuple[str, ...],
    out: Path | None,
    fresh: bool,
    home: TakeHome,
    crew: Crew,
) -> None:
    """Every cell is stored as soon as it is there; exit status 1 if one failed."""
    from gif_dash import grid
    from gif_dash.terminal import TerminalProgress

    if out is not None:
        _writable("--out", out, _TABLES)
    if home.path is not None or home.method is not None:
        raise BadValue("--save-model: goes with one question, not with --grid")
    with _sentences("--grid"):
        values = grid.parse(kind, axes)
    if twice := [name for name in values if name in texts and _given(name)]:
        raise BadValue(f"--{spelling.flag(twice[0])}: is in --grid, too; give it once")
    texts = {name: text for name, text in texts.items() if name not in values}
    with _sentences("--grid", tuple(values)):
        plain = {name: spelling.parse_text(kind, name, text) for name, text in texts.items()}
        listed = grid.cells(kind, plain, values)
    done = 0

    def told(place: int, outcome: grid.Outcome) -> None:
        nonlocal done
        done += 1
        click.echo(f"cell {place} of {len(listed)}: {outcome.cell}: {outcome}", err=True)

    with _sentences("--grid", tuple(values)), TerminalProgress() as bar:
        try:
            if crew.elsewhere:
                found = crew.run_cells(listed, bar, told)
            else:
                found = grid.run_cells(listed, lambda head: grid.Headed(bar, head), fresh=fresh, told=told)
        except KeyboardInterrupt:
            again = "the same command" + (" without --fresh" if fresh else "")
            said = f"Stopped after {done} of {len(listed)} cells; what is computed is stored, and {again} goes on there"
            click.echo(said, err=True)
            raise
    _write(out, found.table, found.to_json)
    if len(found.table):
        show(_table(found.summary()))
    told_once = dict.fromkeys(
        outcome.result.provenance.get("incomplete") for outcome in found.outcomes if outcome.result
    )
    for said in filter(None, told_once):
        click.echo(said)
    if out is not None:
        click.echo(f"{len(found.table)} rows written to {out}")
    if found.failed:
        count = len(found.failed)
        raise click.ClickException(f"{count} of {len(listed)} cells failed: {found.failed[0].error}")


@contextmanager
def _sentences(flag: str = "", names: tuple[str, ...] = ()) -> Iterator[None]:
    """Errors that are meant for people, as one sentence and an exit status.

    Args:
        flag: the flag whose value is read; settings in it are named after it.
        names: if given, only these settings are in the flag.
    """
    try:
        yield
    except SpecError as error:
        within = flag and (error.field in names or not names)
        named = [flag] if within else []
        if error.field:
            named.append(spelling.flag(error.field) if within else f"--{spelling.flag(error.field)}")
        raise BadValue(": ".join([" ".join(named), error.reason]) if named else error.reason) from None
    except KeyboardInterrupt:
        raise click.Abort from None
    except (ValueError, OSError) as error:  # sentences of the scenarios and the engine, and of the operating system
        raise click.ClickException(str(error)) from error


def _write(out: Path | None, table: pd.DataFrame, to_json: Callable[[], str]) -> None:
    if out is None:
        return
    if out.suffix == ".csv":
        table.to_csv(out, index=False)
    elif out.suffix == ".parquet":
        table.to_parquet(out, index=False)
    else:
        out.write_text(to_json())


def _table(frame: pd.DataFrame) -> Table:
    table = Table(box=None, header_style="bold")
    for name in frame.columns:
        words = not pd.api.types.is_numeric_dtype(frame[name])
        table.add_column(str(name), justify="left" if words else "right", no_wrap=True)
    for row in frame.itertuples(index=False):
        table.add_row(*(_cell(value) for value in row))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.4g}"
    return LABELS.get(str(value), str(value))


for _entry in catalog.EXPERIMENTS.values():
    _add_run(_entry)


if __name__ == "__main__":
    main()
