"""The situations of `relayd demo --trust`: a domain for each row of table A (`docs/tls.md`), as data.

What each leads to is not said here: relayd decides it, and a test compares that with the page.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from relayd.cli.demo.samples import Zones
from relayd.policy.tls.require import OperatorTls
from relayd.policy.tls.sts import StsEntry, StsMode, StsPolicy

_POLICY_ID = "1"
_ADDRESS = "127.0.0.{}"
_FIRST_ADDRESS = 10


class Records(StrEnum):
    """What the DNS says of the TLSA records of a domain's hosts, in words for people."""

    NONE = "no TLSA"
    FITTING = "TLSA fits"
    OTHER = "TLSA of another key"
    UNUSABLE = "TLSA unusable"
    INSECURE = "TLSA not secure"
    FAILING = "TLSA lookup fails"


class Shown(StrEnum):
    """What the hosts of a domain show, in words for people."""

    NOTHING = "no TLS"
    UNKNOWN = "unknown authority"
    TRUSTED = "trusted authority"


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """One domain: what it has, and what else is said about it."""

    row: int  # of table A
    domain: str
    entry: OperatorTls | None = None  # of [tls_policy]
    lifts: bool = False  # the message says `TLS-Required: No`
    tlsa: Records = Records.NONE
    mx_is_secure: bool = False
    sts: StsMode | None = None
    lists_best: bool = True  # its policy lists the best host; else the second one
    has_record: bool = True  # the record of its policy is in the DNS
    hosts: int = 1
    shown: Shown = Shown.UNKNOWN

    @property
    def names(self) -> list[str]:
        """Return its mail hosts, the best one first."""
        return [f"mx{number}.{self.domain}" for number in range(1, self.hosts + 1)]

    @property
    def sts_in_words(self) -> str:
        """Return what its MTA-STS policy says; empty: it has none."""
        if self.sts is None:
            return ""
        more = "" if self.lists_best else ", not this host"
        return f"{self.sts}{more}" if self.has_record else f"{self.sts}{more}, record gone"

    @property
    def in_words(self) -> str:
        """Return what it has, and nothing of what it lacks: a line of a table is short."""
        parts = [
            f"[tls_policy] {self.entry}" if self.entry else "",
            "TLS-Required: No" if self.lifts else "",
            "MX secure" if self.mx_is_secure else "",
            "" if self.tlsa is Records.NONE else self.tlsa,
            f"MTA-STS {self.sts_in_words}" if self.sts else "",
            "" if self.shown is Shown.UNKNOWN else self.shown,
        ]
        return "; ".join(part for part in parts if part)


_ENFORCE, _TESTING = StsMode.ENFORCE, StsMode.TESTING
SITUATIONS = (
    Situation(
        row=1,
        domain="entry.test",
        entry=OperatorTls.REQUIRED,
        mx_is_secure=True,
        tlsa=Records.OTHER,
    ),
    Situation(
        row=2,
        domain="entry-dane.test",
        entry=OperatorTls.DANE,
        mx_is_secure=True,
        tlsa=Records.FITTING,
    ),
    Situation(row=3, domain="entry-no-dane.test", entry=OperatorTls.DANE, mx_is_secure=True),
    Situation(row=4, domain="lifted.test", lifts=True, mx_is_secure=True, tlsa=Records.OTHER),
    Situation(row=5, domain="bogus.test", mx_is_secure=True, tlsa=Records.FAILING),
    Situation(row=6, domain="dane.test", mx_is_secure=True, tlsa=Records.FITTING),
    Situation(row=6, domain="dane-old.test", mx_is_secure=True, tlsa=Records.OTHER),
    Situation(
        row=7,
        domain="dane-unlisted.test",
        tlsa=Records.FITTING,
        sts=_ENFORCE,
        lists_best=False,
        hosts=2,
    ),
    Situation(row=8, domain="dane-host.test", tlsa=Records.FITTING),
    Situation(row=9, domain="unusable.test", mx_is_secure=True, tlsa=Records.UNUSABLE),
    Situation(row=10, domain="insecure.test", tlsa=Records.INSECURE),
    Situation(row=11, domain="sts.test", sts=_ENFORCE, shown=Shown.TRUSTED),
    Situation(row=11, domain="sts-unproven.test", sts=_ENFORCE),
    Situation(
        row=12,
        domain="sts-unlisted.test",
        sts=_ENFORCE,
        lists_best=False,
        hosts=2,
        shown=Shown.TRUSTED,
    ),
    Situation(row=13, domain="sts-testing.test", sts=_TESTING),
    Situation(row=14, domain="nothing.test", shown=Shown.NOTHING),
    Situation(row=15, domain="sts-kept.test", sts=_ENFORCE, has_record=False, shown=Shown.TRUSTED),
)


def hosts_of(situations: Sequence[Situation]) -> dict[str, str]:
    """Return the address of each mail host, by its name."""
    names = [name for each in situations for name in each.names]
    return {name: _ADDRESS.format(number) for number, name in enumerate(names, _FIRST_ADDRESS)}


def policies_of(situations: Sequence[Situation], now: datetime) -> Iterator[StsEntry]:
    """Yield their MTA-STS policies as if relayd had fetched them."""
    for each in situations:
        if each.sts is not None:
            listed = each.names[0] if each.lists_best else each.names[-1]
            policy = StsPolicy(
                mode=each.sts, hosts=(listed,), max_age=timedelta(days=1), id=_POLICY_ID
            )
            yield StsEntry(domain=each.domain, policy=policy, fetched_at=now, used_at=now)


@dataclass(frozen=True, slots=True)
class World:
    """What the name server of the demo says."""

    zones: Zones
    secure: frozenset[str]  # names whose records DNSSEC proves
    failing: frozenset[str]  # names that cannot be looked up


def world_of(situations: Sequence[Situation], *, port: int, digest: str) -> World:
    """Return what the DNS has of them; `digest` is that of the key that hosts show, as in a record 3 1 1."""
    records = {
        Records.FITTING: f"3 1 1 {digest}",
        Records.OTHER: f"3 1 1 {'ab' * 32}",
        Records.UNUSABLE: f"1 1 1 {digest}",  # usage 1 is none for mail
        Records.INSECURE: f"3 1 1 {digest}",
    }
    zones: dict[str, Mapping[str, Sequence[str]]] = {}
    secure, failing = set(), set()
    for name, ip in hosts_of(situations).items():
        zones[name] = {"A": [ip]}
    for each in situations:
        zones[each.domain] = {"MX": [f"{at} {name}." for at, name in enumerate(each.names, 10)]}
        if each.mx_is_secure:
            secure.add(each.domain)
        if each.sts is not None and each.has_record:
            zones[f"_mta-sts.{each.domain}"] = {"TXT": [f'"v=STSv1; id={_POLICY_ID};"']}
        for name in each.names:
            below = f"_{port}._tcp.{name}"
            if each.tlsa in records:
                zones[below] = {"TLSA": [records[each.tlsa]]}
            if each.tlsa is Records.FAILING:
                failing.add(below)
            if each.tlsa is not Records.INSECURE:
                secure |= {name, below}
    return World(zones, frozenset(secure), frozenset(failing))
