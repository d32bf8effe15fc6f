"""The spellings of a spec: link, command line, Python, YAML, and back.

Only values that differ from the default are written, so the shortest spelling is also the most readable one.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any, TypeVar, get_args, get_origin
from urllib.parse import urlencode

from gif_dash import catalog
from gif_dash.specs import Spec, SpecError

S = TypeVar("S", bound=Spec)

#: Flags that read better in the singular than the field's name.
_FLAGS = {"forget_classes": "forget-class", "forget_indices": "forget-index"}

#: Characters that a YAML text of a question may have.
MOST_YAML = 1_000_000

#: A list without values; an empty text would be lost in a link and at a prompt.
NONE = "none"


def flag(name: str) -> str:
    """The command-line flag of a field, without the dashes."""
    return _FLAGS.get(name, name.replace("_", "-"))


def is_list(spec: type[Spec], name: str) -> bool:
    """Whether a field holds several values (written with commas)."""
    return get_origin(spec.model_fields[name].annotation) is tuple


def changed(spec: Spec) -> dict[str, Any]:
    """Fields that differ from their default, as JSON values."""
    values = spec.model_dump(mode="json")
    defaults = type(spec)().model_dump(mode="json")
    return {name: value for name, value in values.items() if value != defaults[name]}


def written(value: Any) -> str:
    """A JSON value of a field as people type it."""
    if isinstance(value, list):
        return ",".join(map(written, value)) or NONE
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def to_query(spec: Spec) -> dict[str, str]:
    """Query parameters of a link that restores the spec (the experiment's name is not among them)."""
    return {flag(name): written(value) for name, value in changed(spec).items()}


def to_query_string(spec: Spec) -> str:
    """``?tab=EXPERIMENT&…``."""
    return "?" + urlencode({"tab": spec.experiment, **to_query(spec)}, safe=",")


def from_query(spec: type[S], query: Mapping[str, str]) -> tuple[S, list[str]]:
    """The nearest valid spec to a link, and one sentence for everything that had to be left out.

    Unknown parameters are ignored: other parts of the page have parameters of their own.
    """
    names = {flag(name): name for name in spec.model_fields}
    values = {names[key]: parse_text(spec, names[key], text) for key, text in query.items() if key in names}
    sentences: list[str] = []
    while True:
        try:
            return spec.parse(values), sentences
        except SpecError as error:
            sentence = f"The link was not followed in one point: {error}"
            if sentence not in sentences:  # what is left out may have a default that does not fit either
                sentences.append(sentence)
            if error.field in values:
                del values[error.field]
            else:  # several fields together are at fault
                values = {}


def _choices(spec: type[Spec], name: str) -> tuple[Any, ...]:
    """What the entries of a list may be, if they are among a few words; else nothing."""
    entries = get_args(spec.model_fields[name].annotation)
    return get_args(entries[0]) if entries else ()


def parse_text(spec: type[Spec], name: str, text: str) -> Any:
    """What a person typed for a field, ready for validation: lists are split at commas."""
    if is_list(spec, name):
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return [] if parts == [NONE] and NONE not in _choices(spec, name) else parts
    return text


def to_cli(spec: Spec) -> str:
    """The command that computes the spec."""
    flags = [f"--{flag(name)} {shlex.quote(written(value))}" for name, value in changed(spec).items()]
    return " ".join(["gif-dash run", spec.experiment, *flags]) + catalog.flags(getattr(spec, "scenario", ""))


def to_python(spec: Spec) -> str:
    """Python lines that compute the spec."""
    arguments = ", ".join(f"{name}={_literal(value)}" for name, value in changed(spec).items())
    kind = type(spec).__name__
    own = {name: text for name, text in catalog.settings(getattr(spec, "scenario", "")).items() if text}
    given = [f"{variable}={own[variable]!r}" for variable in catalog.FLAGS.values() if variable in own]
    before = f"import os\n\nos.environ.update({', '.join(given)})\n\n" if given else ""
    return f"{before}from gif_dash import {kind}, run\n\nresult = run({kind}({arguments}))\nresult.table"


def _literal(value: Any) -> str:
    return repr(tuple(value)) if isinstance(value, list) else repr(json.loads(json.dumps(value)))


def to_yaml(spec: Spec) -> str:
    """A YAML text of the spec: the experiment's name, and the fields that differ from their default."""
    import yaml

    values = {"experiment": spec.experiment, **changed(spec)}
    text: str = yaml.dump(
        values, Dumper=_flat_dumper(), sort_keys=False, allow_unicode=True, default_flow_style=False, width=100
    )
    return text


def from_yaml(text: str) -> Spec:
    """The spec that a YAML text describes. Values are taken as text and validated as those of a command line are.

    Raises:
        SpecError: one sentence for the first thing that is wrong.
    """
    values = _flat(text)
    name = values.pop("experiment", "")
    entry = catalog.EXPERIMENTS.get(name) if isinstance(name, str) else None
    if entry is None:
        raise SpecError(f"experiment: choose from {', '.join(catalog.EXPERIMENTS)}; got {str(name)[:80]!r}")
    kind: type[Spec] = catalog.resolve(entry.spec)
    names = {flag(field): field for field in kind.model_fields}  # as people know them from links and flags
    fields: dict[str, Any] = {}
    for key, value in values.items():
        field = names.get(key, key)
        if field in fields:
            raise SpecError(f"{key} is there twice")
        known = field in kind.model_fields
        fields[field] = parse_text(kind, field, value) if known and isinstance(value, str) else value
    return kind.parse(fields)


def _flat(text: str) -> dict[str, str | list[str]]:
    """A YAML text of settings with a value or a list of values each; nothing else in it is made or executed.

    Raises:
        SpecError: it is something else.
    """
    import yaml

    if len(text) > MOST_YAML:
        raise SpecError(f"a question has at most {MOST_YAML:,} characters; this text has {len(text):,}")
    try:
        root = yaml.compose(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise SpecError(f"this is not YAML{where}: {getattr(error, 'problem', None) or 'it cannot be read'}") from None
    values: dict[str, str | list[str]] = {}
    for key, value in root.value if isinstance(root, yaml.MappingNode) else [(None, None)]:
        if not isinstance(key, yaml.ScalarNode):
            raise SpecError("a question is lines of “setting: value”, one of them “experiment: …”")
        if key.value in values:
            raise SpecError(f"{key.value[:80]} is there twice")
        if isinstance(value, yaml.ScalarNode):
            values[key.value] = value.value
        elif isinstance(value, yaml.SequenceNode) and all(isinstance(item, yaml.ScalarNode) for item in value.value):
            values[key.value] = [item.value for item in value.value]
        else:
            raise SpecError(f"{key.value[:80]} takes a value or a list of values")
    return values


def _flat_dumper() -> Any:
    """Writes lists on one line, as people do."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def in_a_line(dumper: yaml.SafeDumper, data: list[Any]) -> yaml.Node:
        return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)

    Dumper.add_representer(list, in_a_line)
    return Dumper
