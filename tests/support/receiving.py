"""A real receiver on a real socket, an intake that commits to the memory store, and a raw client.

`Reception` is the receiver with its address; `WireClient` sends exactly the segments it is told to and
reads exactly what comes. `on_every_loop` runs a test on asyncio and on uvloop.
"""

import asyncio
import re
import socket
import struct
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import uvloop

from relayd.errors import StoreError, StoreUnavailable
from relayd.mail.address import Address
from relayd.mail.envelope import NewMessage
from relayd.mail.ids import MessageId, WorkerNumber, make_id
from relayd.mail.lenient import Leniency
from relayd.mail.once import FirstMessage
from relayd.mail.reply import Reply
from relayd.mail.words import Detail
from relayd.policy.delivery import route
from relayd.policy.intake import admit
from relayd.policy.intake.access import ANYTHING, AccessRules, Allowed
from relayd.policy.intake.aliases import Aliases
from relayd.policy.intake.cut_through import Answer
from relayd.policy.intake.quota import QuotaRules
from relayd.ports.outward import ContentChecker
from relayd.ports.queue import Spool
from relayd.receiver.accept_balance import AcceptShare
from relayd.receiver.context import Service
from relayd.receiver.listener import Receiver
from relayd.receiver.quotas import Quotas, SharedQuotas
from relayd.receiver.tls import ServerTls
from relayd.receiver.users import Users
from relayd.settings import (
    CertificateSettings,
    DkimKeySettings,
    FixUps,
    LimitSettings,
    LineEndings,
    ListenerAuth,
    ListenerSettings,
    ListenerTls,
)
from relayd.store.memory.queue import MemoryStore
from relayd.store.memory.spool import MemorySpool
from relayd.worker.signing import signer_of
from tests.support.accounts import lone_sources, write_users
from tests.support.clock import FakeClock

FQDN = "relay.test"
ACCOUNTS = (("app", "hunter2", ""), ("shop", "hunter2", "@x.test"))
TRANSACTION = ("MAIL FROM:<app@x.test>", "RCPT TO:<user@y.test>")
CONTENT = b"From: <app@x.test>\r\nSubject: x\r\n\r\nHello.\r\n"
CEILING = 5.0  # seconds for anything to happen
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
on_every_loop = pytest.mark.parametrize("loop", LOOPS)


def run_on(loop: str, main: Awaitable[None]) -> None:
    """Run a test's coroutine on the loop of that name."""

    async def bounded() -> None:
        async with asyncio.timeout(30):
            await main

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(bounded())


