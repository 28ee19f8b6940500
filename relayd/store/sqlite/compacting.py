"""Giving room back to the disk that the history took.

What is deleted leaves free pages in the file, which only new mail uses. While relayd works, `step` moves a
few pages from the end of the file into free ones and cuts the file off, a short while at a time. That
takes no room, but a file that was created for it: older ones have to be copied once, while nobody uses
them, by `copy_smaller`.

Source: https://sqlite.org/pragma.html#pragma_auto_vacuum, https://sqlite.org/lang_vacuum.html
"""

from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path

import apsw

from relayd.answers.sizes import megabytes
from relayd.errors import StoreFull
from relayd.ports.upkeep import TALLIED_AT_ONCE, Compacted
from relayd.store.disk import spare
from relayd.store.sqlite import purging, replacing, tallying
from relayd.store.sqlite.connection import open_writer, translate
from relayd.store.sqlite.outside import OutsideReader
from relayd.store.sqlite.values import to_ms

INCREMENTAL = 2  # the value of PRAGMA auto_vacuum
_PAGES = 64  # between two looks at the clock
_STEPS = 64  # of those, at most
_LONG = 0.05  # seconds; then others have their turn
_EVERY = 100_000  # steps of SQLite between two looks at how far it is

Progress = Callable[[int, int], None]


def step(
    db: apsw.Connection, older_than: datetime, path: str, *, monotonic: Callable[[], float]
) -> Compacted:
    """Delete some of what is old, or else move some pages, inside one transaction."""
    purged = purging.purge(db, older_than)
    if not purged and _can_shrink(db):
        until = monotonic() + _LONG
        for _ in range(_STEPS):
            if not _pragma(db, "freelist_count") or monotonic() >= until:
                break
            db.execute(f"PRAGMA incremental_vacuum({_PAGES})").fetchall()
    return _seen(db, path, purged)


def copy_smaller(queue: str, older_than: datetime, progress: Progress) -> Compacted:
    """Delete what is old, and let a copy without free pages take the place of the file.

    For who has the daemon's lock. `progress` is told how many octets are written, and of how many. Raises StoreError.
    """
    replacing.finish_earlier(queue)
    OutsideReader(queue).close()  # of our schema, for us to read
    try:
        with closing(open_writer(queue)) as db:
            purged = _purge_all(db, older_than)
            seen = _seen(db, queue, purged)
            wanted = seen.octets - seen.unused
            if (room := spare(queue)) < wanted:
                raise StoreFull(
                    f"the copy takes {megabytes(wanted)}, and {megabytes(max(room, 0))} are free beyond what is"
                    f" kept back: make room on the disk of {queue}, or shorten store.history"
                )
            _write_copy(db, queue, wanted, progress)
        replacing.put(queue, owner=replacing.owner_of(queue))
        return Compacted(
            purged=purged, octets=Path(queue).stat().st_size, unused=0, can_shrink=True
        )
    except apsw.Error as exc:
        raise translate(exc) from exc
    finally:
        replacing.abandon(queue)


def _purge_all(db: apsw.Connection, older_than: datetime) -> int:
    """Delete what is old, once it is counted; return how many messages that were."""
    while (counted := tallying.batch(db, least=1, most=TALLIED_AT_ONCE)) is not None:
        with db:
            tallying.add(db, counted, now=to_ms(older_than))
        if tallying.read_meta(db, "tallied") == counted.of.seen:
            break  # a history that cannot be counted is not deleted
    purged = 0
    while True:
        with db:
            some = purging.purge(db, older_than)
        purged += some
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        if not some:
            return purged


def _write_copy(db: apsw.Connection, queue: str, wanted: int, progress: Progress) -> None:
    copy = replacing.begin(queue, keeps_old=False) / Path(queue).name

    def look() -> bool:
        progress(min(_octets(copy), wanted), wanted)
        return False  # go on

    db.set_progress_handler(look, _EVERY)
    db.execute(f"PRAGMA auto_vacuum={INCREMENTAL}").fetchall()
    db.execute("VACUUM INTO ?", (str(copy),)).fetchall()
    db.set_progress_handler(None)


def _seen(db: apsw.Connection, path: str, purged: int) -> Compacted:
    page, octets = _pragma(db, "page_size"), _octets(Path(path))
    used = (_pragma(db, "page_count") - _pragma(db, "freelist_count")) * page
    return Compacted(
        purged=purged, octets=octets, unused=max(octets - used, 0), can_shrink=_can_shrink(db)
    )


def _octets(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _can_shrink(db: apsw.Connection) -> bool:
    return _pragma(db, "auto_vacuum") == INCREMENTAL


def _pragma(db: apsw.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").get)
