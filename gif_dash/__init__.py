"""gif_dash: what would the model be, had it never seen these examples?

The names below are imported on first use, so that ``import gif_dash`` (and with it every visitor's kernel of a served
dashboard) stays light and never loads torch by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gif_dash.api import run, run_grid
    from gif_dash.app import Dashboard
    from gif_dash.lessons.widget import Lesson
    from gif_dash.results import Result
    from gif_dash.scenarios import Recipe, Scenario
    from gif_dash.scenarios.folder import folder_scenario
    from gif_dash.specs import (
        AttributionSpec,
        BackdoorSpec,
        CorrectingSpec,
        CriteriaSpec,
        FadingSpec,
        FragilitySpec,
        ImageRemovalSpec,
        LayersSpec,
        LineSpec,
        MethodsSpec,
        MislabelledSpec,
        RemovalSpec,
        SpectrumSpec,
        ToySpec,
        TwoClassesSpec,
    )

__version__ = "0.1.0"

__all__ = [
    "AttributionSpec",
    "BackdoorSpec",
    "CorrectingSpec",
    "CriteriaSpec",
    "Dashboard",
    "FadingSpec",
    "FragilitySpec",
    "ImageRemovalSpec",
    "LayersSpec",
    "Lesson",
    "LineSpec",
    "MethodsSpec",
    "MislabelledSpec",
    "Recipe",
    "RemovalSpec",
    "Result",
    "Scenario",
    "SpectrumSpec",
    "ToySpec",
    "TwoClassesSpec",
    "__version__",
    "folder_scenario",
    "run",
    "run_grid",
]

_HOMES = {
    "AttributionSpec": "gif_dash.specs",
    "BackdoorSpec": "gif_dash.specs",
    "CorrectingSpec": "gif_dash.specs",
    "CriteriaSpec": "gif_dash.specs",
    "Dashboard": "gif_dash.app",
    "FadingSpec": "gif_dash.specs",
    "FragilitySpec": "gif_dash.specs",
    "ImageRemovalSpec": "gif_dash.specs",
    "LayersSpec": "gif_dash.specs",
    "Lesson": "gif_dash.lessons.widget",
    "LineSpec": "gif_dash.specs",
    "MethodsSpec": "gif_dash.specs",
    "MislabelledSpec": "gif_dash.specs",
    "Recipe": "gif_dash.scenarios",
    "RemovalSpec": "gif_dash.specs",
    "Result": "gif_dash.results",
    "Scenario": "gif_dash.scenarios",
    "SpectrumSpec": "gif_dash.specs",
    "ToySpec": "gif_dash.specs",
    "TwoClassesSpec": "gif_dash.specs",
    "folder_scenario": "gif_dash.scenarios.folder",
    "run": "gif_dash.api",
    "run_grid": "gif_dash.api",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'gif_dash' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
