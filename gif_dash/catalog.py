"""What there is: scenarios and experiments by name, and where their code lives.

Nothing is imported until it is asked for, so a visitor's kernel can read the names without loading torch.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from gif_dash.compute.paths import data_dir

#: Environment variables of what a person adds on the command line; workers and visitors' kernels inherit them.
#: The person's folder of pictures, the network for it, the pictures' size, and import paths of scenarios with commas.
FOLDER, NETWORK, IMAGE_SIZE, ADD = "GIF_DASH_FOLDER", "GIF_DASH_NETWORK", "GIF_DASH_IMAGE_SIZE", "GIF_DASH_ADD"

#: Which recipe the large networks are trained by, and its values: the first is meant if it is not set.
RECIPE = "GIF_DASH_RECIPE"
RECIPES = ("short", "short-bfloat16", "full")

#: The flags of the command line that set them.
FLAGS = {"folder": FOLDER, "network": NETWORK, "image-size": IMAGE_SIZE, "add": ADD, "recipe": RECIPE}

#: The network that a folder of pictures gets if none is named.
DEFAULT_NETWORK = "stride-cnn"


@dataclass(frozen=True)
class ScenarioEntry:
    """A scenario that can be named in a spec.

    Attributes:
        name: what people type.
        title: what people read.
        summary: one sentence.
        target: ``package.module:function``; the function returns a `gif_dash.scenarios.Scenario`.
        quick: it needs no download and trains in under a minute, so the page may prepare it by itself.
        variables: environment variables that decide what it is.
        added: it is a person's own and may have a title of its own.
        large: without a GPU it takes hours, so it is prepared only when it is named.
    """

    name: str
    title: str
    summary: str
    target: str
    quick: bool = False
    variables: tuple[str, ...] = ()
    added: bool = False
    large: bool = False


@dataclass(frozen=True)
class ExperimentEntry:
    """An experiment: a spec in, a `Result` out."""

    name: str
    title: str
    spec: str  #: ``module:class``
    target: str  #: ``module:function`` with the signature ``run(spec, progress) -> Result``
    #: ``module:function``: the rows of a `Result` that a terminal shows, as a frame; empty: its main table
    summary: str = ""
    needs_scenario: bool = True
    #: ``module:function`` that makes the file of an edited network; empty where there are none
    edited: str = ""
    #: its runs keep finished parts and give way between them
    in_parts: bool = False


SCENARIOS: dict[str, ScenarioEntry] = {
    entry.name: entry
    for entry in (
        ScenarioEntry(
            "digits-cnn",
            "Digits, small CNN",
            "scikit-learn's 8×8 digits and a small convolutional network; trains in seconds, no download",
            "gif_dash.scenarios.builtin:digits_cnn",
            quick=True,
        ),
        ScenarioEntry(
            "mnist-cnn",
            "MNIST, stride-2 CNN",
            "MNIST and the 398,090-parameter network of the GIF paper's backdoor experiment",
            "gif_dash.scenarios.builtin:mnist_cnn",
            variables=("GIF_DASH_DATA",),
        ),
        ScenarioEntry(
            "mnist-resnet18",
            "MNIST, ResNet-18",
            "MNIST and ResNet-18 for small pictures: the network of the GIF paper's Table 1",
            "gif_dash.scenarios.builtin:mnist_resnet18",
            variables=("GIF_DASH_DATA", RECIPE),
            large=True,
        ),
        ScenarioEntry(
            "cifar10-vgg11",
            "CIFAR-10, VGG-11",
            "CIFAR-10 and VGG-11 with batch norm: the network of the GIF paper's Table 2",
            "gif_dash.scenarios.builtin:cifar10_vgg11",
            variables=("GIF_DASH_DATA", RECIPE),
            large=True,
        ),
    )
}

#: Networks of `gif_dash.scenarios.networks` by name, smallest first.
NETWORKS = ("small-cnn", "stride-cnn", "vgg11", "resnet18")

EXPERIMENTS: dict[str, ExperimentEntry] = {
    entry.name: entry
    for entry in (
        ExperimentEntry(
            "toy",
            "Toy",
            "gif_dash.specs:ToySpec",
            "gif_dash.experiments.toy:run",
            "gif_dash.figures.toy:summary",
            needs_scenario=False,
        ),
        ExperimentEntry(
            "line",
            "Line",
            "gif_dash.specs:LineSpec",
            "gif_dash.experiments.line:run",
            "gif_dash.figures.line:summary",
            needs_scenario=False,
        ),
        ExperimentEntry(
            "removal",
            "Class removal",
            "gif_dash.specs:RemovalSpec",
            "gif_dash.experiments.removal:run",
            "gif_dash.figures.removal_tables:summary",
            edited="gif_dash.experiments.takehome:edited_file",
        ),
        ExperimentEntry(
            "criteria",
            "Criteria",
            "gif_dash.specs:CriteriaSpec",
            "gif_dash.experiments.criteria:run",
            "gif_dash.figures.criteria:summary",
            in_parts=True,
        ),
        ExperimentEntry(
            "methods",
            "Methods",
            "gif_dash.specs:MethodsSpec",
            "gif_dash.experiments.methods:run",
            "gif_dash.figures.methods_tables:summary",
            in_parts=True,
        ),
        ExperimentEntry(
            "backdoor",
            "Backdoor",
            "gif_dash.specs:BackdoorSpec",
            "gif_dash.experiments.backdoor:run",
            "gif_dash.figures.backdoor:summary",
            edited="gif_dash.experiments.backdoor:edited_file",
        ),
        ExperimentEntry(
            "spectrum",
            "Spectrum",
            "gif_dash.specs:SpectrumSpec",
            "gif_dash.experiments.spectrum:run",
            "gif_dash.figures.spectrum_words:summary",
            in_parts=True,
        ),
        ExperimentEntry(
            "layers",
            "Layers",
            "gif_dash.specs:LayersSpec",
            "gif_dash.experiments.layers:run",
            "gif_dash.figures.layers_words:summary",
        ),
        ExperimentEntry(
            "attribution",
            "Images",
            "gif_dash.specs:AttributionSpec",
            "gif_dash.experiments.attribution:run",
            "gif_dash.figures.attribution:summary",
        ),
        ExperimentEntry(
            "image-removal",
            "Images removed",
            "gif_dash.specs:ImageRemovalSpec",
            "gif_dash.experiments.image_removal:run",
            "gif_dash.figures.image_removal:summary",
        ),
        ExperimentEntry(
            "mislabelled",
            "Mislabelled",
            "gif_dash.specs:MislabelledSpec",
            "gif_dash.experiments.mislabelled:run",
            "gif_dash.figures.mislabelled:summary",
        ),
        ExperimentEntry(
            "fragility",
            "Fragility",
            "gif_dash.specs:FragilitySpec",
            "gif_dash.experiments.fragility:run",
            "gif_dash.figures.fragility_words:summary",
            needs_scenario=False,
            in_parts=True,
        ),
        ExperimentEntry(
            "fading",
            "Fading",
            "gif_dash.specs:FadingSpec",
            "gif_dash.experiments.fading:run",
            "gif_dash.figures.fading:summary",
            needs_scenario=False,
        ),
        ExperimentEntry(
            "correcting",
            "Correcting",
            "gif_dash.specs:CorrectingSpec",
            "gif_dash.experiments.correcting:run",
            "gif_dash.figures.correcting:summary",
        ),
        ExperimentEntry(
            "two-classes",
            "1 against 7",
            "gif_dash.specs:TwoClassesSpec",
            "gif_dash.experiments.two_classes:run",
            "gif_dash.figures.two_classes:summary",
            needs_scenario=False,
        ),
    )
}


def scenarios() -> dict[str, ScenarioEntry]:
    """All scenarios that can be named in a spec: `SCENARIOS`, the person's folder of pictures, and what they added."""
    entries = dict(SCENARIOS)
    if folder := os.environ.get(FOLDER):
        place = Path(folder)
        entries["folder"] = ScenarioEntry(
            "folder",
            f"Pictures in {place.name or place}",
            f"the pictures in {place} and the network {os.environ.get(NETWORK) or DEFAULT_NETWORK}",
            "gif_dash.scenarios.folder:from_environment",
            variables=(FOLDER, NETWORK, IMAGE_SIZE),
        )
    for path in added():
        # A server must know the name without importing anybody's code, so it is the function's, not the scenario's.
        name = path.rpartition(":")[2].replace("_", "-")
        if name in entries:
            name = path.replace(":", ".").replace("_", "-")
        entries[name] = ScenarioEntry(name, name, f"the scenario that {path} makes", path, variables=(ADD,), added=True)
    return entries


def added() -> list[str]:
    """Import paths of the person's own scenarios."""
    return [path for path in os.environ.get(ADD, "").split(",") if path]


def settings(name: str) -> dict[str, str]:
    """The values of the environment variables that decide what a scenario is; empty text where one is not set."""
    entry = scenarios().get(name)
    values = {variable: os.environ.get(variable, "") for variable in (entry.variables if entry else ())}
    if "GIF_DASH_DATA" in values:
        values["GIF_DASH_DATA"] = str(data_dir())
    if values.get(RECIPE) == RECIPES[0]:
        values[RECIPE] = ""  # as if it were not set
    if entry is not None and entry.added:
        values[ADD] = entry.target  # the others make no difference
    return values


def flags(name: str) -> str:
    """What a command line needs besides the scenario's name to mean the same one; empty for most, else with a space."""
    known = settings(name)
    spelled = ((flag, known.get(variable, "")) for flag, variable in FLAGS.items())
    return "".join(f" --{flag} {shlex.quote(value)}" for flag, value in spelled if value)


def resolve(path: str) -> Any:
    """The object behind ``module:name``. For paths of this file and of the server's own command line only."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
