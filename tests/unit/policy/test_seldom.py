"""The same line of the log once in a minute."""

from relayd.policy.seldom import AFew, Seldom, SeldomEach


def test_the_first_is_due_and_then_one_in_a_minute() -> None:
    seldom = Seldom()
    found = [now for now in range(0, 200, 10) if seldom.is_due(float(now))]
    assert found == [0, 60, 120, 180]


def test_a_few_are_written_in_a_minute_and_the_others_are_counted() -> None:
    few = AFew(2)
    assert [few.take(float(now)) for now in (0, 1, 2, 3, 59)] == [0, 0, None, None, None]
    assert [few.take(float(now)) for now in (60, 61, 62, 200)] == [3, 0, None, 1]


def test_each_has_its_own_time_and_the_oldest_is_forgotten() -> None:
    each = SeldomEach(10.0, most=2)
    assert [each.is_due(thing, 0.0) for thing in "aab"] == [True, False, True]
    assert not each.is_due("a", 9.0)
    assert each.is_due("a", 10.0), "it is the latest now"
    assert each.is_due("c", 11.0), "and this one makes b the one to forget"
    assert not each.is_due("a", 12.0)
    assert each.is_due("b", 9.0)
