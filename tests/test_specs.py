"""Specs and their spellings: every question survives every spelling, nonsense becomes a sentence."""

from __future__ import annotations

import shlex
from typing import Any, get_args

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from gif_dash import catalog, cli, spelling
from gif_dash.results import ScenarioCard
from gif_dash.specs import (
    LABELS,
    SYMMETRIC,
    Criterion,
    FragilitySpec,
    Method,
    RemovalSpec,
    Solver,
    Spec,
    SpecError,
    ToySpec,
)


def possible(**values: Any) -> RemovalSpec:
    """A spec of any values, with those given up that do not go together."""
    if values["solver"] in SYMMETRIC:
        values["methods"] = tuple(method for method in values["methods"] if method != "gif") or ("fif",)
    if values["solver"] == "neumann-published":
        values["damping"] = 0.0
    return RemovalSpec(**values)


removals = st.builds(
    possible,
    forget_classes=st.lists(st.integers(0, 99), min_size=1, max_size=4).map(tuple),
    forget_indices=st.lists(st.integers(0, 99), max_size=4).map(tuple),
    methods=st.lists(st.sampled_from(get_args(Method)), min_size=1, unique=True).map(tuple),
    criterion=st.sampled_from(get_args(Criterion)),
    mr=st.floats(0.001, 100),
    solver=st.sampled_from(get_args(Solver)),
    curvature=st.sampled_from(["hessian", "gauss-newton"]),
    iterations=st.integers(1, 2000),
    damping=st.floats(0, 10),
    seed=st.integers(0, 2**31 - 1),
)


@settings(deadline=None, max_examples=60)
@given(removals)
def test_link_restores_the_spec(spec: RemovalSpec) -> None:
    restored, sentences = spelling.from_query(RemovalSpec, spelling.to_query(spec))
    assert sentences == []
    assert restored == spec


@settings(deadline=None, max_examples=60)
@given(removals)
def test_python_restores_the_spec(spec: RemovalSpec) -> None:
    code = spelling.to_python(spec).splitlines()[2].removeprefix("result = run(").removesuffix(")")
    assert eval(code, {"RemovalSpec": RemovalSpec}) == spec


@settings(deadline=None, max_examples=30)
@given(removals)
def test_command_line_restores_the_spec(spec: RemovalSpec) -> None:
    words = shlex.split(spelling.to_cli(spec))
    assert words[:3] == ["gif-dash", "run", "removal"]
    texts = {word.removeprefix("--"): value for word, value in zip(words[3::2], words[4::2], strict=True)}
    assert spelling.from_query(RemovalSpec, texts) == (spec, [])


@settings(deadline=None, max_examples=100)
@given(st.dictionaries(st.sampled_from([*RemovalSpec.model_fields, "forget-class", "x"]), st.text(max_size=30)))
def test_any_link_gives_a_valid_spec(query: dict[str, str]) -> None:
    spec, _ = spelling.from_query(RemovalSpec, query)
    assert RemovalSpec.parse(spec.model_dump()) == spec


def test_a_point_of_a_link_is_said_once() -> None:
    spec, sentences = spelling.from_query(FragilitySpec, {"data": "mnist", "vary": "width"})
    assert spec == FragilitySpec(), "what is left out has a default that does not fit either"
    assert len(sentences) == 1


@pytest.mark.parametrize("solver", get_args(Solver))
def test_link_with_a_solver_that_does_not_fit_keeps_the_rest(solver: str) -> None:
    spec, sentences = spelling.from_query(RemovalSpec, {"solver": solver, "mr": "30"})
    assert spec.mr == 30
    assert (spec.solver == solver) == (not sentences) == (solver not in SYMMETRIC)


