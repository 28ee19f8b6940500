"""The verbs of permits, for a store that changes the state of one account in one transaction."""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, TypeVar

from relayd.policy.accounts import booking
from relayd.policy.accounts.booking import Booking
from relayd.policy.accounts.limits import AccountLimits
from relayd.policy.accounts.pace import Learnt, learn
from relayd.policy.accounts.state import AccountState

IDLE_FOR = 3600.0
"""Seconds after the last permit of a site's rate (`relayd.deliverer.nexthop.rates`): by then nothing depends on it."""

Answer = TypeVar("Answer")
Change = Callable[[AccountState, float], tuple[AccountState, Answer]]
"""From the state of an account and the time, in seconds since 1970, to the state after it and an answer."""


class Changing(Protocol):
    """Carries out a change on the state of an account, in one transaction."""

    async def __call__(self, account: str, change: "Change[Answer]", /) -> Answer: ...


class StoredPermits:
    """`relayd.ports.permits.Permits`, by the changes that a store carries out."""

    def __init__(self, change: Changing) -> None:
        self._change = change

    async def book(
        self, account: str, limits: AccountLimits, wanted: int, *, taken: int = 0
    ) -> Booking:
        return await self._change(
            account, lambda state, now: booking.book(state, limits, wanted, now, taken=taken)
        )

    async def give_back(self, account: str, limits: AccountLimits, unused: int) -> None:
        await self._change(
            account, lambda state, now: (booking.give_back(state, limits, unused, now), None)
        )

    async def too_fast(self, account: str, *, asked_for: float = 0.0, taken: int = 0) -> Learnt:
        def change(state: AccountState, now: float) -> tuple[AccountState, Learnt]:
            learnt = learn(state.pace, now=now, asked_for=asked_for, taken=taken)
            return replace(state, pace=learnt.pace), learnt

        return await self._change(account, change)
