"""The smarthost's hosts in their order, those that failed left out for a while."""

import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from relayd.deliverer.hosts import NoHost, Smarthost
from relayd.mail.outcome import Category
from relayd.mail.reply import Stage
from relayd.ports import Status
from relayd.settings import AuthMechanism, HostPort, Login, SmarthostSettings, TlsMode
from tests.support.builders import a_message
from tests.support.clock import FakeClock
from tests.support.post import a_post, hosts_of, the_transport
from tests.support.scripted_server import CLOSE, Action, InTurn, ScriptedServer

LOGIN = Login(username="relay", secret="secret", mechanism=AuthMechanism.AUTO)
OFFERS = ["PIPELINING", "AUTH PLAIN LOGIN"]


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses connections, and that nobody else gets meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def a_smarthost(clock: FakeClock, *ports: int, login: Login | None = None) -> Smarthost:
    settings = SmarthostSettings(
        hosts=hosts_of(*ports), tls=TlsMode.OFF, login=login, connections=1
    )
    return Smarthost(settings, transport=the_transport(clock), clock=clock)


BROKEN: list[tuple[str, dict[str, Action | list[str]], Stage]] = [
    ("554-greeting", {"GREETING": "554 5.3.2 no service here"}, Stage.GREETING),
    ("421-greeting", {"GREETING": "421 4.3.2 too busy"}, Stage.GREETING),
    ("hangs-up", {"GREETING": CLOSE}, Stage.GREETING),
    ("no-smtp", {"GREETING": "SSH-2.0-OpenSSH"}, Stage.GREETING),
    ("ehlo-451", {"EHLO": "451 4.3.0 not now"}, Stage.EHLO),
    ("login-535", {"EHLO": OFFERS, "AUTH": "535 5.7.8 wrong"}, Stage.AUTH),
    ("login-454", {"EHLO": OFFERS, "AUTH": "454 4.7.0 later"}, Stage.AUTH),
    ("no-login-offered", {"EHLO": ["PIPELINING"]}, Stage.AUTH),
]


@pytest.mark.parametrize(("script", "stage"), [pytest.param(*row[1:], id=row[0]) for row in BROKEN])
async def test_the_next_host_takes_what_the_first_does_not(
    script: dict[str, Action | list[str]], stage: Stage
) -> None:
    """S-16: one bad host bounces nothing; its failure is in the history as an attempt."""
    async with (
        ScriptedServer(script) as bad,
        ScriptedServer({"EHLO": OFFERS}) as good,
        a_post(bad.port, good.port, login=LOGIN) as post,
    ):
        message = await post.submit(a_message("a@x.test"))
        await post.settled()
        assert post.row(message).status is Status.RELAYED
        assert post.row(message).attempts == 1
        (tried, first), (done, last) = post.events(message)
        assert (tried, done) == ("attempted", "relayed")
        assert (first["remote_port"], first["stage"]) == (bad.port, stage.value)
        assert first["reason"]
        assert (last["remote_port"], last["code"]) == (good.port, 250)
        assert len(good.messages) == 1


async def test_a_refused_connection_is_a_failure_too(closed_port: int) -> None:
    async with ScriptedServer() as good, a_post(closed_port, good.port) as post:
        message = await post.submit(a_message("a@x.test"))
        await post.settled()
        (tried, first), (done, _) = post.events(message)
        assert (tried, first["stage"], done) == ("attempted", "connect", "relayed")
        assert "connection refused" in str(first["reason"])


async def test_only_the_message_that_met_the_failure_has_it_in_its_history(
    closed_port: int,
) -> None:
    async with ScriptedServer() as good, a_post(closed_port, good.port, connections=1) as post:
        messages = [await post.submit(a_message("a@x.test")) for _ in range(3)]
        await post.settled()
        kinds = sorted(post.kinds(message) for message in messages)
        assert kinds == [["attempted", "relayed"], ["relayed"], ["relayed"]]


async def test_a_dead_host_is_left_out_for_a_minute(closed_port: int) -> None:
    clock = FakeClock()
    async with ScriptedServer() as good:
        smarthost = a_smarthost(clock, closed_port, good.port)
        seen = []
        for seconds in (0, 30, 29, 2):
            clock.advance(timedelta(seconds=seconds))
            session = await smarthost.connect()
            connection = session.connection
            failures = session.failures
            seen.append([failure.host.port for failure in failures])
            await connection.quit()
        assert seen == [[closed_port], [], [], [closed_port]]


async def test_a_host_that_is_back_is_the_first_again() -> None:
    clock = FakeClock()
    flaky = {"GREETING": InTurn("421 4.3.2 later", "220 mx.test")}
    async with ScriptedServer(flaky) as first, ScriptedServer() as second:
        smarthost = a_smarthost(clock, first.port, second.port)
        ports = []
        for _ in range(2):
            session = await smarthost.connect()
            connection = session.connection
            ports.append(connection.peer.port)
            await connection.quit()
            clock.advance(timedelta(minutes=2))
        assert ports == [second.port, first.port]


async def test_hosts_left_out_are_asked_when_no_other_is_left(closed_port: int) -> None:
    """Leaving out must not turn a host that works again into an outage."""
    clock = FakeClock()
    async with ScriptedServer({"GREETING": InTurn("554 no", "220 mx.test")}) as only:
        smarthost = a_smarthost(clock, closed_port, only.port)
        with pytest.raises(NoHost) as none:
            await smarthost.connect()
        assert [failure.host.port for failure in none.value.failures] == [closed_port, only.port]
        assert str(closed_port) in str(none.value)
        session = await smarthost.connect()
        connection = session.connection
        failures = session.failures
        assert [failure.host.port for failure in failures] == [closed_port]
        await connection.quit()


async def test_an_unknown_name_is_a_failure_like_others() -> None:
    clock = FakeClock()
    async with ScriptedServer() as good:
        settings = SmarthostSettings(
            hosts=(HostPort(host="bad..name", port=25), *hosts_of(good.port)),
            tls=TlsMode.OFF,
            login=None,
            connections=1,
        )
        smarthost = Smarthost(settings, transport=the_transport(clock), clock=clock)
        session = await smarthost.connect()
        connection = session.connection
        [failure] = session.failures
        await connection.quit()
        assert failure.failed.breakdown is not None
        assert failure.failed.breakdown.category is Category.DNS_FAILURE


async def test_hosts_share_no_more_than_their_turn() -> None:
    """All connections go to the first host as long as it works."""
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(ScriptedServer()) for _ in range(2)]
        post = await stack.enter_async_context(a_post(*(server.port for server in servers)))
        for _ in range(20):
            await post.submit(a_message("a@x.test"))
        await post.settled()
        assert [len(server.messages) for server in servers] == [20, 0]
