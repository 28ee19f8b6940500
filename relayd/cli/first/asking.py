"""What `relayd init` has to know: from options, and on a terminal by asking for the rest."""

import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import click

from relayd.cli.passwords import ask_password
from relayd.config import units
from relayd.secret_files import SecretError, read_secret

T = TypeVar("T")
_DIRECT = "direct"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the options say; None: nothing."""

    fqdn: str | None
    smarthost: str | None
    direct: bool
    username: str | None
    password_file: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A smarthost as people name it."""

    host: str
    port: int | None  # None: it has to be found out

    @property
    def is_here(self) -> bool:
        return units.is_loopback(self.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    fqdn: str
    smarthost: Server | None  # None: mail goes to the recipients' own servers
    username: str = ""  # empty: there is no login
    password: str = field(default="", repr=False)


def ask(told: Told) -> Answers:
    """Return the answers. Raises UsageError, also where nobody can be asked for what is missing."""
    if told.direct and (told.smarthost or told.username or told.password_file):
        raise click.UsageError("--direct is without a smarthost and a login: leave out one of both")
    if told.password_file and not told.username:
        raise click.UsageError("--password-file needs --username: who logs in with it?")
    asks = sys.stdin.isatty() and sys.stderr.isatty()
    if not asks:
        _require(told)
    fqdn = _answer("--fqdn", told.fqdn, "Name of this machine in the DNS", units.fqdn, _own_name())
    if told.direct:
        return Answers(fqdn=fqdn, smarthost=None)
    server = _answer(
        "--smarthost",
        told.smarthost,
        f"Where mail goes: HOST or HOST:PORT of your smarthost, or {_DIRECT}",
        _server,
    )
    if server is None:
        return Answers(fqdn=fqdn, smarthost=None)
    username = told.username
    if username is None:
        username = _prompt("Login name there (empty: no login)", units.text, "") if asks else ""
    if not username:
        return Answers(fqdn=fqdn, smarthost=server)
    password = _password(told.password_file)
    return Answers(fqdn=fqdn, smarthost=server, username=username, password=password)


def _require(told: Told) -> None:
    missing = [] if told.fqdn else ["--fqdn NAME"]
    missing += [] if told.smarthost or told.direct else ["--smarthost HOST or --direct"]
    missing += ["--password-file FILE"] if told.username and not told.password_file else []
    if missing:
        raise click.UsageError(f"there is no terminal to ask on: add {', and '.join(missing)}")


def _own_name() -> str | None:
    name = socket.getfqdn()
    return name if "." in name and not name.startswith("localhost") else None


def _answer(
    option: str,
    told: str | None,
    question: str,
    read: Callable[[object], T],
    default: str | None = None,
) -> T:
    """Return what an option says, or what is answered. Raises BadParameter."""
    if told is None:
        return _prompt(question, read, default)
    try:
        return read(told)
    except ValueError as wrong:
        raise click.BadParameter(f"{wrong}", param_hint=option) from None


def _prompt(question: str, read: Callable[[object], T], default: str | None) -> T:
    """Ask until the answer can be read."""

    def convert(text: str) -> T:
        try:
            return read(text)
        except ValueError as wrong:
            raise click.UsageError(str(wrong)) from None

    answer: T = click.prompt(
        question, default=default, value_proc=convert, err=True, show_default=bool(default)
    )
    return answer


def _server(value: object) -> Server | None:
    """Read HOST or HOST:PORT; `direct` is none. Raises ValueError."""
    text = units.text(value)
    if text == _DIRECT:
        return None
    is_bare = ":" not in text or (text.count(":") > 1 and not text.startswith("["))
    if is_bare or text.endswith("]"):
        bare = f"[{text}]" if ":" in text and is_bare else text
        return Server(host=units.next_hop(f"{bare}:25").host, port=None)
    hop = units.next_hop(text)
    return Server(host=hop.host, port=hop.port)


def _password(file: str | None) -> str:
    if file in (None, "-"):
        return ask_password()
    try:
        return read_secret(Path(file or ""))[0]
    except SecretError as error:
        raise click.UsageError(f"--password-file {file}: {error}") from None
