"""The worker's end: mail goes to a child process, one at a time, and what it makes of it comes back.

Owns the child. It is started when the first mail comes, and again after it had to be killed. A mail that
takes too long, crashes the child or gets a garbled answer is unreadable; the next one gets a fresh child.
Where no child can be started, nothing is read at all: never on the event loop.
"""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from socket import socketpair
from subprocess import DEVNULL, Popen, TimeoutExpired

import orjson
import structlog

from relayd.bounces.answer import ANSWER_LIMIT, LENGTH, READY, Garbled, decode, framed
from relayd.errors import ReaderUnavailable
from relayd.policy.inbound_bounce import ParsedBounce
from relayd.policy.replies.ruleset import RuleTexts
from relayd.policy.seldom import Seldom

WAITING = 20  # mails at once, which wait for each other
START_WITHIN = 20.0  # seconds for Python and the rules, on a busy machine
WALL_TIME = 10.0  # seconds for one mail; `WAITING` times that is less than a client waits
_END_WITHIN = 1.0  # seconds to end by itself, once it has closed its line
_POLL = 0.005  # seconds between two looks if it has ended
_PROGRAM = (sys.executable, "-s", "-P", "-B", "-m", "relayd.bounces")
_INHERITED = ("PYTHONHOME", "LD_LIBRARY_PATH")  # what this Python may need to start

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Nothing is known of the mail."""

    reason: str


class BounceReader:
    """Reads what comes back. Close it when no more will."""

    def __init__(self, rules: RuleTexts) -> None:
        self._rules = orjson.dumps(rules)
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._child: _Child | None = None
        self._trouble = Seldom()

    async def read(self, mail: bytes) -> ParsedBounce | Unreadable:
        """Say what a mail is, after those that came before it.

        Raises ReaderUnavailable if too many wait, or no child can be started.
        """
        if self._waiting >= WAITING:
            raise ReaderUnavailable("too many returned mails at once")
        self._waiting += 1
        try:
            async with self._turn:
                return await self._read(mail)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the child, whatever it is doing."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    async def _read(self, mail: bytes) -> ParsedBounce | Unreadable:
        if self._child is not None and self._child.has_ended:  # while it had nothing to do
            self.close()
        child = self._child = self._child or await self._start()
        reason = ""
        try:
            async with asyncio.timeout(WALL_TIME):
                return decode(await child.ask(mail))
        except TimeoutError:
            reason = f"it took more than {WALL_TIME:g} s"
        except Garbled as error:
            reason = str(error)
        except (OSError, EOFError):  # the child has ended
            await child.wait(_END_WITHIN)
        except BaseException:
            self.close()
            raise
        self.close()
        return Unreadable(reason or child.last_words)

    async def _start(self) -> "_Child":
        try:
            child = _Child()
        except OSError as error:
            raise self._unavailable(error.strerror or "no process") from error
        try:
            async with asyncio.timeout(START_WITHIN):
                if await child.ask(self._rules) == READY:
                    return child
            reason = "it is of another version of relayd: restart the daemon"
        except TimeoutError:
            reason = f"it did not start within {START_WITHIN:g} s"
        except (OSError, EOFError, Garbled):
            await child.wait(_END_WITHIN)
            reason = child.last_words
        except BaseException:
            child.kill()
            raise
        child.kill()
        raise self._unavailable(reason)

    def _unavailable(self, reason: str) -> ReaderUnavailable:
        if self._trouble.is_due(asyncio.get_running_loop().time()):
            log.error("bounce_reader_failed", fault="local", reason=reason)
        return ReaderUnavailable(f"the reader of returned mail cannot be started: {reason}")


class _Child:
    """One process, and the line to it. Raises OSError where there is none to be had."""

    def __init__(self) -> None:
        self._line, theirs = socketpair()
        self._line.settimeout(0)
        with theirs:
            try:
                self._process = Popen(  # noqa: S603 -- our own program
                    (*_PROGRAM, str(os.getpid())),
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=DEVNULL,
                    cwd="/",
                    env=_environment(),
                    start_new_session=True,  # signals of our terminal are not for it
                )
            except BaseException:
                self._line.close()
                raise

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def last_words(self) -> str:
        """Say how it ended."""
        status = self._process.returncode
        if status == -signal.SIGPROF:
            return "it took too much processor time"
        return f"its reader ended with status {status}"

    async def ask(self, octets: bytes) -> bytes:
        """Return the answer. Raises EOFError or OSError when the child has ended, and Garbled."""
        await asyncio.get_running_loop().sock_sendall(self._line, framed(octets))
        (length,) = LENGTH.unpack(await self._receive(LENGTH.size))
        if length > ANSWER_LIMIT:
            raise Garbled("its answer is too long")
        return await self._receive(length)

    async def wait(self, within: float) -> None:
        """Let it end by itself."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not self.has_ended:  # noqa: ASYNC110 -- nobody tells
                    await asyncio.sleep(_POLL)

    def kill(self) -> None:
        """End it; this does not take longer than the kernel needs to take it down."""
        self._line.close()
        self._process.kill()
        with suppress(TimeoutExpired):
            self._process.wait(_END_WITHIN)

    async def _receive(self, length: int) -> bytes:
        loop, octets = asyncio.get_running_loop(), bytearray()
        while len(octets) < length:
            if not (more := await loop.sock_recv(self._line, length - len(octets))):
                raise EOFError
            octets += more
        return bytes(octets)


def _environment() -> dict[str, str]:
    """Return what the child needs to find its modules, and nothing that is no business of its."""
    found = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    places = (str(Path(place).absolute()) for place in sys.path)
    return {**found, "PYTHONPATH": os.pathsep.join(places)}
