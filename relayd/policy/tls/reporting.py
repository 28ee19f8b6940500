"""Which days of a domain are told in a TLS report."""

from datetime import timedelta
from enum import StrEnum

from relayd.mail.tls_count import CountedDomain


class ReportsSent(StrEnum):
    """The reports that are sent."""

    FAILURES = "failures"  # on days on which something failed
    OFF = "off"
    ALL = "all"


RESTS_FOR = timedelta(days=30)
"""An address that refused a report gets none for so long (own)."""


def is_refused_report(reverse_path: str, code: int | None) -> bool:
    """Tell whether mail that bounced was of our own, and refused by a server for good."""
    return not reverse_path and code is not None and code >= 500


def is_wanted(counted: CountedDomain, sent: ReportsSent) -> bool:
    """Tell whether a day of a domain is reported."""
    return sent is ReportsSent.ALL or (sent is ReportsSent.FAILURES and counted.failed)
