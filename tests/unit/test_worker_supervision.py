"""A worker's end of the line to its supervisor."""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from relayd.control.protocol import BadMessage
from relayd.errors import RelaydError
from relayd.worker import supervision as supervision_module
from relayd.worker.supervision import BEAT, LET_GO, READY, RELOAD, Supervision


@pytest.fixture
def line() -> Iterator[tuple[Supervision, socket.socket]]:
    ours, theirs = socket.socketpair()
    supervision = Supervision(ours.detach(), os.getppid())
    theirs.settimeout(10)
    with theirs, supervision._socket:
        yield supervision, theirs


async def ask(theirs: socket.socket, answer: bytes) -> bytes:
    """The supervisor hears a question and gives its answer."""
    heard = await asyncio.to_thread(theirs.recv, 100)
    theirs.sendall(answer)
    return heard


async def test_questions_are_asked_one_by_one(line: tuple[Supervision, socket.socket]) -> None:
    """So each answer is for the one that asked; it may come in pieces."""
    supervision, theirs = line
    supervision.ready()
    assert theirs.recv(100) == READY
    supervision.let_go()
    assert theirs.recv(100) == LET_GO
    first = asyncio.ensure_future(supervision.reload())
    assert await ask(theirs, b'{"ok":') == RELOAD
    second = asyncio.ensure_future(supervision.reload())
    await asyncio.sleep(0)
    theirs.sendall(b'true,"n":1}\n')
    assert await first == {"ok": True, "n": 1}
    assert await ask(theirs, b'{"n":2}\n') == RELOAD
    assert await second == {"n": 2}


async def test_many_questions_are_two_reloads(line: tuple[Supervision, socket.socket]) -> None:
    """All that come while one is asked share the next answer, also when it is that there is none."""
    supervision, theirs = line
    first = asyncio.ensure_future(supervision.reload())
    assert await asyncio.to_thread(theirs.recv, 100) == RELOAD
    others = [asyncio.ensure_future(supervision.reload()) for _ in range(20)]
    theirs.sendall(b'{"n":1}\n')
    assert await ask(theirs, b'{"n":2}\n') == RELOAD
    assert [each["n"] for each in await asyncio.gather(first, *others)] == [1, *[2] * 20]
    first = asyncio.ensure_future(supervision.reload())
    assert await asyncio.to_thread(theirs.recv, 100) == RELOAD
    others = [asyncio.ensure_future(supervision.reload()) for _ in range(2)]
    await asyncio.sleep(0)
    theirs.close()
    ended = await asyncio.gather(first, *others, return_exceptions=True)
    assert [type(each) for each in ended] == [RelaydError] * 3


async def test_who_asks_and_leaves_takes_no_answer_from_others(
    line: tuple[Supervision, socket.socket],
) -> None:
    supervision, theirs = line
    first = asyncio.ensure_future(supervision.reload())
    assert await asyncio.to_thread(theirs.recv, 100) == RELOAD
    leaving, staying = [asyncio.ensure_future(supervision.reload()) for _ in range(2)]
    await asyncio.sleep(0)
    for gone in (first, leaving):
        gone.cancel()
    theirs.sendall(b'{"n":1}\n')
    assert await asyncio.wait_for(ask(theirs, b'{"n":2}\n'), 5) == RELOAD
    assert await asyncio.wait_for(staying, 5) == {"n": 2}


@pytest.mark.parametrize(
    ("answer", "error"), [(b"", RelaydError), (b'{"ok":', BadMessage)], ids=["none", "half"]
)
async def test_a_supervisor_that_goes_leaves_nobody_waiting(
    line: tuple[Supervision, socket.socket], answer: bytes, error: type[Exception]
) -> None:
    supervision, theirs = line
    asked = asyncio.ensure_future(supervision.reload())
    assert await ask(theirs, answer) == RELOAD
    theirs.close()
    with pytest.raises(error):
        await asked
    with pytest.raises(RelaydError, match="cannot be asked: Broken pipe"):
        await supervision.reload()


async def test_what_cannot_be_said_now_is_said_with_a_later_beat(
    line: tuple[Supervision, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision_module, "_EVERY", 0.01)
    supervision, theirs = line
    with suppress(BlockingIOError):
        while True:
            supervision._socket.send(b"x" * 1000)
    supervision.ready()
    beats = asyncio.ensure_future(supervision.beat(asyncio.Event()))
    heard = b""
    while READY not in heard:
        heard = await asyncio.to_thread(theirs.recv, 1 << 20)
    while BEAT not in heard:
        heard = await asyncio.to_thread(theirs.recv, 1 << 20)
    assert not beats.done()
    beats.cancel()
