"""A queue with its history goes from one engine to another, whole, once, and wherever the process dies."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest

from relayd.errors import CopyFailed, LeaseLost, StoreMoved, StoreUnavailable
from relayd.mail.ids import WorkerNumber
from relayd.ports.outbox import TOLD, Subscription
from relayd.ports.view import Query
from relayd.store import examine, examine_server, open_view
from relayd.store.copying import postgres_side
from relayd.store.copying.opening import opened
from relayd.store.copying.run import Copied, copy, undo
from relayd.store.copying.side import Side
from relayd.store.copying.tables import LEFT_OUT, TABLES
from relayd.store.moved import DONE, Mark
from relayd.store.postgres import nodes
from relayd.store.postgres.line import WRITES, Line, Session
from relayd.store.sqlite.queue import SqliteStore
from relayd.store.sqlite.view import SqliteView
from relayd.store.url import shown
from tests.support import postgres
from tests.support.builders import a_message, settlements_of
from tests.support.clock import FakeClock
from tests.support.copying import LARGE, answers, fill_all
from tests.support.other_users import DAEMON, needs_root
from tests.support.people import ROOT
from tests.support.postgres import needs_postgres
from tests.support.stores import SLOTS, Box, open_postgres, open_sqlite
from tests.support.workers import registered

pytestmark = needs_postgres


@pytest.fixture
def server() -> Iterator[str]:
    """The URL of an empty database."""
    yield postgres.database()
    for table in ("queue", "slot"):
        for name in ("went_to_another_store", "copy_is_not_complete"):
            postgres.server().run(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}")
    postgres.empty()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a").mkdir()
    return tmp_path / "a"


@pytest.fixture
async def full(folder: Path) -> str:
    """The URL of a queue file with something of everything."""
    clock, path = FakeClock(), str(folder / "queue.db")
    store = SqliteStore.open(path, clock=clock, slots=SLOTS, keeps_bounced=True)
    box = Box(store=store, view=SqliteView(path), clock=clock)
    await fill_all(box)
    await box.close()
    return f"sqlite:{folder}/queue.db"


@asynccontextmanager
async def between(source: str, target: str) -> AsyncIterator[tuple[Side, Side]]:
    async with (
        opened(source, lambda _: "") as one,
        opened(target, lambda _: "", is_new=True) as other,
    ):
        yield one, other


async def copied(source: str, target: str) -> Copied:
    async with between(source, target) as (one, other):
        return await copy(one, other, lambda *_: None)


async def undone(source: str, target: str) -> None:
    async with opened(source, lambda _: "") as one:
        await undo(one, shown(target), lambda: opened(target, lambda _: ""))


async def cut_short(source: str, target: str, pieces: int) -> None:
    """Copy so many pieces."""

    def tell(*_: object) -> None:
        nonlocal pieces
        pieces -= 1
        if pieces < 0:
            raise KeyboardInterrupt

    async with between(source, target) as (one, other):
        with pytest.raises(KeyboardInterrupt):
            await copy(one, other, tell, at_once=10)


async def told(url: str) -> Mapping[str, Any]:
    with closing(open_view(url)) as view:
        return await answers(view)


def same(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    assert before.keys() == after.keys()
    for name, answer in before.items():
        assert after[name] == answer, name


async def register(url: str) -> None:
    """What a daemon does first. Raises StoreMoved."""
    box = (
        open_sqlite(Path(url.removeprefix("sqlite:")).parent) if url.startswith("sqlite:") else None
    )
    box = box or open_postgres(Path())
    try:
        await registered(box.store, "worker")
    finally:
        box.view.close()
        await box.store.close()


async def test_there_and_back(tmp_path: Path, full: str, server: str) -> None:
    """Each question has the same answer in the file, in the database, and in the file that is made of that."""
    last = f"sqlite:{tmp_path}/b.db"
    before = await told(full)
    there = await copied(full, server)
    same(before, await told(server))
    back = await copied(server, last)
    same(before, await told(last))
    assert there.rows == back.rows
    assert there.states == back.states
    assert there.octets == back.octets > 700 * 1024
    assert [name for name, rows in there.rows.items() if not rows] == []


def test_each_table_is_copied_or_left_out_for_a_reason(full: str, server: str) -> None:
    """Also one that a later schema brings."""
    with closing(apsw.Connection(full.removeprefix("sqlite:"))) as db:
        of_file = {
            name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        }
    of_server = set(
        postgres.server()
        .run(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " AND relkind IN ('r', 'p') AND NOT relispartition"
        )
        .split()
    )
    assert server
    copied_ones = {table.name for table in TABLES}
    assert of_file | of_server == copied_ones | LEFT_OUT.keys()
    assert not copied_ones & LEFT_OUT.keys()
    assert copied_ones <= of_file
    assert copied_ones <= of_server


def test_each_column_is_copied(full: str) -> None:
    """But what is computed, found out by the next claim, or read by nothing any more."""
    left_out = {
        "recipient": {"scope"},
        "destination": {"due_at", "left_at"},
        "content": {"body", "beside"},
    }
    made = {"recipient": {"siblings"}, "content": {"octets", "digest"}}
    with closing(apsw.Connection(full.removeprefix("sqlite:"))) as db:
        for table in TABLES:
            there = {row[1] for row in db.execute(f"PRAGMA table_info({table.name})")}
            there = {"number" if (table.name, each) == ("event", "id") else each for each in there}
            known = set(table.columns) - made.get(table.name, set())
            assert there - left_out.get(table.name, set()) == known, table.name


def test_each_column_of_a_database_is_copied(server: str) -> None:
    """But what is computed or found out by the next claim, and the lease of an unfinished recipient."""
    assert server
    left_out = {
        "recipient": {"epoch"},
        "destination": {"due_at", "left_at"},
        "content": {"parts", "body"},
    }
    made = {"content": {"octets", "digest"}}
    for table in TABLES:
        named = "'recipient', 'queue'" if table.name == "recipient" else f"'{table.name}'"
        there = set(
            postgres.server()
            .run(
                "SELECT DISTINCT attname FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped"
                f" AND attrelid::regclass::text IN ({named})"
            )
            .split()
        )
        known = set(table.columns) - made.get(table.name, set())
        assert there - left_out.get(table.name, set()) == known, table.name


async def test_killed_again_and_again(tmp_path: Path, full: str, server: str) -> None:
    """`kill -9` in the middle of pieces, in both directions; nothing is missing, and nothing is there twice."""
    last = f"sqlite:{tmp_path}/b.db"
    before = await told(full)
    assert _kill_often(full, server) > 3
    same(before, await told(server))
    assert _kill_often(server, last) > 3
    same(before, await told(last))


def _kill_often(source: str, target: str) -> int:
    """Copy, with a kill after every 25 pieces; return how many there were."""
    command = [sys.executable, "-m", "tests.support.copy_process", source, target, "5"]
    for kills in range(100):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for count, line in enumerate(process.stdout):
                if count == 25 and line.startswith("copying"):
                    process.kill()
                    break
            else:
                assert process.wait() == 0
                return kills
    raise AssertionError("it does not end")


async def test_no_relayd_serves_either_while_it_is_copied(
    tmp_path: Path, full: str, server: str
) -> None:
    await cut_short(full, server, 9)
    with pytest.raises(StoreMoved, match=r"is being copied .* --undo"):
        await register(full)
    with pytest.raises(StoreMoved, match=r"is not complete: go on with relayd store copy sqlite:"):
        await register(server)
    before = await told(full)
    await copied(full, server)
    same(before, await told(server))
    with pytest.raises(StoreMoved, match=r"went from sqlite:\S+ to postgresql:.*name that.*--undo"):
        await register(full)
    await register(server)
    await copied(server, f"sqlite:{tmp_path}/queue.db")
    with pytest.raises(StoreMoved, match=r"went from postgresql:"):
        await register(server)
    await register(f"sqlite:{tmp_path}/queue.db")


def why_moved(url: str) -> str:
    facts, _ = examine(url) if url.startswith("sqlite:") else examine_server(url)
    return facts.moved


async def test_a_look_from_outside_tells_which_of_the_two_may_be_served(
    full: str, server: str
) -> None:
    """`relayd store status` and `relayd doctor` tell what a daemon would at its start."""
    assert why_moved(full) == ""
    await cut_short(full, server, 9)
    asked = [await asyncio.to_thread(why_moved, url) for url in (full, server)]
    assert "is being copied" in asked[0]
    assert "is not complete" in asked[1]
    await copied(full, server)
    asked = [await asyncio.to_thread(why_moved, url) for url in (full, server)]
    assert "went from sqlite:" in asked[0]
    assert asked[1] == ""


async def test_very_many_rows_are_counted_about(
    full: str, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To count all of them takes longer than a statement may, and then a queue could never be copied."""
    await copied(full, server)
    async with opened(server, lambda _: "") as side:
        exact = {table.name: await side.count(table) for table in TABLES}
        postgres.server().run("DELETE FROM event")  # the server has not looked since
        monkeypatch.setattr(postgres_side, "_COUNTED", 0)
        about = {table.name: await side.count(table) for table in TABLES}
    assert about == exact


