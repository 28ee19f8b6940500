"""Ask DNS blocklists, and judge their answers.

Owns the names of the questions, and what an answer is worth: a list is believed only if it lists
the test address that all have, so one that is dead, refuses us, or is forged is no verdict.

Source: RFC 5782 §2.1, §2.4 (names and answers), §5 (test entries).
"""

from ipaddress import IPv6Address, ip_address, ip_network

from relayd.mail.dns import Addresses, DnsFailure, IpAddress, TextAnswer
from relayd.policy.doctor.dns import LATER, first_failure, shortened
from relayd.policy.doctor.finding import Check, Finding, Level

_ANSWERS = ip_network("127.0.0.0/8")
_REFUSALS = ip_network("127.255.255.0/24")  # Spamhaus's, which others follow
_OWN_RESOLVER = "Run a resolver of your own, and name it in [dns] nameservers."
# Spamhaus lists lines there that are not meant to send mail, whatever they do.
_POLICY_LIST = frozenset({ip_address("127.0.0.10"), ip_address("127.0.0.11")})


def question_for(ip: IpAddress, zone: str) -> str:
    """Return the name to ask for."""
    return f"{ip.reverse_pointer.rsplit('.', 2)[0]}.{zone}"


def listed_probe(ip: IpAddress, zone: str) -> str:
    """Return the name of the entry that every list has, in the family of `ip`."""
    return question_for(ip_address("127.0.0.2" if ip.version == 4 else "::ffff:127.0.0.2"), zone)


def unlisted_probe(ip: IpAddress, zone: str) -> str:
    """Return the name of the entry that no list has."""
    return question_for(ip_address("127.0.0.1" if ip.version == 4 else "::ffff:127.0.0.1"), zone)


def judge_trust(zone: str, ip: IpAddress, test: Addresses) -> Finding | None:
    """Judge the answer to `listed_probe`: None if the list can be believed."""
    failure = first_failure(test)
    level, remedy = Level.UNKNOWN, _OWN_RESOLVER
    if failure is not None:
        reason, remedy = failure.reason, LATER
    elif _refuses(test):
        reason = "the list refuses to answer: it does not serve public or very busy resolvers"
    elif not test.ips and isinstance(ip, IPv6Address):
        level, remedy = Level.SKIPPED, ""
        reason = "the list has no test entry for IPv6: it seems to know no such address"
    elif not test.ips:
        reason = "the list does not know its own test entry: it is out of service, or kept from us"
        remedy = f"{_OWN_RESOLVER[:-1]}, or take the list out of doctor.blocklists."
    elif not _is_answer(test):
        reason, remedy = "an answer that no blocklist gives", "Take the list out of the settings."
    else:
        return None
    return _finding(zone, ip, level, reason, remedy)


def judge_listing(
    zone: str,
    ip: IpAddress,
    found: Addresses,
    *,
    why: TextAnswer | None = None,
    unlisted: Addresses | None = None,
) -> Finding:
    """Judge the answer about an address.

    Where it is listed, `why` is the text of its entry, and `unlisted` the answer to `unlisted_probe`.
    """
    failure = first_failure(found)
    if failure is not None:
        return _finding(zone, ip, Level.UNKNOWN, failure.reason, LATER)
    if _refuses(found) or (found.ips and not _is_answer(found)):
        return _finding(zone, ip, Level.UNKNOWN, "the list refuses to answer", _OWN_RESOLVER)
    if not found.ips:
        return _finding(zone, ip, Level.OK, "not listed", "")
    if unlisted is not None and unlisted.ips:
        remedy = "Take the list out of doctor.blocklists."
        return _finding(zone, ip, Level.UNKNOWN, "the list lists everything: it is dead", remedy)
    codes = ", ".join(str(code) for code in found.ips)
    texts = () if why is None or isinstance(why, DnsFailure) else why.texts
    said = f": {shortened(' '.join(texts))}" if texts else ""
    if zone.endswith((".spamhaus.org", ".spamhaus.net")) and set(found.ips) <= _POLICY_LIST:
        reason = f"listed as a line that is not to send mail directly ({codes}){said}"
        remedy = "Send by the smarthost, or have the address taken off that policy list."
    else:
        reason = f"listed ({codes}){said}"
        remedy = f"Stop the cause, then ask {zone} to take it off; send by the smarthost till then."
    return _finding(zone, ip, Level.FAIL, reason, remedy)


def _refuses(found: Addresses) -> bool:
    return any(ip in _REFUSALS for ip in found.ips)


def _is_answer(found: Addresses) -> bool:
    return all(ip in _ANSWERS for ip in found.ips)


def _finding(zone: str, ip: IpAddress, level: Level, reason: str, remedy: str) -> Finding:
    return Finding(
        check=Check.BLOCKLIST, subject=f"{ip} {zone}", level=level, reason=reason, remedy=remedy
    )
