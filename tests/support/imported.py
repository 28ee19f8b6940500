"""`python -m tests.support.imported DESCRIPTOR [coverage]`: a process that has imported relayd, and forks when one is wanted.

Besides relayd there is its supervisor with stand-in workers (`tests.support.supervised`). Another module is imported by its child.

It is started and asked by `tests.support.relayd_process`, over the socket it is given, and ends with it. Each child leads a session
of its own, with the arguments, environment, folder and streams that were asked for, and nothing else that is open here.

Where it is told to import `coverage` too, that begins in each child whose environment asks for it. What a module does when it is
imported is then measured in the process of the tests, which imports all of relayd (`tests/conftest.py`).
"""

import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass

from relayd.__main__ import main
from tests.support import supervised
from tests.support.ask_imported import NUMBER
from tests.support.other_users import import_all

STREAMS = 3
_LARGEST = 2**18


@dataclass(frozen=True, slots=True)
class _Wanted:
    program: str
    arguments: list[str]
    environment: dict[str, str]
    folder: str


def _next_child(line: socket.socket) -> _Wanted:
    """Fork what is asked for, forever; only a child returns. News of it goes to the last descriptor of a question."""
    woken, wakes = os.pipe2(os.O_NONBLOCK)
    signal.set_wakeup_fd(wakes)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    listening: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([line.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, 100)
            _tell_of_ends(listening)
        if line.fileno() not in ready:
            continue
        question, given, _, _ = socket.recv_fds(line, _LARGEST, STREAMS + 1)
        if not question:
            sys.exit()
        *streams, listens = given
        if child := os.fork():
            listening[child] = listens
            for each in streams:
                os.close(each)
            continue
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        os.write(listens, NUMBER.pack(os.getpid()))
        for number, each in enumerate(streams):
            os.dup2(each, number)
        line.detach()
        os.closerange(STREAMS, os.sysconf("SC_OPEN_MAX"))
        return _Wanted(**json.loads(question))


def _tell_of_ends(listening: dict[int, int]) -> None:
    while listening:
        child, status = os.waitpid(-1, os.WNOHANG)
        if not child:
            return
        listens = listening.pop(child)
        with suppress(BrokenPipeError):  # nobody asks any more
            os.write(listens, NUMBER.pack(status))
        os.close(listens)


def _become(wanted: _Wanted) -> None:
    os.environ.clear()
    os.environ.update(wanted.environment)
    time.tzset()
    os.chdir(wanted.folder)
    sys.argv = [wanted.program, *wanted.arguments]
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, buffering, encoding="utf-8", closefd=False)  # noqa: SIM115 -- as of any process
        for number, mode, buffering in ((0, "r", -1), (1, "w", -1), (2, "w", 1))
    )
    if "coverage" in sys.modules:
        sys.modules["coverage"].process_startup()


def _prepare_coverage() -> None:
    """Have it look up once where each module lies: each child would do so twice, for 100 ms."""
    from coverage import Coverage  # noqa: PLC0415 -- only where it measures

    once = Coverage(data_file=None, config_file=False, branch=True, source=["relayd"])
    with warnings.catch_warnings(action="ignore"):
        once.start()
        once.stop()
        once.get_data()


if __name__ == "__main__":
    import_all()
    if "coverage" in sys.argv:
        _prepare_coverage()
    gc.freeze()  # a collection in a child would copy all of it
    with socket.socket(fileno=int(sys.argv[1])) as asking:
        one = _next_child(asking)
    _become(one)
    if one.program == "relayd":
        main()
    elif one.program == supervised.__name__:
        sys.exit(supervised.main(*one.arguments))
    else:
        runpy.run_module(one.program, run_name="__main__")
