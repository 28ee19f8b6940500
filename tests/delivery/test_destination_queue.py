"""The way to one destination: connections, their reuse, and what happens when it is closed."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from relayd.deliverer import attempts
from relayd.deliverer.nexthop.smarthost import Smarthost
from relayd.errors import StoreUnavailable
from relayd.mail.content import Content
from relayd.mail.envelope import QueuedMessage, QueuedRecipient
from relayd.mail.operator import Action as Act
from relayd.mail.words import Category, Fault
from relayd.net.smtp.client import Timers
from relayd.policy.tls.ladder import Requirement
from relayd.ports.outward import Connection, Delivery, Target
from relayd.ports.view import Query, Status
from relayd.settings import AuthMechanism, Login
from relayd.store.sqlite.queue import SqliteStore
from relayd.store.sqlite.view import SqliteView
from relayd.worker.system import SmtpTransport
from tests.support.builders import SMARTHOST, a_message
from tests.support.clock import START, FakeClock
from tests.support.faulty_store import FaultyStore
from tests.support.post import Post, a_post, eventually
from tests.support.scripted_server import (
    CLOSE,
    HANG,
    RESET,
    Action,
    InBody,
    InTurn,
    Raw,
    ScriptedServer,
    Wait,
)
from tests.support.workers import registered

LOGIN = Login(username="relay", secret="secret", mechanism=AuthMechanism.AUTO)
OFFERS = ["PIPELINING", "AUTH PLAIN LOGIN"]


def after(**times: float) -> object:
    return START + timedelta(**times)


async def test_messages_share_a_connection() -> None:
    async with ScriptedServer() as server, a_post(server.port, connections=1) as post:
        for _ in range(10):
            await post.submit(a_message("a@x.test"))
        await post.settled()
        assert (len(server.messages), server.connections) == (10, 1)


async def test_no_more_connections_than_allowed_and_first_only_one() -> None:
    """Until a destination has proven itself, a queue full of mail knocks once."""
    gate = asyncio.Event()
    async with (
        ScriptedServer({"DOT": InTurn(Wait(gate, "250 ok"), "250 ok")}) as server,
        a_post(server.port, connections=3) as post,
    ):
        for _ in range(30):
            await post.submit(a_message("a@x.test"))
        await server.received(1)
        await eventually(lambda: post.leased() == 30)
        assert server.connections == 1
        gate.set()
        await post.settled()
        assert server.connections == 3


async def test_slow_messages_hold_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that lets us in may take minutes for one message: the others get connections meanwhile."""
    monkeypatch.setattr(attempts, "_SLOW_AFTER", 0.01)
    gate = asyncio.Event()
    script: dict[str, Action | list[str]] = {
        "RCPT TO:<slow@x.test>": Wait(gate, "250 ok"),
    }
    async with ScriptedServer(script) as server, a_post(server.port, connections=3) as post:
        slow = [await post.submit(a_message("slow@x.test")) for _ in range(2)]
        others = [await post.submit(a_message("a@x.test")) for _ in range(5)]
        await post.settled(*others)
        assert server.connections == 3
        assert {post.row(one).attempts for one in slow} == {1}
        gate.set()
        await post.settled(*slow)


async def test_slow_messages_open_no_more_connections_than_there_may_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attempts, "_SLOW_AFTER", 0.01)
    gate = asyncio.Event()
    async with (
        ScriptedServer({"RCPT": Wait(gate, "250 ok")}) as server,
        a_post(server.port, connections=2) as post,
    ):
        for _ in range(5):
            await post.submit(a_message("a@x.test"))
        await eventually(lambda: [one._slow for one in post.scheduler._queues.values()] == [2])
        assert server.connections == 2
        gate.set()
        await post.settled()
        assert server.connections == 2


async def test_recipients_too_many_go_into_the_next_transaction_at_once() -> None:
    """S-19: 452 behind an accepted RCPT is no failure of theirs and counts as none."""
    over = "452 4.5.3 too many recipients"
    script: dict[str, Action | list[str]] = {
        "RCPT TO:<c@x.test>": InTurn(over, "250 ok"),
        "RCPT TO:<d@x.test>": InTurn(over, over, "250 ok"),
    }
    async with ScriptedServer(script) as server, a_post(server.port) as post:
        message = await post.submit(a_message("a@x.test", "b@x.test", "c@x.test", "d@x.test"))
        await post.settled()
        assert [one.rcpts for one in server.messages] == [
            ("TO:<a@x.test>", "TO:<b@x.test>"),
            ("TO:<c@x.test>",),
            ("TO:<d@x.test>",),
        ]
        assert server.connections == 1
        assert {row.attempts for row in post.rows()} == {1}
        assert [post.kinds(message, number) for number in range(4)] == [["relayed"]] * 4


async def test_452_for_the_first_recipient_is_about_that_recipient() -> None:
    script: dict[str, Action | list[str]] = {"RCPT TO:<a@x.test>": "452 4.5.3 too many recipients"}
    async with ScriptedServer(script) as server, a_post(server.port) as post:
        message = await post.submit(a_message("a@x.test", "b@x.test"))
        await post.settled()
        assert post.kinds(message) == ["deferred"]
        assert post.kinds(message, 1) == ["relayed"]


@pytest.mark.parametrize("ending", [CLOSE, ("421 4.4.2 idle for too long", CLOSE)])
async def test_a_connection_gone_stale_is_replaced_uncounted(ending: Action) -> None:
    """HC-15: a kept connection that dies before any reply says nothing about the message."""
    script: dict[str, Action | list[str]] = {"MAIL": InTurn("250 ok", ending, "250 ok")}
    async with ScriptedServer(script) as server, a_post(server.port, connections=1) as post:
        await post.submit(a_message("a@x.test"))
        await post.settled()
        second = await post.submit(a_message("b@x.test"))
        await post.settled()
        assert server.connections == 2
        assert post.kinds(second) == ["relayed"]
        assert post.row(second).attempts == 1


