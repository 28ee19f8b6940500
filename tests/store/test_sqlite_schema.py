"""A queue file of an older relayd is brought up to date at the start, with all that lies in it (A-104)."""

from contextlib import closing
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import apsw
import pytest

from relayd.errors import StoreUnavailable
from relayd.mail.operator import Action
from relayd.mail.outcome import Relayed
from relayd.mail.words import BounceClass, Category
from relayd.ports.view import Query, Status
from relayd.store.sqlite import connection
from relayd.store.sqlite.connection import newest_schema, prepare
from relayd.store.sqlite.view import SqliteView
from tests.support.builders import a_bounce, a_message, settlements_of
from tests.support.clock import START
from tests.support.old_queue import OLD, an_old_queue
from tests.support.stores import ALL, open_sqlite
from tests.support.workers import registered


@pytest.mark.parametrize("schema", range(1, 4))
async def test_a_queue_of_an_older_schema_is_brought_up_to_date(
    tmp_path: Path, schema: int
) -> None:
    """What waits is delivered, and all that is there is found."""
    an_old_queue(tmp_path / "queue.db", schema=schema)
    box = open_sqlite(tmp_path)
    box.advance(3600)
    assert [row.address for row in box.rows(Query(sender=("SHOP@app.test",)))] == [
        "b@x.test",
        "a@x.test",
    ]
    [bounced] = box.rows(Query(sender=("shop@app.test",), status=(Status.BOUNCED,)))
    assert bounced.address == "b@x.test"
    hard = Query(tag=("news",), bounce_class=(BounceClass.HARD,))
    assert [row.address for row in box.rows(hard)] == ["shop@app.test", "b@x.test"]
    [deferred] = box.rows(Query(domain=("y.test",), status=(Status.DEFERRED,)))
    assert [row.address for row in box.view.addresses(Query(), limit=ALL)] == [
        "c@y.test",
        "b@x.test",
        "a@x.test",
    ]
    assert box.view.is_suppressed("b@x.test")
    assert not box.view.is_suppressed("shop@app.test")
    worker = await registered(box.store, "1")
    [work] = await box.claim(worker)
    assert work.message.id == deferred.message_id
    assert work.message.age >= timedelta()
    await box.store.settle(work.lease, settlements_of(work, Relayed()))
    assert len(box.rows(Query(status=(Status.RELAYED,)))) == 2
    await box.close()


async def test_what_was_returned_late_before_holds_for_its_sender(tmp_path: Path) -> None:
    """Whoever had the mail could have said so; what we heard ourselves stays for all."""
    path = tmp_path / "queue.db"
    an_old_queue(path, schema=11)
    with closing(apsw.Connection(str(path))) as db:
        db.execute(
            "UPDATE message SET reverse_path = 'Shop@App.test' WHERE reverse_path <> '';"
            "UPDATE recipient SET state = 'bounced', suppress = 1 WHERE address = 'a@x.test';"
            "INSERT INTO event (message_id, recipient, at, kind, detail)"
            " SELECT message_id, number, 0, 'late_bounced', '{}' FROM recipient"
            " WHERE address = 'a@x.test'"
        )
    box = open_sqlite(tmp_path)
    assert box.view.is_suppressed("b@x.test", sender="new@app.test")
    assert box.view.is_suppressed("a@x.test", sender="shop@app.test")
    assert not box.view.is_suppressed("a@x.test", sender="new@app.test")
    await box.close()


async def test_workers_of_an_older_relayd_are_dead(tmp_path: Path) -> None:
    """What they had leased is free, and their numbers are not given again."""
    path = tmp_path / "queue.db"
    an_old_queue(path, schema=14)
    with closing(apsw.Connection(str(path))) as db:
        db.execute(
            "INSERT INTO worker (number, name, daemon) VALUES (700, '3', 'before');"
            "INSERT INTO slot (id, destination, worker, epoch, lease_ends_at)"
            " VALUES (1, 'smarthost', 700, 1, 9000000000000);"
            "UPDATE recipient SET slot = 1 WHERE address = 'c@y.test'"
        )
    box = open_sqlite(tmp_path)
    worker = await registered(box.store, "1", boot="after")
    assert worker == 701
    [work] = await box.claim(worker)
    assert [each.possible_duplicate for each in work.recipients] == [True]
    await box.close()


async def test_a_history_from_before_begins_with_its_reception_all_the_same(tmp_path: Path) -> None:
    """It was no event then: it is told from the message, and once."""
    path = tmp_path / "queue.db"
    an_old_queue(path, schema=15)
    box = open_sqlite(tmp_path)
    box.advance(3600)
    [row] = box.rows(Query(status=(Status.DEFERRED,)))
    worker = await registered(box.store, "1")
    [work] = await box.claim(worker)
    await box.store.settle(work.lease, settlements_of(work, Relayed()))
    received, relayed = box.view.history(row.message_id)
    assert (received.kind, received.at, relayed.kind) == ("received", row.received_at, "relayed")
    assert received.detail == {"client_ip": "", "helo": "app.test", "listener": "main"}
    assert [each.kind for each in box.view.latest(ALL)] == ["relayed"]
    await box.close()


