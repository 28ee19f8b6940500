"""Exim, Haraka and python-slimta as peers, and which peers a benchmark takes.

Exim is Debian's, or unpacked as `tests/support/exim.py` says. Haraka comes by npm, python-slimta by
pip, each into a folder of its own below the one for temporary files, when it is asked for. What
each of them is set up with beyond its defaults stands here; none is made to wait for the disk or
kept from it, and python-slimta has its queue in memory.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers import Postfix, Relay, Relayd, children
from benchmarks.signing import PostfixOpendkim
from tests.support import exim

PROGRAMS = Path(tempfile.gettempdir()) / "relayd-bench-programs"

_EXIM = """\
primary_hostname = relay.bench.test
acl_smtp_rcpt = accept
# More than the default of 20 at once, and no message left for a queue runner.
smtp_accept_max = 1000
smtp_accept_queue_per_connection = 0
smtp_accept_max_per_connection = 0
begin acl
begin routers
onward:
  driver = manualroute
  route_list = * {host}
  self = send
  transport = onward
begin transports
onward:
  driver = smtp
  port = {port}
  allow_localhost
"""
_HARAKA = {
    "smtp.ini": "listen=127.0.0.1:{own}\n",
    "me": "relay.bench.test\n",
    "plugins": "bench\n",
    "outbound.ini": "local_mx_ok=true\n",
    "loglevel": "WARN\n",
    "../plugins/bench.js": """\
exports.hook_rcpt = (next, connection) => {{ connection.relaying = true; next(OK); }};
exports.hook_get_mx = (next) => next(OK, {{priority: 0, exchange: '{host}', port: {port}}});
""",
}
_SLIMTA = """\
from gevent.event import Event
from slimta.edge.smtp import SmtpEdge
from slimta.queue import Queue
from slimta.queue.dict import DictStorage
from slimta.relay.smtp.static import StaticSmtpRelay
relay = StaticSmtpRelay("{host}", {port}, pool_size=20, idle_timeout=10)
queue = Queue(DictStorage(), relay)
queue.start()
SmtpEdge(("127.0.0.1", {own}), queue).start()
Event().wait()
"""


class Exim(Relay):
    """Its deliveries belong to nobody in the end, so that their CPU time is not known."""

    name = "exim"

    @staticmethod
    def is_installed() -> bool:
        return not exim.why_not()

    def start(self) -> None:
        for parent in self.folder.parents:
            if parent.stat().st_mode & 0o005 != 0o005 and parent != Path("/"):
                parent.chmod(parent.stat().st_mode | 0o055)
        settings = _EXIM.format(host=self.host, port=self.sink)
        self._exim = exim.Exim(self.folder, port=self.port, settings=settings)
        self._exim.start()
        self.wait_until_ready()

    def stop(self) -> None:
        self._exim.stop()

    def processes(self) -> list[int]:
        return []


class _Program(Relay):
    """A process of ours that ends by SIGTERM."""

    def _run(self, command: Sequence[str | Path]) -> None:
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen([*map(str, command)], stdout=log, stderr=log)
        try:
            self.wait_until_ready()
        except SystemExit:
            self.stop()
            raise

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def processes(self) -> list[int]:
        return [self._process.pid, *children(self._process.pid)]


class Haraka(_Program):
    name = "haraka"
    _home = PROGRAMS / "haraka"

    @classmethod
    def is_installed(cls) -> bool:
        return (cls._home / "node_modules/.bin/haraka").exists()

    @classmethod
    def install(cls) -> None:
        cls._home.mkdir(parents=True, exist_ok=True)
        npm = ["npm", "install", "--no-audit", "--no-fund", "--omit=optional", "Haraka@3"]
        subprocess.run(npm, cwd=cls._home, check=True, stdout=sys.stderr)

    def start(self) -> None:
        for name, text in _HARAKA.items():
            file = self.folder / "config" / name
            (self.folder / "config").mkdir(parents=True, exist_ok=True)
            file.parent.resolve().mkdir(exist_ok=True)
            file.write_text(text.format(own=self.port, host=self.host, port=self.sink))
        (self.folder / "queue").mkdir()
        stock = self._home / "node_modules/Haraka/config/connection.ini"
        shutil.copy(stock, self.folder / "config")
        self._run([self._home / "node_modules/.bin/haraka", "-c", self.folder])


class Slimta(_Program):
    name = "slimta"
    _home = PROGRAMS / "slimta"

    @classmethod
    def is_installed(cls) -> bool:
        return (cls._home / "ready").exists()

    @classmethod
    def install(cls) -> None:
        subprocess.run([sys.executable, "-m", "venv", cls._home], check=True)
        wanted = ["python-slimta", "setuptools<81", "zope.interface"]
        pip = [cls._home / "bin/python", "-m", "pip", "install", "-q", "--upgrade", *wanted]
        subprocess.run(pip, check=True, stdout=sys.stderr)
        (cls._home / "ready").touch()

    def start(self) -> None:
        self.folder.mkdir(parents=True)
        script = self.folder / "relay.py"
        script.write_text(_SLIMTA.format(own=self.port, host=self.host, port=self.sink))
        self._run([self._home / "bin/python", "-W", "ignore", script])


PEERS = {kind.name: kind for kind in (Postfix, PostfixOpendkim, Exim, Haraka, Slimta)}


def relays(wanted: Sequence[str] | None) -> list[type[Relay]]:
    """Return relayd and its peers: those that are named, else those of Postfix and Exim there are.

    What is named and comes by npm or pip is installed if need be.
    """
    chosen: list[type[Relay]] = [Relayd]
    for name in ("postfix", "exim") if wanted is None else wanted:
        kind = PEERS[name]
        if not kind.is_installed() and wanted is not None and issubclass(kind, Haraka | Slimta):
            kind.install()
        if kind.is_installed():
            chosen.append(kind)
        else:
            print(f"{name} is not installed, or this is not root: left out", file=sys.stderr)
    return chosen
