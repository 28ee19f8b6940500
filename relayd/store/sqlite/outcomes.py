"""Writing what became of a leased recipient, inside one transaction. Instants are milliseconds."""

from collections.abc import Iterable, Sequence

import apsw
import orjson

from relayd.errors import LeaseLost
from relayd.mail.event import Event
from relayd.mail.ids import MessageId
from relayd.mail.outcome import (
    ACCEPTED_STATES,
    Bounced,
    Deferred,
    Held,
    NotTried,
    RecipientState,
    Relayed,
    Rerouted,
    Sent,
    state_after,
)
from relayd.mail.suppression import speaks
from relayd.mail.words import Detail
from relayd.ports.queue import LateNotice, Lease, Settlement
from relayd.store.sqlite import destinations, leases, suppression
from relayd.store.sqlite.guard import may_become
from relayd.store.sqlite.values import to_ms

# A settlement is of one attempt: an operator may have held and released the recipient since. `may_become`
# ends each statement.
_FINISH = (
    "UPDATE recipient SET state = ?, slot = NULL, code = ?, enhanced = ?, reply = ?, reason = ?,"
    " category = ?, bounce_class = ?, suppress = ?, remote_host = ?, redirected_to = ?, updated_at = ?"
    " WHERE message_id = ? AND number = ? AND slot = ? AND attempts = coalesce(?, attempts) AND "
)
_DEFER = (
    "UPDATE recipient SET next_attempt_at = ?, soft_failures = ?,{age}"
    " possible_duplicate = possible_duplicate + ?, extra = 0, slot = NULL, code = ?, enhanced = ?, reply = ?,"
    " reason = ?, category = ?, remote_host = ?, redirected_to = ?, updated_at = ?"
    " WHERE message_id = ? AND number = ? AND slot = ? AND attempts = coalesce(?, attempts) AND "
)
# A part of `_DEFER` where all of the age until now is taken off.
_AGES_ANEW = " uncounted = served() - (SELECT served_at FROM message WHERE id = message_id),"
_PUT_BACK = (
    "UPDATE recipient SET slot = NULL, attempts = attempts - 1, next_attempt_at = ?"
    " WHERE message_id = ? AND number = ? AND slot = ? AND attempts = coalesce(?, attempts) AND "
)

_MOVE = (
    "UPDATE recipient SET slot = NULL, attempts = attempts - 1, destination = ?, chosen_by = ?, next_attempt_at = ?"
    " WHERE message_id = ? AND number = ? AND slot = ? AND attempts = coalesce(?, attempts) AND "
)
_HOLD = (
    "UPDATE recipient SET state = 'held', slot = NULL, attempts = attempts - 1, updated_at = ?,"
    " uncounted = uncounted - served()"
    " WHERE message_id = ? AND number = ? AND slot = ? AND attempts = coalesce(?, attempts) AND "
)
_COME_BACK = (
    "UPDATE recipient SET state = 'bounced', reason = ?, category = ?, bounce_class = ?,"
    " suppress = ?, code = NULL, enhanced = ?, reply = NULL, updated_at = ?"
    " WHERE message_id = ? AND number = ? AND "
)
# What relayd itself sends to a sender is not for requeueing.
KEEP = (
    "INSERT INTO kept SELECT message_id, ? FROM recipient WHERE message_id = ? AND number = ?"
    " AND NOT returned ON CONFLICT (message_id) DO UPDATE SET since = excluded.since"
)
RECORD = "INSERT INTO event (message_id, recipient, at, kind, detail) VALUES (?, ?, ?, ?, ?)"
_ACCEPTED = tuple(sorted(ACCEPTED_STATES))


def settle_all(
    db: apsw.Connection,
    lease: Lease,
    settlements: Sequence[Settlement],
    *,
    now: int,
    keeps: bool = False,
) -> Sequence[Settlement]:
    """Write outcomes with their events; return those that were written. Raises LeaseLost.

    `keeps`: the content of what bounces is kept.
    """
    if not leases.holds(db, lease):
        raise LeaseLost(f"slot {lease.slot} of {lease.destination} has another owner")
    written = [each for each in settlements if settle(db, lease, each, now=now)]
    if keeps:
        for each in written:
            if isinstance(each.outcome, Bounced):
                db.execute(KEEP, (now, each.message_id, each.recipient))
    return written


