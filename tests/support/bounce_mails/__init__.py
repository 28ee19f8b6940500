"""Mails that come back, in our own words, each with what is to be read from it.

A mail in one of the text files beside this one starts after a line of this form:

    %% name: kind address[!] [category][, address ...]

`!` after an address says that it is proven bad. What stands before the first such line is a remark.
"""

from dataclasses import dataclass
from pathlib import Path

from relayd.policy.inbound_bounce import Kind

FOLDER = Path(__file__).resolve().parent
_MARK = "%% "


@dataclass(frozen=True)
class Expected:
    """What is to be read of one recipient."""

    address: str
    suppress: bool
    category: str | None  # None: any


@dataclass(frozen=True)
class Labelled:
    """A mail, and what is to be read from it."""

    name: str
    raw: bytes
    kind: Kind
    recipients: tuple[Expected, ...]


def labelled_mails() -> list[Labelled]:
    return [mail for file in sorted(FOLDER.glob("*.txt")) for mail in _mails_in(file)]


def _mails_in(file: Path) -> list[Labelled]:
    pieces = ("\n" + file.read_text(encoding="utf-8")).split("\n" + _MARK)[1:]
    return [_labelled(file.stem, piece) for piece in pieces]


def _labelled(group: str, piece: str) -> Labelled:
    label, _, raw = piece.partition("\n")
    name, _, expected = label.partition(": ")
    kind, _, rest = expected.partition(" ")
    recipients = tuple(_expected(one.split()) for one in rest.split(",") if one.strip())
    return Labelled(f"{group}/{name}", raw.encode(), Kind(kind), recipients)


def _expected(words: list[str]) -> Expected:
    address, *category = words
    return Expected(address.rstrip("!"), address.endswith("!"), category[0] if category else None)
