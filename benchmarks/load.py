"""Postfix's load tools: `smtp-source` sends, `smtp-sink` takes and counts.

Both come with the Debian package `postfix`, and are faster than any relay that they measure.
"""

import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

SENDER, RECIPIENT = "from@bench.test", "to@bench.test"
Address = tuple[str, int]


def need_tools() -> None:
    for tool in ("smtp-source", "smtp-sink"):
        if shutil.which(tool) is None:
            raise SystemExit(f"{tool} is missing: apt-get install postfix")


class Sink:
    """`smtp-sink`, and how many messages it has taken: it prints a counter that we follow.

    Another `command` counts in the same way.
    """

    def __init__(
        self, port: int, *, host: str = "127.0.0.1", command: Sequence[str] | None = None
    ) -> None:
        self.host, self.port = host, port
        self.count = 0
        self._changed = threading.Condition()
        own = ["smtp-sink", "-c", "-m", "10000", "-u", "nobody", f"{host}:{port}", "1000"]
        self._process = subprocess.Popen(command or own, stdout=subprocess.PIPE)
        self.pid = self._process.pid
        threading.Thread(target=self._follow, daemon=True).start()
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex((host, port)) == 0:
                    return
            time.sleep(0.05)
        raise SystemExit("smtp-sink does not start")

    def _follow(self) -> None:
        text = b""
        while piece := self._process.stdout.read1(65536):
            text = text[-40:] + piece
            counts = re.findall(rb"mesg=(\d+)\b", text[: text.rfind(b"\r") + 1])
            if counts:
                with self._changed:
                    self.count = int(counts[-1])
                    self._changed.notify_all()

    def wait_for(self, count: int, *, within: float) -> float:
        """Return when it had taken that many, by the monotonic clock."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.count >= count, timeout=within):
                missing = count - self.count
                raise SystemExit(f"{missing} messages are missing at the sink on port {self.port}")
        return time.monotonic()

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


def submit(
    recipient: str, to: Address, *, messages: int, size: int, sessions: int, kept: bool
) -> float:
    """Send messages, by kept connections or a new one for each; return the seconds it took."""
    began = time.monotonic()
    command = ["smtp-source", *(["-d"] if kept else []), "-s", str(sessions)]
    command += ["-m", str(messages), "-l", str(size), "-f", SENDER, "-t", recipient]
    subprocess.run([*command, f"{to[0]}:{to[1]}"], check=True)
    return time.monotonic() - began


def submit_to(
    recipients: Sequence[str], to: Address, *, messages: int, size: int, sessions: int, kept: bool
) -> None:
    """Send as many messages to each of them, in one session for each recipient, some at once."""
    one = partial(submit, to=to, messages=messages, size=size, sessions=1, kept=kept)
    with ThreadPoolExecutor(sessions) as pool:
        list(pool.map(one, recipients))
