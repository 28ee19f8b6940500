"""Questions to the queue read a bounded part of it: by an index each, a window of the history at a time."""

import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import pytest

from relayd.errors import StoreUnavailable
from relayd.mail.ids import MessageId
from relayd.ports.view import Query, QueueView, RecipientRow
from relayd.store.sqlite import networks, paths, search, wide
from relayd.store.sqlite import view as sqlite_view
from relayd.store.sqlite.connection import open_writer
from relayd.store.sqlite.search import Search
from relayd.store.sqlite.view import SqliteView
from tests.support.builders import a_deferral, a_message, settlements_of
from tests.support.clock import START
from tests.support.histories import fill, questions
from tests.support.stores import ALL, Box, open_memory, open_sqlite
from tests.support.workers import registered

SCAN = re.compile(r"SCAN (?!wanted|CONSTANT|\(subquery)")
DOMAIN = "substr(address_key, 1, instr(address_key, '@') - 1)"
TROUBLE = (
    "message_id, number, state, category, bounce_class, returned, address_key, domain, sender, tag,"
    " auth_user, client_ip, destination"
)
SMALL = 3  # recipients in a window, so that the few of a test lie in many


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    opened = open_sqlite(tmp_path)
    await fill(opened, messages=60)
    yield opened
    await opened.close()


def plans(view: SqliteView, asks: Iterable[Callable[[], object]]) -> dict[str, list[str]]:
    """Return each statement that the view runs to answer, with the steps of its plan."""
    seen: dict[str, Any] = {}

    def note(_: object, sql: str, bound: Any) -> bool:
        seen.setdefault(sql, bound)
        return True

    view._db.exec_trace = note
    for ask in asks:
        ask()
    view._db.exec_trace = None
    return {
        sql: [row[3] for row in view._db.execute(f"EXPLAIN QUERY PLAN {sql}", bound)]
        for sql, bound in seen.items()
        if sql.startswith("SELECT")
    }


async def test_the_latest_events_are_found_without_the_receptions(box: Box) -> None:
    """Of which there may be a million since the last other event."""
    view = box.view
    assert isinstance(view, SqliteView)
    [plan] = plans(view, [lambda: view.latest(2)]).values()
    assert plan[0] == "SCAN e USING INDEX event_latest"


