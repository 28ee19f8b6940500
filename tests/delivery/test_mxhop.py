"""Direct mode: which mail host of a domain is used, what its failure means, and who shares it."""

import asyncio
import ssl
from datetime import timedelta

import pytest
import trustme

from relayd.deliverer.connections import Connections
from relayd.deliverer.nexthop import mx as mx_hop
from relayd.deliverer.nexthop import search
from relayd.deliverer.nexthop.hosts import NoHost
from relayd.deliverer.nexthop.sites import Sites
from relayd.mail.words import BounceClass, Category
from relayd.ports.view import Status
from relayd.settings import TlsMode
from tests.support.clock import FakeClock
from tests.support.direct import A1, A2, A3, FINE, Script, a_direct_post, mx
from tests.support.dns_server import DROP, EMPTY, SERVFAIL, Zones
from tests.support.dns_server import Wait as WaitForDns
from tests.support.post import eventually
from tests.support.scripted_server import (
    CLOSE,
    HANG,
    Action,
    InTurn,
    Raw,
    ScriptedServer,
    Wait,
)

LEFT_OUT = timedelta(seconds=61)  # a little more than a host that failed is left out
UNKNOWN: Script = {"RCPT": "550 5.1.1 no such user"}
BUSY: Script = {"GREETING": "421 4.3.2 too busy"}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A working host has to be found in no time."""
    monkeypatch.setattr(search, "FIND_WITHIN", 0.1)


# --- which host


async def test_the_best_host_gets_the_mail_and_that_is_sent() -> None:
    zones = mx(A1, A2)
    async with a_direct_post(zones, {A1: FINE, A2: FINE}) as direct:
        message = await direct.send("a@x.test", content=b"Subject: x\r\n\r\n.hello\r\n")
        await direct.post.settled()
        assert direct.post.row(message).status is Status.SENT
        [(kind, detail)] = direct.post.events(message)
        assert (kind, detail["route"], detail["helo"]) == ("sent", "direct", "relay.test")
        assert (detail["remote_host"], detail["remote_ip"]) == ("mx1.x.test", A1)
        assert detail["remote_port"] == direct.port
        [got] = direct.server(A1).messages
        assert got.content == b"Subject: x\r\n\r\n.hello\r\n"
        assert direct.server(A1).dialog[0] == "EHLO relay.test"
        assert (direct.server(A2).connections, direct.smarthost.connections) == (0, 0)


@pytest.mark.parametrize("better", ["10 mx2.x.test.", "0 mx2.x.test."])
async def test_records_count_by_preference_not_by_place(better: str) -> None:
    zones: Zones = mx(A1, A2) | {"x.test": {"MX": ["20 mx1.x.test.", better]}}
    async with a_direct_post(zones, {A1: FINE, A2: FINE}) as direct:
        await direct.send("a@x.test")
        await direct.server(A2).received(1)
        assert direct.server(A1).connections == 0


async def test_without_mx_records_the_domain_is_its_own_host() -> None:
    async with a_direct_post({"x.test": {"A": [A1]}}, {A1: FINE}) as direct:
        message = await direct.send("a@X.Test")
        await direct.post.settled()
        assert direct.post.row(message).remote_host == "x.test"
        assert direct.server(A1).messages[0].rcpts == ("TO:<a@X.Test>",)


BROKEN = [
    pytest.param(None, "connect", id="refused"),
    pytest.param({"GREETING": "554 5.3.2 no service here"}, "greeting", id="554-greeting"),
    pytest.param({"GREETING": "521 5.3.2 no mail here"}, "greeting", id="521-greeting"),
    pytest.param(BUSY, "greeting", id="421-greeting"),
    pytest.param({"GREETING": CLOSE}, "greeting", id="hangs-up"),
    pytest.param({"GREETING": "SSH-2.0-OpenSSH"}, "greeting", id="no-smtp"),
    pytest.param({"EHLO": "451 4.3.0 not now", "HELO": "451 not now"}, "ehlo", id="ehlo"),
]


@pytest.mark.parametrize(("script", "stage"), BROKEN)
async def test_the_next_host_takes_what_the_best_cannot(script: Script | None, stage: str) -> None:
    """S-16: one bad host bounces nothing; its failure is in the history as an attempt."""
    scripts = {A2: FINE} if script is None else {A1: script, A2: FINE}
    async with a_direct_post(mx(A1, A2), scripts) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled()
        assert direct.post.row(message).status is Status.SENT
        assert direct.post.row(message).attempts == 1
        (tried, first), (done, last) = direct.post.events(message)
        assert (tried, done) == ("attempted", "sent")
        assert (first["remote_host"], first["stage"]) == ("mx1.x.test", stage)
        assert first["route"] == "direct"
        assert (last["remote_host"], last["remote_ip"]) == ("mx2.x.test", A2)


async def test_a_host_without_the_required_tls_is_passed_over() -> None:
    certificate = trustme.CA().issue_cert("mx2.x.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    async with a_direct_post(mx(A1, A2), {A1: FINE, A2: FINE}, tls=TlsMode.REQUIRED) as direct:
        direct.server(A2).tls = context
        message = await direct.send("a@x.test")
        await direct.post.settled()
        (_, first), (done, _) = direct.post.events(message)
        assert (first["stage"], done) == ("starttls", "sent")
        assert direct.server(A2).messages[0].tls


async def test_every_address_of_a_host_is_tried_before_the_next_host() -> None:
    zones: Zones = mx(A1, A3) | {"mx1.x.test": {"A": [A1, A2]}}
    async with a_direct_post(zones, {A3: FINE}) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled()
        (_, first), (_, second), (done, last) = direct.post.events(message)
        assert {first["remote_ip"], second["remote_ip"]} == {A1, A2}
        assert (done, last["remote_ip"]) == ("sent", A3)


async def test_when_no_host_works_the_mail_waits() -> None:
    async with a_direct_post(mx(A1, A2), {A2: BUSY}) as direct:
        first = await direct.send("a@x.test")
        await direct.post.settled(first)
        row = direct.post.row(first)
        assert (row.status, row.category) == (Status.DEFERRED, Category.REMOTE_SYSTEM)
        assert direct.post.kinds(first) == ["attempted", "deferred"]
        assert direct.server(A2).connections == 1
        assert not row.leased


@pytest.mark.parametrize(
    ("other", "status"),
    [
        pytest.param("521 5.3.2 no mail here", Status.BOUNCED, id="all-say-521"),
        pytest.param("554 5.3.2 go away", Status.DEFERRED, id="one-says-554"),
    ],
)
async def test_only_521_from_every_host_is_final(other: str, status: Status) -> None:
    """S-16, RFC 7504."""
    scripts: dict[str, Script] = {A1: {"GREETING": "521 no mail"}, A2: {"GREETING": other}}
    async with a_direct_post(mx(A1, A2), scripts) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled()
        assert direct.post.row(message).status is status
        if status is Status.BOUNCED:
            row = direct.post.row(message)
            assert (row.bounce_class, row.suppress) == (BounceClass.BLOCK, False)


async def test_521_is_not_final_while_a_host_was_not_asked() -> None:
    """S-16, S-24: nobody knows what the host says whose address could not be learnt."""
    zones: Zones = mx(A1, A2) | {"mx1.x.test": SERVFAIL}
    async with a_direct_post(zones, {A2: {"GREETING": "521 5.3.2 no mail here"}}) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled()
        assert direct.post.row(message).status is Status.DEFERRED


async def test_521_is_not_final_when_there_are_more_hosts_than_are_asked() -> None:
    """S-24: hitting a cap is no verdict."""
    names = [f"mx{number:02}.x.test" for number in range(12)]
    zones: Zones = {
        "x.test": {"MX": [f"10 {name}." for name in names]},
        **{name: {"A": [f"127.0.0.{100 + number}"]} for number, name in enumerate(names)},
    }
    scripts: dict[str, Script] = {
        f"127.0.0.{100 + number}": {"GREETING": "521 5.3.2 no mail here"}
        for number in range(len(names))
    }
    async with a_direct_post(zones, scripts) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled()
        assert direct.post.row(message).status is Status.DEFERRED


@pytest.mark.usefixtures("quick")
async def test_a_host_that_never_speaks_does_not_hold_the_mail_for_ever() -> None:
    """S-24: within a time for all hosts together, it waits for a better day."""
    async with a_direct_post(mx(A1, A2), {A2: {"GREETING": HANG}}) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled()
        row = direct.post.row(message)
        assert (row.status, row.category) == (Status.DEFERRED, Category.CONNECTION_FAILURE)
        assert "not ready when the 0.1 s" in str(row.reason)
        assert row.remote_host == "mx2.x.test", "who it is that keeps us waiting"
        assert direct.post.kinds(message) == ["attempted", "deferred"]


# --- the next host in the same attempt


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("action", [CLOSE, "421 4.3.2 going down", Raw(b"oops\r\n")])
async def test_a_session_that_ends_before_the_dot_leads_to_the_next_host(
    stage: str, action: Action
) -> None:
    """A-42."""
    async with a_direct_post(mx(A1, A2), {A1: {stage: action}, A2: FINE}) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled()
        assert direct.post.row(message).attempts == 1
        (tried, first), (done, last) = direct.post.events(message)
        assert (tried, done) == ("attempted", "sent")
        assert (first["remote_ip"], last["remote_ip"]) == (A1, A2)
        assert first["delay_queue"] == 0


async def test_each_address_is_asked_once_in_an_attempt() -> None:
    zones: Zones = mx(A1, A3) | {"mx1.x.test": {"A": [A1, A2]}}
    broken: Script = {"RCPT": CLOSE}
    async with a_direct_post(zones, {A1: broken, A2: broken, A3: broken}) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled()
        events = direct.post.events(message)
        assert [kind for kind, _ in events] == ["attempted", "attempted", "deferred"]
        assert {detail["remote_ip"] for _, detail in events} == {A1, A2, A3}
        assert events[-1][1]["remote_ip"] == A3
        assert [direct.server(ip).connections for ip in (A1, A2, A3)] == [1, 1, 1]
        assert direct.post.row(message).paused_until is None


async def test_the_last_of_them_is_asked_within_five_minutes() -> None:
    """S-24, counted from the first failure on."""
    gate = asyncio.Event()
    late: Script = {"RCPT": Wait(gate, CLOSE)}
    async with a_direct_post(mx(A1, A2, A3), {A1: {"RCPT": CLOSE}, A2: late, A3: FINE}) as direct:
        message = await direct.send("a@x.test")
        await eventually(lambda: direct.server(A2).connections)
        direct.post.clock.advance(timedelta(minutes=6))
        gate.set()
        await direct.post.settled()
        assert direct.post.kinds(message) == ["attempted", "deferred"]
        assert direct.server(A3).connections == 0


async def test_an_idle_connection_does_not_lead_back_to_a_host_that_failed() -> None:
    gate = asyncio.Event()
    zones: Zones = {"x.test": {"MX": ["10 mx1.x.test."]}, "mx1.x.test": {"A": [A1, A2]}}
    both = InTurn("250 ok", *[Wait(gate, "250 ok")] * 2, "250 ok")
    script: Script = {"RCPT TO:<poison@x.test>": CLOSE, "DOT": both}
    async with a_direct_post(zones, {A1: script, A2: script}) as direct:
        servers = [direct.server(ip) for ip in (A1, A2)]
        for number in range(3):
            await direct.send(f"u{number}@x.test")
        await eventually(lambda: sum(server.open for server in servers) == 2)
        gate.set()
        await direct.post.settled()
        await direct.post.quiet()
        assert {server.open for server in servers} == {0, 2}, "two idle ones to the same address"
        poison = await direct.send("poison@x.test")
        await direct.post.settled()
        assert direct.post.kinds(poison) == ["attempted", "deferred"]
        for server in servers:
            assert "".join(server.dialog).count("poison") == 1


async def test_a_place_is_free_while_the_next_host_is_looked_for() -> None:
    """With one place only: the broken session gives it back before another one takes it."""
    async with a_direct_post(
        mx(A1, A2), {A1: {"RCPT": CLOSE}, A2: FINE}, connections_per_destination=1
    ) as direct:
        messages = [await direct.send(f"u{number}@x.test") for number in range(3)]
        await direct.post.settled()
        assert {direct.post.row(one).status for one in messages} == {Status.SENT}


# --- a backup that may be out of date (S-17)


async def test_a_backups_refusal_is_no_verdict_while_the_best_host_is_down() -> None:
    async with a_direct_post(mx(A1, A2), {A2: UNKNOWN}) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled()
        row = direct.post.row(message)
        assert (row.status, row.code) == (Status.DEFERRED, 550)
        assert not row.suppress
        assert direct.post.kinds(message) == ["attempted", "deferred"]


@pytest.mark.parametrize("action", [CLOSE, "421 4.3.2 going down"])
async def test_nor_is_it_when_the_best_host_ended_the_session(action: Action) -> None:
    async with a_direct_post(mx(A1, A2), {A1: {"RCPT": action}, A2: UNKNOWN}) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled()
        row = direct.post.row(message)
        assert (row.status, row.code) == (Status.DEFERRED, 550)
        assert direct.post.kinds(message) == ["attempted", "deferred"]


BIG = b"Subject: x\r\n\r\n" + b"x" * 500 + b"\r\n"
SMALL: Script = {"EHLO": ["SIZE 100"]}


async def test_it_is_one_when_the_best_host_cannot_take_the_message() -> None:
    """That host is up, so nobody will be asked but the backup."""
    async with a_direct_post(mx(A1, A2), {A1: SMALL, A2: UNKNOWN}) as direct:
        message = await direct.send("a@x.test", content=BIG)
        await direct.post.settled()
        row = direct.post.row(message)
        assert (row.status, row.code, row.bounce_class) == (
            Status.BOUNCED,
            550,
            BounceClass.HARD,
        )
        assert direct.post.kinds(message) == ["attempted", "bounced"]


async def test_a_message_too_large_for_one_host_goes_to_the_next() -> None:
    async with a_direct_post(mx(A1, A2), {A1: SMALL, A2: FINE}) as direct:
        messages = [await direct.send("a@x.test", content=BIG) for _ in range(3)]
        plain = await direct.send("a@x.test", content=b"Subject: x\r\n\r\n")
        await direct.post.settled()
        assert {direct.post.row(one).status for one in (*messages, plain)} == {Status.SENT}
        assert len(direct.server(A2).messages) >= 3


async def test_a_message_too_large_for_every_host_bounces() -> None:
    async with a_direct_post(mx(A1, A2), {A1: SMALL, A2: SMALL}) as direct:
        message = await direct.send("a@x.test", content=BIG)
        await direct.post.settled()
        row = direct.post.row(message)
        assert (row.status, row.code, row.enhanced) == (Status.BOUNCED, 552, "5.3.4")


@pytest.mark.parametrize(
    ("second", "status", "code"),
    [
        pytest.param(SMALL, Status.BOUNCED, 552, id="both"),
        pytest.param(FINE, Status.SENT, 250, id="the-first"),
    ],
)
async def test_a_message_too_large_for_an_address_of_the_only_host(
    second: Script, status: Status, code: int
) -> None:
    """Its other address is asked, and better_mx_unreachable by nobody."""
    zones = mx(A1) | {"mx1.x.test": {"A": [A1, A2]}}
    async with a_direct_post(zones, {A1: SMALL, A2: second}) as direct:
        message = await direct.send("a@x.test", content=BIG)
        await direct.post.settled()
        row = direct.post.row(message)
        assert (row.status, row.code, row.suppress) == (status, code, False)


async def test_a_message_too_large_for_those_who_answer_waits_for_the_others() -> None:
    zones: Zones = mx(A1, A2) | {"mx2.x.test": SERVFAIL}
    async with a_direct_post(zones, {A1: SMALL}) as direct:
        message = await direct.send("a@x.test", content=BIG)
        await direct.post.settled()
        assert direct.post.row(message).status is Status.DEFERRED


async def test_nor_is_it_for_the_next_message_on_that_connection() -> None:
    gate = asyncio.Event()
    script: Script = {"MAIL": InTurn(Wait(gate, "250 ok"), "250 ok"), **UNKNOWN}
    async with a_direct_post(mx(A1, A2), {A2: script}, connections_per_destination=1) as direct:
        first = await direct.send("a@x.test")
        await direct.server(A2).until(lambda: direct.server(A2).connections == 1)
        second = await direct.send("b@x.test")
        await eventually(lambda: direct.post.leased() == 2)
        gate.set()
        await direct.post.settled()
        statuses = [direct.post.row(one).status for one in (first, second)]
        assert statuses == [Status.DEFERRED, Status.DEFERRED]


async def test_equal_hosts_outrank_nobody() -> None:
    """Each of them knows the domain's mailboxes."""
    zones: Zones = mx(A1, A2) | {"x.test": {"MX": ["10 mx1.x.test.", "10 mx2.x.test."]}}
    async with a_direct_post(zones, {A2: UNKNOWN}) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled()
        row = direct.post.row(message)
        assert (row.status, row.bounce_class) == (Status.BOUNCED, BounceClass.HARD)