async def test_a_copy_that_is_complete_is_not_made_again(full: str, server: str) -> None:
    await copied(full, server)
    with pytest.raises(CopyFailed, match=r"went to postgresql:"):
        await copied(full, server)


async def test_undone_before_it_is_complete(full: str, server: str) -> None:
    await cut_short(full, server, 9)
    await undone(full, server)
    await register(full)
    with pytest.raises(StoreMoved, match="was given up"):
        await register(server)
    with pytest.raises(CopyFailed, match=r"has a copy of .* \(given up\)"):
        await copied(full, server)
    await register(full)


async def test_undone_after_it_was_complete(tmp_path: Path, full: str, server: str) -> None:
    await copied(full, server)
    with pytest.raises(CopyFailed, match="not to sqlite:"):
        await undone(full, f"sqlite:{tmp_path}/other.db")
    await undone(full, server)
    await register(full)
    with pytest.raises(StoreMoved, match="was given up"):
        await register(server)
    with pytest.raises(CopyFailed, match="nothing to undo"):
        await undone(full, server)


@pytest.mark.parametrize("way", ["there", "back"])
async def test_what_was_served_is_not_undone(
    tmp_path: Path, full: str, server: str, way: str
) -> None:
    """Both would send what waits."""
    source, target = full, server
    await copied(source, target)
    if way == "back":
        source, target = server, f"sqlite:{tmp_path}/queue.db"
        await copied(source, target)
    await register(target)
    with pytest.raises(CopyFailed, match="has been served since"):
        await undone(source, target)
    with pytest.raises(StoreMoved):
        await register(source)


