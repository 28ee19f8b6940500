"""What machines that share a queue note in it for each other: how much is in it, counted once for all, and what each does.

A store of one machine has none of it: who asks counts for itself.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from relayd.ports.membership import Node
from relayd.ports.view import Counts, Metric

EVERY = timedelta(seconds=15)
"""Between two samples; scrapers come about as often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """The queue, as one machine counted it for all."""

    at: datetime
    node: str  # that counted
    counts: Counts  # of destinations those that most waits for, and the one where it waits longest
    metrics: Sequence[Metric]  # all that is read off the store


class Work(NamedTuple):
    """The numbers of one daemon at an instant, by their names."""

    at: datetime
    numbers: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class AtWork:
    """A machine, and what it does."""

    node: Node
    destinations: int  # that it has leased
    now: Work | None  # None: it noted nothing yet
    before: Work | None  # the note before that one


class Samples(Protocol):
    """A part of `relayd.ports.queue.QueueStore`. Each verb is one transaction, and raises what `relayd.ports.queue` says."""

    async def take_turn(self, lease_for: timedelta) -> bool:
        """Tell whether this worker is to count the queue now, for all; nobody else is told so meanwhile.

        A turn comes when the sample is old. If nothing is noted within `lease_for`, it is another worker's.
        """
        ...

    async def note_queue(
        self, counts: Counts, metrics: Sequence[Metric], *, next_in: timedelta
    ) -> None:
        """Write the sample that a turn was for; the next turn comes then."""
        ...

    async def note_work(self, numbers: Mapping[str, float]) -> None:
        """Write what this machine does. Nothing is written where one of its workers did so within EVERY."""
        ...


class SamplesView(Protocol):
    """Questions about it; a part of `relayd.ports.view.QueueView`."""

    def latest(self) -> Sampled | None:
        """Return the last sample; None where the next one is overdue for a minute, or there is none."""
        ...

    def at_work(self) -> Sequence[AtWork]:
        """Return the machines that ever had the queue, in the order of their names."""
        ...

    def holders(self, destinations: Collection[str]) -> Mapping[str, Sequence[str]]:
        """Return which machines have leased these, in the order of their names; nothing of those that nobody has."""
        ...
