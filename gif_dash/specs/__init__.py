"""The vocabulary: one validated, immutable model per experiment.

A spec is the whole question. Forms, links, command-line flags and "copy as Python" are made from its fields, so a field
carries everything a person needs: a title, one line of help, its range or choices, and its unit.
"""

from gif_dash.specs.attribution import INFLUENCES, AttributionSpec, ImageRemovalSpec, Ranking
from gif_dash.specs.backdoor import BackdoorSpec
from gif_dash.specs.base import MAX_SEED, Spec, SpecError, allowed, explain
from gif_dash.specs.criteria import CriteriaSpec
from gif_dash.specs.layers import LayersSpec
from gif_dash.specs.line import LineSpec
from gif_dash.specs.methods import MethodsSpec
from gif_dash.specs.mislabelled import MislabelledSpec
from gif_dash.specs.removal import RemovalSpec
from gif_dash.specs.spectrum import SpectrumSpec
from gif_dash.specs.toy import ToySpec
from gif_dash.specs.vocabulary import LABELS, SYMMETRIC, Criterion, Method, Solver

__all__ = [
    "INFLUENCES",
    "LABELS",
    "MAX_SEED",
    "SYMMETRIC",
    "AttributionSpec",
    "BackdoorSpec",
    "CriteriaSpec",
    "Criterion",
    "ImageRemovalSpec",
    "LayersSpec",
    "LineSpec",
    "Method",
    "MethodsSpec",
    "MislabelledSpec",
    "Ranking",
    "RemovalSpec",
    "Solver",
    "Spec",
    "SpecError",
    "SpectrumSpec",
    "ToySpec",
    "allowed",
    "explain",
]
