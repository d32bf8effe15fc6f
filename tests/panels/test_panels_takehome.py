"""The edited network's way from Save to the browser, with a browser that the test plays."""

from __future__ import annotations

import hashlib
import tracemalloc
from dataclasses import dataclass, field
from typing import Any

import pytest
from panels_fakes import FakeClient, context, result

from gif_dash.compute.client import View
from gif_dash.panels import takehome
from gif_dash.panels.page import Page
from gif_dash.panels.takehome import TakeHome, short
from gif_dash.panels.transfer import PIECE, Transfer
from gif_dash.specs import RemovalSpec, Spec, SpecError

SPEC = RemovalSpec(forget_classes=(2,), methods=("gif", "fif"))


class FileClient(FakeClient):
    """Makes files, too."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__()
        self.data = data
        self.asked: list[tuple[Spec, str, float]] = []
        self.refusal = ""

    def take_home(self, spec: Spec, method: str, scalar: float) -> str:
        if self.refusal:
            raise SpecError(self.refusal)
        self.asked.append((spec, method, scalar))
        self.views["file"] = View("queued", position=2, stage="Waiting: 1 before this one")
        return "file"

    def read(self, ticket: str, offset: int, count: int) -> bytes:
        assert ticket == "file"
        if "file" in self.cancelled:
            raise FileNotFoundError("the file is no longer there")
        return self.data[offset : offset + count]

    def done(self) -> None:
        self.views["file"] = View("done", size=len(self.data))


@dataclass
class Browser:
    """Plays page.js: asks for pieces, puts them together."""

    page: Page
    files: dict[str, bytes] = field(default_factory=dict)
    offers: list[dict[str, Any]] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    largest: int = 0
    wanted: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.send = self.hear  # type: ignore[method-assign]

    def hear(self, content: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        if content["do"] == "offer":
            self.offers.append(content)
            self.files[content["file"]] = b""
            self.wanted.append((content["file"], 0))
        elif content["do"] == "piece":
            assert buffers is not None
            (data,) = buffers
            self.largest = max(self.largest, len(data))
            assert content["from"] == len(self.files[content["file"]])
            self.files[content["file"]] += data
            self.wanted.append((content["file"], len(self.files[content["file"]])))
        elif content["do"] == "gone":
            self.gone.append(content["file"])

    def ask(self) -> None:
        """One message to Python."""
        file, offset = self.wanted.pop(0)
        self.page._message(self.page, {"do": "want", "file": file, "from": offset}, [])


def opened(client: FileClient, marker: float = 3.0) -> TakeHome:
    home = TakeHome(context(client), lambda: marker)
    home.follow(result(SPEC))
    return home


def test_it_says_what_the_file_will_be() -> None:
    home = opened(FileClient())
    assert [method["label"] for method in home.widget.methods] == ["GIF", "FIF"]
    assert [place["label"] for place in home.widget.places] == ["best (100)", "1", "at the marker (3)"]
    assert "about 0.8 kB" in home.widget.words, "200 parameters of four bytes"
    assert 'load_file("edited-digits-cnn-gif-s100.safetensors")' in home.widget.code
    home.widget.method, home.widget.at = "fif", "marker"
    assert "edited-digits-cnn-fif-s3.safetensors" in home.widget.code
    compile(home.widget.code, "the lines to copy", "exec")


@pytest.mark.parametrize(("at", "scalar"), [("best", 100.0), ("one", 1.0), ("marker", 3.0)])
def test_from_save_to_the_browser(at: str, scalar: float) -> None:
    client = FileClient(bytes(range(256)) * 20_000)
    home = opened(client)
    browser = Browser(home.context.page)
    home.widget.at, home.widget.method = at, "fif"
    home.save()
    assert client.asked == [(SPEC, "fif", scalar)]
    home.context.ticker.tick()
    assert home.widget.running
    assert home.widget.status == "Waiting: 1 before this one"
    client.views["file"] = View("running", stage="Solving for FIF", fraction=0.5)
    home.context.ticker.tick()
    assert (home.widget.status, home.widget.fraction) == ("Solving for FIF", 0.5)
    client.done()
    home.context.ticker.tick()
    (offer,) = browser.offers
    assert offer["name"] == f"edited-digits-cnn-fif-s{scalar:g}.safetensors"
    while browser.wanted:
        assert home.widget.running
        browser.ask()
        home.context.ticker.tick()
    assert browser.files == {offer["file"]: client.data}
    assert not home.widget.running
    assert "is yours: 5.1 MB" in home.widget.status
    assert home.widget.error == ""
    assert client.cancelled == ["file"], "the server may delete it"
    assert home.context.ticker.idle
    assert not browser.gone


def test_fifty_megabytes_in_small_pieces() -> None:
    pieces = [bytes([number]) * 1_000_000 for number in range(50)]
    counts: list[int] = []

    def read(offset: int, count: int) -> bytes:
        counts.append(count)
        return b"".join(pieces[offset // 1_000_000 : -(-(offset + count) // 1_000_000)])

    page, digest, received = Page(), hashlib.sha256(), 0
    sent: list[int] = []

    def hear(content: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        nonlocal received
        for data in buffers or []:
            sent.append(len(data))
            digest.update(data)
            received += len(data)

    page.send = hear  # type: ignore[method-assign]
    transfer = page.offer("large.safetensors", 50_000_000, read)
    assert not sent, "nothing before the browser asks"
    tracemalloc.start()
    while not transfer.complete:
        before = len(sent)
        page._message(page, {"do": "want", "file": transfer.file, "from": received}, [])
        assert len(sent) <= before + 1
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert received == 50_000_000
    assert digest.hexdigest() == hashlib.sha256(b"".join(pieces)).hexdigest()
    assert max(counts) == max(sent) == PIECE <= 4_000_000
    assert peak < 3 * PIECE


def test_cancelled_at_any_stage() -> None:
    for stage in ("queued", "sending"):
        client = FileClient(b"x" * 3_000_000)
        home = opened(client)
        browser = Browser(home.context.page)
        home.save()
        if stage == "sending":
            client.done()
            home.context.ticker.tick()
            browser.ask()
        home.cancel()
        assert not home.widget.running
        assert home.widget.status == "Cancelled"
        assert client.cancelled == ["file"]
        assert browser.gone == [offer["file"] for offer in browser.offers]
        before = dict(browser.files)
        while browser.wanted:
            browser.ask()
        assert browser.files == before, "nothing more comes"
        home.context.ticker.tick()
        assert home.widget.status == "Cancelled"


def test_whatever_goes_wrong_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    client = FileClient(b"x" * 10)
    home = opened(client)
    client.refusal = "s goes from 0 to 10000; got 1e9"
    home.save()
    assert home.widget.error == client.refusal
    assert not home.widget.running

    client.refusal = ""
    home.save()
    assert home.widget.error == ""
    client.views["file"] = View("failed", error="The engine has no memory left")
    home.context.ticker.tick()
    assert home.widget.error == "The engine has no memory left"

    browser = Browser(home.context.page)
    home.save()
    client.done()
    client.cancelled.append("file")  # the server has deleted it
    home.context.ticker.tick()
    browser.ask()
    home.context.ticker.tick()
    assert home.widget.error.startswith("The file can no longer be read")

    client.cancelled.clear()
    home.save()
    client.done()
    home.context.ticker.tick()
    monkeypatch.setattr(takehome, "STALLED", -1.0)
    home.context.ticker.tick()
    assert home.widget.error == "The browser does not take the file; press Save again"
    assert not home.widget.running


def test_a_new_answer_does_not_change_what_was_asked_for() -> None:
    client = FileClient(b"x" * 10)
    home = opened(client)
    browser = Browser(home.context.page)
    home.widget.method = "fif"
    home.save()
    home.follow(result(RemovalSpec(forget_classes=(1,), methods=("pif",))))
    assert home.widget.method == "pif"
    client.done()
    home.context.ticker.tick()
    assert browser.offers[0]["name"].startswith("edited-digits-cnn-fif")
    home.save()
    assert len(client.asked) == 1, "one file at a time"


@pytest.mark.parametrize("offset", [-1, 11, "0", None, 1.0, [0], {}])
def test_nonsense_from_the_browser_gets_nothing(offset: Any) -> None:
    page = Page()
    browser = Browser(page)
    transfer = page.offer("a", 10, lambda offset, count: b"x" * count)
    page._message(page, {"do": "want", "file": transfer.file, "from": offset}, [])
    page._message(page, {"do": "want", "file": "other", "from": 0}, [])
    page._message(page, "want", [])
    assert browser.files == {transfer.file: b""}
    assert not transfer.error


def test_a_file_that_shrinks_is_not_sent() -> None:
    transfer = Transfer("a", 10, lambda offset, count: b"x")
    assert transfer.piece(0) is None
    assert "has changed" in transfer.error


@pytest.mark.parametrize(
    ("scalar", "text"), [(100.0, "100"), (16.6812, "16.68"), (1e4, "10000"), (0.0001234567, "0.0001235"), (0.0, "0")]
)
def test_numbers_in_names(scalar: float, text: str) -> None:
    assert short(scalar) == text
