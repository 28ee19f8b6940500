"""Direct mode: which address of ours a server sees."""

import asyncio
import errno
import socket
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from relayd.deliverer.nexthop.hosts import ANYBODY, NoHost
from relayd.deliverer.nexthop.way import candidates
from relayd.mail.ids import MessageId
from relayd.mail.words import Category, EventKind
from relayd.net.local import has_address
from relayd.policy.delivery.mx import Candidates
from relayd.policy.delivery.route import RouteRules
from relayd.policy.delivery.source import Source
from relayd.policy.pace import Saw, Seen, SiteMode
from relayd.ports.sites import Noted, SiteKey
from relayd.ports.view import Status
from relayd.settings import IpFamily
from relayd.store.memory.queue import MemoryStore
from tests.support import dns_server
from tests.support.clock import FakeClock
from tests.support.direct import A1, A2, DIRECT, FINE, Script, a_direct_post, mx
from tests.support.dns_server import SERVFAIL, Zones
from tests.support.post import eventually
from tests.support.scripted_server import InTurn, Wait

SOURCES = ("127.0.0.31", "127.0.0.32", "127.0.0.33", "127.0.0.34")
DOMAINS = [f"d{number}.test" for number in range(6)]
AUTO = RouteRules(use_remote_smtp=True, falls_back=True)
AWAY = "203.0.113.9"  # not of this machine
LATER = timedelta(minutes=16)  # the one retry of a soft bounce is due


async def test_it_sends_from_the_addresses_it_was_told() -> None:
    sources = ("2001:db8::1", "127.0.0.77")
    async with a_direct_post(mx(A1), {A1: FINE}, source_addresses=sources) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled()
        [(_, detail)] = direct.post.events(message)
        assert detail["local_ip"] == "127.0.0.77"


async def test_the_retry_comes_from_the_same_address_however_the_dns_answers() -> None:
    """RFC 6647: a server that greylists knows a mail by the address it comes from."""
    zones: dict[str, Any] = {}
    for domain in DOMAINS:
        hosts = [f"10 {name}.{domain}." for name in ("b", "a", "c")]
        zones |= {
            domain: {"MX": dns_server.InTurn(hosts, hosts[::-1])},
            f"a.{domain}": {"A": dns_server.InTurn([A1], SERVFAIL)},
            f"b.{domain}": {"A": [A1]},
            f"c.{domain}": {"A": dns_server.InTurn([A2], [A1])},
        }
    grey: Script = {"RCPT": "450 4.2.0 greylisted"}
    async with a_direct_post(zones, {A1: grey, A2: grey}, source_addresses=SOURCES) as direct:
        messages = [await direct.send(f"a@{domain}") for domain in DOMAINS]
        await direct.post.settled()
        await direct.post.quiet()
        direct.post.advance(LATER)
        await eventually(
            lambda: {direct.post.row(one).status for one in messages} == {Status.BOUNCED}
        )
        seen = [
            {detail["local_ip"] for _, detail in direct.post.events(message)}
            for message in messages
        ]
        assert {len(each) for each in seen} == {1}
        assert len(set.union(*seen)) > 1, "the sites share the sources"
        assert {direct.dns.count(domain, "MX") for domain in DOMAINS} == {2}


async def test_domains_of_one_site_see_one_source() -> None:
    zones: Zones = {
        **{domain: {"MX": ["10 a.mx.test.", "10 b.mx.test."]} for domain in DOMAINS},
        "a.mx.test": {"A": [A1]},
        "b.mx.test": {"A": [A2]},
    }
    async with a_direct_post(zones, {}, source_addresses=SOURCES) as direct:
        sources = set()
        for domain in DOMAINS:
            chosen = await candidates(domain, ANYBODY, direct.parts)
            assert isinstance(chosen, Candidates)
            sources |= {each.source_ip for each in chosen.candidates}
        assert len(sources) == 1


