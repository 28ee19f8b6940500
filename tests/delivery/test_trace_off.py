"""While nobody looks on, nothing of the trace is called: not at a session, nor at a transaction."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import relayd.trace
from relayd.trace import Subject, Wanted, tracing
from relayd.trace.followers import Buffer
from tests.support.line import Line
from tests.support.next_hop import connected, deliver
from tests.support.scripted_server import ScriptedServer

FOLDER = str(Path(relayd.trace.__file__).parent)


@contextmanager
def calls_counted() -> Iterator[list[str]]:
    """Note each call of a function of the trace."""
    called: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(FOLDER):
            called.append(frame.f_code.co_qualname)

    sys.setprofile(note)
    try:
        yield called
    finally:
        sys.setprofile(None)


async def test_off_means_no_call() -> None:
    line = Line()
    async with ScriptedServer({}) as server:
        with calls_counted() as called:
            async with connected(server) as connection:
                await deliver(connection, "a@x.test")
                await deliver(connection, "b@x.test")
            line.connect()
            line.say(b"EHLO app.test\r\n")
            line.say(b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n")
            line.say(b"x\r\n.\r\n")
            line.session.connection_lost(None)
    assert called == []


async def test_the_count_is_no_empty_word() -> None:
    """The same with somebody who looks on, and on a connection that was open before."""
    async with ScriptedServer({}) as server, connected(server) as connection:
        await deliver(connection, "a@x.test")
        buffer = Buffer(Wanted(destinations=frozenset(["x.test"])), worker="1")
        tracing.add(buffer)
        try:
            tracing.begin(Subject(destinations=frozenset({"x.test"})))
            with calls_counted() as called:
                await deliver(connection, "b@x.test")
        finally:
            tracing.remove(buffer)
        told = await buffer.read()
        await deliver(connection, "c@x.test")
    assert called
    assert b"RCPT TO:<b@x.test>" in told
    assert b"a@x.test" not in told
