"""How much waits, and for how long: a bounded part of the queue, and no history."""

from datetime import datetime

from relayd.mail.ids import MessageId, received_at_of
from relayd.ports.backlog import Backlog, Oldest, classes
from relayd.ports.view import Status
from relayd.store.postgres.line import Session
from relayd.store.recipient_rows import status_in

_KINDS = (("queued", False), ("queued", True), ("held", False), ("held", True))
# The kind is in the words of the statement: so the planner sees that the index of trouble has all of it.
_RANGE = (
    "SELECT count(*) FROM (SELECT 1 FROM queue WHERE state = '{state}' AND category IS {failed} NULL"
    " AND message_id BETWEEN $1 AND $2 LIMIT $3) found"
)
_STOPPED = "SELECT count(*) FROM (SELECT 1 FROM queue WHERE slot < 0 LIMIT $1) found"
_FIRST = "SELECT message_id, destination FROM queue WHERE state = 'queued' ORDER BY message_id, number LIMIT 1"


async def count(db: Session, at: datetime, most: int) -> Backlog:
    """Return numbers up to one more than `most`: not many more rows are read than that takes."""
    enough = most + 1
    by_status: dict[Status, int] = {}
    ages = classes(at)
    by_age = [0] * len(ages)
    for state, has_failed in _KINDS:
        status = status_in(state, has_failed or None)
        for age, ids in enumerate(ages):
            known = by_status.get(status, 0)
            waits = state == "queued"
            lacks = max(enough - known, enough - by_age[age] if waits else 0)
            sql = _RANGE.format(state=state, failed="NOT" if has_failed else "")
            number = await db.value(sql, *ids, lacks)
            if known + number:
                by_status[status] = min(known + number, enough)
            if waits:
                by_age[age] = min(by_age[age] + number, enough)
    first = await db.fetch(_FIRST)
    return Backlog(
        most=most,
        by_status=by_status,
        by_age=by_age,
        paused=await db.value(_STOPPED, enough),
        oldest=Oldest(received_at_of(MessageId(first[0][0])), first[0][1]) if first else None,
    )
