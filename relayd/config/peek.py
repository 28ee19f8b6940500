"""Where the store and the status log are, where the daemon listens, and what is switched on, found without the models of the settings.

Those cost several times what a question to the store does, or handing over a message. What else the
settings say does not matter here, and may be wrong, or no TOML. Where it is not plain which store they mean, they
are to be read in full, which then says what is wrong.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from relayd.answers.switches import Switches
from relayd.config.sound import Wanted, sound_tables
from relayd.config.variables import laid_quickly, may_be_all, settings_in

DEFAULT_SETTINGS = "/etc/relayd/relayd.toml"
DEFAULT_STORE = "sqlite:/var/lib/relayd/queue.db"
DEFAULT_LISTENER = "127.0.0.1:2525"
LOCAL_SOCKET = "/run/relayd/smtp.sock"  # of the settings that come with relayd
CONTROL_SOCKET = "/run/relayd/control.sock"
STATUS_LOG = "/var/log/relayd/status.log"
_STORE_KEYS = {"url", "password_file", "folder", "history", "keep_subject", "keep_bounced"}
_LIKE_A_STORE = re.compile(r"(?i)\s*(sqlite|postgres(ql)?):|.*\.db\s*$", re.DOTALL)
_THE_STORE = Wanted("store", re.compile(r"(?i)stor|\burl\b|sqlite|postgres|\.db"))
_THE_SOCKET = Wanted("control", re.compile(r"(?i)control|sock"))
_THE_LOG = Wanted("status_log", re.compile(r"(?i)log|\bpath\b"))
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- not bound: where to connect to

Endpoint = str | tuple[str, int]
"""The path of a unix socket, or host and port."""


def find_store(settings: str | None) -> str | None:
    """Return the URL of the store; None when the settings have to be read in full for that.

    `settings` is a file that the caller named.
    """
    from relayd.store.url import is_plain, with_password_file  # noqa: PLC0415 -- who hands over a message needs no store

    try:
        document = _read(settings, _THE_STORE)
    except (OSError, ValueError, RecursionError):
        return None
    store = document.get("store", {})
    if not isinstance(store, dict) or not store.keys() <= _STORE_KEYS:
        return None
    if "url" not in store and _is_store_elsewhere(document):
        return None  # under a mistyped name, say: the store that is meant by default is not the one meant
    url, secret = store.get("url", DEFAULT_STORE), store.get("password_file", "")
    if not (isinstance(url, str) and is_plain(url) and isinstance(secret, str)):
        return None
    if not secret:
        return url
    from relayd.secret_files import find_secret  # noqa: PLC0415 -- few stores have a password

    beside = Path(settings or DEFAULT_SETTINGS).absolute().parent
    return with_password_file(url, str(find_secret(secret, beside=beside)))


def _is_store_elsewhere(document: Mapping[str, Any]) -> bool:
    """Tell whether something other than `[store] url` looks like a store, in the file or in a variable."""
    texts = (*_texts(document), *settings_in(os.environ).values())
    return any(_LIKE_A_STORE.match(text) for text in texts)


def _texts(value: object) -> Iterator[str]:
    """Yield each text that is written anywhere in a document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def find_listener(settings: str | None) -> Endpoint:
    """Return where a local program reaches the daemon without TLS and login.

    It is the first unix socket, else the first loopback address. Settings that nobody named may be
    unreadable: then it is LOCAL_SOCKET. Raises OSError, ValueError, RecursionError for those named.
    """
    try:
        document = _read(settings)
    except (OSError, ValueError, RecursionError):
        if settings is None:
            return LOCAL_SOCKET
        raise
    found = [each for listener in _listeners(document) if (each := _address(listener)) is not None]
    return next((each for each in found if isinstance(each, str)), (*found, LOCAL_SOCKET)[0])


def find_switches(settings: str | None) -> tuple[Switches, str | None]:
    """Return what is switched on, and the path of the control socket.

    As far as the file can be read; None: it cannot, and nobody knows where the daemon answers.
    """
    try:
        document = _read(settings, _THE_SOCKET)
    except (OSError, ValueError, RecursionError):
        return Switches(), None
    redirect, socket = _text(document, "redirect", "to"), _text(document, "control", "socket")
    switches = Switches(soft_bounce=document.get("soft_bounce") is True, redirect=redirect)
    return switches, socket or CONTROL_SOCKET


def find_status_log(settings: str | None) -> str | None:
    """Return the path of the status log, or "-"; None when the settings have to be read in full for that."""
    try:
        path = _text(_read(settings, _THE_LOG), "status_log", "path") or STATUS_LOG
    except (OSError, ValueError, RecursionError):
        return None
    return path if path == "-" or path.startswith("/") else None


def _text(document: Mapping[str, Any], table: str, key: str) -> str:
    found = document.get(table)
    value = found.get(key) if isinstance(found, dict) else None
    return value if isinstance(value, str) else ""


def _read(settings: str | None, wanted: Wanted | None = None) -> Mapping[str, Any]:
    """Return what is written, and what the environment says over it, which may be all there is.

    Of a file that is no TOML, the tables that can be read, if that is sure to be all about what is `wanted`.
    """
    path = settings or DEFAULT_SETTINGS
    try:
        document = _document(Path(path).read_bytes().decode(), wanted)
    except FileNotFoundError:
        if path != DEFAULT_SETTINGS or not may_be_all(os.environ):
            raise
        document = {}
    return laid_quickly(document, os.environ)


def _document(text: str, wanted: Wanted | None) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):
        if wanted is None:
            raise
        return sound_tables(text, wanted)


def _listeners(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    written = document.get("listen", [{}])
    if isinstance(written, list):
        yield from (each for each in written if isinstance(each, dict))


def _address(listener: Mapping[str, Any]) -> Endpoint | None:
    """Return where a listener can be reached without TLS, login and network; None if it cannot."""
    address = str(listener.get("address", DEFAULT_LISTENER))
    if listener.get("tls") == "implicit" or listener.get("auth") == "required":
        return None
    if address.startswith("unix:"):
        return address.removeprefix("unix:")
    if listener.get("proxy_networks"):
        return None  # this machine may have to say PROXY there
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    host = _LOOPBACK.get(host, host)
    is_local = host in {"localhost", "::1"} or host.startswith("127.")
    return (host, int(port)) if is_local and port.isdecimal() else None
