"""Decide what of a new session a TLS report counts, and under which policy.

Counted is what a handshake showed, or that there was none; what an operator decided, or a sender lifted, is nobody's
policy. A session in clear text that nobody wanted otherwise is not counted.

Source: RFC 8460 §4.2, §4.3; docs/tls.md (tables A and B).
"""

from collections.abc import Sequence
from datetime import date

from relayd.mail.attempt import Peer
from relayd.mail.tls_count import CountedPolicy, CountedSession, PolicyKind
from relayd.mail.tls_result import TlsPolicy, TlsProof, TlsResultType
from relayd.mail.tlsa import Tlsa
from relayd.policy.tls.sts import NoPolicy, StsPolicy

_STS = frozenset({TlsPolicy.MTA_STS, TlsPolicy.MTA_STS_TESTING})
_TLSA = frozenset({TlsPolicy.DANE, TlsPolicy.DANE_HOST, TlsPolicy.DANE_UNUSABLE})
_LINES = 50  # of a policy, told in a report


def counted_session(
    peer: Peer,
    domain: str,
    day: date,
    *,
    sts: StsPolicy | None = None,
    base: str = "",
    records: Sequence[Tlsa] = (),
) -> CountedSession | None:
    """Return what is counted of a connection for a recipient's domain; None: nothing.

    `base` and `records` are of the host, where its TLSA records counted.
    """
    told = peer.tls_result
    if told is None or told.policy in (TlsPolicy.OPERATOR, TlsPolicy.TLS_REQUIRED_NO):
        return None
    result = told.result
    if told.policy is TlsPolicy.DANE_UNUSABLE and result is None:
        result = TlsResultType.TLSA_INVALID
    if result is None and told.proof is TlsProof.NONE:
        return None
    policy = _policy(told.policy, domain, sts, base or peer.host, records)
    if result is None:
        return CountedSession(day=day, policy=policy)
    return CountedSession(
        day=day,
        policy=policy,
        result=result.value,
        host=peer.host,
        source_ip=peer.local_ip,
        ip=peer.ip,
        reason=told.reason,
    )


def counted_failure(
    domain: str, policy: StsPolicy | None, why: NoPolicy, day: date
) -> CountedSession | None:
    """Return what is counted when a domain's MTA-STS policy could not be had; None: it has none."""
    if why.fault is None:
        return None
    kept = (
        CountedPolicy(kind=PolicyKind.STS, domain=domain)
        if policy is None
        else _sts(domain, policy)
    )
    return CountedSession(day=day, policy=kept, result=why.fault.value, reason=why.why)


def _policy(
    by: TlsPolicy, domain: str, sts: StsPolicy | None, base: str, records: Sequence[Tlsa]
) -> CountedPolicy:
    if by in _TLSA:
        lines = tuple(str(record) for record in records[:_LINES])
        return CountedPolicy(kind=PolicyKind.TLSA, domain=base, lines=lines)
    if by in _STS and sts is not None:
        return _sts(domain, sts)
    return CountedPolicy(kind=PolicyKind.NONE, domain=domain)


def _sts(domain: str, policy: StsPolicy) -> CountedPolicy:
    return CountedPolicy(
        kind=PolicyKind.STS,
        domain=domain,
        lines=policy.lines[:_LINES],
        hosts=policy.hosts[:_LINES],
    )
