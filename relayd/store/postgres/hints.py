"""Hints between machines: something may have become due. NOTIFY of PostgreSQL, in a transaction of its own.

A notifying commit holds a lock of the whole server: with mail in the same transaction, all commits would queue up
behind one fsync. So hints come behind the commit that they tell of, on a line whose commits wait for no disk.
Each connection first tells itself something: who has not heard that, such as behind a pooler, relies on looks alone.
Source: PostgreSQL manual, NOTIFY.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from relayd.errors import StoreError
from relayd.store.postgres.line import Line, Session

_CHANNEL, _PAUSES, _JOINED = "relayd", "relayd_pauses", "relayd_joined"
_TRIAL = ""  # the node in what a connection tells itself
_TELL = "SELECT pg_notify($1, $2)"
_REST = 0.01  # seconds between two hints: each lets every worker look at the store
_LOOKED = (
    5.0  # seconds after which a lost connection is noticed; until then polling finds what is due
)
_SETTINGS = {"synchronous_commit": "off"}  # nothing is lost with a hint


class PostgresHints:
    """`relayd.ports.wakeups.Wakeups` to the workers of other machines. `keep` has to run."""

    def __init__(
        self,
        url: str,
        node: str,
        on_hint: Callable[[], None],
        on_pauses: Callable[[], None] = lambda: None,
        on_joined: Callable[[], None] = lambda: None,
    ) -> None:
        """`node` is this machine, whose workers have other hints of each other.

        `on_pauses` is told ahead of `on_hint` that pause rules have changed, `on_joined` that others wait to be counted.
        """
        self._node = node
        self._on_hint = on_hint
        self._on_pauses = on_pauses
        self._on_joined = on_joined
        self._channels: set[str] = set()  # with a hint to give
        self._due = asyncio.Event()
        self._is_closed = False
        self._heard_on = 0  # the number of the connection on which something came
        self._line = Line(url, "relayd/hints", _SETTINGS)

    @property
    def are_heard(self) -> bool:
        return self._line.is_connected and self._heard_on == self._line.connections

    def give(self) -> None:
        self._give(_CHANNEL)

    def give_pauses(self) -> None:
        self._give(_PAUSES)

    def give_joined(self) -> None:
        self._give(_JOINED)

    def close(self) -> None:
        self._is_closed = True
        self._give(_CHANNEL)

    def _give(self, channel: str) -> None:
        self._channels.add(channel)
        self._due.set()

    async def keep(self) -> None:
        """Give hints and hear those of others until closed; while the server is away there are none.

        With the last one leases come back.
        """
        while not self._is_closed:
            is_due = self._due.is_set()
            self._due.clear()
            with suppress(StoreError):  # nobody relies on a hint
                await self._line.submit(self._telling if is_due else self._hearing, is_one=True)
            await asyncio.sleep(_REST)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOKED):
                    await self._due.wait()
        if self._line.is_connected:
            with suppress(StoreError):
                await self._line.submit(self._telling, is_one=True)
        await self._line.close()

    async def _hearing(self, db: Session) -> None:
        await db.listen(_CHANNEL, self._heard)
        await db.listen(_PAUSES, self._heard)
        await db.listen(_JOINED, self._heard)
        if not self.are_heard:
            await db.value(_TELL, _CHANNEL, _TRIAL)

    async def _telling(self, db: Session) -> None:
        await self._hearing(db)
        channels, self._channels = self._channels, set()
        for channel in sorted(channels):
            await db.value(_TELL, channel, self._node)

    def _heard(self, *said: object) -> None:
        *_, channel, node = said
        self._heard_on = self._line.connections
        if node in (self._node, _TRIAL):
            return
        if channel == _JOINED:
            self._on_joined()
            return
        if channel == _PAUSES:
            self._on_pauses()
        self._on_hint()
