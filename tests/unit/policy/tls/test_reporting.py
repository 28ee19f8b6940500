"""Which days of a domain are reported."""

from datetime import date

import pytest

from relayd.mail.tls_count import CountedDomain
from relayd.policy.tls.reporting import ReportsSent, is_refused_report, is_wanted


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


@pytest.mark.parametrize(
    ("reverse_path", "code", "refused"),
    [
        ("", 550, True),
        ("", 450, False),  # given up by age
        ("", None, False),  # nobody was reached
        ("app@a.test", 550, False),
    ],
)
def test_who_refuses_reports(reverse_path: str, code: int | None, *, refused: bool) -> None:
    assert is_refused_report(reverse_path, code) is refused
