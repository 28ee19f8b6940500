"""Permits on SQLite: one row an account, whose state is text (`relayd.policy.accounts.state`)."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import apsw

from relayd.policy.accounts import booking
from relayd.policy.accounts.booking import Booking
from relayd.policy.accounts.limits import AccountLimits
from relayd.policy.accounts.pace import Learnt, learn
from relayd.policy.accounts.state import AccountState, read, written
from relayd.ports.outward import Clock
from relayd.store.sqlite.writer import Writer

Answer = TypeVar("Answer")


class SqlitePermits:
    """`relayd.ports.permits.Permits` on one SQLite file."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        self._writer = writer
        self._clock = clock

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

    async def _change(
        self, account: str, change: Callable[[AccountState, float], tuple[AccountState, Answer]]
    ) -> Answer:
        def operation(db: apsw.Connection) -> Answer:
            found = db.execute("SELECT state FROM permit WHERE account = ?", (account,)).get
            before = read(found)
            state, answer = change(before, self._clock.now().timestamp())
            if state != before:
                db.execute("INSERT OR REPLACE INTO permit VALUES (?, ?)", (account, written(state)))
            return answer

        return await self._writer.submit(operation)
