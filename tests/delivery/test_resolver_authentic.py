"""The AD bit of answers: a field of each, over CNAMEs and the cache (RFC 4035 §3.2.3, RFC 6840)."""

from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import pytest

from relayd.mail.dns import Addresses, ImplicitMx, MxHosts, Names, NoSuchDomain, NullMx, Texts
from relayd.net.dns.resolver import DnsResolver
from tests.support.clock import FakeClock
from tests.support.dns_server import (
    FORMERR,
    NODATA,
    NXDOMAIN,
    SERVFAIL,
    SOA,
    Action,
    Alone,
    Authentic,
    Behaviour,
    DnsServer,
    Negative,
    Zones,
)

MX_B = ["10 b.test."]
DENIED = Negative(f"test. SOA {SOA}", rcode=NXDOMAIN)


def a_resolver(server: DnsServer) -> DnsResolver:
    return DnsResolver(
        nameservers=[server.endpoint], timeout=timedelta(seconds=5), clock=FakeClock()
    )


@pytest.mark.parametrize("authentic", [True, False], ids=["AD", "plain"])
@pytest.mark.parametrize(
    ("action", "kind"),
    [
        pytest.param(MX_B, MxHosts, id="hosts"),
        pytest.param(["0 ."], NullMx, id="null"),
        pytest.param(NODATA, ImplicitMx, id="none"),
        pytest.param(DENIED, NoSuchDomain, id="no-domain"),
    ],
)
async def test_mail_hosts(action: Action, kind: type[Any], *, authentic: bool) -> None:
    """Also when the answer comes from the cache."""
    zones: Zones = {"a.test": {"MX": Authentic(action) if authentic else action}}
    async with DnsServer(zones) as server:
        resolver = a_resolver(server)
        for _ in range(2):
            answer = await resolver.mx("a.test")
            assert isinstance(answer, kind)
            assert answer.authenticated is authentic
        assert server.count("a.test", "MX") == 1


@pytest.mark.parametrize(
    ("alias", "target", "expected"),
    [
        pytest.param(Authentic(Alone("b.test.")), Authentic(MX_B), True, id="both"),
        pytest.param(Alone("b.test."), Authentic(MX_B), False, id="not-the-alias"),
        pytest.param(Authentic(Alone("b.test.")), MX_B, False, id="not-the-target"),
        pytest.param(Authentic(Alone("b.test.")), Authentic(NODATA), True, id="both-without"),
        pytest.param(Alone("b.test."), Authentic(NODATA), False, id="alias-without"),
    ],
)
async def test_every_link_counts(alias: Action, target: Action, *, expected: bool) -> None:
    """A CNAME that the name server does not follow is asked about again."""
    async with DnsServer({"a.test": {"MX": alias}, "b.test": {"MX": target}}) as server:
        answer = await a_resolver(server).mx("a.test")
    assert isinstance(answer, MxHosts | ImplicitMx)
    assert answer.authenticated is expected


@pytest.mark.parametrize(
    ("four", "six", "expected"),
    [
        pytest.param(Authentic(["192.0.2.1"]), Authentic(["2001:db8::1"]), True, id="both"),
        pytest.param(Authentic(["192.0.2.1"]), Authentic(NODATA), True, id="one-without"),
        pytest.param(Authentic(["192.0.2.1"]), ["2001:db8::1"], False, id="only-A"),
        pytest.param(["192.0.2.1"], Authentic(["2001:db8::1"]), False, id="only-AAAA"),
        pytest.param(Authentic(["192.0.2.1"]), SERVFAIL, False, id="failure"),
    ],
)
async def test_addresses_need_both_families(four: Action, six: Action, *, expected: bool) -> None:
    async with DnsServer({"b.test": {"A": four, "AAAA": six}}) as server:
        assert (await a_resolver(server).addresses("b.test")).authenticated is expected


@pytest.mark.parametrize("authentic", [True, False], ids=["AD", "plain"])
async def test_texts_names_and_marks(*, authentic: bool) -> None:
    def told(action: Action) -> Action:
        return Authentic(action) if authentic else action

    ip = ip_address("192.0.2.1")
    zones: Zones = {
        "a.test": {"TXT": told(['"v=x"']), "A": told(["127.0.0.2"])},
        "none.test": {"TXT": told(NODATA)},
        ip.reverse_pointer: {"PTR": told(["b.test."])},
    }
    async with DnsServer(zones) as server:
        resolver = a_resolver(server)
        texts = [await resolver.texts(name) for name in ("a.test", "none.test")]
        names, marks = await resolver.names(ip), await resolver.marks("a.test")
    assert texts == [
        Texts(texts=("v=x",), authenticated=authentic),
        Texts(authenticated=authentic),
    ]
    assert names == Names(names=("b.test",), authenticated=authentic)
    assert marks == Addresses(ips=(ip_address("127.0.0.2"),), authenticated=authentic)


@pytest.mark.parametrize("to_edns", [FORMERR])
async def test_a_name_server_without_edns_is_asked_for_it_too(to_edns: Behaviour) -> None:
    zones: Zones = {"a.test": {"MX": Authentic(MX_B)}}
    async with DnsServer(zones, to_edns=to_edns) as server:
        answer = await a_resolver(server).mx("a.test")
    assert isinstance(answer, MxHosts)
    assert answer.authenticated
