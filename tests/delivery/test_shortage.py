"""This machine lacks something: mail waits, uncounted, nobody else is blamed, and it passes by itself."""

import asyncio
import errno
import os
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from relayd.deliverer.nexthop.hosts import ANYBODY
from relayd.deliverer.nexthop.opening import target_of
from relayd.deliverer.nexthop.way import candidates
from relayd.errors import Shortage
from relayd.mail.attempt import RouteKind
from relayd.mail.words import Fault
from relayd.net.smtp.client import Timers, TlsContexts, connect
from relayd.net.smtp.dial import resolve
from relayd.policy.delivery.mx import Candidates
from relayd.policy.tls.ladder import asked_by
from relayd.ports.outward import SessionFailed, Target
from relayd.ports.view import Status
from relayd.settings import TlsMode
from relayd.store.sqlite.queue import SqliteStore
from relayd.store.sqlite.view import SqliteView
from tests.support.builders import a_message
from tests.support.clock import FakeClock
from tests.support.direct import A1, A2, FINE, Script, a_direct_post, mx
from tests.support.dns_server import Zones
from tests.support.post import Post, a_post, eventually
from tests.support.scripted_server import CLOSE, ScriptedServer, Wait
from tests.support.shortage import no_descriptors

A_WHILE = timedelta(seconds=11)  # as long as a shortage is waited for at most


def waits(post: Post) -> bool:
    """Tell whether all mail is back in the queue, for a lack of ours."""
    rows = post.rows()
    return all(
        row.status is Status.QUEUED and "too many open files" in row.paused_for for row in rows
    )


async def test_mail_to_a_smarthost_waits_uncounted_for_descriptors() -> None:
    async with ScriptedServer() as server, a_post(server.port) as post:
        with capture_logs() as logs:
            with no_descriptors():
                messages = [await post.submit(a_message("a@x.test")) for _ in range(9)]
                await eventually(lambda: waits(post))
            assert {row.attempts for row in post.rows()} == {0}
            assert server.connections == 0
            post.advance(A_WHILE)
            await post.settled()
        assert [post.kinds(message) for message in messages] == [["relayed"]] * 9
        assert {row.attempts for row in post.rows()} == {1}
        assert [(line["event"], line["fault"]) for line in logs] == [("resources_short", "local")]


async def test_many_domains_wait_and_the_log_says_it_once() -> None:
    zones: Zones = mx(A1) | {f"d{number}.test": {"MX": ["5 mx1.x.test."]} for number in range(20)}
    async with a_direct_post(zones, {A1: FINE}) as direct:
        with capture_logs() as logs:
            with no_descriptors():
                for number in range(20):
                    await direct.send(f"a@d{number}.test")
                await eventually(lambda: waits(direct.post))
            direct.post.advance(A_WHILE)
            await direct.post.settled()
        assert {(row.status, row.attempts) for row in direct.post.rows()} == {(Status.SENT, 1)}
        assert [line["event"] for line in logs] == ["resources_short"]
        assert len(direct.server(A1).messages) == 20


async def test_nobody_connects_while_it_cannot_be_told_whether_that_is_ourselves() -> None:
    """S-22: without a look at our own addresses a loop would not be noticed."""
    async with a_direct_post(mx("192.0.2.1"), {}) as direct:
        await candidates("x.test", ANYBODY, direct.parts)  # the DNS is known now
        with no_descriptors(), pytest.raises(Shortage):
            await candidates("x.test", ANYBODY, direct.parts)


async def test_large_content_that_cannot_be_opened_now_is_not_lost(tmp_path: Path) -> None:
    clock = FakeClock()
    store = SqliteStore.open(str(tmp_path / "queue.db"), clock=clock, slots={})
    view = SqliteView(str(tmp_path / "queue.db"))
    spool = store.spool()
    spool.write(b"line\r\n" * 1000)
    content = spool.finish(b"Subject: large\r\n\r\n")
    async with ScriptedServer() as server, a_post(server.port, queue=(store, view, clock)) as post:
        first = await post.submit(a_message("a@x.test"))
        await post.settled(first)  # there is a connection now, which needs no descriptor
        with capture_logs() as logs:
            gaps = no_descriptors()
            second = a_message("b@x.test", content=content)
            await store.enqueue(second, worker=post.worker, lease_for=None)
            with gaps:
                post.scheduler.wake()
                await eventually(lambda: post.row(second).paused_for)
            assert (post.row(second).status, post.row(second).attempts) == (Status.QUEUED, 0)
            post.advance(A_WHILE)
            await post.settled(second)
        assert post.kinds(second) == ["relayed"]
        assert [line["event"] for line in logs] == ["resources_short"]
        assert server.messages[-1].content.endswith(b"line\r\n" * 1000)
    view.close()
    await store.close()


# --- each call, each error


