"""What a reader's child is sent and what it answers: octets that have their length in front.

The child is ours, but it has read what a stranger wrote: its answer is checked, and what does not fit is
an error, never half an answer.
"""

import struct
from typing import Any

import orjson

from relayd.errors import RelaydError
from relayd.mail.words import BounceClass, Category
from relayd.policy.inbound_bounce import BouncedRecipient, Kind, ParsedBounce

LENGTH = struct.Struct(">I")
ANSWER_LIMIT = 4 << 20  # octets: 200 recipients, 4,096 characters of diagnostic for each
READY = (
    b"ready 1"  # the number rises when these messages change: files may be newer than the worker
)


class Garbled(RelaydError):
    """The answer is none."""


def framed(octets: bytes) -> bytes:
    """Return `octets` with their length in front."""
    return LENGTH.pack(len(octets)) + octets


def encode(parsed: ParsedBounce) -> bytes:
    """Return what `decode` reads. Raises TypeError for text that UTF-8 cannot hold."""
    return orjson.dumps(parsed)


def decode(octets: bytes) -> ParsedBounce:
    """Return what was encoded. Raises Garbled."""
    try:
        row = orjson.loads(octets)
        recipients = tuple(_recipient(**each) for each in row.pop("recipients"))
        return _parsed(recipients, **row)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise Garbled("its answer cannot be read") from error


def _parsed(recipients: tuple[BouncedRecipient, ...], *, kind: str, **texts: Any) -> ParsedBounce:
    return ParsedBounce(kind=Kind(kind), recipients=recipients, **_checked(texts, str | None))


def _recipient(
    *,
    address: str,
    diagnostic: str,
    suppress: bool,
    code: int | None,
    category: str | None,
    bounce_class: str | None,
    **texts: Any,
) -> BouncedRecipient:
    return BouncedRecipient(
        **_checked({"address": address, "diagnostic": diagnostic}, str),
        **_checked({"suppress": suppress}, bool),
        **_checked({"code": code}, int | None),
        **_checked(texts, str | None),
        category=None if category is None else Category(category),
        bounce_class=None if bounce_class is None else BounceClass(bounce_class),
    )


def _checked(values: dict[str, Any], kind: Any) -> dict[str, Any]:
    for name, value in values.items():
        if not isinstance(value, kind):
            raise TypeError(name)
    return values
