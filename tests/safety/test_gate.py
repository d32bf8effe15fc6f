"""What passes between a page and its kernel, and what does not: by itself, and on the websocket of a server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import struct
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from driving import Served
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jupyter_server.services.kernels.connection.base import serialize_msg_to_ws_v1
from nonsense import MESSAGES, VALUES
from serving.test_server import ask, kernel_of, start_plain
from socketing import Socket, connected
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError

from gif_dash.serving.gate import CONTROL, LONGEST, V1, Gate, Passed, Refusal

HEADER = {"msg_id": "a1", "msg_type": "comm_msg", "session": "b2", "username": "", "version": "5.3", "date": ""}
UPDATE = {"comm_id": "c3", "data": {"method": "update", "state": {"values": {"mr": 5}}}}

KINDS = ("comm_open", "comm_msg", "comm_close", "comm_info_request")
FUZZ = settings(
    max_examples=200, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
#: A byte that is another one, and where.
FLIP = st.tuples(st.integers(0, 400), st.binary(min_size=1, max_size=1))

#: Kinds of messages that Jupyter knows and a page has no use for.
FORBIDDEN = (
    "execute_request", "inspect_request", "complete_request", "history_request", "is_complete_request",
    "shutdown_request", "interrupt_request", "debug_request", "input_reply", "comm_nonsense", "connect_request",
    "create_subshell_request", "delete_subshell_request", "list_subshell_request", "usage_request", "apply_request",
    "clear_request", "abort_request", "",
)  # fmt: skip


def spelled(content: Any = UPDATE, protocol: str | None = None, channel: str = "shell", **header: Any) -> str | bytes:
    """A message as a browser writes it."""
    message = {"header": {**HEADER, **header}, "parent_header": {}, "metadata": {}, "content": content}
    if protocol == V1:
        packed: bytes = serialize_msg_to_ws_v1(message, channel, lambda part: json.dumps(part).encode())
        return packed
    return json.dumps({**message, "channel": channel, "buffers": []})


@pytest.fixture(params=[None, V1], ids=["older", "v1"])
def protocol(request: pytest.FixtureRequest) -> str | None:
    return request.param


def test_messages_of_widgets_pass(protocol: str | None) -> None:
    gate = Gate()
    passed = gate.check(spelled(protocol=protocol), protocol)
    assert (passed.kind, passed.content) == ("comm_msg", UPDATE)
    assert (passed.header["msg_id"], passed.header["session"]) == ("a1", "b2")
    assert gate.check(spelled({}, protocol, msg_type="kernel_info_request"), protocol).content == {}
    asked = spelled({"target_name": "jupyter.widget", "more": 1}, protocol, msg_type="comm_info_request")
    assert gate.check(asked, protocol).content == {"target_name": "jupyter.widget"}


def test_the_control_comm_of_widgets_is_opened_asked_and_closed(protocol: str | None) -> None:
    gate = Gate()
    states = spelled({"comm_id": "d4", "data": {"method": "request_states"}}, protocol)
    with pytest.raises(Refusal):
        gate.check(states, protocol)
    opening = {"comm_id": "d4", "target_name": CONTROL, "data": {"state": {"_model_name": "FileUploadModel"}}}
    assert gate.check(spelled(opening, protocol, msg_type="comm_open"), protocol).content["data"] == {}
    assert gate.check(states, protocol).content["data"] == {"method": "request_states"}
    gate.check(spelled({"comm_id": "d4", "data": {}}, protocol, msg_type="comm_close"), protocol)
    with pytest.raises(Refusal, match="closes the comms that it opened"):
        gate.check(spelled({"comm_id": "d4", "data": {}}, protocol, msg_type="comm_close"), protocol)


@pytest.mark.parametrize("kind", FORBIDDEN)
@pytest.mark.parametrize("channel", ["shell", "control", "stdin", "iopub", "nonsense"])
def test_no_other_kind_on_any_channel(protocol: str | None, kind: str, channel: str) -> None:
    with pytest.raises(Refusal):
        Gate().check(spelled({"code": "1", "silent": False}, protocol, channel, msg_type=kind), protocol)


@pytest.mark.parametrize("channel", ["control", "stdin", "iopub", "nonsense", ""])
def test_widgets_are_spoken_to_on_the_shell_channel_only(protocol: str | None, channel: str) -> None:
    with pytest.raises(Refusal, match="shell"):
        Gate().check(spelled(UPDATE, protocol, channel), protocol)


@pytest.mark.parametrize("target", ["jupyter.widget", "jupyter.widget.version", "matplotlib", "os.system", "", None, 5])
def test_no_widget_is_made_by_a_page(protocol: str | None, target: Any) -> None:
    content = {"comm_id": "e5", "target_name": target, "data": {"state": {"_model_name": "FileUploadModel"}}}
    with pytest.raises(Refusal):
        Gate().check(spelled(content, protocol, msg_type="comm_open"), protocol)


UNREADABLE = [
        "", "null", "[]", "{}", "5", '"x"', "{", "\ud800", '{"header": 5}', '{"header": {"msg_type": "comm_msg"}}',
        "[" * 100_000, '{"header": ' * 2000, b"", b"\x00", b"\xff" * 100, b"\x00" * 100, "x" * (LONGEST + 1),
        struct.pack("!I", 2**31) + b"{}", struct.pack("!I", 0), struct.pack("<Q", 2**60) + b"\x00" * 64,
        struct.pack("<QQQ", 2, 24, 10**12), b"\x01" * 4096,
]  # fmt: skip


@pytest.mark.parametrize(
    "raw",
    UNREADABLE,
    ids=[str(place) for place in range(len(UNREADABLE))],
)
def test_what_cannot_be_read_is_refused(protocol: str | None, raw: str | bytes) -> None:
    with pytest.raises(Refusal):
        Gate().check(raw, protocol)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1" * 5000, '"\\ud800"'])
def test_numbers_and_letters_that_are_none_do_not_pass(protocol: str | None, number: str) -> None:
    text = spelled({**UPDATE, "data": {"method": "update", "state": {"x": "HERE"}}}, protocol)
    if isinstance(text, bytes):
        content = json.dumps({**UPDATE, "data": {"method": "update", "state": {"x": "HERE"}}})
        parts = [json.dumps(HEADER), "{}", "{}", content.replace('"HERE"', number)]
        raw: str | bytes = serialize_msg_to_ws_v1([part.encode() for part in parts], "shell")
    else:
        raw = text.replace('"HERE"', number)
    with pytest.raises(Refusal):
        Gate().check(raw, protocol)


@FUZZ
@given(
    raw=st.binary(max_size=300),
    cut=st.integers(0, 300),
    flips=st.lists(FLIP, max_size=4),
)
def test_bytes_pass_or_are_refused_and_nothing_else(raw: bytes, cut: int, flips: list[tuple[int, bytes]]) -> None:
    good = bytearray(spelled(protocol=V1))  # type: ignore[arg-type]
    for place, byte in flips:
        good[place % len(good)] = byte[0]
    for text in (raw, bytes(good), bytes(good[:cut]), raw.decode(errors="replace")):
        for protocol in (None, V1):
            decided(text, protocol)


@FUZZ
@given(header=VALUES, content=VALUES, kind=st.sampled_from(KINDS))
def test_values_pass_or_are_refused_and_nothing_else(header: Any, content: Any, kind: str) -> None:
    decided(json.dumps({"header": header, "content": content}), None)
    decided(spelled(content, msg_type=kind), None)
    decided(spelled({"comm_id": "c", "target_name": content, "data": content}, msg_type=kind), None)


def decided(text: str | bytes, protocol: str | None) -> None:
    try:
        passed = Gate().check(text, protocol)
    except Refusal:
        return
    assert isinstance(passed, Passed)
    assert passed.kind in (*KINDS, "kernel_info_request")


# --- on the websocket ------------------------------------------------------------------------------------------------

DASHBOARD = """
from gif_dash import Dashboard
dashboard = Dashboard(query="")
dashboard
"""
#: Anything that a visitor's code would have done.
MARK = "MARK-OF-CODE-THAT-RAN"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, str]]:
    """A served page of the dashboard without its compute side, and the id of its kernel."""
    served = start_plain(tmp_path_factory.mktemp("gated"), DASHBOARD, pool=0)
    status, _, text = ask(served, "/")
    assert status == 200
    yield served, kernel_of(text)
    assert served.stop() == 0


async def states(socket: Socket) -> dict[str, Any]:
    """All widgets of the page, as its scripts learn of them."""
    control = uuid.uuid4().hex
    opening = {"comm_id": control, "target_name": CONTROL, "data": {}}
    await socket.send("comm_open", opening, metadata={"version": "1.0.0"})
    name = await socket.send("comm_msg", {"comm_id": control, "data": {"method": "request_states"}})
    answer = await socket.reply(name, "comm_msg")
    return dict(answer["content"]["data"]["states"])


async def alive(socket: Socket) -> None:
    name = await socket.send("kernel_info_request", {})
    assert (await socket.reply(name))["header"]["msg_type"] == "kernel_info_reply"


def test_code_is_refused_on_every_channel(page: tuple[Served, str]) -> None:
    served, kernel = page

    async def attack() -> None:
        async with connected(served, kernel) as socket:
            for kind in filter(None, FORBIDDEN):
                for channel in ("shell", "control", "stdin"):
                    content = {"code": f"print({MARK!r})", "silent": False, "restart": False, "value": MARK}
                    reply = await socket.reply(await socket.send(kind, content, channel))
                    assert reply["content"]["status"] == "error"
                    assert reply["content"]["ename"] == "Refused"
                    assert MARK not in json.dumps(reply)
            await alive(socket)

    asyncio.run(attack())
    assert MARK not in served.log
    lines = [line for line in served.log.splitlines() if "refused what a page sent" in line]
    assert 1 <= len(lines) <= 8, "one line from time to time"
    assert "no code, and nothing else" in lines[0]


def test_no_widget_can_be_made_and_none_of_another_class(page: tuple[Served, str]) -> None:
    served, kernel = page

    async def attack() -> None:
        async with connected(served, kernel) as socket:
            before = await states(socket)
            for model in ("FileUploadModel", "IntSliderModel", "OutputModel", "AnyModel"):
                state = {"_model_name": model, "_model_module": "@jupyter-widgets/controls", "_view_name": "x"}
                content = {"comm_id": "mine", "target_name": "jupyter.widget", "data": {"state": state}}
                reply = await socket.reply(await socket.send("comm_open", content, metadata={"version": "2.1.0"}))
                assert "makes no widgets" in reply["content"]["evalue"]
        async with connected(served, kernel) as socket:
            assert (await states(socket)).keys() == before.keys()

    asyncio.run(attack())


def test_nonsense_on_the_websocket(page: tuple[Served, str]) -> None:
    """More than 200 messages to the widgets of the page: each is answered, the kernel lives, no path is told."""
    served, kernel = page
    found: list[Any] = []

    @settings(max_examples=60, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.lists(MESSAGES, min_size=4, max_size=4))
    def draw(sent: list[Any]) -> None:
        found.extend(sent)

    draw()

    async def attack() -> tuple[int, str]:
        refused, told = 0, []
        async with connected(served, kernel) as socket:
            widgets = await states(socket)
            names = sorted(widgets)
            for one in found:
                comm = names[one.who % len(names)]
                heard = {name: value for name, value in widgets[comm]["state"].items() if name == "values"}
                name = await socket.send("comm_msg", {"comm_id": comm, "data": one.content(heard, ["mr"])})
                end = await socket.send("kernel_info_request", {})
                answers = await socket.until(end, "kernel_info_reply")  # messages are answered in their order
                mine = json.dumps([each["content"] for each in answers if each["parent_header"].get("msg_id") == name])
                refused += "refused" in mine.lower()
                told += [each["content"] for each in answers if each["header"]["msg_type"] in ("error", "stream")]
        return refused, json.dumps(told)

    refused, heard = asyncio.run(attack())
    sent = len(found)
    print({"sent": sent, "refused": refused})
    assert sent >= 200
    assert refused > 50
    assert heard == "[]", "what a kernel prints is for the log"
    assert "refused what a page sent" in served.log


def test_what_a_kernel_prints_is_for_the_log(page: tuple[Served, str]) -> None:
    """A control comm of a version that ipywidgets does not know makes it raise, and print so."""
    served, kernel = page

    async def attack() -> list[str]:
        async with connected(served, kernel) as socket:
            opening = {"comm_id": "odd", "target_name": CONTROL, "data": {}}
            await socket.send("comm_open", opening, metadata={"version": "9"})
            heard = await socket.until(await socket.send("kernel_info_request", {}))
            return [message["header"]["msg_type"] for message in heard]

    assert set(asyncio.run(attack())) <= {"status", "comm_close", "kernel_info_reply"}


def test_malformed_frames_end_nothing(page: tuple[Served, str]) -> None:
    served, kernel = page
    noise, before = random.Random(0), len(served.log)

    async def attack() -> None:
        async with connected(served, kernel) as socket:
            for _ in range(100):
                await socket.raw(noise.randbytes(noise.randrange(200)))
            for text in ("", "null", "[" * 5000, "{}", '{"header": {}}'):
                await socket.raw(text)
            await alive(socket)
        async with connected(served, kernel) as socket:
            with contextlib.suppress(WebSocketClosedError, StreamClosedError):  # perhaps before all of it is sent
                await socket.raw("x" * (3 * LONGEST))
            while await socket.hear() is not None:
                pass
        async with connected(served, kernel) as socket:
            await alive(socket)

    asyncio.run(attack())
    assert "Traceback" not in served.log[before:]


def test_a_kernel_can_only_be_asked_for(page: tuple[Served, str]) -> None:
    served, kernel = page
    status, _, text = ask(served, f"/api/kernels/{kernel}")
    assert status == 200
    assert set(json.loads(text)) == {"id", "name", "execution_state", "last_activity", "connections"}
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert ask(served, f"/api/kernels/{kernel}", method)[0] in (403, 405)
    for path in ("restart", "interrupt", "../../sessions"):
        assert ask(served, f"/api/kernels/{kernel}/{path}", "POST")[0] in (403, 404, 405)
    assert ask(served, f"/api/kernels/{kernel}")[0] == 200
