"""`relayd ARGUMENTS` as a process of its own, without what most of its start costs.

That is to import it, for half a second of a processor, and the tests start hundreds. So one process imports it for all tests of this
one, and the others are its forks (`tests.support.imported`). Coverage measures those forks that it would measure if they were executed.

A fork differs in what comes before `main`: its command line as others see it, and what is imported. A test of these executes it. So is
it executed where the environment has something else for what comes before `main` than it had for the first: a library to load, as the
clock of a test is.
"""

import atexit
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import IO, Protocol

from tests.support import ask_imported
from tests.support.ask_imported import ask, read

ROOT = Path(__file__).parents[2]
_MEASURED = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
_BEFORE_MAIN = (
    "LD_",
    "GLIBC_",
    "MALLOC_",
    "PYTHON",
)  # begin names that count when a program is executed
_ask_lock = Lock()


class Process(Protocol):
    """A process of relayd, as `subprocess.Popen` has it."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def kill(self) -> None: ...


def start(
    *arguments: str,
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes],
    stderr: IO[bytes],
    env: Mapping[str, str] | None = None,
    program: str = "relayd",
    library: str = "",
) -> Process:
    """Start `relayd ARGUMENTS`, or another module, as the leader of a session.

    `library` is loaded before all others. It has to look at the environment after a fork, and not only where it is loaded.
    """
    environment = dict(os.environ if env is None else env)
    is_executed = _before_main(environment) != _AT_FIRST
    if library:
        environment["LD_PRELOAD"] = library
    if is_executed:
        return subprocess.Popen(
            [sys.executable, "-m", program, *arguments],
            cwd=ROOT,
            stdin=stdin or subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            env=environment,
        )
    with Path(os.devnull).open("rb") as nothing:
        streams = [each.fileno() for each in (stdin or nothing, stdout, stderr)]
        return _Fork(program, arguments, environment, streams, _imported(library))


def in_a_script() -> tuple[list[str], tuple[int, ...]]:
    """Return the words for `relayd` in a script of this test, and the descriptors that it must inherit."""
    descriptor = _imported().fileno()
    return [sys.executable, "-I", "-S", ask_imported.__file__, str(descriptor)], (descriptor,)


def run(
    *arguments: str,
    typed: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float,
) -> "subprocess.CompletedProcess[str]":
    """Run `relayd ARGUMENTS` to its end, in a session of its own."""
    with TemporaryFile() as stdin, TemporaryFile() as stdout, TemporaryFile() as stderr:
        stdin.write((typed or "").encode())
        stdin.seek(0)
        process = start(*arguments, stdin=stdin, stdout=stdout, stderr=stderr, env=env)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        texts = []
        for each in (stdout, stderr):
            each.seek(0)
            texts.append(each.read().decode().replace("\r\n", "\n"))
    return subprocess.CompletedProcess(["relayd", *arguments], status, *texts)


def _before_main(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_BEFORE_MAIN)}


_AT_FIRST = _before_main(os.environ)


class _Fork:
    """What `subprocess.Popen` is for a child of ours."""

    def __init__(
        self,
        program: str,
        arguments: tuple[str, ...],
        environment: dict[str, str],
        streams: list[int],
        line: socket.socket,
    ) -> None:
        with _ask_lock:
            self._news = ask(
                line,
                [*arguments],
                environment=environment,
                folder=str(ROOT),
                streams=streams,
                program=program,
            )
        self.pid = read(self._news)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self._ended(within=0)

    def wait(self, timeout: float | None = None) -> int:
        status = self._ended(within=timeout)
        if status is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired("relayd", timeout)
        return status

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended(self, *, within: float | None) -> int | None:
        """Return the status if it ends within that many seconds."""
        if self.returncode is None:
            poll = select.poll()
            poll.register(self._news, select.POLLIN)
            if poll.poll(None if within is None else within * 1000):
                self.returncode = os.waitstatus_to_exitcode(read(self._news))
                os.close(self._news)
        return self.returncode


@cache
def _imported(library: str = "") -> socket.socket:
    """Return the line to a process that has imported relayd, and lives as long as this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    also = ["coverage"] if "coverage" in sys.modules else []
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.imported", str(theirs.fileno()), *also],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
            env={
                name: value
                for name, value in os.environ.items()
                if name not in _MEASURED and not name.startswith(_BEFORE_MAIN)
            }
            | _AT_FIRST
            | ({"LD_PRELOAD": library} if library else {}),
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours
