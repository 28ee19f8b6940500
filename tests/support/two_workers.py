"""Two workers on one PostgreSQL, statement by statement: an operation may be stopped ahead of its commit."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from relayd.mail.ids import WorkerNumber
from relayd.store.postgres.line import WRITES, Line, Operation, Session
from tests.support import postgres
from tests.support.stores import Box, open_postgres
from tests.support.workers import registered


@dataclass
class Held:
    """An operation that stops in its transaction, ahead of the commit, until it may go on."""

    operation: Operation[object]
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, db: Session) -> object:
        result = await self.operation(db)
        self.reached.set()
        await self.may_go_on.wait()
        return result


@dataclass
class Two:
    """A store, and connections of other workers to it."""

    box: Box
    worker: WorkerNumber
    line: Line
    third: Line

    async def begin(self, operation: Operation[object]) -> "tuple[Held, asyncio.Future[object]]":
        """Have another worker do this up to its commit."""
        held = Held(operation)
        done = self.line.submit(held)
        await asyncio.wait_for(held.reached.wait(), 10)
        return held, done

    async def end(self, held: Held, done: "asyncio.Future[object]") -> None:
        """Let it commit, and do what it does behind that."""
        held.may_go_on.set()
        await done
        await self.line.submit(nothing)

    async def claimed(self) -> int:
        works = await self.box.claim(self.worker)
        await self.box.store.resume("nowhere")  # behind the second look of the claim
        return sum(len(work.recipients) for work in works)


WAITS_FOR_A_LOCK = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


async def somebody_waits() -> None:
    """Wait until one transaction waits for another."""
    watch = Line(postgres.database(), "watch", WRITES)
    while not await watch.submit(lambda db: db.fetch(WAITS_FOR_A_LOCK)):
        pass
    await watch.close()


async def nothing(_: Session) -> None:
    pass


@asynccontextmanager
async def two_workers(folder: Path) -> AsyncIterator[Two]:
    box, url = open_postgres(folder), postgres.database()
    lines = [Line(url, name, WRITES) for name in ("another worker", "a third one")]
    yield Two(box, await registered(box.store, "worker"), *lines)
    for line in lines:
        await line.close()
    await box.close()
