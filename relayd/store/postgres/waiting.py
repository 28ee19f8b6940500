"""Unfinished recipients counted by what they have in common. Reads the queue, and no history."""

from dataclasses import replace

from relayd.mail.ids import MessageId, received_at_of
from relayd.ports.view import Query
from relayd.ports.waiting import By, Counted, together, waiting
from relayd.store.postgres import names
from relayd.store.postgres.conditions import span, where
from relayd.store.postgres.line import Session
from relayd.store.values import from_ms

_VALUES = {
    By.DOMAIN: "split_part(r.address_key, '@', 1)",
    By.SENDER: "m.reverse_path",
    By.DESTINATION: "r.destination",
    By.TAG: "coalesce(m.tag, '')",
    By.USER: "coalesce(m.auth_user, '')",
}
_OLDEST = "SELECT min(message_id) FROM queue"
_ALONE = "queue r"
_WITH_MESSAGE = "queue r JOIN message m ON m.id = r.message_id"


async def count(db: Session, query: Query, by: By, most: int | None) -> Counted:
    """Return what waits of what matches, of the newest if that is more than `most`."""
    query = replace(query, unfinished=True)
    low, high = span(query)
    asked = where(
        query,
        clients=await names.clients(db, query.client),
        destinations=await names.destinations(db, query.destination),
    )
    asked.add("r.message_id BETWEEN {} AND {}", low, high)
    source = _source(asked.sql)
    since = None
    if most is not None:
        since = await db.value(
            f"SELECT r.message_id FROM {source} WHERE {asked.sql} ORDER BY r.message_id DESC LIMIT 1 OFFSET {int(most)}",  # noqa: S608 -- constants
            *asked.args,
        )
    if since is not None:
        asked.add("r.message_id >= {}", since)
    source = _source(asked.sql + _VALUES[by])
    if source == _WITH_MESSAGE:  # said of both: of the weeks before, none is read then
        first = await db.value(_OLDEST) if since is None else since
        asked.add("m.id BETWEEN {} AND {}", max(first or 0, low), high)
    rows = await db.fetch(
        f"SELECT {_VALUES[by]}, r.state, r.category IS NOT NULL, count(*), min(r.message_id),"  # noqa: S608 -- constants
        " min(r.next_attempt_at) FILTER (WHERE r.state = 'queued' AND r.slot IS NULL)"
        f" FROM {source} WHERE {asked.sql} GROUP BY 1, 2, 3",
        *asked.args,
    )
    groups = together(
        waiting(
            value,
            state,
            has_failed=has_failed,
            count=number,
            oldest=received_at_of(MessageId(first)),
            first=None if due is None else from_ms(due),
        )
        for value, state, has_failed, number, first, due in rows
    )
    return Counted(groups, None if since is None else received_at_of(MessageId(since)))


def _source(sql: str) -> str:
    """Return the tables that are asked: the messages only where something is asked of them."""
    return _WITH_MESSAGE if "m." in sql else _ALONE
