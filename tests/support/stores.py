"""Every implementation of the store, opened the same way, for suites that run over all of them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from relayd.mail.envelope import NewMessage
from relayd.mail.ids import WorkerNumber
from relayd.ports.queue import QueueStore, Work
from relayd.ports.view import HistoryEntry, Query, QueueView, RecipientRow
from relayd.store.memory.queue import MemoryStore
from relayd.store.postgres.queue import PostgresStore
from relayd.store.postgres.view import PostgresView
from relayd.store.sqlite.queue import SqliteStore
from relayd.store.sqlite.view import SqliteView
from tests.support import postgres
from tests.support.clock import FakeClock

LEASE = timedelta(seconds=60)
WIDE = "wide.test"  # a destination with two slots; all others have one
SLOTS: Mapping[str, int] = {WIDE: 2}
ALL = 10_000  # more rows than any test has


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One store under test, its view, and its clock."""

    store: QueueStore
    view: QueueView
    clock: FakeClock

    async def put(
        self, message: NewMessage, *, worker: WorkerNumber, leased: bool = False
    ) -> Sequence[Work]:
        lease_for = LEASE if leased else None
        return await self.store.enqueue(message, worker=worker, lease_for=lease_for)

    async def claim(
        self,
        worker: WorkerNumber,
        *,
        limit: int = ALL,
        but: Collection[str] = (),
        only: Collection[str] | None = None,
    ) -> Sequence[Work]:
        return await self.store.claim(worker, limit=limit, lease_for=LEASE, but=but, only=only)

    def advance(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    def rows(self, query: Query | None = None) -> Sequence[RecipientRow]:
        return self.view.find(query or Query(), limit=ALL)

    def row(self, message: NewMessage, recipient: int = 0) -> RecipientRow:
        rows = self.rows(Query(message_id=message.id))
        return next(row for row in rows if row.recipient == recipient)

    async def is_suppressed(self, address: str, *, sender: str = "") -> bool:
        told = self.view.is_suppressed(address, sender=sender)
        return told if isinstance(told, bool) else await told

    def later_history(self, message: NewMessage) -> Sequence[HistoryEntry]:
        """What happened to the message after its reception."""
        return [entry for entry in self.view.history(message.id) if entry.kind != "received"]

    async def close(self) -> None:
        self.view.close()
        await self.store.close()


def open_memory(_directory: Path) -> Box:
    clock = FakeClock()
    store = MemoryStore(clock, SLOTS)
    return Box(store=store, view=store.view, clock=clock)


def open_sqlite(directory: Path) -> Box:
    clock, path = FakeClock(), str(directory / "queue.db")
    store = SqliteStore.open(path, clock=clock, slots=SLOTS)
    return Box(store=store, view=SqliteView(path), clock=clock)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresBox(Box):
    """A box in the database of this process, which is empty again after it."""

    async def close(self) -> None:
        self.view.close()
        await self.store.close()
        postgres.empty()


def open_postgres(_directory: Path, *, keeps_bounced: bool = False) -> Box:
    """Open the store in the database of this process. Skips the test where there is no server."""
    if postgres.PROGRAMS is None:
        pytest.skip("PostgreSQL is not installed")
    clock, url = FakeClock(), postgres.database()
    store = PostgresStore.open(
        url, clock=clock, slots=SLOTS, leases_by=clock.monotonic, keeps_bounced=keeps_bounced
    )
    return PostgresBox(store=store, view=PostgresView(url), clock=clock)


OPENERS: Mapping[str, Callable[[Path], Box]] = {
    "memory": open_memory,
    "sqlite": open_sqlite,
    "postgresql": open_postgres,
}

# Modules, and single tests of modules, that run over all stores and that the one on PostgreSQL does not pass yet, and what they wait for.
NOT_YET: Mapping[str, str] = {}


def openers_of(module: str) -> Mapping[str, Callable[[Path], Box]]:
    """Return the stores that a test module of that name runs over."""
    is_left_out = postgres.PROGRAMS is None or module.rpartition(".")[2] in NOT_YET
    return {
        name: opener for name, opener in OPENERS.items() if name != "postgresql" or not is_left_out
    }
