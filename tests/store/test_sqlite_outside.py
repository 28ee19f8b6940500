"""Who may read the queue without being its daemon, and what that leaves behind."""

import os
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

import apsw
import pytest

from relayd.errors import StoreForbidden, StoreUnavailable, TookTooLong
from relayd.ports.view import Query, QueueView
from relayd.store.sqlite import outside
from relayd.store.sqlite.connection import open_reader, prepare
from relayd.store.sqlite.view import SqliteView
from tests.support.builders import a_message
from tests.support.cli_world import enqueue
from tests.support.forked import in_a_child
from tests.support.other_users import (
    DAEMON,
    MEMBER,
    STRANGER,
    User,
    a_folder_for_all,
    acting_as,
    needs_open_code,
    needs_root,
)
from tests.support.stores import ALL, Box, open_sqlite


@pytest.fixture
def folder() -> Iterator[Path]:
    """The state directory as systemd makes it."""
    with a_folder_for_all() as above:
        path = above / "state"
        path.mkdir(mode=0o750)
        path.chmod(0o750)
        os.chown(path, DAEMON.uid, DAEMON.groups[0])
        yield path


def addresses(view: QueueView) -> set[str]:
    return {row.address for row in view.find(Query(), limit=ALL)}


def read_as(user: User, path: Path) -> set[str]:
    with acting_as(user), closing(SqliteView(str(path))) as view:
        return addresses(view)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def stopped(folder: Path, *recipients: str) -> Path:
    """A queue that a daemon has left."""
    box = open_sqlite(folder)
    await enqueue(box.store, *(a_message(each) for each in recipients))
    await box.close()
    return folder / "queue.db"


@needs_root
@needs_open_code
async def test_a_member_reads_while_the_daemon_runs_and_when_it_has_stopped(folder: Path) -> None:
    with acting_as(DAEMON):
        box = open_sqlite(folder)
        await enqueue(box.store, a_message("a@x.test"))
    queue = folder / "queue.db"
    assert (folder / "queue.db-wal").exists()
    assert read_as(MEMBER, queue) == {"a@x.test"}
    with acting_as(DAEMON):
        await box.close()
    assert not (folder / "queue.db-wal").exists()
    before = names(folder)
    assert read_as(MEMBER, queue) == {"a@x.test"}
    assert names(folder) == before


@needs_root
@needs_open_code
def test_a_member_reads_what_a_killed_daemon_left(folder: Path) -> None:
    """Its -wal and -shm are there, and nobody has them open."""

    def write() -> None:
        with acting_as(DAEMON):
            prepare(str(folder / "queue.db"))
            db = apsw.Connection(str(folder / "queue.db"))
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("CREATE TABLE written (here)")
            held.append(db)  # open when the child is killed

    held: list[apsw.Connection] = []
    in_a_child(write)
    assert (folder / "queue.db-wal").stat().st_size > 0
    with acting_as(MEMBER), closing(SqliteView(str(folder / "queue.db"))) as view:
        assert view._db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'written'").get


@needs_root
@needs_open_code
async def test_without_immutable_a_member_cannot_read_a_stopped_queue(folder: Path) -> None:
    """The negative control: this is why the file is opened in another way then."""
    with acting_as(DAEMON):
        queue = await stopped(folder, "a@x.test")
    with acting_as(MEMBER), pytest.raises(StoreUnavailable):
        closing(open_reader(str(queue)))


@needs_root
@needs_open_code
async def test_who_may_not_read_is_told_who_may(folder: Path) -> None:
    with acting_as(DAEMON):
        queue = await stopped(folder, "a@x.test")
    with acting_as(STRANGER), pytest.raises(StoreForbidden, match=r"you may not read .*: ask as "):
        SqliteView(str(queue))


async def test_a_reader_leaves_no_file_behind(tmp_path: Path) -> None:
    """Also one who may write there, such as root: a -wal of root's would stop the daemon."""
    queue = await stopped(tmp_path, "a@x.test")
    before = names(tmp_path)
    with closing(SqliteView(str(queue))) as view:
        assert addresses(view) == {"a@x.test"}
        assert names(tmp_path) == before
    assert names(tmp_path) == before


async def test_a_view_follows_a_daemon_that_starts_and_stops(tmp_path: Path) -> None:
    queue = await stopped(tmp_path, "a@x.test")
    with closing(SqliteView(str(queue))) as view:
        assert addresses(view) == {"a@x.test"}
        box = open_sqlite(tmp_path)
        await enqueue(box.store, a_message("b@x.test", count=7))
        assert addresses(view) == {"a@x.test", "b@x.test"}
        await box.close()
        assert addresses(view) == {"a@x.test", "b@x.test"}
        box = open_sqlite(tmp_path)
        await enqueue(box.store, a_message("c@x.test", count=8))
        await box.close()
        assert addresses(view) == {"a@x.test", "b@x.test", "c@x.test"}


