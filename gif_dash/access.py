"""Who may come in, and how many: the address to listen at, the host names that are answered, the secret to show.

Nobody but this machine can ask by default. What is opened further is opened by hand, and never without a secret, which
is read from a file or from Jupyter's environment variable: a command line can be read by every user of a machine.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import click

#: Jupyter's own variable for a token.
TOKEN = "JUPYTER_TOKEN"
#: Visitors at a time, and minutes without a touch after which an open page is put to rest, unless said otherwise.
VISITORS = 20
IDLE_MINUTES = 60.0
#: Letters of the shortest secrets that are taken.
TOKEN_LENGTH, PASSWORD_LENGTH = 16, 8

#: A host name or an IPv4 address as it stands in a Host header, without the port.
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\Z")
_HASHED = re.compile(r"(argon2|sha1|sha256):\S+\Z")
_EVERYWHERE = ("0.0.0.0", "::")


@dataclass(frozen=True)
class Access:
    """How the server can be reached.

    Attributes:
        host: to listen at, without brackets.
        names: host names that are answered besides those of loopback, in small letters.
        token: that visitors show once (``?token=…`` or the login page); empty for none.
        password: hashed as Jupyter does, for the login page; empty for none.
    """

    host: str = "127.0.0.1"
    names: tuple[str, ...] = ()
    token: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can ask."""
        return is_loopback(self.host)

    @property
    def shown(self) -> str:
        """The host of the address that is printed."""
        host = self.names[0] if self.host in _EVERYWHERE else self.host
        return f"[{host}]" if ":" in host else host

    def check(self) -> None:
        """Refuse what would let in anybody.

        Raises:
            click.ClickException: one sentence.
        """
        if self.loopback:
            return
        if not (self.token or self.password):
            raise click.ClickException(
                f"--host {self.host}: others can ask, so it goes with --token-file or --password-file (or {TOKEN}); "
                "for yourself a tunnel is simpler, such as ssh -L 8866:127.0.0.1:8866 THIS-MACHINE"
            )
        if self.host in _EVERYWHERE and not self.names:
            raise click.ClickException(
                f"--host {self.host}: name the addresses by which it is reached, such as --allow-host dash.example.org"
            )


#: This machine only.
LOOPBACK = Access()


def access(
    host: str = "127.0.0.1",
    names: tuple[str, ...] = (),
    token_file: Path | None = None,
    password_file: Path | None = None,
) -> Access:
    """What the command line says, checked.

    Args:
        host: an address of this machine, or a name of it.
        names: further host names to answer to.
        token_file: its first line is the token.
        password_file: its first line is the password, or what ``jupyter_server.auth.passwd`` made of it.

    Raises:
        click.ClickException: one sentence.
    """
    host = host.strip("[]").lower()
    for name in names:
        if not is_address(name) and not _NAME.match(name.lower()):
            raise click.ClickException(f"--allow-host {name!r}: a host name, without scheme, port and wildcard")
    own = () if is_loopback(host) or host in _EVERYWHERE else (host,)
    token = _secret("--token-file", token_file, TOKEN_LENGTH) or os.environ.get(TOKEN, "")
    if token and len(token) < TOKEN_LENGTH:
        raise click.ClickException(f"{TOKEN}: at least {TOKEN_LENGTH} letters and digits")
    found = Access(
        host,
        tuple(dict.fromkeys([*(name.strip("[]").lower() for name in names), *own])),
        token,
        _hashed(_secret("--password-file", password_file, PASSWORD_LENGTH)),
    )
    found.check()
    return found


def is_address(name: str) -> bool:
    """Whether it is an IP address, with or without brackets."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def is_loopback(name: str) -> bool:
    """Whether a host is this machine for itself only."""
    name = name.strip("[]")
    return ipaddress.ip_address(name).is_loopback if is_address(name) else name == "localhost"


def _secret(flag: str, path: Path | None, length: int) -> str:
    if path is None:
        return ""
    try:
        secret = path.read_text(encoding="utf-8").split("\n", 1)[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{flag} {path}: cannot be read ({error})") from None
    if len(secret) < length:
        raise click.ClickException(f"{flag} {path}: its first line has fewer than {length} letters")
    return secret


def _hashed(password: str) -> str:
    if not password or _HASHED.match(password):
        return password
    from jupyter_server.auth.security import passwd

    return str(passwd(password, "argon2"))  # type: ignore[no-untyped-call]
