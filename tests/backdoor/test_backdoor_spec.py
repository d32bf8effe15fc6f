"""Questions about a backdoor: what cannot be asked is refused in one sentence, the rest survives every spelling."""

from __future__ import annotations

from typing import Any

import pytest

from gif_dash import spelling
from gif_dash.results import ScenarioCard
from gif_dash.specs import BackdoorSpec, SpecError

CARD = ScenarioCard(name="tiny", title="Tiny", classes=("a", "b", "c"), train_size=90, train_counts=(30, 40, 20))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"solver": "minres"}, "leave GIF out"),
        ({"weighting": "published", "repair": "removal"}, "belongs to relabelling"),
        ({"weighting": "published", "gradient": "retain"}, "published weight"),
        ({"methods": ["koh"]}, "choose from"),
        ({"methods": []}, "Methods"),
        ({"strength": 0}, "Strength"),
        ({"target": -1}, "Corrupt label"),
    ],
)
def test_nonsense_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        BackdoorSpec.parse(changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target": 3}, "classes 0 to 2"),
        ({"target": 1, "share": 60}, "54 pictures, and 50 are of the other classes"),
        ({"target": 1, "share": 0.1}, "0 pictures"),
    ],
)
def test_card_refuses_what_the_scenario_has_not(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        BackdoorSpec.parse(changes).check(CARD)
    with pytest.raises(SpecError, match="no scenario"):
        BackdoorSpec().check(None)


def test_card_allows_the_rest() -> None:
    BackdoorSpec(target=1, share=50).check(CARD)


def test_every_spelling_restores_it() -> None:
    spec = BackdoorSpec(
        pattern="corner", strength=128, share=5, target=2, repair="removal", methods=("if2", "gif"), seed=3
    )
    assert spec.methods == ("gif", "if2")
    assert spelling.from_query(BackdoorSpec, spelling.to_query(spec)) == (spec, [])
    code = spelling.to_python(spec).splitlines()[2].removeprefix("result = run(").removesuffix(")")
    assert eval(code, {"BackdoorSpec": BackdoorSpec}) == spec
    assert spelling.to_cli(spec).startswith("gif-dash run backdoor --")


def test_removal_behind_it_has_its_settings() -> None:
    removal = BackdoorSpec(mr=7, iterations=3, repair="removal").removal((1, 2))
    assert (removal.mr, removal.iterations, removal.forget_indices) == (7, 3, (1, 2))
