"""The command line of sendmail, as programs that send mail write it.

Owns which letters there are and which of them take a value. Click cannot read such options. Pure:
nothing is looked up. The first argument that is no option ends the options, and so does `--`.
Letters without a value may be joined, and a value may be joined to its letter.

Models: sendmail(8) of Sendmail 8.18 and of Postfix.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from relayd.mail.address import Address, PathError
from relayd.mail.address_list import parse_addresses

_FLAGS = "tivnmGUI"
_WITH_VALUE = "fFrbNRVBOohXCDALp"
_WITH_REST = "qde"  # a value, if there is one, is joined
_SAME = {"oi": "i", "r": "f"}
_MODES = {
    "bd": "the daemon is `relayd serve`",
    "bD": "the daemon is `relayd serve`",
    "bv": "where mail would go is told by `relayd route ADDRESS`",
    "bt": "where mail would go is told by `relayd route ADDRESS`",
    "bh": "the state of servers is shown by `relayd status show`",
    "bH": "the state of servers is shown by `relayd status show`",
}
_REFUSED = {
    "X": "no log of the session is written",
    "C": "the settings are named by RELAYD_CONFIG",
    "D": "no log is written",
}
_NOTIFY = {"SUCCESS", "FAILURE", "DELAY"}
_RETURN = {"hdrs": "HDRS", "full": "FULL"}
_BODIES = {"7BIT", "8BITMIME"}
_ENVID_LIMIT = 100  # characters of the xtext, RFC 3461 §4.4
_XCHAR = re.compile(r"[^!-*,-<>-~]")


class UsageError(Exception):
    """The command line cannot be carried out; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a command line asks for."""

    speaks_smtp: bool = False  # -bs: the dialogue comes on standard input
    reads_recipients: bool = False  # -t
    is_idle: bool = False  # -q: the daemon runs the queue
    shows_queue: bool = False  # -bp
    builds_aliases: bool = False  # -bi, -I
    dot_ends: bool = True  # not -i
    is_verbose: bool = False  # -v
    sender: Address | None = None  # -f; a domain of "" is ours
    is_null_sender: bool = False  # -f with nothing, or <>
    name: str = ""  # -F
    notify: str = ""  # -N, of each recipient
    parameters: str = ""  # RET and ENVID of MAIL
    recipients: tuple[Address, ...] = ()


def parse_options(arguments: Sequence[str]) -> Options:
    """Read a command line without the program's name. Raises UsageError."""
    given = list(arguments)
    values: dict[str, str] = {}
    for letter, value in _options(given):
        if letter in _REFUSED:
            raise UsageError(f"-{letter} is not supported: {_REFUSED[letter]}")
        if letter == "b" and value not in {"m", "s", "i", "p"}:
            raise UsageError(_MODES.get(f"b{value}", f"-b{value} is not supported"))
        values[_SAME.get(f"{letter}{value}") or _SAME.get(letter, letter)] = value
    sender = _sender(values.get("f"))
    return Options(
        speaks_smtp=values.get("b") == "s",
        reads_recipients="t" in values,
        is_idle="q" in values,
        shows_queue=values.get("b") == "p",
        builds_aliases=values.get("b") == "i" or "I" in values,
        dot_ends="i" not in values,
        is_verbose="v" in values,
        sender=sender,
        is_null_sender="f" in values and sender is None,
        name=values.get("F", ""),
        notify=_notify(values.get("N")),
        parameters=_ret(values.get("R")) + _envid(values.get("V")) + _body(values.get("B")),
        recipients=tuple(address for each in given for address in _addresses(each)),
    )


def _options(given: list[str]) -> Iterator[tuple[str, str]]:
    """Take the options off the front of `given`; yield letter and value."""
    while given and given[0].startswith("-") and given[0] != "-":
        letters = given.pop(0)[1:]
        if letters == "-":
            return
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in _WITH_VALUE:
                if not letters and not given:
                    raise UsageError(f"-{letter} needs a value")
                yield letter, letters or given.pop(0)
                break
            if letter in _WITH_REST:
                yield letter, letters
                break
            if letter not in _FLAGS:
                raise UsageError(f"unknown option -{letter}")
            yield letter, ""


def _addresses(text: str) -> list[Address]:
    try:
        return parse_addresses(text)
    except PathError as error:
        raise UsageError(f"{error}") from None


def _sender(text: str | None) -> Address | None:
    if text is None or text.strip() in {"", "<>"}:
        return None
    found = _addresses(text)
    if len(found) != 1:
        raise UsageError("-f needs one address")
    return found[0]


def _notify(text: str | None) -> str:
    if text is None:
        return ""
    words = list(dict.fromkeys(text.upper().split(",")))
    if words != ["NEVER"] and not _NOTIFY.issuperset(words):
        raise UsageError("-N needs never, or a list of success, failure and delay")
    return f" NOTIFY={','.join(words)}"


def _ret(text: str | None) -> str:
    if text is not None and text.lower() not in _RETURN:
        raise UsageError("-R needs hdrs or full")
    return "" if text is None else f" RET={_RETURN[text.lower()]}"


def _envid(text: str | None) -> str:
    """-V as xtext (RFC 3461 §4)."""
    if text is None:
        return ""
    written = _XCHAR.sub(lambda found: f"+{ord(found[0]):02X}", text)
    if not (text.isascii() and text.isprintable() and 0 < len(written) <= _ENVID_LIMIT):
        raise UsageError("-V needs printable ASCII, at most 100 characters as xtext")
    return f" ENVID={written}"


def _body(text: str | None) -> str:
    """Check -B. Its value is not used: the octets of the content show what it is."""
    if text is not None and text.upper() not in _BODIES:
        raise UsageError("-B needs 7BIT or 8BITMIME")
    return ""
