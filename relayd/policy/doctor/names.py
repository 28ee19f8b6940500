"""Our name and our addresses, as a receiver looks at them before it reads any mail.

Owns the judgement on the shape of `fqdn`, on its addresses, on the name we say in EHLO, and on
reverse DNS: the name of an address counts if it leads back to that address.

Sources: RFC 5321 §2.3.5, §4.1.4; RFC 1912 §2.1 (PTR and A match); RFC 6761, RFC 6762, RFC 8375 and
the reserved `internal` (names that no DNS knows).
"""

import re
from collections.abc import Mapping, Sequence

from relayd.mail.dns import Addresses, DnsFailure, IpAddress, NameAnswer
from relayd.policy.doctor.dns import LATER, first_failure, why_not_public
from relayd.policy.doctor.finding import Check, Finding, Level

_NOT_IN_DNS = frozenset(
    {
        "corp",
        "example",
        "home",
        "internal",
        "intranet",
        "invalid",
        "lan",
        "local",
        "localdomain",
        "localhost",
        "private",
        "test",
    }
)
_SAMPLES = frozenset({"example.com", "example.net", "example.org", "home.arpa"})
# What providers call the addresses of their customers' homes.
_GENERIC = re.compile(
    r"(?:^|[.-])(?:a?dsl|broadband|cable|customers?|dhcp|dial(?:in|up)?|dyn(?:amic)?|ppp|pool)[0-9]*[.-]"
    r"|[0-9]{1,3}(?:[.-][0-9]{1,3}){3}[.-]"
)


def judge_fqdn(fqdn: str, *, direct: bool) -> Finding:
    """Judge the shape of the name; the settings have checked its spelling."""
    name = fqdn.lower()
    labels = name.split(".")

    def found(level: Level, reason: str, remedy: str = "") -> Finding:
        return Finding(check=Check.FQDN, subject=fqdn, level=level, reason=reason, remedy=remedy)

    worse = Level.FAIL if direct else Level.WARN
    if labels[-1] in _NOT_IN_DNS or ".".join(labels[-2:]) in _SAMPLES:
        return found(
            worse,
            "a name that is reserved or private: nobody else can look it up",
            "Set fqdn to a name of this machine in a domain that you own.",
        )
    if is_generic(name):
        return found(
            Level.WARN,
            "it looks like the name of a customer's line, which many receivers refuse",
            "Set fqdn to a name of your own, such as relay.YOUR-DOMAIN.",
        )
    return found(Level.OK, "a fully qualified domain name")


def is_generic(name: str) -> bool:
    """The name looks made up by a provider, who is left out himself: the last two labels."""
    hosts = name.split(".")[:-2]
    return _GENERIC.search(f"{'.'.join(hosts)}.") is not None


def judge_source(ip: IpAddress) -> Finding:
    """Judge an address that connections would come from."""
    what = why_not_public(ip)
    if what:
        return Finding(
            check=Check.SOURCE,
            subject=str(ip),
            level=Level.UNKNOWN,
            reason=f"{what}: receivers see another address, that of a gateway",
            remedy="Name the address that receivers see with --address IP.",
        )
    return Finding(
        check=Check.SOURCE, subject=str(ip), level=Level.OK, reason="a public address, to send from"
    )


def judge_not_direct() -> Finding:
    """Say that what direct mode rests on is not looked at."""
    return Finding(
        check=Check.DIRECT,
        subject="",
        level=Level.SKIPPED,
        reason="all mail goes by the smarthost; --direct looks at what direct mode rests on",
    )


def judge_no_source() -> Finding:
    return Finding(
        check=Check.SOURCE,
        subject="",
        level=Level.FAIL,
        reason="this machine has no route to the internet",
        remedy="Look at the network, or name the address that receivers see with --address IP.",
    )


