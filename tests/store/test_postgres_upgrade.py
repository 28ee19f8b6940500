"""The schema while several versions of relayd work with it: what is applied when, and what waits for whom."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from relayd.errors import SchemaMismatch, StoreBroken, StoreUnavailable
from relayd.mail.ids import WorkerIdentity
from relayd.ports.schema import Migrated, StepKind
from relayd.store import examine_server, migrate, steps_of
from relayd.store.postgres import schema, upgrade
from relayd.store.postgres.line import WRITES, Line, Session
from relayd.store.postgres.queue import PostgresStore
from relayd.store.postgres.schema import Step
from relayd.worker import housekeeping
from tests.support import postgres
from tests.support.builders import a_message
from tests.support.clock import FakeClock
from tests.support.postgres import needs_postgres
from tests.support.stores import LEASE

DATABASE = "upgraded"
NOW = schema.steps()
NEXT = len(NOW) + 1
EXPAND = Step(
    NEXT,
    "next_colour",
    StepKind.EXPAND,
    "ALTER TABLE queue ADD COLUMN colour text COLLATE \"C\" NOT NULL DEFAULT 'grey'",
)
CONTRACT = Step(NEXT + 1, "after_grey", StepKind.CONTRACT, "ALTER TABLE audit DROP COLUMN client")
INDEX = Step(
    NEXT,
    "next_index",
    StepKind.EXPAND,
    "CREATE INDEX CONCURRENTLY queue_next ON queue (updated_at)",
)
_ALLOWED = re.compile(
    r"CREATE (TABLE|(OR REPLACE )?VIEW|FUNCTION|(UNIQUE )?INDEX CONCURRENTLY) |ALTER TABLE \w+ ADD COLUMN |GRANT "
)
Knows = Callable[[Sequence[Step]], None]


@pytest.fixture
def url() -> Iterator[str]:
    """A database that has the schema of today."""
    server = postgres.server()
    server.run(f"CREATE DATABASE {DATABASE}")
    migrate(server.url(DATABASE))
    yield server.url(DATABASE)
    server.run(f"DROP DATABASE {DATABASE} WITH (FORCE)")


@pytest.fixture
def knows(monkeypatch: pytest.MonkeyPatch) -> Knows:
    """Have relayd know these steps besides those of today, from now on."""
    monkeypatch.setattr(upgrade, "_BETWEEN", 0.01)

    def know(more: Sequence[Step]) -> None:
        monkeypatch.setattr(schema, "steps", lambda: [*NOW, *more])

    return know


class Relay:
    """One, with one worker; what relayd knows when it registers is what it works with."""

    def __init__(self, url: str, name: str, clock: FakeClock) -> None:
        self.name = name
        self.store = PostgresStore.open(url, clock=clock, slots={}, leases_by=clock.monotonic)

    async def begin(self, boot: str = "first") -> None:
        identity = WorkerIdentity(node=self.name, boot=f"{self.name} {boot}", name="1")
        self.number = (await self.store.register(identity)).number

    async def renew(self) -> None:
        await self.store.extend([], worker=self.number, lease_for=LEASE)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def relay(url: str, clock: FakeClock) -> AsyncIterator[Callable[[str], Relay]]:
    async with AsyncExitStack() as stack:

        def make(name: str) -> Relay:
            made = Relay(url, name, clock)
            stack.push_async_callback(made.store.close)
            return made

        yield make


def has_column(table: str, name: str) -> bool:
    sql = f"SELECT count(*) FROM information_schema.columns WHERE table_name = '{table}' AND column_name = '{name}'"
    return postgres.server().run(sql, DATABASE).strip() == "1"


@needs_postgres
async def test_what_contracts_waits_for_the_last_older_relayd(
    relay: Callable[[str], Relay], knows: Knows, clock: FakeClock
) -> None:
    """Two machines are replaced one by one; the older one works until it goes."""
    one, two = relay("one"), relay("two")
    await one.begin()
    await two.begin()
    knows([EXPAND, CONTRACT])
    await two.begin("upgraded")
    assert has_column("queue", "colour")
    assert has_column("audit", "client")
    done = await two.store.migrate()
    assert not done.applied
    [waiting] = done.waiting
    assert (waiting.name, waiting.held_by) == ("after_grey", ["one (relayd 0.1.0)"])

    knows([])  # the older one
    await one.renew()
    [work] = await one.store.enqueue(a_message("a@x.test"), worker=one.number, lease_for=LEASE)
    assert [each.address for each in work.recipients] == ["a@x.test"]
    await one.begin("again")
    knows([EXPAND, CONTRACT])
    await one.begin("upgraded")
    assert has_column("audit", "client")
    clock.advance(timedelta(seconds=61))
    with capture_logs() as logs:
        await housekeeping.finish_upgrade(two.store, clock)
    assert [(line["event"], line["step"]) for line in logs] == [("schema_step", "after_grey")]
    assert not has_column("audit", "client")
    assert await one.store.migrate() == Migrated([])


@needs_postgres
async def test_a_machine_that_is_gone_holds_nothing_back(
    relay: Callable[[str], Relay], knows: Knows, clock: FakeClock
) -> None:
    one, two = relay("one"), relay("two")
    await one.begin()
    knows([CONTRACT])
    await two.begin()
    clock.advance(timedelta(seconds=30))
    await one.renew()
    clock.advance(timedelta(seconds=59))
    assert (await two.store.migrate()).waiting[0].held_by
    clock.advance(timedelta(seconds=2))
    assert not (await two.store.migrate()).waiting


@needs_postgres
async def test_an_outage_of_all_is_no_end_of_one(
    relay: Callable[[str], Relay], knows: Knows, clock: FakeClock
) -> None:
    """The older one could not renew either."""
    one, two = relay("one"), relay("two")
    await one.begin()
    knows([CONTRACT])
    await two.begin()
    clock.advance(timedelta(hours=2))
    two.store._reach.missed("away")
    two.store._reach.found()
    assert (await two.store.migrate()).waiting
    await one.renew()
    clock.advance(timedelta(seconds=59))
    await one.renew()
    clock.advance(timedelta(seconds=2))
    assert (await two.store.migrate()).waiting[0].held_by


@needs_postgres
async def test_an_older_relayd_is_not_let_in_any_more(
    url: str, relay: Callable[[str], Relay], knows: Knows, clock: FakeClock
) -> None:
    """Nor does one go on that was away meanwhile."""
    one, two, three = relay("one"), relay("two"), relay("three")
    await one.begin()
    knows([EXPAND, CONTRACT])
    await two.begin()
    clock.advance(timedelta(seconds=61))
    await two.store.migrate()
    knows([])
    words = rf"the database has schema {NEXT + 1}, this relayd knows up to {NEXT - 1}"
    with pytest.raises(SchemaMismatch, match=words):
        await three.begin()
    with pytest.raises(StoreBroken, match=words):
        await one.renew()
    facts, _ = await asyncio.to_thread(examine_server, url)
    assert re.search(words, facts.problem)
    assert [each.is_known for each in await asyncio.to_thread(steps_of, url)][-2:] == [False] * 2


@needs_postgres
async def test_nobody_comes_in_between(url: str, knows: Knows) -> None:
    """An older relayd that is about to be alive is waited for."""
    knows([CONTRACT])
    entered, goes_on = asyncio.Event(), asyncio.Event()
    older, line = Line(url, "older", WRITES), Line(url, "newer", WRITES)

    async def register(db: Session) -> None:
        await upgrade.enter(db)
        entered.set()
        await goes_on.wait()

    registered = older.submit(register)
    await entered.wait()
    applied = asyncio.ensure_future(upgrade.bring_up(line.submit))
    done, _ = await asyncio.wait([applied], timeout=0.1)
    assert not done, "it waits"
    goes_on.set()
    await registered
    assert [each.name for each in (await applied).applied] == ["after_grey"]
    await older.close()
    await line.close()


@needs_postgres
async def test_several_at_once_apply_each_step_once(url: str, knows: Knows) -> None:
    knows([INDEX, CONTRACT])
    lines = [Line(url, f"relay {number}", WRITES) for number in range(4)]
    all_done = await asyncio.gather(*(upgrade.bring_up(line.submit) for line in lines))
    for line in lines:
        await line.close()
    assert sorted(each.name for done in all_done for each in done.applied) == [
        "after_grey",
        "next_index",
    ]


@needs_postgres
async def test_a_step_does_not_make_others_wait(
    url: str, knows: Knows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has the table for long: the step gives way, and says at last what to look at."""
    knows([EXPAND])
    monkeypatch.setattr(upgrade, "_LOCKED_FOR", 50)
    monkeypatch.setattr(upgrade, "_TRIES", 3)
    has_it, goes_on = asyncio.Event(), asyncio.Event()
    reader, line, other = (Line(url, name, WRITES) for name in ("reader", "step", "other"))

    async def read(db: Session) -> None:
        await db.fetch("SELECT 1 FROM queue LIMIT 1")
        has_it.set()
        await goes_on.wait()

    has_read = reader.submit(read)
    await has_it.wait()
    applied = asyncio.ensure_future(upgrade.bring_up(line.submit))
    while not applied.done():
        await asyncio.wait_for(other.submit(lambda db: db.fetch("SELECT 1 FROM queue LIMIT 1")), 4)
    with pytest.raises(StoreUnavailable, match=r"next_colour of the schema waits .* pg_locks"):
        await applied
    goes_on.set()
    await has_read
    assert [each.name for each in (await upgrade.bring_up(line.submit)).applied] == ["next_colour"]
    for each in (reader, line, other):
        await each.close()


