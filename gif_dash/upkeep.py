"""Commands around the dashboard: prepare scenarios, look after what is kept, see what is installed, open JupyterLab."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from gif_dash import __version__, catalog, resources
from gif_dash.compute.cards import believed_card
from gif_dash.compute.paths import cache_dir, data_dir
from gif_dash.compute.store import StoreError, open_store
from gif_dash.specs import RemovalSpec, Spec, SpecError
from gif_dash.terminal import TerminalProgress, show

#: Names of classes that `prepare` lists, at most.
SHOWN_CLASSES = 20

_PACKAGES = ("torch", "torchvision", "numpy", "pandas", "plotly", "ipywidgets", "anywidget", "voila", "jupyterlab")


def prepare(names: tuple[str, ...], classes: str, experiments: str = "removal") -> None:
    """Get data, train, make references and the default runs of scenarios.

    Args:
        names: of the scenarios.
        classes: what class removal is to forget, see the command.
        experiments: names with commas, or ``all``; others than class removal are asked their default question.

    What is there already is not made again, so an interrupted preparation goes on where it stopped.

    Raises:
        click.ClickException: one sentence, if a scenario is not known or cannot be had.
    """
    from gif_dash.api import run
    from gif_dash.scenarios import load

    chosen = _experiments(experiments)
    for name in names:
        began = time.perf_counter()
        try:
            with TerminalProgress() as progress:
                card = load(name, progress).card
            positions = _classes(classes, len(card.classes))
            questions = [("removal", f"class {card.classes[place]}", place) for place in positions]
            others = [(entry, catalog.EXPERIMENTS[entry].title, positions[0]) for entry in chosen if entry != "removal"]
            for entry, title, place in (questions if "removal" in chosen else []) + others:
                started = time.perf_counter()
                try:
                    run(_default(entry, name, place))
                except ValueError as error:
                    if entry == "removal":
                        raise
                    click.echo(f"{name}: {title}: {error}")  # not every scenario allows every experiment
                else:
                    click.echo(f"{name}: {title} in {time.perf_counter() - started:.1f} s")
        except (ValueError, OSError) as error:
            raise click.ClickException(str(error)) from error
        size = sum(path.stat().st_size for path in _checkpoints() if path.name.startswith(f"{name}-"))
        accuracy = f", test accuracy {card.test_accuracy:.2f} %" if card.test_accuracy is not None else ""
        if name not in catalog.SCENARIOS:
            listed = ", ".join(f"{position} {label}" for position, label in enumerate(card.classes[:SHOWN_CLASSES]))
            more = ", …" if len(card.classes) > SHOWN_CLASSES else ""
            click.echo(f"{name}: {card.data_note}; {card.train_size:,} to train, {card.test_size:,} to test")
            click.echo(f"{name}: classes {listed}{more}")
        click.echo(f"{name} is ready: {time.perf_counter() - began:.1f} s, {_size(size)} of checkpoints{accuracy}")


def _default(experiment: str, scenario: str, position: int) -> Spec:
    """An experiment's default question about a scenario, with a class that it has."""
    kind: type[Spec] = catalog.resolve(catalog.EXPERIMENTS[experiment].spec)
    values: dict[str, Any] = {"scenario": scenario}
    if "forget_classes" in kind.model_fields:
        values["forget_classes"] = (position,)
    return kind.parse(values)


def _experiments(text: str) -> list[str]:
    """Names behind ``all`` or a list with commas: experiments that are about a scenario."""
    known = [name for name, entry in catalog.EXPERIMENTS.items() if entry.needs_scenario]
    if text == "all":
        return known
    wanted = [part.strip() for part in text.split(",") if part.strip()]
    if unknown := [name for name in wanted if name not in known]:
        raise click.ClickException(f"--experiments: 'all' or some of {', '.join(known)}; got {unknown[0]!r}")
    return wanted


def prepare_first(names: Sequence[str]) -> None:
    """Prepare those scenarios that are not ready, in a process of its own: who calls this stays free of torch.

    Raises:
        SystemExit: with the exit code of the preparation, if it failed; it has said why.
    """
    store = open_store()
    missing = [name for name in names if believed_card(store, name) is None]
    if not missing:
        return
    click.echo(f"Preparing {', '.join(missing)} (once): training, then a first result")
    if code := subprocess.call([sys.executable, "-m", "gif_dash.cli", "prepare", *missing]):
        sys.exit(code)


def _classes(text: str, count: int) -> list[int]:
    """Positions behind ``default``, ``all`` or a list with commas."""
    if text == "default":
        return [position for position in RemovalSpec().forget_classes if position < count] or [count - 1]
    if text == "all":
        return list(range(count))
    try:
        positions = [int(part) for part in text.split(",")]
    except ValueError:
        positions = [-1]
    if any(not 0 <= position < count for position in positions):
        raise SpecError(f"--classes: 'default', 'all' or positions from 0 to {count - 1} with commas; got {text!r}")
    return positions


