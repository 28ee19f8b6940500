"""The tally of the SQLite store: counted once whatever dies, and small."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import pytest

from relayd.mail.tally import DAY, HOUR, KEPT, MOST_VALUES, TEN_MINUTES, Dimension
from relayd.ports.tally import TallyQuery
from relayd.store.sqlite import tally_view, tallying
from relayd.store.sqlite.connection import open_writer
from tests.support.histories import fill
from tests.support.stores import Box, open_sqlite
from tests.support.tallies import recounted, told, told_in_all


@pytest.fixture
async def box(tmp_path: Path) -> Box:
    """A queue with some history, of which nothing is counted."""
    opened = open_sqlite(tmp_path)
    await fill(opened, messages=40)
    return opened


@pytest.fixture
def db(box: Box, tmp_path: Path) -> Iterator[apsw.Connection]:
    assert box.rows()
    with closing(open_writer(str(tmp_path / "queue.db"))) as opened:
        yield opened


async def _count(box: Box, at_once: int) -> None:
    while await box.store.tally_up(at_once):
        pass


def _is_right(box: Box) -> bool:
    return all(
        told(box.view.tally(TallyQuery(by=by))) == recounted(box.view, by) for by in Dimension
    )


def test_a_batch_counts_once_however_many_workers_counted_it(box: Box, db: apsw.Connection) -> None:
    one, other = (tallying.batch(db, least=1, most=50) for _ in range(2))
    assert one is not None
    assert other is not None
    for each in (one, other):
        with db:
            tallying.add(db, each, now=0)
        assert _is_right(box)


def test_a_batch_that_is_added_twice_would_be_noticed(box: Box, db: apsw.Connection) -> None:
    """The negative control of the test before."""
    one = tallying.batch(db, least=1, most=50)
    assert one is not None
    with db:
        tallying.add(db, one, now=0)
        tallying.write_meta(db, "tallied", one.of.seen)
        tallying.add(db, one, now=0)
    assert not _is_right(box)


async def test_who_dies_while_it_is_added_leaves_nothing(
    box: Box, db: apsw.Connection, tmp_path: Path
) -> None:
    """Nor does somebody who comes later count twice."""
    await box.store.tally_up(30)
    one = tallying.batch(db, least=1, most=50)
    assert one is not None
    db.execute("BEGIN IMMEDIATE")
    tallying.add(db, one, now=0)
    died = tmp_path / "died"
    died.mkdir()
    for end in ("", "-wal"):
        (died / f"queue.db{end}").write_bytes((tmp_path / f"queue.db{end}").read_bytes())
    db.execute("ROLLBACK")
    left = open_sqlite(died)
    assert _is_right(left)
    await _count(left, 20)
    assert _is_right(left)
    await left.close()


def test_a_batch_of_events_that_are_no_longer_there_is_not_added(db: apsw.Connection) -> None:
    """Their numbers may be given again."""
    one = tallying.batch(db, least=1, most=10_000)
    assert one is not None
    with db:
        db.execute("UPDATE event SET at = at + 1 WHERE id = (SELECT max(id) FROM event)")
        tallying.add(db, one, now=0)
    assert db.execute("SELECT count(*) FROM tally").get == 0
    assert tallying.read_meta(db, "tallied") == 0


async def test_what_is_too_much_to_count_for_a_question_is_told_to_be_missing(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an upgrade, while the history is counted: never wrong silently."""
    await box.store.tally_up(30)
    monkeypatch.setattr(tally_view, "_LIVE", 10)
    answer = box.view.tally(TallyQuery())
    assert answer.counted_until is not None
    instant = timedelta(milliseconds=1)  # at which some events are counted already
    least, most = (
        recounted(box.view, None, until=answer.counted_until + more)[""][0]["received"]
        for more in (timedelta(), instant)
    )
    assert 0 < least <= answer.total.counts["received"] <= most
    assert most < recounted(box.view, None)[""][0]["received"]