@pytest.mark.parametrize("offers", [OFFERS, OFFERS[1:]], ids=["pipelined", "stepwise"])
async def test_a_session_with_too_many_messages_is_replaced_uncounted(offers: list[str]) -> None:
    """S-15: 503 on a reused connection is about the session."""
    over = "503 5.5.0 too many messages in this session"
    script: dict[str, Action | list[str]] = {
        "EHLO": offers,
        "MAIL": InTurn("250 ok", over, "250 ok"),
        "RCPT": InTurn("250 ok", over, "250 ok") if "PIPELINING" in offers else "250 ok",
    }
    async with ScriptedServer(script) as server, a_post(server.port, connections=1) as post:
        await post.submit(a_message("a@x.test"))
        await post.settled()
        second = await post.submit(a_message("b@x.test"))
        await post.settled()
        assert server.connections == 2
        assert post.kinds(second) == ["relayed"]
        assert post.row(second).attempts == 1


async def test_one_recipient_too_many_for_a_session_goes_over_another_uncounted() -> None:
    script: dict[str, Action | list[str]] = {
        "RCPT TO:<b@x.test>": InTurn("503 5.5.1 not in this session", "250 ok")
    }
    async with ScriptedServer(script) as server, a_post(server.port, connections=1) as post:
        await post.submit(a_message("a@x.test"))
        await post.settled()
        second = await post.submit(a_message("b@x.test", "c@x.test"))
        await post.settled()
        assert [(one.rcpts, one.connection) for one in server.messages] == [
            (("TO:<a@x.test>",), 1),
            (("TO:<c@x.test>",), 1),
            (("TO:<b@x.test>",), 2),
        ]
        assert [post.kinds(second, number) for number in range(2)] == [["relayed"]] * 2
        assert {row.attempts for row in post.rows()} == {1}


async def test_a_connection_closed_while_it_was_idle_is_replaced() -> None:
    async with (
        ScriptedServer({"DOT": InTurn(("250 ok", CLOSE), "250 ok")}) as server,
        a_post(server.port, connections=1) as post,
    ):
        for count in range(2):
            await post.submit(a_message("a@x.test"))
            await post.settled()
            assert server.connections == count + 1


