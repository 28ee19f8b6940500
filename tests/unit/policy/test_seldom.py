"""The same line of the log once in a minute."""

from relayd.policy.seldom import Seldom


def test_the_first_is_due_and_then_one_in_a_minute() -> None:
    seldom = Seldom()
    found = [now for now in range(0, 200, 10) if seldom.is_due(float(now))]
    assert found == [0, 60, 120, 180]
