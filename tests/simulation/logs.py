"""What runs leave in the log: nothing, but for bugs of ours, and that a stop gave up waiting."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from relayd.policy.delivery import looking

_POLL = 30.0  # seconds; the world wakes workers when something is due
_bugs: list[str] = []
_abandoned: list[str] = []


class _Log:
    """A logger as structlog wraps it."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def info(self, event: str, **_: object) -> None:
        pass

    debug = error = critical = info

    def warning(self, event: str, **_: object) -> None:
        if event == "stopped_with_open_transactions":
            _abandoned.append(event)

    def exception(self, event: str, **_: object) -> None:
        _bugs.append(f"{event}: {sys.exception()!r}")


def forget() -> None:
    _bugs.clear()
    _abandoned.clear()


def were_abandoned() -> bool:
    """Tell whether a worker has ended with transactions open, as a crash would."""
    return bool(_abandoned)


def bug() -> str:
    """Return the first bug that was logged; empty: none was."""
    return _bugs[0] if _bugs else ""


@contextmanager
def quiet() -> Iterator[None]:
    """Let runs neither log nor poll."""
    log, names = structlog.get_config(), vars(looking)
    poll = names["POLL"]
    structlog.configure(wrapper_class=_Log)  # type: ignore[arg-type]  # as much as is used
    names["POLL"] = _POLL
    try:
        yield
    finally:
        structlog.configure(**log)
        names["POLL"] = poll
