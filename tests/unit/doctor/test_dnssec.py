"""Which name servers are looked at for DNSSEC, and what is asked."""

from pathlib import Path

import pytest

from relayd.config import load as config
from relayd.doctor.context import CheckRequest, context_of
from relayd.doctor.dnssec import check_dnssec
from relayd.policy.doctor.dnssec import BOGUS
from relayd.policy.doctor.finding import Level
from tests.support.clock import FakeClock
from tests.support.dns_server import SERVFAIL, Authentic, DnsServer, Zones

ROOT: Zones = {".": {"SOA": Authentic(["a.test. b.test. 1 2 3 4 5"])}}


async def levels(folder: Path, *servers: str, **tables: object) -> list[tuple[str, Level]]:
    data = {
        "fqdn": "relay.mill.net",
        "store": {"url": f"sqlite:{folder}/queue.db"},
        "status_log": {"path": "-"},
        "dns": {"nameservers": list(servers)},
        **tables,
    }
    settings = config.from_mapping(data, file=str(folder / "relayd.toml"))
    context = context_of(settings, CheckRequest(direct=True), FakeClock())
    return [(each.subject, each.level) for each in await check_dnssec(context)]


async def test_each_is_asked_alone(tmp_path: Path) -> None:
    """Beside one that checks, another one might answer a delivery."""
    checks: Zones = {**ROOT, **dict.fromkeys(BOGUS, SERVFAIL)}
    copies: Zones = {**ROOT, **{each: {"A": ["192.0.2.1"]} for each in BOGUS}}
    async with (
        DnsServer(checks) as good,
        DnsServer(copies, host="127.0.0.2") as bad,
    ):
        found = await levels(tmp_path, str(good.endpoint), str(bad.endpoint), "192.0.2.53")
    assert found == [
        ("127.0.0.1", Level.OK),
        ("127.0.0.2", Level.WARN),
        ("192.0.2.53", Level.WARN),  # not trusted, and not asked
    ]


@pytest.mark.parametrize("direct", [{"dane": False}, {"tls": "off"}])
async def test_nobody_asks_for_dane(tmp_path: Path, direct: dict[str, object]) -> None:
    async with DnsServer(ROOT) as server:
        assert await levels(tmp_path, str(server.endpoint), direct=direct) == [("", Level.SKIPPED)]
        assert not server.queries
