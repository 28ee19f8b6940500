"""Which variables of the environment are settings, by their names alone: `RELAYD_SMARTHOST__HOSTS`.

Owns the spelling of the names, and what else may begin with `RELAYD_`. It imports no models, for those
who have to start quickly (`peek`); `environment` reads the values and lays them over the file.
"""

import re
from collections.abc import Mapping
from pathlib import Path

PREFIX = "RELAYD_"
BETWEEN = "__"  # a table and its key
FROM_FILE = "_FILE"
"""The end of a variable that names a file with the value."""

_NEEDED = "RELAYD_FQDN"
_NO_SETTINGS = frozenset({"RELAYD_CONFIG"})
# What Kubernetes sets in every container for a service named relayd, or relayd-something. Docker's links did the same.
_SERVICE = re.compile(
    r"RELAYD_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_SERVICE_URL = re.compile(r"RELAYD_(?:\w+_)?PORT")
_LONGEST = 1 << 20  # octets of a value in a file
# In these tables no key ends in `_file`, so the end of a variable means what it seems to.
_QUICK = frozenset({"store", "listen", "control", "redirect", "soft_bounce"})
_FLAGS = {"true": True, "false": False}


def settings_in(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return the variables that are settings, in the order of their names."""
    return {
        name: value
        for name, value in sorted(environment.items(), key=_in_order)
        if name.startswith(PREFIX) and not _is_other(name, value)
    }


def may_be_all(environment: Mapping[str, str]) -> bool:
    """Whether a settings file is not needed: the one key that has to be given is in the environment."""
    return any(name in environment for name in (_NEEDED, _NEEDED + FROM_FILE))


def parts_of(name: str) -> tuple[str, ...]:
    """Return the names on the way to a key, in lower case."""
    return tuple(name.removeprefix(PREFIX).lower().split(BETWEEN))


def value_in(path: str) -> str:
    """Return the value in a file, without the newline that ends it. Raises OSError, ValueError."""
    with Path(path).open("rb") as file:
        octets = file.read(_LONGEST + 1)
    if len(octets) > _LONGEST:
        raise ValueError(f"expected at most {_LONGEST} octets in the file")
    try:
        return octets.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError("expected UTF-8 text in the file") from None


def laid_quickly(
    document: Mapping[str, object], environment: Mapping[str, str]
) -> Mapping[str, object]:
    """Return what is written, and over it the variables of a few tables, as texts and flags; wrong ones are left out.

    Raises OSError, ValueError for a file that a variable names.
    """
    laid = dict(document)
    for name, given in settings_in(environment).items():
        is_named = name.endswith(FROM_FILE)
        parts = parts_of(name.removesuffix(FROM_FILE))
        if parts[0] not in _QUICK:
            continue
        text = value_in(given) if is_named else given
        value = _FLAGS.get(text, text)
        match parts:
            case (key,):
                laid[key] = value
            case (table, key):
                found = laid.get(table, {})
                laid[table] = {**found, key: value} if isinstance(found, dict) else found
            case ("listen", number, key):
                laid["listen"] = _with_listener(laid.get("listen", [{}]), number, key, value)
            case _:
                pass
    return laid


def _with_listener(listeners: object, number: str, key: str, value: object) -> object:
    if not isinstance(listeners, list) or not number.isdecimal() or int(number) > len(listeners):
        return listeners
    index = int(number)
    found = listeners[index] if index < len(listeners) else {}
    changed = {**found, key: value} if isinstance(found, dict) else found
    return [*listeners[:index], changed, *listeners[index + 1 :]]


def _in_order(variable: tuple[str, str]) -> list[str]:
    """Numbers by their size, so that each listener comes after those before it."""
    return [part.zfill(4) if part.isdecimal() else part for part in parts_of(variable[0])]


def _is_other(name: str, value: str) -> bool:
    if BETWEEN in name:
        return False
    is_url = _SERVICE_URL.fullmatch(name) is not None and "://" in value
    return name in _NO_SETTINGS or _SERVICE.fullmatch(name) is not None or is_url
