"""Who looks on: the debug log, and those who ask at the control socket.

Each of the latter has a buffer with a bound: who reads slowly loses lines, and is told how many.
"""

import asyncio
from collections import deque

import orjson
import structlog

from relayd.trace.switch import TraceLine
from relayd.trace.wanted import Wanted

_KEPT = 2000  # lines of one follower, and as many octets as below
_KEPT_OCTETS = 1024 * 1024

_log = structlog.get_logger(__name__)


class DebugLog:
    """The operational log at level debug: everything but content."""

    wanted: Wanted | None = None

    def take(self, line: TraceLine) -> None:
        fields = {key: value for key, value in line.items() if key not in ("ts", "event")}
        _log.debug(line["event"], **fields)


class Buffer:
    """Lines for one who reads at its own speed."""

    def __init__(self, wanted: Wanted, *, worker: str) -> None:
        self.wanted: Wanted | None = wanted
        self._worker = worker
        self._lines: deque[bytes] = deque()
        self._octets = 0
        self._dropped = 0
        self._came = asyncio.Event()

    def take(self, line: TraceLine) -> None:
        option = orjson.OPT_APPEND_NEWLINE
        self.put(orjson.dumps({**line, "worker": self._worker}, default=str, option=option))

    def put(self, line: bytes) -> None:
        """Take a line that is written already."""
        if len(self._lines) >= _KEPT or self._octets + len(line) > _KEPT_OCTETS:
            self._dropped += 1
        else:
            self._octets += len(line)
            self._lines.append(line)
        self._came.set()

    async def read(self) -> bytes:
        """Return what has come in, waiting for it; what was dropped is counted in a line behind it."""
        await self._came.wait()
        self._came.clear()
        octets, self._octets = b"".join(self._lines), 0
        self._lines.clear()
        if self._dropped:
            octets += orjson.dumps({"event": "trace_dropped", "lines": self._dropped}) + b"\n"
            self._dropped = 0
        return octets
