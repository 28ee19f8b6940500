"""How instants and durations are spelt."""

from datetime import UTC, datetime, timedelta

import pytest

from relayd.mail.words import format_duration, format_instant, instant, instant_or_none

AT = datetime(2026, 3, 1, 12, 0, 5, 7999, tzinfo=UTC)


def test_an_instant_for_programs_has_milliseconds() -> None:
    assert format_instant(AT) == "2026-03-01T12:00:05.007Z"


def test_an_instant_for_people_ends_with_the_second() -> None:
    assert instant(AT) == "2026-03-01 12:00:05Z"
    assert instant(None) == ""


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(20, "20s"), (5400, "1h30m"), (36 * 3600, "36h"), (5 * 86400, "5d"), (90061, "25h1m1s")],
)
def test_a_duration_is_whole_days_or_hours_minutes_and_seconds(seconds: int, written: str) -> None:
    assert format_duration(timedelta(seconds=seconds)) == written


def test_an_instant_that_is_not_there_is_none() -> None:
    assert (instant_or_none(None), instant_or_none(AT)) == (None, format_instant(AT))
