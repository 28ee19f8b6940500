"""A session's transport side by itself: deadlines, writes, and closing, on a clock moved by hand."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from relayd.receiver import wire
from relayd.receiver.dialogue import JUNK_LIMIT
from relayd.receiver.reader import HELD
from relayd.store.spool import SpoolDirectory, SpoolFile
from tests.support.line import LISTENER, Line

GROUP = b"MAIL FROM:<app@x.test>\r\nRCPT TO:<user@y.test>\r\n"
OPEN = b"EHLO app.test\r\n", GROUP, b"DATA\r\n"


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    line.connect()
    yield line
    if not line.closed:
        line.session.connection_lost(None)
    assert line.closed == [line.session]
    assert all(timer.is_cancelled for timer in line.loop.timers), "a timer outlives its session"


# --- writes -------------------------------------------------------------------------------------


def test_a_group_is_answered_in_one_write(line: Line) -> None:
    """As many replies as commands, in order, in one piece."""
    line.say(b"EHLO app.test\r\n")
    (replies,) = line.say(b"RSET\r\n" + GROUP + b"RCPT TO:<x\r\nDATA\r\n")
    codes = [one[:3] for one in replies.split(b"\r\n")[:-1]]
    assert codes == [b"250", b"250", b"250", b"501", b"354"]


def test_an_incomplete_command_does_not_hold_back_the_replies(line: Line) -> None:
    line.say(b"EHLO app.test\r\n")
    (replies,) = line.say(GROUP + b"RCPT TO:<o")
    assert replies == b"250 2.1.0 OK\r\n250 2.1.5 OK\r\n"
    assert line.say(b"ther@y.test>\r\n") == [b"250 2.1.5 OK\r\n"]


async def test_the_reply_to_the_dot_and_the_next_group_are_one_write(line: Line) -> None:
    line.say(*OPEN)
    assert line.say(b"x\r\n.\r\n" + GROUP) == []
    await asyncio.sleep(0)  # the commit's callback
    assert line.last.count(b"\r\n") == 3
    assert line.last.startswith(b"250 2.0.0 OK queued as ")


# --- deadlines (A-02, S-46) ---------------------------------------------------------------------

TIMEOUT = b"421 4.4.2 Timeout, closing connection\r\n"


def test_silence_is_cut_off(line: Line) -> None:
    line.loop.advance(wire.COMMAND_TIMEOUT - 1)
    assert line.last == b"220 relay.test ESMTP relayd\r\n"
    line.loop.advance(1)
    assert line.last == TIMEOUT
    assert line.transport.is_closing
    assert not line.transport.is_aborted


def test_every_command_starts_the_time_again(line: Line) -> None:
    for _ in range(5):
        line.loop.advance(wire.COMMAND_TIMEOUT - 1)
        line.say(b"NOOP\r\n")
    assert not line.transport.is_closing


def test_an_octet_now_and_then_is_no_command(line: Line) -> None:
    """A-02: the whole command has to come in time."""
    for octet in b"NOOP NOOP":
        line.loop.advance(wire.COMMAND_TIMEOUT / 4)
        line.say(bytes([octet]))
    assert line.last == TIMEOUT


def test_content_has_to_flow(line: Line) -> None:
    line.say(*OPEN)
    line.loop.advance(wire.COMMAND_TIMEOUT)
    assert line.last == TIMEOUT


def test_content_must_not_trickle(line: Line) -> None:
    """S-46: an octet a minute holds no slot, though it never pauses for long."""
    line.say(*OPEN)
    for _ in range(10):
        line.loop.advance(60)
        line.say(b"x")
    assert line.last == TIMEOUT


def test_who_is_cut_off_leaves_no_content_behind(line: Line, tmp_path: Path) -> None:
    """No descriptor and no file stays of a large message whose end did not come in time."""
    files = SpoolDirectory(str(tmp_path / "queue.db"))
    places: list[SpoolFile] = []

    def place() -> SpoolFile:
        places.append(files.new(lambda: True))
        return places[-1]

    line.intake.spool = place  # type: ignore[method-assign]
    line.say(*OPEN, b"Subject: x\r\n\r\n" + b"x\r\n" * (HELD // 2))
    assert len(list((tmp_path / "queue.db.content").iterdir())) == 1
    line.loop.advance(wire.COMMAND_TIMEOUT)
    assert line.last == TIMEOUT
    assert list((tmp_path / "queue.db.content").iterdir()) == []
    assert places[0]._descriptor == -1


@pytest.mark.parametrize(
    ("octets", "is_enough"),
    [
        pytest.param(wire.DATA_RATE, True, id="at-the-least-rate"),
        pytest.param(wire.DATA_RATE // 2, False, id="at-half-of-it"),
    ],
)
def test_content_has_a_least_rate(line: Line, octets: int, *, is_enough: bool) -> None:
    """S-46: above it a message may take as long as it takes."""
    line.say(*OPEN)
    for _ in range(190):
        line.loop.advance(5)
        line.say(b"x" * (octets * 5))
    assert line.transport.is_closing is not is_enough


async def test_the_commit_is_not_on_the_clients_clock(line: Line) -> None:
    """S-04: the client has its full time afterwards."""
    line.intake.is_slow = True
    line.say(*OPEN, b".\r\n")
    line.loop.advance(wire.COMMAND_TIMEOUT - 1)
    assert not line.transport.is_closing
    line.intake.commit()
    await asyncio.sleep(0)
    assert line.last.startswith(b"250 2.0.0 ")
    line.loop.advance(wire.COMMAND_TIMEOUT - 1)
    assert not line.transport.is_closing
    line.loop.advance(wire.COMMAND_TIMEOUT)
    assert line.last == TIMEOUT


async def test_a_commit_without_an_end_is_answered_by_nothing(line: Line) -> None:
    """S-55: after five minutes, before the client gives up; what comes of it then is no reply."""
    line.intake.is_slow = True
    line.say(*OPEN, b".\r\n")
    replied = len(line.transport.written)
    line.loop.advance(wire.COMMAND_TIMEOUT)
    assert line.transport.is_aborted
    line.intake.commit()
    await asyncio.sleep(0)
    assert len(line.transport.written) == replied


@pytest.mark.parametrize(
    ("command", "after"),
    [
        pytest.param(b"QUIT\r\n", wire.LINGER, id="quit"),
        pytest.param(b"", wire.COMMAND_TIMEOUT + wire.LINGER, id="timeout"),
    ],
)
def test_who_does_not_take_its_last_reply_is_cut_off(
    line: Line, command: bytes, after: float
) -> None:
    """A-04: a closed transport that cannot empty its buffer is aborted, and soon."""
    line.say(command)
    line.loop.advance(after - 1)
    assert not line.transport.is_aborted
    line.loop.advance(1)
    assert line.transport.is_aborted


def test_who_makes_way_has_a_second_to_hear_so(line: Line) -> None:
    line.session.make_way()
    assert line.last == b"421 4.7.0 Idle, and others need the room\r\n"
    line.loop.advance(1)
    assert line.transport.is_aborted


def test_who_is_leaving_makes_way_at_once(line: Line) -> None:
    line.say(b"QUIT\r\n")
    line.session.make_way()
    assert line.transport.is_aborted


# --- back-pressure (A-04) -----------------------------------------------------------------------


async def test_who_does_not_read_is_not_read_from(line: Line) -> None:
    line.session.pause_writing()
    assert not line.transport.reads()
    line.session.resume_writing()
    assert line.transport.reads()
    line.say(*OPEN)
    line.session.pause_writing()
    line.say(b".\r\n")
    await asyncio.sleep(0)
    assert line.last.startswith(b"250 2.0.0 ")
    assert not line.transport.reads(), "a finished commit does not end the pause"


async def test_a_flood_during_the_commit_is_not_read(line: Line) -> None:
    line.intake.is_slow = True
    line.say(*OPEN, b".\r\n", b"RSET\r\n" * 600)
    assert line.transport.reads()
    line.say(b"RSET\r\n" * 200)
    assert not line.transport.reads()
    line.intake.commit()
    await asyncio.sleep(0)
    assert line.transport.reads()


# --- closing ------------------------------------------------------------------------------------


def test_nothing_is_read_behind_the_last_reply(line: Line) -> None:
    line.say(b"QUIT\r\n")
    assert line.say(b"NOOP\r\n", b"QUIT\r\n") == []


async def test_a_commit_that_outlives_its_client_is_harmless(line: Line) -> None:
    """S-05: no write to a transport that is gone."""
    line.intake.is_slow = True
    line.say(*OPEN, b".\r\n")
    line.session.connection_lost(ConnectionResetError())
    line.intake.commit()
    await asyncio.sleep(0)
    line.session.pause_writing()
    line.session.resume_writing()
    line.session.abort()
    assert len(line.intake.messages) == 1
    assert line.last.startswith(b"354 ")


def test_a_stop_before_the_connection_is_set_up() -> None:
    """F-22: it is told as soon as it can be told, and not greeted."""
    line = Line()
    line.session.stop()
    line.connect()
    assert line.transport.written == [b"421 4.3.2 Shutting down, try again soon\r\n"]
    assert line.transport.is_closing
    line.session.connection_lost(None)


def test_a_stop_is_said_once(line: Line) -> None:
    line.session.stop()
    line.session.stop()
    assert line.transport.written[1:] == [b"421 4.3.2 Shutting down, try again soon\r\n"]


def test_nothing_follows_the_last_reply() -> None:
    """Not even the greeting of a client for whom a proxy speaks once too often."""
    line = Line(listener=replace(LISTENER, xclient_networks=LISTENER.networks))
    line.connect()
    line.say(*[b"NOOP\r\n"] * JUNK_LIMIT)
    assert line.say(b"XCLIENT ADDR=192.0.2.1\r\n") == [
        b"421 4.7.0 Too many commands without mail\r\n"
    ]
    line.session.connection_lost(None)


# --- the subject (`store.keep_subject`) -----------------------------------------------------------


@pytest.mark.parametrize(("keeps", "kept"), [(False, None), (True, "Grüße")])
async def test_a_subject_is_kept_only_where_that_is_wanted(keeps: bool, kept: str | None) -> None:  # noqa: FBT001
    line = Line(keeps_subject=keeps)
    line.connect()
    line.say(*OPEN)
    line.say(b"Subject: =?iso-8859-1?Q?Gr=FC=DFe?=\r\n\r\nx\r\n.\r\n")
    await asyncio.sleep(0)
    [message] = line.intake.messages
    assert message.facts.subject == kept
    line.session.connection_lost(None)
