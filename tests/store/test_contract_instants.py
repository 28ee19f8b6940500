"""What every store must do: an answer about the queue is true of an instant, whatever is written while it is asked."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from relayd.mail.operator import Action
from relayd.ports.queue import Settlement
from relayd.ports.view import Query
from relayd.store.postgres.session import Session
from relayd.store.sqlite.view import SqliteView
from tests.support.builders import a_bounce, a_deferral, a_message, settlements_of
from tests.support.clock import START
from tests.support.stores import Box, openers_of
from tests.support.workers import registered

STORES = {name: opener for name, opener in openers_of(__name__).items() if name != "memory"}
_LATER = START + timedelta(seconds=2)
_MOST = 100  # statements of a question


@pytest.fixture(params=STORES)
async def box(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Box]:
    opened = STORES[request.param](tmp_path)
    yield opened
    await opened.close()


@contextmanager
def ahead_of_statement(box: Box, number: int, act: Callable[[], object]) -> Iterator[list[str]]:
    """Have it done on another connection ahead of a statement of the view, counted from 1; give the statements."""
    seen: list[str] = []

    def look(_: object, sql: str, *_bound: object) -> bool:
        seen.append(sql)
        if len(seen) == number:
            act()
        return True

    with pytest.MonkeyPatch.context() as patch:
        if isinstance(box.view, SqliteView):
            box.view._db.exec_trace = look
        else:
            fetch, of_store = Session.fetch, asyncio.get_running_loop()

            async def watched(session: Session, sql: str, *args: Any) -> Any:
                if asyncio.get_running_loop() is not of_store:
                    await asyncio.to_thread(look, session, sql)
                return await fetch(session, sql, *args)

            patch.setattr(Session, "fetch", watched)
        yield seen
        if isinstance(box.view, SqliteView):
            box.view._db.exec_trace = None


@pytest.mark.parametrize("more", [{}, {"sender": ("app@app.test", "")}], ids=["all", "by sender"])
async def test_a_queue_is_at_no_time_empty_while_a_bounce_gives_way_to_its_report(
    box: Box, more: dict[str, Any]
) -> None:
    """Both are one transaction: there is mail before it, and after it. It comes at each place of the question."""
    worker, query = await registered(box.store, "worker"), Query(unfinished=True, **more)
    loop = asyncio.get_running_loop()
    box.view.find(query, limit=10)  # what is asked once only
    for number in range(1, _MOST):
        message = a_message("full@x.test", at=START)
        [work] = await box.put(message, worker=worker, leased=True)
        await box.store.settle(work.lease, settlements_of(work, a_deferral(_LATER)))
        box.advance(2)
        [work] = await box.claim(worker)
        report = a_message("app@app.test", at=_LATER, reverse_path="")
        bounce = settlements_of(work, a_bounce())

        async def settle(
            lease: Any = work.lease, given: Any = bounce, told: Any = report
        ) -> Sequence[Settlement]:
            return await box.store.settle(lease, given, [told])

        def act(settle: Any = settle) -> None:
            assert asyncio.run_coroutine_threadsafe(settle(), loop).result(20)

        with ahead_of_statement(box, number, act) as seen:
            found = await asyncio.to_thread(box.view.find, query, limit=10)
        assert found, (
            f"taken for empty, as the report came ahead of statement {number}: {seen[number - 1]}"
        )
        if len(seen) < number:
            break
        await box.store.act(Query(unfinished=True), Action.DROP, by="test", reason="")
        box.advance(600)
    assert 2 < number < _MOST - 1
