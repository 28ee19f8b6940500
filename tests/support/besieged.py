"""A relay that is attacked: every door that it can have is open, and strangers stand before each."""

import os
import smtplib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.daemon import Daemon, SmarthostThread, a_smarthost
from tests.support.hostile_words import SCRIPT
from tests.support.ports import free_port

RETURNS, FORWARDS = "returns.test", "forwards.test"
USER, PASSWORD = "app", "hunter2-in-no-log"
GUESSED, WATCHED = "target", "watched"  # users who are guessed at: all of loopback is one source
_SETTINGS = """\
[metrics]
address = "127.0.0.1:{metrics}"
[bounces]
verp_domain = "{returns}"
refuse_suppressed = true
[[listen]]
address = "127.0.0.1:{public}"
networks = ["192.0.2.0/24"]
auth = "optional"
[[listen]]
address = "127.0.0.1:{proxied}"
networks = ["192.0.2.0/24"]
proxy_networks = ["127.0.0.9/32"]
[[listen]]
address = "127.0.0.1:{introduced}"
networks = ["192.0.2.0/24"]
xclient_networks = ["127.0.0.9/32"]
[senders."forwarded.test"]
srs_domain = "{forwards}"
[routes]
"forwarded.test" = "hold"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Besieged:
    """The relay, its smarthost, and the ports of its doors."""

    daemon: Daemon
    smarthost: SmarthostThread
    public: int  # for strangers; who logs in may relay
    proxied: int  # 127.0.0.9 says who its clients are, by the PROXY protocol
    introduced: int  # and here by XCLIENT
    metrics: int

    @property
    def worker(self) -> int:
        """The process id of its one worker."""
        pid: int = self.daemon.events("worker_started")[-1]["pid"]
        return pid

    def processor(self) -> float:
        """Seconds that the worker has worked."""
        fields = Path(f"/proc/{self.worker}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @contextmanager
    def at(self, port: int, source: str = "127.0.0.1") -> Iterator[smtplib.SMTP]:
        """A client that has said hello at a door."""
        with smtplib.SMTP(
            "127.0.0.1", port, "stranger.test", timeout=15, source_address=(source, 0)
        ) as client:
            client.ehlo()
            yield client

    def raw(self, port: int, source: str = "127.0.0.1") -> socket.socket:
        """A connection on which nothing was said yet."""
        return socket.create_connection(("127.0.0.1", port), 15, source_address=(source, 0))


def replies(sock: socket.socket, *segments: bytes) -> list[bytes]:
    """Read what the relay says first, send the segments one by one; return the last line of each reply, until it hangs up."""
    stream, said = sock.makefile("rb"), []
    for segment in (b"", *segments):
        try:
            sock.sendall(segment)
            line = stream.readline()
            while line[3:4] == b"-":
                line = stream.readline()
        except ConnectionError:
            line = b""
        if not line:
            break
        said.append(line.rstrip())
    return said


@contextmanager
def a_besieged_relay(folder: Path) -> Iterator[Besieged]:
    """Let it run for the length of the block; it ends well, and no session was an error of ours."""
    ports = {name: free_port() for name in ("public", "proxied", "introduced", "metrics")}
    with a_smarthost(SCRIPT) as smarthost:
        more = _SETTINGS.format(**ports, returns=RETURNS, forwards=FORWARDS)
        daemon = Daemon(folder, smarthost.port, workers=1, message_size="20MB", more=more)
        for user in (USER, GUESSED, WATCHED):
            assert daemon.run("user", "add", user, typed=f"{PASSWORD}\n").status == 0
        try:
            daemon.up()
            yield Besieged(daemon=daemon, smarthost=smarthost, **ports)
            assert daemon.stop() == 0
            assert not daemon.events("session_failed")
            assert {one["exit_code"] for one in daemon.events("worker_ended")} == {0}
        finally:
            daemon.close()
