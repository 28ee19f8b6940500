"""How fast a site is given mail: the slow start, and turns at an even rate."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.policy.delivery.throttle import LINE_KEPT, TOKEN_WAIT, SlowStart, Throttle, line_kept

# --- connections


def test_each_answer_allows_one_connection_more_up_to_the_limit() -> None:
    slow_start, seen = SlowStart(4), []
    for _ in range(6):
        seen.append(slow_start.allowed)
        slow_start = slow_start.raised()
    assert seen == [1, 2, 3, 4, 4, 4]


@pytest.mark.parametrize(
    ("served", "seconds", "kept"),
    [(0, 0.0, LINE_KEPT), (3, 60.0, LINE_KEPT), (50, 5.0, 300), (50, 0.01, 1500)],
)
def test_a_line_keeps_those_who_are_served_soon(served: int, seconds: float, kept: int) -> None:
    """So a site that is fast loses nothing, and one that is slow takes no room."""
    assert line_kept(served, seconds, to_seconds=30) == kept


def test_who_is_turned_away_uses_half_as_many_but_one_at_least() -> None:
    slow_start, seen = SlowStart(20, 20), []
    for _ in range(6):
        slow_start = slow_start.halved()
        seen.append(slow_start.allowed)
    assert seen == [10, 5, 2, 1, 1, 1]


@given(st.integers(1, 50), st.lists(st.booleans()))
def test_a_ramp_stays_within_its_bounds(most: int, answers: list[bool]) -> None:
    slow_start = SlowStart(most)
    for answered in answers:
        slow_start = slow_start.raised() if answered else slow_start.halved()
        assert 1 <= slow_start.allowed <= most


# --- turns


def test_the_first_turn_is_at_once_and_the_others_follow_evenly() -> None:
    throttle = Throttle(60)
    assert [throttle.token("a", now=100.0) for _ in range(4)] == [0, 1, 2, 3]


def test_time_that_nobody_used_is_not_saved_up() -> None:
    """A site that was left alone for an hour gets no burst."""
    throttle = Throttle(60)
    assert throttle.token("a", now=0.0) == 0
    assert [throttle.token("a", now=3600.0) for _ in range(3)] == [0, 1, 2]


def test_who_would_wait_too_long_comes_again_when_its_turn_is() -> None:
    throttle = Throttle(6)  # one in ten seconds
    assert throttle.token("a", now=0.0) == 0
    assert throttle.token("a", now=0.0) == 10
    assert throttle.token("a", now=4.0) == 6, "it is booked: asking again takes no other token"
    assert throttle.token("b", now=4.0) == 16
    assert throttle.token("a", now=10.5) == 0
    assert throttle.token("b", now=15.0) == 5, "near enough to wait for"
    assert throttle.token("c", now=15.0) == 15


def test_a_turn_is_kept_for_a_while_for_one_who_is_late() -> None:
    throttle = Throttle(6)
    throttle.token("a", now=0.0)
    assert [throttle.token(who, now=0.0) for who in "abc"] == [10, 20, 30]
    assert throttle.token("a", now=19.0) == 0
    assert throttle.token("b", now=31.0) == 9, "too late: it has to line up anew"
    assert throttle.token("c", now=31.0) == 0


def test_a_turn_that_was_missed_goes_to_who_has_none() -> None:
    """Its destination may be another worker's by now; half of a rate was lost by that."""
    throttle = Throttle(6)
    assert [throttle.token(who, now=0.0) for who in "aabc"] == [0, 10, 20, 30]
    assert throttle.token("d", now=10.5) == 29.5, "its owner may still come"
    assert throttle.token("e", now=12.0) == 0
    assert throttle.token("a", now=12.0) == 38, "and has lost it then"
    assert throttle.token("b", now=22.0) == 0, "others keep theirs"


def test_nothing_is_booked_far_ahead() -> None:
    """What the settings or the queue are by then, nobody knows."""
    throttle = Throttle(1)
    waits = [throttle.token(str(number), now=0.0) for number in range(9)]
    assert waits == [0, 60, 120, 180, 240, 300, 300, 300, 300]
    assert [throttle.token(str(number), now=300.0) for number in (6, 7)] == [60, 120]


def test_it_can_be_forgotten_when_the_next_turn_is_free() -> None:
    throttle = Throttle(60)
    assert throttle.is_idle(now=0.0)
    throttle.token("a", now=0.0)
    assert not throttle.is_idle(now=0.9)
    assert throttle.is_idle(now=1.0)


@given(
    st.integers(1, 600),
    st.lists(st.tuples(st.sampled_from("abcde"), st.floats(0, 20)), max_size=60),
)
def test_turns_are_never_closer_than_the_rate_allows(
    per_minute: int, calls: list[tuple[str, float]]
) -> None:
    """But for those who are late at a booked one, or have one that was missed: they are left out here."""
    throttle, now, granted = Throttle(per_minute), 0.0, []
    for who, later in calls:
        now += later
        booked = throttle._booked.get(who)
        missed = booked is None and any(at < now - 1 for at in throttle._booked.values())
        wait = throttle.token(who, now=now)
        assert wait >= 0
        is_late = missed or (booked is not None and booked < now)
        if wait <= TOKEN_WAIT and not is_late:
            granted.append(now + wait)
    assert granted == sorted(granted)
    gaps = [after - before for before, after in pairwise(granted)]
    assert all(gap >= 60 / per_minute - 1e-6 for gap in gaps)


@given(
    st.integers(1, 600),
    st.lists(st.tuples(st.sampled_from("abcde"), st.floats(0, 20)), max_size=60),
)
def test_all_turns_together_are_within_the_rate(
    per_minute: int, calls: list[tuple[str, float]]
) -> None:
    """Whoever uses them: each is used once, and not before its time."""
    throttle, now, granted = Throttle(per_minute), 0.0, []
    for who, later in calls:
        now += later
        wait = throttle.token(who, now=now)
        if wait <= TOKEN_WAIT:
            granted.append(now + wait)
    assert all(at >= n * 60 / per_minute - 1e-6 for n, at in enumerate(sorted(granted)))


def test_a_limit_that_changes_keeps_what_was_learnt() -> None:
    """Fewer at once if it shrinks; more only as before, one for each transaction, if it grows."""
    found = SlowStart(6, 5)
    assert found.limited(2) == SlowStart(2, 2)
    assert found.limited(9) == SlowStart(9, 5)
    assert found.limited(9).raised() == SlowStart(9, 6)


def test_a_rate_that_changes_holds_for_who_asks_next() -> None:
    throttle = Throttle(60)
    given = [throttle.token(who, now=0.0) for who in ("a", "b")]
    throttle.limit(30)
    given += [throttle.token(who, now=0.0) for who in ("c", "d")]
    assert given == [0.0, 1.0, 2.0, 4.0]
