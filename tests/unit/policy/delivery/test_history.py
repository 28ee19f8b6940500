"""What a worker remembers of destinations, and that it stays bounded."""

import pytest

from relayd.policy.delivery import history
from relayd.policy.delivery.history import DestinationHistory


def test_failures_count_until_it_takes_mail() -> None:
    seen = DestinationHistory()
    assert [seen.has_failed("mx:a.test") for _ in range(3)] == [1, 2, 3]
    assert not seen.known_good
    seen.took_mail("mx:a.test")
    assert set(seen.known_good) == {"mx:a.test"}
    assert not seen.failed
    assert seen.has_failed("mx:a.test") == 1
    assert not seen.known_good


def test_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "KNOWN_GOOD_AT_MOST", 2)
    monkeypatch.setattr(history, "FAILED_AT_MOST", 2)
    seen = DestinationHistory()
    for name in "abac":
        seen.took_mail(name)
    assert set(seen.known_good) == {"a", "c"}
    for name in "dedf":
        seen.has_failed(name)
    assert set(seen.failed) == {"d", "f"}
