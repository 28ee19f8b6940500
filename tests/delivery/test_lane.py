"""The way to one destination: connections, their reuse, and what happens when it is closed."""

import asyncio
import socket
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from relayd.errors import StoreUnavailable
from relayd.mail.envelope import QueuedMessage, QueuedRecipient
from relayd.mail.outcome import Category, Fault
from relayd.ports import Action as Act
from relayd.ports import Connection, Delivery, Query, Status, Target
from relayd.settings import AuthMechanism, Login
from relayd.store.sqlite.queue import SqliteStore
from relayd.store.sqlite.view import SqliteView
from relayd.worker import SmtpTransport
from tests.support.builders import SMARTHOST, a_message
from tests.support.clock import START, FakeClock
from tests.support.faulty_store import FaultyStore
from tests.support.post import a_post, eventually
from tests.support.scripted_server import CLOSE, Action, InTurn, ScriptedServer, Wait

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


async def test_a_connection_closed_while_it_was_idle_is_replaced() -> None:
    async with (
        ScriptedServer({"DOT": InTurn(("250 ok", CLOSE), "250 ok")}) as server,
        a_post(server.port, connections=1) as post,
    ):
        for count in range(2):
            await post.submit(a_message("a@x.test"))
            await post.settled()
            assert server.connections == count + 1


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


async def test_a_lane_that_cannot_hand_back_tries_again() -> None:
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


class Clumsy:
    """A connection with a bug: it raises where it must not."""

    def __init__(self, real: Connection) -> None:
        self._real = real
        self.peer = real.peer
        self.is_usable = True
        self.transactions = 0

    async def deliver(
        self, message: QueuedMessage, recipients: Sequence[QueuedRecipient], content: bytes
    ) -> Delivery:
        if recipients[0].address == "poison@x.test":
            raise ValueError("a control character in a command")
        return await self._real.deliver(message, recipients, content)

    async def quit(self) -> None:
        await self._real.quit()

    def abort(self) -> None:
        self.is_usable = False
        self._real.abort()


class ClumsyTransport(SmtpTransport):
    async def connect(self, target: Target) -> Connection:
        return Clumsy(await super().connect(target))


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


async def test_a_lane_of_many_connections_ends_once() -> None:
    """Each of them finds that the destination is down; that is one failure, not three."""
    gate = asyncio.Event()
    down = ("421 4.3.2 going down", CLOSE)
    script: dict[str, Action | list[str]] = {
        "GREETING": InTurn("220 mx.test", "220 mx.test", "220 mx.test", "421 down"),
        "DOT": InTurn("250 ok", *[Wait(gate, "250 ok")] * 3, "250 ok"),
        "MAIL": InTurn(*["250 ok"] * 4, down),
        "QUIT": Wait(gate, "221 bye"),
    }
    async with ScriptedServer(script) as server, a_post(server.port, connections=3) as post:
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
        assert post.scheduler._failures == {SMARTHOST: 1}


async def test_a_server_that_turns_everybody_away_is_not_asked_in_parallel() -> None:
    """421 at MAIL proves no more than 421 in the greeting (A-53)."""
    script: dict[str, Action | list[str]] = {"MAIL": ("421 4.7.0 too many connections", CLOSE)}
    async with ScriptedServer(script) as server, a_post(server.port, connections=5) as post:
        for _ in range(20):
            await post.submit(a_message("a@x.test"))
        await post.settled()
        assert server.most_open == 1
