"""Values of JSON, each checked for what it is to be; all mistakes are found at once.

Owns what text may have in it. Text for one line has no end of a line in it, by whatever character, so nothing that
somebody gave a program begins a line of its own.
"""

import binascii
import unicodedata
from base64 import b64decode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

_LINE = 998  # characters of a text for one line
_WORD = 900  # of it without a blank, where a long line can be folded
_NO_LINE = frozenset({"Cc", "Cs", "Zl", "Zp"})  # controls, surrogates, separators of lines
_IN_LINES = frozenset("\t\n\r")


@dataclass(frozen=True, slots=True)
class WrongField:
    """One thing that is wrong."""

    where: str  # such as `to[1]`; it can be shown in a line
    expected: str


class BadFields(ValueError):
    """Fields are wrong; carries all that is."""

    def __init__(self, wrong: Sequence[WrongField]) -> None:
        self.wrong = tuple(wrong)
        super().__init__("; ".join(f"{each.where}: {each.expected}" for each in wrong))


class Reader:
    """Reads what it can, and notes what is wrong."""

    def __init__(self) -> None:
        self.wrong: list[WrongField] = []

    def note(self, where: str, expected: str) -> None:
        self.wrong.append(WrongField(where, expected))

    def fields(
        self, where: str, value: object, known: Collection[str] = ()
    ) -> Mapping[str, object]:
        """Read an object; if names are `known`, it may have no others."""
        if not isinstance(value, dict):
            self.note(where, "an object")
            return {}
        unknown = value.keys() - known if known else ()
        for name in unknown:
            inner = f"{where}." if where else ""
            self.note(f"{inner}{shown(name)}", f"one of {', '.join(sorted(known))}")
        return value

    def items(self, where: str, value: object, *, most: int) -> Sequence[object]:
        if not isinstance(value, list):
            self.note(where, "a list")
        elif len(value) > most:
            self.note(where, f"at most {most} of them")
        else:
            return value
        return []

    def line(self, where: str, value: object, *, limit: int = _LINE) -> str:
        """Read text for one line."""
        if not isinstance(value, str):
            self.note(where, "a string")
        elif len(value) > limit:
            self.note(where, f"at most {limit} characters")
        elif not _fits(value):
            self.note(where, "text without control characters, ends of lines and lone surrogates")
        elif value.isascii() and max(map(len, value.split(" "))) > _WORD:
            self.note(where, f"a blank after {_WORD} characters at the latest")
        else:
            return value.strip(" ")
        return ""

    def lines(self, where: str, value: object) -> str | None:
        """Read text of any lines; None stays what it is."""
        if value is None:
            return None
        if not isinstance(value, str):
            self.note(where, "a string")
        elif not _fits(value, but=_IN_LINES):
            self.note(where, "text without control characters and lone surrogates")
        else:
            return value
        return ""

    def octets(self, where: str, value: object) -> bytes:
        """Read base64."""
        try:
            if isinstance(value, str):
                return b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            pass
        self.note(where, "base64")
        return b""

    def flag(self, where: str, value: object) -> bool:
        if not isinstance(value, bool):
            self.note(where, "true or false")
        return value is True


def shown(name: str) -> str:
    """Return the name of a field as it can be shown in a line."""
    return ascii(name)[1:-1][:80]


def _fits(text: str, *, but: frozenset[str] = frozenset()) -> bool:
    if text.isascii() and text.isprintable():
        return True
    return all(char in but or unicodedata.category(char) not in _NO_LINE for char in text)
