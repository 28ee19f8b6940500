"""The AD bit of answers: a field of each, over CNAMEs and the cache (RFC 4035 §3.2.3, RFC 6840)."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import pytest

from relayd.mail.dns import (
    Addresses,
    DnsFailure,
    ImplicitMx,
    MxHosts,
    Names,
    NoSuchDomain,
    NullMx,
    Texts,
    TlsaAnswer,
    TlsaRecords,
)
from relayd.net.dns.resolver import DnsResolver
from relayd.settings import HostPort
from tests.support.clock import FakeClock
from tests.support.dns_server import (
    DROP,
    FORMERR,
    NODATA,
    NXDOMAIN,
    SERVFAIL,
    SOA,
    Action,
    Alone,
    Authentic,
    Behaviour,
    Cut,
    DnsServer,
    Negative,
    Zones,
)

MX_B = ["10 b.test."]
DENIED = Negative(f"test. SOA {SOA}", rcode=NXDOMAIN)


ELSEWHERE = "0.0.0.0"  # leads to the name server of the test, and is no loopback address


def a_resolver(server: DnsServer) -> DnsResolver:
    return DnsResolver(
        nameservers=[server.endpoint], timeout=timedelta(seconds=5), clock=FakeClock()
    )


def a_remote_resolver(server: DnsServer, trusted: Sequence[str] = ()) -> DnsResolver:
    return DnsResolver(
        nameservers=[HostPort(host=ELSEWHERE, port=server.endpoint.port)],
        timeout=timedelta(seconds=5),
        clock=FakeClock(),
        trusted=trusted,
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
    if isinstance(answer, MxHosts):
        assert answer.alias_of == "b.test"
    assert answer.authenticated is expected


@pytest.mark.parametrize(
    ("four", "six", "expected"),
    [
        pytest.param(Authentic(["192.0.2.1"]), Authentic(["2001:db8::1"]), True, id="both"),
        pytest.param(Authentic(["192.0.2.1"]), Authentic(NODATA), True, id="one-without"),
        pytest.param(Authentic(["192.0.2.1"]), ["2001:db8::1"], False, id="only-A"),
        pytest.param(["192.0.2.1"], Authentic(["2001:db8::1"]), False, id="only-AAAA"),
        pytest.param(Authentic(["192.0.2.1"]), SERVFAIL, True, id="one-failed"),
        pytest.param(SERVFAIL, SERVFAIL, False, id="both-failed"),
    ],
)
async def test_addresses_need_both_families(four: Action, six: Action, *, expected: bool) -> None:
    """What failed says nothing: else who spoils one of two lookups would switch off DANE."""
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


TLSA = ["3 1 1 " + "ab" * 32, "2 0 0 00"]


@pytest.mark.parametrize(
    ("trusted", "expected"),
    [
        pytest.param([], False, id="nobody"),
        pytest.param(["192.0.2.53"], False, id="another"),
        pytest.param([ELSEWHERE], True, id="this-one"),
    ],
)
@pytest.mark.parametrize("cut", [False, True], ids=["udp", "tcp"])
async def test_a_name_server_elsewhere_has_to_be_trusted(
    trusted: Sequence[str], *, expected: bool, cut: bool
) -> None:
    """The AD bit may have been set on the way (RFC 6840 §5.8)."""
    zones: Zones = {"a.test": {"MX": _cut(MX_B, cut=cut), "TLSA": _cut(TLSA, cut=cut)}}
    async with DnsServer(zones) as server:
        resolver = a_remote_resolver(server, trusted)
        mx, tlsa = await resolver.mx("a.test"), await resolver.tlsa("a.test")
        assert bool(server.by_tcp) is cut
    assert isinstance(mx, MxHosts)
    assert isinstance(tlsa, TlsaRecords)
    assert mx.authenticated is tlsa.authenticated is resolver.is_trusted is expected


def _cut(records: Sequence[str], *, cut: bool) -> Action:
    return Cut(Authentic(records)) if cut else Authentic(records)


async def test_only_what_a_trusted_name_server_said_counts() -> None:
    """One of two is trusted, and the other answered."""
    zones: Zones = {"a.test": {"MX": Authentic(MX_B)}}
    sick: Zones = {"a.test": SERVFAIL}
    async with DnsServer(sick) as near, DnsServer(zones) as far:
        resolver = DnsResolver(
            nameservers=[near.endpoint, HostPort(host=ELSEWHERE, port=far.endpoint.port)],
            timeout=timedelta(seconds=5),
            clock=FakeClock(),
        )
        answer = await resolver.mx("a.test")
    assert resolver.is_trusted
    assert isinstance(answer, MxHosts)
    assert not answer.authenticated


async def test_silence_puts_no_other_before_a_trusted_name_server() -> None:
    """Else mail to a domain whose name servers are silent would switch off DANE of all others for a minute."""
    zones: Zones = {name: {"MX": Authentic(MX_B)} for name in ("silent.test", "a.test")}
    async with DnsServer({**zones, "silent.test": DROP}) as near, DnsServer(zones) as far:
        resolver = DnsResolver(
            nameservers=[near.endpoint, HostPort(host=ELSEWHERE, port=far.endpoint.port)],
            timeout=timedelta(seconds=2),
            clock=FakeClock(),
        )
        waited, answer = await resolver.mx("silent.test"), await resolver.mx("a.test")
    assert isinstance(waited, MxHosts)
    assert isinstance(answer, MxHosts)
    assert answer.authenticated


@pytest.mark.parametrize(
    ("action", "answer"),
    [
        pytest.param(
            Authentic(TLSA),
            TlsaRecords(records=((3, 1, 1, b"\xab" * 32), (2, 0, 0, b"\0")), authenticated=True),
            id="records",
        ),
        pytest.param(Authentic(NODATA), TlsaRecords(authenticated=True), id="proven-absent"),
        pytest.param(NODATA, TlsaRecords(), id="absent"),
        pytest.param(
            SERVFAIL,
            DnsFailure(reason="127.0.0.1 answers SERVFAIL to TLSA _25._tcp.a.test"),
            id="bogus",
        ),
    ],
)
async def test_tlsa_records(action: Action, answer: TlsaAnswer) -> None:
    async with DnsServer({"_25._tcp.a.test": {"TLSA": action}}) as server:
        found = await a_resolver(server).tlsa("_25._tcp.A.test")
    if isinstance(found, TlsaRecords):  # a name server may turn records round
        found = replace(found, records=tuple(sorted(found.records, reverse=True)))
    assert found == answer


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        pytest.param(Authentic(["b.test."]), True, id="proven"),
        pytest.param(["b.test."], False, id="not-proven"),
        pytest.param(Authentic(NODATA), False, id="no-alias"),
        pytest.param(SERVFAIL, False, id="failure"),
    ],
)
async def test_an_alias_may_be_secure_though_its_target_is_not(
    action: Action, *, expected: bool
) -> None:
    """RFC 7672 §2.2.2."""
    zones: Zones = {"a.test": {"CNAME": action, "A": ["192.0.2.1"], "AAAA": NODATA}}
    async with DnsServer(zones) as server:
        resolver = a_resolver(server)
        assert not (await resolver.addresses("a.test")).authenticated
        assert await resolver.alias_is_secure("a.test") is expected
