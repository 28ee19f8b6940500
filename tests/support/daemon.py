"""`relayd serve` as real processes, and a smarthost in a thread: for tests of the whole.

with a_smarthost() as smarthost, a_daemon(tmp_path, smarthost.port) as daemon:
    daemon.send("a@x.test")
    eventually(lambda: daemon.statuses() == {"a@x.test": "relayed"}, "relayed")
"""

import asyncio
import json
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from relayd.answers.recipients import find_rows
from relayd.ports.view import Query, RecipientRow
from relayd.store import open_view
from tests.support import relayd_process
from tests.support.pointers import without_pointers
from tests.support.ports import free_port
from tests.support.scripted_server import Message, Script, ScriptedServer

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
CEILING = 15.0
EVERYTHING = Query()
CONTENT = "Subject: Hello\r\n\r\nHello.\r\n"

# Does what systemd does between fork and exec: the descriptor's number, and the process's own pid.
PASS_SOCKET = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""

_SETTINGS = """\
fqdn = "{fqdn}"
workers = {workers}
use_remote_smtp = {remote}
[[listen]]
address = "{host}:{port}"
add_headers = "never"
{listen_more}
[[listen]]
address = "unix:{folder}/smtp.sock"
[limits]
message_size = "{message_size}"
{limits_more}
[smarthost]
hosts = ["{smarthost_host}:{smarthost}"]
tls = "{smarthost_tls}"
connections = {connections}
{smarthost_more}
[retry]
soft_bounce = ["1s"]
unknown_outcome = ["1s", "1s", "1s", "1s", "1s"]
unreachable = ["1s"]
[store]
url = "{store}"
{store_more}
[control]
socket = "{folder}/control.sock"
[status_log]
path = "{folder}/status.log"
[log]
format = "json"
{more}
"""


