"""Look at a queue file from outside: can it be read, is it whole, what waits in it.

Opens it read-only and reads for a short while only (HQ-04): a large file is not checked for damage.
"""

import errno
import os
from pathlib import Path

import apsw

from relayd.errors import StoreError, StoreForbidden
from relayd.mail.ids import received_at_of
from relayd.policy.doctor.machine import QueueFacts, StoreFacts
from relayd.store import moved
from relayd.store.sqlite.connection import newest_schema, translate
from relayd.store.sqlite.outside import OutsideReader

_CHECKED_UP_TO = 64 * 2**20  # octets
_COMPLAINTS = 5
_UNFINISHED = (
    "SELECT state, count(*), min(message_id) FROM recipient"
    " WHERE state IN ('queued', 'held') GROUP BY state"
)


def examine(path: str) -> tuple[StoreFacts, QueueFacts | None]:
    """Return the state of the file, and of the queue in it if it can be read."""
    try:
        octets = _octets(path)
        file = OutsideReader(path, any_older=True)
    except FileNotFoundError:
        return StoreFacts(path=path, exists=False), None
    except (PermissionError, StoreForbidden):
        return StoreFacts(path=path, denied=True), None
    except OSError as error:
        return StoreFacts(path=path, problem=f"cannot be read: {error.strerror}"), None
    except StoreError as error:
        return StoreFacts(path=path, problem=str(error)), None
    try:
        return file.ask(lambda: _look(file.db, path, octets))
    except StoreError as error:
        return StoreFacts(path=path, problem=str(error)), None
    finally:
        file.close()


def _marks(db: apsw.Connection) -> list[bytes | None]:
    sql = "SELECT value FROM meta WHERE key = ?"
    return [db.execute(sql, (key,)).get for key in (moved.LEAVING, moved.ARRIVING)]


def _octets(path: str) -> int:
    """Return the size of a file that may be read. Raises OSError."""
    octets = Path(path).stat().st_size
    if not os.access(path, os.R_OK):
        raise PermissionError(errno.EACCES, "Permission denied", path)
    return octets


def _look(db: apsw.Connection, path: str, octets: int) -> tuple[StoreFacts, QueueFacts | None]:
    """Look at an open file. Raises StoreUnavailable."""
    try:
        return _seen(db, path, octets)
    except apsw.Error as exc:
        raise translate(exc) from exc


def _seen(db: apsw.Connection, path: str, octets: int) -> tuple[StoreFacts, QueueFacts | None]:
    small = octets <= _CHECKED_UP_TO
    said = (
        [str(row[0]) for row in db.execute(f"PRAGMA quick_check({_COMPLAINTS})")] if small else []
    )
    facts = StoreFacts(
        path=path,
        complaints=tuple(line for line in said if line != "ok"),
        checked=small,
        octets=octets,
        schema=int(db.execute("PRAGMA user_version").get),
        newest_schema=newest_schema(),
        moved=moved.why_not_served(*_marks(db)),
    )
    if facts.complaints:
        return facts, None  # what it would tell of the mail is worth nothing
    lies = {state: (number, first) for state, number, first in db.execute(_UNFINISHED)}
    waiting, oldest = lies.get("queued", (0, None))
    held, _ = lies.get("held", (0, None))
    oldest_at = None if oldest is None else received_at_of(oldest)
    return facts, QueueFacts(waiting=waiting, held=held, oldest_at=oldest_at)
