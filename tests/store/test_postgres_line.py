"""Connections to PostgreSQL that are lost, refused, or not what they seem."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

import asyncpg
import pytest

from relayd.errors import CommitUnknown, StoreFull, StoreUnavailable
from relayd.store.postgres import unknown
from relayd.store.postgres.line import WRITES, Line, Session, ask_once
from relayd.store.postgres.startup import Startup
from relayd.store.postgres.together import Together
from tests.support import postgres

pytestmark = postgres.needs_postgres


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    made = Line(postgres.database(), "tried", WRITES, greet=Startup().check)
    yield made
    await made.close()


async def end_backend(line: Line) -> None:
    """Have the server end the connection of the line, as an administrator can."""
    pid = await line.submit(lambda db: db.value("SELECT pg_backend_pid()"))
    await ask_once(postgres.database(), lambda db: db.value("SELECT pg_terminate_backend($1)", pid))


async def write(db: Session) -> str:
    await db.execute("INSERT INTO meta VALUES ('tried', 'x')")
    return "written"


async def is_written(db: Session) -> str | None:
    return "found" if await db.value("SELECT 1 FROM meta WHERE key = 'tried'") else None


async def test_a_connection_that_was_ended_is_made_again(line: Line) -> None:
    await end_backend(line)
    assert await line.submit(lambda db: db.value("SELECT 1")) == 1


async def test_what_was_not_committed_is_done_again_on_another_connection(line: Line) -> None:
    tries = []

    async def operation(db: Session) -> str:
        tries.append(1)
        result = await write(db)
        if len(tries) == 1:
            pid = await db.value("SELECT pg_backend_pid()")
            await ask_once(
                postgres.database(), lambda db: db.value("SELECT pg_terminate_backend($1)", pid)
            )
        return result

    assert await line.submit(operation) == "written"
    assert len(tries) == 2


@pytest.mark.parametrize("is_there", [True, False])
async def test_a_commit_that_nobody_heard_of_is_looked_for(line: Line, is_there: bool) -> None:  # noqa: FBT001
    """S-55: the server ends the connection in the statement that commits by itself, before or after that."""
    tries = []

    async def operation(db: Session) -> str:
        tries.append(1)
        if len(tries) > 1:
            return await write(db)
        if is_there:
            await write(db)
        await db.value("SELECT pg_terminate_backend(pg_backend_pid())")
        return "heard"

    done = line.submit(operation, is_one=True, happened=is_written)
    assert await done == ("found" if is_there else "written")
    assert len(tries) == 2 - is_there


async def test_what_follows_a_commit_follows_one_that_nobody_heard_of(line: Line) -> None:
    done = asyncio.Event()

    async def look(_db: Session) -> None:
        done.set()

    async def operation(db: Session) -> str:
        db.afterwards.append(look)
        await write(db)
        await db.value("SELECT pg_terminate_backend(pg_backend_pid())")
        return "heard"

    assert await line.submit(operation, is_one=True, happened=is_written) == "found"
    await asyncio.wait_for(done.wait(), 10)


async def test_it_tells_that_what_follows_a_commit_was_not_done() -> None:
    lost = asyncio.Event()
    line = Line(postgres.database(), "tried", WRITES, on_lost_look=lost.set)

    async def look(_db: Session) -> None:
        raise StoreUnavailable("away")

    async def operation(db: Session) -> None:
        db.afterwards.append(look)

    await line.submit(operation)
    await asyncio.wait_for(lost.wait(), 10)
    await line.close()


async def test_a_look_that_meets_another_operation_is_unavailable(line: Line) -> None:
    async def operation(_db: Session) -> None:
        raise asyncpg.DeadlockDetectedError("deadlock detected")

    with pytest.raises(StoreUnavailable, match="deadlock detected"):
        await line.look(operation)


@pytest.mark.parametrize("severity", ["ERROR", "PANIC"])
async def test_a_server_that_breaks_down_in_a_commit_may_have_written_it(
    line: Line, severity: str
) -> None:
    """With no room for the log, say: the part that has the commit may be on the disk."""
    tries = []

    async def operation(db: Session) -> str:
        tries.append(1)
        if len(tries) == 1:
            await write(db)
            error = asyncpg.DiskFullError("could not write to log file: No space left on device")
            error.severity = severity
            raise error
        return "again"

    done = line.submit(operation, is_one=True, happened=is_written)
    if severity == "PANIC":
        assert await done == "found"
    else:
        with pytest.raises(StoreFull):
            await done


async def test_what_nobody_can_find_out_is_not_said_to_be_unwritten(line: Line) -> None:
    async def lose(db: Session) -> None:
        await db.value("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(CommitUnknown):
        await line.submit(lose, is_one=True)


async def test_a_backend_that_still_works_for_a_lost_connection_is_ended(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may take hours to find out that nobody listens."""
    monkeypatch.setattr(unknown, "_LOOKS_EACH", 0.01)
    other = Line(postgres.database(), "half open", WRITES)
    await other.submit(lambda db: db.value("SELECT 1"))
    await unknown.resolve(line.look, other._backend, None)
    assert not await line.submit(lambda db: db.fetch(unknown._IS_THERE, *other._backend))
    await other.close()


