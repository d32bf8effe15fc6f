"""Contrast of the style sheet's colours, in both themes, by the formula of WCAG 2.2 (relative luminance)."""

from __future__ import annotations

import re

import pytest

from gif_dash.figures import theme
from gif_dash.panels.page import STATIC

SHEET = (STATIC / "page.css").read_text(encoding="utf-8")
COLOURS = {
    name: (light, dark)
    for name, light, dark in re.findall(r"--gd-([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", SHEET)
}
THEMES = ("light", "dark")


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_formula() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # the well-known grey that just fails


@pytest.mark.parametrize("place", [0, 1], ids=THEMES)
@pytest.mark.parametrize(
    ("ink", "grounds"),
    [
        ("text", ("ground", "surface", "raised", "tint", "wrong-tint")),
        ("muted", ("ground", "surface", "raised")),
        ("accent", ("ground", "surface", "raised")),
        ("wrong", ("ground", "wrong-tint")),
        ("on-accent", ("accent",)),
    ],
)
def test_words_stand_out(ink: str, grounds: tuple[str, ...], place: int) -> None:
    for ground in grounds:
        assert contrast(COLOURS[ink][place], COLOURS[ground][place]) >= 4.5, (ink, ground)


@pytest.mark.parametrize("place", [0, 1], ids=THEMES)
def test_edges_of_controls_and_rings_of_focus_stand_out(place: int) -> None:
    for ink in ("control", "accent"):
        for ground in ("ground", "raised"):
            assert contrast(COLOURS[ink][place], COLOURS[ground][place]) >= 3, (ink, ground)


@pytest.mark.parametrize("place", [0, 1], ids=THEMES)
def test_lines_of_methods_and_criteria_stand_out(place: int) -> None:
    for style in (*theme.METHOD_STYLE.values(), *theme.CRITERION_STYLE.values()):
        colour = (style.colour, style.dark)[place]
        assert contrast(colour, COLOURS["ground"][place]) >= 3, style
