"""Requeueing inside one transaction: new messages of bounced ones, whose content is kept for a while.

A recipient says as which message it was requeued: that is written with the new message, so that nobody
sends it twice by asking twice, whatever dies in between.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import apsw
import orjson

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
from relayd.store.spool import FileContent, SpoolDirectory
from relayd.store.sqlite import messages, outcomes, suppression
from relayd.store.sqlite.rows import MESSAGE_COLUMNS, NO_MAIL_HOST_AT, message_of, recipient_of
from relayd.store.sqlite.search import Key, Search
from relayd.store.sqlite.values import fetch

_AT_ONCE = 500  # recipients found in one step
_OCTETS = 32 * 1024 * 1024  # of content that one transaction copies: others write as well

_CANDIDATES = (
    "SELECT r.message_id, r.number, r.address, m.reverse_path,"
    " (SELECT length(body) FROM content c WHERE c.message_id = r.message_id),"
    " r.requeued_as IS NOT NULL"
    " FROM json_each(?) wanted"
    " CROSS JOIN recipient r ON r.message_id = wanted.value->>0 AND r.number = wanted.value->>1"
    " CROSS JOIN message m ON m.id = r.message_id WHERE r.state = 'bounced' ORDER BY wanted.key"
)
_ORIGINAL = (
    f"SELECT {MESSAGE_COLUMNS}, m.client_ip, m.helo, m.listener, m.auth_user, m.subject, c.body, c.beside"  # noqa: S608 -- constants
    " FROM message m JOIN content c ON c.message_id = m.id WHERE m.id = ?"
)
_RECIPIENT = (
    f"SELECT number, address, parameters, attempts, 0, 0, {NO_MAIL_HOST_AT}, 0, 0 FROM recipient"  # noqa: S608 -- constants
    " WHERE message_id = ? AND number = ?"
)


def foresee(db: apsw.Connection, selector: Query, how: Requeue, batch: Batch | None) -> Requeued:
    """Count what would be requeued, a step at a time; with a batch, of that part, and name it."""
    if batch is not None:
        part, more = _batch(db, selector, batch)
        return Requeued(counts=how.counts_of(part), targets=how.targets_of(part), more=more)
    total = RequeueCounts()
    for keys, _ in _steps(db, selector, None):
        total += how.counts_of(_candidates(db, keys))
    return Requeued(counts=total)


def requeue(
    db: apsw.Connection, files: SpoolDirectory, selector: Query, how: Requeue, batch: Batch
) -> Requeued:
    """Requeue a batch. Return what was written; files that are linked are durable under their new names."""
    part, more = _batch(db, selector, batch)
    counts = how.counts_of(part)
    wanted = sorted((each.message_id, each.number) for each in part if how.why_left(each) is None)
    new: list[NewMessage] = []
    events: list[Event] = []
    gone = 0
    with db:  # a savepoint: a link or a sync that fails takes all of it back
        for message_id, group in groupby(wanted, key=lambda place: place[0]):
            numbers = [number for _, number in group]
            try:
                message = _send_again(db, files, message_id, numbers, how)
            except ContentLost:
                gone += len(numbers)
                continue
            new.append(message)
            events += _record(db, message_id, numbers, message, how)
        if any(isinstance(each.content, FileContent) for each in new):
            files.sync()
    return Requeued(
        counts=replace(counts, changed=counts.changed - gone, gone=counts.gone + gone),
        messages=tuple(new),
        events=tuple(events),
        more=more,
    )


def _batch(
    db: apsw.Connection, selector: Query, batch: Batch
) -> tuple[Sequence[Candidate], Place | None]:
    """Return the bounced recipients of a batch that match, and the last if there may be more."""
    found: list[Candidate] = []
    whole: Sequence[Candidate] = ()
    more: Place | None = None
    for keys, is_last in _steps(db, selector, batch.before):
        found += _candidates(db, keys)
        more = None if is_last else keys[-1]
        if len(whole := in_whole_messages(found, batch.limit)) < len(found):
            break
    part = within(whole, _OCTETS)
    if len(part) < len(found):
        more = part[-1].message_id, part[-1].number
    return part, more


def _steps(
    db: apsw.Connection, selector: Query, before: Place | None
) -> Iterator[tuple[list[Key], bool]]:
    """Yield the bounced recipients that match, a step at a time, and whether it is the last."""
    search = Search(
        db, replace(selector, status=(Status.BOUNCED,), unfinished=False), before=before
    )
    while not search.is_done:
        if keys := search.step(_AT_ONCE):
            yield keys, search.is_done


def _candidates(db: apsw.Connection, keys: Sequence[Key]) -> list[Candidate]:
    rows = fetch(db, _CANDIDATES, (orjson.dumps(keys).decode(),))
    return [
        Candidate(
            message_id=MessageId(message_id),
            number=number,
            address=address,
            octets=octets,
            is_requeued=bool(is_requeued),
            is_suppressed=suppression.is_suppressed(db, address, sender),
        )
        for message_id, number, address, sender, octets, is_requeued in rows
    ]


def _send_again(
    db: apsw.Connection,
    files: SpoolDirectory,
    message_id: MessageId,
    numbers: Sequence[int],
    how: Requeue,
) -> NewMessage:
    """Write the new message of an old one. Raises ContentLost."""
    [(*row, ip, helo, listener, auth_user, subject, body, beside)] = fetch(
        db, _ORIGINAL, (message_id,)
    )
    content = files.content_of(message_id, bytes(body), beside) if beside else bytes(body)
    old = message_of(tuple(row))
    client = Client(ip=ip, helo=helo, listener=listener, auth_user=auth_user, account=old.account)
    recipients = [
        recipient_of(each)
        for number in numbers
        for each in fetch(db, _RECIPIENT, (message_id, number))
    ]
    new = how.send_again(
        Original(
            message=old, recipients=recipients, client=client, content=content, subject=subject
        )
    )
    if isinstance(content, FileContent):
        files.share(message_id, new.id)
    messages.insert(db, new, {})
    return new


def _record(
    db: apsw.Connection,
    message_id: MessageId,
    numbers: Sequence[int],
    new: NewMessage,
    how: Requeue,
) -> list[Event]:
    db.executemany(
        "UPDATE recipient SET requeued_as = ? WHERE message_id = ? AND number = ?",
        [(new.id, message_id, number) for number in numbers],
    )
    events = list(requeue_events(message_id, numbers, new, by=how.by, reason=how.reason))
    for event in events:
        outcomes.record(db, event)
    return events
