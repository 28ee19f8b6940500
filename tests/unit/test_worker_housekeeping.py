"""What a worker tells of content that it lets go."""

import asyncio
import os
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from relayd.store.sqlite import purging
from relayd.store.sqlite.queue import SqliteStore
from relayd.worker import housekeeping
from tests.support.builders import CONTENT, a_bounce, a_message, settlements_of
from tests.support.clock import FakeClock
from tests.support.stores import LEASE, SLOTS
from tests.support.workers import registered

MIB = 1024 * 1024


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():
            pass


@pytest.mark.parametrize("is_short", [True, False])
async def test_what_goes_for_room_is_told_once_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_short: bool
) -> None:
    """What goes because its time is over is no news."""
    free = 200 if is_short else 5000

    def statvfs(_: str) -> os.statvfs_result:
        return os.statvfs_result((MIB, MIB, 10**6, free, free, 1000, 900, 900, 0, 255))

    monkeypatch.setattr(os, "statvfs", statvfs)
    monkeypatch.setattr(purging, "_LET_GO", 1)
    monkeypatch.setattr(housekeeping, "_LET_GO", 0)
    clock = FakeClock()
    store = SqliteStore.open(
        str(tmp_path / "queue.db"), clock=clock, slots=SLOTS, keeps_bounced=True
    )
    worker = await registered(store, "worker")
    messages = [a_message("a@x.test") for _ in range(3)]
    for message in messages:
        [work] = await store.enqueue(message, worker=worker, lease_for=LEASE)
        await store.settle(work.lease, settlements_of(work, a_bounce()))
    kept_for = timedelta(days=1) if is_short else timedelta(0)
    clock.advance(timedelta(seconds=10))

    async def is_gone() -> bool:
        return [await store.content(each.id) for each in messages] == [None] * 3

    async def is_told(lines: int) -> bool:
        return await is_gone() and len(told) == lines

    told: list[MutableMapping[str, Any]]
    with capture_logs() as told:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(housekeeping.let_go(kept_for, store, clock))
            await until(partial(is_told, int(is_short)))
            clock.advance(timedelta(minutes=1))
            await until(partial(is_told, 2 * is_short))
            task.cancel()
    await store.close()
    numbers = [(each["event"], each["messages"], each["octets"]) for each in told]
    name, octets = "kept_content_deleted", len(CONTENT)
    assert numbers == ([(name, 1, octets), (name, 2, 2 * octets)] if is_short else [])
