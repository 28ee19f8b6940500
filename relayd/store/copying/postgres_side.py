"""A database as one side of a copy."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from relayd.errors import CopyFailed
from relayd.mail.content import Content
from relayd.mail.ids import MessageId
from relayd.store.copying import postgres_rows, postgres_shut
from relayd.store.copying.postgres_rows import QUEUE
from relayd.store.copying.postgres_shut import COMES, NAME, WENT
from relayd.store.copying.side import (
    CONTENTS,
    Keyed,
    Row,
    Tell,
    another_works_on,
    served_since,
)
from relayd.store.copying.tables import (
    COUNTERS,
    META,
    RECIPIENT,
    TABLES,
    Table,
)
from relayd.store.moved import ARRIVING, DONE, GIVEN_UP, LEAVING, Mark, read
from relayd.store.postgres import content, meta, nodes, partitions, upgrade
from relayd.store.postgres.events import IN_A_TRANSACTION
from relayd.store.postgres.line import READS, WRITES, Line, Session
from relayd.store.postgres.moment import SERVER_CLOCK
from relayd.store.postgres.startup import Startup
from relayd.store.url import shown

_AT_ONCE = 100_000  # transactions that are begun for their numbers alone
_MOST = 100_000_000  # of these
_COUNTED = 1_000_000  # rows
_ABOUT = "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass($1::text)"
_CONTENTS = (
    "SELECT message_id, parts, CASE WHEN parts = 0 THEN body END FROM content WHERE message_id > $1"
    " ORDER BY message_id LIMIT $2"
)
_ALIVE = (
    f"SELECT w.node, n.machine, ({SERVER_CLOCK} - w.seen_at) / 1000 FROM worker w"  # noqa: S608 -- constants
    f" LEFT JOIN node n ON n.name = w.node WHERE w.seen_at > {SERVER_CLOCK} - {nodes.ALIVE_FOR} ORDER BY 3"
)
_DUE = (
    "INSERT INTO destination AS d (key, due_at) SELECT destination, min(next_attempt_at) FROM queue"
    " WHERE state = 'queued' AND slot IS NULL GROUP BY destination ON CONFLICT (key) DO UPDATE"
    " SET due_at = greatest(d.paused_until, excluded.due_at)"
)
_LAST = (
    "SELECT coalesce(last_value, 0) FROM pg_sequences WHERE schemaname = current_schema()"
    " AND format('%I.%I', schemaname, sequencename) = pg_get_serial_sequence($1, $2)"
)
_WEEKS = (
    "SELECT relname::text FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
    " WHERE inhparent = to_regclass($1::text)"
)
_LAST_EVENT = (
    "SELECT greatest((SELECT max(number) FROM event), (SELECT max(event) FROM delivery),"
    " (SELECT convert_from(value, 'UTF8')::bigint FROM meta WHERE key = 'tallied'), 0)"
)
_FIRST_MARK = (
    "INSERT INTO meta AS m (key, value) VALUES ($2, $1)"
    " ON CONFLICT (key) DO UPDATE SET value = $1 WHERE m.value = $1"
)
_NEXT_MARK = "UPDATE meta SET value = $1 WHERE key = $2 AND value IN ($1, $3)"
_LAST_WORKER = "last_worker"
_IS_OWNER = "SELECT current_user, pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('queue')"
# By name: a role that is no superuser is warned of all that it may not look at, and a warning is no commit.
_ANALYZE = f"ANALYZE {', '.join([*(table.name for table in TABLES), QUEUE])}"


class PostgresSide:
    """`relayd.store.copying.side.Side` on a database."""

    def __init__(self, url: str, *, stopped: str) -> None:
        """`stopped`: the mark of the relayd of this machine that is known to be; empty: none is."""
        self.url, self.shown = url, shown(url)
        self._stopped = nodes.written(stopped) if stopped else None
        self._reads = Line(url, NAME, {**READS, "enable_seqscan": "off"})
        self._writes = Line(url, NAME, WRITES, greet=Startup().check)

    async def bring_up(self) -> None:
        """Bring the schema up to date. Raises SchemaMismatch, CopyFailed for a role that does not own the tables."""
        await upgrade.bring_up(self._writes.submit)
        [(role, is_owner)] = await self._writes.submit(lambda db: db.fetch(_IS_OWNER))
        if not is_owner:
            raise CopyFailed(
                f"the role {role} does not own the tables of {self.shown}: name the role that does"
                " (docs/howto/cluster.md)"
            )

    async def marks(self) -> tuple[Mark | None, Mark | None]:
        async def question(db: Session) -> tuple[Mark | None, Mark | None]:
            return await _mark(db, LEAVING), await _mark(db, ARRIVING)

        return await self._writes.submit(question)

    async def leave(self, mark: Mark, old: Mark | None) -> None:
        async def operation(db: Session) -> None:
            await self._expect_no_worker(db)
            await postgres_shut.shut(db, WENT)
            await self._change(db, LEAVING, old, mark)

        await self._writes.submit(operation)

    async def stay(self, mark: Mark) -> None:
        async def operation(db: Session) -> None:
            await db.execute("DELETE FROM meta WHERE key = $1 AND value = $2", LEAVING, mark.dump())
            if await meta.value(db, LEAVING) is not None:
                raise another_works_on(self.shown)
            await postgres_shut.open_again(db, WENT)

        await self._writes.submit(operation)

    async def arrive(self, mark: Mark) -> None:
        async def operation(db: Session) -> None:
            await self._expect_no_worker(db)
            for name in (*(table.name for table in TABLES if table.name != META), QUEUE):
                if await db.fetch(f"SELECT 1 FROM {name} LIMIT 1"):  # noqa: S608 -- constants
                    raise CopyFailed(
                        f"{self.shown} is in use, it has rows of `{name}`: name a database that is empty"
                    )
            await db.execute(
                "DELETE FROM meta WHERE key <> ALL($1::text[]) AND key <> $2",
                [LEAVING, ARRIVING],
                _LAST_WORKER,
            )
            await postgres_shut.shut(db, COMES)
            await self._change(db, ARRIVING, None, mark)

        await self._writes.submit(operation)

    async def give_up(self, mark: Mark) -> None:
        async def operation(db: Session) -> None:
            await db.execute("LOCK TABLE worker IN SHARE ROW EXCLUSIVE MODE")
            workers = await meta.number(db, _LAST_WORKER, 0)
            if mark.state == DONE and workers != mark.workers:
                raise served_since(self.shown)
            await self._change(db, ARRIVING, mark, replace(mark, state=GIVEN_UP))

        await self._writes.submit(operation)

    async def count(self, table: Table) -> int:
        """About how many, where that is very many: a statement without an answer for long is given up."""
        if postgres_rows.is_in_part(table):  # which is never long
            sql = f"SELECT count(*) FROM {postgres_rows.source(table)}"  # noqa: S608 -- constants
            return int(await self._reads.submit(lambda db: db.value(sql)))
        names = [table.name]
        if table.name in partitions.TABLES:
            found = await self._reads.submit(lambda db: db.fetch(_WEEKS, table.name))
            names = [name for (name,) in found] + [QUEUE] * (table.name == RECIPIENT)
        return sum([await self._reads.submit(partial(_size, each)) for each in names])

    async def page(self, table: Table, after: Row | None, limit: int) -> Sequence[Keyed]:
        sql = postgres_rows.page(table, is_first=after is None)
        rows = await self._reads.submit(lambda db: db.fetch(sql, limit, *(after or ())))
        width = len(table.key)
        return [(row[:width], row[width:]) for row in rows]

    async def contents(self, after: Row | None) -> Sequence[tuple[MessageId, Content]]:
        async def question(db: Session) -> Sequence[tuple[MessageId, Content]]:
            found: list[tuple[MessageId, Content]] = []
            first = -1 if after is None else after[0]
            for number, parts, body in await db.fetch(_CONTENTS, first, CONTENTS):
                message_id = MessageId(number)
                if parts:
                    whole = await content.find(db, message_id)
                    assert whole is not None, "nobody else has the queue"
                    return [*found, (message_id, whole)]
                found.append((message_id, bytes(body)))
            return found

        return await self._reads.submit(question)

    async def counters(self) -> Mapping[str, int]:
        async def question(db: Session) -> Mapping[str, int]:
            return {
                name: int(await db.value(_LAST, name, column) or 0)
                for name, column in COUNTERS.items()
            }

        return await self._reads.submit(question)

    async def last_event(self) -> int:
        return int(await self._reads.submit(lambda db: db.value(_LAST_EVENT)))

    async def advance(self, old: Mark, new: Mark) -> None:
        await self._put(None, old, new)

    async def put(self, table: Table, rows: Sequence[Row], old: Mark, new: Mark) -> None:
        await self._put(lambda db: postgres_rows.add(db, table, rows), old, new)

    async def put_contents(
        self, contents: Sequence[tuple[MessageId, Content]], old: Mark, new: Mark
    ) -> None:
        async def operation(db: Session) -> None:
            for message_id, each in contents:
                await content.insert(db, message_id, each)

        await self._put(operation, old, new)

    async def prepare(self, counters: Mapping[str, int], last_event: int, tell: Tell) -> None:
        async def operation(db: Session) -> None:
            await db.execute(_DUE)
            for name, last in counters.items():
                if last:
                    sequence = "SELECT setval(pg_get_serial_sequence($1, $2), $3)"
                    await db.value(sequence, name, COUNTERS[name], last)

        await self._writes.submit(operation)
        await self._pass(last_event, tell)
        await self._writes.submit(lambda db: db.script(_ANALYZE))

    async def complete(self, mark: Mark) -> None:
        async def operation(db: Session) -> None:
            workers = await meta.number(db, _LAST_WORKER, 0)
            await postgres_shut.open_again(db, COMES)
            await self._change(db, ARRIVING, mark, replace(mark, state=DONE, workers=workers))

        await self._writes.submit(operation)

    async def close(self) -> None:
        await self._reads.close()
        await self._writes.close()

    async def _expect_no_worker(self, db: Session) -> None:
        """Raise CopyFailed while a worker may be alive; none registers until this transaction ends."""
        await db.execute("LOCK TABLE worker IN SHARE ROW EXCLUSIVE MODE")
        for node, machine, ago in await db.fetch(_ALIVE):
            if self._stopped is None or machine != self._stopped:
                raise CopyFailed(
                    f"{self.shown} is served by {node}, seen {max(ago, 0)} s ago: stop relayd on all its machines,"
                    " and try again a minute later"
                )

    async def _change(self, db: Session, key: str, old: Mark | None, new: Mark) -> None:
        """Put one mark in the place of another, which may have happened already. Raises CopyFailed."""
        if old is None:
            changed = await db.execute(_FIRST_MARK, new.dump(), key)
        else:
            changed = await db.execute(_NEXT_MARK, new.dump(), key, old.dump())
        if not changed:
            raise another_works_on(self.shown)

    async def _put(
        self, add: Callable[[Session], Awaitable[None]] | None, old: Mark, new: Mark
    ) -> None:
        async def operation(db: Session) -> bool:
            sql = "UPDATE meta SET value = $1 WHERE key = $2 AND value = $3"
            if not await db.execute(sql, new.dump(), ARRIVING, old.dump()):
                raise another_works_on(self.shown)
            if add is not None:
                await add(db)
            return True

        async def happened(db: Session) -> bool | None:
            return await meta.value(db, ARRIVING) == new.dump() or None

        await self._writes.submit(operation, happened=happened)

    async def _pass(self, last_event: int, tell: Tell) -> None:
        """Begin transactions until events get numbers behind the last one, since a number begins with that of its transaction.

        Raises CopyFailed where too many would be needed.
        """
        wanted = last_event // IN_A_TRANSACTION + 1
        first = at = await self._writes.submit(lambda db: db.number())
        if wanted - at > _MOST:
            raise CopyFailed(
                f"{self.shown} numbers its events by its transactions, and is {wanted - at:,} behind this history:"
                " name the server that the history came from, or raise the counter of this one with pg_resetwal -x"
            )
        while at <= wanted:
            tell("numbers", at - first, wanted - first)
            some = min(wanted - at + 1, _AT_ONCE)
            at = await self._writes.submit(partial(_begin_some, some), is_one=True)


async def _size(name: str, db: Session) -> int:
    """Return how many rows a table has; about, as the server knew when it looked last, if counting takes long."""
    sql = f"SELECT count(*) FROM (SELECT 1 FROM {name} LIMIT {_COUNTED}) few"  # noqa: S608 -- the name of a table
    counted = int(await db.value(sql))
    return counted if counted < _COUNTED else max(counted, int(await db.value(_ABOUT, name)))


async def _begin_some(some: int, db: Session) -> int:
    """Begin so many transactions, one after the other; return the number of one more."""
    await db.script(
        f"DO $$ BEGIN FOR i IN 1..{some} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
    )
    return await db.number()


async def _mark(db: Session, key: str) -> Mark | None:
    if await db.value("SELECT to_regclass('meta')") is None:
        return None
    return read(await meta.value(db, key))
