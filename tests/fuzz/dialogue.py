"""A whole session: what is sent line by line, and the same octets in any pieces.

The first octet of an input chooses the listener. The dialogue line by line is judged by `judge.Judge`;
in other pieces the same replies must come and the same messages go in, but for a client that is cut
off because it did not wait for a reply.
"""

import asyncio
import atexit
import tempfile
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from shutil import rmtree

from structlog.testing import capture_logs

from relayd.accounts.passwords import is_password
from relayd.mail.envelope import NewMessage
from relayd.receiver.states import State
from relayd.receiver.users import Users
from relayd.settings import FixUps, LimitSettings, LineEndings, ListenerAuth, ListenerSettings
from tests.fuzz.judge import Judge
from tests.fuzz.pieces import arrival
from tests.support.accounts import lone_sources, write_users
from tests.support.clock import FakeClock
from tests.support.line import LISTENER, Line

TOKENS = (
    *(b"EHLO a.test\r\n", b"HELO a.test\r\n", b"MAIL FROM:<a@x.test>\r\n", b"MAIL FROM:<>\r\n"),
    *(b"RCPT TO:<b@y.test>\r\n", b"RCPT TO:<known@returns.test>\r\n", b"DATA\r\n", b".\r\n"),
    *(
        b"RSET\r\n",
        b"NOOP\r\n",
        b"VRFY a\r\n",
        b"EXPN a\r\n",
        b"HELP\r\n",
        b"QUIT\r\n",
        b"STARTTLS\r\n",
    ),
    *(
        b"AUTH PLAIN AGFwcABodW50ZXIy\r\n",
        b"AUTH LOGIN\r\n",
        b"AUTH PLAIN\r\n",
        b"YXBw\r\n",
        b"*\r\n",
    ),
    *(
        b"aHVudGVyMg==\r\n",
        b"AGFwcABodW50ZXIy\r\n",
        b"AUTH LOGIN YXBw\r\n",
        b"BDAT 1 LAST\r\n",
        b"x\r\n",
    ),
    *(b"XCLIENT ADDR=192.0.2.7 HELO=c.test\r\n", b"XCLIENT LOGIN=app\r\n", b"GET / HTTP/1.1\r\n"),
    *(b" SIZE=100", b" SIZE=9999", b" BODY=8BITMIME", b" SMTPUTF8", b" RET=HDRS", b" ENVID=x"),
    *(
        b" NOTIFY=NEVER",
        b" ORCPT=rfc822;b@y.test",
        b" AUTH=<>",
        b"\xc3\xbc",
        b"\xff",
        b"\0",
        b"\x16",
    ),
    *(b"\r", b"\n", b"\r\n", b"\r\n.\r\n", b"..\r\n", b"Bcc: a\r\n", b"Received: x\r\n" * 20, b" "),
    *(
        b"X-Relayd-Tag: a\r\n",
        b"X-Relayd-Test: yes\r\n",
        b"A: b\r\n\r\n",
        b"@\x01\n",
        b"A\x05\x03\n",
    ),
    *(b"a" * 100, b"NOOP\r\n" * 101, b"RCPT TO:<b@y.test>\r\n" * 6),
)
LIMITS = LimitSettings(
    message_size=400,
    recipients=5,
    connections=10,
    connections_per_client=10,
    stop_within=timedelta(seconds=8),
)
_THERE = (ip_network("127.0.0.0/8"),)
_NOWHERE = ()


class _Users(Users):
    """Accounts whose passwords are checked at once: no thread."""

    def _begin(self, password: str, hashed: str | None) -> "asyncio.Future[bool]":
        check: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        check.set_result(hashed is not None and is_password(password, hashed))
        return check


def check(octets: bytes) -> None:
    choices, wire, pieces = arrival(octets)
    with capture_logs(), asyncio.Runner() as runner:
        runner.run(_check(choices, wire, pieces))


async def _check(choices: int, wire: bytes, pieces: Sequence[bytes]) -> None:
    judge = Judge(_listener(choices), LIMITS, offers_auth=bool(choices & 1))
    slowly = await _dialogue(choices, _lines(wire), is_patient=True, judge=judge)
    judge.closing(slowly.intake.messages)
    quickly = await _dialogue(choices, pieces, is_patient=bool(choices & 32))
    _compare(slowly, quickly)


def _compare(slowly: Line, quickly: Line) -> None:
    said, expected = b"".join(quickly.transport.written), b"".join(slowly.transport.written)
    assert b" pipelined before its turn" not in expected
    impatient, cut_off, behind = said.partition(b"554 5.5.0 ")
    if cut_off:
        assert behind in (
            b"Command pipelined before its turn\r\n",
            b"Answer pipelined before its turn\r\n",
        )
        assert expected.startswith(impatient)
        assert quickly.transport.is_closing
    else:
        assert said == expected
        assert quickly.transport.is_closing is slowly.transport.is_closing
    count = len(quickly.intake.messages)
    assert cut_off or count == len(slowly.intake.messages)
    assert list(map(_plain, quickly.intake.messages)) == list(
        map(_plain, slowly.intake.messages[:count])
    )


def _plain(message: NewMessage) -> NewMessage:
    return replace(message, content=bytes(message.content[:]))


async def _dialogue(
    choices: int, pieces: Iterable[bytes], *, is_patient: bool, judge: Judge | None = None
) -> Line:
    """Play a session to its end; a patient client waits for its replies after each piece."""
    tasks: list[asyncio.Task[None]] = []

    def spawn(coroutine: Coroutine[None, None, None]) -> None:
        tasks.append(asyncio.ensure_future(coroutine))

    users = _Users(str(_users_file()), FakeClock(), lone_sources()) if choices & 1 else None
    line = Line(listener=_listener(choices), limits=LIMITS, users=users, spawn=spawn)
    line.connect()
    for piece in pieces:
        before = len(line.transport.written)
        line.session.data_received(piece)
        if is_patient:
            await _settled(line, tasks)
        if judge is not None:
            replies = b"".join(line.transport.written[before:])
            judge.take(piece, replies, is_closed=line.transport.is_closing)
    await _settled(line, tasks)
    line.session.eof_received()
    line.session.connection_lost(None)
    assert line.closed == [line.session]
    assert all(timer.is_cancelled for timer in line.loop.timers), "a timer outlives its session"
    assert all(task.done() and task.exception() is None for task in tasks)
    if users is not None:
        users.close()
    return line


async def _settled(line: Line, tasks: list["asyncio.Task[None]"]) -> None:
    """Let commits and logins come to their end."""
    for _ in range(1000):
        if line.session._dialogue.state is not State.HELD:
            return
        await asyncio.sleep(0)
    raise AssertionError(f"stuck, with {tasks}")


def _lines(wire: bytes) -> list[bytes]:
    lines = wire.split(b"\n")
    return [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def _listener(choices: int) -> ListenerSettings:
    return replace(
        LISTENER,
        auth=ListenerAuth.OPTIONAL if choices & 1 else ListenerAuth.OFF,
        networks=_NOWHERE if choices & 2 else _THERE,
        line_endings=LineEndings.NORMALIZE if choices & 4 else LineEndings.REJECT,
        xclient_networks=_THERE if choices & 8 else _NOWHERE,
        add_headers=FixUps.ALWAYS if choices & 16 else FixUps.NEVER,
        strip_bcc=FixUps.ALWAYS if choices & 16 else FixUps.NEVER,
    )


@cache
def _users_file() -> Path:
    folder = tempfile.mkdtemp(prefix="relayd-fuzz-")
    atexit.register(rmtree, folder)
    return write_users(Path(folder) / "users", ("app", "hunter2", ""))
