"""Taking secrets and mail addresses out of any text.

Owns what counts as one. Secrets are known by their files: each is looked for as it is, and as base64, JSON and URLs have it. Of an
address the local part goes, and a number stands for it, the same for the same address; domains stay, for most questions are
about them.
"""

import base64
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, quote_plus

from relayd.config.model import Auth
from relayd.doctor.service_user import CREDENTIALS
from relayd.secret_files import find_secret

HIDDEN = "***"
SECRET_KEYS = frozenset(
    {
        *("password_file", "token_file", "secret_file", "key_file", "users_file", "key"),
        *("oauth2_client_secret_file", "oauth2_key_file"),
    }
)
"""Keys that name the file of a secret. Somebody may have written the secret itself there."""
_VALUES_HIDDEN = frozenset({"set_headers", "add_headers"})  # a service may want a token there
_USERS = Auth().users_file  # where no settings name another
_LARGEST = 1 << 20  # octets of a file
_SHORTEST, _SHORTEST_CODED, _SHORTEST_PART = (
    4,
    6,
    12,
)  # characters: what is shorter is found in any text
_BEGINNING = 16  # characters by which a secret is known that has more
_USER_INFO = re.compile(r"(?<=://)[^/\s\"']*@")
_LOGIN = re.compile(
    r"(?i)\b(AUTH[\s=]+[A-Z0-9-]+\s+|Authorization\W{1,4}[A-Z]+\s+)[^\s\"]+|\b(Bearer\s+)[^\s\",;]{12,}"
)
_NAMED = re.compile(  # ?token=…, --password=…, and in JSON
    r"""(?i)((?:password|passwd|secret|token|api[-_]?key)(?:=|%3D|\\?"\s*:\s*\\?"))[^\s"'&,;\\]+"""
)
_ADDRESS = re.compile(  # RFC 5322 §3.2.3 has {, } and | in a local part; other spellings of @ need a domain with a dot
    r"""(?:\\?"(?:[^"\\\n]|\\.){1,256}?\\?"|[^\s"<>()\[\],;:@]{1,512})"""
    r"""(@|%(?:25)*40|(?:=40|\+40|&\#64;|\\u0040|\uff20)(?=[^\W\d_][\w-]*\.))"""
    r"""(\[[^\]\s]{1,64}\]|%5B[^\s%]{1,64}%5D|[\w.-]*\w)""",
    re.IGNORECASE,
)


class Mask:
    """One for all texts that belong together: the same address has the same number in each."""

    def __init__(self, secrets: frozenset[str] = frozenset()) -> None:
        spelt = {way for secret in secrets for way in _spellings(secret) if len(way) >= _SHORTEST}
        ordered = sorted(spelt, key=len, reverse=True)  # what holds another first
        ways = [*map(re.escape, ordered)]
        cut = dict.fromkeys(each[:_BEGINNING] for each in ordered if len(each) > _BEGINNING)
        ways += [
            rf"{re.escape(each)}[^\s\"\\,;]*" for each in cut
        ]  # mistakes and logs shorten values
        self._secrets = re.compile("|".join(ways)) if ways else None
        self._numbers: dict[str, int] = {}

    def text(self, text: str) -> str:
        """Return a text without secrets and addresses."""
        if self._secrets is not None:
            text = self._secrets.sub(HIDDEN, text)
        text = _LOGIN.sub(lambda found: f"{found[1] or found[2]}{HIDDEN}", text)
        text = _NAMED.sub(rf"\g<1>{HIDDEN}", text)
        text = _USER_INFO.sub(f"{HIDDEN}@", text)
        return _ADDRESS.sub(self._address, text)

    def _address(self, found: re.Match[str]) -> str:
        if found[0].startswith(f"{HIDDEN}@"):
            return found[0]
        number = self._numbers.setdefault(found[0].lower(), len(self._numbers) + 1)
        return f"({number}){found[1]}{found[2]}"

    def value(self, name: str, text: str) -> str:
        """Return the value of a setting, which is JSON."""
        with suppress(ValueError):
            text = json.dumps(
                _without(json.loads(text), name.rpartition(".")[2]), ensure_ascii=False
            )
        return self.text(text)


def _without(value: object, key: str) -> object:
    """Return a value without what is under a key that may have a secret."""
    if key in SECRET_KEYS:
        return HIDDEN if value else value
    if key in _VALUES_HIDDEN and isinstance(value, dict):
        return dict.fromkeys(value, HIDDEN)
    if isinstance(value, dict):
        return {name: _without(each, name) for name, each in value.items()}
    return [_without(each, "") for each in value] if isinstance(value, list) else value


def _spellings(secret: str) -> Iterator[str]:
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield secret.encode().hex()
    for before in range(3):  # octets in front of it, which shift what base64 makes of it
        encoded = base64.b64encode(b"x" * before + secret.encode()).decode().rstrip("=")
        whole = encoded[(before * 8 + 5) // 6 : -1]  # characters that have bits of the secret alone
        if len(whole) >= _SHORTEST_CODED:
            yield whole


def secrets_of(data: Mapping[str, object], folder: Path) -> frozenset[str]:
    """Return the secrets in the files that settings and environment name, as far as they can be read."""
    names = {*_files_in(data), *(value for name, value in os.environ.items() if _is_file(name))}
    found = {*_values_in(data), *(os.environ[name] for name in os.environ if _is_secret(name))}
    files = {find_secret(_USERS, beside=folder)}
    with suppress(OSError):
        files |= {*Path(CREDENTIALS).iterdir()}
    for name in names:
        found.add(name if "/" not in name and "." not in name else "")  # the secret itself?
        files.add(find_secret(name, beside=folder))
    for file in files:
        with suppress(OSError, ValueError):
            found |= set(_parts(file))
    return frozenset(found - {""} - {each for each in names if _is_there(each, folder)})


def _is_there(name: str, folder: Path) -> bool:
    with suppress(OSError, ValueError):
        return find_secret(name, beside=folder).exists()
    return False


def _is_file(variable: str) -> bool:
    return variable.startswith("RELAYD_") and variable.endswith("_FILE")


def _is_secret(variable: str) -> bool:
    """Tell whether somebody meant a secret where none is taken."""
    return variable.startswith("RELAYD_") and variable.endswith(("PASSWORD", "SECRET", "TOKEN"))


def _files_in(value: object, key: str = "") -> Iterator[str]:
    """Give the names of files with secrets in settings, which may be wrong."""
    match value:
        case Mapping():
            for name, each in value.items():
                yield from _files_in(each, str(name))
        case list():
            for each in value:
                yield from _files_in(each, key)
        case str() if key in SECRET_KEYS and value:
            yield value


def _values_in(value: object, key: str = "") -> Iterator[str]:
    """Give values that may be secrets themselves."""
    match value:
        case Mapping():
            for name, each in value.items():
                yield from _values_in(each, key if key in _VALUES_HIDDEN else str(name))
        case list():
            for each in value:
                yield from _values_in(each, key)
        case str() if key in _VALUES_HIDDEN:
            yield value


def _parts(path: Path) -> Iterator[str]:
    """Give the secret of a file; of one with many lines each part that is long enough to be one."""
    descriptor = os.open(
        path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    )  # a pipe may have no writer
    with open(descriptor, "rb") as file:  # noqa: PTH123 -- a descriptor
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return
        text = file.read(_LARGEST).decode(errors="replace").rstrip("\r\n")
    if "\n" not in text:
        yield text
    for part in re.split(r"\s+|\\n", text):
        if len(part) >= _SHORTEST_PART and "@" not in part:
            yield part.strip("\",'")
