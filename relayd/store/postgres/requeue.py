"""Requeueing inside one transaction: new messages of bounced ones, whose content is kept for a while.

A recipient says as which message it was requeued: that is written with the new message, and its row is locked
first, so that nobody sends it twice by asking twice, on whatever machine, whatever dies in between.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from itertools import groupby

from relayd.errors import ContentLost
from relayd.mail.batch import in_whole_messages
from relayd.mail.envelope import Client, NewMessage
from relayd.mail.event import Event
from relayd.mail.ids import MessageId
from relayd.mail.requeue import (
    Candidate,
    Original,
    RequeueCounts,
    requeue_events,
    within,
)
from relayd.ports.queue import Batch
from relayd.ports.requeue import Requeue, Requeued
from relayd.ports.view import Place, Query, Status
from relayd.store.postgres import content, events, messages, suppression
from relayd.store.postgres.claims import MESSAGE_COLUMNS, NO_MAIL_HOST_AT
from relayd.store.postgres.line import Session
from relayd.store.postgres.moment import Moment
from relayd.store.postgres.search import Key, Search
from relayd.store.rows import message_of, recipient_of
from relayd.store.values import query_key

_AT_ONCE = 500  # recipients found in one step
_OCTETS = 32 * 1024 * 1024  # of content that one transaction copies: others write as well

_CANDIDATES = (
    "SELECT r.message_id, r.number, r.address, m.reverse_path, CASE WHEN c.message_id IS NOT NULL THEN m.size END,"
    " r.requeued_as IS NOT NULL"
    " FROM unnest($1::bigint[], $2::int[]) WITH ORDINALITY AS wanted (message_id, number, n)"
    " JOIN recipient r ON r.message_id = wanted.message_id AND r.number = wanted.number"
    " JOIN message m ON m.id = r.message_id LEFT JOIN content c ON c.message_id = r.message_id"
    " WHERE r.state = 'bounced' ORDER BY wanted.n"
)
_CANDIDATES_LOCKED = f"{_CANDIDATES} FOR UPDATE OF r"
_ORIGINAL = (
    f"SELECT {MESSAGE_COLUMNS.format(served='$2')}, m.client_ip, m.helo, m.listener, m.auth_user, m.subject"  # noqa: S608 -- constants
    " FROM message m WHERE m.id = $1"
)
_RECIPIENTS = (
    f"SELECT number, address, parameters, attempts, 0, 0, {NO_MAIL_HOST_AT}, 0, false FROM recipient q"  # noqa: S608 -- constants
    " WHERE message_id = $1 AND number = ANY($2::int[]) ORDER BY number"
)
_REQUEUED = (
    "UPDATE recipient SET requeued_as = $3 WHERE message_id = $1 AND number = ANY($2::int[])"
)


async def foresee(db: Session, selector: Query, how: Requeue, batch: Batch | None) -> Requeued:
    """Count what would be requeued, a step at a time; with a batch, of that part, and name it."""
    if batch is not None:
        part, more = await _batch(db, selector, batch, _CANDIDATES)
        return Requeued(counts=how.counts_of(part), targets=how.targets_of(part), more=more)
    total = RequeueCounts()
    async for keys, _ in _steps(db, selector, None):
        total += how.counts_of(await _candidates(db, keys, _CANDIDATES))
    return Requeued(counts=total)


async def requeue(
    db: Session, selector: Query, how: Requeue, batch: Batch, *, at: Moment
) -> Requeued:
    """Requeue a batch. Return what was written. Raises StoreFull, StoreUnavailable."""
    part, more = await _batch(db, selector, batch, _CANDIDATES_LOCKED)
    counts = how.counts_of(part)
    wanted = sorted((each.message_id, each.number) for each in part if how.why_left(each) is None)
    new: list[NewMessage] = []
    written: list[Event] = []
    gone = 0
    for message_id, group in groupby(wanted, key=lambda place: place[0]):
        numbers = [number for _, number in group]
        try:
            message = await _send_again(db, message_id, numbers, how, at=at)
        except ContentLost:
            gone += len(numbers)
            continue
        new.append(message)
        await db.execute(_REQUEUED, message_id, numbers, message.id)
        written += requeue_events(message_id, numbers, message, by=how.by, reason=how.reason)
    await events.record(db, written)
    return Requeued(
        counts=replace(counts, changed=counts.changed - gone, gone=counts.gone + gone),
        messages=tuple(new),
        events=tuple(written),
        more=more,
    )


async def _batch(
    db: Session, selector: Query, batch: Batch, sql: str
) -> tuple[Sequence[Candidate], Place | None]:
    """Return the bounced recipients of a batch that match, and the last if there may be more."""
    found: list[Candidate] = []
    whole: Sequence[Candidate] = ()
    more: Place | None = None
    async for keys, is_last in _steps(db, selector, batch.before):
        found += await _candidates(db, keys, sql)
        more = None if is_last else keys[-1]
        if len(whole := in_whole_messages(found, batch.limit)) < len(found):
            break
    part = within(whole, _OCTETS)
    if len(part) < len(found):
        more = part[-1].message_id, part[-1].number
    return part, more


async def _steps(
    db: Session, selector: Query, before: Place | None
) -> AsyncIterator[tuple[list[Key], bool]]:
    """Yield the bounced recipients that match, a step at a time, and whether it is the last."""
    search = Search(replace(selector, status=(Status.BOUNCED,), unfinished=False), before=before)
    await search.begin(db)
    while not search.is_done:
        rows = await search.step(db, "r.message_id, r.number", _AT_ONCE)
        if keys := [(MessageId(message_id), number) for message_id, number in rows]:
            yield keys, search.is_done


async def _candidates(db: Session, keys: Sequence[Key], sql: str) -> list[Candidate]:
    rows = await db.fetch(sql, *map(list, zip(*keys, strict=True)))
    known = await suppression.of_keys(db, sorted({query_key(row[2]) for row in rows}))
    return [
        Candidate(
            message_id=MessageId(message_id),
            number=number,
            address=address,
            octets=octets,
            is_requeued=is_requeued,
            is_suppressed=query_key(address) in known
            and await suppression.is_suppressed(db, address, sender),
        )
        for message_id, number, address, sender, octets, is_requeued in rows
    ]


async def _send_again(
    db: Session, message_id: MessageId, numbers: Sequence[int], how: Requeue, *, at: Moment
) -> NewMessage:
    """Write the new message of an old one. Raises ContentLost."""
    [(*row, ip, helo, listener, auth_user, subject)] = await db.fetch(
        _ORIGINAL, message_id, at.served
    )
    body = await content.find(db, message_id)
    if body is None:
        raise ContentLost(f"the content of {message_id} is gone")
    old = message_of(tuple(row))
    client = Client(ip=ip, helo=helo, listener=listener, auth_user=auth_user, account=old.account)
    recipients = [
        recipient_of(each) for each in await db.fetch(_RECIPIENTS, message_id, list(numbers))
    ]
    new = how.send_again(
        Original(message=old, recipients=recipients, client=client, content=body, subject=subject)
    )
    await messages.insert(db, new, {}, at=at)
    return new