async def test_a_batch_that_failed_is_finished_ahead_of_the_close() -> None:
    line = Line(postgres.database(), "tried", WRITES)

    async def written(_db: Session, items: Sequence[int]) -> Sequence[int | Exception]:
        if len(items) > 1:
            raise StoreUnavailable("not together")
        return items

    async def happened(_db: Session, _items: Sequence[int]) -> None:
        pass

    together: Together[int, int] = Together(line, written, happened=happened, again=True)
    told = [together.submit(1), together.submit(2)]
    await line.close()
    assert [each.result() for each in told] == [1, 2]


async def test_without_a_look_what_happened_would_be_done_twice(line: Line) -> None:
    """The control: the key is there already."""
    tries = []

    async def operation(db: Session) -> str:
        tries.append(1)
        result = await write(db)
        if len(tries) == 1:
            await db.value("SELECT pg_terminate_backend(pg_backend_pid())")
        return result

    with pytest.raises(StoreUnavailable, match="duplicate key"):
        await line.submit(operation, is_one=True)


async def test_a_commit_with_a_warning_is_looked_for(line: Line) -> None:
    """A wait for a standby that was cancelled is told by a warning, beside a success."""

    async def operation(db: Session) -> str:
        await db.script(
            "DO $$ BEGIN INSERT INTO meta VALUES ('tried', 'x'); RAISE WARNING 'canceling wait'; END $$"
        )
        return "heard"

    assert await line.submit(operation, is_one=True, happened=is_written) == "found"


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    yield
    postgres.empty()


async def test_a_server_that_would_lose_mail_is_refused_with_the_remedy(line: Line) -> None:
    server = postgres.server()
    server.set("fsync", "off")
    try:
        with pytest.raises(StoreUnavailable, match=r"fsync = off .*: set it to on"):
            await line.submit(write)
    finally:
        server.set("fsync", "on")


async def test_a_database_of_octets_is_refused() -> None:
    server = postgres.server()
    server.run("CREATE DATABASE octets ENCODING 'SQL_ASCII' TEMPLATE template0")
    line = Line(server.url("octets"), "tried", WRITES, greet=Startup().check)
    with pytest.raises(StoreUnavailable, match="create one with ENCODING 'UTF8'"):
        await line.submit(write)
    await line.close()
    server.run("DROP DATABASE octets")


async def test_an_old_primary_that_came_back_is_refused(line: Line) -> None:
    startup = Startup()
    startup._timeline = 2
    with pytest.raises(StoreUnavailable, match="it is an old primary"):
        await line.submit(startup.check)


async def test_a_server_that_crashed_is_found_again(line: Line) -> None:
    assert await line.submit(lambda db: db.value("SELECT 1")) == 1
    server = postgres.server()
    server.kill()
    with pytest.raises(StoreUnavailable, match="the database cannot be used"):
        await line.submit(write)
    server.start()
    for _ in range(100):
        try:
            assert await line.submit(write) == "written"
        except StoreUnavailable:
            await asyncio.sleep(0.05)  # it waits between its tries
        else:
            return
    pytest.fail("it was not found")


async def test_it_tells_how_long_a_commit_took() -> None:
    took: list[float] = []
    line = Line(postgres.database(), "tried", WRITES, on_commit=took.append)
    await line.submit(write)
    await line.close()
    [seconds] = took
    assert 0 < seconds < 60
