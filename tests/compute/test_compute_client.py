"""The client of a notebook, the headless way, and what they may import."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import compute_fakes
import pytest
from compute_fakes import FakeScenarioSpec, FakeSpec, runs

from gif_dash.compute.cards import believed
from gif_dash.compute.client import connect, execute
from gif_dash.compute.store import open_store
from gif_dash.progress import Cancelled, Silent
from gif_dash.results import Result, ScenarioCard
from gif_dash.specs import SpecError

pytestmark = pytest.mark.usefixtures("own_folders")


def answer(spec: FakeSpec) -> Result:
    client = connect()
    ticket = client.submit(spec)
    limit = time.monotonic() + 60
    while not (view := client.view(ticket)).ended:
        assert time.monotonic() < limit
        time.sleep(0.01)
    assert view.error == ""
    assert view.result is not None
    return view.result


def test_notebook_asks_a_thread_of_its_own(tmp_path: Path) -> None:
    spec = FakeSpec(log=str(tmp_path / "log"))
    assert connect() is connect()
    result = answer(spec)
    assert threading.active_count() >= 3  # dispatcher and worker
    assert answer(spec).to_json() == result.to_json()
    assert execute(spec, Silent()).to_json() == result.to_json()
    assert runs(spec) == 1


def test_execute_computes_stores_and_looks_up(tmp_path: Path) -> None:
    spec = FakeSpec(log=str(tmp_path / "log"))
    result = execute(spec, Silent())
    assert runs(spec) == 1
    assert execute(spec, Silent()).to_json() == result.to_json()
    assert runs(spec) == 1
    assert connect().stored(spec) is not None
    execute(spec, Silent(), fresh=True)
    assert runs(spec) == 2
    assert len(open_store().history()) == 1


def test_execute_raises_as_it_is(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    with pytest.raises(compute_fakes.FakeError, match="secret"):
        execute(FakeSpec(mode="bug", log=log), Silent())
    with pytest.raises(SpecError, match="no scenario named 'none'"):
        execute(FakeScenarioSpec(scenario="none", log=log), Silent())

    class Impatient(Silent):
        def check(self) -> None:
            raise Cancelled

    with pytest.raises(Cancelled):
        execute(FakeSpec(log=log), Impatient())
    assert open_store().history() == []


def test_execute_on_a_scenario_writes_its_card(tmp_path: Path) -> None:
    spec = FakeScenarioSpec(log=str(tmp_path / "log"))
    execute(spec, Silent())
    card = open_store().card("tiny")
    assert card is not None
    assert card.classes == ("low", "high")
    assert believed(card)
    assert connect().stored(spec) is not None
    with pytest.raises(SpecError, match="classes 0 to 1"):
        execute(FakeScenarioSpec(tag=5, log=spec.log), Silent())
    checkpoint = next(path for path in card.evidence if path.endswith(".safetensors"))
    Path(checkpoint).unlink()
    assert connect().stored(spec) is None
    execute(spec, Silent())  # trains again, arrives at the same weights, and finds the answer
    assert runs(spec) == 1
    assert connect().stored(spec) is not None


def test_a_card_is_believed_while_its_files_stay(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"1234")
    status = file.stat()
    card = ScenarioCard(name="x", title="", fingerprint="f", evidence={str(file): (status.st_size, status.st_mtime_ns)})
    assert believed(card)
    assert not believed(None)
    assert not believed(card.model_copy(update={"fingerprint": ""}))
    assert not believed(card.model_copy(update={"evidence": {}}))
    assert not believed(card.model_copy(update={"evidence": {**card.evidence, str(tmp_path / "gone"): (1, 1)}}))
    file.write_bytes(b"12345")
    assert not believed(card)


def test_a_registered_object_is_never_taken_from_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from torch.utils.data import TensorDataset

    from gif_dash.scenarios import Scenario, register
    from gif_dash.scenarios import scenario as registry

    monkeypatch.setattr(registry, "_registered", {})
    inputs, labels = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 2
    data = TensorDataset(inputs, labels)
    network = torch.nn.Linear(3, 2)
    register(Scenario("mine", network, data, data, ["a", "b"], title="My own"))
    client = connect()
    offer = client.offers()[-1]
    assert (offer.name, offer.title, offer.state, offer.card) == ("mine", "My own", "quick", None)
    ticket = client.prepare("mine")
    while not client.view(ticket).ended:
        time.sleep(0.01)
    offer = client.offers()[-1]
    assert offer.state == "ready"
    assert offer.card is not None
    assert offer.card.classes == ("a", "b")
    spec = FakeScenarioSpec(scenario="mine", log=str(tmp_path / "log"))
    with pytest.raises(SpecError, match="classes 0 to 1"):
        client.submit(FakeScenarioSpec(scenario="mine", tag=2, log=spec.log))
    answer(spec)
    answer(spec)
    assert runs(spec) == 1  # the worker looked at the object and found the answer
    with torch.no_grad():
        network.weight += 1
    answer(spec)
    assert runs(spec) == 2
    register(Scenario("mine", network, data, data, ["a", "b", "c"][:2], title="Another"))
    assert client.offers()[-1].card is None


LIGHT = """
import sys
import gif_dash.compute.client, gif_dash.compute.dispatcher, gif_dash.compute.server, gif_dash.compute.store
from gif_dash.compute.client import TableClient, connect
from gif_dash.specs import RemovalSpec
client = connect()
names = [offer.name for offer in client.offers()]
assert names == ["digits-cnn", "mnist-cnn", "mnist-resnet18", "cifar10-vgg11"], names
assert client.stored(RemovalSpec()) is None
loaded = {"torch", "distributed", "dask", "scipy", "sklearn", "gif_dash.scenarios"} & set(sys.modules)
assert not loaded, loaded
"""


def test_looking_and_asking_needs_neither_torch_nor_dask() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