async def test_an_idle_connection_to_a_backup_does_not_pass_over_the_best_host() -> None:
    best: Script = {"GREETING": InTurn("421 4.3.2 later", "220 mx1.x.test")}
    async with a_direct_post(mx(A1, A2), {A1: best, A2: UNKNOWN}) as direct:
        first = await direct.send("a@x.test")
        await direct.post.settled(first)
        direct.post.advance(LEFT_OUT)
        second = await direct.send("b@x.test")
        await direct.post.settled(second)
        assert direct.post.row(second).status is Status.SENT
        assert direct.post.row(second).remote_host == "mx1.x.test"


async def test_a_best_host_that_the_dns_does_not_tell_is_down_as_well() -> None:
    """A lookup that failed hides an address; one that shows there is none hides nothing."""
    for answer, status in ((SERVFAIL, Status.DEFERRED), ({"TXT": ["x"]}, Status.BOUNCED)):
        zones: Zones = {**mx(A1, A2), "mx1.x.test": answer}
        async with a_direct_post(zones, {A2: UNKNOWN}) as direct:
            first = await direct.send("a@x.test")
            await direct.post.settled(first)
            await direct.post.quiet()
            again = await direct.send("b@x.test")  # over the idle connection
            await direct.post.settled(again)
            found = [direct.post.row(one).status for one in (first, again)]
            assert found == [status, status]
            assert direct.server(A2).connections == 1


