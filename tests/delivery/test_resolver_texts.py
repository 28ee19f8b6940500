"""What `relayd doctor` asks the DNS: texts, names of addresses, and the marks of blocklists."""

from datetime import timedelta
from ipaddress import ip_address

import pytest

from relayd.mail.dns import Addresses, DnsFailure, NameAnswer, Names, TextAnswer, Texts
from relayd.net.dns.resolver import DnsResolver
from tests.support.clock import FakeClock
from tests.support.dns_server import EMPTY, SERVFAIL, DnsServer, Zones

ZONES: Zones = {
    "a.test": {"TXT": ['"v=spf1 ip4:192.0.2.1" " -all"', '"other"']},
    "long.test": {"TXT": [" ".join(['"' + "x" * 250 + '"'] * 3)]},
    "odd.test": {"TXT": [r'"a \"quoted\" word, a \\ and \195\164" "\027[31mred"']},
    "tab.test": {"TXT": [r'"a\009b"']},
    "bare.test": {"A": ["192.0.2.1"]},
    "many.test": {"TXT": [f'"number {number}"' for number in range(60)]},
    "sick.test": SERVFAIL,
    "vague.test": {"TXT": EMPTY},
    "1.2.0.192.in-addr.arpa": {"PTR": ["Relay.A.test.", "other.test."]},
    "9.2.0.192.in-addr.arpa": SERVFAIL,
    "1" + ".0" * 23 + ".8.b.d.0.1.0.0.2.ip6.arpa": {"PTR": ["six.a.test."]},
    "2.0.0.127.list.test": {"A": ["127.0.0.2"], "AAAA": SERVFAIL},
}

TEXTS = {
    "tabs are blanks": ("tab.test", Texts(texts=("a b",))),
    "strings of a record are one": (
        "a.test",
        Texts(texts=("v=spf1 ip4:192.0.2.1 -all", "other")),
    ),
    "longer than a string": ("long.test", Texts(texts=("x" * 750,))),
    "escapes are read, controls are marked": (
        "odd.test",
        Texts(texts=('a "quoted" word, a \\ and ä\ufffd[31mred',)),
    ),
    "other records": ("bare.test", Texts()),
    "no such name": ("nowhere.test", Texts(exists=False)),
    "not a name": ("a b.test", Texts(exists=False)),
    "more than are looked at": (
        "many.test",
        DnsFailure(reason="more records for TXT many.test than are looked at"),
    ),
    "a failure": ("sick.test", DnsFailure(reason="127.0.0.1 answers SERVFAIL to TXT sick.test")),
    "no proof": (
        "vague.test",
        DnsFailure(reason="an empty answer to TXT vague.test that proves nothing", is_empty=True),
    ),
}


def a_resolver(server: DnsServer) -> DnsResolver:
    return DnsResolver(
        nameservers=[server.endpoint], timeout=timedelta(seconds=5), clock=FakeClock()
    )


@pytest.mark.parametrize(("name", "answer"), TEXTS.values(), ids=TEXTS)
async def test_texts(name: str, answer: TextAnswer) -> None:
    async with DnsServer(ZONES) as server:
        found = await a_resolver(server).texts(name)
    if isinstance(found, Texts) and isinstance(answer, Texts):
        found = Texts(texts=tuple(sorted(found.texts)), exists=found.exists)
        answer = Texts(texts=tuple(sorted(answer.texts)), exists=answer.exists)
    assert found == answer


NAMES = {
    "several": ("192.0.2.1", Names(names=("other.test", "relay.a.test"))),
    "IPv6": ("2001:db8::1", Names(names=("six.a.test",))),
    "none": ("192.0.2.7", Names()),
    "a failure": (
        "192.0.2.9",
        DnsFailure(reason="127.0.0.1 answers SERVFAIL to PTR 9.2.0.192.in-addr.arpa"),
    ),
}


@pytest.mark.parametrize(("ip", "answer"), NAMES.values(), ids=NAMES)
async def test_names(ip: str, answer: NameAnswer) -> None:
    async with DnsServer(ZONES) as server:
        found = await a_resolver(server).names(ip_address(ip))
    assert (Names(names=tuple(sorted(found.names))) if isinstance(found, Names) else found) == (
        answer
    )


async def test_marks_are_asked_for_once_and_by_ipv4_only() -> None:
    async with DnsServer(ZONES) as server:
        resolver = a_resolver(server)
        marked = await resolver.marks("2.0.0.127.list.test")
        assert marked == await resolver.marks("2.0.0.127.list.test")
        assert await resolver.marks("1.0.0.127.list.test") == Addresses()
        failed = await resolver.marks("sick.test")
        assert server.queries.total() == 3
    assert marked == Addresses(ips=(ip_address("127.0.0.2"),))
    assert (failed.ips, len(failed.failures)) == ((), 1)