class MemoryIntake:
    """`relayd.receiver.intake.Intake` over a memory store, with faults and delays on demand."""

    def __init__(self, clock: FakeClock) -> None:
        self.store = MemoryStore(clock)
        self.messages: list[NewMessage] = []
        self.refusals: list[Detail] = []
        self.spools: list[MemorySpool] = []
        self.fault: StoreError | None = None
        self.is_full = False
        self.is_away = False  # the store, behind its network
        self.is_slow = False  # commits wait for `commit`
        self.is_pensive = False  # what is asked about recipients waits in `questions`
        self.questions: list[asyncio.Future[Any]] = []
        self._waiting: list[asyncio.Future[Any]] = []

    def next_id(self, at: datetime) -> MessageId:
        return make_id(at, WorkerNumber(9), len(self.messages) + 1)  # no id of a_message

    def way_of(self, address: Address, facts: route.RouteFacts) -> route.Decision:
        return route.way_of(address, facts, route.RouteRules())

    def owns(self, address: Address) -> bool:
        return address.domain.lower() == "returns.test"

    def refusal_of_return_path(
        self, address: Address
    ) -> Reply | asyncio.Future[Reply | None] | None:
        if self.is_pensive:
            return self._question()
        if self.fault is not None:
            raise self.fault
        if address.local == "spent":
            return admit.RETURN_PATH_SPENT
        return None if address.local == "known" else admit.NO_RETURN_PATH

    def is_suppressed(
        self, address: Address, *, sender: Address | None
    ) -> bool | asyncio.Future[bool]:
        if self.is_pensive:
            return self._question()
        if self.fault is not None:
            raise self.fault
        return self.store.is_suppressed(str(address), sender=str(sender or ""))

    def _question(self) -> asyncio.Future[Any]:
        self.questions.append(asyncio.get_running_loop().create_future())
        return self.questions[-1]

    def first_message(self, key: bytes) -> FirstMessage | None:
        if self.fault is not None:
            raise self.fault
        return self.store.first_message(key)

    def has_room(self) -> bool:
        if self.is_away:
            raise StoreUnavailable("no route to host")
        return not self.is_full

    def spool(self) -> Spool:
        if self.fault is not None:
            raise self.fault
        self.spools.append(spool := MemorySpool())
        return spool

    def submit(self, message: NewMessage) -> "asyncio.Future[Any]":
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.fault is not None:
            done.set_exception(self.fault)
            return done
        self.messages.append(message)
        if not self.is_slow:
            return self.store.enqueue(message, worker=WorkerNumber(1), lease_for=None)
        self._waiting.append(done)
        return done

    def commit(self) -> None:
        """Let the commits go on that wait."""
        for done in self._waiting:
            done.set_result(())
        self._waiting.clear()

    async def answer(self, message_id: MessageId, *, within: timedelta) -> Answer:
        raise NotImplementedError

    def told(self, report: MessageId, message: NewMessage) -> None:
        raise NotImplementedError

    def refused(self, detail: Detail, *, stranger: str = "") -> None:  # noqa: ARG002
        self.refusals.append(detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the receiver is set up; a dialog script can say each of these."""

    networks: tuple[str, ...] = ("127.0.0.0/8",)
    line_endings: LineEndings = LineEndings.REJECT
    message_size: int = 100_000
    recipients: int = 100
    connections: int = 100
    connections_per_client: int = 50
    refuse_suppressed: bool = False
    soft_bounce: bool = False
    aliases: Aliases | None = None
    tls: ListenerTls = ListenerTls.OFF
    certificate: CertificateSettings | None = None
    auth: ListenerAuth = ListenerAuth.OFF
    proxy_networks: tuple[str, ...] = ()
    xclient_networks: tuple[str, ...] = ()
    add_headers: FixUps = FixUps.NEVER  # most tests want their octets back
    strip_bcc: FixUps = FixUps.NEVER
    hide_client: bool = False
    is_console: bool = False
    allowed: Allowed = ANYTHING
    lenient: frozenset[Leniency] = frozenset()
    access: AccessRules = field(default_factory=AccessRules)
    quotas: QuotaRules | None = None
    dkim: tuple[DkimKeySettings, ...] = ()

    @property
    def limits(self) -> LimitSettings:
        return LimitSettings(
            message_size=self.message_size,
            recipients=self.recipients,
            connections=self.connections,
            connections_per_client=self.connections_per_client,
            stop_within=timedelta(seconds=8),
        )


class WireClient:
    """A client that knows no SMTP: octets out, lines in."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._input = b""
        self._loop = asyncio.get_running_loop()

    async def send(self, segment: bytes) -> None:
        """Send one segment."""
        async with asyncio.timeout(CEILING):
            await self._loop.sock_sendall(self._sock, segment)

    async def line(self) -> str:
        """Read one line, checked for what holds for each of ours (S-48)."""
        while b"\r\n" not in self._input:
            more = await self._receive()
            assert more, f"closed after {self._input!r}"
            self._input += more
        line, _, self._input = self._input.partition(b"\r\n")
        assert re.fullmatch(rb"[2-5]\d\d[ -][\x20-\x7e]*", line), line
        assert len(line) <= 510
        return line.decode()

    async def reply(self) -> list[str]:
        """Read one whole reply."""
        lines = [await self.line()]
        while lines[-1][3] == "-":
            lines.append(await self.line())
        return lines

    async def ask(self, *commands: str) -> str:
        """Send the commands in one segment; return the last line of the last reply."""
        await self.send("".join(f"{command}\r\n" for command in commands).encode())
        lines = [""]
        for _ in commands:
            lines = await self.reply()
        return lines[-1]

    async def closed(self) -> None:
        """Wait for the server's end; nothing may come before it, and no reset."""
        assert not self._input, self._input
        assert await self._receive() == b""

    async def gone(self) -> bytes:
        """Wait for the end or a reset; return what came before it."""
        try:
            while more := await self._receive():
                self._input += more
        except ConnectionError:
            pass
        return self._input

    def half_close(self) -> None:
        self._sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with RST."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def close(self) -> None:
        self._sock.close()

    async def _receive(self) -> bytes:
        async with asyncio.timeout(CEILING):
            return await self._loop.sock_recv(self._sock, 65536)


@dataclass(slots=True, kw_only=True)
class Reception:
    """A receiver that listens, and what it took in."""

    receiver: Receiver
    intake: MemoryIntake
    tasks: asyncio.TaskGroup
    clock: FakeClock
    users_file: Path  # app (hunter2) may send as anybody, shop (hunter2) as @x.test
    address: Any
    family: socket.AddressFamily
    clients: list[WireClient] = field(default_factory=list)

    def start(self) -> None:
        self.receiver.start(self.tasks)

    async def connect(self, *, source: str = "127.0.0.1") -> WireClient:
        """Connect as another client: any address of 127.0.0.0/8 will do."""
        sock = socket.socket(self.family, socket.SOCK_STREAM)
        sock.settimeout(0)
        if self.family == socket.AF_INET:
            sock.bind((source, 0))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, self.address)
        self.clients.append(client := WireClient(sock))
        return client

    async def greeted(self, hello: str | None = "EHLO app.test") -> WireClient:
        """A client that has read the greeting and said hello."""
        client = await self.connect()
        assert (await client.line()).startswith("220 ")
        if hello is not None:
            assert (await client.ask(hello)).startswith("250 ")
        return client