async def test_who_is_the_best_host_is_each_domains_own_affair() -> None:
    """Two domains with the same hosts in another order: a backup of one is the best of the other."""
    zones: Zones = mx(A1, A2) | {"y.test": {"MX": ["10 mx2.x.test.", "20 mx1.x.test."]}}
    async with a_direct_post(zones, {A1: FINE, A2: FINE}) as direct:
        await direct.send("a@x.test")
        await direct.server(A1).received(1)
        await direct.post.quiet()
        message = await direct.send("a@y.test")
        await direct.post.settled()
        assert direct.post.row(message).remote_host == "mx2.x.test"


# --- hosts that failed lately


OTHERS: Zones = mx(A1, A2) | {
    "y.test": {"MX": ["10 mx1.x.test.", "20 mx3.y.test."]},
    "mx3.y.test": {"A": [A3]},
}


async def test_a_dead_host_costs_one_connection_its_time_out_not_each() -> None:
    """F-34: whichever domain the next one is for; and it is asked again after a while."""
    async with a_direct_post(OTHERS, {A2: FINE, A3: FINE}) as direct:
        seen = []
        for address, wait in (("a@x.test", timedelta()), ("a@y.test", LEFT_OUT)):
            message = await direct.send(address)
            await direct.post.settled()
            seen.append(direct.post.kinds(message))
            direct.post.advance(wait)
        late = await direct.send("late@y.test")
        await direct.post.settled()
        assert seen == [["attempted", "sent"], ["sent"]]
        assert direct.post.kinds(late) == ["attempted", "sent"]


