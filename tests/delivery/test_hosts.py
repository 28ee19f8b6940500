"""The smarthost's hosts in their order, those that failed left out for a while."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from relayd.deliverer.connections import Connections
from relayd.deliverer.nexthop import search
from relayd.deliverer.nexthop.hosts import HostFailure, NoHost, Session
from relayd.deliverer.nexthop.search import DeadHosts, Search
from relayd.deliverer.nexthop.smarthost import Smarthost
from relayd.mail.attempt import RouteKind
from relayd.mail.envelope import NewMessage
from relayd.mail.reply import Stage
from relayd.mail.words import BounceClass, Category, Fault
from relayd.net.smtp.breakdown import broken
from relayd.policy.tls.ladder import asked_by
from relayd.ports.outward import SessionFailed, Target, Transport
from relayd.ports.view import Status
from relayd.settings import AuthMechanism, HostPort, Login, SmarthostSettings, TlsMode
from relayd.store.memory.queue import MemoryStore
from relayd.worker.system import SmtpTransport
from tests.support.builders import a_facts, a_message
from tests.support.clock import FakeClock
from tests.support.post import a_post, an_account, hosts_of, the_transport
from tests.support.scripted_server import CLOSE, HANG, Action, InTurn, ScriptedServer

LOGIN = Login(username="relay", secret="secret", mechanism=AuthMechanism.AUTO)
OFFERS = ["PIPELINING", "AUTH PLAIN LOGIN"]


def a_smarthost(
    clock: FakeClock, *hosts: HostPort, transport: Transport | None = None, connections: int = 1
) -> Smarthost:
    settings = SmarthostSettings(hosts=hosts, tls=TlsMode.OFF, login=None, connections=connections)
    return Smarthost(
        settings,
        connections=connections,
        transport=transport or the_transport(clock),
        clock=clock,
        dead_hosts=DeadHosts(clock),
        slots=Connections(9),
        account=an_account(MemoryStore(clock), clock),
    )


@pytest.mark.parametrize("source", ["127.0.0.1", "2001:db8::1"])
async def test_a_source_address_reaches_hosts_of_its_family_only(source: str) -> None:
    """Mail never leaves by an address that the operator did not name: it waits."""
    clock = FakeClock()
    async with ScriptedServer() as server:
        settings = SmarthostSettings(
            hosts=(HostPort(host="both", port=server.port),),
            tls=TlsMode.OFF,
            login=None,
            connections=1,
            source_address=source,
        )
        hop = Smarthost(
            settings,
            connections=1,
            transport=Names(
                clock, both=["::9", server.host] if ":" not in source else [server.host]
            ),
            clock=clock,
            dead_hosts=DeadHosts(clock),
            slots=Connections(9),
            account=an_account(MemoryStore(clock), clock),
        )
        if ":" in source:
            with pytest.raises(NoHost, match="can be reached from source_address, 2001:db8::1"):
                await hop.connect()
        else:
            session = await hop.connect()
            assert (session.connection.peer.local_ip, session.failures) == (source, ())
            await hop.give_back(session)


class Names(SmtpTransport):
    """Finds addresses in a table; a name that is not in it fails as it does in the DNS."""

    def __init__(self, clock: FakeClock, **table: Sequence[str]) -> None:
        super().__init__(helo="relay.test", clock=clock)
        self.table = table
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.table.get(host) or await super().resolve(f"{host}..", port)


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


BODY = "Subject: x\r\n\r\nGrüße\r\n".encode()


def an_8bit_message(*addresses: str) -> NewMessage:
    return a_message(*addresses, content=BODY, facts=a_facts(BODY, is_8bit=True))


LACKS: list[tuple[str, list[str], tuple[str, ...]]] = [
    ("size", ["SIZE 5", "8BITMIME", "SMTPUTF8"], ("a@x.test",)),
    ("8bitmime", ["SMTPUTF8"], ("a@x.test",)),
    ("smtputf8", ["8BITMIME"], ("ü@x.test",)),
]


@pytest.mark.parametrize(
    ("offers", "addresses"), [pytest.param(*row[1:], id=row[0]) for row in LACKS]
)
async def test_the_next_host_takes_what_the_first_cannot(
    offers: list[str], addresses: tuple[str, ...]
) -> None:
    """Our own refusal is about one host; it is left politely, and is not out of order."""
    async with (
        ScriptedServer({"EHLO": offers}) as small,
        ScriptedServer() as good,
        a_post(small.port, good.port) as post,
    ):
        message = await post.submit(an_8bit_message(*addresses))
        await post.settled()
        assert post.row(message).status is Status.RELAYED
        assert post.kinds(message) == ["attempted", "relayed"]
        assert post.events(message)[0][1]["remote_port"] == small.port
        assert small.dialog == ["EHLO relay.test", "QUIT"]
        assert len(good.messages) == 1


@pytest.mark.parametrize(
    ("offers", "addresses"), [pytest.param(*row[1:], id=row[0]) for row in LACKS]
)
async def test_what_no_host_can_take_bounces(offers: list[str], addresses: tuple[str, ...]) -> None:
    async with (
        ScriptedServer({"EHLO": offers}) as one,
        ScriptedServer({"EHLO": offers}) as other,
        a_post(one.port, other.port) as post,
    ):
        message = await post.submit(an_8bit_message(*addresses))
        await post.settled()
        row = post.row(message)
        assert (row.status, row.bounce_class) == (Status.BOUNCED, BounceClass.BLOCK)
        assert post.kinds(message) == ["attempted", "bounced"]
        assert row.paused_until is None, "the others go on"


async def test_what_a_host_that_is_down_might_take_waits_for_it(closed_port: int) -> None:
    """And only it: what the first host can take goes on."""
    async with (
        ScriptedServer({"EHLO": []}) as small,
        a_post(small.port, closed_port) as post,
    ):
        message = await post.submit(an_8bit_message("a@x.test"))
        plain = await post.submit(a_message("b@x.test"))
        await post.settled()
        row = post.row(message)
        assert (row.status, row.enhanced) == (Status.DEFERRED, "5.6.3")
        assert "takes no 8-bit text" in str(row.reason)
        assert post.row(plain).status is Status.RELAYED


async def test_only_who_cannot_be_served_goes_on_to_the_next_host() -> None:
    """One recipient too many for the first has his turn there first."""
    script: dict[str, Action | list[str]] = {
        "EHLO": ["PIPELINING", "8BITMIME"],
        "RCPT TO:<c@x": InTurn("452 4.5.3 too many", "250 ok"),
    }
    async with (
        ScriptedServer(script) as small,
        ScriptedServer() as good,
        a_post(small.port, good.port) as post,
    ):
        message = await post.submit(an_8bit_message("a@x.test", "ü@x.test", "c@x.test"))
        await post.settled()
        assert {post.row(message, number).status for number in range(3)} == {Status.RELAYED}
        assert [one.rcpts for one in small.messages] == [("TO:<a@x.test>",), ("TO:<c@x.test>",)]
        assert [one.rcpts for one in good.messages] == [("TO:<ü@x.test>",)]


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
        smarthost = a_smarthost(clock, *hosts_of(closed_port, good.port))
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
        smarthost = a_smarthost(clock, *hosts_of(first.port, second.port))
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
        smarthost = a_smarthost(clock, *hosts_of(closed_port, only.port))
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
        bad = HostPort(host="bad..name", port=25)
        smarthost = a_smarthost(clock, bad, *hosts_of(good.port))
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


# --- the addresses of one name


MX = "mx"


async def test_every_address_of_a_name_is_tried_and_each_failure_is_told() -> None:
    clock = FakeClock()
    async with ScriptedServer(host="127.0.0.13") as good:
        names = Names(clock, mx=["127.0.0.11", "127.0.0.12", "127.0.0.13"])
        smarthost = a_smarthost(clock, HostPort(host=MX, port=good.port), transport=names)
        session = await smarthost.connect()
        await session.connection.quit()
        ips = [failure.address[0] for failure in session.failures]
        assert (ips, session.connection.peer.ip) == (["127.0.0.11", "127.0.0.12"], "127.0.0.13")


async def test_a_dead_address_is_left_out_not_its_host() -> None:
    """It costs one connection its time-out, not every one."""
    clock = FakeClock()
    async with ScriptedServer(host="127.0.0.12") as good, ScriptedServer() as backup:
        names = Names(clock, mx=["127.0.0.11", "127.0.0.12"])
        hosts = HostPort(host=MX, port=good.port), HostPort(host="127.0.0.1", port=backup.port)
        smarthost = a_smarthost(clock, *hosts, transport=names)
        seen = []
        for seconds in (0, 59, 2):
            clock.advance(timedelta(seconds=seconds))
            session = await smarthost.connect()
            await session.connection.quit()
            seen.append((len(session.failures), session.connection.peer.ip))
        assert seen == [(1, "127.0.0.12"), (0, "127.0.0.12"), (1, "127.0.0.12")]
        assert backup.connections == 0


async def test_a_name_that_is_not_found_is_looked_up_after_the_others() -> None:
    clock = FakeClock()
    async with ScriptedServer() as good:
        names = Names(clock, up=["127.0.0.1"])
        hosts = HostPort(host="gone", port=25), HostPort(host="up", port=good.port)
        smarthost = a_smarthost(clock, *hosts, transport=names)
        for _ in range(2):
            session = await smarthost.connect()
            await session.connection.quit()
        assert names.asked == ["gone", "up", "up"]
        names.table = {}
        with pytest.raises(NoHost):
            await smarthost.connect()
        assert names.asked[3:] == ["up", "gone"]


async def test_two_names_of_one_address_are_no_second_chance(closed_port: int) -> None:
    clock = FakeClock()
    names = Names(clock, one=["127.0.0.1"], two=["127.0.0.1"])
    hosts = [HostPort(host=name, port=closed_port) for name in ("one", "two")]
    smarthost = a_smarthost(clock, *hosts, transport=names)
    for _ in ("fresh", "left out"):
        with pytest.raises(NoHost) as none:
            await smarthost.connect()
        assert len(none.value.failures) == 1


# --- the search for another one, in the same attempt


async def test_who_failed_in_this_attempt_is_not_asked_again() -> None:
    clock = FakeClock()
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(ScriptedServer()) for _ in range(3)]
        smarthost = a_smarthost(clock, *hosts_of(*(server.port for server in servers)))
        failures: tuple[HostFailure, ...] = ()
        for server in servers:
            session = await smarthost.connect(failures)
            assert session.connection.peer.port == server.port
            assert session.failures == failures
            await session.connection.quit()
            failures = (*failures, a_failure(session, clock))
        with pytest.raises(NoHost) as none:
            await smarthost.connect(failures)
        assert none.value.failures == failures, "all of them, and nobody else"


def a_failure(session: Session, clock: FakeClock, *, at_door: bool = False) -> HostFailure:
    """What a transaction over `session` that broke leaves."""
    peer = session.connection.peer
    lost = broken(Category.CONNECTION_FAILURE, "lost")
    return HostFailure(
        host=HostPort(host=peer.host, port=peer.port),
        at=clock.now(),
        failed=SessionFailed(Stage.RCPT, lost, peer=peer),
        at_door=at_door,
    )


@pytest.mark.parametrize("at_door", [False, True])
async def test_only_a_host_that_takes_nothing_from_us_is_left_out_later(*, at_door: bool) -> None:
    """One that broke over a message may be as good as any for the next."""
    clock = FakeClock()
    async with ScriptedServer() as first, ScriptedServer() as second:
        smarthost = a_smarthost(clock, *hosts_of(first.port, second.port))
        session = await smarthost.connect()
        await session.connection.quit()
        other = await smarthost.connect([a_failure(session, clock, at_door=at_door)])
        await other.connection.quit()
        later = await smarthost.connect()
        await later.connection.quit()
        assert later.connection.peer.port == (second.port if at_door else first.port)


async def test_five_minutes_after_the_first_failure_nobody_else_is_asked() -> None:
    """S-24."""
    clock = FakeClock()
    async with ScriptedServer() as first, ScriptedServer() as second:
        smarthost = a_smarthost(clock, *hosts_of(first.port, second.port))
        session = await smarthost.connect()
        await session.connection.quit()
        failure = a_failure(session, clock)
        clock.advance(timedelta(minutes=5))
        with pytest.raises(NoHost) as none:
            await smarthost.connect([failure])
        assert none.value.failures == (failure,)
        assert second.connections == 0


class Silent(Names):
    """Its name server does not answer."""

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        raise AssertionError(host, port)


@pytest.mark.parametrize("kind", [Names, Silent])
async def test_a_host_that_does_not_get_ready_is_left_when_the_time_is_up(
    kind: type[Names], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "FIND_WITHIN", 0.1)
    clock = FakeClock()
    async with ScriptedServer({"GREETING": HANG}) as server:
        host = HostPort(host=MX, port=server.port)
        smarthost = a_smarthost(clock, host, transport=kind(clock, mx=["127.0.0.1"]))
        with pytest.raises(NoHost, match="not ready") as none:
            await smarthost.connect()
        [failure] = none.value.failures
        assert failure.address[0] == (MX if kind is Silent else "127.0.0.1")


async def test_what_is_our_own_fault_does_not_speak_against_a_host(closed_port: int) -> None:
    """Without descriptors, say, no host can be reached; none of them is down."""
    clock = FakeClock()
    dead_hosts = DeadHosts(clock)
    peer = Target(
        route=RouteKind.SMARTHOST,
        host=MX,
        ip="127.0.0.1",
        port=closed_port,
        requirement=asked_by(TlsMode.OFF, "127.0.0.1"),
        login=None,
        source_ip="192.0.2.1",  # not ours
    )
    looking = Search(
        (),
        transport=the_transport(clock),
        clock=clock,
        dead_hosts=dead_hosts,
        turned_away=lambda: None,
    )
    assert await looking.ask(peer) is None
    [failure] = looking.failures
    assert failure.failed.breakdown is not None
    assert failure.failed.breakdown.fault is Fault.LOCAL
    assert failure.address not in dead_hosts


def test_the_memory_for_outages_is_bounded() -> None:
    dead_hosts = DeadHosts(FakeClock())
    for number in range(10_001):
        dead_hosts.note((str(number), 25))
    assert ("0", 25) not in dead_hosts
    assert ("1", 25) in dead_hosts
    assert ("10000", 25) in dead_hosts


# --- how many connections


async def test_a_421_halves_the_connections_that_are_allowed() -> None:
    clock = FakeClock()
    greetings = InTurn("220 mx.test", "421 4.7.0 too many connections", "220 mx.test")
    async with ScriptedServer({"GREETING": greetings}) as server:
        smarthost = a_smarthost(clock, *hosts_of(server.port), connections=8)
        session = await smarthost.connect()
        for _ in range(9):
            smarthost.answered()
        assert smarthost.allowed == 8
        with pytest.raises(NoHost):
            await smarthost.connect()
        assert smarthost.allowed == 4
        await smarthost.give_back(session)
