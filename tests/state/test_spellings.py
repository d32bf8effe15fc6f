"""Every question of the catalog survives every spelling: link, command line, Python, YAML, file."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gif_dash
from gif_dash import catalog, cli, spelling
from gif_dash.specs import FadingSpec, LineSpec, RemovalSpec, Spec, SpecError
from gif_dash.spelling import from_query, parse_text, to_query

KINDS: list[type[Spec]] = [catalog.resolve(entry.spec) for entry in catalog.EXPERIMENTS.values()]

#: Names that people may have given: quotes, spaces, other scripts, what YAML or a shell could misread.
NAMES = st.one_of(
    st.sampled_from(
        ["no", "null", "~", "1e3", "a: b", "- x", "# c", "'", '"', "$HOME", "a b", "%20", "ü€字", "&lesson=x", "--mr"]
    ),
    st.text(
        st.characters(min_codepoint=33, max_codepoint=0x2FFF, categories=["L", "N", "P", "S"]), min_size=1, max_size=12
    ),
)


def values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Anything that a field's schema allows, and a little that it does not."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("type") == "array":
        items = schema["items"]
        if items.get("type") == "string" and "enum" not in items:
            return st.lists(NAMES.filter(lambda text: "," not in text), max_size=3)
        return st.lists(values(items), max_size=4, unique=True)
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum", 10**6)
    if schema.get("type") == "integer":
        return st.integers(-5 if low is None else low, high)
    if schema.get("type") == "number":
        return st.floats(low, high, exclude_min="exclusiveMinimum" in schema, allow_nan=False)
    return NAMES


@st.composite
def questions(draw: st.DrawFn, kind: type[Spec]) -> Spec:
    """A valid spec with some fields of its own; what does not go together is given up field by field."""
    schema = kind.model_json_schema()["properties"]
    names = draw(st.lists(st.sampled_from(list(kind.model_fields)), unique=True, max_size=6))
    chosen = {name: draw(values(schema[name])) for name in names}
    while True:
        try:
            return kind.parse(chosen)
        except SpecError as error:
            chosen.pop(error.field if error.field in chosen else next(iter(chosen)))


class Asked(Exception):
    """Instead of an answer."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Spec]:
    """What was asked of `gif_dash.run`, which computes nothing here."""
    found: list[Spec] = []

    def run(spec: Spec, **_options: Any) -> None:
        found.append(spec)
        raise Asked

    monkeypatch.setattr("gif_dash.api.run", run)
    monkeypatch.setattr(gif_dash, "run", run, raising=False)
    return found


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.experiment)
def test_every_spelling_restores_every_question(kind: type[Spec], asked: list[Spec], tmp_path: Path) -> None:
    file = tmp_path / "question.yaml"
    runner = CliRunner()

    @settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
    @given(questions(kind))
    def check(spec: Spec) -> None:
        link = spelling.to_query_string(spec)
        query = dict(parse_qsl(link.removeprefix("?"), keep_blank_values=True))
        assert query.pop("tab") == kind.experiment
        assert spelling.from_query(kind, query) == (spec, [])

        assert spelling.from_yaml(spelling.to_yaml(spec)) == spec

        asked.clear()
        with pytest.raises(Asked):
            exec(spelling.to_python(spec), {})
        words = shlex.split(spelling.to_cli(spec))
        assert words[0] == "gif-dash"
        outcome = runner.invoke(cli.main, words[1:])
        assert isinstance(outcome.exception, Asked), outcome.output
        file.write_text(spelling.to_yaml(spec), encoding="utf-8")
        outcome = runner.invoke(cli.main, ["run", "--spec", str(file)])
        assert isinstance(outcome.exception, Asked), outcome.output
        assert asked == [spec, spec, spec]

    check()


def test_yaml_as_people_type_it() -> None:
    text = "# homework\nexperiment: removal\nforget-class: 3, 1\nmethods:\n  - pif\n  - gif\nmr: 2.5e1\nscenario: no\n"
    assert spelling.from_yaml(text) == RemovalSpec(forget_classes=(1, 3), methods=("gif", "pif"), mr=25, scenario="no")
    assert spelling.from_yaml("experiment: image-removal\nforget_indices: [1]\nretrain: yes").retrain == "yes"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "setting: value"),
        ("- removal", "setting: value"),
        ("experiment: nonsense", "choose from toy, line, removal"),
        ("mr: 5", "choose from"),
        ("experiment: removal\nmr: 500", "above 0 up to 100"),
        ("experiment: removal\ncolour: red", "no setting named 'colour'"),
        ("experiment: removal\nmr: {a: 1}", "a value or a list of values"),
        ("experiment: removal\nmethods: [[gif]]", "a value or a list of values"),
        ("experiment: removal\nmr: 5\nmr: 6", "mr is there twice"),
        ("experiment: removal\nforget-class: 5\nforget_classes: 6", "twice"),
        ("experiment: [removal", "not YAML in line"),
        ("a: &x [1]\nexperiment: *y", "not YAML"),
        ("[" * 3000, "not YAML"),
        ("experiment: removal\nx: " + "y" * 1_000_000, "at most 1,000,000 characters"),
        ("experiment: !!python/object/apply:os.getcwd []", "choose from"),
    ],
)
def test_yaml_that_is_none_is_one_sentence(text: str, words: str) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        spelling.from_yaml(text)
    assert "\n" not in str(caught.value)


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=60))
def test_any_text_is_a_question_or_a_sentence(text: str) -> None:
    with pytest.raises(SpecError, match=r"\S"):  # no experiment is named by chance
        spelling.from_yaml(text)


@pytest.mark.parametrize(
    ("arguments", "text", "words"),
    [
        (["run", "--spec", "FILE"], None, "cannot be read"),
        (["run", "--spec=FILE"], "experiment: removal\nmr: 0", "--spec: .*MR: a number above 0"),
        (["run", "toy", "--spec", "FILE"], "experiment: removal", "asks for removal, not toy"),
    ],
)
def test_files_that_are_refused(arguments: list[str], text: str | None, words: str, tmp_path: Path) -> None:
    file = tmp_path / "q.yaml"
    if text is not None:
        file.write_text(text)
    outcome = CliRunner().invoke(cli.main, [word.replace("FILE", str(file)) for word in arguments])
    assert outcome.exit_code == 2
    (said,) = [line for line in outcome.output.splitlines() if line.startswith("Error: ")]
    import re

    assert re.search(words, said), said


def test_flags_come_before_the_file(asked: list[Spec], tmp_path: Path) -> None:
    file = tmp_path / "q.yaml"
    file.write_text("experiment: removal\nmr: 30\nseed: 4\n")
    CliRunner().invoke(cli.main, ["run", "removal", "--spec", str(file), "--mr", "7"])
    CliRunner().invoke(cli.main, ["run", "--spec", str(file), "--seed", "5"])
    assert asked == [RemovalSpec(mr=7, seed=4), RemovalSpec(mr=30, seed=5)]


def test_none_is_an_empty_list_except_where_it_is_a_choice() -> None:
    assert parse_text(RemovalSpec, "forget_classes", "none") == []
    assert parse_text(FadingSpec, "noises", "none") == ["none"]
    for spec in (FadingSpec(noises=("none",)), LineSpec(outliers=())):
        assert from_query(type(spec), to_query(spec)) == (spec, [])
