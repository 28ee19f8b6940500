"""Instants as people write them, in several zones and on the days on which clocks are changed."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relayd.answers.when import parse_instant, shown

NOW = datetime(2026, 11, 8, 12, 0, tzinfo=UTC)  # a Sunday
AGO = {
    "7d": timedelta(days=7),
    "90s": timedelta(seconds=90),
    "15m": timedelta(minutes=15),
    "12h": timedelta(hours=12),
    "2w": timedelta(weeks=2),
}


@pytest.mark.parametrize(("text", "ago"), AGO.items(), ids=AGO)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_so_long_ago_is_the_same_everywhere(text: str, ago: timedelta, zone: str) -> None:
    assert parse_instant(text, NOW, zone=ZoneInfo(zone)) == NOW - ago


# Zone, what is written, the instant in UTC. It is noon in UTC, 13:00 in Berlin, 17:30 in Kolkata,
# 07:00 in New York, and 02:00 of the next day, a Monday, in Kiritimati.
WRITTEN = [
    ("UTC", "today", "2026-11-08T00:00"),
    ("UTC", "yesterday", "2026-11-07T00:00"),
    ("UTC", "Sunday", "2026-11-08T00:00"),
    ("UTC", "monday", "2026-11-02T00:00"),
    ("UTC", "saturday", "2026-11-07T00:00"),
    ("UTC", "08:00", "2026-11-08T08:00"),
    ("UTC", "12:00", "2026-11-08T12:00"),
    ("UTC", "12:01", "2026-11-07T12:01"),
    ("UTC", "8:00:30", "2026-11-08T08:00:30"),
    ("UTC", "monday 08:00", "2026-11-02T08:00"),
    ("UTC", "yesterday 23:59", "2026-11-07T23:59"),
    ("UTC", "2026-11-01", "2026-11-01T00:00"),
    ("UTC", "2026-11-01T09:30", "2026-11-01T09:30"),
    ("UTC", " 2026-11-01 09:30:07 ", "2026-11-01T09:30:07"),
    ("Europe/Berlin", "today", "2026-11-07T23:00"),
    ("Europe/Berlin", "yesterday", "2026-11-06T23:00"),
    ("Europe/Berlin", "08:00", "2026-11-08T07:00"),
    ("Europe/Berlin", "12:30", "2026-11-08T11:30"),
    ("Europe/Berlin", "2026-11-01", "2026-10-31T23:00"),
    ("Europe/Berlin", "2026-07-01", "2026-06-30T22:00"),
    ("Europe/Berlin", "2026-11-01T09:30:00Z", "2026-11-01T09:30"),
    ("Europe/Berlin", "2026-11-01 09:30:00+02:00", "2026-11-01T07:30"),
    ("Asia/Kolkata", "today", "2026-11-07T18:30"),
    ("Asia/Kolkata", "monday", "2026-11-01T18:30"),
    ("America/New_York", "08:00", "2026-11-07T13:00"),  # still to come today
    ("America/New_York", "2026-11-01", "2026-11-01T04:00"),  # the day on which summer time ends
    ("Pacific/Kiritimati", "today", "2026-11-08T10:00"),
    ("Pacific/Kiritimati", "monday", "2026-11-08T10:00"),
    ("Pacific/Kiritimati", "sunday", "2026-11-07T10:00"),
]


@pytest.mark.parametrize(("zone", "text", "utc"), WRITTEN)
def test_what_is_written_is_local(zone: str, text: str, utc: str) -> None:
    expected = datetime.fromisoformat(utc).replace(tzinfo=UTC)
    found = parse_instant(text, NOW, zone=ZoneInfo(zone))
    assert (found, found.tzinfo) == (expected, UTC)


def test_a_time_of_day_that_is_to_come_is_todays_where_a_span_ends() -> None:
    expected = datetime(2026, 11, 8, 18, tzinfo=UTC)
    assert parse_instant("18:00", NOW, zone=UTC, is_end=True) == expected


# Zone, what is written, the instant for the begin of a span, and for its end.
CHANGES = [
    # 02:00 to 03:00 is passed over: the moment of the change, which is 01:00 in UTC
    ("Europe/Berlin", "2026-03-29T02:30", "2026-03-29T01:00", "2026-03-29T01:00"),
    ("Europe/Berlin", "2026-03-29T02:00", "2026-03-29T01:00", "2026-03-29T01:00"),
    ("Europe/Berlin", "2026-03-29T02:59:59.5", "2026-03-29T01:00", "2026-03-29T01:00"),
    ("Europe/Berlin", "2026-03-29T01:59", "2026-03-29T00:59", "2026-03-29T00:59"),
    ("Europe/Berlin", "2026-03-29T03:00", "2026-03-29T01:00", "2026-03-29T01:00"),
    # 02:00 to 03:00 comes twice
    ("Europe/Berlin", "2026-10-25T02:30", "2026-10-25T00:30", "2026-10-25T01:30"),
    ("Europe/Berlin", "2026-10-25T03:00", "2026-10-25T02:00", "2026-10-25T02:00"),
    # midnight is passed over: the day begins with the change
    ("Africa/Cairo", "2026-04-24", "2026-04-23T22:00", "2026-04-23T22:00"),
    ("America/Santiago", "2026-09-06", "2026-09-06T04:00", "2026-09-06T04:00"),
    # midnight comes twice
    ("America/Havana", "2026-11-01", "2026-11-01T04:00", "2026-11-01T05:00"),
    # half an hour
    ("Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03T15:30", "2026-10-03T15:30"),
    # a day that was left out
    ("Pacific/Apia", "2011-12-30T12:00", "2011-12-30T10:00", "2011-12-30T10:00"),
]


@pytest.mark.parametrize(("zone", "text", "begin", "end"), CHANGES)
def test_times_that_do_not_exist_or_come_twice(zone: str, text: str, begin: str, end: str) -> None:
    for is_end, expected in ((False, begin), (True, end)):
        found = parse_instant(text, NOW, zone=ZoneInfo(zone), is_end=is_end)
        assert found == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "d",
        "7y",
        "-7d",
        "soon",
        "mon day",
        "monday 25:00",
        "monday 8",
        "24:00",
        "8:0",
        "2026-13-01",
        "999999w",
        "9" * 15 + "d",
        "2026-11-01T25:00",
        "today noon",
        "yesterday  08:00",
    ],
)
def test_what_is_no_instant(text: str) -> None:
    with pytest.raises((ValueError, OverflowError)):
        parse_instant(text, NOW, zone=UTC)


SHOWN = [
    ("UTC", "2026-11-08 12:00:00Z"),
    ("Europe/London", "2026-11-08 12:00:00Z"),
    ("Europe/Berlin", "2026-11-08 13:00:00+01:00"),
    ("America/New_York", "2026-11-08 07:00:00-05:00"),
    ("Asia/Kolkata", "2026-11-08 17:30:00+05:30"),
    ("Pacific/Kiritimati", "2026-11-09 02:00:00+14:00"),
]


@pytest.mark.parametrize(("zone", "text"), SHOWN)
def test_what_is_shown_is_local_and_says_by_how_much(zone: str, text: str) -> None:
    assert shown(NOW + timedelta(microseconds=1), ZoneInfo(zone)) == text
    assert shown(None, ZoneInfo(zone)) == ""


@settings(max_examples=200, deadline=None)
@given(
    st.integers(946684800, 4070908800).map(lambda at: datetime.fromtimestamp(at, UTC)),
    st.sampled_from(["UTC", "Europe/Berlin", "America/Havana", "Australia/Lord_Howe"]),
)
def test_what_is_shown_can_be_written(at: datetime, name: str) -> None:
    """Also in the hour that comes twice: the offset says which one."""
    zone = ZoneInfo(name)
    assert parse_instant(shown(at, zone), NOW, zone=zone) == at


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine is in Berlin."""
    before = os.environ.get("TZ")
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    assert os.environ.get("TZ") == before
    time.tzset()


@pytest.mark.usefixtures("berlin")
def test_the_zone_of_this_machine_counts() -> None:
    assert shown(NOW) == "2026-11-08 13:00:00+01:00"
    for zone, text, begin, end in CHANGES[:7]:
        assert zone == "Europe/Berlin"
        expected = [datetime.fromisoformat(each).replace(tzinfo=UTC) for each in (begin, end)]
        assert [parse_instant(text, NOW, is_end=which) for which in (False, True)] == expected
