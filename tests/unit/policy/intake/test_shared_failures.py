"""Failures that processes count together: as one process counts them, in memory of a fixed size."""

from mmap import mmap

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relayd.policy.intake.failures import Failures, Pace
from relayd.policy.intake.shared_failures import OCTETS, SharedFailures
from tests.support.forked import in_a_child

PACE = Pace(free=5, every=900.0)
TIMES = 12


def alone(pace: Pace = PACE) -> SharedFailures:
    return SharedFailures(pace, key=b"secret", octets=bytearray(OCTETS))


def test_the_waits_grow_and_end() -> None:
    failures, now, waits = alone(), 1000.0, []
    for _ in range(TIMES):
        failures.add("a", now=now)
        waits.append(failures.wait("a", now=now))
        now += waits[-1]
        assert failures.wait("a", now=now) == 0
    assert waits[:9] == [0, 0, 0, 0, 30, 60, 120, 240, 480]
    assert max(waits) == waits[-1] == 900


def test_nothing_is_counted_at_first_or_of_others() -> None:
    failures = alone()
    assert failures.wait("a", now=0.0) == 0
    for _ in range(TIMES):
        failures.add("a", now=0.0)
    assert failures.wait("b", now=0.0) == 0
    failures.forget("a")
    assert failures.wait("a", now=0.0) == 0


@given(st.lists(st.floats(0, 1000), max_size=60))
@example([0.0, 0.0, 39.0, 46.0, 715.0, 1000.0])
def test_it_counts_as_one_process_does(gaps: list[float]) -> None:
    """But for what the count in a cell is rounded by, which may be a step of the wait."""
    failures, other, now = alone(), Failures(PACE, room=9, key=b"secret"), 0.0
    rounded = len(gaps) / 8192
    for gap in gaps:
        now += round(gap)  # so that no fraction is lost between the two
        failures.add("a", now=now)
        other.add("a", now=now)
        [count] = other._counts.values()
        least, most = (PACE.wait(count.level + each) for each in (-rounded, rounded))
        assert least <= failures.wait("a", now=now) + 0.01
        assert failures.wait("a", now=now) <= most + 0.01


def test_processes_that_were_forked_share_it() -> None:
    failures = SharedFailures(PACE, key=b"secret", octets=mmap(-1, OCTETS))

    def fail() -> None:
        for _ in range(PACE.free):
            failures.add("a", now=5.0)

    in_a_child(fail)
    assert failures.wait("a", now=5.0) == 30


def test_a_pace_that_no_cell_has_room_for_is_refused() -> None:
    with pytest.raises(AssertionError):
        alone(Pace(free=20, every=900.0))
