"""What only the SQLite store can get wrong: commits, large backlogs, older files, the plans of questions."""

from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from relayd.errors import StoreUnavailable
from relayd.mail.words import EventKind
from relayd.ports.outbox import (
    DeliveryQuery,
    DeliveryState,
    EndpointId,
    Replay,
    Subscription,
)
from relayd.ports.people import Author
from relayd.store.sqlite import deliveries, endpoints, outbox_view
from relayd.store.sqlite.queue import SqliteStore
from tests.support.builders import a_message, settlements_of
from tests.support.stores import ALL, LEASE, Box, open_sqlite
from tests.support.workers import registered

ANNA = Author(by="anna (console)", client="192.0.2.7")
RELAYED = Subscription(url="https://app.test/hook", kinds=(EventKind.RELAYED,))


async def relayed(box: Box, *addresses: str) -> None:
    worker = await registered(box.store, "worker")
    message = a_message(*addresses, at=box.clock.now())
    for work in await box.put(message, worker=worker, leased=True):
        await box.store.settle(work.lease, settlements_of(work, at=box.clock.now()))


def told(path: Path) -> list[int]:
    """The events of which there is a delivery, as another process sees them."""
    with closing(apsw.Connection(str(path / "queue.db"))) as db:
        return [event for (event,) in db.execute("SELECT event FROM delivery ORDER BY event")]


def happened(path: Path) -> list[int]:
    with closing(apsw.Connection(str(path / "queue.db"))) as db:
        rows = db.execute("SELECT id FROM event WHERE kind = 'relayed' ORDER BY id")
        return [event for (event,) in rows]


async def cut_short(box: Box) -> None:
    """Have events recorded in a transaction that fails at its end."""
    store = box.store
    assert isinstance(store, SqliteStore)
    writer = store._writer

    def fail(db: apsw.Connection) -> None:
        db.execute("INSERT INTO event SELECT NULL, message_id, 0, at, 'relayed', '{}' FROM event")
        raise apsw.SQLError("cut short")

    with pytest.raises(StoreUnavailable):
        await writer.submit(fail)


async def test_event_and_delivery_are_one_transaction(tmp_path: Path) -> None:
    box = open_sqlite(tmp_path)
    await box.store.outbox.put_endpoint(RELAYED, author=ANNA)
    await relayed(box, "a@x.test")
    await cut_short(box)
    assert told(tmp_path) == happened(tmp_path) != []
    await box.close()


async def test_an_outbox_outside_the_transaction_is_found_out(tmp_path: Path) -> None:
    """The control: deliveries that are written after the commit are missing when it ends there."""
    box = open_sqlite(tmp_path)
    await box.store.outbox.put_endpoint(RELAYED, author=ANNA)
    with closing(apsw.Connection(str(tmp_path / "queue.db"))) as db:
        db.execute("DROP TRIGGER event_told")
    await relayed(box, "a@x.test")  # and here the process would die
    assert told(tmp_path) != happened(tmp_path)
    await box.close()


async def test_nothing_is_written_while_nothing_is_due(tmp_path: Path) -> None:
    """Asked every second, for ever: no commit, and no sync of the disk."""
    box = open_sqlite(tmp_path)
    store = box.store
    assert isinstance(store, SqliteStore)
    await store.outbox.put_endpoint(RELAYED, author=ANNA)
    before = store._writer._db.total_changes()
    assert list(await store.outbox.claim_deliveries(ALL, lease_for=LEASE)) == []
    assert store._writer._db.total_changes() == before
    await box.close()


async def test_a_large_backlog_is_deleted_in_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "_AT_ONCE", 3)
    box = open_sqlite(tmp_path)
    endpoint = await box.store.outbox.put_endpoint(RELAYED, author=ANNA)
    await relayed(box, *(f"{number}@x.test" for number in range(10)))
    assert endpoint is not None
    assert await box.store.outbox.drop_endpoint(endpoint, author=ANNA)
    assert told(tmp_path) == []
    await box.close()


async def test_a_deletion_that_was_cut_short_goes_on_with_the_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "_AT_ONCE", 3)
    box = open_sqlite(tmp_path)
    endpoint = await box.store.outbox.put_endpoint(RELAYED, author=ANNA)
    await relayed(box, *(f"{number}@x.test" for number in range(5)))
    store = box.store
    assert isinstance(store, SqliteStore)
    assert await store._writer.submit(
        lambda db: endpoints.drop(db, EndpointId(endpoint or 0), author=ANNA, now=box.clock.now())
    )
    assert box.view.outbox.endpoints() == []
    for left in (2, 0):
        await box.store.purge(box.clock.now() - timedelta(days=1))
        assert len(told(tmp_path)) == left
    await box.close()


PLANS = {
    "what is due": (deliveries._DUE, (1, 0), "delivery_due"),
    "leases that ended": (deliveries._ENDED, (1, 0), "delivery_sending"),
    "the line of a recipient": (deliveries._LINE, (1, 1, 0), "delivery_unfinished"),
    "what was given up": (
        outbox_view._KEYS.format("<", " AND state = 'failed'", "DESC"),
        (1, 9, 9),
        "delivery_failed",
    ),
    "a page": (outbox_view._KEYS.format("<", "", "DESC"), (1, 2**62, 50), "event<?"),
    "a page back": (outbox_view._KEYS.format(">", "", "ASC"), (1, 0, 50), "event>?"),
    "what waits": (outbox_view._WAITING, (1, 9), "COVERING INDEX delivery_unfinished"),
    "what failed": (outbox_view._FAILED, (1, 9), "COVERING INDEX delivery_failed"),
}


@pytest.mark.parametrize("name", PLANS)
async def test_what_is_asked_all_the_time_reads_an_index(tmp_path: Path, name: str) -> None:
    """A million deliveries that are done cost nothing."""
    box = open_sqlite(tmp_path)
    sql, bindings, index = PLANS[name]
    with closing(apsw.Connection(str(tmp_path / "queue.db"))) as db:
        plan = " ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", bindings))
    assert index in plan, plan
    assert "TEMP B-TREE" not in plan, plan
    assert "TEMP B-TREE" not in plan
    await box.close()


async def test_a_question_that_is_about_nothing_new_finds_older_events_no_more(
    tmp_path: Path,
) -> None:
    """An id of an event that comes again after a purge is another delivery's."""
    box = open_sqlite(tmp_path)
    endpoint = await box.store.outbox.put_endpoint(RELAYED, author=ANNA)
    assert endpoint is not None
    ids = []
    for _ in range(2):
        await relayed(box, "a@x.test")
        [row] = box.view.outbox.deliveries(DeliveryQuery(endpoint=endpoint))
        ids.append((row.number, row.webhook_id))
        box.advance(3600)
        assert await box.store.purge(box.clock.now() + timedelta(seconds=1)) == 1
    assert ids[0][0] == ids[1][0]
    assert ids[0][1] != ids[1][1]
    await box.close()


async def test_states_of_one_kind_are_shown_of_many(tmp_path: Path) -> None:
    box = open_sqlite(tmp_path)
    endpoint = await box.store.outbox.put_endpoint(replace(RELAYED, is_on=False), author=ANNA)
    assert endpoint is not None
    await relayed(box, *(f"{number}@x.test" for number in range(5)))
    waiting = DeliveryQuery(endpoint=endpoint, states=(DeliveryState.WAITING,), limit=2)
    assert len(box.view.outbox.deliveries(waiting)) == 2
    assert (await box.store.outbox.replay(Replay(endpoint=endpoint), author=ANNA)).changed == 0
    await box.close()
