"""A server with a standby: commits that wait for it, and what relayd makes of a failover (F-43, F-44, F-45)."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta

import pytest

from relayd.errors import StoreUnavailable
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import WorkerNumber
from relayd.store.postgres import library, session, unknown
from relayd.store.postgres.line import WRITES, Line, Session
from relayd.store.postgres.queue import PostgresStore
from relayd.store.postgres.startup import Startup
from tests.support import postgres
from tests.support.builders import a_message, settlements_of
from tests.support.clock import START, FakeClock
from tests.support.standby import Pair, a_pair
from tests.support.workers import registered

pytestmark = postgres.needs_postgres

_WAITS = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
_IS_THERE = "SELECT count(*) FROM message WHERE id = {}"
_IS_SETTLED = "SELECT count(*) FROM recipient WHERE message_id = {} AND state = 'relayed'"
LEASE = timedelta(seconds=60)


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with a_pair() as made:
        postgres.prepare(made.url)
        yield made


@pytest.fixture
async def store(pair: Pair) -> AsyncIterator[PostgresStore]:
    clock = FakeClock()
    opened = PostgresStore.open(pair.url, clock=clock, slots={}, leases_by=clock.monotonic)
    yield opened
    if not pair.standby.is_running:  # the test failed
        pair.standby.start()
    await opened.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds in earnest takes less."""
    monkeypatch.setattr(session, "SILENT", 0.5)
    monkeypatch.setattr(unknown, "_LOOKS_EACH", 0.05)


Told = asyncio.Future[object]


def put(store: PostgresStore, worker: WorkerNumber) -> tuple[NewMessage, Told]:
    message = a_message(at=START, worker=worker)
    return message, asyncio.ensure_future(store.enqueue(message, worker=worker, lease_for=None))


async def waiting(pair: Pair, *, but: str = "") -> str:
    """Return the server's process that waits for the standby."""
    while True:
        for pid in (await asyncio.to_thread(pair.primary.run, _WAITS)).split():
            if pid != but:
                return pid


@pytest.mark.parametrize("proves", [True, False], ids=["", "control"])
@pytest.mark.parametrize("verb", ["enqueue", "settle"])
@pytest.mark.parametrize("how", ["pg_cancel_backend", "pg_terminate_backend"])
async def test_a_commit_whose_wait_was_ended_is_told_once_a_standby_has_it(
    pair: Pair,
    store: PostgresStore,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    verb: str,
    proves: bool,  # noqa: FBT001
) -> None:
    monkeypatch.setattr(unknown, "_LOOKS_EACH", 0.05)
    if not proves:  # the end of one that wrote nothing waits for nobody
        monkeypatch.setattr(unknown, "_COMMIT", "SELECT pg_current_xact_id()::text")
    worker = await registered(store, "worker", boot=f"{how} {verb} {proves}")
    message = a_message(at=START, worker=worker)
    [work] = await store.enqueue(message, worker=worker, lease_for=LEASE)
    pair.standby.kill()
    told: Told
    if verb == "enqueue":
        message, told = put(store, worker)
    else:
        told = asyncio.ensure_future(store.settle(work.lease, settlements_of(work)))
    is_done = _IS_THERE if verb == "enqueue" else _IS_SETTLED
    ended = await waiting(pair)
    pair.primary.run(f"SELECT {how}({ended})")
    if proves:
        await waiting(pair, but=ended)  # another commit, to prove the first
        assert not told.done()
        assert pair.primary.run(is_done.format(message.id)).strip() == "1"
        pair.standby.start()
        await asyncio.wait_for(told, 30)
        assert pair.standby.run(is_done.format(message.id)).strip() == "1"
    else:
        await asyncio.wait_for(told, 30)  # a lie: no standby has it


@pytest.mark.usefixtures("quick")
async def test_commits_that_wait_long_are_told_once_the_standby_is_back(
    pair: Pair, store: PostgresStore
) -> None:
    """And those who look meanwhile do not use the server's connections up."""
    worker = await registered(store, "worker", boot="long")
    pair.standby.kill()
    message, told = put(store, worker)
    seen: set[str] = set()
    while len(seen) < 6:
        found = (await asyncio.to_thread(pair.primary.run, _WAITS)).split()
        seen.update(found)
        assert len(found) <= 2
    assert not told.done()
    pair.standby.start()
    await asyncio.wait_for(told, 30)
    assert pair.standby.run(_IS_THERE.format(message.id)).strip() == "1"


async def test_a_server_that_may_not_be_written_any_more_is_left(
    pair: Pair, store: PostgresStore
) -> None:
    worker = await registered(store, "worker", boot="read-only")
    pair.primary.set("default_transaction_read_only", "on")
    try:
        for _ in range(2):
            _, told = put(store, worker)
            with pytest.raises(StoreUnavailable, match="read-only"):
                await told
        with pytest.raises(StoreUnavailable, match="name the primary"):  # MAIL is refused, too
            store.has_room()
    finally:
        pair.primary.run(
            "SET default_transaction_read_only = off; ALTER SYSTEM RESET default_transaction_read_only"
        )
        pair.primary.run("SELECT pg_reload_conf()")
    await until_it_works(lambda: put(store, worker)[1])


async def until_it_works(give: Callable[[], Told]) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                await give()
            except StoreUnavailable:
                await asyncio.sleep(0.02)  # it waits between its tries
            else:
                return


async def test_a_host_that_does_not_answer_does_not_keep_from_the_next(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "_CONNECTS_WITHIN", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        url = f"postgresql://relayd@/postgres?host=127.0.0.1,{pair.primary.folder}&port={port},5432"
        line = Line(url, "tried", WRITES)
        assert await line.submit(lambda db: db.value("SELECT 1")) == 1
        await line.close()


async def test_a_standby_alone_is_named_as_such(pair: Pair) -> None:
    line = Line(f"postgresql://relayd@/postgres?host={pair.standby.folder}", "tried", WRITES)
    with pytest.raises(StoreUnavailable, match="a standby, or read-only: name the primary"):
        await line.submit(lambda db: db.value("SELECT 1"))


async def timeline_of(db: Session) -> str:
    return str(await db.value("SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 8, 1)"))


async def test_an_old_primary_that_came_back_is_passed_over() -> None:
    """It can be written, and is named first."""
    with a_pair() as pair:
        old, new = pair.primary, pair.standby
        url = f"postgresql://relayd@/postgres?host={old.folder},{new.folder}"
        startup = Startup()
        line = Line(url, "tried", WRITES, greet=startup.check)
        assert await line.submit(timeline_of) == "1"
        pair.fail_over()
        await until_it_works(lambda: asyncio.ensure_future(line.submit(timeline_of)))
        old.start()
        await line.close()  # the next operation connects anew
        assert await line.submit(timeline_of) == "2"
        await line.close()
        new.kill()
        with pytest.raises(StoreUnavailable, match="it is an old primary"):
            await line.submit(timeline_of)
