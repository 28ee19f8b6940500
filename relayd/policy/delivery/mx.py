"""Choose the mail hosts of a domain: which, in what order, at which addresses.

Owns every judgement on DNS answers: MX order, our own place among the hosts, and whether the
answers prove that no mail can be delivered (`address_filter` knows the addresses nobody may connect
to). Asks nothing itself: the caller looks up what `plan_hosts` names and hands the answers to
`choose`. Randomness comes in as `chance`.

Invariant: only definite answers make a domain undeliverable. Where a lookup failed, or a cap kept
us from looking further, the domain is merely unreachable now. A domain of which the DNS knows
neither a mail host nor an address has to be found so twice (`policy.retry.SECOND_LOOK`).

Sources: RFC 5321 §5.1; RFC 7505; semantics S-22, S-24 to S-26, A-60 to A-64, A-67.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import assert_never

from relayd.mail.attempt import Breakdown
from relayd.mail.dns import (
    Addresses,
    DnsFailure,
    ImplicitMx,
    IpAddress,
    MxAnswer,
    MxHost,
    MxHosts,
    NoSuchDomain,
    NullMx,
)
from relayd.mail.words import Category, Fault
from relayd.policy.delivery.address_filter import AddressVerdict, in_words, vet_address
from relayd.policy.delivery.site import site_key
from relayd.policy.delivery.source import pick_source
from relayd.policy.intake.admit import Network

_NOTES_SHOWN = 3  # in a reason; the rest is counted


@dataclass(frozen=True, slots=True, kw_only=True)
class MxRules:
    own_names: frozenset[str]  # A-labels in lower case
    own_addresses: frozenset[IpAddress]  # where a connection would come back to this machine
    allow_networks: tuple[Network, ...]  # forbidden ones that an MX may point to after all
    # Of the sender's pool, for each attempt anew:
    sources: tuple[str, ...] = ()  # addresses of ours to send from; none: the system chooses
    resting: frozenset[str] = frozenset()  # those of them that cannot be used now
    unused: Mapping[int, str] = field(default_factory=dict)  # see `policy.source.unused_families`
    max_hosts: int = 10
    max_addresses: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Undeliverable:
    """The DNS says that the domain takes no mail from us."""

    status: str  # enhanced status code, such as 5.1.2
    category: Category
    reason: str  # one line for people
    needs_second_look: bool = False  # it is proof when an attempt an hour later finds the same


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPlan:
    """The hosts whose addresses are to be looked up, best first."""

    domain: str
    names: frozenset[str]  # all that the domain's answer had, whatever becomes of them
    site: str  # whom they belong to: see `policy.delivery.site`
    hosts: tuple[MxHost, ...]  # never empty
    is_secure: bool = False  # DNSSEC proves the answer that named them
    alias_of: str = ""  # the name that has the MX records; empty: the domain itself
    implicit: bool  # the domain itself, for want of MX records
    proven: bool = True  # by the answer about its MX records; see `ImplicitMx`
    cut_off: bool  # there are more


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An address to connect to, as it is: nobody looks it up again (S-26, A-61)."""

    host: str
    ip: str
    preference: int
    source_ip: str | None = None  # ours, to connect from; None: the system chooses
    is_secure: bool = False  # DNSSEC proves the address
    alias_of: str = ""  # the name that has the address; empty: the host itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Whom to try, in this order; never empty."""

    names: frozenset[str]  # see `HostPlan`
    site: str
    candidates: tuple[Candidate, ...]
    skipped: tuple[str, ...]  # what else there was, and why it is left out; a line each
    unheard: int | None = None  # preference of the best host that cannot be asked: its addresses
    # could not be learnt, or are all of a family that is not used
    is_cut: bool = False  # there are more, beyond what is asked in one attempt
    is_secure: bool = False  # DNSSEC proves that these are the hosts of the domain
    alias_of: str = ""  # see `HostPlan`

    @property
    def best(self) -> int:
        """Return the preference of the best host that can be asked."""
        return min(each.preference for each in self.candidates)

    @property
    def is_all(self) -> bool:
        """Tell whether these can speak for the domain: nobody else could say otherwise."""
        return self.unheard is None and not self.is_cut

    def has_better(self, preference: int, *, lacking: Collection[str]) -> bool:
        """Tell whether a host better than one of `preference` that took us is out of reach (S-17).

        For it failed in this attempt or lately, or its addresses could not be learnt. Hosts in
        `lacking` are up, and do not offer what the message needs: they are not out of reach.
        """
        better = [each.preference for each in self.candidates if each.host not in lacking]
        better += [] if self.unheard is None else [self.unheard]
        return min(better, default=preference) < preference