async def test_a_connection_that_is_leaving_counts_until_it_has_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The smarthost allows one, and is slow to answer QUIT: the next message waits for that."""
    monkeypatch.setattr(Smarthost, "idle_timeout", 0.01)
    gate = asyncio.Event()
    async with (
        ScriptedServer({"QUIT": Wait(gate, "221 bye")}) as server,
        a_post(server.port, connections=1) as post,
    ):
        await post.submit(a_message("a@x.test"), leased=True)
        await server.until(lambda: server.dialog[-1:] == ["QUIT"])
        await post.submit(a_message("b@x.test"), leased=True)
        for _ in range(50):
            await asyncio.sleep(0)
        gate.set()
        await post.settled()
        assert server.most_open == 1


async def test_a_server_that_does_not_greet_is_what_the_row_waits_for() -> None:
    greeting = asyncio.Event()
    script: dict[str, Action | list[str]] = {"GREETING": Wait(greeting, "220 mx.test")}
    transport = SmtpTransport(helo="relay.test", clock=FakeClock())
    transport._timers = Timers(remark=0.05)
    async with ScriptedServer(script) as server, a_post(server.port, transport=transport) as post:
        message = await post.submit(a_message("a@x.test"))
        words = f"a connection to 127.0.0.1 [127.0.0.1]:{server.port}, waiting for its greeting"
        await eventually(lambda: post.row(message).paused_for == words)
        assert post.row(message).leased
        greeting.set()
        await post.settled()
        assert (post.kinds(message), post.row(message).paused_for) == (["relayed"], "")


async def test_that_this_cannot_be_stored_changes_nothing() -> None:
    store = FaultyStore(FakeClock())
    store.fail("remark")
    greeting = asyncio.Event()
    script: dict[str, Action | list[str]] = {"GREETING": Wait(greeting, "220 mx.test")}
    transport = SmtpTransport(helo="relay.test", clock=FakeClock())
    transport._timers = Timers(remark=0.05)
    async with (
        ScriptedServer(script) as server,
        a_post(server.port, store=store, transport=transport) as post,
    ):
        message = await post.submit(a_message("a@x.test"))
        await eventually(lambda: store.calls["remark"] > 0)
        greeting.set()
        await post.settled()
        assert post.kinds(message) == ["relayed"]


async def test_when_no_host_is_up_one_message_says_so_and_the_rest_waits_uncounted() -> None:
    async with (
        ScriptedServer({"GREETING": "421 4.3.2 closed for today"}) as server,
        a_post(server.port) as post,
    ):
        with capture_logs() as logs:
            messages = [await post.submit(a_message("a@x.test")) for _ in range(20)]
            await eventually(post.logged)
            await post.paused()
            await post.quiet()
        statuses = [post.row(message).status for message in messages]
        assert statuses.count(Status.DEFERRED) == 1
        assert statuses.count(Status.QUEUED) == 19
        assert sorted(row.attempts for row in post.rows()) == [0] * 19 + [1]
        [tried] = [one for one in messages if post.row(one).status is Status.DEFERRED]
        [(kind, detail)] = post.events(tried)
        assert (kind, detail["stage"], detail["code"]) == ("deferred", "greeting", 421)
        assert server.connections == 1
        assert {row.paused_until for row in post.rows()} == {after(seconds=5)}
        [down] = [line for line in logs if line["event"] == "destination_down"]
        assert "closed for today" in down["reason"]
        assert all("closed for today" in row.paused_for for row in post.rows())


async def test_a_refused_connection_defers_as_unreachable() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        async with a_post(closed.getsockname()[1]) as post:
            message = await post.submit(a_message("a@x.test"))
            await post.settled()
            row = post.row(message)
            assert (row.status, row.category) == (Status.DEFERRED, Category.CONNECTION_FAILURE)
            assert row.next_attempt_at == after(minutes=5)
            [(_, detail)] = post.events(message)
            assert (detail["stage"], detail["fault"]) == ("connect", Fault.PEER.value)


async def test_the_pause_grows_and_ends_when_the_destination_is_back() -> None:
    down = "421 4.3.2 down"
    script: dict[str, Action | list[str]] = {"GREETING": InTurn(down, down, down, "220 mx.test")}
    async with ScriptedServer(script) as server, a_post(server.port) as post:
        messages = [await post.submit(a_message("a@x.test")) for _ in range(5)]
        pauses = []
        for count in range(1, 4):
            await eventually(lambda count=count: server.connections == count)  # type: ignore[misc]
            await post.quiet()
            [until] = {row.paused_until for row in post.rows()}
            assert until is not None
            pauses.append((until - post.clock.now()).total_seconds())
            post.advance(until - post.clock.now())
        assert pauses == [5, 10, 20]
        post.advance(timedelta(minutes=10))
        await eventually(lambda: {post.row(one).status for one in messages} == {Status.RELAYED})
        assert len(server.messages) == 5


async def test_the_pause_begins_anew_after_a_success() -> None:
    script: dict[str, Action | list[str]] = {
        "GREETING": InTurn("421 no", "421 no", "220 mx.test", "421 no"),
        "DOT": ("250 ok", CLOSE),
    }
    async with ScriptedServer(script) as server, a_post(server.port) as post:
        await post.submit(a_message("a@x.test"))
        await post.paused()
        post.advance(timedelta(minutes=6))
        await post.paused()
        post.advance(timedelta(hours=1))
        await eventually(lambda: post.rows()[0].status is Status.RELAYED)
        second = await post.submit(a_message("b@x.test"))
        await post.settled(second)
        await post.paused()
        assert post.row(second).paused_until == post.clock.now() + timedelta(seconds=5)


async def test_nothing_connects_while_a_destination_is_paused() -> None:
    async with ScriptedServer({"GREETING": "421 no"}) as server, a_post(server.port) as post:
        await post.submit(a_message("a@x.test"))
        await post.settled()
        await post.paused()
        late = await post.submit(a_message("b@x.test"), leased=True)
        post.advance(timedelta(seconds=4))
        await post.submit(a_message("c@x.test"), leased=True)
        assert post.row(late).attempts == 0
        assert server.connections == 1
        post.advance(timedelta(seconds=2))
        await eventually(lambda: server.connections == 2)


async def test_what_is_under_way_ends_when_the_destination_goes_down() -> None:
    """One connection cannot be opened; the transaction on another one has its result recorded."""
    gate = asyncio.Event()
    script: dict[str, Action | list[str]] = {
        "GREETING": InTurn("220 mx.test", "554 no more today"),
        "DOT": InTurn("250 ok", Wait(gate, "250 ok")),
    }
    async with ScriptedServer(script) as server, a_post(server.port, connections=2) as post:
        await post.submit(a_message("proof@x.test"))
        await post.settled()
        running = await post.submit(a_message("running@x.test"))
        await server.received(2)
        refused = await post.submit(a_message("refused@x.test"))
        await post.settled(refused)
        gate.set()
        await post.settled(running)
        assert post.row(running).status is Status.RELAYED
        assert post.row(refused).status is Status.DEFERRED
        await eventually(lambda: post.row(refused).paused_until is not None)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param({"EHLO": OFFERS, "AUTH": "535 5.7.8 wrong password"}, id="at-auth"),
        pytest.param({"EHLO": OFFERS, "MAIL": "530 5.7.0 log in first"}, id="at-mail"),
        pytest.param({"EHLO": OFFERS, "AUTH": "550 5.7.30 Basic is not supported"}, id="550"),
        pytest.param({"EHLO": OFFERS, "AUTH": "504 5.5.4 unknown"}, id="504"),
        pytest.param({"EHLO": OFFERS, "AUTH": "502 what"}, id="502"),
        pytest.param({"EHLO": OFFERS, "AUTH": "500 what"}, id="500"),
        pytest.param({"EHLO": ["PIPELINING", "AUTH NTLM GSSAPI"]}, id="no-mechanism-of-ours"),
        pytest.param({"EHLO": ["PIPELINING"]}, id="no-login-offered"),
        pytest.param({"EHLO": "502 what"}, id="knows-only-helo"),
    ],
)
async def test_a_refused_login_bounces_nothing_and_counts_nothing(
    script: dict[str, Action | list[str]],
) -> None:
    """S-53."""
    async with ScriptedServer(script) as server, a_post(server.port, login=LOGIN) as post:
        with capture_logs() as logs:
            messages = [await post.submit(a_message("a@x.test")) for _ in range(5)]
            await eventually(lambda: post.rows()[0].paused_until is not None)
        await post.quiet()
        assert {row.status for row in post.rows()} == {Status.QUEUED}
        assert {row.attempts for row in post.rows()} == {0}
        assert {row.paused_until for row in post.rows()} == {after(hours=1)}
        tried = [kinds for one in messages if (kinds := post.kinds(one))]
        assert tried == [["attempted"]]
        [alert] = [line for line in logs if line["event"] == "login_refused"]
        assert alert["log_level"] == "error"
        said = [each for verb, each in script.items() if isinstance(each, str) and verb != "EHLO"]
        words = said[0] if said else "does not offer to log in by auto"
        assert words in alert["reason"]
        offers = script["EHLO"]
        if "MAIL" not in script:
            offered = ", ".join(offers[-1].split()[1:]) if isinstance(offers, list) else ""
            assert f"it offers {offered or 'no login'}" in alert["reason"]
        assert {row.paused_for for row in post.rows()} == {alert["reason"]}
        assert server.messages == []


async def test_a_refused_login_can_be_tried_again_at_once_on_request() -> None:
    script: dict[str, Action | list[str]] = {
        "EHLO": OFFERS,
        "AUTH": InTurn("535 5.7.8 wrong password", "235 2.7.0 welcome"),
    }
    async with ScriptedServer(script) as server, a_post(server.port, login=LOGIN) as post:
        messages = [await post.submit(a_message("a@x.test")) for _ in range(3)]
        await eventually(lambda: post.rows()[0].paused_until is not None)
        await post.store.act(Query(unfinished=True), Act.EXPEDITE, by="me", reason="mended")
        post.scheduler.wake()
        await server.received(3)
        await eventually(lambda: {post.row(one).status for one in messages} == {Status.RELAYED})
        assert {row.attempts for row in post.rows()} == {1}


async def test_a_refused_login_is_probed_after_an_hour() -> None:
    refusal = "535 5.7.8 wrong password"
    script: dict[str, Action | list[str]] = {"EHLO": OFFERS, "AUTH": InTurn(refusal, "235 ok")}
    async with ScriptedServer(script) as server, a_post(server.port, login=LOGIN) as post:
        await post.submit(a_message("a@x.test"))
        await eventually(lambda: post.rows()[0].paused_until is not None)
        post.advance(timedelta(minutes=59))
        assert server.connections == 1
        post.advance(timedelta(minutes=2))
        await server.received(1)


@pytest.mark.parametrize("octets", [100_000, 131_073, 900_000])
async def test_large_content_arrives_as_it_came(tmp_path: Path, octets: int) -> None:
    """Read by the claim or on its own, the bytes are the same (S-32, S-33)."""
    clock, path = FakeClock(), str(tmp_path / "queue.db")
    line = b".dots first \xc3\xa9\t \r\n..\r\n.\r\n\r\n"
    content = b"Subject: large\r\n\r\n" + line * (octets // len(line))
    store, view = SqliteStore.open(path, clock=clock, slots={}), SqliteView(path)
    async with (
        ScriptedServer() as server,
        a_post(server.port, queue=(store, view, clock)) as post,
    ):
        claimed = await post.submit(a_message("a@x.test", content=content))
        born = await post.submit(a_message("b@x.test", content=content), leased=True)
        await post.settled(claimed, born)
        assert [one.content for one in server.messages] == [content, content]
    view.close()
    await store.close()


async def test_a_queue_that_cannot_hand_back_tries_again() -> None:
    """Nothing stays leased to nobody: a release that fails is repeated, its pause included."""
    store = FaultyStore(FakeClock())
    store.fail("release", times=1, error=StoreUnavailable("busy"))
    async with (
        ScriptedServer({"GREETING": InTurn("421 no", "220 mx.test")}) as server,
        a_post(server.port, store=store) as post,
    ):
        for _ in range(3):
            await post.submit(a_message("a@x.test"))
        await eventually(lambda: store.calls["release"] >= 2)
        await post.quiet()
        assert {row.paused_until for row in post.rows()} == {after(seconds=5)}
        post.advance(timedelta(minutes=6))
        await eventually(lambda: {row.status for row in post.rows()} == {Status.RELAYED})


async def test_a_pause_that_is_stored_late_is_as_long_though_the_clock_was_set_back() -> None:
    store = FaultyStore(FakeClock())
    store.fail("release", times=1, error=StoreUnavailable("busy"))
    async with (
        ScriptedServer({"GREETING": "554 down"}) as server,
        a_post(server.port, store=store) as post,
    ):
        await post.submit(a_message("a@x.test"))
        await eventually(lambda: store.calls["release"] == 1)
        post.clock.jump(-timedelta(days=1))
        await post.quiet()
        await eventually(lambda: store.calls["release"] == 2)
        await eventually(lambda: post.rows()[0].paused_until)
        assert post.rows()[0].paused_until == post.clock.now() + timedelta(seconds=5)


class Clumsy:
    """A connection with a bug: it raises where it must not."""

    def __init__(self, real: Connection) -> None:
        self._real = real
        self.peer = real.peer
        self.proof = real.proof
        self.is_usable = True
        self.is_after_dot = False
        self.transactions = 0

    def serve(self, requirement: Requirement) -> None:
        self._real.serve(requirement)

    async def deliver(
        self, message: QueuedMessage, recipients: Sequence[QueuedRecipient], content: Content
    ) -> Delivery:
        if recipients[0].address == "poison@x.test":
            raise ValueError("a control character in a command")
        return await self._real.deliver(message, recipients, content)

    async def quit(self) -> None:
        await self._real.quit()

    def abort(self) -> None:
        self.is_usable = False
        self._real.abort()

    def cut_off(self) -> None:
        self._real.cut_off()


class ClumsyTransport(SmtpTransport):
    async def connect(self, target: Target) -> Connection:
        return Clumsy(await super().connect(target))


class LostTransport(SmtpTransport):
    """Trips over a bug on the way to its first connection."""

    tripped = False

    async def connect(self, target: Target) -> Connection:
        if not self.tripped:
            self.tripped = True
            raise ValueError("a bug")
        return await super().connect(target)


async def test_a_bug_on_the_way_to_a_host_does_not_stop_the_others() -> None:
    clock = FakeClock()
    transport = LostTransport(helo="relay.test", clock=clock)
    async with ScriptedServer() as server, a_post(server.port, transport=transport) as post:
        with capture_logs() as logs:
            poison = await post.submit(a_message("a@x.test"))
            await post.settled(poison)
            good = await post.submit(a_message("b@x.test"))
            await post.settled(good)
        assert post.row(good).status is Status.RELAYED
        [(kind, detail)] = post.events(poison)
        assert (kind, detail["fault"]) == ("deferred", Fault.LOCAL.value)
        assert not post.row(poison).possible_duplicate
        assert [line["event"] for line in logs] == ["attempt_failed"]


async def test_a_message_that_trips_over_a_bug_does_not_stop_the_others() -> None:
    """The one catch-all of an attempt: logged with its traceback, the message waits."""
    clock = FakeClock()
    transport = ClumsyTransport(helo="relay.test", clock=clock)
    async with ScriptedServer() as server, a_post(server.port, transport=transport) as post:
        with capture_logs() as logs:
            poison = await post.submit(a_message("poison@x.test"))
            good = await post.submit(a_message("a@x.test"))
            await post.settled()
        assert post.row(good).status is Status.RELAYED
        assert post.row(poison).status is Status.DEFERRED
        [(kind, detail)] = post.events(poison)
        assert (kind, detail["fault"]) == ("deferred", Fault.LOCAL.value)
        assert [(line["event"], line["log_level"]) for line in logs] == [
            ("attempt_failed", "error")
        ]
        assert {row.destination for row in post.rows()} == {SMARTHOST}


async def test_a_queue_of_many_connections_ends_once() -> None:
    """Each of them finds that the destination is down; that is one failure, not three."""
    gate = asyncio.Event()
    down = ("421 4.3.2 going down", CLOSE)
    script: dict[str, Action | list[str]] = {
        "GREETING": InTurn("220 mx.test", "220 mx.test", "220 mx.test", "554 down"),
        "DOT": InTurn("250 ok", "250 ok", *[Wait(gate, "250 ok")] * 3, "250 ok"),
        "MAIL": InTurn(*["250 ok"] * 5, down),
        "QUIT": Wait(gate, "221 bye"),
    }
    async with ScriptedServer(script) as server, a_post(server.port, connections=3) as post:
        for _ in range(2):
            await post.submit(a_message("proof@x.test"))
            await post.settled()
        for _ in range(3):
            await post.submit(a_message("a@x.test"))
        await eventually(lambda: server.connections == 3)
        with capture_logs() as logs:
            gate.set()
            await post.settled()
            await post.submit(a_message("b@x.test"), leased=True)
            await post.paused()
            await post.quiet()
        assert [line["event"] for line in logs].count("destination_down") == 1
        assert post.scheduler._history._failures == {SMARTHOST: 1}


@pytest.mark.parametrize("ending", [("421 4.7.0 too many connections", CLOSE), CLOSE, RESET])
async def test_a_server_that_turns_everybody_away_is_left_alone(ending: Action) -> None:
    """421 at MAIL, or a lost connection, proves no more than one in the greeting (A-53)."""
    async with (
        ScriptedServer({"MAIL": ending}) as server,
        a_post(server.port, connections=5) as post,
    ):
        messages = [await post.submit(a_message("a@x.test")) for _ in range(20)]
        await post.paused()
        await post.quiet()
        assert server.connections == 1
        assert sorted(row.attempts for row in post.rows()) == [0] * 19 + [1]
        [tried] = [one for one in messages if post.kinds(one)]
        [(kind, detail)] = post.events(tried)
        assert (kind, detail["stage"]) == ("deferred", "mail")
        assert {row.paused_until for row in post.rows()} == {after(seconds=5)}


# --- the next host in the same attempt

Script = dict[str, Action | list[str]]
LARGE = b"Subject: large\r\n\r\n" + (b"x" * 998 + b"\r\n") * 20_000  # more than the kernel buffers
GONE = [
    pytest.param(CLOSE, id="closed"),
    pytest.param(RESET, id="reset"),
    pytest.param("421 4.3.2 going down", id="421"),
    pytest.param(Raw(b"whatever\r\n"), id="malformed"),
    pytest.param(("250 ok", "250 and another one"), id="one-too-many"),
]


@pytest.mark.parametrize("action", GONE)
@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
async def test_a_session_that_ends_before_the_dot_leads_to_the_next_host(
    stage: str, action: Action
) -> None:
    """A-42, A-43, A-46: at once, as part of the attempt, and the history names both."""
    async with (
        ScriptedServer({stage: action}) as bad,
        ScriptedServer() as good,
        a_post(bad.port, good.port) as post,
    ):
        message = await post.submit(a_message("a@x.test", "b@x.test"))
        await post.settled()
        for number in (0, 1):
            assert post.row(message, number).attempts == 1
            assert not post.row(message, number).possible_duplicate
            (tried, first), (done, last) = post.events(message, number)
            assert (tried, done) == ("attempted", "relayed")
            assert (first["remote_port"], last["remote_port"]) == (bad.port, good.port)
            assert first["reason"]
        assert [one.rcpts for one in good.messages] == [("TO:<a@x.test>", "TO:<b@x.test>")]


@pytest.mark.parametrize("action", [CLOSE, RESET, "421 4.3.2 going down", "250 what"])
async def test_one_that_ends_in_the_middle_of_the_content_does_too(action: Action) -> None:
    async with (
        ScriptedServer({"DATA": InBody(30_000, action)}) as bad,
        ScriptedServer() as good,
        a_post(bad.port, good.port) as post,
    ):
        message = await post.submit(a_message("a@x.test", content=LARGE))
        await post.settled()
        (tried, first), (done, _) = post.events(message)
        assert (tried, first["stage"], done) == ("attempted", "data", "relayed")
        assert [one.content for one in good.messages] == [LARGE]


async def test_one_that_does_not_answer_does_too() -> None:
    transport = SmtpTransport(helo="relay.test", clock=FakeClock())
    transport._timers = Timers(command=0.2)
    async with (
        ScriptedServer({"RCPT": HANG}) as bad,
        ScriptedServer() as good,
        a_post(bad.port, good.port, transport=transport) as post,
    ):
        message = await post.submit(a_message("a@x.test"))
        await post.settled()
        assert post.kinds(message) == ["attempted", "relayed"]
        assert post.events(message)[0][1]["reason"] == "rcpt: no answer to RCPT within 0.2 s"


async def test_those_who_have_an_answer_of_their_own_stay_behind() -> None:
    """S-08: refused is refused; nobody is asked about them again."""
    script: Script = {
        "RCPT TO:<a@x.test>": "550 5.1.1 no such user",
        "RCPT TO:<b@x.test>": "450 4.2.0 greylisted, try later",
        "RCPT TO:<d@x.test>": CLOSE,
    }
    async with (
        ScriptedServer(script) as bad,
        ScriptedServer() as good,
        a_post(bad.port, good.port) as post,
    ):
        message = await post.submit(a_message(*(f"{name}@x.test" for name in "abcd")))
        await post.settled()
        assert [post.kinds(message, number) for number in range(4)] == [
            ["bounced"],
            ["deferred"],
            ["attempted", "relayed"],
            ["attempted", "relayed"],
        ]
        assert [one.rcpts for one in good.messages] == [("TO:<c@x.test>", "TO:<d@x.test>")]
        assert post.events(message)[0][1]["remote_port"] == bad.port


@pytest.mark.parametrize(
    ("action", "may_have_it"),
    [
        (CLOSE, True),
        (RESET, True),
        (Raw(b"25\r\n"), True),
        ("354 what", True),
        ("421 4.3.2 bye", False),
    ],
)
async def test_after_the_dot_nobody_else_is_asked(action: Action, *, may_have_it: bool) -> None:
    """S-06: what was not refused may have been taken."""
    async with (
        ScriptedServer({"DOT": action}) as bad,
        ScriptedServer() as good,
        a_post(bad.port, good.port) as post,
    ):
        message = await post.submit(a_message("a@x.test"))
        await post.settled()
        assert post.kinds(message) == ["deferred"]
        assert post.row(message).possible_duplicate is may_have_it
        assert good.connections == 0


@pytest.mark.parametrize("stage", ["mail", "rcpt", "data"])
@pytest.mark.parametrize("reply", ["450 4.2.1 no", "452 4.2.2 no", "550 no", "554 no"])
async def test_a_verdict_is_not_taken_to_another_host(stage: str, reply: str) -> None:
    async with (
        ScriptedServer({stage: reply}) as first,
        ScriptedServer() as second,
        a_post(first.port, second.port) as post,
    ):
        message = await post.submit(a_message("a@x.test"))
        await post.settled()
        assert post.kinds(message) == ["bounced" if reply > "5" else "deferred"]
        assert second.connections == 0


async def test_an_error_of_ours_is_not_taken_to_another_host() -> None:
    """Nobody knows how far it got."""
    clock = FakeClock()
    transport = ClumsyTransport(helo="relay.test", clock=clock)
    async with (
        ScriptedServer() as first,
        ScriptedServer() as second,
        a_post(first.port, second.port, transport=transport) as post,
    ):
        with capture_logs():
            message = await post.submit(a_message("poison@x.test"))
            await post.settled()
        assert post.kinds(message) == ["deferred"]
        assert second.connections == 0


async def test_when_no_host_is_left_the_last_one_decides_and_all_are_in_the_history() -> None:
    scripts: list[Script] = [{"RCPT": CLOSE}, {"GREETING": "554 no"}, {"DATA": "421 4.3.2 bye"}]
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(ScriptedServer(one)) for one in scripts]
        ports = [server.port for server in servers]
        post = await stack.enter_async_context(a_post(*ports))
        message = await post.submit(a_message("a@x.test"))
        await post.settled()
        events = post.events(message)
        assert [kind for kind, _ in events] == ["attempted", "attempted", "deferred"]
        assert [detail["remote_port"] for _, detail in events] == ports
        assert [detail["stage"] for _, detail in events] == ["rcpt", "greeting", "data"]
        row = post.row(message)
        assert (row.attempts, row.code) == (1, 421)
        assert row.next_attempt_at == after(minutes=5)
        assert [server.connections for server in servers] == [1, 1, 1], "each once"


async def test_the_history_tells_how_long_a_transaction_lasted_that_broke() -> None:
    gates = [asyncio.Event() for _ in range(2)]
    async with (
        ScriptedServer({"RCPT": Wait(gates[0], CLOSE)}) as first,
        ScriptedServer({"RCPT": Wait(gates[1], CLOSE)}) as second,
        a_post(first.port, second.port) as post,
    ):
        message = await post.submit(a_message("a@x.test"))
        for server, gate in zip((first, second), gates, strict=True):
            await eventually(lambda server=server: "RCPT TO:<a@x.test>" in server.dialog)  # type: ignore[misc]
            post.clock.advance(timedelta(seconds=3))
            gate.set()
        await post.settled()
        (_, tried), (_, last) = post.events(message)
        assert (tried["delay_transaction"], last["delay_transaction"]) == (3, 3)
        assert (tried["delay_queue"], last["delay_queue"]) == (0, 3)


async def test_recipients_too_many_for_a_session_that_ends_go_on_with_the_others() -> None:
    """S-19 meets A-42."""
    script: Script = {
        "RCPT TO:<b@x.test>": "452 4.5.3 too many recipients",
        "DATA": "421 4.3.2 going down",
    }
    async with (
        ScriptedServer(script) as bad,
        ScriptedServer() as good,
        a_post(bad.port, good.port) as post,
    ):
        message = await post.submit(a_message("a@x.test", "b@x.test"))
        await post.settled()
        assert [one.rcpts for one in good.messages] == [("TO:<a@x.test>", "TO:<b@x.test>")]
        assert {row.attempts for row in post.rows()} == {1}
        assert post.kinds(message, 0) == ["attempted", "relayed"]


async def test_the_next_transaction_of_the_message_has_no_part_in_the_failure() -> None:
    """Recipients beyond a hundred go on where the first ones arrived."""
    async with (
        ScriptedServer({"DATA": InTurn(CLOSE, "354 go")}) as bad,
        ScriptedServer() as good,
        a_post(bad.port, good.port) as post,
    ):
        message = await post.submit(a_message(*(f"u{number}@x.test" for number in range(150))))
        await post.settled()
        assert [len(one.rcpts) for one in good.messages] == [100, 50]
        assert (bad.connections, good.connections) == (1, 1)
        assert post.kinds(message, 0) == ["attempted", "relayed"]
        assert post.kinds(message, 149) == ["relayed"]


async def test_a_stale_connection_is_no_failure_on_the_way_to_the_next_host() -> None:
    """HC-15 first: the host is asked afresh; only when that breaks too the next one is."""
    ends = InTurn("250 ok", CLOSE, CLOSE)
    async with (
        ScriptedServer({"MAIL": ends}) as first,
        ScriptedServer() as second,
        a_post(first.port, second.port, connections=1) as post,
    ):
        await post.submit(a_message("a@x.test"))
        await post.settled()
        message = await post.submit(a_message("b@x.test"))
        await post.settled()
        assert post.kinds(message) == ["attempted", "relayed"]
        assert (first.connections, second.connections) == (2, 1)


async def test_the_next_host_is_not_asked_while_results_cannot_be_recorded() -> None:
    """S-52."""
    gate = asyncio.Event()
    store = FaultyStore(FakeClock())
    async with (
        ScriptedServer({"RCPT TO:<b@x.test>": Wait(gate, CLOSE)}) as first,
        ScriptedServer() as second,
        a_post(first.port, second.port, store=store, connections=2) as post,
    ):
        await post.submit(a_message("proof@x.test"))
        await post.settled()
        moves = await post.submit(a_message("b@x.test"))
        await eventually(lambda: "RCPT TO:<b@x.test>" in first.dialog)
        store.fail("settle")
        failed = store.calls["settle"]
        await post.submit(a_message("a@x.test"))
        await eventually(lambda: store.calls["settle"] > failed)
        gate.set()
        await eventually(lambda: first.open == 1)
        await eventually(lambda: store.calls["settle"] > failed + 1)
        assert second.connections == 0
        store.heal("settle")
        await post.settled()
        assert post.kinds(moves) == ["attempted", "relayed"]


async def test_a_lost_lease_ends_the_search_for_a_host() -> None:
    """F-46: what is recorded of it is discarded, and nobody is sent anything."""
    gate = asyncio.Event()
    async with (
        ScriptedServer({"RCPT": CLOSE}) as first,
        ScriptedServer({"GREETING": Wait(gate, "220 mx.test")}) as second,
        a_post(first.port, second.port) as post,
    ):
        message = await post.submit(a_message("a@x.test"))
        await eventually(lambda: second.connections)
        post.clock.advance(timedelta(seconds=61))
        other = await registered(post.store, "2")
        await post.store.reap()
        await post.store.claim(other, limit=9, lease_for=timedelta(hours=1))
        with capture_logs() as logs:
            gate.set()
            await eventually(lambda: logs and logs[-1]["event"] == "result_discarded")
        assert post.events(message) == []
        assert "MAIL" not in " ".join(second.dialog)


async def test_a_stop_does_not_wait_for_the_next_host() -> None:
    """What was seen is recorded; who is being dialed is left."""
    async with (
        ScriptedServer({"RCPT": CLOSE}) as bad,
        ScriptedServer({"GREETING": HANG}) as slow,
        a_post(bad.port, slow.port) as post,
    ):
        message = await post.submit(a_message("a@x.test"))
        await eventually(lambda: slow.connections)
        with capture_logs() as logs:
            await post.scheduler.stop(within=2, dot_within=2)
        assert post.kinds(message) == ["deferred"]
        assert post.events(message)[0][1]["stage"] == "rcpt"
        assert logs == []


async def test_a_stop_does_not_wait_for_a_host_that_does_not_answer() -> None:
    """Nothing was tried with the message, so nothing counts."""
    async with ScriptedServer({"GREETING": HANG}) as server, a_post(server.port) as post:
        await post.submit(a_message("a@x.test"))
        await eventually(lambda: server.connections)
        with capture_logs() as logs:
            await post.scheduler.stop(within=2, dot_within=2)
        assert logs == []
        await post.quiet()
        [row] = post.rows()
        assert (row.status, row.attempts) == (Status.QUEUED, 0)


# --- a message that no host survives


@pytest.mark.parametrize("action", [CLOSE, "421 4.3.0 error", Raw(b"oops\r\n")])
@pytest.mark.parametrize("stage", ["RCPT TO:<poison@x.test>", "DATA"])
async def test_a_message_that_no_host_survives_stops_nobody_else(
    stage: str, action: Action
) -> None:
    """A-53: it may be the message's own fault. It waits; the destination is not left alone."""
    script: Script = {stage: action if stage != "DATA" else InTurn(action, "354 go")}
    async with ScriptedServer(script) as server, a_post(server.port, connections=1) as post:
        with capture_logs() as logs:
            poison = await post.submit(a_message("poison@x.test"))
            others = [await post.submit(a_message("a@x.test")) for _ in range(5)]
            await post.settled()
        assert post.kinds(poison) == ["deferred"]
        assert {post.row(one).status for one in others} == {Status.RELAYED}
        assert {row.paused_until for row in post.rows()} == {None}
        assert logs == []
        assert server.connections == 2