async def test_a_backup_refuses_for_good_in_vain_while_the_best_host_is_left_out() -> None:
    """S-17: nobody asked it in this attempt, but it is no less the better one."""
    async with a_direct_post(OTHERS, {A2: FINE, A3: UNKNOWN}) as direct:
        await direct.send("a@x.test")
        await direct.post.settled()
        message = await direct.send("a@y.test")
        await direct.post.settled()
        assert direct.post.kinds(message) == ["deferred"]
        assert direct.post.row(message).code == 550


async def test_a_host_that_is_left_out_is_asked_when_the_others_fail() -> None:
    best: Script = {"GREETING": InTurn("421 4.3.2 later", "220 mx1.x.test"), **UNKNOWN}
    async with a_direct_post(OTHERS, {A1: best, A2: FINE}) as direct:
        await direct.send("a@x.test")
        await direct.post.settled()
        message = await direct.send("a@y.test")
        await direct.post.settled()
        events = [(kind, detail["remote_ip"]) for kind, detail in direct.post.events(message)]
        assert events == [("attempted", A3), ("bounced", A1)]


async def test_a_host_that_let_somebody_in_is_forgotten_as_dead() -> None:
    best: Script = {"GREETING": InTurn("421 4.3.2 later", "220 mx1.x.test")}
    async with a_direct_post(mx(A1), {A1: best}) as direct:
        hop = direct.hop()
        address = (A1, direct.port)
        with pytest.raises(NoHost):
            await hop.connect()
        assert address in direct.parts.sites.dead_hosts
        await hop.give_back(await hop.connect())
        assert address not in direct.parts.sites.dead_hosts


