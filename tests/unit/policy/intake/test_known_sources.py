"""From where users logged in lately: who is known, for how long, and who pushes out whom."""

from mmap import mmap

from relayd.policy.intake.known_sources import KNOWN_FOR, OCTETS, KnownSources
from tests.support.accounts import lone_sources
from tests.support.forked import in_a_child


def test_a_source_is_known_for_a_day() -> None:
    known = lone_sources()
    known.add("app", "192.0.2.7", now=100.5)
    assert known.has("app", "192.0.2.7", now=100.5)
    assert known.has("app", "192.0.2.7", now=100.5 + KNOWN_FOR - 1)
    assert not known.has("app", "192.0.2.7", now=100.5 + KNOWN_FOR + 1)
    assert not known.has("app", "192.0.2.8", now=100.5)
    assert not known.has("other", "192.0.2.7", now=100.5)
    known.add("app", "192.0.2.7", now=100.5 + KNOWN_FOR)
    assert known.has("app", "192.0.2.7", now=100.5 + KNOWN_FOR + 1)


def test_nothing_is_known_at_first() -> None:
    assert not any(lone_sources().has(f"u{number}", "192.0.2.7", now=0.0) for number in range(999))


def test_an_account_pushes_out_its_own_sources_only() -> None:
    known = lone_sources()
    known.add("app", "192.0.2.7", now=0.0)
    for number in range(1000):
        known.add("tenant", f"host{number}", now=float(number))
    assert known.has("app", "192.0.2.7", now=999.0)
    kept = [number for number in range(1000) if known.has("tenant", f"host{number}", now=999.0)]
    assert kept == list(range(1000 - 64, 1000)), "the latest"


def test_a_source_that_comes_again_takes_no_second_place() -> None:
    known = lone_sources()
    known.add("app", "first", now=0.0)
    for number in range(200):
        known.add("app", "second", now=float(number))
    assert known.has("app", "first", now=200.0)


def test_processes_that_were_forked_share_it() -> None:
    known = KnownSources(b"secret", mmap(-1, OCTETS))
    in_a_child(lambda: known.add("app", "192.0.2.7", now=5.0))
    assert known.has("app", "192.0.2.7", now=6.0)