def runs(pid: int) -> bool:
    """Tell whether it still runs; orphans may stay zombies where nobody adopts them."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it has just gone
        return False


def eventually(condition: Callable[[], T], what: str, *, within: float = CEILING) -> T:
    """Return the first true answer of `condition`."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(0.02)
    raise AssertionError(what)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What one command line gave."""

    status: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


class Daemon:
    """A relay in a folder: its settings, its processes, its logs, and its command line."""

    def __init__(
        self,
        folder: Path,
        smarthost: int,
        *,
        queue: Path | None = None,
        ask: str = "",
        **settings: object,
    ) -> None:
        """`ask` is the URL by which `rows` asks the queue, if not the one of the settings."""
        self.folder = folder
        self.port = free_port()
        self.file = folder / "relayd.toml"
        self.log = folder / "daemon.log"
        self.status_log = folder / "status.log"
        self.queue = queue or folder / "queue.db"
        self.process: relayd_process.Process | None = None
        self.ask = ask
        self._settings = {
            "fqdn": "relay.test",
            "host": "127.0.0.1",
            "listen_more": "",
            "workers": 2,
            "remote": "false",
            "port": self.port,
            "folder": folder,
            "store": f"sqlite:{self.queue}",
            "store_more": "",
            "smarthost": smarthost,
            "smarthost_host": "127.0.0.1",
            "smarthost_tls": "off",
            "smarthost_more": "",
            "message_size": "2MB",
            "limits_more": "",
            "connections": 20,
            "more": "",
        } | settings
        self.write()

    def write(self, **changes: object) -> None:
        self._settings |= changes
        self.file.write_text(_SETTINGS.format(**self._settings))

    # Processes

    def start(
        self,
        *prefix: str,
        keep: socket.socket | None = None,
        traceable: bool = False,
        program: Sequence[str] = (),
    ) -> None:
        """Start the daemon, under the command `prefix` if given, as leader of its own group.

        `keep` is a socket of systemd, for `PASS_SOCKET` as prefix. `traceable`: the test looks into
        its processes, which relayd forbids to all but root. `program` is a module that runs relayd.
        """
        serve = ("serve", "-c", str(self.file))
        if not prefix and not traceable:
            with self.log.open("ab") as out:
                self.process = relayd_process.start(*serve, stdout=out, stderr=out)
            return
        program = ["tests.support.traceable", "relayd"] if traceable else [*program, "relayd"]
        passed = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "smtp"} if keep else {}
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", *program, *serve],
                cwd=ROOT,
                stdout=out,
                stderr=out,
                start_new_session=True,
                env=os.environ | passed,
                pass_fds=() if keep is None else (keep.fileno(),),
            )

    def up(self, *prefix: str, traceable: bool = False, program: Sequence[str] = ()) -> float:
        """Start and wait until all workers are ready; return how long that took."""
        return self.up_by(partial(self.start, *prefix, traceable=traceable, program=program))

    def up_by(self, start: Callable[[], None]) -> float:
        """The same, with what starts it and notes its process."""
        began, seen = time.monotonic(), len(self.events("started"))
        start()

        def is_up() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, f"it did not start:\n{self.log.read_text()[-2000:]}"
            return len(self.events("started")) > seen

        eventually(is_up, "the daemon is ready", within=2 * CEILING)
        return time.monotonic() - began

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def signal_all(self, number: int) -> None:
        """Send it to the supervisor and all workers."""
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def end(self, *, within: float = 40) -> int:
        """Wait for the end; return the exit status."""
        assert self.process is not None
        return self.process.wait(within)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.end()

    def kill(self) -> None:
        """`kill -9` of the supervisor and all workers at one instant, as far as that goes."""
        with suppress(ProcessLookupError):  # it has just ended
            self.signal_all(signal.SIGKILL)
        self.end()

    def kill_worker(self, name: str) -> int:
        """`kill -9` of one worker; return its process id."""
        pid: int = [one for one in self.events("worker_started") if one["worker"] == name][-1][
            "pid"
        ]
        os.kill(pid, signal.SIGKILL)
        return pid

    def close(self) -> None:
        """Leave no process behind, whatever the test did."""
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGTERM)
            try:
                self.end(within=3)
            except subprocess.TimeoutExpired:
                self.kill()

    def events(self, name: str) -> list[dict[str, Any]]:
        """Events of the operational log with that name."""
        if not self.log.exists():
            return []
        lines = self.log.read_bytes().split(b"\n")[:-1]
        read = [json.loads(line) for line in lines if line.startswith(b"{")]
        return [event for event in read if event["event"] == name]

    # Mail in

    def client(self) -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", self.port, local_hostname="app.test", timeout=CEILING)

    def send(
        self, *recipients: str, content: str | bytes = CONTENT, sender: str = "app@app.test"
    ) -> str:
        """Submit a message as an application would; return its queue id."""
        with self.client() as client:
            client.ehlo()
            client.mail(sender)
            for recipient in recipients:
                assert client.rcpt(recipient)[0] == 250
            code, text = client.data(content)
        assert code == 250, text
        return text.decode().rpartition(" ")[2]

    # The command line

    def run(self, *arguments: str, typed: str | None = None) -> Ran:
        """Run `relayd ARGUMENTS` on these settings in a process of its own."""
        done = relayd_process.run("-c", str(self.file), *arguments, typed=typed, timeout=CEILING)
        return Ran(status=done.returncode, out=done.stdout, err=without_pointers(done.stderr)[0])

    def status(self, *arguments: str) -> list[dict[str, Any]]:
        """What `relayd status --json` says of all recipients that match."""
        ran = self.run("status", "--json", "--limit", "0", *arguments)
        assert ran.status == 0, ran.err
        return ran.rows

    def rows(self, query: Query = EVERYTHING) -> list[RecipientRow]:
        """The same rows, without the cost of a process: to wait for something."""
        with closing(open_view(self.ask or str(self._settings["store"]))) as view:
            return list(find_rows(view, query, limit=0))

    def statuses(self) -> dict[str, str]:
        return {row.address: row.status.value for row in self.rows()}

    def log_lines(self) -> list[dict[str, Any]]:
        """The status log; every line is whole and an object."""
        return [json.loads(line) for line in self.status_log.read_bytes().splitlines()]


@contextmanager
def a_daemon(
    folder: Path,
    smarthost: int,
    *,
    queue: Path | None = None,
    traceable: bool = False,
    ask: str = "",
    **settings: object,
) -> Iterator[Daemon]:
    """A running relay for the length of the block."""
    daemon = Daemon(folder, smarthost, queue=queue, ask=ask, **settings)
    try:
        daemon.up(traceable=traceable)
        yield daemon
    finally:
        daemon.close()


class SmarthostThread:
    """A ScriptedServer with an event loop in a thread of its own; may be down and up again."""

    def __init__(
        self, script: Script | None = None, *, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        """With `tls` it begins with the handshake."""
        self.server = ScriptedServer(script, port=port, tls=tls, implicit=tls is not None)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._call(self.server.__aenter__())
        self.port = self.server.port

    def _call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(CEILING)

    def open(self, gate: asyncio.Event) -> None:
        """Let the server go on that waits for `gate`."""
        self._loop.call_soon_threadsafe(gate.set)

    @property
    def messages(self) -> Sequence[Message]:
        return list(self.server.messages)

    @property
    def rcpts(self) -> list[str]:
        """Every recipient that was accepted with a message, once per message."""
        return [
            rcpt.partition("<")[2].partition(">")[0]
            for message in self.messages
            for rcpt in message.rcpts
        ]

    def received(self, count: int) -> Sequence[Message]:
        eventually(lambda: len(self.server.messages) >= count, f"{count} messages")
        return self.messages

    def close(self) -> None:
        self._call(self.server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CEILING)
        self._loop.close()


@contextmanager
def a_smarthost(
    script: Script | None = None, *, port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[SmarthostThread]:
    smarthost = SmarthostThread(script, port=port, tls=tls)
    try:
        yield smarthost
        assert not smarthost.server.unclean
    finally:
        smarthost.close()


def without_trace(content: bytes) -> bytes:
    """The content as the client gave it: our Received field is the first (S-23)."""
    assert content.startswith(b"Received: "), content[:80]
    lines = content.split(b"\r\n")
    end = next(number for number, line in enumerate(lines[1:], 1) if line[:1] not in (b" ", b"\t"))
    return b"\r\n".join(lines[end:])