def is_valid() -> str:
    sql = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('queue_next')"
    return postgres.server().run(sql, DATABASE).strip()


def end_its_process() -> None:
    """Wait until the line works on an index, and end the server's process."""
    which = "FROM pg_stat_activity WHERE application_name = 'step' AND query LIKE '% INDEX %'"
    while not postgres.server().run(f"SELECT pg_terminate_backend(pid) {which}"):
        pass


@needs_postgres
async def test_an_index_that_was_cut_short_is_made_again(url: str, knows: Knows) -> None:
    """Its server process is ended while it waits for a transaction; what it leaves is of no use to any question."""
    goes_on, is_open = asyncio.Event(), asyncio.Event()
    reader = Line(url, "reader", WRITES)

    async def read(db: Session) -> None:
        await db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await db.fetch("SELECT 1 FROM queue LIMIT 1")
        is_open.set()
        await goes_on.wait()

    has_read = reader.submit(read)
    await is_open.wait()
    with pytest.raises(subprocess.CalledProcessError):
        await asyncio.to_thread(
            postgres.server().run, f"SET statement_timeout = 200;\n{INDEX.script}", DATABASE
        )
    assert is_valid() == "f"
    knows([INDEX])
    line = Line(url, "step", WRITES)
    applied = asyncio.ensure_future(upgrade.bring_up(line.submit))
    await asyncio.to_thread(end_its_process)
    goes_on.set()
    await has_read
    assert [each.name for each in (await applied).applied] == ["next_index"]
    assert is_valid() == "t"
    assert await upgrade.bring_up(line.submit) == Migrated([])
    await reader.close()
    await line.close()