async def test_a_store_with_mail_is_no_target(tmp_path: Path, full: str, server: str) -> None:
    box = open_postgres(tmp_path)
    await box.put(a_message("a@x.test"), worker=await registered(box.store, "worker"))
    with pytest.raises(CopyFailed, match="is in use, it has rows of `message`"):
        await copied(full, server)
    await register(full)  # as if nothing had been
    (tmp_path / "b").mkdir()
    with pytest.raises(CopyFailed, match="is in use, it has rows of `message`"):
        await copied(server, full)
    await box.close()


async def test_a_source_with_a_living_worker_is_refused(
    tmp_path: Path, full: str, server: str
) -> None:
    await copied(full, server)
    postgres.server().run(
        "INSERT INTO worker VALUES (1, 'node1', 'b', 'w', extract(epoch FROM now()) * 1000)"
    )
    with pytest.raises(CopyFailed, match=r"is served by node1, seen \d+ s ago: stop relayd"):
        await copied(server, f"sqlite:{tmp_path}/b.db")
    postgres.server().run("UPDATE worker SET seen_at = seen_at - 60001")
    await copied(server, f"sqlite:{tmp_path}/b.db")


@pytest.mark.parametrize(("mark", "is_refused"), [("here", False), ("beside", True)])
async def test_only_the_relayd_whose_lock_we_have_is_known_to_be_dead(
    tmp_path: Path, full: str, server: str, mark: str, *, is_refused: bool
) -> None:
    """Others may have the id of this machine: in a container, or from another folder of state."""
    await copied(full, server)
    postgres.server().run(
        "INSERT INTO worker VALUES (1, 'node1', 'b', 'w', extract(epoch FROM now()) * 1000);"
        f"INSERT INTO node VALUES ('node1', 'b', '{nodes.machine()} {mark}', '', 1, 1, '', 0)"
    )
    async with (
        opened(server, lambda _: "here") as one,
        opened(f"sqlite:{tmp_path}/b.db", lambda _: "", is_new=True) as other,
    ):
        if is_refused:
            with pytest.raises(CopyFailed, match="is served by node1"):
                await copy(one, other, lambda *_: None)
        else:
            await copy(one, other, lambda *_: None)


