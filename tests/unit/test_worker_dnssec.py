"""What a worker does about name servers that vouch for what cannot be."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from relayd.mail.dns import TlsaRecords
from relayd.net.dns.resolver import DnsResolver
from relayd.policy.doctor.dnssec import BOGUS
from relayd.settings import DnsSettings, Settings, TlsMode
from relayd.worker.dnssec import distrust_liars
from tests.support.clock import FakeClock
from tests.support.direct import DIRECT, SETTINGS
from tests.support.dns_server import DROP, SERVFAIL, Action, Authentic, DnsServer, Zones
from tests.support.supervised import settings_of

NAME = "_25._tcp.mx.test"
TLSA = f"3 1 1 {'ab' * 32}"


def settings(timeout: float = 5) -> Settings:
    return replace(
        settings_of([], control="", queue=""),
        routes=DIRECT,
        direct=replace(SETTINGS, tls=TlsMode.OPPORTUNISTIC),
        dns=DnsSettings(nameservers=(), timeout=timedelta(seconds=timeout)),
    )


def a_server(bogus: Action, host: str = "127.0.0.1") -> DnsServer:
    zones: Zones = {NAME: {"TLSA": Authentic([TLSA])}, **{name: {"A": bogus} for name in BOGUS}}
    return DnsServer(zones, host=host)


def a_resolver(*servers: DnsServer) -> DnsResolver:
    return DnsResolver(
        nameservers=[each.endpoint for each in servers],
        timeout=timedelta(seconds=5),
        clock=FakeClock(),
    )


async def is_proven(resolver: DnsResolver) -> bool:
    answer = await resolver.tlsa(NAME)
    assert isinstance(answer, TlsaRecords)
    return answer.authenticated


async def test_who_vouches_for_wrong_signatures_is_believed_no_longer() -> None:
    """Until then it is, and nothing waits; what was known by its word is forgotten."""
    async with a_server(Authentic(["192.0.2.1"])) as server:
        resolver = a_resolver(server)
        assert await is_proven(resolver)
        with capture_logs() as told:
            await distrust_liars(settings(), resolver, FakeClock())
        assert not resolver.is_trusted
        assert not await is_proven(resolver)
    [line] = told
    assert line["event"] == "dane_off"
    assert line["reason"].startswith(
        "DANE is off whenever 127.0.0.1 answers: its AD bit means nothing"
    )


@pytest.mark.parametrize(
    ("bogus", "within"),
    [
        pytest.param(SERVFAIL, 5, id="it-checks"),
        pytest.param(["192.0.2.1"], 5, id="it-does-not-vouch-for-them"),
        pytest.param(DROP, 0.1, id="silent"),
    ],
)
async def test_who_is_believed_on(bogus: Action, within: float) -> None:
    async with a_server(bogus) as server:
        resolver = a_resolver(server)
        with capture_logs() as told:
            await distrust_liars(settings(within), resolver, FakeClock())
        assert resolver.is_trusted
        assert await is_proven(resolver)
    assert not told


async def test_another_one_is_believed_on() -> None:
    async with a_server(Authentic(["192.0.2.1"])) as liar, a_server(SERVFAIL, "127.0.0.2") as good:
        resolver = a_resolver(liar, good)
        await distrust_liars(settings(), resolver, FakeClock())
        assert resolver.trusted == [good.endpoint]


@pytest.mark.parametrize("wanted", [{"dane": False}, {"tls": TlsMode.OFF}])
async def test_nobody_is_asked_where_no_mail_asks_for_dane(
    wanted: dict[str, Any],
) -> None:
    async with a_server(Authentic(["192.0.2.1"])) as server:
        without = replace(settings(), direct=replace(settings().direct, **wanted))
        await distrust_liars(without, a_resolver(server), FakeClock())
        await distrust_liars(settings_of([], control="", queue=""), a_resolver(server), FakeClock())
        assert not server.queries
