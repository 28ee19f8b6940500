"""What `relayd.doctor` finds out about the domains that relayd signs for."""

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from relayd.config import load as config
from relayd.config.dkim_files import note_replaced
from relayd.doctor.context import CheckContext, CheckRequest, context_of
from relayd.doctor.dkim_keys import keys_of
from relayd.doctor.machine import check_machine
from relayd.doctor.senders import check_dkim, check_dmarc
from relayd.policy.doctor.dkim_keys import Replaced
from relayd.policy.doctor.finding import Check, Finding
from relayd.policy.tls.reporting import ReportsSent
from relayd.settings import Settings, TlsrptSettings
from tests.support.clock import START, FakeClock
from tests.support.dkim import ed25519_pem, rsa_pem, write_key
from tests.support.dkim_verifiers import quoted
from tests.support.dns_server import DnsServer, Zones

DOMAIN = "mill.net"
DMARC: Zones = {f"_dmarc.{DOMAIN}": {"TXT": ['"v=DMARC1; p=reject"']}}


def settings_of(folder: Path, dns: DnsServer, *selectors: str) -> Settings:
    """Settings with an RSA key `r1`, an Ed25519 key `e1`, or both; made when the clock began."""
    pems = {"r1": rsa_pem(), "e1": ed25519_pem()}
    for selector in selectors:
        path = folder / f"{selector}.pem"
        if not path.exists():
            write_key(path, pems[selector])
        os.utime(path, (START.timestamp(), START.timestamp()))
    data = {
        "fqdn": "relay.mill.net",
        "use_remote_smtp": True,
        "dns": {"nameservers": [str(dns.endpoint)]},
        "store": {"url": f"sqlite:{folder}/state/queue.db"},
        "status_log": {"path": "-"},
        "dkim": [
            {"domain": DOMAIN, "selector": each, "key_file": f"{each}.pem"} for each in selectors
        ],
    }
    return config.from_mapping(data, file=str(folder / "relayd.toml"))


def a_context(settings: Settings, *domains: str, days: int = 0, **asked: object) -> CheckContext:
    request = replace(CheckRequest(domains=domains), **asked)  # type: ignore[arg-type]
    context = context_of(settings, request, FakeClock())
    return replace(context, clock=FakeClock(START + timedelta(days=days)), local=())


def publish(dns: DnsServer, settings: Settings) -> None:
    for key in keys_of(settings, DOMAIN):
        dns.zones[key.published.name] = {"TXT": [quoted(key.published.record)]}


def told(found: Sequence[Finding]) -> list[tuple[str, str, str]]:
    return [(each.subject.partition(".")[0], each.level.value, each.reason) for each in found]


SAME = "the record is that of the key, which is strong enough"


async def test_keys_that_are_published(tmp_path: Path) -> None:
    """An Ed25519 key beside an RSA key is as good."""
    async with DnsServer({}) as dns:
        settings = settings_of(tmp_path, dns, "r1", "e1")
        publish(dns, settings)
        found = await check_dkim(a_context(settings, f"news.{DOMAIN}"))
    assert told(found) == [("r1", "ok", SAME), ("e1", "ok", SAME)]


async def test_an_ed25519_key_alone(tmp_path: Path) -> None:
    async with DnsServer({}) as dns:
        settings = settings_of(tmp_path, dns, "e1")
        publish(dns, settings)
        [(_, level, reason)] = told(await check_dkim(a_context(settings)))
    assert (level, reason) == ("warn", "an Ed25519 key: many receivers verify only RSA")


async def test_a_key_that_is_not_published(tmp_path: Path) -> None:
    async with DnsServer({}) as dns:
        found = await check_dkim(a_context(settings_of(tmp_path, dns, "r1")))
    assert told(found) == [("r1", "fail", "there is no key record")]
    assert found[0].remedy == f"Publish what `relayd dkim dns {DOMAIN}` prints."


async def test_a_key_file_that_is_no_use(tmp_path: Path) -> None:
    """It is told, and the others are looked at."""
    write_key(tmp_path / "r1.pem", b"hello")
    async with DnsServer({}) as dns:
        found = await check_dkim(a_context(settings_of(tmp_path, dns, "r1", "e1")))
    [(subject, level, reason), other] = told(found)
    assert (subject, level) == ("r1", "fail")
    assert "expected a private key in PEM" in reason
    assert other == ("e1", "fail", "there is no key record")


async def test_a_key_gets_old(tmp_path: Path) -> None:
    async with DnsServer({}) as dns:
        settings = settings_of(tmp_path, dns, "r1")
        publish(dns, settings)
        found = await check_dkim(a_context(settings, days=365))
    assert told(found) == [("r1", "ok", SAME), ("r1", "warn", "the key is 365 days old")]


@pytest.mark.parametrize(("selector", "count"), [("r0", 1), ("r1", 0)])
async def test_the_record_of_a_key_that_was_rotated_out(
    tmp_path: Path, selector: str, count: int
) -> None:
    """A note about a key that signs again means nothing."""
    async with DnsServer({}) as dns:
        settings = settings_of(tmp_path, dns, "r1")
        publish(dns, settings)
        dns.zones[f"r0._domainkey.{DOMAIN}"] = {"TXT": ['"v=DKIM1; p="']}
        note_replaced(tmp_path, Replaced(domain=DOMAIN, selector=selector, stays_until=START))
        (tmp_path / f"dkim-{DOMAIN}-broken.retired").write_text("soon\n")
        (tmp_path / f"dkim-{DOMAIN}-naive.retired").write_text("2026-01-01T00:00:00\n")
        _, *left = told(await check_dkim(a_context(settings)))
    assert len(left) == count
    assert all("is still there; nobody needs it" in reason for _, _, reason in left)


async def test_direct_mode_without_a_key(tmp_path: Path) -> None:
    async with DnsServer({}) as dns:
        settings = settings_of(tmp_path, dns)
        found = await check_dkim(a_context(settings, "other.net"))
        assert [level for _, level, _ in told(found)] == ["warn", "warn"]
        assert "relayd does not sign for it" in found[0].reason
        assert "nothing is signed" in found[1].reason
        routes = replace(settings.routes, use_remote_smtp=False)
        found = await check_dkim(a_context(replace(settings, routes=routes)))
    assert [level for _, level, _ in told(found)] == ["skipped"]


async def test_tls_reports_that_no_key_can_sign(tmp_path: Path) -> None:
    """A key for other mail is none for them."""
    unsigned = TlsrptSettings(send=ReportsSent.FAILURES)
    async with DnsServer({}) as dns:
        settings = replace(settings_of(tmp_path, dns, "r1"), tlsrpt=unsigned)
        publish(dns, settings)
        found = await check_dkim(a_context(settings))
    assert [level for _, level, _ in told(found)] == ["ok", "warn"]
    assert "no TLS report is sent" in found[1].reason


async def test_dmarc_of_the_domains_that_we_sign_for(tmp_path: Path) -> None:
    """DKIM aligns where SPF does not."""
    async with DnsServer(DMARC) as dns:
        settings = settings_of(tmp_path, dns, "r1")
        bounces = replace(settings.bounces, verp_domain="bounces.other.net")
        found = await check_dmarc(a_context(replace(settings, bounces=bounces)))
    assert [(each.subject, each.level.value) for each in found] == [
        (f"_dmarc.{DOMAIN}", "ok"),
        (DOMAIN, "ok"),
    ]
    assert found[1].reason.endswith(f"only a DKIM signature can of {DOMAIN}")


@pytest.mark.parametrize(("mode", "level"), [("r", "ok"), ("s", "warn")])
async def test_a_key_of_the_parent_aligns_unless_it_has_to_be_strict(
    tmp_path: Path, mode: str, level: str
) -> None:
    policy = f'"v=DMARC1; p=reject; adkim={mode}; aspf=s"'
    async with DnsServer({f"_dmarc.{DOMAIN}": {"TXT": [policy]}}) as dns:
        settings = settings_of(tmp_path, dns, "r1")
        bounces = replace(settings.bounces, verp_domain=f"bounces.{DOMAIN}")
        context = a_context(replace(settings, bounces=bounces), f"news.{DOMAIN}")
        found = {each.subject: each.level.value for each in await check_dmarc(context)}
    assert found[f"news.{DOMAIN}"] == level


async def test_the_mode_of_a_key_file(tmp_path: Path) -> None:
    async with DnsServer({}) as dns:
        settings = settings_of(tmp_path, dns, "r1")
        (tmp_path / "r1.pem").chmod(0o644)
        found = await check_machine(a_context(settings))
    files = [each for each in found if each.check is Check.FILES]
    assert any(each.subject.endswith("r1.pem") for each in files), files
