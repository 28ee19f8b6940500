"""Relays under test: each starts on a loopback port of its own, in front of one sink.

A peer is set up as its package sets it up, with a queue of its own on the same disk; only the
addresses differ. Nothing here changes a durability setting.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from tests.support import postfix

STARTS_WITHIN = 60.0  # seconds; on a busy machine it takes long
RELAYD_SETTINGS = """\
fqdn = "relay.bench.test"
{top}
[[listen]]
address = "127.0.0.1:{port}"
{listener}
[smarthost]
hosts = ["{host}:{sink}"]
[store]
url = "{url}"
{store}
[control]
socket = "{folder}/control.sock"
[status_log]
path = "{folder}/status.log"
{more}
"""


class Relay(ABC):
    """One relay, started for one measurement."""

    name: str
    store_seconds: Callable[[], float] | None = None  # CPU of a database of its own

    def __init__(self, folder: Path, *, port: int, sink: int, host: str = "127.0.0.1") -> None:
        self.folder = folder
        self.port = port
        self.host, self.sink = host, sink  # the next hop

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def stop(self) -> None: ...

    @abstractmethod
    def processes(self) -> list[int]:
        """Return the pids whose CPU time counts; none if that cannot be known."""

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < deadline:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as probe:
                    if probe.recv(3) == b"220":
                        return
            except OSError:
                time.sleep(0.05)
        raise SystemExit(f"{self.name} does not answer on port {self.port}")

    def cpu_seconds(self) -> float:
        """Return user and system time of its processes so far, ended children included."""
        return sum(map(cpu_of, self.processes()))


class Relayd(Relay):
    name = "relayd"
    top = ""  # settings that stand before all tables
    listener = ""  # more settings of it
    more = "[limits]\nconnections_per_client = 1000"  # tables
    url = ""  # of the queue; empty: a file in its folder
    prefix: tuple[str, ...] = ()  # a command that runs another one

    def start(self) -> None:
        """Start it, on the queue that is in its folder if there is one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.settings = self.folder / "relayd.toml"
        self.settings.write_text(
            RELAYD_SETTINGS.format(
                top=self.top,
                listener=self.listener,
                more=self.more,
                store=f'folder = "{self.folder}"' if self.url else "",
                url=self.url or f"sqlite:{self.folder}/queue.db",
                port=self.port,
                host=self.host,
                sink=self.sink,
                folder=self.folder,
            )
        )
        with (self.folder / "daemon.log").open("wb") as log:
            self.daemon = subprocess.Popen(
                [*self.prefix, sys.executable, "-m", "relayd", "serve", "-c", str(self.settings)],
                stdout=log,
                stderr=log,
            )
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait for all workers; the first one answers a while before the others are there."""
        super().wait_until_ready()
        deadline = time.monotonic() + STARTS_WITHIN
        while '"event":"started"' not in (self.folder / "daemon.log").read_text():
            if time.monotonic() > deadline:
                raise SystemExit("relayd does not start: its daemon.log says why")
            time.sleep(0.01)

    def stop(self) -> None:
        self.daemon.send_signal(signal.SIGTERM)
        self.daemon.wait()

    def processes(self) -> list[int]:
        return [self.daemon.pid, *children(self.daemon.pid)]

    def workers(self) -> list[int]:
        """Return the pids of its workers, when all of them are there."""
        return children(self.daemon.pid)


class Postfix(Relay):
    name = "postfix"
    more: Mapping[str, object] = MappingProxyType({})  # of main.cf

    @staticmethod
    def is_installed() -> bool:
        return not postfix.why_not()

    def settings(self) -> dict[str, object]:
        """Return what main.cf has beyond what keeps instances apart."""
        return {
            "myhostname": "relay.bench.test",
            "mynetworks": "127.0.0.0/8",
            "relayhost": f"[{self.host}]:{self.sink}",
        }

    def start(self) -> None:
        settings = {**self.settings(), **self.more}
        self._postfix = postfix.Postfix(self.folder, port=self.port, settings=settings)
        for parent in self.folder.parents:
            if parent.stat().st_mode & 0o005 != 0o005 and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o055)
        self._postfix.start()
        self.wait_until_ready()

    def stop(self) -> None:
        self._postfix.stop()

    def processes(self) -> list[int]:
        return [self._postfix.pid, *children(self._postfix.pid)]


def cpu_of(pid: int) -> float:
    """Return user and system time of a process so far, and of its children that have ended; 0 if it is gone."""
    with suppress(FileNotFoundError, ProcessLookupError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def memory_mb(pid: int, what: str = "VmRSS") -> int:
    """Return the resident memory of a process; VmHWM is the most it ever was."""
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith(f"{what}:")]
    return int(line.split()[1]) // 1000


def children(pid: int) -> list[int]:
    """Return the pids below `pid`."""
    below = []
    with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        for tasks in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (tasks / "children").read_text().split()):
                below += [child, *children(child)]
    return below
