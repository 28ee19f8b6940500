"""Permits, and the limits that the settings name."""

import random  # noqa: TID251 -- seeded

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.policy.accounts.booking import AHEAD, book, give_back
from relayd.policy.accounts.limits import AccountLimits, left_of, with_used
from relayd.policy.accounts.pace import Pace
from relayd.policy.accounts.state import AccountState, read, written

NOW = 1_800_000_000.0


def instants(limits: AccountLimits, seconds: float, *, workers: int, seed: int) -> list[float]:
    """When messages begin, if so many workers book as they please, for some time."""
    chance, state, now, begun = random.Random(seed), AccountState(), NOW, list[float]()
    free_at = [NOW] * workers
    while now < NOW + seconds:
        number = min(range(workers), key=lambda each: free_at[each])
        now = max(now, free_at[number])
        state, booked = book(state, limits, chance.randint(1, 50), now)
        state = read(written(state))  # as another worker has it
        begun += [booked.first + each * booked.every for each in range(booked.count)]
        ends = begun[-1] + booked.every if booked.count else booked.until
        free_at[number] = max(ends, now + 0.01)
    return sorted(at for at in begun if at < NOW + seconds)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 40), st.integers(1, 3), st.integers(0, 1000))
def test_no_second_has_more_than_its_rate_and_one(rate: int, workers: int, seed: int) -> None:
    """Over 10 minutes, whichever workers book."""
    begun = instants(AccountLimits(per_second=rate), 600, workers=workers, seed=seed)
    for index, at in enumerate(begun):
        beyond = index + rate + 1
        assert beyond >= len(begun) or begun[beyond] >= at + 1 - 1e-3
    assert len(begun) >= 0.98 * rate * 600


@pytest.mark.parametrize(
    ("limits", "seconds", "wanted"),
    [
        (AccountLimits(per_minute=30), 600, 300),
        (AccountLimits(per_second=10, per_minute=60), 600, 600),
        (AccountLimits(per_hour=100), 1800, 100),
        (AccountLimits(per_hour=100), 3 * 3600, 300),
        (AccountLimits(per_day=500, per_second=5), 86_000, 500),
    ],
)
def test_what_is_allowed_is_used(limits: AccountLimits, seconds: float, wanted: int) -> None:
    assert wanted * 0.95 <= len(instants(limits, seconds, workers=2, seed=1)) <= wanted + 1


def test_no_hour_and_no_day_has_more_than_its_number() -> None:
    begun = instants(AccountLimits(per_hour=90, per_day=400), 2 * 86_400, workers=2, seed=2)
    for length, most in ((3600, 90), (86_400, 400)):
        for index, at in enumerate(begun):
            assert index + most >= len(begun) or begun[index + most] > at + length


def test_a_quota_that_is_used_up_says_until_when() -> None:
    limits = AccountLimits(per_day=2)
    state, first = book(AccountState(), limits, 5, NOW)
    assert first.count == 2
    _, none = book(state, limits, 1, NOW + 60)
    assert none.count == 0
    assert none.why == "its 2 messages of the day are sent"
    assert NOW + 86_400 < none.until <= NOW + 86_400 * (1 + 2 / 60)
    again, _ = left_of(state.counts, "day", 2, none.until)
    assert again == 2


def test_what_is_given_back_counts_for_nothing() -> None:
    limits = AccountLimits(per_day=2)
    state, _ = book(AccountState(), limits, 2, NOW)
    _, again = book(give_back(state, limits, 2, NOW), limits, 2, NOW)
    assert again.count == 2
    assert with_used({}, ["day"], -5, NOW)["day"][-1][1] == 0


def test_without_limits_permits_come_at_once() -> None:
    state, free = book(AccountState(), AccountLimits(), 1000, NOW)
    assert free.is_free
    assert state == AccountState(), "nothing is written"
    _, booked = book(AccountState(), AccountLimits(per_day=1000), 1000, NOW)
    assert (booked.count, booked.first, booked.every) == (20, NOW, 0.0)


def test_no_permit_is_far_ahead() -> None:
    """Until then another worker may be told to rest."""
    state = AccountState(free_at=NOW + 30)
    _, booked = book(state, AccountLimits(per_minute=1), 1, NOW)
    assert (booked.count, booked.until) == (0, NOW + 30)
    _, soon = book(AccountState(free_at=NOW + AHEAD), AccountLimits(per_minute=1), 1, NOW)
    assert (soon.count, soon.first) == (1, NOW + AHEAD)


def test_a_clock_that_was_set_back_stops_nothing() -> None:
    _, booked = book(AccountState(free_at=NOW + 3600), AccountLimits(per_second=1), 1, NOW)
    assert booked.first == NOW


def test_a_pace_that_was_learnt_holds_beside_the_settings() -> None:
    known = Pace(base=2.0, since=NOW - 10, rests_until=NOW - 5, is_measured=True)
    state, booked = book(AccountState(pace=known), AccountLimits(per_second=50), 100, NOW, taken=3)
    assert booked.every == pytest.approx(0.5, rel=0.01)
    assert state.pace is not None
    assert state.pace.taken == 3
    resting = Pace(base=2.0, since=NOW, rests_until=NOW + 7)
    _, none = book(AccountState(pace=resting), AccountLimits(), 1, NOW)
    assert (none.count, none.until) == (0, NOW + 7)
    old = Pace(base=2.0, since=NOW - 86_400, rests_until=NOW - 86_000)
    state, booked = book(AccountState(pace=old), AccountLimits(), 1, NOW)
    assert state.pace is None
    assert booked.is_free


def test_nothing_allowed_is_asked_for_again() -> None:
    left, again = left_of({}, "hour", 0, NOW)
    assert (left, again) == (0, NOW + 60)


def test_a_state_is_read_as_it_was_written() -> None:
    pace = Pace(base=2.0, since=1.0, rests_until=3.0, before=0.5)
    state = AccountState(free_at=5.0, counts={"day": [(1, 2)]}, pace=pace)
    assert read(written(state)) == state
    assert read(written(AccountState())) == AccountState()


@pytest.mark.parametrize(
    "text",
    [None, "", "{", "[]", '{"free_at": 1}', '{"free_at": 1, "counts": {}, "pace": {"x": 1}}'],
)
def test_a_state_that_cannot_be_read_is_as_none(text: str | None) -> None:
    assert read(text) == AccountState()
