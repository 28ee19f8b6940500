"""Following what all workers of this machine do, through one of them.

Each worker listens on a socket of its own beside the control socket, in a directory that is closed to
others. One that has a follower asks the others there for what it wants, those as well that come up later,
and those of old settings that still drain. Each answers with an empty line once it tells. Who dies or leaves
closes its end, and that is all.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import orjson
import structlog

from relayd.errors import RelaydError
from relayd.trace import Wanted, tracing
from relayd.trace.followers import Buffer
from relayd.trace.wanted import wanted_from_json, wanted_to_json

MOST = 4  # followers at one time
_LOOK_EVERY = 0.5  # seconds between looks for workers that have come up
_BEGIN_WITHIN = 5.0  # seconds: one that hangs keeps nobody from following the others
_LONGEST_LINE = 1024 * 1024  # octets
_TELLS = b"\n"  # what a worker answers

log = structlog.get_logger()


class Following:
    """What one worker tells, and asks for."""

    def __init__(self, control_socket: str, name: str) -> None:
        self._directory = Path(f"{control_socket}.trace")
        self._name = name

    def follow(self, wanted: Wanted, begun: Callable[[], None]) -> "Followed":
        """Return what all workers tell; `begun` is called when all do that are there, or the follower leaves.

        Raises RelaydError when too many follow.
        """
        if sum(one.wanted is not None for one in tracing.followers) >= MOST:
            raise RelaydError(f"{MOST} commands follow already; end one of them first")
        return Followed(wanted, self._name, self._directory, begun)

    async def serve(self) -> None:
        """Tell the other workers what they ask for, until cancelled.

        On a socket of the worker's name, which no other live worker has; without one, tell none.
        """
        path = self._directory / self._name
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            path.unlink(missing_ok=True)
            server = await asyncio.start_unix_server(self._tell, str(path))
        except OSError as error:
            log.warning("trace_alone", fault="local", reason=str(error))
            return
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            with suppress(OSError):
                path.unlink()

    async def _tell(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Tell another worker what it asks for, until it hangs up."""
        try:
            wanted = wanted_from_json(orjson.loads(await reader.readline()))
            async with asyncio.TaskGroup() as tasks:
                buffer = Buffer(wanted, worker=self._name)
                buffer.put(_TELLS)
                telling = tasks.create_task(
                    _tell_all(buffer, partial(_send, writer)), name="trace: send"
                )
                await reader.read(1)
                telling.cancel()
        except* (OSError, RelaydError, ValueError) as errors:  # it is gone, or no worker at all
            log.info("trace_not_told", reason=str(errors.exceptions[0]))
        finally:
            writer.close()


async def _send(writer: asyncio.StreamWriter, lines: bytes) -> None:
    writer.write(lines)
    await writer.drain()


async def _tell_all(buffer: Buffer, send: Callable[[bytes], Awaitable[None]]) -> None:
    """Send what comes into a buffer, until cancelled; it takes nothing before and after."""
    tracing.add(buffer)
    try:
        while True:
            await send(await buffer.read())
    finally:
        tracing.remove(buffer)


class Followed:
    """The lines of all workers for one follower: `relayd.control.server.Lines`."""

    def __init__(
        self, wanted: Wanted, name: str, directory: Path, begun: Callable[[], None]
    ) -> None:
        self._own = directory / name
        self._directory = directory
        self._request = orjson.dumps(wanted_to_json(wanted)) + b"\n"
        self._buffer = Buffer(wanted, worker=name)
        self._begun = begun
        self._heard: dict[Path, asyncio.Task[None]] = {}

    async def send_to(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Send what all workers tell, until cancelled."""
        async with asyncio.TaskGroup() as others:
            others.create_task(self._hear_all(others), name="trace of other workers")
            await _tell_all(self._buffer, send)

    async def _hear_all(self, others: asyncio.TaskGroup) -> None:
        """Ask each worker that is there, and each that comes up."""
        answers = self._ask_new(others)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_BEGIN_WITHIN):
                    for answered in answers:
                        await answered.wait()
        finally:
            self._begun()  # who leaves before has followed those that tell
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            self._ask_new(others)

    def _ask_new(self, others: asyncio.TaskGroup) -> list[asyncio.Event]:
        """Ask those workers that nobody hears; return what is set once they tell, or are gone."""
        answers = []
        with suppress(OSError):  # the directory may be gone
            for path in self._directory.iterdir():
                if path != self._own and (path not in self._heard or self._heard[path].done()):
                    answers.append(asyncio.Event())
                    hearing = self._hear(path, answers[-1])
                    self._heard[path] = others.create_task(
                        hearing, name="trace: hear another worker"
                    )
        return answers

    async def _hear(self, path: Path, answered: asyncio.Event) -> None:
        try:
            reader, writer = await asyncio.open_unix_connection(str(path), limit=_LONGEST_LINE)
            try:
                writer.write(self._request)
                if await reader.readline() == _TELLS:
                    answered.set()
                while (line := await reader.readline()).endswith(b"\n"):
                    self._buffer.put(line)
            finally:
                writer.close()
        except (OSError, ValueError):  # it is gone, or a dead worker's; a line too long
            pass
        finally:
            answered.set()