async def test_neither_does_it_when_another_host_is_down() -> None:
    """The one that let us in deals with others."""
    script: Script = {"RCPT TO:<poison@x.test>": CLOSE}
    async with (
        ScriptedServer(script) as first,
        ScriptedServer({"GREETING": "554 5.3.2 no"}) as second,
        a_post(first.port, second.port) as post,
    ):
        poison = await post.submit(a_message("poison@x.test"))
        good = await post.submit(a_message("a@x.test"))
        await post.settled()
        assert post.row(good).status is Status.RELAYED
        assert {row.paused_until for row in post.rows()} == {None}
        kinds = [(kind, detail["stage"]) for kind, detail in post.events(poison)]
        assert kinds == [("attempted", "greeting"), ("deferred", "rcpt")]


async def test_greylisting_pauses_nobody() -> None:
    """A-53: it gets its one retry, late enough."""
    script: Script = {"RCPT": "451 4.7.1 greylisted, come back later"}
    async with ScriptedServer(script) as server, a_post(server.port) as post:
        messages = [await post.submit(a_message(f"u{number}@x.test")) for number in range(5)]
        await post.settled()
        assert {post.row(one).status for one in messages} == {Status.DEFERRED}
        assert {row.paused_until for row in post.rows()} == {None}
        assert {row.next_attempt_at for row in post.rows()} >= {after(minutes=5)}


