"""Every view comes back from its link: question, what is beside it (marker, step, choices), what is hidden, lessons."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from panels.panels_fakes import FakeClient

from gif_dash import Dashboard
from gif_dash.app import TABS
from gif_dash.catalog import resolve
from gif_dash.compute.store import open_store
from gif_dash.figures import criteria as criteria_pictures
from gif_dash.figures import layers as layers_pictures
from gif_dash.lessons import scripts
from gif_dash.panels.viewing import PARTS, parse_hide
from gif_dash.spelling import flag, to_query


def marker(high: float) -> st.SearchStrategy[str]:
    return st.one_of(st.just(0.0), st.floats(0.1, high)).map(lambda value: f"{value:.4g}")


indices = st.lists(st.integers(0, 29), min_size=1, max_size=4, unique=True).map(
    lambda found: ",".join(map(str, sorted(found)))
)
#: What a tab remembers beside its question.
EXTRA: dict[str, dict[str, st.SearchStrategy[str]]] = {
    "toy": {"step": st.integers(0, 19).map(str)},
    "removal": {"s": marker(1e4)},
    "backdoor": {"s": marker(1e4)},
    "methods": {"at-mr": st.sampled_from(["30", "50"])},
    "criteria": {
        switch.key: st.sampled_from([value for value, _ in switch.choices[1:]]) for switch in criteria_pictures.SWITCHES
    },
    "layers": {
        "criterion": st.just("random"),
        "quantity": st.sampled_from([quantity.key for quantity in layers_pictures.QUANTITIES[1:]]),
    },
    "attribution": {"selected": indices, "ranking": st.sampled_from(["gradient-cosine", "similarity"])},
    "mislabelled": {"at": marker(50)},
    "spectrum": {"alpha": marker(0.25)},
}


class Client(FakeClient):
    """Also has a history."""

    @property
    def runs(self) -> Any:
        return open_store()


def settings_of(key: str) -> list[str]:
    kind = getattr(resolve(next(tab.panel for tab in TABS if tab.key == key)), "spec_class", None)
    return [flag(name) for name in kind.model_fields] if kind is not None else []


@pytest.mark.parametrize("key", [tab.key for tab in TABS])
def test_a_view_comes_back_from_its_link(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gif_dash.compute.client.connect", Client)
    extra = st.fixed_dictionaries({}, optional=EXTRA.get(key, {}))
    hidden = st.lists(st.sampled_from([*PARTS, *settings_of(key)]), unique=True, max_size=5)

    @settings(deadline=None, max_examples=3, suppress_health_check=list(HealthCheck))
    @given(extra, hidden, st.integers(0, 2**31 - 1))
    def check(beside: dict[str, str], hide: list[str], seed: int) -> None:
        query = {"tab": key, **beside}
        if "seed" in settings_of(key):
            query["seed"] = str(seed)
        if hide:
            query["hide"] = ",".join(hide)
        first = Dashboard(query=urlencode(query))
        assert first.notice.value == ""
        link = first.panel.share.query
        assert first.page.query == link
        told = dict(parse_qsl(link.removeprefix("?")))
        second = Dashboard(query=link)
        assert second.page.query == link
        assert second.viewing.hide == first.viewing.hide == tuple(hide)
        assert {f"gd-hide-{name}" for name in hide if name in PARTS} == {
            name for name in second._dom_classes if name.startswith("gd-hide-")
        }
        if key in EXTRA:
            assert second.panel.spec == first.panel.spec
            assert getattr(first.panel.spec, "seed", seed) == seed or "seed" not in settings_of(key)
            remembered = second.panel.extra_state()
            assert remembered == first.panel.extra_state()
            assert told == {"tab": first.panel.spec.experiment, **to_query(first.panel.spec), **remembered} | (
                {"hide": ",".join(hide)} if hide else {}
            )
            at_rest = {"mislabelled": {"at": "10"}}  # where it is by itself, which no link says
            left_out = {name: value for name, value in beside.items() if remembered.get(name) != value}
            assert left_out.items() <= at_rest.get(key, {}).items()

    check()


@pytest.mark.parametrize("name", list(scripts()))
def test_every_step_of_a_lesson_comes_back_from_its_link(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gif_dash.compute.client.connect", Client)
    last = len(scripts()[name].steps)
    for step in {1, last}:
        query = f"?lesson={name}&step={step}&hide=words"
        dashboard = Dashboard(query=query)
        assert dashboard.page.query == query
        assert Dashboard(query=dashboard.page.query).guide.card.step == step - 1


@given(st.text(max_size=60))
def test_any_hide_is_names_or_one_sentence(text: str) -> None:
    names, sentences = parse_hide(text, ["mr"])
    assert set(names) <= {*PARTS, "mr"}
    assert len(sentences) <= 1
    assert parse_hide(",".join(names), ["mr"]) == (names, [])


def test_unknown_parts_are_said_and_known_ones_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gif_dash.compute.client.connect", Client)
    dashboard = Dashboard(query="tab=removal&hide=header,<b>,mr")
    assert "hide takes header, tabs, intro, form, share, words, table" in dashboard.notice.value
    assert "<b>" not in dashboard.notice.value
    assert dashboard.viewing.hide == ("header", "mr")
    assert dashboard.panel.form.hidden == ["mr"]
    dashboard.tabs.selected = 0
    assert dashboard.page.query == "?tab=toy&hide=header,mr"
    assert dashboard.panel.form.hidden == []
