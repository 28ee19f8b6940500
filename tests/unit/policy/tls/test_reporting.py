"""Which days of a domain are reported."""

from datetime import date

import pytest

from relayd.mail.tls_count import CountedDomain
from relayd.policy.tls.reporting import ReportsSent, is_wanted


@pytest.mark.parametrize(
    ("sent", "failed", "wanted"),
    [
        ("off", True, False),
        ("off", False, False),
        ("failures", True, True),
        ("failures", False, False),
        ("all", True, True),
        ("all", False, True),
    ],
)
def test_what_is_reported(sent: str, *, failed: bool, wanted: bool) -> None:
    day = CountedDomain(day=date(2026, 11, 29), domain="a.test", failed=failed)
    assert is_wanted(day, ReportsSent(sent)) is wanted
