"""Leasing recipients inside one transaction: those of a new message, and what is due."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from relayd.mail.envelope import NewMessage, QueuedRecipient, queued_message
from relayd.mail.pause import PauseRule
from relayd.mail.words import Category
from relayd.policy.delivery.fairness import Head, at_most, without_backlog_first
from relayd.ports.queue import Lease, Work
from relayd.store.postgres import destinations, leases, pausing
from relayd.store.postgres.line import Row, Session
from relayd.store.postgres.moment import Moment
from relayd.store.rows import message_of, recipient_of

_CONTENT_WITH_CLAIM = 128 * 1024  # octets up to which a claim brings the content along

# When the last attempt found that the DNS knows no mail host of the domain, else NULL: a reply that
# speaks of the domain has a code.
NO_MAIL_HOST_AT = (
    f"CASE WHEN q.category = '{Category.BAD_DOMAIN}' AND q.code IS NULL THEN q.updated_at END"
)
MESSAGE_COLUMNS = (
    "m.id, m.received_at, m.reverse_path, m.size, m.message_id_header, m.tag, m.flags, m.parameters,"
    " m.account, m.listener, m.test_via, {served}::bigint - m.served_at"
)
_RECIPIENT = (
    "q.number, q.address, q.parameters, q.attempts, q.soft_failures, q.possible_duplicate,"
    f" {NO_MAIL_HOST_AT}, q.uncounted, q.extra"
)
_N_MESSAGE, _N_RECIPIENT = 12, 9  # columns

# Materialized: a planner may otherwise run the inner query again and again, and lease more.
_LEASE_DUE = (
    "WITH due AS MATERIALIZED (SELECT message_id, number FROM queue WHERE destination = $1"  # noqa: S608 -- constants
    " AND state = 'queued' AND slot IS NULL AND next_attempt_at <= $2"
    " ORDER BY next_attempt_at, message_id, number LIMIT $3 FOR UPDATE SKIP LOCKED),"
    " q AS (UPDATE queue SET slot = $4, epoch = $5, attempts = attempts + 1 FROM due"
    " WHERE queue.message_id = due.message_id AND queue.number = due.number RETURNING queue.*)"
    f" SELECT {MESSAGE_COLUMNS.format(served='$6')}, {_RECIPIENT},"
    f" CASE WHEN m.size <= {_CONTENT_WITH_CLAIM} AND c.parts = 0 THEN c.body END"
    " FROM q JOIN message m ON m.id = q.message_id JOIN content c ON c.message_id = q.message_id"
    " ORDER BY q.next_attempt_at, q.message_id, q.number"
)

_NEXT_DUE = "SELECT CASE WHEN EXISTS (SELECT 1 FROM pause_rule) THEN $1 ELSE (SELECT min(due_at) FROM destination) END"
_TAKE_BACK = (
    "UPDATE queue q SET slot = NULL, epoch = NULL, attempts = attempts - 1, next_attempt_at = $3 FROM slot s"
    " WHERE s.id = q.slot AND s.epoch = q.epoch AND s.worker = $2 AND q.xmin::text = $1 RETURNING q.destination"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How much is asked for."""

    limit: int  # recipients in all
    each: int | None  # recipients of one destination; None: no less than in all
    but: Collection[str]  # destinations that are passed over
    only: Collection[str] | None  # no others than these
    lease_for: int  # milliseconds


async def for_new(
    db: Session,
    message: NewMessage,
    worker: int,
    *,
    widths: Mapping[str, int],
    at: Moment,
    lease_for: int,
) -> dict[str, Lease | None]:
    """Take a lease for each destination of a new message; None where there is none to be had.

    None at all when a pause rule stops a recipient: the claims tell it from the others.
    """
    if await pausing.there_are(db) and await pausing.stops(db, message, now=at.now):
        return {}
    taken: dict[str, Lease | None] = {}
    for destination in sorted({each.destination for each in message.recipients}):
        taken[destination] = None
        if await destinations.paused_until(db, destination) <= at.now:
            width = widths.get(destination, 1)
            taken[destination] = await leases.acquire(
                db, destination, worker, width=width, at=at, lease_for=lease_for
            )
    return taken


