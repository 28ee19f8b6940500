"""Deleting the history of messages that are finished, and what a crash left of others."""

from contextlib import suppress
from datetime import datetime

import apsw

from relayd.mail.ids import first_id_at
from relayd.store.spool import SpoolDirectory
from relayd.store.sqlite import tally_upkeep
from relayd.store.sqlite.values import fetch, to_ms

_AT_ONCE = 2000  # messages deleted in one transaction
_OLD = (
    "SELECT id FROM message WHERE id < ? AND NOT EXISTS (SELECT 1 FROM recipient"
    " WHERE message_id = message.id AND (state IN ('queued', 'held')"
    " OR updated_at >= ?)) AND NOT EXISTS (SELECT 1 FROM event WHERE message_id = message.id"
    " AND event.id > (SELECT value FROM meta WHERE key = 'tallied')) ORDER BY id LIMIT ?"
)
_DELETIONS = (
    "DELETE FROM event WHERE message_id = ?",
    "DELETE FROM came_back WHERE message_id = ?",
    "DELETE FROM recipient WHERE message_id = ?",
    "DELETE FROM message WHERE id = ?",
)


def purge(db: apsw.Connection, older_than: datetime) -> int:
    """Delete some of the messages that were finished before, inside one transaction; return how many."""
    old = fetch(db, _OLD, (int(first_id_at(older_than)), to_ms(older_than), _AT_ONCE))
    for deletion in _DELETIONS:
        db.executemany(deletion, old)
    tally_upkeep.forget(db, to_ms(older_than))
    return len(old)


def sweep(db: apsw.Connection, files: SpoolDirectory) -> None:
    """Remove files that a crash left without their message."""
    with suppress(OSError):
        files.sweep(
            lambda found: [
                each
                for each in found
                if db.execute("SELECT 1 FROM content WHERE message_id = ?", (each,)).get
            ]
        )
