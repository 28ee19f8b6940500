"""Permits on a plain dict."""

from collections.abc import Sequence
from dataclasses import replace

from relayd.policy.accounts import booking
from relayd.policy.accounts.booking import Booking
from relayd.policy.accounts.limits import AccountLimits
from relayd.policy.accounts.pace import Learnt, learn
from relayd.policy.accounts.state import AccountState
from relayd.ports.outward import Clock
from relayd.ports.permits import Standing, standings
from relayd.store.memory.tables import Tables


class MemoryPermitsView:
    """`relayd.ports.permits.PermitsView`."""

    def __init__(self, tables: Tables) -> None:
        self._states = tables.permits

    def paces(self) -> Sequence[Standing]:
        return standings(sorted(self._states.items()))


class MemoryPermits(MemoryPermitsView):
    """`relayd.ports.permits.Permits`."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        super().__init__(tables)
        self._clock = clock

    async def book(
        self, account: str, limits: AccountLimits, wanted: int, *, taken: int = 0
    ) -> Booking:
        state, booked = booking.book(self._of(account), limits, wanted, self._now(), taken=taken)
        self._states[account] = state
        return booked

    async def give_back(self, account: str, limits: AccountLimits, unused: int) -> None:
        self._states[account] = booking.give_back(self._of(account), limits, unused, self._now())

    async def too_fast(self, account: str, *, asked_for: float = 0.0, taken: int = 0) -> Learnt:
        state = self._of(account)
        learnt = learn(state.pace, now=self._now(), asked_for=asked_for, taken=taken)
        self._states[account] = replace(state, pace=learnt.pace)
        return learnt

    def _of(self, account: str) -> AccountState:
        return self._states.get(account, AccountState())

    def _now(self) -> float:
        return self._clock.now().timestamp()