async def test_a_worker_that_slept_changes_nothing(tmp_path: Path, full: str, server: str) -> None:
    """Its machine was away for so long that it counts as dead, and comes back to a queue that went away."""
    await copied(full, server)
    box = open_postgres(tmp_path)
    box.advance(24 * 3600)
    worker = await registered(box.store, "sleeper", boot="new")
    [work, *_] = await box.claim(worker, limit=1)
    waiting = len(box.rows(Query(unfinished=True)))
    last = f"sqlite:{tmp_path}/b.db"
    await copied(server, last)
    with pytest.raises(StoreUnavailable, match="went_to_another_store"):
        await box.claim(worker)
    with pytest.raises(StoreUnavailable, match="went_to_another_store"):
        await box.put(a_message("new@x.test", at=box.clock.now()), worker=worker)
    with pytest.raises(LeaseLost):
        await box.store.settle(work.lease, settlements_of(work))
    assert len(box.rows(Query(unfinished=True))) == waiting
    with closing(open_view(last)) as view:
        assert len(view.find(Query(unfinished=True), limit=1000)) == waiting
    await undone(server, last)
    assert await box.claim(await registered(box.store, "again", boot="newer"))
    box.view.close()
    await box.store.close()


async def test_a_target_that_cannot_be_marked(full: str, server: str) -> None:
    """Somebody reads it for long: the source may be served as if nothing had been."""
    reader = Line(server, "reader", WRITES)
    reads, goes_on = asyncio.Event(), asyncio.Event()

    async def read(db: Session) -> None:
        await db.fetch("SELECT 1 FROM queue LIMIT 1")
        reads.set()
        await goes_on.wait()

    has_read = reader.submit(read)
    await reads.wait()
    with pytest.raises(StoreUnavailable, match="lock timeout"):
        await copied(full, server)
    await register(full)
    goes_on.set()
    await has_read
    await reader.close()


async def test_a_worker_that_slept_puts_nothing_into_a_copy(
    tmp_path: Path, full: str, server: str
) -> None:
    """It served the database before that was to be the copy: if the copy fails, what it accepted is lost."""
    box = open_postgres(tmp_path)
    box.advance(24 * 3600)
    worker = await registered(box.store, "sleeper")
    await cut_short(full, server, 30)
    with pytest.raises(StoreUnavailable, match="copy_is_not_complete"):
        await box.put(a_message("new@x.test", at=box.clock.now()), worker=worker)
    assert not await box.claim(worker)
    before = await told(full)
    await copied(full, server)
    same(before, await told(server))
    assert await box.claim(await registered(box.store, "again", boot="newer"))
    box.view.close()
    await box.store.close()


async def test_two_copies_at_a_time(full: str, server: str) -> None:
    """The second one notices before it writes anything."""
    await cut_short(full, server, 3)
    async with between(full, server) as (_, other):
        _, mark = await other.marks()
        assert mark is not None
        await other.advance(mark, replace(mark, table="event"))
        with pytest.raises(CopyFailed, match="another process copies"):
            await other.advance(mark, replace(mark, table="kept"))


async def cut_in_the_middle(tmp_path: Path, full: str, server: str, way: str) -> tuple[str, str]:
    """Copy in that direction, until the process dies; return from where to where."""
    source, target = full, server
    if way == "back":
        await copied(source, target)
        source, target = server, f"sqlite:{tmp_path}/queue.db"
    await cut_short(source, target, 9)
    return source, target


