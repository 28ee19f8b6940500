"""Every implementation of the store, opened the same way, for suites that run over all of them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from relayd.mail.envelope import NewMessage
from relayd.mail.ids import WorkerNumber
from relayd.ports.queue import QueueStore, Work
from relayd.ports.view import HistoryEntry, Query, QueueView, RecipientRow
from relayd.store.memory.queue import MemoryStore
from relayd.store.sqlite.queue import SqliteStore
from relayd.store.sqlite.view import SqliteView
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


OPENERS: Mapping[str, Callable[[Path], Box]] = {"memory": open_memory, "sqlite": open_sqlite}
