"""Look at a server from outside: can it be asked, what does it say of itself, what waits in it.

Each is one connection that only reads, but for `migrate`.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import TypeVar

from relayd.errors import StoreError
from relayd.mail.ids import MessageId, received_at_of
from relayd.policy.doctor.machine import QueueFacts
from relayd.policy.doctor.server import ServerFacts
from relayd.ports.membership import Node
from relayd.ports.schema import Migrated, SchemaStep, StepKind
from relayd.store import moved
from relayd.store.postgres import meta, nodes, rights, schema, upgrade
from relayd.store.postgres.line import READS, WRITES, Line, Operation, Session
from relayd.store.postgres.startup import Startup, check_server
from relayd.store.postgres_url import read_url

T = TypeVar("T")

_WITHIN = {**READS, "statement_timeout": "5000"}
_MB = 2**20
_TELLING = (
    "SELECT name, setting FROM pg_settings WHERE name = 'log_statement' AND setting IN ('mod', 'all')"
    " OR name LIKE 'log_parameter_max_length%' AND setting <> '0' AND current_setting('log_statement') <> 'none'"
    " OR name = 'log_parameter_max_length_on_error' AND setting <> '0' ORDER BY name"
)
_SETTINGS = (
    "SELECT current_setting('server_version'), current_setting('wal_compression'),"
    " (SELECT setting::bigint FROM pg_settings WHERE name = 'checkpoint_timeout'),"
    " (SELECT setting::bigint FROM pg_settings WHERE name = 'max_wal_size'),"
    " pg_database_size(current_database()),"
    " (SELECT coalesce(extract(epoch FROM max(now() - xact_start)), 0)::float8 FROM pg_stat_activity"
    " WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid() AND datname = current_database())"
)
_HAS_MARKS = "SELECT coalesce(has_table_privilege(to_regclass('meta'), 'SELECT'), false)"
_WAITING = "SELECT state, count(*), min(message_id) FROM queue GROUP BY state"


def examine(url: str) -> tuple[ServerFacts, QueueFacts | None]:
    """Return the state of the server, and of the queue in it if it can be asked. Never raises for its state."""
    name = read_url(url).shown
    try:
        facts = _ask(url, lambda db: _server(db, name))
        return facts, None if facts.lacks else _ask(url, _queue)
    except StoreError as error:
        return ServerFacts(name=name, problem=str(error)), None


def nodes_of(url: str) -> Sequence[Node]:
    """Return every machine that ever had the queue. Raises StoreUnavailable, SchemaMismatch."""

    async def question(db: Session) -> Sequence[Node]:
        await schema.expect(db)
        return await nodes.all_of(db)

    return _ask(url, question)


def steps_of(url: str) -> Sequence[SchemaStep]:
    """Return the steps of the schema that the database has or this relayd knows. Raises StoreUnavailable."""
    return _ask(url, upgrade.told)


def migrate(url: str) -> Migrated:
    """Apply the steps of the schema that may be applied. Raises StoreError."""

    async def bring_up() -> Migrated:
        line = Line(url, "relayd/migrate", WRITES, greet=Startup().check)
        try:
            return await upgrade.bring_up(line.submit)
        finally:
            await line.close()

    return asyncio.run(bring_up())


def _ask(url: str, question: Operation[T]) -> T:
    async def ask() -> T:
        line = Line(url, "relayd/doctor", _WITHIN)
        try:
            return await line.submit(question)
        finally:
            await line.close()

    return asyncio.run(ask())


async def _server(db: Session, name: str) -> ServerFacts:
    await check_server(db)
    [(version, compression, timeout, wal, octets, oldest)] = await db.fetch(_SETTINGS)
    there = await schema.applied(db)
    schema.check(there)
    lacks = [each for each in schema.missing(there) if each.kind is StepKind.EXPAND]
    waiting = [each for each in await upgrade.told(db) if each.applied_at is None]
    return ServerFacts(
        name=name,
        version=version.partition(" ")[0],
        schema=max(there, default=0),
        newest_schema=schema.newest(),
        moved=await _moved(db),
        lacking=await rights.lacking_of(db) if schema.is_ready(there) else "",
        lacks=tuple([each.name for each in lacks]),
        waiting=tuple([each.name for each in waiting if each.kind is StepKind.CONTRACT]),
        held_by=tuple(dict.fromkeys(name for each in waiting for name in each.held_by)),
        octets=octets,
        logs=tuple([(name, setting) for name, setting in await db.fetch(_TELLING)]),
        is_compressed=compression != "off",
        checkpoint_timeout=timedelta(seconds=timeout),
        max_wal_size=wal * _MB,
        oldest_snapshot=timedelta(seconds=max(oldest, 0)),
    )


async def _moved(db: Session) -> str:
    """Say why no relayd may serve the queue; empty: it may, or this role may not know."""
    if not await db.value(_HAS_MARKS):
        return ""
    marks = [await meta.value(db, key) for key in (moved.LEAVING, moved.ARRIVING)]
    return moved.why_not_served(*marks)


async def _queue(db: Session) -> QueueFacts:
    lies = {state: (number, first) for state, number, first in await db.fetch(_WAITING)}
    waiting, oldest = lies.get("queued", (0, None))
    held, _ = lies.get("held", (0, None))
    return QueueFacts(
        waiting=waiting,
        held=held,
        oldest_at=None if oldest is None else received_at_of(MessageId(oldest)),
    )
