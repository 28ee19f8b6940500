"""How much memory a connection takes in each state, and the most that one client can have of a worker.

Measured is the private memory of the worker of a running relay. The figures are bounds with room for another allocator;
what was measured stands beside them.
"""

import gc
import itertools
import os
import re
import socket
import ssl
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.besieged import replies
from tests.support.certificates import Authority
from tests.support.daemon import Daemon, a_smarthost
from tests.support.ports import free_port
from tests.support.receiving import (
    CONTENT,
    Reception,
    in_data,
    on_every_loop,
    receiving,
    run_on,
    send_message,
    until,
)

KIB = 1024
CLIENTS, MOST = 20, 100  # connections in each state; in the worst as many as one client may have
_NUMBERS = itertools.count()
_SETTINGS = """\
[[listen]]
address = "127.0.0.1:{public}"
networks = []
[[listen]]
address = "127.0.0.1:{implicit}"
tls = "implicit"
[tls]
certificate = "{certificate}"
key = "{key}"
"""


@dataclass(frozen=True, slots=True)
class Doors:
    daemon: Daemon
    public: int
    implicit: int
    trusting: ssl.SSLContext
    opened: ExitStack  # all connections stay, so that none has the memory of another

    def memory(self) -> int:
        """Octets that are the worker's alone."""
        pid = self.daemon.events("worker_started")[-1]["pid"]
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return KIB * sum(map(int, re.findall(r"Private_(?:Dirty|Clean): +(\d+)", text)))

    def connect(self, port: int) -> socket.socket:
        """From one address after the other: none has more places than it may have."""
        source = f"127.0.{next(_NUMBERS) // 50 + 1}.1"
        return self.opened.enter_context(
            socket.create_connection(("127.0.0.1", port), 15, (source, 0))
        )


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    folder = tmp_path_factory.mktemp("doors")
    authority = Authority(folder)
    pair = authority.write_pair(folder, "relay.test")
    public, implicit = free_port(), free_port()
    more = _SETTINGS.format(
        public=public, implicit=implicit, certificate=pair.certificate, key=pair.key
    )
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with a_smarthost() as smarthost:
        daemon = Daemon(folder, smarthost.port, workers=1, message_size="35MB", more=more)
        try:
            daemon.up(traceable=os.geteuid() != 0)
            with ExitStack() as opened:
                doors = Doors(daemon, public, implicit, context, opened)
                daemon.send("a@x.test")
                for _ in range(CLIENTS):  # what is loaded late is loaded
                    for open_one in (said_hello, half_a_handshake, under_tls):
                        open_one(doors).close()
                yield doors
        finally:
            daemon.close()


def said_hello(doors: Doors) -> socket.socket:
    sock = doors.connect(doors.daemon.port)
    assert len(replies(sock, b"EHLO a.test\r\n")) == 2
    return sock


def half_a_command(doors: Doors) -> socket.socket:
    sock = said_hello(doors)
    sock.sendall(b"N" * 4090)
    return sock


def _of(*lines: bytes) -> Callable[[Doors], socket.socket]:
    def open_one(doors: Doors) -> socket.socket:
        sock = said_hello(doors)
        for line in lines:
            sock.sendall(line)
            assert sock.recv(1000)[:1] in (b"2", b"3")
        return sock

    return open_one


MAIL, RCPT, DATA = b"MAIL FROM:<a@x.test> SMTPUTF8\r\n", b"RCPT TO:<b@x.test>\r\n", b"DATA\r\n"


def _recipients(local: str, orcpt: str) -> Callable[[Doors], socket.socket]:
    return lambda doors: with_recipients(_of(MAIL)(doors), local, orcpt)


def with_recipients(sock: socket.socket, local: str, orcpt: str) -> socket.socket:
    """Name a thousand recipients, or as many as are taken."""
    stream = sock.makefile("rb")
    for start in range(0, 1000, 50):
        group = [
            f"RCPT TO:<{number:04}{local}@x.test> ORCPT=utf-8;{orcpt}\r\n"
            for number in range(start, start + 50)
        ]
        sock.sendall("".join(group).encode())
        codes = {stream.readline()[:3] for _ in group}
        if b"452" in codes:
            break
        assert codes == {b"250"}
    return sock


