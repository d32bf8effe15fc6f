"""Answers of the tiny scenario, computed once, and a client that has them."""

from __future__ import annotations

from functools import cache

from attribution_scenario import NAME, loaded, scenario
from criteria.criteria_fakes import Answering

from gif_dash.compute.cards import Offer
from gif_dash.experiments import attribution, image_removal
from gif_dash.progress import Silent
from gif_dash.results import Result
from gif_dash.scenarios import register
from gif_dash.specs import AttributionSpec, ImageRemovalSpec

SPEC = AttributionSpec(scenario=NAME, shown=5, mr=30)


@cache
def answer(spec: AttributionSpec = SPEC) -> Result:
    register(scenario())
    return attribution.run(spec, Silent())


@cache
def removal(*indices: int, retrain: bool = False) -> tuple[ImageRemovalSpec, Result]:
    """The removal that the panel asks for when these images of `answer` are chosen."""
    index = int(answer().tables["query"].iloc[0]["index"])
    spec = ImageRemovalSpec.of(SPEC, indices, test_index=index, retrain="yes" if retrain else "no")
    return spec, image_removal.run(spec, Silent())


class Bars(Answering):
    """A client that knows the tiny scenario."""

    def __init__(self) -> None:
        register(scenario())
        super().__init__(loaded().card)

    def offers(self) -> list[Offer]:
        return [Offer(NAME, "Bars", "tiny", self.card, "ready")]
