"""Leasing recipients inside one transaction: those of a new message, and what is due."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import apsw

from relayd.mail.envelope import NewMessage, QueuedRecipient, queued_message
from relayd.mail.pause import PauseRule
from relayd.policy.delivery.fairness import Head, at_most, without_backlog_first
from relayd.ports.queue import Lease, Work
from relayd.store.sqlite import destinations, leases, pausing, rows, values

_CONTENT_WITH_CLAIM = 128 * 1024  # octets up to which a claim brings the content along


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How much is asked for."""

    limit: int  # recipients in all
    each: int | None  # recipients of one destination; None: no less than in all
    but: Collection[str]  # destinations that are passed over
    only: Collection[str] | None  # no others than these


def for_new(
    db: apsw.Connection,
    message: NewMessage,
    worker: int,
    *,
    widths: Mapping[str, int],
    now: int,
    term: leases.Term,
) -> dict[str, Lease | None]:
    """Take a lease for each destination of a new message; None where there is none to be had.

    None at all when a pause rule stops a recipient: the claims tell it from the others.
    """
    taken: dict[str, Lease | None] = {}
    for recipient in message.recipients:
        destination = recipient.destination
        if destination not in taken:
            may_lease, has_rules = destinations.leasable(db, destination, now)
            if has_rules and not taken and pausing.stops(db, message, now=now):
                return {}
            taken[destination] = (
                leases.acquire(
                    db, destination, worker, width=widths.get(destination, 1), now=now, term=term
                )
                if may_lease
                else None
            )
    return taken


def work_of_new(message: NewMessage, taken: Mapping[str, Lease | None]) -> Sequence[Work]:
    """Return the recipients of a new message that were leased at once, as their first attempt."""
    queued = queued_message(message)
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
        for destination, lease in taken.items()
        if lease is not None
    ]


def claim(
    db: apsw.Connection,
    worker: int,
    wanted: Wanted,
    *,
    widths: Mapping[str, int],
    now: int,
    term: leases.Term,
) -> tuple[Sequence[Work], bool]:
    """Lease what is due to `worker`, in the order of `relayd.policy.delivery.fairness`.

    Return also whether all that is due was looked at, as far as there was room: pause rules may stop more
    than one transaction should look at.
    """
    work: list[Work] = []
    room = wanted.limit
    stopping: Sequence[PauseRule] = ()
    is_all, stopped = True, 0
    if pausing.there_are(db):
        is_all = pausing.let_go(db, now=now)
        stopping = pausing.delivery_rules(db)

    def is_next(without: Head | None, behind: Head | None) -> bool:
        return without_backlog_first(without, behind, taken=wanted.limit - room, limit=wanted.limit)

    for destination, others in leases.due(
        db, worker, widths=widths, now=now, at=term.at, is_next=is_next, only=wanted.only
    ):
        if room <= 0:
            break
        if destination in wanted.but:
            continue
        limit = at_most(min(room, wanted.each or room), limit=wanted.limit, others=others)
        if stopping:
            # First, for a rule may stop what that frees.
            leases.abandon_ended_of(db, destination, worker, at=term.at, now=now)
            limit, given = pausing.sift(db, destination, stopping, now=now, limit=limit)
            stopped += given
        width = widths.get(destination, 1)
        lease = limit and leases.acquire(db, destination, worker, width=width, now=now, term=term)
        if lease:
            taken = _lease_due(db, lease, now=now, limit=limit)
            room -= sum(map(len, taken.values()))
            work.extend(_work_of(db, lease, taken))
        if lease or not limit:
            destinations.refresh(db, destination, claimed_at=now)
        if stopped >= pausing.AT_ONCE:
            return work, False
    return work, is_all


def _lease_due(
    db: apsw.Connection, lease: Lease, *, now: int, limit: int
) -> dict[int, list[QueuedRecipient]]:
    """Lease up to `limit` due recipients; return them by message."""
    due = values.fetch(
        db,
        "SELECT message_id, number, address, parameters, attempts + 1, soft_failures,"  # noqa: S608 -- a constant
        f" possible_duplicate, {rows.NO_MAIL_HOST_AT}, uncounted, extra FROM recipient"
        " WHERE destination = ? AND state = 'queued'"
        " AND slot IS NULL AND next_attempt_at <= ? ORDER BY next_attempt_at, message_id LIMIT ?",
        (lease.destination, now, limit),
    )
    db.executemany(
        "UPDATE recipient SET slot = ?, attempts = attempts + 1 WHERE message_id = ? AND number = ?",
        [(lease.slot, row[0], row[1]) for row in due],
    )
    taken: dict[int, list[QueuedRecipient]] = {}
    for row in due:
        taken.setdefault(row[0], []).append(rows.recipient_of(row[1:]))
    return taken


def _work_of(
    db: apsw.Connection, lease: Lease, taken: Mapping[int, list[QueuedRecipient]]
) -> Sequence[Work]:
    work = []
    for message_id, recipients in taken.items():
        *row, body = values.fetch(
            db,
            f"SELECT {rows.MESSAGE_COLUMNS}, CASE WHEN m.size <= ? AND NOT c.beside THEN c.body END FROM message m"  # noqa: S608 -- fixed columns
            " JOIN content c ON c.message_id = m.id WHERE m.id = ?",
            (_CONTENT_WITH_CLAIM, message_id),
        )[0]
        work.append(
            Work(
                lease=lease,
                message=rows.message_of(tuple(row)),
                recipients=tuple(recipients),
                content=body,
            )
        )
    return work
