"""Permits on a plain dict."""

from collections.abc import Sequence

from relayd.policy.accounts.state import AccountState
from relayd.ports.outward import Clock
from relayd.ports.permits import Standing, standings
from relayd.store.memory.tables import Tables
from relayd.store.permits import Answer, Change, StoredPermits


class MemoryPermitsView:
    """`relayd.ports.permits.PermitsView`."""

    def __init__(self, tables: Tables) -> None:
        self._states = tables.permits

    def paces(self) -> Sequence[Standing]:
        return standings(sorted(self._states.items()))


class MemoryPermits(MemoryPermitsView, StoredPermits):
    """`relayd.ports.permits.Permits`, and the questions beside it."""

    def __init__(self, tables: Tables, clock: Clock) -> None:
        MemoryPermitsView.__init__(self, tables)
        StoredPermits.__init__(self, self._changed)
        self._clock = clock

    async def _changed(self, account: str, change: "Change[Answer]", /) -> Answer:
        before = self._states.get(account, AccountState())
        self._states[account], answer = change(before, self._clock.now().timestamp())
        return answer
