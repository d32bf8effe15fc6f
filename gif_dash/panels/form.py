"""The control form of a panel, made from the fields of its spec.

A field's type decides its control: a range with an exact number beside it, a list, a few buttons. The spec may ask
for one by name in ``json_schema_extra["widget"]``: ``toggle``, ``class``, ``classes``, ``methods``, ``scenario``,
``indices``. Several of a few choices are ``checks``; a list of numbers is typed.
Everything is native HTML, so names, roles and the keyboard come with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

import anywidget
import traitlets

from gif_dash.figures.theme import CRITERION_STYLE, METHOD_STYLE, swatch
from gif_dash.panels.page import STATIC
from gif_dash.specs import LABELS, Spec, SpecError, allowed
from gif_dash.spelling import is_list, parse_text

S = TypeVar("S", bound=Spec)

#: From this ratio of largest to smallest value on, a range moves in equal ratios instead of equal differences.
LOG_RATIO = 1000
#: Whole-number fields with more values than this are typed, not dragged (seeds).
MANY = 10_000_000


def describe(spec: type[Spec], overrides: Mapping[str, Mapping[str, Any]] | None = None) -> list[dict[str, Any]]:
    """What the page needs to know of every field, in the spec's order.

    Args:
        spec: the spec class.
        overrides: per field, entries that replace the derived ones (for example ``{"kind": "toggle"}``, or
            ``{"hidden": True}`` for a field that the panel sets in another way).

    Returns:
        One dictionary per field: name, title, help, unit, advanced, kind, list (whether it holds several values), and
        for numbers min, max, step, log, integer; for choices choices = [{value, label}], for methods with swatch and
        unusual (folded away).
    """
    properties = spec.model_json_schema()["properties"]
    fields = [_field(spec, name, properties[name]) for name in spec.model_fields]
    for field in fields:
        field.update((overrides or {}).get(field["name"], {}))
    return fields


def _field(spec: type[Spec], name: str, schema: dict[str, Any]) -> dict[str, Any]:
    choices = schema.get("enum") or schema.get("items", {}).get("enum") or []
    field: dict[str, Any] = {
        "name": name,
        "title": schema.get("title", name),
        "help": schema.get("description", ""),
        "allowed": allowed(spec, name),
        "unit": schema.get("unit", ""),
        "advanced": schema.get("advanced", False),
        "list": is_list(spec, name),
        "choices": [{"value": value, "label": LABELS.get(value, value)} for value in choices],
        "kind": schema.get("widget", ""),
    }
    if field["list"] and choices:
        field["kind"] = field["kind"] or "checks"
        field["choices"] = [
            {**choice, "swatch": _swatch(choice["value"]), "unusual": choice["value"] in schema["unusual"]}
            for choice in field["choices"]
        ]
    if schema.get("type") in ("integer", "number"):
        field |= _number(schema)
    elif not field["kind"]:
        field["kind"] = "select" if choices else "text"
    return field


def _swatch(value: str) -> str:
    return swatch(value) if value in METHOD_STYLE or value in CRITERION_STYLE else ""


def _number(schema: dict[str, Any]) -> dict[str, Any]:
    integer = schema["type"] == "integer"
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    if low is None or high is None or (integer and high - low > MANY):
        return {"kind": schema.get("widget") or "number", "integer": integer, "min": low, "max": high}
    step = 1 if integer else _nice((high - low) / 100)
    return {
        "kind": schema.get("widget") or "range",
        "integer": integer,
        "min": low + step if "exclusiveMinimum" in schema else low,
        "max": high,
        "step": step,
        "log": low > 0 and high / low >= LOG_RATIO,
    }


def _nice(step: float) -> float:
    """The largest of 1, 2, 5 × 10ⁿ that is not above the step."""
    power = 10.0 ** math.floor(math.log10(step) + 1e-9)
    return float(f"{max(factor * power for factor in (1, 2, 5) if factor * power <= step * (1 + 1e-9)):.12g}")


class Form(anywidget.AnyWidget, Generic[S]):
    """The form as one widget.

    Attributes:
        fields: see `describe`.
        values: what the person has entered, by field name, as JSON values; text where a list is being typed.
        choices: replaces the choices of a field while it is shown (example pictures of classes, states of scenarios).
        errors: one sentence per field that is wrong; key "" for the form as a whole.
        disabled: fields on which other fields leave no choice; shown, out of reach.
        hidden: fields that are not shown for the time being.
    """

    _esm = STATIC / "form.js"
    heard: ClassVar[tuple[str, ...]] = ("values",)

    fields = traitlets.List(traitlets.Dict()).tag(sync=True)
    values = traitlets.Dict().tag(sync=True)
    choices = traitlets.Dict().tag(sync=True)
    errors = traitlets.Dict().tag(sync=True)
    disabled = traitlets.List(traitlets.Unicode()).tag(sync=True)
    hidden = traitlets.List(traitlets.Unicode()).tag(sync=True)
    defaults = traitlets.Dict().tag(sync=True)
    label = traitlets.Unicode("Settings").tag(sync=True)

    def __init__(
        self,
        spec: type[S],
        start: S | None = None,
        *,
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.spec_class = spec
        super().__init__(
            fields=describe(spec, overrides),
            values=(start or spec()).model_dump(mode="json"),
            defaults=spec().model_dump(mode="json"),
        )

    def read(self) -> S:
        """The question that the form holds.

        Raises:
            SpecError: with one sentence for the first thing that is wrong; `errors` says it beside the field too.
        """
        values = {
            name: parse_text(self.spec_class, name, value) if isinstance(value, str) else value
            for name, value in dict(self.values).items()
            if name in self.spec_class.model_fields
        }
        try:
            spec = self.spec_class.parse(values)
        except SpecError as error:
            self.refuse(error)
            raise
        self.errors = {}
        return spec

    def refuse(self, error: SpecError) -> None:
        """Say what is wrong, beside the field that is at fault; for the form as a whole where it is not shown."""
        shown = {field["name"] for field in self.fields if not field.get("hidden")}
        self.errors = {error.field if error.field in shown else "": str(error)}

    def write(self, spec: S) -> None:
        """Show a question."""
        self.values = spec.model_dump(mode="json")

    def set(self, **values: Any) -> None:
        """Show other values of some fields (JSON values)."""
        self.values = {**self.values, **values}

    def offer(self, name: str, choices: Iterable[Mapping[str, Any]]) -> None:
        """Replace the choices of a field."""
        self.choices = {**self.choices, name: [dict(choice) for choice in choices]}
