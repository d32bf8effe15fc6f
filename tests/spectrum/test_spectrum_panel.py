"""The spectrum panel: what it shows of an answer, and that α is a look-up."""

from __future__ import annotations

import pandas as pd
import pytest
from panels.panels_fakes import FakeClient, context

from gif_dash.compute.client import View
from gif_dash.figures import spectrum as pictures
from gif_dash.figures import spectrum_words as words
from gif_dash.panels.spectrum import SpectrumPanel
from gif_dash.results import Result
from gif_dash.specs import SpectrumSpec

SPEC = SpectrumSpec(alphas=(0.0, 0.01, 0.1), count=10)


def shares(spec: SpectrumSpec = SPEC) -> pd.DataFrame:
    lows = {"cross-entropy": (-0.05, -0.01, 0.08), "squared-error": (-0.001, 0.01, 0.1)}
    negative = {"cross-entropy": (3, 0, 0), "squared-error": (0, 0, 0)}
    of_all = {"cross-entropy": (15.0, 5.0, 0.0), "squared-error": (4.0, 0.0, 0.0)}
    return pd.DataFrame(
        {
            "loss": loss,
            "alpha": alpha,
            "negative_share": 10.0 * negative[loss][place],
            "negative": negative[loss][place],
            "count": 10,
            "negative_share_all": of_all[loss][place],
            "zero_share_all": 0.0,
            "zero_up_to": 1e-8,
            "lambda_min": lows[loss][place],
            "lambda_max": 9.0,
            "smallest_of_count": 0.5,
            "p": 1682,
            "theta_norm": 5.0,
            "train_loss": 0.1,
            "test_loss": 0.2,
            "test_accuracy": 90.0 if place < 2 else 10.0,
            "gradient_norm": 0.01,
            "eigensolver": "dense",
            "converged": 10,
            "hvps": 100,
            "message": "",
        }
        for loss in spec.losses
        for place, alpha in enumerate(spec.alphas)
    )


def answer(spec: SpectrumSpec = SPEC) -> Result:
    table = shares(spec)
    positive = table["lambda_min"] > 0
    lissa = table[["loss", "alpha", "lambda_min", "lambda_max"]].assign(
        scale=9.0,
        verdict=positive.map({True: "converges", False: "diverges"}),
        reason=positive.map({True: "", False: "negative"}),
        factor=1 - table["lambda_min"] / 9,
        scale_needed=4.5,
        shift_needed=(-table["lambda_min"]).clip(lower=0),
        measured=["grows", "falls", "falls"] * len(spec.losses),
        residual_first=0.9,
        residual_last=0.5,
        residual_ratio=0.99,
        steps=50,
    )
    bins = [
        ("zero", 0.0, 1e-8, 40),
        ("negative", 0.01, 0.1, 7),
        ("positive", 0.01, 0.1, 35),
        ("positive", 1.0, 10.0, 4),
    ]
    bins.append(("negative", 1.0, 10.0, 0))
    histogram = pd.DataFrame(
        {"loss": loss, "alpha": alpha, "sign": sign, "low": low, "high": high, "count": count + 1000.0 * alpha}
        for loss in spec.losses
        for alpha in spec.alphas
        for sign, low, high, count in bins
    )
    values = pd.DataFrame({"loss": ["cross-entropy"], "alpha": [0.0], "rank": [1], "value": [9.0], "bound": [0.0]})
    tables = {"shares": table, "lissa": lissa, "histogram": histogram, "eigenvalues": values}
    known = {"seconds": 6.5, "hvps": 1200, "p": 1682, "curvature_examples": 512, "training": "600 steps, Adam"}
    return Result({"experiment": "spectrum", **spec.model_dump(mode="json")}, tables, known)


class Client(FakeClient):
    def store(self, found: Result) -> None:
        values = {name: value for name, value in found.spec.items() if name != "experiment"}
        self.answers[SpectrumSpec.parse(values).canonical()] = found


def opened(client: Client, spec: SpectrumSpec = SPEC) -> SpectrumPanel:
    panel = SpectrumPanel(context(client))
    panel.spec = spec
    panel.form.write(spec)
    panel.show()
    panel.context.ticker.tick()
    return panel


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
