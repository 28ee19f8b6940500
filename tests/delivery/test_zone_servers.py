"""Asking every name server of a zone: what `relayd dkim rotate` rests on."""

from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from relayd.mail.dns import DnsFailure, TextAnswer, Texts
from relayd.net.dns.zone_servers import ask_servers
from relayd.settings import DnsSettings
from tests.support.clock import FakeClock
from tests.support.dns_server import REFUSED, SERVFAIL, DnsServer, Zones, own_host
from tests.support.other_users import needs_root

pytestmark = needs_root  # name servers are asked on port 53

NAME = "s1._domainkey.news.a.test"
SEEN: Zones = {NAME: {"TXT": ['"v=DKIM1; " "p=abc"']}}


def world(more: Zones | None = None) -> Zones:
    """What the recursive name server says of the zone."""
    zones: Zones = {
        "a.test": {"NS": ["ns1.b.test.", "NS2.b.test."]},
        "ns1.b.test": {"A": [own_host(1)]},
        "ns2.b.test": {"A": [own_host(2)]},
    }
    return {**zones, NAME: {"TXT": ['"stale"']}, **(more or {})}


async def ask(known: Zones, *servers: Zones) -> list[tuple[str, TextAnswer]] | DnsFailure:
    async with AsyncExitStack() as stack:
        recursive = await stack.enter_async_context(DnsServer(known))
        for number, zones in enumerate(servers, 1):
            await stack.enter_async_context(DnsServer(zones, host=own_host(number), port=53))
        settings = DnsSettings(nameservers=(recursive.endpoint,), timeout=timedelta(seconds=1))
        found = await ask_servers(NAME, settings, FakeClock())
        return (
            found
            if isinstance(found, DnsFailure)
            else [(each.server, each.answer) for each in found]
        )


async def test_each_name_server_says_what_it_has() -> None:
    """Whatever is in caches; the zone is that of the nearest name above."""
    there, missing = Texts(texts=("v=DKIM1; p=abc",)), Texts(exists=False)
    assert await ask(world(), SEEN, {}) == [("ns1.b.test", there), ("ns2.b.test", missing)]


async def test_one_that_is_silent_has_nothing_to_show() -> None:
    found = await ask(world(), SEEN)
    assert not isinstance(found, DnsFailure)
    (_, first), (server, second) = found
    assert first == Texts(texts=("v=DKIM1; p=abc",))
    assert server == "ns2.b.test"
    assert isinstance(second, DnsFailure)


async def test_one_answer_of_its_addresses_is_enough() -> None:
    """One of them may be of a family that leads nowhere from here."""
    addresses = {"A": [own_host(9), own_host(1)]}
    known = world({"a.test": {"NS": ["ns1.b.test."]}, "ns1.b.test": addresses})
    assert await ask(known, SEEN) == [("ns1.b.test", Texts(texts=("v=DKIM1; p=abc",)))]


async def test_a_record_that_is_kept_in_another_zone() -> None:
    """The customer's name is a CNAME to one of the provider, whose name servers count."""
    kept = {"s1.keys.c.test": {"TXT": ['"p=abc"']}}
    known = world(
        {
            NAME: {"CNAME": ["s1.keys.c.test."]},
            "s1.keys.c.test": {"TXT": ['"stale"']},
            "c.test": {"NS": ["ns2.b.test."]},
        }
    )
    assert await ask(known, {}, kept) == [("ns2.b.test", Texts(texts=("p=abc",)))]


NOWHERE: dict[str, tuple[Zones, str]] = {
    "no name servers": ({}, "no zone of s1._domainkey.news.a.test has name servers"),
    "a zone that fails": ({"a.test": {"NS": SERVFAIL}}, "answers SERVFAIL to NS a.test"),
    "a name that fails": ({NAME: REFUSED}, f"answers REFUSED to CNAME {NAME}"),
}


@pytest.mark.parametrize(("known", "words"), NOWHERE.values(), ids=NOWHERE)
async def test_a_zone_that_cannot_be_found(known: Zones, words: str) -> None:
    found = await ask(known)
    assert isinstance(found, DnsFailure)
    assert words in found.reason


async def test_a_name_server_without_an_address() -> None:
    known = world({"a.test": {"NS": ["gone.b.test."]}})
    failure = DnsFailure(reason="the name server gone.b.test has no address")
    assert await ask(known) == [("gone.b.test", failure)]