@pytest.mark.parametrize("window", [SMALL, 2000])
async def test_no_question_scans_a_table_or_sorts_what_it_does_not_show(
    box: Box, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    """Each filter, and every two of them, on the first page and on later ones, of mail and of addresses."""
    monkeypatch.setattr(search, "_LOOKED_AT", window)
    view = box.view
    assert isinstance(view, SqliteView)
    newest = (MessageId(2**62), 1)
    asks: list[Callable[[], object]] = []
    for _, query in questions(2):
        asks += (
            partial(view.find, query, limit=2),
            partial(view.find, query, limit=2, before=newest),
            partial(view.find, query, limit=2, back_from=(MessageId(0), 0)),
            partial(view.addresses, query, limit=2),
        )
    found = plans(view, asks)
    assert len(found) > 40
    for sql, plan in found.items():
        shown = "json_each(?) wanted" in sql  # what was found, so no more than is shown
        for step in plan:
            assert not SCAN.match(step), (sql, plan)
            assert step != "USE TEMP B-TREE FOR ORDER BY" or shown, (sql, plan)


async def test_a_sparse_combination_is_found_in_bounded_steps(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two common values that meet nowhere: no step runs through all of either."""
    monkeypatch.setattr(search, "_LOOKED_AT", SMALL)
    assert isinstance(box.view, SqliteView)
    asked = Search(
        box.view._db, Query(sender=("app@app.test",), tag=("batch",), domain=("none.test",))
    )
    assert asked.step(ALL) == []
    assert asked.is_done  # nothing lies in that domain
    asked = Search(box.view._db, Query(sender=("app@app.test",), tag=("batch",)))
    steps = []
    while not asked.is_done:
        steps.append(asked.step(ALL))
    assert len(steps) > 3
    assert max(map(len, steps)) <= (SMALL + 1) * 4  # a message has up to four recipients


async def test_later_steps_find_mail_that_fails_in_a_new_way_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was in the queue all the time, but in none of the states that there was mail in at the beginning."""
    monkeypatch.setattr(search, "_LOOKED_AT", 1)
    with_mail = open_sqlite(tmp_path)
    worker = await registered(with_mail.store, "worker")
    oldest, *_ = messages = [a_message(at=START, tag="news") for _ in range(6)]
    for message in messages:
        await with_mail.put(message, worker=worker)
    assert isinstance(with_mail.view, SqliteView)
    asked = Search(with_mail.view._db, Query(unfinished=True, tag=("news",)))
    found = asked.step(ALL)
    assert 0 < len(found) < len(messages)
    for work in await with_mail.claim(worker):
        if work.message.id == oldest.id:
            await with_mail.store.settle(work.lease, settlements_of(work, a_deferral()))
    while not asked.is_done:
        asked.look_again()
        found += asked.step(ALL)
    assert {message_id for message_id, _ in found} == {message.id for message in messages}
    await with_mail.close()


@pytest.mark.parametrize(
    ("window", "many", "few"), [(1, 1000, 0), (SMALL, 1, 0), (SMALL, 1, 20_000)]
)
async def test_windows_change_no_answer(
    box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: int, many: int, few: int
) -> None:
    """Whole or by pages of any size, it is what plain comparisons in memory find.

    Whether a network has few clients or many, and those little mail or much.
    """
    monkeypatch.setattr(search, "_LOOKED_AT", window)
    monkeypatch.setattr(paths, "_MANY", many)
    monkeypatch.setattr(wide, "_FEW", few)
    monkeypatch.setattr(networks, "STEPS", 3)
    monkeypatch.setattr(sqlite_view, "_STEPS", 5)
    plain = open_memory(tmp_path)
    await fill(plain, messages=60)
    for name, query in questions(2):
        if many == 1 and "client" not in name and "two" not in name:
            continue  # no filter has many values
        expected = plain.rows(query)
        assert list(box.rows(query)) == list(expected), name
        found: list[Any] = []
        before = None
        while page := box.view.find(query, limit=7, before=before):
            found += page
            before = page[-1].message_id, page[-1].recipient
        assert found == list(expected), name
        back: list[Any] = []
        place = MessageId(0), 0
        while rows := box.view.find(query, limit=7, back_from=place):
            back = [*rows, *back]
            place = rows[0].message_id, rows[0].recipient - 1
        assert back == list(expected), name
        if window == 1:
            assert list(paged(box.view, query, limit=7)) == list(expected), name
            assert paged_back(box.view, query, limit=7) == list(expected), name
        addresses = plain.view.addresses(query, limit=ALL)
        assert {each.address.lower() for each in box.view.addresses(query, limit=ALL)} == {
            each.address.lower() for each in addresses
        }, name
    await plain.close()


def paged(view: QueueView, query: Query, *, limit: int) -> Iterator[RecipientRow]:
    """Yield what pages have that end where a search has looked at enough."""
    before = None
    while True:
        page = view.page(query, limit=limit, before=before)
        before = page.next
        assert len(page.rows) <= limit
        yield from page.rows
        if before is None:
            return


def paged_back(view: QueueView, query: Query, *, limit: int) -> list[RecipientRow]:
    """Return the same, page by page from the end."""
    found: list[RecipientRow] = []
    place: tuple[MessageId, int] | None = (MessageId(0), 0)
    while place is not None:
        page = view.page(query, limit=limit, back_from=place)
        assert page.next == place
        found = [*page.rows, *found]
        place = page.prev
    return found


async def test_the_table_of_trouble_has_what_is_in_trouble(tmp_path: Path) -> None:
    """Also while an older worker, which knows nothing of it, still writes; and nothing of what is deleted."""
    box = open_sqlite(tmp_path)
    await fill(box, messages=60)
    await box.close()
    with closing(open_writer(str(tmp_path / "queue.db"))) as db:
        for change in (
            "SELECT 1",
            "UPDATE recipient SET state = 'bounced', category = 'policy' WHERE state = 'relayed'",
            "UPDATE recipient SET destination = 'mx:new.test'",
            "UPDATE recipient SET state = 'sent', category = NULL WHERE number = 1",
            "DELETE FROM recipient WHERE number = 0",
        ):
            db.execute(change)
            for table, columns, given in (
                (
                    "trouble",
                    TROUBLE,
                    "state IN ('held', 'bounced', 'dropped') OR category IS NOT NULL",
                ),
                ("recipient_by_domain", "message_id, number, domain", "1"),
            ):
                listed = db.execute(f"SELECT {columns} FROM {table} ORDER BY 1, 2")
                there = db.execute(
                    f"SELECT {columns} FROM (SELECT *, reverse_path AS sender, {DOMAIN} AS domain"
                    f" FROM recipient JOIN message ON id = message_id) WHERE {given} ORDER BY 1, 2"
                )
                assert listed.fetchall() == there.fetchall()


async def test_a_file_of_an_older_schema_is_not_asked(tmp_path: Path) -> None:
    """Its indexes are missing: whoever asks is told what to do."""
    opened = open_sqlite(tmp_path)
    await opened.close()
    with closing(apsw.Connection(str(tmp_path / "queue.db"))) as db:
        db.execute("PRAGMA user_version=9")
    with pytest.raises(StoreUnavailable, match="start relayd"):
        SqliteView(str(tmp_path / "queue.db"))
