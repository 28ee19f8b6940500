"""A client that waits for the next hop hears its words; and a refusal is never told to nobody (`listen.cut_through`)."""

import asyncio
import signal
import smtplib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from relayd.ports.view import RecipientRow, Status
from tests.support.daemon import (
    CEILING,
    CONTENT,
    Daemon,
    SmarthostThread,
    a_daemon,
    a_smarthost,
    eventually,
)
from tests.support.ports import free_port
from tests.support.scripted_server import Action, Script, Wait

NO_USER = "RCPT TO:<nobody@x.test>"
SCRIPT: dict[str, Action | list[str]] = {
    NO_USER: "550 5.1.1 The account\n5.1.1 does not exist, señor",
    "RCPT TO:<full@x.test>": "452 4.2.2 Mailbox full",
    "RCPT TO:<blunt@x.test>": "571 go away",
    "DOT": "250 2.0.0 kept as 77",
}


class Waiting:
    """A relay with a listener whose clients wait."""

    def __init__(self, relay: Daemon, port: int, smarthost: SmarthostThread) -> None:
        self.relay, self.port, self.smarthost = relay, port, smarthost

    def client(self) -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", self.port, local_hostname="app.test", timeout=CEILING)

    def send(self, *recipients: str, sender: str = "app@app.test") -> tuple[int, str]:
        with self.client() as client:
            client.ehlo()
            client.mail(sender)
            for recipient in recipients:
                client.rcpt(recipient)
            code, text = client.data(CONTENT)
        return code, text.decode()

    def raw(self, recipient: str, *, behind: bytes = b"") -> socket.socket:
        """Send a whole message, and `behind` with its final dot; read nothing of the answer."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=CEILING)
        read = sock.makefile("rb")
        for command in (b"HELO app.test", b"MAIL FROM:<app@app.test>", b"", b"DATA"):
            assert read.readline()
            sock.sendall((command or f"RCPT TO:<{recipient}>".encode()) + b"\r\n")
        assert read.readline().startswith(b"354")
        sock.sendall(CONTENT.encode() + b".\r\n" + behind)
        return sock

    def row(self, address: str, status: Status) -> RecipientRow:
        def find() -> RecipientRow | None:
            rows = (each for each in self.relay.rows() if each.address == address)
            return next((each for each in rows if each.status is status), None)

        found = eventually(find, f"{address} is {status}")
        assert found is not None
        return found


@contextmanager
def waiting(
    folder: Path, script: Script, workers: int = 2, connections: int = 20
) -> Iterator[Waiting]:
    port = free_port()
    more = f'[[listen]]\naddress = "127.0.0.1:{port}"\ncut_through = "10s"\n'
    with (
        a_smarthost(script) as smarthost,
        a_daemon(
            folder, smarthost.port, more=more, workers=workers, connections=connections
        ) as relay,
    ):
        yield Waiting(relay, port, smarthost)


def test_the_client_hears_the_next_hop(tmp_path: Path) -> None:
    """One connection for both workers: what the other one does is heard too."""
    with waiting(tmp_path, SCRIPT, connections=1) as relay:
        for number in range(6):
            code, text = relay.send(f"{number}@x.test")
            assert (code, text.partition(" sent as ")[0]) == (250, "2.0.0")
            assert text.endswith(": kept as 77")
            code, text = relay.send("nobody@x.test")
            assert code == 550, text
            said = "5.1.1 127.0.0.1 said: The account 5.1.1 does not exist, se?or"
            assert text == said
        assert relay.send("blunt@x.test") == (571, "5.0.0 127.0.0.1 said: go away")
        code, text = relay.send("full@x.test")
        assert code == 250
        assert text.startswith("2.0.0 OK queued as ")
        code, text = relay.send("a@x.test", "nobody@x.test")
        assert text.startswith("2.0.0 OK queued as ")


def test_who_has_heard_it_gets_no_report(tmp_path: Path) -> None:
    with waiting(tmp_path, SCRIPT) as relay:
        assert relay.send("nobody@x.test")[0] == 550
        report = relay.row("app@app.test", Status.DROPPED)
        relay.row("nobody@x.test", Status.BOUNCED)
        shown = relay.relay.run("status", "show", str(report_of(relay, "nobody@x.test")))
        assert "the client was told in its session" in shown.out
        assert report.reason is None or "told" in report.reason


@pytest.mark.parametrize("how", ["pipelined", "reset", "closed"])
def test_who_may_not_have_heard_it_gets_a_report(tmp_path: Path, how: str) -> None:
    gate = asyncio.Event()
    script = SCRIPT | {NO_USER: Wait(gate, "550 5.1.1 no such user")}
    with waiting(tmp_path, script) as relay:
        sock = relay.raw("nobody@x.test", behind=b"QUIT\r\n" if how == "pipelined" else b"")
        relay.row("nobody@x.test", Status.QUEUED)
        if how == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if how != "pipelined":
            sock.close()
        relay.smarthost.open(gate)
        if how == "pipelined":
            assert sock.makefile("rb").readline().startswith(b"550 5.1.1 ")
            sock.close()
        relay.row("nobody@x.test", Status.BOUNCED)
        report = relay.row("app@app.test", Status.QUEUED)
        assert report.next_attempt_at is not None
        waits = report.next_attempt_at - report.received_at
        assert waits == timedelta(minutes=5)


def test_a_worker_that_dies_meanwhile_leaves_the_report(tmp_path: Path) -> None:
    gate = asyncio.Event()
    script = SCRIPT | {NO_USER: Wait(gate, "550 5.1.1 no such user")}
    with waiting(tmp_path, script, workers=1) as relay:
        sock = relay.raw("nobody@x.test")
        relay.row("nobody@x.test", Status.QUEUED)
        relay.relay.kill_worker("1")
        assert sock.makefile("rb").read() == b""  # neither yes nor no
        sock.close()
        relay.smarthost.open(gate)
        relay.row("nobody@x.test", Status.BOUNCED)
        relay.row("app@app.test", Status.QUEUED)


def test_a_stop_lets_nobody_wait(tmp_path: Path) -> None:
    script = SCRIPT | {NO_USER: Wait(asyncio.Event(), "550 5.1.1 no such user")}
    with waiting(tmp_path, script) as relay:
        sock = relay.raw("nobody@x.test")
        relay.row("nobody@x.test", Status.QUEUED)
        relay.relay.signal(signal.SIGTERM)
        assert sock.makefile("rb").readline().startswith(b"250 2.0.0 OK queued as ")
        sock.close()


def report_of(relay: Waiting, address: str) -> object:
    def find() -> object:
        lines = relay.relay.log_lines()
        found = (each for each in lines if (each["event"], each["rcpt"]) == ("bounced", address))
        return next(found, {}).get("report")

    return eventually(find, "it is in the status log")
