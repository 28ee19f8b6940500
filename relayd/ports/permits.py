"""Permits of accounts at smarthosts: limits that hold over all workers.

Each verb is one transaction, and may raise what `relayd.ports.queue` says. After CommitUnknown permits may be booked
that nobody has: their time passes unused.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from relayd.policy.accounts.booking import Booking
from relayd.policy.accounts.limits import AccountLimits
from relayd.policy.accounts.pace import Learnt, Pace
from relayd.policy.accounts.state import AccountState


class Permits(Protocol):
    """A part of `relayd.ports.queue.QueueStore`. An account is meant by the route key of its destination."""

    async def book(
        self, account: str, limits: AccountLimits, wanted: int, *, taken: int = 0
    ) -> Booking:
        """Book up to `wanted` permits; tell of `taken` messages that the server took since this worker last told."""
        ...

    async def give_back(self, account: str, limits: AccountLimits, unused: int) -> None:
        """Let permits that were booked count for nothing."""
        ...

    async def too_fast(self, account: str, *, asked_for: float = 0.0, taken: int = 0) -> Learnt:
        """Learn that the server said so, and asked for a rest of so many seconds; return the pace from now on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known of one account."""

    account: str
    pace: Pace


def standings(states: Iterable[tuple[str, AccountState]]) -> Sequence[Standing]:
    """Return the accounts with a pace, of those given with their names."""
    return [
        Standing(account=account, pace=state.pace)
        for account, state in states
        if state.pace is not None
    ]


class PermitsView(Protocol):
    """Questions about them; a part of `relayd.ports.view.QueueView`."""

    def paces(self) -> Sequence[Standing]:
        """Return the accounts whose pace follows their server's replies, in the order of their names."""
        ...