class Denied(socket.socket):
    """A socket of which one call fails."""

    call, number = "", 0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._fail("socket")
        super().__init__(*arguments, **named)

    def _fail(self, call: str) -> None:
        if call == Denied.call:
            raise OSError(Denied.number, os.strerror(Denied.number))

    def bind(self, address: Any, /) -> None:
        self._fail("bind")
        super().bind(address)

    def connect(self, address: Any, /) -> None:
        if self.type == socket.SOCK_STREAM:
            self._fail("connect")
        super().connect(address)

    def setsockopt(self, *arguments: Any) -> None:
        self._fail("setsockopt")
        super().setsockopt(*arguments)

    def getsockname(self) -> Any:
        if self.type == socket.SOCK_STREAM:
            self._fail("getsockname")
        return super().getsockname()


def deny(monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    monkeypatch.setattr(Denied, "call", call)
    monkeypatch.setattr(Denied, "number", number)
    monkeypatch.setattr(socket, "socket", Denied)


async def test_a_host_that_failed_before_the_lack_is_on_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The attempt was one; only its second host was never asked."""
    gate = asyncio.Event()
    script: Script = {"MAIL": Wait(gate, CLOSE)}
    async with a_direct_post(mx(A1, A2), {A1: script, A2: FINE}) as direct:
        message = await direct.send("a@x.test")
        await eventually(lambda: "MAIL" in str(direct.server(A1).dialog))
        deny(monkeypatch, "socket", errno.EMFILE)
        gate.set()
        await eventually(direct.post.logged)
        monkeypatch.undo()
        [(kind, detail)] = direct.post.events(message)
        assert (kind, detail["remote_ip"], detail["fault"]) == ("deferred", A1, "peer")
        assert direct.server(A2).connections == 0


SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
CASES = [
    *[
        (call, each, None)
        for call in ("socket", "setsockopt", "bind", "connect", "getsockname")
        for each in SHORT
    ],
    ("bind", errno.EADDRINUSE, None),  # no port is free there
    ("connect", errno.EADDRNOTAVAIL, None),  # the same, without a source address
    ("bind", errno.EADDRNOTAVAIL, Fault.LOCAL),
    ("socket", errno.EAFNOSUPPORT, Fault.LOCAL),
    *[("connect", each, Fault.LOCAL) for each in (errno.EACCES, errno.EPERM)],
    *[("socket", each, Fault.LOCAL) for each in (errno.EACCES, errno.EPERM)],
    *[("connect", each, Fault.PEER) for each in (errno.ECONNREFUSED, errno.EHOSTUNREACH)],
]


@pytest.mark.parametrize(
    ("call", "number", "fault"),
    CASES,
    ids=[f"{call}-{errno.errorcode[each]}" for call, each, _ in CASES],
)
async def test_whose_fault_it_is_that_there_is_no_connection(
    monkeypatch: pytest.MonkeyPatch, call: str, number: int, fault: Fault | None
) -> None:
    async with a_direct_post(mx(A1), {A1: FINE}, source_addresses=("127.0.0.1",)) as direct:
        chosen = await candidates("x.test", ANYBODY, direct.parts)
        assert isinstance(chosen, Candidates)
        target = target_of(chosen.candidates[0], asked_by(TlsMode.OFF, A1), direct.parts.settings)
        deny(monkeypatch, call, number)
        with pytest.raises(Shortage if fault is None else SessionFailed) as caught:
            await direct.parts.transport.connect(target)
        monkeypatch.undo()
    failed = caught.value
    if isinstance(failed, SessionFailed):
        assert failed.breakdown is not None
        assert failed.breakdown.fault is fault


async def test_a_name_that_cannot_be_looked_up_for_want_of_descriptors_is_not_to_blame() -> None:
    with no_descriptors(), pytest.raises(Shortage):
        await resolve("smarthost.test", 25)


async def test_a_handshake_that_fails_for_want_of_descriptors_costs_nobody_his_tls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a handshake failed for is remembered for an hour, and mail goes in the clear meanwhile."""
    gate = asyncio.Event()
    script: Script = {"EHLO": ["STARTTLS"], "STARTTLS": Wait(gate, CLOSE)}
    async with ScriptedServer(script) as server:
        contexts = TlsContexts()
        target = Target(
            route=RouteKind.DIRECT,
            host="mx.test",
            ip=server.host,
            port=server.port,
            requirement=asked_by(TlsMode.OPPORTUNISTIC, "127.0.0.1"),
            login=None,
        )
        connecting = asyncio.ensure_future(
            connect(target, helo="relay.test", timers=Timers(), tls=contexts, clock=FakeClock())
        )
        await eventually(lambda: "STARTTLS" in server.dialog)
        deny(monkeypatch, "socket", errno.EMFILE)
        gate.set()
        with pytest.raises(Shortage):
            await connecting
        monkeypatch.undo()
        assert contexts.failure_of(target, now=0.0) is None
