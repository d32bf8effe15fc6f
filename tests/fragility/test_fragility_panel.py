"""The panel, pictures and words of fragility, from hand-made answers."""

from __future__ import annotations

import subprocess
import sys

import pytest
from fragility_fakes import SPEC, answer, points, summary
from panels.panels_fakes import FakeClient, asking, context

from gif_dash.compute.client import View
from gif_dash.figures import fragility as pictures
from gif_dash.figures import fragility_words as words
from gif_dash.panels.fragility import FragilityPanel
from gif_dash.specs import FragilitySpec


def opened(client: FakeClient, spec: FragilitySpec = SPEC) -> FragilityPanel:
    return asking(FragilityPanel(context(client)), spec)


def stored(*specs: FragilitySpec) -> FakeClient:
    client = FakeClient()
    for spec in specs or (SPEC,):
        client.answers[spec.canonical()] = answer(spec)
    return client


def test_stored_answer_is_shown_at_once_with_means_and_bars() -> None:
    client = stored()
    panel = opened(client)
    assert client.submitted == []
    lines = {line["key"]: line for line in panel.chart.chart["lines"]}
    assert list(lines) == ["exact", "sample", "retrained", "network"]
    assert lines["exact"]["x"] == [2.0, 8.0]
    assert lines["exact"]["values"]["pearson"] == pytest.approx([0.9, 0.4])
    assert lines["exact"]["high"]["pearson"] == pytest.approx([0.9 + 0.1 * 2**0.5, 0.4 + 0.1 * 2**0.5])
    assert lines["retrained"]["values"]["norm"] == pytest.approx([0.2, 0.2])
    assert lines["retrained"]["values"]["pearson"] == [None, None]
    assert lines["network"]["values"]["lambda_max"] == pytest.approx([2.0, 2.0])
    told = panel.words.value
    assert "<strong>Exact Hessian (classic)</strong>: Pearson 0.90 ± 0.14 at width 2, 0.40 ± 0.14 at width 8" in told
    assert "in 2 of 4 networks training had not settled" in told
    assert "In 2 of 4 networks the Hessian has negative eigenvalues (down to −0.0100)" in told


def test_the_marker_is_a_look_up_and_part_of_the_link() -> None:
    client = stored()
    panel = opened(client)
    assert "at width = 2</h3>" in panel.scatter.html
    assert "training example 3: predicted 0.0300, retrained 0.0600" in panel.scatter.html
    assert panel.scatter.html.count("<title>") == 8
    assert panel.extra_state() == {}
    panel.chart.position = 7.0
    panel.context.ticker.tick()
    assert "at width = 8</h3>" in panel.scatter.html
    assert "at=7" in panel.share.query
    assert client.submitted == []
    other = FragilityPanel(context(stored()))
    assert other.restore({"at": "7", "values": "2,8", "hessians": "exact,sample", "seeds": "2"}) == []
    other.show()
    assert "at width = 8</h3>" in other.scatter.html
    assert other.restore({"at": "-1"}) != []


def test_run_streams_and_can_be_cancelled() -> None:
    client = FakeClient()
    panel = opened(client)
    assert client.submitted == [SPEC]
    client.views["ticket-1"] = View("running", stage="Retraining", version=1, partial={"summary": summary().head(4)})
    panel.context.ticker.tick()
    assert panel.chart.chart["lines"][0]["x"] == [2.0]
    panel.cancel()
    assert client.cancelled == ["ticket-1"]
    assert panel.chart.chart["lines"] == []
    assert panel.context.ticker.idle


def test_another_axis_has_no_ghosts_and_forgets_values_of_the_first() -> None:
    deeper = FragilitySpec(vary="depth", hessians=("exact", "sample"), seeds=2)
    wider = SPEC.model_copy(update={"width": 7})
    panel = opened(stored(SPEC, deeper, wider))
    panel.form.set(width=7)
    panel.context.ticker.tick()
    assert [line["key"] for line in panel.chart.chart["ghosts"]] == ["exact", "sample", "retrained", "network"]
    panel.form.set(vary="depth")
    for _ in range(3):
        panel.context.ticker.tick()
    assert panel.spec.values == ()
    panel.form.set(width=5)
    panel.context.ticker.tick()
    assert panel.chart.chart["x"]["title"] == "hidden layers"
    assert panel.chart.chart["ghosts"] == []


def test_what_must_be_known_is_said() -> None:
    spec = FragilitySpec(values=(2.0,), hessians=("exact", "lissa"), seeds=1)
    result = answer(spec)
    said = " ".join(words.oddities(result))
    assert "LiSSA at width 2: LiSSA diverges &lt;here&gt;." in said
    assert "One network per setting" in said
    assert "The networks had settled" in words.settled(result)
    result.tables["summary"]["pearson"] = float("nan")
    assert "no finite estimate" in words.agreement(result)
    result.tables["points"]["predicted"] = float("inf")
    assert "nothing finite" in pictures.scatter_html(result, 2.0)


def test_published_numbers_are_named_as_published() -> None:
    html = words.published_html(answer())
    assert html.count("as published") == 10
    assert "ResNet50, MNIST" in html
    assert "dense, Iris, width 8" in html
    assert html.count(">here<") == 2


def test_ways_out() -> None:
    panel = opened(stored())
    assert next(iter(panel.export_tables())) == "points"
    page = panel.export_html()
    assert "Is the truth settled?" in page
    figure = panel.export_figures()[1]
    assert list(figure.data[0].x) == pytest.approx([-0.01, 0.03, -0.01, 0.03])
    assert "gif-dash run fragility --values 2,8 --hessians exact,sample --seeds 2" in panel.share.command
    shown = words.summary(answer())
    assert list(shown["width"]) == [2.0, 2.0, 8.0, 8.0]


def test_every_axis_can_be_drawn() -> None:
    for vary in ("width", "depth", "weight-decay", "damping"):
        spec = FragilitySpec.parse({"vary": vary, "seeds": 1})
        chart = pictures.curves(summary(spec), spec.model_dump(mode="json"))
        assert len(chart.lines) == len(spec.hessians) + 2
        value = pictures.nearest_value(spec.model_dump(mode="json"), spec.grid()[1] * 1.1)
        assert value == spec.grid()[1]
    assert len(points()) == 16


def test_specs_say_what_is_wrong() -> None:
    from gif_dash.specs import SpecError

    for values, sentence in (
        ({"vary": "depth", "values": (9,)}, "depth goes from 0 to 6; got 9"),
        ({"vary": "width", "values": (2.5,)}, "width is a whole number"),
        ({"data": "mnist"}, "vary weight decay or damping"),
        ({"data": "mnist", "vary": "damping"}, "for Iris only"),
    ):
        with pytest.raises(SpecError, match=sentence):
            FragilitySpec.parse(values)
    assert FragilitySpec(vary="depth").at(3.0) == {"width": 5, "depth": 3, "weight_decay": 1e-3, "damping": 1e-3}
    assert FragilitySpec(vary="weight-decay").at(0.1)["weight_decay"] == 0.1


def test_the_panel_does_without_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import gif_dash.panels.fragility, gif_dash.figures.fragility_words"
    subprocess.run([sys.executable, "-c", code], check=True)
