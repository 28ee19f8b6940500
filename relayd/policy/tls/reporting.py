"""Which days of a domain are told in a TLS report."""

from enum import StrEnum

from relayd.mail.tls_count import CountedDomain


class ReportsSent(StrEnum):
    """The reports that are sent."""

    FAILURES = "failures"  # on days on which something failed
    OFF = "off"
    ALL = "all"


def is_wanted(counted: CountedDomain, sent: ReportsSent) -> bool:
    """Tell whether a day of a domain is reported."""
    return sent is ReportsSent.ALL or (sent is ReportsSent.FAILURES and counted.failed)
