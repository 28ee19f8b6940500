"""What went to a site lately."""

import pytest

from relayd.policy.went import Went


def test_nothing_went() -> None:
    went = Went()
    assert went.rate(100.0) == 0
    went.note(0.0)
    assert went.rate(0.0) == pytest.approx(60 / 300)
    assert went.rate(301.0) == 0


def test_what_began_just_now_is_measured_since_it_began() -> None:
    went = Went()
    for second in range(61):
        went.note(float(second))
    assert went.rate(60.0) == pytest.approx(60)
    assert went.rate(120.0) == pytest.approx(30)


def test_a_burst_is_spread_over_half_a_minute() -> None:
    went = Went()
    for _ in range(31):
        went.note(5.0)
    assert went.rate(5.0) == pytest.approx(60)


def test_what_goes_on_is_measured_over_five_minutes() -> None:
    went = Went()
    for second in range(0, 3600, 2):
        went.note(float(second))
    assert went.rate(3600.0) == pytest.approx(30, rel=0.04)
    assert len(went._steps) <= 31
