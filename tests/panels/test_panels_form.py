"""The form says what the spec says, and gives it back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gif_dash.panels.form import Form, describe
from gif_dash.specs import RemovalSpec, Spec, SpecError, ToySpec

REMOVALS = st.builds(
    RemovalSpec,
    forget_classes=st.lists(st.integers(0, 9), min_size=1, max_size=4).map(tuple),
    methods=st.lists(st.sampled_from(["gif", "fif", "pif", "if", "gradient"]), min_size=1, unique=True).map(tuple),
    criterion=st.sampled_from(["top-outputs", "top-gradients", "threshold", "random"]),
    mr=st.floats(0.01, 100),
    iterations=st.integers(1, 2000),
    damping=st.floats(0, 10),
    seed=st.integers(0, 2**31 - 1),
)


@pytest.mark.parametrize("spec", [ToySpec, RemovalSpec])
def test_every_field_has_a_title_a_help_and_a_control(spec: type[Spec]) -> None:
    fields = describe(spec)
    assert [field["name"] for field in fields] == list(spec.model_fields)
    known = {"range", "number", "select", "toggle", "classes", "methods", "scenario", "indices"}
    for field in fields:
        if spec is ToySpec and field["name"] == "edits":
            known.add("text")  # made in the picture; the panel hides it
        assert field["title"]
        assert field["help"]
        assert field["kind"] in known, field["name"]
        if field["kind"] == "range":
            assert field["min"] < field["max"]
            assert field["step"] > 0
        if field["kind"] in ("select", "toggle", "methods"):
            assert all(choice["label"] for choice in field["choices"])


def test_default_lies_within_its_range() -> None:
    for spec in (ToySpec, RemovalSpec):
        values = spec().model_dump(mode="json")
        for field in describe(spec):
            if field["kind"] == "range":
                assert field["min"] <= values[field["name"]] <= field["max"], field["name"]


def test_wide_ranges_move_in_ratios() -> None:
    fields = {field["name"]: field for field in describe(RemovalSpec)}
    assert fields["curvature_samples"]["log"]
    assert not fields["mr"]["log"]
    assert fields["seed"]["kind"] == "number"


def test_unusual_fields_are_folded_away() -> None:
    usual = [field["name"] for field in describe(RemovalSpec) if not field["advanced"]]
    assert usual == ["scenario", "forget_classes", "methods", "criterion", "mr"]


@settings(deadline=None, max_examples=50)
@given(REMOVALS)
def test_form_gives_back_what_it_was_given(spec: RemovalSpec) -> None:
    form = Form(RemovalSpec)
    form.write(spec)
    assert form.read() == spec
    assert form.errors == {}


def test_typed_lists_are_read() -> None:
    form = Form(RemovalSpec)
    form.set(forget_indices="4, 2,2 ,9", forget_classes=[])
    assert form.read().forget_indices == (2, 4, 9)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("mr", 0, "above 0 up to 100"),
        ("mr", 101, "above 0 up to 100"),
        ("forget_indices", "1, two", ""),
        ("methods", [], ""),
        ("criterion", "best", "top-outputs"),
        ("seed", -1, ""),
    ],
)
def test_wrong_value_is_said_beside_its_field(name: str, value: object, says: str) -> None:
    form = Form(RemovalSpec)
    form.set(**{name: value})
    with pytest.raises(SpecError):
        form.read()
    assert list(form.errors) == [name]
    assert says in form.errors[name]
    assert "\n" not in form.errors[name]
    form.write(RemovalSpec())
    form.read()
    assert form.errors == {}


def test_error_of_several_fields_is_said_for_the_form() -> None:
    form = Form(RemovalSpec)
    form.set(forget_classes=[])
    with pytest.raises(SpecError):
        form.read()
    assert list(form.errors) == [""]


def test_values_of_unknown_fields_are_ignored() -> None:
    form = Form(RemovalSpec)
    form.set(nonsense=1)
    assert form.read() == RemovalSpec()


def test_overrides_replace_what_was_derived() -> None:
    field = describe(RemovalSpec, {"damping": {"kind": "number"}})
    assert next(item for item in field if item["name"] == "damping")["kind"] == "number"
