"""What waits, counted by what it has in common."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from relayd.mail.words import status_of


class By(StrEnum):
    """What unfinished mail is counted by."""

    DOMAIN = "domain"  # of the recipient
    SENDER = "sender"  # reverse-path
    DESTINATION = "destination"
    TAG = "tag"
    USER = "user"  # the login


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Unfinished recipients that have something in common."""

    value: str  # as one of them has it; empty: none
    by_status: Mapping[str, int] = field(default_factory=dict)  # number of recipients
    oldest: datetime  # reception
    next_attempt_at: datetime | None = None  # the first; None: all are held, paused or running

    @property
    def recipients(self) -> int:
        return sum(self.by_status.values())


class Counted(NamedTuple):
    """The groups, those with most recipients first, and which mail they are of."""

    groups: Sequence[Waiting]
    since: datetime | None  # only mail received from then on; None: all


def waiting(
    value: str,
    state: str,
    *,
    has_failed: bool,
    count: int,
    oldest: datetime,
    first: datetime | None,
) -> Waiting:
    """Return what waits in one state."""
    status = status_of(state, has_failed=has_failed)
    return Waiting(value=value, by_status={status: count}, oldest=oldest, next_attempt_at=first)


def together(parts: Iterable[Waiting]) -> Sequence[Waiting]:
    """Add up what has the same value, without case; those with most recipients come first."""
    found: dict[str, Waiting] = {}
    for part in parts:
        key = part.value.lower()
        found[key] = _sum(found[key], part) if key in found else part
    return sorted(found.values(), key=lambda each: (-each.recipients, each.value.lower()))


def _sum(one: Waiting, other: Waiting) -> Waiting:
    counts = {
        status: one.by_status.get(status, 0) + other.by_status.get(status, 0)
        for status in one.by_status.keys() | other.by_status.keys()
    }
    instants = [each for each in (one.next_attempt_at, other.next_attempt_at) if each is not None]
    return Waiting(
        value=one.value,
        by_status=counts,
        oldest=min(one.oldest, other.oldest),
        next_attempt_at=min(instants, default=None),
    )
