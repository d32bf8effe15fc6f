"""The spectrum panel: what it shows of an answer, and that α is a look-up."""

from __future__ import annotations

import pandas as pd
import pytest
from panels.panels_fakes import asking, context
from spectrum_fakes import SPEC, Client, answer, shares

from gif_dash.compute.client import View
from gif_dash.figures import spectrum as pictures
from gif_dash.figures import spectrum_words as words
from gif_dash.panels.spectrum import SpectrumPanel
from gif_dash.specs import SpectrumSpec


def opened(client: Client, spec: SpectrumSpec = SPEC) -> SpectrumPanel:
    return asking(SpectrumPanel(context(client)), spec)


def test_a_stored_answer_is_shown_with_its_words() -> None:
    client = Client()
    client.store(answer())
    panel = opened(client)
    assert client.submitted == []
    lines = {line["key"]: line for line in panel.chart.chart["lines"]}
    assert lines["cross-entropy"]["x"] == [0.0, 0.01, 0.1]
    assert lines["cross-entropy"]["values"]["negative_share"] == [30.0, 0.0, 0.0]
    told = panel.words.value
    assert "30.0 % of the 10 eigenvalues of largest magnitude are negative, and 15.0 % of all 1\u202f682" in told
    assert "none of the 10 largest is negative but others are" in told
    assert "LiSSA at this scale converges from α = 0.1 on" in told
    assert "LiSSA at this scale converges from α = 0.01 on" in told
    assert "From α = 0.1 on the network has learned nothing" in told
    assert [(mark["x"], mark["style"]["dash"]) for mark in panel.chart.chart["marks"]] == [
        (0.1, "solid"),
        (0.01, "dash"),
    ]
    assert "diverges (negative eigenvalues)" in panel.lissa.value


def test_alpha_is_a_look_up_and_part_of_the_link() -> None:
    client = Client()
    client.store(answer())
    panel = opened(client)
    assert "α = 0</h3>" in panel.spectra.html
    assert panel.extra_state() == {}
    panel.chart.position = 0.07
    panel.context.ticker.tick()
    assert "All eigenvalues at α = 0.1<" in panel.spectra.html
    assert "<b>104</b>" in panel.spectra.html
    assert client.submitted == []
    assert "alpha=0.07" in panel.share.query
    other = SpectrumPanel(context(client))
    assert other.restore({"alpha": "0.011"}) == []
    other.form.write(SPEC)
    other.spec = SPEC
    other.show()
    assert "α = 0.01<" in other.spectra.html
    assert "α goes from 0 to 100" in other.restore({"alpha": "much"})[0]


def test_the_default_runs_by_itself_and_streams_with_the_run_before_as_a_ghost() -> None:
    client = Client()
    client.store(answer())
    panel = opened(client)
    other = SPEC.model_copy(update={"seed": 1})
    panel.form.write(other)
    panel.context.ticker.tick()
    panel.run()
    assert client.submitted == [other]
    client.views["ticket-1"] = View("running", stage="Training", version=1, partial={"shares": shares().head(2)})
    panel.context.ticker.tick()
    assert len(panel.chart.chart["lines"]) == 1
    assert len(panel.chart.chart["ghosts"]) == 2
    panel.cancel()
    assert len(panel.chart.chart["lines"]) == 2
    assert opened(Client(), SpectrumSpec()).context.connect().submitted == [SpectrumSpec()]


def test_published_numbers_stand_beside_ours_by_the_loss_that_was_run() -> None:
    told = words.published_html(answer())
    for number in ("4.59", "18.40", "10.90"):
        assert number in told
    rows = told.split("<tr>")
    assert any("squared error" in row and "4.59" in row and "mse" in row for row in rows)
    assert any("cross entropy" in row and "18.40" in row and "30.0" in row for row in rows)


@pytest.mark.parametrize("alphas", [(0.0,), (0.1,), (0.0, 0.01), (0.25, 0.5)])
def test_any_range_of_alpha_can_be_drawn(alphas: tuple[float, ...]) -> None:
    spec = SPEC.model_copy(update={"alphas": alphas})
    chart = pictures.curves(shares(SPEC).head(0), pd.DataFrame(), spec.model_dump())
    assert chart.x.low < chart.x.high
    assert chart.x.scale == ("zero-log" if 0 in alphas else "log")


def test_exports_have_curves_spectra_and_words() -> None:
    client = Client()
    client.store(answer())
    panel = opened(client)
    assert len(panel.export_figures()) == 3
    page = panel.export_html()
    assert "LiSSA at this scale converges" in page
    assert "SpectrumSpec(" in page
    assert set(words.summary(answer())["LiSSA"]) == {"converges", "diverges"}


def test_what_was_measured_against_what_was_expected() -> None:
    """One row falls although its eigenvalues say that it will grow."""
    odd = words.contradictions(answer().tables["lissa"])
    assert list(zip(odd["loss"], odd["alpha"], strict=True)) == [("cross-entropy", 0.01)]
    assert any("still falling" in sentence for sentence in words.oddities(answer()))