def half_a_message(doors: Doors) -> socket.socket:
    return with_half_of_it(_of(MAIL, RCPT)(doors))


def with_half_of_it(sock: socket.socket) -> socket.socket:
    sock.sendall(DATA)
    assert sock.recv(1000)[:3] == b"354"
    sock.sendall(b"Subject: x\r\n\r\n" + (b"y" * 70 + b"\r\n") * 5000)
    return sock


def all_of_it(doors: Doors) -> socket.socket:
    """What takes most: under TLS, with all recipients, and half of the content."""
    sock = under_tls(doors)
    sock.sendall(MAIL)
    assert sock.recv(1000)[:3] == b"250"
    return with_half_of_it(with_recipients(sock, "u", "u"))


def half_a_handshake(doors: Doors) -> socket.socket:
    sock = doors.connect(doors.implicit)
    sock.sendall(b"\x16\x03\x01\x40\x00" + b"x" * 100)
    return sock


def under_tls(doors: Doors) -> socket.socket:
    sock = doors.opened.enter_context(doors.trusting.wrap_socket(doors.connect(doors.implicit)))
    assert len(replies(sock, b"EHLO a.test\r\n")) == 2
    return sock


MAILBOX = "\U0001f4ec"  # one character of four octets: so has each other one of its text, in memory
STATES: dict[str, tuple[Callable[[Doors], socket.socket], float]] = {
    # and the KiB that it may take
    "nothing said": (lambda doors: doors.connect(doors.public), 16),
    "hello said": (said_hello, 16),
    "half a command": (half_a_command, 24),
    "a message begun": (_of(MAIL, RCPT), 16),
    "half a TLS handshake": (half_a_handshake, 96),
    "TLS": (under_tls, 128),
    "half a message": (half_a_message, 512),
    "1000 recipients": (_recipients("u", "u"), 600),
    "long recipients": (_recipients("u" * 480, "u" * 480), 600),
    "long recipients beyond ASCII": (_recipients("u" * 470 + MAILBOX, "u" * 480 + MAILBOX), 600),
    "all of it": (all_of_it, 1400),
}


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("state", STATES)
def test_a_connection_takes_so_much(doors: Doors, state: str) -> None:
    """One client may have 100 connections to a worker, so 140 MiB of it at the very most; measured: 109.

    Of few connections the figure would be that of what the process grows by once.
    """
    open_one, most = STATES[state]
    before, clients = doors.memory(), MOST if open_one is all_of_it else CLIENTS
    for _ in range(clients):
        open_one(doors)
    taken = (doors.memory() - before) / clients / KIB
    print(f"{state}: {taken:.1f} KiB")
    assert taken < most


@on_every_loop
def test_what_a_session_has_goes_with_it(loop: str) -> None:
    """At once, whatever it was about: it is in no cycle that has to wait for a collector, and a worker's seldom comes.

    A client that named a thousand recipients and left, again and again, had 52 MB more with every 40 sessions.
    """

    async def main() -> None:
        async with receiving() as reception:
            gc.disable()
            try:
                await come_and_go(reception)
            finally:
                gc.enable()

    run_on(loop, main())


async def come_and_go(reception: Reception) -> None:
    for way in ("leaves", "says QUIT", "resets", "in the content", "has sent"):
        client = await reception.greeted()
        [session] = map(weakref.ref, reception.receiver._sessions)
        if way == "has sent":
            assert (await send_message(client)).startswith("250 ")
        elif way == "in the content":
            await in_data(client)
            await client.send(CONTENT)
        else:
            await client.ask("MAIL FROM:<a@x.test>", *["RCPT TO:<b@x.test>"] * 90)
        if way == "says QUIT":
            await client.ask("QUIT")
        if way == "resets":
            client.reset()
        else:
            client.close()
        await until(lambda: not reception.receiver.connections)
        await until(lambda: session() is None)  # noqa: B023