@needs_postgres
async def test_who_starts_does_not_wait_for_an_index(
    url: str, relay: Callable[[str], Relay], knows: Knows
) -> None:
    """It may take as long as somebody else looks at the database: hours, for a dump."""
    goes_on, is_open = asyncio.Event(), asyncio.Event()
    reader, line = Line(url, "reader", WRITES), Line(url, "step", WRITES)

    async def read(db: Session) -> None:
        await db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await db.fetch("SELECT 1 FROM queue LIMIT 1")
        is_open.set()
        await goes_on.wait()

    has_read = reader.submit(read)
    await is_open.wait()
    knows([INDEX])
    applied = asyncio.ensure_future(upgrade.bring_up(line.submit))
    while not await asyncio.to_thread(is_valid):
        pass
    knows([])
    await relay("older").begin()
    assert not applied.done()
    goes_on.set()
    await has_read
    assert [each.name for each in (await applied).applied] == ["next_index"]
    await reader.close()
    await line.close()


@needs_postgres
async def test_a_column_of_another_type_is_read_all_the_same(url: str) -> None:
    """A statement that a connection has prepared fails once then, inside a transaction; it is prepared anew."""
    line = Line(url, "reader", WRITES)

    async def read(db: Session) -> object:
        return await db.value("SELECT size FROM example")

    await line.submit(
        lambda db: db.script("CREATE TABLE example (size int); INSERT INTO example VALUES (7)")
    )
    assert await line.submit(read) == 7
    await asyncio.to_thread(
        postgres.server().run, "ALTER TABLE example ALTER size TYPE text", DATABASE
    )
    assert await line.submit(read) == "7"
    await line.close()


def test_what_expands_only_adds() -> None:
    """An older relayd, whose statements name their columns, goes on with it."""
    numbers = [step.number for step in NOW]
    assert numbers == [*range(1, len(NOW) + 1)], "no number is left out"
    for step in NOW[1:]:
        code = re.sub(r"--.*", "", step.script).strip()
        if step.index is not None:
            assert code.count(";") <= 1, f"{step.name}: an index without locks is alone in its file"
        if step.kind is StepKind.EXPAND and "$$" not in code:
            for statement in filter(None, map(str.strip, code.split(";"))):
                assert _ALLOWED.match(statement), f"{step.name}: {statement}"
                if "ADD COLUMN" in statement:
                    assert "NOT NULL" not in statement or "DEFAULT" in statement, step.name


def test_all_statements_name_their_columns() -> None:
    """A column more must change none of them."""
    for file in Path(schema.__file__).parent.glob("*.py"):
        unnamed = re.findall(r"INSERT INTO [a-z_]+ (?:VALUES|SELECT)", file.read_text())
        assert unnamed == [], file.name
