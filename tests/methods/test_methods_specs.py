"""The question of the methods: what can be asked, and which class removals are behind it."""

from __future__ import annotations

import pytest

from gif_dash import spelling
from gif_dash.results import ScenarioCard
from gif_dash.specs import MethodsSpec, SpecError


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"seeds": 0}, "seeds", "from 1 up to 30|from 1 to 30"),
        ({"seeds": 31}, "seeds", "to 30"),
        ({"mrs": []}, "mrs", "above 0"),
        ({"mrs": [0, 10]}, "mrs", "above 0 up to 100|greater than 0"),
        ({"forget_classes": []}, "forget_classes", "choose at least one class"),
        ({"others": "maybe"}, "others", "no, yes"),
        ({"solver": "minres"}, "solver", "which GIF's is not"),
        ({"solver": "neumann-published", "damping": 0.1}, "damping", "set it to 0"),
        ({"seeds": 3, "seed": 2**31 - 2}, "seed", "from 0"),
    ],
)
def test_bad_values_are_one_sentence(values: dict[str, object], field: str, words: str) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        MethodsSpec.parse(values)
    assert caught.value.field == field
    assert "\n" not in str(caught.value)


def test_symmetric_solvers_go_without_gif() -> None:
    assert MethodsSpec(methods=("fif", "pif"), solver="minres").removal(mr=30.0).solver == "minres"


def test_spellings_restore_the_question() -> None:
    spec = MethodsSpec(mrs=(50, 5), seeds=10, others="yes", methods=("pif", "gif"), forget_classes=(3, 1))
    assert spec.mrs == (5.0, 50.0)
    assert spec.methods == ("gif", "pif")
    assert spelling.from_query(MethodsSpec, spelling.to_query(spec)) == (spec, [])
    assert spelling.to_cli(spec) == (
        "gif-dash run methods --forget-class 1,3 --methods gif,pif --mrs 5,50 --seeds 10 --others yes"
    )


def test_class_removal_behind_a_seed() -> None:
    spec = MethodsSpec(seed=40, iterations=7, criterion="random")
    single = spec.removal(2, (4,), mr=30.0)
    assert (single.seed, single.forget_classes, single.mr) == (42, (4,), 30.0)
    assert (single.iterations, single.criterion, single.methods) == (7, "random", spec.methods)


def test_a_piece_does_not_depend_on_how_many_there_are() -> None:
    few, many = MethodsSpec(seeds=2), MethodsSpec(seeds=20, others="yes", forget_classes=(1,))
    assert few.piece(1, (8,)) == many.piece(1, (8,))
    assert few.piece(1, (8,)) != few.piece(0, (8,))
    assert few.piece(1, (8,)) != MethodsSpec(mrs=(10,)).piece(1, (8,))


def test_classes_are_checked_against_the_card() -> None:
    card = ScenarioCard(name="three", title="Three", classes=("a", "b", "c"))
    with pytest.raises(SpecError, match="classes 0 to 2"):
        MethodsSpec(forget_classes=(3,)).check(card)
