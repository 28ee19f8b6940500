"""Counted TLS sessions as fields."""

from collections.abc import Mapping

from relayd.mail.tls_count import CountedSession

FIELDS = (
    "day",
    "domain",
    "policy",
    "tls_result",
    "sessions",
    "remote_host",
    "remote_ip",
    "local_ip",
    "reason",
)
"""The names of `fields`, in their order."""


def fields(session: CountedSession, count: int) -> Mapping[str, object]:
    """Return sessions that are counted together as JSON fields; without `tls_result` nothing failed."""
    return {
        "day": session.day.isoformat(),
        "domain": session.policy.domain,
        "policy": session.policy.kind.value,
        "tls_result": session.result or None,
        "sessions": count,
        "remote_host": session.host or None,
        "remote_ip": session.ip or None,
        "local_ip": session.source_ip or None,
        "reason": session.reason or None,
    }
