"""What each worker may use of a limit: together the limit, exactly, also when one joins or leaves."""

from collections.abc import Collection, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.policy.delivery.shares import ALONE, NOTHING, Part, is_scarce, share_of, slots_of
from relayd.policy.delivery.throttle import TOKEN_WAIT, Throttle

LIMITS = st.integers(0, 2000)
MEMBERS = st.integers(1, 200)


@pytest.mark.parametrize(
    ("limit", "members", "shares"),
    [
        (7, 1, [7]),
        (7, 3, [3, 2, 2]),
        (7, 6, [2, 1, 1, 1, 1, 1]),
        (6, 3, [2, 2, 2]),
        (2, 4, [1, 1, 0, 0]),
        (0, 2, [0, 0]),
    ],
)
def test_what_is_left_over_goes_to_the_first(limit: int, members: int, shares: list[int]) -> None:
    assert [share_of(limit, Part(rank, members)) for rank in range(members)] == shares


@given(LIMITS, MEMBERS)
def test_all_shares_together_are_the_limit(limit: int, members: int) -> None:
    """None differs from another by more than one."""
    shares = [share_of(limit, Part(rank, members)) for rank in range(members)]
    assert sum(shares) == limit
    assert max(shares) - min(shares) <= 1
    assert is_scarce(limit, ALONE._replace(members=members)) == (min(shares) == 0)


@given(LIMITS, MEMBERS, st.integers(0, 199), st.integers(0, 5), st.integers(0, 5))
def test_a_share_never_grows_when_somebody_joins(
    limit: int, members: int, rank: int, before: int, after: int
) -> None:
    part = Part(rank % members, members)
    joined = Part(part.rank + before, members + before + after)
    assert share_of(limit, joined) <= share_of(limit, part)


@given(LIMITS, st.data())
def test_the_limit_holds_while_each_counts_others_that_are_gone(
    limit: int, data: st.DataObject
) -> None:
    """Who has a part counts all others that have one. It may also count some that died, or that wait for theirs."""
    names = range(12)
    active = data.draw(st.sets(st.sampled_from(names), min_size=1))
    parts = [_part_of(me, active | data.draw(st.sets(st.sampled_from(names)))) for me in active]
    assert sum(share_of(limit, part) for part in parts) <= limit


def test_the_limit_is_broken_where_one_does_not_count_another() -> None:
    """The control: who joins must not have a part before the others know."""
    seen: Sequence[tuple[int, Collection[int]]] = [(1, {1, 2}), (2, {1, 2}), (3, {1, 2, 3})]
    assert sum(share_of(6, _part_of(me, others)) for me, others in seen) > 6


def _part_of(me: int, seen: Collection[int]) -> Part:
    return Part(sum(each < me for each in seen), len(seen))


def test_who_is_not_counted_has_nothing() -> None:
    assert not NOTHING.is_counted
    assert share_of(100, NOTHING) == 0
    assert not is_scarce(1, NOTHING)


def test_no_more_workers_send_by_a_smarthost_than_it_has_connections() -> None:
    """So a limit of 2 holds with 8 workers: each of the two that may send has one."""
    assert (slots_of(2, 8), slots_of(20, 8)) == (2, 8)


@given(st.integers(1, 40), st.integers(0, 80))
def test_a_rate_that_is_shared_is_used_and_kept_in_each_minute(members: int, more: int) -> None:
    """Each begins with a message at once, and goes on evenly: together the limit, in the first minute as in others."""
    limit = members + more
    sent: list[float] = []
    for rank in range(members):
        throttle, at = Throttle(share_of(limit, Part(rank, members))), 0.0
        while at < 180:
            wait = throttle.token("x.test", now=at)
            at += wait
            if wait <= TOKEN_WAIT:
                sent.append(at)
    for minute in range(3):
        within = [at for at in sent if 60 * minute - 1e-6 <= at < 60 * (minute + 1) - 1e-6]
        assert len(within) == limit
