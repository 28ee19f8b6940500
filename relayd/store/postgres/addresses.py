"""Recipient addresses as questions see them: what a search finds, summed up address by address."""

from collections.abc import Collection, Sequence

from relayd.mail.ids import received_at_of
from relayd.ports.view import AddressRow, Query, RecentAddresses
from relayd.store.postgres import suppression
from relayd.store.postgres.line import Session
from relayd.store.postgres.search import Search
from relayd.store.recipient_rows import address_row

_AT_ONCE = 500  # recipients whose addresses are looked at in one step
_KEYS = "r.message_id, r.number, r.address_key, r.returned"
# The newest recipient is found while they are counted, and looked up in one week.
_SUMS = (
    "SELECT l.address, c.messages, c.hard, c.other, l.state, l.category, l.updated_at,"
    " coalesce(l.reply, l.reason), wanted.key FROM unnest($1::text[]) WITH ORDINALITY AS wanted (key, n)"
    " CROSS JOIN LATERAL (SELECT count(*) AS messages,"
    " count(*) FILTER (WHERE state = 'bounced' AND bounce_class = 'hard') AS hard,"
    " count(*) FILTER (WHERE state = 'bounced' AND bounce_class IS DISTINCT FROM 'hard') AS other,"
    " max(ARRAY[message_id, number]) AS newest"
    " FROM every_recipient WHERE address_key = wanted.key AND NOT returned) c"
    " CROSS JOIN LATERAL (SELECT address, state, category, updated_at, reply, reason FROM every_recipient"
    " WHERE message_id = c.newest[1] AND number = c.newest[2] LIMIT 1) l"
    " ORDER BY wanted.n"
)


async def find(db: Session, query: Query, *, limit: int, within: float | None) -> RecentAddresses:
    """Return addresses with a matching recipient, the newest such message first; perhaps not all after `within` seconds."""
    search = Search(query, within=within)
    await search.begin(db)
    if query.recipient:
        limit = min(limit, len(query.recipient))  # there are no others, whatever these got
    found: list[AddressRow] = []
    seen: set[str] = set()
    while len(found) < limit and search.goes_on:
        rows = await search.step(db, _KEYS, _AT_ONCE)
        keys = [
            key for key in dict.fromkeys(row[2] for row in rows if not row[3]) if key not in seen
        ]
        seen.update(keys)
        found += await _of_keys(db, keys[: limit - len(found)])
    if len(found) < limit and not search.is_done:
        return RecentAddresses(found, received_at_of(search.place[0]))
    if query.is_of_addresses:
        found += await _without_history(db, query, seen, limit - len(found))
    return RecentAddresses(found, None)


async def _of_keys(db: Session, keys: Sequence[str]) -> list[AddressRow]:
    if not keys:
        return []
    known = await suppression.of_keys(db, keys)
    return [address_row(row, known.get(row[8], ())) for row in await db.fetch(_SUMS, list(keys))]


async def _without_history(
    db: Session, query: Query, seen: Collection[str], limit: int
) -> list[AddressRow]:
    """Return suppressed addresses that no mail went to; `seen` are the keys of the others."""
    found: list[AddressRow] = []
    last = ""
    while len(found) < limit:
        keys = await suppression.keys_behind(
            db, last, recipients=query.recipient, domains=query.domain, limit=_AT_ONCE
        )
        if not keys:
            break
        known = await suppression.of_keys(db, [key for key in keys if key not in seen])
        found += [AddressRow.of_unused(those) for those in known.values()]
        last = keys[-1]
    return found[:limit]
