"""The child that reads what comes back, in a real relay: attacked, stopped, killed, and given new rules."""

import os
import signal
import smtplib
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from relayd.bounces.reader import WAITING
from relayd.ports.view import Query, RecipientRow, Status
from tests.support.daemon import (
    CEILING,
    Daemon,
    SmarthostThread,
    a_daemon,
    a_smarthost,
    eventually,
    without_trace,
)
from tests.support.ports import free_port

SETTINGS = """\
[bounces]
verp_domain = "bounces.relay.test"
[[listen]]
address = "127.0.0.1:{port}"
networks = ["192.0.2.0/24"]
"""
RULE = '[[rule]]\nid = "own"\ncategory = "rate_limit"\ntext = ["froblastic"]\n'


def a_bounce(address: str, more: bytes = b"") -> bytes:
    return (
        b"From: MAILER-DAEMON@mx.x.test\r\nSubject: failure notice\r\n\r\n"
        b"I'm afraid I wasn't able to deliver your message to the following addresses.\r\n\r\n"
        b"<%b>:\r\nRemote host said: 550 a froblastic answer\r\n\r\n" % address.encode() + more
    )


@dataclass(frozen=True, slots=True)
class Relay:
    daemon: Daemon
    smarthost: SmarthostThread
    port: int

    def path_to(self, address: str) -> str:
        """Have a message relayed; return its return path."""
        self.daemon.send(address)
        eventually(lambda: self.row(address).status is Status.RELAYED, "relayed")
        [copy] = [one for one in self.smarthost.messages if one.rcpts == (f"TO:<{address}>",)]
        return copy.mail.partition(">")[0].removeprefix("FROM:<")

    def row(self, address: str) -> RecipientRow:
        return self.daemon.rows(Query(recipient=(address,)))[0]

    def bring(self, path: str, content: bytes) -> tuple[int, bytes]:
        with smtplib.SMTP("127.0.0.1", self.port, "mx.x.test", CEILING) as client:
            return deliver(client, path, content)

    def copies(self) -> list[bytes]:
        """What the original sender got."""
        found = [one for one in self.smarthost.messages if one.rcpts == ("TO:<app@app.test>",)]
        return [without_trace(one.content) for one in found]

    def child(self) -> int:
        """The one child of the one worker."""
        assert self.daemon.process is not None
        [worker] = _children(self.daemon.process.pid)
        [child] = eventually(lambda: _children(worker), "a child")
        return child


def deliver(client: smtplib.SMTP, path: str, content: bytes) -> tuple[int, bytes]:
    client.ehlo()
    client.mail("")
    client.rcpt(path)
    return client.data(content)


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    port = free_port()
    with (
        a_smarthost() as smarthost,
        a_daemon(
            tmp_path, smarthost.port, workers=1, smarthost_more=SETTINGS.format(port=port)
        ) as daemon,
    ):
        yield Relay(daemon, smarthost, port)
        assert daemon.stop() == 0


def test_a_client_that_leaves_while_its_mail_is_read_has_sent_it(relay: Relay) -> None:
    """It may come again, and the sender gets two copies: better than none."""
    relay.bring(relay.path_to("first@x.test"), a_bounce("first@x.test"))
    path, child = relay.path_to("left@x.test"), relay.child()
    os.kill(child, signal.SIGSTOP)
    content = a_bounce("left@x.test")
    with socket.create_connection(("127.0.0.1", relay.port)) as client:
        lines = client.makefile("rb")
        lines.readline()
        for command in ("HELO x", "MAIL FROM:<>", f"RCPT TO:<{path}>", "DATA"):
            client.sendall(f"{command}\r\n".encode())
            assert lines.readline()[:1] in b"23"
        client.sendall(content + b".\r\n")
    os.kill(child, signal.SIGCONT)
    eventually(lambda: content in relay.copies(), "handed on")
    assert relay.row("left@x.test").status is Status.BOUNCED


def test_others_are_served_while_the_reader_hangs_and_no_more_than_some_wait(relay: Relay) -> None:
    """The rest is told to come again; when the child is killed, those who wait get a fresh one."""
    relay.bring(relay.path_to("first@x.test"), a_bounce("first@x.test"))
    paths = [relay.path_to(f"w{number}@x.test") for number in range(8)]
    child = relay.child()
    os.kill(child, signal.SIGSTOP)
    clients = []
    for number in range(WAITING):
        client = socket.create_connection(("127.0.0.1", relay.port))
        lines = client.makefile("rb")
        lines.readline()
        for command in ("HELO x", "MAIL FROM:<>", f"RCPT TO:<{paths[number // 3]}>", "DATA"):
            client.sendall(f"{command}\r\n".encode())
            assert lines.readline()[:1] in b"23"
        client.sendall(a_bounce(f"w{number // 3}@x.test") + b".\r\n")
        clients.append((client, lines))

    def is_full() -> bool:
        code, text = relay.bring(paths[-1], a_bounce("w7@x.test"))
        assert (code, text) == (451, b"4.3.0 Cannot read the report now, try again later")
        return True

    began = time.monotonic()
    assert is_full()
    relay.daemon.send("meanwhile@x.test")
    eventually(lambda: relay.row("meanwhile@x.test").status is Status.RELAYED, "served")
    assert time.monotonic() - began < 5
    os.kill(child, signal.SIGKILL)
    for client, lines in clients:
        assert lines.readline()[:3] in (b"250", b"450")
        client.close()
    [told] = relay.daemon.events("bounce_unreadable")
    assert "ended with status -9" in told["reason"]
    assert relay.row("w1@x.test").status is Status.BOUNCED
    assert relay.child() != child


def test_hostile_mail_stops_no_worker(relay: Relay) -> None:
    worker = _children(relay.daemon.process.pid) if relay.daemon.process else []
    for number, line in enumerate(
        (b"fail reach " * 80, b"'=" * 450, b"<a@b.test> " * 80, b"RCPT TO:<a1@x.test>")
    ):
        path = relay.path_to(f"h{number}@x.test")
        began = time.monotonic()
        code, _ = relay.bring(path, a_bounce("z@y.test", (line + b"\r\n") * (131_000 // len(line))))
        assert code == 250
        assert time.monotonic() - began < 5
    assert relay.daemon.process is not None
    assert _children(relay.daemon.process.pid) == worker
    assert not relay.daemon.events("worker_killed")


def test_the_rules_in_force_are_those_of_its_worker(relay: Relay) -> None:
    relay.bring(relay.path_to("old@x.test"), a_bounce("old@x.test"))
    assert relay.row("old@x.test").category == "unknown"
    rules = relay.daemon.folder / "rules.d"
    rules.mkdir()
    (rules / "own.toml").write_text(RULE)
    relay.daemon.signal(signal.SIGHUP)
    eventually(lambda: relay.daemon.events("reloaded"), "reloaded")
    relay.bring(relay.path_to("new@x.test"), a_bounce("new@x.test"))
    assert relay.row("new@x.test").category == "rate_limit"
