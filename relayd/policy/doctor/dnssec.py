"""Whether a name server checks DNSSEC: what DANE rests on.

The AD bit alone proves nothing. A forwarder on this machine may pass on what another one says, or say it always. So the name
server is also asked for names whose signatures are wrong on purpose: who checks answers SERVFAIL. They are others'
names, and may go: only where each of them is answered with records is the name server at fault.

Sources: RFC 4035 §3.2.3 (AD), §5.5 (bogus); RFC 7672 §2.1 (who may believe the AD bit).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from relayd.policy.doctor.dns import LATER
from relayd.policy.doctor.finding import Check, Finding, Level
from relayd.policy.tls.ladder import TlsMode
from relayd.policy.tls.require import OperatorTls

ROOT = ".", "SOA"  # signed, and known to every name server
BOGUS = ("dnssec-failed.org", "fail01.dnssec.works")  # kept so for tests like this one
_REMEDY = "Run one that checks DNSSEC on this machine, such as unbound, and name it in [dns]."


class Said(Enum):
    """What a name server made of a question."""

    RECORDS = auto()
    NOTHING = auto()  # no such name or record, or another error
    SERVFAIL = auto()
    SILENCE = auto()  # no answer of use


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """One answer of one name server."""

    said: Said
    is_authentic: bool = False  # it has the AD bit, wherever that is from
    reason: str = ""  # why there is none: one line


def dane_is_wanted(*, dane: bool, tls: TlsMode, entries: Sequence[OperatorTls]) -> bool:
    """Tell whether any mail may ask for TLSA records: `direct.dane`, or an entry of `[tls_policy]`."""
    return (dane and tls is not TlsMode.OFF) or OperatorTls.DANE in entries


def judge_not_wanted() -> Finding:
    """Say that nothing rests on DNSSEC."""
    return _found("", Level.SKIPPED, "no mail asks for DANE (direct.dane, direct.tls)")


def judge_untrusted(host: str) -> Finding:
    """Judge a name server whose AD bit is not believed."""
    return _found(
        host,
        Level.WARN,
        "it is not trusted with DNSSEC: whenever it answers, there is no DANE",
        f"{_REMEDY[:-1]}; or name this one in dns.trusted, if nobody can change its answers on the way.",
    )


def judge_trusted(host: str, root: ServerAnswer, bogus: Sequence[ServerAnswer]) -> Finding:
    """Judge a name server whose AD bit is believed, by its answers to `ROOT` and to each of `BOGUS`."""
    if root.said is Said.SILENCE:
        return _found(host, Level.UNKNOWN, root.reason, LATER)
    if root.said is not Said.RECORDS or not root.is_authentic:
        return _found(
            host,
            Level.WARN,
            "it does not check DNSSEC (no AD bit for the root): there is no DANE",
            f"Turn validation on there. {_REMEDY}",
        )
    if any(answer.said is Said.SERVFAIL for answer in bogus):
        return _found(host, Level.OK, "it checks DNSSEC, and refuses what has a wrong signature")
    if all(answer.said is Said.RECORDS for answer in bogus):
        return _found(
            host,
            Level.WARN,
            f"its AD bit means nothing: it answers for {' and '.join(BOGUS)}, whose signatures are wrong",
            f"Turn validation on there: what it says may be forged. {_REMEDY}",
        )
    reasons = ", ".join(_reasons(bogus))
    return _found(host, Level.UNKNOWN, f"whether it refuses wrong signatures: {reasons}", LATER)


def vouches_for_all(bogus: Sequence[ServerAnswer]) -> bool:
    """Tell whether a name server sets the AD bit whatever it is asked: its answers to each of `BOGUS` have it.

    One of the names may have right signatures one day. Who answers for them without the AD bit says nothing wrong.
    """
    return all(each.said is Said.RECORDS and each.is_authentic for each in bogus)


def _reasons(bogus: Sequence[ServerAnswer]) -> Iterator[str]:
    for name, answer in zip(BOGUS, bogus, strict=True):
        if answer.said is not Said.RECORDS:
            yield answer.reason or f"nothing is known of {name}"


def _found(host: str, level: Level, reason: str, remedy: str = "") -> Finding:
    return Finding(check=Check.DNSSEC, subject=host, level=level, reason=reason, remedy=remedy)
