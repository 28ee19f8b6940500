"""How pages write numbers, instants, lengths of time, and what others wrote."""

from datetime import UTC, datetime, timedelta

import pytest

from relayd.console import text

NOW = datetime(2026, 11, 28, 13, 42, 41, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (None, ""),
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 m"),
        (61, "1 m 1 s"),
        (3600, "1 h"),
        (3660, "1 h 1 m"),
        (3601, "1 h"),
        (2 * 86400 + 3 * 3600 + 59, "2 d 3 h"),
        (-5, "0 s"),
    ],
)
def test_a_length_has_its_two_largest_units(seconds: float | None, written: str) -> None:
    assert text.length(seconds) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "0"), (1204, "1,204"), (3.0, "3"), (3.46, "3.5"), (250.4, "250")],
)
def test_numbers(value: float, written: str) -> None:
    assert text.number(value) == written


@pytest.mark.parametrize(
    ("octets", "written"),
    [(0, "0 B"), (999, "999 B"), (4200, "4.2 kB"), (153_000, "153 kB"), (3 * 10**12, "3000 GB")],
)
def test_sizes(octets: int, written: str) -> None:
    assert text.octets(octets) == written


def test_instants_are_in_utc() -> None:
    assert text.instant(NOW.astimezone(tz=None)) == "2026-11-28 13:42:41Z"
    assert text.written("2026-11-28T13:42:41.500Z") == "2026-11-28 13:42:41Z"
    assert text.written("soon") == "soon"
    assert text.iso(NOW) == "2026-11-28T13:42:41Z"
    assert text.instant(None) == text.ago(None, NOW) == text.percent(None) == ""
    assert text.ago(NOW - timedelta(minutes=2), NOW) == "2 m ago"
    assert text.ago(NOW + timedelta(minutes=12), NOW) == "in 12 m"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("550 5.1.1 no such user", "550 5.1.1 no such user"),
        ("a\u202eb\r\n\x1b[2J", "a<U+202E>b<U+000D><U+000A><U+001B>[2J"),
        ("müller@example.org", "müller@example.org"),
        (None, ""),
        (5, "5"),
    ],
)
def test_what_cannot_be_seen_is_spelt_out(written: object, shown: str) -> None:
    assert text.shown(written) == shown
