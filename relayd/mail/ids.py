"""Queue ids: made by a worker, sorted by time, shown as 13 characters.

An id has room for 512 workers. Numbers of workers only rise, so that what belonged to a dead worker is
never taken for a new one's; ids hold their lowest 9 bits. Two rules keep ids apart. No two living
workers have the same bits (`next_number`). A worker's ids begin after all that an earlier worker made
with these bits (`Registration.ids_after`).
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NewType

from relayd.errors import StoreUnavailable

MessageId = NewType("MessageId", int)
"""63 bits: 42 of milliseconds since 2020, the lowest 9 of the worker's number, 12 of a counter. Sorts by time."""

WorkerNumber = NewType("WorkerNumber", int)
"""Given by the store at registration, and never again. Its lowest 9 bits are no other living worker's."""

IDS_PER_MILLISECOND = 4096  # of one worker
_WORKERS = 512  # that ids tell apart
_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_LAST_MS = (1 << 42) - 1
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no I, L, O, U
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_DIGITS = {digit: value for value, digit in enumerate(_ALPHABET)}
_ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{13}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerIdentity:
    """Who a worker is; the store gives it a number."""

    node: str  # the machine
    boot: str  # the start of relayd on that machine; another one after each restart
    name: str  # no two living workers of one boot have the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What the store gives to a worker."""

    number: WorkerNumber
    ids_after: datetime  # its ids are of a later millisecond


def next_number(last: int, living: Collection[int]) -> WorkerNumber:
    """Return the lowest number above `last` whose bits in ids no living worker has.

    `last` is the highest number that was ever given; 0: none. Raises StoreUnavailable when as many
    workers live as ids can tell apart.
    """
    taken = {bits_of(number) for number in living}
    for number in range(last + 1, last + 1 + _WORKERS):
        if bits_of(number) not in taken:
            return WorkerNumber(number)
    raise StoreUnavailable(f"{_WORKERS} workers are alive: queue ids have no room for one more")


def bits_of(worker: int) -> int:
    """Return what ids hold of a worker's number."""
    return worker % _WORKERS


def worker_bits_of(message_id: MessageId) -> int:
    """Return the bits of the worker that made the id."""
    return bits_of(int(message_id) >> 12)


def make_id(at: datetime, worker: WorkerNumber, count: int) -> MessageId:
    """Compose an id; unique while a worker makes fewer than 4,096 in one millisecond."""
    ms = (at - _EPOCH) // _MS
    return MessageId((ms << 21) | (bits_of(worker) << 12) | (count & 0xFFF))


@lru_cache(maxsize=1024)  # each is shown a few times while its message is in work
def format_id(message_id: MessageId) -> str:
    """The queue id as people see it: 13 characters."""
    value = int(message_id)
    pairs = [_PAIRS[value >> shift & 1023] for shift in (50, 40, 30, 20, 10, 0)]
    return _ALPHABET[value >> 60] + "".join(pairs)


def parse_id(text: str) -> MessageId:
    """Read a queue id, any case. Raises ValueError."""
    if not _ID.match(text.upper()):
        raise ValueError(f"{text!r} is not a queue id (13 letters and digits)")
    value = 0
    for char in text.upper():
        value = value << 5 | _DIGITS[char]
    if value >= 1 << 63:
        raise ValueError(f"{text!r} is not a queue id (too large)")
    return MessageId(value)


def received_at_of(message_id: MessageId) -> datetime:
    """The instant that the id was made, to the millisecond."""
    return _EPOCH + (int(message_id) >> 21) * _MS


def first_id_at(at: datetime) -> MessageId:
    """The smallest id that could have been made at `at`: ids below it are older.

    Outside the years that ids can hold, 2020 to 2159: that of the nearest instant.
    """
    return MessageId(min(max(0, (at - _EPOCH) // _MS), _LAST_MS) << 21)
