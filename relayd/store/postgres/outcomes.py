"""Writing what became of leased recipients, inside one transaction. Instants are milliseconds.

What is finished moves from `queue` to `recipient`; a row carries the slot and the epoch that it is leased under, so
the guard of each statement needs no lock on the slot.
"""

from collections.abc import Sequence

from relayd.errors import LeaseLost
from relayd.mail.outcome import (
    Bounced,
    Deferred,
    Held,
    NotTried,
    Relayed,
    Rerouted,
    Sent,
    state_after,
)
from relayd.mail.suppression import speaks
from relayd.ports.queue import Lease, Settlement
from relayd.store.postgres import content, destinations, events, leases, suppression
from relayd.store.postgres.guard import UNDER, may_become
from relayd.store.postgres.line import Row, Session
from relayd.store.postgres.moment import Moment
from relayd.store.values import to_ms, without_nul

# A settlement is of one attempt: an operator may have held and released the recipient since.
_GUARD = (
    f" WHERE message_id = $1 AND number = $2 AND {UNDER} = $3 AND epoch = $4"
    " AND attempts = coalesce($5, attempts) AND "
)
KEPT = "message_id, number, attempts, soft_failures, possible_duplicate, siblings, destination, address, address_key, parameters, returned, uncounted, extra, chosen_by, requeued_as"
FINISHED = f"{KEPT}, state, code, enhanced, reply, reason, category, bounce_class, suppress, remote_host, redirected_to, updated_at"
_DEFER = (
    "UPDATE queue SET next_attempt_at = $6, soft_failures = $7, possible_duplicate = possible_duplicate + $8, extra = false,"
    " slot = NULL, epoch = NULL, code = $9, enhanced = $10, reply = $11, reason = $12, category = $13,"
    " remote_host = $14, redirected_to = $15, updated_at = $16"
)
# A part of `_DEFER` where all of the age until now is taken off.
_AGES_ANEW = ", uncounted = $17 - (SELECT served_at FROM message WHERE id = queue.message_id)"
_PUT_BACK = (
    "UPDATE queue SET slot = NULL, epoch = NULL, attempts = attempts - 1, next_attempt_at = $6"
)
_MOVE = f"{_PUT_BACK}, destination = $7, chosen_by = $8"
_HOLD = (
    "UPDATE queue SET state = 'held', slot = NULL, epoch = NULL, attempts = attempts - 1, updated_at = $6,"
    " uncounted = uncounted - $7"
)
# What relayd itself sends to a sender is not for requeueing.
KEEP = (
    "INSERT INTO kept (message_id, since) SELECT message_id, $3 FROM every_recipient WHERE message_id = $1 AND number = $2"
    " AND NOT returned ON CONFLICT (message_id) DO UPDATE SET since = excluded.since"
)


def finish(where: str, *, first: int) -> str:
    """Return the statement that moves what `where` finds of `queue` to the history.

    Its parameters from `first` on are state, code, enhanced, reply, reason, category, bounce_class, suppress,
    remote_host, redirected_to and updated_at.
    """
    types = ("text", "int", *["text"] * 5, "boolean", "text", "text", "bigint")
    said = ", ".join(f"${first + place}::{each}" for place, each in enumerate(types))
    return (
        f"WITH q AS (DELETE FROM queue{where} RETURNING {KEPT})"  # noqa: S608 -- constants
        f" INSERT INTO recipient ({FINISHED}) SELECT {KEPT}, {said} FROM q"
    )


async def settle_all(
    db: Session,
    lease: Lease,
    settlements: Sequence[Settlement],
    *,
    at: Moment,
    keeps: bool = False,
) -> Sequence[Settlement]:
    """Write outcomes with their events; return those that were written. Raises LeaseLost.

    `keeps`: the content of what bounces is kept.
    """
    if not await leases.holds(db, lease):
        raise LeaseLost(f"slot {lease.slot} of {lease.destination} has another owner")
    due: dict[str, int] = {}
    written = [each for each in settlements if await _settle(db, lease, each, due, at=at)]
    await destinations.touch(db, due)
    await events.record(db, [event for each in written for event in each.events])
    for each in written:
        if isinstance(each.outcome, Bounced):
            await _bounced(db, each, each.outcome, at=at, keeps=keeps)
    await content.drop(db, (each.message_id for each in settlements))
    return written


async def _bounced(
    db: Session, settlement: Settlement, bounce: Bounced, *, at: Moment, keeps: bool
) -> None:
    """Note what a bounce says about its address, and keep the content if need be."""
    recipient = (settlement.message_id, settlement.recipient)
    if speaks(bounce):
        await suppression.keep_bounce(db, bounce, recipient, reply=settlement.reply, now=at.now)
    if keeps:
        await db.execute(KEEP, *recipient, at.now)


async def _settle(
    db: Session, lease: Lease, settlement: Settlement, due: dict[str, int], *, at: Moment
) -> bool:
    """Write one outcome; False, and nothing, if an operator took the recipient away or `TRANSITIONS` forbids it.

    `due` is told when the destination has something to do.
    """
    sql, values, destination, due_at = _statement(lease, settlement, at)
    who = (settlement.message_id, settlement.recipient)
    if not await db.execute(sql, *who, lease.slot, lease.epoch, settlement.attempt, *values):
        return False
    if due_at is not None:
        due[destination] = min(due_at, due.get(destination, due_at))
    return True


def _statement(
    lease: Lease, settlement: Settlement, at: Moment
) -> tuple[str, Row, str, int | None]:
    """Return the statement for an outcome, its parameters behind those of the guard, and what becomes due when."""
    reply = (settlement.code, settlement.enhanced, without_nul(settlement.reply))
    host = (without_nul(settlement.remote_host), settlement.redirected_to)
    outcome = settlement.outcome
    state = state_after(outcome)
    guard = _GUARD + may_become(state)
    here = lease.destination
    match outcome:
        case Relayed() | Sent() | Bounced():
            why: Row = (None, None, None, False)
            if isinstance(outcome, Bounced):
                why = (
                    without_nul(outcome.reason),
                    outcome.category,
                    outcome.bounce_class,
                    outcome.suppress,
                )
            return finish(guard, first=6), (state, *reply, *why, *host, at.now), here, None
        case Deferred():
            due_at = to_ms(outcome.retry_at)
            when = (
                due_at,
                outcome.soft_failures,
                int(outcome.possible_duplicate and outcome.counts),
            )
            deferred: Row = (
                *when,
                *reply,
                without_nul(outcome.reason),
                outcome.category,
                *host,
                at.now,
            )
            if outcome.ages_anew:
                return _DEFER + _AGES_ANEW + guard, (*deferred, at.served), here, due_at
            return _DEFER + guard, deferred, here, due_at
        case NotTried():
            return _PUT_BACK + guard, (at.now,), here, at.now
        case Rerouted(destination, chosen_by):
            return _MOVE + guard, (at.now, destination, chosen_by or None), destination, at.now
        case Held():
            return _HOLD + guard, (at.now, at.served), here, None
