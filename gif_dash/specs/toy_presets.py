"""Settings of the toy that each teach one thing. What they claim is held to numbers by a test."""

from __future__ import annotations

from dataclasses import dataclass

from gif_dash.specs.toy import ToySpec


@dataclass(frozen=True)
class Preset:
    """One preset.

    Attributes:
        name: identifier.
        title: on the button.
        teaches: one sentence, what it teaches.
        look: one sentence, what to look at.
        spec: the settings.
    """

    name: str
    title: str
    teaches: str
    look: str
    spec: ToySpec


PRESETS: tuple[Preset, ...] = (
    Preset(
        "uncorrelated",
        "Uncorrelated",
        "Where the target weights are hardly coupled to the others, all three methods agree.",
        "GIF, FIF and PIF end nearly on one point, up to the chance correlations of 5,000 points.",
        ToySpec(correlation=0.0, points=5000, outliers=1000),
    ),
    Preset(
        "correlated",
        "Correlated",
        "With correlated features the frozen weights matter, and the three part: each aims at another optimum.",
        "FIF ends on ◇, PIF on ✕, GIF on neither; each is best in the measure it minimises.",
        ToySpec(),
    ),
    Preset(
        "ill-conditioned",
        "Ill-conditioned",
        "Neighbouring features at correlation 0.95 make the loss a long valley, in which a weight can hide behind "
        "another.",
        "GIF runs far along the valley for a small gradient; PIF's two weights, right only together with the other "
        "four, cost more loss than removing nothing.",
        ToySpec(correlation=0.95),
    ),
    Preset(
        "large-removal",
        "Large removal",
        "Half of the points leave at once: the first order breaks, the second order helps.",
        "At s = 1 IF stops half-way to retraining (✕), IF2 nearly arrives; PIF, an exact solve, is there.",
        ToySpec(outliers=500, removal="group", expansions="yes"),
    ),
    Preset(
        "paper",
        "As in the paper",
        "The published figure, with the quirks of the authors' notebook.",
        "GIF and FIF seem to approach the star, but it is the optimum of another plane; the list below says why.",
        ToySpec(variant="published"),
    ),
)


def preset_of(spec: ToySpec) -> Preset | None:
    """The preset whose settings these are."""
    return next((preset for preset in PRESETS if preset.spec == spec), None)
