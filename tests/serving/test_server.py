"""What the server answers, what it refuses, and how it ends."""

from __future__ import annotations

import html
import http.client
import json
import logging
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import psutil
import pytest
from click.testing import CliRunner
from driving import Served, start_server, until
from nbclient.exceptions import DeadKernelError

from gif_dash import resources
from gif_dash.cli import main
from gif_dash.serving import start

SCRIPT = Path(__file__).with_name("plain_server.py")

CELL = """
import os
from gif_dash.serving.visit import query_string
print("visited with", query_string())
print("threads", os.environ["OMP_NUM_THREADS"], "profile", os.environ["IPYTHONDIR"])
"""


def write_notebook(path: Path, *cells: str) -> Path:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata={"kernelspec": kernel}
    )
    nbformat.write(notebook, path)
    return path


def start_plain(folder: Path, *cells: str, **settings: object) -> Served:
    notebook = write_notebook(folder / "plain.ipynb", *cells)
    (folder / "secret.png").write_bytes(b"not for visitors")
    words = [f"{name}={value}" for name, value in settings.items()]
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    return start_server([sys.executable, str(SCRIPT), str(notebook), *words], folder / "cache", TMPDIR=str(temporary))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = start_plain(tmp_path_factory.mktemp("plain"), CELL)
    yield served
    assert served.stop() == 0


