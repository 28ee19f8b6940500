"""Counted TLS sessions for tests."""

from relayd.mail.tls_count import CountedPolicy, CountedSession, PolicyKind
from tests.support.clock import START


def a_tls_session(domain: str = "x.test", *, result: str = "certificate-expired") -> CountedSession:
    """Return one of the day on which clocks of tests start; an empty `result`: nothing failed."""
    policy = CountedPolicy(kind=PolicyKind.NONE, domain=domain)
    if not result:
        return CountedSession(day=START.date(), policy=policy)
    return CountedSession(
        day=START.date(),
        policy=policy,
        result=result,
        host=f"mx.{domain}",
        source_ip="192.0.2.9",
        ip="192.0.2.1",
        reason=f"the certificate of mx.{domain} has expired",
    )
