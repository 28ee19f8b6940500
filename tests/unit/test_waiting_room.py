"""A store that is away at the start: who comes is told, and the worker begins once it is there."""

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from relayd.control import client
from relayd.errors import SchemaMismatch, StoreUnavailable, first_of
from relayd.settings import ListenerSettings, ListenerTls
from relayd.worker import waiting_room
from tests.support.supervised import listener as listener_at

NAME = "postgresql://relayd@db.example.org/mail"
LISTENING = listener_at("127.0.0.1:25")
FIRST = StoreUnavailable("no route to host")


class Store:
    """Is away as long as it is told to be."""

    def __init__(self) -> None:
        self.is_there = asyncio.Event()
        self.asked = 0
        self.error: Exception = StoreUnavailable("connection refused")

    async def register(self) -> int:
        self.asked += 1
        if not self.is_there.is_set():
            raise self.error
        return 7


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


@pytest.fixture
def control(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{tmp_path}/control.sock")
        sock.listen()
        yield sock


def greeting(listener: socket.socket) -> bytes:
    with socket.create_connection(listener.getsockname()[:2], timeout=10) as sock:
        said = b""
        while chunk := sock.recv(4096):
            said += chunk
        return said


async def wait_for(
    store: Store,
    listener: socket.socket,
    control: socket.socket,
    *,
    listening: ListenerSettings = LISTENING,
) -> int:
    return await waiting_room.wait_for(
        store.register, store=NAME, first=FIRST, listeners=[(listening, listener)], control=control
    )


async def test_who_comes_is_told_until_the_store_is_there(
    listener: socket.socket, control: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting_room, "_LONGEST", 0.1)
    store = Store()
    with capture_logs() as logs:
        waiting = asyncio.ensure_future(wait_for(store, listener, control))
        said = await asyncio.to_thread(greeting, listener)
        assert said == b"421 4.3.2 The queue cannot be reached now, try again later\r\n"
        with pytest.raises(StoreUnavailable, match=r"no route to host|connection refused"):
            await asyncio.to_thread(client.ask, control.getsockname(), {"verb": "ping"})
        store.is_there.set()
        assert await waiting == 7
    assert [line["event"] for line in logs] == ["store_away", "store_back"]
    assert logs[0]["store"] == NAME
    assert logs[0]["reason"] == "no route to host"


async def test_who_begins_with_a_handshake_is_cut_off(
    listener: socket.socket, control: socket.socket
) -> None:
    """It would take no line before, and would wait for an answer to its first."""
    listening = replace(LISTENING, tls=ListenerTls.IMPLICIT)
    waiting = asyncio.ensure_future(wait_for(Store(), listener, control, listening=listening))
    assert await asyncio.to_thread(greeting, listener) == b""
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_what_does_not_pass_by_itself_ends_the_wait(
    listener: socket.socket, control: socket.socket
) -> None:
    store = Store()
    store.error = SchemaMismatch("written by a newer relayd")
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as tasks:  # a worker has one, too
            tasks.create_task(wait_for(store, listener, control))
    assert first_of(caught.value) is store.error
    assert store.asked == 1
