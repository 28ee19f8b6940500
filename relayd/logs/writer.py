"""Appending lines to a file that may be slow, full, or rotated away.

Lines are queued and written by a thread, in batches, so that a slow disk or a full pipe never
stops the relay (HL-01). The file is opened again on `reopen` and when it was rotated away. What
cannot be written is kept and tried again; only beyond a bound of lines does anything get lost, and
then it is counted (F-26).
"""

import contextlib
import os
import stat
import sys
import threading
from collections import deque
from pathlib import Path

from relayd.errors import StartError

_KEPT = 200_000  # lines held back while they cannot be written
_EVERY = 0.05  # seconds between batches: waking the thread for each line costs more than the line
_CLOSE_WITHIN = 3.0  # seconds that the last lines may take
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


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
    """Appends lines to a file, or to standard output for `-`, from a thread of its own.

    Raises OSError when it is made and the file cannot be opened; nothing else raises.
    """

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
        """Queue a line, its newline included. Never waits; beyond the bound it is lost, and counted in `lost`."""
        if len(self._lines) >= _KEPT:
            self.lost += 1
            return
        self._lines.append(line)

    def reopen(self) -> None:
        """Open the file anew before the next line."""
        self._reopen = True
        self._signal.set()

    def close(self) -> None:
        """Write what is queued, then close. Gives up after 3 seconds: nobody may read the pipe."""
        self._stop = True
        self._signal.set()
        self._thread.join(_CLOSE_WITHIN)
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
            self._signal.wait(_EVERY)
            stopping = self._stop
            if self._lines or self._unwritten or self._reopen:
                with contextlib.suppress(OSError):  # kept; tried again with the next batch
                    self._reopen_if_moved()
                    self._drain()
            if stopping:
                return
            self._signal.clear()

    def _drain(self) -> None:
        while self._unwritten or self._lines:
            if not self._unwritten:
                batch = min(len(self._lines), 1000)
                self._unwritten = b"".join([self._lines.popleft() for _ in range(batch)])
            written = os.write(self._fd, self._unwritten)
            self._unwritten = self._unwritten[written:]

    def _reopen_if_moved(self) -> None:
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
