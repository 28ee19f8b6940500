"""One worker process: fork it, hear its heartbeat, signal it, reap it.

Owns what happens between `fork` and the worker's own code, and the parent's end of the line between
them, by which heartbeats come (`relayd.worker.supervision` is the other end).
Knows nothing of settings or mail; `relayd.supervisor.serve` decides who lives.

A worker starts with SIGTERM and SIGCHLD at their defaults and SIGINT ignored, since a terminal
sends that one to all processes and the supervisor passes it on as SIGTERM. SIGHUP is ignored until
the worker sets a handler of its own.
"""

import math
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

import structlog

from relayd import kernel
from relayd.errors import ConfigError, RelaydError, is_shortage
from relayd.worker.supervision import LET_GO, READY, RELOAD, UPGRADING

CAUGHT = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
HAND_OVER = signal.SIGUSR1  # accept no more, give the mail to others, let the clients finish
STOP = signal.SIGUSR2  # while it does: stop

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Worker:
    """A worker process that nobody has waited for yet, so its pid and its name are its own."""

    name: str
    pid: int
    heartbeat: int  # our end of the line; -1 when the worker has closed its own
    started_at: float
    heard_at: float
    deadline: float  # when it is killed; each heartbeat moves it, until the worker is retired
    ready: bool = False
    retired: bool = False
    let_go: bool = False  # it takes no more clients
    asks: bool = False  # for a reload; the reader clears this
    upgrades: bool = False  # it brings the queue up to date; the reader clears this

    def hear(self, now: float, *, timeout: float) -> bool:
        """Take in its heartbeats; return True when it reports that it is ready."""
        try:
            beats = os.read(self.heartbeat, 4096) if self.heartbeat >= 0 else b""
        except ConnectionResetError:  # it ended before it had read our answer
            beats = b""
        except OSError:  # nothing is there, or it cannot be read now
            return False
        if not beats:
            self.forget()
            return False
        self.heard_at = now
        if not self.retired:
            self.deadline = now + timeout
        self.asks = self.asks or RELOAD in beats
        self.upgrades = self.upgrades or UPGRADING in beats
        self.let_go = self.let_go or LET_GO in beats
        reports = READY in beats and not self.ready
        self.ready = self.ready or reports
        return reports

    def wait_until(self, deadline: float) -> None:
        """Give it that long to become ready, at least."""
        if not self.ready and not self.retired:
            self.deadline = max(self.deadline, deadline)

    def tell(self, line: bytes) -> None:
        """Answer it; never blocks. A worker that is gone needs no answer."""
        if self.heartbeat >= 0:
            with suppress(OSError):
                os.write(self.heartbeat, line)

    def retire(self, deadline: float, *, for_others: bool = False) -> None:
        """Ask it to finish what it has begun and end.

        `for_others`: others take its place, so its clients may take their time.
        """
        if not self.retired:
            self.retired = True
            self.deadline = deadline
            self.signal(HAND_OVER if for_others and self.ready else signal.SIGTERM)

    def stop(self, deadline: float) -> None:
        """Ask one that hands over to end as if nobody took its place."""
        self.deadline = min(self.deadline, deadline)
        self.signal(STOP if self.ready else signal.SIGTERM)

    def kill(self) -> None:
        self.deadline = math.inf  # once is enough
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)  # at worst a zombie of our own

    def reap(self) -> int | None:
        """Return its exit code, minus the signal that ended it, or None while it lives."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            return None
        self.forget()
        return os.waitstatus_to_exitcode(status)

    def forget(self) -> None:
        """Close our end of its heartbeat."""
        if self.heartbeat >= 0:
            os.close(self.heartbeat)
            self.heartbeat = -1


class Signals:
    """Signals as bytes in a pipe; nothing is ever done in a handler."""

    def __init__(self) -> None:
        self.descriptor, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._handlers = {number: signal.signal(number, _leave_it) for number in CAUGHT}

    def take(self) -> list[int]:
        with suppress(OSError):  # there is none, or it cannot be read now
            return list(os.read(self.descriptor, 4096))
        return []

    def close(self) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self.forget()

    def forget(self) -> None:
        """Close this process's copy of the pipe."""
        os.close(self.descriptor)
        os.close(self._writer)


def spawn(
    name: str, work: Callable[[int], int], *, close: Callable[[], None], timeout: float
) -> Worker:
    """Fork a worker that runs `work` with its end of the line, after `close` in the child.

    The worker has `timeout` seconds to say something. Raises OSError if there is no room for
    another process.
    """
    ours, theirs = socket.socketpair()
    for each in (ours, theirs):
        each.settimeout(0)
    parent = os.getpid()
    # A signal for the child must not run the parent's handler there: both share the wake-up pipe.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, CAUGHT)
    try:
        pid = os.fork()
        if pid == 0:
            ours.close()
            _be_worker(lambda: work(theirs.detach()), close=close, parent=parent)
    except OSError:
        ours.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()
    now = time.monotonic()
    return Worker(
        name=name,
        pid=pid,
        heartbeat=ours.detach(),
        started_at=now,
        heard_at=now,
        deadline=now + timeout,
    )


def _be_worker(work: Callable[[], int], *, close: Callable[[], None], parent: int) -> NoReturn:
    """Never returns into the parent's frames, whatever happens."""
    code = os.EX_SOFTWARE
    try:
        _detach_signals()
        close()
        kernel.die_with_parent(parent, by=signal.SIGTERM)
        code = work()
    except SystemExit as request:
        code = request.code if isinstance(request.code, int) else os.EX_SOFTWARE
    except RelaydError as fault:
        code = os.EX_CONFIG if isinstance(fault, ConfigError) else os.EX_OSERR
        log.error("worker_failed", error=str(fault))  # noqa: TRY400 - the operator's to fix, not ours
    except OSError as fault:
        if is_shortage(fault):
            code = os.EX_TEMPFAIL
            log.error("worker_failed", error=str(fault))  # noqa: TRY400 - no fault of ours
        else:
            log.exception("worker_failed")
    except BaseException:
        log.exception("worker_failed")
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _detach_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, CAUGHT)


def _leave_it(number: int, frame: object) -> None:
    """Let the wake-up pipe tell the main loop; a signal without a handler writes nothing there."""
