"""`relayd` with a fault that was put in: what looks for faults has to find it.

python -m tests.proof.planted NAME python -m relayd serve -c FILE
"""

import asyncio
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import apsw

from relayd.__main__ import main
from relayd.deliverer import results
from relayd.mail.ids import MessageId, format_id
from relayd.store import spool
from relayd.store.sqlite import outcomes, wal, writer


def _a_reply_before_the_sync() -> None:
    """What was committed is told at once, and synced behind that."""
    durable = writer.Writer._make_durable

    def early(self: writer.Writer, turn: Any) -> None:
        turn[0].loop.call_soon_threadsafe(writer._resolve, turn)
        durable(self, turn)

    _plant(writer.Writer, "_make_durable", early)


def _commits_that_are_not_synced() -> None:
    _plant(wal.Wal, "sync", _nothing)


def _checkpoints_that_are_not_synced() -> None:
    """The log begins anew while the file that it was copied to is not durable."""
    _plant(wal, "CHECKPOINT_PAGES", 40)
    begun = wal.Wal.__init__

    def off(self: wal.Wal, db: apsw.Connection, path: str) -> None:
        begun(self, db, path)
        db.execute("PRAGMA synchronous=OFF")

    _plant(wal.Wal, "__init__", off)


def _content_files_that_are_not_synced() -> None:
    _plant(spool, "sync", _nothing)


def _names_of_content_files_that_are_not_synced() -> None:
    _plant(spool, "rename", _renamed)


def _outcomes_that_are_told_before_they_are_written() -> None:
    settle = results.ResultStore.settle
    under_way: set[asyncio.Future[Any]] = set()

    async def early(self: results.ResultStore, work: Any, settlements: Any, *more: Any) -> Any:
        settling = asyncio.ensure_future(settle(self, work, settlements, *more))
        under_way.add(settling)
        settling.add_done_callback(under_way.discard)
        return settlements

    _plant(results.ResultStore, "settle", early)


def _content_that_goes_with_the_first_recipient() -> None:
    def drop(db: apsw.Connection, messages: Iterable[MessageId]) -> list[MessageId]:
        gone = list(messages)
        db.executemany("DELETE FROM content WHERE message_id = ?", [(each,) for each in gone])
        return gone

    _plant(outcomes, "drop_content", drop)


def _content_files_that_go_before_the_commit() -> None:
    kept = outcomes.drop_content

    def drop(db: apsw.Connection, messages: Iterable[MessageId]) -> list[MessageId]:
        gone = kept(db, messages)
        for each in gone:
            (spool.directory_of(db.filename) / format_id(each)).unlink(missing_ok=True)
        return gone

    _plant(outcomes, "drop_content", drop)


def _plant(where: object, name: str, what: object) -> None:
    assert hasattr(where, name), "the fault is put where something is"
    setattr(where, name, what)


def _nothing(*_: object) -> None:
    pass


def _renamed(old: Path, new: Path) -> None:
    old.replace(new)


PLANTED: Mapping[str, Callable[[], None]] = {
    each.__name__.strip("_").replace("_", " "): each
    for each in (
        _a_reply_before_the_sync,
        _commits_that_are_not_synced,
        _checkpoints_that_are_not_synced,
        _content_files_that_are_not_synced,
        _names_of_content_files_that_are_not_synced,
        _outcomes_that_are_told_before_they_are_written,
        _content_that_goes_with_the_first_recipient,
        _content_files_that_go_before_the_commit,
    )
}

if __name__ == "__main__":
    PLANTED[sys.argv[1]]()
    del sys.argv[1:5]
    main()