def judge_not_ours(ip: IpAddress, named_by: str) -> Finding:
    """Judge a source that this machine lacks; `named_by` is the setting that names it."""
    return Finding(
        check=Check.SOURCE,
        subject=str(ip),
        level=Level.FAIL,
        reason=f"{named_by} names it, but this machine does not have it",
        remedy=f"Give the address to an interface, or take it out of {named_by}.",
    )


def judge_forward(fqdn: str, found: Addresses) -> Finding:
    """Judge the addresses of our name."""
    listed = ", ".join(str(ip) for ip in found.ips)
    failure = first_failure(found)
    hidden = [f"{ip} is {why}" for ip in found.ips if (why := why_not_public(ip))]
    level, reason, remedy = Level.OK, f"leads to {listed}", ""
    if not found.ips and failure is not None:
        level, reason, remedy = Level.UNKNOWN, failure.reason, LATER
    elif not found.ips:
        level, reason = Level.FAIL, "the name has no address (A or AAAA record)"
        remedy = f"Publish an A record of {fqdn} with the address that relayd sends from."
    elif hidden:
        level = Level.WARN if len(hidden) < len(found.ips) else Level.FAIL
        reason = f"leads to what nobody outside can reach: {'; '.join(hidden)}"
        remedy = (
            f"Publish only the public addresses of {fqdn}; if that is so outside,"
            " name a name server in [dns] that sees what they see."
        )
    return Finding(check=Check.FORWARD, subject=fqdn, level=level, reason=reason, remedy=remedy)


def judge_helo(helo: str, found: Addresses, ip: IpAddress) -> Finding:
    """Judge whether the name in EHLO leads to the address that says it."""
    failure = first_failure(found)
    level, reason, remedy = Level.OK, f"EHLO {helo} leads to this address", ""
    if ip not in found.ips and failure is not None:
        level, reason, remedy = Level.UNKNOWN, failure.reason, LATER
    elif ip not in found.ips:
        family = "A" if ip.version == 4 else "AAAA"
        level, reason = Level.FAIL, f"EHLO {helo} does not lead to the address that says it"
        remedy = f"Publish the {family} record {ip} of {helo}, or send from an address that it has."
    return Finding(check=Check.HELO, subject=str(ip), level=level, reason=reason, remedy=remedy)


def judge_reverse(
    helo: str, ip: IpAddress, names: NameAnswer, forward: Mapping[str, Addresses]
) -> Finding:
    """Judge reverse DNS; `forward` has the addresses of every name that it gives.

    `helo` is what we call ourselves at this address.
    """
    given = () if isinstance(names, DnsFailure) else names.names
    confirmed = [name for name in given if ip in forward[name].ips]
    failures = [names] if isinstance(names, DnsFailure) else _failures(given, forward)
    remedy = f"Have the owner of the address (your provider) set its PTR record to {helo}."
    level = Level.WARN
    if helo.lower() in confirmed:
        level, reason, remedy = Level.OK, f"its name is {helo.lower()}, which leads back to it", ""
    elif confirmed and is_generic(confirmed[0]):
        reason = f"its name is {confirmed[0]}, which looks like a customer's line"
    elif confirmed:
        reason = f"its name is {confirmed[0]}, but we say EHLO {helo}: some receivers compare"
        remedy = f"{remedy[:-1]}, or our name there to {confirmed[0]}."
    elif failures:
        level, reason, remedy = Level.UNKNOWN, failures[0].reason, LATER
    elif given:
        level, reason = Level.FAIL, f"its name {', '.join(given)} does not lead back to it"
        remedy = f"{remedy[:-1]}, and publish the address of that name."
    else:
        level, reason = Level.FAIL, "the address has no name (PTR record)"
    return Finding(check=Check.REVERSE, subject=str(ip), level=level, reason=reason, remedy=remedy)


def _failures(names: Sequence[str], forward: Mapping[str, Addresses]) -> list[DnsFailure]:
    return [failure for name in names for failure in forward[name].failures]