def order_hosts(answer: MxHosts | ImplicitMx, *, chance: Callable[[], float]) -> tuple[MxHost, ...]:
    """Return the hosts by preference, equal ones in the order of `chance`; each name once."""
    match answer:
        case MxHosts(hosts=hosts):
            ordered = sorted(hosts, key=lambda host: (host.preference, chance()))
            best = {host.name: host for host in reversed(ordered)}
            return tuple(host for host in ordered if best[host.name] is host)
        case ImplicitMx(domain=domain):
            return (MxHost(preference=0, name=domain),)
        case _:
            assert_never(answer)


def drop_self_and_worse(hosts: tuple[MxHost, ...], own: Collection[str]) -> tuple[MxHost, ...]:
    """Return the hosts that are better than the best of ours (S-22): the others send back to us."""
    ours = min((host.preference for host in hosts if host.name in own), default=None)
    return hosts if ours is None else tuple(host for host in hosts if host.preference < ours)


def plan_hosts(
    domain: str, answer: MxAnswer, rules: MxRules, *, chance: Callable[[], float]
) -> HostPlan | Undeliverable | Breakdown:
    """Return the hosts to look up, or why there are none."""
    match answer:
        case MxHosts() | ImplicitMx():
            return _plan(domain, answer, rules, chance)
        case NullMx():
            return _bad_domain("5.1.10", f"{domain} takes no mail (null MX)")
        case NoSuchDomain(reason=reason, proven=proven):
            return _gone(reason, is_proven=proven)
        case DnsFailure():
            return _unreachable(answer)
        case _:
            assert_never(answer)


def choose(
    plan: HostPlan, found: Mapping[str, Addresses], rules: MxRules
) -> Candidates | Undeliverable | Breakdown:
    """Return the addresses to try, or why there are none. `found` has every host of the plan."""
    chosen = _choose(plan, found, rules)
    is_bare = isinstance(chosen, Undeliverable) and chosen.needs_second_look
    if not (plan.proven or is_bare):  # the mail hosts may be hidden from us: it is not for this one
        reason = f"an empty answer to MX {plan.domain} that proves nothing"
        return _unreachable(DnsFailure(reason=reason))
    return chosen


def _choose(
    plan: HostPlan, found: Mapping[str, Addresses], rules: MxRules
) -> Candidates | Undeliverable | Breakdown:
    own = {host.name for host in plan.hosts if _is_own(found[host.name], rules)}
    hosts = drop_self_and_worse(plan.hosts, own)
    if not hosts:
        return _loop(plan.domain)
    candidates: list[Candidate] = []  # an address under each of its names: policies ask by name
    ips: set[str] = set()
    unheard: list[int] = []
    is_cut = plan.cut_off
    skipped: list[str] = [f"{name}: this is ourselves" for name in sorted(own)]
    for host in hosts:
        usable, notes = _vetted(host, found[host.name], rules)
        skipped += notes
        if not usable and (found[host.name].failures or _left_out(found[host.name], rules)):
            unheard.append(host.preference)
        for ip in usable:
            if ip in ips or len(ips) < rules.max_addresses:
                ips.add(ip)
                candidates.append(_candidate(plan, host, ip, found[host.name], rules))
            else:
                is_cut = True
    if candidates:
        return Candidates(
            names=plan.names,
            site=plan.site,
            candidates=tuple(candidates),
            skipped=tuple(skipped),
            unheard=min(unheard, default=None),
            is_cut=is_cut,
            is_secure=plan.is_secure,
            alias_of=plan.alias_of,
        )
    return _nothing_usable(plan, [found[host.name] for host in hosts], skipped, rules)


def _plan(
    domain: str, answer: MxHosts | ImplicitMx, rules: MxRules, chance: Callable[[], float]
) -> HostPlan | Undeliverable:
    listed = order_hosts(answer, chance=chance)
    hosts = drop_self_and_worse(listed, rules.own_names)
    if not listed:
        return _misdirected(domain, "its MX records name no host")
    if not hosts:
        return _loop(domain)
    names = frozenset(host.name for host in listed)
    return HostPlan(
        domain=domain,
        names=names,
        site=site_key(names, domain),
        hosts=hosts[: rules.max_hosts],
        is_secure=answer.authenticated,
        alias_of=answer.alias_of if isinstance(answer, MxHosts) else "",
        implicit=isinstance(answer, ImplicitMx),
        proven=isinstance(answer, MxHosts) or answer.proven,
        cut_off=len(hosts) > rules.max_hosts,
    )


def _candidate(
    plan: HostPlan, host: MxHost, ip: str, found: Addresses, rules: MxRules
) -> Candidate:
    source = pick_source(plan.site, ip_address(ip), rules.sources, resting=rules.resting)
    return Candidate(
        host=host.name,
        ip=ip,
        preference=host.preference,
        source_ip=source,
        is_secure=found.authenticated,
        alias_of=found.alias_of,
    )