# --- how many connections


def allowed(post: Post) -> int:
    return post.scheduler._next_hop(SMARTHOST).allowed


async def test_each_answered_transaction_allows_one_connection_more() -> None:
    gates = [asyncio.Event() for _ in range(2)]
    dots = [Wait(gates[0], "250 ok")] * 2 + [Wait(gates[1], "250 ok")] * 4
    async with (
        ScriptedServer({"DOT": InTurn("250 ok", *dots, "250 ok")}) as server,
        a_post(server.port, connections=10) as post,
    ):
        for _ in range(20):
            await post.submit(a_message("a@x.test"))
        await server.received(1 + 2)
        assert server.connections == 2
        gates[0].set()
        await server.received(1 + 2 + 4)
        assert server.connections == 4
        gates[1].set()
        await post.settled()


async def test_a_smarthost_soon_has_all_its_connections() -> None:
    gate = asyncio.Event()
    script: Script = {"DOT": InTurn(*["250 ok"] * 9, *[Wait(gate, "250 ok")] * 10, "250 ok")}
    async with ScriptedServer(script) as server, a_post(server.port, connections=10) as post:
        for _ in range(30):
            await post.submit(a_message("a@x.test"))
        await server.received(9 + 10)
        assert server.most_open == 10
        gate.set()
        await post.settled()


