"""The tally: outcomes counted by who sent, where to and why, in steps of time.

Owns what is counted, how long fine steps are kept, which steps an answer is put together of, and the classes
of delays. The stores count, and answer by these rules. Instants are milliseconds since 1970 in UTC.

A step is 10 minutes, an hour or a day; each event is in one step of every span that is kept. So a question about
90 days reads some 130 steps, and one about the last hour is told to 10 minutes.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Dimension(StrEnum):
    """What outcomes are counted by. The order is on the disk and stays; new ones go to the end."""

    SENDER = "sender"  # reverse-path
    TAG = "tag"
    USER = "user"  # the login
    DOMAIN = "domain"  # of the recipient
    DESTINATION = "destination"
    CATEGORY = "category"  # of deferrals and bounces
    CLIENT = "client"  # its address


COUNTED = (
    "received",
    "sent",
    "relayed",
    "deferred",
    "hard",  # bounces by class
    "block",
    "soft",
    "late_bounced",
    "complained",
    "dropped",
)
"""What is counted: events of recipients."""
BOUNCES = ("hard", "block", "soft")

TEN_MINUTES, HOUR, DAY = (
    each // timedelta(milliseconds=1)
    for each in (timedelta(minutes=10), timedelta(hours=1), timedelta(days=1))
)
SPANS = (TEN_MINUTES, HOUR, DAY)
KEPT: Mapping[int, int] = {TEN_MINUTES: 2 * DAY, HOUR: 15 * DAY}
"""How long steps are kept; days as long as the history."""

MOST_VALUES = 500
"""Of a step that is over, so many values of a dimension are kept for their mail, and so many for their trouble."""

OCTAVE = 4
"""Classes of delays between a delay and its double."""
ERROR = 2 ** (0.5 / OCTAVE) - 1
"""A percentile is that much too high or too low at most: 9 %."""


def delay_class(delay: int) -> int:
    """Return the class of a delay in milliseconds; less than one counts as one."""
    return int(OCTAVE * math.log2(max(delay, 1)))


def percentile(classes: Mapping[int, int], share: float) -> float | None:
    """Return the delay in seconds that a share of all did not exceed, within `ERROR`; None without any.

    `classes` has how many delays there are of each class.
    """
    rank = math.ceil(sum(classes.values()) * share)
    for each in sorted(classes):
        rank -= classes[each]
        if rank <= 0:
            return float(2 ** ((each + 0.5) / OCTAVE)) / 1000
    return None


@dataclass(frozen=True, slots=True)
class Piece:
    """Steps of one span, side by side: from `low` on, those that begin before `high`."""

    span: int
    low: int
    high: int


END = 2**31 * DAY
"""Later than any event, and the end of a step of every span."""


def pieces(since: int, until: int, kept: Mapping[int, int]) -> list[Piece]:
    """Return the steps that cover what lies between two instants, the oldest first.

    Both are moved outwards to where a step begins or ends. `kept` says from when on steps of a span are
    complete; where none are, days are taken.
    """
    low = since - since % _finest(since, kept)
    high = until + -until % _finest(until - 1, kept)
    return list(_cover(low, high, len(SPANS) - 1))


def _finest(at: int, kept: Mapping[int, int]) -> int:
    return next((span for span in SPANS if kept.get(span, 0) <= at - at % span), DAY)


def _cover(low: int, high: int, number: int) -> Iterator[Piece]:
    if low >= high:
        return
    span = SPANS[number]
    if number == 0:
        yield Piece(span, low, high)
        return
    first, last = low + -low % span, high - high % span
    if first >= last:
        yield from _cover(low, high, number - 1)
        return
    yield from _cover(low, first, number - 1)
    yield Piece(span, first, last)
    yield from _cover(last, high, number - 1)