async def marks_of(one: Side, other: Side) -> tuple[Mark, Mark]:
    """Return the mark of a source that is left, and that of its target."""
    left, _ = await one.marks()
    _, arrived = await other.marks()
    assert left is not None
    assert arrived is not None
    return left, arrived


@pytest.mark.parametrize("way", ["there", "back"])
async def test_undone_while_another_process_copies(
    tmp_path: Path, full: str, server: str, way: str
) -> None:
    """On another machine, which has no lock here: whoever comes second finds that, and never are both served."""
    source, target = await cut_in_the_middle(tmp_path, full, server, way)
    async with between(source, target) as (one, other):
        left, arrived = await marks_of(one, other)
        await undone(source, target)
        with pytest.raises(CopyFailed, match="another process"):
            await one.leave(replace(left, state=DONE), left)
        with pytest.raises(CopyFailed, match="another process"):
            await other.complete(arrived)
    await register(source)
    with pytest.raises(StoreMoved):
        await register(target)


@pytest.mark.parametrize("way", ["there", "back"])
async def test_copied_while_another_process_undoes(
    tmp_path: Path, full: str, server: str, way: str
) -> None:
    source, target = await cut_in_the_middle(tmp_path, full, server, way)
    async with between(source, target) as (one, other):
        left, arrived = await marks_of(one, other)
        await copied(source, target)
        with pytest.raises(CopyFailed, match="another process"):
            await other.give_up(arrived)
        with pytest.raises(CopyFailed, match="another process"):
            await one.stay(left)
    with pytest.raises(StoreMoved):
        await register(source)
    await register(target)


async def test_a_copy_that_was_lost_is_made_again(full: str, server: str) -> None:
    """Nobody serves it before it is complete."""
    await copied(full, server)
    postgres.empty()
    with pytest.raises(CopyFailed, match="without --undo makes it again"):
        await undone(full, server)
    await cut_short(full, server, 9)
    with pytest.raises(StoreMoved, match="is not complete"):
        await register(server)
    before = await told(full)
    await copied(full, server)
    same(before, await told(server))
    await register(server)


@needs_root
async def test_a_copy_is_the_daemons_before_it_is_complete(
    tmp_path: Path, full: str, server: str
) -> None:
    """Who ends there leaves files that the daemon can read."""
    folder = tmp_path / "b"
    folder.mkdir()
    os.chown(folder, DAEMON.uid, -1)
    await copied(full, server)
    await cut_short(server, f"sqlite:{folder}/b.db", 60)
    async with opened(f"sqlite:{folder}/b.db", lambda _: "") as other:
        _, mark = await other.marks()
        assert mark is not None
        large = a_message("large@x.test")
        await other.put_contents([(large.id, bytes(LARGE))], mark, replace(mark, after=()))
        with pytest.raises(CopyFailed):
            await other.complete(mark)
    files = [*folder.rglob("*")]
    assert f"{folder}/b.db.content" in {str(each.parent) for each in files}
    assert {each.stat().st_uid for each in files} == {DAEMON.uid}


@pytest.mark.parametrize(
    "change", ["DELETE FROM event WHERE number % 7 = 0", "UPDATE queue SET attempts = 9"]
)
async def test_a_copy_that_is_not_the_same(full: str, server: str, change: str) -> None:
    """The source may be served, and the copy may not."""

    def tell(what: str, *_: object) -> None:
        if what == "comparing message":
            postgres.server().run(f"SET application_name = 'relayd/copy'; {change}")

    async with between(full, server) as (one, other):
        with pytest.raises(CopyFailed, match=r"is not the same: (event|recipient) has .*as before"):
            await copy(one, other, tell)
    await register(full)
    with pytest.raises(StoreMoved, match="was given up"):
        await register(server)