async def test_one_that_turns_us_away_at_mail_is_left_out_as_well() -> None:
    scripts: dict[str, Script] = {A1: {"MAIL": "421 4.7.0 too busy"}, A2: FINE, A3: FINE}
    async with a_direct_post(OTHERS, scripts) as direct:
        await direct.send("a@x.test")
        await direct.post.settled()
        message = await direct.send("a@y.test")
        await direct.post.settled()
        assert direct.post.kinds(message) == ["sent"]
        assert direct.server(A1).connections == 1


# --- what the DNS says


PROOFS = [
    pytest.param(
        {"x.test": {"MX": ["0 ."]}}, "5.1.10", Category.BAD_DOMAIN, BounceClass.HARD, id="null-mx"
    ),
    pytest.param({}, "5.1.2", Category.BAD_DOMAIN, BounceClass.HARD, id="nxdomain"),
    pytest.param(
        mx("10.0.0.1", "169.254.169.254"),
        "5.4.4",
        Category.DNS_FAILURE,
        BounceClass.BLOCK,
        id="private",
    ),
    pytest.param(mx("0.0.0.0"), "5.4.4", Category.DNS_FAILURE, BounceClass.BLOCK, id="unspecified"),
    pytest.param(mx("224.0.0.1"), "5.4.4", Category.DNS_FAILURE, BounceClass.BLOCK, id="multicast"),
    pytest.param(
        {"x.test": {"MX": ["10 gone.x.test."]}},
        "5.4.4",
        Category.DNS_FAILURE,
        BounceClass.BLOCK,
        id="no-address",
    ),
    pytest.param(
        {"x.test": {"MX": ["10 relay.test."]}, "relay.test": {"A": [A1]}},
        "5.4.6",
        Category.ROUTING_LOOP,
        BounceClass.BLOCK,
        id="our-own-name",
    ),
]


