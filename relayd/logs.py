"""Both logs: the status log, one line per recipient and event, and the operational log.

Lines are queued and written by a thread, in batches, so that a slow disk or a full pipe never
stops the relay (HL-01). The status log is opened again on `reopen` and when its file was rotated
away. What cannot be written is kept and tried again; only beyond a bound of lines does anything
get lost, and then it is counted (F-26). The store has every status event in any case.
"""

import contextlib
import os
import stat
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, MutableMapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TextIO, cast

import orjson
import structlog

from relayd.errors import StartError
from relayd.mail.envelope import MessageFacts, NewMessage, QueuedMessage
from relayd.mail.event import Event, first_events
from relayd.mail.ids import MessageId, format_id, received_at_of
from relayd.mail.text import escaped, is_shown, replaced
from relayd.mail.words import Detail, EventKind, format_instant
from relayd.metrics.tally import Tally
from relayd.settings import LogSettings

SCHEMA = 1
_NOTHING: Detail = {}
_KEPT = 200_000  # lines held back while they cannot be written
_LOOK = 0.05  # seconds between batches: waking the thread for each line costs more than the line
_PARTING = 3.0  # seconds that the last lines may take
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def try_status_log(path: str) -> None:
    """Raise StartError unless lines can be appended to the file `path`; it is made if it is missing."""
    if path == "-":
        return
    try:  # without O_NONBLOCK, opening a FIFO would wait for its reader
        os.close(os.open(path, _FLAGS | os.O_NONBLOCK, 0o640))
    except OSError as error:
        message = f"cannot write the status log {path}: {error.strerror}; see status_log.path"
        raise StartError(message) from error