async def test_a_queue_that_is_opened_again_is_soon_as_fast_as_the_last_one() -> None:
    """One connection to prove itself; then at once what the smarthost took before."""
    gate = asyncio.Event()
    async with ScriptedServer() as server, a_post(server.port, connections=4) as post:
        for _ in range(10):
            await post.submit(a_message("a@x.test"))
        await post.settled()
        post.scheduler._queues[SMARTHOST].close()
        await eventually(lambda: not post.scheduler._queues)
        server.script["DOT"] = InTurn("250 ok", *[Wait(gate, "250 ok")] * 4, "250 ok")
        for _ in range(9):
            await post.submit(a_message("a@x.test"), leased=True)
        await server.received(10 + 1 + 4)
        gate.set()
        await post.settled()


REFUSALS = [
    pytest.param("DOT", "421 4.7.0 slow down", 2, id="421-at-the-dot"),
    pytest.param("RCPT", "421 4.7.0 slow down", 2, id="421-at-rcpt"),
    pytest.param("MAIL", "451 4.7.1 rate limit exceeded, try again later", 2, id="rate-at-mail"),
    pytest.param("DOT", "451 4.3.0 temporary failure", 5, id="another-451"),
    pytest.param("RCPT", CLOSE, 4, id="lost-at-rcpt"),
]


