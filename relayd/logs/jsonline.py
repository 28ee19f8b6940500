"""Any value as one line of JSON."""

from collections.abc import Mapping

import orjson

from relayd.mail.text import escaped


def dump(value: object, option: int = 0) -> bytes:
    """Return `value` as one line of JSON; whatever it is, this does not raise (HL-02).

    `option` is for orjson. Characters that are not shown are escaped: it stays the same JSON (A-47, A-89).
    """
    try:
        line = orjson.dumps(value, default=str, option=option)
    except (TypeError, orjson.JSONEncodeError):
        line = orjson.dumps(_plain(value, depth=4), option=option)
    if line.isascii() and b"\x7f" not in line:
        return line
    text = line.decode()
    end = "\n" if text.endswith("\n") else ""
    return (escaped(text.removesuffix("\n")) + end).encode()


def _plain(value: object, *, depth: int) -> object:
    """What JSON can hold of a value: surrogates escaped, large numbers and objects as text."""
    match value:
        case None | bool() | float():
            return value
        case int() if -(1 << 63) <= value < 1 << 63:
            return value
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case Mapping() if depth:
            return {
                str(_plain(key, depth=0)): _plain(inner, depth=depth - 1)
                for key, inner in value.items()
            }
        case list() | tuple() if depth:
            return [_plain(inner, depth=depth - 1) for inner in value]
        case _:
            return _described(value)


def _described(value: object) -> str:
    try:
        return repr(value).encode("utf-8", "backslashreplace").decode()
    except Exception:  # noqa: BLE001 -- anybody's __repr__
        return f"<{type(value).__name__}>"
