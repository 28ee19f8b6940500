"""What is told before direct mode is turned on; the command's own tests are in `tests/unit/cli`."""

from typing import Any

from relayd.answers.warnings import found_wrong
from relayd.policy.doctor.finding import Check, Finding, Level

OURS = "relay.firm-of-ours.com"


def test_what_the_doctor_finds_at_a_glance_is_told_with_its_remedy() -> None:
    given: dict[str, Any] = {"check": Check.FORWARD, "subject": OURS, "remedy": "add it"}
    findings = [
        Finding(level=Level.OK, reason="leads here", **given),
        Finding(level=Level.FAIL, reason="has no address", **given),
        Finding(level=Level.WARN, reason="has one only", **(given | {"remedy": ""})),
        Finding(level=Level.UNKNOWN, reason="no answer", **given),
    ]
    *told, rest = found_wrong(findings)
    assert told == ["fail, forward-dns: has no address; add it", "warn, forward-dns: has one only"]
    assert "`relayd doctor` for the rest" in rest
