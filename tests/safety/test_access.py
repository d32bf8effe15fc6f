"""Who may come in: this machine, and others with a secret; nothing secret in links or logs."""

from __future__ import annotations

import asyncio
import html
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import click
import pytest
from click.testing import CliRunner
from driving import Served
from serving.test_server import CELL, ask, kernel_of, start_plain
from socketing import connected
from tornado.httpclient import HTTPClientError

from gif_dash import access as entry
from gif_dash.access import Access, access
from gif_dash.cli import main
from gif_dash.serving import serve

TOKEN = "a-token-of-the-tests-1234567890"
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def no_token_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JUPYTER_TOKEN", raising=False)


def written(folder: Path, text: str) -> Path:
    path = folder / "secret"
    path.write_text(text)
    return path


# --- the command line ------------------------------------------------------------------------------------------------


def test_loopback_is_the_default_and_needs_no_secret() -> None:
    assert access() == Access("127.0.0.1", ())
    assert access("localhost").loopback
    assert access("[::1]").loopback
    assert access("127.0.0.1", ("Dash.Example.org",)).names == ("dash.example.org",)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "dash.example.org"])
def test_others_come_in_with_a_secret_only(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(click.ClickException, match="--token-file or --password-file"):
        access(host, ("dash.example.org",))
    assert access(host, ("dash.example.org",), token_file=written(tmp_path, TOKEN + "\nmore")).token == TOKEN
    monkeypatch.setenv("JUPYTER_TOKEN", TOKEN)
    assert access(host, ("dash.example.org",)).token == TOKEN


def test_nobody_else_is_let_in_by_python_either() -> None:
    with pytest.raises(click.ClickException, match="--token-file or --password-file"):
        serve(port=0, access=Access("0.0.0.0", ("dash.example.org",)), open_browser=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_all_addresses_go_with_names(host: str, tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match="--allow-host"):
        access(host, token_file=written(tmp_path, TOKEN))
    assert access("192.0.2.1", token_file=written(tmp_path, TOKEN)).names == ("192.0.2.1",)


@pytest.mark.parametrize("name", ["*", "*.example.org", "http://x", "x:80", "", "a b", "x/y", "-x", "x" * 300])
def test_a_host_name_is_a_name(name: str) -> None:
    with pytest.raises(click.ClickException, match="--allow-host"):
        access("127.0.0.1", (name,))


def test_short_or_missing_secrets_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("", "short", "\n" + TOKEN):
        with pytest.raises(click.ClickException, match="fewer than 16"):
            access(token_file=written(tmp_path, text))
    with pytest.raises(click.ClickException, match="cannot be read"):
        access(password_file=tmp_path / "missing")
    monkeypatch.setenv("JUPYTER_TOKEN", "short")
    with pytest.raises(click.ClickException, match="at least 16"):
        access()


def test_passwords_are_kept_hashed_and_hashes_are_taken(tmp_path: Path) -> None:
    from jupyter_server.auth import passwd
    from jupyter_server.auth.security import passwd_check

    hashed = access(password_file=written(tmp_path, PASSWORD)).password
    assert hashed.startswith("argon2:")
    assert passwd_check(hashed, PASSWORD)
    assert access(password_file=written(tmp_path, hashed)).password == hashed
    assert passwd("x")
    assert PASSWORD not in repr(access(password_file=written(tmp_path, PASSWORD)))
    assert TOKEN not in repr(access(token_file=written(tmp_path, TOKEN)))


def test_the_command_says_what_is_missing() -> None:
    answer = CliRunner().invoke(main, ["--no-browser", "--host", "0.0.0.0"])
    assert answer.exit_code == 1
    assert answer.output.count("\n") == 1
    assert "--token-file or --password-file" in answer.output


# --- a server with a secret ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "token").write_text(TOKEN)
    (folder / "password").write_text(PASSWORD)
    settings = {"token_file": folder / "token", "password_file": folder / "password"}
    served = start_plain(folder, CELL, pool=0, allow="dash.example.org", host="0.0.0.0", **settings)
    yield served
    assert served.stop() == 0


def cookies(headers: list[tuple[str, str]]) -> str:
    return "; ".join(value.split(";")[0] for name, value in headers if name.lower() == "set-cookie")


def asked(
    served: Served, path: str, method: str = "GET", body: str = "", **headers: str
) -> tuple[int, list[tuple[str, str]], str]:
    """One request, with a body and all headers of the answer."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    if body:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    connection.request(method, path, body or None, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    found = answer.status, answer.getheaders(), answer.read().decode()
    connection.close()
    return found


def signed_in(served: Served) -> str:
    status, headers, _ = asked(served, f"/?token={TOKEN}&tab=toy")
    assert status == 302
    assert dict(headers)["Location"] == "/?tab=toy", "nobody needs to see it again"
    return cookies(headers)


def test_strangers_get_the_login_page_and_no_kernel(guarded: Served) -> None:
    status, headers, _ = asked(guarded, "/?tab=toy")
    assert status == 302
    assert dict(headers)["Location"].startswith("/login?next=")
    status, headers, page = asked(guarded, "/login")
    assert status == 200
    assert 'type="password"' in page
    assert "://" not in page.replace("http://www.w3.org/2000/svg", "")
    status, headers, _ = asked(guarded, f"/?tab=toy&token={TOKEN}x")
    assert (status, dict(headers)["Location"]) == (302, "/login"), "a token, even a wrong one, goes into no link"
    for path in (f"/api/kernels/{'0-' * 4}0", f"/voila/api/shutdown/{'0-' * 4}0"):
        assert asked(guarded, path, "POST" if "shutdown" in path else "GET")[0] in (302, 403)
    assert guarded.kernels() == []


@pytest.mark.parametrize("secret", [TOKEN, PASSWORD])
def test_the_login_page_takes_password_and_token(guarded: Served, secret: str) -> None:
    _, headers, page = asked(guarded, "/login?next=%2F%3Ftab%3Dtoy")
    match = re.search(r'name="_xsrf" value="([^"]+)"', page)
    assert match is not None
    form = {"_xsrf": match.group(1), "password": secret}
    action = html.unescape(re.search(r'action="([^"]+)"', page).group(1))  # type: ignore[union-attr]
    status, after, _ = asked(guarded, action, "POST", urlencode(form), Cookie=cookies(headers))
    assert status == 302
    assert dict(after)["Location"] == "/?tab=toy"
    (cookie,) = (value for name, value in after if name == "Set-Cookie" and value.startswith("username-"))
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert secret not in cookie
    wrong = urlencode({**form, "password": "wrong"})
    status, _, page = asked(guarded, action, "POST", wrong, Cookie=cookies(headers))
    assert status == 401
    assert "neither the password nor the token" in page
    assert asked(guarded, action, "POST", urlencode({"password": secret}))[0] == 403, "XSRF protection is on"


def test_behind_tls_cookies_are_for_tls_only(guarded: Served) -> None:
    _, headers, _ = asked(guarded, f"/?token={TOKEN}", X_Forwarded_Proto="https", Host="dash.example.org")
    (cookie,) = (value for name, value in headers if name == "Set-Cookie" and value.startswith("username-"))
    assert "Secure" in cookie


def test_a_login_never_leads_elsewhere(guarded: Served) -> None:
    cookie = signed_in(guarded)
    for where in ("http://evil.example/", "//evil.example/", "/\\evil.example", "https:evil.example"):
        status, headers, _ = asked(guarded, f"/login?{urlencode({'next': where})}", Cookie=cookie)
        assert status == 302
        assert "evil" not in dict(headers)["Location"] or dict(headers)["Location"].startswith("/%5C")


def test_signed_in_the_page_works_and_its_socket_too(guarded: Served) -> None:
    cookie = signed_in(guarded)
    status, _, page = asked(guarded, "/?tab=toy", Cookie=cookie)
    assert status == 200
    assert "visited with tab=toy" in html.unescape(page)
    assert TOKEN not in page
    kernel = kernel_of(page)

    async def speak() -> None:
        async with connected(guarded, kernel, Cookie=cookie) as talk:
            await talk.reply(await talk.send("kernel_info_request", {}))
        for headers in ({}, {"Cookie": cookie, "Origin": "http://evil.example"}):
            with pytest.raises(HTTPClientError, match="403"):
                async with connected(guarded, kernel, **headers):
                    pass

    asyncio.run(speak())
    assert asked(guarded, f"/api/kernels/{kernel}")[0] == 403
    assert asked(guarded, f"/voila/api/shutdown/{kernel}", "POST")[0] == 403
    assert asked(guarded, f"/voila/api/shutdown/{kernel}", "POST", Cookie=cookie)[0] == 204


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("dash.example.org", 302),
        ("DASH.example.org:8866", 302),
        ("127.0.0.1", 302),
        ("evil.example", 403),
        ("192.0.2.7", 403),
        ("dash.example.org.evil.example", 403),
    ],
)
def test_only_names_that_were_said_are_answered(guarded: Served, host: str, status: int) -> None:
    assert ask(guarded, "/", Host=host)[0] == status
    assert ask(guarded, "/nothing", Host=host)[0] == (404 if status == 302 else 403)


def test_secrets_are_in_no_log_and_on_no_terminal(guarded: Served) -> None:
    asked(guarded, f"/nothing?token={TOKEN}")
    asked(guarded, f"/?token={TOKEN}x")
    asked(guarded, f"/api/kernels/{'0-' * 4}0?token={TOKEN}")
    signed_in(guarded)
    for text in (guarded.log, *guarded.words):
        assert TOKEN not in text
        assert PASSWORD not in text
    assert guarded.words[0] == f"gif_dash is at http://dash.example.org:{guarded.port}/"


def test_it_listens_where_it_was_told(guarded: Served) -> None:
    with socket.create_connection(("127.0.0.2", guarded.port), timeout=5):
        pass
    assert entry.LOOPBACK.loopback
