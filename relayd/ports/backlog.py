"""How much waits in the queue, and for how long."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from relayd.mail.ids import first_id_at
from relayd.ports.view import Status

AGES = (timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1), timedelta(days=1))
"""Where one class of age ends and the next begins; the last class is of what is older."""

_NEWEST = 2**63 - 1


class Oldest(NamedTuple):
    """What waits longest."""

    received_at: datetime
    destination: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """Unfinished recipients, counted. A number that is greater than `most` says only: more than that."""

    most: int
    by_status: Mapping[Status, int]
    by_age: Sequence[int]  # since reception; one more than AGES; of what is not held
    paused: int  # of these, that a pause rule holds
    oldest: Oldest | None  # of what is not held; None: nothing waits

    def oldest_seconds(self, at: datetime) -> float | None:
        """Return the age of what waits longest; None: nothing waits."""
        return self.oldest and max((at - self.oldest.received_at).total_seconds(), 0.0)


def classes(at: datetime) -> Sequence[tuple[int, int]]:
    """Return the lowest and the highest id of each class of age, the newest first."""
    lows = [int(first_id_at(at - age)) for age in AGES]
    highs = [_NEWEST, *(low - 1 for low in lows)]
    return list(zip([*lows, 0], highs, strict=True))