def _vetted(host: MxHost, found: Addresses, rules: MxRules) -> tuple[list[str], list[str]]:
    """Return the usable addresses of a host, and a note on each of the others."""
    left_out = _left_out(found, rules)
    verdicts = [(ip, _vet(ip, rules)) for ip in found.ips if ip not in left_out]
    usable = [str(ip) for ip, verdict in verdicts if verdict is AddressVerdict.USABLE]
    notes = [
        f"{host.name}: {ip} is IPv{ip.version}, which {rules.unused[ip.version]} leaves out"
        for ip in left_out
    ]
    notes += [
        f"{host.name}: {in_words(ip)} is {verdict}"
        for ip, verdict in verdicts
        if verdict is not AddressVerdict.USABLE
    ]
    notes += [f"{host.name}: {failure.reason}" for failure in found.failures]
    return usable, notes or ([] if usable else [f"{host.name}: no address"])


def _left_out(found: Addresses, rules: MxRules) -> list[IpAddress]:
    """Return the addresses that could be used if their family were."""
    return [
        ip
        for ip in found.ips
        if ip.version in rules.unused and _vet(ip, rules) is AddressVerdict.USABLE
    ]


def _nothing_usable(
    plan: HostPlan, found: list[Addresses], skipped: list[str], rules: MxRules
) -> Undeliverable | Breakdown:
    failures = [failure for one in found for failure in one.failures]
    is_bare = plan.implicit and not any(one.ips for one in found)
    if is_bare and all(failure.is_empty for failure in failures):
        return _bare(plan, is_proven=plan.proven and not failures)
    if failures:
        return _unreachable(failures[0])
    left_out = [ip for one in found for ip in _left_out(one, rules)]
    if left_out:
        version = left_out[0].version
        reason = f"{plan.domain} is reached by IPv{version} only, and {rules.unused[version]} leaves that out"
        return Breakdown(category=Category.CONNECTION_FAILURE, fault=Fault.LOCAL, reason=reason)
    if plan.cut_off:
        reason = f"none of the first {rules.max_hosts} MX hosts of {plan.domain} can be used"
        return _unreachable(DnsFailure(reason=reason))
    return _misdirected(plan.domain, _shortened(skipped))


def _bare(plan: HostPlan, *, is_proven: bool) -> Undeliverable:
    """Judge a domain of which the DNS knows neither a mail host nor an address.

    That is how a zone looks as well that has just been lost or is half-built: once is no proof. Some
    resolvers leave out the SOA record that proves an empty answer. Twice is enough for the mail
    then, and not for the address (5.4.4).
    """
    reason = f"{plan.domain} has neither MX nor address records"
    if is_proven:
        return replace(_bad_domain("5.1.2", reason), needs_second_look=True)
    unproven = _bad_domain("5.4.4", f"{reason}, by answers without proof")
    return replace(unproven, needs_second_look=True)


def _is_own(found: Addresses, rules: MxRules) -> bool:
    if not rules.own_addresses:  # nearly always: nothing is looked at twice
        return False
    return any(_vet(ip, rules) is AddressVerdict.OWN for ip in found.ips)


def _vet(ip: IpAddress, rules: MxRules) -> AddressVerdict:
    return vet_address(ip, own=rules.own_addresses, allowed=rules.allow_networks)


def _shortened(notes: list[str]) -> str:
    more = len(notes) - _NOTES_SHOWN
    shown = "; ".join(notes[:_NOTES_SHOWN])
    return f"{shown}; and {more} more" if more > 0 else shown


def _gone(reason: str, *, is_proven: bool) -> Undeliverable:
    """Judge a domain that does not exist; without proof it takes two looks, as in `_bare`."""
    if is_proven:
        return _bad_domain("5.1.2", reason)
    unproven = _bad_domain("5.4.4", f"{reason}, by an answer without proof")
    return replace(unproven, needs_second_look=True)


def _bad_domain(status: str, reason: str) -> Undeliverable:
    return Undeliverable(status=status, category=Category.BAD_DOMAIN, reason=reason)


def _misdirected(domain: str, why: str) -> Undeliverable:
    """The mail hosts are named wrongly. That may get put right, so the address is not to blame."""
    reason = f"no mail host of {domain} can be used: {why}"
    return Undeliverable(status="5.4.4", category=Category.DNS_FAILURE, reason=reason)


def _loop(domain: str) -> Undeliverable:
    reason = f"we are the best mail host of {domain} ourselves: mail would loop"
    return Undeliverable(status="5.4.6", category=Category.ROUTING_LOOP, reason=reason)


def _unreachable(failure: DnsFailure) -> Breakdown:
    return Breakdown(category=Category.DNS_FAILURE, fault=failure.fault, reason=failure.reason)
