"""When somebody follows all workers: from when on, and that it is on record."""

import asyncio
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from relayd.trace import Wanted
from relayd.worker.following import Following

WITHIN = 15  # seconds
ALL = Wanted(clients=(ip_network("0.0.0.0/0"),))


class Other:
    """Another worker, which answers when it may."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may_tell = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        self.asked.set()
        await self.may_tell.wait()
        writer.write(b"\n")
        writer.close()


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[Other]:
    folder = tmp_path / "c.trace"
    folder.mkdir()
    other = Other()
    server = await asyncio.start_unix_server(other.serve, str(folder / "2"))
    yield other
    other.may_tell.set()
    server.close()


async def nobody(lines: bytes) -> None:
    raise AssertionError(lines)


@pytest.mark.parametrize("leaves", [False, True], ids=["stays", "leaves before"])
async def test_who_follows_is_noted_once_all_tell_or_when_it_leaves(
    tmp_path: Path, other: Other, *, leaves: bool
) -> None:
    begun = asyncio.Event()
    followed = Following(str(tmp_path / "c"), "1").follow(ALL, begun.set)
    async with asyncio.timeout(WITHIN), asyncio.TaskGroup() as tasks:
        following = tasks.create_task(followed.send_to(nobody))
        await other.asked.wait()
        assert not begun.is_set()
        if leaves:
            following.cancel()
        else:
            other.may_tell.set()
        await begun.wait()
        following.cancel()
