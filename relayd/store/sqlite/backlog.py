"""How much waits, and for how long: a bounded part of the index of kinds, and no row but that of the oldest.

Of each state and category the entries lie in the order of messages, so that each class of age is a range.
"""

import json
from datetime import datetime

import apsw

from relayd.mail.ids import MessageId, received_at_of
from relayd.mail.words import Category, status_of
from relayd.ports.backlog import AGES, Backlog, Oldest, classes
from relayd.ports.view import Status
from relayd.store.sqlite.values import fetch

_KIND = "state = ? AND category IS ? AND bounce_class IS NULL"
_OF_KIND = f"recipient INDEXED BY recipient_by_kind WHERE {_KIND}"
# Which kinds there are: a look at each.
_PRESENT = (
    "SELECT value->>0, value->>1 FROM json_each(?) kind WHERE EXISTS (SELECT 1"
    " FROM recipient INDEXED BY recipient_by_kind WHERE state = kind.value->>0"
    " AND category IS kind.value->>1 AND bounce_class IS NULL)"
)
RANGE = f"SELECT count(*) FROM (SELECT 1 FROM {_OF_KIND} AND message_id BETWEEN ? AND ? LIMIT ?)"  # noqa: S608 -- constants
_FIRST = f"SELECT message_id, destination FROM {_OF_KIND} ORDER BY message_id LIMIT 1"  # noqa: S608 -- constants
STOPPED = "SELECT count(*) FROM (SELECT 1 FROM recipient INDEXED BY recipient_leased WHERE slot < 0 LIMIT ?)"

_KINDS = json.dumps([(state, why) for state in ("queued", "held") for why in (None, *Category)])


def count(db: apsw.Connection, at: datetime, most: int) -> Backlog:
    """Return numbers up to one more than `most`: no more entries are read than that takes."""
    kinds = fetch(db, _PRESENT, (_KINDS,))
    waiting = [kind for kind in kinds if kind[0] == "queued"]
    enough = most + 1
    by_status: dict[Status, int] = {}
    by_age = [0] * (len(AGES) + 1)
    for kind in kinds:
        status = Status(status_of(kind[0], has_failed=kind[1] is not None))
        for age, ids in enumerate(classes(at)):
            known = by_status.get(status, 0)
            lacks = max(enough - known, enough - by_age[age] if kind in waiting else 0)
            [(number,)] = fetch(db, RANGE, (*kind, *ids, lacks))
            by_status[status] = min(known + number, enough)
            if kind in waiting:
                by_age[age] = min(by_age[age] + number, enough)
    [(paused,)] = fetch(db, STOPPED, (enough,))
    first = min((row for kind in waiting for row in fetch(db, _FIRST, kind)), default=None)
    return Backlog(
        most=most,
        by_status=by_status,
        by_age=by_age,
        paused=paused,
        oldest=None if first is None else Oldest(received_at_of(MessageId(first[0])), first[1]),
    )
