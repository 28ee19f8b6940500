"""Whether the bounces of an address speak against using it again, for whom, and how that is lifted.

Says the rule of `relayd.mail.suppression` in SQL.
"""

import apsw

from relayd.mail import suppression
from relayd.mail.suppression import INACTIVE_BOUNCES, NAMED_SENDERS
from relayd.store.sqlite.values import query_key

EVERYBODY = f"'{suppression.EVERYBODY}'"  # in SQL
_LOOKED_AT = (
    1000  # asynchronous bounces of an address that are looked at, to show for whom they count
)
_ALL = -1


def suppressed(key: str, sender: str) -> str:
    """Return the SQL expression that is 1 when the address with the key `key` is, for `sender`.

    Both are SQL themselves; the empty sender asks for what holds for everybody. The first two
    conditions are those of the index `recipient_suppressing`, word for word: without them SQLite would
    not use it. Each half of the rule is two looks into it, however often the address bounced.
    """
    counted = f"{_counted(key)} AND scope IN ({EVERYBODY}, {sender})"
    inactive = f"SELECT DISTINCT message_id {counted} AND suppress = 0 LIMIT {INACTIVE_BOUNCES}"
    return (
        f"(EXISTS (SELECT 1 {counted} AND suppress = 1)"  # noqa: S608 -- constants
        f" OR (SELECT count(*) FROM ({inactive})) >= {INACTIVE_BOUNCES})"
    )


def scopes(key: str, looked_at: int = _LOOKED_AT) -> str:
    """Return the SQL expression for the senders for whom alone an address is suppressed, one a line."""
    late = f"SELECT scope AS late {_counted(key)} AND scope <> {EVERYBODY} LIMIT {looked_at}"
    return (
        "(SELECT group_concat(late, char(10)) FROM"  # noqa: S608 -- constants
        f" (SELECT DISTINCT late FROM ({late}) WHERE {suppressed(key, 'late')}"
        f" ORDER BY late LIMIT {NAMED_SENDERS}))"
    )


def _counted(key: str) -> str:
    return (
        "FROM recipient INDEXED BY recipient_suppressing WHERE state = 'bounced' AND NOT returned"  # noqa: S608 -- constants
        f" AND (suppress OR category = 'inactive_mailbox') AND address_key = {key} AND updated_at >"
        f" coalesce((SELECT at FROM unsuppressed WHERE address_key = {key}), -1)"
    )


IS_SUPPRESSED = f"SELECT {suppressed('?1', '?2')}"
_FOR_WHOM = f"SELECT {suppressed('?1', EVERYBODY)}, {scopes('?1', _ALL)}"


def is_suppressed(db: apsw.Connection, address: str, sender: str) -> bool:
    return bool(db.execute(IS_SUPPRESSED, (query_key(address), sender.lower())).get)


def unsuppress(db: apsw.Connection, address: str, *, by: str, now: int) -> bool:
    """Let only bounces after `now` count; False, and nothing written, when none spoke against it."""
    [(for_all, some)] = db.execute(_FOR_WHOM, (query_key(address),)).fetchall()
    if not for_all and not some:
        return False
    db.execute(
        "INSERT OR REPLACE INTO unsuppressed (address_key, at, by) VALUES (?, ?, ?)",
        (query_key(address), now, by),
    )
    return True
