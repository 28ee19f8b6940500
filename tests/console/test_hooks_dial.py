"""One request to a receiver: to the address that was judged, and no longer than it may take."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from relayd.console.hooks import dial
from relayd.console.hooks.dial import ANSWER_LIMIT, Answer, Caller, VettedBackend
from relayd.mail.dns import Addresses
from relayd.net.dns.resolver import DnsResolver
from relayd.settings import UrlRules, WebhookSettings
from relayd.worker.system import SystemClock
from tests.support.certificates import Authority, untrusted_context
from tests.support.dns_server import SERVFAIL, Action, DnsServer, InTurn, Ttl
from tests.support.webhook_receiver import (
    Behaviour,
    Receiver,
    Reply,
    continue_for_ever,
    die,
    drip,
    flood,
    flood_fields,
    garbage,
    half,
    stall,
)

HOME = ("127.0.0.1/32", "::1/128")
FIELDS = [("webhook-id", "evt_1")]
BODY = b'{"type":"recipient.bounced"}'


class World:
    """A receiver app.test with a good certificate, and who calls it."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.zones: dict[str, Action] = {"A": ["127.0.0.1"]}

    @asynccontextmanager
    async def calling(
        self, receiver: Receiver, *, allowed: Iterable[str] = HOME, http: bool = False
    ) -> AsyncIterator[Caller]:
        async with DnsServer({"app.test": self.zones, "sick.test": SERVFAIL}) as self.dns:
            self.resolver = self.a_resolver()
            self.settings = WebhookSettings(
                url_rules=UrlRules(allow_http=http, ports={receiver.port}),
                allow_networks=tuple(map(ip_network, allowed)),
            )
            context = ssl.create_default_context(cafile=self.authority.cafile)
            yield Caller(self.resolver, self.settings, context)

    def a_resolver(self) -> DnsResolver:
        return DnsResolver(
            nameservers=[self.dns.endpoint], timeout=timedelta(seconds=2), clock=SystemClock()
        )

    def receiver(self, *script: Behaviour, names: Iterable[str] = ("app.test",)) -> Receiver:
        return Receiver(self.authority.server_context(*names), script=list(script) or [Reply(200)])


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_request_says_what_it_should(world: World) -> None:
    async with world.receiver(Reply(204, body=b"")) as receiver, world.calling(receiver) as caller:
        answer = await caller.post(f"https://app.test:{receiver.port}/hook?a=b", FIELDS, BODY)
        [request] = receiver.requests
    assert (answer.heard.status, answer.heard.trouble) == (204, "")
    assert request.line == "POST /hook?a=b HTTP/1.1"
    assert request.body == BODY
    assert request.server_name == "app.test"
    assert request.fields["host"] == f"app.test:{receiver.port}"
    assert request.fields["content-type"] == "application/json"
    assert request.fields["user-agent"].startswith("relayd/")
    assert request.fields["webhook-id"] == "evt_1"


async def test_a_receiver_without_tls_is_called_where_that_is_allowed(world: World) -> None:
    async with Receiver() as receiver, world.calling(receiver, http=True) as caller:
        answer = await caller.post(f"http://app.test:{receiver.port}/", FIELDS, BODY)
    assert answer.heard.status == 200


async def test_an_address_in_the_url_is_judged_and_called(world: World) -> None:
    async with (
        world.receiver(names=["127.0.0.1"]) as receiver,
        world.calling(receiver) as caller,
    ):
        answer = await caller.post(f"https://127.0.0.1:{receiver.port}/", FIELDS, BODY)
        assert answer.heard.status == 200
    async with (
        world.receiver(names=["127.0.0.1"]) as receiver,
        world.calling(receiver, allowed=()) as caller,
    ):
        answer = await caller.post(f"https://127.0.0.1:{receiver.port}/", FIELDS, BODY)
        assert (answer.heard.trouble, receiver.connections) == ("address not allowed", 0)


async def called(world: World, behave: Behaviour, within: float = 10.0) -> Answer:
    """What is heard of a receiver that behaves so."""
    async with world.receiver(behave) as receiver, world.calling(receiver) as caller:
        async with asyncio.timeout(within):
            return await caller.post(f"https://app.test:{receiver.port}/", FIELDS, BODY)


@pytest.mark.parametrize("status", [200, 201, 204, 301, 302, 307, 400, 404, 410, 429, 500, 503])
async def test_the_status_is_heard_and_no_redirect_followed(world: World, status: int) -> None:
    body = b"" if status == 204 else b"x"
    reply = Reply(status, ["Location: https://app.test/elsewhere", "Retry-After: 120"], body)
    async with world.receiver(reply) as receiver, world.calling(receiver) as caller:
        answer = await caller.post(f"https://app.test:{receiver.port}/", FIELDS, BODY)
        assert receiver.connections == 1
    assert (answer.heard.status, answer.retry_after) == (status, "120")


@pytest.mark.parametrize("behave", [die, garbage, flood_fields])
async def test_who_does_not_answer_is_told_apart(world: World, behave: Behaviour) -> None:
    answer = await called(world, behave)
    assert (answer.heard.status, answer.heard.trouble) == (None, "no answer")


@pytest.mark.parametrize("behave", [stall, drip, continue_for_ever])
async def test_who_takes_too_long_is_left(
    world: World, behave: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dial, "WITHIN", 0.5)
    answer = await called(world, behave, within=5)
    assert (answer.heard.status, answer.heard.trouble) == (None, "time is up")
    assert answer.heard.took >= timedelta(seconds=0.5)


async def test_a_flood_is_read_to_its_bound(world: World) -> None:
    answer = await called(world, flood, within=5)
    assert (answer.heard.status, answer.heard.octets) == (200, ANSWER_LIMIT)


