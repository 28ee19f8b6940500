"""Run a command on a terminal of its own and return what it shows."""

import os
import pty
import subprocess
from collections.abc import Sequence


def on_terminal(command: Sequence[str], *, columns: int = 100) -> tuple[int, bytes]:
    """Return the exit status, and all octets of standard output and error."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "LINES": "50"}
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = bytearray()
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # the other side was closed
        pass
    os.close(ours)
    return process.wait(timeout=30), bytes(shown)