POOLS = (
    Source(address=SOURCES[0], helo="mx1.relay.test"),
    Source(address=SOURCES[1], helo="news.relay.test", senders=("news.test",)),
)


async def test_senders_have_sources_of_their_own_with_a_name_each() -> None:
    """Also where a connection of the others is open, or has just been used for them."""
    gate = asyncio.Event()
    script: Script = {"DOT": InTurn(Wait(gate, "250 ok"), "250 ok")}
    async with a_direct_post(mx(A1), {A1: script}, sources=POOLS) as direct:
        first = await direct.send("a@x.test")
        await direct.server(A1).received(1)
        rest = [
            await direct.send("a@x.test", sender=sender)
            for sender in ("a@news.test", "b@news.test", "a@other.test", "c@news.test")
        ]
        gate.set()
        await direct.post.settled()
        await direct.post.quiet()
        seen = [
            (detail["local_ip"], detail["helo"])
            for message in (first, *rest)
            for _, detail in direct.post.events(message)
        ]
        news, others = (SOURCES[1], "news.relay.test"), (SOURCES[0], "mx1.relay.test")
        assert seen == [others, news, news, others, news]
        ehlo = {line for line in direct.server(A1).dialog if line.startswith("EHLO")}
        assert ehlo == {"EHLO mx1.relay.test", "EHLO news.relay.test"}


async def test_a_pool_is_never_widened() -> None:
    """Mail of these senders waits rather than leaves by an address of the others, who go on."""
    sources = (
        Source(address="127.0.0.31"),
        Source(address="2001:db8::1", senders=("family.test",)),
        Source(address=AWAY, senders=("lost.test",)),
    )
    async with a_direct_post(mx(A1), {A1: FINE}, sources=sources) as direct:
        waits = [
            await direct.send("a@x.test", sender=sender)
            for sender in ("a@family.test", "a@lost.test")
        ]
        other = await direct.send("a@x.test")
        await direct.post.settled()
        assert {direct.post.row(one).status for one in waits} == {Status.DEFERRED}
        assert direct.post.row(other).status is Status.SENT
        assert direct.server(A1).connections == 1


async def test_a_source_that_this_machine_lost_rests() -> None:
    """The others stand in for it; when it is back, all is as it was."""
    async with a_direct_post(mx(A1), {A1: FINE}, source_addresses=SOURCES) as direct:

        async def source(*lost: str | None) -> str | None:
            parts = replace(direct.parts, may_send_from=lambda ip: str(ip) not in lost)
            chosen = await candidates("x.test", ANYBODY, parts)
            assert isinstance(chosen, Candidates)
            return chosen.candidates[0].source_ip

        first = await source()
        second = await source(first)
        assert second != first
        assert await source(first, second) not in {first, second}
        assert await source(*SOURCES) == first, "none is better than another: never the system's"
        assert await source() == first


async def test_mail_goes_by_what_this_machine_has() -> None:
    sources = (AWAY, "127.0.0.31")
    domains = [f"d{number}.test" for number in range(6)]
    zones: dict[str, Any] = {}
    for domain in domains:
        zones |= mx(A1, domain=domain)
    async with a_direct_post(zones, {A1: FINE}, source_addresses=sources) as direct:
        messages = [await direct.send(f"a@{domain}") for domain in domains]
        await direct.post.settled()
        assert {direct.post.row(one).status for one in messages} == {Status.SENT}
        details = [detail for one in messages for _, detail in direct.post.events(one)]
        assert {detail["local_ip"] for detail in details} == {"127.0.0.31"}


async def test_without_any_source_nothing_leaves_by_another_address() -> None:
    async with a_direct_post(mx(A1), {A1: FINE}, source_addresses=(AWAY,)) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled()
        assert direct.post.row(message).status is Status.DEFERRED
        [(_, detail)] = direct.post.events(message)
        assert detail["fault"] == "local"
        assert direct.server(A1).connections == 0


async def test_too_few_descriptors_say_nothing_against_a_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_socket(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "socket", no_socket)
    assert has_address(ip_address("127.0.0.31"))


