"""Counting failures: what is free, how the waits grow and end, and what happens when memory is full."""

from hypothesis import example, given
from hypothesis import strategies as st

from relayd.policy.intake.failures import FIRST_WAIT, Failures, Pace
from tests.support.processor import took_by

KEY = b"secret"
PACE = Pace(free=5, every=900.0)


def of(pace: Pace = PACE, *, room: int = 100, shares: bool = False) -> Failures:
    return Failures(pace, room=room, key=KEY, shares=shares)


def test_the_first_failures_are_free() -> None:
    failures = of()
    for _ in range(PACE.free - 1):
        assert failures.add("a", now=0.0)
        assert failures.wait("a", now=0.0) == 0
    failures.add("a", now=0.0)
    assert failures.wait("a", now=0.0) == FIRST_WAIT
    assert failures.wait("a", now=20.0) == FIRST_WAIT - 20
    assert failures.wait("a", now=FIRST_WAIT) == 0
    assert failures.wait("b", now=0.0) == 0


def test_each_failure_more_doubles_the_wait() -> None:
    failures, waits, now = of(), [], 0.0
    for _ in range(PACE.free + 30):
        failures.add("a", now=now)
        waits.append(failures.wait("a", now=now))
        now += waits[-1]
    assert waits[: PACE.free + 5] == [0, 0, 0, 0, 30, 60, 120, 240, 480, 480]
    assert set(waits[PACE.free + 6 :]) == {PACE.every}


def test_failures_are_forgiven_with_time() -> None:
    failures = of()
    for number in range(PACE.free * 3):
        failures.add("a", now=number * PACE.every)
        assert failures.wait("a", now=number * PACE.every) == 0
    end = PACE.free * 3 * PACE.every
    assert failures.has("a", now=end - 1)
    assert not failures.has("a", now=end)
    assert not failures.has("b", now=0.0)


def test_what_is_forgotten_begins_anew() -> None:
    failures = of()
    for _ in range(50):
        failures.add("a", now=0.0)
    failures.forget("a")
    failures.forget("b")
    assert failures.wait("a", now=0.0) == 0


def test_no_count_gives_way_before_it_is_forgiven() -> None:
    failures = of(room=3)
    for name in "abc":
        assert failures.add(name, now=0.0)
    for _ in range(2):
        assert not failures.add("d", now=0.0), "it is told"
        assert failures.add("a", now=0.0), "and who has a count goes on"
    assert failures.wait("d", now=0.0) == 0
    assert not failures.add("d", now=PACE.every - 1)
    assert failures.add("d", now=PACE.every), "b and c are forgiven"
    assert failures.has("a", now=PACE.every)
    assert len(failures) == 2


def test_a_flood_of_names_costs_little() -> None:
    """It is done where clients are answered: to look through all counts for one that is over took 5 ms."""
    failures = of(Pace(free=5, every=100.0), room=10_000)

    def flood() -> None:
        for number in range(15_000):
            failures.add(str(number), now=number / 100)

    assert took_by(flood, 1.0) < 1.0
    assert len(failures) > 9_000, "and room does not stay empty for that"


def test_where_names_share_there_is_always_room() -> None:
    failures = of(room=2, shares=True)
    for number in range(1000):
        assert failures.add(str(number), now=0.0)
    assert len(failures) <= 2
    assert failures.wait("any other", now=0.0) > 0


@given(
    st.sampled_from([PACE, Pace(free=20, every=60.0), Pace(free=200, every=15.0)]),
    st.lists(st.floats(0, 1000), max_size=60),
)
@example(PACE, [*[0.0] * 9, 124.45053643130393])  # the sum of both is rounded up
def test_a_wait_is_never_negative_nor_too_long(pace: Pace, gaps: list[float]) -> None:
    failures, now = of(pace), 0.0
    for gap in gaps:
        now += gap
        failures.add("a", now=now)
        assert 0 <= failures.wait("a", now=now) <= pace.every
        assert failures.wait("a", now=now + pace.every) == 0


@given(
    st.sampled_from([PACE, Pace(free=20, every=60.0), Pace(free=200, every=15.0)]),
    st.lists(st.floats(0, 2000), max_size=200),
)
def test_how_many_tries_there_are_in_a_time(pace: Pace, gaps: list[float]) -> None:
    """However the tries lie: those that are free, some while the waits grow, and one each `every`."""
    failures, now, tries = of(pace), 0.0, 0
    for gap in gaps:
        now += gap
        if not failures.wait("a", now=now):
            failures.add("a", now=now)
            tries += 1
    assert tries <= pace.highest + 1 + now / pace.every