async def test_history_without_receptions_is_not_counted(box: Box, db: apsw.Connection) -> None:
    """An older relayd noted none; numbers begin with the first."""
    first = db.execute("SELECT min(id) FROM event WHERE kind = 'received' AND id > 20").get
    db.execute("DELETE FROM event WHERE kind = 'received' AND id < ?", (first,))
    at = db.execute("SELECT at FROM event WHERE id = ?", (first,)).get
    for _ in range(2):
        answer = box.view.tally(TallyQuery())
        assert answer.begins is not None
        assert int(answer.begins.timestamp() * 1000) == at
        assert told_in_all(answer) == recounted(box.view, None, since=answer.begins)
        await _count(box, 7)


async def test_fine_steps_go_and_the_sums_stay(box: Box, db: apsw.Connection) -> None:
    """A time long ago is told by the hour, and then by the day."""
    await _count(box, 20)
    since = box.clock.now() - timedelta(minutes=25)
    for days, unit in ((0, 600), (3, 3600), (20, 86400)):
        box.advance(days * 86400)
        await _count(box, 20)
        answer = box.view.tally(TallyQuery(by=Dimension.SENDER, since=since))
        assert answer.since is not None
        assert answer.begins is not None
        low = since.timestamp() // unit * unit
        assert answer.since.timestamp() == max(low, answer.begins.timestamp())
        assert told(answer) == recounted(box.view, Dimension.SENDER, answer.since)
    for table in ("tally", "tally_delay"):
        assert db.execute(f"SELECT DISTINCT span FROM {table}").fetchall() == [(DAY,)]
    assert set(KEPT) == {TEN_MINUTES, HOUR}


async def test_rare_values_of_a_step_that_is_over_are_counted_together(
    box: Box, db: apsw.Connection
) -> None:
    """What bounces stays by itself, rare as it is; nothing is lost in the sum."""
    await _count(box, 20)
    last = "SELECT max(at) FROM tally WHERE span = ? AND dimension = 0"  # not looked at yet
    step = int(db.execute(last, (HOUR,)).get)
    at = datetime.fromtimestamp(step / 1000, UTC)
    rare = [(HOUR, 4, step, f"d{n}.test", 1, 0, 1, 0, n == 7, *[0] * 5) for n in range(2500)]
    delays = [(HOUR, 4, f"d{n}.test", step, 20, 1) for n in range(2500)]
    with db:
        db.executemany(f"INSERT INTO tally VALUES ({', '.join('?' * 14)})", rare)
        db.executemany("INSERT INTO tally_delay VALUES (?, ?, ?, ?, ?, ?)", delays)
    sql = "SELECT sum(received), sum(hard), count(*) FROM tally WHERE span = ? AND dimension = 4 AND at = ?"
    sent = "SELECT sum(recipients) FROM tally_delay WHERE span = ? AND dimension = 4 AND at = ?"
    [(received, hard, _)] = db.execute(sql, (HOUR, step)).fetchall()
    accepted = db.execute(sent, (HOUR, step)).get
    box.advance(2 * 3600)
    await _count(box, 20)
    [(*sums, rows)] = db.execute(sql, (HOUR, step)).fetchall()
    assert sums == [received, hard]
    assert MOST_VALUES <= int(str(rows)) <= MOST_VALUES + 20
    assert db.execute(sent, (HOUR, step)).get == accepted
    kept = "SELECT 1 FROM tally WHERE span = ? AND at = ? AND value = ?"
    assert db.execute(kept, (HOUR, step, "d7.test")).get
    box.advance(3 * 86400)  # ten minutes are not told any more
    await _count(box, 20)
    answer = box.view.tally(TallyQuery(by=Dimension.DOMAIN, since=at, until=at))
    assert answer.rows == []
    until = at + timedelta(minutes=30)
    answer = box.view.tally(TallyQuery(by=Dimension.DOMAIN, since=at, until=until))
    [rest] = [row for row in answer.rows if row.is_rest]
    assert rest.value == ""
    assert rest.counts["received"] > 1400
    assert sum(rest.delays.values()) == rest.counts["relayed"]