@pytest.mark.parametrize(("zones", "status", "category", "bounce_class"), PROOFS)
async def test_what_the_dns_proves_bounces_every_recipient_at_once(
    zones: Zones, status: str, category: Category, bounce_class: BounceClass
) -> None:
    """S-22, S-24 to S-26: no connection, no second try; hard only where the domain takes no mail."""
    async with a_direct_post(zones, {A1: FINE}) as direct:
        messages = [await direct.send("a@x.test", "b@x.test") for _ in range(2)]
        await direct.post.settled()
        for message in messages:
            for number in (0, 1):
                row = direct.post.row(message, number)
                assert (row.status, row.bounce_class) == (Status.BOUNCED, bounce_class)
                assert row.category is category
                assert row.suppress is (bounce_class is BounceClass.HARD)
                [(_, detail)] = direct.post.events(message, number)
                assert detail["fault"] == "dns"
                assert detail["enhanced"] == status
        assert direct.server(A1).connections == 0
        assert direct.dns.count("x.test", "MX") == 1, "known from then on"


async def test_loopback_is_forbidden_like_other_private_addresses() -> None:
    async with a_direct_post(mx(A1), {A1: FINE}, allow_networks=()) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled()
        assert direct.post.row(message).status is Status.BOUNCED
        assert f"{A1} is loopback" in str(direct.post.row(message).reason)
        assert direct.server(A1).connections == 0


async def test_a_forbidden_address_is_skipped_where_there_are_others() -> None:
    hidden = ("64:ff9b::a00:1", "64:ff9b:1::a00:1", "2002:a00:1::1", "2001:0:c000:201::f5ff:fffe")
    for bad in ("10.0.0.1", "0.0.0.0", "224.0.0.1", *hidden):
        zones = mx(bad, A2)
        if ":" in bad:
            zones["mx1.x.test"] = {"AAAA": [bad]}
        async with a_direct_post(zones, {A2: FINE}) as direct:
            message = await direct.send("a@x.test")
            await direct.post.settled()
            assert direct.post.kinds(message) == ["sent"], bad


FAILURES = [
    pytest.param({"x.test": SERVFAIL}, id="servfail"),
    pytest.param({"x.test": DROP}, id="no-answer"),
    pytest.param({"x.test": {"MX": ["10 mx1.x.test."]}, "mx1.x.test": EMPTY}, id="host-empty"),
    pytest.param({"x.test": {"MX": ["10 mx1.x.test."]}, "mx1.x.test": SERVFAIL}, id="host"),
]


@pytest.mark.parametrize("zones", FAILURES)
async def test_a_failed_lookup_proves_nothing(zones: Zones) -> None:
    """A-64: while the resolver is down nothing bounces."""
    async with a_direct_post(zones, {}, dns_timeout=0.3) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled()
        row = direct.post.row(message)
        assert (row.status, row.category) == (Status.DEFERRED, Category.DNS_FAILURE)
        [(_, detail)] = direct.post.events(message)
        assert detail["fault"] == "dns"


async def test_a_slow_lookup_holds_up_no_other_domain() -> None:
    """A-62."""
    gate = asyncio.Event()
    zones: Zones = mx(A1) | {"slow.test": WaitForDns(gate, ["10 mx1.x.test."])}
    async with a_direct_post(zones, {A1: FINE}) as direct:
        slow = await direct.send("a@slow.test")
        await direct.dns.until(lambda: direct.dns.count("slow.test", "MX") > 0)
        other = await direct.send("a@x.test")
        await direct.post.settled(other)
        assert not direct.post.events(slow)
        gate.set()
        await direct.post.settled()
        assert direct.post.row(slow).status is Status.SENT