@pytest.mark.parametrize(("stage", "action", "connections"), REFUSALS)
async def test_a_server_that_has_too_much_of_us_gets_half_as_many(
    stage: str, action: Action, connections: int
) -> None:
    """A-53. What is lost over a message says nothing of that."""
    good = "250 ok"
    script: Script = {stage: InTurn(*[good] * 3, action, good)}
    async with ScriptedServer(script) as server, a_post(server.port, connections=9) as post:
        for _ in range(4):
            await post.submit(a_message("a@x.test"))
            await post.settled()
        assert allowed(post) == connections
        assert server.messages


async def test_connections_beyond_what_is_allowed_by_now_are_left() -> None:
    gates = [asyncio.Event() for _ in range(2)]
    away, fine = Wait(gates[0], "421 4.7.0 slow down"), Wait(gates[1], "250 ok")
    script: Script = {"DOT": InTurn(*["250 ok"] * 3, away, away, fine, fine, "250 ok")}
    async with ScriptedServer(script) as server, a_post(server.port, connections=4) as post:
        for _ in range(3):
            await post.submit(a_message("a@x.test"))
            await post.settled()
        for _ in range(4):
            await post.submit(a_message("a@x.test"))
        await server.received(3 + 4)
        assert server.open == 4
        waits = [await post.submit(a_message("b@x.test"), leased=True) for _ in range(9)]
        gates[0].set()
        await eventually(lambda: server.open == 2)
        assert allowed(post) == 1
        assert not any(post.kinds(one) for one in waits)
        gates[1].set()
        await post.settled(*waits)


