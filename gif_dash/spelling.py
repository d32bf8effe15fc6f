"""The five spellings of a spec: link, command line, Python, and back.

Only values that differ from the default are written, so the shortest spelling is also the most readable one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar, get_origin
from urllib.parse import urlencode

from gif_dash import catalog
from gif_dash.specs import Spec, SpecError

S = TypeVar("S", bound=Spec)

#: Flags that read better in the singular than the field's name.
_FLAGS = {"forget_classes": "forget-class", "forget_indices": "forget-index"}

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
            sentences.append(f"The link was not followed in one point: {error}")
            if error.field in values:
                del values[error.field]
            else:  # several fields together are at fault
                values = {}


def parse_text(spec: type[Spec], name: str, text: str) -> Any:
    """What a person typed for a field, ready for validation: lists are split at commas."""
    if is_list(spec, name):
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return [] if parts == [NONE] else parts
    return text


def to_cli(spec: Spec) -> str:
    """The command that computes the spec."""
    flags = [f"--{flag(name)} {written(value)}" for name, value in changed(spec).items()]
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