async def test_our_own_listener_among_the_hosts_ends_the_list() -> None:
    """S-22: what is as good as we are or worse would send it back to us."""
    zones = mx(A1, A2, A3)
    listening = frozenset({A2})
    async with a_direct_post(zones, {A3: FINE}, listening=listening) as direct:
        waits = await direct.send("a@x.test")
        await direct.post.settled()
        assert direct.post.row(waits).status is Status.DEFERRED
        assert direct.post.row(waits).remote_host == "mx1.x.test"
        assert direct.server(A3).connections == 0
    listening = frozenset({A1})
    async with a_direct_post(zones, {A2: FINE, A3: FINE}, listening=listening) as direct:
        loops = await direct.send("a@x.test")
        await direct.post.settled()
        row = direct.post.row(loops)
        assert (row.status, row.category) == (Status.BOUNCED, Category.ROUTING_LOOP)
        assert direct.server(A2).connections == 0


# --- connections


async def test_domains_with_the_same_hosts_share_their_connections() -> None:
    zones: Zones = mx(A1) | {"y.test": {"MX": ["5 mx1.x.test."]}}
    async with a_direct_post(zones, {A1: FINE}) as direct:
        for address in ("a@x.test", "a@y.test", "b@x.test"):
            message = await direct.send(address)
            await direct.post.settled(message)
            await direct.post.quiet()
        assert len(direct.server(A1).messages) == 3
        assert direct.server(A1).connections == 1


@pytest.mark.parametrize("connections", [1, 2])
async def test_never_more_connections_than_allowed_to_one_site(connections: int) -> None:
    """However many domains and however much mail; and nobody waits for ever."""
    gate = asyncio.Event()
    zones: Zones = mx(A1) | {"y.test": {"MX": ["5 mx1.x.test."]}}
    waits = [Wait(gate, "250 ok")] * connections
    script: Script = {"DOT": InTurn(*["250 ok"] * connections, *waits, "250 ok")}
    async with a_direct_post(
        zones, {A1: script}, connections_per_destination=connections
    ) as direct:
        messages = [
            await direct.send(f"{number}@{domain}")
            for number in range(15)
            for domain in ("x.test", "y.test")
        ]
        await direct.server(A1).received(2 * connections)
        await eventually(lambda: direct.post.leased() == 30 - connections)
        gate.set()
        await direct.post.settled()
        assert {direct.post.row(one).status for one in messages} == {Status.SENT}
        assert {direct.post.row(one).attempts for one in messages} == {1}
        assert direct.server(A1).most_open == connections


@pytest.mark.usefixtures("quick")
async def test_waiting_for_a_place_is_no_failure_of_the_host() -> None:
    gate = asyncio.Event()
    zones: Zones = mx(A1) | {"y.test": {"MX": ["5 mx1.x.test."]}}
    script: Script = {"DOT": InTurn(Wait(gate, "250 ok"), "250 ok")}
    async with a_direct_post(zones, {A1: script}, connections_per_destination=1) as direct:
        await direct.send("a@x.test")
        await direct.server(A1).received(1)
        waits = await direct.send("a@y.test")
        await eventually(lambda: direct.post.leased() == 2)
        await asyncio.sleep(0.2)  # twice the time to find a host
        assert not direct.post.events(waits)
        gate.set()
        await direct.post.settled()
        assert direct.post.kinds(waits) == ["sent"]


async def test_a_long_queue_for_one_domain_does_not_starve_another_of_the_site() -> None:
    zones: Zones = mx(A1) | {"y.test": {"MX": ["5 mx1.x.test."]}}
    gate = asyncio.Event()
    script: Script = {"DOT": InTurn(Wait(gate, "250 ok"), "250 ok")}
    async with a_direct_post(zones, {A1: script}, connections_per_destination=1) as direct:
        await direct.send("first@x.test")
        await direct.server(A1).received(1)
        for number in range(140):
            await direct.send(f"{number}@x.test")
        other = await direct.send("a@y.test")
        await eventually(lambda: direct.post.row(other).leased)
        gate.set()
        await direct.post.settled()
        rcpts = [message.rcpts[0] for message in direct.server(A1).messages]
        assert rcpts.index("TO:<a@y.test>") < len(rcpts) - 1


async def test_an_idle_connection_is_left_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mx_hop, "_IDLE_FOR", 0.05)
    async with a_direct_post(mx(A1), {A1: FINE}) as direct:
        await direct.send("a@x.test")
        await direct.post.settled()
        await eventually(lambda: not direct.server(A1).open)
        assert direct.server(A1).dialog[-1] == "QUIT"
        again = await direct.send("a@x.test")
        await direct.post.settled(again)
        assert direct.server(A1).connections == 2


async def test_idle_connections_are_left_at_a_stop() -> None:
    async with a_direct_post(mx(A1), {A1: FINE}) as direct:
        await direct.send("a@x.test")
        await direct.post.settled()
        await direct.post.quiet()
        server = direct.server(A1)
        assert server.open == 1
    assert server.dialog[-1] == "QUIT"


