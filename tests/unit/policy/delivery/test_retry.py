"""When the next attempt is: the schedules, their ends, and how far jitter stretches them."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.policy.delivery.retry import (
    LOGIN_PROBE,
    LastRetry,
    RetrySettings,
    after_no_verdict,
    after_soft_bounce,
    after_unknown_outcome,
    asked_for,
    heed,
    last_retry,
    lifetime,
    pause_after,
)

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
DEFAULT = RetrySettings(
    soft_bounce=(15 * MINUTE,),
    unknown_outcome=(15 * MINUTE, HOUR),
    unreachable=(5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR),
    give_up_after=5 * DAY,
)
PATIENT = RetrySettings(
    soft_bounce=(15 * MINUTE, HOUR, DAY),
    unknown_outcome=(MINUTE, HOUR, DAY),
    unreachable=(MINUTE,),
    give_up_after=HOUR,
)
HASTY = RetrySettings(
    soft_bounce=(), unknown_outcome=(), unreachable=(MINUTE,), give_up_after=timedelta(0)
)

jitters = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("rules", "waits"),
    [
        pytest.param(DEFAULT, [15 * MINUTE, HOUR, None, None], id="three-attempts-by-default"),
        pytest.param(PATIENT, [MINUTE, HOUR, DAY, None], id="as-many-as-entries"),
        pytest.param(HASTY, [None, None], id="none-at-all"),
    ],
)
def test_an_unknown_outcome_is_tried_again_a_few_times(
    rules: RetrySettings, waits: list[timedelta | None]
) -> None:
    """S-06: each attempt may leave one more copy."""
    for number, wait in enumerate(waits, 1):
        assert after_unknown_outcome(number, rules, jitter=0) == wait


@pytest.mark.parametrize(
    ("rules", "waits"),
    [
        pytest.param(DEFAULT, [15 * MINUTE, None, None], id="one-retry-by-default"),
        pytest.param(PATIENT, [15 * MINUTE, HOUR, DAY, None, None], id="as-many-as-entries"),
        pytest.param(HASTY, [None, None], id="none-at-all"),
    ],
)
def test_a_soft_bounce_is_tried_again_as_often_as_set(
    rules: RetrySettings, waits: list[timedelta | None]
) -> None:
    """S-09: once by default, then no more."""
    assert [after_soft_bounce(n, rules) for n in range(1, len(waits) + 1)] == waits


def test_the_unreachable_schedule_repeats_its_last_wait() -> None:
    """S-09: 5, 15, 30 minutes, 1, 2, then every 4 hours."""
    waits = [after_no_verdict(n, n * MINUTE, DEFAULT, jitter=0) for n in range(1, 10)]
    assert waits == [*DEFAULT.unreachable, 4 * HOUR, 4 * HOUR, 4 * HOUR]


@pytest.mark.parametrize(
    ("age", "gives_up"),
    [
        pytest.param(-DAY, False, id="clock-set-back"),
        pytest.param(timedelta(0), False, id="new"),
        pytest.param(5 * DAY - timedelta(microseconds=1), False, id="just-before"),
        pytest.param(5 * DAY, True, id="at-its-end"),
        pytest.param(400 * DAY, True, id="long-after"),
    ],
)
def test_it_gives_up_at_the_set_age(age: timedelta, *, gives_up: bool) -> None:
    """Age counts, not the number of attempts (S-09, S-10)."""
    for failures in (1, 6, 1000):
        assert (after_no_verdict(failures, age, DEFAULT, jitter=0) is None) is gives_up


@pytest.mark.parametrize(
    ("give_up_after", "of_a_report"), [(5 * DAY, DAY), (DAY, DAY), (HOUR, HOUR)], ids=str
)
def test_a_report_is_given_up_after_a_day(give_up_after: timedelta, of_a_report: timedelta) -> None:
    """S-09; never later than other mail."""
    rules = replace(DEFAULT, give_up_after=give_up_after)
    assert lifetime(rules, is_report=True) == of_a_report
    assert lifetime(rules, is_report=False) == give_up_after
    for age, gives_up in ((of_a_report, True), (of_a_report - MINUTE, False)):
        wait = after_no_verdict(1, age, rules, jitter=0, is_report=True)
        assert (wait is None) is gives_up


@given(st.integers(1, 10_000), jitters)
def test_jitter_stretches_a_wait_by_up_to_a_fifth(failures: int, jitter: float) -> None:
    """Never shorter than set, so that greylisting is outlasted."""
    plain = after_no_verdict(failures, timedelta(0), DEFAULT, jitter=0)
    wait = after_no_verdict(failures, timedelta(0), DEFAULT, jitter=jitter)
    assert plain is not None
    assert wait is not None
    assert plain <= wait <= 1.2 * plain


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(1, 5), (2, 10), (3, 20), (4, 40), (5, 80), (6, 160), (7, 300), (8, 300), (10**6, 300)],
)
def test_a_failing_destination_rests_longer_each_time(failures: int, seconds: int) -> None:
    """From five seconds, doubled, to five minutes at the most."""
    assert pause_after(failures, jitter=0) == timedelta(seconds=seconds)


@given(st.integers(1, 10_000), jitters)
def test_a_pause_is_bounded(failures: int, jitter: float) -> None:
    pause = pause_after(failures, jitter=jitter)
    assert pause_after(failures, jitter=0) <= pause <= 6 * MINUTE


def test_a_refused_login_is_probed_at_most_hourly() -> None:
    """S-53."""
    assert LOGIN_PROBE >= HOUR


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("4.7.1 Greylisted, please try again in 300 seconds", 300),
        ("Try again in 5 minutes", 300),
        ("greylisting in action, please come back in 00:04:59", None),
        ("wait 2 hours", 7200),
        ("retry after 90 sec", 90),
        ("too many connections", None),
        ("in 5 years", None),
    ],
)
def test_a_delay_asked_for_is_read(text: str, seconds: int | None) -> None:
    asked = asked_for(text)
    assert (None if asked is None else asked.total_seconds()) == seconds


@pytest.mark.parametrize(
    ("asked", "minutes"), [(None, 15), (5, 5), (0, 1), (60, 60), (5000, 240)], ids=str
)
def test_a_delay_asked_for_is_heeded_within_bounds(asked: int | None, minutes: int) -> None:
    wanted = None if asked is None else timedelta(minutes=asked)
    assert heed(timedelta(minutes=15), wanted) == timedelta(minutes=minutes)


def test_a_schedule_shorter_than_the_least_delay_stands() -> None:
    assert heed(timedelta(seconds=1), timedelta(0)) == timedelta(seconds=1)


def test_who_has_used_the_last_retry() -> None:
    """As those functions have it that decide after an attempt."""
    last = last_retry(DEFAULT)
    assert last == LastRetry(soft_failures=1, unknown_outcomes=2, age=5 * DAY, report_age=DAY)
    fresh = {"soft_failures": 0, "unknown_outcomes": 0}
    young = timedelta()
    assert not last.is_used(**fresh, age=young, is_report=False)
    for failures in range(4):
        used = last.is_used(soft_failures=failures, unknown_outcomes=0, age=young, is_report=False)
        assert used == (after_soft_bounce(failures + 1, DEFAULT) is None)
        used = last.is_used(soft_failures=0, unknown_outcomes=failures, age=young, is_report=False)
        assert used == (after_unknown_outcome(failures + 1, DEFAULT, jitter=0) is None)
    for days in range(8):
        for is_report in (True, False):
            used = last.is_used(**fresh, age=days * DAY, is_report=is_report)
            after = after_no_verdict(1, days * DAY, DEFAULT, jitter=0, is_report=is_report)
            assert used == (after is None)


def test_what_has_not_failed_has_used_no_retry() -> None:
    last = last_retry(replace(DEFAULT, soft_bounce=(), unknown_outcome=()))
    assert (last.soft_failures, last.unknown_outcomes) == (1, 1)