@asynccontextmanager
async def receiving(
    options: Options | None = None,
    *,
    unix_path: Path | None = None,
    start: bool = True,
    checker: ContentChecker | None = None,
    share: AcceptShare | None = None,
) -> AsyncIterator[Reception]:
    """Serve on a loopback port, or on a unix socket; nothing is open afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        users_file = write_users(Path(folder) / "users", *ACCOUNTS)
        async with _receiving(
            options or Options(), unix_path, users_file, start=start, checker=checker, share=share
        ) as it:
            yield it


@asynccontextmanager
async def _receiving(
    options: Options,
    unix_path: Path | None,
    users_file: Path,
    *,
    start: bool,
    checker: ContentChecker | None,
    share: AcceptShare | None,
) -> AsyncIterator[Reception]:
    clock = FakeClock()
    users = Users(str(users_file), clock, lone_sources())
    sock, address = _listen(unix_path)
    listener = ListenerSettings(
        address="test",
        networks=tuple(map(ip_network, options.networks)),
        line_endings=options.line_endings,
        tls=options.tls,
        auth=options.auth,
        proxy_networks=tuple(map(ip_network, options.proxy_networks)),
        xclient_networks=tuple(map(ip_network, options.xclient_networks)),
        add_headers=options.add_headers,
        strip_bcc=options.strip_bcc,
        hide_client=options.hide_client,
        is_console=options.is_console,
        allowed=options.allowed,
        lenient=options.lenient,
    )
    intake = MemoryIntake(clock)
    receiver = Receiver(
        [(listener, sock)],
        Service(
            fqdn=FQDN,
            limits=options.limits,
            intake=intake,
            clock=clock,
            refuse_suppressed=options.refuse_suppressed,
            soft_bounce=options.soft_bounce,
            aliases=options.aliases,
            tls=None if options.certificate is None else ServerTls(options.certificate, clock),
            users=users,
            checker=checker,
            signer=signer_of(options.dkim),
            access=options.access,
            quotas=None
            if options.quotas is None
            else Quotas(options.quotas, SharedQuotas(), clock),
        ),
        share=share,
    )
    async with asyncio.TaskGroup() as tasks:
        reception = Reception(
            receiver=receiver,
            intake=intake,
            tasks=tasks,
            clock=clock,
            users_file=users_file,
            address=address,
            family=sock.family,
        )
        if start:
            reception.start()
        try:
            yield reception
        finally:
            for client in reception.clients:
                client.close()
            intake.commit()
            await receiver.stop(within=CEILING)
            users.close()
            sock.close()
    assert not receiver._sessions
    assert not receiver.connections


def _listen(unix_path: Path | None) -> tuple[socket.socket, Any]:
    family = socket.AF_INET if unix_path is None else socket.AF_UNIX
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.bind(("127.0.0.1", 0) if unix_path is None else str(unix_path))
    sock.listen(100)
    sock.settimeout(0)
    return sock, sock.getsockname()


async def until(condition: Callable[[], object]) -> None:
    """Wait, with a ceiling, until something is so."""
    async with asyncio.timeout(CEILING):
        while not condition():  # noqa: ASYNC110 -- the condition is anybody's
            await asyncio.sleep(0.001)


async def in_data(client: WireClient, *mail: str) -> None:
    """Go as far as the 354, a command at a time."""
    for command in mail or TRANSACTION:
        assert (await client.ask(command)).startswith("250 ")
    assert (await client.ask("DATA")).startswith("354 ")


async def send_message(client: WireClient, content: bytes = CONTENT, *mail: str) -> str:
    await in_data(client, *mail)
    await client.send(content + b".\r\n")
    return await client.line()


def envelopes(messages: Iterable[NewMessage]) -> Sequence[str]:
    """Each message as `<from> <to> <to>`."""
    return [
        " ".join(
            f"<{path or ''}>"
            for path in (message.reverse_path, *(one.address for one in message.recipients))
        )
        for message in messages
    ]
