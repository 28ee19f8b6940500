"""`kill -9` around the commit of a message with a key; then the same message again: it is there once.

A child gives the message to a queue and kills itself at a named point. The negative control writes the key after the
message, in a transaction of its own.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from relayd.console.intake import Queued, Result, Submission, submit
from relayd.errors import StoreError
from relayd.mail.address import parse_address
from relayd.mail.ids import WorkerIdentity
from relayd.mail.once import AlreadyTaken, Once
from relayd.ports.view import Query
from relayd.store import open_store, open_view
from relayd.store.sqlite import once as keys
from relayd.store.sqlite.queue import SqliteStore
from relayd.worker.parts import IdSource
from relayd.worker.system import SystemClock
from tests.support.builders import a_message
from tests.support.daemon import ROOT, a_daemon, a_smarthost, eventually

ONCE = Once(key=b"k" * 32, body=b"b" * 32)
SURVIVES = {"before the commit": False, "before the sync": True, "before the answer": True}
APART = "between two transactions"
MESSAGES, AT_ONCE = 1000, 8  # it is killed long before the last


def die() -> bool:
    os.kill(os.getpid(), signal.SIGKILL)
    return True


def lie_in_wait(store: SqliteStore, point: str) -> Callable[[], object]:
    """Die at that point of the next commit; return what is to be called after it."""
    if point == "before the commit":
        store._writer._db.set_commit_hook(die)
    if point == "before the sync":
        store._writer._wal.sync = die  # type: ignore[assignment,method-assign]
    return die if point == "before the answer" else lambda: None


async def give(queue: str, *, point: str = "") -> StoreError | None:
    """Give the message to the queue; return why it was not taken."""
    store = open_store(f"sqlite:{queue}", clock=SystemClock(), slots={})
    assert isinstance(store, SqliteStore)
    registration = await store.register(WorkerIdentity(node="n", boot=point, name="1"))
    now = SystemClock().now()
    message = replace(a_message("a@x.test", at=now), id=IdSource(registration).next_id(now))
    afterwards = lie_in_wait(store, point)
    worker = registration.number
    try:
        if point == APART:
            await store.enqueue(message, worker=worker, lease_for=None)
            die()
            await store._writer.submit(lambda db: keys.write(db, ONCE, message.id))
        await store.enqueue(replace(message, once=ONCE), worker=worker, lease_for=None)
    except StoreError as error:
        return error
    finally:
        afterwards()
        await store.close()
    return None


def again_after_a_kill(queue: Path, point: str) -> tuple[StoreError | None, int]:
    """Return what is answered when it comes again, and how many messages are there then."""
    command = [sys.executable, "-m", "tests.crash.test_once", str(queue), point]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    answer = asyncio.run(give(str(queue)))
    with closing(open_view(f"sqlite:{queue}")) as view:
        return answer, len(view.find(Query(), limit=9))


@pytest.mark.parametrize(("point", "survives"), SURVIVES.items(), ids=SURVIVES)
def test_it_is_there_once(point: str, tmp_path: Path, *, survives: bool) -> None:
    answer, messages = again_after_a_kill(tmp_path / "queue.db", point)
    assert isinstance(answer, AlreadyTaken) is survives
    assert messages == 1


def test_a_key_that_is_written_after_its_message_would_be_seen(tmp_path: Path) -> None:
    assert again_after_a_kill(tmp_path / "queue.db", APART) == (None, 2)


def a_submission(number: int) -> Submission:
    return Submission(
        reverse_path=parse_address("app@app.test"),
        recipients=[parse_address(f"{number}@x.test")],
        content=b"Subject: x\r\n\r\nHello.\r\n",
        client="192.0.2.7",
        by="app1 (API key)",
        once=Once(key=number.to_bytes(32), body=b"b" * 32),
    )


async def give_all(path: str, *, until: int = MESSAGES) -> list[Result]:
    """Give messages to a daemon, some at a time."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def give_one(number: int) -> Result:
        async with turns:
            return await submit(path, a_submission(number))

    return await asyncio.gather(*(give_one(number) for number in range(until)))


def test_a_daemon_that_is_killed_takes_each_once(tmp_path: Path) -> None:
    """What the console gave it before, and what was on its way; by two workers."""
    with a_smarthost() as smarthost, a_daemon(tmp_path, smarthost.port) as daemon:
        path = str(tmp_path / "console.smtp")
        with ThreadPoolExecutor() as threads:
            giving = threads.submit(lambda: asyncio.run(give_all(path)))
            eventually(lambda: len(daemon.rows()) > 40, "some are queued")
            daemon.kill()
            before = giving.result(timeout=30)
        queued = [isinstance(each, Queued) for each in before]
        until = len(queued) - queued[::-1].index(True) + 2 * AT_ONCE
        assert until < MESSAGES, "killed in the middle"
        daemon.up()
        after = asyncio.run(give_all(path, until=until))
        assert all(isinstance(each, Queued) for each in after)
        for first, second in zip(before[:until], after, strict=True):
            if isinstance(first, Queued):
                assert second == replace(first, came_before=True)
        assert len(daemon.rows()) == until


if __name__ == "__main__":
    asyncio.run(give(sys.argv[1], point=sys.argv[2]))
