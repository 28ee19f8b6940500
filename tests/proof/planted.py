"""`relayd` with a fault that was put in: what looks for faults has to find it.

python -m tests.proof.planted NAME serve -c FILE

One of the names is no fault: it has things happen often that are rare, so that a kill hits them.
"""

import asyncio
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import apsw

from relayd.__main__ import main
from relayd.deliverer import results
from relayd.deliverer.destination_queue import DestinationQueue
from relayd.deliverer.leases import Leases
from relayd.mail.ids import MessageId, format_id
from relayd.ports.queue import Lease
from relayd.store import spool
from relayd.store.sqlite import leases, outcomes, wal, writer
from relayd.store.sqlite.queue import SqliteStore

_TELL = (
    "INSERT OR IGNORE INTO delivery (endpoint, event, message_id, recipient, at, state)"
    " SELECT s.endpoint, e.id, e.message_id, e.recipient, e.at, 'waiting'"
    " FROM event e JOIN subscription s ON s.kind = e.kind WHERE e.id > ?"
)


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


def _checkpoints_come_often() -> None:
    _plant(wal, "CHECKPOINT_PAGES", 200)


def _a_reply_before_the_commit() -> None:
    _answer_early(SqliteStore)


def _a_reply_before_the_answer_of_the_server() -> None:
    from relayd.store.postgres.queue import PostgresStore  # noqa: PLC0415 -- for this one alone

    _answer_early(PostgresStore)


def _answer_early(store: Any) -> None:
    enqueue = store.enqueue

    def early(self: Any, message: Any, *, worker: Any, lease_for: Any) -> Any:
        del lease_for  # it is claimed later
        enqueue(self, message, worker=worker, lease_for=None)
        told: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        told.set_result([])
        return told

    _plant(store, "enqueue", early)


def _a_refusal_that_only_the_session_is_told() -> None:
    """Its client waits; if that never hears the reply, nobody tells its sender."""
    settle = results.ResultStore.settle

    async def without(
        self: results.ResultStore, work: Any, settlements: Any, reports: Any, *more: Any
    ) -> Any:
        kept = [] if work.message.is_awaited else reports
        return await settle(self, work, settlements, kept, *more)

    _plant(results.ResultStore, "settle", without)


def _an_outbox_outside_the_transaction() -> None:
    """What webhooks tell is written behind the event, in a transaction of its own."""
    begun, commit = writer.Writer.__init__, writer.Writer._commit

    def begin(self: writer.Writer, *words: Any, **more: Any) -> None:
        begun(self, *words, **more)
        self._db.execute("DROP TRIGGER IF EXISTS event_told")

    def late(self: writer.Writer, turn: Any) -> bool:
        before = _last_event(self._db)
        done = commit(self, turn)
        self._db.execute(_TELL, (before,))
        return done

    _plant(writer.Writer, "__init__", begin)
    _plant(writer.Writer, "_commit", late)


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


def _last_event(db: apsw.Connection) -> int:
    return int(db.execute("SELECT coalesce(max(id), 0) FROM event").get)


def _settle_without_epoch() -> None:
    """A worker that was stopped beyond its lease goes on with the work of then, and its results count."""
    _plant(leases, "holds", _yes)
    _plant(Leases, "holds", _still_holds)
    _plant(Leases, "_extend", _extend_nothing)


def _yes(_db: apsw.Connection, _lease: Lease) -> bool:
    return True


async def _still_holds(_leases: Leases, queue: DestinationQueue) -> bool:
    return not queue.is_closed


async def _extend_nothing(_leases: Leases) -> None:
    pass


def _plant(where: object, name: str, what: object) -> None:
    assert hasattr(where, name), "the fault is put where something is"
    setattr(where, name, what)


def _nothing(*_: object) -> None:
    pass


def _renamed(old: Path, new: Path) -> None:
    old.replace(new)


def _named(*plants: Callable[[], None]) -> Mapping[str, Callable[[], None]]:
    return {each.__name__.strip("_").replace("_", " "): each for each in plants}


BY_POWER_CUTS = _named(
    _a_reply_before_the_sync,
    _commits_that_are_not_synced,
    _checkpoints_that_are_not_synced,
    _content_files_that_are_not_synced,
    _names_of_content_files_that_are_not_synced,
    _outcomes_that_are_told_before_they_are_written,
    _content_that_goes_with_the_first_recipient,
    _content_files_that_go_before_the_commit,
    _an_outbox_outside_the_transaction,
)
BY_KILLS = _named(
    _a_reply_before_the_commit,
    _a_reply_before_the_answer_of_the_server,
    _a_refusal_that_only_the_session_is_told,
    _an_outbox_outside_the_transaction,
)
BY_CLOCKS = _named(_settle_without_epoch)
PLANTED = {
    **BY_POWER_CUTS,
    **BY_KILLS,
    **BY_CLOCKS,
    **_named(_checkpoints_come_often),
}

if __name__ == "__main__":
    PLANTED[sys.argv[1]]()
    del sys.argv[1]
    main()
