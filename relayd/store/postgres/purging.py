"""Deleting the history of messages that are finished, and content that is kept no longer.

A week of the history that is over goes as a whole: its tables are dropped, which gives their room back to the disk.
Of other weeks what is old enough is deleted by rows, some at a time; but a week with very many messages waits until it
is over, so up to a week longer: rows would cost about as much as their writing did.
"""

from collections.abc import Sequence
from datetime import datetime

from relayd.mail.ids import MessageId, first_id_at
from relayd.ports.upkeep import LetGo
from relayd.store.postgres import content, endpoints, partitions, tally_upkeep, tallying
from relayd.store.postgres.line import Session
from relayd.store.values import to_ms

_AT_ONCE = 2000  # messages deleted in one transaction
_MANY = 1_000_000  # messages of a week, from where on it goes as a whole
_ALONE = "SELECT pg_try_advisory_xact_lock(1886745191)"  # "purg"
_OLD = (
    "SELECT m.id FROM message m WHERE m.id < $1"
    " AND NOT EXISTS (SELECT 1 FROM queue q WHERE q.message_id = m.id)"
    " AND NOT EXISTS (SELECT 1 FROM recipient r WHERE r.message_id = m.id AND r.updated_at >= $2)"
    " AND NOT EXISTS (SELECT 1 FROM event e WHERE e.message_id = m.id AND e.number > $3)"
    " ORDER BY m.id LIMIT $4"
)
_THESE = "= ANY($1::bigint[]) AND {id} BETWEEN $2 AND $3"  # the ends spare a look at other weeks
_OF_THESE = _THESE.format(id="message_id")
_DELETE_DELIVERIES = (
    "DELETE FROM delivery WHERE endpoint IN (SELECT id FROM endpoint)"  # noqa: S608 -- constants
    f" AND event IN (SELECT number FROM event WHERE message_id {_OF_THESE})"
)
_DELETIONS = (
    f"DELETE FROM kept WHERE message_id {_OF_THESE}",  # noqa: S608 -- constants
    f"DELETE FROM content_part WHERE message_id {_OF_THESE}",  # noqa: S608 -- constants
    f"DELETE FROM content WHERE message_id {_OF_THESE}",  # noqa: S608 -- constants
    _DELETE_DELIVERIES,
    f"DELETE FROM event WHERE message_id {_OF_THESE}",  # noqa: S608 -- constants
    f"DELETE FROM came_back WHERE message_id {_OF_THESE}",  # noqa: S608 -- constants
    f"DELETE FROM recipient WHERE message_id {_OF_THESE}",  # noqa: S608 -- constants
    f"DELETE FROM message WHERE id {_THESE.format(id='id')}",  # noqa: S608 -- constants
)
# What a week that goes has in other tables: some, so that no statement takes long.
_BESIDE = ("kept", "content_part", "content", "delivery", "came_back")
_SOME = 10_000
_DELETE_SOME = (
    "DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table}"
    " WHERE message_id >= $1 AND message_id < $2 LIMIT $3))"
)
_LET_GO = 200  # messages whose kept content is deleted in one transaction
_KEPT = (
    "SELECT message_id FROM kept WHERE since < $1 ORDER BY since LIMIT $2 FOR UPDATE SKIP LOCKED"
)
_OCTETS = (
    "SELECT coalesce(sum(length(c.body) + coalesce((SELECT sum(length(p.body)) FROM content_part p"
    " WHERE p.message_id = c.message_id), 0)), 0)::bigint FROM content c WHERE c.message_id = ANY($1::bigint[])"
)
_TESTS = (
    "DELETE FROM delivery WHERE endpoint IN (SELECT id FROM endpoint) AND event < 0 AND at < $1"
)


async def purge(db: Session, older_than: datetime, *, now: int) -> int:
    """Delete some of the messages that were finished before, inside one transaction; return how many.

    0 as well while another machine does.
    """
    if not await db.value(_ALONE):
        return 0
    before = to_ms(older_than)
    purged = await _purge_week(db, before, now=now) or await _purge_some(db, older_than)
    await db.execute(_TESTS, before)
    await endpoints.sweep(db)
    await tally_upkeep.forget(db, before)
    return purged


async def _purge_some(db: Session, older_than: datetime) -> int:
    before = to_ms(older_than)
    first_to_stay, week = int(first_id_at(older_than)), partitions.week_of(before)
    if await partitions.about(db, week) >= _MANY:
        first_to_stay, _ = partitions.ids(week)
    counted = await tallying.tallied(db)
    found = await db.fetch(_OLD, first_to_stay, before, counted, _AT_ONCE)
    old = [message_id for (message_id,) in found]
    for deletion in _DELETIONS if old else ():
        await db.execute(deletion, old, old[0], old[-1])
    return len(old)


async def _purge_week(db: Session, before: int, *, now: int) -> int:
    """Drop the first week with messages that is over, and empty ones; return how many messages it had."""
    for week in await partitions.over(db, before, now=now):
        counted = await tallying.tallied(db)
        last = await partitions.last_event(db, week)
        if not await partitions.is_finished(db, week, before, counted=counted):
            continue
        messages = await partitions.size(db, week)
        for table in _BESIDE if messages else ():
            sql = _DELETE_SOME.format(table=table)
            while await db.execute(sql, *partitions.ids(week), _SOME) == _SOME:
                pass
        if await partitions.drop(db, week, last=last) and messages:
            return messages
    return 0


async def let_go(db: Session, before: datetime) -> LetGo:
    """Keep content no longer that is kept since before an instant, the oldest first. Begins a transaction if there is any."""
    if not await db.fetch(_KEPT, to_ms(before), 1):
        return LetGo()
    await db.begin()
    found = await db.fetch(_KEPT, to_ms(before), _LET_GO)
    kept = [MessageId(message_id) for (message_id,) in found]
    if not kept:
        return LetGo()
    octets = await _octets_of(db, kept)
    await db.execute("DELETE FROM kept WHERE message_id = ANY($1::bigint[])", kept)
    await content.drop(db, kept)
    octets -= await _octets_of(db, kept)
    return LetGo(messages=len(kept), octets=octets)


async def _octets_of(db: Session, messages: Sequence[int]) -> int:
    return int(await db.value(_OCTETS, messages))
