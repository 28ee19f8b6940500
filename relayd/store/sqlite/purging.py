"""Deleting the history of messages that are finished, and what a crash left of others."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

import apsw
import orjson

from relayd.mail.ids import MessageId, first_id_at
from relayd.ports.upkeep import LetGo
from relayd.store.spool import SpoolDirectory
from relayd.store.sqlite import endpoints, tally_upkeep
from relayd.store.sqlite.outcomes import drop_content
from relayd.store.sqlite.values import fetch, to_ms

_AT_ONCE = 2000  # messages deleted in one transaction
_OLD = (
    "SELECT id FROM message WHERE id < ? AND NOT EXISTS (SELECT 1 FROM recipient"
    " WHERE message_id = message.id AND (state IN ('queued', 'held')"
    " OR updated_at >= ?)) AND NOT EXISTS (SELECT 1 FROM event WHERE message_id = message.id"
    " AND event.id > (SELECT value FROM meta WHERE key = 'tallied')) ORDER BY id LIMIT ?"
)
_LET_GO = 200  # messages whose kept content is deleted in one transaction
_KEPT = "SELECT message_id FROM kept WHERE since < ? ORDER BY since LIMIT ?"
_OCTETS = (
    "SELECT coalesce(sum(length(body) + beside), 0) FROM content"
    " WHERE message_id IN (SELECT value FROM json_each(?))"
)
_EVER = 2**63 - 1
_DELIVERY = "DELETE FROM delivery WHERE endpoint IN (SELECT id FROM endpoint) AND event"
_TESTS = f"{_DELIVERY} < 0 AND at < ?"
_DELETIONS = (
    "DELETE FROM kept WHERE message_id = ?",
    "DELETE FROM content WHERE message_id = ?",
    f"{_DELIVERY} IN (SELECT id FROM event WHERE message_id = ?)",  # noqa: S608 -- constants
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
    db.execute(_TESTS, (to_ms(older_than),))
    endpoints.sweep(db)
    tally_upkeep.forget(db, to_ms(older_than))
    return len(old)


def has_kept(db: apsw.Connection, before: int | None) -> bool:
    """Tell whether content is kept since before an instant, or at all."""
    return bool(fetch(db, _KEPT, (_EVER if before is None else before, 1)))


def let_go(db: apsw.Connection, before: int | None) -> tuple[LetGo, list[MessageId]]:
    """Keep content no longer that is kept since before an instant, or at all, the oldest first.

    Return what went, and whose files can go once that is durable.
    """
    kept = fetch(db, _KEPT, (_EVER if before is None else before, _LET_GO))
    messages = [MessageId(message_id) for (message_id,) in kept]
    octets = _octets_of(db, messages)
    db.executemany("DELETE FROM kept WHERE message_id = ?", kept)
    files = drop_content(db, messages)
    octets -= _octets_of(db, messages)
    return LetGo(messages=len(kept), octets=octets, for_room=before is None), files


def _octets_of(db: apsw.Connection, messages: Sequence[MessageId]) -> int:
    [(octets,)] = fetch(db, _OCTETS, (orjson.dumps(messages).decode(),))
    return int(octets)


def sweep(db: apsw.Connection, files: SpoolDirectory, *, now: float) -> None:
    """Remove files that a crash left without their message; `now` is in monotonic seconds."""
    with suppress(OSError):
        files.sweep(
            lambda found: [
                each
                for each in found
                if db.execute("SELECT 1 FROM content WHERE message_id = ?", (each,)).get
            ],
            now=now,
        )