async def test_one_connection_too_many_stops_nobody() -> None:
    """A-53: a quota at the server. The others go on; only its message waits."""
    gate = asyncio.Event()
    script: Script = {
        "GREETING": InTurn("220 mx.test", "220 mx.test", "421 4.7.0 too many connections"),
        "DOT": InTurn("250 ok", "250 ok", *[Wait(gate, "250 ok")] * 2, "250 ok"),
    }
    async with ScriptedServer(script) as server, a_post(server.port, connections=9) as post:
        with capture_logs() as logs:
            for _ in range(2):
                await post.submit(a_message("proof@x.test"))
                await post.settled()
            for _ in range(2):
                await post.submit(a_message("a@x.test"))
            await server.received(4)
            late = await post.submit(a_message("late@x.test"))
            await post.settled(late)
            gate.set()
            await post.settled()
            after_it = await post.submit(a_message("b@x.test"))
            await post.settled()
        assert [line["event"] for line in logs] == []
        assert post.kinds(late) == ["deferred"]
        assert post.row(after_it).status is Status.RELAYED
        assert {row.paused_until for row in post.rows()} == {None}
        assert server.connections == 3


async def test_421_at_every_third_message_delays_nobody() -> None:
    """A-53: a kept connection that is at its end is replaced."""
    mail: list[Action] = ["250 ok", "250 ok", ("421 4.7.0 enough for one connection", CLOSE)] * 10
    async with (
        ScriptedServer({"MAIL": InTurn(*mail)}) as server,
        a_post(server.port, connections=1) as post,
    ):
        messages = [await post.submit(a_message("a@x.test")) for _ in range(20)]
        await post.settled()
        assert {(post.row(one).status, post.row(one).attempts) for one in messages} == {
            (Status.RELAYED, 1)
        }
        assert server.connections == 10
        assert {row.paused_until for row in post.rows()} == {None}
