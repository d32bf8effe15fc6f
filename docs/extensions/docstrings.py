"""The API from docstrings as they are written here, complete by construction, and the help of all commands."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields, is_dataclass
from fnmatch import fnmatch
from importlib import import_module
from typing import Any, ClassVar

import click
from docutils import nodes
from docutils.parsers.rst import Directive, directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.inspect import stringify_signature

from gif_dash import cli, spelling
from gif_dash.specs import Spec, allowed

#: ``literals`` stay as they are, every other bar would begin a substitution.
LITERAL_OR_BAR = re.compile(r"(``.+?``)|\|")

#: How Python writes a function that is a default.
FUNCTION = re.compile(r"<function (?:[\w.]+\.)?(\w+)(?: at 0x\w+)?>")


#: Docstrings of properties and values, hidden from napoleon: it takes what stands before a colon for a type.
_HIDDEN: dict[str, list[str]] = {}


def _hide(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    if what in ("property", "attribute", "data"):
        _HIDDEN[name] = lines[:]
        lines.clear()


def _show(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    lines += _HIDDEN.pop(name, [])


def _bars(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Bars are norms and absolute values, and a minus sign may stand before a name."""
    lines[:] = [LITERAL_OR_BAR.sub(lambda found: found[1] or r"\|", line).replace("−`", "−\\ `") for line in lines]


def _settings(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """The fields of a spec: name, default, flag, meaning, what is allowed."""
    if not (isinstance(thing, type) and issubclass(thing, Spec)):
        return
    defaults = thing().model_dump(mode="json")
    lines.append("")
    for field, info in thing.model_fields.items():
        rule = allowed(thing, field)
        unit = (info.json_schema_extra or {}).get("unit", "")  # type: ignore[union-attr]
        lines += [
            f"``{field}`` = ``{defaults[field]!r}``{f' {unit}' if unit else ''}",
            f"    {info.title} (``--{spelling.flag(field)}``): {info.description}{f'; {rule}' if rule else ''}",
            "",
        ]


class Public(SphinxDirective):
    """``.. public:: MODULE`` documents the names of its ``__all__`` that match ``:names:`` (patterns; by default all)
    and that the page does not have yet."""

    required_arguments = 1
    option_spec: ClassVar[Any] = {"names": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        module = import_module(self.arguments[0])
        patterns = self.options.get("names", "*").split()
        done: set[str] = self.env.current_document.setdefault("public", set())
        lines = []
        for name in sorted(module.__all__, key=lambda name: _place(name, patterns)):
            full = f"{module.__name__}.{name}"
            if full in done or name.startswith("__") or _place(name, patterns) == len(patterns):
                continue
            done.add(full)
            lines += [f".. {_kind(getattr(module, name))}:: {full}", *_options(getattr(module, name)), ""]
        box = nodes.Element()
        self.state.nested_parse(StringList(lines, self.get_location()), self.content_offset, box)
        return box.children


def _place(name: str, patterns: list[str]) -> int:
    """Of the first pattern that fits; behind all where none does."""
    return next((place for place, pattern in enumerate(patterns) if fnmatch(name, pattern)), len(patterns))


def _kind(thing: Any) -> str:
    return "autoclass" if inspect.isclass(thing) else "autofunction" if inspect.isfunction(thing) else "autodata"


def _options(thing: Any) -> list[str]:
    """Members of classes, but for specs, whose fields are told in `_settings`, and dictionaries with fixed keys."""
    if not inspect.isclass(thing) or issubclass(thing, (Spec, dict)):
        return []
    # a function that is a field's default would be taken for a method
    functions = [field.name for field in fields(thing) if callable(field.default)] if is_dataclass(thing) else []
    return ["   :members:", *([f"   :exclude-members: {', '.join(functions)}"] if functions else [])]


class Commands(Directive):
    """``.. commands::`` prints the help of ``gif-dash`` and of all its commands, each in a section of its own."""

    def run(self) -> list[nodes.Node]:
        return list(_help(cli.main, "gif-dash", None))


def _help(command: click.Command, path: str, parent: click.Context | None) -> list[nodes.Node]:
    context = click.Context(
        command, info_name=path.rpartition(" ")[2], parent=parent, terminal_width=88, max_content_width=88
    )
    section = nodes.section(ids=[nodes.make_id(path)], names=[path])
    text = command.get_help(context)
    section += [nodes.title("", path), nodes.literal_block(text, text, language="text")]
    found: list[nodes.Node] = [section]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            found += _help(child, f"{path} {name}", context)
    return found


def _signature(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str | None, result: str | None
) -> tuple[str | None, str | None]:
    """Defaults that are no expressions would keep a signature from being read; a spec's settings stand below it."""
    if getattr(thing, "_is_protocol", False) or (inspect.isclass(thing) and issubclass(thing, Spec)):
        return "", result
    if signature and signature.startswith("(*args") and "__init__" in vars(thing):
        own = inspect.signature(thing.__init__)
        signature = stringify_signature(own.replace(parameters=list(own.parameters.values())[1:]))
    if signature:
        signature = FUNCTION.sub(r"\1", signature.replace("<factory>", "..."))
    return signature, result


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("public", Public)
    app.add_directive("commands", Commands)
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-process-docstring", _hide, priority=400)  # napoleon has 500
    app.connect("autodoc-process-docstring", _show, priority=600)
    app.connect("autodoc-process-docstring", _settings, priority=600)
    app.connect("autodoc-process-docstring", _bars, priority=700)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