def work_of_new(message: NewMessage, taken: Mapping[str, Lease | None]) -> Sequence[Work]:
    """Return the recipients of a new message that were leased at once, as their first attempt."""
    queued = queued_message(message)
    wanted = dict.fromkeys(each.destination for each in message.recipients)
    return [
        Work(
            lease=lease,
            message=queued,
            recipients=tuple(
                QueuedRecipient(
                    number=number,
                    address=str(recipient.address),
                    parameters=recipient.parameters,
                    attempt=1,
                    soft_failures=0,
                    unknown_outcomes=0,
                )
                for number, recipient in enumerate(message.recipients)
                if recipient.destination == destination
            ),
            content=message.content,
        )
        for destination in wanted
        if (lease := taken.get(destination)) is not None
    ]


async def next_due(db: Session, *, now: int) -> int | None:
    """Return the instant when a claim has something to do, by one statement, for most find nothing; None: nothing waits.

    With pause rules that is now: they may end.
    """
    found: int | None = await db.value(_NEXT_DUE, now)
    return found


async def claim(
    db: Session, worker: int, wanted: Wanted, *, widths: Mapping[str, int], at: Moment
) -> tuple[Sequence[Work], bool]:
    """Lease what is due to `worker`, in the order of `relayd.policy.delivery.fairness`.

    Return also whether all that is due was looked at, as far as there was room: pause rules may stop more
    than one transaction should look at.
    """
    work: list[Work] = []
    room = wanted.limit
    stopping: Sequence[PauseRule] = ()
    is_all, stopped = True, 0
    if await pausing.there_are(db):
        is_all = await pausing.let_go(db, at=at)
        stopping = await pausing.delivery_rules(db, kept=True)
    taken = await leases.taken(db, worker, at=at)

    def is_next(without: Head | None, behind: Head | None) -> bool:
        return without_backlog_first(without, behind, taken=wanted.limit - room, limit=wanted.limit)

    async for destination, others in destinations.waiting(db, at.now, is_next, only=wanted.only):
        width = widths.get(destination, 1)
        if destination in wanted.but or taken.get(destination, 0) >= width:
            continue
        if room <= 0:
            return work, is_all
        limit = at_most(min(room, wanted.each or room), limit=wanted.limit, others=others)
        if stopping:
            # First, for a rule may stop what that frees.
            await leases.abandon_ended_of(db, destination, worker, at=at)
            limit, given = await pausing.sift(db, destination, stopping, at=at, limit=limit)
            stopped += given
        found = await _claim_of(db, destination, worker, wanted, width, at=at, limit=limit)
        room -= sum(len(each.recipients) for each in found)
        work += found
        if stopped >= pausing.AT_ONCE:
            return work, False
    return work, is_all


async def _claim_of(
    db: Session,
    destination: str,
    worker: int,
    wanted: Wanted,
    width: int,
    *,
    at: Moment,
    limit: int,
) -> list[Work]:
    """Lease up to `limit` due recipients of a destination, if there is a slot for the worker."""
    found: list[Work] = []
    if limit:
        lease = await leases.acquire(
            db, destination, worker, width=width, at=at, lease_for=wanted.lease_for
        )
        if lease is None:
            return []
        found = await _lease_due(db, lease, at=at, limit=limit)
    await destinations.refresh(db, destination, claimed_at=at.now)
    return found


async def _lease_due(db: Session, lease: Lease, *, at: Moment, limit: int) -> list[Work]:
    """Lease up to `limit` due recipients."""
    found = await db.fetch(
        _LEASE_DUE, lease.destination, at.now, limit, lease.slot, lease.epoch, at.served
    )
    messages: dict[int, tuple[Row, bytes | None]] = {}
    recipients: dict[int, list[QueuedRecipient]] = {}
    for row in found:
        messages.setdefault(row[0], (row[:_N_MESSAGE], row[-1]))
        recipient = recipient_of(row[_N_MESSAGE : _N_MESSAGE + _N_RECIPIENT])
        recipients.setdefault(row[0], []).append(recipient)
    return [
        Work(
            lease=lease,
            message=message_of(message),
            recipients=tuple(recipients[message_id]),
            content=body,
        )
        for message_id, (message, body) in messages.items()
    ]


async def take_back(db: Session, transaction: int, worker: int, *, now: int) -> None:
    """Hand back, uncounted, what a transaction leased of which nobody knows what it gave (S-55).

    Those rows have its number, and nobody else has them in hand.
    """
    await db.begin()
    freed = await db.fetch(_TAKE_BACK, str(transaction % (1 << 32)), worker, now)
    await destinations.touch(db, {destination: now for (destination,) in freed})
