"""Counting the mail that comes to the return path of a recipient."""

import apsw

from relayd.errors import ReturnPathSpent
from relayd.policy.intake.admit import admit_returned
from relayd.policy.verp import VerpToken
from relayd.store.sqlite.values import fetch, from_ms
from relayd.store.sqlite.view import CAME_BACK


def count(db: apsw.Connection, path: VerpToken, *, now: int) -> None:
    """Count one more, if it is known. Raises ReturnPathSpent, with nothing written, when it is too much."""
    rows = fetch(db, CAME_BACK, (path.message_id, path.recipient))
    if admit_returned([from_ms(at) for (at,) in rows], now=from_ms(now)) is not None:
        raise ReturnPathSpent("as much mail came to this return path as may")
    db.execute(
        "INSERT INTO came_back SELECT message_id, number, ? FROM recipient"
        " WHERE message_id = ? AND number = ?",
        (now, path.message_id, path.recipient),
    )