def doctor() -> int:
    """Show versions, device, data, store and disk, and say in one line whether all is well.

    Returns:
        The exit code: 0 if the dashboard can run.
    """
    table = Table(box=None, show_header=False)
    problems: list[str] = []
    table.add_row("gif_dash", __version__)
    table.add_row("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for package in _PACKAGES:
        try:
            table.add_row(package, version(package))
        except PackageNotFoundError:
            table.add_row(package, "missing")
            problems.append(f"{package} is not installed")
    table.add_row("device", _device(problems))
    for name, folder in (("cache", cache_dir()), ("data", data_dir())):
        table.add_row(f"{name} folder", str(folder))
    store = open_store()
    if store.warning:
        problems.append(store.warning)
    size = store.path.stat().st_size if store.path.is_file() else 0
    table.add_row("results", f"{len(store.history())} in {_size(size)}")
    checkpoints = _checkpoints()
    table.add_row("checkpoints", f"{len(checkpoints)} in {_size(sum(path.stat().st_size for path in checkpoints))}")
    table.add_row(
        "MNIST", "found" if (data_dir() / "MNIST" / "raw").is_dir() else "not found (only mnist-cnn needs it)"
    )
    for name in catalog.scenarios():
        if name not in catalog.SCENARIOS:
            table.add_row(name, _own(name, problems))
    free = shutil.disk_usage(_existing(cache_dir())).free
    table.add_row("free disk", _size(free))
    if free < 200e6:
        problems.append(f"only {_size(free)} of disk are free at the cache folder")
    show(table)
    click.echo("All is well." if not problems else f"To mend: {'; '.join(problems)}.")
    return 1 if problems else 0


def _device(problems: list[str]) -> str:
    try:
        import torch

        from gif_dash.scenarios import device
    except (ImportError, OSError) as error:
        problems.append(f"torch cannot be imported ({error})")
        return "unknown"
    chosen = device()
    name = torch.cuda.get_device_name(chosen) if chosen.type == "cuda" else f"{os.cpu_count()} cores"
    return f"{chosen.type} ({name})"


def _own(name: str, problems: list[str]) -> str:
    """What there is of a person's own scenario, without reading pictures or training."""
    from gif_dash.scenarios import get

    try:
        scenario = get(name)
    except (ValueError, OSError) as error:
        problems.append(str(error))
        return "cannot be used"
    sizes = [len(part) for part in (scenario.train, scenario.test)]  # type: ignore[arg-type]
    return f"{len(scenario.classes)} classes, {sizes[0]:,} to train, {sizes[1]:,} to test: {scenario.summary}"


def list_cache() -> None:
    """Show what is kept: results, newest first, and checkpoints."""
    store = open_store()
    table = Table(box=None, header_style="bold")
    for title in ("computed", "name", "experiment", "scenario", "seconds", "question", ""):
        table.add_column(title, no_wrap=title not in ("name", "question"))
    for row in store.history():
        values = {name: value for name, value in json.loads(row.spec).items() if name != "experiment"}
        entry = catalog.EXPERIMENTS.get(row.experiment)
        defaults = catalog.resolve(entry.spec)().model_dump(mode="json") if entry is not None else {}
        changed = {name: value for name, value in values.items() if name in defaults and value != defaults[name]}
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(row.created))
        words = ", ".join(f"{name}={value}" for name, value in changed.items()) or "defaults"
        marks = ", ".join(["pinned"] * row.pinned + ["older code"] * row.old_code)
        cells = (when, row.name, row.experiment, row.scenario, f"{row.seconds:.1f}", words, marks)
        table.add_row(*(escape(cell) for cell in cells))
    show(table)
    for path in _checkpoints():
        click.echo(f"{_size(path.stat().st_size):>10}  {path.name}")
    if pieces := _pieces():
        size = _size(sum(path.stat().st_size for path in pieces))
        click.echo(f"{size:>10}  {len(pieces)} finished parts of long runs")
    click.echo(f"kept in {cache_dir()}")


def clear_question(pinned_too: bool) -> str:
    """What is asked before `clear_cache`."""
    pinned = 0 if pinned_too else sum(row.pinned for row in open_store().history())
    stay = f" ({pinned} pinned {'result stays' if pinned == 1 else 'results stay'})" if pinned else ""
    return f"Delete all results and checkpoints of gif_dash?{stay}"


def clear_cache(pinned_too: bool = False) -> None:
    """Delete the results, the finished parts of long runs and the checkpoints, and nothing else.

    Args:
        pinned_too: whether pinned results go as well.
    """
    store, before = open_store(), _kept()
    kept = 0
    if not pinned_too:
        try:
            kept = store.clear()
        except StoreError as error:
            raise click.ClickException(str(error)) from error
    store.close()
    for path in [*_checkpoints(), *_pieces(), *([] if kept else cache_dir().glob("store.sqlite*"))]:
        path.unlink()
    pins = f"; {kept} pinned {'result stays' if kept == 1 else 'results stay'} (--all deletes pinned ones too)"
    click.echo(f"{_size(before - _kept())} deleted from {cache_dir()}{pins if kept else ''}")


def _kept() -> int:
    """Bytes of results, finished parts of long runs, and checkpoints."""
    return sum(path.stat().st_size for path in [*_checkpoints(), *_pieces(), *cache_dir().glob("store.sqlite*")])


def lab(arguments: tuple[str, ...]) -> int:
    """Copy the notebooks to the current folder (existing files stay) and open JupyterLab there.

    Returns:
        JupyterLab's exit code.
    """
    for source in sorted(resources.notebooks().glob("*.ipynb")):
        target = Path.cwd() / source.name
        if target.exists():
            click.echo(f"{target.name} is here already and stays as it is")
        else:
            shutil.copyfile(source, target)
            click.echo(f"{target.name} copied")
    quiet = [  # JupyterLab asks nobody for news, updates or extensions
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
    ]
    return subprocess.call([sys.executable, "-m", "jupyterlab", *quiet, *arguments])


def _checkpoints() -> list[Path]:
    return sorted((cache_dir() / "checkpoints").glob("*.safetensors"))


def _pieces() -> list[Path]:
    return sorted((cache_dir() / "pieces").glob("*.piece"))


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError
