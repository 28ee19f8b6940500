"""Which web servers a worker may ask for MTA-STS policies, and what those see who only look."""

from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from relayd.deliverer.tally import TlsTally
from relayd.mail.dns import Addresses, Texts
from relayd.net.dns.resolver import DnsResolver
from relayd.policy.tls.sts import StsEntry, StsMode, StsPolicy
from relayd.settings import Settings
from relayd.store.memory.queue import MemoryStore
from relayd.store.sqlite.queue import SqliteStore
from relayd.worker.parts import Parts
from relayd.worker.sts import KeptPolicies, sts_policies
from relayd.worker.system import SystemClock
from tests.support.clock import FakeClock
from tests.support.supervised import settings_of


def settings(queue: Path, *, mta_sts: bool = True, allowed: str = "10.1.0.0/16") -> Settings:
    found = settings_of(["127.0.0.9:443"], control="", queue=str(queue))
    direct = replace(found.direct, mta_sts=mta_sts, allow_networks=(ip_network(allowed),))
    return replace(found, direct=direct)


@pytest.mark.parametrize(
    ("ip", "may_be_asked"),
    [
        ("9.9.9.9", True),
        ("10.1.2.3", True),  # allowed
        ("10.2.2.3", False),
        ("127.0.0.9", False),  # our own
        ("169.254.169.254", False),
        ("::1", False),
        ("::ffff:10.2.2.3", False),
    ],
)
def test_only_public_web_servers_are_asked(tmp_path: Path, ip: str, *, may_be_asked: bool) -> None:
    """S-26 holds for them as for mail hosts."""
    parts = cast(Parts, SimpleNamespace(store=SimpleNamespace(trust=None), clock=FakeClock()))
    resolver = DnsResolver(nameservers=(), timeout=timedelta(seconds=1), clock=FakeClock())
    tally = TlsTally(MemoryStore(FakeClock()).trust)
    found = sts_policies(settings(tmp_path / "queue.db"), parts, resolver, tally)
    assert found is not None
    assert found._fetcher._may_ask(ip_address(ip)) is may_be_asked  # type: ignore[attr-defined]
    off = settings(tmp_path / "queue.db", mta_sts=False)
    assert sts_policies(off, parts, resolver, tally) is None


async def test_what_could_not_be_had_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a TLS report: the domain has a record, and a web server that may not be asked."""

    async def texts(_: str) -> Texts:
        return Texts(texts=("v=STSv1; id=1;",))

    async def addresses(_: str) -> Addresses:
        return Addresses(ips=(ip_address("10.9.9.9"),))

    store = MemoryStore(FakeClock())
    parts = cast(Parts, SimpleNamespace(store=store, clock=FakeClock()))
    resolver = DnsResolver(nameservers=(), timeout=timedelta(seconds=1), clock=FakeClock())
    monkeypatch.setattr(resolver, "texts", texts)
    monkeypatch.setattr(resolver, "addresses", addresses)
    tally = TlsTally(store.trust)
    found = sts_policies(settings(tmp_path / "queue.db"), parts, resolver, tally)
    assert found is not None
    assert await found.policy("a.test") is None
    await tally.flush()
    [(counted, times)] = store.view.trust.tls_counts(FakeClock().now().date()).items()
    assert (counted.policy.domain, counted.result, times) == ("a.test", "sts-policy-fetch-error", 1)


async def test_those_who_look_see_what_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    assert await KeptPolicies(settings(path)).policy("a.test") is None, "there is no queue yet"
    policy = StsPolicy(
        mode=StsMode.ENFORCE, hosts=("mx.a.test",), max_age=timedelta(days=7), id="1"
    )
    now = SystemClock().now()
    store = SqliteStore.open(str(path), clock=FakeClock(), slots={})
    await store.trust.keep_sts_policy(
        StsEntry(domain="a.test", policy=policy, fetched_at=now, used_at=now)
    )
    await store.close()
    assert await KeptPolicies(settings(path)).policy_now("a.test") == policy
    assert await KeptPolicies(settings(path)).policy("b.test") is None
    assert await KeptPolicies(settings(path, mta_sts=False)).policy("a.test") is None
