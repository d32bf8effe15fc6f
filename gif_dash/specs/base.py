"""What all specs have in common: validation that speaks in sentences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from gif_dash.results import ScenarioCard

MAX_SEED = 2**31 - 1


class SpecError(ValueError):
    """A question that cannot be asked; the message is one sentence for the person who asked it.

    `field` names the spec's field that is at fault, or is empty when several are; `reason` is the message without the
    field's title, for those who name the field in their own way (the command line names the flag).
    """

    def __init__(self, reason: str, field: str = "", title: str = "") -> None:
        super().__init__(f"{title}: {reason}" if title else reason)
        self.reason = reason
        self.field = field


def field(
    default: Any,
    title: str,
    help: str,
    *,
    unit: str = "",
    advanced: bool = False,
    widget: str = "",
    unusual: tuple[str, ...] = (),
    **constraints: Any,
) -> Any:
    """A field; `unusual` are choices that a form may fold away."""
    extra: dict[str, Any] = {"unit": unit, "advanced": advanced, "widget": widget, "unusual": list(unusual)}
    return Field(default=default, title=title, description=help, json_schema_extra=extra, **constraints)


class Spec(BaseModel):
    """Base of all specs: frozen, no unknown fields, every default valid."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    #: the experiment's name in the catalog
    experiment: ClassVar[str] = ""

    def canonical(self) -> str:
        """The spec as JSON text that is equal for equal questions (sorted keys, experiment's name included)."""
        payload = {"experiment": self.experiment, **self.model_dump(mode="json")}
        return json.dumps(payload, sort_keys=True, separators=(",", ":"))

    def check(self, card: ScenarioCard | None) -> None:
        """Validate against what the scenario has.

        Raises:
            SpecError: one sentence that names what the card does not allow.
        """

    def files(self) -> tuple[Path, ...]:
        """The files behind the data of a question without a scenario: where they change, it is computed again."""
        return ()

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Build a spec from untrusted values.

        Raises:
            SpecError: with one sentence instead of pydantic's report.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise explain(cls, error) from None


def fault(field: str, sentence: str) -> PydanticCustomError:
    """What a validator of the whole spec raises when one field is to be changed."""
    return PydanticCustomError("fault", "{sentence}", {"sentence": sentence, "field": field})


def explain(spec: type[Spec], error: ValidationError) -> SpecError:
    """Turn pydantic's report into one sentence about the first thing that is wrong."""
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    message = first["msg"].removeprefix("Value error, ")
    if not location:
        at_fault = first.get("ctx", {}).get("field", "")
        return SpecError(message, at_fault, (spec.model_fields[at_fault].title or "") if at_fault else "")
    name = location[0]
    if name not in spec.model_fields:
        return SpecError(f"there is no setting named {name!r}")
    title = spec.model_fields[name].title or name
    return SpecError(f"{allowed(spec, name) or message}; got {str(first['input'])[:80]!r}", name, title)


def allowed(spec: type[Spec], name: str) -> str:
    """The allowed values of a field in words, or nothing where the type says it all."""
    schema = spec.model_json_schema()["properties"][name]
    schema = {**schema, **schema.get("items", {})}
    if "enum" in schema:
        return "choose from " + ", ".join(map(str, schema["enum"]))
    kind = {"integer": "a whole number", "number": "a number"}.get(schema.get("type", ""), "")
    lower, upper = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    if lower is None or upper is None or not kind:
        return ""
    above = "above" if "exclusiveMinimum" in schema else "from"
    return f"{kind} {above} {lower:g} {'up ' if above == 'above' else ''}to {upper:g}"