async def test_what_was_held_before_begins_to_age_with_its_release(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    an_old_queue(path, schema=16)
    with closing(apsw.Connection(str(path))) as db:
        db.execute(
            "UPDATE message SET served_at = -1000000;"
            "UPDATE recipient SET state = 'held' WHERE address = 'c@y.test'"
        )
    box = open_sqlite(tmp_path)
    worker = await registered(box.store, "1")
    box.advance(3600)
    await box.store.act(Query(domain=("y.test",)), Action.RELEASE, by="ann", reason="")
    [work] = await box.claim(worker)
    assert work.message.age - work.recipients[0].uncounted == timedelta()
    await box.close()


def test_a_start_that_is_ended_goes_on_behind_its_last_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step is for good: with millions of messages all of them take longer than a start may."""
    path = tmp_path / "queue.db"
    an_old_queue(path, schema=3)
    steps = connection._migrations()
    for stop in range(4, newest_schema() + 1):
        broken = [*(each for each in steps if each[0] <= stop), (stop + 1, "SELECT no_such_thing")]
        with monkeypatch.context() as patched:
            patched.setattr(connection, "_migrations", lambda broken=broken: broken)
            with pytest.raises(StoreUnavailable, match="no_such_thing"):
                prepare(str(path))
        with closing(apsw.Connection(str(path))) as db:
            assert db.execute("PRAGMA user_version").get == stop
    prepare(str(path))
    with closing(SqliteView(str(path))) as view:
        assert len(view.find(Query(), limit=ALL)) == len(OLD)


def test_what_bounced_before_is_found_by_user_client_and_destination(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    an_old_queue(path, schema=29)
    with closing(apsw.Connection(str(path))) as db:
        db.execute("UPDATE message SET auth_user = 'Shop', client_ip = '192.0.2.7'")
    prepare(str(path))
    with closing(SqliteView(str(path))) as view:
        for given in (
            {"user": ("shop",)},
            {"client": (ip_network("192.0.2.0/24"),)},
            {"destination": ("smarthost",)},
        ):
            rows = view.find(Query(status=(Status.BOUNCED,), **given), limit=ALL)
            assert [row.address for row in rows] == ["shop@app.test", "b@x.test"]


async def test_suppressions_of_the_history_are_kept_from_now_on(tmp_path: Path) -> None:
    """As it told them: what was lifted stays lifted, and one inactive mailbox is not two."""
    path = tmp_path / "queue.db"
    an_old_queue(path, schema=16)
    inactive = "state = 'bounced', category = 'inactive_mailbox', bounce_class = 'block'"
    with closing(apsw.Connection(str(path))) as db:
        db.execute(
            "UPDATE recipient SET reply = '550 5.1.1 gone' WHERE address = 'b@x.test';"
            "UPDATE recipient SET returned = 1 WHERE address = 'shop@app.test';"
            f"UPDATE recipient SET {inactive} WHERE address IN ('a@x.test', 'c@y.test');"
            "INSERT INTO recipient (message_id, number, address, address_key, destination, state,"
            " category, bounce_class, suppress, scope, next_attempt_at, attempts, updated_at)"
            " SELECT message_id, number + tens * 10 + ones, 'late@y.test', 'y.test@late', destination,"
            " 'bounced', 'bad_mailbox', 'hard', 1, 'app@app.test', 0, 1, updated_at + ones"
            " FROM recipient, (SELECT value AS tens FROM json_each('[1,2,3]')),"
            " (SELECT value AS ones FROM json_each('[0,1,2]')) WHERE address = 'c@y.test';"
            "INSERT INTO recipient (message_id, number, address, address_key, destination, state,"
            " category, bounce_class, suppress, next_attempt_at, attempts, updated_at)"
            " SELECT message_id, number + 1, address, address_key, destination, state, category,"
            " bounce_class, suppress, 0, 1, updated_at FROM recipient WHERE address = 'c@y.test';"
            "INSERT INTO recipient (message_id, number, address, address_key, destination, state,"
            " category, bounce_class, suppress, next_attempt_at, attempts, updated_at)"
            " SELECT message_id, number + 1, 'lifted@y.test', 'y.test@lifted', destination, 'bounced',"
            " 'bad_mailbox', 'hard', 1, 0, 1, updated_at FROM recipient WHERE address = 'b@x.test';"
            "INSERT INTO unsuppressed SELECT 'y.test@lifted', updated_at, 'ann' FROM recipient"
            " WHERE address = 'lifted@y.test'"
        )
    box = open_sqlite(tmp_path)
    gone, late = box.view.suppressions(limit=ALL)
    assert (gone.address, gone.scope, gone.reason) == ("b@x.test", "", "550 5.1.1 gone")
    assert (gone.by, gone.at) == ("", START + timedelta(minutes=2))
    assert (late.address, late.scope) == ("late@y.test", "app@app.test")
    box.advance(3600)
    worker = await registered(box.store, "1")
    for address, suppressed in (("a@x.test", True), ("c@y.test", True), ("d@y.test", False)):
        message = a_message(address, at=box.clock.now())
        [work] = await box.put(message, worker=worker, leased=True)
        inactive_mailbox = a_bounce(BounceClass.BLOCK, category=Category.INACTIVE_MAILBOX)
        await box.store.settle(work.lease, settlements_of(work, inactive_mailbox))
        assert box.view.is_suppressed(address) is suppressed
    await box.close()


def test_no_two_steps_have_a_number() -> None:
    """A queue that is at the number of one of them would never get the other."""
    numbers = [number for number, _ in connection._migrations()]
    assert numbers == list(range(1, newest_schema() + 1))
