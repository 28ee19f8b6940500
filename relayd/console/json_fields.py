"""Values of JSON, each checked for what it is to be; all mistakes are found at once.

Owns what text may have in it. Text for one line has no end of a line in it, by whatever character, so nothing that
somebody gave a program begins a line of its own.
"""

import binascii
import re
import unicodedata
from base64 import b64decode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

LINE = 998  # characters of a text for one line
_WRONG = 20  # mistakes that are told
_WORD = 900  # of a word with the blanks behind it: a long line can be folded in front of a word
_WITH_BLANKS = re.compile(r"[^ ]+ *+| ++")
_NO_LINE = frozenset({"Cc", "Cs", "Zl", "Zp"})  # controls, surrogates, separators of lines
_NO_TEXT = frozenset({"Cc", "Cs"})
_IN_TEXT = frozenset(
    "\t\n\v\f\r\x85"
)  # programs that write texts put these between lines and pages


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
    """Reads what it can, and notes what is wrong: the first mistakes, and how many there are."""

    def __init__(self) -> None:
        self.wrong: list[WrongField] = []
        self.count = 0

    def note(self, where: str, expected: str) -> None:
        self.count += 1
        if self.count <= _WRONG:
            self.wrong.append(WrongField(where or "body", expected))

    def fields(
        self, where: str, value: object, known: Collection[str] = ()
    ) -> Mapping[str, object]:
        """Read an object; if names are `known`, it may have no others."""
        if not isinstance(value, dict):
            self.note(where, "an object")
            return {}
        unknown = (name for name in value if known and name not in known)
        for name in islice(unknown, _WRONG):
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

    def line(self, where: str, value: object, *, limit: int = LINE) -> str:
        """Read text for one line."""
        if not isinstance(value, str):
            self.note(where, "a string")
        elif len(value) > limit:
            self.note(where, f"at most {limit} characters")
        elif (found := _misfit(value, _NO_LINE)) is not None:
            self.note(where, f"text of one line, without control characters; it has {found}")
        elif value.isascii() and max(map(len, _WITH_BLANKS.findall(value)), default=0) > _WORD:
            self.note(where, f"words of at most {_WORD} characters, with the blanks behind them")
        else:
            return value.strip(" ")
        return ""

    def lines(self, where: str, value: object) -> str | None:
        """Read text of any lines; None stays what it is."""
        if value is None:
            return None
        if not isinstance(value, str):
            self.note(where, "a string")
        elif (found := _misfit(value, _NO_TEXT, but=_IN_TEXT)) is not None:
            self.note(where, f"text without control characters; it has {found}")
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


def _misfit(text: str, kinds: Collection[str], *, but: Collection[str] = ()) -> str | None:
    """Return the first character of such a kind, and where it is; None: there is none."""
    if text.isascii() and text.isprintable():
        return None
    for place, char in enumerate(text, start=1):
        if char not in but and unicodedata.category(char) in kinds:
            return f"U+{ord(char):04X} as its character {place}"
    return None
