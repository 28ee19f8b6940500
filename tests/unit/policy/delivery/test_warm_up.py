"""How fast a new address may send."""

from datetime import date, timedelta

import pytest

from relayd.policy.delivery.warm_up import seconds_between

BEGAN = date(2026, 12, 1)


@pytest.mark.parametrize(
    ("day", "messages"), [(1, 50), (2, 75), (3, 112.5), (10, 50 * 1.5**9), (20, 50 * 1.5**19)]
)
def test_each_day_has_half_as_many_again(day: int, messages: float) -> None:
    between = seconds_between(BEGAN, BEGAN + timedelta(days=day - 1))
    assert between == pytest.approx(86400 / messages)


def test_it_ends_after_20_days() -> None:
    assert seconds_between(BEGAN, BEGAN + timedelta(days=20)) is None


def test_before_its_day_an_address_is_not_used() -> None:
    assert seconds_between(BEGAN, BEGAN - timedelta(days=1)) == float("inf")
