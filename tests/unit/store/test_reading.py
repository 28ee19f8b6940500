"""Questions to the queue file, which threads answer."""

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import pytest

from relayd.errors import StoreError
from relayd.store.sqlite.connection import prepare
from relayd.store.sqlite.reading import Reader


class Counted(ThreadPoolExecutor):
    """Counts what is handed over."""

    count = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        self.count += 1
        return super().submit(fn, *args, **kwargs)


@pytest.fixture
async def pool() -> AsyncIterator[Counted]:
    pool = Counted(max_workers=2)
    asyncio.get_running_loop().set_default_executor(pool)
    yield pool
    pool.shutdown()


@pytest.fixture
async def reader(tmp_path: Path, pool: Counted) -> AsyncIterator[Reader]:  # noqa: ARG001 -- it comes first
    path = str(tmp_path / "queue.db")
    prepare(path)
    reader = Reader(path)
    yield reader
    await reader.close()


def number(db: apsw.Connection, n: int) -> int:
    [[found]] = db.execute("SELECT ?", (n,)).fetchall()
    assert isinstance(found, int)
    return found


async def test_questions_of_one_round_go_to_a_thread_in_one_piece(
    reader: Reader, pool: Counted
) -> None:
    asked = [reader.ask(lambda db, n=n: number(db, n)) for n in range(20)]  # type: ignore[misc]
    assert await asyncio.gather(*asked) == list(range(20))
    assert pool.count == 1


async def test_questions_that_come_up_meanwhile_go_together(reader: Reader, pool: Counted) -> None:
    """And who gives up waiting is no loss to the others."""
    loop, may_go_on, has_begun = asyncio.get_running_loop(), threading.Event(), asyncio.Event()

    def slow(db: apsw.Connection) -> int:
        loop.call_soon_threadsafe(has_begun.set)
        may_go_on.wait(10)
        return number(db, -1)

    first = asyncio.ensure_future(reader.ask(slow))
    await has_begun.wait()
    others = [asyncio.ensure_future(reader.ask(lambda db: number(db, 7))) for _ in range(5)]
    await asyncio.sleep(0)
    first.cancel()
    others[0].cancel()
    may_go_on.set()
    with suppress(asyncio.CancelledError):
        await first
    assert await asyncio.gather(*others[1:]) == [7] * 4
    assert pool.count == 2


async def test_an_error_is_of_one_question_alone(reader: Reader) -> None:
    def mistaken(db: apsw.Connection) -> int:  # noqa: ARG001
        raise ZeroDivisionError

    bad = reader.ask(lambda db: db.execute("SELECT nonsense").fetchall())
    asked = [bad, reader.ask(lambda db: number(db, 3)), reader.ask(mistaken)]
    failed, good, bug = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(failed, StoreError)
    assert isinstance(failed.__cause__, apsw.Error)
    assert good == 3
    assert isinstance(bug, ZeroDivisionError)
