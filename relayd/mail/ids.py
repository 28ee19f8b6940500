"""Queue ids: made by a worker, sorted by time, shown as 13 characters."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NewType

MessageId = NewType("MessageId", int)
"""63 bits: 42 of milliseconds since 2020, 9 of the worker's number, 12 of a counter. Sorts by time."""

WorkerNumber = NewType("WorkerNumber", int)
"""Given by the store at registration; never the same for two live workers."""

IDS_PER_MILLISECOND = 4096  # of one worker
_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O, U
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_DIGITS = {digit: value for value, digit in enumerate(_ALPHABET)}
_ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{13}\Z")


def make_id(at: datetime, worker: WorkerNumber, count: int) -> MessageId:
    """Compose an id; unique while a worker makes fewer than 4,096 in one millisecond."""
    ms = (at - _EPOCH) // _MS
    return MessageId((ms << 21) | ((worker & 0x1FF) << 12) | (count & 0xFFF))


@lru_cache(maxsize=1024)  # each is shown a few times while its message is in work
def format_id(message_id: MessageId) -> str:
    """The queue id as people see it: 13 characters."""
    value = int(message_id)
    pairs = [_PAIRS[value >> shift & 1023] for shift in (50, 40, 30, 20, 10, 0)]
    return _ALPHABET[value >> 60] + "".join(pairs)


def parse_id(text: str) -> MessageId:
    """Read a queue id, any case. Raises ValueError."""
    text = text.upper()
    if not _ID.match(text):
        raise ValueError(f"{text!r} is not a queue id (13 letters and digits)")
    value = 0
    for char in text:
        value = value << 5 | _DIGITS[char]
    if value >= 1 << 63:
        raise ValueError(f"{text!r} is not a queue id (too large)")
    return MessageId(value)


def received_at_of(message_id: MessageId) -> datetime:
    """The instant that the id was made, to the millisecond."""
    return _EPOCH + (int(message_id) >> 21) * _MS


def first_id_at(at: datetime) -> MessageId:
    """The smallest id that could have been made at `at`: ids below it are older."""
    return MessageId(max(0, (at - _EPOCH) // _MS) << 21)