class LineWriter:
    """Appends lines to a file, or to standard output for `-`, from a thread of its own."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = self._open()
        self._lines: deque[bytes] = deque()
        self._unwritten = b""  # what is left of a batch
        self._signal = threading.Event()
        self._stop = False
        self._reopen = False
        self.lost = 0
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def write(self, line: bytes) -> None:
        if len(self._lines) >= _KEPT:
            self.lost += 1
            return
        self._lines.append(line)

    def reopen(self) -> None:
        """Open the file anew before the next line."""
        self._reopen = True
        self._signal.set()

    def close(self) -> None:
        """Write what is queued, then close. A pipe that nobody reads does not hold us for ever."""
        self._stop = True
        self._signal.set()
        self._thread.join(_PARTING)
        if self._fd > 2 and not self._thread.is_alive():
            os.close(self._fd)

    def _open(self) -> int:
        if self._path == "-":
            return sys.stdout.fileno()
        fresh = os.open(self._path, _FLAGS, 0o640)
        with contextlib.suppress(OSError):  # somebody else's file we may append to
            if stat.S_ISREG(os.fstat(fresh).st_mode):  # /dev/null keeps its mode
                os.fchmod(fresh, 0o640)  # whatever the umask: its group reads the log
        return fresh

    def _run(self) -> None:
        while True:
            self._signal.wait(_LOOK)
            stopping = self._stop
            if self._lines or self._unwritten or self._reopen:
                with contextlib.suppress(OSError):  # kept; tried again at the next look
                    self._follow()
                    self._drain()
            if stopping:
                return
            self._signal.clear()

    def _drain(self) -> None:
        while self._unwritten or self._lines:
            if not self._unwritten:
                batch = min(len(self._lines), 1000)
                self._unwritten = b"".join(self._lines.popleft() for _ in range(batch))
            written = os.write(self._fd, self._unwritten)
            self._unwritten = self._unwritten[written:]

    def _follow(self) -> None:
        """Open the path again when asked to, or when it is another file than ours by now."""
        if self._path == "-" or not (self._reopen or self._moved()):
            return
        fresh = self._open()
        self._reopen = False
        os.close(self._fd)
        self._fd = fresh

    def _moved(self) -> bool:
        try:
            now = Path(self._path).stat()
        except FileNotFoundError:
            return True
        ours = os.fstat(self._fd)
        return (now.st_dev, now.st_ino) != (ours.st_dev, ours.st_ino)


class StatusLog:
    """`relayd.ports.outward.EventSink`: the status log of one worker, and the count of its lines."""

    def __init__(self, path: str, *, node: str, tally: Tally | None = None) -> None:
        self._writer = LineWriter(path)
        self._node = node
        self._tally = tally or Tally()

    def received(self, message: NewMessage) -> None:
        facts, client, size = message.facts, message.client, len(message.content)
        sender = str(message.reverse_path or "")
        self._tally.received(len(message.recipients))
        for recipient in message.recipients:
            line = self._begin(message.received_at, EventKind.RECEIVED, message.id)
            _describe(line, facts, sender=sender, rcpt=str(recipient.address), size=size)
            line["client_ip"] = client.ip
            line["helo"] = client.helo
            if client.auth_user is not None:
                line["auth_user"] = client.auth_user
            line["status"] = "queued"
            self._end(line)
        for event in first_events(message):
            line = self._begin(event.at, event.kind, message.id)
            rcpt = str(message.recipients[event.recipient].address)
            _describe(line, facts, sender=sender, rcpt=rcpt, size=size)
            line["status"] = _STATUS.get(event.kind, "queued")
            self._end(line, event.detail)

    def record(self, event: Event, message: QueuedMessage, address: str) -> None:
        self._tally.event(event.kind, event.detail, event.at - message.received_at)
        line = self._begin(event.at, event.kind, message.id)
        _describe(line, message, sender=message.reverse_path, rcpt=address, size=message.size)
        self._end_with_status(line, event)

    def acted(self, event: Event) -> None:
        """Note an operator's act: the store gives the event without the message."""
        waited = event.at - received_at_of(event.message_id)
        self._tally.event(event.kind, event.detail, waited)
        self._end_with_status(self._begin(event.at, event.kind, event.message_id), event)

    def refused(self, at: datetime, detail: Detail) -> None:
        self._tally.refused(detail.get("code"))
        self._end(self._begin(at, EventKind.REFUSED), detail)

    def refused_again(self, detail: Detail) -> None:
        """Count a refusal that has no line."""
        self._tally.refused(detail.get("code"))

    def reopen(self) -> None:
        self._writer.reopen()

    def close(self) -> None:
        self._writer.close()

    def _begin(
        self, at: datetime, kind: EventKind, message_id: MessageId | None = None
    ) -> dict[str, Any]:
        line = {"ts": format_instant(at), "event": kind.value, "node": self._node}
        if message_id is not None:
            line["queue_id"] = format_id(message_id)
        return line

    def _end_with_status(self, line: dict[str, Any], event: Event) -> None:
        if (status := _STATUS.get(event.kind)) is not None:
            line["status"] = status
        self._end(line, event.detail)

    def _end(self, line: dict[str, Any], detail: Detail = _NOTHING) -> None:
        """Write a line; what is not known is left out."""
        for name, value in detail.items():
            if value is not None:
                line[name] = value  # noqa: PERF403 -- `update` with another dict takes longer
        line["schema"] = SCHEMA
        self._writer.write(dump(line, orjson.OPT_APPEND_NEWLINE))


def _describe(
    line: dict[str, Any],
    message: MessageFacts | QueuedMessage,
    *,
    sender: str,
    rcpt: str,
    size: int,
) -> None:
    """Say which message it is about."""
    if message.message_id_header is not None:
        line["message_id"] = message.message_id_header
    line["from"] = sender
    line["rcpt"] = rcpt
    if message.tag is not None:
        line["tag"] = message.tag
    line["size"] = size