async def test_an_answer_counts_though_its_body_is_cut_short(world: World) -> None:
    answer = await called(world, half)
    assert answer.heard.status == 200


async def test_what_the_receiver_writes_is_kept_nowhere(world: World) -> None:
    answer = await called(world, Reply(400, ["X-Secret: internal"], b"internal data"))
    assert "internal" not in repr(answer)


async def test_a_certificate_of_another_name_is_refused(world: World) -> None:
    async with (
        world.receiver(names=["other.test"]) as receiver,
        world.calling(receiver) as caller,
    ):
        answer = await caller.post(f"https://app.test:{receiver.port}/", FIELDS, BODY)
        assert receiver.requests == []
    assert answer.heard.trouble == "TLS failed"


async def test_a_certificate_of_nobody_is_refused(world: World) -> None:
    async with (
        Receiver(untrusted_context("app.test")) as receiver,
        world.calling(receiver) as caller,
    ):
        answer = await caller.post(f"https://app.test:{receiver.port}/", FIELDS, BODY)
    assert answer.heard.trouble == "TLS failed"


async def test_nobody_there_is_no_connection(world: World) -> None:
    async with world.receiver() as receiver:
        pass
    async with world.calling(receiver) as caller:
        answer = await caller.post(f"https://app.test:{receiver.port}/", FIELDS, BODY)
    assert answer.heard.trouble == "no connection"


@pytest.mark.parametrize(
    ("host", "trouble"),
    [("none.test", "no address"), ("sick.test", "no answer of the DNS")],
)
async def test_a_name_without_an_address_is_told(world: World, host: str, trouble: str) -> None:
    async with world.receiver() as receiver, world.calling(receiver) as caller:
        answer = await caller.post(f"https://{host}:{receiver.port}/", FIELDS, BODY)
    assert answer.heard.trouble == trouble


@pytest.mark.parametrize(
    "url", ["http://app.test/", "https://app.test:22/", "https://u@app.test/", "nonsense"]
)
async def test_a_url_that_is_no_longer_allowed_is_not_called(world: World, url: str) -> None:
    async with world.receiver() as receiver, world.calling(receiver) as caller:
        answer = await caller.post(url, FIELDS, BODY)
        assert receiver.connections == 0
    assert answer.heard.trouble == "URL not allowed"


FORBIDDEN = [
    ("A", "10.0.0.1"),
    ("A", "169.254.169.254"),
    ("A", "127.0.0.1"),
    ("A", "0.0.0.0"),
    ("AAAA", "::1"),
    ("AAAA", "::ffff:127.0.0.1"),
    ("AAAA", "2002:7f00:1::"),
    ("AAAA", "2001:0:808:808::80ff:fffe"),
    ("AAAA", "64:ff9b::7f00:1"),
    ("AAAA", "64:ff9b:1::7f00:1"),
    ("AAAA", "fd00::1"),
]


@pytest.mark.parametrize(("rdtype", "ip"), FORBIDDEN)
async def test_a_name_may_not_lead_inside(world: World, rdtype: str, ip: str) -> None:
    world.zones = {rdtype: [ip]}
    async with world.receiver() as receiver, world.calling(receiver, allowed=()) as caller:
        answer = await caller.post(f"https://app.test:{receiver.port}/", FIELDS, BODY)
        assert receiver.connections == 0
    assert answer.heard.trouble == "address not allowed"


async def test_one_good_address_of_several_is_enough(world: World) -> None:
    world.zones = {"A": ["10.0.0.1", "127.0.0.1"]}
    async with world.receiver() as receiver, world.calling(receiver) as caller:
        answer = await caller.post(f"https://app.test:{receiver.port}/", FIELDS, BODY)
    assert answer.heard.status == 200


async def test_no_proxy_is_asked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Receiver() as proxy, world.receiver() as receiver, world.calling(receiver) as caller:
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HTTP_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        answer = await caller.post(f"https://app.test:{receiver.port}/", FIELDS, BODY)
        assert (answer.heard.status, proxy.connections) == (200, 0)


class LooksTwice(VettedBackend):
    """The control: judges one answer of the DNS, and connects to another."""

    later: DnsResolver  # which has not kept the first

    async def connect_tcp(self, host: str, *args: Any, **kwargs: Any) -> Any:
        found: Addresses = await self._resolver.addresses(host)
        assert self._usable(found.ips)
        again: Addresses = await self.later.addresses(host)
        return await super(VettedBackend, self).connect_tcp(str(again.ips[0]), *args, **kwargs)


@pytest.mark.parametrize("backend", [VettedBackend, LooksTwice])
async def test_the_address_that_was_judged_is_the_one_that_is_called(
    world: World, backend: type[VettedBackend]
) -> None:
    """A name that leads to us first and then inside: DNS rebinding (S-26)."""
    inside = Receiver(world.authority.server_context("app.test"), host="127.0.0.2")
    world.zones = {"A": InTurn(Ttl(0, ["127.0.0.1"]), Ttl(0, ["127.0.0.2"]))}
    async with world.receiver() as receiver:
        inside.port = receiver.port
        async with inside, world.calling(receiver) as caller:
            caller._backend = backend(world.resolver, world.settings)
            if isinstance(caller._backend, LooksTwice):
                caller._backend.later = world.a_resolver()
            await caller.post(f"https://app.test:{receiver.port}/", FIELDS, BODY)
            if backend is VettedBackend:
                assert (len(receiver.requests), inside.connections) == (1, 0)
                assert world.dns.count("app.test", "A") == 1
            else:
                assert inside.connections == 1