async def test_content_that_is_not_the_same(full: str, server: str) -> None:
    """Octets count, not only how many."""

    def tell(what: str, *_: object) -> None:
        if what == "comparing message":
            flipped = "set_byte(body, 99, 0)"
            postgres.server().run(f"UPDATE content_part SET body = {flipped} WHERE part = 1")

    async with between(full, server) as (one, other):
        with pytest.raises(CopyFailed, match=r"content has as many rows"):
            await copy(one, other, tell)


@pytest.mark.parametrize("way", ["there", "back"])
async def test_what_was_leased_is_due(folder: Path, tmp_path: Path, server: str, way: str) -> None:
    """Of a daemon that was killed: its attempts may have been sent."""
    box = open_sqlite(folder)
    source, target = f"sqlite:{folder}/queue.db", server
    if way == "back":
        await box.close()
        box = open_postgres(tmp_path)
        source, target = server, f"sqlite:{tmp_path}/b.db"
    worker = await registered(box.store, "worker")
    await box.put(a_message("a@x.test", "b@x.test"), worker=worker, leased=True)
    box.view.close()
    await box.store.close()
    await copied(source, target)
    with closing(open_view(target)) as view:
        rows = view.find(Query(), limit=9)
        assert [(row.leased, row.possible_duplicate) for row in rows] == [(False, True)] * 2


@pytest.mark.parametrize("way", ["there", "back"])
async def test_the_copy_goes_on_where_the_queue_was(
    tmp_path: Path, full: str, server: str, way: str
) -> None:
    """What waits is delivered, events get greater numbers, and numbers are not given again."""
    await copied(full, server)
    box = open_postgres(tmp_path)
    if way == "back":
        box.view.close()
        await box.store.close()
        await copied(server, f"sqlite:{tmp_path}/queue.db")
        box = open_sqlite(tmp_path)
    box.advance(24 * 3600)
    last = box.view.last_event()
    latest = box.view.latest(1000)
    worker = await registered(box.store, "new", boot="new")
    waiting = {
        (row.message_id, row.recipient)
        for row in box.rows()
        if row.status == "queued" and row.tag != "paused"
    }
    sent = await _deliver(box, worker)
    assert waiting <= sent
    assert box.view.last_event() > last
    assert len(box.view.events(after=last, limit=1000)) == len(sent)
    assert len(box.view.latest(2000)) == len(latest) + len(sent)
    numbers = {each.id for each in box.view.outbox.endpoints()}
    again = await _endpoint_of(box)
    assert again == max(numbers) + 2  # the one behind them was deleted
    await box.close()


async def test_events_get_numbers_behind_those_of_another_server(
    tmp_path: Path, full: str, server: str
) -> None:
    """Their numbers begin with those of transactions, which each server counts for itself."""
    number = int(postgres.server().run("SELECT pg_current_xact_id()")) + 150_000
    with closing(apsw.Connection(full.removeprefix("sqlite:"))) as db:
        db.execute("DROP TRIGGER event_told")
        db.execute("UPDATE event SET id = id + ?", (number << 16,))
        db.execute("UPDATE delivery SET event = event + ? WHERE event > 0", (number << 16,))
        db.execute("UPDATE meta SET value = value + ? WHERE key = 'tallied'", (number << 16,))
    before = await told(full)
    await copied(full, server)
    same(before, await told(server))
    box = open_postgres(tmp_path)
    worker = await registered(box.store, "new", boot="new")
    box.advance(24 * 3600)
    last = box.view.last_event()
    sent = await _deliver(box, worker)
    assert len(box.view.events(after=last, limit=1000)) == len(sent) > 0
    await box.close()


async def _deliver(box: Box, worker: WorkerNumber) -> set[tuple[int, int]]:
    sent: set[tuple[int, int]] = set()
    while works := await box.claim(worker):
        for work in works:
            content = work.content or await box.store.content(work.message.id)
            assert content is not None
            assert len(content) == work.message.size
            await box.store.settle(work.lease, settlements_of(work))
            sent |= {(work.message.id, one.number) for one in work.recipients}
    return sent


async def _endpoint_of(box: Box) -> int:
    wanted = Subscription(url="https://c.test/", kinds=TOLD)
    added = await box.store.outbox.put_endpoint(wanted, author=ROOT)
    assert added is not None
    return added
