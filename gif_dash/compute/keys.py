"""The name of a result: what was asked, of which model and data, computed by which code."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from gif_dash import catalog
from gif_dash.specs import Spec

#: Packages whose every line counts, whatever the experiment.
_ALWAYS = ("gif_dash.influence", "gif_dash.scenarios")
#: Packages of which a module counts when the experiment imports it (plumbing and pictures do not change numbers).
_FOLLOWED = ("gif_dash.experiments", "gif_dash.toy", "gif_dash.line")


def result_key(spec: Spec, fingerprint: str, code: str | None = None) -> str:
    """SHA-256 of the spec's canonical JSON, the scenario's fingerprint and the experiment's code.

    Args:
        spec: the question.
        fingerprint: of the scenario (`ScenarioCard.fingerprint`); empty for experiments without one.
        code: hash of the code; of the code on disk when this process first looked, by default.
    """
    code = code_hash(spec.experiment) if code is None else code
    return hashlib.sha256("\0".join((spec.canonical(), fingerprint, code)).encode()).hexdigest()


def scenario_of(spec: Spec) -> str:
    """The name of the scenario a spec is about; empty where the experiment needs none."""
    return str(getattr(spec, "scenario", "")) if catalog.EXPERIMENTS[spec.experiment].needs_scenario else ""


def code_hash(experiment: str) -> str:
    """SHA-256 of the source of `influence`, `scenarios` and the experiment's module with what that imports.

    Sources are read, never imported: a process without torch gets the same hash. Read once per process and
    experiment, as code that is already imported does not change with its file.
    """
    return _code_hash(catalog.EXPERIMENTS[experiment].target.partition(":")[0])


@cache
def _code_hash(module: str) -> str:
    files: dict[str, Path] = {}
    for package in _ALWAYS:
        root = _source(package).parent
        files.update((f"{package}/{file.relative_to(root).as_posix()}", file) for file in root.rglob("*.py"))
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in files:
            continue
        files[name] = _source(name)
        for found in _imports(name, files[name]):
            if found.startswith(_FOLLOWED):
                with suppress(ModuleNotFoundError):  # a function of the module, not a module
                    _source(found)
                    waiting.append(found)
    digest = hashlib.sha256()
    for name, file in sorted(files.items()):
        digest.update(f"{name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _source(module: str) -> Path:
    """The file of a module. Only the top-level package is looked up, which imports nothing.

    Raises:
        ModuleNotFoundError: there is no such module, or it has no source file.
    """
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is not None and not rest and spec.origin is not None:
        return Path(spec.origin)
    for location in (spec.submodule_search_locations or ()) if spec is not None else ():
        base = Path(location, *rest)
        for file in (base / "__init__.py", base.with_suffix(".py")):
            if file.is_file():
                return file
    raise ModuleNotFoundError(f"no source file for the module {module!r}", name=module)


def _imports(module: str, file: Path) -> Iterator[str]:
    """Absolute names that a source file imports anywhere in it: modules, and what may be modules of a package."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
