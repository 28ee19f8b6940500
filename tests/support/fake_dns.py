"""The DNS as a mapping, for pure checks: `{"a.test": {"TXT": ["v=spf1 -all"], "A": ["192.0.2.1"]}}`.

A DnsFailure stands in the place of records that cannot be had.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from ipaddress import ip_address

from relayd.mail.dns import (
    Addresses,
    DnsFailure,
    ImplicitMx,
    MxAnswer,
    MxHost,
    MxHosts,
    NoSuchDomain,
    TextAnswer,
    Texts,
)

Records = Mapping[str, Mapping[str, Sequence[str] | DnsFailure]]
SICK = DnsFailure(reason="10.0.0.1 answers SERVFAIL")


class FakeDns:
    """`relayd.policy.doctor.dns.Dns` over a mapping; counts what is asked."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self.asked: Counter[tuple[str, str]] = Counter()

    async def texts(self, name: str) -> TextAnswer:
        found = self._find(name, "TXT")
        if isinstance(found, DnsFailure):
            return found
        return Texts(texts=tuple(found), exists=name in self._records)

    async def addresses(self, host: str) -> Addresses:
        found = [self._find(host, each) for each in ("A", "AAAA")]
        texts = [text for one in found if not isinstance(one, DnsFailure) for text in one]
        return Addresses(
            ips=tuple(ip_address(text) for text in texts),
            failures=tuple(one for one in found if isinstance(one, DnsFailure)),
        )

    async def mx(self, domain: str) -> MxAnswer:
        found = self._find(domain, "MX")
        if isinstance(found, DnsFailure):
            return found
        if domain not in self._records:
            return NoSuchDomain(reason=f"the domain {domain} does not exist")
        if not found:
            return ImplicitMx(domain=domain)
        return MxHosts(hosts=tuple(MxHost(preference=10, name=name) for name in found))

    def _find(self, name: str, rdtype: str) -> Sequence[str] | DnsFailure:
        self.asked[name, rdtype] += 1
        return self._records.get(name, {}).get(rdtype, [])