def test_canonical_text_does_not_depend_on_spelling() -> None:
    one = RemovalSpec(forget_classes=(3, 1, 3), methods=("pif", "gif"))
    other = RemovalSpec(methods=("gif", "pif"), forget_classes=(1, 3))
    assert one.canonical() == other.canonical()
    assert one.canonical() != RemovalSpec(forget_classes=(1,), methods=("gif", "pif")).canonical()


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"mr": 0}, "mr", "above 0 up to 100"),
        ({"mr": "nan"}, "mr", "above 0"),
        ({"criterion": "best"}, "criterion", "top-outputs, top-gradients, threshold, random"),
        ({"methods": ["gif", "lissa"]}, "methods", "gif, fif, pif, if, gradient"),
        ({"seed": -1}, "seed", "from 0"),
        ({"forget_classes": [-1]}, "forget_classes", "negative"),
        ({"forget_classes": []}, "", "at least one class"),
        ({"colour": 1}, "", "colour"),
        ({"curvature": "fisher"}, "curvature", "hessian, gauss-newton"),
        ({"solver": "minres"}, "solver", "Solver: MINRES needs a symmetric system, which GIF's is not"),
        ({"solver": "cg", "methods": ["gif"]}, "solver", "leave GIF out"),
        ({"solver": "lissa", "methods": ["if2", "gif"]}, "solver", "Solver: LiSSA"),
        ({"solver": "neumann-published", "damping": 0.1}, "damping", "Damping: .* set it to 0"),
    ],
)
def test_bad_values_are_one_sentence(values: dict[str, object], field: str, words: str) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        RemovalSpec.parse(values)
    assert caught.value.field == field
    assert "\n" not in str(caught.value)


CARD = ScenarioCard(name="three", title="Three", classes=("a", "b", "c"), train_size=10)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (RemovalSpec(forget_classes=(3,)), "classes 0 to 2"),
        (RemovalSpec(forget_classes=(0, 1, 2)), "one class must stay"),
        (RemovalSpec(forget_indices=(10,)), "0 to 9"),
        (RemovalSpec(forget_indices=tuple(range(10))), "one training example must stay"),
    ],
)
def test_card_refuses_what_the_scenario_has_not(spec: RemovalSpec, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        spec.check(CARD)
    with pytest.raises(SpecError, match="no scenario"):
        spec.check(None)


def test_toy_spec_is_consistent() -> None:
    with pytest.raises(SpecError, match="must differ"):
        ToySpec.parse({"first": 2, "second": 2})


@pytest.mark.parametrize("entry", catalog.EXPERIMENTS.values(), ids=lambda entry: entry.name)
def test_every_field_explains_itself(entry: catalog.ExperimentEntry) -> None:
    spec: type[Spec] = catalog.resolve(entry.spec)
    for name, info in spec.model_fields.items():
        assert info.title, name
        assert info.description, name
    for schema in spec.model_json_schema()["properties"].values():
        for choice in schema.get("enum", schema.get("items", {}).get("enum", [])):
            assert choice in LABELS, choice


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "removal", "--mr", "250"], ["--mr", "above 0 up to 100"]),
        (["run", "removal", "--criterion", "best"], ["--criterion", "top-outputs"]),
        (["run", "removal", "--methods", "gif,xyz"], ["--methods", "gradient"]),
        (["run", "removal", "--solver", "cg"], ["--solver", "leave GIF out"]),
        (["run", "removal", "--forget-class", "eight"], ["--forget-class"]),
        (["run", "removal", "--out", "table.xls"], ["--out", ".csv"]),
        (["run", "removal", "--out", "no/such/folder/table.csv"], ["--out", "no folder"]),
        (["run", "toy", "--points", "3"], ["--points", "20 to 5000"]),
        (["serve", "--port", "http"], ["--port"]),
    ],
)
def test_command_line_refuses_in_one_sentence(arguments: list[str], words: list[str]) -> None:
    outcome = CliRunner().invoke(cli.main, arguments)
    assert outcome.exit_code == 2, outcome.output
    said = outcome.output.strip().splitlines()[-1]
    assert said.startswith("Error: ")
    assert all(word in said for word in words), said


def test_help_names_every_setting() -> None:
    outcome = CliRunner().invoke(cli.main, ["run", "removal", "--help"])
    assert outcome.exit_code == 0
    for name in RemovalSpec.model_fields:
        assert f"--{spelling.flag(name)}" in outcome.output
