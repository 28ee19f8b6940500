"""Whether the bounces of an address speak against using it again, and how that is lifted.

Owns the rule in SQL; `relayd.ports.view.QueueView.is_suppressed` has it in words.
"""

import apsw

from relayd.ports.view import INACTIVE_BOUNCES
from relayd.store.sqlite.values import query_key


def suppressed(key: str) -> str:
    """Return the SQL expression that is 1 when the address with the key `key`, itself SQL, is.

    The first two conditions are those of the index `recipient_suppressing`, word for word: without
    them SQLite would not use it. Each half of the rule is one look into it, however often the address bounced.
    """
    counted = (
        "FROM recipient WHERE state = 'bounced' AND NOT returned"  # noqa: S608 -- constants
        f" AND (suppress OR category = 'inactive_mailbox') AND address_key = {key} AND updated_at >"
        f" coalesce((SELECT at FROM unsuppressed WHERE address_key = {key}), -1)"
    )
    inactive = f"SELECT DISTINCT message_id {counted} AND suppress = 0 LIMIT {INACTIVE_BOUNCES}"
    return (
        f"(EXISTS (SELECT 1 {counted} AND suppress = 1)"  # noqa: S608 -- constants
        f" OR (SELECT count(*) FROM ({inactive})) >= {INACTIVE_BOUNCES})"
    )


_IS_SUPPRESSED = f"SELECT {suppressed('?1')}"


def is_suppressed(db: apsw.Connection, address: str) -> bool:
    return bool(db.execute(_IS_SUPPRESSED, (query_key(address),)).get)


def unsuppress(db: apsw.Connection, address: str, *, by: str, now: int) -> bool:
    """Let only bounces after `now` count; False, and nothing written, when none spoke against it."""
    if not is_suppressed(db, address):
        return False
    db.execute(
        "INSERT OR REPLACE INTO unsuppressed (address_key, at, by) VALUES (?, ?, ?)",
        (query_key(address), now, by),
    )
    return True