def ask(served: Served, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    """One request, without the niceties of a library; header names with _ for -."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    if method != "GET":
        connection.putheader("Content-Length", "0")
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read().decode(errors="replace")
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def kernel_of(page: str) -> str:
    start = page.index('<script id="jupyter-config-data"')
    text = page[page.index(">", start) + 1 : page.index("</script>", start)]
    kernel: str = json.loads(text)["kernelId"]
    return kernel


def test_it_says_where_it_is_and_how_to_stop_it(plain: Served) -> None:
    assert plain.words[0] == f"gif_dash is at http://127.0.0.1:{plain.port}/"
    assert "Ctrl+C" in plain.words[1]
    assert str(plain.cache / "serve.log") in plain.words[1]


def test_a_waiting_kernel_learns_the_query_string_and_is_freed_with_its_page(plain: Served) -> None:
    until(lambda: len(plain.kernels()) == 1, 20, "one kernel waits")
    status, _, page = ask(plain, "/?tab=toy&mr=12.5")
    assert status == 200
    assert "visited with tab=toy&mr=12.5" in html.unescape(page)
    assert "threads 1 " in page
    assert str(Path.home()) not in page.split("profile ")[1].split()[0], "start-up files of the user's profile"

    kernel = kernel_of(page)
    assert ask(plain, f"/api/kernels/{kernel}")[0] == 200
    until(lambda: len(plain.kernels()) == 2, 20, "another kernel waits for the next visitor")
    assert ask(plain, f"/api/kernels/{kernel}", "DELETE")[0] == 403, "XSRF protection is on"
    assert ask(plain, f"/voila/api/shutdown/{kernel}", "POST", Origin="http://evil.example")[0] in (403, 404)
    assert len(plain.kernels()) == 2
    assert ask(plain, f"/voila/api/shutdown/{kernel}", "POST")[0] == 204
    until(lambda: len(plain.kernels()) == 1, 10, "the visitor's kernel is gone, the waiting one is there")
    assert ask(plain, f"/api/kernels/{kernel}")[0] == 404
    assert ask(plain, f"/voila/api/shutdown/{kernel}", "POST")[0] == 204, "the page may say it twice"


@pytest.mark.parametrize(
    "path",
    [
        "/plain.ipynb",
        "/secret.png",
        "/voila/files/secret.png",
        "/voila/files/plain.ipynb",
        "/voila/render/plain.ipynb",
        "/voila/tree",
        "/voila/api/contents/",
        "/voila/api/themes/x",
        "/voila/templates/lab/static/index.css",
        "/voila/templates/gif-dash/static/../index.html.j2",
        "/voila/static/../../../../../../etc/passwd",
        "/voila/labextensions/../../../../../../etc/passwd",
        "/api/kernels",
        "/api/contents",
        "/api/sessions",
        "/api/kernelspecs",
        "/api/terminals",
        "/login",
        "/static/favicon.ico",
        "/nothing?theme=dark",
    ],
)
def test_nothing_else_is_served(plain: Served, path: str) -> None:
    until(lambda: len(plain.kernels()) == 1, 20, "one kernel waits")
    status, _, body = ask(plain, path)
    assert status in (403, 404)
    assert "not for visitors" not in body
    assert "root:" not in body
    assert "://" not in body.replace("http://www.w3.org/2000/svg", ""), "an error page asks nobody for anything"
    assert len(plain.kernels()) == 1


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/voila/static/voila.js", "/voila/templates/gif-dash/static/index.css"]
)
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", ""])
def test_foreign_host_names_are_refused(plain: Served, path: str, host: str) -> None:
    assert ask(plain, path, Host=host)[0] in ((403,) if host else (400, 403))


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9999", "127.0.0.1", "127.0.0.53:1", "[::1]:8866"])
def test_names_of_this_machine_are_answered(plain: Served, host: str) -> None:
    assert ask(plain, "/voila/static/voila.js", Host=host)[0] == 200


@pytest.mark.parametrize("path", ["/voila/static/voila.js", "/nothing", "/voila/labextensions/anywidget/package.json"])
def test_every_answer_carries_the_headers(plain: Served, path: str) -> None:
    _, headers, _ = ask(plain, path)
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "object-src 'none'" in policy
    assert "https:" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_a_page_elsewhere_cannot_open_a_socket(plain: Served) -> None:
    _, _, page = ask(plain, "/")
    kernel = kernel_of(page)
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13"}
    key = {"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    for path in (f"/api/kernels/{kernel}/channels", f"/voila/query/{kernel}", f"/voila/api/life/{kernel}"):
        assert ask(plain, path, Origin="http://evil.example", **upgrade, **key)[0] == 403
    ask(plain, f"/voila/api/shutdown/{kernel}", "POST")


def test_a_browser_that_only_guesses_gets_no_kernel(plain: Served) -> None:
    until(lambda: len(plain.kernels()) == 1, 20, "one kernel waits")
    assert ask(plain, "/", Sec_Purpose="prefetch;prerender")[0] == 503
    assert len(plain.kernels()) == 1


def test_the_loading_state_comes_before_the_kernel(tmp_path: Path) -> None:
    served = start_plain(tmp_path, "import time; time.sleep(3)", "raise ValueError('a secret of the server')", pool=0)
    try:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
        begin = time.monotonic()
        connection.request("GET", "/")
        answer = connection.getresponse()
        head = answer.read1(65536).decode()
        first = time.monotonic() - begin
        rest = answer.read().decode()
        assert 'id="loading"' in head
        assert first < 1.0 < 3.0 < time.monotonic() - begin
        assert "a secret of the server" not in head + rest, "tracebacks are for the log"
        assert "The log, named in the terminal" in rest
        assert "a secret of the server" in served.log
    finally:
        served.stop()


@pytest.mark.parametrize("pool", [0, 1])
def test_a_visitor_who_leaves_at_once_leaves_no_kernel(tmp_path: Path, pool: int) -> None:
    served = start_plain(tmp_path, "import time; time.sleep(1)", "1", pool=pool)
    try:
        until(lambda: len(served.kernels()) == pool, 20, "the pool is full")
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", served.port)) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                connection.recv(100)
        until(lambda: len(served.kernels()) > pool, 20, "kernels for the visitors are started")
        until(lambda: len(served.kernels()) == pool, 30, "they are freed")
        assert "Traceback" not in served.log
    finally:
        served.stop()


def ended(process: psutil.Process) -> bool:
    """Whether its parent can see that it is dead: before, it has threads and no command line for some milliseconds."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1)
    except psutil.NoSuchProcess:
        return True


def test_a_kernel_that_died_while_it_waited_is_given_to_nobody(tmp_path: Path) -> None:
    served = start_plain(tmp_path, CELL)
    try:
        (kernel,) = until(served.kernels, 20, "one kernel waits")
        until(lambda: "pool of plain.ipynb is filled" in served.log, 20, "it is ready")
        kernel.kill()
        until(lambda: ended(kernel), 5, "it is dead")
        _, _, page = ask(served, "/?tab=toy")
        assert "visited with tab=toy" in html.unescape(page)
        kernel_id = kernel_of(page)
        until(lambda: len(served.kernels()) == 2, 20, "another one waits for the next visitor")
        assert "visited with" in ask(served, "/")[2]
        assert ask(served, f"/api/kernels/{kernel_id}")[0] == 200, "the first visitor's lives on"
    finally:
        served.stop()


def test_an_abandoned_kernel_is_culled(tmp_path: Path) -> None:
    served = start_plain(tmp_path, CELL, idle_timeout=1, idle_interval=1)
    try:
        until(lambda: len(served.kernels()) == 1, 20, "one kernel waits")
        kernel = kernel_of(ask(served, "/")[2])
        assert ask(served, f"/api/kernels/{kernel}")[0] == 200
        until(lambda: ask(served, f"/api/kernels/{kernel}")[0] == 404, 20, "the kernel nobody is connected to goes")
        until(lambda: len(served.kernels()) == 1, 20, "the next kernel waits")
        time.sleep(3)
        assert len(served.kernels()) == 1, "the waiting kernel is not culled"
    finally:
        served.stop()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("delay", [0.0, 1.0])
def test_it_stops_cleanly_at_any_time(tmp_path: Path, number: int, delay: float) -> None:
    served = start_plain(tmp_path, CELL)
    time.sleep(delay)
    if delay:
        ask(served, "/")
    folder = next(process for process in served.kernels()).cmdline()[-1] if served.kernels() else None
    begin = time.monotonic()
    assert served.stop(number) == 0  # and nothing is left behind
    assert time.monotonic() - begin < 15
    assert folder is None or not Path(folder).parent.exists()
    assert list((tmp_path / "tmp").iterdir()) == []
    assert served.process.stdout is not None
    assert served.process.stdout.read().splitlines() == ["gif_dash has stopped."], "the terminal stays calm"


def test_kernels_end_when_the_server_is_killed_and_the_next_one_sweeps(tmp_path: Path) -> None:
    served = start_plain(tmp_path, CELL)
    kernels = until(served.kernels, 20, "one kernel waits")
    time.sleep(1)
    served.process.kill()
    served.process.wait()
    _, alive = psutil.wait_procs(kernels, timeout=15)
    for process in alive:
        process.kill()
    assert not alive
    (left,) = (tmp_path / "tmp").glob("gif-dash-kernels-*")
    served = start_plain(tmp_path, CELL)
    until(lambda: not left.exists(), 10, "the files of its kernels are gone")
    assert served.stop() == 0
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_port_in_use_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        answer = CliRunner().invoke(main, ["--no-browser", "--port", str(port)])
    assert answer.exit_code == 1
    assert answer.output.count("\n") == 1
    assert f"port {port} is in use" in answer.output
    assert "--port" in answer.output


def test_resources_are_found() -> None:
    assert (resources.jupyter_data() / "voila" / "templates" / "gif-dash" / "conf.json").is_file()
    with pytest.raises(FileNotFoundError, match="no notebook named"):
        resources.notebook("nonsense")


def test_a_kernel_that_ends_while_it_builds_a_page_is_one_line_of_the_log() -> None:
    formatter = logging.Formatter("%(message)s")
    lines = {}
    for error in (DeadKernelError("Kernel died"), RuntimeError("else")):
        record = logging.LogRecord(
            "traitlets", logging.ERROR, "", 0, "Error at server", None, (type(error), error, None)
        )
        assert start._shortened(record)
        lines[type(error)] = formatter.format(record)
    assert lines[DeadKernelError] == "Error at server"
    assert "RuntimeError: else" in lines[RuntimeError]
