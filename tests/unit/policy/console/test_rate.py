"""A key makes as many requests a minute as it may, and no more."""

import pytest

from relayd.policy.console.rate import Rates


def test_a_minutes_worth_at_once_and_then_evenly() -> None:
    rates = Rates()
    taken = [rates.take("a", 3, now=100.0) for _ in range(4)]
    assert [each.is_allowed for each in taken] == [True, True, True, False]
    assert [(each.left, each.wait) for each in taken] == [(2, 0), (1, 0), (0, 20), (0, 20)]
    assert not rates.take("a", 3, now=119.0).is_allowed
    assert rates.take("a", 3, now=120.0).is_allowed
    assert not rates.take("a", 3, now=120.0).is_allowed


def test_no_key_takes_from_another() -> None:
    rates = Rates()
    assert rates.take("a", 1, now=0.0).is_allowed
    assert rates.take("b", 1, now=0.0).is_allowed


@pytest.mark.parametrize("per_minute", [1, 7, 60, 1000])
def test_who_waits_as_told_is_let_in(per_minute: int) -> None:
    """And over an hour there are no more than an hour's worth and a bucket."""
    rates, now, allowed = Rates(), 0.0, 0
    while now < 3600:
        taken = rates.take("a", per_minute, now=now)
        allowed += taken.is_allowed
        now += taken.wait
        if taken.wait:
            assert rates.take("b", per_minute, now=now).is_allowed
    assert allowed <= 61 * per_minute


def test_a_limit_that_is_lowered_holds_at_once() -> None:
    rates = Rates()
    rates.take("a", 1000, now=0.0)
    assert rates.take("a", 2, now=0.0).left == 1