# --- families

BOTH: Zones = {
    "x.test": {"MX": ["10 mx.x.test."]},
    "mx.x.test": {"A": [A1], "AAAA": ["2600::1"]},
}
IPV6_ONLY: Zones = {"x.test": {"MX": ["10 mx.x.test."]}, "mx.x.test": {"AAAA": ["2600::1"]}}
IPV4 = frozenset({IpFamily.IPV4})


async def test_a_family_that_is_left_out_is_not_tried() -> None:
    for settings in ({"families": IPV4}, {"source_addresses": ("127.0.0.31",)}):
        async with a_direct_post(BOTH, {}, **settings) as direct:
            message = await direct.send("a@x.test")
            await direct.post.settled()
            tried = [detail["remote_ip"] for _, detail in direct.post.events(message)]
            assert tried == [A1], "refused, and there is no other"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        pytest.param({"families": IPV4}, "direct.families", id="families"),
        pytest.param(
            {"source_addresses": ("127.0.0.31",)}, "direct.source_addresses", id="sources"
        ),
    ],
)
async def test_mail_that_only_the_other_family_reaches_waits(
    settings: dict[str, Any], named: str
) -> None:
    """Our own settings are in the way: no reason to bounce, until it is too old."""
    async with a_direct_post(IPV6_ONLY, {}, **settings) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled()
        row = direct.post.row(message)
        assert (row.status, row.category) == (Status.DEFERRED, Category.CONNECTION_FAILURE)
        assert named in str(row.reason)
        [(_, detail)] = direct.post.events(message)
        assert detail["fault"] == "local"


async def test_a_mapped_address_is_of_the_family_that_it_leads_to() -> None:
    zones: Zones = {"x.test": {"AAAA": [f"::ffff:{A1}"]}}
    async with a_direct_post(zones, {A1: FINE}, families=IPV4) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled()
        assert direct.post.row(message).status is Status.SENT


LISTED = "550 5.7.1 Service unavailable; client host [192.0.2.1] blocked using zen.spamhaus.org"


@pytest.mark.parametrize("routes", [DIRECT, AUTO], ids=["alone", "before-the-fall-back"])
async def test_what_is_refused_for_our_address_comes_from_another_one(routes: RouteRules) -> None:
    script: Script = {"RCPT": InTurn(LISTED, "250 ok")}
    async with a_direct_post(
        mx(A1), {A1: script}, source_addresses=SOURCES[:2], routes=routes
    ) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled(message)
        (first, refused), (last, taken) = direct.post.events(message)
        assert (first, last) == (EventKind.ATTEMPTED, EventKind.SENT)
        assert (refused["code"], refused["reason"]) == (550, "moved to another direct.source")
        assert {refused["local_ip"], taken["local_ip"]} == set(SOURCES[:2])
        assert direct.post.row(message).attempts == 1, "what was refused does not count"
        blocked = direct.post.view.sites.sites()
        assert [(each.key.source, each.state.mode) for each in blocked] == [
            (refused["local_ip"], SiteMode.BLOCKED)
        ]
        again = await direct.send("b@x.test")
        await direct.post.settled(again)
        [(_, then)] = direct.post.events(again)
        assert then["local_ip"] == taken["local_ip"], "the site sees that one from now on"


async def test_who_is_refused_from_all_addresses_has_no_other_way() -> None:
    async with a_direct_post(
        mx(A1), {A1: {"RCPT": LISTED}}, source_addresses=SOURCES[:2]
    ) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled(message)
        assert direct.post.row(message).status is Status.BOUNCED
        seen = [detail["local_ip"] for _, detail in direct.post.events(message)]
        assert sorted(map(str, seen)) == sorted(SOURCES[:2])


async def test_the_address_of_another_pool_is_none_to_go_on_from() -> None:
    async with a_direct_post(mx(A1), {A1: {"RCPT": LISTED}}, sources=POOLS) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled(message)
        assert direct.post.row(message).status is Status.BOUNCED
        assert direct.server(A1).connections == 1


