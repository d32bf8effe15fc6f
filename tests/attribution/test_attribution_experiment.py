"""The experiments of single images on a tiny scenario: tables, truth by training again, refusals."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from attribution_scenario import NAME, loaded, scenario
from scenarios.scenarios_fakes import Recorder, small

from gif_dash.experiments import attribution, image_removal
from gif_dash.figures import attribution as pictures
from gif_dash.figures import image_removal as removed
from gif_dash.progress import Cancelled, Silent
from gif_dash.results import Result
from gif_dash.scenarios import register
from gif_dash.specs import AttributionSpec, ImageRemovalSpec, RemovalSpec, SpecError

torch.set_num_threads(1)


@pytest.fixture(scope="module", autouse=True)
def known() -> Iterator[None]:
    register(scenario())
    return


@pytest.fixture(scope="module")
def answer() -> Result:
    return attribution.run(AttributionSpec(scenario=NAME, shown=5, mr=30), Silent())


@pytest.fixture(scope="module")
def removal() -> Result:
    spec = ImageRemovalSpec(scenario=NAME, forget_indices=(0, 4, 7), methods=("gif", "if"), retrain="yes")
    return image_removal.run(spec.model_copy(update={"retrain_seeds": 2}), Silent())


# --- scores -----------------------------------------------------------------------------------------------------------


def test_scores_are_those_of_a_solve_and_looped_gradients(answer: Result) -> None:
    ready = loaded()
    net = ready.network().double()
    parameters = list(net.parameters())
    inputs, labels = ready.train.batch(torch.arange(90))
    test_inputs, test_labels = ready.test.batch(torch.arange(45))

    def gradient(x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
        loss = F.cross_entropy(net(x.double()), y)
        return torch.cat([part.flatten() for part in torch.autograd.grad(loss, parameters)]).numpy()

    def product(v: np.ndarray) -> np.ndarray:
        loss = F.cross_entropy(net(inputs.double()), labels)
        slopes = torch.cat([s.flatten() for s in torch.autograd.grad(loss, parameters, create_graph=True)])
        found = torch.autograd.grad(slopes @ torch.tensor(v), parameters)
        return torch.cat([part.flatten() for part in found]).numpy() + 1e-3 * v

    losses = F.cross_entropy(net(test_inputs.double()), test_labels, reduction="none")
    worst = int(losses.argmax())
    query = answer.tables["query"].iloc[0]
    assert (query["index"], query["target"]) == (worst, int(test_labels[worst]))
    h = np.array([product(row) for row in np.eye(sum(p.numel() for p in parameters))])
    g = gradient(test_inputs[[worst]], test_labels[[worst]])
    spec = AttributionSpec(scenario=NAME, rankings=("influence",), solver="direct", damping=0.05)
    table = attribution.run(spec, Silent()).table
    lam = 0.05 * np.linalg.norm(h, 2)
    v = np.linalg.solve(h @ h + lam**2 * np.eye(len(h)), h @ g)
    expected = [gradient(inputs[[i]], labels[[i]]) @ v / 90 for i in range(90)]
    np.testing.assert_allclose(table["influence"], expected, rtol=2e-3, atol=2e-6)
    assert list(table["train_index"]) == list(range(90))


def test_tables_fit_together(answer: Result) -> None:
    scores, shown = answer.table, answer.tables["shown"]
    rankings = list(AttributionSpec().rankings)
    assert list(dict.fromkeys(shown["ranking"])) == rankings
    for ranking in rankings:
        rows = shown[shown["ranking"] == ranking]
        for side, sign in (("for", 1), ("against", -1)):
            own = rows[rows["side"] == side]
            assert len(own) <= 5
            if ranking in attribution.SIGNED:
                best = (sign * scores[ranking]).nlargest(5)
                assert list(own["train_index"]) == list(best.index[best > 0])
            else:
                target = answer.tables["query"].iloc[0]["target"]
                assert ((own["label"] == target) == (side == "for")).all()
    urls = answer.tables["pictures"]
    assert urls["url"].str.startswith("data:image/png;base64,").all()
    assert set(shown["train_index"]) == set(urls[urls["kind"] == "train"]["index"])
    agreement = answer.tables["agreement"]
    assert len(agreement) == len(rankings) ** 2
    same = agreement[agreement["a"] == agreement["b"]]
    assert (same["spearman"] == 1).all()
    assert list(answer.tables["solves"]["hvps"])[:2] == [6, 6]
    assert Result.from_json(answer.to_json()).tables["scores"].equals(scores)


def test_mislabelled_neighbours_are_the_harmful_ones() -> None:
    """Training images 0, 1, 2 show bars 0, 1, 2 under the next label: they harm test images of their true class."""
    spec = AttributionSpec(scenario=NAME, test_index=9, rankings=("influence",), shown=4)  # shows the left bar
    shown = attribution.run(spec, Silent()).tables["shown"]
    assert 0 in list(shown[shown["side"] == "against"]["train_index"])


def test_loss_of_the_networks_answer_turns_the_signs_of_a_misclassified_image() -> None:
    right = attribution.run(AttributionSpec(scenario=NAME, rankings=("influence-layers",)), Silent())
    other = attribution.run(
        AttributionSpec(scenario=NAME, rankings=("influence-layers",), target="predicted"), Silent()
    )
    query = other.tables["query"].iloc[0]
    assert query["label"] != query["predicted"] == query["target"]
    together = np.corrcoef(right.table["influence-layers"], other.table["influence-layers"])[0, 1]
    assert together < -0.5


def test_layers_by_name_and_the_last_one_by_default(answer: Result) -> None:
    rankings = ("influence-layers",)
    last = attribution.run(AttributionSpec(scenario=NAME, rankings=rankings, layers=("3",)), Silent()).table
    np.testing.assert_allclose(last["influence-layers"], answer.table["influence-layers"])
    both = attribution.run(AttributionSpec(scenario=NAME, rankings=rankings, layers=("0", "3")), Silent()).table
    np.testing.assert_allclose(both["influence-layers"], answer.table["influence"], rtol=1e-3, atol=1e-6)
    with pytest.raises(SpecError, match="no layer 'fc'"):
        attribution.run(AttributionSpec(scenario=NAME, layers=("fc",)), Silent())


def test_data_that_are_no_pictures_have_scores_all_the_same() -> None:
    register(small())
    result = attribution.run(AttributionSpec(scenario="blobs", shown=4), Silent())
    assert (result.tables["pictures"]["url"] == "").all()
    assert len(result.tables["shown"]) > 20


def test_partial_tables_can_be_drawn_and_a_run_can_be_cancelled() -> None:
    class Watching(Silent):
        def __init__(self) -> None:
            self.known: dict[str, pd.DataFrame] = {}
            self.drawn = 0

        def partial(self, table: str, make: object) -> None:
            self.known[table] = make()  # type: ignore[operator]
            if table == "pictures":
                self.drawn += 1
                assert pictures.content(self.known, ("a", "b", "c"))["rankings"]

    progress = Watching()
    attribution.run(AttributionSpec(scenario=NAME), progress)
    assert progress.drawn >= 3

    class Leaving(Recorder):
        def check(self) -> None:
            if any(title.startswith("Scoring") for title, _ in self.stages):
                raise Cancelled

    with pytest.raises(Cancelled):
        attribution.run(AttributionSpec(scenario=NAME), Leaving())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"test_index": 45}, "test images go from 0 to 44"),
        ({"scenario": "nowhere"}, "no scenario"),
    ],
)
def test_questions_beyond_the_scenario_are_refused(values: dict[str, object], words: str) -> None:
    card = loaded().card if "scenario" not in values else None
    with pytest.raises(SpecError, match=words):
        AttributionSpec(**{"scenario": NAME, **values}).check(card)  # type: ignore[arg-type]


def test_gif_on_a_selection_takes_a_solver_that_it_has() -> None:
    spec = AttributionSpec(scenario=NAME, rankings=("influence", "influence-selected"), inverse="gif", mr=30)
    solves = attribution.run(spec, Silent()).tables["solves"]
    assert list(solves["solver"]) == ["minres", "cgls"]
    assert list(solves["hvps"]) == [6, 11]


def test_removal_by_gif_has_a_solver_of_its_own_where_it_must() -> None:
    spec = ImageRemovalSpec(scenario=NAME, forget_indices=(3,))
    by_gif = spec.removal_by_gif()
    assert by_gif is not None
    assert (spec.removal().methods, spec.removal().solver) == (("if",), "minres")
    assert (by_gif.methods, by_gif.solver) == (("gif",), "cgls")
    alone = spec.model_copy(update={"methods": ("gif",)})
    assert (alone.removal().solver, alone.removal_by_gif()) == ("cgls", None)
    lsmr = spec.model_copy(update={"solver": "lsmr"})
    assert (lsmr.removal().methods, lsmr.removal_by_gif()) == (("gif", "if"), None)
    result = image_removal.run(spec, Silent())
    assert list(result.tables["solves"]["solver"]) == ["cgls", "minres"]
    assert list(result.tables["solves"]["hvps"]) == [11, 6]
    assert result.provenance["hvps"] == 17


# --- removal ----------------------------------------------------------------------------------------------------------


def test_removal_measures_what_the_edited_networks_say(removal: Result) -> None:
    table = removal.table
    assert list(table["method"].unique()) == [
        "original",
        "gif",
        "if",
        "retrain_warm_all",
        "retrain_warm",
        "retrain_all",
        "retrain",
    ]
    edits = table[table["predicted_change"].notna()]
    np.testing.assert_allclose(edits["change"], edits["predicted_change"], rtol=0.2)
    cold = table[table["method"] == "retrain"].reset_index()
    alone = table[table["method"] == "retrain_all"].reset_index()
    np.testing.assert_allclose(cold["change"], cold["query_loss"] - alone["query_loss"])
    assert len(cold) == 2
    first = alone[alone["seed"] == 0]["query_loss"].iloc[0]
    assert first == pytest.approx(table[table["method"] == "original"]["query_loss"].iloc[0], rel=1e-4)


def test_group_prediction_is_that_of_class_removals_own_step(removal: Result) -> None:
    from gif_dash.experiments.editing import Editing

    spec = RemovalSpec(scenario=NAME, forget_classes=(), forget_indices=(0, 4, 7), methods=("if",), solver="minres")
    with Editing.of(spec, Silent()) as editing:
        selection, gradient = editing.system()
        step = editing.solve(("if",), gradient, selection.indices)["if"].delta
        query = attribution.query(editing.prepared, editing.model, int(removal.provenance["test_index"]), "label")
        expected = float(query.risk.gradient() @ step)
    row = removal.table[removal.table["method"] == "if"].iloc[0]
    assert row["predicted_change"] == pytest.approx(expected, rel=1e-3)


def test_removal_without_training_says_how_to_see_more() -> None:
    result = image_removal.run(ImageRemovalSpec(scenario=NAME, forget_indices=(5,)), Silent())
    assert set(result.table["method"]) == {"original", "gif", "if"}
    assert "Not measured" in removed.retraining_lands(result)
    assert removed.these(result) == "training image 5"


def test_impatient_asker_of_a_long_training_is_told() -> None:
    class Impatient(Silent):
        patient = False

    from gif_dash.experiments import editing

    spec = ImageRemovalSpec(scenario=NAME, forget_indices=(11, 12), retrain="yes")
    before, editing.LONG_TRAINING = editing.LONG_TRAINING, -1.0
    try:
        result = image_removal.run(spec, Impatient())
    finally:
        editing.LONG_TRAINING = before
    assert result.provenance["impatient"]
    assert "gif-dash run image-removal" in removed.retraining_lands(result)


def test_words_follow_the_numbers(removal: Result) -> None:
    def changed(method: str, values: list[float]) -> Result:
        table = removal.table.copy()
        table.loc[table["method"] == method, "change"] = values
        return Result(removal.spec, {**removal.tables, "outcomes": table}, removal.provenance)

    edit = float(removal.table[removal.table["method"] == "if"]["change"].iloc[0])
    other = changed("gif", [edit])
    table = other.tables["outcomes"]
    far = Result(other.spec, {"outcomes": table.assign(change=table["change"])}, other.provenance)
    far.tables["outcomes"].loc[table["method"] == "retrain", "change"] = [10 * edit, 10.2 * edit]
    assert "far more" in removed.retraining_lands(far)
    far.tables["outcomes"].loc[table["method"] == "retrain", "change"] = [-10 * edit, -10.2 * edit]
    assert "the other way" in removed.retraining_lands(far)
    far.tables["outcomes"].loc[table["method"] == "retrain", "change"] = [-10 * edit, 12 * edit]
    assert "cannot be told" in removed.retraining_lands(far)
    assert "±" in removed.outcomes_html(removal)
    assert "do what first order says" in removed.good_edit(removal)
    assert "Not as first order says for IF." in removed.good_edit(changed("if", [5 * edit]))
