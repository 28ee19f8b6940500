"""Where a stranger's DNS sends a relay: into its own networks by MX, in every spelling of an address, by aliases, and by answers that change.

A server listens at the forbidden address. It gets no connection, whatever the zone says; the mail bounces or waits. The addresses
themselves are `unit/policy/delivery/test_address_filter.py`'s, those of webhooks `console/test_hooks_dial.py`'s, of policies and
reports `unit/net/test_sts_fetch.py`'s and `unit/net/test_report_post.py`'s.
"""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest

from relayd.mail.dns import Addresses
from relayd.net.dns.resolver import DnsResolver
from relayd.ports.view import Status
from relayd.settings import HostPort
from tests.support.clock import FakeClock
from tests.support.direct import A1, A2, FINE, a_direct_post
from tests.support.dns_server import InTurn, Ttl, Zones

INSIDE = "127.0.0.11"
SPELLINGS = [
    INSIDE,
    f"{INSIDE}.",
    "2130706443",  # 127.0.0.11 as one number, as octal, hexadecimal, and with zeros left out
    "017700000013",
    "0x7f00000b",
    "0x7f.0.0.0xb",
    "0177.0.0.013",
    "127.11",
    "127.0.11",
    "localhost",
    "localhost.localdomain",
    "ip6-localhost",
    "11.0.0.127.in-addr.arpa",
    f"{INSIDE}.nip.test",
    "%6c%6f%63alhost",
]
FORMS = [
    {"A": [INSIDE]},
    {"AAAA": [f"::ffff:{INSIDE}"]},  # mapped, compatible, translated
    {"AAAA": [f"::{INSIDE}"]},
    {"AAAA": [f"::ffff:0:{INSIDE}"]},
    {"AAAA": [f"64:ff9b::{INSIDE}"]},  # NAT64, of all and of one network
    {"AAAA": [f"64:ff9b:1::{INSIDE}"]},
    {"AAAA": ["2002:7f00:b::1"]},  # 6to4
    {"AAAA": ["2001:0:7f00:b::1"]},  # Teredo: its server, and its client
    {"AAAA": ["2001:0:c000:201::80ff:fff4"]},
    {"AAAA": [f"fe80::5efe:{INSIDE}"]},  # ISATAP
    {"AAAA": ["::1"]},
    {"A": ["0.0.0.0"]},
    {"A": [INSIDE], "AAAA": ["2001:db8::1"]},
]


async def _sent_to(zones: Zones, address: str = "a@x.test") -> Status:
    """Send a mail; the server inside has no connection. Return what became of the mail."""
    async with a_direct_post(zones, {INSIDE: FINE}, allow_networks=(), dns_timeout=1) as direct:
        message = await direct.send(address)
        await direct.post.settled()
        assert direct.server(INSIDE).connections == 0
        assert not direct.server(INSIDE).messages
        return direct.post.row(message).status


@pytest.mark.parametrize("name", SPELLINGS)
async def test_no_name_of_a_mail_host_is_read_as_an_address(name: str) -> None:
    """What a C library takes for an address is a name here, that only the DNS can tell of, and it does not."""
    zones: Zones = {"x.test": {"MX": [f"10 {name.removesuffix('.')}."]}}
    assert await _sent_to(zones) in (Status.BOUNCED, Status.DEFERRED)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: next(iter(form.values()))[0])
async def test_no_form_of_an_address_leads_inside(form: dict[str, list[str]]) -> None:
    """By an MX record, by the domain's own address, and behind aliases of both."""
    behind = {"mx.x.test": {"CNAME": ["b.test."]}, "b.test": {"CNAME": ["c.test."]}, "c.test": form}
    for zones in (
        {"x.test": {"MX": ["10 mx.x.test."]}, "mx.x.test": form},
        {"x.test": form},
        {"x.test": {"MX": ["10 mx.x.test."]}, **behind},
        {"x.test": {"CNAME": ["mx.x.test."]}, **behind},
    ):
        assert await _sent_to(zones) in (Status.BOUNCED, Status.DEFERRED), zones


@pytest.mark.parametrize("domain", ["2130706443", "127.11", "0x7f.1", INSIDE, "localhost"])
async def test_no_domain_of_a_recipient_is_read_as_an_address(domain: str) -> None:
    assert await _sent_to({}, f"a@{domain}") in (Status.BOUNCED, Status.DEFERRED)


async def test_where_the_settings_allow_it_the_server_inside_is_reached() -> None:
    """The control: it listens, and by the same ways."""
    zones: Zones = {"x.test": {"MX": ["10 mx.x.test."]}, "mx.x.test": {"A": [INSIDE]}}
    async with a_direct_post(zones, {INSIDE: FINE}) as direct:
        message = await direct.send("a@x.test")
        await direct.post.settled()
        assert direct.post.row(message).status is Status.SENT


async def test_the_address_that_was_judged_is_the_one_that_is_connected_to() -> None:
    """A name that leads outside when it is judged and inside when it is connected to: it is asked for once in between."""
    changing = InTurn(Ttl(0, [A1]), Ttl(0, [A2]))
    zones: Zones = {"x.test": {"MX": ["10 mx.x.test."]}, "mx.x.test": {"A": changing}}
    only_outside = (ip_network(f"{A1}/32"),)
    async with a_direct_post(zones, {A1: FINE, A2: FINE}, allow_networks=only_outside) as direct:
        first = await direct.send("a@x.test")
        await direct.post.settled(first)
        assert direct.post.kinds(first) == ["sent"]
        assert direct.dns.count("mx.x.test", "A") == 1
        direct.post.advance(timedelta(hours=1))  # the answer is forgotten: the next is judged anew
        second = await direct.send("b@x.test")
        await direct.post.settled(second)
        assert direct.post.row(second).status is not Status.SENT
        assert direct.server(A2).connections == 0


class Flooded(asyncio.DatagramProtocol):
    """A name server before whose answer a forger's 200 guesses come, all with the right port and question."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self.address = transport.get_extra_info("sockname")

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        end = data.index(b"\0", 12) + 5
        question, right = data[12:end], data[:2]
        if question[-4:] != b"\0\1\0\1":  # A
            self._transport.sendto(
                right + struct.pack("!HHHHH", 0x8180, 1, 0, 0, 0) + question, addr
            )
            return
        head = struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + question
        record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 300, 4)
        for number in range(1, 201):
            wrong = (int.from_bytes(right, "big") + number & 0xFFFF).to_bytes(2, "big")
            self._transport.sendto(wrong + head + record + bytes((203, 0, 113, 66)), addr)
        self._transport.sendto(right + head + record + bytes((192, 0, 2, 1)), addr)


@asynccontextmanager
async def a_flooded_server() -> AsyncIterator[HostPort]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(Flooded, local_addr=("127.0.0.1", 0))
    yield HostPort(host=server.address[0], port=server.address[1])
    transport.close()


async def test_a_guessed_answer_is_none() -> None:
    """The true one counts. 10,000 wash it out of the socket: then the question is asked again."""
    async with a_flooded_server() as server:
        resolver = DnsResolver(
            nameservers=(server,), timeout=timedelta(seconds=2), clock=FakeClock()
        )
        found: Addresses = await resolver.addresses("mx.test")
    assert [str(ip) for ip in found.ips] == ["192.0.2.1"]