async def test_what_a_starting_daemon_changes_meanwhile_is_asked_again(tmp_path: Path) -> None:
    queue = await stopped(tmp_path, "a@x.test")
    with closing(outside.OutsideReader(str(queue))) as reader:
        asked: list[apsw.Connection] = []
        boxes: list[Box] = []

        def question() -> int:
            asked.append(reader.db)
            if not boxes:
                boxes.append(open_sqlite(tmp_path))
            return len(asked)

        assert reader.ask(question) == 2
        assert asked[0] is not asked[1]
        await boxes[0].close()


async def test_a_file_that_never_rests_is_told(tmp_path: Path) -> None:
    queue = await stopped(tmp_path, "a@x.test")
    with closing(outside.OutsideReader(str(queue))) as reader:

        def question() -> None:
            queue.touch()

        with pytest.raises(StoreUnavailable, match="ask again"):
            reader.ask(question)


async def test_a_read_that_the_wal_beginning_anew_disturbs_is_asked_once_more(
    tmp_path: Path,
) -> None:
    box = open_sqlite(tmp_path)
    with closing(outside.OutsideReader(str(tmp_path / "queue.db"))) as reader:
        asked: list[int] = []

        def question() -> str:
            asked.append(1)
            if len(asked) == 1:
                raise StoreUnavailable("as SQLite says it") from apsw.ReadOnlyError("")
            return "read"

        assert reader.ask(question) == "read"

        def damaged() -> str:
            asked.append(1)
            raise StoreUnavailable("as SQLite says it") from apsw.CorruptError("")

        asked.clear()
        with pytest.raises(StoreUnavailable):
            reader.ask(damaged)
        assert len(asked) == 1
    await box.close()


def test_every_question_is_asked_like_that() -> None:
    others = {
        "close",
        "people",
        "outbox",
        "permits",
        "sites",
        "trust",
        "samples",
    }  # but for the first they have questions of their own
    verbs = {name for name in vars(QueueView) if not name.startswith("_")} - others
    assert verbs
    assert {name for name in verbs if hasattr(getattr(SqliteView, name), "__wrapped__")} == verbs


@pytest.mark.parametrize("name", ["a?b#c%41.db", "plain.db"])
async def test_a_path_is_no_uri(tmp_path: Path, name: str) -> None:
    prepare(str(tmp_path / name))
    with closing(SqliteView(str(tmp_path / name))) as view:
        assert addresses(view) == set()


async def test_a_queue_of_an_older_relayd_is_opened_to_its_group(tmp_path: Path) -> None:
    queue = await stopped(tmp_path, "a@x.test")
    queue.chmod(0o600)
    box = open_sqlite(tmp_path)
    files = {queue, tmp_path / "queue.db-wal", tmp_path / "queue.db-shm"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o640}
    await box.close()


@pytest.mark.parametrize("umask", [0o027, 0o077])
async def test_a_new_queue_is_for_its_group_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        box = open_sqlite(tmp_path)
        files = [tmp_path / f"queue.db{end}" for end in ("", "-wal", "-shm")]
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o640}
        assert stat.S_IMODE((tmp_path / "queue.db.write").stat().st_mode) == 0o600
        await box.close()
    finally:
        os.umask(before)


async def test_a_question_is_stopped_when_its_time_is_over(tmp_path: Path) -> None:
    """The next one has its own time."""
    box = open_sqlite(tmp_path)
    recipients = [f"a{number}@x.test" for number in range(1000)]
    await enqueue(box.store, *(a_message(*recipients) for _ in range(3)))
    with closing(SqliteView(str(tmp_path / "queue.db"), within=0)) as view:
        with pytest.raises(TookTooLong, match="took more than 0 s: ask a narrower one"):
            view.addresses(Query(), limit=ALL)
        assert view.pause_rules() == []  # a short one is over before the clock is looked at
    with closing(SqliteView(str(tmp_path / "queue.db"), within=60)) as view:
        assert len(view.addresses(Query(), limit=ALL)) == 1000
    await box.close()


def test_a_file_that_goes_while_it_is_looked_at_is_not_a_forbidden_one(tmp_path: Path) -> None:
    """A clean stop removes the -wal, and a start makes it: between two calls of whoever looks, too."""
    beside = tmp_path / "queue.db-wal"
    is_over = Event()

    def come_and_go() -> None:
        while not is_over.is_set():
            beside.touch()
            beside.unlink()

    other = Thread(target=come_and_go)
    other.start()
    try:
        for _ in range(5_000):
            outside._look_at(str(beside))
    finally:
        is_over.set()
        other.join()