_STATUS = {
    EventKind.SENT: "sent",
    EventKind.RELAYED: "relayed",
    EventKind.DEFERRED: "deferred",
    EventKind.BOUNCED: "bounced",
    EventKind.LATE_BOUNCED: "bounced",
    EventKind.HELD: "held",
    EventKind.RELEASED: "queued",
    EventKind.EXPEDITED: "queued",
    EventKind.DROPPED: "dropped",
}


def dump(value: object, option: int = 0) -> bytes:
    """Serialize one line; whatever the value is, it does not raise (HL-02).

    What eyes would not see is escaped: it stays the same JSON (A-47, A-89).
    """
    try:
        line = orjson.dumps(value, default=str, option=option)
    except (TypeError, orjson.JSONEncodeError):
        line = orjson.dumps(_plain(value, depth=4), option=option)
    if line.isascii() and b"\x7f" not in line:
        return line
    text = line.decode()
    end = "\n" if text.endswith("\n") else ""
    return (escaped(text.removesuffix("\n")) + end).encode()


def _plain(value: object, *, depth: int) -> object:
    """What JSON can hold of a value: surrogates escaped, large numbers and objects as text."""
    match value:
        case None | bool() | float():
            return value
        case int() if -(1 << 63) <= value < 1 << 63:
            return value
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case Mapping() if depth:
            return {
                str(_plain(key, depth=0)): _plain(inner, depth=depth - 1)
                for key, inner in value.items()
            }
        case list() | tuple() if depth:
            return [_plain(inner, depth=depth - 1) for inner in value]
        case _:
            return _described(value)


def _described(value: object) -> str:
    try:
        return repr(value).encode("utf-8", "backslashreplace").decode()
    except Exception:  # noqa: BLE001 -- anybody's __repr__
        return f"<{type(value).__name__}>"


class _SafeStream:
    """Standard error that nobody has to read: a log call never raises, and never ends the relay."""

    def write(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(line.encode("utf-8", "backslashreplace").decode())

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()


def _safely(render: Any, logger: object, method: str, event: dict[str, Any]) -> Any:
    try:
        return render(logger, method, dict(event))
    except Exception:  # noqa: BLE001 -- a log call never raises
        return dump(event).decode()


def _quote_traceback(
    logger: object,  # noqa: ARG001 -- structlog's order
    method: str,  # noqa: ARG001
    event: MutableMapping[str, Any],
) -> MutableMapping[str, Any]:
    """An error's own words may be a stranger's: no line of it looks like one of the log, or acts."""
    if isinstance(traceback := event.get("exception"), str):
        event["exception"] = "\n".join(f"  {_visible(line)}" for line in traceback.split("\n"))
    return event


def _visible(line: str) -> str:
    if is_shown(line):
        return line
    return "".join(char if is_shown(char) else ascii(char)[1:-1] for char in line)


def _for_eyes(render: Any, logger: object, method: str, event: dict[str, Any]) -> Any:
    """Render an event with texts that can be shown; a traceback is visible already."""
    shown = {
        name: replaced(value) if isinstance(value, str) and name != "exception" else value
        for name, value in event.items()
    }
    return render(logger, method, shown)


def configure(settings: LogSettings) -> None:
    """Set up the operational log: one line per event on standard error."""
    console = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    render: Any = partial(_for_eyes, console)
    if settings.format == "json":
        render = structlog.processors.JSONRenderer(
            serializer=lambda value, **_: dump(value).decode()
        )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            structlog.processors.format_exc_info,
            _quote_traceback,
            partial(_safely, render),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.level]),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _SafeStream())),
        cache_logger_on_first_use=False,  # a reload may change level and format
    )


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Log nothing meanwhile: for a command that tells what it found itself."""
    was_configured, before = structlog.is_configured(), structlog.get_config()
    structlog.configure(processors=[_drop])
    try:
        yield
    finally:
        if was_configured:
            structlog.configure(**before)
        else:
            structlog.reset_defaults()


def _drop(logger: object, method: str, event: object) -> NoReturn:  # noqa: ARG001 -- structlog's order
    raise structlog.DropEvent