async def test_an_idle_connection_that_the_host_closed_is_replaced() -> None:
    script: Script = {"DOT": InTurn(("250 ok", CLOSE), "250 ok")}
    async with a_direct_post(mx(A1), {A1: script}) as direct:
        for _ in range(2):
            message = await direct.send("a@x.test")
            await direct.post.settled(message)
            await direct.post.quiet()
            assert direct.post.kinds(message) == ["sent"]
        assert direct.server(A1).connections == 2


async def test_a_connection_gone_stale_in_the_pool_is_replaced_uncounted() -> None:
    zones: Zones = mx(A1) | {"y.test": {"MX": ["5 mx1.x.test."]}}
    script: Script = {"MAIL": InTurn("250 ok", ("421 4.4.2 idle for too long", CLOSE), "250 ok")}
    async with a_direct_post(zones, {A1: script}, connections_per_destination=1) as direct:
        first = await direct.send("a@x.test")
        await direct.post.settled(first)
        await direct.post.quiet()
        second = await direct.send("a@y.test")
        await direct.post.settled(second)
        assert direct.post.kinds(second) == ["sent"]
        assert direct.post.row(second).attempts == 1
        assert direct.server(A1).connections == 2


async def test_a_place_is_free_again_whatever_happened() -> None:
    """Failed attempts leave nothing behind that a later one would have to wait for."""
    script: Script = {
        "GREETING": InTurn("421 4.3.2 later", "220 mx1.x.test"),
        "DATA": InTurn(CLOSE, "354 go"),
        "DOT": InTurn("451 4.3.0 later", "250 ok"),
    }
    async with a_direct_post(mx(A1), {A1: script}, connections_per_destination=1) as direct:
        hop = direct.hop()
        with pytest.raises(NoHost):
            await hop.connect()
        for _ in range(2):
            await direct.send("a@x.test")
            await direct.post.settled()
        async with asyncio.timeout(2):
            session = await hop.connect()
        await hop.give_back(session)


async def test_places_in_use_count_however_many_sites_there_are() -> None:
    async with asyncio.TaskGroup() as tasks:
        sites = Sites(1, tasks, clock=FakeClock(), connections=Connections(1))
        key = "mx.test"
        busy = sites.of(key)
        await busy.slots.acquire()
        for number in range(10_500):
            sites.of(f"mx{number}.test")
        assert sites.of(key) is busy
        assert len(sites._sites) < 100, "those that nobody uses are forgotten"


# --- many recipients


async def test_one_copy_for_all_recipients_of_a_domain() -> None:
    """S-19: and each has its own answer."""
    zones: Zones = mx(A1) | mx(A2, domain="y.test")
    script: Script = {"RCPT TO:<b@x.test>": "550 5.1.1 no such user"}
    async with a_direct_post(zones, {A1: script, A2: FINE}) as direct:
        message = await direct.send("a@x.test", "b@x.test", "c@X.test", "a@y.test", leased=True)
        await direct.post.settled()
        assert [one.rcpts for one in direct.server(A1).messages] == [
            ("TO:<a@x.test>", "TO:<c@X.test>")
        ]
        assert [one.rcpts for one in direct.server(A2).messages] == [("TO:<a@y.test>",)]
        kinds = [direct.post.kinds(message, number) for number in range(4)]
        assert kinds == [["sent"], ["bounced"], ["sent"], ["sent"]]


async def test_more_than_a_hundred_recipients_take_several_transactions() -> None:
    """S-41: a server need not take more at once."""
    async with a_direct_post(mx(A1), {A1: FINE}) as direct:
        message = await direct.send(*(f"u{number}@x.test" for number in range(250)), leased=True)
        await direct.post.settled()
        server: ScriptedServer = direct.server(A1)
        assert [len(one.rcpts) for one in server.messages] == [100, 100, 50]
        assert server.connections == 1
        assert {row.status for row in direct.post.rows()} == {Status.SENT}
        assert direct.post.kinds(message, 249) == ["sent"]


async def test_a_host_that_fails_is_not_asked_again_for_the_rest_of_the_message() -> None:
    """They go back uncounted: the destination is left alone."""
    async with a_direct_post(mx(A1), {A1: BUSY}) as direct:
        await direct.send(*(f"u{number}@x.test" for number in range(250)), leased=True)
        await eventually(lambda: any(row.attempts for row in direct.post.rows()))
        await direct.post.quiet()
        assert direct.server(A1).connections == 1
        attempts = sorted(row.attempts for row in direct.post.rows())
        assert attempts == [0] * 150 + [1] * 100
