"""Run a command on a terminal of its own and return what it shows."""

import os
import pty
import re
import subprocess
from collections.abc import Sequence

_PARTS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|.", re.DOTALL)  # codes, and characters


def on_terminal(
    command: Sequence[str], *, columns: int = 100, **variables: str
) -> tuple[int, bytes]:
    """Return the exit status, and all octets of standard output and error."""
    ours, theirs = pty.openpty()
    environment = {
        **os.environ,
        "TERM": "xterm",
        "COLUMNS": str(columns),
        "LINES": "50",
        **variables,
    }
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


def left_on_screen(shown: bytes, *, columns: int) -> list[str]:
    """Return the lines that stand on a terminal of so many columns at the end, as far as commands use one."""
    lines, column = [""], 0
    for part in _PARTS.findall(shown.decode()):
        if part == "\r":
            column = 0
        elif part == "\n":
            lines.append("")
            column = 0
        elif part == "\x1b[K":
            lines[-1] = lines[-1][:column]
        elif len(part) == 1:
            if column == columns:
                lines.append("")
                column = 0
            lines[-1] = f"{lines[-1][:column]}{part}{lines[-1][column + 1 :]}"
            column += 1
    return [line.rstrip() for line in lines if line.strip()]