def settle(db: apsw.Connection, lease: Lease, settlement: Settlement, *, now: int) -> bool:
    """Write one outcome with its events; False, and nothing, if an operator took the recipient away.

    Or if `TRANSITIONS` forbids it.
    """
    row = (settlement.message_id, settlement.recipient, lease.slot, settlement.attempt)
    reply = (settlement.code, settlement.enhanced, settlement.reply)
    host = (settlement.remote_host, settlement.redirected_to)
    due_at: int | None = None
    destination = lease.destination
    outcome = settlement.outcome
    state = state_after(outcome)
    allowed = may_become(state)
    match outcome:
        case Relayed() | Sent():
            db.execute(_FINISH + allowed, (state, *reply, None, None, None, 0, *host, now, *row))
        case Bounced():
            why = (outcome.reason, outcome.category, outcome.bounce_class, int(outcome.suppress))
            db.execute(_FINISH + allowed, (state, *reply, *why, *host, now, *row))
            _keep_what_it_says(db, outcome, settlement, now=now)
        case Deferred():
            due_at = to_ms(outcome.retry_at)
            when = (due_at, outcome.soft_failures, outcome.possible_duplicate and outcome.counts)
            why_not = (outcome.reason, outcome.category)
            defer = _DEFER.format(age=_AGES_ANEW if outcome.ages_anew else "")
            db.execute(defer + allowed, (*when, *reply, *why_not, *host, now, *row))
        case NotTried():
            due_at = now
            db.execute(_PUT_BACK + allowed, (now, *row))
        case Rerouted(destination, chosen_by):
            due_at = now
            db.execute(_MOVE + allowed, (destination, chosen_by or None, now, *row))
        case Held():
            db.execute(_HOLD + allowed, (now, *row))
    if not db.changes():
        return False
    if due_at is not None:
        destinations.touch(db, destination, due_at)
    for event in settlement.events:
        record(db, event)
    return True


def _keep_what_it_says(
    db: apsw.Connection, bounce: Bounced, settlement: Settlement, *, now: int
) -> None:
    """Note what a bounce says about its address, if it has just been written."""
    if speaks(bounce) and db.changes():
        recipient = (settlement.message_id, settlement.recipient)
        suppression.keep_bounce(db, bounce, recipient, reply=settlement.reply, now=now)


def note_late(db: apsw.Connection, notice: LateNotice, *, now: int) -> bool:
    """Record what came back; a bounce only of what was accepted, and only once."""
    event, outcome = notice.event, notice.outcome
    if outcome is None:
        known = db.execute(
            "SELECT 1 FROM recipient WHERE message_id = ? AND number = ?",
            (event.message_id, event.recipient),
        ).get
        if not known:
            return False
    else:
        db.execute(
            _COME_BACK + may_become(RecipientState.BOUNCED, _ACCEPTED),
            (
                outcome.reason,
                outcome.category,
                outcome.bounce_class,
                int(outcome.suppress),
                outcome.status,
                now,
                event.message_id,
                event.recipient,
            ),
        )
        if not db.changes():
            return False
        if speaks(outcome):
            suppression.keep_bounce(
                db, outcome, (event.message_id, event.recipient), is_late=True, now=now
            )
    if notice.complaint:
        about = (event.message_id, event.recipient)
        suppression.keep_complaint(db, notice.complaint, about, now=now)
    record(db, event)
    return True


def record(db: apsw.Connection, event: Event) -> None:
    """Add one event to the history."""
    db.execute(
        RECORD,
        (event.message_id, event.recipient, to_ms(event.at), event.kind, dump(event.detail)),
    )


def dump(detail: Detail) -> str:
    """Write the detail of an event as JSON."""
    return orjson.dumps(detail).decode()


def drop_content(db: apsw.Connection, messages: Iterable[MessageId]) -> list[MessageId]:
    """Delete the content of those messages that nobody waits for any more, and that are not kept.

    Return those whose files can go once that is durable.
    """
    beside = []
    for message_id in messages:
        dropped = db.execute(
            "DELETE FROM content WHERE message_id = ?1 AND NOT EXISTS (SELECT 1 FROM recipient"
            " WHERE message_id = ?1 AND state IN ('queued', 'held'))"
            " AND NOT EXISTS (SELECT 1 FROM kept WHERE message_id = ?1) RETURNING beside",
            (message_id,),
        ).get
        if dropped:
            beside.append(message_id)
    return beside
