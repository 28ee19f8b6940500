"""How often one client may connect: at once, over time, and whatever others do."""

from hypothesis import given
from hypothesis import strategies as st

from relayd.policy.intake.rate import AT_ONCE, MOST_CLIENTS, PER_SECOND, Rate


def test_many_at_once_and_then_a_few_a_second() -> None:
    rate = Rate()
    assert [rate.is_kept_by("a", now=0.0) for _ in range(AT_ONCE + 2)] == [
        *[True] * AT_ONCE,
        False,
        False,
    ]
    assert rate.is_kept_by("b", now=0.0)
    assert [rate.is_kept_by("a", now=0.2) for _ in range(3)] == [True, True, False]
    assert rate.is_kept_by("a", now=0.3)
    assert all(rate.is_kept_by("a", now=100.0) for _ in range(AT_ONCE))


@given(st.lists(st.floats(0, 5), max_size=400))
def test_no_more_than_that_in_any_time(pauses: list[float]) -> None:
    rate, now, kept = Rate(), 0.0, 0
    for pause in pauses:
        now += pause / 100
        kept += rate.is_kept_by("a", now=now)
        assert kept <= AT_ONCE + now * PER_SECOND + 0.001


def test_what_is_given_back_does_not_count() -> None:
    rate = Rate()
    for _ in range(3 * AT_ONCE):
        assert rate.is_kept_by("a", now=0.0)
        rate.give_back("a")
    assert [rate.is_kept_by("a", now=0.0) for _ in range(AT_ONCE + 1)] == [*[True] * AT_ONCE, False]


def test_nothing_is_given_back_of_nothing() -> None:
    rate = Rate()
    rate.give_back("a")
    assert len(rate) == 0
    assert rate.is_kept_by("a", now=0.0)
    rate.give_back("a")
    rate.give_back("a")
    assert [rate.is_kept_by("a", now=0.0) for _ in range(AT_ONCE + 1)] == [*[True] * AT_ONCE, False]


def test_its_memory_is_bounded() -> None:
    rate = Rate()
    for number in range(MOST_CLIENTS + 100):
        rate.is_kept_by(str(number), now=1.0)
    assert len(rate) == MOST_CLIENTS
