"""What is being explained: data sets, models, how they are trained and trained again."""

from gif_dash.scenarios.prepared import Kind, Prepared, Reference, load
from gif_dash.scenarios.scenario import NoColdReference, Recipe, Scenario, ScenarioError, get, register
from gif_dash.scenarios.training import device

__all__ = [
    "Kind",
    "NoColdReference",
    "Prepared",
    "Recipe",
    "Reference",
    "Scenario",
    "ScenarioError",
    "device",
    "get",
    "load",
    "register",
]
