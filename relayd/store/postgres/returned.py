"""What comes back to the return path of a recipient, inside the transaction that stores its copy."""

from relayd.errors import ReturnPathSpent
from relayd.mail.outcome import ACCEPTED_STATES, RecipientState
from relayd.mail.suppression import speaks
from relayd.policy.intake.admit import admit_returned
from relayd.policy.verp import VerpToken
from relayd.ports.queue import LateNotice
from relayd.store.postgres import events, suppression
from relayd.store.postgres.guard import may_become
from relayd.store.postgres.line import Session
from relayd.store.values import from_ms

CAME_BACK = "SELECT at FROM came_back WHERE message_id = $1 AND number = $2 ORDER BY at"
_ONE = "SELECT 1 FROM every_recipient WHERE message_id = $1 AND number = $2"
_IN_QUEUE = "SELECT 1 FROM queue WHERE message_id = $1 AND number = $2 FOR UPDATE"
_LOCKED = "SELECT pg_advisory_xact_lock($1)"
_COUNT = f"INSERT INTO came_back (message_id, number, at) SELECT $1, $2, $3 WHERE EXISTS ({_ONE})"
_ACCEPTED = tuple(sorted(ACCEPTED_STATES))
_COME_BACK = (
    "UPDATE recipient SET state = 'bounced', reason = $3, category = $4, bounce_class = $5,"
    " suppress = $6, code = NULL, enhanced = $7, reply = NULL, updated_at = $8"
    " WHERE message_id = $1 AND number = $2 AND "
)


async def count(db: Session, path: VerpToken, *, now: int) -> None:
    """Count one more, if it is known. Raises ReturnPathSpent, with nothing written, when it is too much."""
    who = (path.message_id, path.recipient)
    await db.fetch(
        _LOCKED, path.message_id
    )  # of two that come at once, the second one sees the first
    rows = await db.fetch(CAME_BACK, *who)
    if admit_returned([from_ms(at) for (at,) in rows], now=from_ms(now)) is not None:
        raise ReturnPathSpent("as much mail came to this return path as may")
    await db.execute(_COUNT, *who, now)


async def note(db: Session, notice: LateNotice, *, now: int) -> bool:
    """Record what came back; a bounce only of what was accepted, and only once."""
    event, outcome = notice.event, notice.outcome
    who = (event.message_id, event.recipient)
    if outcome is None:
        await db.fetch(_IN_QUEUE, *who)  # what it becomes meanwhile is another event
        if not await db.fetch(_ONE, *who):
            return False
    else:
        why = (outcome.reason, outcome.category, outcome.bounce_class, outcome.suppress)
        allowed = may_become(RecipientState.BOUNCED, _ACCEPTED)
        if not await db.execute(_COME_BACK + allowed, *who, *why, outcome.status, now):
            return False
        if speaks(outcome):
            await suppression.keep_bounce(db, outcome, who, is_late=True, now=now)
    if notice.complaint:
        await suppression.keep_complaint(db, notice.complaint, who, now=now)
    await events.record(db, [event])
    return True
