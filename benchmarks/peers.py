"""Relays under test: each starts on a loopback port of its own, in front of one sink.

A peer is set up as its package sets it up, with a queue of its own on the same disk; only the
addresses differ. Nothing here changes a durability setting.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path

RELAYD_SETTINGS = """\
fqdn = "relay.bench.test"
{workers}
[[listen]]
address = "127.0.0.1:{port}"
[limits]
connections_per_client = 1000
[smarthost]
hosts = ["127.0.0.1:{sink}"]
[store]
url = "sqlite:{folder}/queue.db"
[control]
socket = "{folder}/control.sock"
[status_log]
path = "{folder}/status.log"
"""

POSTFIX_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
mail_owner = postfix
setgid_group = postdrop
myhostname = relay.bench.test
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
relayhost = [127.0.0.1]:{sink}
smtp_tls_security_level =
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
multi_instance_enable = no
"""


class Relay(ABC):
    """One relay, started for one measurement."""

    name: str

    def __init__(self, folder: Path, *, port: int, sink: int) -> None:
        self.folder = folder
        self.port = port
        self.sink = sink

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def stop(self) -> None: ...

    @abstractmethod
    def processes(self) -> list[int]:
        """Return the pids whose CPU time counts."""

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 15
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
        ticks = 0
        for pid in self.processes():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")


class Relayd(Relay):
    name = "relayd"
    workers: int | None = None  # None: the default

    def start(self) -> None:
        self.folder.mkdir(parents=True)
        settings = self.folder / "relayd.toml"
        workers = "" if self.workers is None else f"workers = {self.workers}"
        settings.write_text(
            RELAYD_SETTINGS.format(
                workers=workers, port=self.port, sink=self.sink, folder=self.folder
            )
        )
        with (self.folder / "daemon.log").open("wb") as log:
            self._daemon = subprocess.Popen(
                [sys.executable, "-m", "relayd", "serve", "-c", str(settings)],
                stdout=log,
                stderr=log,
            )
        self.wait_until_ready()

    def stop(self) -> None:
        self._daemon.send_signal(signal.SIGTERM)
        self._daemon.wait()
        shutil.rmtree(self.folder)

    def processes(self) -> list[int]:
        return [self._daemon.pid, *_children(self._daemon.pid)]


class Postfix(Relay):
    name = "postfix"

    @staticmethod
    def is_installed() -> bool:
        return shutil.which("postfix") is not None and os.geteuid() == 0

    def start(self) -> None:
        config = self.folder / "etc"
        config.mkdir(parents=True)
        (self.folder / "queue").mkdir()
        (self.folder / "data").mkdir()
        shutil.chown(self.folder / "data", "postfix")
        for parent in (self.folder, *self.folder.parents):
            if parent.stat().st_mode & 0o005 != 0o005 and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o055)
        main = POSTFIX_MAIN.format(folder=self.folder, sink=self.sink)
        (config / "main.cf").write_text(main)
        stock = Path("/usr/share/postfix/master.cf.dist").read_text()
        lines = [line for line in stock.splitlines() if not line.startswith("#")]
        port = f"127.0.0.1:{self.port}"
        served = [
            line.replace("smtp ", f"{port} ", 1).replace(" y ", " n ", 1)
            if line.startswith("smtp ") and "inet" in line
            else _without_chroot(line)
            for line in lines
        ]
        (config / "master.cf").write_text("\n".join(served) + "\n")
        self._run("start")
        self.wait_until_ready()

    def stop(self) -> None:
        self._run("stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def processes(self) -> list[int]:
        master = int((self.folder / "queue/pid/master.pid").read_text())
        return [master, *_children(master)]

    def _run(self, verb: str) -> None:
        done = subprocess.run(
            ["postfix", "-c", str(self.folder / "etc"), verb],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"postfix {verb}: {done.stdout}{done.stderr}")


def _without_chroot(line: str) -> str:
    """Turn the chroot column off: the queue of the benchmark holds no copy of /etc."""
    fields = line.split()
    if len(fields) > 5 and not line.startswith(" "):
        fields[4] = "n"
        return " ".join(fields)
    return line


def _children(pid: int) -> list[int]:
    """Return the pids below `pid`."""
    below = []
    for tasks in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (tasks / "children").read_text().split()):
            below += [child, *_children(child)]
    return below
