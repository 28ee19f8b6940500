"""System calls of a running process that fail: with strace, which has the kernel refuse them.

with failing(pid, "socket", "EMFILE"):
    ...  # every socket(2) of the process fails
"""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


@contextmanager
def failing(pid: int, calls: str, error: str) -> Iterator[None]:
    """Have `calls` (names, with commas between them) fail in all threads of a process."""
    tracer = subprocess.Popen(
        [
            "strace",
            "-f",
            "-p",
            str(pid),
            "-e",
            f"trace={calls}",
            "-e",
            f"inject={calls}:error={error}",
            "-o",
            "/dev/null",  # a pipe that nobody reads would stop the process once it is full
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tracer.stderr is not None
    try:
        line = tracer.stderr.readline()
        assert "attached" in line, line
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=10)
