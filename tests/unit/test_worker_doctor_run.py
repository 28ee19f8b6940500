"""What a run of the checks takes over from the saved result: no blocklist is asked twice within an hour."""

from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

from relayd.doctor.blocklists import KEPT_FOR
from relayd.doctor.saved import save
from relayd.policy.doctor.finding import Check, Finding, Level
from relayd.worker.doctor_run import remembered
from tests.support.clock import FakeClock
from tests.support.supervised import settings_of

LISTED = Finding(
    check=Check.BLOCKLIST, subject="192.0.2.1 zen.test", level=Level.FAIL, reason="listed"
)


def test_what_blocklists_said_is_remembered_with_its_age(tmp_path: Path) -> None:
    settings = settings_of([], control="unused", queue=str(tmp_path / "queue.db"))
    clock = FakeClock()
    assert remembered(settings, clock) == {}
    findings = [
        LISTED,
        replace(LISTED, subject="192.0.2.1 silent.test", level=Level.UNKNOWN),
        replace(LISTED, subject="nonsense"),
        replace(LISTED, subject="nonsense zen.test"),
        replace(LISTED, check=Check.HELO),
    ]
    save(settings, findings, clock.now())
    clock.advance(timedelta(minutes=59))
    [(key, (at, finding))] = remembered(settings, clock).items()
    assert key == ("zen.test", ip_address("192.0.2.1"))
    assert finding == LISTED
    assert clock.monotonic() - at == 59 * 60 < KEPT_FOR
