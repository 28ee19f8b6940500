"""The operational log: what concerns the relay and not one message, on standard error.

A log call never raises and never waits for a reader; what a stranger wrote is shown, and never acts.
"""

import contextlib
import os
import sys
from collections.abc import Iterator, MutableMapping
from datetime import UTC, datetime
from functools import partial
from typing import Any, NoReturn, TextIO, cast

import structlog

from relayd.logs.jsonline import dump
from relayd.mail.text import is_shown, replaced
from relayd.mail.words import instant
from relayd.settings import LogSettings

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
# What journald reads in front of a line, and takes off: sd-daemon(3), with the levels of syslog(3).
_PRIORITIES = {
    "debug": "<7>",
    "info": "<6>",
    "warning": "<4>",
    "error": "<3>",
    "exception": "<3>",
    "critical": "<2>",
}


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


def _stamp(
    logger: object,  # noqa: ARG001 -- structlog's order
    method: str,  # noqa: ARG001
    event: MutableMapping[str, Any],
) -> MutableMapping[str, Any]:
    """For people, the time as all commands show it."""
    event["ts"] = instant(datetime.now(UTC), None)  # noqa: TID251 -- as structlog's own stamp
    return event


def configure(settings: LogSettings) -> None:
    """Set up what `structlog.get_logger()` gives: one line per event on standard error, from `settings.level` up."""
    console = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), timestamp_key="ts")
    render: Any = partial(_for_eyes, console)
    stamp: Any = _stamp
    if settings.format == "json":
        render = structlog.processors.JSONRenderer(
            serializer=lambda value, **_: dump(value).decode()
        )
        stamp = structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts")
    render = partial(_safely, render)
    if _is_journal():
        render = partial(_with_priority, render)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            stamp,
            structlog.processors.format_exc_info,
            _quote_traceback,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.level]),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _SafeStream())),
        cache_logger_on_first_use=False,  # a reload may change level and format
    )


def _is_journal() -> bool:
    """Tell whether standard error is the stream that systemd gave us: JOURNAL_STREAM, systemd.exec(5)."""
    try:
        status = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _with_priority(render: Any, logger: object, method: str, event: dict[str, Any]) -> str:
    """Say to journald how bad it is, on each line: `journalctl -p err` finds it then."""
    priority = _PRIORITIES.get(method, "<6>")
    return "\n".join(f"{priority}{line}" for line in str(render(logger, method, event)).split("\n"))


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Return a context in which nothing is logged, for a command that prints what it found itself."""
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
