"""What an answer to a webhook means, and when it is sent again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relayd.policy.console.retry_after import retry_after
from relayd.policy.console.webhook import (
    AT_ONCE,
    LONGEST,
    NEVER,
    OVERLAP,
    RESTS,
    SPREAD,
    UNREACHABLE_FOR,
    WAITS,
    Answer,
    Off,
    Result,
    Standing,
    Try,
    Verdict,
    enabled,
    generations_of,
    judge,
)

SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000
NOW = 1_000_000
NEW = Standing()
RESTED = Standing(
    failures=2, failing_since=NOW - HOUR, rests_from=NOW - HOUR, rests_until=NOW - MINUTE
)
DATE = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def answered(
    status: int | None,
    standing: Standing = NEW,
    *,
    begun_at: int = NOW,
    refusals: int = 0,
    is_test: bool = False,
    asked: timedelta | None = None,
    now: int = NOW,
    jitter: float = 0.0,
) -> Verdict:
    return judge(
        Answer(status=status, retry_after=asked),
        standing,
        Try(begun_at=begun_at, refusals=refusals, is_test=is_test),
        now=now,
        jitter=jitter,
    )


DONE = (200, 201, 202, 204, 206, 299)
RESTING = (None, 100, 199, 408, 429, 500, 502, 503, 504, 599, 600, 999)
REFUSED = (300, 301, 302, 307, 308, 399, 400, 401, 403, 404, 405, 409, 411, 413, 422, 451, 499)


@pytest.mark.parametrize("status", DONE)
def test_2xx_alone_is_a_success(status: int) -> None:
    verdict = answered(status, RESTED)
    assert verdict.result is Result.DONE
    assert verdict.standing == Standing(rests_from=RESTED.rests_from)


@pytest.mark.parametrize("status", RESTING)
def test_who_does_not_answer_rests_with_all_its_deliveries(status: int | None) -> None:
    verdict = answered(status, refusals=3)
    assert (verdict.result, verdict.refusals, verdict.due_at) == (Result.WAITS, 3, NEVER)
    assert verdict.standing == Standing(
        failures=1, failing_since=NOW, rests_from=NOW, rests_until=NOW + 5 * SECOND
    )


@pytest.mark.parametrize("status", REFUSED)
def test_who_refuses_one_delivery_takes_the_others(status: int) -> None:
    """A redirect, too: it is not followed."""
    verdict = answered(status, RESTED)
    assert verdict.result is Result.WAITS
    assert verdict.due_at == NOW + MINUTE
    assert verdict.standing.at_once(NOW) == AT_ONCE


def test_a_delivery_is_refused_five_times_in_an_hour() -> None:
    now, tries, refusals = 0, [], 0
    while True:
        tries.append(now // MINUTE)
        verdict = answered(404, refusals=refusals, now=now)
        if verdict.result is Result.FAILED:
            break
        now, refusals = verdict.due_at, verdict.refusals
    assert tries == [0, 1, 6, 21, 60]


def test_the_rests_of_an_endpoint_grow_to_six_hours() -> None:
    now, standing, rests = 0, NEW, []
    for _ in range(8):
        standing = answered(503, standing, now=now, begun_at=now).standing
        rests.append((standing.rests_until - now) // SECOND)
        now = standing.rests_until
    assert rests == [5, 60, 300, 1800, 7200, 21600, 21600, 21600]


def test_a_rest_is_spread() -> None:
    assert answered(503, jitter=0.5).standing.rests_until == NOW + 5 * SECOND * (1 + SPREAD / 2)


@pytest.mark.parametrize(
    ("asked", "rest"),
    [
        (timedelta(seconds=1), 5 * SECOND),  # not sooner than by itself
        (timedelta(hours=1), HOUR),
        (timedelta(days=30), 6 * HOUR),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_heeded_up_to_six_hours(status: int, asked: timedelta, rest: int) -> None:
    assert answered(status, asked=asked).standing.rests_until == NOW + rest


def test_eight_that_fail_together_are_one_failure() -> None:
    first = answered(503, begun_at=NOW - SECOND).standing
    later = answered(503, first, begun_at=NOW - SECOND, now=NOW + SECOND).standing
    assert later == first
    asked = answered(429, first, begun_at=NOW - SECOND, asked=timedelta(hours=1)).standing
    assert (asked.failures, asked.rests_until) == (1, NOW + HOUR)


@pytest.mark.parametrize("status", [200, 404])
def test_an_answer_to_what_was_sent_before_does_not_end_the_rest(status: int) -> None:
    first = answered(429, begun_at=NOW - SECOND).standing
    assert answered(status, first, begun_at=NOW - SECOND).standing == first


def test_one_is_tried_after_a_rest_and_then_the_others() -> None:
    standing = answered(503).standing
    over = standing.rests_until
    assert [standing.at_once(at) for at in (NOW, over - 1, over)] == [0, 0, 1]
    assert answered(204, standing, begun_at=over, now=over).standing.at_once(over) == AT_ONCE


@pytest.mark.parametrize("tries", [0, 4])
def test_gone_disables_and_nothing_is_lost(tries: int) -> None:
    verdict = answered(410, refusals=tries)
    assert (verdict.result, verdict.refusals) == (Result.WAITS, tries)
    assert verdict.standing.off is Off.GONE
    assert verdict.standing.at_once(NOW) == 0


def test_five_days_without_an_answer_disable() -> None:
    now, standing = 0, NEW
    while not standing.off:
        standing = answered(None, standing, now=now, begun_at=now).standing
        now = standing.rests_until
    assert standing.off is Off.UNREACHABLE
    assert UNREACHABLE_FOR <= standing.rests_from < UNREACHABLE_FOR + LONGEST


def test_a_success_in_between_begins_the_five_days_anew() -> None:
    late = replace(NEW, failures=9, failing_since=NOW - UNREACHABLE_FOR + 1)
    assert answered(503, late).standing.off is Off.NO
    again = answered(503, answered(200, late).standing, now=NOW + 1, begun_at=NOW + 1)
    assert again.standing.failing_since == NOW + 1


def test_what_a_person_disabled_stays_so() -> None:
    off = replace(NEW, off=Off.BY_HAND)
    assert {answered(status, off).standing.off for status in (200, 410, 503)} == {Off.BY_HAND}
    assert enabled(answered(503, off).standing).at_once(NOW) == AT_ONCE


@pytest.mark.parametrize("status", [None, 302, 404, 410, 429, 503])
def test_a_test_is_tried_once(status: int | None) -> None:
    assert answered(status, is_test=True).result is Result.FAILED


@given(
    status=st.none() | st.integers(0, 999),
    begun=st.integers(0, NOW),
    failures=st.integers(0, 20),
    refusals=st.integers(0, len(WAITS)),
    asked=st.none() | st.timedeltas(timedelta(), timedelta(days=400)),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_every_answer_has_one_meaning(
    status: int | None,
    begun: int,
    failures: int,
    refusals: int,
    asked: timedelta | None,
    jitter: float,
) -> None:
    """Nothing is lost but by a success or five refusals, and nobody rests longer than six hours and a bit."""
    standing = Standing(failures=failures, failing_since=NOW // 2 if failures else None)
    verdict = answered(
        status, standing, begun_at=begun, refusals=refusals, asked=asked, jitter=jitter
    )
    assert (verdict.result is Result.DONE) == (status in range(200, 300))
    if verdict.result is Result.FAILED:
        assert refusals == len(WAITS)
    assert max(verdict.due_at, verdict.standing.rests_until) <= NOW + LONGEST * (1 + SPREAD)
    assert (verdict.standing.failures == 0) == (verdict.standing.failing_since is None)
    if verdict.standing.failures > failures:
        assert verdict.standing.at_once(NOW) == 0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 5 ", 5),
        ("0", 0),
        ("Sat, 28 Nov 2026 12:01:00 GMT", 60),
        ("Saturday, 28-Nov-26 12:01:00 GMT", 60),
        ("Sat Nov 28 12:01:00 2026", 60),
        ("Sat, 28 Nov 2026 11:59:00 GMT", None),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("9999999999999999", None),
        ("Sat, 99 Nov 2026 12:01:00 GMT", None),
        ("Sat, 28 Nov 99999999999999999999 12:01:00 GMT", None),
        ("Sat, 28 Nov 2026 12:01:00 +99999999999999999999", None),
        ("Sat, 28 Nov 0001 00:00:00 +2359", None),
        ("٣", None),
    ],
)
def test_retry_after_has_seconds_or_a_date(value: str, seconds: int | None) -> None:
    """RFC 9110 §10.2.3, §5.6.7."""
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert retry_after(value, DATE) == expected


_PIECES = ("Sat,", "28", "Nov", "9" * 20, "0001", "12:01:00", ":", "+", "-2400", "GMT", " ", "(")


@given(st.text(max_size=60) | st.lists(st.sampled_from(_PIECES)).map(" ".join))
def test_any_retry_after_is_read_or_passed_over(value: str) -> None:
    found = retry_after(value, DATE)
    assert found is None or found >= timedelta()


def test_the_schedule_is_that_of_the_page() -> None:
    assert [rest // SECOND for rest in RESTS] == [5, 60, 300, 1800, 7200, 21600]


@pytest.mark.parametrize(
    ("generation", "rotated_at", "now", "sign"),
    [
        (1, None, 5, (1,)),
        (2, 100, 100, (2, 1)),
        (2, 100, 99 + OVERLAP, (2, 1)),
        (2, 100, 100 + OVERLAP, (2,)),
        (4, 100, 100, (4, 3, 2, 1)),
        (9, 100, 100, (9, 8, 7, 6)),
    ],
)
def test_secrets_before_sign_for_a_day(
    generation: int, rotated_at: int | None, now: int, sign: tuple[int, ...]
) -> None:
    """The newest first; so many that a rotation whose answer was lost may be asked for again."""
    assert generations_of(generation, rotated_at, now) == sign