async def test_an_address_that_is_refused_at_the_greeting_is_not_used_again() -> None:
    script: Script = {"GREETING": InTurn(LISTED.replace("550", "554"), "220 mx.test")}
    async with a_direct_post(mx(A1), {A1: script}, source_addresses=SOURCES[:2]) as direct:
        message = await direct.send("a@x.test")
        await eventually(lambda: direct.post.events(message))
        [(_, refused)] = direct.post.events(message)
        [blocked] = direct.post.view.sites.sites()
        assert blocked.state.mode is SiteMode.BLOCKED
        assert blocked.key.source == refused["local_ip"]
        again = await direct.send("b@x.test")
        await direct.post.paused()  # the pause counts from now, and not from later
        await direct.post.quiet()
        direct.post.advance(LATER)
        await eventually(lambda: direct.post.row(again).status is Status.SENT)
        [*_, (_, taken)] = direct.post.events(again)
        assert taken["local_ip"] in set(SOURCES[:2]) - {refused["local_ip"]}


async def test_two_messages_that_are_refused_at_the_greeting_are_a_block() -> None:
    async with a_direct_post(mx(A1), {A1: {"GREETING": LISTED.replace("550", "554")}}) as direct:
        hop = direct.hop()
        for message in (MessageId(1), MessageId(1), MessageId(2)):
            assert not [each for each in direct.post.view.sites.sites() if each.state.until]
            with pytest.raises(NoHost):
                await hop.connect((), ANYBODY, message)
        [site] = direct.post.view.sites.sites()
        assert site.state.mode is SiteMode.BLOCKED


DUAL: Zones = {
    "x.test": {"MX": ["10 mx6.x.test.", "20 mx4.x.test."]},
    "mx6.x.test": {"AAAA": ["::1"]},
    "mx4.x.test": {"A": [A1]},
}


async def test_what_is_refused_is_the_address_that_the_host_saw() -> None:
    """The first choice was IPv6, where nobody answers: that address of ours is not to blame."""
    networks = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    dual: dict[str, Any] = {
        "source_addresses": ("::1", *SOURCES[:2]),
        "allow_networks": networks,
    }
    script: Script = {"RCPT": InTurn(LISTED, "250 ok")}
    async with a_direct_post(DUAL, {A1: script}, **dual) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled(message)
        first, refused = [detail["local_ip"] for _, detail in direct.post.events(message)]
        assert first == "::1"
        [blocked] = direct.post.view.sites.sites()
        assert (blocked.key.source, blocked.state.mode) == (refused, SiteMode.BLOCKED)
        await direct.post.quiet()
        direct.post.advance(LATER)
        await eventually(lambda: direct.post.row(message).status is Status.SENT)
        [*_, (_, taken)] = direct.post.events(message)
        assert taken["local_ip"] in set(SOURCES[:2]) - {refused}


async def test_mail_that_is_taken_is_on_record_before_the_site_is() -> None:
    """Only what is refused waits for that: it is tried from another address at once."""
    store = MemoryStore(FakeClock())
    async with a_direct_post(
        mx(A1), {A1: FINE}, source_addresses=SOURCES[:2], store=store
    ) as direct:
        hop = direct.hop()
        session = await hop.connect()
        await hop.give_back(session)
        key = SiteKey(session.site, session.connection.peer.local_ip)
        await store.sites.note_site(key, Seen(saw=Saw.BLOCKED, message=1))
        await direct.news.refresh(at_once=True)
        assert direct.paces.state_of(key).noted_at
        statuses: list[Status] = []
        note = direct.news.states.note_site

        async def note_site(key: SiteKey, seen: Seen) -> Noted:
            statuses.append(direct.post.row(message).status)
            return await note(key, seen)

        direct.news.states.note_site = note_site  # type: ignore[method-assign]
        message = await direct.send("a@x.test")
        await eventually(lambda: statuses)
        assert statuses == [Status.SENT]
